//! What stands in the way of a table's replication, in words.

use rusqlite::{Connection, OptionalExtension};

use super::create_table::{ConstraintKind, CreateTable};
use super::tokens::{Kind, tokenize};
use crate::file_error::{Doing, FileError};
use crate::user_tables::{UserTable, literal, quoted};

/// The most columns a tracked table can have: the update trigger passes each column twice, and SQLite's functions take
/// 127 arguments.
pub const COLUMNS_MAX: usize = 63;

/// What was found out about one table.
#[derive(Debug)]
pub struct TableSurvey {
    /// The table's name as the schema spells it.
    pub table: String,
    /// Whether it replicates already; then nothing else was looked at.
    pub is_tracked: bool,
    /// What keeps it from being tracked as it is.
    pub obstacles: Vec<Obstacle>,
    /// What a program that uses the table should know; nothing of it is in the way.
    pub notes: Vec<String>,
    pub(super) facts: TableFacts,
}

impl TableSurvey {
    /// Whether `adapt` can clear everything that is in the way.
    #[must_use]
    pub fn is_adaptable(&self) -> bool {
        self.obstacles.iter().all(|obstacle| obstacle.cure().is_some())
    }
}

/// One thing that keeps a table from being tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A foreign key, which changes that arrive one table after another could violate.
    ForeignKey {
        /// The columns that refer.
        columns: Vec<String>,
        /// The table referred to.
        parent: String,
        /// `ON DELETE …` and `ON UPDATE …` where they do something.
        actions: String,
    },
    /// A UNIQUE constraint, which two copies could satisfy each and violate together.
    UniqueConstraint {
        /// Its columns.
        columns: Vec<String>,
        /// The plain index that `adapt` makes for it, or none where another index serves already.
        index: Option<String>,
    },
    /// A unique index; the same.
    UniqueIndex {
        /// Its name.
        name: String,
    },
    /// A NOT NULL column without a default: a row is made before its cells are known.
    NotNullWithoutDefault {
        /// The column.
        column: String,
        /// What `adapt` does about it.
        cure: NotNullCure,
    },
    /// A column of the primary key that may hold NULL by the table's definition.
    NullableKey {
        /// The column.
        column: String,
    },
    /// Rows whose key holds NULL.
    NullsInKey {
        /// The column.
        column: String,
        /// How many.
        rows: i64,
    },
    /// `AUTOINCREMENT`: two copies would give the same number to different rows.
    Autoincrement,
    /// The word "autoincrement" as part of a name or a value, where it cannot be taken away.
    AutoincrementInText,
    /// No primary key, so nothing says which row is which.
    NoPrimaryKey,
    /// More columns than can be tracked.
    TooManyColumns {
        /// How many it has.
        columns: usize,
    },
    /// A column named `-1`, which is what the change records call the row itself.
    ReservedColumnName,
    /// The CREATE TABLE text could not be read well enough to change it.
    Unreadable {
        /// Why.
        why: String,
    },
}

/// What becomes of a NOT NULL column without a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotNullCure {
    /// It gets this default and keeps its NOT NULL.
    Default(String),
    /// It loses its NOT NULL, because the default that its type suggests would violate a CHECK.
    NullableForCheck,
    /// It loses its NOT NULL, because its value is computed.
    NullableForGenerated,
}

impl Obstacle {
    /// A short name for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Obstacle::ForeignKey { .. } => "foreign_key",
            Obstacle::UniqueConstraint { .. } => "unique_constraint",
            Obstacle::UniqueIndex { .. } => "unique_index",
            Obstacle::NotNullWithoutDefault { .. } => "not_null_without_default",
            Obstacle::NullableKey { .. } => "nullable_key",
            Obstacle::NullsInKey { .. } => "nulls_in_key",
            Obstacle::Autoincrement => "autoincrement",
            Obstacle::AutoincrementInText => "autoincrement_in_text",
            Obstacle::NoPrimaryKey => "no_primary_key",
            Obstacle::TooManyColumns { .. } => "too_many_columns",
            Obstacle::ReservedColumnName => "reserved_column_name",
            Obstacle::Unreadable { .. } => "unreadable",
        }
    }

    /// What is in the way, as a clause.
    #[must_use]
    pub fn says(&self) -> String {
        match self {
            Obstacle::ForeignKey { columns, parent, actions } => {
                format!("foreign key ({}) → {parent}{actions}", columns.join(", "))
            }
            Obstacle::UniqueConstraint { columns, .. } => format!("UNIQUE ({})", columns.join(", ")),
            Obstacle::UniqueIndex { name } => format!("unique index {name}"),
            Obstacle::NotNullWithoutDefault { column, .. } => format!("{column} is NOT NULL without a default"),
            Obstacle::NullableKey { column } => format!("key column {column} is not declared NOT NULL"),
            Obstacle::NullsInKey { column, rows } => {
                format!("{rows} {} NULL in key column {column}", if *rows == 1 { "row has" } else { "rows have" })
            }
            Obstacle::Autoincrement => "AUTOINCREMENT".to_owned(),
            Obstacle::AutoincrementInText => {
                "the word autoincrement within a name or value of its definition".to_owned()
            }
            Obstacle::NoPrimaryKey => "no primary key".to_owned(),
            Obstacle::TooManyColumns { columns } => format!("{columns} columns, {COLUMNS_MAX} is the most"),
            Obstacle::ReservedColumnName => "a column named -1, a name that change records use".to_owned(),
            Obstacle::Unreadable { why } => format!("its definition cannot be read: {why}"),
        }
    }

    /// What `adapt` does about it, or `None` where only the database's owner can do something.
    #[must_use]
    pub fn cure(&self) -> Option<String> {
        Some(match self {
            Obstacle::ForeignKey { actions, .. } if actions.is_empty() => {
                "removed; nothing checks these references any more".to_owned()
            }
            Obstacle::ForeignKey { .. } => {
                "removed; nothing checks these references any more, and its actions no longer happen".to_owned()
            }
            Obstacle::UniqueConstraint { index: Some(index), .. } => {
                format!("becomes the plain index {index}; ON CONFLICT on these columns no longer works")
            }
            Obstacle::UniqueConstraint { index: None, .. } => "removed; another index serves these columns".to_owned(),
            Obstacle::UniqueIndex { .. } => {
                "becomes a plain index; ON CONFLICT on its columns no longer works".to_owned()
            }
            Obstacle::NotNullWithoutDefault { cure: NotNullCure::Default(value), .. } => {
                format!("gets DEFAULT {value}")
            }
            Obstacle::NotNullWithoutDefault { cure: NotNullCure::NullableForCheck, .. } => {
                "may be NULL from now on, since an empty default would violate a CHECK".to_owned()
            }
            Obstacle::NotNullWithoutDefault { cure: NotNullCure::NullableForGenerated, .. } => {
                "NOT NULL removed; its value is computed".to_owned()
            }
            Obstacle::NullableKey { .. } => "gets NOT NULL".to_owned(),
            Obstacle::Autoincrement => "removed; keys that were deleted last may be given again".to_owned(),
            Obstacle::NullsInKey { .. }
            | Obstacle::AutoincrementInText
            | Obstacle::NoPrimaryKey
            | Obstacle::TooManyColumns { .. }
            | Obstacle::ReservedColumnName
            | Obstacle::Unreadable { .. } => return None,
        })
    }

    /// What the database's owner can do where `adapt` cannot.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Obstacle::NullsInKey { .. } => Some("give these rows a key, or delete them"),
            Obstacle::AutoincrementInText => Some("rename it"),
            Obstacle::NoPrimaryKey => Some("make the table anew with a primary key that is the same on every copy"),
            Obstacle::TooManyColumns { .. } => Some("move some columns to a second table with the same key"),
            Obstacle::ReservedColumnName => Some("rename the column"),
            Obstacle::Unreadable { .. } => Some("make the table anew by hand"),
            _ => None,
        }
    }
}

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

/// Finds out what is in the way of tracking `table`, an existing user table, while the tables of `company` are or will be
/// tracked too. Reads only.
///
/// # Errors
/// Where the schema or the rows cannot be read.
pub fn survey(connection: &Connection, table: &UserTable, company: &[&str]) -> Result<TableSurvey, FileError> {
    let UserTable { name: table, is_tracked } = table;
    survey_table(connection, table, *is_tracked, company).doing(|| format!("look at table {table}"))
}

fn survey_table(
    connection: &Connection,
    table: &str,
    is_tracked: bool,
    company: &[&str],
) -> rusqlite::Result<TableSurvey> {
    let facts = TableFacts::read(connection, table)?;
    let mut survey =
        TableSurvey { table: table.to_owned(), is_tracked, obstacles: Vec::new(), notes: Vec::new(), facts };
    if is_tracked {
        return Ok(survey);
    }
    let obstacles = &mut survey.obstacles;
    let facts = &survey.facts;
    let parsed = facts.parse();

    let replicated = facts.columns.iter().filter(|column| !column.is_generated).count();
    if replicated > COLUMNS_MAX {
        obstacles.push(Obstacle::TooManyColumns { columns: replicated });
    }
    if facts.columns.iter().any(|column| column.name == "-1") {
        obstacles.push(Obstacle::ReservedColumnName);
    }
    if facts.columns.iter().all(|column| column.key_place == 0) {
        obstacles.push(Obstacle::NoPrimaryKey);
    }
    for column in facts.columns.iter().filter(|column| column.key_place > 0 && !column.not_null) {
        let sql = format!("SELECT count(*) FROM main.{} WHERE {} IS NULL", quoted(table), quoted(&column.name));
        match connection.query_row(&sql, [], |row| row.get(0))? {
            0 => obstacles.push(Obstacle::NullableKey { column: column.name.clone() }),
            rows => obstacles.push(Obstacle::NullsInKey { column: column.name.clone(), rows }),
        }
    }
    obstacles.extend(autoincrement(facts, parsed.as_ref().ok()));
    for unique in &facts.unique {
        obstacles.push(match unique.by_statement {
            true => Obstacle::UniqueIndex { name: unique.name.clone() },
            false => Obstacle::UniqueConstraint { columns: unique.columns.clone(), index: unique.replacement.clone() },
        });
    }
    obstacles.extend(foreign_keys(connection, table)?);
    for column in &facts.columns {
        if column.key_place == 0 && column.not_null && column.default.is_none() {
            let cure = not_null_cure(connection, table, facts, parsed.as_ref().ok(), column);
            obstacles.push(Obstacle::NotNullWithoutDefault { column: column.name.clone(), cure });
        }
    }
    if let (Err(why), false) = (parsed, obstacles.is_empty()) {
        obstacles.push(Obstacle::Unreadable { why });
    }
    survey.notes = notes(connection, table, company, &survey.facts)?;
    Ok(survey)
}

impl TableFacts {
    fn read(connection: &Connection, table: &str) -> rusqlite::Result<TableFacts> {
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

/// The engine refuses the word anywhere in the text, so every place of it counts.
fn autoincrement(facts: &TableFacts, parsed: Option<&CreateTable>) -> Option<Obstacle> {
    if !facts.sql.to_ascii_lowercase().contains("autoincrement") {
        return None;
    }
    let keyword = parsed.and_then(|table| {
        table.all_constraints().find_map(|constraint| match &constraint.kind {
            ConstraintKind::PrimaryKey { autoincrement } => autoincrement.clone(),
            _ => None,
        })
    });
    let elsewhere = tokenize(&facts.sql).map_or(true, |tokens| {
        tokens.iter().any(|token| {
            token.is_significant()
                && Some(token.start) != keyword.as_ref().map(|range| range.start)
                && token.text(&facts.sql).to_ascii_lowercase().contains("autoincrement")
        })
    });
    Some(if elsewhere { Obstacle::AutoincrementInText } else { Obstacle::Autoincrement })
}

fn foreign_keys(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Obstacle>> {
    let mut statement = connection.prepare(
        "SELECT id, \"table\", \"from\", on_update, on_delete FROM pragma_foreign_key_list(?1, 'main') ORDER BY id DESC, seq",
    )?;
    let mut rows = statement.query([table])?;
    let mut found: Vec<(i64, Obstacle)> = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let column: String = row.get(2)?;
        if let Some((last, Obstacle::ForeignKey { columns, .. })) = found.last_mut()
            && *last == id
        {
            columns.push(column);
            continue;
        }
        let mut actions = String::new();
        for (event, action) in [("UPDATE", row.get::<_, String>(3)?), ("DELETE", row.get::<_, String>(4)?)] {
            if action != "NO ACTION" {
                actions.push_str(&format!(" ON {event} {action}"));
            }
        }
        found.push((id, Obstacle::ForeignKey { columns: vec![column], parent: row.get(1)?, actions }));
    }
    Ok(found.into_iter().map(|(_, obstacle)| obstacle).collect())
}

/// What to do about a NOT NULL column without a default.
fn not_null_cure(
    connection: &Connection,
    table: &str,
    facts: &TableFacts,
    parsed: Option<&CreateTable>,
    column: &ColumnFacts,
) -> NotNullCure {
    if column.is_generated {
        return NotNullCure::NullableForGenerated;
    }
    let value = empty_value(&column.declared_type);
    let checks =
        parsed.into_iter().flat_map(CreateTable::all_constraints).filter_map(|constraint| match &constraint.kind {
            ConstraintKind::Check { expression } => Some(&facts.sql[expression.clone()]),
            _ => None,
        });
    for check in checks.filter(|check| mentions(check, &column.name)) {
        // A row as a merge may first make it: this column at its default, the others at theirs or unknown.
        let row: Vec<String> = facts
            .columns
            .iter()
            .map(|other| {
                let known = other.name == column.name;
                let default = if known { Some(value) } else { other.default.as_deref() };
                format!("({}) AS {}", default.unwrap_or("NULL"), quoted(&other.name))
            })
            .collect();
        let probe = format!("SELECT ({check}\n) IS NOT FALSE FROM (SELECT {}) AS {}", row.join(", "), quoted(table));
        let holds = connection.query_row(&probe, [], |row| row.get::<_, bool>(0));
        if !matches!(holds, Ok(true)) {
            return NotNullCure::NullableForCheck;
        }
    }
    NotNullCure::Default(value.to_owned())
}

/// Whether an expression names the column.
fn mentions(expression: &str, column: &str) -> bool {
    tokenize(expression).map_or(true, |tokens| {
        tokens.iter().any(|token| {
            matches!(token.kind, Kind::Word | Kind::Quoted)
                && token.name(expression).is_some_and(|name| name.eq_ignore_ascii_case(column))
        })
    })
}

/// The empty value that suits a declared type, by SQLite's own rules of affinity; dates count as text.
fn empty_value(declared_type: &str) -> &'static str {
    let declared = declared_type.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    if has("INT") {
        "0"
    } else if has("CHAR") || has("CLOB") || has("TEXT") || has("DATE") || has("TIME") || declared.is_empty() {
        "''"
    } else if has("BLOB") {
        "x''"
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        "0.0"
    } else {
        "0"
    }
}

/// What is not in the way, but worth saying.
fn notes(connection: &Connection, table: &str, company: &[&str], facts: &TableFacts) -> rusqlite::Result<Vec<String>> {
    let mut notes = Vec::new();
    let mut statement = connection.prepare(
        "SELECT DISTINCT s.name FROM main.sqlite_schema s, pragma_foreign_key_list(s.name, 'main') f
         WHERE s.type = 'table' AND lower(f.\"table\") = lower(?1) AND s.name <> ?1 ORDER BY s.name",
    )?;
    for child in statement.query_map([table], |row| row.get::<_, String>(0))? {
        let child = child?;
        if !company.contains(&child.as_str()) {
            notes.push(format!(
                "{child} refers to it by a foreign key and is not tracked: it may refuse what other copies delete here"
            ));
        }
    }
    let mut statement = connection.prepare(
        "SELECT name FROM main.sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower(?1) AND name NOT LIKE '%\\_\\_crsql\\_%' ESCAPE '\\'
         AND sql NOT LIKE '%crsql\\_internal\\_sync\\_bit%' ESCAPE '\\' ORDER BY name",
    )?;
    for trigger in statement.query_map([table], |row| row.get::<_, String>(0))? {
        notes.push(format!(
            "trigger {} fires for merged rows too; WHEN crsql_internal_sync_bit() = 0 keeps it to local writes",
            trigger?
        ));
    }
    let mut statement = connection.prepare(
        "SELECT x.name, x.coll FROM pragma_index_list(?1, 'main') i, pragma_index_xinfo(i.name, 'main') x
         WHERE i.origin = 'pk' AND x.\"key\" AND x.coll <> 'BINARY'",
    )?;
    let keys = statement.query_map([table], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    for key in keys {
        let (column, collation) = key?;
        notes.push(format!(
            "key column {column} compares by {collation}: copies that spell one key differently keep two histories of one row"
        ));
    }
    if facts.columns.iter().any(|column| column.is_generated) {
        notes.push("generated columns are computed on every copy and not sent".to_owned());
    }
    Ok(notes)
}

/// The statement that makes a plain index in place of a UNIQUE constraint.
pub(super) fn replacement_index(table: &str, unique: &UniqueFacts) -> Option<String> {
    let name = unique.replacement.as_ref()?;
    Some(format!("CREATE INDEX {} ON {} ({})", quoted(name), quoted(table), unique.terms.join(", ")))
}

/// The names of `main`'s views, for saying why one of them cannot be tracked.
pub(crate) fn kind_of(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let sql =
        format!("SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = {} COLLATE NOCASE", literal(name));
    connection.query_row(&sql, [], |row| row.get(0)).optional()
}
