//! The values of a row's cells. A row that is small is read at once, together with its key; of a large one each cell by
//! itself, and a value that does not fit into a package piece by piece.

use super::large::Large;
use super::sql;
use super::tables::{Key, Table, Tables};
use crate::error::Result;
use crate::values::{to_bridge, to_change};
use rejoin_bridge::{Connection, Statement, ValueRef};
use rejoin_change::{PackedKey, Value};
use std::vec;

/// Some cells of a row, to be asked for in the order in which they were named.
pub(super) struct RowCells {
    pub key: Key,
    values: Values,
}

enum Values {
    Read(vec::IntoIter<Value>),
    /// The row is gone, or large: each cell is looked for by itself, with these values of the key.
    Unread(Vec<Value>),
}

/// A cell's value, or where it can be read.
pub(super) enum Held {
    Whole(Value),
    Large(Large),
}

impl RowCells {
    /// Reads some columns of a row, in this order, none of them the sentinel. None where the key table does not know the
    /// key: the original engine leaves such clock rows out as well.
    pub fn read(table: &Table, key: i64, columns: &[u16]) -> Result<Option<RowCells>> {
        if columns.is_empty() {
            let key = table.read_key(key)?;
            return Ok(key.map(|key| RowCells { key, values: Values::Unread(Vec::new()) }));
        }
        let slot = table.row(columns);
        let read = slot.lend()?.query_row(&[key.into(), ROW_AT_ONCE_BYTES_MAX.into()], |row| {
            let first = 1 + table.keys.len();
            let values = (first..first + columns.len()).map(|index| to_change(row.column(index as i32)).to_value());
            let values: Vec<Value> = values.collect();
            Ok(table.key_in(row).map(|key| RowCells { key, values: Values::Read(values.into_iter()) }))
        })?;
        if let Some(cells) = read {
            return cells.map(Some);
        }
        let key = table.read_key(key)?;
        Ok(key.map(|key| RowCells { values: Values::Unread(key.packed.values()), key }))
    }

    /// The next cell, which is of this column. Up to `whole_max` bytes it is read as a whole.
    pub fn next(
        &mut self,
        connection: &Connection,
        tables: &Tables,
        table: &Table,
        column: u16,
        whole_max: usize,
    ) -> Result<Held> {
        match &mut self.values {
            Values::Read(values) => Ok(Held::Whole(values.next().unwrap_or(Value::Null))),
            Values::Unread(keys) => cell(connection, tables, table, keys, column, whole_max),
        }
    }
}

/// One cell of the row of a key, by itself.
pub(super) fn cell_of(
    connection: &Connection,
    tables: &Tables,
    table: &Table,
    key: &PackedKey,
    column: u16,
    whole_max: usize,
) -> Result<Held> {
    cell(connection, tables, table, &key.values(), column, whole_max)
}

/// One cell by itself; NULL where the row is gone, as `crsql_changes` has it.
fn cell(
    connection: &Connection,
    tables: &Tables,
    table: &Table,
    keys: &[Value],
    column: u16,
    whole_max: usize,
) -> Result<Held> {
    let name = &*table.columns[column as usize];
    let bound: Vec<ValueRef<'_>> = keys.iter().map(to_bridge).collect();
    let sizes = sql::cell_size(&table.name, &table.keys, name, table.rowid, tables.size);
    let read = |row: &Statement| Ok((row.column_text(0), row.column_i64(1), row.column_i64(2)));
    let Some((class, size, rowid)) = connection.cached(&sizes)?.query_row(&bound, read)? else {
        return Ok(Held::Whole(Value::Null));
    };
    let is_text = class == "text";
    if !is_text && class != "blob" {
        return Ok(Held::Whole(whole_cell(connection, table, keys, column)?));
    }
    // Pieces come as they are stored.
    let rowid = (table.rowid.is_some() && (!is_text || tables.is_utf8)).then_some(rowid);
    let size_bytes = match (u64::try_from(size), rowid) {
        (Ok(size), _) if !is_text || tables.is_utf8 => size,
        (_, Some(rowid)) => connection.open_blob(&table.name, name, rowid)?.size_bytes() as u64,
        _ => value_size_bytes(&whole_cell(connection, table, keys, column)?) as u64,
    };
    if size_bytes <= whole_max as u64 {
        return Ok(Held::Whole(whole_cell(connection, table, keys, column)?));
    }
    Ok(Held::Large(Large { size_bytes, is_text, rowid }))
}

pub(super) fn whole_cell(connection: &Connection, table: &Table, keys: &[Value], column: u16) -> Result<Value> {
    let bound: Vec<ValueRef<'_>> = keys.iter().map(to_bridge).collect();
    let sql = sql::cell(&table.name, &table.keys, &table.columns[column as usize]);
    let value = connection.cached(&sql)?.query_row(&bound, |row| Ok(to_change(row.column(0)).to_value()))?;
    Ok(value.unwrap_or(Value::Null))
}

impl Held {
    /// What the value takes in a package.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Held::Whole(value) => value_size_bytes(value) as u64,
            Held::Large(large) => large.size_bytes,
        }
    }
}

fn value_size_bytes(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 8,
        Value::Text(bytes) | Value::Blob(bytes) => bytes.len(),
    }
}

/// Bytes of values of one row that are read at once.
const ROW_AT_ONCE_BYTES_MAX: i64 = 1 << 20;
