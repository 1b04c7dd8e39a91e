//! The JSON formats: `docs/formats/json.md`.

pub(crate) mod cursor;
pub(crate) mod package;
pub(crate) mod reader;
pub(crate) mod receipt;
pub(crate) mod value;
pub(crate) mod writer;
