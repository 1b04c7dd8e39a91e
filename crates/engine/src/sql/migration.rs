//! What a migration reads of two databases, and how it alters one.

use super::{main, quote};

/// Type, name, table and text of everything that a CREATE statement made, in the order in which it was made.
pub(crate) const OBJECTS: &str =
    "SELECT type, name, tbl_name, sql FROM main.sqlite_master WHERE sql IS NOT NULL ORDER BY rowid";

/// Virtual tables, and the tables in which they keep their data: name and kind.
pub(crate) const VIRTUAL_TABLES: &str =
    "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type IN ('virtual', 'shadow')";

/// (table) -> name, place in the primary key, and whether it is generated.
pub(crate) const COLUMNS: &str =
    "SELECT name, pk, hidden > 1 FROM pragma_table_xinfo(?1, 'main') WHERE hidden <> 1 ORDER BY cid";

/// (table) -> whether it has no rowid.
pub(crate) const IS_WITHOUT_ROWID: &str =
    "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE";

/// (table) -> 1 where its primary key has an index of its own, and so is not the rowid.
pub(crate) const KEY_HAS_INDEX: &str = "SELECT 1 FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'";

/// (table) -> the tables that its foreign keys refer to.
pub(crate) const PARENTS: &str = "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list(?1, 'main')";

pub(crate) const FOREIGN_KEYS: &str = "PRAGMA foreign_keys";

/// Functions that are not SQLite's own: name, number of arguments, flags.
pub(crate) const ADDED_FUNCTIONS: &str =
    "SELECT DISTINCT name, narg, flags FROM pragma_function_list WHERE NOT builtin AND type = 's'";

pub(crate) const READ_SEQUENCE: &str = "SELECT seq FROM main.sqlite_sequence WHERE name = ?1";
pub(crate) const FORGET_SEQUENCE: &str = "DELETE FROM main.sqlite_sequence WHERE name = ?1";
pub(crate) const WRITE_SEQUENCE: &str = "INSERT INTO main.sqlite_sequence (name, seq) VALUES (?1, ?2)";

pub(crate) fn set_foreign_keys(on: bool) -> String {
    format!("PRAGMA foreign_keys = {}", i32::from(on))
}

pub(crate) fn drop_object(kind: &str, name: &str) -> String {
    format!("DROP {kind} IF EXISTS {}", main(name))
}

pub(crate) fn drop_column(table: &str, column: &str) -> String {
    format!("ALTER TABLE {} DROP COLUMN {}", main(table), quote(column))
}

/// `definition` is the column's text as the new schema has it.
pub(crate) fn add_column(table: &str, definition: &str) -> String {
    format!("ALTER TABLE {} ADD COLUMN {definition}", main(table))
}

pub(crate) fn has_rows(table: &str) -> String {
    format!("SELECT 1 FROM {} LIMIT 1", main(table))
}

/// A table with one row, to try an ADD COLUMN on.
pub(crate) fn make_trial(columns: &[String]) -> String {
    let names: Vec<String> = columns.iter().map(|column| quote(column)).collect();
    format!(
        "DROP TABLE IF EXISTS {TRIAL}; CREATE TEMP TABLE crsql_automigrate_trial({}); \
         INSERT INTO {TRIAL} DEFAULT VALUES",
        names.join(", ")
    )
}

pub(crate) fn try_column(definition: &str) -> String {
    format!("ALTER TABLE {TRIAL} ADD COLUMN {definition}")
}

const TRIAL: &str = "temp.crsql_automigrate_trial";

/// Puts the rows of a table aside. `rowid` is the name by which the rowid can be read; without one the rows are
/// numbered in the order of `order`.
pub(crate) fn put_aside(table: &str, columns: &[String], rowid: Option<&str>, order: &str) -> String {
    let waiting: String = (0..columns.len()).map(|at| format!(", c{at}")).collect();
    let names: String = columns.iter().map(|column| format!(", {}", quote(column))).collect();
    format!(
        "CREATE TEMP TABLE crsql_automigrate_rows(number INTEGER PRIMARY KEY{waiting}); \
         INSERT INTO {ROWS} SELECT {}{names} FROM {} ORDER BY {order}; DROP TABLE {}",
        rowid.unwrap_or("NULL"),
        main(table),
        main(table)
    )
}

/// Puts rows back: `columns` are places among those put aside, with the names that they have now. A row that does not
/// fit is an error, also where the table's own ON CONFLICT would leave it out.
pub(crate) fn put_back(table: &str, columns: &[(usize, String)], rowid: Option<&str>) -> String {
    let mut names: Vec<String> = columns.iter().map(|(_, name)| quote(name)).collect();
    let mut values: Vec<String> = columns.iter().map(|(at, _)| format!("c{at}")).collect();
    if let Some(rowid) = rowid {
        names.push(rowid.to_owned());
        values.push("number".to_owned());
    }
    format!(
        "INSERT OR ABORT INTO {} ({}) SELECT {} FROM {ROWS} ORDER BY number; DROP TABLE {ROWS}",
        main(table),
        names.join(", "),
        values.join(", ")
    )
}

const ROWS: &str = "temp.crsql_automigrate_rows";

/// Rows that nothing tells apart are taken as they come.
pub(crate) fn key_order(keys: &[String]) -> String {
    if keys.is_empty() {
        return "1".to_owned();
    }
    keys.iter().map(|key| quote(key)).collect::<Vec<_>>().join(", ")
}

/// Compiling these shows whether a view works.
pub(crate) fn read_view(view: &str) -> String {
    format!("SELECT 1 FROM {}", main(view))
}

/// Compiling these shows whether the triggers of a table work.
pub(crate) fn writes(table: &str, columns: &[String]) -> [String; 3] {
    let table = main(table);
    let same: Vec<String> = columns.iter().map(|column| format!("{0} = {0}", quote(column))).collect();
    [
        format!("INSERT INTO {table} DEFAULT VALUES"),
        format!("UPDATE {table} SET {}", same.join(", ")),
        format!("DELETE FROM {table}"),
    ]
}
