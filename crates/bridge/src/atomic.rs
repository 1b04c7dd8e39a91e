//! All or nothing, wherever SQL may run.
//!
//! A savepoint cannot be opened while a statement that writes is running, which is where virtual tables and triggers
//! call us. One nested `INSERT … SELECT` can run there, and SQLite keeps a statement journal for it: when it fails,
//! everything that ran inside it is undone, and the statement around it goes on undisturbed.

use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::guard::NoRows;
use crate::vtab::{IndexInfo, Module, ModuleKind, Table, TableArgs, Update};
use std::cell::{Cell, RefCell};

#[derive(Default)]
pub(crate) struct Pending {
    /// What is to run inside the next nested statement, innermost last.
    bodies: RefCell<Vec<*mut dyn FnMut() -> Result<()>>>,
    /// How many nested statements are running.
    running: Cell<usize>,
}

impl Pending {
    pub(crate) fn running(&self) -> usize {
        self.running.get()
    }
}

impl Connection {
    /// Runs `body` so that all of its writes happen or none: where a transaction is open they join it, else they are
    /// one of their own, committed when this returns. The caller's own work in an open transaction is never undone.
    /// `body` may not drop tables, and may not begin or end transactions.
    pub fn atomically<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        self.inner().check_open()?;
        let mut body = Some(body);
        let mut outcome: Option<Result<T>> = None;
        let mut run_body = || match body.take() {
            None => Err(Error::misuse("an atomic body runs once")),
            Some(body) => {
                let result = body();
                let told = result.as_ref().map(|_| ()).map_err(Clone::clone);
                outcome = Some(result);
                told
            }
        };
        let erased: *mut (dyn FnMut() -> Result<()> + '_) = &mut run_body;
        // SAFETY: only the lifetime is changed. The pointer is taken out of the list below, before `run_body` ends, and
        // is called only by the nested statement that runs in between.
        let erased = unsafe {
            std::mem::transmute::<*mut (dyn FnMut() -> Result<()> + '_), *mut (dyn FnMut() -> Result<()> + 'static)>(
                erased,
            )
        };
        let pending = &self.inner().atomic.bodies;
        let depth = pending.borrow().len();
        pending.borrow_mut().push(erased);
        let statement = self.cached("INSERT INTO rejoin_atomic SELECT 1").and_then(|mut nested| nested.run(&[]));
        pending.borrow_mut().truncate(depth);
        match (statement, outcome) {
            (Ok(()), Some(result)) => result,
            (Err(_), Some(Err(error))) => Err(error),
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(Error::failed("SQLite did not run the nested statement")),
        }
    }
}

pub(crate) fn install(connection: &Connection) -> Result<()> {
    connection.create_module("rejoin_atomic", AtomicModule)
}

struct AtomicModule;

impl Module for AtomicModule {
    type Table = AtomicTable;
    const KIND: ModuleKind = ModuleKind::Eponymous;
    const INNOCUOUS: bool = true;

    fn connect(&self, connection: &Connection, _: &TableArgs<'_>, _: bool) -> Result<(String, AtomicTable)> {
        Ok(("CREATE TABLE atomic(unused)".into(), AtomicTable(connection.clone())))
    }
}

struct AtomicTable(Connection);

impl Table for AtomicTable {
    type Cursor = NoRows;

    fn best_index(&self, _: &mut IndexInfo) -> Result<()> {
        Ok(())
    }

    fn open(&self) -> Result<NoRows> {
        Ok(NoRows)
    }

    fn update(&self, _: &Update<'_>) -> Result<i64> {
        let atomic = &self.0.inner().atomic;
        let body = atomic.bodies.borrow_mut().pop();
        let _running = Running::begin(&atomic.running);
        match body {
            // SAFETY: `atomically` put the pointer there and is waiting for this statement, so its body is alive; it
            // was taken out of the list, so nobody else calls it.
            Some(body) => unsafe { (*body)() }.map(|()| 0),
            None => Err(Error::misuse("rejoin_atomic is for rejoin's own use")),
        }
    }
}

struct Running<'a>(&'a Cell<usize>);

impl Running<'_> {
    fn begin(count: &Cell<usize>) -> Running<'_> {
        count.set(count.get() + 1);
        Running(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Error;
    use crate::function::FunctionFlags;
    use crate::linked;
    use crate::value::Output;
    use rusqlite::Connection;

    /// A database with a function that writes two rows and then fails when its argument says so.
    fn database() -> (Connection, crate::Connection) {
        let (host, connection) = linked::open(
            |connection| {
                let inner = connection.clone();
                connection.create_function("two_rows", 1, FunctionFlags::NONE, move |call| {
                    inner.atomically(|| {
                        inner.execute("INSERT INTO t VALUES ('one')")?;
                        inner.execute("INSERT INTO t VALUES ('two')")?;
                        if call.arg(0).as_i64() == 1 { Err(Error::failed("on demand")) } else { Ok(()) }
                    })?;
                    Ok(Output::Null)
                })
            },
            Connection::open_in_memory,
        )
        .expect("a database in memory opens");
        host.execute_batch(
            "CREATE TABLE t(a); CREATE TABLE calls(fail);
             CREATE TRIGGER g AFTER INSERT ON calls BEGIN VALUES (two_rows(NEW.fail)); END;",
        )
        .unwrap();
        (host, connection)
    }

    fn rows(host: &Connection) -> i64 {
        host.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_failing_body_leaves_nothing_and_the_callers_transaction_stays() {
        let (host, _) = database();
        host.execute_batch("BEGIN; INSERT INTO t VALUES ('mine')").unwrap();
        assert!(host.query_row("SELECT two_rows(1)", [], |_| Ok(())).unwrap_err().to_string().contains("on demand"));
        assert_eq!(rows(&host), 1);
        assert!(host.execute_batch("INSERT INTO calls VALUES (1)").is_err());
        assert_eq!(rows(&host), 1);
        host.execute_batch("INSERT INTO calls VALUES (0); COMMIT").unwrap();
        assert_eq!(rows(&host), 3);
    }

    #[test]
    fn in_autocommit_mode_the_body_is_a_transaction_of_its_own() {
        let (host, connection) = database();
        assert!(host.query_row("SELECT two_rows(1)", [], |_| Ok(())).is_err());
        assert_eq!(rows(&host), 0);
        assert!(host.is_autocommit() && connection.is_autocommit());
        host.query_row("SELECT two_rows(0)", [], |_| Ok(())).unwrap();
        host.execute_batch("INSERT INTO calls VALUES (0)").unwrap();
        assert!(host.execute_batch("INSERT INTO calls VALUES (1)").is_err());
        assert_eq!(rows(&host), 4);
        assert_eq!(host.query_row("SELECT count(*) FROM calls", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    }

    #[test]
    fn bodies_nest() {
        let (host, connection) = database();
        let result: crate::Result<()> = connection.atomically(|| {
            connection.execute("INSERT INTO t VALUES ('outer')")?;
            let inner: crate::Result<()> = connection.atomically(|| {
                connection.execute("INSERT INTO t VALUES ('inner')")?;
                Err(Error::failed("inner"))
            });
            assert_eq!(inner.unwrap_err().message, "inner");
            Ok(())
        });
        result.unwrap();
        assert_eq!(rows(&host), 1);
    }

    #[test]
    fn a_panic_is_an_error_and_undoes_the_body() {
        let (host, connection) = database();
        let result: crate::Result<()> = connection.atomically(|| {
            connection.execute("INSERT INTO t VALUES ('lost')")?;
            panic!("on demand")
        });
        assert!(result.unwrap_err().message.contains("on demand"));
        assert_eq!(rows(&host), 0);
        assert!(host.execute_batch("INSERT INTO rejoin_atomic VALUES (1)").is_err());
    }
}
