use crate::value::{Value, ValueRef};
use std::fmt;

/// A primary key, packed into bytes as cr-sqlite does it: one byte that counts the values, then for each value a tag
/// byte (low three bits the storage class, high five bits the width of the integer that follows) and its content.
///
/// The bytes of a `PackedKey` have been checked: [`PackedKey::values`] cannot fail on one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackedKey(Vec<u8>);

/// A key cannot hold more values than its count byte can say.
pub const KEY_VALUES_MAX: usize = 255;

/// For so many values at most is there room before any has been read: the count of a damaged key says anything.
const EXPECTED_VALUES_MAX: usize = 8;

impl PackedKey {
    /// Packs values in the order of the primary key. Fails when there are more than [`KEY_VALUES_MAX`].
    pub fn pack(values: &[ValueRef<'_>]) -> Result<PackedKey, PackedKeyError> {
        let count = u8::try_from(values.len()).map_err(|_| PackedKeyError::TooManyValues)?;
        let mut out = vec![count];
        values.iter().for_each(|value| pack_value(&mut out, *value));
        Ok(PackedKey(out))
    }

    /// Checks bytes that came from elsewhere. Fields that are wider than needed are accepted, as the original does;
    /// bytes after the last value are not.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<PackedKey, PackedKeyError> {
        Reader::new(&bytes)?.read_all(|_| ())?;
        Ok(PackedKey(bytes))
    }

    /// Unpacks any package of values that [`PackedKey::pack`] or the original's `crsql_pack_columns` can have made.
    pub fn unpack(bytes: &[u8]) -> Result<Vec<Value>, PackedKeyError> {
        let mut values = Vec::new();
        PackedKey::unpack_into(bytes, &mut values)?;
        Ok(values)
    }

    /// As [`PackedKey::unpack`], into a list whose room is used again. What it held is gone, also after a failure.
    pub fn unpack_into(bytes: &[u8], values: &mut Vec<Value>) -> Result<(), PackedKeyError> {
        values.clear();
        let reader = Reader::new(bytes)?;
        values.reserve(usize::from(reader.count).min(EXPECTED_VALUES_MAX));
        reader.read_all(|value| values.push(value.to_value()))
    }

    /// The values, in the order of the primary key.
    pub fn values(&self) -> Vec<Value> {
        PackedKey::unpack(&self.0).expect("the bytes were checked when the key was made")
    }

    /// How many values the key has.
    pub fn len(&self) -> usize {
        self.0[0] as usize
    }

    /// True for a key without values, which no table has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The packed bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn pack_value(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => out.push(CLASS_NULL),
        ValueRef::Integer(i) => pack_integer(out, CLASS_INTEGER, i as u64),
        ValueRef::Real(r) => {
            out.push(CLASS_REAL);
            out.extend_from_slice(&r.to_bits().to_be_bytes());
        }
        ValueRef::Text(bytes) => {
            pack_integer(out, CLASS_TEXT, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        ValueRef::Blob(bytes) => {
            pack_integer(out, CLASS_BLOB, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
    }
}

/// Big-endian without leading zero bytes; negative numbers therefore always take eight.
fn pack_integer(out: &mut Vec<u8>, class: u8, number: u64) {
    let width = 8 - number.leading_zeros() as usize / 8;
    out.push((width as u8) << 3 | class);
    out.extend_from_slice(&number.to_be_bytes()[8 - width..]);
}

struct Reader<'a> {
    rest: &'a [u8],
    count: u8,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, PackedKeyError> {
        let (&count, rest) = bytes.split_first().ok_or(PackedKeyError::Truncated)?;
        Ok(Reader { rest, count })
    }

    fn read_all(mut self, mut each: impl FnMut(ValueRef<'a>)) -> Result<(), PackedKeyError> {
        for _ in 0..self.count {
            each(self.read_value()?);
        }
        if self.rest.is_empty() { Ok(()) } else { Err(PackedKeyError::TrailingBytes) }
    }

    fn read_value(&mut self) -> Result<ValueRef<'a>, PackedKeyError> {
        let tag = self.take(1)?[0];
        let width = (tag >> 3) as u64;
        match tag & 0b111 {
            CLASS_INTEGER => Ok(ValueRef::Integer(self.read_integer(width)? as i64)),
            CLASS_REAL => {
                let bytes = self.take(8)?.try_into().expect("take gives the length asked for");
                let real = f64::from_bits(u64::from_be_bytes(bytes));
                if real.is_nan() { Err(PackedKeyError::NotANumber) } else { Ok(ValueRef::Real(real)) }
            }
            CLASS_TEXT => {
                let length = self.read_integer(width)?;
                self.take(length).map(ValueRef::Text)
            }
            CLASS_BLOB => {
                let length = self.read_integer(width)?;
                self.take(length).map(ValueRef::Blob)
            }
            CLASS_NULL => Ok(ValueRef::Null),
            _ => Err(PackedKeyError::UnknownClass(tag)),
        }
    }

    /// Zero-extends: the one byte 0x80 is 128.
    fn read_integer(&mut self, width: u64) -> Result<u64, PackedKeyError> {
        if width > 8 {
            return Err(PackedKeyError::FieldTooWide(width));
        }
        Ok(self.take(width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], PackedKeyError> {
        let length = usize::try_from(length).map_err(|_| PackedKeyError::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(PackedKeyError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

const CLASS_INTEGER: u8 = 1;
const CLASS_REAL: u8 = 2;
const CLASS_TEXT: u8 = 3;
const CLASS_BLOB: u8 = 4;
const CLASS_NULL: u8 = 5;

/// Why bytes are not a packed key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackedKeyError {
    /// The bytes end before the values do.
    Truncated,
    /// Bytes follow the last value.
    TrailingBytes,
    /// A tag byte names no storage class.
    UnknownClass(u8),
    /// An integer or length field is wider than eight bytes.
    FieldTooWide(u64),
    /// A real that is not a number, which SQLite cannot store.
    NotANumber,
    /// More values than the count byte can say.
    TooManyValues,
}

impl fmt::Display for PackedKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PackedKeyError::Truncated => f.write_str("the packed key ends before its values do"),
            PackedKeyError::TrailingBytes => f.write_str("bytes follow the last value of the packed key"),
            PackedKeyError::UnknownClass(tag) => write!(f, "the packed key has the unknown tag byte {tag:#04x}"),
            PackedKeyError::FieldTooWide(width) => {
                write!(f, "the packed key has a field of {width} bytes where 8 are the most")
            }
            PackedKeyError::NotANumber => f.write_str("the packed key holds a real that is not a number"),
            PackedKeyError::TooManyValues => write!(f, "a packed key holds at most {KEY_VALUES_MAX} values"),
        }
    }
}

impl std::error::Error for PackedKeyError {}

impl fmt::Debug for PackedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PackedKey").field(&self.values()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ValueRef::*;

    fn hex(key: &PackedKey) -> String {
        key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Observed on the original's `crsql_pack_columns`.
    #[test]
    fn packs_as_the_original_does() {
        let cases: &[(&[ValueRef<'_>], &str)] = &[
            (&[], "00"),
            (&[Null], "0105"),
            (&[Integer(0)], "0101"),
            (&[Integer(1)], "010901"),
            (&[Integer(128)], "010980"),
            (&[Integer(256)], "01110100"),
            (&[Integer(65536)], "0119010000"),
            (&[Integer(2147483648)], "012180000000"),
            (&[Integer(1 << 40)], "0131010000000000"),
            (&[Integer(1 << 56)], "01410100000000000000"),
            (&[Integer(i64::MIN)], "01418000000000000000"),
            (&[Integer(-1)], "0141ffffffffffffffff"),
            (&[Real(1.5)], "01023ff8000000000000"),
            (&[Real(-0.0)], "01028000000000000000"),
            (&[Text(b"")], "0103"),
            (&[Text("hé".as_bytes())], "010b0368c3a9"),
            (&[Blob(&[0, 255])], "010c0200ff"),
            (&[Integer(1), Text(b"two"), Real(3.5), Blob(&[4]), Null], "0509010b0374776f02400c0000000000000c010405"),
        ];
        for (values, expected) in cases {
            let key = PackedKey::pack(values).unwrap();
            assert_eq!(hex(&key), *expected);
            let back: Vec<Value> = values.iter().map(|value| value.to_value()).collect();
            assert_eq!(key.values(), back);
        }
    }

    #[test]
    fn wide_fields_are_read_and_too_wide_ones_refused() {
        assert_eq!(PackedKey::unpack(&[1, 0x13, 0, 1, b'a']), Ok(vec![Value::Text(b"a".to_vec())]));
        assert_eq!(PackedKey::unpack(&[1, 9 << 3 | 1]), Err(PackedKeyError::FieldTooWide(9)));
    }

    #[test]
    fn damaged_bytes_are_errors() {
        assert_eq!(PackedKey::unpack(&[]), Err(PackedKeyError::Truncated));
        assert_eq!(PackedKey::unpack(&[1]), Err(PackedKeyError::Truncated));
        assert_eq!(PackedKey::unpack(&[1, 0x0b, 5, b'a']), Err(PackedKeyError::Truncated));
        assert_eq!(PackedKey::unpack(&[1, 0x00]), Err(PackedKeyError::UnknownClass(0)));
        assert_eq!(PackedKey::unpack(&[1, 0x05, 0]), Err(PackedKeyError::TrailingBytes));
        let huge = [1, 0x43, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(PackedKey::unpack(&huge), Err(PackedKeyError::Truncated));
    }
}
