use std::ffi::c_int;
use std::fmt;

/// What most of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of SQLite, or one that is to become SQLite's: its result code and its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// SQLite's (extended) result code.
    pub code: c_int,
    /// A sentence that a user can act on. It becomes SQLite's own error message.
    pub message: String,
}

/// SQLite's primary result codes, as far as they are used here.
pub mod code {
    use std::ffi::c_int;
    /// A general error; the message says what.
    pub const ERROR: c_int = 1;
    /// The operation was aborted.
    pub const ABORT: c_int = 4;
    /// Another connection holds a lock.
    pub const BUSY: c_int = 5;
    /// The same connection holds a conflicting lock.
    pub const LOCKED: c_int = 6;
    /// Memory ran out.
    pub const NOMEM: c_int = 7;
    /// The database is read-only.
    pub const READONLY: c_int = 8;
    /// The disk or the database is full.
    pub const FULL: c_int = 13;
    /// A constraint refused the write.
    pub const CONSTRAINT: c_int = 19;
    /// A CHECK constraint refused the write.
    pub const CONSTRAINT_CHECK: c_int = 19 | 1 << 8;
    /// A value has the wrong type.
    pub const MISMATCH: c_int = 20;
    /// The call is not allowed here.
    pub const MISUSE: c_int = 21;
    /// A parameter or column index is out of range.
    pub const RANGE: c_int = 25;
}

impl Error {
    /// An error with this result code and message.
    pub fn new(code: c_int, message: impl Into<String>) -> Error {
        Error { code, message: message.into() }
    }

    /// SQLITE_ERROR with this message.
    pub fn failed(message: impl Into<String>) -> Error {
        Error::new(code::ERROR, message)
    }

    /// SQLITE_MISUSE with this message.
    pub fn misuse(message: impl Into<String>) -> Error {
        Error::new(code::MISUSE, message)
    }

    /// SQLITE_CONSTRAINT with this message.
    pub fn constraint(message: impl Into<String>) -> Error {
        Error::new(code::CONSTRAINT, message)
    }

    /// True where waiting for another connection may help.
    pub fn is_busy(&self) -> bool {
        matches!(self.code & 0xff, code::BUSY | code::LOCKED)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Runs `body` so that a panic in it becomes an error instead of unwinding into C.
pub(crate) fn contain_panic<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| text.to_string())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".into());
        Err(Error::failed(format!("rejoin failed unexpectedly and undid this statement: {text}")))
    })
}
