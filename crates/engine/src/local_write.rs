//! What the triggers of a tracked table call: the clock rows of a local write, in the same transaction as the write.

use crate::catalogue::Tracked;
use crate::engine::{Engine, Origin};
use crate::values::{stored_alike, to_change};
use rejoin_bridge::{Call, Error, Output, Result, Slot, ValueRef};
use rejoin_change::SENTINEL;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

/// `crsql_after_insert(table, keys…)`.
pub(crate) fn after_insert(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    let write = Write::begin(engine, call)?;
    let table = &*write.table;
    let keys = write.values(1, table.keys.len(), 1 + table.keys.len())?;
    write.check_origin(&keys, true)?;
    let (key, existed) = add_or_find_key(engine, table, &keys)?;
    if table.columns.is_empty() {
        write.sentinel(&table.statements.created, key)?;
    } else if existed {
        write.sentinel(&table.statements.recreated, key)?;
        table.columns.iter().try_for_each(|column| write.touch_cell(key, column))?;
    } else {
        // A row's first life needs no sentinel.
        write.add_cells(key)?;
    }
    Ok(Output::Integer(0))
}

/// `crsql_after_update(table, new keys…, old keys…, new columns…, old columns…)`.
pub(crate) fn after_update(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    let write = Write::begin(engine, call)?;
    let table = &*write.table;
    let (keys, columns) = (table.keys.len(), table.columns.len());
    let expected = 1 + 2 * (keys + columns);
    let new_keys = write.values(1, keys, expected)?;
    let old_keys = write.values(1 + keys, keys, expected)?;
    let new_columns = write.values(1 + 2 * keys, columns, expected)?;
    let old_columns = write.values(1 + 2 * keys + columns, columns, expected)?;

    write.check_origin(&new_keys, true)?;
    let changed: Vec<usize> = (0..columns).filter(|i| !stored_alike(new_columns[*i], old_columns[*i])).collect();
    let key_changed = new_keys.iter().zip(&old_keys).any(|(new, old)| differ(*new, *old));
    if changed.is_empty() && !key_changed {
        return Ok(Output::Integer(0));
    }
    let (new_key, _) = write.key(&new_keys)?;
    if key_changed {
        let (old_key, _) = write.key(&old_keys)?;
        // Keys that are equal as numbers, 1 and 1.0, are one key: the row has not moved.
        if old_key != new_key {
            write.move_row(old_key, new_key)?;
        }
    }
    for column in changed {
        write.touch_cell(new_key, &table.columns[column])?;
    }
    Ok(Output::Integer(0))
}

/// `crsql_after_delete(table, keys…)`.
pub(crate) fn after_delete(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    let write = Write::begin(engine, call)?;
    let table = &*write.table;
    let keys = write.values(1, table.keys.len(), 1 + table.keys.len())?;
    write.check_origin(&keys, false)?;
    let (key, _) = write.key(&keys)?;
    write.sentinel(&table.statements.deleted, key)?;
    table.statements.drop_cells.lend()?.run(&[key.into()])?;
    Ok(Output::Integer(0))
}

fn differ(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    to_change(a).merge_order(to_change(b)) != Ordering::Equal
}

const ATTACHED: &str = "a tracked table of an attached database can be written only by a connection that opens its file as \
     the main one, where the write is recorded";

/// One row that is being recorded.
struct Write<'a> {
    engine: &'a Engine,
    call: &'a Call<'a>,
    table: Rc<Tracked>,
    origin: Origin,
}

impl<'a> Write<'a> {
    fn begin(engine: &'a Engine, call: &'a Call<'a>) -> Result<Write<'a>> {
        if call.is_empty() {
            return Err(Error::failed("expected at least 1 argument"));
        }
        let origin = engine.origin_of_write()?;
        engine.begin_write()?;
        let name = call.arg(0).as_str().unwrap_or_default();
        let Some(table) = engine.table(name)? else {
            let place =
                if engine.has_attached()? { format!(" in the main database: {ATTACHED}") } else { String::new() };
            return Err(Error::failed(format!("table {name} not found{place}")));
        };
        table.check_writable()?;
        Ok(Write { engine, call, table, origin })
    }

    /// Some of the arguments, of which `expected` are wanted altogether.
    fn values(&self, first: usize, count: usize, expected: usize) -> Result<Vec<ValueRef<'a>>> {
        if self.call.len() != expected {
            return Err(Error::failed(format!(
                "expected {expected} values, got {given}: the trigger of table {name} was made for other columns. Schema \
                 changes of a tracked table go between crsql_begin_alter('{name}') and crsql_commit_alter('{name}'); \
                 call both now",
                given = self.call.len(),
                name = self.table.name
            )));
        }
        Ok((first..first + count).map(|i| self.call.arg(i)).collect())
    }

    /// Fails where the row that was written is one of an attached database. Where the transaction may write several, the
    /// row tells: it `remains` in the main database or has gone from it.
    fn check_origin(&self, keys: &[ValueRef<'_>], remains: bool) -> Result<()> {
        let here = match self.origin {
            Origin::Main => true,
            Origin::Elsewhere => false,
            Origin::Unknown => {
                let exists = self.table.statements.row_exists.lend()?.query_row(keys, |_| Ok(()))?.is_some();
                exists == remains && (remains || self.is_recorded_alive(keys)?)
            }
        };
        if here {
            return Ok(());
        }
        let name = &self.table.name;
        Err(Error::failed(format!("no row of table {name} in the main database was written: {ATTACHED}")))
    }

    fn is_recorded_alive(&self, keys: &[ValueRef<'_>]) -> Result<bool> {
        let values: Vec<ValueRef<'_>> = keys.iter().copied().chain([SENTINEL.into()]).collect();
        let alive = self.table.statements.standing.lend()?.query_row(&values, |found| {
            let causal_length = if found.column(1).is_null() { found.column_i64(3) } else { found.column_i64(1) };
            Ok(causal_length % 2 == 1)
        })?;
        Ok(alive.unwrap_or(false))
    }

    /// The number that stands for a key here, and whether the key was known.
    fn key(&self, keys: &[ValueRef<'_>]) -> Result<(i64, bool)> {
        find_or_add_key(self.engine, &self.table, keys)
    }

    fn sentinel(&self, statement: &Slot, key: i64) -> Result<()> {
        let version = self.engine.stamp(0)?;
        statement.lend()?.run(&[key.into(), version.into(), self.engine.take_seq(1).into()])
    }

    /// Records the first write of every cell.
    fn add_cells(&self, key: i64) -> Result<()> {
        let version = self.engine.stamp(0)?;
        let first_seq = self.engine.take_seq(self.table.columns.len());
        self.table.statements.add_cells.lend()?.run(&[key.into(), version.into(), first_seq.into()])
    }

    /// Records a write of a cell that may have been written before.
    fn touch_cell(&self, key: i64, column: &str) -> Result<()> {
        let version = self.engine.stamp(0)?;
        let seq = self.engine.take_seq(1);
        self.table.statements.touch_cell.lend()?.run(&[key.into(), column.into(), version.into(), seq.into()])
    }

    /// A row has got another key: for others, one row is deleted and another created. Its cells are recorded anew under
    /// the new key, above both what they were and what a row had there that this one replaces. Otherwise peers that have
    /// passed the old versions, or hold the replaced row's higher ones, would never take them.
    fn move_row(&self, old_key: i64, new_key: i64) -> Result<()> {
        let statements = &self.table.statements;
        let mut cells: BTreeMap<usize, i64> = BTreeMap::new();
        for key in [old_key, new_key] {
            let found = statements.cells_of_key.lend()?.query(&[key.into()], |row| {
                Ok((row.column(0).as_bytes().and_then(|name| self.table.column_index(name)), row.column_i64(1)))
            })?;
            for (column, col_version) in found {
                if let Some(column) = column {
                    let highest = cells.entry(column).or_default();
                    *highest = col_version.max(*highest);
                }
            }
        }
        let version = self.engine.stamp(0)?;
        for (column, highest) in cells {
            let seq = self.engine.take_seq(1);
            let column = self.table.columns[column].as_str();
            let values =
                [new_key.into(), column.into(), highest.saturating_add(1).into(), version.into(), 0.into(), seq.into()];
            statements.set_clock_row.lend()?.run(&values)?;
        }
        statements.drop_cells.lend()?.run(&[old_key.into()])?;
        self.sentinel(&statements.deleted, old_key)?;
        self.sentinel(&statements.created, new_key)
    }
}

/// The number that stands for a key in this database, made at first contact, and whether it was there.
pub(crate) fn find_or_add_key(engine: &Engine, table: &Tracked, keys: &[ValueRef<'_>]) -> Result<(i64, bool)> {
    if let Some(key) = find_key(table, keys)? {
        return Ok((key, true));
    }
    table.statements.add_key.lend()?.run(keys)?;
    Ok((engine.connection.last_insert_rowid(), false))
}

/// As [`find_or_add_key`], for keys that are usually new.
pub(crate) fn add_or_find_key(engine: &Engine, table: &Tracked, keys: &[ValueRef<'_>]) -> Result<(i64, bool)> {
    // The index that notices a known key takes no two NULLs for the same.
    if !keys.iter().any(|key| key.is_null()) {
        table.statements.add_key.lend()?.run(keys)?;
        if engine.connection.changes() == 1 {
            return Ok((engine.connection.last_insert_rowid(), false));
        }
    }
    find_or_add_key(engine, table, keys)
}

/// The number that stands for a key in this database.
pub(crate) fn find_key(table: &Tracked, keys: &[ValueRef<'_>]) -> Result<Option<i64>> {
    table.statements.find_key.lend()?.query_row(keys, |row| Ok(row.column_i64(0)))
}
