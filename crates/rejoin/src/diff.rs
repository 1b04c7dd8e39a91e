//! Comparing two databases by content, table by table, row by row, cell by cell. Neither file is changed, and neither
//! needs the replication engine.

use std::cmp::Ordering;
use std::path::Path;

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row};

use crate::cancel::Cancel;
use crate::content::ContentDigest;
use crate::file_error::{Doing, FileError};
use crate::read_only::open_read_only;
use crate::user_tables::{UserTable, quoted, stored_columns, user_tables};

/// What to compare.
#[derive(Clone, Debug)]
pub struct DiffOptions {
    /// The tables; when empty those that either database tracks, or if neither tracks any, all of its user's own.
    pub tables: Vec<String>,
    /// How many differences to keep per table; all are counted.
    pub examples_max: usize,
}

/// Where two databases differ.
#[derive(Debug)]
pub struct Diff {
    /// Every table that was compared, in the order of the schemas.
    pub tables: Vec<TableDiff>,
}

impl Diff {
    /// Whether all tables are equal in rows and columns.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.tables.iter().all(TableDiff::is_equal)
    }
}

/// One of the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one named first.
    A,
    /// The one named second.
    B,
}

/// Where two tables of one name differ.
#[derive(Debug)]
pub struct TableDiff {
    /// The name.
    pub table: String,
    /// Set when only one database has the table.
    pub only_in: Option<Side>,
    /// Columns that only the first has.
    pub columns_only_in_a: Vec<String>,
    /// Columns that only the second has.
    pub columns_only_in_b: Vec<String>,
    /// The primary keys' columns where these differ; rows cannot be matched then.
    pub keys_differ: Option<(Vec<String>, Vec<String>)>,
    /// The rows of the first, in the columns that both have.
    pub a: SideContent,
    /// The rows of the second, in the columns that both have.
    pub b: SideContent,
    /// Rows whose key only the first has.
    pub rows_only_in_a: u64,
    /// Rows whose key only the second has.
    pub rows_only_in_b: u64,
    /// Rows that both have and that differ.
    pub rows_different: u64,
    /// Cells that differ in those rows.
    pub cells_different: u64,
    /// The first differences in key order.
    pub examples: Vec<Difference>,
}

impl TableDiff {
    /// Whether the tables are equal in rows and columns.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.only_in.is_none()
            && self.columns_only_in_a.is_empty()
            && self.columns_only_in_b.is_empty()
            && self.keys_differ.is_none()
            && self.rows_only_in_a + self.rows_only_in_b + self.rows_different == 0
    }
}

/// A table's rows, counted and digested in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideContent {
    /// How many.
    pub rows: u64,
    /// 32 hexadecimal digits; empty when the rows were not read.
    pub digest: String,
}

/// One difference.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// A row that only one database has.
    RowOnlyIn {
        /// Which.
        side: Side,
        /// Key columns and values; all columns where the table has no key.
        key: Vec<(String, Value)>,
    },
    /// A cell that both have, with different values.
    Cell {
        /// Key columns and values.
        key: Vec<(String, Value)>,
        /// The column.
        column: String,
        /// The first database's value.
        a: Value,
        /// The second one's.
        b: Value,
    },
}

/// Compares the databases at two paths, each as of one moment.
///
/// Values are equal when their storage class and bytes are: 1, 1.0 and '1' all differ, and reals are compared bit for
/// bit. Generated columns are left out.
///
/// # Errors
/// When a file cannot be read, or a table that was named is in neither.
pub fn diff(a: &Path, b: &Path, options: &DiffOptions, cancel: &Cancel) -> Result<Diff, FileError> {
    let first = open_read_only(a, cancel)?;
    let second = open_read_only(b, cancel)?;
    let tables = tables_to_compare(&first, &second, options)?;
    let compare = |table: String| {
        let difference = compare_table(&first, &second, &table, options.examples_max);
        difference.doing(|| format!("compare table {table}"))
    };
    Ok(Diff { tables: tables.into_iter().map(compare).collect::<Result<_, _>>()? })
}

fn tables_to_compare(a: &Connection, b: &Connection, options: &DiffOptions) -> Result<Vec<String>, FileError> {
    let read = |connection: &Connection| user_tables(connection).doing(|| "read a schema".to_owned());
    let mut all: Vec<UserTable> = read(a)?;
    for table in read(b)? {
        match all.iter_mut().find(|known| known.name == table.name) {
            Some(known) => known.is_tracked |= table.is_tracked,
            None => all.push(table),
        }
    }
    if let Some(name) = options.tables.iter().find(|name| !all.iter().any(|t| t.name.eq_ignore_ascii_case(name))) {
        return Err(FileError::Refused(format!("neither database has a table {name}")));
    }
    let any_tracked = all.iter().any(|table| table.is_tracked);
    let wanted = |table: &UserTable| match options.tables.is_empty() {
        true => table.is_tracked || !any_tracked,
        false => options.tables.iter().any(|name| name.eq_ignore_ascii_case(&table.name)),
    };
    Ok(all.into_iter().filter(wanted).map(|table| table.name).collect())
}

fn compare_table(a: &Connection, b: &Connection, table: &str, examples_max: usize) -> rusqlite::Result<TableDiff> {
    let (columns_a, columns_b) = (stored_columns(a, table)?, stored_columns(b, table)?);
    let missing = |from: &[(String, u32)], other: &[(String, u32)]| -> Vec<String> {
        let lacks = |name: &String| !other.iter().any(|(known, _)| known == name);
        from.iter().map(|(name, _)| name.clone()).filter(lacks).collect()
    };
    let mut found = TableDiff {
        table: table.to_owned(),
        only_in: None,
        columns_only_in_a: missing(&columns_a, &columns_b),
        columns_only_in_b: missing(&columns_b, &columns_a),
        keys_differ: None,
        a: SideContent::default(),
        b: SideContent::default(),
        rows_only_in_a: 0,
        rows_only_in_b: 0,
        rows_different: 0,
        cells_different: 0,
        examples: Vec::new(),
    };
    if columns_a.is_empty() || columns_b.is_empty() {
        let (side, connection) = if columns_b.is_empty() { (Side::A, a) } else { (Side::B, b) };
        found.only_in = Some(side);
        found.columns_only_in_a.clear();
        found.columns_only_in_b.clear();
        let sql = format!("SELECT count(*) FROM main.{}", quoted(table));
        let rows: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        let rows = rows.unsigned_abs();
        match side {
            Side::A => (found.a.rows, found.rows_only_in_a) = (rows, rows),
            Side::B => (found.b.rows, found.rows_only_in_b) = (rows, rows),
        }
        return Ok(found);
    }
    let (key_a, key_b) = (key_of(&columns_a), key_of(&columns_b));
    if key_a != key_b {
        found.keys_differ = Some((key_a, key_b));
        return Ok(found);
    }
    let mut others: Vec<String> = columns_a
        .iter()
        .map(|(name, _)| name.clone())
        .filter(|name| !key_a.contains(name) && !found.columns_only_in_a.contains(name))
        .collect();
    others.sort();
    let has_key = !key_a.is_empty();
    let plan = match has_key {
        true => Plan { key: key_a.len(), columns: [key_a, others].concat(), has_key },
        // Without a key a row is matched by all of its values.
        false => Plan { key: others.len(), columns: others, has_key },
    };
    if !plan.columns.is_empty() {
        plan.compare(a, b, &mut found, examples_max)?;
    }
    Ok(found)
}

fn key_of(columns: &[(String, u32)]) -> Vec<String> {
    let mut key: Vec<&(String, u32)> = columns.iter().filter(|(_, place)| *place > 0).collect();
    key.sort_by_key(|(_, place)| *place);
    key.iter().map(|(name, _)| name.clone()).collect()
}

/// How rows are read and matched: by the first `key` of `columns`, in that order.
struct Plan {
    columns: Vec<String>,
    key: usize,
    has_key: bool,
}

impl Plan {
    fn sql(&self, table: &str) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(column)).collect();
        let order: Vec<String> = columns[..self.key]
            .iter()
            .map(|column| match self.has_key {
                true => format!("{column} COLLATE BINARY"),
                false => format!("{column} COLLATE BINARY, typeof({column})"),
            })
            .collect();
        format!("SELECT {} FROM main.{} ORDER BY {}", columns.join(", "), quoted(table), order.join(", "))
    }

    fn compare(
        &self,
        a: &Connection,
        b: &Connection,
        found: &mut TableDiff,
        examples_max: usize,
    ) -> rusqlite::Result<()> {
        let sql = self.sql(&found.table);
        let (mut statement_a, mut statement_b) = (a.prepare(&sql)?, b.prepare(&sql)?);
        let (mut rows_a, mut rows_b) = (statement_a.query([])?, statement_b.query([])?);
        let (mut digest_a, mut digest_b) = (ContentDigest::default(), ContentDigest::default());
        rows_a.advance()?;
        rows_b.advance()?;
        loop {
            let order = match (rows_a.get(), rows_b.get()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(row_a), Some(row_b)) => self.order(row_a, row_b)?,
            };
            if let (Ordering::Less, Some(row)) = (order, rows_a.get()) {
                found.rows_only_in_a += 1;
                if found.examples.len() < examples_max {
                    found.examples.push(Difference::RowOnlyIn { side: Side::A, key: self.key_values(row)? });
                }
            }
            if let (Ordering::Greater, Some(row)) = (order, rows_b.get()) {
                found.rows_only_in_b += 1;
                if found.examples.len() < examples_max {
                    found.examples.push(Difference::RowOnlyIn { side: Side::B, key: self.key_values(row)? });
                }
            }
            if let (Ordering::Equal, Some(row_a), Some(row_b)) = (order, rows_a.get(), rows_b.get()) {
                self.compare_row(row_a, row_b, found, examples_max)?;
            }
            if let (true, Some(row)) = (order.is_le(), rows_a.get()) {
                digest_a.add(row, self.columns.len())?;
                rows_a.advance()?;
            }
            if let (true, Some(row)) = (order.is_ge(), rows_b.get()) {
                digest_b.add(row, self.columns.len())?;
                rows_b.advance()?;
            }
        }
        found.a = SideContent { rows: digest_a.rows, digest: digest_a.hex() };
        found.b = SideContent { rows: digest_b.rows, digest: digest_b.hex() };
        Ok(())
    }

    fn compare_row(
        &self,
        a: &Row<'_>,
        b: &Row<'_>,
        found: &mut TableDiff,
        examples_max: usize,
    ) -> rusqlite::Result<()> {
        let mut cells = 0;
        for (at, column) in self.columns.iter().enumerate() {
            let (value_a, value_b) = (a.get_ref(at)?, b.get_ref(at)?);
            if is_same(value_a, value_b) {
                continue;
            }
            cells += 1;
            if found.examples.len() < examples_max {
                found.examples.push(Difference::Cell {
                    key: self.key_values(a)?,
                    column: column.clone(),
                    a: a.get(at)?,
                    b: b.get(at)?,
                });
            }
        }
        found.cells_different += cells;
        found.rows_different += u64::from(cells > 0);
        Ok(())
    }

    /// The order in which SQLite gives these rows by their keys.
    fn order(&self, a: &Row<'_>, b: &Row<'_>) -> rusqlite::Result<Ordering> {
        for at in 0..self.key {
            let (value_a, value_b) = (a.get_ref(at)?, b.get_ref(at)?);
            let mut order = sqlite_order(value_a, value_b);
            if !self.has_key {
                order = order.then_with(|| is_real(value_a).cmp(&is_real(value_b)));
            }
            if order.is_ne() {
                return Ok(order);
            }
        }
        Ok(Ordering::Equal)
    }

    fn key_values(&self, row: &Row<'_>) -> rusqlite::Result<Vec<(String, Value)>> {
        self.columns[..self.key].iter().enumerate().map(|(at, name)| Ok((name.clone(), row.get(at)?))).collect()
    }
}

fn is_real(value: ValueRef<'_>) -> bool {
    matches!(value, ValueRef::Real(_))
}

/// Equal in storage class and bytes; reals by their bits.
fn is_same(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    match (a, b) {
        (ValueRef::Real(a), ValueRef::Real(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

/// SQLite's order of values under the BINARY collation of a UTF-8 database.
fn sqlite_order(a: ValueRef<'_>, b: ValueRef<'_>) -> Ordering {
    let class = |value: ValueRef<'_>| match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 1,
        ValueRef::Text(_) => 2,
        ValueRef::Blob(_) => 3,
    };
    match (a, b) {
        (ValueRef::Integer(a), ValueRef::Integer(b)) => a.cmp(&b),
        (ValueRef::Real(a), ValueRef::Real(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (ValueRef::Integer(a), ValueRef::Real(b)) => integer_and_real(a, b),
        (ValueRef::Real(a), ValueRef::Integer(b)) => integer_and_real(b, a).reverse(),
        (ValueRef::Text(a), ValueRef::Text(b)) | (ValueRef::Blob(a), ValueRef::Blob(b)) => a.cmp(b),
        _ => class(a).cmp(&class(b)),
    }
}

/// Exact, also where an integer has no equal among the reals.
fn integer_and_real(integer: i64, real: f64) -> Ordering {
    // 2^63, the first real beyond every integer.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if real >= BEYOND {
        return Ordering::Less;
    }
    if real < -BEYOND {
        return Ordering::Greater;
    }
    let whole = real.trunc();
    integer.cmp(&(whole as i64)).then_with(|| whole.partial_cmp(&real).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_ordered_as_sqlite_orders_them() {
        let connection = Connection::open_in_memory().expect("a database");
        let mut statement = connection
            .prepare(
                "SELECT * FROM (VALUES (x''), ('b'), (NULL), (1.5), (1), (-1e300), (9223372036854775807), (9.3e18), ('a'),
                 (-9223372036854775808), (-9.3e18), (9007199254740993), (9007199254740992.0), ('A'), (x'00'), (0.5), (-0.5))
                 ORDER BY 1",
            )
            .expect("a statement");
        let values: Vec<Value> =
            statement.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("values");
        for pair in values.windows(2) {
            assert_eq!(sqlite_order((&pair[0]).into(), (&pair[1]).into()), Ordering::Less, "{pair:?}");
            assert_eq!(sqlite_order((&pair[1]).into(), (&pair[0]).into()), Ordering::Greater, "{pair:?}");
        }
    }

    #[test]
    fn same_means_same_class_and_bits() {
        assert!(!is_same(ValueRef::Real(0.0), ValueRef::Real(-0.0)));
        assert!(!is_same(ValueRef::Integer(1), ValueRef::Real(1.0)));
        assert!(!is_same(ValueRef::Text(b"1"), ValueRef::Blob(b"1")));
        assert!(is_same(ValueRef::Text(b"1"), ValueRef::Text(b"1")));
    }
}
