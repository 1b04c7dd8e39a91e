use crate::abi::*;
use crate::connection::Connection;
use crate::error::{Error, Result, code};
use crate::value::{ValueRef, bytes};
use std::collections::HashMap;
use std::ffi::{CStr, c_int};
use std::ops::{Deref, DerefMut};

/// A compiled statement that somebody owns.
pub(crate) struct RawStatement(pub(crate) *mut sqlite3_stmt);

/// One compiled statement.
pub struct Statement {
    connection: Connection,
    raw: *mut sqlite3_stmt,
    /// True while text or bytes are bound that belong to the caller.
    borrows: bool,
}

impl Statement {
    pub(crate) fn new(connection: Connection, raw: RawStatement) -> Statement {
        Statement { connection, raw: raw.0, borrows: false }
    }

    pub(crate) fn into_raw(mut self) -> RawStatement {
        RawStatement(std::mem::replace(&mut self.raw, std::ptr::null_mut()))
    }

    /// Ends the present run and forgets what was bound.
    pub(crate) fn rest(&mut self) {
        self.reset();
        self.clear_bindings();
    }

    fn check(&self, result: c_int) -> Result<()> {
        if result == SQLITE_OK { Ok(()) } else { Err(self.connection.inner().last_error(result)) }
    }

    /// Binds one parameter, counted from 1. Text and blobs are copied.
    pub fn bind<'v>(&mut self, index: i32, value: impl Into<ValueRef<'v>>) -> Result<()> {
        self.connection.inner().check_open()?;
        // SAFETY: SQLITE_TRANSIENT makes SQLite copy the bytes.
        unsafe { self.bind_as(index, value.into(), transient()) }
    }

    /// # Safety
    /// The connection is open, and `keep` either makes SQLite copy text and bytes, or they live until they are unbound.
    unsafe fn bind_as(&mut self, index: i32, value: ValueRef<'_>, keep: Destructor) -> Result<()> {
        let api = &self.connection.inner().api;
        // SAFETY: the statement belongs to an open connection; the rest is the caller's. Empty slices have non-null
        // pointers, so that they are bound as empty values and not as NULL.
        let result = unsafe {
            match value {
                ValueRef::Null => (api.bind_null)(self.raw, index),
                ValueRef::Integer(i) => (api.bind_int64)(self.raw, index, i),
                ValueRef::Real(r) => (api.bind_double)(self.raw, index, r),
                ValueRef::Text(text) => {
                    (api.bind_text64)(self.raw, index, text.as_ptr().cast(), text.len() as u64, keep, SQLITE_UTF8)
                }
                ValueRef::Blob(blob) => {
                    (api.bind_blob64)(self.raw, index, blob.as_ptr().cast(), blob.len() as u64, keep)
                }
            }
        };
        self.check(result)
    }

    /// Binds all parameters, in order. Text and blobs are copied.
    pub fn bind_all(&mut self, values: &[ValueRef<'_>]) -> Result<()> {
        self.check_count(values)?;
        (1..).zip(values).try_for_each(|(index, value)| self.bind(index, *value))
    }

    /// Binds all parameters without copying, runs `body`, and unbinds them again.
    fn with_bound<T>(&mut self, values: &[ValueRef<'_>], body: impl FnOnce(&mut Statement) -> Result<T>) -> Result<T> {
        self.check_count(values)?;
        self.connection.inner().check_open()?;
        self.borrows = values.iter().any(|value| value.as_bytes().is_some());
        let bound = Bound(self);
        for (index, value) in (1..).zip(values) {
            // SAFETY: the connection is open. `Bound` unbinds before this call ends, and `values` outlives the call.
            unsafe { bound.0.bind_as(index, *value, None)? };
        }
        body(bound.0)
    }

    fn check_count(&self, values: &[ValueRef<'_>]) -> Result<()> {
        // SAFETY: the statement is valid as long as it is owned; only its own fields are read.
        let expected = unsafe { (self.connection.inner().api.bind_parameter_count)(self.raw) };
        if usize::try_from(expected) != Ok(values.len()) {
            return Err(Error::new(
                code::RANGE,
                format!("the statement takes {expected} values, {} were given", values.len()),
            ));
        }
        Ok(())
    }

    /// Runs to the next row. False at the end.
    pub fn step(&mut self) -> Result<bool> {
        let inner = self.connection.inner();
        inner.check_open()?;
        // SAFETY: the statement belongs to an open connection.
        match unsafe { (inner.api.step)(self.raw) } {
            SQLITE_ROW => Ok(true),
            SQLITE_DONE => Ok(false),
            failed => Err(inner.last_error(failed)),
        }
    }

    /// Ends the present run. Bindings stay.
    pub fn reset(&mut self) {
        let inner = self.connection.inner();
        if inner.is_open() {
            // SAFETY: the statement belongs to an open connection. The result repeats the error of the last step.
            unsafe { (inner.api.reset)(self.raw) };
        }
    }

    /// Binds NULL to every parameter.
    pub fn clear_bindings(&mut self) {
        let inner = self.connection.inner();
        if inner.is_open() {
            // SAFETY: the statement belongs to an open connection.
            unsafe { (inner.api.clear_bindings)(self.raw) };
        }
    }

    /// A value of the present row, counted from 0; NULL outside of a row.
    pub fn column(&self, index: i32) -> ValueRef<'_> {
        let inner = self.connection.inner();
        if !inner.is_open() {
            return ValueRef::Null;
        }
        let api = &inner.api;
        // SAFETY: the statement belongs to an open connection. SQLite answers NULL for columns that are not there. The
        // bytes live until the next step or reset, which need the statement mutably.
        unsafe {
            match (api.column_type)(self.raw, index) {
                SQLITE_INTEGER => ValueRef::Integer((api.column_int64)(self.raw, index)),
                SQLITE_FLOAT => ValueRef::Real((api.column_double)(self.raw, index)),
                SQLITE_TEXT => {
                    let start = (api.column_text)(self.raw, index);
                    ValueRef::Text(bytes(start, (api.column_bytes)(self.raw, index)))
                }
                SQLITE_BLOB => {
                    let start = (api.column_blob)(self.raw, index).cast();
                    ValueRef::Blob(bytes(start, (api.column_bytes)(self.raw, index)))
                }
                _ => ValueRef::Null,
            }
        }
    }

    /// A value of the present row as an integer, by SQLite's rules.
    pub fn column_i64(&self, index: i32) -> i64 {
        let inner = self.connection.inner();
        // SAFETY: the statement belongs to an open connection. SQLite answers 0 for columns that are not there.
        if inner.is_open() { unsafe { (inner.api.column_int64)(self.raw, index) } } else { 0 }
    }

    /// Text of the present row; bytes that are not UTF-8 are replaced. Empty for anything but text and blobs.
    pub fn column_text(&self, index: i32) -> String {
        String::from_utf8_lossy(self.column(index).as_bytes().unwrap_or_default()).into_owned()
    }

    /// Bytes of text or a blob of the present row. Empty for anything else.
    pub fn column_blob(&self, index: i32) -> Vec<u8> {
        self.column(index).as_bytes().unwrap_or_default().to_vec()
    }

    /// How many columns a row has.
    pub fn column_count(&self) -> i32 {
        let inner = self.connection.inner();
        // SAFETY: the statement belongs to an open connection.
        if inner.is_open() { unsafe { (inner.api.column_count)(self.raw) } } else { 0 }
    }

    /// The name of a column.
    pub fn column_name(&self, index: i32) -> String {
        let inner = self.connection.inner();
        if !inner.is_open() {
            return String::new();
        }
        // SAFETY: the statement belongs to an open connection; the name is NUL-terminated or null, and copied at once.
        unsafe {
            let name = (inner.api.column_name)(self.raw, index);
            if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() }
        }
    }

    /// True where running the statement writes nothing.
    pub fn is_readonly(&self) -> bool {
        let inner = self.connection.inner();
        // SAFETY: the statement belongs to an open connection.
        inner.is_open() && unsafe { (inner.api.stmt_readonly)(self.raw) != 0 }
    }

    /// Binds, runs to the end and resets.
    pub fn run(&mut self, values: &[ValueRef<'_>]) -> Result<()> {
        self.with_bound(values, |statement| {
            while statement.step()? {}
            Ok(())
        })
    }

    /// Binds, reads the first row if there is one, and resets.
    pub fn query_row<T>(
        &mut self,
        values: &[ValueRef<'_>],
        read: impl FnOnce(&Statement) -> Result<T>,
    ) -> Result<Option<T>> {
        self.with_bound(values, |statement| if statement.step()? { read(statement).map(Some) } else { Ok(None) })
    }

    /// Binds, reads all rows and resets.
    pub fn query<T>(
        &mut self,
        values: &[ValueRef<'_>],
        mut read: impl FnMut(&Statement) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.each(values, |row| read(row).map(|value| rows.push(value)))?;
        Ok(rows)
    }

    /// Binds, shows each row to `read` and resets.
    pub fn each(&mut self, values: &[ValueRef<'_>], mut read: impl FnMut(&Statement) -> Result<()>) -> Result<()> {
        self.with_bound(values, |statement| {
            while statement.step()? {
                read(statement)?;
            }
            Ok(())
        })
    }
}

/// A statement while something of the caller's may be bound to it.
struct Bound<'a>(&'a mut Statement);

impl Drop for Bound<'_> {
    fn drop(&mut self) {
        self.0.reset();
        if std::mem::take(&mut self.0.borrows) {
            self.0.clear_bindings();
        }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        let inner = self.connection.inner();
        if inner.is_open() && !self.raw.is_null() {
            // SAFETY: the statement is owned here and belongs to an open connection.
            unsafe { (inner.api.finalize)(self.raw) };
        }
    }
}

/// A statement lent by the connection's cache.
pub struct CachedStatement {
    statement: Statement,
    sql: Box<str>,
}

impl CachedStatement {
    pub(crate) fn new(statement: Statement, sql: Box<str>) -> CachedStatement {
        CachedStatement { statement, sql }
    }
}

impl Deref for CachedStatement {
    type Target = Statement;
    fn deref(&self) -> &Statement {
        &self.statement
    }
}

impl DerefMut for CachedStatement {
    fn deref_mut(&mut self) -> &mut Statement {
        &mut self.statement
    }
}

impl Drop for CachedStatement {
    fn drop(&mut self) {
        let connection = self.statement.connection.clone();
        // While the guard is away the connection is being closed: what is not cached is finalized.
        if connection.inner().is_open() && connection.inner().guarded.get() {
            self.statement.reset();
            self.statement.clear_bindings();
            let raw = RawStatement(std::mem::replace(&mut self.statement.raw, std::ptr::null_mut()));
            let surplus = connection.inner().statements.borrow_mut().put(std::mem::take(&mut self.sql), raw);
            if let Some(raw) = surplus {
                drop(Statement::new(connection, raw));
            }
        }
    }
}

/// Compiled statements by their text; the one unused for longest makes room.
#[derive(Default)]
pub(crate) struct StatementCache {
    entries: HashMap<Box<str>, (RawStatement, u64)>,
    clock: u64,
}

impl StatementCache {
    fn put(&mut self, sql: Box<str>, raw: RawStatement) -> Option<RawStatement> {
        self.clock += 1;
        if let Some((older, _)) = self.entries.insert(sql, (raw, self.clock)) {
            return Some(older);
        }
        if self.entries.len() <= CACHED_STATEMENTS_MAX {
            return None;
        }
        let oldest = self.entries.iter().min_by_key(|(_, (_, used))| *used).map(|(sql, _)| sql.clone())?;
        self.entries.remove(&oldest).map(|(raw, _)| raw)
    }

    /// The statement and its text, which goes back with it.
    pub(crate) fn take(&mut self, sql: &str) -> Option<(Box<str>, RawStatement)> {
        self.entries.remove_entry(sql).map(|(sql, (raw, _))| (sql, raw))
    }

    pub(crate) fn drain(&mut self) -> Vec<RawStatement> {
        self.entries.drain().map(|(_, (raw, _))| raw).collect()
    }
}

/// How many compiled statements a connection keeps.
const CACHED_STATEMENTS_MAX: usize = 256;
