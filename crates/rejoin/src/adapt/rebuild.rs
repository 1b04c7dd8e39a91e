//! Making a table anew without what keeps it from being tracked.

use rusqlite::Connection;

use super::facts::{TableFacts, replacement_index};
use super::obstacle::{NotNullCure, Obstacle};
use super::rewrite::{rewrite_index, rewrite_table};
use super::survey::TableSurvey;
use crate::content::{ContentDigest, digest_of};
use crate::file_error::{Doing, FileError};
use crate::user_tables::quoted;

/// What was made anew.
#[derive(Debug)]
pub struct Rebuilt {
    /// Rows, the same before and after.
    pub rows: u64,
    /// Digest of all columns of all rows, the same before and after.
    pub digest: String,
}

/// Makes the table of `survey` anew without its obstacles: same rows (rowids included), indexes and triggers; views and
/// other tables are not touched.
///
/// The caller holds a write transaction on `main` with foreign keys off, and rolls it back when this fails.
///
/// # Errors
/// [`FileError::Refused`] when the definition cannot be changed or the outcome is not what was meant; SQLite's errors,
/// a CHECK that a stored row violates among them.
pub fn rebuild(connection: &Connection, survey: &TableSurvey) -> Result<Rebuilt, FileError> {
    let table = &survey.table;
    let refused = |why: String| FileError::Refused(format!("table {table} cannot be adapted: {why}"));
    let parsed = survey.facts.parse().map_err(refused)?;
    let new_sql = rewrite_table(&survey.facts.sql, &parsed, &survey.obstacles).map_err(refused)?;
    let dependants = Dependant::of(connection, table).doing(|| format!("read what depends on table {table}"))?;
    let rowid = rowid_name(&survey.facts);
    let before = digest(connection, &survey.facts, table, rowid)?;

    move_rows(connection, survey, &new_sql, rowid).doing(|| format!("make table {table} anew"))?;
    for dependant in &dependants {
        let unique = survey.facts.unique.iter().any(|unique| unique.by_statement && unique.name == dependant.name);
        let sql = if unique { rewrite_index(&dependant.sql).map_err(refused)? } else { dependant.sql.clone() };
        connection.execute_batch(&sql).doing(|| format!("make {} {} anew", dependant.kind, dependant.name))?;
    }
    for sql in survey.facts.unique.iter().filter_map(|unique| replacement_index(table, unique)) {
        connection.execute_batch(&sql).doing(|| format!("make a plain index of table {table}"))?;
    }

    check_columns(connection, survey).map_err(refused)?;
    let after = digest(connection, &survey.facts, table, rowid)?;
    if (before.rows, before.hex()) != (after.rows, after.hex()) {
        return Err(refused("its rows would not have stayed the same".to_owned()));
    }
    Ok(Rebuilt { rows: after.rows, digest: after.hex() })
}

/// An index or trigger that goes with its table.
struct Dependant {
    kind: String,
    name: String,
    sql: String,
}

impl Dependant {
    fn of(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Dependant>> {
        let mut statement = connection.prepare(
            "SELECT type, name, sql FROM main.sqlite_schema WHERE tbl_name = ?1 COLLATE NOCASE AND type IN ('index', 'trigger')
             AND sql IS NOT NULL ORDER BY rowid",
        )?;
        let rows = statement
            .query_map([table], |row| Ok(Dependant { kind: row.get(0)?, name: row.get(1)?, sql: row.get(2)? }))?;
        rows.collect()
    }
}

/// The name by which a table's rowid can be read and written apart from its columns; none where there is no rowid, or
/// no name is left for it.
fn rowid_name(facts: &TableFacts) -> Option<&'static str> {
    let free = |name: &&str| !facts.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    if facts.without_rowid { None } else { ["rowid", "_rowid_", "oid"].into_iter().find(free) }
}

/// Rows wait in a temporary table while theirs is made anew under its own name, so that no rename touches what refers
/// to it.
fn move_rows(
    connection: &Connection,
    survey: &TableSurvey,
    new_sql: &str,
    rowid: Option<&str>,
) -> rusqlite::Result<()> {
    let table = quoted(&survey.table);
    let stored: Vec<&str> =
        survey.facts.columns.iter().filter(|c| !c.is_generated).map(|column| column.name.as_str()).collect();
    let waiting: String = (0..stored.len()).map(|at| format!(", c{at}")).collect();
    let columns: String = stored.iter().map(|column| format!(", {}", quoted(column))).collect();
    // Without a rowid of its own a row waits under its number in key order, and gets a new one.
    let (number, order) = match rowid {
        Some(name) => (name.to_owned(), name.to_owned()),
        None => ("NULL".to_owned(), key_order(&survey.facts)),
    };
    connection.execute_batch(&format!("CREATE TEMP TABLE rejoin_waiting(number INTEGER PRIMARY KEY{waiting})"))?;
    connection.execute_batch(&format!(
        "INSERT INTO temp.rejoin_waiting SELECT {number}{columns} FROM main.{table} ORDER BY {order}"
    ))?;
    connection.execute_batch(&format!("DROP TABLE main.{table}"))?;
    connection.execute_batch(new_sql)?;
    let (into, from) = match rowid {
        // The key itself where that is the rowid; SQLite takes both names for one place then.
        Some(name) if !key_is_rowid(connection, &survey.table, &survey.facts)? => {
            (format!("{name}{columns}"), format!("number{waiting}"))
        }
        _ => (columns[2..].to_owned(), waiting[2..].to_owned()),
    };
    connection.execute_batch(&format!(
        "INSERT INTO main.{table}({into}) SELECT {from} FROM temp.rejoin_waiting ORDER BY number"
    ))?;
    connection.execute_batch("DROP TABLE temp.rejoin_waiting")
}

/// Whether the table's key is an INTEGER PRIMARY KEY in SQLite's sense: one that needs no index.
fn key_is_rowid(connection: &Connection, table: &str, facts: &TableFacts) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'";
    let indexes: i64 = connection.query_row(sql, [table], |row| row.get(0))?;
    Ok(!facts.without_rowid && !facts.key().is_empty() && indexes == 0)
}

fn key_order(facts: &TableFacts) -> String {
    let key = facts.key();
    let columns = if key.is_empty() { facts.columns.iter().map(|c| c.name.clone()).collect() } else { key };
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

/// All columns, generated ones too, and the rowid where it has a name.
fn digest(
    connection: &Connection,
    facts: &TableFacts,
    table: &str,
    rowid: Option<&str>,
) -> Result<ContentDigest, FileError> {
    let mut columns: Vec<String> = facts.columns.iter().map(|column| quoted(&column.name)).collect();
    columns.extend(rowid.map(str::to_owned));
    let order = rowid.map_or_else(|| key_order(facts), str::to_owned);
    let sql = format!("SELECT {} FROM main.{} ORDER BY {order}", columns.join(", "), quoted(table));
    digest_of(connection, &sql).doing(|| format!("read table {table}"))
}

/// SQLite must see the same columns as before but for what was meant to change.
fn check_columns(connection: &Connection, survey: &TableSurvey) -> Result<(), String> {
    let mut expected = survey.facts.columns.clone();
    for obstacle in &survey.obstacles {
        for column in &mut expected {
            match obstacle {
                Obstacle::NullableKey { column: key } if *key == column.name => column.not_null = true,
                Obstacle::NotNullWithoutDefault { column: name, cure } if *name == column.name => match cure {
                    NotNullCure::Default(value) => column.default = Some(value.clone()),
                    NotNullCure::NullableForCheck | NotNullCure::NullableForGenerated => column.not_null = false,
                },
                _ => {}
            }
        }
    }
    let found = TableFacts::columns(connection, &survey.table).map_err(|error| error.to_string())?;
    match expected.iter().zip(&found).find(|(expected, found)| expected != found) {
        Some((expected, _)) => Err(format!("column {} would not have stayed the same", expected.name)),
        None if expected.len() != found.len() => Err("its columns would not have stayed the same".to_owned()),
        None => Ok(()),
    }
}
