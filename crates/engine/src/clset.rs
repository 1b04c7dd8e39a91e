//! `clset`: CREATE VIRTUAL TABLE that makes a tracked table, and DROP TABLE that drops it with its history.
//!
//! `CREATE VIRTUAL TABLE foo_schema USING clset(…)` makes the table `foo`; the virtual table itself is an empty shell.
//! Both run inside SQLite's own statement, which undoes everything when it fails.

use crate::engine::Engine;
use crate::{schema, sql};
use rejoin_bridge::{Connection, Error, IndexInfo, Module, ModuleKind, NoRows, Result, Table, TableArgs};
use std::rc::Rc;

/// The module behind `clset`.
pub(crate) struct ClsetModule(pub(crate) Rc<Engine>);

impl Module for ClsetModule {
    type Table = ClsetTable;
    const KIND: ModuleKind = ModuleKind::Created;
    const WRITABLE: bool = false;

    fn connect(&self, _: &Connection, args: &TableArgs<'_>, creating: bool) -> Result<(String, ClsetTable)> {
        let name = args.table;
        if creating {
            create(&self.0, args)?;
        }
        let table = ClsetTable { engine: self.0.clone(), name: name.to_owned() };
        Ok(("CREATE TABLE alteration(alteration TEXT HIDDEN, schema TEXT HIDDEN)".into(), table))
    }
}

fn create(engine: &Engine, args: &TableArgs<'_>) -> Result<()> {
    let name = args.table;
    let table = data_table(name).ok_or_else(|| {
        Error::failed(format!(
            "{name} MUST end with _schema. E.g., {name}_schema. Two tables will be created: {name}_schema for managing \
             the CRDT schemas and {name} for storing the data."
        ))
    })?;
    if !args.schema.eq_ignore_ascii_case("main") {
        return Err(Error::failed(format!("{name}: clset makes tables in the schema main only")));
    }
    let rowid = engine.connection.last_insert_rowid();
    let created = engine
        .connection
        .prepare(&sql::create_table(table, &args.arguments.join(",")))
        .and_then(|mut statement| statement.run(&[]))
        .and_then(|()| schema::track_inside_statement(engine, table));
    engine.connection.set_last_insert_rowid(rowid);
    engine.forget_catalogue();
    created
}

/// The name of the table that holds the data.
pub(crate) fn data_table(name: &str) -> Option<&str> {
    name.strip_suffix("_schema").filter(|table| !table.is_empty())
}

pub(crate) struct ClsetTable {
    engine: Rc<Engine>,
    name: String,
}

impl Table for ClsetTable {
    type Cursor = NoRows;

    fn best_index(&self, _: &mut IndexInfo) -> Result<()> {
        Ok(())
    }

    fn open(&self) -> Result<NoRows> {
        Ok(NoRows)
    }

    fn destroy(&self) -> Result<()> {
        let Some(table) = data_table(&self.name) else { return Ok(()) };
        let dropped = schema::drop_tracked(&self.engine, table);
        self.engine.forget_catalogue();
        dropped
    }

    fn rename(&self, new_name: &str) -> Result<()> {
        let table = data_table(&self.name).unwrap_or(&self.name);
        Err(Error::failed(format!(
            "{} cannot be renamed to {new_name}: it stands for the table {table}, which would keep its name",
            self.name
        )))
    }
}
