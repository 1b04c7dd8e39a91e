//! Values of SQLite's and values of changes, which are the same kinds under two names.

use rejoin_bridge as bridge;
use rejoin_change::{Value, ValueRef};

/// A change's value, for SQLite to take.
pub(crate) fn to_bridge(value: &Value) -> bridge::ValueRef<'_> {
    match value {
        Value::Null => bridge::ValueRef::Null,
        Value::Integer(i) => bridge::ValueRef::Integer(*i),
        Value::Real(r) => bridge::ValueRef::Real(*r),
        Value::Text(t) => bridge::ValueRef::Text(t),
        Value::Blob(b) => bridge::ValueRef::Blob(b),
    }
}

/// What SQLite shows, for a change to hold.
pub(crate) fn to_change(value: bridge::ValueRef<'_>) -> ValueRef<'_> {
    match value {
        bridge::ValueRef::Null => ValueRef::Null,
        bridge::ValueRef::Integer(i) => ValueRef::Integer(i),
        bridge::ValueRef::Real(r) => ValueRef::Real(r),
        bridge::ValueRef::Text(t) => ValueRef::Text(t),
        bridge::ValueRef::Blob(b) => ValueRef::Blob(b),
    }
}
