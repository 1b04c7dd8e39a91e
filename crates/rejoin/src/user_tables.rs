//! Which tables of a database are its user's own, and which of them replicate.

use rusqlite::{Connection, OptionalExtension};

/// A table or view of a database's `main` schema that belongs to its user, not to SQLite, an extension or rejoin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserTable {
    /// The name, exactly as the schema spells it.
    pub name: String,
    /// Whether it replicates.
    pub is_tracked: bool,
}

/// The user's tables in the order in which they were made. Views, virtual tables, their shadow tables, and the tables
/// of SQLite, of the replication engine and of the streams are left out.
///
/// # Errors
/// SQLite's, when the schema cannot be read.
pub fn user_tables(connection: &Connection) -> rusqlite::Result<Vec<UserTable>> {
    let mut statement = connection.prepare(
        "SELECT l.name, EXISTS (SELECT 1 FROM main.sqlite_schema t WHERE t.type = 'trigger' AND t.name = l.name || '__crsql_itrig')
         FROM pragma_table_list AS l JOIN main.sqlite_schema AS s ON s.type = 'table' AND s.name = l.name
         WHERE l.schema = 'main' AND l.type = 'table' ORDER BY s.rowid",
    )?;
    let rows = statement.query_map([], |row| Ok(UserTable { name: row.get(0)?, is_tracked: row.get(1)? }))?;
    rows.filter(|table| table.as_ref().map_or(true, |table| !is_internal(&table.name))).collect()
}

/// Whether a table name is SQLite's, the engine's or the streams' own.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["sqlite_", "crsql_"].iter().any(|prefix| name.starts_with(prefix))
        || ["__crsql_clock", "__crsql_pks"].iter().any(|suffix| name.ends_with(suffix))
}

/// `name` as an identifier in SQL text.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as a string literal in SQL text.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The columns that rows are stored with (generated ones are left out), in table order, each with its place in the
/// primary key from 1 on, or 0.
///
/// # Errors
/// SQLite's, when the schema cannot be read.
pub fn stored_columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<(String, u32)>> {
    let mut statement =
        connection.prepare("SELECT name, pk FROM pragma_table_xinfo(?1, 'main') WHERE hidden = 0 ORDER BY cid")?;
    let rows = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// What `main` has under a name, as SQLite calls it: table, view, virtual, shadow.
pub(crate) fn kind_of(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let sql =
        format!("SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = {} COLLATE NOCASE", literal(name));
    connection.query_row(&sql, [], |row| row.get(0)).optional()
}
