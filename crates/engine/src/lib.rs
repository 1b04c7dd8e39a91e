//! Makes tables of a SQLite database replicate: clock rows for every write, `crsql_changes` to read them and to merge
//! those of others, and the functions that applications call.
//!
//! File format and behaviour are those of cr-sqlite 0.16.3, so that a database may be used by either, in turn. The
//! engine runs synchronously inside the host's connection and transaction. It knows nothing of streams or networks, and
//! never ends a transaction that it did not begin.
//!
//! Read [`register`] first, then `local_write` for what a write records, and `changes` for the way in and out.

#![forbid(unsafe_code)]

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
mod schema;
pub mod schema_text;
mod sql;
mod unpack;
mod values;

use rejoin_bridge::{Connection, Result};

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
    functions::register(&engine)?;
    connection.create_module("crsql_changes", changes::ChangesModule(engine.clone()))?;
    connection.create_module("clset", clset::ClsetModule(engine))?;
    connection.create_module("crsql_unpack_columns", unpack::UnpackModule)
}
