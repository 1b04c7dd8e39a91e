//! Which tables can be tracked. The messages are the original's, which applications know.

use crate::catalogue::{key_and_other_columns, table_sql};
use crate::sql;
use rejoin_bridge::{Connection, Error, Result};

/// Fails with the first reason why a table cannot become tracked.
pub(crate) fn check_new(connection: &Connection, table: &str) -> Result<()> {
    check(connection, table)?;
    match collated_key(connection, table)? {
        None => Ok(()),
        Some(obstacle) => Err(Error::failed(obstacle)),
    }
}

/// Fails with the first reason why a table cannot go on being tracked.
pub(crate) fn check(connection: &Connection, table: &str) -> Result<()> {
    match first_obstacle(connection, table)? {
        None => Ok(()),
        Some(obstacle) => Err(Error::failed(obstacle)),
    }
}

fn first_obstacle(connection: &Connection, table: &str) -> Result<Option<String>> {
    let holds =
        |sql: &str| -> Result<bool> { Ok(connection.prepare(sql)?.query_row(&[table.into()], |_| Ok(()))?.is_some()) };
    if holds(sql::HAS_OTHER_UNIQUE_INDEX)? {
        return Ok(Some(format!(
            "Table {table} has unique indices besidesthe primary key. This is not allowed for CRRs"
        )));
    }
    let counts = connection
        .prepare(sql::KEY_COLUMN_COUNTS)?
        .query_row(&[table.into()], |row| Ok((row.column_i64(0), row.column_i64(1))))?;
    let (key_columns, not_null) = counts.unwrap_or((0, 0));
    let create = table_sql(connection, table)?.map(|(_, create)| create.to_ascii_lowercase());
    let Some(create) = create.filter(|_| not_null > 0) else {
        return Ok(Some(format!(
            "Table {table} has no primary key or primary key is nullable. \
             CRRs must have a non nullable primary key"
        )));
    };
    if not_null < key_columns {
        return Ok(Some(format!(
            "Table {table} has composite primary key part of which is nullable. \
             CRRs must have a non nullable primary key"
        )));
    }
    if create.contains("autoincrement") {
        return Ok(Some(format!(
            "{table} has auto-increment primary keys. This is likely a mistake as two concurrent nodes will assign \
             unrelated rows the same primary key. Either use a primary key that represents the identity of your row or \
             use a database friendly UUID such as UUIDv7"
        )));
    }
    if holds(sql::HAS_FOREIGN_KEY)? {
        return Ok(Some(format!(
            "Table {table} has checked foreign key constraints. CRRs may have foreign keys but must not have checked \
             foreign key constraints as they can be violated by row level security or replication."
        )));
    }
    if holds(sql::HAS_REQUIRED_COLUMN)? {
        return Ok(Some(format!(
            "Table {table} has a NOT NULL column without a DEFAULT VALUE. This is not allowed as it prevents forwards \
             and backwards compatibility between schema versions. Make the column nullable or assign a default value \
             to it."
        )));
    }
    other_obstacle(connection, table, &create)
}

/// What the original accepts and then fails on.
fn other_obstacle(connection: &Connection, table: &str, create: &str) -> Result<Option<String>> {
    if create.trim_start().starts_with("create virtual") {
        return Ok(Some(format!("Table {table} is a virtual table, which cannot be tracked")));
    }
    let (keys, columns) = key_and_other_columns(connection, table)?;
    if columns.iter().any(|column| column == rejoin_change::SENTINEL) {
        return Ok(Some(format!(
            "Table {table} has a column named \"-1\", which stands for the row itself in a CRR: rename the column"
        )));
    }
    if let Some(key) = keys.iter().find(|key| key.eq_ignore_ascii_case(LOOKASIDE_KEY)) {
        return Ok(Some(format!(
            "Table {table} has a key column named {key}, which the table that looks keys up needs for itself: rename the \
             column"
        )));
    }
    let long = |name: &str| name.len() > NAME_BYTES_MAX;
    if long(table) || columns.iter().any(|column| long(column)) {
        let what = if long(table) { "a name".to_owned() } else { "a column with a name".to_owned() };
        let shown: String = table.chars().take(NAME_CHARACTERS_SHOWN).collect();
        return Ok(Some(format!(
            "Table {shown} has {what} of more than {NAME_BYTES_MAX} bytes, which no peer would take: rename it"
        )));
    }
    let columns = keys.len() + columns.len();
    if columns > COLUMNS_MAX {
        return Ok(Some(format!(
            "Table {table} has {columns} columns; at most {COLUMNS_MAX} can be tracked, because a trigger passes every \
             old and new value as an argument of one function, and many builds of SQLite take no more than 127"
        )));
    }
    let (needed, allowed) = (2 * columns as i32 + 1, connection.limit(LIMIT_FUNCTION_ARG));
    Ok((needed > allowed).then(|| {
        format!(
            "Table {table} has {columns} columns, for which a trigger needs a function of {needed} arguments; this \
             connection allows {allowed} (SQLITE_LIMIT_FUNCTION_ARG)"
        )
    }))
}

/// The column of every lookaside table beside those of the key.
const LOOKASIDE_KEY: &str = "__crsql_key";

/// The longest name of a table or column that is tracked and taken from a peer, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 2048;

/// How much of a name that is too long is shown.
const NAME_CHARACTERS_SHOWN: usize = 80;

/// Keys are told apart by their bytes, here and at every peer, and one row is one key. Where the table itself takes 'A'
/// and 'a' for one row, two copies that spell it differently exchange their values and end unequal. The original tracks
/// such tables, so one that is tracked already goes on.
fn collated_key(connection: &Connection, table: &str) -> Result<Option<String>> {
    let keys = connection
        .prepare(sql::KEY_COLLATIONS)?
        .query(&[table.into()], |row| Ok((row.column_text(0), row.column_text(1))))?;
    for (column, in_index) in keys {
        // The index of the key can compare otherwise than the column does elsewhere.
        for collation in [in_index, connection.column_collation(table, &column)?] {
            if !collation.eq_ignore_ascii_case("BINARY") {
                return Ok(Some(format!(
                    "Table {table} compares its key column {column} by the collation {collation}, under which values \
                     that are not the same bytes are one row; replication takes them for two, and copies would end \
                     unequal. Make the table anew without COLLATE in its primary key: keep what is compared, in lower \
                     case for instance, in the key, and the spelling in another column"
                )));
            }
        }
    }
    Ok(None)
}

/// Newer builds of SQLite take more arguments, but a file must stay usable in all of them.
const COLUMNS_MAX: usize = (127 - 1) / 2;

/// SQLite's number for the limit of a function's arguments.
const LIMIT_FUNCTION_ARG: i32 = 6;
