//! What the streams learn of the engine below them, by SQL only: it may be the built-in one or the original.

use crate::error::{Result, StreamError};
use crate::sql;
use rejoin_bridge::{Connection, Statement, ValueRef};
use rejoin_change::SiteId;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// The engine's tables, listed once per schema.
#[derive(Default)]
pub(crate) struct EngineTables {
    pub clock_tables: Vec<String>,
    has_master: bool,
    pub has_tracked_peers: bool,
    has_site_id: bool,
    newest_version: Vec<String>,
}

#[derive(Default)]
struct Listed(RefCell<Option<(i64, Rc<EngineTables>)>>);

/// `PRAGMA schema_version` of the snapshot that is being read.
pub(crate) fn schema_version(connection: &Connection) -> Result<i64> {
    let version = connection.cached(sql::SCHEMA_VERSION)?.query_row(&[], |row| Ok(row.column_i64(0)))?;
    Ok(version.unwrap_or(0))
}

pub(crate) fn engine_tables(connection: &Connection) -> Result<Rc<EngineTables>> {
    let schema_version = schema_version(connection)?;
    let listed = connection.state(Listed::default);
    if !connection.has_write_transaction()
        && let Some((version, tables)) = &*listed.0.borrow()
        && *version == schema_version
    {
        return Ok(tables.clone());
    }
    let tables = Rc::new(list_engine_tables(connection)?);
    // What a transaction that writes sees may be rolled back, and its schema_version be given to another schema.
    if !connection.has_write_transaction() {
        *listed.0.borrow_mut() = Some((schema_version, tables.clone()));
    }
    Ok(tables)
}

fn list_engine_tables(connection: &Connection) -> Result<EngineTables> {
    let names: BTreeSet<String> =
        connection.cached(sql::ENGINE_TABLES)?.query(&[], |row| Ok(row.column_text(0)))?.into_iter().collect();
    let mut clock_tables = Vec::new();
    for name in names.iter().filter(|name| name.ends_with(sql::CLOCK_SUFFIX)) {
        // A table of the application's may have a name that ends alike.
        let read = |row: &Statement| Ok(row.column_text(0));
        let columns = connection.cached(sql::TABLE_COLUMNS)?.query(&[ValueRef::from(name)], read)?;
        if columns == CLOCK_COLUMNS {
            clock_tables.push(name.clone());
        }
    }
    let newest_version =
        clock_tables.chunks(TABLES_PER_STATEMENT).map(|chunk| sql::newest_version(chunk.iter())).collect();
    Ok(EngineTables {
        clock_tables,
        has_master: names.contains("crsql_master"),
        has_tracked_peers: names.contains("crsql_tracked_peers"),
        has_site_id: names.contains("crsql_site_id"),
        newest_version,
    })
}

/// The newest db_version that is stored in the snapshot being read, or the floor that a compaction left. Versions that a
/// connection only counted in memory are not in it.
pub(crate) fn head(connection: &Connection) -> Result<i64> {
    let tables = engine_tables(connection)?;
    let mut head = 0;
    for statement in &tables.newest_version {
        let newest = connection.cached(statement)?.query_row(&[], |row| Ok(row.column_i64(0)))?;
        head = head.max(newest.unwrap_or(0));
    }
    if tables.has_master {
        let floor = connection.cached(sql::COMPACTED_VERSION)?.query_row(&[], |row| Ok(row.column_i64(0)))?;
        head = head.max(floor.unwrap_or(0));
    }
    Ok(head)
}

/// The id as it is stored: another connection may have changed it since the engine last looked.
pub(crate) fn site_id(connection: &Connection) -> Result<SiteId> {
    let stored =
        if engine_tables(connection)?.has_site_id { first_blob(connection, sql::STORED_SITE_ID)? } else { None };
    let bytes = match stored {
        Some(bytes) => Some(bytes),
        None => first_blob(connection, sql::ENGINE_SITE_ID)?,
    };
    bytes.and_then(|bytes| SiteId::from_slice(&bytes).ok()).ok_or_else(|| {
        StreamError::Misuse(
            "this database has no site id of 16 bytes; load rejoin or cr-sqlite before its streams".into(),
        )
    })
}

fn first_blob(connection: &Connection, sql: &str) -> Result<Option<Vec<u8>>> {
    Ok(connection.cached(sql)?.query_row(&[], |row| Ok(row.column_blob(0)))?)
}

/// What a table looks like to a change that wants to be merged into it.
pub(crate) struct TableShape {
    pub key_len: usize,
    pub columns: BTreeSet<String>,
}

/// `None` where the table is not replicated here.
pub(crate) fn table_shape(connection: &Connection, table: &str) -> Result<Option<TableShape>> {
    let clock_table = format!("{table}{}", sql::CLOCK_SUFFIX);
    if !engine_tables(connection)?.clock_tables.contains(&clock_table) {
        return Ok(None);
    }
    let columns = connection
        .cached(sql::TABLE_COLUMNS)?
        .query(&[ValueRef::from(table)], |row| Ok((row.column_text(0), row.column_i64(1))))?;
    let key_len = columns.iter().filter(|(_, key)| *key > 0).count();
    let columns: BTreeSet<String> = columns.into_iter().filter(|(_, key)| *key == 0).map(|(name, _)| name).collect();
    Ok((key_len > 0).then_some(TableShape { key_len, columns }))
}

const CLOCK_COLUMNS: [&str; 6] = ["key", "col_name", "col_version", "db_version", "site_id", "seq"];
/// SQLite joins at most 500 SELECTs by UNION ALL; a host may have lowered that.
const TABLES_PER_STATEMENT: usize = 100;
