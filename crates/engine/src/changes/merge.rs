use super::own_triggers;
use super::record::{Incoming, Record, about, table};
use super::row::{OpenRow, RowMerge};
use super::rowid;
use super::sites::SiteOrdinals;
use crate::catalogue::Tracked;
use crate::engine::Engine;
use rejoin_bridge::{Columns, Error, Result};
use rejoin_change::{Change, ChangeStore, MergeFailure};
use std::ops::Range;
use std::rc::Rc;

/// Merges one record. Returns the rowid of its row, or 0 where it had no effect.
pub(super) fn merge(engine: &Rc<Engine>, columns: &Columns<'_>) -> Result<i64> {
    let Record { table, packed, incoming } = Record::read(engine, columns)?;
    engine.begin_write()?;
    let total = engine.connection.total_changes();
    let warm = engine.take_warm_merge().and_then(|warm| warm.go_on(total));
    let (row, mut sites, records) = match warm {
        Some(warm) => (Some(warm.row), warm.sites, warm.records),
        None => (None, SiteOrdinals::default(), 0),
    };
    let explain = |error: Error| {
        engine.doubt_stored();
        about(&table, incoming.column, &error)
    };
    let mut row = match row.filter(|row| row.is(&table, packed)) {
        Some(row) => row,
        None => {
            let mut row = OpenRow::read(&table, packed, &incoming, 1).map_err(explain)?;
            row.remember(packed);
            row
        }
    };
    let mut merge = RowMerge::new(engine, &mut row, &mut sites, std::slice::from_ref(&incoming));
    let effective = merge.merge(0).and_then(|effective| merge.write().map(|()| effective)).map_err(explain)?;
    let number = row.key().filter(|_| effective).map_or(0, |key| rowid(table.index, key));
    let total = engine.connection.total_changes();
    engine.keep_warm_merge(WarmMerge { row, sites, total, records: records + 1 });
    Ok(number)
}

/// What the merge of a record leaves for the next one, which often speaks of the same row.
///
/// It is good as long as nobody else has written through this connection, which SQLite's count of changed rows tells. A
/// statement adds the records that it inserted to the count when it ends. The engine drops it when a transaction ends or
/// a part of one is undone.
pub(crate) struct WarmMerge {
    row: OpenRow,
    sites: SiteOrdinals,
    /// The count after the merge.
    total: i64,
    /// Records merged since the count last went up by a statement's end.
    records: i64,
}

impl WarmMerge {
    fn go_on(self, total: i64) -> Option<WarmMerge> {
        match total - self.total {
            0 => Some(self),
            ended if ended == self.records => Some(WarmMerge { records: 0, ..self }),
            _ => None,
        }
    }
}

impl ChangeStore for Engine {
    type Error = Error;

    fn merge(&self, changes: &[Change]) -> std::result::Result<usize, MergeFailure<Error>> {
        let mut batch = Batch::begin(self).map_err(|error| MergeFailure { changes: 0..1, error })?;
        let first_seq = self.take_seq(changes.len());
        let _triggers =
            own_triggers::off(self, changes.len()).map_err(|error| MergeFailure { changes: 0..1, error })?;
        let (mut merged, mut effective) = (0, 0);
        // One row at a time, so that what is read of the changes is still in the processor's cache when it is merged.
        let mut incoming = Vec::new();
        for of_row in changes.chunk_by(|a, b| a.key == b.key && a.table == b.table) {
            incoming.clear();
            for (change, place) in of_row.iter().zip(merged..) {
                let seq = first_seq + place as i64;
                let checked = batch.table(change).and_then(|table| Incoming::of_change(&table, change, seq));
                incoming.push(checked.map_err(|error| MergeFailure { changes: place..place + 1, error })?);
            }
            let mut at = 0..1;
            effective += batch.merge_row(&of_row[0], &incoming, &mut at).map_err(|error| {
                self.doubt_stored();
                MergeFailure { changes: merged + at.start..merged + at.end, error }
            })?;
            merged += of_row.len();
        }
        Ok(effective)
    }
}

/// Changes that are merged together: nothing else happens in the database meanwhile.
struct Batch<'a> {
    engine: &'a Engine,
    sites: SiteOrdinals,
    /// The table of the change before.
    table: Option<Rc<Tracked>>,
}

impl<'a> Batch<'a> {
    fn begin(engine: &'a Engine) -> Result<Batch<'a>> {
        engine.begin_write()?;
        drop(engine.take_warm_merge());
        Ok(Batch { engine, sites: SiteOrdinals::default(), table: None })
    }

    fn table(&mut self, change: &Change) -> Result<Rc<Tracked>> {
        let before = self.table.take().filter(|table| table.name == *change.table);
        let table = before.map_or_else(|| table(self.engine, change.table.as_bytes()), Ok)?;
        self.table = Some(table.clone());
        Ok(table)
    }

    /// Merges changes of the row of `first`. Returns how many had an effect. `at` says which of them are being merged.
    fn merge_row(&mut self, first: &Change, changes: &[Incoming<'_>], at: &mut Range<usize>) -> Result<usize> {
        let table = self.table(first)?;
        let mut row = OpenRow::read(&table, first.key.as_bytes(), &changes[0], changes.len())?;
        let mut merge = RowMerge::new(self.engine, &mut row, &mut self.sites, changes);
        let mut effective = 0;
        for place in 0..changes.len() {
            *at = place..place + 1;
            effective += usize::from(merge.merge(place)?);
        }
        *at = 0..changes.len();
        merge.write()?;
        Ok(effective)
    }
}
