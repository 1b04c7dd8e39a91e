//! A second database of the library that the host uses: in memory or in a temporary file, empty, and closed with its
//! handle.

use crate::abi::*;
use crate::connection::Connection;
use crate::error::{Error, Result, code};
use crate::statement::Statement;
use std::ffi::{CStr, c_int};
use std::ops::Deref;

/// An empty database of its own, which nobody else sees. It can reach no other file: nothing can be attached to it.
/// Statements of it are prepared and held, not cached.
///
/// Statements that are alive when it is dropped do nothing from then on, and the memory of all of it stays taken.
pub struct PrivateDatabase(Connection);

impl Connection {
    /// Opens a database of its own in memory, in the same library and with the same limits of SQLite's defaults.
    pub fn open_private(&self) -> Result<PrivateDatabase> {
        self.open_own(c":memory:", SQLITE_OPEN_MEMORY)
    }

    /// Opens a database of its own in a temporary file, which SQLite makes once its cache is full, in its own place for
    /// those, and which is gone with the handle. It keeps no journal: what fails half way is to be dropped as a whole.
    pub fn open_private_file(&self) -> Result<PrivateDatabase> {
        let private = self.open_own(c"", 0)?;
        private.execute("PRAGMA journal_mode = off; PRAGMA synchronous = off")?;
        Ok(private)
    }

    fn open_own(&self, name: &CStr, more_flags: c_int) -> Result<PrivateDatabase> {
        let inner = self.inner();
        inner.check_open()?;
        let mut db = std::ptr::null_mut();
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | more_flags;
        // SAFETY: the name is NUL-terminated, the out pointer is valid, and null asks for the default file system.
        let opened = unsafe { (inner.api.open_v2)(name.as_ptr(), &mut db, flags, std::ptr::null()) };
        if opened != SQLITE_OK {
            // SAFETY: also a connection that could not be opened wants to be closed; null is allowed.
            unsafe { (inner.api.close)(db) };
            return Err(Error::new(opened, format!("SQLite did not open a database of its own (code {opened})")));
        }
        if db.is_null() {
            return Err(Error::new(code::NOMEM, "there is no memory for a database of its own"));
        }
        // SAFETY: the connection was just opened by the library of `inner.api`. Its closing is told below, by the only
        // one who closes it.
        let connection = unsafe { Connection::new(inner.api, inner.slot, db) };
        // SAFETY: the connection is open.
        unsafe { (inner.api.limit)(db, SQLITE_LIMIT_ATTACHED, 0) };
        Ok(PrivateDatabase(connection))
    }
}

impl Deref for PrivateDatabase {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl Drop for PrivateDatabase {
    fn drop(&mut self) {
        let inner = self.0.inner();
        let cached = inner.statements.borrow_mut().drain();
        cached.into_iter().for_each(|raw| drop(Statement::new(self.0.clone(), raw)));
        inner.closed();
        // SAFETY: `open_own` opened the connection, nobody else closes it, and from `closed` on no handle uses it.
        unsafe { (inner.api.close)(inner.db) };
    }
}

#[cfg(test)]
mod tests {
    use crate::function::FunctionFlags;
    use crate::linked;
    use crate::value::Output;
    use std::rc::Rc;

    fn memory() -> (rusqlite::Connection, crate::Connection) {
        linked::open(|_| Ok(()), rusqlite::Connection::open_in_memory).expect("a database in memory opens")
    }

    #[test]
    fn a_private_database_is_apart_from_the_hosts_and_from_others() {
        let (host, connection) = memory();
        host.execute_batch("CREATE TABLE t(a); BEGIN; INSERT INTO t VALUES (1)").unwrap();
        let (one, other) = (connection.open_private().unwrap(), connection.open_private().unwrap());
        one.execute("CREATE TABLE u(a); INSERT INTO u VALUES (1)").unwrap();
        assert!(one.prepare("SELECT * FROM t").is_err());
        assert!(other.prepare("SELECT * FROM u").is_err());
        drop((one, other));
        host.execute_batch("COMMIT").unwrap();
    }

    #[test]
    fn a_private_database_reaches_no_file() {
        let (_host, connection) = memory();
        let private = connection.open_private().unwrap();
        for sql in ["ATTACH ':memory:' AS a", "VACUUM INTO 'a file that must not be made'"] {
            assert!(private.execute(sql).is_err(), "{sql}");
        }
    }

    #[test]
    fn a_private_file_takes_more_than_its_cache_holds_and_leaves_the_host_alone() {
        let (host, connection) = memory();
        let private = connection.open_private_file().unwrap();
        private.execute("PRAGMA cache_size = -256; CREATE TABLE u(a)").unwrap();
        let mut insert = private.prepare("INSERT INTO u VALUES (randomblob(1000))").unwrap();
        for _ in 0..4000 {
            insert.run(&[]).unwrap();
        }
        drop(insert);
        let sum = private.prepare("SELECT sum(length(a)) FROM u").unwrap().query_row(&[], |row| Ok(row.column_i64(0)));
        assert_eq!(sum.unwrap(), Some(4_000_000));
        assert_eq!(connection.total_changes(), 0);
        let own = host.query_row("SELECT count(*) FROM sqlite_temp_schema", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(own, 0);
        assert!(private.execute("ATTACH ':memory:' AS a").is_err());
    }

    #[test]
    fn its_functions_are_dropped_with_it_and_a_statement_left_over_is_inert() {
        let (host, connection) = memory();
        let private = connection.open_private().unwrap();
        let seen = Rc::new(());
        let held = seen.clone();
        let body = move |_: &crate::Call<'_>| Ok(Output::Integer(Rc::strong_count(&held) as i64));
        private.create_function("held", 0, FunctionFlags::NONE, body).unwrap();
        let count = private.prepare("SELECT held()").unwrap().query_row(&[], |row| Ok(row.column_i64(0))).unwrap();
        assert_eq!(count, Some(2));
        drop(private);
        assert_eq!(Rc::strong_count(&seen), 1);
        let private = connection.open_private().unwrap();
        let mut left = private.prepare("SELECT 1").unwrap();
        drop(private);
        assert!(left.step().is_err());
        drop(left);
        host.close().expect("sqlite3_close succeeds");
    }

    #[test]
    fn a_text_is_compiled_statement_by_statement() {
        let (_host, connection) = memory();
        let (first, rest) = connection.prepare_first("SELECT 1; SELECT ';'").unwrap();
        assert!(first.is_some());
        assert_eq!(rest, " SELECT ';'");
        assert!(connection.prepare_first(" -- nothing\n").unwrap().0.is_none());
    }
}
