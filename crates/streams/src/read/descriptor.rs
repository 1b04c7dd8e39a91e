//! A change without its value and without the names around it: what the clock table says of one cell.

use super::tables::Tables;
use crate::error::Result;
use rejoin_change::{Cursor, PackedKey, Part, Place};
use std::cmp::Ordering;

/// One change of a version. Tables and columns are ranks in [`Tables`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Descriptor {
    pub seq: i64,
    pub table: u32,
    /// Known where the order depends on it.
    pub packed: Option<PackedKey>,
    pub column: u16,
    pub key: i64,
    pub col_version: i64,
    /// Ordinal.
    pub author: i64,
    /// Ordinal of the author of the row's sentinel, where the row lives and its sentinel is of this version.
    pub sentinel_author: Option<i64>,
    /// For a cell of an earlier version, told here because its row's sentinel is: its own db_version and seq.
    pub stored: Option<(i64, i64)>,
}

impl Descriptor {
    /// Where the change lies as seen from a cursor in its version. A value that the cursor stands inside lies behind it.
    pub fn compare(&self, tables: &Tables, cursor: &Cursor) -> Result<Ordering> {
        let by_seq = self.seq.cmp(&cursor.seq);
        let (true, Place::At { table, key, column, part }) = (by_seq.is_eq(), &cursor.place) else {
            return Ok(by_seq.then(Ordering::Less));
        };
        let own = tables.get(self.table);
        let by_table = own.name.cmp(table);
        if by_table.is_ne() {
            return Ok(by_table);
        }
        let Some(packed) = self.packed(tables)? else { return Ok(Ordering::Less) };
        let by_cell = packed.cmp(key).then_with(|| own.columns[self.column as usize].cmp(column));
        Ok(by_cell.then(if part.is_some() { Ordering::Greater } else { Ordering::Equal }))
    }

    /// Where a cursor in its version stands inside this cell's value, as it was then.
    pub fn part_at(&self, tables: &Tables, cursor: &Cursor) -> Result<Option<Part>> {
        let Place::At { table, key, column, part: Some(part) } = &cursor.place else { return Ok(None) };
        let own = tables.get(self.table);
        let is_it = self.seq == cursor.seq
            && own.name == *table
            && own.columns[self.column as usize] == *column
            && self.packed(tables)?.is_some_and(|packed| packed == *key);
        Ok(is_it.then_some(*part))
    }

    fn packed(&self, tables: &Tables) -> Result<Option<PackedKey>> {
        match &self.packed {
            Some(packed) => Ok(Some(packed.clone())),
            None => Ok(tables.get(self.table).read_key(self.key)?.map(|key| key.packed)),
        }
    }
}

/// Puts the changes of one version in stream order. Keys are read only where the order depends on them.
pub(super) fn put_in_order(changes: &mut Vec<Descriptor>, tables: &Tables) -> Result<()> {
    changes.sort_unstable_by_key(|change| (change.seq, change.table, change.key, change.column));
    let mut has_unknown = false;
    for tied in changes.chunk_by_mut(|a, b| (a.seq, a.table) == (b.seq, b.table)) {
        if tied.first().map(|change| change.key) == tied.last().map(|change| change.key) {
            continue;
        }
        for row in tied.chunk_by_mut(|a, b| a.key == b.key) {
            let packed = tables.get(row[0].table).read_key(row[0].key)?.map(|key| key.packed);
            // Nobody can be told of a row without a key, and it would have no place.
            has_unknown |= packed.is_none();
            row.iter_mut().for_each(|change| change.packed = packed.clone());
        }
        tied.sort_unstable_by(|a, b| (&a.packed, a.column).cmp(&(&b.packed, b.column)));
        tied.iter_mut().filter(|change| change.packed.is_none()).for_each(|change| change.seq = UNKNOWN);
    }
    if has_unknown {
        changes.retain(|change| change.seq != UNKNOWN);
    }
    Ok(())
}

/// No change has this seq.
const UNKNOWN: i64 = i64::MIN;
