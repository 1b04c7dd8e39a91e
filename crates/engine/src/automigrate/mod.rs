//! `crsql_automigrate`: gives a database the schema that a text describes, and keeps the rows.
//!
//! The text is run on an empty database in memory, what comes out is compared with what is there, and what differs is
//! altered: `text`, then `shape`, `plan`, `alter`. At the end the text is run here as well, and both are compared once
//! more. Everything happens in one savepoint, so that a failure leaves nothing behind and the caller's transaction as
//! it was.

mod alter;
mod check;
mod plan;
mod set_aside;
mod shape;
mod text;

use crate::engine::Engine;
use crate::sql::migration;
use alter::Migration;
use plan::{Differences, Wanted};
use rejoin_bridge::{Call, Error, FunctionFlags, Output, PrivateDatabase, Result};
use set_aside::SetAside;
use shape::Schema;
use std::rc::Rc;

/// `crsql_automigrate(schema [, cleanup])`.
pub(crate) fn automigrate(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    if call.is_empty() {
        return Err(Error::failed("Had no args. Expected a schema to migrate to"));
    }
    if call.len() > 2 {
        return Err(Error::failed("crsql_automigrate takes a schema and, if need be, statements to clean up with"));
    }
    let no_text = || {
        Error::failed(
            "crsql_automigrate: the schema is not a text; pass '' if every table, with all its rows, is to be dropped",
        )
    };
    let schema = call.arg(0).as_str().filter(|schema| !schema.contains('\0')).ok_or_else(no_text)?;
    let cleanup = call.arg(1).as_str().unwrap_or_default();

    let private = open_private(engine)?;
    let declared = text::declare(&private, schema)?;
    let wanted = Wanted { schema: Schema::read(&private)?, declared };

    let rowid = engine.connection.last_insert_rowid();
    let migrated = engine.connection.savepoint("crsql_automigrate", || {
        migrate(engine, &private, &wanted, schema)?;
        private.execute(cleanup)
    });
    engine.connection.set_last_insert_rowid(rowid);
    engine.forget_catalogue();
    migrated?;
    Ok("migration complete".into())
}

fn migrate(engine: &Rc<Engine>, private: &PrivateDatabase, wanted: &Wanted, schema: &str) -> Result<()> {
    let local = Schema::read(&engine.connection)?;
    let differences = Differences::find(&local, wanted)?;
    let broken_before = check::broken(&engine.connection, &local)?;
    let mut set_aside = SetAside::default();
    if !differences.need_nothing_altered() {
        set_aside = Migration { engine, private, wanted: &wanted.schema }.alter(&differences)?;
    }
    engine.connection.execute(schema).map_err(|error| {
        Error::new(
            error.code,
            format!(
                "failed to apply the updated schema: {error} (its statements run on a database that may have some of it \
                 already: write IF NOT EXISTS)"
            ),
        )
    })?;
    set_aside.put_back(engine)?;

    let migrated = Schema::read(&engine.connection)?;
    if let Some(left) = Differences::find(&migrated, wanted)?.first() {
        return Err(Error::failed(format!(
            "crsql_automigrate: the schema was applied, and {left} still differs from what it says; nothing was changed"
        )));
    }
    check::no_more_broken(&engine.connection, &migrated, &broken_before)
}

/// An empty database that knows every function of the host's connection by name, so that definitions which use them can
/// be read. None of them does anything.
fn open_private(engine: &Engine) -> Result<PrivateDatabase> {
    let private = engine.connection.open_private()?;
    let functions = |connection: &rejoin_bridge::Connection| {
        connection.prepare(migration::ADDED_FUNCTIONS)?.query(&[], |row| {
            Ok((row.column_text(0), i32::try_from(row.column_i64(1)).unwrap_or(-1), row.column_i64(2)))
        })
    };
    for (name, arguments, flags) in functions(&engine.connection)? {
        let flags = match flags & SQLITE_DETERMINISTIC {
            0 => FunctionFlags::NONE,
            _ => FunctionFlags::DETERMINISTIC,
        };
        private.create_function(&name, arguments, flags, |_| Ok(Output::Null))?;
    }
    let foreign_keys = alter::foreign_keys_are_enforced(&engine.connection)?;
    private.execute(&migration::set_foreign_keys(foreign_keys))?;
    Ok(private)
}

/// What pragma_function_list says of a deterministic function.
const SQLITE_DETERMINISTIC: i64 = 0x800;
