//! What the applications do: rows, schemas, and reads at the wrong moment.

use super::*;

impl World {
    pub(super) fn write(&self, database: usize, write: Write, key: usize, value: usize, elsewhere: bool) {
        let database = self.database(database);
        let value = if value == 0 { "NULL".into() } else { value.to_string() };
        let sql = match write {
            Write::Insert => format!("INSERT OR IGNORE INTO t(id, b, c) VALUES ({key}, {value}, {value})"),
            Write::Replace => format!("INSERT OR REPLACE INTO t(id, b) VALUES ({key}, {value})"),
            Write::UpdateOne => format!("UPDATE t SET b = {value} WHERE id = {key}"),
            Write::UpdateMany => format!("UPDATE t SET c = {value}, b = 9 WHERE id >= {key}"),
            Write::UpdateLarge => format!("UPDATE t SET c = '{}' WHERE id >= {key}", value.repeat(LARGE)),
            Write::Delete => format!("DELETE FROM t WHERE id = {key}"),
            Write::MoveKey => format!("UPDATE OR IGNORE t SET id = {key} + 1 WHERE id = {key}"),
            Write::BothTables => {
                format!("BEGIN; INSERT OR REPLACE INTO u VALUES ('k{key}', {value}); UPDATE t SET b = {value}; COMMIT")
            }
            Write::Third if has_table(database, "w") => {
                format!("INSERT OR REPLACE INTO w VALUES ({key}, {value}, 'w')")
            }
            Write::Third if has_d(database) => format!("UPDATE t SET d = {value} WHERE id <= {key}"),
            Write::Third => format!("INSERT OR IGNORE INTO u VALUES ('k{key}', {value})"),
        };
        if elsewhere {
            files::share(database);
            let other = files::open(&database.path);
            other.run(&sql);
            other.close();
            files::keep(database);
        } else {
            database.run(&sql);
        }
    }

    pub(super) fn grow(&self, database: usize, what: Growth) {
        let database = self.database(database);
        match what {
            Growth::Column { filled } if !has_d(database) => {
                database.run("SELECT crsql_begin_alter('t'); ALTER TABLE t ADD COLUMN d");
                if filled {
                    database.run("UPDATE t SET d = 'filled ' || id WHERE id % 2 = 1");
                }
                database.run("SELECT crsql_commit_alter('t')");
            }
            Growth::Nothing => database.run("SELECT crsql_begin_alter('t'); SELECT crsql_commit_alter('t')"),
            Growth::Table if !has_table(database, "w") => {
                database.run("CREATE TABLE w(id INTEGER PRIMARY KEY NOT NULL, x, y); SELECT crsql_as_crr('w')");
            }
            Growth::Column { .. } | Growth::Table => {}
        }
    }

    pub(super) fn remake(&self, database: usize, table: usize) {
        let index = database % self.databases.len();
        let database = self.database(index);
        if table == 0 {
            database
                .run("SELECT crsql_as_table('t'); UPDATE t SET b = 'meanwhile' WHERE id = 2; SELECT crsql_as_crr('t')");
        } else {
            database.run("SELECT crsql_as_table('u'); SELECT crsql_as_crr('u')");
        }
        self.remade.borrow_mut().insert(index);
    }

    /// Everybody has the same tables in the end.
    pub fn grow_all(&self) {
        for index in 0..self.databases.len() {
            self.grow(index, Growth::Column { filled: false });
            self.grow(index, Growth::Table);
        }
    }

    pub(super) fn read_in_transaction(&mut self, link: usize, back: bool) -> Checked {
        let (from, to) = self.direction(link, back);
        if self.same_site(from, to) {
            return Ok(());
        }
        let outbound = self.outbound(from, to, None);
        let database = self.database(from);
        database.run("BEGIN; INSERT OR REPLACE INTO u VALUES ('never', 1); UPDATE t SET b = 8");
        let read = outbound.next(None);
        database.run("ROLLBACK");
        match read {
            Err(StreamError::Misuse(_)) => Ok(()),
            other => Err(format!("a read inside a transaction that has written gave {other:?}")),
        }
    }
}
