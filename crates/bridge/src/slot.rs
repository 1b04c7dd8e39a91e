//! Statements that run for every row of a large write. Looking a statement up by its text costs about as much as running
//! a small one, so whoever has a fixed set of them keeps each in a slot of its own.

use crate::abi::sqlite3_stmt;
use crate::connection::{Connection, Inner};
use crate::error::Result;
use crate::guard;
use crate::statement::{RawStatement, Statement};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::{Rc, Weak};

/// The text of one statement, and the place where it waits, compiled, between two uses. It is compiled at first use.
///
/// Like a cached statement it never keeps the host from closing its connection.
pub struct Slot {
    connection: Connection,
    kept: Rc<Kept>,
}

/// A slot as its connection knows it.
struct Kept {
    sql: Box<str>,
    /// Null while the statement is lent, and before the first use.
    raw: Cell<*mut sqlite3_stmt>,
    registered: Cell<bool>,
}

impl Connection {
    /// A slot for one statement. Nothing is compiled yet.
    pub fn slot(&self, sql: impl Into<Box<str>>) -> Slot {
        let kept = Kept { sql: sql.into(), raw: Cell::new(std::ptr::null_mut()), registered: Cell::new(false) };
        Slot { connection: self.clone(), kept: Rc::new(kept) }
    }
}

impl Slot {
    /// Takes the statement out. It returns when it is dropped, reset and without bindings. While it is out, another
    /// caller gets one that is compiled anew.
    pub fn lend(&self) -> Result<Lent<'_>> {
        let inner = self.connection.inner();
        inner.check_open()?;
        let waiting = self.kept.raw.replace(std::ptr::null_mut());
        let raw = if waiting.is_null() {
            guard::ensure(&self.connection)?;
            self.register(inner);
            inner.compile(&self.kept.sql)?
        } else {
            RawStatement(waiting)
        };
        Ok(Lent { slot: self, statement: Some(Statement::new(self.connection.clone(), raw)) })
    }

    /// The statement's text.
    pub fn sql(&self) -> &str {
        &self.kept.sql
    }

    fn register(&self, inner: &Inner) {
        if !self.kept.registered.replace(true) {
            inner.slots.register(&self.kept);
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.sql()).finish()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        finalize(&self.connection, self.kept.raw.replace(std::ptr::null_mut()));
    }
}

fn finalize(connection: &Connection, raw: *mut sqlite3_stmt) {
    if !raw.is_null() {
        drop(Statement::new(connection.clone(), RawStatement(raw)));
    }
}

/// A statement that was taken out of its slot.
pub struct Lent<'a> {
    slot: &'a Slot,
    /// None only while it is being dropped.
    statement: Option<Statement>,
}

impl Deref for Lent<'_> {
    type Target = Statement;
    fn deref(&self) -> &Statement {
        self.statement.as_ref().expect("it is there until the drop")
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Statement {
        self.statement.as_mut().expect("it is there until the drop")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(mut statement) = self.statement.take() else { return };
        let inner = self.slot.connection.inner();
        // While the guard is away the connection is being closed: what is not kept is finalized.
        if inner.is_open() && inner.guarded.get() && self.slot.kept.raw.get().is_null() {
            statement.rest();
            self.slot.kept.raw.set(statement.into_raw().0);
        }
    }
}

/// The slots of one connection that may hold a compiled statement.
#[derive(Default)]
pub(crate) struct Slots {
    known: RefCell<Vec<Weak<Kept>>>,
    /// At this many, those whose owners are gone are forgotten.
    sweep_at: Cell<usize>,
}

impl Slots {
    fn register(&self, kept: &Rc<Kept>) {
        let mut known = self.known.borrow_mut();
        if known.len() >= self.sweep_at.get() {
            known.retain(|slot| slot.strong_count() > 0);
            self.sweep_at.set((2 * known.len()).max(SWEEP_MIN));
        }
        known.push(Rc::downgrade(kept));
    }

    /// Finalizes every statement that waits in a slot. Slots stay usable: a later use compiles anew.
    pub(crate) fn empty(&self, connection: &Connection) {
        let known = self.known.borrow().clone();
        for kept in known.iter().filter_map(Weak::upgrade) {
            finalize(connection, kept.raw.replace(std::ptr::null_mut()));
        }
    }
}

const SWEEP_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use crate::linked;
    use crate::value::ValueRef;

    fn memory() -> (rusqlite::Connection, crate::Connection) {
        linked::open(|_| Ok(()), rusqlite::Connection::open_in_memory).expect("a database in memory opens")
    }

    #[test]
    fn a_slot_keeps_its_statement_and_lends_another_while_it_is_out() {
        let (_host, connection) = memory();
        let slot = connection.slot("SELECT ?1 || 'x'");
        let mut first = slot.lend().unwrap();
        let mut second = slot.lend().unwrap();
        for (statement, word) in [(&mut first, "a"), (&mut second, "b")] {
            let text = statement.query_row(&[word.into()], |row| Ok(row.column_text(0))).unwrap();
            assert_eq!(text, Some(format!("{word}x")));
        }
        drop((first, second));
        let mut again = slot.lend().unwrap();
        let unbound = again.step().map(|_| again.column(0).is_null()).unwrap();
        assert!(unbound, "what was bound before is gone");
    }

    #[test]
    fn slots_do_not_keep_the_host_from_closing() {
        let (host, connection) = memory();
        let slots: Vec<_> = (0..200).map(|i| connection.slot(format!("SELECT {i}"))).collect();
        for (i, slot) in (0..).zip(&slots) {
            let number = slot.lend().unwrap().query_row(&[] as &[ValueRef<'_>], |row| Ok(row.column_i64(0))).unwrap();
            assert_eq!(number, Some(i));
        }
        host.close().expect("sqlite3_close succeeds");
        assert!(slots[0].lend().is_err());
    }
}
