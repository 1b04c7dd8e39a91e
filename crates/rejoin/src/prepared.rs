//! Opening a database file with the engine and the streams in the connection.

use std::path::Path;

use rejoin_bridge::linked::OpenError;
use rusqlite::{Connection, OpenFlags};

use crate::cancel::Cancel;
use crate::file_error::{Doing, FileError};
use crate::track::BUSY_TIMEOUT;

/// Opens `path` with `flags`; `prepare` runs inside SQLite's own opening.
///
/// # Errors
/// When the file cannot be opened or `prepare` refuses it.
pub(crate) fn open_prepared(
    path: &Path,
    flags: OpenFlags,
    prepare: impl FnOnce(&rejoin_bridge::Connection) -> rejoin_bridge::Result<()>,
    cancel: &Cancel,
) -> Result<(Connection, rejoin_bridge::Connection), FileError> {
    let doing = || format!("open {}", path.display());
    if !path.is_file() {
        return Err(FileError::Refused(format!("{} is not there, or not a file", path.display())));
    }
    let open = || Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let (connection, handle) = match rejoin_bridge::linked::open(prepare, open) {
        Ok(both) => both,
        Err(OpenError::Host(source)) => return Err(source).doing(doing),
        Err(error) => return Err(FileError::Refused(format!("failed to {}: {error}", doing()))),
    };
    cancel.watch(&connection);
    connection.busy_timeout(BUSY_TIMEOUT).doing(doing)?;
    Ok((connection, handle))
}

/// The engine and the streams.
pub(crate) fn engine_and_streams(connection: &rejoin_bridge::Connection) -> rejoin_bridge::Result<()> {
    rejoin_engine::register(connection)?;
    rejoin_streams::register(connection, rejoin_engine::change_store(connection))
}
