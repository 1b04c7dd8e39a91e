//! What keeps work on a whole database file from being done.

use std::fmt;

/// Why tracking, comparing or copying a database file failed. Its text is a sentence for the person at the keyboard.
#[derive(Debug)]
pub enum FileError {
    /// SQLite refused.
    Sqlite {
        /// Completes "failed to …".
        doing: String,
        /// SQLite's own words.
        source: rusqlite::Error,
    },
    /// The file system refused.
    Io {
        /// Completes "failed to …".
        doing: String,
        /// The system's own words.
        source: std::io::Error,
    },
    /// The request cannot be carried out as it stands; the text says why and what to do.
    Refused(String),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::Sqlite { doing, source } => write!(f, "failed to {doing}: {source}"),
            FileError::Io { doing, source } => write!(f, "failed to {doing}: {source}"),
            FileError::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FileError::Sqlite { source, .. } => Some(source),
            FileError::Io { source, .. } => Some(source),
            FileError::Refused(_) => None,
        }
    }
}

/// Says what was being done when something failed.
pub(crate) trait Doing<T> {
    /// `doing` completes "failed to …".
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, FileError>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, FileError> {
        self.map_err(|source| FileError::Sqlite { doing: doing(), source })
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, FileError> {
        self.map_err(|source| FileError::Io { doing: doing(), source })
    }
}
