//! The program `rejoin`, run as a process.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program and a folder for what its processes print.
pub struct Program {
    path: PathBuf,
    logs: PathBuf,
}

impl Program {
    /// The program at `path`; its processes write their output to files in `logs`, which exists.
    pub fn new(path: &Path, logs: &Path) -> Program {
        Program { path: path.to_path_buf(), logs: logs.to_path_buf() }
    }

    /// Runs to the end and returns the exit code with everything that was printed.
    pub fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(&self.path)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("failed to start {}: {error}", self.path.display()));
        let Output { status, stdout, stderr } = output;
        let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        (status.code().unwrap_or(-1), text)
    }

    /// Runs to the end; any exit code but 0 is a failed test.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let (code, text) = self.run(arguments);
        assert!(code == 0, "rejoin {} ended with {code}\n{text}", arguments.join(" "));
        text
    }

    /// Starts a process that goes on; `name` is its log's.
    pub fn start(&self, name: &str, arguments: &[&str]) -> Server {
        Server::start(Command::new(&self.path).args(arguments), self.logs.join(format!("{name}.log")))
    }
}

/// A running process of the program, or of a script. It is killed when this is dropped.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a process whose output goes to the end of a file.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Server {
        let file = File::options().create(true).append(true).open(&log).expect("a log in a folder that exists");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file can be shared"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
        Server { child, log }
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as `kill -9` does, and waits until it is gone.
    pub fn kill(mut self) {
        self.end();
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Everything that it and its predecessors of the same name have printed.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn end(&mut self) {
        // Both fail only when the process has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            println!("--- {}\n{}", self.log.display(), self.printed());
        }
    }
}

/// An address on this machine that nobody listens on, for a server that must come back at the same one.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound listener has an address").to_string()
}

/// Asks again and again until the answer is yes; a failed test after a minute.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < WAIT_MAX, "waited {WAIT_MAX:?} for this: {what}");
        std::thread::sleep(WAIT_STEP);
    }
}

const WAIT_MAX: Duration = Duration::from_secs(60);
const WAIT_STEP: Duration = Duration::from_millis(20);
