use std::cmp::Ordering;

/// A value as SQLite stores it. Text is kept as bytes, because SQLite does not promise that it is UTF-8.
///
/// Two values are equal when they are stored alike, bit for bit: the integer 1 and the real 1.0 differ, and so do 0.0
/// and -0.0. The order that decides a merge is [`Value::merge_order`].
#[derive(Clone, Debug)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// A 64-bit real. SQLite stores NaN as NULL, so NaN does not occur.
    Real(f64),
    /// Text, usually UTF-8.
    Text(Vec<u8>),
    /// Bytes.
    Blob(Vec<u8>),
}

/// A borrowed [`Value`].
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// SQL NULL.
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// A 64-bit real.
    Real(f64),
    /// Text, usually UTF-8.
    Text(&'a [u8]),
    /// Bytes.
    Blob(&'a [u8]),
}

impl Value {
    /// The same value, borrowed.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Integer(i) => ValueRef::Integer(*i),
            Value::Real(r) => ValueRef::Real(*r),
            Value::Text(t) => ValueRef::Text(t),
            Value::Blob(b) => ValueRef::Blob(b),
        }
    }

    /// The order in which equal col_versions are decided: the greater value wins. See [`ValueRef::merge_order`].
    pub fn merge_order(&self, other: &Value) -> Ordering {
        self.as_ref().merge_order(other.as_ref())
    }
}

impl ValueRef<'_> {
    /// The same value, owned.
    pub fn to_value(self) -> Value {
        match self {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(i) => Value::Integer(i),
            ValueRef::Real(r) => Value::Real(r),
            ValueRef::Text(t) => Value::Text(t.to_vec()),
            ValueRef::Blob(b) => Value::Blob(b.to_vec()),
        }
    }

    /// The order of values that decides a merge: first by storage class, INTEGER > REAL > TEXT > BLOB > NULL whatever
    /// the magnitude; inside a class integers and reals by number (so -0.0 equals 0.0), text and blobs by bytes.
    pub fn merge_order(self, other: ValueRef<'_>) -> Ordering {
        match (self, other) {
            (ValueRef::Integer(a), ValueRef::Integer(b)) => a.cmp(&b),
            (ValueRef::Real(a), ValueRef::Real(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (ValueRef::Text(a), ValueRef::Text(b)) | (ValueRef::Blob(a), ValueRef::Blob(b)) => a.cmp(b),
            (a, b) => a.class_rank().cmp(&b.class_rank()),
        }
    }

    fn class_rank(self) -> u8 {
        match self {
            ValueRef::Null => 0,
            ValueRef::Blob(_) => 1,
            ValueRef::Text(_) => 2,
            ValueRef::Real(_) => 3,
            ValueRef::Integer(_) => 4,
        }
    }
}

impl PartialEq for ValueRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (ValueRef::Null, ValueRef::Null) => true,
            (ValueRef::Integer(a), ValueRef::Integer(b)) => a == b,
            (ValueRef::Real(a), ValueRef::Real(b)) => a.to_bits() == b.to_bits(),
            (ValueRef::Text(a), ValueRef::Text(b)) | (ValueRef::Blob(a), ValueRef::Blob(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for ValueRef<'_> {}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Value {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_beats_magnitude() {
        let rising = [
            Value::Null,
            Value::Blob(vec![]),
            Value::Blob(vec![0xff]),
            Value::Text(vec![]),
            Value::Text(b"zz".to_vec()),
            Value::Real(-1e300),
            Value::Real(2.5),
            Value::Integer(i64::MIN),
            Value::Integer(0),
        ];
        for (i, a) in rising.iter().enumerate() {
            for (j, b) in rising.iter().enumerate() {
                assert_eq!(a.merge_order(b), i.cmp(&j), "{a:?} against {b:?}");
            }
        }
    }

    #[test]
    fn text_is_ordered_by_bytes_and_a_prefix_is_smaller() {
        let text = |s: &str| Value::Text(s.as_bytes().to_vec());
        for pair in ["B", "a", "aa", "b", "z", "é"].windows(2) {
            assert_eq!(text(pair[0]).merge_order(&text(pair[1])), Ordering::Less);
        }
    }

    #[test]
    fn zeros_tie_in_a_merge_but_are_stored_differently() {
        assert_eq!(Value::Real(0.0).merge_order(&Value::Real(-0.0)), Ordering::Equal);
        assert_ne!(Value::Real(0.0), Value::Real(-0.0));
        assert_ne!(Value::Real(1.0), Value::Integer(1));
    }
}
