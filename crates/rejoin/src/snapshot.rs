//! A consistent copy of a database that is a database of its own.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::cancel::Cancel;
use crate::file_error::{Doing, FileError};
use crate::keep::copy_beside;
use crate::prepared::{engine_and_streams, open_prepared};
use crate::user_tables::quoted;

/// Copies the database at `source`, as of one moment, to the new file `target`, and takes its identity off the copy:
/// it gets a site id of its own when it is first opened with the library, its rows keep their authors, and it has no
/// streams. The copy appears under its name only when it is complete.
///
/// # Errors
/// When `target` exists already, or one of the files cannot be read or written; nothing is left behind then.
pub fn snapshot(source: &Path, target: &Path, cancel: &Cancel) -> Result<(), FileError> {
    let taken = || FileError::Refused(format!("{} exists already; it was not touched", target.display()));
    if target.symlink_metadata().is_ok() {
        return Err(taken());
    }
    if !source.is_file() {
        return Err(FileError::Refused(format!("{} is not there, or not a file", source.display())));
    }
    let copy = copy_beside(source, target, cancel)?;
    drop_streams(&copy, cancel)?;
    strip_identity(&copy, cancel).doing(|| "give the copy an identity of its own".to_owned())?;
    std::fs::File::open(&copy).and_then(|file| file.sync_all()).doing(|| "write the copy".to_owned())?;
    match copy.persist_noclobber(target) {
        Ok(()) => Ok(()),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Err(taken()),
        Err(error) => Err(error.error).doing(|| format!("name the copy {}", target.display())),
    }
}

/// The streams' faces and bookkeeping speak for the original.
fn drop_streams(copy: &Path, cancel: &Cancel) -> Result<(), FileError> {
    let doing = || "take the streams off the copy".to_owned();
    let plain = open(copy, cancel).doing(doing)?;
    let streams = streams(&plain).doing(doing)?;
    plain.close().map_err(|(_, error)| error).doing(doing)?;
    if streams.is_empty() {
        return Ok(());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let (connection, _handle) = open_prepared(copy, flags, engine_and_streams, cancel)?;
    for stream in streams {
        connection.execute_batch(&format!("DROP TABLE IF EXISTS main.{}", quoted(&stream))).doing(doing)?;
    }
    connection.close().map_err(|(_, error)| error).doing(doing)
}

/// The virtual tables of the streams, the bookkeeping last.
fn streams(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT name, name = 'crsql_streams' AS is_bookkeeping FROM main.sqlite_schema
         WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE%'
         AND (name = 'crsql_streams' OR replace(lower(sql), '_', '') GLOB '* using*crsql*boundstream*')
         ORDER BY is_bookkeeping",
    )?;
    let rows = statement.query_map([], |row| row.get(0))?;
    rows.collect()
}

/// What the original wrote keeps the original as its author; the place of "this database" becomes vacant, and the
/// engine fills it at the next opening.
fn strip_identity(copy: &Path, cancel: &Cancel) -> rusqlite::Result<()> {
    let mut connection = open(copy, cancel)?;
    let has = |name: &str| -> rusqlite::Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?1)";
        connection.query_row(sql, [name], |row| row.get(0))
    };
    let (has_identity, has_peers) = (has("crsql_site_id")?, has("crsql_tracked_peers")?);
    let clocks: Vec<String> = connection
        .prepare(
            "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name LIKE '%\\_\\_crsql\\_clock' ESCAPE '\\'",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let transaction = connection.transaction()?;
    if has_identity {
        let next: i64 =
            transaction.query_row("SELECT coalesce(max(ordinal), 0) + 1 FROM crsql_site_id", [], |row| row.get(0))?;
        transaction.execute("UPDATE crsql_site_id SET ordinal = ?1 WHERE ordinal = 0", [next])?;
        for clock in clocks {
            let sql = format!("UPDATE main.{} SET site_id = ?1 WHERE site_id = 0", quoted(&clock));
            transaction.execute(&sql, [next])?;
        }
    }
    if has_peers {
        transaction.execute("DELETE FROM crsql_tracked_peers", [])?;
    }
    // What the vlcn protocol has left out for the original's peers.
    transaction.execute("DROP TABLE IF EXISTS main.crsql_vlcn_skipped", [])?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)
}

fn open(copy: &Path, cancel: &Cancel) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags)?;
    cancel.watch(&connection);
    Ok(connection)
}
