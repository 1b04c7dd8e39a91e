//! The SQL by which changes are read out of the engine's own tables, each statement once.

use crate::sql::{CLOCK_SUFFIX, quoted};

pub const ENCODING: &str = "PRAGMA main.encoding";
pub const HAS_INDEX: &str = "SELECT 1 FROM main.sqlite_master WHERE type = 'index' AND name = ?1";
/// Values of a table WITHOUT ROWID, or with generated columns, SQLite does not open.
pub const HAS_UNOPENABLE_VALUES: &str = "SELECT 1 FROM pragma_table_list(?1) WHERE schema = 'main' AND wr
 UNION ALL SELECT 1 FROM pragma_table_xinfo(?1, 'main') WHERE hidden IN (2, 3)";
pub const AUTHOR: &str = "SELECT site_id FROM main.crsql_site_id WHERE ordinal = ?1";

pub const KEYS_SUFFIX: &str = "__crsql_pks";
pub const VERSION_INDEX_SUFFIX: &str = "__crsql_clock_dbv_idx";

/// Which of these tables hold something behind a version, by their places in the list.
pub fn tables_behind(tables: &[&str]) -> String {
    let has = |(at, table): (usize, &&str)| {
        format!("SELECT {at} WHERE EXISTS (SELECT 1 FROM {} WHERE db_version > ?1)", clock(table))
    };
    tables.iter().enumerate().map(has).collect::<Vec<_>>().join(" UNION ALL ")
}

/// (version) -> the clock rows behind it, version by version and row by row.
pub fn clock_rows_behind(table: &str, has_index: bool) -> String {
    clock_rows(table, has_index, "db_version > ?1")
}

/// (version) -> its clock rows, row by row.
pub fn clock_rows_of_version(table: &str, has_index: bool) -> String {
    clock_rows(table, has_index, "db_version = ?1")
}

/// The order is the index's own, so that rows come as they are stepped to.
fn clock_rows(table: &str, has_index: bool, condition: &str) -> String {
    let index = match has_index {
        true => format!("INDEXED BY {}", quoted(&format!("{table}{VERSION_INDEX_SUFFIX}"))),
        false => String::new(),
    };
    format!(
        "SELECT key, col_name, col_version, db_version, site_id, seq FROM {} {index} WHERE {condition}
 ORDER BY db_version, key, col_name",
        clock(table)
    )
}

/// (key, version) -> the cells of a row that were stored before that version.
pub fn older_cells(table: &str) -> String {
    format!(
        "SELECT col_name, col_version, db_version, site_id, seq FROM {} WHERE key = ?1 AND db_version < ?2
 AND col_name <> '-1'",
        clock(table)
    )
}

/// (key) -> the clock rows of a row.
pub fn clock_rows_of_row(table: &str) -> String {
    format!("SELECT col_name, col_version, db_version, seq FROM {} WHERE key = ?1", clock(table))
}

/// (key, column, col_version, db_version, seq) -> a row where the cell is still that one.
pub fn clock_row(table: &str) -> String {
    format!(
        "SELECT 1 FROM {} WHERE key = ?1 AND col_name = ?2 AND col_version = ?3 AND db_version = ?4 AND seq = ?5",
        clock(table)
    )
}

/// (key) -> the sentinel's col_version, and the values of the key.
pub fn key(table: &str, keys: &[String]) -> String {
    format!(
        "SELECT {}, {} FROM {} AS k WHERE k.__crsql_key = ?1",
        sentinel(table),
        list(keys.iter().map(|key| format!("k.{}", quoted(key)))),
        key_table(table)
    )
}

/// (key, bytes) -> as [`key`], and these columns of the row; no row where the row is gone or takes more bytes than that.
pub fn row<'a>(table: &str, keys: &[String], columns: impl Iterator<Item = &'a str> + Clone, size: Size) -> String {
    format!(
        "SELECT {}, {}, {} FROM {} AS k CROSS JOIN {} AS r ON {} WHERE k.__crsql_key = ?1 AND {} <= ?2",
        sentinel(table),
        list(keys.iter().map(|key| format!("k.{}", quoted(key)))),
        list(columns.clone().map(|column| format!("r.{}", quoted(column)))),
        key_table(table),
        main(table),
        keys.iter().map(|key| format!("r.{0} = k.{0}", quoted(key))).collect::<Vec<_>>().join(" AND "),
        columns.map(|column| size.of(&format!("r.{}", quoted(column)))).collect::<Vec<_>>().join(" + ")
    )
}

/// (key values) -> class and size of one cell, and the rowid by this name, or 0 where the table has none. The size of text
/// is -1 where SQLite would have to read it for that.
pub fn cell_size(table: &str, keys: &[String], column: &str, rowid: Option<&str>, size: Size) -> String {
    let column = quoted(column);
    let bytes = match size {
        Size::Octets => size.of(&column),
        Size::Length => format!("iif(typeof({column}) = 'text', -1, length({column}))"),
    };
    format!(
        "SELECT typeof({column}), {bytes}, {} FROM {} WHERE {}",
        rowid.unwrap_or("0"),
        main(table),
        keys_match(keys)
    )
}

/// (key values) -> one cell.
pub fn cell(table: &str, keys: &[String], column: &str) -> String {
    format!("SELECT {} FROM {} WHERE {}", quoted(column), main(table), keys_match(keys))
}

/// How SQLite says how many bytes a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// By `octet_length`, which does not read the value; since SQLite 3.43.
    Octets,
    /// By `length`, which reads text, and stops at a NUL in it unless it is taken for a blob.
    Length,
}

impl Size {
    fn of(self, column: &str) -> String {
        match self {
            Size::Octets => format!("ifnull(octet_length({column}), 0)"),
            Size::Length => format!(
                "CASE typeof({column}) WHEN 'blob' THEN length({column}) WHEN 'text' THEN length(CAST({column} AS BLOB)) \
                 ELSE 0 END"
            ),
        }
    }
}

fn sentinel(table: &str) -> String {
    format!("(SELECT s.col_version FROM {} AS s WHERE s.key = ?1 AND s.col_name = '-1')", clock(table))
}

fn keys_match(keys: &[String]) -> String {
    let terms: Vec<String> = (1..).zip(keys).map(|(at, key)| format!("{} IS ?{at}", quoted(key))).collect();
    terms.join(" AND ")
}

fn list(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn clock(table: &str) -> String {
    main(&format!("{table}{CLOCK_SUFFIX}"))
}

fn key_table(table: &str) -> String {
    main(&format!("{table}{KEYS_SUFFIX}"))
}

fn main(name: &str) -> String {
    format!("main.{}", quoted(name))
}

pub const CREATE_SPOOL: &str = "
PRAGMA cache_size = -1024;
CREATE TABLE incoming(id INTEGER PRIMARY KEY, seq, \"table\", packed, \"column\", key, col_version, author, sentinel_author,
  stored_version, stored_seq);
CREATE TABLE ordered(id INTEGER PRIMARY KEY, seq, \"table\", packed, \"column\", key, col_version, author, sentinel_author,
  stored_version, stored_seq);
BEGIN;
";

pub const SPOOL: &str = "INSERT INTO incoming VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
pub const ORDER_SPOOL: &str = "INSERT INTO ordered
 SELECT NULL, seq, \"table\", packed, \"column\", key, col_version, author, sentinel_author, stored_version, stored_seq
 FROM incoming ORDER BY seq, \"table\", packed, \"column\"";
pub const END_SPOOL: &str = "COMMIT";

const SPOOLED: &str =
    "SELECT seq, \"table\", packed, \"column\", key, col_version, author, sentinel_author, stored_version, stored_seq";

/// (first, how many) -> so many from there on, counted from 1.
pub fn read_spooled(is_ordered: bool) -> String {
    let table = if is_ordered { "ordered" } else { "incoming" };
    format!("{SPOOLED} FROM {table} WHERE id >= ?1 ORDER BY id LIMIT ?2")
}
