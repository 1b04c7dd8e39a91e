//! Text and blobs of a row, read piece by piece: the value is never in memory as a whole.

use crate::abi::*;
use crate::connection::Connection;
use crate::error::{Error, Result, code};
use std::ffi::{CString, c_int};

/// One stored text or blob, opened for reading. Like a statement that stands on a row it keeps a read transaction.
///
/// Text is given as it is stored, in the encoding of the database.
pub struct Blob {
    connection: Connection,
    raw: *mut sqlite3_blob,
}

impl Connection {
    /// Opens the text or blob in a column of a row of the main database. Fails where the row is not there, where the value
    /// is of another class, and for a table WITHOUT ROWID.
    pub fn open_blob(&self, table: &str, column: &str, rowid: i64) -> Result<Blob> {
        let inner = self.inner();
        inner.check_open()?;
        let no_nul = |name: &str| CString::new(name).map_err(|_| Error::misuse("a name has no NUL"));
        let (table, column) = (no_nul(table)?, no_nul(column)?);
        let mut raw = std::ptr::null_mut();
        // SAFETY: the connection is open, the names are NUL-terminated, and the out pointer is valid.
        let opened = unsafe {
            let (main, write) = (c"main".as_ptr(), 0);
            (inner.api.blob_open)(inner.db, main, table.as_ptr(), column.as_ptr(), rowid, write, &mut raw)
        };
        if opened != SQLITE_OK {
            return Err(inner.last_error(opened));
        }
        Ok(Blob { connection: self.clone(), raw })
    }
}

impl Blob {
    /// Its size in bytes.
    pub fn size_bytes(&self) -> usize {
        let inner = self.connection.inner();
        // SAFETY: the handle is owned here and belongs to an open connection.
        let bytes = if inner.is_open() { unsafe { (inner.api.blob_bytes)(self.raw) } } else { 0 };
        usize::try_from(bytes).unwrap_or(0)
    }

    /// Fills `out` with the bytes from `offset` on. Fails where there are not as many, and where the row was written to
    /// since the value was opened.
    pub fn read(&self, offset: usize, out: &mut [u8]) -> Result<()> {
        let inner = self.connection.inner();
        inner.check_open()?;
        let beyond = |_| Error::new(code::RANGE, "a value is not as long as that");
        let length = c_int::try_from(out.len()).map_err(beyond)?;
        let offset = c_int::try_from(offset).map_err(beyond)?;
        // SAFETY: the handle belongs to an open connection, and `out` has `length` bytes.
        let read = unsafe { (inner.api.blob_read)(self.raw, out.as_mut_ptr().cast(), length, offset) };
        if read == SQLITE_OK { Ok(()) } else { Err(inner.last_error(read)) }
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        let inner = self.connection.inner();
        if inner.is_open() {
            // SAFETY: the handle is owned here and belongs to an open connection. The result repeats an earlier error.
            unsafe { (inner.api.blob_close)(self.raw) };
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::linked;

    #[test]
    fn a_value_is_read_piece_by_piece() {
        let (host, connection) =
            linked::open(|_| Ok(()), rusqlite::Connection::open_in_memory).expect("a database in memory opens");
        host.execute_batch(
            "CREATE TABLE \"a \"\"b\" (k INTEGER PRIMARY KEY, v); INSERT INTO \"a \"\"b\" VALUES (7, 'some text')",
        )
        .unwrap();
        let blob = connection.open_blob("a \"b", "v", 7).unwrap();
        assert_eq!(blob.size_bytes(), 9);
        let mut piece = [0; 4];
        blob.read(5, &mut piece).unwrap();
        assert_eq!(&piece, b"text");
        assert!(blob.read(6, &mut piece).is_err());
        drop(blob);
        assert!(connection.open_blob("a \"b", "v", 8).is_err());
        host.close().expect("sqlite3_close succeeds");
    }
}
