//! Tables become tracked, change their schema while they are, and stop being tracked.
//!
//! Each function here undoes only what it did itself when it fails: a transaction of the caller stays as it was.

use crate::backfill::{self, Stamp};
use crate::catalogue::{
    column_names, exists, fingerprint, key_and_other_columns, lookaside_keys, same_names, table_sql,
};
use crate::engine::Engine;
use crate::{database, eligible, sql};
use rejoin_bridge::{Call, Error, Output, Result};
use std::rc::Rc;

/// `crsql_as_crr([schema,] table)`.
pub(crate) fn as_crr(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    if call.is_empty() {
        return Err(Error::failed(
            "Wrong number of args provided to crsql_as_crr. Provide the schema \n          \
             name and table name or just the table name.",
        ));
    }
    let table = named_table(engine, call, "crsql_as_crr")?;
    // Programs say this at every start; then it only reads.
    eligible::check(&engine.connection, &table)?;
    if exists(&engine.connection, "trigger", &sql::insert_trigger_name(&table))? {
        return Ok("OK".into());
    }
    atomically(engine, "crsql_as_crr", || {
        if exists(&engine.connection, "trigger", &sql::insert_trigger_name(&table))? {
            return eligible::check(&engine.connection, &table);
        }
        eligible::check_new(&engine.connection, &table)?;
        adopt_leftovers(engine, &table)?;
        create(engine, &table, Stamp::Next)
    })?;
    Ok("OK".into())
}

/// `crsql_as_table(table)`.
pub(crate) fn as_table(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    let Some(table) = call.arg(0).as_str() else { return Ok(Output::Null) };
    let table = canonical_name(engine, table)?;
    atomically(engine, "crsql_as_table", || forget_history(engine, &table))
        .map_err(|error| Error::new(error.code, format!("failed to downgrade the crr: {error}")))?;
    Ok(Output::Null)
}

/// Drops triggers, clock and lookaside, if they are there.
fn forget_history(engine: &Engine, table: &str) -> Result<()> {
    let (keys, _) = key_and_other_columns(&engine.connection, table)?;
    engine.connection.execute(&sql::drop_triggers(table, &keys))?;
    if exists(&engine.connection, "table", &sql::clock_name(table))? {
        refuse_strangers(engine, table)?;
        // Its versions are not given to later writes: whoever has seen them would take those for old.
        database::write_master(&engine.connection, "pre_compact_dbversion", engine.stored_db_version()?)?;
    }
    drop_clock_and_lookaside(engine, table)
}

/// Drops a table and all that was made for tracking it. The caller sees to it that all or nothing happens.
pub(crate) fn drop_tracked(engine: &Engine, table: &str) -> Result<()> {
    engine.begin_write()?;
    forget_history(engine, table)?;
    engine.connection.execute(&sql::drop_table(table))
}

/// Tracks a table that was just made, where a savepoint cannot be opened. The caller's statement undoes what fails.
pub(crate) fn track_inside_statement(engine: &Engine, table: &str) -> Result<()> {
    engine.begin_write()?;
    eligible::check(&engine.connection, table)?;
    adopt_leftovers(engine, table)?;
    create(engine, table, Stamp::Next)
}

/// A clock that is already there is that of a table which was dropped and made anew, or lost its triggers.
fn adopt_leftovers(engine: &Engine, table: &str) -> Result<()> {
    if exists(&engine.connection, "table", &sql::clock_name(table))? { compact(engine, table) } else { Ok(()) }
}

/// Takes the triggers off a tracked table before its schema changes; [`adopt_alteration`] puts them back.
pub(crate) fn drop_triggers(engine: &Engine, table: &str) -> Result<()> {
    engine.begin_write()?;
    let (keys, _) = key_and_other_columns(&engine.connection, table)?;
    engine.connection.execute(&sql::drop_triggers(table, &keys))
}

/// `crsql_begin_alter([schema,] table)`. Leaves a savepoint open, which [`commit_alter`] ends.
pub(crate) fn begin_alter(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    let table = named_table(engine, call, "crsql_begin_alter")?;
    if !exists(&engine.connection, "table", &sql::clock_name(&table))? {
        return Err(Error::failed(format!(
            "table {table} is not tracked: alter it as any table, or call crsql_as_crr"
        )));
    }
    engine.connection.execute(&format!("SAVEPOINT {ALTER_SAVEPOINT}"))?;
    if let Err(error) = drop_triggers(engine, &table) {
        let undo = format!("ROLLBACK TO {ALTER_SAVEPOINT}; RELEASE {ALTER_SAVEPOINT}");
        // Fails only where SQLite has already rolled the whole transaction back.
        let _ = engine.connection.execute(&undo);
        return Err(error);
    }
    Ok("OK".into())
}

/// `crsql_commit_alter([schema,] table)`.
pub(crate) fn commit_alter(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    let table = named_table(engine, call, "crsql_commit_alter")?;
    let connection = &engine.connection;
    if !exists(connection, "table", &sql::clock_name(&table))? {
        let error = Error::failed(format!("table {table} is not tracked"));
        return Err(failed_alteration(&table, &error, "crsql_as_crr tracks it; nothing was changed"));
    }
    connection.execute(&format!("SAVEPOINT {COMMIT_SAVEPOINT}"))?;
    // Releasing the savepoint of the beginning releases the inner one as well, and commits where nothing is around it.
    let result =
        adopt_alteration(engine, &table).and_then(|()| connection.execute(&format!("RELEASE {ALTER_SAVEPOINT}")));
    let Err(error) = result else { return Ok(Output::Null) };
    engine.forget_catalogue();
    if connection.is_autocommit() {
        return Err(failed_alteration(&table, &error, "the transaction was rolled back"));
    }
    let _ = connection.execute(&format!("ROLLBACK TO {COMMIT_SAVEPOINT}; RELEASE {COMMIT_SAVEPOINT}"));
    let advice = if error.message.contains("no such savepoint") {
        "crsql_begin_alter comes first"
    } else {
        "the alteration is still open: correct the table and call crsql_commit_alter again, or ROLLBACK"
    };
    Err(failed_alteration(&table, &error, advice))
}

fn failed_alteration(table: &str, error: &Error, advice: &str) -> Error {
    Error::new(error.code, format!("failed compacting tables post alteration of {table}: {error} ({advice})"))
}

/// Fits the history of a tracked table to its altered schema, and puts the triggers back.
pub(crate) fn adopt_alteration(engine: &Engine, table: &str) -> Result<()> {
    engine.begin_write()?;
    let committed = engine.db_version()?;
    eligible::check(&engine.connection, table)?;
    compact(engine, table)?;
    database::write_master(&engine.connection, "pre_compact_dbversion", committed)?;
    create(engine, table, Stamp::Committed(committed))
}

/// Fits clock and lookaside to the table as it is now. With another key they start anew, since no row can be told to be
/// one that was there before. Else what belongs to columns that are gone is forgotten, and rows that are gone are
/// recorded as deleted.
fn compact(engine: &Engine, table: &str) -> Result<()> {
    let connection = &engine.connection;
    engine.begin_write()?;
    refuse_strangers(engine, table)?;
    let (keys, columns) = key_and_other_columns(connection, table)?;
    if !same_names(&lookaside_keys(connection, table)?, &keys) {
        return drop_clock_and_lookaside(engine, table);
    }
    connection.execute(&sql::forget_other_columns(table, &columns))?;
    backfill::bury_missing_rows(engine, table, &keys)?;
    connection.execute(&sql::forget_unused_keys(table))
}

fn create(engine: &Engine, table: &str, stamp: Stamp) -> Result<()> {
    let connection = &engine.connection;
    let (keys, columns) = key_and_other_columns(connection, table)?;
    connection.execute(&sql::create_clock(table))?;
    refuse_strangers(engine, table)?;
    connection.execute(&sql::create_clock_index(table))?;
    connection.execute(&sql::create_lookaside(table, &keys))?;
    connection.execute(&sql::create_lookaside_index(table, &keys))?;
    connection.execute(&sql::drop_triggers(table, &keys))?;
    connection.execute(&sql::create_insert_trigger(table, &keys))?;
    connection.execute(&sql::create_update_trigger(table, &keys, &columns, &fingerprint(&keys, &columns)))?;
    connection.execute(&sql::create_delete_trigger(table, &keys))?;
    engine.begin_write()?;
    backfill::backfill(engine, table, &keys, &columns, stamp)
}

/// A table of the user may have the name of a clock. It is never dropped.
fn refuse_strangers(engine: &Engine, table: &str) -> Result<()> {
    let clock = sql::clock_name(table);
    let columns = column_names(&engine.connection, &clock)?;
    if columns.iter().map(|column| column.name.as_str()).eq(sql::CLOCK_COLUMNS) {
        return Ok(());
    }
    Err(Error::failed(format!(
        "table {table} is not and cannot be tracked: the name {clock} is taken by a table of another layout"
    )))
}

/// Dropping tables may make the stored version fall.
fn drop_clock_and_lookaside(engine: &Engine, table: &str) -> Result<()> {
    engine.begin_write()?;
    engine.forget_db_version();
    engine.connection.execute(&sql::drop_clock_and_lookaside(table))
}

/// All or nothing, and the schema is read anew afterwards. The write lock is taken first, so that nothing which `body`
/// has read can change before it writes.
pub(crate) fn atomically(engine: &Engine, name: &str, body: impl FnOnce() -> Result<()>) -> Result<()> {
    let rowid = engine.connection.last_insert_rowid();
    let result = engine.connection.savepoint(name, || {
        engine.begin_write()?;
        body()
    });
    engine.connection.set_last_insert_rowid(rowid);
    engine.forget_catalogue();
    result
}

/// The table that the arguments name: the second of exactly two, else the first.
fn named_table(engine: &Engine, call: &Call<'_>, function: &str) -> Result<String> {
    let place = if call.len() == 2 { 1 } else { 0 };
    let name = (!call.is_empty()).then(|| call.arg(place)).and_then(|name| name.as_str());
    let name = name.ok_or_else(|| Error::failed(format!("{function} needs the name of a table")))?;
    if call.len() == 2 && !call.arg(0).as_str().is_some_and(|schema| schema.eq_ignore_ascii_case("main")) {
        return Err(Error::failed(format!("{function} works on tables of the schema main only")));
    }
    canonical_name(engine, name)
}

/// SQLite compares table names without regard to case; clocks, triggers and peers do not. The schema's spelling counts,
/// unless the table is tracked under the given one.
fn canonical_name(engine: &Engine, name: &str) -> Result<String> {
    if name.contains('\0') {
        return Err(Error::failed("the name of a table has no NUL character"));
    }
    if exists(&engine.connection, "table", &sql::clock_name(name))? {
        return Ok(name.to_owned());
    }
    let found = table_sql(&engine.connection, name)?;
    Ok(found.map_or_else(|| name.to_owned(), |(spelling, _)| spelling))
}

/// The savepoint from crsql_begin_alter to crsql_commit_alter, as the original calls it.
const ALTER_SAVEPOINT: &str = "alter_crr";
const COMMIT_SAVEPOINT: &str = "crsql_commit_alter";
