//! Is a database in step with its peers, and if not, why?

use std::path::Path;

use rusqlite::OpenFlags;

use crate::cancel::Cancel;
use crate::file_error::{Doing, FileError};
use crate::prepared::{engine_and_streams, open_prepared};
use crate::user_tables::{UserTable, user_tables};

/// What a database replicates, and how far each of its streams is.
#[derive(Debug)]
pub struct Status {
    /// The user's own tables.
    pub tables: Vec<UserTable>,
    /// The database's site id: 16 bytes, none where it has not been made yet.
    pub site_id: Option<Vec<u8>>,
    /// The newest version that is stored.
    pub db_version: i64,
    /// Every stream.
    pub streams: Vec<StreamStatus>,
}

impl Status {
    /// Whether no stream is behind, waits for something or has failed.
    #[must_use]
    pub fn is_level(&self) -> bool {
        self.streams.iter().all(StreamStatus::is_level)
    }
}

/// One row of `crsql_streams`.
#[derive(Debug)]
pub struct StreamStatus {
    /// Its virtual table, if it has one.
    pub name: Option<String>,
    /// `outbound` or `inbound`.
    pub direction: String,
    /// The other database's site id.
    pub remote: Vec<u8>,
    /// Up to where the other side has acknowledged, or this side has applied: `[db_version, seq]`.
    pub position: Option<String>,
    /// Up to where there is something to send or to hear: `[db_version, seq]`.
    pub head: Option<String>,
    /// How many versions lie between them.
    pub behind: Option<i64>,
    /// Bytes of incomplete transactions that wait for their rest.
    pub staged_bytes: i64,
    /// Changes that wait for a schema that knows them.
    pub parked: i64,
    /// What went wrong last, and what to do.
    pub last_error: Option<String>,
    /// When the stream last did something, in unix milliseconds.
    pub last_active_ms: Option<i64>,
}

impl StreamStatus {
    /// Whether the stream is not behind, waits for nothing and has not failed.
    #[must_use]
    pub fn is_level(&self) -> bool {
        self.behind.unwrap_or(0) <= 0 && self.staged_bytes == 0 && self.parked == 0 && self.last_error.is_none()
    }
}

/// Reads the status of the database at `path`. Changes nothing.
///
/// # Errors
/// When the file cannot be read.
pub fn status(path: &Path, cancel: &Cancel) -> Result<Status, FileError> {
    let doing = || format!("read the status of {}", path.display());
    let (plain, _handle) = open_prepared(path, OpenFlags::SQLITE_OPEN_READ_ONLY, |_| Ok(()), cancel)?;
    let mut status =
        Status { tables: user_tables(&plain).doing(doing)?, site_id: None, db_version: 0, streams: Vec::new() };
    let known = |name: &str| {
        let sql = "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE name = ?1)";
        plain.query_row(sql, [name], |row| row.get::<_, bool>(0)).doing(doing)
    };
    // Without these the engine would have to write. A snapshot that nobody has opened yet has no identity.
    let has_identity = known("crsql_site_id")?
        && plain
            .query_row("SELECT EXISTS (SELECT 1 FROM main.crsql_site_id WHERE ordinal = 0)", [], |row| row.get(0))
            .doing(doing)?;
    if !has_identity {
        return Ok(status);
    }
    let has_streams = known("crsql_streams")?;
    let (connection, _handle) = open_prepared(path, OpenFlags::SQLITE_OPEN_READ_ONLY, engine_and_streams, cancel)?;
    (status.site_id, status.db_version) = connection
        .query_row("SELECT crsql_site_id(), crsql_db_version()", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .doing(doing)?;
    if has_streams {
        status.streams = streams(&connection).doing(doing)?;
    }
    Ok(status)
}

fn streams(connection: &rusqlite::Connection) -> rusqlite::Result<Vec<StreamStatus>> {
    let mut statement = connection.prepare(
        "SELECT name, direction, remote, position, head, behind, staged_bytes, parked, last_error, last_active
         FROM crsql_streams ORDER BY remote, direction DESC",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(StreamStatus {
            name: row.get(0)?,
            direction: row.get(1)?,
            remote: row.get(2)?,
            position: row.get(3)?,
            head: row.get(4)?,
            behind: row.get(5)?,
            staged_bytes: row.get::<_, Option<i64>>(6)?.unwrap_or(0),
            parked: row.get::<_, Option<i64>>(7)?.unwrap_or(0),
            last_error: row.get(8)?,
            last_active_ms: row.get(9)?,
        })
    })?;
    rows.collect()
}
