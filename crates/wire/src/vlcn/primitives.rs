//! The numbers, texts and ids that messages are made of.

use super::message::Point;
use crate::error::Result;
use crate::input::{Input, bounded};
use rejoin_change::COUNTER_MAX;
use std::ops::{Deref, DerefMut};

/// Reads what messages are made of.
#[derive(Clone)]
pub(super) struct Reader<'a>(Input<'a>);

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

    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub fn f64(&mut self) -> Result<f64> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    /// Groups of seven bits, the lowest first.
    pub fn varuint(&mut self) -> Result<u64> {
        self.groups(0, 0)
    }

    /// The sign and six bits in the first byte, then groups of seven bits.
    pub fn varint(&mut self) -> Result<i64> {
        let first = self.byte()?;
        let low = u64::from(first & 0x3f);
        let magnitude = if first & 0x80 == 0 { low } else { self.groups(low, 6)? };
        let magnitude = magnitude as i64;
        Ok(if first & 0x40 == 0 { magnitude } else { -magnitude })
    }

    fn groups(&mut self, mut number: u64, mut shift: u32) -> Result<u64> {
        loop {
            let byte = self.byte()?;
            // 53 bits are the most, and a group at 49 already reaches beyond.
            if shift > 49 {
                return Err(self.malformed(NUMBER_TOO_LARGE));
            }
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return if number <= COUNTER_MAX as u64 { Ok(number) } else { Err(self.malformed(NUMBER_TOO_LARGE)) };
            }
        }
    }

    /// A varuint that counts or measures something.
    pub fn length(&mut self, what: &'static str, max: usize) -> Result<usize> {
        let found = self.varuint()?;
        bounded(what, found, max)
    }

    pub fn bytes(&mut self, what: &'static str, max: usize) -> Result<&'a [u8]> {
        let length = self.length(what, max)?;
        self.take(length)
    }

    pub fn text(&mut self, what: &'static str, max: usize) -> Result<&'a str> {
        let bytes = self.bytes(what, max)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("a text is not UTF-8"))
    }

    pub fn point(&mut self) -> Result<Point> {
        Ok(Point { db_version: self.i64()?, seq: self.varint()? })
    }
}

pub(super) fn push_i64(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(&number.to_be_bytes());
}

/// There is one NaN on the wire.
pub(super) fn push_f64(out: &mut Vec<u8>, number: f64) {
    let number = if number.is_nan() { f64::from_bits(0x7ff8_0000_0000_0000) } else { number };
    out.extend_from_slice(&number.to_be_bytes());
}

pub(super) fn push_varuint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn push_varint(out: &mut Vec<u8>, number: i64) {
    let magnitude = number.unsigned_abs();
    let sign = if number < 0 { 0x40 } else { 0 };
    let more = if magnitude > 0x3f { 0x80 } else { 0 };
    out.push(magnitude as u8 & 0x3f | sign | more);
    if more != 0 {
        push_varuint(out, magnitude >> 6);
    }
}

pub(super) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_varuint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn push_point(out: &mut Vec<u8>, point: Point) {
    push_i64(out, point.db_version);
    push_varint(out, point.seq);
}

const NUMBER_TOO_LARGE: &str = "a number is larger than 2^53 - 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_bytes_that_javascript_gives_them() {
        for (number, expected) in [
            (0, &[0x00][..]),
            (63, &[0x3f]),
            (64, &[0x80, 0x01]),
            (-1, &[0x41]),
            (-64, &[0xc0, 0x01]),
            (8191, &[0xbf, 0x7f]),
            (8192, &[0x80, 0x80, 0x01]),
            (2_147_483_647, &[0xbf, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut out = Vec::new();
            push_varint(&mut out, number);
            assert_eq!(out, expected, "{number}");
            assert_eq!(Reader::new(&out).varint(), Ok(number));
        }
        for (number, expected) in [(127, &[0x7f][..]), (128, &[0x80, 0x01]), (16384, &[0x80, 0x80, 0x01])] {
            let mut out = Vec::new();
            push_varuint(&mut out, number);
            assert_eq!(out, expected, "{number}");
            assert_eq!(Reader::new(&out).varuint(), Ok(number));
        }
    }

    #[test]
    fn the_largest_number_of_javascript_is_the_largest_of_all() {
        for number in [COUNTER_MAX, -COUNTER_MAX] {
            let mut out = Vec::new();
            push_varint(&mut out, number);
            assert_eq!(Reader::new(&out).varint(), Ok(number));
            out.clear();
            push_varuint(&mut out, number.unsigned_abs());
            assert_eq!(Reader::new(&out).varuint(), Ok(number.unsigned_abs()));
        }
        let mut out = Vec::new();
        push_varuint(&mut out, 1 << 53);
        assert!(Reader::new(&out).varuint().is_err());
        out.clear();
        push_varint(&mut out, 1 << 53);
        assert!(Reader::new(&out).varint().is_err());
        for endless in [&[0xff; 8][..], &[0xff; 20], &[0x80; 20]] {
            assert!(Reader::new(endless).varuint().is_err());
            assert!(Reader::new(endless).varint().is_err());
        }
    }
}
