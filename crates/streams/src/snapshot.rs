//! One consistent state of the database, for everything that a package says.

use crate::arrivals;
use crate::engine_facts;
use crate::error::{Result, StreamError, atomically};
use crate::identity::Identity;
use crate::parking;
use crate::rows::OutboundRow;
use crate::sql;
use rejoin_bridge::{Connection, Statement};
use rejoin_change::Cursor;
use std::collections::HashSet;

/// A read transaction, held while this lives, in which `head <= identity.witnessed`.
///
/// A statement without a table holds no transaction, and statements nested in it would each see a state of their own.
/// So one statement is kept standing on its row, and SQLite keeps the transaction for it.
pub(crate) struct Snapshot {
    pub identity: Identity,
    /// The newest stored db_version.
    pub head: i64,
    _held: Statement,
}

impl Snapshot {
    /// Raises the witnessed head where needed, in a write of its own that is durable before this returns.
    pub fn open(connection: &Connection) -> Result<Snapshot> {
        if connection.has_write_transaction() {
            return Err(StreamError::Misuse(
                "an outbound stream cannot be read while this connection has uncommitted writes, because they may be \
                 rolled back; COMMIT first, then read"
                    .into(),
            ));
        }
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = Snapshot::hold(connection)?;
            refuse_lost_versions(&snapshot)?;
            refuse_remade_tables(connection, &snapshot)?;
            let schema_version = engine_facts::schema_version(connection)?;
            if snapshot.head <= snapshot.identity.witnessed && schema_version == snapshot.identity.schema_version {
                return Ok(snapshot);
            }
            let head = snapshot.head;
            drop(snapshot);
            refuse_where_nothing_lasts(connection, head)?;
            raise_witness(connection).map_err(|error| said_when_busy(error, head))?;
        }
        Err(StreamError::Store(rejoin_bridge::Error::new(
            rejoin_bridge::code::BUSY,
            "other connections kept writing while the stream was about to be read; try again",
        )))
    }

    fn hold(connection: &Connection) -> Result<Snapshot> {
        let mut held = connection.prepare(sql::HOLD_SNAPSHOT)?;
        held.step()?;
        let identity = Identity::load(connection)?.ok_or_else(no_streams)?;
        Ok(Snapshot { identity, head: engine_facts::head(connection)?, _held: held })
    }
}

/// Versions that were given away are gone, and would be given to other writes, which nobody would ask for.
fn refuse_lost_versions(snapshot: &Snapshot) -> Result<()> {
    let witnessed = snapshot.identity.witnessed;
    if snapshot.head >= witnessed {
        return Ok(());
    }
    Err(StreamError::here(format!(
        "this database has told others of its version {witnessed}, and holds nothing newer than version {}: the history of \
         a table was given up",
        snapshot.head
    )))
}

/// A table that was read before, and whose clock was made anew since, has lost its history: others hold newer versions of
/// its cells than this database does. The mark of a clock table is an empty partial index, which an ordinary change of the
/// schema keeps, and a clock made anew lacks.
fn refuse_remade_tables(connection: &Connection, snapshot: &Snapshot) -> Result<()> {
    if snapshot.identity.schema_version == engine_facts::schema_version(connection)? {
        return Ok(());
    }
    let remade = known_tables(connection)?.into_iter().find(|table| table.known && !table.marked);
    let Some(table) = remade else { return Ok(()) };
    let name = table.clock_table.strip_suffix(sql::CLOCK_SUFFIX).unwrap_or(&table.clock_table);
    Err(StreamError::here(format!(
        "the history of table {name} was given up (by crsql_as_table, or by other key columns) after others were told of \
         it: its rows count as written anew, and lose against what others have"
    )))
}

/// A clock table, as the streams know it.
struct KnownTable {
    clock_table: String,
    marked: bool,
    /// The streams have read it before.
    known: bool,
}

fn known_tables(connection: &Connection) -> Result<Vec<KnownTable>> {
    let read = |sql| -> Result<HashSet<String>> {
        Ok(connection.cached(sql)?.query(&[], |row| Ok(row.column_text(0)))?.into_iter().collect())
    };
    let (marked, known) = (read(sql::TABLE_MARKS)?, read(sql::KNOWN_TABLES)?);
    let table = |clock_table: &String| KnownTable {
        marked: marked.contains(clock_table),
        known: known.contains(clock_table),
        clock_table: clock_table.clone(),
    };
    Ok(engine_facts::engine_tables(connection)?.clock_tables.iter().map(table).collect())
}

/// Lets every clock table be known again that is not known yet.
pub(crate) fn mark_tables(connection: &Connection) -> Result<()> {
    for KnownTable { clock_table, marked, known } in known_tables(connection)? {
        if known {
            continue;
        }
        // Marks outlive a change of identity, which forgets what was known.
        if !marked {
            connection.execute(&sql::mark_table(&clock_table))?;
        }
        connection.cached(sql::KNOW_TABLE)?.run(&[(&clock_table).into()])?;
    }
    Ok(())
}

fn refuse_where_nothing_lasts(connection: &Connection, head: i64) -> Result<()> {
    let why = if connection.is_readonly() {
        "the database is open for reading only; read the stream on a connection that may write"
    } else if !connection.is_autocommit() {
        "inside an open transaction nothing durable can be written; COMMIT first, then read"
    } else {
        return Ok(());
    };
    Err(StreamError::Misuse(format!(
        "version {head} must be noted in the file before a package of it may leave, but {why}"
    )))
}

/// SQLite waits for other writers only where no statement is reading yet, and a scan of the virtual table is.
fn said_when_busy(error: StreamError, head: i64) -> StreamError {
    match error {
        StreamError::Store(error) if error.is_busy() => StreamError::Store(rejoin_bridge::Error::new(
            error.code,
            format!(
                "version {head} must be noted in the file before a package of it may leave, and another connection is \
                 writing ({error}); read again, or read by crsql_next(), which waits as long as the busy timeout says"
            ),
        )),
        other => other,
    }
}

fn raise_witness(connection: &Connection) -> Result<()> {
    atomically(connection, || {
        parking::merge_if_schema_changed(connection)?;
        let mut identity = Identity::load(connection)?.ok_or_else(no_streams)?;
        let schema_version = engine_facts::schema_version(connection)?;
        if let Some(from) = before_late_stamps(&identity, schema_version) {
            resend(connection, &from)?;
        }
        if identity.schema_version != schema_version {
            arrivals::allow_for_late_stamps(connection, identity.witnessed)?;
        }
        if identity.schema_version != schema_version || identity.witnessed == 0 {
            mark_tables(connection)?;
        }
        let head = engine_facts::head(connection)?;
        identity.witness(connection, head, engine_facts::schema_version(connection)?)
    })
}

/// A change of the schema can stamp cells late: at the version that was the newest, and nowhere below it. Where one came
/// since, the version must be read again from here.
fn before_late_stamps(identity: &Identity, schema_version: i64) -> Option<Cursor> {
    let changed = identity.schema_version != schema_version && identity.witnessed > 0;
    changed.then(|| Cursor::end_of_version(identity.witnessed - 1))
}

/// The place from which all streams will go on at their next read, if they are further now.
pub(crate) fn newest_version_again(connection: &Connection) -> Result<Option<Cursor>> {
    let Some(identity) = Identity::load(connection)? else { return Ok(None) };
    Ok(before_late_stamps(&identity, engine_facts::schema_version(connection)?))
}

fn resend(connection: &Connection, from: &Cursor) -> Result<()> {
    for mut row in OutboundRow::all(connection)? {
        let from = row.acked.clone().min(from.clone());
        row.start_next_run(from);
        row.save(connection)?;
    }
    Ok(())
}

pub(crate) fn no_streams() -> StreamError {
    StreamError::Misuse(
        "the bookkeeping of the streams is not in this database (was the table crsql_streams dropped?); drop the stream \
         and make it again"
            .into(),
    )
}

/// How often a head that moves on meanwhile is chased.
const ATTEMPTS_MAX: usize = 16;
