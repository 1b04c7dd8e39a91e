//! A database of a Rust program: a connection with the engine and the streams in it.

use std::path::Path;
use std::sync::Arc;

use rejoin_bridge::linked::{self, OpenError};
use rejoin_change::SiteId;
use rejoin_node::{Opened, Prepare};
use rejoin_streams::{Inbound, InboundOptions, Outbound, OutboundOptions, StreamError, Streams};
use rusqlite::Connection;

use crate::prepared::engine_and_streams;
use crate::track::BUSY_TIMEOUT;

/// A connection whose tables can replicate, with its streams.
///
/// Everything that is written through [`Database::connection`] into a table that replicates is told to the other
/// databases. It stays on the thread that opened it.
pub struct Database {
    // First, so that they go before the connection does.
    streams: Streams,
    connection: Connection,
}

impl Database {
    /// Opens a database file, and makes it where it is not there.
    ///
    /// # Errors
    /// SQLite's, and the engine's where the file was made by a version that it does not know.
    pub fn open(path: impl AsRef<Path>) -> Result<Database, StreamError> {
        Database::prepare(|| Connection::open(path))
    }

    /// Opens a database with flags or a file system of the program's own: `open` opens one connection, on this thread.
    ///
    /// ```
    /// use rejoin::rusqlite::{Connection, OpenFlags};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("app.db");
    /// let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    /// let database = rejoin::Database::open_with(|| Connection::open_with_flags(&path, flags))?;
    /// # database.site_id()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `open`, and the engine's where the file was made by a version that it does not know.
    pub fn open_with(open: impl FnOnce() -> rusqlite::Result<Connection>) -> Result<Database, StreamError> {
        Database::prepare(open)
    }

    /// Opens a database in memory, for tests.
    ///
    /// # Errors
    /// SQLite's.
    pub fn open_in_memory() -> Result<Database, StreamError> {
        Database::prepare(Connection::open_in_memory)
    }

    fn prepare(open: impl FnOnce() -> rusqlite::Result<Connection>) -> Result<Database, StreamError> {
        let (connection, handle) = linked::open(engine_and_streams, open).map_err(|error| match error {
            OpenError::Rejoin(error) => StreamError::Store(error),
            OpenError::Host(error) => store_error(&error),
        })?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(|error| store_error(&error))?;
        Ok(Database { streams: Streams::of(&handle)?, connection })
    }

    /// The connection, for SQL.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// This database's id.
    ///
    /// # Errors
    /// SQLite's.
    pub fn site_id(&self) -> Result<SiteId, StreamError> {
        self.streams.site_id()
    }

    /// What this database has to tell a remote one. The stream is made where it is not there.
    ///
    /// # Errors
    /// Where the stream has a virtual table with other options, and SQLite's.
    pub fn outbound(&self, remote: SiteId) -> Result<Outbound, StreamError> {
        self.streams.outbound(remote, &OutboundOptions::default())
    }

    /// As [`Database::outbound`], with options. With a wider filter than before, what was left out is told from the
    /// beginning.
    ///
    /// # Errors
    /// Where an option has no meaning, where the stream has a virtual table with other options, and SQLite's.
    pub fn outbound_with(&self, remote: SiteId, options: &OutboundOptions) -> Result<Outbound, StreamError> {
        self.streams.outbound(remote, options)
    }

    /// What a remote database has told this one. The stream is made where it is not there.
    ///
    /// # Errors
    /// SQLite's.
    pub fn inbound(&self, remote: SiteId) -> Result<Inbound, StreamError> {
        self.streams.inbound(remote, &InboundOptions::default())
    }

    /// As [`Database::inbound`], with options. A stream that has a virtual table keeps the options of its CREATE. With more
    /// tables than before, the remote is asked for everything once more.
    ///
    /// # Errors
    /// SQLite's.
    pub fn inbound_with(&self, remote: SiteId, options: &InboundOptions) -> Result<Inbound, StreamError> {
        self.streams.inbound(remote, options)
    }

    /// All of its streams: the list of them, what is parked, a new id for the database.
    pub fn streams(&self) -> &Streams {
        &self.streams
    }
}

/// How the node opens database files: with the engine and the streams.
pub fn prepare() -> Prepare {
    Arc::new(|path: &Path| {
        let Database { streams, connection } = Database::open(path)?;
        Ok(Opened { streams, connection })
    })
}

fn store_error(error: &rusqlite::Error) -> StreamError {
    let code = match error {
        rusqlite::Error::SqliteFailure(failure, _) => failure.extended_code,
        _ => rejoin_bridge::code::ERROR,
    };
    StreamError::Store(rejoin_bridge::Error::new(code, error.to_string()))
}
