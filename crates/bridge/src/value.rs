use crate::abi::*;
use crate::api::Api;
use crate::error::Error;
use std::borrow::Cow;
use std::ffi::c_char;

/// A value, borrowed from SQLite or from the caller. Text is bytes: SQLite does not promise UTF-8.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// SQL NULL.
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// A 64-bit real.
    Real(f64),
    /// Text.
    Text(&'a [u8]),
    /// Bytes.
    Blob(&'a [u8]),
}

/// An owned value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// A 64-bit real.
    Real(f64),
    /// Text.
    Text(Vec<u8>),
    /// Bytes.
    Blob(Vec<u8>),
}

/// What a function or a column returns to SQLite.
#[derive(Clone, Debug, PartialEq)]
pub enum Output<'a> {
    /// SQL NULL.
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// A 64-bit real.
    Real(f64),
    /// Text.
    Text(Cow<'a, [u8]>),
    /// Bytes.
    Blob(Cow<'a, [u8]>),
}

impl<'a> ValueRef<'a> {
    /// The integer that SQLite would make of it: reals are cut, text is read as far as it is a number, else 0.
    pub fn as_i64(self) -> i64 {
        match self {
            ValueRef::Null | ValueRef::Blob(_) => 0,
            ValueRef::Integer(i) => i,
            ValueRef::Real(r) => r as i64,
            ValueRef::Text(text) => leading_integer(text),
        }
    }

    /// The text, where it is text and UTF-8.
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            ValueRef::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// The bytes of text or a blob.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        match self {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// True for SQL NULL.
    pub fn is_null(self) -> bool {
        matches!(self, ValueRef::Null)
    }

    /// The same value, owned.
    pub fn to_value(self) -> Value {
        match self {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(i) => Value::Integer(i),
            ValueRef::Real(r) => Value::Real(r),
            ValueRef::Text(text) => Value::Text(text.to_vec()),
            ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
        }
    }
}

fn leading_integer(text: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_start();
    let sign = usize::from(text.starts_with(['-', '+']));
    let digits = text[sign..].bytes().take_while(u8::is_ascii_digit).count();
    match text[..sign + digits].parse::<i64>() {
        Ok(number) => number,
        Err(_) if digits == 0 => 0,
        Err(_) if text.starts_with('-') => i64::MIN,
        Err(_) => i64::MAX,
    }
}

impl Value {
    /// The same value, borrowed.
    pub fn as_ref(&self) -> ValueRef<'_> {
        ValueRef::from(self)
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => ValueRef::Null,
            Value::Integer(i) => ValueRef::Integer(*i),
            Value::Real(r) => ValueRef::Real(*r),
            Value::Text(text) => ValueRef::Text(text),
            Value::Blob(blob) => ValueRef::Blob(blob),
        }
    }
}

impl From<i64> for ValueRef<'_> {
    fn from(value: i64) -> Self {
        ValueRef::Integer(value)
    }
}

impl From<f64> for ValueRef<'_> {
    fn from(value: f64) -> Self {
        ValueRef::Real(value)
    }
}

impl<'a> From<&'a str> for ValueRef<'a> {
    fn from(value: &'a str) -> Self {
        ValueRef::Text(value.as_bytes())
    }
}

impl<'a> From<&'a String> for ValueRef<'a> {
    fn from(value: &'a String) -> Self {
        ValueRef::Text(value.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for ValueRef<'a> {
    fn from(value: &'a [u8]) -> Self {
        ValueRef::Blob(value)
    }
}

impl<'a> From<&'a Vec<u8>> for ValueRef<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        ValueRef::Blob(value)
    }
}

impl<'a, T: Into<ValueRef<'a>>> From<Option<T>> for ValueRef<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(ValueRef::Null, Into::into)
    }
}

impl From<i64> for Output<'_> {
    fn from(value: i64) -> Self {
        Output::Integer(value)
    }
}

impl From<f64> for Output<'_> {
    fn from(value: f64) -> Self {
        Output::Real(value)
    }
}

impl From<String> for Output<'_> {
    fn from(value: String) -> Self {
        Output::Text(Cow::Owned(value.into_bytes()))
    }
}

impl<'a> From<&'a str> for Output<'a> {
    fn from(value: &'a str) -> Self {
        Output::Text(Cow::Borrowed(value.as_bytes()))
    }
}

impl From<Vec<u8>> for Output<'_> {
    fn from(value: Vec<u8>) -> Self {
        Output::Blob(Cow::Owned(value))
    }
}

impl<'a> From<&'a [u8]> for Output<'a> {
    fn from(value: &'a [u8]) -> Self {
        Output::Blob(Cow::Borrowed(value))
    }
}

impl<'a> From<ValueRef<'a>> for Output<'a> {
    fn from(value: ValueRef<'a>) -> Self {
        match value {
            ValueRef::Null => Output::Null,
            ValueRef::Integer(i) => Output::Integer(i),
            ValueRef::Real(r) => Output::Real(r),
            ValueRef::Text(text) => Output::Text(Cow::Borrowed(text)),
            ValueRef::Blob(blob) => Output::Blob(Cow::Borrowed(blob)),
        }
    }
}

impl From<Value> for Output<'_> {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Output::Null,
            Value::Integer(i) => Output::Integer(i),
            Value::Real(r) => Output::Real(r),
            Value::Text(text) => Output::Text(Cow::Owned(text)),
            Value::Blob(blob) => Output::Blob(Cow::Owned(blob)),
        }
    }
}

impl<'a, T: Into<Output<'a>>> From<Option<T>> for Output<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Output::Null, Into::into)
    }
}

/// # Safety
/// `value` is an argument that SQLite passed to the callback which is still running.
pub(crate) unsafe fn read_value<'a>(api: &Api, value: *mut sqlite3_value) -> ValueRef<'a> {
    // SAFETY: by the contract above. The text or blob pointer is asked for before the length, as SQLite's rules on
    // conversions want it, and stays valid while the callback runs because nothing converts the value again.
    unsafe {
        match (api.value_type)(value) {
            SQLITE_INTEGER => ValueRef::Integer((api.value_int64)(value)),
            SQLITE_FLOAT => ValueRef::Real((api.value_double)(value)),
            SQLITE_TEXT => {
                let start = (api.value_text)(value);
                ValueRef::Text(bytes(start, (api.value_bytes)(value)))
            }
            SQLITE_BLOB => {
                let start = (api.value_blob)(value).cast();
                ValueRef::Blob(bytes(start, (api.value_bytes)(value)))
            }
            _ => ValueRef::Null,
        }
    }
}

/// # Safety
/// `start` is null or the start of `length` readable bytes that live as long as `'a`.
pub(crate) unsafe fn bytes<'a>(start: *const u8, length: i32) -> &'a [u8] {
    match usize::try_from(length) {
        // SAFETY: by the contract above.
        Ok(length) if !start.is_null() => unsafe { std::slice::from_raw_parts(start, length) },
        _ => &[],
    }
}

/// # Safety
/// `context` belongs to the callback which is still running.
pub(crate) unsafe fn return_output(api: &Api, context: *mut sqlite3_context, output: &Output<'_>) {
    // SAFETY: by the contract above; SQLITE_TRANSIENT makes SQLite copy the bytes before the call returns. An empty
    // slice has a non-null pointer, which makes it an empty value and not NULL.
    unsafe {
        match output {
            Output::Null => (api.result_null)(context),
            Output::Integer(i) => (api.result_int64)(context, *i),
            Output::Real(r) => (api.result_double)(context, *r),
            Output::Text(text) => {
                (api.result_text64)(context, text.as_ptr().cast(), text.len() as u64, transient(), SQLITE_UTF8)
            }
            Output::Blob(blob) => (api.result_blob64)(context, blob.as_ptr().cast(), blob.len() as u64, transient()),
        }
    }
}

/// # Safety
/// `context` belongs to the callback which is still running.
pub(crate) unsafe fn return_error(api: &Api, context: *mut sqlite3_context, error: &Error) {
    let length = i32::try_from(error.message.len()).unwrap_or(i32::MAX);
    // SAFETY: by the contract above; SQLite copies the message. The code is set after the message, which resets it.
    unsafe {
        (api.result_error)(context, error.message.as_ptr().cast::<c_char>(), length);
        if error.code != crate::error::code::ERROR {
            (api.result_error_code)(context, error.code);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_made_as_sqlite_makes_them() {
        assert_eq!(ValueRef::Text(b" 12abc").as_i64(), 12);
        assert_eq!(ValueRef::Text(b"-7").as_i64(), -7);
        assert_eq!(ValueRef::Text(b"x").as_i64(), 0);
        assert_eq!(ValueRef::Text(b"99999999999999999999").as_i64(), i64::MAX);
        assert_eq!(ValueRef::Real(-2.9).as_i64(), -2);
        assert_eq!(ValueRef::Null.as_i64(), 0);
    }
}
