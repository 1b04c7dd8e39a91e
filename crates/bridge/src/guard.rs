//! Lets the host close its connection without any farewell call.
//!
//! `sqlite3_close` fails while a compiled statement is left. It first disconnects the virtual tables, so a table that
//! no cached statement refers to, connected once, is told in time and finalizes them. When the module itself is
//! destroyed the connection is gone.

use crate::connection::{Connection, Inner};
use crate::error::{Error, Result};
use crate::statement::Statement;
use crate::value::{Output, ValueRef};
use crate::vtab::{IndexInfo, Module, ModuleKind, Table, TableArgs, TableCursor};
use std::rc::{Rc, Weak};

/// Name of the guard's module. Where a connection knows it, rejoin is loaded there already.
pub(crate) const MODULE_NAME: &str = "rejoin_guard";

pub(crate) fn install(connection: &Connection) -> Result<()> {
    connection.create_module(MODULE_NAME, GuardModule(Rc::downgrade(connection.inner())))
}

/// Makes sure that the guard is connected, before a statement is cached.
pub(crate) fn ensure(connection: &Connection) -> Result<()> {
    if !connection.inner().guarded.get() {
        connection.inner().guarded.set(true);
        let touched = connection.prepare("SELECT unused FROM rejoin_guard").map(drop);
        connection.inner().guarded.set(touched.is_ok());
        touched?;
    }
    Ok(())
}

struct GuardModule(Weak<Inner>);

impl Drop for GuardModule {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.closed();
        }
    }
}

impl Module for GuardModule {
    type Table = GuardTable;
    const KIND: ModuleKind = ModuleKind::Eponymous;
    const WRITABLE: bool = false;

    fn connect(&self, connection: &Connection, _: &TableArgs<'_>, _: bool) -> Result<(String, GuardTable)> {
        Ok(("CREATE TABLE guard(unused)".into(), GuardTable(connection.clone())))
    }
}

struct GuardTable(Connection);

impl Drop for GuardTable {
    fn drop(&mut self) {
        let inner = self.0.inner();
        inner.guarded.set(false);
        let statements = inner.statements.borrow_mut().drain();
        statements.into_iter().for_each(|raw| drop(Statement::new(self.0.clone(), raw)));
        inner.slots.empty(&self.0);
    }
}

impl Table for GuardTable {
    type Cursor = NoRows;

    fn best_index(&self, _: &mut IndexInfo) -> Result<()> {
        Ok(())
    }

    fn open(&self) -> Result<NoRows> {
        Ok(NoRows)
    }
}

/// The cursor of a table that is always empty.
pub struct NoRows;

impl TableCursor for NoRows {
    fn filter(&mut self, _: i32, _: &str, _: &[ValueRef<'_>]) -> Result<()> {
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        Ok(())
    }

    fn eof(&self) -> bool {
        true
    }

    fn column(&self, _: i32) -> Result<Output<'_>> {
        Err(Error::misuse("the table has no rows"))
    }

    fn rowid(&self) -> Result<i64> {
        Err(Error::misuse("the table has no rows"))
    }
}
