use rejoin_change::{Change, Value};

/// What a change adds to a package before compression, and about what it takes up in memory: its key and its value,
/// and a fixed share for everything else. Streams compare the sum with `package_bytes_max`. It is an upper estimate: a
/// key is written once for all changes of its row that follow each other, but counted for each.
pub fn change_size_bytes(change: &Change) -> usize {
    let value_bytes = match &change.value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 8,
        Value::Text(bytes) | Value::Blob(bytes) => bytes.len(),
    };
    size_bytes(change.key.as_bytes().len(), value_bytes)
}

/// As [`change_size_bytes`], for everything but the value.
pub fn change_overhead_bytes(key_bytes: usize) -> usize {
    size_bytes(key_bytes, 0)
}

pub(crate) fn size_bytes(key_bytes: usize, value_bytes: usize) -> usize {
    key_bytes + value_bytes + CHANGE_OVERHEAD_BYTES
}

/// Versions, site, column, seq and lengths.
const CHANGE_OVERHEAD_BYTES: usize = 16;
