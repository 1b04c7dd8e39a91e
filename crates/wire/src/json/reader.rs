use crate::encode::bounded;
use crate::error::{Result, WireError};
use crate::limits::JSON_DEPTH_MAX;
use rejoin_change::{COUNTER_MAX, SiteId};
use std::borrow::Cow;

/// Reads JSON text from front to back, without building a tree: numbers keep their digits, memory stays with what is
/// asked for, and a second field of the same name does not pass unseen.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// A number as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// Written without fraction and exponent, and at most 2^53 - 1 away from zero.
    Integer(i64),
    /// Written with either, and finite.
    Real(f64),
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Reader<'a> {
        Reader { text, at: 0 }
    }

    pub fn malformed(&self, what: &'static str) -> WireError {
        WireError::Malformed { what, offset: self.at }
    }

    /// The first byte of what comes next, behind white space; 0 at the end.
    pub fn peek(&mut self) -> u8 {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// Fails unless everything has been read.
    pub fn finish(&mut self) -> Result<()> {
        match self.peek() {
            0 if self.at == self.text.len() => Ok(()),
            _ => Err(self.malformed("text follows where everything has been said")),
        }
    }

    /// Calls `member` with each name of an object; it must read the value.
    pub fn object(&mut self, mut member: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        self.expect(b'{', "an object is missing here")?;
        if self.skip_if(b'}') {
            return Ok(());
        }
        loop {
            let name = self.string("bytes of a field name", FIELD_NAME_BYTES_MAX)?;
            self.expect(b':', "a colon is missing behind a field name")?;
            member(self, &name)?;
            if self.skip_if(b'}') {
                return Ok(());
            }
            self.expect(b',', "a comma or the end of an object is missing")?;
        }
    }

    /// Calls `element` before each element of an array; it must read the element.
    pub fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.expect(b'[', "an array is missing here")?;
        if self.skip_if(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if self.skip_if(b']') {
                return Ok(());
            }
            self.expect(b',', "a comma or the end of an array is missing")?;
        }
    }

    /// A string of at most `max` bytes.
    pub fn string(&mut self, what: &'static str, max: usize) -> Result<Cow<'a, str>> {
        self.expect(b'"', "a string is missing here")?;
        let mut out = Cow::Borrowed("");
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < 0x20);
            let plain = &rest[..plain.ok_or_else(|| self.malformed("a string does not end"))?];
            bounded(what, out.len() + plain.len(), max)?;
            self.at += plain.len();
            // A string without escapes, the usual case, is not copied.
            out += plain;
            match self.byte()? {
                b'"' => return Ok(out),
                b'\\' => out.to_mut().push(self.escape()?),
                _ => return Err(self.malformed("a control character stands in a string")),
            }
        }
    }

    /// A number; integers beyond 2^53 - 1 and numbers that no real can hold are refused.
    pub fn number(&mut self) -> Result<Number> {
        self.peek();
        let rest = &self.text.as_bytes()[self.at..];
        let length = number_length(rest).ok_or_else(|| self.malformed("a number is missing here"))?;
        let digits = &self.text[self.at..self.at + length];
        if digits == "-0" {
            return Err(
                self.malformed("-0 is neither an integer nor a real here; write {\"real\":\"8000000000000000\"}")
            );
        }
        let number = if digits.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
            digits.parse().ok().filter(|real: &f64| real.is_finite()).map(Number::Real)
        } else {
            let in_range = |integer: &i64| (-COUNTER_MAX..=COUNTER_MAX).contains(integer);
            digits.parse().ok().filter(in_range).map(Number::Integer)
        };
        self.at += length;
        number.ok_or_else(|| self.malformed("a number is too large to be written plainly"))
    }

    /// An integer between 0 and [`COUNTER_MAX`].
    pub fn counter(&mut self) -> Result<i64> {
        match self.number()? {
            Number::Integer(integer) if integer >= 0 => Ok(integer),
            _ => Err(self.malformed(crate::binary::bytes::COUNTER_OUT_OF_RANGE)),
        }
    }

    pub fn bool(&mut self) -> Result<bool> {
        match self.peek() {
            b't' => self.word("true").map(|()| true),
            _ => self.word("false").map(|()| false),
        }
    }

    pub fn null(&mut self) -> Result<()> {
        self.word("null")
    }

    /// `null`, or what `read` reads.
    pub fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.peek() == b'n' { self.null().map(|()| None) } else { read(self).map(Some) }
    }

    /// A string of exactly `2 * N` hexadecimal digits.
    pub fn hex<const N: usize>(&mut self) -> Result<[u8; N]> {
        let digits = self.string("hexadecimal digits", 2 * N)?;
        parse_hex(&digits).ok_or_else(|| self.malformed("a string is not the right number of hexadecimal digits"))
    }

    pub fn site_id(&mut self) -> Result<SiteId> {
        self.hex().map(SiteId)
    }

    /// Standard base64 with padding, of at most `max` bytes once decoded.
    pub fn base64(&mut self, what: &'static str, max: usize) -> Result<Vec<u8>> {
        let digits = self.string(what, max.div_ceil(3) * 4)?;
        let bytes = base64_simd::STANDARD.decode_to_vec(digits.as_bytes());
        let bytes = bytes.map_err(|_| self.malformed("a string is not base64"))?;
        bounded(what, bytes.len(), max).map(|()| bytes)
    }

    /// Any value, skipped; gives its text.
    pub fn raw(&mut self) -> Result<&'a str> {
        self.peek();
        let start = self.at;
        self.skip(0)?;
        Ok(&self.text[start..self.at])
    }

    fn skip(&mut self, depth: usize) -> Result<()> {
        bounded("levels of nesting", depth, JSON_DEPTH_MAX)?;
        match self.peek() {
            b'{' => self.object(|reader, _| reader.skip(depth + 1)),
            b'[' => self.array(|reader| reader.skip(depth + 1)),
            b'"' => self.string("bytes of a string", usize::MAX).map(drop),
            b't' | b'f' => self.bool().map(drop),
            b'n' => self.null(),
            _ => self.number().map(drop),
        }
    }

    fn escape(&mut self) -> Result<char> {
        Ok(match self.byte()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.code_unit()?;
                let units = if (0xd800..0xdc00).contains(&first) {
                    self.exactly(br"\u", UNPAIRED_SURROGATE)?;
                    vec![first, self.code_unit()?]
                } else {
                    vec![first]
                };
                let mut decoded = char::decode_utf16(units);
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(char)), None) => char,
                    _ => return Err(self.malformed(UNPAIRED_SURROGATE)),
                }
            }
            _ => return Err(self.malformed("a string has an unknown escape")),
        })
    }

    fn code_unit(&mut self) -> Result<u16> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let bytes: Option<[u8; 2]> = digits.and_then(parse_hex);
        self.at += 4;
        bytes
            .map(u16::from_be_bytes)
            .ok_or(WireError::Malformed { what: "an escape has not four hexadecimal digits", offset: self.at - 4 })
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = self.text.as_bytes().get(self.at).copied();
        let byte = byte.ok_or_else(|| self.malformed("the text ends too early"))?;
        self.at += 1;
        Ok(byte)
    }

    fn word(&mut self, word: &str) -> Result<()> {
        self.peek();
        self.exactly(word.as_bytes(), "this is not a JSON value that fits here")
    }

    fn expect(&mut self, byte: u8, otherwise: &'static str) -> Result<()> {
        self.peek();
        self.exactly(&[byte], otherwise)
    }

    fn exactly(&mut self, bytes: &[u8], otherwise: &'static str) -> Result<()> {
        if !self.text.as_bytes()[self.at..].starts_with(bytes) {
            return Err(self.malformed(otherwise));
        }
        self.at += bytes.len();
        Ok(())
    }

    fn skip_if(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }
}

/// A field of an object that may occur once.
pub(crate) struct Field<T>(Option<T>);

impl<T> Field<T> {
    pub fn new() -> Field<T> {
        Field(None)
    }

    /// Reads the field's value.
    pub fn read<'a>(&mut self, reader: &mut Reader<'a>, read: impl FnOnce(&mut Reader<'a>) -> Result<T>) -> Result<()> {
        if self.0.is_some() {
            return Err(reader.malformed("a field occurs twice"));
        }
        self.0 = Some(read(reader)?);
        Ok(())
    }

    /// The value, or an error that says `otherwise`.
    pub fn required(self, reader: &Reader<'_>, otherwise: &'static str) -> Result<T> {
        self.0.ok_or_else(|| reader.malformed(otherwise))
    }
}

pub(crate) fn parse_hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digits = digits.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = (pair[0] as char).to_digit(16)?;
        let low = (pair[1] as char).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    Some(bytes)
}

/// Length of the JSON number at the front.
fn number_length(text: &[u8]) -> Option<usize> {
    let digits = |at: usize| text[at.min(text.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is = |at: usize, wanted: &[u8]| text.get(at).is_some_and(|byte| wanted.contains(byte));
    let mut at = usize::from(is(0, b"-"));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && is(at, b"0")) {
        return None;
    }
    at += whole;
    if is(at, b".") {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if is(at, b"eE") {
        at += 1 + usize::from(is(at + 1, b"+-"));
        let exponent = digits(at);
        if exponent == 0 {
            return None;
        }
        at += exponent;
    }
    Some(at)
}

const FIELD_NAME_BYTES_MAX: usize = 4096;
const UNPAIRED_SURROGATE: &str = "a string has half of a surrogate pair";
pub(crate) const UNKNOWN_FIELD: &str = "a field has a name that this format does not have";
