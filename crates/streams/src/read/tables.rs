//! The replicated tables of a database, as the engine keeps them: what is needed to read their changes.

use super::sql::{self, Size};
use crate::engine_facts;
use crate::error::Result;
use crate::sql::{CLOCK_SUFFIX, TABLE_COLUMNS};
use crate::values::to_change;
use rejoin_bridge::{Connection, Slot, Statement, ValueRef};
use rejoin_change::{self as change, PackedKey, SENTINEL};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// All of them, in the order of their names' bytes, as one version of the schema has them.
pub(crate) struct Tables {
    pub schema_version: i64,
    pub list: Vec<Table>,
    /// SQLite stores text as it travels.
    pub is_utf8: bool,
    pub size: Size,
    pub author: Slot,
    behind: Vec<Slot>,
}

/// One replicated table. Its columns are told apart by their ranks among their names, the sentinel's among them.
pub(crate) struct Table {
    /// The name under which it is tracked.
    pub name: Arc<str>,
    /// Its place in [`Tables::list`].
    pub rank: u32,
    pub columns: Vec<Arc<str>>,
    /// Rank of the sentinel.
    pub sentinel: u16,
    /// In the order of the primary key.
    pub keys: Vec<String>,
    /// A name by which the rowid can be asked for, where values can be opened by it.
    pub rowid: Option<&'static str>,
    pub clock_rows_behind: Slot,
    pub clock_rows_of_version: Slot,
    pub older_cells: Slot,
    pub clock_rows_of_row: Slot,
    pub clock_row: Slot,
    pub key: Slot,
    size: Size,
    connection: Connection,
    rows: RefCell<HashMap<Box<[u16]>, Rc<Slot>>>,
}

/// What the key table and the sentinel say of a row.
pub(crate) struct Key {
    pub causal_length: i64,
    pub packed: PackedKey,
}

#[derive(Default)]
struct Known(RefCell<Option<Rc<Tables>>>);

impl Tables {
    /// As the snapshot that is being read has them. Nothing is being written on this connection.
    pub fn of(connection: &Connection) -> Result<Rc<Tables>> {
        let schema_version = engine_facts::schema_version(connection)?;
        let known = connection.state(Known::default);
        if let Some(tables) = &*known.0.borrow()
            && tables.schema_version == schema_version
        {
            return Ok(tables.clone());
        }
        let tables = Rc::new(Tables::load(connection, schema_version)?);
        *known.0.borrow_mut() = Some(tables.clone());
        Ok(tables)
    }

    fn load(connection: &Connection, schema_version: i64) -> Result<Tables> {
        let size = if connection.sqlite_version() >= OCTET_LENGTH_SINCE { Size::Octets } else { Size::Length };
        let mut list = Vec::new();
        let mut clock_tables = engine_facts::engine_tables(connection)?.clock_tables.clone();
        clock_tables.sort_by(|a, b| a.trim_end_matches(CLOCK_SUFFIX).cmp(b.trim_end_matches(CLOCK_SUFFIX)));
        for name in &clock_tables {
            let Some(table) = name.strip_suffix(CLOCK_SUFFIX) else { continue };
            list.extend(Table::load(connection, table, list.len() as u32, size)?);
        }
        list.sort_by(|a, b| a.name.cmp(&b.name));
        (0..).zip(&mut list).for_each(|(rank, table)| table.rank = rank);
        let names: Vec<&str> = list.iter().map(|table| &*table.name).collect();
        let behind =
            names.chunks(TABLES_PER_STATEMENT).map(|chunk| connection.slot(sql::tables_behind(chunk))).collect();
        let encoding = connection.cached(sql::ENCODING)?.query_row(&[], |row| Ok(row.column_text(0)))?;
        Ok(Tables {
            schema_version,
            list,
            is_utf8: encoding.as_deref() == Some("UTF-8"),
            size,
            author: connection.slot(sql::AUTHOR),
            behind,
        })
    }

    /// Those in which something is stored behind a version.
    pub fn behind(&self, version: i64) -> Result<Vec<&Table>> {
        let mut found = Vec::new();
        for (chunk, statement) in self.list.chunks(TABLES_PER_STATEMENT).zip(&self.behind) {
            statement.lend()?.each(&[version.into()], |row| {
                found.extend(chunk.get(row.column_i64(0) as usize));
                Ok(())
            })?;
        }
        Ok(found)
    }

    pub fn get(&self, rank: u32) -> &Table {
        &self.list[rank as usize]
    }
}

impl Table {
    /// None where the table is gone or its key is another than the engine has recorded: nothing can be said of its rows
    /// then.
    fn load(connection: &Connection, table: &str, rank: u32, size: Size) -> Result<Option<Table>> {
        let columns_of = |name: &str| {
            let read = |row: &Statement| Ok((row.column_text(0), row.column_i64(1)));
            connection.cached(TABLE_COLUMNS)?.query(&[ValueRef::from(name)], read)
        };
        let has = |sql: &str, name: &str| {
            connection.cached(sql)?.query_row(&[ValueRef::from(name)], |_| Ok(())).map(|found| found.is_some())
        };
        let (mut keys, columns): (Vec<_>, Vec<_>) = columns_of(table)?.into_iter().partition(|(_, place)| *place > 0);
        keys.sort_by_key(|(_, place)| *place);
        let keys: Vec<String> = keys.into_iter().map(|(name, _)| name).collect();
        let mut recorded = columns_of(&format!("{table}{}", sql::KEYS_SUFFIX))?;
        recorded.retain(|(name, _)| name != "__crsql_key");
        if keys.is_empty() || keys.len() != recorded.len() || !recorded.iter().all(|(name, _)| keys.contains(name)) {
            return Ok(None);
        }
        let names: Vec<String> = keys.iter().cloned().chain(columns.iter().map(|(name, _)| name.clone())).collect();
        let mut columns: Vec<Arc<str>> = columns.into_iter().map(|(name, _)| name.into()).collect();
        columns.push(SENTINEL.into());
        columns.sort();
        columns.dedup();
        let sentinel = columns.partition_point(|name| **name < *SENTINEL) as u16;
        let has_index = has(sql::HAS_INDEX, &format!("{table}{}", sql::VERSION_INDEX_SUFFIX))?;
        let rowid = match has(sql::HAS_UNOPENABLE_VALUES, table)? {
            true => None,
            false => ROWID_NAMES.into_iter().find(|name| !names.iter().any(|taken| taken.eq_ignore_ascii_case(name))),
        };
        Ok(Some(Table {
            name: table.into(),
            rank,
            columns,
            sentinel,
            rowid,
            clock_rows_behind: connection.slot(sql::clock_rows_behind(table, has_index)),
            clock_rows_of_version: connection.slot(sql::clock_rows_of_version(table, has_index)),
            older_cells: connection.slot(sql::older_cells(table)),
            clock_rows_of_row: connection.slot(sql::clock_rows_of_row(table)),
            clock_row: connection.slot(sql::clock_row(table)),
            key: connection.slot(sql::key(table, &keys)),
            keys,
            size,
            connection: connection.clone(),
            rows: RefCell::default(),
        }))
    }

    /// The rank of a column; none where the table has it no more.
    pub fn rank_of(&self, name: &[u8], guess: u16) -> Option<u16> {
        let is_it = |rank: u16| self.columns.get(rank as usize).is_some_and(|column| column.as_bytes() == name);
        if is_it(guess) {
            return Some(guess);
        }
        self.columns.binary_search_by(|column| column.as_bytes().cmp(name)).ok().map(|rank| rank as u16)
    }

    /// True where a row is more than its key.
    pub fn has_cells(&self) -> bool {
        self.columns.len() > 1
    }

    /// None where the key table does not know the key, so that nobody can be told of the row.
    pub fn read_key(&self, key: i64) -> Result<Option<Key>> {
        let found = self.key.lend()?.query_row(&[key.into()], |row| Ok(self.key_in(row)))?;
        found.transpose()
    }

    /// The key in a row of `sql::key` or `sql::row`.
    pub fn key_in(&self, row: &Statement) -> Result<Key> {
        let sentinel = row.column(0);
        let causal_length = if sentinel.is_null() { 1 } else { sentinel.as_i64() };
        let values: Vec<change::ValueRef<'_>> =
            (1..=self.keys.len()).map(|index| to_change(row.column(index as i32))).collect();
        let packed = PackedKey::pack(&values).map_err(|error| {
            crate::error::StreamError::Misuse(format!("a key of table {} cannot be told: {error}", self.name))
        })?;
        Ok(Key { causal_length, packed })
    }

    /// The statement that reads these columns of a row together with its key.
    pub fn row(&self, columns: &[u16]) -> Rc<Slot> {
        let mut rows = self.rows.borrow_mut();
        if let Some(slot) = rows.get(columns) {
            return slot.clone();
        }
        if rows.len() >= COLUMN_SETS_MAX {
            rows.clear();
        }
        let names = columns.iter().map(|rank| &*self.columns[*rank as usize]);
        let slot = Rc::new(self.connection.slot(sql::row(&self.name, &self.keys, names, self.size)));
        rows.insert(columns.into(), slot.clone());
        slot
    }
}

/// A value as the changes have it.
const ROWID_NAMES: [&str; 3] = ["rowid", "_rowid_", "oid"];
/// The first SQLite with `octet_length`.
const OCTET_LENGTH_SINCE: i32 = 3_043_000;
/// Statements that are kept for sets of columns of one table.
const COLUMN_SETS_MAX: usize = 64;
/// SQLite joins at most 500 SELECTs by UNION ALL; a host may have lowered that.
const TABLES_PER_STATEMENT: usize = 100;
