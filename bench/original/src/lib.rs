//! Puts the original cr-sqlite into a connection, so that it can be measured with the same SQLite as the built-in engine.
//!
//! A crate of its own, because running another library's code is `unsafe` and the measuring program has none.

use rusqlite::Connection;
use std::path::Path;

/// Loads the library that `cargo xtask oracle` makes into `connection`, and forbids further loading.
///
/// Such a connection must end by [`finish`].
///
/// # Errors
/// SQLite's, where the file cannot be loaded.
pub fn load(connection: &Connection, library: &Path) -> rusqlite::Result<()> {
    // SAFETY: loading runs the library's code. The caller names the file that `cargo xtask oracle` has made and tried;
    // nothing that comes out of a database can get it loaded, because loading is forbidden again right after.
    unsafe {
        connection.load_extension_enable()?;
        let loaded = connection.load_extension(library, Some(ENTRY_POINT));
        connection.load_extension_disable()?;
        loaded
    }
}

/// Lets the original give up its statements, without which SQLite does not close, and closes the connection.
///
/// # Errors
/// SQLite's.
pub fn finish(connection: Connection) -> rusqlite::Result<()> {
    connection.query_row("SELECT crsql_finalize()", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)
}

const ENTRY_POINT: &str = "sqlite3_crsqlite_init";
