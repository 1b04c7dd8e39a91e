//! Values as the bridge speaks of them and as the merge rule does.

use rejoin_bridge as bridge;
use rejoin_change as change;
use std::ops::Deref;

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

/// What is bound to a statement that runs for every row: a list without an allocation, as long as it is short.
pub(crate) struct Parameters<'v> {
    few: [bridge::ValueRef<'v>; FEW_PARAMETERS],
    len: usize,
    /// All of them, where they are more.
    many: Vec<bridge::ValueRef<'v>>,
}

const FEW_PARAMETERS: usize = 8;

impl<'v> FromIterator<bridge::ValueRef<'v>> for Parameters<'v> {
    fn from_iter<I: IntoIterator<Item = bridge::ValueRef<'v>>>(values: I) -> Parameters<'v> {
        let mut parameters = Parameters { few: [bridge::ValueRef::Null; FEW_PARAMETERS], len: 0, many: Vec::new() };
        for value in values {
            if parameters.len < FEW_PARAMETERS {
                parameters.few[parameters.len] = value;
            } else {
                if parameters.many.is_empty() {
                    parameters.many.extend_from_slice(&parameters.few);
                }
                parameters.many.push(value);
            }
            parameters.len += 1;
        }
        parameters
    }
}

impl<'v> Deref for Parameters<'v> {
    type Target = [bridge::ValueRef<'v>];
    fn deref(&self) -> &[bridge::ValueRef<'v>] {
        if self.many.is_empty() { &self.few[..self.len] } else { &self.many }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_what_was_collected_however_many() {
        for count in 0..3 * FEW_PARAMETERS as i64 {
            let values: Vec<bridge::ValueRef<'_>> = (0..count).map(bridge::ValueRef::from).collect();
            assert_eq!(*values.iter().copied().collect::<Parameters<'_>>(), *values);
        }
    }
}
