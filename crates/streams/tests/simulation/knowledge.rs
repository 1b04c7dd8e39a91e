//! What a database knows of its rows, as far as merging decides by it.

use crate::common::Database;
use rejoin_change::{Change, Cursor, PackedKey, Place, SiteId, Value};
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
    /// What the changes say that count.
    pub fn of(database: &Database, counts: impl Fn(&Change) -> bool) -> Knowledge {
        let mut knowledge = Knowledge::default();
        let sql = "SELECT \"table\", pk, cid, val, col_version, cl, site_id FROM crsql_changes";
        changes(database, sql).iter().filter(|change| counts(change)).for_each(|change| knowledge.learn(change));
        knowledge
    }

    /// The same, with what is here and waits: for the schema, or for the rest of its transaction, unless it came from one
    /// of `gone`.
    pub fn with_waiting(database: &Database, gone: &[SiteId]) -> Knowledge {
        let mut knowledge = Knowledge::of(database, |_| true);
        if database.one::<i64>("SELECT count(*) FROM sqlite_master WHERE name = 'crsql_streams_staged'") == 0 {
            return knowledge;
        }
        let sql = "SELECT tbl, pk, cid, val, col_version, cl, site_id FROM crsql_streams_parked";
        changes(database, sql).iter().for_each(|change| knowledge.learn(change));
        for (remote, place, finish, changes) in staged_pieces(database) {
            let gone = gone.iter().any(|gone| gone.as_bytes()[..] == remote);
            // A part of a value is not the value.
            let (first, last) = (usize::from(is_in_a_value(&place)), usize::from(is_in_a_value(&finish)));
            let whole = first..changes.len().saturating_sub(last).max(first);
            let whole = changes.get(whole).filter(|_| !gone).unwrap_or_default();
            whole.iter().for_each(|change| knowledge.learn(change));
        }
        knowledge
    }

    fn learn(&mut self, change: &Change) {
        let row = self.0.entry((change.table.to_string(), change.key.as_bytes().to_vec())).or_default();
        if change.causal_length > row.causal_length {
            *row = Row { causal_length: change.causal_length, cells: BTreeMap::new() };
        }
        let lives = change.causal_length == row.causal_length && change.causal_length % 2 == 1;
        if lives && !change.is_sentinel() && change.col_version > 0 {
            row.take(change.column.to_string(), Cell { col_version: change.col_version, value: change.value.clone() });
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
            missing.then(|| {
                shorten(&format!("{key:?}: {row:?} is wanted")) + &shorten(&format!(", and {found:?} is known"))
            })
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

/// Large values say nothing by their length.
fn shorten(text: &str) -> String {
    text.chars().take(400).collect()
}

type Piece = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<Change>);

/// Remote, start, end and changes of each.
fn staged_pieces(database: &Database) -> Vec<Piece> {
    let sql = "SELECT remote, place, finish, changes FROM crsql_streams_staged";
    let mut statement = database.host.prepare_cached(sql).expect("pieces can be read");
    let rows = statement.query_map([], |row| {
        let bytes: Vec<u8> = row.get(3)?;
        let changes = rejoin_wire::changes_from_bytes(&bytes).expect("changes that were staged");
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, changes))
    });
    rows.expect("pieces can be read").collect::<Result<_, _>>().expect("pieces can be read")
}

fn is_in_a_value(cursor: &[u8]) -> bool {
    let cursor = Cursor::from_bytes(cursor).expect("a cursor that was staged");
    matches!(cursor.place, Place::At { part: Some(_), .. })
}

fn changes(database: &Database, sql: &str) -> Vec<Change> {
    let mut statement = database.host.prepare_cached(sql).expect("the changes can be read");
    let rows = statement.query_map([], |row| {
        let (table, column): (String, String) = (row.get(0)?, row.get(2)?);
        let site: Vec<u8> = row.get(6)?;
        Ok(Change {
            table: table.into(),
            key: PackedKey::from_bytes(row.get(1)?).expect("a packed key"),
            column: column.into(),
            value: stored(row.get(3)?),
            col_version: row.get(4)?,
            db_version: 0,
            site_id: SiteId::from_slice(&site).expect("a site id"),
            causal_length: row.get(5)?,
            seq: 0,
        })
    });
    rows.expect("the changes can be read").collect::<Result<_, _>>().expect("the changes can be read")
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
