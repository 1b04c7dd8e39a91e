//! Values as the bridge speaks of them and as the merge rule does.

use rejoin_bridge as bridge;
use rejoin_change as change;

/// For the pure crate.
pub(crate) fn to_change(value: bridge::ValueRef<'_>) -> change::ValueRef<'_> {
    match value {
        bridge::ValueRef::Null => change::ValueRef::Null,
        bridge::ValueRef::Integer(i) => change::ValueRef::Integer(i),
        bridge::ValueRef::Real(r) => change::ValueRef::Real(r),
        bridge::ValueRef::Text(text) => change::ValueRef::Text(text),
        bridge::ValueRef::Blob(blob) => change::ValueRef::Blob(blob),
    }
}

/// For SQLite.
pub(crate) fn to_bridge(value: &change::Value) -> bridge::ValueRef<'_> {
    from_change(value.as_ref())
}

/// For SQLite.
pub(crate) fn from_change(value: change::ValueRef<'_>) -> bridge::ValueRef<'_> {
    match value {
        change::ValueRef::Null => bridge::ValueRef::Null,
        change::ValueRef::Integer(i) => bridge::ValueRef::Integer(i),
        change::ValueRef::Real(r) => bridge::ValueRef::Real(r),
        change::ValueRef::Text(text) => bridge::ValueRef::Text(text),
        change::ValueRef::Blob(blob) => bridge::ValueRef::Blob(blob),
    }
}

/// True where both are stored alike, bit for bit.
pub(crate) fn stored_alike(a: bridge::ValueRef<'_>, b: bridge::ValueRef<'_>) -> bool {
    to_change(a) == to_change(b)
}
