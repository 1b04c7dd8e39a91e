//! The JavaScript peers, the original server and browser tabs, as processes that are asked in lines of JSON.
//!
//! Their scripts are in conformance/javascript and say at their top what they can be asked.

use crate::settings;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The packages that `cargo xtask javascript` installed, and a folder for what the processes print.
pub struct JavaScript {
    folder: PathBuf,
    logs: PathBuf,
}

impl JavaScript {
    /// What is needed to run the scripts; none, with a line that says so, when it is not there. `logs` exists.
    pub fn find(logs: &Path) -> Option<JavaScript> {
        let folder = settings::javascript()?;
        // Scripts find their packages by where they lie, so they lie beside them; copied each time, as they may be newer.
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("javascript");
        for path in ["", "page"] {
            copy_scripts(&source.join(path), &folder.join("scripts").join(path));
        }
        Some(JavaScript { folder: folder.join("scripts"), logs: logs.to_path_buf() })
    }

    /// Starts a script of conformance/javascript that answers lines of JSON.
    pub fn start(&self, script: &str) -> Script {
        let log = self.logs.join(format!("{script}.log"));
        let mut child = self.node(script, &[], &log);
        let input = child.stdin.take().expect("was asked for");
        let output = child.stdout.take().expect("was asked for");
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut script = Script { child, input: Some(input), answers, last_id: 0, log };
        script.answer(0).unwrap_or_else(|error| panic!("{}: {error}", script.log.display()));
        script
    }

    /// Starts the original server. `rooms` is its folder of databases, or none for databases in memory.
    pub fn original_server(&self, address: &str, rooms: Option<&Path>, schemas: &Path) -> OriginalServer {
        let log = self.logs.join("original_server.log");
        let port = address.rsplit(':').next().expect("an address has a port");
        let rooms = rooms.unwrap_or(Path::new("memory")).to_string_lossy().into_owned();
        let mut child = self.node("original_server.mjs", &[port, &rooms, &schemas.to_string_lossy()], &log);
        let input = child.stdin.take();
        let output = child.stdout.take().expect("was asked for");
        let (sender, listens) = channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(output).read_line(&mut line);
            // The receiver is gone when the test has failed already.
            let _ = sender.send(read.is_ok() && line.contains("listening"));
        });
        let server = OriginalServer { child, _input: input, log };
        let is_up = listens.recv_timeout(ANSWER_MAX).unwrap_or(false);
        assert!(is_up, "the original server does not listen\n{}", server.printed());
        server
    }

    fn node(&self, script: &str, arguments: &[&str], log: &Path) -> Child {
        let log = File::options().create(true).append(true).open(log).expect("a log in a folder that exists");
        Command::new("node")
            .arg(self.folder.join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start node: {error}"))
    }
}

/// Copies what has changed. Several tests may do this at once, so that each file is replaced in one step.
fn copy_scripts(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let source = entry.expect("a folder can be read").path();
        if source.extension().is_none_or(|extension| extension != "mjs") {
            continue;
        }
        let text = fs::read(&source).expect("a script can be read");
        let place = to.join(source.file_name().expect("a file has a name"));
        if fs::read(&place).is_ok_and(|there| there == text) {
            continue;
        }
        let mut fresh = tempfile::NamedTempFile::new_in(to).expect("a file in the target folder");
        fresh.write_all(&text).expect("the target folder can be written");
        fresh.persist(&place).expect("a file can be replaced");
    }
}

/// A running script. It is ended when this is dropped.
pub struct Script {
    child: Child,
    /// None once it has been told to end.
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    last_id: u64,
    log: PathBuf,
}

impl Script {
    /// Asks, and returns the answer or the script's error.
    pub fn try_ask(&mut self, operation: &str, mut request: Value) -> Result<Value, String> {
        self.last_id += 1;
        request["id"] = json!(self.last_id);
        request["op"] = json!(operation);
        let input = self.input.as_mut().expect("is open until the drop");
        writeln!(input, "{request}").map_err(|error| format!("{operation}: {error}"))?;
        self.answer(self.last_id)
    }

    /// Asks; an error is a failed test.
    pub fn ask(&mut self, operation: &str, request: Value) -> Value {
        let shown = request.to_string();
        self.try_ask(operation, request).unwrap_or_else(|error| panic!("{operation} {shown}\n{error}"))
    }

    fn answer(&mut self, id: u64) -> Result<Value, String> {
        loop {
            let line = self.answers.recv_timeout(ANSWER_MAX).map_err(|error| match error {
                RecvTimeoutError::Timeout => format!("no answer within {ANSWER_MAX:?}"),
                RecvTimeoutError::Disconnected => "the script has ended".to_owned(),
            })?;
            let mut answer: Value = serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))?;
            if answer["id"] != json!(id) {
                continue;
            }
            return match answer["error"].as_str() {
                Some(error) => Err(error.to_owned()),
                None => Ok(answer["ok"].take()),
            };
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // A script ends by itself, and tidies up, when its input does.
        self.input = None;
        if !ended_within(&mut self.child, END_MAX) {
            end(&mut self.child);
        }
        if std::thread::panicking() {
            println!("--- {}\n{}", self.log.display(), fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// The original server as a process. It is killed when this is dropped.
pub struct OriginalServer {
    child: Child,
    /// The server ends when this is closed, so it does not outlive the test.
    _input: Option<ChildStdin>,
    log: PathBuf,
}

impl OriginalServer {
    /// Waits for it to end by itself; false when it still runs after `patience`.
    pub fn ends_within(&mut self, patience: Duration) -> bool {
        ended_within(&mut self.child, patience)
    }

    /// Ends it at once, as `kill -9` does, and waits until it is gone.
    pub fn kill(mut self) {
        end(&mut self.child);
    }

    /// What it and its predecessors have written to standard error.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for OriginalServer {
    fn drop(&mut self) {
        end(&mut self.child);
        if std::thread::panicking() {
            println!("--- {}\n{}", self.log.display(), self.printed());
        }
    }
}

fn end(child: &mut Child) {
    // Both fail only when the process has ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

fn ended_within(child: &mut Child, patience: Duration) -> bool {
    let began = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if began.elapsed() >= patience {
            return false;
        }
        std::thread::sleep(STEP);
    }
    true
}

/// A peer of the original packages: in Node, or in a tab of a browser.
pub struct JavaScriptPeer {
    script: Rc<RefCell<Script>>,
    name: String,
    site_id: String,
}

impl JavaScriptPeer {
    /// Opens a database of this name in a script, with a schema as the packages know it.
    pub fn open(script: &Rc<RefCell<Script>>, name: &str, schema_name: &str, schema: &str) -> JavaScriptPeer {
        let request = json!({"name": name, "schemaName": schema_name, "schema": schema});
        let site_id = script.borrow_mut().ask("open", request);
        let site_id = site_id.as_str().expect("open answers a site id").to_lowercase();
        JavaScriptPeer { script: Rc::clone(script), name: name.to_owned(), site_id }
    }

    /// The peer's site id, in hexadecimal.
    pub fn site_id(&self) -> &str {
        &self.site_id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts syncing with a room, as an app does.
    pub fn sync(&self, url: &str, room: &str, token: Option<&str>) {
        self.ask("sync", json!({"url": url, "room": room, "token": token}));
    }

    /// Stops syncing; the database stays open.
    pub fn stop(&self) {
        self.ask("stop", json!({}));
    }

    /// Runs statements; an error is a failed test.
    pub fn run(&self, sql: &str) {
        self.ask("run", json!({"sql": sql}));
    }

    /// The rows of a query: integers beyond 2^53 and blobs are objects, `{"integer": "…"}` and `{"blob": "hex"}`.
    pub fn query(&self, sql: &str) -> Vec<Vec<Value>> {
        let rows = self.ask("query", json!({"sql": sql}));
        serde_json::from_value(rows).expect("query answers rows")
    }

    /// The texts of a query with one column.
    pub fn texts(&self, sql: &str) -> Vec<String> {
        let text = |row: &Vec<Value>| row[0].as_str().unwrap_or_else(|| panic!("{sql}: {row:?} is no text")).to_owned();
        self.query(sql).iter().map(text).collect()
    }

    /// Takes a newer schema, as an app does when it was updated.
    pub fn migrate(&self, schema_name: &str, schema: &str) {
        self.ask("migrate", json!({"schemaName": schema_name, "schema": schema}));
    }

    /// Loads a tab's page again; the database must be opened anew.
    pub fn reload(&self) {
        self.ask("reload", json!({}));
    }

    fn ask(&self, operation: &str, mut request: Value) -> Value {
        request["name"] = json!(self.name);
        self.script.borrow_mut().ask(operation, request)
    }
}

/// How long a script may take to start, or to answer.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// How long a script may take to end when its input has ended.
const END_MAX: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(10);
