use super::primitives::{Reader, push_bytes, push_f64, push_i64, push_varint, push_varuint};
use crate::error::{Result, WireError};
use crate::limits::{KEY_BYTES_MAX, NAME_BYTES_MAX, VALUE_BYTES_MAX, VLCN_CHANGES_MAX};
use rejoin_change::SiteId;

/// A value as it travels. JavaScript has one kind of number, so that an integer may come as [`Value::Number`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// An integer that its sender knew to be one.
    BigInt(i64),
    /// A number: a real, or an integer that JavaScript held as a number.
    Number(f64),
    /// Text.
    Text(&'a str),
    /// No database can store it; no well-behaved side sends it.
    Bool(bool),
    /// Bytes.
    Blob(&'a [u8]),
}

/// One row of `crsql_changes` as it travels. Nothing but its form has been checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change<'a> {
    /// Name of the table.
    pub table: &'a str,
    /// The primary key, packed.
    pub key: &'a [u8],
    /// Name of the column, or `-1` for the row itself.
    pub column: &'a str,
    /// The cell's value.
    pub value: Value<'a>,
    /// Lamport counter of the cell.
    pub col_version: i64,
    /// The transaction, in the sender's numbering.
    pub db_version: i64,
    /// The author; receivers take the sender for it.
    pub site_id: Option<SiteId>,
    /// Causal length of the row.
    pub causal_length: i64,
    /// Place in the transaction.
    pub seq: i64,
}

/// Changes in the order in which they are told, kept as the bytes that travel.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Changes {
    count: usize,
    bytes: Vec<u8>,
    last_version: Option<i64>,
}

/// A place among changes that are being gathered.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    count: usize,
    size_bytes: usize,
    last_version: Option<i64>,
}

impl Changes {
    /// No changes.
    pub fn new() -> Changes {
        Changes::default()
    }

    /// Adds one at the end.
    pub fn push(&mut self, change: &Change<'_>) {
        change.push_to(&mut self.bytes);
        self.count += 1;
        self.last_version = Some(change.db_version);
    }

    /// Adds others at the end.
    pub fn append(&mut self, others: &Changes) {
        self.bytes.extend_from_slice(&others.bytes);
        self.count += others.count;
        self.last_version = others.last_version.or(self.last_version);
    }

    /// Where the next one will be.
    pub fn mark(&self) -> Mark {
        Mark { count: self.count, size_bytes: self.bytes.len(), last_version: self.last_version }
    }

    /// Drops those added since a mark was taken of these same changes.
    pub fn truncate(&mut self, mark: Mark) {
        self.count = mark.count;
        self.bytes.truncate(mark.size_bytes);
        self.last_version = mark.last_version;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes that they take in a frame.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// db_version of the first one.
    pub fn first_version(&self) -> Option<i64> {
        self.iter().next().map(|change| change.db_version)
    }

    /// db_version of the last one: the receiver's position afterwards.
    pub fn last_version(&self) -> Option<i64> {
        self.last_version
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        let mut reader = Reader::new(&self.bytes);
        (0..self.count).map(move |_| Change::read(&mut reader).expect("the bytes were written or checked as changes"))
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Changes> {
        let count = reader.length("changes in one frame", VLCN_CHANGES_MAX)?;
        let start = reader.at();
        let mut last_version = None;
        for _ in 0..count {
            last_version = Some(Change::read(reader)?.db_version);
        }
        Ok(Changes { count, bytes: reader.since(start).to_vec(), last_version })
    }

    pub(super) fn push_to(&self, out: &mut Vec<u8>) -> Result<()> {
        if self.count > VLCN_CHANGES_MAX {
            let found = self.count as u64;
            return Err(WireError::TooLarge { what: "changes in one frame", found, max: VLCN_CHANGES_MAX as u64 });
        }
        push_varuint(out, self.count as u64);
        out.extend_from_slice(&self.bytes);
        Ok(())
    }
}

impl<'a> Change<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Change<'a>> {
        Ok(Change {
            table: reader.text("bytes of a table's name", NAME_BYTES_MAX)?,
            key: reader.bytes("bytes of a primary key", KEY_BYTES_MAX)?,
            column: reader.text("bytes of a column's name", NAME_BYTES_MAX)?,
            value: Value::read(reader)?,
            col_version: reader.i64()?,
            db_version: reader.i64()?,
            site_id: match reader.byte()? {
                0 => None,
                _ => Some(reader.site_id()?),
            },
            causal_length: reader.i64()?,
            seq: reader.varint()?,
        })
    }

    fn push_to(&self, out: &mut Vec<u8>) {
        push_bytes(out, self.table.as_bytes());
        push_bytes(out, self.key);
        push_bytes(out, self.column.as_bytes());
        self.value.push_to(out);
        push_i64(out, self.col_version);
        push_i64(out, self.db_version);
        match &self.site_id {
            None => out.push(0),
            Some(site_id) => {
                out.push(SITE_ID_PRESENT);
                out.extend_from_slice(site_id.as_bytes());
            }
        }
        push_i64(out, self.causal_length);
        push_varint(out, self.seq);
    }
}

impl<'a> Value<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Value<'a>> {
        match reader.byte()? {
            NULL => Ok(Value::Null),
            BIGINT => reader.i64().map(Value::BigInt),
            NUMBER => reader.f64().map(Value::Number),
            TEXT => reader.text(VALUE, VALUE_BYTES_MAX).map(Value::Text),
            BOOL => Ok(Value::Bool(reader.byte()? == 1)),
            BLOB => reader.bytes(VALUE, VALUE_BYTES_MAX).map(Value::Blob),
            _ => Err(reader.malformed("a value is of an unknown kind")),
        }
    }

    fn push_to(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.push(NULL),
            Value::BigInt(number) => {
                out.push(BIGINT);
                push_i64(out, *number);
            }
            Value::Number(number) => {
                out.push(NUMBER);
                push_f64(out, *number);
            }
            Value::Text(text) => {
                out.push(TEXT);
                push_bytes(out, text.as_bytes());
            }
            Value::Bool(value) => out.extend_from_slice(&[BOOL, u8::from(*value)]),
            Value::Blob(bytes) => {
                out.push(BLOB);
                push_bytes(out, bytes);
            }
        }
    }
}

const NULL: u8 = 0;
const BIGINT: u8 = 1;
const NUMBER: u8 = 2;
const TEXT: u8 = 3;
const BOOL: u8 = 4;
const BLOB: u8 = 5;

/// What JavaScript writes before a site id. Anything but 0 means the same.
const SITE_ID_PRESENT: u8 = 5;

const VALUE: &str = "bytes of a value";
