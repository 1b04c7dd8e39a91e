use crate::error::{Result, WireError};
use crate::limits::{CURSOR_TEXT_BYTES_MAX, PACKAGE_BYTES_MAX, PACKAGE_JSON_BYTES_MAX, RECEIPT_TEXT_BYTES_MAX};
use crate::{Package, Position, Receipt, binary, json};
use rejoin_change::{Change, Cursor, SiteId};

/// How the body of a binary package is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// zstd at level 1. A body that would not become smaller is left as it is.
    Zstd,
    /// Not at all.
    None,
}

/// How a package is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Bytes: `docs/formats/package.md`.
    Binary(Compression),
    /// Text: `docs/formats/json.md`.
    Json,
}

/// A package as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoded {
    /// A binary package: a BLOB in SQL.
    Binary(Vec<u8>),
    /// A JSON package: TEXT in SQL.
    Text(String),
}

impl Encoded {
    /// The bytes, of either kind.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Encoded::Binary(bytes) => bytes,
            Encoded::Text(text) => text.as_bytes(),
        }
    }
}

/// What can be read of a binary package without decoding its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageHeader {
    /// The database that tells.
    pub sender: SiteId,
    /// The database that is told.
    pub receiver: SiteId,
    /// The stream's run.
    pub run: u64,
    /// The package holds what lies behind this ...
    pub start: Position,
    /// ... up to and including this.
    pub end: Position,
    /// How many changes it holds.
    pub changes: usize,
}

impl Package {
    /// Writes the package. Fails when it exceeds a limit or holds what no reader would accept (a counter out of range,
    /// a real that is not a number, an end before its start).
    pub fn encode(&self, format: Format) -> Result<Encoded> {
        match format {
            Format::Binary(compression) => binary::package::encode(self, compression).map(Encoded::Binary),
            Format::Json => json::package::encode(self).map(Encoded::Text),
        }
    }

    /// Reads a package of either kind, told apart by its first byte.
    pub fn decode(bytes: &[u8]) -> Result<Package> {
        if bytes.first() == Some(&binary::package::MAGIC[0]) {
            return Package::decode_binary(bytes);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if text.trim_ascii_start().starts_with('{') => Package::decode_json(text),
            _ => Err(WireError::NotAPackage),
        }
    }

    /// Reads a binary package.
    pub fn decode_binary(bytes: &[u8]) -> Result<Package> {
        bounded("bytes of a package", bytes.len(), PACKAGE_BYTES_MAX)?;
        binary::package::decode(bytes)
    }

    /// Reads a JSON package.
    pub fn decode_json(text: &str) -> Result<Package> {
        bounded("bytes of a JSON package", text.len(), PACKAGE_JSON_BYTES_MAX)?;
        json::package::decode(text)
    }

    /// Reads the header of a binary package and checks its checksum, but does not decode its changes.
    pub fn peek(bytes: &[u8]) -> Result<PackageHeader> {
        bounded("bytes of a package", bytes.len(), PACKAGE_BYTES_MAX)?;
        binary::package::peek(bytes)
    }
}

impl Receipt {
    /// The receipt as it travels: JSON text, `docs/formats/receipt.md`.
    pub fn to_text(&self) -> String {
        json::receipt::to_text(self)
    }

    /// Reads what [`Receipt::to_text`] wrote, in any JSON spelling of it.
    pub fn from_text(text: &str) -> Result<Receipt> {
        bounded("bytes of a receipt", text.len(), RECEIPT_TEXT_BYTES_MAX)?;
        json::receipt::from_text(text)
    }
}

/// Changes without a package around them, for keeping them: what [`changes_from_bytes`] reads.
pub fn changes_to_bytes(changes: &[Change]) -> Result<Vec<u8>> {
    binary::package::encode_changes(changes)
}

/// Reads what [`changes_to_bytes`] wrote.
pub fn changes_from_bytes(bytes: &[u8]) -> Result<Vec<Change>> {
    binary::package::decode_changes(bytes)
}

/// Reads a cursor from JSON text: `[db_version, seq]`, or any other form of `docs/formats/cursor.md`.
pub fn cursor_from_text(text: &str) -> Result<Cursor> {
    bounded("bytes of a cursor", text.len(), CURSOR_TEXT_BYTES_MAX)?;
    json::cursor::from_text(text)
}

/// The cursor as JSON text, with its place inside the pair: [`cursor_from_text`] gives it back unchanged.
pub fn cursor_to_text(cursor: &Cursor) -> String {
    json::cursor::to_text(cursor)
}

pub(crate) fn bounded(what: &'static str, found: usize, max: usize) -> Result<()> {
    if found > max {
        return Err(WireError::TooLarge { what, found: found as u64, max: max as u64 });
    }
    Ok(())
}
