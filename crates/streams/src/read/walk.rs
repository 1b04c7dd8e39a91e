//! The clock tables, walked by db_version: one statement per table, merged.

use super::descriptor::Descriptor;
use super::filter::Filter;
use super::tables::{Table, Tables};
use crate::error::Result;
use rejoin_bridge::Lent;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Everything behind a version, of some tables.
pub(super) struct Walk<'t> {
    sources: Vec<Source<'t>>,
    /// (version, which source) of every source that stands on a row.
    waiting: BinaryHeap<Reverse<(i64, usize)>>,
}

/// What a walk has found of one version.
pub(super) enum Found {
    /// All of it, in no order.
    Changes(Vec<Descriptor>),
    /// Nothing that the filter lets pass.
    Nothing,
    /// More than is held in memory; the walk has stopped in it.
    TooMuch,
}

impl<'t> Walk<'t> {
    pub fn behind(tables: &'t Tables, version: i64, wants: impl Fn(&Table) -> bool) -> Result<Walk<'t>> {
        let mut walk = Walk { sources: Vec::new(), waiting: BinaryHeap::new() };
        for table in tables.behind(version)? {
            if wants(table) {
                let mut statement = table.clock_rows_behind.lend()?;
                statement.bind_all(&[version.into()])?;
                walk.sources.push(Source::new(table, statement)?);
                walk.wait(walk.sources.len() - 1);
            }
        }
        Ok(walk)
    }

    /// The version that comes next.
    pub fn next_version(&self) -> Option<i64> {
        self.waiting.peek().map(|Reverse((version, _))| *version)
    }

    /// Takes the version that comes next. All of its changes are given, whether the filter lets them pass or not, unless
    /// it lets none pass.
    pub fn take(&mut self, version: i64, filter: &Filter<'_>) -> Result<Found> {
        let mut found = Vec::new();
        let mut any_passes = false;
        while let Some(Reverse((of, at))) = self.waiting.peek().copied()
            && of == version
        {
            self.waiting.pop();
            loop {
                let before = found.len();
                if !self.sources[at].take_row(version, &mut found)? {
                    break;
                }
                for change in &found[before..] {
                    any_passes = any_passes || filter.lets_pass(version, change)?;
                }
                if found.len() > IN_MEMORY_MAX {
                    if any_passes {
                        return Ok(Found::TooMuch);
                    }
                    found.clear();
                }
            }
            self.wait(at);
        }
        Ok(if any_passes { Found::Changes(found) } else { Found::Nothing })
    }

    fn wait(&mut self, source: usize) {
        if let Some(version) = self.sources[source].version() {
            self.waiting.push(Reverse((version, source)));
        }
    }
}

/// The clock rows of one table, in the order of `sql::clock_rows_behind`.
pub(super) struct Source<'t> {
    table: &'t Table,
    statement: Lent<'t>,
    has_row: bool,
}

impl<'t> Source<'t> {
    /// Steps to the first row of a statement whose values are bound.
    pub fn new(table: &'t Table, mut statement: Lent<'t>) -> Result<Source<'t>> {
        let has_row = statement.step()?;
        Ok(Source { table, statement, has_row })
    }

    fn version(&self) -> Option<i64> {
        self.has_row.then(|| self.statement.column_i64(VERSION))
    }

    /// Adds what the next row of the table has of a version, and with the sentinel of a living row all of its cells that
    /// are older: the original engine leaves them where they were when it moves them to another key, and whoever is
    /// ahead of them or wrote them would never be told. False where the version has no more rows.
    pub fn take_row(&mut self, version: i64, found: &mut Vec<Descriptor>) -> Result<bool> {
        if self.version() != Some(version) {
            return Ok(false);
        }
        let (first, key) = (found.len(), self.statement.column_i64(KEY));
        let mut guess = 0;
        while self.version() == Some(version) && self.statement.column_i64(KEY) == key {
            let name = self.statement.column(COLUMN).as_bytes().unwrap_or_default();
            if let Some(column) = self.table.rank_of(name, guess) {
                guess = column + 1;
                found.push(Descriptor {
                    seq: self.statement.column_i64(SEQ),
                    table: self.table.rank,
                    packed: None,
                    column,
                    key,
                    col_version: self.statement.column_i64(COL_VERSION),
                    author: self.statement.column_i64(AUTHOR),
                    sentinel_author: None,
                    stored: None,
                });
            }
            self.has_row = self.statement.step()?;
        }
        let is_living = |change: &&Descriptor| change.column == self.table.sentinel && change.col_version % 2 != 0;
        if self.table.has_cells()
            && let Some(sentinel) = found[first..].iter().find(is_living).cloned()
        {
            found[first..].iter_mut().for_each(|change| change.sentinel_author = Some(sentinel.author));
            self.add_older_cells(version, &sentinel, found)?;
        }
        Ok(true)
    }

    fn add_older_cells(&self, version: i64, sentinel: &Descriptor, found: &mut Vec<Descriptor>) -> Result<()> {
        self.table.older_cells.lend()?.each(&[sentinel.key.into(), version.into()], |row| {
            let name = row.column(0).as_bytes().unwrap_or_default();
            if let Some(column) = self.table.rank_of(name, 0) {
                found.push(Descriptor {
                    column,
                    col_version: row.column_i64(1),
                    author: row.column_i64(3),
                    sentinel_author: Some(sentinel.author),
                    stored: Some((row.column_i64(2), row.column_i64(4))),
                    ..sentinel.clone()
                });
            }
            Ok(())
        })?;
        Ok(())
    }
}

/// Changes of one version that are held in memory. Beyond that they are spooled.
pub(super) const IN_MEMORY_MAX: usize = 16_384;

// The columns of `sql::clock_rows_behind`.
const KEY: i32 = 0;
const COLUMN: i32 = 1;
const COL_VERSION: i32 = 2;
const VERSION: i32 = 3;
const AUTHOR: i32 = 4;
const SEQ: i32 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_bridge::linked;

    /// Where SQLite would gather rows to sort them, each package would cost as much as the whole backlog.
    #[test]
    fn clock_rows_come_off_the_index_as_they_are_stepped_to() {
        let (host, connection) =
            linked::open(rejoin_engine::register, rusqlite::Connection::open_in_memory).expect("a database opens");
        host.execute_batch("CREATE TABLE t(a PRIMARY KEY NOT NULL, b); SELECT crsql_as_crr('t'); ANALYZE")
            .expect("the table is tracked");
        let plan_of = |sql: &str| -> String {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("it compiles");
            plan.query(&[1.into()], |row| Ok(row.column_text(3))).expect("it has a plan").join("; ")
        };
        let tables = Tables::of(&connection).expect("the tables are read");
        for statement in [&tables.list[0].clock_rows_behind, &tables.list[0].clock_rows_of_version] {
            let plan = plan_of(statement.sql());
            assert!(plan.contains("USING INDEX t__crsql_clock_dbv_idx (db_version"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
        // Without the index it is slower, and right.
        host.execute_batch("DROP INDEX t__crsql_clock_dbv_idx; INSERT INTO t VALUES (1, 2)").expect("it is dropped");
        let tables = Tables::of(&connection).expect("the tables are read");
        let walk = Walk::behind(&tables, 0, |_| true).expect("a walk begins");
        assert_eq!(walk.next_version(), Some(1));
    }
}
