//! Changes for tables, columns and shapes of key that this schema lacks. They wait in the file, one for each cell, until
//! the schema has caught up. They belong to the database: they outlive the stream that brought them.

use crate::engine_facts;
use crate::error::{Result, StreamError, atomically};
use crate::identity::{read_meta, write_meta};
use crate::merge::{Merge, Misfit};
use crate::options::{OnUnknown, OnViolation};
use crate::rows::{damaged, has_bookkeeping};
use crate::sql;
use crate::values::{to_bridge, to_change};
use rejoin_bridge::{self as bridge, Connection, Statement, ValueRef};
use rejoin_change::{Change, PackedKey, SiteId};
use std::cmp::Ordering;
use std::sync::Arc;

/// Keeps a change, unless one that wins over it is kept already.
pub(crate) fn park(connection: &Connection, change: &Change) -> Result<()> {
    let cell = [ValueRef::from(&*change.table), change.key.as_bytes().into(), ValueRef::from(&*change.column)];
    let kept = connection.cached(sql::PARKED_CELL)?.query_row(&cell, |row| Ok(wins_over(change, row)))?;
    if kept == Some(false) {
        return Ok(());
    }
    if kept.is_none() {
        count(connection, change)?;
    }
    let [table, key, column] = cell;
    Ok(connection.cached(sql::PARK)?.run(&[
        table,
        key,
        column,
        to_bridge(&change.value),
        change.col_version.into(),
        change.causal_length.into(),
        change.site_id.as_bytes().into(),
    ])?)
}

/// The merge rule, as far as it goes without the row: the longer life, then the higher version, then the greater value.
fn wins_over(change: &Change, kept: &Statement) -> bool {
    let lives = change.causal_length.cmp(&kept.column_i64(2));
    let versions = lives.then(change.col_version.cmp(&kept.column_i64(1)));
    let values = versions.then_with(|| change.value.as_ref().merge_order(to_change(kept.column(0))));
    values.then_with(|| change.site_id.as_bytes()[..].cmp(&kept.column_blob(3))) == Ordering::Greater
}

/// How many changes are parked.
pub(crate) fn parked(connection: &Connection) -> Result<i64> {
    if !has_bookkeeping(connection)? {
        return Ok(0);
    }
    Ok(read_meta(connection, PARKED)?.unwrap_or(0))
}

fn count(connection: &Connection, change: &Change) -> Result<()> {
    let parked = read_meta(connection, PARKED)?.unwrap_or(0) + 1;
    if parked > PARKED_MAX {
        return Err(StreamError::PeerIncompatible(format!(
            "{PARKED_MAX} changes wait for tables and columns that this schema lacks, and no more are kept; the first one \
             too many is for column {} of table {}. Bring the schema in line with the remote's, or drop what waits by SELECT \
             crsql_drop_parked(), then apply the package again",
            change.column, change.table
        )));
    }
    write_meta(connection, PARKED, parked.into())
}

/// Merges what fits by now, where the schema is not the one that was last tried.
pub(crate) fn merge_if_schema_changed(connection: &Connection) -> Result<()> {
    if parked(connection)? == 0 {
        return Ok(());
    }
    let schema_version = engine_facts::schema_version(connection)?;
    if read_meta(connection, TRIED)? == Some(schema_version) {
        return Ok(());
    }
    match atomically(connection, || merge_fitting(connection)) {
        Err(error) if error.is_busy() => return Err(error),
        // What the tables refuse goes on waiting: crsql_merge_parked() says why.
        Err(_) | Ok(_) => {}
    }
    atomically(connection, || write_meta(connection, TRIED, schema_version.into()))
}

/// Merges what fits by now, and returns how many changes that were. Runs inside an atomic body.
pub(crate) fn merge_fitting(connection: &Connection) -> Result<i64> {
    let tables = connection.cached(sql::PARKED_TABLES)?.query(&[], |row| Ok(row.column_text(0)))?;
    let mut merge = Merge::new(connection, OnUnknown::Error, OnViolation::Stop)?;
    let mut merged = 0;
    for table in tables {
        let Some(shape) = engine_facts::table_shape(connection, &table)? else { continue };
        let table: Arc<str> = table.into();
        let mut behind = (Vec::new(), String::new());
        loop {
            let changes = some_parked(connection, &table, &behind)?;
            let Some(last) = changes.last() else { break };
            behind = (last.key.as_bytes().to_vec(), last.column.to_string());
            let fitting: Vec<Change> =
                changes.into_iter().filter(|change| Misfit::of(Some(&shape), change).is_none()).collect();
            merge.add(&fitting)?;
            for change in &fitting {
                let cell = [ValueRef::from(&*table), change.key.as_bytes().into(), ValueRef::from(&*change.column)];
                connection.cached(sql::UNPARK)?.run(&cell)?;
            }
            merged += fitting.len() as i64;
        }
        merge.finish()?;
    }
    merge.end()?;
    recount(connection)?;
    Ok(merged)
}

fn some_parked(connection: &Connection, table: &Arc<str>, behind: &(Vec<u8>, String)) -> Result<Vec<Change>> {
    let values = [ValueRef::from(&**table), (&behind.0).into(), (&behind.1).into(), AT_ONCE.into()];
    let mut bytes = 0;
    let mut changes = Vec::new();
    connection.cached(sql::PARKED_CHANGES)?.each_until(&values, |row| {
        let change = read(row, table).map_err(bridge::Error::from)?;
        bytes += rejoin_wire::change_size_bytes(&change);
        changes.push(change);
        Ok(bytes > BYTES_AT_ONCE)
    })?;
    Ok(changes)
}

fn read(row: &Statement, table: &Arc<str>) -> Result<Change> {
    Ok(Change {
        table: table.clone(),
        key: PackedKey::from_bytes(row.column_blob(0)).map_err(|_| damaged())?,
        column: row.column_text(1).into(),
        value: to_change(row.column(2)).to_value(),
        col_version: row.column_i64(3),
        causal_length: row.column_i64(4),
        site_id: SiteId::from_slice(&row.column_blob(5)).map_err(|_| damaged())?,
        db_version: 0,
        seq: 0,
    })
}

/// Forgets what waits, for all tables or one. How many changes that were.
pub(crate) fn drop_parked(connection: &Connection, table: Option<&str>) -> Result<i64> {
    if !has_bookkeeping(connection)? {
        return Ok(0);
    }
    atomically(connection, || {
        let before = parked(connection)?;
        match table {
            Some(table) => connection.cached(sql::DROP_PARKED_OF_TABLE)?.run(&[table.into()])?,
            None => connection.cached(sql::DROP_PARKED)?.run(&[])?,
        }
        recount(connection)?;
        Ok(before - parked(connection)?)
    })
}

fn recount(connection: &Connection) -> Result<()> {
    let parked = connection.cached(sql::COUNT_PARKED)?.query_row(&[], |row| Ok(row.column_i64(0)))?;
    write_meta(connection, PARKED, parked.unwrap_or(0).into())
}

/// Changes that wait at the most. At that number a stream stops before the package.
pub(crate) const PARKED_MAX: i64 = 1 << 20;
/// Changes that are merged together, and how many bytes of them.
const AT_ONCE: i64 = 4096;
const BYTES_AT_ONCE: usize = 4 << 20;
const PARKED: &str = "parked";
/// The schema for which merging was last tried.
const TRIED: &str = "parked_tried";
