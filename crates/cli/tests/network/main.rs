//! `rejoin serve` and `rejoin sync` as their users run them.

mod programs;
mod vlcn;
mod wss;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running server; it is killed when this is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts one on a free port, and waits until it says where it listens.
    fn start(rooms: &Path, arguments: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rejoin"))
            .args(["serve", "--listen", "127.0.0.1:0", "--dir"])
            .arg(rooms)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output is piped");
        let mut server = Server { child, address: String::new() };
        BufReader::new(out).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().strip_prefix("listening on ws://").and_then(|rest| rest.strip_suffix("/ROOM"));
        server.address = address.expect("an address").to_owned();
        server
    }

    fn url(&self, room: &str) -> String {
        format!("ws://{}/{room}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a database with a table that replicates, and runs SQL in it.
fn make(path: &Path, sql: &str) {
    let database = rejoin::Database::open(path).expect("the file opens");
    let schema = "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, text TEXT); SELECT crsql_as_crr('note')";
    database.connection().execute_batch(schema).expect("a table");
    database.connection().execute_batch(sql).expect(sql);
}

/// How many rows the table has.
fn count(path: &Path) -> i64 {
    let database = rejoin::Database::open(path).expect("the file opens");
    database.connection().query_row("SELECT count(*) FROM note", [], |row| row.get(0)).expect("a number")
}
