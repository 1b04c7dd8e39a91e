//! Turning a database's tables into replicated ones, and back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, MAIN_DB, OpenFlags};

use crate::adapt::{self, Rebuilt, TableSurvey};
use crate::cancel::Cancel;
use crate::file_error::{Doing, FileError};
use crate::keep::keep_copy;
use crate::prepared::open_prepared;
use crate::user_tables::{UserTable, is_internal, kind_of, literal, user_tables};

/// How long to wait for another program's write to end.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// What to track, and how.
#[derive(Clone, Debug, Default)]
pub struct TrackOptions {
    /// The tables; all of the user's own when empty.
    pub tables: Vec<String>,
    /// Whether tables may be made anew so that they can be tracked.
    pub adapt: bool,
}

/// What became of a database's tables.
#[derive(Debug)]
pub struct TrackReport {
    /// One for each table that was asked for, in the order of the schema.
    pub tables: Vec<TrackedTable>,
    /// Where the file as it was has been kept, if a table was made anew.
    pub kept: Option<PathBuf>,
    /// Rows that referred to nothing before their foreign keys were removed.
    pub orphans: Vec<Orphans>,
    /// Whether everything asked for is tracked now; if not, nothing was changed.
    pub is_done: bool,
}

/// One table of a [`TrackReport`].
#[derive(Debug)]
pub struct TrackedTable {
    /// What was found before.
    pub survey: TableSurvey,
    /// What was made anew, if that was needed and done.
    pub rebuilt: Option<Rebuilt>,
}

/// Rows whose foreign key refers to a row that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphans {
    /// Their table.
    pub table: String,
    /// The table that they refer to.
    pub parent: String,
    /// How many.
    pub rows: i64,
}

/// Makes tables of the database at `path` replicate, all of them or none, in one transaction. The engine is put
/// into the connection only once it is clear that there is something to do, so that a refusal leaves no trace.
///
/// Where something is in the way and may not or cannot be adapted, nothing is changed and the report says what.
///
/// # Errors
/// When the file cannot be read or written, a name is not a table's, or SQLite refuses; nothing is changed then.
pub fn track(path: &Path, options: &TrackOptions, cancel: &Cancel) -> Result<TrackReport, FileError> {
    let (connection, engine) = open(path, cancel)?;
    let mut kept = None;
    let report = in_transaction(&connection, || {
        let mut surveys = survey_all(&connection, &options.tables)?;
        let mut report = TrackReport { tables: Vec::new(), kept: None, orphans: Vec::new(), is_done: true };
        let may = |survey: &TableSurvey| survey.obstacles.is_empty() || (options.adapt && survey.is_adaptable());
        if !surveys.iter().all(may) {
            report.is_done = false;
            report.tables = surveys.into_iter().map(|survey| TrackedTable { survey, rebuilt: None }).collect();
            return Ok(report);
        }
        if surveys.iter().any(|survey| !survey.obstacles.is_empty()) {
            for survey in &mut surveys {
                match orphans(&connection, &survey.table) {
                    Ok(orphans) => report.orphans.extend(orphans),
                    // Its parent's columns are no key. That was never noticed, and ends now.
                    Err(error) => survey.notes.push(format!("its foreign keys could not be checked: {error}")),
                }
            }
            kept = Some(keep_copy(path, cancel)?);
            report.kept.clone_from(&kept);
        }
        for survey in surveys {
            let needed = !survey.obstacles.is_empty();
            let rebuilt = if needed { Some(adapt::rebuild(&connection, &survey)?) } else { None };
            report.tables.push(TrackedTable { survey, rebuilt });
        }
        let new: Vec<&str> =
            report.tables.iter().filter(|t| !t.survey.is_tracked).map(|table| table.survey.table.as_str()).collect();
        if !new.is_empty() {
            load_engine(&engine)?;
        }
        for table in new {
            let sql = format!("SELECT crsql_as_crr({})", literal(table));
            connection.query_row(&sql, [], |_| Ok(())).doing(|| format!("track table {table}"))?;
        }
        if report.kept.is_some() {
            check_integrity(&connection)?;
        }
        Ok(report)
    });
    if let (Err(_), Some(kept)) = (&report, kept) {
        // The file is as it was. A copy that cannot be removed does no harm.
        let _ = std::fs::remove_file(kept);
    }
    let report = match report {
        Ok(report) => report,
        Err(error) if cancel.is_cancelled() => {
            return Err(FileError::Refused(format!("stopped; {} is as it was ({error})", path.display())));
        }
        Err(error) => return Err(error),
    };
    if report.is_done {
        let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).doing(|| {
            "put the file in WAL mode (the tables are tracked; close other programs and run it again)".to_owned()
        })?;
        if !mode.eq_ignore_ascii_case("wal") {
            return Err(FileError::Refused(format!(
                "the tables are tracked, but {} cannot be put in WAL mode: it stayed in {mode} mode; \
                 writers and readers will wait for each other",
                path.display()
            )));
        }
    }
    Ok(report)
}

/// Makes tables ordinary ones again. Their rows stay; what was known about who changed what is gone. Without names: all
/// tracked tables. Gives the tables that are no longer tracked, and those that were not.
///
/// # Errors
/// When the file cannot be read or written, a name is not a table's, or SQLite refuses; nothing is changed then.
pub fn untrack(path: &Path, tables: &[String], cancel: &Cancel) -> Result<Vec<UserTable>, FileError> {
    let (connection, engine) = open(path, cancel)?;
    in_transaction(&connection, || {
        let mut chosen = choose(&connection, tables)?;
        if tables.is_empty() {
            chosen.retain(|table| table.is_tracked);
        }
        if chosen.iter().any(|table| table.is_tracked) {
            load_engine(&engine)?;
        }
        for table in chosen.iter().filter(|table| table.is_tracked) {
            let sql = format!("SELECT crsql_as_table({})", literal(&table.name));
            connection.query_row(&sql, [], |_| Ok(())).doing(|| format!("untrack table {}", table.name))?;
        }
        Ok(chosen)
    })
}

fn open(path: &Path, cancel: &Cancel) -> Result<(Connection, rejoin_bridge::Connection), FileError> {
    let doing = || format!("open {}", path.display());
    let (connection, handle) = open_prepared(path, OpenFlags::SQLITE_OPEN_READ_WRITE, |_| Ok(()), cancel)?;
    // A table that is made anew must not take along the rows that refer to it.
    connection.pragma_update(None, "foreign_keys", false).doing(doing)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).doing(doing)?;
    if connection.is_readonly(MAIN_DB).doing(doing)? {
        return Err(FileError::Refused(format!("{} cannot be written", path.display())));
    }
    Ok((connection, handle))
}

fn load_engine(connection: &rejoin_bridge::Connection) -> Result<(), FileError> {
    rejoin_engine::register(connection)
        .map_err(|error| FileError::Refused(format!("failed to load the replication engine: {error}")))
}

/// All or nothing. A transaction that has written nothing leaves the file untouched.
fn in_transaction<T>(connection: &Connection, work: impl FnOnce() -> Result<T, FileError>) -> Result<T, FileError> {
    connection
        .execute_batch("BEGIN IMMEDIATE")
        .doing(|| "begin (is another program writing to the file?)".to_owned())?;
    let outcome = work().and_then(|done| {
        connection.execute_batch("COMMIT").doing(|| "commit".to_owned())?;
        Ok(done)
    });
    if outcome.is_err() && !connection.is_autocommit() {
        // Closing the connection rolls back as well, so a failure here changes nothing.
        let _ = connection.execute_batch("ROLLBACK");
    }
    outcome
}

fn survey_all(connection: &Connection, names: &[String]) -> Result<Vec<TableSurvey>, FileError> {
    let chosen = choose(connection, names)?;
    if chosen.is_empty() {
        return Err(FileError::Refused("the database has no tables of its own; make some first".to_owned()));
    }
    let all = user_tables(connection).doing(|| "read the schema".to_owned())?;
    let company: Vec<&str> =
        all.iter().filter(|t| t.is_tracked).chain(&chosen).map(|table| table.name.as_str()).collect();
    chosen.iter().map(|table| adapt::survey(connection, table, &company)).collect()
}

/// The tables that names stand for, in the order of the schema; all user tables without names.
fn choose(connection: &Connection, names: &[String]) -> Result<Vec<UserTable>, FileError> {
    let mut tables = user_tables(connection).doing(|| "read the schema".to_owned())?;
    if names.is_empty() {
        return Ok(tables);
    }
    for name in names {
        if tables.iter().any(|table| table.name.eq_ignore_ascii_case(name)) {
            continue;
        }
        let kind = kind_of(connection, name).doing(|| "read the schema".to_owned())?;
        return Err(FileError::Refused(match kind.as_deref() {
            None => format!("there is no table {name}"),
            Some("table") if is_internal(name) => format!("{name} is an internal table"),
            Some("view") => format!("{name} is a view; track the tables that it reads"),
            Some("virtual") => format!("{name} is a virtual table; only ordinary tables can be tracked"),
            Some("shadow") => format!("{name} belongs to a virtual table; only ordinary tables can be tracked"),
            Some(_) => format!("{name} cannot be tracked"),
        }));
    }
    tables.retain(|table| names.iter().any(|name| name.eq_ignore_ascii_case(&table.name)));
    Ok(tables)
}

fn orphans(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Orphans>> {
    let mut statement = connection.prepare(
        "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check(?1, 'main') GROUP BY 1, 2 ORDER BY 1, 2",
    )?;
    let rows = statement
        .query_map([table], |row| Ok(Orphans { table: row.get(0)?, parent: row.get(1)?, rows: row.get(2)? }))?;
    rows.collect()
}

fn check_integrity(connection: &Connection) -> Result<(), FileError> {
    let answer: String = connection
        .query_row("PRAGMA main.integrity_check(1)", [], |row| row.get(0))
        .doing(|| "check the file".to_owned())?;
    match answer.as_str() {
        "ok" => Ok(()),
        fault => Err(FileError::Refused(format!("SQLite finds the file damaged, nothing was changed: {fault}"))),
    }
}
