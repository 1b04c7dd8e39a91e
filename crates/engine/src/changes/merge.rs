use super::ahead::ReadAhead;
use super::own_triggers;
use super::record::{Incoming, Record, about, table};
use super::row::{Lists, OpenRow, RowMerge};
use super::rowid;
use super::sites::SiteOrdinals;
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
    let (row, mut of_row, mut sites, records) = match warm {
        Some(warm) => (Some(warm.row), warm.of_row, warm.sites, warm.records),
        None => (None, 1, SiteOrdinals::default(), 0),
    };
    let explain = |error: Error| {
        engine.doubt_stored();
        about(&table, incoming.column, &error)
    };
    let mut row = match row.filter(|row| Rc::ptr_eq(row.table(), &table)) {
        Some(row) if row.is(packed) => row,
        other => {
            let mut row = other.unwrap_or_else(|| OpenRow::none(&table));
            // As many are to be expected of this row as there were of the one before.
            row.turn_to(packed, &incoming, of_row, None).map_err(explain)?;
            row.remember(packed);
            of_row = 0;
            row
        }
    };
    let mut lists = Lists::default();
    let mut merge = RowMerge::new(engine, &mut row, &mut sites, std::slice::from_ref(&incoming), &mut lists);
    let effective = merge.merge(0).and_then(|effective| merge.write().map(|()| effective)).map_err(explain)?;
    let number = row.key().filter(|_| effective).map_or(0, |key| rowid(table.index, key));
    let total = engine.connection.total_changes();
    engine.keep_warm_merge(WarmMerge { row, of_row: of_row + 1, sites, total, records: records + 1 });
    Ok(number)
}

/// What the merge of a record leaves for the next one, which often speaks of the same row.
///
/// It is good as long as nobody else has written through this connection, which SQLite's count of changed rows tells. A
/// statement adds the records that it inserted to the count when it ends. The engine drops it when a transaction ends or
/// a part of one is undone.
pub(crate) struct WarmMerge {
    row: OpenRow,
    /// Records of the row that were merged since it was read.
    of_row: usize,
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
        let triggers_off =
            own_triggers::off(self, changes.len()).map_err(|error| MergeFailure { changes: 0..1, error })?;
        batch.reads_ahead = triggers_off.is_some();
        let (mut merged, mut effective) = (0, 0);
        // One row at a time, so that what is read of the changes is still in the processor's cache when it is merged.
        let mut incoming = Vec::new();
        for of_row in changes.chunk_by(|a, b| a.key == b.key && a.table == b.table) {
            let mut at = 0..1;
            let seq = first_seq + merged as i64;
            effective += batch.merge_row(of_row, seq, &mut incoming, &mut at).map_err(|error| {
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
    /// The row that is being merged, and rows of its table that may come next.
    row: Option<(OpenRow, ReadAhead)>,
    /// True where no trigger can write rows of which nothing is said here.
    reads_ahead: bool,
    lists: Lists,
}

impl<'a> Batch<'a> {
    fn begin(engine: &'a Engine) -> Result<Batch<'a>> {
        engine.begin_write()?;
        drop(engine.take_warm_merge());
        let (sites, lists) = (SiteOrdinals::default(), Lists::default());
        Ok(Batch { engine, sites, row: None, reads_ahead: false, lists })
    }

    /// Merges changes of one row, the first of them as the event `seq`. Returns how many had an effect. `at` says which
    /// of them are being merged; `incoming` is room for what is read of them.
    fn merge_row<'c>(
        &mut self,
        changes: &'c [Change],
        seq: i64,
        incoming: &mut Vec<Incoming<'c>>,
        at: &mut Range<usize>,
    ) -> Result<usize> {
        let Batch { engine, sites, row, reads_ahead, lists } = self;
        let first = &changes[0];
        let (row, ahead) = match row {
            Some(known) if known.0.table().name == *first.table => known,
            _ => row.insert((OpenRow::none(&table(engine, first.table.as_bytes())?), ReadAhead::default())),
        };
        incoming.clear();
        for (place, change) in changes.iter().enumerate() {
            *at = place..place + 1;
            incoming.push(Incoming::of_change(row.table(), change, seq + place as i64)?);
        }
        *at = 0..1;
        row.turn_to(first.key.as_bytes(), &incoming[0], changes.len(), reads_ahead.then_some(ahead))?;
        let mut merge = RowMerge::new(engine, row, sites, incoming, lists);
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
