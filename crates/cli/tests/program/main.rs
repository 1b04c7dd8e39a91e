//! The program as its users run it: arguments in; output, files and exit codes out.

mod demo;
mod diff;
mod general;
mod snapshot;
mod track;

use std::path::Path;
use std::process::{Command, Output};

use rejoin::rusqlite::Connection;
use tempfile::TempDir;

/// What a run of the program left behind.
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Run {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).expect("one JSON object on standard output")
    }
}

/// Runs the program in a folder.
fn rejoin(folder: &TempDir, arguments: &[&str]) -> Run {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_rejoin"))
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .expect("the program runs");
    Run {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Makes a database by plain SQL, or adds to it.
fn sql(folder: &TempDir, file: &str, sql: &str) -> Connection {
    let connection = Connection::open(folder.path().join(file)).expect("a database");
    connection.execute_batch(sql).expect("SQL that works");
    connection
}

/// Everything a query gives, as text.
fn ask(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).expect("a query");
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let values: rejoin::rusqlite::Result<Vec<String>> = (0..columns)
            .map(|column| {
                Ok(match row.get(column)? {
                    rejoin::rusqlite::types::Value::Null => "NULL".to_owned(),
                    rejoin::rusqlite::types::Value::Integer(integer) => integer.to_string(),
                    rejoin::rusqlite::types::Value::Real(real) => format!("{real:?}"),
                    rejoin::rusqlite::types::Value::Text(text) => text,
                    rejoin::rusqlite::types::Value::Blob(bytes) => format!("{bytes:02x?}"),
                })
            })
            .collect();
        Ok(values?.join("|"))
    });
    rows.expect("rows").collect::<Result<_, _>>().expect("values")
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("a file")
}
