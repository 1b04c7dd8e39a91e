//! Databases with the engine, for the tests.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part of it; failing is its way to report")]

use rejoin_bridge::{Connection as Bridge, linked};
use rusqlite::{Connection, types::Value};
use std::path::Path;

/// A database in memory with the engine.
pub fn memory() -> Connection {
    prepared(Connection::open_in_memory)
}

/// A database in memory with the engine, and the engine's own handle to it.
pub fn memory_with_handle() -> (Connection, Bridge) {
    linked::open(rejoin_engine::register, Connection::open_in_memory).expect("the engine opens a database")
}

/// A database file with the engine.
pub fn file(path: &Path) -> Connection {
    prepared(|| Connection::open(path))
}

fn prepared(open: impl FnOnce() -> rusqlite::Result<Connection>) -> Connection {
    linked::open(rejoin_engine::register, open).expect("the engine opens a database").0
}

/// A database in memory with the table of the worked examples.
pub fn foo() -> Connection {
    tracked("CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b, c)", "foo")
}

/// A database in memory with one tracked table.
pub fn tracked(create: &str, table: &str) -> Connection {
    let host = memory();
    host.execute_batch(create).unwrap();
    track(&host, table);
    host
}

pub fn track(host: &Connection, table: &str) {
    host.query_row("SELECT crsql_as_crr(?1)", [table], |_| Ok(())).unwrap();
}

pub fn run(host: &Connection, sql: &str) {
    host.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// The message with which SQL fails, whatever of several statements it is.
pub fn failure(host: &Connection, sql: &str) -> String {
    match host.execute_batch(sql) {
        Ok(()) => panic!("{sql} was expected to fail"),
        Err(error) => error.to_string(),
    }
}

/// One value as text.
pub fn one(host: &Connection, sql: &str) -> String {
    rows(host, sql).pop().unwrap_or_else(|| panic!("{sql} gave no row"))
}

pub fn number(host: &Connection, sql: &str) -> i64 {
    host.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Rows as text, values separated by bars, as the sqlite3 shell shows them; blobs in hex.
pub fn rows(host: &Connection, sql: &str) -> Vec<String> {
    let mut statement = host.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let values = (0..columns).map(|i| row.get::<_, Value>(i).map(|value| shown(&value)));
        Ok(values.collect::<rusqlite::Result<Vec<_>>>()?.join("|"))
    });
    rows.unwrap().collect::<rusqlite::Result<_>>().unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Integer(i) => i.to_string(),
        Value::Real(r) => format!("{r:?}"),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// The clock of a table: key, column, col_version, db_version, site ordinal, seq.
pub fn clock(host: &Connection, table: &str) -> Vec<String> {
    rows(
        host,
        &format!(
            "SELECT key, col_name, col_version, db_version, site_id, seq FROM \"{table}__crsql_clock\" \
             ORDER BY key, col_name <> '-1', col_name"
        ),
    )
}

/// One record of `crsql_changes`.
pub type Record = [Value; 9];

pub fn changes(host: &Connection, condition: &str) -> Vec<Record> {
    let sql = format!("SELECT * FROM crsql_changes {condition}");
    let mut statement = host.prepare(&sql).unwrap();
    let rows = statement.query_map([], |row| {
        let mut record = [const { Value::Null }; 9];
        for (i, value) in record.iter_mut().enumerate() {
            *value = row.get(i)?;
        }
        Ok(record)
    });
    rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

/// Merges one record; returns its rowid.
pub fn merge(host: &Connection, record: &Record) -> rusqlite::Result<i64> {
    host.prepare_cached("INSERT INTO crsql_changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?
        .execute(rusqlite::params_from_iter(record))?;
    Ok(host.last_insert_rowid())
}

/// Merges everything that one database has into another, in one transaction.
pub fn pull(from: &Connection, to: &Connection) {
    let records = changes(from, "");
    run(to, "BEGIN");
    for record in &records {
        merge(to, record).unwrap();
    }
    run(to, "COMMIT");
}
