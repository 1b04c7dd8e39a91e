//! What SQLite says about a table.

use rejoin_engine::schema_text::CreateTable;
use rusqlite::{Connection, OptionalExtension};

use crate::user_tables::quoted;

/// What SQLite says about a table.
#[derive(Debug)]
pub(super) struct TableFacts {
    pub sql: String,
    pub without_rowid: bool,
    pub columns: Vec<ColumnFacts>,
    pub unique: Vec<UniqueFacts>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnFacts {
    pub name: String,
    pub declared_type: String,
    pub not_null: bool,
    pub default: Option<String>,
    /// From 1 on, or 0.
    pub key_place: u32,
    pub is_generated: bool,
}

#[derive(Debug)]
pub(super) struct UniqueFacts {
    pub name: String,
    /// Made by CREATE UNIQUE INDEX; otherwise by a UNIQUE constraint.
    pub by_statement: bool,
    /// The indexed columns, ready for an index's column list.
    pub terms: Vec<String>,
    pub columns: Vec<String>,
    /// The plain index that takes a constraint's place.
    pub replacement: Option<String>,
}

impl TableFacts {
    pub(super) fn read(connection: &Connection, table: &str) -> rusqlite::Result<TableFacts> {
        let (sql, without_rowid) = connection.query_row(
            "SELECT s.sql, l.wr FROM main.sqlite_schema s JOIN pragma_table_list l ON l.name = s.name AND l.schema = 'main'
             WHERE s.type = 'table' AND s.name = ?1",
            [table],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let columns = TableFacts::columns(connection, table)?;
        let mut facts = TableFacts { sql, without_rowid, columns, unique: Vec::new() };
        let mut list = connection
            .prepare("SELECT name, origin, \"unique\", partial FROM pragma_index_list(?1, 'main') ORDER BY seq DESC")?;
        let indexes: Vec<(String, String, bool, bool)> = list
            .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut served = vec![facts.key()];
        let mut unique = Vec::new();
        for (name, origin, is_unique, is_partial) in indexes {
            let (terms, columns) = index_terms(connection, &name)?;
            if is_unique && origin != "pk" {
                unique.push(UniqueFacts { name, by_statement: origin == "c", terms, columns, replacement: None });
            } else if origin == "c" && !is_partial {
                served.push(columns);
            }
        }
        for index in unique.iter_mut().filter(|index| !index.by_statement) {
            if served.iter().any(|columns| columns.starts_with(&index.columns)) {
                continue;
            }
            served.push(index.columns.clone());
            index.replacement = Some(free_name(connection, &format!("{table}_{}", index.columns.join("_")))?);
        }
        facts.unique = unique;
        Ok(facts)
    }

    /// The columns as `pragma_table_xinfo` lists them.
    pub(super) fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<ColumnFacts>> {
        let mut statement = connection.prepare(
            "SELECT name, type, \"notnull\", dflt_value, pk, hidden <> 0 FROM pragma_table_xinfo(?1, 'main') ORDER BY cid",
        )?;
        let rows = statement.query_map([table], |row| {
            Ok(ColumnFacts {
                name: row.get(0)?,
                declared_type: row.get(1)?,
                not_null: row.get(2)?,
                default: row.get(3)?,
                key_place: row.get(4)?,
                is_generated: row.get(5)?,
            })
        })?;
        rows.collect()
    }

    /// The primary key's columns in key order.
    pub(super) fn key(&self) -> Vec<String> {
        let mut key: Vec<&ColumnFacts> = self.columns.iter().filter(|column| column.key_place > 0).collect();
        key.sort_by_key(|column| column.key_place);
        key.iter().map(|column| column.name.clone()).collect()
    }

    /// The CREATE TABLE text read, checked against what SQLite made of it.
    pub(super) fn parse(&self) -> Result<CreateTable, String> {
        let parsed = CreateTable::parse(&self.sql)?;
        let same = parsed.columns.iter().map(|column| &column.name).eq(self.columns.iter().map(|column| &column.name));
        if same { Ok(parsed) } else { Err("its columns are not those that SQLite sees".to_owned()) }
    }
}

/// The terms of an index, and its columns where all of them are columns.
fn index_terms(connection: &Connection, index: &str) -> rusqlite::Result<(Vec<String>, Vec<String>)> {
    let mut statement = connection
        .prepare("SELECT name, \"desc\", coll FROM pragma_index_xinfo(?1, 'main') WHERE \"key\" ORDER BY seqno")?;
    let mut rows = statement.query([index])?;
    let (mut terms, mut columns) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let name: Option<String> = row.get(0)?;
        let descending = if row.get(1)? { " DESC" } else { "" };
        let collation: String = row.get(2)?;
        let name = name.unwrap_or_else(|| "(expression)".to_owned());
        terms.push(format!("{} COLLATE {}{descending}", quoted(&name), quoted(&collation)));
        columns.push(name);
    }
    Ok((terms, columns))
}

/// `wanted`, or with a number behind it where the schema has that name already.
fn free_name(connection: &Connection, wanted: &str) -> rusqlite::Result<String> {
    let mut name = format!("{wanted}_idx");
    let mut number = 2_u32;
    while connection
        .query_row("SELECT 1 FROM main.sqlite_schema WHERE name = ?1 COLLATE NOCASE", [&name], |_| Ok(()))
        .optional()?
        .is_some()
    {
        name = format!("{wanted}_idx{number}");
        number += 1;
    }
    Ok(name)
}

/// The statement that makes a plain index in place of a UNIQUE constraint.
pub(super) fn replacement_index(table: &str, unique: &UniqueFacts) -> Option<String> {
    let name = unique.replacement.as_ref()?;
    Some(format!("CREATE INDEX {} ON {} ({})", quoted(name), quoted(table), unique.terms.join(", ")))
}
