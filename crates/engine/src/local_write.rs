//! What the triggers of a tracked table call: the clock rows of a local write, in the same transaction as the write.
//!
//! A trigger only says what was written. Its clock rows are written when the statement has ended, see
//! [`crate::recorder`].

use crate::catalogue::Tracked;
use crate::engine::{Engine, Origin};
use crate::values::{Parameters, stored_alike, to_change};
use rejoin_bridge::{Call, Error, Output, Result, Slot, Value, ValueRef};
use rejoin_change::SENTINEL;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// `crsql_after_insert(table, keys…)`.
pub(crate) fn after_insert(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    let told = Told::by(engine, call)?;
    let keys = 1..1 + told.table.keys.len();
    told.check_count(keys.end)?;
    told.check_origin(&keys, true)?;
    let keys = told.values(keys);
    engine.record_later(LocalWrite { table: told.table, what: What::Inserted { keys } })
}

/// `crsql_after_update(table, new keys…, old keys…, new columns…, old columns…)`.
pub(crate) fn after_update(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    let told = Told::by(engine, call)?;
    let (keys, columns) = (told.table.keys.len(), told.table.columns.len());
    told.check_count(1 + 2 * (keys + columns))?;
    let (new_keys, old_keys) = (1..1 + keys, 1 + keys..1 + 2 * keys);
    told.check_origin(&new_keys, true)?;
    let first_column = old_keys.end;
    let is_changed = |column: &usize| {
        let place = first_column + column;
        !stored_alike(call.arg(place), call.arg(place + columns))
    };
    let changed = (0..columns).filter(is_changed).fold(0, |set: u64, column| set | 1 << column);
    let key_changed = new_keys.clone().any(|place| differ(call.arg(place), call.arg(place + keys)));
    if changed == 0 && !key_changed {
        return Ok(Output::Integer(0));
    }
    let old_keys = key_changed.then(|| told.values(old_keys));
    let what = What::Updated { keys: told.values(new_keys), old_keys, columns: changed };
    engine.record_later(LocalWrite { table: told.table, what })
}

/// `crsql_after_delete(table, keys…)`.
pub(crate) fn after_delete(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    let told = Told::by(engine, call)?;
    let keys = 1..1 + told.table.keys.len();
    told.check_count(keys.end)?;
    told.check_origin(&keys, false)?;
    let keys = told.values(keys);
    engine.record_later(LocalWrite { table: told.table, what: What::Deleted { keys } })
}

fn differ(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    to_change(a).merge_order(to_change(b)) != Ordering::Equal
}

const ATTACHED: &str = "a tracked table of an attached database can be written only by a connection that opens its file as \
     the main one, where the write is recorded";

/// A row that a trigger tells of.
struct Told<'a> {
    engine: &'a Engine,
    call: &'a Call<'a>,
    table: Rc<Tracked>,
    origin: Origin,
}

impl<'a> Told<'a> {
    fn by(engine: &'a Engine, call: &'a Call<'a>) -> Result<Told<'a>> {
        if call.is_empty() {
            return Err(Error::failed("expected at least 1 argument"));
        }
        let origin = engine.origin_of_write()?;
        if origin != Origin::Elsewhere {
            engine.begin_recording()?;
        }
        let name = call.arg(0).as_str().unwrap_or_default();
        let Some(table) = engine.table(name)? else {
            let place =
                if engine.has_attached()? { format!(" in the main database: {ATTACHED}") } else { String::new() };
            return Err(Error::failed(format!("table {name} not found{place}")));
        };
        table.check_writable()?;
        Ok(Told { engine, call, table, origin })
    }

    fn check_count(&self, expected: usize) -> Result<()> {
        if self.call.len() == expected {
            return Ok(());
        }
        Err(Error::failed(format!(
            "expected {expected} values, got {given}: the trigger of table {name} was made for other columns. Schema \
             changes of a tracked table go between crsql_begin_alter('{name}') and crsql_commit_alter('{name}'); \
             call both now",
            given = self.call.len(),
            name = self.table.name
        )))
    }

    /// Some of the arguments, to be kept.
    fn values(&self, places: Range<usize>) -> Vec<Value> {
        places.map(|place| self.call.arg(place).to_value()).collect()
    }

    /// Fails where the row that was written is one of an attached database. Where the transaction may write several, the
    /// row tells: it `remains` in the main database or has gone from it.
    fn check_origin(&self, keys: &Range<usize>, remains: bool) -> Result<()> {
        let here = match self.origin {
            Origin::Main => true,
            Origin::Elsewhere => false,
            Origin::Unknown => {
                let keys: Vec<ValueRef<'_>> = keys.clone().map(|place| self.call.arg(place)).collect();
                let exists = self.table.statements.row_exists.lend()?.query_row(&keys, |_| Ok(()))?.is_some();
                exists == remains && (remains || self.is_recorded_alive(&keys)?)
            }
        };
        if here {
            return Ok(());
        }
        let name = &self.table.name;
        Err(Error::failed(format!("no row of table {name} in the main database was written: {ATTACHED}")))
    }

    fn is_recorded_alive(&self, keys: &[ValueRef<'_>]) -> Result<bool> {
        self.engine.record_waiting()?;
        let values: Vec<ValueRef<'_>> = keys.iter().copied().chain([SENTINEL.into()]).collect();
        let alive = self.table.statements.standing.lend()?.query_row(&values, |found| {
            let causal_length = if found.column(1).is_null() { found.column_i64(3) } else { found.column_i64(1) };
            Ok(causal_length % 2 == 1)
        })?;
        Ok(alive.unwrap_or(false))
    }
}

/// What was written to one row of a tracked table, to be recorded.
pub(crate) struct LocalWrite {
    table: Rc<Tracked>,
    what: What,
}

enum What {
    Inserted {
        keys: Vec<Value>,
    },
    Updated {
        keys: Vec<Value>,
        /// None where they are the same.
        old_keys: Option<Vec<Value>>,
        /// The places of those that have changed, as bits.
        columns: u64,
    },
    Deleted {
        keys: Vec<Value>,
    },
}

impl LocalWrite {
    /// Writes the row's clock.
    pub(crate) fn record(&self, engine: &Engine) -> Result<()> {
        let write = Write { engine, table: &self.table };
        match &self.what {
            What::Inserted { keys } => write.inserted(keys),
            What::Updated { keys, old_keys, columns } => write.updated(keys, old_keys.as_deref(), *columns),
            What::Deleted { keys } => write.deleted(keys),
        }
    }
}

/// One row that is being recorded.
struct Write<'a> {
    engine: &'a Engine,
    table: &'a Tracked,
}

impl Write<'_> {
    fn inserted(&self, keys: &[Value]) -> Result<()> {
        let (engine, table) = (self.engine, self.table);
        let (key, existed) = add_or_find_key(engine, table, &key_values(keys))?;
        if table.columns.is_empty() {
            self.sentinel(&table.statements.created, key)
        } else if existed {
            self.sentinel(&table.statements.recreated, key)?;
            table.columns.iter().try_for_each(|column| self.touch_cell(key, column))
        } else {
            // A row's first life needs no sentinel.
            self.add_cells(key)
        }
    }

    fn updated(&self, keys: &[Value], old_keys: Option<&[Value]>, columns: u64) -> Result<()> {
        let new_key = self.key(keys)?;
        if let Some(old_keys) = old_keys {
            let old_key = self.key(old_keys)?;
            // Keys that are equal as numbers, 1 and 1.0, are one key: the row has not moved.
            if old_key != new_key {
                self.move_row(old_key, new_key)?;
            }
        }
        let changed = self.table.columns.iter().enumerate().filter(|(place, _)| columns >> place & 1 == 1);
        changed.map(|(_, column)| column).try_for_each(|column| self.touch_cell(new_key, column))
    }

    fn deleted(&self, keys: &[Value]) -> Result<()> {
        let key = self.key(keys)?;
        self.sentinel(&self.table.statements.deleted, key)?;
        self.table.statements.drop_cells.lend()?.run(&[key.into()])
    }

    /// The number that stands for a key here.
    fn key(&self, keys: &[Value]) -> Result<i64> {
        find_or_add_key(self.engine, self.table, &key_values(keys)).map(|(key, _)| key)
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

fn key_values(keys: &[Value]) -> Parameters<'_> {
    keys.iter().map(Value::as_ref).collect()
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
