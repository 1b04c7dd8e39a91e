//! Keeping copies of a SQLite database in step, for Rust programs.
#![forbid(unsafe_code)]

pub mod adapt;
mod cancel;
mod content;
pub mod diff;
mod file_error;
mod keep;
mod prepared;
mod read_only;
pub mod snapshot;
pub mod status;
pub mod track;
mod user_tables;

pub use rusqlite;

pub use cancel::Cancel;
pub use file_error::FileError;
pub use read_only::open_read_only;
pub use user_tables::{UserTable, user_tables};
