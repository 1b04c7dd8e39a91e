//! Clock rows for what was in a table before it was tracked, or came while it was altered.

use crate::engine::Engine;
use crate::sql;
use rejoin_bridge::{Result, ValueRef};

/// Which version rows get that nobody has recorded.
#[derive(Clone, Copy)]
pub(crate) enum Stamp {
    /// That of the running transaction: they are news.
    Next,
    /// The last committed one. An alteration is expected to run at every peer alike, so it is not to be sent.
    Committed(i64),
}

/// Records every row that is not recorded yet with all its cells, and every cell of a recorded row that has no clock row
/// and differs from its column's default.
pub(crate) fn backfill(engine: &Engine, table: &str, keys: &[String], columns: &[String], stamp: Stamp) -> Result<()> {
    let connection = &engine.connection;
    let highest =
        connection.prepare(&sql::highest_key(table))?.query_row(&[], |row| Ok(row.column_i64(0)))?.unwrap_or(0);
    revive_returned_rows(engine, table, keys, columns)?;
    connection.execute(&sql::add_missing_keys(table, keys))?;

    let (record_row, events) = if columns.is_empty() {
        (sql::touch_sentinel_created(table), 1)
    } else {
        (sql::add_cells(table, columns), columns.len())
    };
    let mut record_row = connection.prepare(&record_row)?;
    let mut new_keys = connection.prepare(&sql::keys_above(table))?;
    new_keys.bind(1, highest)?;
    while new_keys.step()? {
        let version = version(engine, stamp)?;
        record_row.run(&[new_keys.column_i64(0).into(), version.into(), engine.take_seq(events).into()])?;
    }
    drop(new_keys);
    // Where no key was known before, every row has just been recorded whole.
    if highest == 0 { Ok(()) } else { backfill_cells(engine, table, keys, columns, stamp) }
}

fn backfill_cells(engine: &Engine, table: &str, keys: &[String], columns: &[String], stamp: Stamp) -> Result<()> {
    let connection = &engine.connection;
    let defaults = connection.prepare(sql::COLUMN_DEFAULTS)?.query(&[table.into()], |row| {
        let default = row.column(2).as_str().map(str::to_owned);
        Ok((row.column_text(0), row.column_i64(1) != 0, default))
    })?;
    for (column, not_null, default) in defaults.into_iter().filter(|(column, ..)| columns.contains(column)) {
        let default = default.or_else(|| (!not_null).then(|| "NULL".to_owned()));
        let select = sql::keys_without_cell(table, keys, &column, default.as_deref());
        // Collected first: the query reads the table that is written.
        for key in connection.prepare(&select)?.query(&[], |row| Ok(row.column_i64(0)))? {
            let version = version(engine, stamp)?;
            let values = [key.into(), (&column).into(), version.into(), engine.take_seq(1).into()];
            connection.cached(&sql::touch_cell(table))?.run(&values)?;
        }
    }
    Ok(())
}

/// Rows that were deleted once and have come back while no trigger recorded it.
fn revive_returned_rows(engine: &Engine, table: &str, keys: &[String], columns: &[String]) -> Result<()> {
    let select = sql::keys_to_revive(table, keys);
    for key in engine.connection.prepare(&select)?.query(&[], |row| Ok(row.column_i64(0)))? {
        let version = engine.stamp(0)?;
        run(engine, &sql::touch_sentinel_created(table), key, version, 1)?;
        if !columns.is_empty() {
            run(engine, &sql::touch_cells(table, columns), key, version, columns.len())?;
        }
    }
    Ok(())
}

/// Rows that have gone while no trigger recorded it are recorded as deleted, so that peers do not bring them back.
pub(crate) fn bury_missing_rows(engine: &Engine, table: &str, keys: &[String]) -> Result<()> {
    let select = sql::keys_to_bury(table, keys);
    for key in engine.connection.prepare(&select)?.query(&[], |row| Ok(row.column_i64(0)))? {
        let version = engine.stamp(0)?;
        run(engine, &sql::touch_sentinel_deleted(table), key, version, 1)?;
        engine.connection.cached(&sql::drop_cells(table))?.run(&[key.into()])?;
    }
    Ok(())
}

fn run(engine: &Engine, sql: &str, key: i64, version: i64, events: usize) -> Result<()> {
    let values: [ValueRef<'_>; 3] = [key.into(), version.into(), engine.take_seq(events).into()];
    engine.connection.cached(sql)?.run(&values)
}

fn version(engine: &Engine, stamp: Stamp) -> Result<i64> {
    match stamp {
        Stamp::Next => engine.stamp(0),
        Stamp::Committed(version) => Ok(version),
    }
}
