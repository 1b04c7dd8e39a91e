//! The end of a transaction, learnt without the connection's single commit and rollback hook slots: a virtual table
//! that takes part in the transaction is told by SQLite.

use crate::connection::Connection;
use crate::error::Result;
use crate::guard::NoRows;
use crate::vtab::{IndexInfo, Module, ModuleKind, Table, TableArgs, Update};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Who wants to know how transactions end. Told only of transactions that were joined by [`TransactionJoin::join`].
pub trait TransactionObserver {
    /// The transaction is about to be committed. SQL may be run; an error keeps it from being committed.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// The transaction has been committed durably. No SQL may be run.
    fn committed(&self);

    /// The transaction has been rolled back. No SQL may be run.
    fn rolled_back(&self);

    /// A savepoint of that depth begins: the user's, or that of a statement which can fail by itself. Not told of those
    /// that were open when the transaction was joined, except the innermost.
    fn savepoint(&self, savepoint: i32) {
        let _ = savepoint;
    }

    /// A savepoint of that depth, or a deeper one, has ended and its work stays: the user's, or that of a statement which
    /// can fail by itself. What is written from here on is no longer part of it. SQL may be run; an error rolls the whole
    /// transaction back, and makes the statement fail that has just ended.
    fn released(&self, savepoint: i32) -> Result<()> {
        let _ = savepoint;
        Ok(())
    }

    /// Everything since the savepoint of that depth has been undone, by ROLLBACK TO or by a failing statement. The
    /// transaction goes on. No SQL may be run.
    fn rolled_back_to(&self, savepoint: i32) {
        let _ = savepoint;
    }
}

#[derive(Default)]
pub(crate) struct Transactions {
    joined: Cell<bool>,
    observers: RefCell<Vec<Rc<dyn TransactionObserver>>>,
}

impl Transactions {
    pub(crate) fn forget_observers(&self) {
        let observers = std::mem::take(&mut *self.observers.borrow_mut());
        drop(observers);
    }

    fn each(&self, mut tell: impl FnMut(&dyn TransactionObserver)) {
        let told: Result<()> = self.try_each(|observer| {
            tell(observer);
            Ok(())
        });
        debug_assert!(told.is_ok(), "telling cannot fail");
    }

    /// Nothing is borrowed while an observer runs, because it may run SQL.
    fn try_each(&self, mut tell: impl FnMut(&dyn TransactionObserver) -> Result<()>) -> Result<()> {
        let nth = |place: usize| self.observers.borrow().get(place).cloned();
        (0..).map_while(nth).try_for_each(|observer| tell(&*observer))
    }
}

/// Makes the running transaction one that observers are told of.
#[derive(Clone)]
pub struct TransactionJoin(Connection);

impl TransactionJoin {
    /// Joins the running transaction; in autocommit mode that of the statement which is running. Does nothing where it
    /// is joined already. Takes the write lock.
    ///
    /// A statement that only reads may join, so the application's `last_insert_rowid()` stays what it was.
    pub fn join(&self) -> Result<()> {
        if self.is_joined() {
            return Ok(());
        }
        let rowid = self.0.last_insert_rowid();
        let joined =
            self.0.cached("INSERT INTO rejoin_transaction VALUES (1)").and_then(|mut statement| statement.run(&[]));
        self.0.set_last_insert_rowid(rowid);
        joined
    }

    /// True from the join to the end of the transaction.
    pub fn is_joined(&self) -> bool {
        self.0.inner().transactions.joined.get()
    }
}

impl Connection {
    /// Adds an observer, for as long as the connection is open.
    pub fn observe_transactions(&self, observer: Rc<dyn TransactionObserver>) -> Result<TransactionJoin> {
        self.inner().check_open()?;
        self.inner().transactions.observers.borrow_mut().push(observer);
        Ok(TransactionJoin(self.clone()))
    }
}

pub(crate) fn install(connection: &Connection) -> Result<()> {
    connection.create_module("rejoin_transaction", JoinModule)
}

struct JoinModule;

impl Module for JoinModule {
    type Table = JoinTable;
    const KIND: ModuleKind = ModuleKind::Eponymous;
    const INNOCUOUS: bool = true;

    fn connect(&self, connection: &Connection, _: &TableArgs<'_>, _: bool) -> Result<(String, JoinTable)> {
        Ok(("CREATE TABLE joined(unused)".into(), JoinTable(connection.clone())))
    }
}

struct JoinTable(Connection);

impl JoinTable {
    fn transactions(&self) -> &Transactions {
        &self.0.inner().transactions
    }
}

impl Table for JoinTable {
    type Cursor = NoRows;

    fn best_index(&self, _: &mut IndexInfo) -> Result<()> {
        Ok(())
    }

    fn open(&self) -> Result<NoRows> {
        Ok(NoRows)
    }

    fn update(&self, _: &Update<'_>) -> Result<i64> {
        Ok(0)
    }

    fn begin(&self) -> Result<()> {
        self.transactions().joined.set(true);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.transactions().try_each(|observer| observer.sync())
    }

    fn commit(&self) {
        self.transactions().joined.set(false);
        self.transactions().each(|observer| observer.committed());
    }

    fn rollback(&self) {
        self.transactions().joined.set(false);
        self.transactions().each(|observer| observer.rolled_back());
    }

    fn savepoint(&self, savepoint: i32) {
        self.transactions().each(|observer| observer.savepoint(savepoint));
    }

    fn release(&self, savepoint: i32) -> Result<()> {
        self.transactions().try_each(|observer| observer.released(savepoint))
    }

    fn rollback_to(&self, savepoint: i32) {
        self.transactions().each(|observer| observer.rolled_back_to(savepoint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::FunctionFlags;
    use crate::linked;
    use crate::value::Output;

    #[derive(Default)]
    struct Log(RefCell<Vec<String>>);

    impl TransactionObserver for Log {
        fn sync(&self) -> Result<()> {
            self.0.borrow_mut().push("sync".into());
            Ok(())
        }
        fn committed(&self) {
            self.0.borrow_mut().push("committed".into());
        }
        fn rolled_back(&self) {
            self.0.borrow_mut().push("rolled back".into());
        }
        fn rolled_back_to(&self, _: i32) {
            self.0.borrow_mut().push("rolled back to".into());
        }
    }

    fn observed(sql: &str) -> Vec<String> {
        let log = Rc::new(Log::default());
        let (host, _) = linked::open(
            |connection| {
                let join = connection.observe_transactions(log.clone())?;
                connection.create_function("joins", 0, FunctionFlags::INNOCUOUS, move |_| {
                    join.join()?;
                    Ok(Output::Null)
                })
            },
            rusqlite::Connection::open_in_memory,
        )
        .expect("a database in memory opens");
        host.execute_batch(
            "PRAGMA foreign_keys = ON;
             CREATE TABLE p(a INTEGER PRIMARY KEY, b CHECK (b <> 13));
             CREATE TABLE c(a REFERENCES p DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER g AFTER INSERT ON p BEGIN VALUES (joins()); END;",
        )
        .unwrap();
        for statement in sql.split(';') {
            let _ = host.execute_batch(statement);
        }
        log.0.take()
    }

    #[test]
    fn every_end_of_a_joined_transaction_is_told_once() {
        assert_eq!(observed("INSERT INTO p VALUES (1, 1)"), ["sync", "committed"]);
        assert_eq!(observed("BEGIN; INSERT INTO p VALUES (1, 1), (2, 2); ROLLBACK"), ["rolled back"]);
        assert_eq!(observed("BEGIN; INSERT INTO p VALUES (1, 1); COMMIT"), ["sync", "committed"]);
        assert_eq!(
            observed("BEGIN; SAVEPOINT s; INSERT INTO p VALUES (1, 1); ROLLBACK TO s; COMMIT"),
            ["rolled back to", "sync", "committed"]
        );
        assert_eq!(observed("INSERT INTO p VALUES (1, 1), (1, 2)"), ["rolled back"]);
        assert_eq!(observed("SELECT 1; CREATE TABLE x(a)"), [] as [&str; 0]);
    }

    #[test]
    fn a_commit_that_fails_is_no_commit() {
        let told = observed("BEGIN; INSERT INTO p VALUES (1, 1); INSERT INTO c VALUES (9); COMMIT; ROLLBACK");
        assert_eq!(told, ["rolled back"]);
    }

    #[test]
    fn the_hosts_own_hooks_keep_working() {
        let calls = Rc::new(Cell::new(0));
        let (mut host, connection) = linked::open(|_| Ok(()), rusqlite::Connection::open_in_memory).unwrap();
        let join = connection.observe_transactions(Rc::new(Log::default())).unwrap();
        let counted = std::sync::Arc::new(std::sync::atomic::AtomicI32::new(0));
        let seen = counted.clone();
        host.commit_hook(Some(move || {
            seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            false
        }))
        .unwrap();
        host.execute_batch("CREATE TABLE t(a); BEGIN; INSERT INTO t VALUES (1)").unwrap();
        join.join().unwrap();
        host.execute_batch("COMMIT").unwrap();
        calls.set(counted.load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!(calls.get(), 2);
    }
}
