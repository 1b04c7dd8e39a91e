use super::reader::{Number, Reader, parse_hex};
use super::writer::Writer;
use crate::check::{KEY, NOT_A_NUMBER, VALUE};
use crate::encode::bounded;
use crate::error::Result;
use crate::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use rejoin_change::{COUNTER_MAX, KEY_VALUES_MAX, PackedKey, Value, ValueRef};

pub(crate) fn write_value(out: &mut Writer, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => out.null(),
        ValueRef::Integer(integer) if integer.unsigned_abs() <= COUNTER_MAX as u64 => out.integer(integer),
        ValueRef::Integer(integer) => out.object(|out| out.name("int").string(&integer.to_string())),
        ValueRef::Real(real) => match plain_real(real) {
            Some(digits) => out.raw(&digits),
            None => out.object(|out| out.name("real").hex(&real.to_bits().to_be_bytes())),
        },
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => out.string(text),
            Err(_) => out.object(|out| out.name("text").base64(bytes)),
        },
        ValueRef::Blob(bytes) => out.object(|out| out.name("blob").base64(bytes)),
    }
}

/// The decimal form of a real that every JSON program keeps as it is. Not of whole numbers, because some write 1.0 again
/// as 1; nor of those with more than 15 digits, or far from 1, which fast parsers read only nearly right.
fn plain_real(real: f64) -> Option<String> {
    if real.fract() == 0.0 || !(1e-5..1e15).contains(&real.abs()) {
        return None;
    }
    let decimal = real.to_string();
    let digits = decimal.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count();
    (digits <= 15).then_some(decimal)
}

pub(crate) fn read_value(reader: &mut Reader<'_>) -> Result<Value> {
    match reader.peek() {
        b'n' => reader.null().map(|()| Value::Null),
        b'"' => Ok(Value::Text(reader.string(VALUE, VALUE_BYTES_MAX)?.into_owned().into_bytes())),
        b'{' => {
            let mut value = None;
            reader.object(|reader, name| {
                if value.is_some() {
                    return Err(reader.malformed("an object that stands for a value has more than one field"));
                }
                value = Some(read_tagged(reader, name)?);
                Ok(())
            })?;
            value.ok_or_else(|| reader.malformed("an object that stands for a value has no field"))
        }
        _ => Ok(match reader.number()? {
            Number::Integer(integer) => Value::Integer(integer),
            Number::Real(real) => Value::Real(real),
        }),
    }
}

fn read_tagged(reader: &mut Reader<'_>, name: &str) -> Result<Value> {
    match name {
        "int" => {
            let digits = reader.string("digits of an integer", 20)?;
            let integer = digits.parse().ok().filter(|integer: &i64| integer.to_string() == digits);
            integer.map(Value::Integer).ok_or_else(|| reader.malformed("an integer does not fit into 64 bits"))
        }
        "real" => {
            let digits = reader.string("digits of a real", 16)?;
            let bits = parse_hex(&digits).ok_or_else(|| reader.malformed("a real is not 16 hexadecimal digits"))?;
            let real = f64::from_bits(u64::from_be_bytes(bits));
            if real.is_nan() { Err(reader.malformed(NOT_A_NUMBER)) } else { Ok(Value::Real(real)) }
        }
        "text" => reader.base64(VALUE, VALUE_BYTES_MAX).map(Value::Text),
        "blob" => reader.base64(VALUE, VALUE_BYTES_MAX).map(Value::Blob),
        _ => Err(reader.malformed("a value is none of int, real, text and blob")),
    }
}

/// A key is the array of its values. Where packing these would not give the same bytes (another program packed them
/// wider than needed), it is the bytes themselves.
pub(crate) fn write_key(out: &mut Writer, key: &PackedKey) {
    let values = key.values();
    let borrowed: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
    if PackedKey::pack(&borrowed).as_ref() == Ok(key) {
        out.array(|out| borrowed.iter().for_each(|value| write_value(out, *value)));
    } else {
        out.object(|out| out.name("packed").base64(key.as_bytes()));
    }
}

pub(crate) fn read_key(reader: &mut Reader<'_>) -> Result<PackedKey> {
    if reader.peek() == b'[' {
        let mut values = Vec::new();
        reader.array(|reader| {
            bounded("values in a primary key", values.len() + 1, KEY_VALUES_MAX)?;
            values.push(read_value(reader)?);
            Ok(())
        })?;
        let borrowed: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
        let key = PackedKey::pack(&borrowed).map_err(|_| reader.malformed(MALFORMED_KEY))?;
        bounded(KEY, key.as_bytes().len(), KEY_BYTES_MAX)?;
        return Ok(key);
    }
    let mut packed = None;
    reader.object(|reader, name| {
        if name != "packed" || packed.is_some() {
            return Err(reader.malformed(MALFORMED_KEY));
        }
        packed = Some(reader.base64(KEY, KEY_BYTES_MAX)?);
        Ok(())
    })?;
    packed.and_then(|bytes| PackedKey::from_bytes(bytes).ok()).ok_or_else(|| reader.malformed(MALFORMED_KEY))
}

const MALFORMED_KEY: &str = "a primary key is neither an array of values nor a packed key";

#[cfg(test)]
mod tests {
    use super::*;

    fn text(real: f64) -> String {
        let mut out = Writer::new();
        write_value(&mut out, ValueRef::Real(real));
        let text = out.finish();
        assert_eq!(read_value(&mut Reader::new(&text)), Ok(Value::Real(real)));
        text
    }

    #[test]
    fn only_reals_that_every_program_reads_exactly_are_plain_numbers() {
        assert_eq!(text(0.1), "0.1");
        assert_eq!(text(-1234.5678), "-1234.5678");
        assert_eq!(text(0.000012), "0.000012");
        assert_eq!(text(0.1 + 0.2), "{\"real\":\"3fd3333333333334\"}");
        for hexadecimal in [1.0, 0.0, -0.0, 1e300, 1e-300, f64::INFINITY, f64::MIN_POSITIVE / 2.0] {
            assert!(text(hexadecimal).starts_with('{'), "{hexadecimal}");
        }
    }

    #[test]
    fn values_in_other_spellings_are_read() {
        let read = |text: &str| read_value(&mut Reader::new(text));
        assert_eq!(read("1.0"), Ok(Value::Real(1.0)));
        assert_eq!(read("1E2"), Ok(Value::Real(100.0)));
        assert_eq!(read("0.30000000000000004"), Ok(Value::Real(0.1 + 0.2)));
        assert_eq!(read("{\"int\":\"7\"}"), Ok(Value::Integer(7)));
        assert_eq!(read("{\"text\":\"YQ==\"}"), Ok(Value::Text(b"a".to_vec())));
        assert_eq!(read("\"\\u00e9\\ud83d\\ude00\\/\""), Ok(Value::Text("é😀/".as_bytes().to_vec())));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for text in [
            "",
            "true",
            "[]",
            "{}",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "01",
            "-0",
            "NaN",
            "1e999",
            "9007199254740992",
            "{\"int\":7}",
            "{\"int\":\"+7\"}",
            "{\"int\":\"9223372036854775808\"}",
            "{\"real\":\"7ff8000000000000\"}",
            "{\"real\":\"00\"}",
            "{\"blob\":\"AA\"}",
            "{\"blob\":\"AA==\",\"text\":\"\"}",
            "{\"number\":1}",
            "\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\x41\"",
            "\"\\u00\"",
            "\"\\u+041\"",
            "\"\n\"",
        ] {
            assert!(read_value(&mut Reader::new(text)).is_err(), "{text}");
        }
    }
}
