//! Writes that fire no triggers, for a while.

use crate::abi::{SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_OK};
use crate::connection::Connection;
use crate::error::{Error, Result};
use std::ffi::c_int;

/// While it lives, the connection's statements fire no trigger but temporary ones.
pub struct TriggersOff(Connection);

impl Connection {
    /// Switches triggers off until the guard goes. None where that cannot be done unnoticed: where the application has
    /// switched them off itself, or has a statement running, which SQLite could then abort.
    ///
    /// Every statement of the connection is compiled anew at its next use, now and once more afterwards: this is for
    /// work that is long.
    pub fn triggers_off(&self) -> Result<Option<TriggersOff>> {
        let inner = self.inner();
        inner.check_open()?;
        let of_the_application = inner.busy_statements() > inner.atomic.running();
        if of_the_application || self.enable_triggers(ONLY_ASK)? == 0 {
            return Ok(None);
        }
        self.enable_triggers(0)?;
        Ok(Some(TriggersOff(self.clone())))
    }

    /// Returns whether triggers are on from now on.
    fn enable_triggers(&self, on: c_int) -> Result<c_int> {
        let inner = self.inner();
        let mut is_on: c_int = 0;
        // SAFETY: the connection is open. This setting takes an integer and a pointer to one, which is valid.
        let result = unsafe { (inner.api.db_config)(inner.db, SQLITE_DBCONFIG_ENABLE_TRIGGER, on, &raw mut is_on) };
        match result {
            SQLITE_OK => Ok(is_on),
            failed => Err(Error::new(failed, "SQLite did not switch triggers on or off")),
        }
    }
}

impl Drop for TriggersOff {
    fn drop(&mut self) {
        if self.0.inner().is_open() {
            // Fails only for a setting that SQLite does not know, and it has known this one.
            let _ = self.0.enable_triggers(1);
        }
    }
}

const ONLY_ASK: c_int = -1;

#[cfg(test)]
mod tests {
    use crate::linked;
    use rusqlite::config::DbConfig;

    fn database() -> (rusqlite::Connection, crate::Connection) {
        let (host, connection) =
            linked::open(|_| Ok(()), rusqlite::Connection::open_in_memory).expect("a database in memory opens");
        host.execute_batch(
            "CREATE TABLE t(a); CREATE TABLE seen(a); INSERT INTO t VALUES (0), (0); \
             CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO seen VALUES (NEW.a); END",
        )
        .unwrap();
        (host, connection)
    }

    #[test]
    fn triggers_fire_before_and_after_the_guard_but_not_while_it_lives() {
        let (host, connection) = database();
        let mut by_host = host.prepare("INSERT INTO t VALUES (?1)").unwrap();
        let slot = connection.slot("INSERT INTO t VALUES (?1)");
        let mut insert = |a: i64| {
            by_host.execute([a]).unwrap();
            slot.lend().unwrap().run(&[(a + 1).into()]).unwrap();
        };
        insert(1);
        let off = connection.triggers_off().unwrap();
        assert!(off.is_some());
        insert(3);
        drop(off);
        insert(5);
        let seen = host.query_row("SELECT group_concat(a) FROM seen", [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(seen, "1,2,5,6");
    }

    #[test]
    fn where_the_application_would_notice_they_stay_as_they_are() {
        let (host, connection) = database();
        let mut running = host.prepare("SELECT a, (SELECT count(*) FROM seen) FROM t").unwrap();
        let mut rows = running.query([]).unwrap();
        rows.next().unwrap();
        assert!(connection.triggers_off().unwrap().is_none());
        connection.atomically(|| connection.triggers_off().map(|off| assert!(off.is_none()))).unwrap();
        drop(rows);
        connection.atomically(|| connection.triggers_off().map(|off| assert!(off.is_some()))).unwrap();
        assert!(host.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER).unwrap());

        host.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
        assert!(connection.triggers_off().unwrap().is_none());
        assert!(!host.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER).unwrap());
    }
}
