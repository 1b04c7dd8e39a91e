//! A package's changes into the tables: everything is checked before SQLite sees it, and a refusal says which cell it is
//! about.

use crate::change_store;
use crate::checks::{IgnoredChecks, has_checks};
use crate::engine_facts::{self, TableShape};
use crate::error::{Result, StreamError};
use crate::options::{OnUnknown, OnViolation};
use crate::parking;
use crate::sql;
use crate::staging::behind_value;
use crate::values::to_bridge;
use rejoin_bridge::{self as bridge, Connection, ValueRef};
use rejoin_change::{COUNTER_MAX, Change, ChangeStore, PackedKey, SENTINEL, Value};
use rejoin_wire::Package;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

/// Changes on their way into the tables. The changes get this transaction's version and its next seqs, so that no
/// remote's numbers reach this database's. Used inside an atomic body: it merges all or fails.
pub(crate) struct Merge<'c> {
    connection: &'c Connection,
    on_unknown: OnUnknown,
    on_violation: OnViolation,
    only_parks: bool,
    shapes: HashMap<Arc<str>, Option<TableShape>>,
    /// The changes of the last row, of which more may follow: a row is merged at once, so that its CHECKs see all of it.
    pending: Vec<Change>,
    /// Rows that violate a CHECK as far as they are known: more of them may follow, and then they may not.
    held: BTreeMap<(Arc<str>, PackedKey), Vec<Change>>,
    effective: bool,
    violations: i64,
    /// While the original engine merges cell by cell, no CHECK can be judged.
    _unchecked: Option<IgnoredChecks<'c>>,
}

/// What a merge did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Merged {
    /// Something was news.
    pub is_news: bool,
    /// Rows merged although they violate a CHECK constraint.
    pub violations: i64,
}

impl<'c> Merge<'c> {
    pub fn new(connection: &'c Connection, on_unknown: OnUnknown, on_violation: OnViolation) -> Result<Merge<'c>> {
        let by_cell = change_store::store(connection).is_none();
        let unchecked = (by_cell && has_checks(connection)?).then(|| IgnoredChecks::begin(connection)).transpose()?;
        Ok(Merge {
            connection,
            on_unknown,
            on_violation,
            only_parks: false,
            shapes: HashMap::new(),
            pending: Vec::new(),
            held: BTreeMap::new(),
            effective: false,
            violations: 0,
            _unchecked: unchecked,
        })
    }

    /// One that keeps everything with what has no place here, because the tables have refused it.
    pub fn parking(connection: &'c Connection) -> Result<Merge<'c>> {
        let mut merge = Merge::new(connection, OnUnknown::Park, OnViolation::Stop)?;
        merge.only_parks = true;
        Ok(merge)
    }

    /// Merges changes in the order of the stream, save the last row's, which wait for more of it.
    pub fn add(&mut self, changes: &[Change]) -> Result<()> {
        let is_pending = |change: &Change, row: &Change| change.key == row.key && change.table == row.table;
        let more = match self.pending.first() {
            Some(row) => changes.iter().take_while(|change| is_pending(change, row)).count(),
            None => 0,
        };
        self.pending.extend_from_slice(&changes[..more]);
        let Some(last) = changes[more..].last() else { return Ok(()) };
        let whole = changes.len() - changes.iter().rev().take_while(|change| is_pending(change, last)).count();
        let whole = whole.max(more);
        self.merge_pending()?;
        self.merge(&changes[more..whole])?;
        self.pending.extend_from_slice(&changes[whole..]);
        Ok(())
    }

    /// As [`Merge::add`], for one change, which may be large.
    pub fn add_one(&mut self, change: Change) -> Result<()> {
        if self.pending.first().is_some_and(|row| row.key != change.key || row.table != change.table) {
            self.merge_pending()?;
        }
        self.pending.push(change);
        Ok(())
    }

    /// Merges the last row's changes: what follows is not of it.
    pub fn finish(&mut self) -> Result<()> {
        self.merge_pending()
    }

    /// Merges everything that still waits. What violates a CHECK now does so for good.
    pub fn end(mut self) -> Result<Merged> {
        self.merge_pending()?;
        for changes in std::mem::take(&mut self.held).into_values() {
            match change_store::store(self.connection) {
                Some(store) => self.merge_held(&*store, &changes)?,
                None => self.merge_by_sql(&changes)?,
            }
        }
        Ok(Merged { is_news: self.effective, violations: self.violations })
    }

    /// Merges changes behind which nothing follows.
    pub fn add_whole(&mut self, changes: &[Change]) -> Result<()> {
        self.merge_pending()?;
        self.merge(changes)
    }

    fn merge_pending(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.merge(&pending)
    }

    fn merge(&mut self, changes: &[Change]) -> Result<()> {
        if self.only_parks {
            return changes.iter().try_for_each(|change| parking::park(self.connection, change));
        }
        let mut fitting: Option<Vec<Change>> = None;
        let mut checked = 0;
        for of_table in changes.chunk_by(|a, b| a.table == b.table) {
            let (connection, on_unknown) = (self.connection, self.on_unknown);
            let shape = self.shape(&of_table[0].table)?;
            for change in of_table {
                match Misfit::of(shape, change) {
                    None => {
                        if let Some(fitting) = &mut fitting {
                            fitting.push(change.clone());
                        }
                    }
                    Some(misfit) if on_unknown == OnUnknown::Error => return Err(misfit.refusal(change)),
                    Some(_) => {
                        fitting.get_or_insert_with(|| changes[..checked].to_vec());
                        parking::park(connection, change)?;
                    }
                }
                checked += 1;
            }
        }
        self.merge_fitting(fitting.as_deref().unwrap_or(changes))
    }

    /// What a table looks like here, if there is one.
    fn shape(&mut self, table: &Arc<str>) -> Result<Option<&TableShape>> {
        if !self.shapes.contains_key(table) {
            let shape = engine_facts::table_shape(self.connection, table)?;
            self.shapes.insert(table.clone(), shape);
        }
        Ok(self.shapes[table].as_ref())
    }

    fn merge_fitting(&mut self, changes: &[Change]) -> Result<()> {
        match change_store::store(self.connection) {
            _ if changes.is_empty() => Ok(()),
            Some(store) => self.merge_by_store(&*store, changes),
            None => self.merge_by_sql(changes),
        }
    }

    fn merge_by_store(&mut self, store: &Engine, changes: &[Change]) -> Result<()> {
        let mut rest = Cow::Borrowed(changes);
        if !self.held.is_empty() {
            rest = Cow::Owned(self.hold_back(changes));
        }
        loop {
            let failure = match store.merge(&rest) {
                Ok(effective) => {
                    self.effective |= effective > 0;
                    return Ok(());
                }
                Err(failure) => failure,
            };
            if failure.error.code != bridge::code::CONSTRAINT_CHECK {
                return Err(refused(&rest[failure.changes], failure.error));
            }
            // What lies before the row is merged; of the row itself nothing need be.
            self.effective = true;
            let row = row_of(&rest[failure.changes.start]);
            let before = rest[..failure.changes.start].iter().rev();
            let start = failure.changes.start - before.take_while(|change| row_of(change) == row).count();
            self.held.insert(row, Vec::new());
            rest = Cow::Owned(self.hold_back(&rest[start..]));
        }
    }

    /// Keeps the changes of rows that violate a CHECK so far, and returns the others.
    fn hold_back(&mut self, changes: &[Change]) -> Vec<Change> {
        let mut others = Vec::with_capacity(changes.len());
        for change in changes {
            match self.held.get_mut(&row_of(change)) {
                Some(held) => held.push(change.clone()),
                None => others.push(change.clone()),
            }
        }
        others
    }

    /// Merges the changes of one row together. They may stand apart in the stream, and only together obey its CHECKs.
    fn merge_held(&mut self, store: &Engine, changes: &[Change]) -> Result<()> {
        let Err(failure) = store.merge(changes) else { return Ok(()) };
        let violates = failure.error.code == bridge::code::CONSTRAINT_CHECK;
        if !violates || self.on_violation == OnViolation::Stop {
            return Err(refused(&changes[failure.changes], failure.error));
        }
        let _unchecked = IgnoredChecks::begin(self.connection)?;
        store.merge(changes).map_err(|failure| refused(&changes[failure.changes], failure.error))?;
        self.violations += 1;
        Ok(())
    }

    fn merge_by_sql(&mut self, changes: &[Change]) -> Result<()> {
        let impacted_before = rows_impacted(self.connection)?;
        let sync_bit = sync_bit(self.connection)?;
        let mut statement = self.connection.cached(&sql::merge_change())?;
        for change in changes {
            statement
                .run(&[
                    ValueRef::from(&*change.table),
                    change.key.as_bytes().into(),
                    ValueRef::from(&*change.column),
                    to_bridge(&change.value),
                    change.col_version.into(),
                    change.site_id.as_bytes().into(),
                    change.causal_length.into(),
                ])
                .map_err(|error| {
                    // The original forgets to let local writes be recorded again.
                    if let Err(error) = set_sync_bit(self.connection, sync_bit) {
                        return error;
                    }
                    refused(std::slice::from_ref(change), error)
                })?;
        }
        self.effective |= rows_impacted(self.connection)? != impacted_before;
        Ok(())
    }
}

fn row_of(change: &Change) -> (Arc<str>, PackedKey) {
    (change.table.clone(), change.key.clone())
}

type Engine = dyn ChangeStore<Error = bridge::Error>;

/// Effective merges of this transaction, as the engine counts them.
fn rows_impacted(connection: &Connection) -> Result<i64> {
    let impacted = connection.cached(sql::ROWS_IMPACTED)?.query_row(&[], |row| Ok(row.column_i64(0)))?;
    Ok(impacted.unwrap_or(0))
}

/// 1 while what is written is not recorded as a local write.
fn sync_bit(connection: &Connection) -> Result<i64> {
    Ok(connection.cached(sql::SYNC_BIT)?.query_row(&[], |row| Ok(row.column_i64(0)))?.unwrap_or(0))
}

fn set_sync_bit(connection: &Connection, bit: i64) -> Result<()> {
    Ok(connection.cached(sql::SET_SYNC_BIT)?.query_row(&[bit.into()], |_| Ok(())).map(|_| ())?)
}

/// Checks what a package says of itself, before anything of it is kept: counters and the order of its changes.
pub(crate) fn check(package: &Package) -> Result<()> {
    let mut before: Option<&Change> = None;
    for change in &package.changes {
        check_counters(change)?;
        if before.is_some_and(|before| order(before, change).is_ge()) {
            return Err(out_of_order(change));
        }
        before = Some(change);
    }
    if let (Some(first), Some(last)) = (package.changes.first(), before) {
        if first.cursor() <= package.start.cursor {
            return Err(out_of_order(first));
        }
        if last.cursor() > behind_value(&package.end.cursor) {
            return Err(out_of_order(last));
        }
    }
    Ok(())
}

/// The order of a stream, which is that of the changes' cursors.
fn order(a: &Change, b: &Change) -> Ordering {
    let place = |change: &Change| (change.db_version, change.seq);
    place(a)
        .cmp(&place(b))
        .then_with(|| a.table.cmp(&b.table))
        .then_with(|| a.key.cmp(&b.key))
        .then_with(|| a.column.cmp(&b.column))
}

fn out_of_order(change: &Change) -> StreamError {
    StreamError::PeerMisbehaved(format!(
        "the package has the change of {} out of order, at {}; it was not made by an outbound stream",
        describe(change),
        change.cursor()
    ))
}

fn check_counters(change: &Change) -> Result<()> {
    let in_range = (0..=COUNTER_MAX).contains(&change.col_version) && (1..=COUNTER_MAX).contains(&change.causal_length);
    if in_range && (!change.is_sentinel() || change.col_version == change.causal_length) {
        return Ok(());
    }
    Err(StreamError::PeerMisbehaved(format!(
        "the change of {} has col_version {} and causal length {}, which no database makes",
        describe(change),
        change.col_version,
        change.causal_length
    )))
}

/// Why a change has no place in this schema.
pub(crate) enum Misfit {
    Table,
    /// The key has this many columns here.
    Key(usize),
    Column,
}

impl Misfit {
    pub fn of(shape: Option<&TableShape>, change: &Change) -> Option<Misfit> {
        let Some(shape) = shape else { return Some(Misfit::Table) };
        if change.key.len() != shape.key_len {
            return Some(Misfit::Key(shape.key_len));
        }
        // A deletion speaks of the whole row, whatever column it names.
        let is_known = change.is_sentinel() || change.causal_length % 2 == 0 || shape.columns.contains(&*change.column);
        (!is_known).then_some(Misfit::Column)
    }

    fn refusal(&self, change: &Change) -> StreamError {
        let Change { table, column, .. } = change;
        StreamError::PeerIncompatible(match self {
            Misfit::Table => {
                let column =
                    if change.is_sentinel() { String::new() } else { format!(" (it changes column {column})") };
                format!(
                    "the package has a change for table {table}{column}, which is not replicated in this database; \
                     create the table here and run SELECT crsql_as_crr('{}'), then apply the package again",
                    table.replace('\'', "''")
                )
            }
            Misfit::Key(here) => format!(
                "the package has a key of {} values for table {table} (column {column}), whose primary key has {here} \
                 here; bring both schemas in line, then apply the package again",
                change.key.len()
            ),
            Misfit::Column => format!(
                "the package has a change for column {column} of table {table}, which that table lacks in this \
                 database; add the column here between crsql_begin_alter and crsql_commit_alter, then apply the package \
                 again"
            ),
        })
    }
}

/// SQLite's own words, with the cell that they are about, or the cells where several of a row were written together.
fn refused(changes: &[Change], error: bridge::Error) -> StreamError {
    let what = match changes {
        [change] => format!("change of {}", describe(change)),
        _ => {
            let columns: Vec<&str> =
                changes.iter().map(|change| &*change.column).filter(|name| *name != SENTINEL).collect();
            format!("changes of {}, columns {},", describe_row(&changes[0]), columns.join(", "))
        }
    };
    let verb = if changes.len() == 1 { "was" } else { "were" };
    StreamError::Store(bridge::Error::new(error.code, format!("the {what} {verb} refused: {}", error.message)))
}

/// The cell of a change, for messages: table, key and column.
pub(crate) fn describe(change: &Change) -> String {
    let row = describe_row(change);
    if change.is_sentinel() { row } else { format!("{row}, column {}", change.column) }
}

/// The row of a change, for messages: table and key.
fn describe_row(change: &Change) -> String {
    let mut text = format!("table {}, key (", change.table);
    for (index, value) in change.key.values().iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        describe_value(&mut text, value);
    }
    text.push(')');
    text
}

fn describe_value(text: &mut String, value: &Value) {
    let written = match value {
        Value::Null => write!(text, "NULL"),
        Value::Integer(i) => write!(text, "{i}"),
        Value::Real(r) => write!(text, "{r:?}"),
        Value::Text(bytes) => write!(text, "'{}'", shortened(&String::from_utf8_lossy(bytes))),
        Value::Blob(bytes) => {
            let hex: String = bytes.iter().take(DESCRIBED_MAX).map(|byte| format!("{byte:02x}")).collect();
            write!(text, "x'{}'", shortened(&hex))
        }
    };
    written.expect("writing to a String cannot fail");
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(DESCRIBED_MAX) {
        Some((index, _)) => format!("{}…", &text[..index]),
        None => text.into(),
    }
}

/// Characters of one key value in a message.
const DESCRIBED_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_change::{PackedKey, SiteId, ValueRef as KeyValue};

    #[test]
    fn a_cell_is_described_by_table_key_and_column() {
        let key = [KeyValue::Integer(7), KeyValue::Text(b"long"), KeyValue::Blob(&[0xab]), KeyValue::Real(1.5)];
        let mut change = Change {
            table: "t".into(),
            key: PackedKey::pack(&key).unwrap(),
            column: "b".into(),
            value: Value::Null,
            col_version: 1,
            db_version: 1,
            site_id: SiteId([0; 16]),
            causal_length: 1,
            seq: 0,
        };
        assert_eq!(describe(&change), "table t, key (7, 'long', x'ab', 1.5), column b");
        change.column = SENTINEL.into();
        change.key = PackedKey::pack(&[KeyValue::Text("é".repeat(50).as_bytes())]).unwrap();
        assert_eq!(describe(&change), format!("table t, key ('{}…')", "é".repeat(40)));
    }
}
