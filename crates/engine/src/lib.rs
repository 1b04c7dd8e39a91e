//! Makes tables of a SQLite database replicate: clock rows for every write, `crsql_changes` to read them and to merge
//! those of others, and the functions that applications call.
//!
//! File format and behaviour are those of cr-sqlite 0.16.3, so that a database may be used by either, in turn. The
//! engine runs synchronously inside the host's connection and transaction. It knows nothing of streams or networks, and
//! never ends a transaction that it did not begin.
//!
//! Read [`register`] first, then `local_write` for what a write records, and `changes` for the way in and out.

#![forbid(unsafe_code)]

mod affinity;
mod automigrate;
mod backfill;
mod catalogue;
mod changes;
mod clset;
mod config;
mod database;
mod eligible;
mod engine;
mod fractional;
mod functions;
mod local_write;
mod recorder;
mod schema;
pub mod schema_text;
mod sql;
mod statements;
mod unpack;
mod values;

use rejoin_bridge::{Connection, Error, Result};
use rejoin_change::ChangeStore;
use std::cell::OnceCell;
use std::rc::Rc;

/// Prepares the database (its tables are made where they are missing) and registers functions and virtual tables on
/// the connection.
///
/// Does nothing where the connection has `crsql_changes` already: then the original extension is loaded, and stays.
pub fn register(connection: &Connection) -> Result<()> {
    if connection.has_module("crsql_changes")? {
        return Ok(());
    }
    database::prepare(connection)?;
    let engine = engine::Engine::attach(connection)?;
    connection.state(Attached::default).0.get_or_init(|| engine.clone());
    functions::register(&engine)?;
    connection.create_module("crsql_changes", changes::ChangesModule(engine.clone()))?;
    connection.create_module("clset", clset::ClsetModule(engine))?;
    connection.create_module("crsql_unpack_columns", unpack::UnpackModule)
}

/// The engine of a connection as something that takes changes row by row; none where [`register`] left the connection to
/// the original extension.
pub fn change_store(connection: &Connection) -> Option<Rc<dyn ChangeStore<Error = Error>>> {
    let engine = connection.state(Attached::default).0.get().cloned();
    engine.map(|engine| engine as Rc<dyn ChangeStore<Error = Error>>)
}

/// The engine of a connection, once it is there.
#[derive(Default)]
struct Attached(OnceCell<Rc<engine::Engine>>);
