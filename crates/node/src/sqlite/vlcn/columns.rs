//! Which columns a side knows, and how SQLite treats what is stored in them.

use crate::sqlite::worker::failed;
use crate::sqlite::{schema, sql};
use rejoin_change::SENTINEL;
use rejoin_wire::message::{Refusal, TableShape};
use rusqlite::Connection;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// The tables and columns that one side of a session knows. What the other side does not know, it is not sent.
///
/// Each column has its place in the primary key, from 1, or 0 outside of it.
#[derive(Debug, Default)]
pub(crate) struct Columns(HashMap<String, HashMap<String, i64>>);

impl Columns {
    pub(crate) fn of(shapes: &[TableShape]) -> Columns {
        let columns = |shape: &TableShape| {
            shape.columns.iter().map(|column| (column.name.clone(), column.key_place.into())).collect()
        };
        Columns(shapes.iter().map(|shape| (shape.name.clone(), columns(shape))).collect())
    }

    /// Those of a database.
    pub(crate) fn of_database(connection: &Connection) -> Result<Columns, Refusal> {
        schema::shapes(connection).map(|shapes| Columns::of(&shapes)).map_err(failed)
    }

    /// Every ordinary table of a database, also those that do not replicate.
    pub(super) fn of_all_tables(connection: &Connection) -> Result<Columns, Refusal> {
        let names: rusqlite::Result<Vec<String>> = connection
            .prepare_cached(sql::ORDINARY_TABLES)
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect());
        let shapes: rusqlite::Result<Vec<TableShape>> =
            names.and_then(|names| names.into_iter().map(|name| schema::shape(connection, name)).collect());
        shapes.map(|shapes| Columns::of(&shapes)).map_err(failed)
    }

    /// What is here and not in `other`.
    pub(super) fn without(&self, other: &Columns) -> Columns {
        let rest = self.0.iter().filter_map(|(table, columns)| {
            let Some(there) = other.0.get(table) else { return Some((table.clone(), columns.clone())) };
            let rest: HashMap<String, i64> =
                columns.iter().filter(|(name, _)| !there.contains_key(*name)).map(|(n, p)| (n.clone(), *p)).collect();
            (!rest.is_empty()).then(|| (table.clone(), rest))
        });
        Columns(rest.collect())
    }

    pub(crate) fn has(&self, table: &str, column: &str) -> bool {
        self.0.get(table).is_some_and(|columns| column == SENTINEL || columns.contains_key(column))
    }

    /// How many columns outside of the key a table has; 0 for an unknown one.
    pub(super) fn cells_of(&self, table: &str) -> usize {
        self.0.get(table).map_or(0, |columns| columns.values().filter(|place| **place == 0).count())
    }

    /// What of `other` is lacking here, as a phrase; nothing where all of it is here.
    pub(crate) fn lacking(&self, other: &Columns) -> Option<String> {
        let mut lacking: Vec<String> = Vec::new();
        for (table, columns) in &other.0 {
            match self.0.get(table) {
                None => lacking.push(format!("the table {table}")),
                Some(here) => lacking.extend(columns.iter().filter_map(|(column, place)| match here.get(column) {
                    None => Some(format!("the column {column} of {table}")),
                    Some(here) if here != place => {
                        Some(format!("the column {column} in its place in the key of {table}"))
                    }
                    Some(_) => None,
                })),
            }
        }
        lacking.sort();
        let first = lacking.first()?;
        Some(match lacking.len() {
            1 => first.clone(),
            count => format!("{first} and {} more", count - 1),
        })
    }
}

/// A replicated table that changes are merged into.
pub(crate) struct Table {
    pub(super) key_values: usize,
    /// Columns outside of the key.
    pub(super) columns: HashMap<Arc<str>, Affinity>,
}

/// What SQLite makes of a number that is stored in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Affinity {
    /// INTEGER and NUMERIC: a number without a fraction becomes an integer.
    Integer,
    Real,
    Text,
    /// Everything stays as it comes.
    None,
}

impl Affinity {
    /// SQLite's own rules, in their order.
    pub(super) fn of(declared: &str, is_strict: bool) -> Affinity {
        let declared = declared.to_ascii_uppercase();
        let says = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        match () {
            () if is_strict && declared == "ANY" => Affinity::None,
            () if says(&["INT"]) => Affinity::Integer,
            () if says(&["CHAR", "CLOB", "TEXT"]) => Affinity::Text,
            () if declared.is_empty() || says(&["BLOB"]) => Affinity::None,
            () if says(&["REAL", "FLOA", "DOUB"]) => Affinity::Real,
            () => Affinity::Integer,
        }
    }
}

/// The replicated tables of a database, by name. They are read anew when the database's schema is another one.
#[derive(Default)]
pub(crate) struct KnownTables(RefCell<Option<(i64, Tables)>>);

/// By name.
pub(super) type Tables = Rc<HashMap<Arc<str>, Table>>;

impl KnownTables {
    /// Those of the database as the running transaction sees it.
    pub(super) fn of(&self, connection: &Connection) -> Result<Tables, Refusal> {
        let mut statement = connection.prepare_cached(sql::SCHEMA_VERSION).map_err(failed)?;
        let version: i64 = statement.query_row([], |row| row.get(0)).map_err(failed)?;
        if let Some((_, tables)) = self.0.borrow().as_ref().filter(|(known, _)| *known == version) {
            return Ok(tables.clone());
        }
        let names = schema::replicated(connection).map_err(failed)?;
        let tables: Result<_, Refusal> = names
            .into_iter()
            .map(|name| table(connection, &name).map(|table| (name.into(), table)).map_err(failed))
            .collect();
        let tables: Tables = Rc::new(tables?);
        self.0.replace(Some((version, tables.clone())));
        Ok(tables)
    }
}

fn table(connection: &Connection, name: &str) -> rusqlite::Result<Table> {
    let mut statement = connection.prepare_cached(sql::COLUMN_TYPES)?;
    let mut rows = statement.query([name])?;
    let mut table = Table { key_values: 0, columns: HashMap::new() };
    while let Some(row) = rows.next()? {
        let (column, declared): (String, String) = (row.get(0)?, row.get(1)?);
        if row.get::<_, i64>(2)? > 0 {
            table.key_values += 1;
        } else {
            let is_strict = row.get::<_, Option<bool>>(3)?.unwrap_or(false);
            table.columns.insert(column.into(), Affinity::of(&declared, is_strict));
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affinity_follows_the_declared_type() {
        for (declared, is_strict, expected) in [
            ("INTEGER", false, Affinity::Integer),
            ("bigint", false, Affinity::Integer),
            ("FLOATING POINT", false, Affinity::Integer),
            ("VARCHAR(10)", false, Affinity::Text),
            ("", false, Affinity::None),
            ("BLOB", false, Affinity::None),
            ("double", false, Affinity::Real),
            ("DECIMAL(10, 5)", false, Affinity::Integer),
            ("ANY", false, Affinity::Integer),
            ("ANY", true, Affinity::None),
        ] {
            assert_eq!(Affinity::of(declared, is_strict), expected, "{declared} {is_strict}");
        }
    }

    #[test]
    fn what_is_lacking_is_named() {
        let shape = |name: &str, columns: &[&str]| TableShape {
            name: name.to_owned(),
            columns: columns
                .iter()
                .map(|name| rejoin_wire::message::ColumnShape { name: (*name).to_owned(), key_place: 0 })
                .collect(),
        };
        let here = Columns::of(&[shape("a", &["id", "x"])]);
        assert_eq!(here.lacking(&Columns::of(&[shape("a", &["x"])])), None);
        let lacking = here.lacking(&Columns::of(&[shape("a", &["y"]), shape("b", &["id"])]));
        assert_eq!(lacking.as_deref(), Some("the column y of a and 1 more"));
        assert!(here.has("a", SENTINEL) && !here.has("b", SENTINEL) && !here.has("a", "y"));
    }
}
