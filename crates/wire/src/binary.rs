//! The binary formats.

pub(crate) mod bytes;
mod changes;
mod compression;
pub(crate) mod head;
mod numbers;
pub(crate) mod package;
