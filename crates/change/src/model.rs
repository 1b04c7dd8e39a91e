//! A slow model of one database: what local writes record and what merges do, told step by step, without tables, indexes
//! or statements. Engines are held to it by tests; nothing else uses it.
//!
//! It does not ask [`crate::decide`], so that the rule and the model check each other.

use crate::{Change, PackedKey, SENTINEL, SiteId, Value};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A table of the model. Columns of the primary key are not among its columns.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns outside of the key, in order, with their defaults.
    pub columns: Vec<(&'static str, Value)>,
}

/// One database.
#[derive(Clone, Debug)]
pub struct Model {
    site_id: SiteId,
    tables: Vec<Table>,
    /// Every key that was ever heard of, by table and packed key.
    rows: BTreeMap<(&'static str, Vec<u8>), Row>,
    pending: i64,
    seq: i64,
    merge_equal_values: bool,
}

#[derive(Clone, Debug, Default)]
struct Row {
    sentinel: Option<Clock>,
    cells: BTreeMap<&'static str, Clock>,
    /// The user's row.
    values: Option<BTreeMap<&'static str, Value>>,
}

/// A clock row. The version of a sentinel is the causal length.
#[derive(Clone, Copy, Debug)]
struct Clock {
    version: i64,
    db_version: i64,
    site_id: SiteId,
    seq: i64,
}

/// How a merged change is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// At least with its own db_version, and with its own seq: what an INSERT into `crsql_changes` does.
    Own,
    /// As the next event of the transaction: what a stream does.
    Next,
}

impl Model {
    /// An empty database.
    pub fn new(site_id: SiteId, tables: Vec<Table>) -> Model {
        Model { site_id, tables, rows: BTreeMap::new(), pending: 0, seq: 0, merge_equal_values: false }
    }

    /// Lets the author decide between equal values.
    pub fn set_merge_equal_values(&mut self, on: bool) {
        self.merge_equal_values = on;
    }

    /// Ends the transaction.
    pub fn commit(&mut self) {
        (self.pending, self.seq) = (0, 0);
    }

    /// Undoes what came after `before`, inside the transaction: numbers that were given out stay given out.
    pub fn rewind_to(&mut self, before: Model) {
        *self = Model { pending: self.pending, seq: self.seq, ..before };
    }

    /// The highest version of anything.
    pub fn db_version(&self) -> i64 {
        let of_row = |row: &Row| row.sentinel.iter().chain(row.cells.values()).map(|clock| clock.db_version).max();
        self.rows.values().filter_map(of_row).max().unwrap_or(0)
    }

    /// The user's row of a key: the values of its columns, in order.
    pub fn row(&self, table: &'static str, key: &PackedKey) -> Option<Vec<Value>> {
        let values = self.rows.get(&(table, key.as_bytes().to_vec()))?.values.as_ref()?;
        Some(self.columns(table).iter().map(|(column, _)| values[column].clone()).collect())
    }

    /// The keys of a table's rows.
    pub fn keys(&self, table: &'static str) -> Vec<PackedKey> {
        let of_table = self.rows.iter().filter(|((of, _), row)| *of == table && row.values.is_some());
        of_table.map(|((_, key), _)| packed(key)).collect()
    }

    /// INSERT OR REPLACE of a whole row, values in the order of the columns.
    pub fn insert(&mut self, table: &'static str, key: &PackedKey, values: &[Value]) {
        let names: Vec<&'static str> = self.columns(table).iter().map(|(name, _)| *name).collect();
        let existed = self.rows.contains_key(&(table, key.as_bytes().to_vec()));
        let values = names.iter().copied().zip(values.iter().cloned()).collect();
        self.row_mut(table, key).values = Some(values);
        if names.is_empty() {
            self.created(table, key);
            return;
        }
        if existed {
            // The number is taken even where there is no sentinel to touch.
            let clock = self.own_clock(0);
            if let Some(sentinel) = &mut self.row_mut(table, key).sentinel {
                *sentinel = Clock { version: next_life(sentinel.version), ..clock };
            }
        }
        names.into_iter().for_each(|name| self.updated(table, key, name));
    }

    /// UPDATE OR REPLACE of one row, to another key and other values, in the order of the columns.
    pub fn update(&mut self, table: &'static str, key: &PackedKey, new_key: &PackedKey, values: &[Value]) {
        let Some(before) = self.row(table, key) else { return };
        let names: Vec<&'static str> = self.columns(table).iter().map(|(name, _)| *name).collect();
        if key != new_key {
            self.moved(table, key, new_key);
        }
        self.row_mut(table, new_key).values = Some(names.iter().copied().zip(values.iter().cloned()).collect());
        for ((name, before), after) in names.into_iter().zip(before).zip(values) {
            if before != *after {
                self.updated(table, new_key, name);
            }
        }
    }

    /// DELETE of one row.
    pub fn delete(&mut self, table: &'static str, key: &PackedKey) {
        if self.row(table, key).is_some() {
            self.deleted(table, key);
            self.row_mut(table, key).cells.clear();
            self.row_mut(table, key).values = None;
        }
    }

    /// The records of `crsql_changes`, in stream order.
    pub fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for ((table, key), row) in &self.rows {
            let causal_length = row.sentinel.map_or(1, |sentinel| sentinel.version);
            let sentinel = row.sentinel.iter().map(|clock| (SENTINEL, clock));
            for (column, clock) in sentinel.chain(row.cells.iter().map(|(column, clock)| (*column, clock))) {
                let value = row.values.as_ref().and_then(|values| values.get(column).cloned());
                changes.push(Change {
                    table: (*table).into(),
                    key: packed(key),
                    column: column.into(),
                    value: value.unwrap_or(Value::Null),
                    col_version: clock.version,
                    db_version: clock.db_version,
                    site_id: clock.site_id,
                    causal_length,
                    seq: clock.seq,
                });
            }
        }
        changes.sort_by_key(Change::cursor);
        changes
    }

    /// Merges a change of another database; its table and column are known here. Returns how many effects it had: a cell
    /// that brings its row to life has two.
    pub fn merge(&mut self, change: &Change, numbering: Numbering) -> i64 {
        let Some(table) = self.tables.iter().find(|table| table.name == &*change.table).cloned() else { return 0 };
        let key = &change.key;
        let seq = match numbering {
            Numbering::Own => change.seq,
            Numbering::Next => self.next_seq(),
        };
        let floor = if numbering == Numbering::Own { change.db_version } else { 0 };
        let row = self.row_mut(table.name, key);
        let unknown = row.sentinel.is_none() && row.cells.is_empty();
        let here = row.sentinel.map_or(i64::from(!unknown), |sentinel| sentinel.version);
        let there = change.causal_length;
        if there < here {
            return 0;
        }
        if there % 2 == 0 {
            if there == here {
                return 0;
            }
            let clock = self.clock_of(change, there, floor, seq);
            *self.row_mut(table.name, key) = Row { sentinel: Some(clock), ..Row::default() };
            return 1;
        }
        if change.is_sentinel() {
            if there == here {
                return 0;
            }
            self.resurrect(&table, change, floor, seq);
            return 1;
        }
        let (column, default) = match table.columns.iter().find(|(name, _)| *name == &*change.column) {
            Some((name, default)) => (*name, default.clone()),
            None => return 0,
        };
        let mut effects = 0;
        if there > here && (!unknown || there > 1) {
            self.resurrect(&table, change, floor, seq);
            effects += 1;
        } else if there == here && !self.cell_wins(&table, change, column, &default) {
            return 0;
        }
        let clock = self.clock_of(change, change.col_version, floor, seq);
        let row = self.row_mut(table.name, key);
        row.values.get_or_insert_with(|| table.columns.iter().cloned().collect()).insert(column, change.value.clone());
        row.cells.insert(column, clock);
        effects + 1
    }

    fn cell_wins(&mut self, table: &Table, change: &Change, column: &'static str, default: &Value) -> bool {
        let merge_equal_values = self.merge_equal_values;
        let row = self.row_mut(table.name, &change.key);
        let Some(stored) = row.cells.get(column) else { return true };
        let value = row.values.as_ref().map_or(default, |values| &values[column]);
        let by_site = if merge_equal_values { change.site_id.cmp(&stored.site_id) } else { Ordering::Equal };
        let order = change.col_version.cmp(&stored.version).then(change.value.merge_order(value)).then(by_site);
        order == Ordering::Greater
    }

    fn resurrect(&mut self, table: &Table, change: &Change, floor: i64, seq: i64) {
        let clock = self.clock_of(change, change.causal_length, floor, seq);
        let row = self.row_mut(table.name, &change.key);
        row.values.get_or_insert_with(|| table.columns.iter().cloned().collect());
        for cell in row.cells.values_mut() {
            (cell.version, cell.db_version) = (0, clock.db_version);
        }
        row.sentinel = Some(clock);
    }

    fn updated(&mut self, table: &'static str, key: &PackedKey, column: &'static str) {
        let clock = self.own_clock(1);
        let cells = &mut self.row_mut(table, key).cells;
        let version = cells.get(column).map_or(1, |cell| cell.version + 1);
        cells.insert(column, Clock { version, ..clock });
    }

    fn created(&mut self, table: &'static str, key: &PackedKey) {
        let clock = self.own_clock(1);
        let sentinel = &mut self.row_mut(table, key).sentinel;
        let version = sentinel.map_or(1, |sentinel| next_life(sentinel.version));
        *sentinel = Some(Clock { version, ..clock });
    }

    fn deleted(&mut self, table: &'static str, key: &PackedKey) {
        let clock = self.own_clock(2);
        let sentinel = &mut self.row_mut(table, key).sentinel;
        let version = sentinel.map_or(2, |sentinel| sentinel.version + 1);
        *sentinel = Some(Clock { version, ..clock });
    }

    /// The cells are written anew under the new key, above what they were and above what a row had there.
    fn moved(&mut self, table: &'static str, key: &PackedKey, new_key: &PackedKey) {
        let old_cells = self.row_mut(table, key).cells.clone();
        let evicted = self.row_mut(table, new_key).cells.clone();
        let names: Vec<&'static str> = self.columns(table).iter().map(|(name, _)| *name).collect();
        for name in names {
            let highest =
                [&old_cells, &evicted].into_iter().filter_map(|cells| cells.get(name)).map(|cell| cell.version);
            if let Some(highest) = highest.max() {
                let clock = self.own_clock(highest + 1);
                self.row_mut(table, new_key).cells.insert(name, clock);
            }
        }
        let row = self.row_mut(table, key);
        row.cells.clear();
        row.values = None;
        self.deleted(table, key);
        self.created(table, new_key);
    }

    fn columns(&self, table: &'static str) -> &[(&'static str, Value)] {
        self.tables.iter().find(|known| known.name == table).map_or(&[], |table| &table.columns)
    }

    fn row_mut(&mut self, table: &'static str, key: &PackedKey) -> &mut Row {
        self.rows.entry((table, key.as_bytes().to_vec())).or_default()
    }

    fn own_clock(&mut self, version: i64) -> Clock {
        let db_version = self.next_version(0);
        Clock { version, db_version, site_id: self.site_id, seq: self.next_seq() }
    }

    fn clock_of(&mut self, change: &Change, version: i64, floor: i64, seq: i64) -> Clock {
        Clock { version, db_version: self.next_version(floor), site_id: change.site_id, seq }
    }

    /// One version for all of a transaction, unless a merge raises it.
    fn next_version(&mut self, floor: i64) -> i64 {
        // Before the first write of a transaction everything that is stored belongs to others.
        let begun = if self.pending == 0 { self.db_version() + 1 } else { self.pending };
        self.pending = begun.max(floor);
        self.pending
    }

    fn next_seq(&mut self) -> i64 {
        self.seq += 1;
        self.seq - 1
    }
}

/// A row is created: once more to life, or to the life after the next where it lives already.
fn next_life(causal_length: i64) -> i64 {
    causal_length + if causal_length % 2 == 0 { 1 } else { 2 }
}

fn packed(bytes: &[u8]) -> PackedKey {
    PackedKey::from_bytes(bytes.to_vec()).expect("it was packed when it came in")
}
