//! Opening a database file that must stay as it is.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::cancel::Cancel;
use crate::file_error::{Doing, FileError};
use crate::track::BUSY_TIMEOUT;

/// Opens a database for reading, in one read transaction, so that all that is read is of one moment. Works for files in
/// WAL mode, also in a folder that cannot be written.
///
/// # Errors
/// When the file cannot be read, or keeps its text as UTF-16, which compares in another order.
pub fn open_read_only(path: &Path, cancel: &Cancel) -> Result<Connection, FileError> {
    let doing = || format!("open {}", path.display());
    if !path.is_file() {
        return Err(FileError::Refused(format!("{} is not there, or not a file", path.display())));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).doing(doing)?;
    let mut begun = begin(&connection);
    let cannot_open = matches!(&begun, Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen));
    if cannot_open && !has_wal(path) {
        // A file in WAL mode wants its -shm file. Nobody can have it open where that cannot be made, so it is safe to
        // say that it does not change.
        let flags = flags | OpenFlags::SQLITE_OPEN_URI;
        connection = Connection::open_with_flags(immutable_uri(path), flags).doing(doing)?;
        begun = begin(&connection);
    }
    begun.doing(doing)?;
    cancel.watch(&connection);
    let encoding: String = connection.query_row("PRAGMA main.encoding", [], |row| row.get(0)).doing(doing)?;
    if encoding != "UTF-8" {
        return Err(FileError::Refused(format!(
            "{} keeps its text as {encoding}; only UTF-8 databases can be compared",
            path.display()
        )));
    }
    Ok(connection)
}

fn begin(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("BEGIN")?;
    connection.query_row("SELECT count(*) FROM main.sqlite_schema", [], |_| Ok(()))
}

/// Whether there are changes beside the file that only a shared memory file gives access to.
fn has_wal(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    std::fs::metadata(wal).is_ok_and(|wal| wal.len() > 0)
}

fn immutable_uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for character in path.to_string_lossy().chars() {
        match character {
            '%' | '?' | '#' => uri.push_str(&format!("%{:02x}", u32::from(character))),
            _ => uri.push(character),
        }
    }
    uri + "?immutable=1"
}
