//! Changes of one row, merged into it: its clock is read once, every change is decided in memory, and what has won is
//! written with one statement for the user's row and one for its clock rows where all are new, else one for each.

use super::ahead::{ReadAhead, Wanted};
use super::record::{Incoming, read_key};
use super::sites::SiteOrdinals;
use crate::catalogue::Tracked;
use crate::engine::Engine;
use crate::local_write::add_or_find_key;
use crate::statements::FEW_COLUMNS;
use crate::values::{Parameters, to_bridge, to_change};
use rejoin_bridge::{Error, Result, Slot, ValueRef};
use rejoin_change::{CellClock, RowClock, SENTINEL, Standing, Tie, Value, Verdict, decide};
use std::cmp::Ordering;
use std::rc::Rc;

/// What is known of a row while changes are merged into it.
pub(super) struct OpenRow {
    table: Rc<Tracked>,
    /// The key as it came in, where the next record may speak of the same row.
    packed: Vec<u8>,
    keys: Vec<Value>,
    /// The key of the row before, of which nothing else is kept.
    keys_before: Vec<Value>,
    /// The number that stands for the key here; none before it is known.
    key: Option<i64>,
    clock: RowClock,
    /// True where the user's row is there, unless somebody took it away while nothing was recorded.
    there: bool,
}

impl OpenRow {
    /// No row of the table yet.
    pub(super) fn none(table: &Rc<Tracked>) -> OpenRow {
        let clock = RowClock::unknown(0);
        OpenRow {
            table: table.clone(),
            packed: Vec::new(),
            keys: Vec::new(),
            keys_before: Vec::new(),
            key: None,
            clock,
            there: false,
        }
    }

    /// Reads what is recorded of the row whose key is packed in these bytes; `changes` of it are to be merged. What was
    /// known of another row is gone; its room is used again.
    pub(super) fn turn_to(
        &mut self,
        packed: &[u8],
        first: &Incoming<'_>,
        changes: usize,
        ahead: Option<&mut ReadAhead>,
    ) -> Result<()> {
        self.packed.clear();
        self.key = None;
        std::mem::swap(&mut self.keys, &mut self.keys_before);
        read_key(&self.table, packed, &mut self.keys)?;
        let wanted = Wanted::by(&self.table, first, changes);
        let found = match ahead {
            Some(ahead) => ahead.find(&self.table, &self.keys_before, &self.keys, wanted)?,
            None => None,
        };
        match (found, wanted) {
            (Some(found), _) => {
                self.key = Some(found.key);
                std::mem::swap(&mut self.clock, &mut found.clock);
            }
            (None, Wanted::All) => self.read_all()?,
            (None, Wanted::Cell(place)) => {
                self.clock.turn_to(0, self.table.columns.len(), CellClock::Unread);
                self.read_one(place)?;
            }
        }
        self.there = self.clock.causal_length() % 2 == 1;
        Ok(())
    }

    /// Lets [`OpenRow::is`] know the row again.
    pub(super) fn remember(&mut self, packed: &[u8]) {
        self.packed.extend_from_slice(packed);
    }

    /// Whether it is the row whose key is packed in these bytes, as far as it was told to know it again.
    pub(super) fn is(&self, packed: &[u8]) -> bool {
        self.packed == packed
    }

    pub(super) fn table(&self) -> &Rc<Tracked> {
        &self.table
    }

    pub(super) fn key(&self) -> Option<i64> {
        self.key
    }

    fn key_values(&self) -> Parameters<'_> {
        self.keys.iter().map(to_bridge).collect()
    }

    /// Reads the clocks of all cells.
    fn read_all(&mut self) -> Result<()> {
        let OpenRow { table, keys, key, clock, .. } = self;
        let columns = table.columns.len();
        clock.turn_to(0, columns, CellClock::Absent);
        let (mut found_key, mut sentinel, mut cells) = (None, None, 0);
        let keys: Parameters<'_> = keys.iter().map(to_bridge).collect();
        table.statements.row_clock.lend()?.each_until(&keys, |found| {
            let (name, version) = (found.column(1).as_bytes().unwrap_or_default(), found.column_i64(2));
            if found_key.is_none() {
                found_key = Some(found.column_i64(0));
            }
            if name == SENTINEL.as_bytes() {
                sentinel = Some(version);
            } else if let Some(column) = table.column_index(name) {
                clock.set_cell(column, CellClock::At(version));
                cells += 1;
            }
            // Behind the last cell comes nothing, where the sentinel stands before all of them.
            Ok(table.sentinel_is_first && cells == columns)
        })?;
        clock.set_causal_length(sentinel.unwrap_or(i64::from(found_key.is_some())));
        *key = found_key.or(*key);
        Ok(())
    }

    /// Reads the clock of one cell, and the causal length. Where the cell has no clock row, all are read: the whole row
    /// may have none.
    fn read_one(&mut self, place: usize) -> Result<()> {
        let (mut key, mut sentinel, mut cell) = (None, None, None);
        self.table.statements.cell_clock[place].lend()?.each_until(&self.key_values(), |found| {
            let version = Some(found.column_i64(2));
            key = Some(found.column_i64(0));
            let is_sentinel = found.column_i64(1) == 1;
            if is_sentinel {
                sentinel = version;
            } else {
                cell = version;
            }
            // Where the sentinel stands before all cells, none follows this one.
            Ok(!is_sentinel && self.table.sentinel_is_first)
        })?;
        let (Some(key), Some(cell)) = (key, cell) else { return self.read_all() };
        if self.key.is_none() {
            self.key = Some(key);
            self.clock.set_causal_length(sentinel.unwrap_or(1));
        }
        self.clock.set_cell(place, CellClock::At(cell));
        Ok(())
    }
}

/// Merges changes into one row. What has won is written by [`RowMerge::write`], or before the next look at the database.
///
/// The user's row is written before the clock: what can be refused (by a constraint or a trigger of the user's) comes
/// first, so that a refused change leaves nothing behind, also inside a transaction that goes on.
pub(super) struct RowMerge<'a> {
    engine: &'a Engine,
    row: &'a mut OpenRow,
    sites: &'a mut SiteOrdinals,
    changes: &'a [Incoming<'a>],
    compared: Compared,
    /// The change that begins a new life of the row, which is to be written before the cells.
    life: Option<&'a Incoming<'a>>,
    lists: &'a mut Lists,
}

/// Lists that are as long as the changes of a row are many. The merges of many rows use their room in turn.
#[derive(Default)]
pub(super) struct Lists {
    /// How the values of the changes compare with those that are stored, by the changes' places.
    orders: Vec<Ordering>,
    /// Cells that are to be written, in the order of their columns.
    winners: Vec<Winner>,
}

/// Whether the values of the changes have been compared with those that are stored.
#[derive(Clone, Copy)]
enum Compared {
    NotYet,
    /// There is no row to compare with.
    NoRow,
    /// See [`Lists::orders`].
    Ordered,
}

/// A change that has won its cell.
#[derive(Clone, Copy)]
struct Winner {
    column: usize,
    /// The change's place.
    place: usize,
    /// True where the cell has a clock row already.
    recorded: bool,
}

impl<'a> RowMerge<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        row: &'a mut OpenRow,
        sites: &'a mut SiteOrdinals,
        changes: &'a [Incoming<'a>],
        lists: &'a mut Lists,
    ) -> RowMerge<'a> {
        lists.winners.clear();
        RowMerge { engine, row, sites, changes, compared: Compared::NotYet, life: None, lists }
    }

    /// Decides one of the changes. True where it has an effect.
    pub(super) fn merge(&mut self, place: usize) -> Result<bool> {
        let incoming = &self.changes[place];
        let column = incoming.place;
        let standing = self.standing(incoming)?;
        let verdict = decide(standing, incoming.arriving(), || self.tie(place, standing))?;
        match verdict {
            // The key is made known even so, as the original does.
            Verdict::Ignore => {
                self.known_key()?;
                return Ok(false);
            }
            Verdict::Delete => self.delete(incoming)?,
            Verdict::Revive => self.begin_life(incoming)?,
            Verdict::Write { revive } => self.win(place, revive)?,
        }
        self.row.clock.carry_out(verdict, column, incoming.causal_length, incoming.col_version);
        Ok(true)
    }

    fn standing(&mut self, incoming: &Incoming<'_>) -> Result<Standing> {
        if let Some(standing) = self.row.clock.standing(incoming.place) {
            return Ok(standing);
        }
        self.write()?;
        match incoming.place {
            Some(place) if self.row.table.columns.len() > FEW_COLUMNS => self.row.read_one(place)?,
            _ => self.row.read_all()?,
        }
        let read = self.row.clock.standing(incoming.place);
        read.ok_or_else(|| Error::failed("the clock of the row was gone when it was to be read"))
    }

    /// Compares an incoming write with the stored one, the value as it is stored.
    fn tie(&mut self, place: usize, standing: Standing) -> Result<Tie> {
        let incoming = &self.changes[place];
        let column = incoming.place.ok_or_else(|| no_column(incoming.column))?;
        if self.lists.winners.iter().any(|cell| cell.column == column) {
            self.write()?;
        }
        if matches!(self.compared, Compared::NotYet) {
            self.compared = self.compare()?;
        }
        match self.compared {
            Compared::Ordered => {
                let values = self.lists.orders[place];
                let equal = values == Ordering::Equal;
                let sites = if equal { self.site_order(column, incoming)? } else { Ordering::Equal };
                Ok(Tie { values, sites })
            }
            // Cells of a life before this one were never written in it: any write wins.
            Compared::NoRow if standing.col_version == Some(0) => {
                Ok(Tie { values: Ordering::Greater, sites: Ordering::Equal })
            }
            Compared::NoRow | Compared::NotYet => {
                Err(Error::failed(format!("could not find row to merge with for tbl {}", self.row.table.name)))
            }
        }
    }

    /// Compares all changes at once: where one ties, the others mostly do.
    fn compare(&mut self) -> Result<Compared> {
        let changes = self.changes;
        let set = self.row.table.statements.column_set(changes.iter().filter_map(|change| change.place));
        let found = set.read.lend()?.query_row(&self.row.key_values(), |row| {
            let order = |change: &Incoming<'_>| {
                let stored = |place| to_change(row.column(set.position(place)));
                change.place.map_or(Ordering::Equal, |place| to_change(change.value).merge_order(stored(place)))
            };
            self.lists.orders.clear();
            self.lists.orders.extend(changes.iter().map(order));
            Ok(())
        })?;
        Ok(found.map_or(Compared::NoRow, |()| Compared::Ordered))
    }

    /// How the author of the incoming write compares with that of the stored one, where authors decide.
    fn site_order(&self, column: usize, incoming: &Incoming<'_>) -> Result<Ordering> {
        if !self.engine.merge_equal_values()? {
            return Ok(Ordering::Equal);
        }
        let table = &self.row.table;
        let cell = [self.row.key.into(), table.columns[column].as_str().into()];
        let order = table
            .statements
            .site_of_cell
            .lend()?
            .query_row(&cell, |row| Ok(row.column(0).as_bytes().map(|stored| incoming.site_id.cmp(stored))))?;
        order.flatten().ok_or_else(|| {
            Error::failed(format!(
                "could not find site_id for previous change, cr-sqlite clock table might be corrupt for tbl {}",
                table.name
            ))
        })
    }

    fn win(&mut self, place: usize, revive: bool) -> Result<()> {
        let change = &self.changes[place];
        let column = change.place.ok_or_else(|| no_column(change.column))?;
        // The constraint may say ON CONFLICT IGNORE, REPLACE or ROLLBACK: none of that is for what a peer sends.
        if change.value.is_null() && self.row.table.not_null[column] {
            let table = &self.row.table.name;
            return Err(Error::constraint(format!("NOT NULL constraint failed: {table}.{}", change.column)));
        }
        if revive {
            self.begin_life(change)?;
        }
        let winners = &mut self.lists.winners;
        match winners.binary_search_by_key(&column, |cell| cell.column) {
            Ok(known) => winners[known].place = place,
            Err(new) => {
                let recorded = self.row.clock.cell(column) != CellClock::Absent;
                winners.insert(new, Winner { column, place, recorded });
            }
        }
        Ok(())
    }

    fn begin_life(&mut self, change: &'a Incoming<'a>) -> Result<()> {
        self.write()?;
        self.life = Some(change);
        Ok(())
    }

    fn delete(&mut self, change: &Incoming<'_>) -> Result<()> {
        self.write()?;
        let table = self.row.table.clone();
        self.write_base(&table.statements.delete_row, std::iter::empty())?;
        self.check_written(false)?;
        self.row.there = false;
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
        self.compared = Compared::NotYet;
        if self.life.is_none() && self.lists.winners.is_empty() {
            return Ok(());
        }
        let winners = std::mem::take(&mut self.lists.winners);
        self.write_row(&winners)?;
        if let Some(change) = self.life.take() {
            let table = self.row.table.clone();
            let key = self.known_key()?;
            let version = self.engine.stamp(change.db_version)?;
            table.statements.zero_cells.lend()?.run(&[key.into(), version.into()])?;
            self.set_clock_row(&table.statements.set_clock_row, SENTINEL, change.causal_length, change)?;
            self.engine.add_rows_impacted(1);
        }
        self.record(&winners)?;
        self.lists.winners = winners;
        self.lists.winners.clear();
        Ok(())
    }

    /// Writes the clock rows of cells that have won.
    fn record(&mut self, cells: &[Winner]) -> Result<()> {
        let changes = self.changes;
        let floor = cells.first().map_or(0, |cell| changes[cell.place].db_version);
        let alike = |cell: &Winner| !cell.recorded && changes[cell.place].db_version == floor;
        if (2..=RECORDED_TOGETHER_MAX).contains(&cells.len()) && cells.iter().all(alike) {
            self.add_clock_rows(cells, floor)?;
        } else {
            let table = self.row.table.clone();
            let statements = &table.statements;
            for Winner { column, place, recorded } in cells {
                let change = &changes[*place];
                if *recorded {
                    self.update_clock_row(&statements.update_clock_row[*column], change)?;
                } else {
                    let name = &table.columns[*column];
                    self.set_clock_row(&statements.add_clock_row, name, change.col_version, change)?;
                }
            }
        }
        self.engine.add_rows_impacted(cells.len() as i64);
        Ok(())
    }

    fn add_clock_rows(&mut self, cells: &[Winner], floor: i64) -> Result<()> {
        let table = self.row.table.clone();
        let mut by_name: Vec<&Winner> = cells.iter().collect();
        by_name.sort_unstable_by_key(|cell| &table.columns[cell.column]);
        let mut values = vec![self.known_key()?.into(), self.engine.stamp(floor)?.into()];
        for Winner { place, .. } in by_name {
            let change = &self.changes[*place];
            let site = self.sites.ordinal(self.engine, change.site_id)?;
            values.extend([change.col_version, site, change.seq].map(ValueRef::Integer));
        }
        let set = table.statements.column_set(cells.iter().map(|cell| cell.column));
        set.add_clock_rows.lend()?.run(&values)
    }

    /// Writes the clock row of a column or of the row itself, as a change has it.
    fn set_clock_row(&mut self, statement: &Slot, column: &str, version: i64, change: &Incoming<'_>) -> Result<()> {
        let [key, version, db_version, site, seq] = self.clock_row(version, change)?;
        statement.lend()?.run(&[key, column.into(), version, db_version, site, seq])
    }

    /// The same for a column whose clock row is there.
    fn update_clock_row(&mut self, statement: &Slot, change: &Incoming<'_>) -> Result<()> {
        let values = self.clock_row(change.col_version, change)?;
        statement.lend()?.run(&values)
    }

    fn clock_row(&mut self, version: i64, change: &Incoming<'_>) -> Result<[ValueRef<'static>; 5]> {
        let key = self.known_key()?;
        let db_version = self.engine.stamp(change.db_version)?;
        let site = self.sites.ordinal(self.engine, change.site_id)?;
        Ok([key, version, db_version, site, change.seq].map(ValueRef::Integer))
    }

    fn write_row(&mut self, cells: &[Winner]) -> Result<()> {
        let there = std::mem::replace(&mut self.row.there, true);
        let table = &self.row.table;
        if cells.is_empty() {
            self.write_base(&table.statements.add_row, std::iter::empty())?;
            // A row of defaults that the table does not take comes with its cells. A row of its key alone has none.
            return if table.columns.is_empty() { self.check_written(true) } else { Ok(()) };
        }
        let values = || cells.iter().map(|cell| self.changes[cell.place].value);
        let write = table.statements.column_set(cells.iter().map(|cell| cell.column));
        if there {
            self.write_base(&write.update, values())?;
            if self.engine.connection.changes() > 0 {
                return Ok(());
            }
        }
        self.write_base(&write.upsert, values())?;
        self.check_written(true)
    }

    /// After a write of the user's row: fails where it was ignored, as a trigger can do by RAISE(IGNORE). The clock would
    /// else tell others of something that is not so.
    fn check_written(&self, remains: bool) -> Result<()> {
        let (engine, table) = (self.engine, &self.row.table);
        if engine.connection.changes() > 0 {
            return Ok(());
        }
        let exists = table.statements.row_exists.lend()?.query_row(&self.row.key_values(), |_| Ok(()))?.is_some();
        if exists == remains && (!remains || table.columns.is_empty()) {
            return Ok(());
        }
        let what = if remains { "write" } else { "delete" };
        Err(Error::constraint(format!(
            "the table ignored the {what}: a trigger or a constraint of its does not let it pass"
        )))
    }

    /// Writes the user's table; the triggers that record local writes look away meanwhile.
    fn write_base<'v>(&'v self, statement: &Slot, values: impl Iterator<Item = ValueRef<'v>>) -> Result<()> {
        let parameters: Parameters<'v> = self.row.keys.iter().map(to_bridge).chain(values).collect();
        let mut statement = statement.lend()?;
        let _sync_bit = self.engine.without_recording();
        statement.run(&parameters)
    }

    fn known_key(&mut self) -> Result<i64> {
        if let Some(key) = self.row.key {
            return Ok(key);
        }
        let (key, _) = add_or_find_key(self.engine, &self.row.table, &self.row.key_values())?;
        self.row.key = Some(key);
        Ok(key)
    }
}

/// How many clock rows are written by one statement, so that its parameters stay few.
const RECORDED_TOGETHER_MAX: usize = 16;

fn no_column(column: &str) -> Error {
    Error::failed(format!("the table has no column {column} outside of its primary key"))
}
