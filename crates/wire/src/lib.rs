//! Bytes to packages and messages, and back. Pure: no I/O, no SQLite, no clock.

#![forbid(unsafe_code)]

mod package;

pub use package::{AsOf, Mark, Package, Position, Receipt};
