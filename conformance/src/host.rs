//! The two programs that load the libraries: the `sqlite3` shell and Debian's python3.

use crate::program::Server;
use crate::settings::PYTHON;
use crate::value::{Row, Value, bytes_of, hex_of, rows_of};
use serde_json::json;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Which program opens a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The `sqlite3` shell: values are written into the SQL as literals.
    Shell,
    /// python3 with its sqlite3 module: values are bound.
    Python,
}

/// One SQL statement with values for ?1, ?2 and so on.
#[derive(Clone, Debug)]
pub struct Statement {
    pub(crate) sql: String,
    pub(crate) parameters: Vec<Value>,
}

impl Statement {
    /// A statement; values may be empty.
    pub fn new(sql: &str, parameters: &[Value]) -> Statement {
        Statement { sql: sql.to_owned(), parameters: parameters.to_vec() }
    }
}

/// The rows that a statement gave, or SQLite's message.
pub type Answer = Result<Vec<Row>, String>;

impl Host {
    /// Opens the database in a new process, loads the libraries, runs the statements up to the first that fails, and
    /// closes. The rows of all of them come back together.
    pub fn run(self, database: &Path, libraries: &[(&Path, &str)], statements: &[Statement]) -> Answer {
        match self {
            Host::Shell => shell(database, libraries, statements),
            Host::Python => {
                let mut rows = Vec::new();
                for answer in python(database, libraries, statements, false) {
                    rows.extend(answer?);
                }
                Ok(rows)
            }
        }
    }

    /// Like [`Host::run`] in python3, in a process that may end by a signal; gives the answers, or the signal's number.
    pub fn run_or_crash(
        database: &Path,
        libraries: &[(&Path, &str)],
        statements: &[Statement],
    ) -> Result<Vec<Answer>, i32> {
        let output = python_output(database, libraries, statements, true);
        match output.status.signal() {
            Some(signal) => Err(signal),
            None => Ok(answers_of(&output)),
        }
    }

    /// Runs a python3 script behind `script.py`; the lines that it printed.
    /// `arguments` follow in sys.argv.
    pub fn run_script(folder: &Path, libraries: &[(&Path, &str)], script: &str, arguments: &[&str]) -> Vec<String> {
        let output = ran(&mut script_command(folder, libraries, script, arguments), &[]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "python3 ended with {}\n{errors}", output.status);
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Starts a python3 script behind `script.py` that ends by itself or is killed. `arguments` follow in sys.argv.
    pub fn start_script(
        folder: &Path,
        libraries: &[(&Path, &str)],
        script: &str,
        arguments: &[&str],
        log: &Path,
    ) -> Server {
        Server::start(&mut script_command(folder, libraries, script, arguments), log.to_path_buf())
    }

    /// Like [`Host::run`] in python3, but goes on after a failure: one answer for each statement.
    pub fn run_each(database: &Path, libraries: &[(&Path, &str)], statements: &[Statement]) -> Vec<Answer> {
        let answers = python(database, libraries, statements, true);
        assert_eq!(answers.len(), statements.len(), "{answers:?}");
        answers
    }
}

fn script_command(folder: &Path, libraries: &[(&Path, &str)], script: &str, arguments: &[&str]) -> Command {
    let text = format!("{}\n{script}", include_str!("script.py"));
    let mut command = Command::new(PYTHON);
    command.args(["-c", &text]).arg(folder).arg(json!(libraries).to_string()).args(arguments);
    command
}

fn shell(database: &Path, libraries: &[(&Path, &str)], statements: &[Statement]) -> Answer {
    let mut input = String::from(".timeout 10000\n");
    for (path, entry) in libraries {
        input.push_str(&format!(".load {} {entry}\n", path.display()));
    }
    input.push_str(".mode quote\n");
    for statement in statements {
        input.push_str(&with_literals(statement));
        input.push_str(";\n");
    }
    if libraries.iter().any(|(_, entry)| !entry.is_empty()) {
        input.push_str(".output /dev/null\nSELECT crsql_finalize();\n");
    }
    let output = ran(Command::new("sqlite3").args(["-batch", "-bail"]).arg(database), input.as_bytes());
    let errors = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    if !output.status.success() || !errors.is_empty() {
        return Err(if errors.is_empty() { format!("sqlite3 ended with {}", output.status) } else { errors });
    }
    rows_of(&String::from_utf8_lossy(&output.stdout))
}

/// The statement with its values in place of ?9 to ?1.
fn with_literals(statement: &Statement) -> String {
    let mut sql = statement.sql.clone();
    for (index, value) in statement.parameters.iter().enumerate().rev() {
        sql = sql.replace(&format!("?{}", index + 1), &value.literal());
    }
    sql
}

fn python(database: &Path, libraries: &[(&Path, &str)], statements: &[Statement], keep_going: bool) -> Vec<Answer> {
    answers_of(&python_output(database, libraries, statements, keep_going))
}

fn python_output(database: &Path, libraries: &[(&Path, &str)], statements: &[Statement], keep_going: bool) -> Output {
    let request = json!({
        "database": database,
        "libraries": libraries,
        "keep_going": keep_going,
        "statements": statements.iter().map(|statement| json!({
            "sql": statement.sql,
            "parameters": statement.parameters.iter().map(json_of).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    });
    ran(
        Command::new(PYTHON).args(["-c", concat!(include_str!("values.py"), include_str!("host.py"))]),
        request.to_string().as_bytes(),
    )
}

fn answers_of(output: &Output) -> Vec<Answer> {
    assert!(
        output.status.success(),
        "python3 ended with {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let answers: serde_json::Value = serde_json::from_slice(&output.stdout).expect("host.py writes JSON");
    let answers = answers.as_array().expect("host.py writes a list");
    answers.iter().map(answer_of).collect()
}

pub(crate) fn answer_of(answer: &serde_json::Value) -> Answer {
    if let Some(error) = answer["error"].as_str() {
        return Err(error.to_owned());
    }
    let rows = answer["rows"].as_array().expect("an answer has rows or an error");
    Ok(rows.iter().map(|row| row.as_array().expect("a row is a list").iter().map(value_of).collect()).collect())
}

pub(crate) fn json_of(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(number) => json!({"i": number.to_string()}),
        Value::Real(bits) => json!({"r": format!("{bits:016x}")}),
        Value::Text(text) => json!({"t": text}),
        Value::Blob(bytes) => json!({"b": hex_of(bytes)}),
    }
}

fn value_of(json: &serde_json::Value) -> Value {
    let text = |key: &str| json[key].as_str();
    if let Some(number) = text("i") {
        Value::Integer(number.parse().expect("host.py writes decimal integers"))
    } else if let Some(bits) = text("r") {
        Value::Real(u64::from_str_radix(bits, 16).expect("host.py writes hexadecimal reals"))
    } else if let Some(text) = text("t") {
        Value::Text(text.to_owned())
    } else if let Some(hex) = text("b") {
        Value::Blob(bytes_of(hex).expect("host.py writes hexadecimal blobs"))
    } else {
        Value::Null
    }
}

/// Runs a program with this input to its end.
fn ran(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("was asked for");
    let input = input.to_vec();
    // Writes beside the reading, or both sides could wait for each other with full pipes. A program that ends before
    // it has read everything is no failure of its own: its status and output tell.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the program's output can be read");
    writer.join().expect("writing does not panic");
    output
}
