//! The servers as processes, each started for one round.

use crate::Outcome;
use crate::load::{SCHEMA, SCHEMA_NAME};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Which server, and where its rooms are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The original, rooms in memory.
    OriginalMemory,
    /// The original, rooms in files, as it is set up by default.
    OriginalFile,
    /// `rejoin serve`, whose rooms are always files.
    RejoinFile,
}

impl Kind {
    /// In the order of the table.
    pub const ALL: [Kind; 3] = [Kind::OriginalMemory, Kind::OriginalFile, Kind::RejoinFile];

    /// As in the arguments.
    pub fn name(self) -> &'static str {
        match self {
            Kind::OriginalMemory => "original-memory",
            Kind::OriginalFile => "original-file",
            Kind::RejoinFile => "rejoin-file",
        }
    }
}

/// Where the programs are.
pub struct Place {
    rejoin: PathBuf,
    original: PathBuf,
}

impl Place {
    /// Both must be there.
    pub fn new(rejoin: &Path, original: &Path) -> Outcome<Place> {
        for path in [rejoin, original] {
            if !path.is_file() {
                return Err(format!("{} is not there", path.display()));
            }
        }
        Ok(Place { rejoin: rejoin.to_path_buf(), original: original.to_path_buf() })
    }

    /// Starts a server with an empty folder and waits until it listens.
    pub fn start(&self, kind: Kind) -> Outcome<Server> {
        let folder = tempfile::tempdir().map_err(|error| format!("a temporary folder: {error}"))?;
        let schemas = folder.path().join("schemas");
        fs::create_dir(&schemas).map_err(|error| format!("{}: {error}", schemas.display()))?;
        fs::write(schemas.join(SCHEMA_NAME), SCHEMA).map_err(|error| format!("{}: {error}", schemas.display()))?;
        let rooms = folder.path().join("rooms");
        let address = free_address()?;
        let mut command = match kind {
            Kind::RejoinFile => {
                let mut command = Command::new(&self.rejoin);
                command.arg("serve").arg("--dir").arg(&rooms).args(["--listen", &address]);
                command.arg("--schemas").arg(&schemas);
                command
            }
            Kind::OriginalMemory | Kind::OriginalFile => {
                let mut command = Command::new("node");
                command.arg(&self.original).arg(address.rsplit(':').next().unwrap_or_default());
                command.arg(if kind == Kind::OriginalMemory { Path::new("memory") } else { &rooms }).arg(&schemas);
                command
            }
        };
        let log = File::create(folder.path().join(LOG)).map_err(|error| format!("a log: {error}"))?;
        // The original ends when its input does.
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("failed to start {}: {error}", kind.name()))?;
        let out = child.stdout.take();
        let server = Server { address, child, folder };
        let mut line = String::new();
        if let Some(out) = out {
            BufReader::new(out).read_line(&mut line).map_err(|error| error.to_string())?;
        }
        if line.contains("listening on") {
            Ok(server)
        } else {
            Err(format!("{} does not listen\n{}", kind.name(), server.printed()))
        }
    }
}

/// A running server. It is killed, and its folder removed, when this is dropped.
pub struct Server {
    /// HOST:PORT.
    pub address: String,
    child: Child,
    folder: TempDir,
}

impl Server {
    /// What it has written to standard error.
    pub fn printed(&self) -> String {
        fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default()
    }

    /// Processor time that all its threads have used.
    pub fn processor_time(&self) -> Outcome<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        ticks_of(&text).map(|ticks| Duration::from_millis(ticks * 10)).ok_or(format!("{path} reads {text}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time in the hundredths of a second that Linux counts in.
fn ticks_of(stat: &str) -> Option<u64> {
    // The program's name stands in brackets and may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

fn free_address() -> Outcome<String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("a free port: {error}"))?;
    listener.local_addr().map(|address| address.to_string()).map_err(|error| error.to_string())
}

const LOG: &str = "log";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_the_name() {
        let stat = "42 (a) b) S 1 1 1 0 -1 4194560 1 0 0 0 250 31 0 0 20 0 7 0 1 1 1";
        assert_eq!(ticks_of(stat), Some(281));
        assert_eq!(ticks_of("nothing"), None);
    }
}
