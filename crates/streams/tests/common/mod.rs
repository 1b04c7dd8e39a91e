//! A database on disk with the engine and the streams on one connection, as a program would open it.

#![allow(dead_code, reason = "each test file uses a part of it")]

use rejoin_bridge::{Connection, linked};
use rejoin_change::SiteId;
use rejoin_streams::{Inbound, InboundOptions, Outbound, OutboundOptions, StreamError, Streams};
use rusqlite::types::Value;
use std::path::{Path, PathBuf};

pub struct Database {
    pub host: rusqlite::Connection,
    pub connection: Connection,
    pub path: PathBuf,
}

pub const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY NOT NULL, b, c);
 CREATE TABLE IF NOT EXISTS u(k TEXT PRIMARY KEY NOT NULL, v);
 SELECT crsql_as_crr('t'); SELECT crsql_as_crr('u');";

/// The original cr-sqlite, where the tests are to run on it: the library that `REJOIN_ORIGINAL` names.
pub fn original() -> Option<PathBuf> {
    std::env::var_os("REJOIN_ORIGINAL").map(PathBuf::from)
}

impl Database {
    /// Opens a file, and makes the two tables where they are missing.
    pub fn open(path: &Path) -> Database {
        let database = Database::open_bare(path);
        database.run(SCHEMA);
        database
    }

    pub fn open_bare(path: &Path) -> Database {
        let database = Database::open_with(path, || rusqlite::Connection::open(path));
        database.host.execute_batch("PRAGMA journal_mode = wal; PRAGMA synchronous = off").expect("pragmas are taken");
        database
    }

    /// Opens a file that may not be written by this connection.
    pub fn open_to_read(path: &Path) -> Database {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Database::open_with(path, || rusqlite::Connection::open_with_flags(path, flags))
    }

    fn open_with(path: &Path, open: impl FnOnce() -> rusqlite::Result<rusqlite::Connection>) -> Database {
        let original = original();
        let (host, connection) = linked::open(
            |connection| {
                if original.is_some() {
                    return rejoin_streams::register(connection, None);
                }
                rejoin_engine::register(connection)?;
                rejoin_streams::register(connection, rejoin_engine::change_store(connection))
            },
            open,
        )
        .expect("the database opens");
        if let Some(library) = original {
            rejoin_bench_original::load(&host, &library).expect("the original loads");
        }
        Database { host, connection, path: path.into() }
    }

    /// A second connection to the same file.
    pub fn again(&self) -> Database {
        Database::open_bare(&self.path)
    }

    /// Closes and opens again: what was in memory is gone.
    pub fn reopen(self) -> Database {
        let path = self.path.clone();
        self.close();
        Database::open_bare(&path)
    }

    pub fn close(self) {
        drop(self.connection);
        if original().is_some() {
            return rejoin_bench_original::finish(self.host).expect("the original lets go");
        }
        self.host.close().expect("sqlite3_close succeeds");
    }

    /// A copy of the file as it is now, byte by byte, under another name.
    pub fn backup(&self, path: &Path) {
        self.host.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint is made");
        std::fs::copy(&self.path, path).expect("the file can be copied");
    }

    /// Puts a backup in the place of this file and opens it.
    pub fn restore(self, backup: &Path) -> Database {
        let path = self.path.clone();
        self.close();
        std::fs::copy(backup, &path).expect("the file can be copied");
        Database::open_bare(&path)
    }

    pub fn run(&self, sql: &str) {
        self.try_run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub fn try_run(&self, sql: &str) -> Result<(), String> {
        self.host.execute_batch(sql).map_err(|error| error.to_string())
    }

    pub fn one<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        self.host.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub fn call<T: rusqlite::types::FromSql>(&self, sql: &str, value: &Value) -> Result<T, String> {
        self.host.query_row(sql, [value], |row| row.get(0)).map_err(|error| error.to_string())
    }

    pub fn values(&self, sql: &str) -> Vec<Value> {
        let mut statement = self.host.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let rows = statement.query_map([], |row| row.get(0)).expect("the query runs");
        rows.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub fn insert(&self, sql: &str, value: &Value) -> Result<(), String> {
        self.host.execute(sql, [value]).map(|_| ()).map_err(|error| error.to_string())
    }

    pub fn streams(&self) -> Streams {
        Streams::of(&self.connection).expect("a handle is made")
    }

    pub fn site(&self) -> SiteId {
        self.streams().site_id().expect("the database has a site id")
    }

    pub fn outbound(&self, remote: SiteId) -> Outbound {
        self.outbound_with(remote, &OutboundOptions::default())
    }

    pub fn outbound_with(&self, remote: SiteId, options: &OutboundOptions) -> Outbound {
        self.streams().outbound(remote, options).expect("the stream opens")
    }

    pub fn inbound(&self, remote: SiteId) -> Inbound {
        self.streams().inbound(remote, &InboundOptions::default()).expect("the stream opens")
    }

    pub fn refused(&self, sql: &str) -> String {
        self.try_run(sql).expect_err(sql)
    }

    /// Everything that a user sees, in one text.
    pub fn content(&self) -> String {
        let t = "SELECT id || ':' || quote(b) || ':' || quote(c) FROM t ORDER BY id";
        let u = "SELECT k || ':' || quote(v) FROM u ORDER BY k";
        [t, u].map(|sql| format!("{:?}", self.values(sql))).join("\n")
    }
}

/// Options of one change per package.
pub fn single() -> OutboundOptions {
    OutboundOptions { package_changes_max: Some(1), ..OutboundOptions::default() }
}

/// One way, until nothing follows: packages one by one, each acknowledged. Returns how many there were.
pub fn tell(from: &Database, to: &Database) -> Result<usize, StreamError> {
    let (outbound, inbound) = (from.outbound(to.site()), to.inbound(from.site()));
    outbound.acknowledge(&inbound.receipt()?)?;
    let mut packages = 0;
    while let Some(produced) = outbound.next(None)? {
        let applied = inbound.apply(produced.package.as_bytes())?;
        outbound.acknowledge(&applied.receipt)?;
        packages += 1;
        assert!(packages < 10_000, "the stream does not end");
    }
    Ok(packages)
}

/// Both ways until nothing moves.
pub fn level(a: &Database, b: &Database) -> Result<(), StreamError> {
    while tell(a, b)? + tell(b, a)? > 0 {}
    Ok(())
}

pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a temporary folder is made"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn database(&self, name: &str) -> Database {
        Database::open(&self.path(name))
    }
}
