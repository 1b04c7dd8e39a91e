//! Virtual tables: a module makes tables, a table opens cursors, a cursor walks rows.

mod glue;
mod index_info;

pub use index_info::{Constraint, ConstraintOp, IndexInfo, OrderBy};

use crate::abi::sqlite3_value;
use crate::api::Api;
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::value::{Output, ValueRef, read_value};

/// How tables of a module come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKind {
    /// One table of the module's own name, without CREATE; CREATE VIRTUAL TABLE is refused.
    Eponymous,
    /// Both: a table of the module's name, and tables by CREATE VIRTUAL TABLE. `creating` is then always false.
    EponymousOrCreated,
    /// By CREATE VIRTUAL TABLE only.
    Created,
}

/// A kind of virtual table.
pub trait Module: 'static {
    /// Its tables.
    type Table: Table;
    /// How they come to be.
    const KIND: ModuleKind;
    /// False where no table can be written.
    const WRITABLE: bool = true;
    /// Endings after `<table>_` that name tables in which it keeps its data.
    const SHADOW_SUFFIXES: &'static [&'static str] = &[];
    /// True where views and triggers may not use it.
    const DIRECT_ONLY: bool = false;
    /// True where views and triggers of an untrusted schema may use it.
    const INNOCUOUS: bool = false;

    /// Makes a table, or attaches to one: returns its declaration as a CREATE TABLE text, and the table. `creating` is
    /// true for CREATE VIRTUAL TABLE.
    fn connect(&self, connection: &Connection, args: &TableArgs<'_>, creating: bool) -> Result<(String, Self::Table)>;
}

/// The words of CREATE VIRTUAL TABLE.
pub struct TableArgs<'a> {
    /// Name of the module.
    pub module: &'a str,
    /// Name of the database: main, temp or an attached one.
    pub schema: &'a str,
    /// Name of the table.
    pub table: &'a str,
    /// The arguments, each as it was written.
    pub arguments: Vec<&'a str>,
}

/// One virtual table on one connection.
pub trait Table: 'static {
    /// Its scans.
    type Cursor: TableCursor;

    /// Chooses how a query is answered. An error of code CONSTRAINT says that this combination cannot be used.
    fn best_index(&self, index: &mut IndexInfo) -> Result<()>;

    /// Begins a scan.
    fn open(&self) -> Result<Self::Cursor>;

    /// Writes. Returns the rowid of an insert; it is ignored for others.
    fn update(&self, change: &Update<'_>) -> Result<i64> {
        let _ = change;
        Err(Error::misuse("the table may not be modified"))
    }

    /// DROP TABLE.
    fn destroy(&self) -> Result<()> {
        Ok(())
    }

    /// ALTER TABLE … RENAME TO.
    fn rename(&self, new_name: &str) -> Result<()> {
        let _ = new_name;
        Ok(())
    }

    /// The table takes part in a transaction from here on.
    fn begin(&self) -> Result<()> {
        Ok(())
    }

    /// The transaction is about to be committed. SQL may be run.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// The transaction was committed.
    fn commit(&self) {}

    /// The transaction was rolled back.
    fn rollback(&self) {}

    /// A savepoint of that depth begins.
    fn savepoint(&self, savepoint: i32) {
        let _ = savepoint;
    }

    /// The savepoint of that depth has ended, its work stays. SQL may be run.
    fn release(&self, savepoint: i32) -> Result<()> {
        let _ = savepoint;
        Ok(())
    }

    /// Everything since the savepoint of that depth is undone.
    fn rollback_to(&self, savepoint: i32) {
        let _ = savepoint;
    }
}

/// One scan of a virtual table.
pub trait TableCursor: 'static {
    /// Starts the scan that `best_index` chose, or starts it again.
    fn filter(&mut self, index_number: i32, index_string: &str, args: &[ValueRef<'_>]) -> Result<()>;

    /// Goes to the next row.
    fn next(&mut self) -> Result<()>;

    /// True behind the last row.
    fn eof(&self) -> bool;

    /// A value of the present row.
    fn column(&self, index: i32) -> Result<Output<'_>>;

    /// The rowid of the present row.
    fn rowid(&self) -> Result<i64>;
}

/// One write to a virtual table.
pub enum Update<'a> {
    /// INSERT.
    Insert {
        /// The rowid, where the statement names one.
        rowid: Option<i64>,
        /// The new row.
        columns: Columns<'a>,
        /// SQLite's conflict mode: 1 rollback, 2 ignore, 3 fail, 4 abort, 5 replace.
        on_conflict: i32,
    },
    /// UPDATE.
    Update {
        /// Which row.
        old_rowid: i64,
        /// Its new rowid.
        new_rowid: i64,
        /// The row as it is to be.
        columns: Columns<'a>,
        /// SQLite's conflict mode.
        on_conflict: i32,
    },
    /// DELETE.
    Delete {
        /// Which row.
        rowid: i64,
    },
}

/// The values of a row that is written.
pub struct Columns<'a> {
    api: &'a Api,
    values: &'a [*mut sqlite3_value],
}

impl Columns<'_> {
    /// How many columns the table has.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True for a table without columns, which SQLite does not have.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// A value, counted from 0; NULL where there is none.
    pub fn get(&self, index: usize) -> ValueRef<'_> {
        match self.values.get(index) {
            // SAFETY: SQLite passed the value to the update that `self` cannot outlive.
            Some(value) => unsafe { read_value(self.api, *value) },
            None => ValueRef::Null,
        }
    }

    /// True where an UPDATE does not set this column.
    pub fn no_change(&self, index: usize) -> bool {
        // SAFETY: as in `get`.
        self.values.get(index).is_some_and(|value| unsafe { (self.api.value_nochange)(*value) != 0 })
    }
}

#[cfg(test)]
mod tests;
