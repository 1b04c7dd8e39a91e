//! SQLite's values, as they go into a host and come back.

use std::fmt;

/// One value of SQLite. Reals compare by their bits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// NULL.
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// A real, as its bits.
    Real(u64),
    /// Text.
    Text(String),
    /// A blob.
    Blob(Vec<u8>),
}

/// One row of an answer.
pub type Row = Vec<Value>;

impl Value {
    /// The integer that this is; anything else is a failed test.
    pub fn integer(&self) -> i64 {
        match self {
            Value::Integer(number) => *number,
            other => panic!("{other:?} is not an integer"),
        }
    }

    /// The text that this is; anything else is a failed test.
    pub fn text(&self) -> &str {
        match self {
            Value::Text(text) => text,
            other => panic!("{other:?} is not text"),
        }
    }

    /// The blob that this is; anything else is a failed test.
    pub fn blob(&self) -> &[u8] {
        match self {
            Value::Blob(bytes) => bytes,
            other => panic!("{other:?} is not a blob"),
        }
    }

    /// Whether this is NULL.
    pub fn is_null(&self) -> bool {
        *self == Value::Null
    }

    /// This value as an SQL literal.
    pub fn literal(&self) -> String {
        match self {
            Value::Null => "NULL".to_owned(),
            Value::Integer(number) => number.to_string(),
            Value::Real(bits) => format!("{:e}", f64::from_bits(*bits)),
            Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Value::Blob(bytes) => format!("x'{}'", hex_of(bytes)),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let literal = self.literal();
        match literal.char_indices().nth(SHOWN_MAX) {
            Some((at, _)) => write!(f, "{}…", &literal[..at]),
            None => f.write_str(&literal),
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Integer(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

/// How many characters of a value a failed test shows.
const SHOWN_MAX: usize = 120;

/// Lower-case hexadecimal digits.
pub(crate) fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that hexadecimal digits stand for; none when they are not that.
pub(crate) fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) || !hex.is_ascii() {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}

/// Reads what the shell prints in its quote mode: SQL literals, commas between values, a line end after each row.
pub(crate) fn rows_of(quoted: &str) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let mut rest = quoted;
    while !rest.is_empty() {
        let mut row = Vec::new();
        loop {
            let (value, length) = literal_at(rest)?;
            row.push(value);
            rest = &rest[length..];
            match rest.chars().next() {
                Some(',') => rest = &rest[1..],
                Some('\n') => {
                    rest = &rest[1..];
                    break;
                }
                None => break,
                Some(_) => return Err(format!("the shell printed something else: {rest}")),
            }
        }
        rows.push(row);
    }
    Ok(rows)
}

fn literal_at(rest: &str) -> Result<(Value, usize), String> {
    let strange = || format!("the shell printed something else: {}", rest.lines().next().unwrap_or_default());
    if let Some(digits) = rest.strip_prefix("X'").or_else(|| rest.strip_prefix("x'")) {
        let end = digits.find('\'').ok_or_else(strange)?;
        let bytes = bytes_of(&digits[..end]).ok_or_else(strange)?;
        return Ok((Value::Blob(bytes), end + 3));
    }
    if rest.starts_with('\'') {
        let mut text = String::new();
        let mut characters = rest.char_indices().skip(1).peekable();
        while let Some((at, character)) = characters.next() {
            if character != '\'' {
                text.push(character);
            } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
                text.push('\'');
            } else {
                return Ok((Value::Text(text), at + 1));
            }
        }
        return Err(strange());
    }
    let end = rest.find([',', '\n']).unwrap_or(rest.len());
    let word = &rest[..end];
    let value = if word == "NULL" {
        Value::Null
    } else if let Ok(number) = word.parse::<i64>() {
        Value::Integer(number)
    } else {
        Value::Real(word.parse::<f64>().map_err(|_| strange())?.to_bits())
    };
    Ok((value, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_shell_quotes_is_read_back() {
        let rows = rows_of("1,'it''s, a\nline',X'00ff',NULL,-1.5\n'',X''\n").expect("reads");
        assert_eq!(
            rows,
            [
                vec![
                    1.into(),
                    "it's, a\nline".into(),
                    Value::Blob(vec![0, 255]),
                    Value::Null,
                    Value::Real((-1.5f64).to_bits())
                ],
                vec!["".into(), Value::Blob(vec![])],
            ]
        );
    }

    #[test]
    fn anything_else_is_an_error() {
        for bad in ["'open", "X'0", "X'0g'", "word", "'a'b"] {
            assert!(rows_of(bad).is_err(), "{bad}");
        }
    }
}
