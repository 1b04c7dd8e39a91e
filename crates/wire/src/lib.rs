//! Bytes to packages, receipts and messages, and back.
//!
//! This crate is pure: no I/O, no SQLite, no clock, no async. It owns the formats that `docs/formats` describes and
//! every size limit ([`limits`]). Whatever bytes it is given, it answers with a value or with an error; it never panics
//! and never allocates more than the limits allow. Read [`Package`] first.

#![forbid(unsafe_code)]

mod binary;
mod check;
mod checksum;
mod encode;
mod error;
mod input;
mod json;
pub mod limits;
pub mod message;
mod package;
mod size;
pub mod vlcn;

pub use encode::{
    Compression, Encoded, Format, PackageHeader, changes_from_bytes, changes_to_bytes, cursor_from_text, cursor_to_text,
};
pub use error::WireError;
pub use message::Message;
pub use package::{AsOf, Mark, Package, Position, Range, Receipt};
pub use size::{change_overhead_bytes, change_size_bytes};
