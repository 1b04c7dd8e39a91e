use crate::packed_key::PackedKey;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The `seq` that lies behind every other of its db_version: 2^53 - 1.
pub const SEQ_END: i64 = crate::COUNTER_MAX;

/// A place in one database's stream of changes: everything up to and including it lies before, the rest after.
///
/// Cursors are ordered as the stream is: by db_version, by seq, and inside a pair by table, packed key and column, then
/// by the byte inside a value that travels in parts. [`Cursor::to_bytes`] keeps that order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The transaction, in the numbering of the database whose stream this is.
    pub db_version: i64,
    /// Position inside the transaction; [`SEQ_END`] behind all of it.
    pub seq: i64,
    /// Where inside the changes that share the pair.
    pub place: Place,
}

/// Where a cursor stands among the changes that share one (db_version, seq).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind the change of this cell, or behind a part of its value.
    At {
        /// Table of the cell.
        table: Arc<str>,
        /// Packed key of the row.
        key: PackedKey,
        /// Column, or the sentinel.
        column: Arc<str>,
        /// Where inside the value, when it travels in parts and is not complete.
        part: Option<Part>,
    },
    /// Behind all of them.
    End,
}

/// A place inside a value that travels in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Bytes of the value that lie before the cursor.
    pub offset_bytes: u64,
    /// Length of the whole value.
    pub total_bytes: u64,
    /// The cell's col_version: another one is another value.
    pub col_version: i64,
}

impl Cursor {
    /// Before every change, also before those of version 0, which an alter can stamp.
    pub const BEGINNING: Cursor = Cursor { db_version: -1, seq: SEQ_END, place: Place::End };

    /// Behind everything of one pair.
    pub const fn end_of_pair(db_version: i64, seq: i64) -> Cursor {
        Cursor { db_version, seq, place: Place::End }
    }

    /// Behind everything of one transaction.
    pub const fn end_of_version(db_version: i64) -> Cursor {
        Cursor::end_of_pair(db_version, SEQ_END)
    }

    /// The pair as users write it. `[0,0]` means before everything.
    pub fn from_pair(db_version: i64, seq: i64) -> Cursor {
        if (db_version, seq) == (0, 0) { Cursor::BEGINNING } else { Cursor::end_of_pair(db_version, seq) }
    }

    /// True where a transaction ends here.
    pub fn is_end_of_version(&self) -> bool {
        self.seq == SEQ_END && self.place == Place::End
    }

    /// The newest transaction of which everything lies before; 0 where there is none.
    pub fn whole_versions(&self) -> i64 {
        if self.is_end_of_version() { self.db_version.max(0) } else { (self.db_version - 1).max(0) }
    }

    /// Bytes that sort as the cursors do.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(17);
        out.extend_from_slice(&ordered(self.db_version).to_be_bytes());
        out.extend_from_slice(&ordered(self.seq).to_be_bytes());
        match &self.place {
            Place::End => out.push(PLACE_END),
            Place::At { table, key, column, part } => {
                out.push(PLACE_AT);
                push_escaped(&mut out, table.as_bytes());
                push_escaped(&mut out, key.as_bytes());
                push_escaped(&mut out, column.as_bytes());
                match part {
                    None => out.push(PART_COMPLETE),
                    Some(part) => {
                        out.push(PART_INSIDE);
                        out.extend_from_slice(&part.offset_bytes.to_be_bytes());
                        out.extend_from_slice(&part.total_bytes.to_be_bytes());
                        out.extend_from_slice(&ordered(part.col_version).to_be_bytes());
                    }
                }
            }
        }
        out
    }

    /// Reads what [`Cursor::to_bytes`] wrote, and nothing else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Cursor, CursorError> {
        let mut reader = Reader { rest: bytes };
        let db_version = reader.ordered()?;
        let seq = reader.ordered()?;
        let place = match reader.byte()? {
            PLACE_END => Place::End,
            PLACE_AT => Place::At {
                table: reader.text()?,
                key: PackedKey::from_bytes(reader.escaped()?).map_err(|_| CursorError)?,
                column: reader.text()?,
                part: match reader.byte()? {
                    PART_COMPLETE => None,
                    PART_INSIDE => Some(Part {
                        offset_bytes: reader.u64()?,
                        total_bytes: reader.u64()?,
                        col_version: reader.ordered()?,
                    }),
                    _ => return Err(CursorError),
                },
            },
            _ => return Err(CursorError),
        };
        let in_range = (-1..=crate::COUNTER_MAX).contains(&db_version) && (0..=SEQ_END).contains(&seq);
        if reader.rest.is_empty() && in_range { Ok(Cursor { db_version, seq, place }) } else { Err(CursorError) }
    }

    fn compare(&self, other: &Cursor) -> Ordering {
        (self.db_version, self.seq).cmp(&(other.db_version, other.seq)).then_with(|| {
            match (&self.place, &other.place) {
                (Place::End, Place::End) => Ordering::Equal,
                (Place::End, Place::At { .. }) => Ordering::Greater,
                (Place::At { .. }, Place::End) => Ordering::Less,
                (
                    Place::At { table, key, column, part },
                    Place::At { table: other_table, key: other_key, column: other_column, part: other_part },
                ) => (table, key, column).cmp(&(other_table, other_key, other_column)).then_with(|| {
                    match (part, other_part) {
                        (Some(a), Some(b)) => a.cmp(b),
                        (a, b) => b.is_some().cmp(&a.is_some()),
                    }
                }),
            }
        })
    }
}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cursor {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare(other)
    }
}

/// Prints the form that messages use: `[0,0]` before everything, `[12,"end"]` behind a transaction, else the pair.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.db_version, self.seq) {
            (-1, SEQ_END) => f.write_str("[0,0]"),
            (db_version, SEQ_END) => write!(f, "[{db_version},\"end\"]"),
            (db_version, seq) => write!(f, "[{db_version},{seq}]"),
        }
    }
}

/// Bytes that are not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorError;

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a cursor: give one that a stream returned, or JSON text [db_version, seq]")
    }
}

impl std::error::Error for CursorError {}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], CursorError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CursorError)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, CursorError> {
        Ok(self.take(1)?[0])
    }

    fn u64(&mut self) -> Result<u64, CursorError> {
        Ok(u64::from_be_bytes(self.take(8)?.try_into().expect("take gives the length asked for")))
    }

    fn ordered(&mut self) -> Result<i64, CursorError> {
        Ok((self.u64()? ^ SIGN_BIT) as i64)
    }

    fn escaped(&mut self) -> Result<Vec<u8>, CursorError> {
        let mut out = Vec::new();
        loop {
            match self.byte()? {
                0 => match self.byte()? {
                    ESCAPED_ZERO => out.push(0),
                    ESCAPED_END => return Ok(out),
                    _ => return Err(CursorError),
                },
                byte => out.push(byte),
            }
        }
    }

    fn text(&mut self) -> Result<Arc<str>, CursorError> {
        String::from_utf8(self.escaped()?).map(Arc::from).map_err(|_| CursorError)
    }
}

/// Keeps the order of byte strings of any length: a zero byte becomes 00 FF, the end is 00 01.
fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(ESCAPED_ZERO);
        }
    }
    out.extend_from_slice(&[0, ESCAPED_END]);
}

/// Maps signed numbers to unsigned ones of the same order.
fn ordered(number: i64) -> u64 {
    number as u64 ^ SIGN_BIT
}

const SIGN_BIT: u64 = 1 << 63;
const PLACE_AT: u8 = 0x01;
const PLACE_END: u8 = 0xff;
const PART_INSIDE: u8 = 0x01;
const PART_COMPLETE: u8 = 0xff;
const ESCAPED_ZERO: u8 = 0xff;
const ESCAPED_END: u8 = 0x01;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::ValueRef;
    use proptest::prelude::*;

    fn any_place() -> impl Strategy<Value = Place> {
        let part = prop_oneof![
            Just(None),
            (0u64..3, 0u64..3, 0i64..3).prop_map(|(offset_bytes, total_bytes, col_version)| Some(Part {
                offset_bytes,
                total_bytes,
                col_version
            }))
        ];
        prop_oneof![
            Just(Place::End),
            ("[a\0b]{0,3}", prop::collection::vec(0u8..3, 0..3), "[a\0b]{0,3}", part).prop_map(
                |(table, key, column, part)| Place::At {
                    table: table.into(),
                    key: PackedKey::pack(&[ValueRef::Blob(&key)]).unwrap(),
                    column: column.into(),
                    part
                }
            )
        ]
    }

    fn any_cursor() -> impl Strategy<Value = Cursor> {
        let seq = prop_oneof![0i64..3, Just(SEQ_END)];
        (-1i64..3, seq, any_place()).prop_map(|(db_version, seq, place)| Cursor { db_version, seq, place })
    }

    proptest! {
        #[test]
        fn bytes_round_trip_and_sort_as_cursors_do(a in any_cursor(), b in any_cursor()) {
            prop_assert_eq!(Cursor::from_bytes(&a.to_bytes()), Ok(a.clone()));
            prop_assert_eq!(a.to_bytes().cmp(&b.to_bytes()), a.cmp(&b));
            prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(cursor) = Cursor::from_bytes(&bytes) {
                prop_assert_eq!(cursor.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn the_beginning_lies_before_version_zero() {
        assert!(Cursor::BEGINNING < Cursor::end_of_pair(0, 0));
        assert_eq!(Cursor::from_pair(0, 0), Cursor::BEGINNING);
        assert_eq!(Cursor::BEGINNING.to_string(), "[0,0]");
        assert_eq!(Cursor::end_of_version(12).to_string(), "[12,\"end\"]");
        assert_eq!(Cursor::end_of_pair(12, 3).to_string(), "[12,3]");
    }
}
