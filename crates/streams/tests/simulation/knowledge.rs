//! What a database knows of its rows, as far as merging decides by it.

use crate::common::Database;
use rejoin_change::{SiteId, Value};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Rows by table and packed key. Cells of col_version 0 are left out: what they hold depends on the order of merging, and
/// no stream changes that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Knowledge(BTreeMap<(String, Vec<u8>), Row>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Row {
    causal_length: i64,
    cells: BTreeMap<String, Cell>,
}

#[derive(Clone, Debug, PartialEq)]
struct Cell {
    col_version: i64,
    value: Value,
}

impl Knowledge {
    /// What the changes of these authors say.
    pub fn of(database: &Database, counts: impl Fn(SiteId) -> bool) -> Knowledge {
        let mut knowledge = Knowledge::default();
        let mut statement = database
            .host
            .prepare_cached("SELECT \"table\", pk, cid, val, col_version, cl, site_id FROM crsql_changes")
            .expect("the changes can be read");
        let mut rows = statement.query([]).expect("the changes can be read");
        while let Some(row) = rows.next().expect("the changes can be read") {
            let site: Vec<u8> = row.get(6).expect("an author");
            if counts(SiteId::from_slice(&site).expect("a site id")) {
                let value = row.get(3).expect("a value");
                knowledge.learn(
                    (row.get(0).expect("a table"), row.get(1).expect("a key")),
                    row.get(2).expect("a column"),
                    Cell { col_version: row.get(4).expect("a version"), value: stored(value) },
                    row.get(5).expect("a causal length"),
                );
            }
        }
        knowledge
    }

    fn learn(&mut self, key: (String, Vec<u8>), column: String, cell: Cell, causal_length: i64) {
        let row = self.0.entry(key).or_default();
        if causal_length > row.causal_length {
            *row = Row { causal_length, cells: BTreeMap::new() };
        }
        let lives = causal_length == row.causal_length && causal_length % 2 == 1;
        if lives && column != "-1" && cell.col_version > 0 {
            row.take(column, cell);
        }
    }

    /// Takes over what another one knows better.
    pub fn join(&mut self, other: Knowledge) {
        for (key, theirs) in other.0 {
            let mine = self.0.entry(key).or_default();
            match theirs.causal_length.cmp(&mine.causal_length) {
                Ordering::Greater => *mine = theirs,
                Ordering::Equal => theirs.cells.into_iter().for_each(|(column, cell)| mine.take(column, cell)),
                Ordering::Less => {}
            }
        }
    }

    /// The first thing of `wanted` that is not known here, or not as well.
    pub fn lacks(&self, wanted: &Knowledge) -> Option<String> {
        wanted.0.iter().find_map(|(key, row)| {
            let found = self.0.get(key);
            let missing = match found {
                None => true,
                Some(mine) if mine.causal_length == row.causal_length => row.cells.iter().any(|(column, cell)| {
                    mine.cells.get(column).is_none_or(|mine| mine.compare(cell) == Ordering::Less)
                }),
                Some(mine) => mine.causal_length < row.causal_length,
            };
            missing.then(|| format!("{key:?}: {row:?} is wanted, and {found:?} is known"))
        })
    }
}

impl Row {
    fn take(&mut self, column: String, cell: Cell) {
        match self.cells.entry(column) {
            Entry::Vacant(place) => {
                place.insert(cell);
            }
            Entry::Occupied(mut place) if cell.compare(place.get()) == Ordering::Greater => {
                place.insert(cell);
            }
            Entry::Occupied(_) => {}
        }
    }
}

impl Cell {
    fn compare(&self, other: &Cell) -> Ordering {
        self.col_version.cmp(&other.col_version).then_with(|| self.value.merge_order(&other.value))
    }
}

fn stored(value: rusqlite::types::Value) -> Value {
    match value {
        rusqlite::types::Value::Null => Value::Null,
        rusqlite::types::Value::Integer(i) => Value::Integer(i),
        rusqlite::types::Value::Real(r) => Value::Real(r),
        rusqlite::types::Value::Text(t) => Value::Text(t.into_bytes()),
        rusqlite::types::Value::Blob(b) => Value::Blob(b),
    }
}
