use crate::error::Result;
use crate::input::{Input, bounded};
use crate::limits::{CURSOR_BYTES_MAX, FORMER_IDS_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX, WHOLE_VALUE_BYTES_MAX};
use rejoin_change::{COUNTER_MAX, Cursor, Part, Place, SiteId};
use std::ops::{Deref, DerefMut};

/// Reads bytes from front to back. Whatever it takes lies inside the input; whatever it counts is bounded before
/// anything is allocated for it.
pub(crate) struct Reader<'a>(Input<'a>);

impl<'a> Deref for Reader<'a> {
    type Target = Input<'a>;
    fn deref(&self) -> &Input<'a> {
        &self.0
    }
}

impl<'a> DerefMut for Reader<'a> {
    fn deref_mut(&mut self) -> &mut Input<'a> {
        &mut self.0
    }
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(Input::new(bytes))
    }

    /// A varint: seven bits a byte, the lowest first, in as few bytes as the number needs.
    pub fn varint(&mut self) -> Result<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(self.malformed("a varint is longer than it needs to be"));
                }
                return Ok(number);
            }
        }
        Err(self.malformed("a varint does not fit into 64 bits"))
    }

    /// A varint that counts or measures something.
    pub fn length(&mut self, what: &'static str, max: usize) -> Result<usize> {
        let found = self.varint()?;
        bounded(what, found, max)
    }

    /// A varint between 0 and [`COUNTER_MAX`].
    pub fn counter(&mut self) -> Result<i64> {
        let number = self.varint()?;
        counter(number).ok_or_else(|| self.malformed(COUNTER_OUT_OF_RANGE))
    }

    /// A length and as many bytes.
    pub fn bytes(&mut self, what: &'static str, max: usize) -> Result<&'a [u8]> {
        let length = self.length(what, max)?;
        self.take(length)
    }

    /// A length and as many bytes of UTF-8.
    pub fn text(&mut self, what: &'static str, max: usize) -> Result<&'a str> {
        let bytes = self.bytes(what, max)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("a text is not UTF-8"))
    }

    pub fn site_ids(&mut self) -> Result<Vec<SiteId>> {
        let count = self.length(FORMER_IDS, FORMER_IDS_MAX)?;
        (0..count).map(|_| self.site_id()).collect()
    }

    /// A length and the bytes of [`Cursor::to_bytes`].
    pub fn cursor(&mut self) -> Result<Cursor> {
        let bytes = self.bytes("bytes of a cursor", CURSOR_BYTES_MAX)?;
        let cursor = Cursor::from_bytes(bytes).map_err(|_| self.malformed("a cursor is malformed"))?;
        check_cursor(&cursor).map_err(|what| self.malformed(what))?;
        Ok(cursor)
    }
}

/// What a cursor must be beyond what its type says.
pub(crate) fn check_cursor(cursor: &Cursor) -> std::result::Result<(), &'static str> {
    if *cursor == Cursor::BEGINNING {
        return Ok(());
    }
    if !is_counter(cursor.db_version) || !is_counter(cursor.seq) {
        return Err("a cursor's db_version or seq is out of range");
    }
    let Place::At { table, key, column, part } = &cursor.place else { return Ok(()) };
    if table.len() > NAME_BYTES_MAX || column.len() > NAME_BYTES_MAX || key.as_bytes().len() > KEY_BYTES_MAX {
        return Err("a cursor holds a key or a name that is too long");
    }
    match part {
        Some(Part { offset_bytes, total_bytes, col_version })
            if offset_bytes > total_bytes || *total_bytes > WHOLE_VALUE_BYTES_MAX || !is_counter(*col_version) =>
        {
            Err("a cursor stands at an impossible part of a value")
        }
        _ => Ok(()),
    }
}

pub(crate) fn is_counter(number: i64) -> bool {
    (0..=COUNTER_MAX).contains(&number)
}

pub(crate) fn counter(number: u64) -> Option<i64> {
    (number <= COUNTER_MAX as u64).then_some(number as i64)
}

pub(crate) fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(crate) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn push_site_ids(out: &mut Vec<u8>, ids: &[SiteId]) {
    push_varint(out, ids.len() as u64);
    ids.iter().for_each(|id| out.extend_from_slice(id.as_bytes()));
}

pub(crate) fn push_cursor(out: &mut Vec<u8>, cursor: &Cursor) {
    push_bytes(out, &cursor.to_bytes());
}

/// Maps small numbers of either sign to small unsigned ones: 0, -1, 1, -2 become 0, 1, 2, 3.
pub(crate) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

pub(crate) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

pub(crate) const COUNTER_OUT_OF_RANGE: &str = "a version, causal length, seq or run lies outside 0 to 2^53 - 1";
pub(crate) const FORMER_IDS: &str = "former site ids";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_in_their_shortest_form_only() {
        for number in [0, 1, 127, 128, 300, COUNTER_MAX as u64, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            push_varint(&mut out, number);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint(), Ok(number));
            assert_eq!(reader.finish(), Ok(()));
        }
        for bad in [&[0x80, 0x00][..], &[0xff; 10], &[0xff; 11], &[0x80], &[]] {
            assert!(Reader::new(bad).varint().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn zigzag_covers_every_integer() {
        assert_eq!([0, -1, 1, -2].map(zigzag), [0, 1, 2, 3]);
        for number in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(number)), number);
        }
    }

    #[test]
    fn lengths_are_bounded_before_they_are_believed() {
        let mut out = Vec::new();
        push_varint(&mut out, 1 << 40);
        let error = Reader::new(&out).bytes("bytes of a name", 10);
        assert_eq!(error, Err(crate::WireError::TooLarge { what: "bytes of a name", found: 1 << 40, max: 10 }));
    }
}
