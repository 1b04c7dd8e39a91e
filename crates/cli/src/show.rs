//! Values and numbers as people read them.

use rejoin::rusqlite::types::Value;

/// The most characters of one value.
const CHARACTERS_MAX: usize = 48;
/// The most bytes of one blob.
const BLOB_BYTES_MAX: usize = 16;

/// A value as SQL would write it, cut where it is long.
pub fn value(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) => format!("{real:?}"),
        Value::Text(text) => {
            let shown: String = text.chars().take(CHARACTERS_MAX).collect();
            let cut = if shown.len() < text.len() { format!("… ({} bytes)", text.len()) } else { String::new() };
            format!("'{}'{cut}", shown.replace('\'', "''"))
        }
        Value::Blob(bytes) => {
            let cut = if bytes.len() > BLOB_BYTES_MAX { format!("… ({} bytes)", bytes.len()) } else { String::new() };
            format!("x'{}'{cut}", hex(&bytes[..bytes.len().min(BLOB_BYTES_MAX)]))
        }
    }
}

/// A value in JSON: exact as far as JSON goes, and in the streams' own forms beyond that.
pub fn json(value: &Value) -> serde_json::Value {
    /// Integers up to here are exact wherever JSON is read.
    const EXACT_MAX: u64 = 1 << 53;
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(integer) if integer.unsigned_abs() <= EXACT_MAX => serde_json::json!(integer),
        Value::Integer(integer) => serde_json::json!({ "int": integer.to_string() }),
        Value::Real(real) if real.is_finite() && (*real != 0.0 || real.is_sign_positive()) => serde_json::json!(real),
        Value::Real(real) => serde_json::json!({ "real": format!("{:016x}", real.to_bits()) }),
        Value::Text(text) => serde_json::json!(text),
        Value::Blob(bytes) => serde_json::json!({ "blob_hex": hex(bytes) }),
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `1 row`, `2 rows`.
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(' ');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_sql_and_cut() {
        assert_eq!(value(&Value::Text("it's".to_owned())), "'it''s'");
        assert_eq!(value(&Value::Real(-0.0)), "-0.0");
        assert_eq!(value(&Value::Blob(vec![0xab; 20])), format!("x'{}'… (20 bytes)", "ab".repeat(16)));
        assert_eq!(value(&Value::Text("é".repeat(60))), format!("'{}'… (120 bytes)", "é".repeat(48)));
    }

    #[test]
    fn what_json_cannot_hold_gets_another_form() {
        assert_eq!(json(&Value::Real(-0.0)), serde_json::json!({"real": "8000000000000000"}));
        assert_eq!(json(&Value::Real(f64::INFINITY)), serde_json::json!({"real": "7ff0000000000000"}));
        assert_eq!(json(&Value::Integer(i64::MAX)), serde_json::json!({"int": "9223372036854775807"}));
        assert_eq!(json(&Value::Integer(-5)), serde_json::json!(-5));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(count(1, "row"), "1 row");
        assert_eq!(count(15_607, "row"), "15 607 rows");
    }
}
