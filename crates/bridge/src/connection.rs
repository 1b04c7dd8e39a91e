use crate::abi::*;
use crate::api::Api;
use crate::error::{Error, Result, code};
use crate::slot::Slots;
use crate::statement::{CachedStatement, RawStatement, Statement, StatementCache};
use crate::transaction::Transactions;
use crate::value::ValueRef;
use crate::{atomic, guard};
use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::rc::Rc;

/// A handle to the host's connection. Cheap to clone; stays on the thread that opened the connection.
///
/// The host owns the connection. After it has closed it, every call here is an error, and nothing is touched.
#[derive(Clone)]
pub struct Connection(Rc<Inner>);

pub(crate) struct Inner {
    pub(crate) api: Api,
    /// Which of the callbacks that find their own table a scalar function uses; see `function`.
    pub(crate) slot: usize,
    pub(crate) db: *mut sqlite3,
    open: Cell<bool>,
    pub(crate) statements: RefCell<StatementCache>,
    pub(crate) slots: Slots,
    pub(crate) transactions: Transactions,
    pub(crate) atomic: atomic::Pending,
    pub(crate) guarded: Cell<bool>,
    states: RefCell<HashMap<TypeId, Rc<dyn Any>>>,
}

impl Connection {
    /// # Safety
    /// `db` is an open connection of the library that `api` was read from, and the caller sees to it that
    /// [`Inner::closed`] is called before it is closed: by the guard module, registered next, or by closing it itself.
    pub(crate) unsafe fn new(api: Api, slot: usize, db: *mut sqlite3) -> Connection {
        Connection(Rc::new(Inner {
            api,
            slot,
            db,
            open: Cell::new(true),
            statements: RefCell::default(),
            slots: Slots::default(),
            transactions: Transactions::default(),
            atomic: atomic::Pending::default(),
            guarded: Cell::new(false),
            states: RefCell::default(),
        }))
    }

    pub(crate) fn inner(&self) -> &Rc<Inner> {
        &self.0
    }

    /// SQLite's version as one number: 3.40.1 is 3040001.
    pub fn sqlite_version(&self) -> i32 {
        // SAFETY: takes no argument and has no precondition.
        unsafe { (self.0.api.libversion_number)() }
    }

    /// Compiles one statement, to be used once or held for a short time. Text after it is an error.
    pub fn prepare(&self, sql: &str) -> Result<Statement> {
        let (statement, rest) = self.0.prepare(sql, 0)?;
        if !sql[rest..].trim_start_matches(|c: char| c.is_whitespace() || c == ';').is_empty() {
            return Err(Error::misuse(format!("one SQL statement was expected, found more: {sql}")));
        }
        statement
            .map(|raw| Statement::new(self.clone(), raw))
            .ok_or_else(|| Error::misuse(format!("an SQL statement was expected, found none: {sql:?}")))
    }

    /// Compiles the first statement of a text, none where the text is blank, and gives what comes after it.
    pub fn prepare_first<'s>(&self, sql: &'s str) -> Result<(Option<Statement>, &'s str)> {
        let (statement, used) = self.0.prepare(sql, 0)?;
        Ok((statement.map(|raw| Statement::new(self.clone(), raw)), &sql[used..]))
    }

    /// Takes a compiled statement from this connection's cache, or compiles it for the cache. It returns there, reset
    /// and without bindings, when it is dropped. Cached statements never keep the host from closing the connection.
    pub fn cached(&self, sql: &str) -> Result<CachedStatement> {
        self.0.check_open()?;
        if let Some((sql, raw)) = self.0.statements.borrow_mut().take(sql) {
            return Ok(CachedStatement::new(Statement::new(self.clone(), raw), sql));
        }
        guard::ensure(self)?;
        Ok(CachedStatement::new(Statement::new(self.clone(), self.0.compile(sql)?), sql.into()))
    }

    /// Runs any number of statements to their ends. Their rows are dropped.
    pub fn execute(&self, sql: &str) -> Result<()> {
        let mut rest = sql;
        while !rest.trim().is_empty() {
            let (statement, used) = self.0.prepare(rest, 0)?;
            rest = &rest[used..];
            if let Some(raw) = statement {
                let mut statement = Statement::new(self.clone(), raw);
                while statement.step()? {}
            }
        }
        Ok(())
    }

    /// True where no transaction was begun by BEGIN or SAVEPOINT.
    pub fn is_autocommit(&self) -> bool {
        // SAFETY: the connection is open.
        self.0.is_open() && unsafe { (self.0.api.get_autocommit)(self.0.db) != 0 }
    }

    /// True where this connection holds the write lock of its main database.
    pub fn has_write_transaction(&self) -> bool {
        // SAFETY: the connection is open; the name is NUL-terminated.
        self.0.is_open() && unsafe { (self.0.api.txn_state)(self.0.db, c"main".as_ptr()) == SQLITE_TXN_WRITE }
    }

    /// True where the main database cannot be written by this connection.
    pub fn is_readonly(&self) -> bool {
        // SAFETY: the connection is open; the name is NUL-terminated.
        self.0.is_open() && unsafe { (self.0.api.db_readonly)(self.0.db, c"main".as_ptr()) == 1 }
    }

    /// Rows changed by the last INSERT, UPDATE or DELETE.
    pub fn changes(&self) -> i64 {
        // SAFETY: the connection is open.
        if self.0.is_open() { unsafe { (self.0.api.changes64)(self.0.db) } } else { 0 }
    }

    /// Rows changed on this connection since it was opened, by triggers and by statements within statements as well.
    pub fn total_changes(&self) -> i64 {
        // SAFETY: the connection is open.
        if self.0.is_open() { unsafe { (self.0.api.total_changes64)(self.0.db) } } else { 0 }
    }

    /// What `last_insert_rowid()` says.
    pub fn last_insert_rowid(&self) -> i64 {
        // SAFETY: the connection is open.
        if self.0.is_open() { unsafe { (self.0.api.last_insert_rowid)(self.0.db) } } else { 0 }
    }

    /// Makes `last_insert_rowid()` say this.
    pub fn set_last_insert_rowid(&self, rowid: i64) {
        if self.0.is_open() {
            // SAFETY: the connection is open.
            unsafe { (self.0.api.set_last_insert_rowid)(self.0.db, rowid) }
        }
    }

    /// Fills `out` from SQLite's random number generator.
    pub fn randomness(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(1 << 20) {
            // SAFETY: the length is that of the chunk, which is far below 2^31.
            unsafe { (self.0.api.randomness)(chunk.len() as c_int, chunk.as_mut_ptr().cast()) }
        }
    }

    /// Writes to SQLite's error log.
    pub fn log(&self, code: i32, message: &str) {
        if let Ok(text) = CString::new(message.replace('\0', "\u{fffd}")) {
            // SAFETY: the format takes exactly one C string.
            unsafe { (self.0.api.log)(code, c"%s".as_ptr(), text.as_ptr()) }
        }
    }

    /// The present value of one of SQLite's run-time limits, by its number in `sqlite3_limit`.
    pub fn limit(&self, id: i32) -> i32 {
        // SAFETY: the connection is open; a negative value only asks.
        if self.0.is_open() { unsafe { (self.0.api.limit)(self.0.db, id, -1) } } else { 0 }
    }

    /// The collation by which a column of a table of the main database compares, as its definition names it.
    pub fn column_collation(&self, table: &str, column: &str) -> Result<String> {
        self.0.check_open()?;
        let no_nul = |name: &str| CString::new(name).map_err(|_| Error::misuse("a name has no NUL"));
        let (table, column) = (no_nul(table)?, no_nul(column)?);
        let (mut declared_type, mut collation) = (std::ptr::null(), std::ptr::null());
        let (mut not_null, mut in_key, mut autoincrement) = (0, 0, 0);
        // SAFETY: the connection is open, the names are NUL-terminated, and the out pointers are valid.
        let result = unsafe {
            (self.0.api.table_column_metadata)(
                self.0.db,
                c"main".as_ptr(),
                table.as_ptr(),
                column.as_ptr(),
                &mut declared_type,
                &mut collation,
                &mut not_null,
                &mut in_key,
                &mut autoincrement,
            )
        };
        if result != SQLITE_OK {
            return Err(self.0.last_error(result));
        }
        // SAFETY: the text is NUL-terminated or null, stays valid until the schema changes, and is copied at once.
        let name = unsafe { (!collation.is_null()).then(|| CStr::from_ptr(collation).to_string_lossy().into_owned()) };
        Ok(name.unwrap_or_else(|| "BINARY".into()))
    }

    /// True where this connection knows a function of that name.
    pub fn has_function(&self, name: &str) -> Result<bool> {
        self.exists("SELECT 1 FROM pragma_function_list WHERE name = ?1", name)
    }

    /// True where this connection knows a virtual table module of that name.
    pub fn has_module(&self, name: &str) -> Result<bool> {
        self.exists("SELECT 1 FROM pragma_module_list WHERE name = ?1", name)
    }

    fn exists(&self, sql: &str, name: &str) -> Result<bool> {
        let mut statement = self.prepare(sql)?;
        Ok(statement.query_row(&[ValueRef::from(name)], |_| Ok(()))?.is_some())
    }

    /// All or nothing: runs `body` inside a savepoint, which is the whole transaction where none is open. Fails where a
    /// statement that writes is running on this connection; see [`Connection::atomically`] for there.
    pub fn savepoint<T>(&self, name: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
        let name = format!("\"{}\"", name.replace('"', "\"\""));
        self.execute(&format!("SAVEPOINT {name}"))?;
        let undo = Undo { connection: self, name: &name, armed: Cell::new(true) };
        let value = body()?;
        self.execute(&format!("RELEASE {name}"))?;
        undo.armed.set(false);
        Ok(value)
    }

    /// Lets `observer` know when replicated tables have gained something, inside the transaction in which they did.
    pub fn observe_schema(&self, observer: SchemaObserver) {
        self.state(SchemaObservers::default).0.borrow_mut().push(observer);
    }

    /// Tells the observers of the schema. What they fail to do they are to do later: the schema stands.
    pub fn schema_grew(&self) {
        let observers = self.state(SchemaObservers::default).0.borrow().clone();
        for observer in observers {
            if let Err(error) = observer(self) {
                self.log(error.code, &error.message);
            }
        }
    }

    /// State that belongs to this connection, one of each type: made at the first call, dropped when the host closes.
    pub fn state<T: 'static>(&self, make: impl FnOnce() -> T) -> Rc<T> {
        let id = TypeId::of::<T>();
        let found = self.0.states.borrow().get(&id).cloned();
        let state = found.unwrap_or_else(|| {
            let made: Rc<dyn Any> = Rc::new(make());
            self.0.states.borrow_mut().insert(id, made.clone());
            made
        });
        state.downcast::<T>().expect("the map is keyed by the type")
    }
}

#[derive(Default)]
struct SchemaObservers(RefCell<Vec<SchemaObserver>>);

/// What is called when replicated tables have gained something.
pub type SchemaObserver = fn(&Connection) -> Result<()>;

/// Rolls a savepoint back unless it was released, also when its body panics.
struct Undo<'a> {
    connection: &'a Connection,
    name: &'a str,
    armed: Cell<bool>,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.armed.get() && !self.connection.is_autocommit() {
            // Both fail only when SQLite has already rolled the whole transaction back, which undid the body as well.
            let _ = self.connection.execute(&format!("ROLLBACK TO {}", self.name));
            let _ = self.connection.execute(&format!("RELEASE {}", self.name));
        }
    }
}

impl Inner {
    /// How many statements of this connection are running, those of the application included.
    pub(crate) fn busy_statements(&self) -> usize {
        let mut busy = 0;
        let mut statement = std::ptr::null_mut();
        while self.open.get() {
            // SAFETY: the connection is open, and the statement is null or one of its own, just got from it.
            statement = unsafe { (self.api.next_stmt)(self.db, statement) };
            if statement.is_null() {
                break;
            }
            // SAFETY: as above.
            busy += usize::from(unsafe { (self.api.stmt_busy)(statement) } != 0);
        }
        busy
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.get()
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.open.get() { Ok(()) } else { Err(Error::misuse("the connection has been closed")) }
    }

    /// The host is closing the connection: nothing may touch it from here on.
    pub(crate) fn closed(&self) {
        self.open.set(false);
        let states = std::mem::take(&mut *self.states.borrow_mut());
        drop(states);
        self.transactions.forget_observers();
    }

    /// The error that SQLite reported last on this connection.
    pub(crate) fn last_error(&self, code: c_int) -> Error {
        // SAFETY: the connection is open; the message stays valid until the next call, and is copied at once.
        let (extended, message) = unsafe {
            let message = CStr::from_ptr((self.api.errmsg)(self.db)).to_string_lossy().into_owned();
            ((self.api.extended_errcode)(self.db), message)
        };
        if code & 0xff == SQLITE_INTERRUPT {
            // SQLite may have noticed it at the end of a statement that had failed of itself, and keeps that one's message.
            return Error::new(code, "interrupted");
        }
        Error::new(if extended & 0xff == code & 0xff { extended } else { code }, message)
    }

    /// Compiles one statement that is to be kept.
    pub(crate) fn compile(&self, sql: &str) -> Result<RawStatement> {
        let (statement, _) = self.prepare(sql, SQLITE_PREPARE_PERSISTENT)?;
        statement.ok_or_else(|| Error::misuse(format!("an SQL statement was expected, found none: {sql:?}")))
    }

    /// Compiles the first statement of `sql`; returns it, or `None` for blank text, and where the rest begins.
    fn prepare(&self, sql: &str, flags: c_uint) -> Result<(Option<RawStatement>, usize)> {
        self.check_open()?;
        let length = c_int::try_from(sql.len()).map_err(|_| Error::new(code::FULL, "the SQL text is too long"))?;
        let mut statement = std::ptr::null_mut();
        let mut tail: *const c_char = std::ptr::null();
        let start: *const c_char = sql.as_ptr().cast();
        // SAFETY: the connection is open, `start` has `length` bytes, and the out pointers are valid.
        let code = unsafe { (self.api.prepare_v3)(self.db, start, length, flags, &mut statement, &mut tail) };
        if code != SQLITE_OK {
            return Err(self.last_error(code));
        }
        let used = if tail.is_null() { sql.len() } else { (tail as usize).saturating_sub(start as usize) };
        Ok(((!statement.is_null()).then_some(RawStatement(statement)), used.min(sql.len())))
    }
}

#[cfg(test)]
mod tests {
    use crate::linked;
    use crate::value::ValueRef;

    fn memory() -> (rusqlite::Connection, super::Connection) {
        linked::open(|_| Ok(()), rusqlite::Connection::open_in_memory).expect("a database in memory opens")
    }

    #[test]
    fn a_savepoint_undoes_what_its_body_did_and_keeps_the_callers_work() {
        let (host, connection) = memory();
        host.execute_batch("CREATE TABLE t(a); BEGIN; INSERT INTO t VALUES (1)").unwrap();
        let failed: crate::Result<()> = connection.savepoint("s", || {
            connection.execute("INSERT INTO t VALUES (2)")?;
            Err(crate::Error::failed("no"))
        });
        assert_eq!(failed.unwrap_err().message, "no");
        assert!(!connection.is_autocommit());
        host.execute_batch("COMMIT").unwrap();
        assert_eq!(host.query_row("SELECT group_concat(a) FROM t", [], |row| row.get::<_, String>(0)).unwrap(), "1");
    }

    #[test]
    fn a_cached_statement_does_not_keep_the_host_from_closing() {
        let (host, connection) = memory();
        for _ in 0..2 {
            let mut statement = connection.cached("SELECT ?1 + 1").unwrap();
            let sum = statement.query_row(&[ValueRef::Integer(41)], |row| Ok(row.column_i64(0))).unwrap();
            assert_eq!(sum, Some(42));
        }
        host.close().expect("sqlite3_close succeeds");
        assert_eq!(
            connection.cached("SELECT 1").err().map(|error| error.message),
            Some("the connection has been closed".into())
        );
        assert!(connection.execute("SELECT 1").is_err());
    }

    #[test]
    fn a_columns_collation_is_that_of_its_definition() {
        let (host, connection) = memory();
        host.execute_batch("CREATE TABLE t(a TEXT COLLATE NOCASE, b, PRIMARY KEY (a COLLATE BINARY))").unwrap();
        assert_eq!(connection.column_collation("t", "a").unwrap(), "NOCASE");
        assert_eq!(connection.column_collation("t", "b").unwrap(), "BINARY");
        assert!(connection.column_collation("t", "c").is_err());
        assert!(connection.column_collation("t\0", "a").is_err());
    }

    #[test]
    fn more_than_one_statement_is_refused_where_one_is_expected() {
        let (_host, connection) = memory();
        assert!(connection.prepare("SELECT 1; SELECT 2").is_err());
        assert!(connection.prepare("SELECT 1 ; ").is_ok());
        assert!(connection.prepare("  ").is_err());
        assert!(connection.execute("SELECT 1; ; CREATE TABLE t(a); INSERT INTO t VALUES (1);").is_ok());
    }

    #[test]
    fn state_is_shared_by_type_and_dropped_at_close() {
        let (host, connection) = memory();
        let state = connection.state(|| String::from("first"));
        assert_eq!(*connection.state(|| String::from("second")), "first");
        let weak = std::rc::Rc::downgrade(&state);
        drop(state);
        host.close().expect("sqlite3_close succeeds");
        assert!(weak.upgrade().is_none());
    }
}
