//! The values of a key as its table keeps them. A peer whose table declares another type may send the text '1' where this
//! table has the number: SQLite would find the row by either, the lookaside table only by what is stored.

use crate::sql;
use crate::values::to_change;
use rejoin_bridge::{Connection, Result, Slot, ValueRef};
use rejoin_change::Value;

/// What a column makes of a value, by SQLite's rules, as far as it makes another value of it. A REAL that is an integer
/// stays as it is: either form finds the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Affinity {
    Text,
    Number,
    Real,
    Kept,
}

impl Affinity {
    fn of(declared: &str, strict: bool) -> Affinity {
        let declared = declared.to_ascii_uppercase();
        let has = |part: &str| declared.contains(part);
        match () {
            () if strict && declared == "ANY" => Affinity::Kept,
            () if has("INT") => Affinity::Number,
            () if has("CHAR") || has("CLOB") || has("TEXT") => Affinity::Text,
            () if has("BLOB") || declared.is_empty() => Affinity::Kept,
            () if has("REAL") || has("FLOA") || has("DOUB") => Affinity::Real,
            () => Affinity::Number,
        }
    }

    fn changes(self, value: &Value) -> bool {
        match self {
            Affinity::Text => matches!(value, Value::Integer(_) | Value::Real(_)),
            Affinity::Number => matches!(value, Value::Text(_)),
            Affinity::Real => matches!(value, Value::Text(_) | Value::Integer(_)),
            Affinity::Kept => false,
        }
    }
}

/// How the key columns of one table store values.
pub(crate) struct KeyForm {
    affinities: Vec<Affinity>,
    to_text: Slot,
    to_number: Slot,
    to_real: Slot,
}

impl KeyForm {
    /// For key columns of these declared types, in the order of the key.
    pub(crate) fn new<'a>(connection: &Connection, types: impl IntoIterator<Item = &'a str>, strict: bool) -> KeyForm {
        KeyForm {
            affinities: types.into_iter().map(|declared| Affinity::of(declared, strict)).collect(),
            to_text: connection.slot(sql::AS_TEXT),
            to_number: connection.slot(sql::AS_NUMBER),
            to_real: connection.slot(sql::AS_REAL),
        }
    }

    /// Makes of a key's values what the table would store.
    pub(crate) fn apply(&self, keys: &mut [Value]) -> Result<()> {
        for (affinity, value) in self.affinities.iter().zip(keys) {
            if !affinity.changes(value) {
                continue;
            }
            let statement = match affinity {
                Affinity::Text => &self.to_text,
                Affinity::Number => &self.to_number,
                Affinity::Real => &self.to_real,
                Affinity::Kept => continue,
            };
            let given: ValueRef<'_> = crate::values::to_bridge(value);
            let stored = statement.lend()?.query_row(&[given], |row| Ok(to_change(row.column(0)).to_value()))?;
            if let Some(stored) = stored {
                *value = stored;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_type_has_sqlites_affinity() {
        for (declared, expected) in [
            ("INTEGER", Affinity::Number),
            ("varchar(10)", Affinity::Text),
            ("CHARINT", Affinity::Number),
            ("", Affinity::Kept),
            ("blob", Affinity::Kept),
            ("double precision", Affinity::Real),
            ("DECIMAL(10, 5)", Affinity::Number),
            ("ANY", Affinity::Number),
        ] {
            assert_eq!(Affinity::of(declared, false), expected, "{declared}");
        }
        assert_eq!(Affinity::of("ANY", true), Affinity::Kept);
    }
}
