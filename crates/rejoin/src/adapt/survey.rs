//! Finding out what stands in the way of a table's replication.

use rejoin_engine::schema_text::{ConstraintKind, CreateTable, Kind, tokenize};
use rusqlite::Connection;

use super::facts::{ColumnFacts, TableFacts};
use super::obstacle::{COLUMNS_MAX, NotNullCure, Obstacle};
use crate::file_error::{Doing, FileError};
use crate::user_tables::{UserTable, quoted};

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
    obstacles.extend(collated_keys(connection, table)?);
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

/// Key columns whose index, or whose own definition, compares otherwise than by bytes.
fn collated_keys(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Obstacle>> {
    let mut statement = connection.prepare(
        "SELECT x.name, x.coll FROM pragma_index_list(?1, 'main') i, pragma_index_xinfo(i.name, 'main') x
         WHERE i.origin = 'pk' AND x.\"key\" ORDER BY x.seqno",
    )?;
    let keys = statement.query_map([table], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut found = Vec::new();
    for key in keys {
        let (column, in_index) = key?;
        let metadata = connection.column_metadata(Some("main"), table, column.as_str())?;
        let own = metadata.1.map(|name| name.to_string_lossy().into_owned());
        let collations = std::iter::once(in_index).chain(own);
        if let Some(collation) = collations.into_iter().find(|name| !name.eq_ignore_ascii_case("BINARY")) {
            found.push(Obstacle::CollatedKey { column, collation });
        }
    }
    Ok(found)
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
    if !facts.unique.is_empty() {
        let mut statement = connection.prepare(
            "SELECT name FROM main.sqlite_schema WHERE type = 'trigger' AND sql LIKE '%on conflict%(%' ORDER BY name",
        )?;
        for trigger in statement.query_map([], |row| row.get::<_, String>(0))? {
            notes.push(format!(
                "trigger {} uses ON CONFLICT: see that it does not rely on what was unique here",
                trigger?
            ));
        }
    }
    if facts.columns.iter().any(|column| column.is_generated) {
        notes.push("generated columns are computed on every copy and not sent".to_owned());
    }
    Ok(notes)
}
