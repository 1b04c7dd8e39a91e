//! `crsql_changes`: what this database has to tell, as rows to select; what others tell, as rows to insert.

mod ahead;
mod merge;
mod own_triggers;
mod plan;
mod read;
mod record;
mod row;
mod sites;

pub(crate) use merge::WarmMerge;

use crate::engine::Engine;
use rejoin_bridge::{Connection, Error, IndexInfo, Module, ModuleKind, Result, Table, TableArgs, Update};
use std::rc::Rc;

/// The module behind `crsql_changes`.
pub(crate) struct ChangesModule(pub(crate) Rc<Engine>);

impl Module for ChangesModule {
    type Table = ChangesTable;
    const KIND: ModuleKind = ModuleKind::Eponymous;

    fn connect(&self, _: &Connection, _: &TableArgs<'_>, _: bool) -> Result<(String, ChangesTable)> {
        Ok((DECLARATION.into(), ChangesTable(self.0.clone())))
    }
}

/// The columns in the order in which peers name nine values.
const DECLARATION: &str = "CREATE TABLE changes([table] TEXT NOT NULL, [pk] BLOB NOT NULL, [cid] TEXT NOT NULL, \
     [val] ANY, [col_version] INTEGER NOT NULL, [db_version] INTEGER NOT NULL, [site_id] BLOB NOT NULL, \
     [cl] INTEGER NOT NULL, [seq] INTEGER NOT NULL)";

const TABLE: i32 = 0;
const PK: i32 = 1;
const CID: i32 = 2;
const VAL: i32 = 3;
const COL_VERSION: i32 = 4;
const DB_VERSION: i32 = 5;
const SITE_ID: i32 = 6;
const CL: i32 = 7;
const SEQ: i32 = 8;

/// The rowid of every cell of a row; no identity. Applications rely on its being 0 for a record that had no effect.
fn rowid(table_index: i64, key: i64) -> i64 {
    table_index.saturating_mul(ROWIDS_PER_TABLE).saturating_add(key.rem_euclid(ROWIDS_PER_TABLE))
}

const ROWIDS_PER_TABLE: i64 = 10_000_000_000_000;

/// `crsql_changes` on one connection.
pub(crate) struct ChangesTable(Rc<Engine>);

impl Table for ChangesTable {
    type Cursor = read::ChangesCursor;

    fn best_index(&self, index: &mut IndexInfo) -> Result<()> {
        plan::choose(index);
        Ok(())
    }

    fn open(&self) -> Result<read::ChangesCursor> {
        Ok(read::ChangesCursor::new(self.0.clone()))
    }

    fn update(&self, change: &Update<'_>) -> Result<i64> {
        match change {
            Update::Insert { columns, .. } => merge::merge(&self.0, columns),
            Update::Update { .. } | Update::Delete { .. } => {
                Err(Error::misuse("Only INSERT and SELECT statements are allowed against the crsql changes table"))
            }
        }
    }
}
