//! Tables as two databases compare them, and how one takes them over from the other.
//!
//! The SQL text of another side is never run on the database itself. It is run in an empty database in memory, where
//! everything but making tables and indexes is forbidden; what that database then says it holds is checked, and only
//! that is run here.

use super::sql;
use super::worker::failed;
use rejoin_wire::message::{ColumnShape, Refusal, RefusalCode, Schema, TableDefinition, TableShape};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, OptionalExtension, params};

/// The replicated tables, sorted by name, with their columns, sorted too.
pub(crate) fn shapes(connection: &Connection) -> rusqlite::Result<Vec<TableShape>> {
    replicated(connection)?.into_iter().map(|name| shape(connection, name)).collect()
}

/// A table's columns, sorted by name.
pub(crate) fn shape(connection: &Connection, name: String) -> rusqlite::Result<TableShape> {
    let mut statement = connection.prepare_cached(sql::COLUMNS)?;
    let columns = statement
        .query_map([&name], |row| Ok(ColumnShape { name: row.get(0)?, key_place: row.get(1)? }))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(TableShape { name, columns })
}

pub(crate) fn replicated(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection.prepare_cached(sql::REPLICATED_TABLES)?.query_map([], |row| row.get(0))?.collect()
}

/// The definitions of some of the tables, in the order in which they are named.
pub(crate) fn read(connection: &Connection, names: &[String]) -> Result<Schema, Refusal> {
    let mut tables = Vec::with_capacity(names.len());
    for name in names {
        let create_table = connection
            .query_row(sql::TABLE_SQL, [name], |row| row.get(0))
            .optional()
            .map_err(failed)?
            .ok_or_else(|| refusal(format!("the table {name} is gone"), "start the sync again"))?;
        let create_indexes = connection
            .prepare_cached(sql::INDEX_SQL)
            .and_then(|mut statement| statement.query_map([name], |row| row.get(0))?.collect())
            .map_err(failed)?;
        tables.push(TableDefinition { name: name.clone(), create_table, create_indexes });
    }
    Ok(Schema { tables })
}

/// Makes the tables and lets them replicate, all or none. Tables that are there already, of the same columns, stay as
/// they are.
pub(crate) fn take_over(connection: &Connection, schema: &Schema) -> Result<(), Refusal> {
    let checked = check(schema)?;
    connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let result = make(connection, &checked);
    let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.execute_batch(end).map_err(failed);
    if ended.is_err() && !connection.is_autocommit() {
        // The transaction must not stay open; the first error is the one to tell.
        let _ = connection.execute_batch("ROLLBACK");
    }
    result.and(ended)
}

/// A table whose definition has been found to be one, in SQLite's own spelling.
struct Checked {
    shape: TableShape,
    create_table: String,
    /// Name and text.
    create_indexes: Vec<(String, String)>,
}

fn make(connection: &Connection, tables: &[Checked]) -> Result<(), Refusal> {
    let existing = shapes(connection).map_err(failed)?;
    for table in tables {
        let name = &table.shape.name;
        match existing.iter().find(|shape| shape.name == *name) {
            Some(shape) if *shape == table.shape => continue,
            Some(_) => {
                return Err(refusal(
                    format!("the table {name} has been made here in the meantime, with other columns"),
                    "make both tables the same, then start the sync again",
                ));
            }
            None => {}
        }
        if is_taken(connection, name)? {
            return Err(refusal(
                format!("the table {name} is to be taken over, and the name is taken by one that does not replicate"),
                "let it replicate (`rejoin track`), or rename it",
            ));
        }
        connection.execute_batch(&table.create_table).map_err(|error| cannot_make(name, &error))?;
        for (index, text) in &table.create_indexes {
            if is_taken(connection, index)? {
                return Err(refusal(
                    format!("the index {index} of the table {name} is to be taken over, and the name is taken"),
                    "rename the one that has it",
                ));
            }
            connection.execute_batch(text).map_err(|error| cannot_make(index, &error))?;
        }
        connection.query_row(sql::AS_CRR, [name], |_| Ok(())).map_err(|error| cannot_make(name, &error))?;
    }
    Ok(())
}

fn is_taken(connection: &Connection, name: &str) -> Result<bool, Refusal> {
    connection.query_row(sql::OBJECT_EXISTS, [name], |row| row.get::<_, i64>(0)).map(|count| count > 0).map_err(failed)
}

/// Finds out what the definitions of another side really define.
fn check(schema: &Schema) -> Result<Vec<Checked>, Refusal> {
    let mut scratch = Connection::open_in_memory().map_err(failed)?;
    scratch.authorizer(Some(|context: AuthContext<'_>| permit(context.action))).map_err(failed)?;
    for table in &schema.tables {
        for text in std::iter::once(&table.create_table).chain(&table.create_indexes) {
            let run = scratch.prepare(text).and_then(|mut statement| {
                if statement.column_count() == 0 { statement.execute([]) } else { Err(rusqlite::Error::InvalidQuery) }
            });
            run.map_err(|error| cannot_make(&table.name, &error))?;
        }
    }
    scratch.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).map_err(failed)?;
    let objects: Vec<(String, String, String, String)> = scratch
        .prepare(sql::OBJECTS)
        .and_then(|mut statement| {
            let rows =
                statement.query_map(params![], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
            rows.collect()
        })
        .map_err(failed)?;
    schema.tables.iter().map(|table| check_table(&scratch, table, &objects)).collect::<Result<Vec<_>, _>>().and_then(
        |checked| {
            let expected: usize = schema.tables.iter().map(|table| 1 + table.create_indexes.len()).sum();
            if objects.len() == expected { Ok(checked) } else { Err(not_a_definition("the schema")) }
        },
    )
}

fn check_table(
    scratch: &Connection,
    table: &TableDefinition,
    objects: &[(String, String, String, String)],
) -> Result<Checked, Refusal> {
    let name = &table.name;
    let mut create_table = None;
    let mut create_indexes = Vec::new();
    for (kind, object, of_table, text) in objects.iter().filter(|object| object.2 == *name) {
        if is_reserved(object) {
            return Err(refusal(
                format!("the name {object} belongs to SQLite or to the replication"),
                "rename it on the side that has it",
            ));
        }
        match kind.as_str() {
            "table" if object == of_table && create_table.is_none() => create_table = Some(text.clone()),
            "index" => create_indexes.push((object.clone(), text.clone())),
            _ => return Err(not_a_definition(name)),
        }
    }
    if create_indexes.len() != table.create_indexes.len() {
        return Err(not_a_definition(name));
    }
    let columns = scratch
        .prepare_cached(sql::COLUMNS)
        .and_then(|mut statement| {
            let rows =
                statement.query_map([name], |row| Ok(ColumnShape { name: row.get(0)?, key_place: row.get(1)? }))?;
            rows.collect()
        })
        .map_err(failed)?;
    Ok(Checked {
        shape: TableShape { name: name.clone(), columns },
        create_table: create_table.ok_or_else(|| not_a_definition(name))?,
        create_indexes,
    })
}

/// What a definition may do, in the empty database where it is tried.
fn permit(action: AuthAction<'_>) -> Authorization {
    match action {
        AuthAction::CreateTable { .. } | AuthAction::CreateIndex { .. } | AuthAction::Reindex { .. } => {
            Authorization::Allow
        }
        // How SQLite itself keeps its list of what there is.
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Read { table_name, .. }
            if is_schema_table(table_name) =>
        {
            Authorization::Allow
        }
        // Expressions over the columns of the table: CHECK, generated columns, indexes on expressions.
        AuthAction::Read { .. } | AuthAction::Function { .. } => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

fn is_schema_table(name: &str) -> bool {
    ["sqlite_master", "sqlite_schema"].contains(&name)
}

fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["sqlite_", "crsql_", "rejoin_"].iter().any(|prefix| name.starts_with(prefix)) || name.contains("__crsql_")
}

fn refusal(reason: String, advice: &str) -> Refusal {
    Refusal { code: RefusalCode::Schema, reason, advice: advice.to_owned() }
}

fn cannot_make(name: &str, error: &rusqlite::Error) -> Refusal {
    refusal(format!("{name} cannot be taken over: {error}"), "make it on both sides by hand, then start the sync again")
}

fn not_a_definition(name: &str) -> Refusal {
    refusal(
        format!("what came as the definition of {name} is something else"),
        "only CREATE TABLE and CREATE INDEX, one statement each, are taken over",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(name: &str, create_table: &str, create_indexes: &[&str]) -> Schema {
        let create_indexes = create_indexes.iter().map(|text| (*text).to_owned()).collect();
        Schema {
            tables: vec![TableDefinition {
                name: name.to_owned(),
                create_table: create_table.to_owned(),
                create_indexes,
            }],
        }
    }

    #[test]
    fn tables_and_indexes_are_taken_in_sqlites_own_spelling() {
        let schema = definition(
            "todo",
            "create table IF NOT EXISTS main.todo (id INTEGER PRIMARY KEY NOT NULL, text TEXT DEFAULT ('a' || 'b') CHECK (length(text) < 9))",
            &["CREATE INDEX by_text ON todo (lower(text)) WHERE text > ''"],
        );
        let checked = check(&schema).unwrap();
        assert_eq!(checked.len(), 1);
        assert!(checked[0].create_table.starts_with("CREATE TABLE todo (id"), "{}", checked[0].create_table);
        assert_eq!(checked[0].create_indexes[0].0, "by_text");
        assert_eq!(checked[0].shape.columns.len(), 2);
    }

    #[test]
    fn everything_else_is_refused() {
        let table = "CREATE TABLE todo (id INTEGER PRIMARY KEY NOT NULL)";
        let cases: &[(&str, &str, &[&str])] = &[
            ("todo", "DROP TABLE todo", &[]),
            ("todo", "SELECT 1", &[]),
            ("todo", "CREATE TABLE todo (id PRIMARY KEY); DROP TABLE other", &[]),
            ("todo", "CREATE TABLE todo AS SELECT 1 AS id", &[]),
            ("todo", "CREATE TEMP TABLE todo (id PRIMARY KEY)", &[]),
            ("todo", "CREATE TABLE other (id PRIMARY KEY)", &[]),
            ("todo", "CREATE VIRTUAL TABLE todo USING fts5(id)", &[]),
            ("todo", "CREATE VIEW todo AS SELECT 1", &[]),
            ("todo", "ATTACH ':memory:' AS todo", &[]),
            ("todo", "PRAGMA writable_schema = 1", &[]),
            ("todo", "BEGIN", &[]),
            ("todo", "", &[]),
            ("todo", "not SQL", &[]),
            ("crsql_site_id", "CREATE TABLE crsql_site_id (id PRIMARY KEY)", &[]),
            ("todo__crsql_clock", "CREATE TABLE todo__crsql_clock (id PRIMARY KEY)", &[]),
            ("sqlite_stat1", "CREATE TABLE sqlite_stat1 (id PRIMARY KEY)", &[]),
            ("todo", table, &["CREATE TRIGGER t AFTER INSERT ON todo BEGIN SELECT 1; END"]),
            ("todo", table, &["CREATE TABLE second (id PRIMARY KEY)"]),
            ("todo", table, &["CREATE INDEX crsql_x ON todo (id)"]),
            ("todo", table, &["DELETE FROM todo"]),
            ("todo", table, &["CREATE INDEX i ON todo (id)", "DROP INDEX i"]),
        ];
        for (name, create_table, create_indexes) in cases {
            let result = check(&definition(name, create_table, create_indexes));
            assert!(result.is_err(), "{create_table} {create_indexes:?}");
        }
    }
}
