//! How a verb ends.

use std::fmt;

/// A verb that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// What was asked for is so.
    Done,
    /// What was asked for is not so; the output says why.
    Failed,
    /// Databases or streams are not level; the output says where.
    NotLevel,
}

/// A verb that could not run to its end.
#[derive(Debug)]
pub enum Failure {
    /// For the person at the keyboard.
    Says(String),
    /// Standard output is closed.
    OutputClosed,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Says(why) => f.write_str(why),
            Failure::OutputClosed => f.write_str("standard output is closed"),
        }
    }
}

impl From<rejoin::FileError> for Failure {
    fn from(error: rejoin::FileError) -> Failure {
        Failure::Says(error.to_string())
    }
}

/// Only writing to standard output gives this one.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Says(format!("failed to write to standard output: {error}")),
        }
    }
}
