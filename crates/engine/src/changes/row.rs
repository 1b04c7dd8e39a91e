//! Changes of one row, merged into it: its clock is read once, every change is decided in memory, and what has won is
//! written with one statement for the user's row and one for each clock row.

use super::record::{Incoming, key_values};
use super::sites::SiteOrdinals;
use crate::catalogue::Tracked;
use crate::engine::Engine;
use crate::local_write::{find_key, find_or_add_key};
use crate::values::{to_bridge, to_change};
use rejoin_bridge::{Error, Result, Slot, ValueRef};
use rejoin_change::{CellClock, RowClock, SENTINEL, Standing, Tie, Value, Verdict, decide};
use std::cmp::Ordering;
use std::rc::Rc;

/// What is known of a row while changes are merged into it.
pub(super) struct OpenRow {
    table: Rc<Tracked>,
    packed: Vec<u8>,
    keys: Vec<Value>,
    /// The number that stands for the key here; none before it is known.
    key: Option<i64>,
    clock: RowClock,
}

impl OpenRow {
    /// Reads what is recorded of the row whose key is packed in these bytes; `changes` of it are to be merged.
    pub(super) fn read(table: &Rc<Tracked>, packed: &[u8], first: &Incoming<'_>, changes: usize) -> Result<OpenRow> {
        let keys = key_values(table, packed)?;
        let columns = table.columns.len();
        let clock = RowClock::unknown(columns);
        let mut row = OpenRow { table: table.clone(), packed: packed.to_vec(), keys, key: None, clock };
        if changes * CELLS_READ_AHEAD >= columns {
            row.read_all()?;
        } else {
            row.read_one(first.column)?;
        }
        Ok(row)
    }

    pub(super) fn is(&self, table: &Rc<Tracked>, packed: &[u8]) -> bool {
        Rc::ptr_eq(&self.table, table) && self.packed == packed
    }

    pub(super) fn key(&self) -> Option<i64> {
        self.key
    }

    fn key_values(&self) -> Vec<ValueRef<'_>> {
        self.keys.iter().map(to_bridge).collect()
    }

    /// Reads the clocks of all cells.
    fn read_all(&mut self) -> Result<()> {
        let table = self.table.clone();
        if self.key.is_none() {
            self.key = find_key(&table, &self.key_values())?;
        }
        let Some(key) = self.key else { return Ok(()) };
        let mut clock = RowClock::unknown(table.columns.len());
        let (mut sentinel, mut recorded) = (None, false);
        let mut statement = table.statements.row_clock.lend()?;
        statement.each(&[key.into()], |found| {
            recorded = true;
            let (name, version) = (found.column(0).as_bytes().unwrap_or_default(), found.column_i64(1));
            if name == SENTINEL.as_bytes() {
                sentinel = Some(version);
            } else if let Some(column) = table.column_index(name) {
                clock.set_cell(column, CellClock::At(version));
            }
            Ok(())
        })?;
        self.clock = clock.with_causal_length(sentinel.unwrap_or(i64::from(recorded)));
        Ok(())
    }

    /// Reads the clock of one cell, and the causal length.
    fn read_one(&mut self, column: &str) -> Result<()> {
        let table = self.table.clone();
        let values: Vec<ValueRef<'_>> = self.key_values().into_iter().chain([column.into()]).collect();
        let found = table.statements.standing.lend()?.query_row(&values, |found| {
            let number = |i: i32| (!found.column(i).is_null()).then(|| found.column_i64(i));
            Ok((found.column_i64(0), number(1).unwrap_or(found.column_i64(3)), number(2)))
        })?;
        let Some((key, causal_length, col_version)) = found else { return Ok(()) };
        if self.key.is_none() {
            self.key = Some(key);
            self.clock = RowClock::unread(causal_length, table.columns.len());
        }
        if let Some(column) = table.column_index(column.as_bytes()) {
            self.clock.set_cell(column, col_version.map_or(CellClock::Absent, CellClock::At));
        }
        Ok(())
    }
}

/// For how many cells the clock of the whole row is read rather than one cell's, per change that is to be merged: a row's
/// clock rows lie together, and each look-up costs as much as passing a few.
const CELLS_READ_AHEAD: usize = 8;

/// Merges changes into one row. What has won is written by [`RowMerge::write`], or before the next look at the database.
///
/// The user's row is written before the clock: what can be refused (by a constraint or a trigger of the user's) comes
/// first, so that a refused change leaves nothing behind, also inside a transaction that goes on.
pub(super) struct RowMerge<'a> {
    engine: &'a Engine,
    row: &'a mut OpenRow,
    sites: &'a mut SiteOrdinals,
    /// What begins a new life of the row, which is to be written before the cells.
    life: Option<Incoming<'a>>,
    /// Cells that are to be written, in the order of their columns.
    cells: Vec<Winner<'a>>,
}

/// A change that has won its cell.
struct Winner<'a> {
    column: usize,
    change: Incoming<'a>,
    /// True where the cell has a clock row already.
    recorded: bool,
}

impl<'a> RowMerge<'a> {
    pub(super) fn new(engine: &'a Engine, row: &'a mut OpenRow, sites: &'a mut SiteOrdinals) -> RowMerge<'a> {
        RowMerge { engine, row, sites, life: None, cells: Vec::new() }
    }

    /// Decides one change. True where it has an effect.
    pub(super) fn merge(&mut self, incoming: &Incoming<'a>) -> Result<bool> {
        let table = self.row.table.clone();
        let column = table.column_index(incoming.column.as_bytes());
        let standing = self.standing(column, incoming)?;
        // The values of a tie are compared as they are stored.
        if standing.col_version == Some(incoming.col_version)
            && self.cells.iter().any(|cell| Some(cell.column) == column)
        {
            self.write()?;
        }
        let verdict = decide(standing, incoming.arriving(), || self.tie(column, incoming, standing))?;
        match verdict {
            // The key is made known even so, as the original does.
            Verdict::Ignore => {
                self.known_key()?;
                return Ok(false);
            }
            Verdict::Delete => self.delete(incoming)?,
            Verdict::Revive => self.begin_life(*incoming)?,
            Verdict::Write { revive } => self.win(column, *incoming, revive)?,
        }
        self.row.clock.carry_out(verdict, column, incoming.causal_length, incoming.col_version);
        Ok(true)
    }

    fn standing(&mut self, column: Option<usize>, incoming: &Incoming<'_>) -> Result<Standing> {
        if let Some(standing) = self.row.clock.standing(column) {
            return Ok(standing);
        }
        self.write()?;
        if self.row.table.columns.len() <= CELLS_READ_AHEAD {
            self.row.read_all()?;
        } else {
            self.row.read_one(incoming.column)?;
        }
        let read = self.row.clock.standing(column);
        read.ok_or_else(|| Error::failed("the clock of the row was gone when it was to be read"))
    }

    /// Compares the incoming write with the stored one, the value as it is stored.
    fn tie(&self, column: Option<usize>, incoming: &Incoming<'_>, standing: Standing) -> Result<Tie> {
        let table = &self.row.table;
        let column = column.ok_or_else(|| no_column(incoming.column))?;
        let values = table.statements.read_cell[column].lend()?.query_row(&self.row.key_values(), |row| {
            Ok(to_change(incoming.value).merge_order(to_change(row.column(0))))
        })?;
        match values {
            Some(values) => Ok(Tie { values, sites: Ordering::Equal }),
            // Cells of a life before this one were never written in it: any write wins.
            None if standing.col_version == Some(0) => Ok(Tie { values: Ordering::Greater, sites: Ordering::Equal }),
            None => Err(Error::failed(format!("could not find row to merge with for tbl {}", table.name))),
        }
    }

    fn win(&mut self, column: Option<usize>, change: Incoming<'a>, revive: bool) -> Result<()> {
        let column = column.ok_or_else(|| no_column(change.column))?;
        if revive {
            self.begin_life(change)?;
        }
        match self.cells.binary_search_by_key(&column, |cell| cell.column) {
            Ok(place) => self.cells[place].change = change,
            Err(place) => {
                let recorded = self.row.clock.cell(column) != CellClock::Absent;
                self.cells.insert(place, Winner { column, change, recorded });
            }
        }
        Ok(())
    }

    fn begin_life(&mut self, change: Incoming<'a>) -> Result<()> {
        self.write()?;
        self.life = Some(change);
        Ok(())
    }

    fn delete(&mut self, change: &Incoming<'_>) -> Result<()> {
        self.write()?;
        let table = self.row.table.clone();
        self.write_base(&table.statements.delete_row, &[])?;
        let key = self.known_key()?;
        self.set_clock_row(&table.statements.set_clock_row, SENTINEL, change.causal_length, change)?;
        if self.row.clock.may_have_cells() {
            table.statements.drop_cells.lend()?.run(&[key.into()])?;
        }
        self.engine.add_rows_impacted(1);
        Ok(())
    }

    /// Writes what has won so far.
    pub(super) fn write(&mut self) -> Result<()> {
        let (life, cells) = (self.life.take(), std::mem::take(&mut self.cells));
        if life.is_none() && cells.is_empty() {
            return Ok(());
        }
        let table = self.row.table.clone();
        let statements = &table.statements;
        self.write_row(life.is_some(), &cells)?;
        if let Some(change) = &life {
            let key = self.known_key()?;
            let version = self.engine.stamp(change.db_version)?;
            statements.zero_cells.lend()?.run(&[key.into(), version.into()])?;
            self.set_clock_row(&statements.set_clock_row, SENTINEL, change.causal_length, change)?;
            self.engine.add_rows_impacted(1);
        }
        for Winner { column, change, recorded } in &cells {
            let statement = if *recorded { &statements.update_clock_row } else { &statements.add_clock_row };
            self.set_clock_row(statement, &table.columns[*column], change.col_version, change)?;
            self.engine.add_rows_impacted(1);
        }
        Ok(())
    }

    /// Writes the clock row of a column or of the row itself, as a change has it.
    fn set_clock_row(&mut self, statement: &Slot, column: &str, version: i64, change: &Incoming<'_>) -> Result<()> {
        let key = self.known_key()?;
        let db_version = self.engine.stamp(change.db_version)?;
        let site = self.sites.ordinal(self.engine, change.site_id)?;
        let values = [key, version, db_version, site, change.seq].map(ValueRef::Integer);
        let [key, version, db_version, site, seq] = values;
        statement.lend()?.run(&[key, column.into(), version, db_version, site, seq])
    }

    fn write_row(&self, begins_life: bool, cells: &[Winner<'_>]) -> Result<()> {
        let table = &self.row.table;
        if cells.is_empty() {
            return self.write_base(&table.statements.add_row, &[]);
        }
        let values: Vec<ValueRef<'_>> = cells.iter().map(|cell| cell.change.value).collect();
        let write = table.statements.row_write(cells.iter().map(|cell| cell.column));
        // A row that has cells is there, unless somebody took it away while nothing was recorded.
        if !begins_life && cells.iter().any(|cell| cell.recorded) {
            self.write_base(&write.update, &values)?;
            if self.engine.connection.changes() > 0 {
                return Ok(());
            }
        }
        self.write_base(&write.upsert, &values)
    }

    /// Writes the user's table; the triggers that record local writes look away meanwhile.
    fn write_base(&self, statement: &Slot, values: &[ValueRef<'_>]) -> Result<()> {
        let mut parameters = self.row.key_values();
        parameters.extend(values);
        let mut statement = statement.lend()?;
        let _sync_bit = self.engine.without_recording();
        statement.run(&parameters)
    }

    fn known_key(&mut self) -> Result<i64> {
        if let Some(key) = self.row.key {
            return Ok(key);
        }
        let (key, _) = find_or_add_key(self.engine, &self.row.table, &self.row.key_values())?;
        self.row.key = Some(key);
        Ok(key)
    }
}

fn no_column(column: &str) -> Error {
    Error::failed(format!("the table has no column {column} outside of its primary key"))
}
