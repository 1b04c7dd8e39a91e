//! A process that keeps connections open: python3 with a native library, or Node with the original in WebAssembly.

use crate::host::{Answer, Statement, answer_of, json_of};
use crate::settings::{Engine, PYTHON, Settings, wasm};
use crate::value::hex_of;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// One engine in a process of its own, with any number of connections. Whatever goes wrong in it is a failed test.
pub struct Session {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What statements gave on a connection.
#[derive(Clone, Debug)]
pub struct Ran {
    /// One for each statement.
    pub answers: Vec<Answer>,
    /// Whether a transaction is open afterwards.
    pub in_transaction: bool,
}

impl Session {
    /// python3 with a native library.
    pub fn native(settings: &Settings, engine: Engine) -> Session {
        let libraries = json!(settings.libraries(engine)).to_string();
        let program = concat!(include_str!("values.py"), include_str!("session.py"));
        Session::start(Command::new(PYTHON).args(["-c", program]).arg(libraries))
    }

    /// cr-sqlite 0.16.0 in Node, if it is there.
    pub fn wasm() -> Option<Session> {
        let folder = wasm()?;
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/session.mjs");
        Some(Session::start(Command::new("node").arg(program).arg(folder)))
    }

    fn start(command: &mut Command) -> Session {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
        let requests = child.stdin.take().expect("was asked for");
        let answers = BufReader::new(child.stdout.take().expect("was asked for"));
        Session { child, requests, answers }
    }

    /// Opens a file under a name for the connection. A new file is given this site id.
    pub fn open(&mut self, connection: &str, database: &str, site_id: &[u8]) {
        let site_id = hex_of(site_id);
        self.ask(json!({"op": "open", "connection": connection, "database": database, "site_id": site_id}));
    }

    /// Runs every statement, also after one that failed.
    pub fn run(&mut self, connection: &str, statements: &[Statement]) -> Ran {
        self.start_running(connection, statements);
        self.finish_running()
    }

    /// Begins what [`Session::run`] does; [`Session::finish_running`] waits for its end. Other sessions run meanwhile.
    pub fn start_running(&mut self, connection: &str, statements: &[Statement]) {
        let statements: Vec<_> = statements.iter().map(Statement::to_json).collect();
        self.request(&json!({"op": "run", "connection": connection, "statements": statements}));
    }

    /// What the statements gave that [`Session::start_running`] has begun.
    pub fn finish_running(&mut self) -> Ran {
        let answer = self.answer();
        let answers = answer["answers"].as_array().expect("a session answers with a list");
        Ran {
            answers: answers.iter().map(answer_of).collect(),
            in_transaction: answer["in_transaction"].as_bool().expect("a session says so"),
        }
    }

    /// Closes a connection.
    pub fn close(&mut self, connection: &str) {
        self.ask(json!({"op": "close", "connection": connection}));
    }

    /// Deletes a file that no connection has open.
    pub fn forget(&mut self, database: &str) {
        self.ask(json!({"op": "forget", "database": database}));
    }

    /// Copies the file of a database to a path on the disk.
    pub fn export(&mut self, database: &str, path: &Path) {
        self.ask(json!({"op": "export", "database": database, "path": path}));
    }

    /// Makes the file of a database from one on the disk.
    pub fn import(&mut self, database: &str, path: &Path) {
        self.ask(json!({"op": "import", "database": database, "path": path}));
    }

    fn ask(&mut self, request: serde_json::Value) -> serde_json::Value {
        self.request(&request);
        self.answer()
    }

    fn request(&mut self, request: &serde_json::Value) {
        if let Err(error) = writeln!(self.requests, "{request}").and_then(|()| self.requests.flush()) {
            panic!("the process takes nothing more ({error}) at {request}");
        }
    }

    fn answer(&mut self) -> serde_json::Value {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        if !read.as_ref().is_ok_and(|length| *length > 0) {
            let status = self.child.wait();
            panic!("the process ended: {status:?}, {read:?}");
        }
        let answer: serde_json::Value = serde_json::from_str(&line).expect("a session writes JSON");
        assert!(answer.get("failed").is_none(), "{}", answer["failed"].as_str().unwrap_or_default());
        answer
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It keeps nothing that matters after the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Statement {
    fn to_json(&self) -> serde_json::Value {
        json!([self.sql, self.parameters.iter().map(json_of).collect::<Vec<_>>()])
    }
}
