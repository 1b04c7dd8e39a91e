//! Database files of the simulation: made from templates, opened without waiting for the disk.

use crate::common::Database;
use rejoin_bridge::linked;
use rejoin_change::SiteId;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Which columns the table t has from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// b and c.
    Old,
    /// b, c and d.
    New,
}

/// Opens a file that exists.
pub fn open(path: &Path) -> Database {
    let (host, connection) = linked::open(
        |connection| {
            rejoin_engine::register(connection)?;
            rejoin_streams::register(connection, rejoin_engine::change_store(connection))
        },
        || rusqlite::Connection::open(path),
    )
    .expect("the database opens");
    host.execute_batch("PRAGMA journal_mode = memory; PRAGMA synchronous = off").expect("pragmas are taken");
    let database = Database { host, connection, path: path.into() };
    keep(&database);
    database
}

/// Keeps the file locked, which is faster; it can be copied all the same.
pub fn keep(database: &Database) {
    database.run("PRAGMA locking_mode = exclusive");
}

/// Lets other connections have the file.
pub fn share(database: &Database) {
    database.run("PRAGMA locking_mode = normal; SELECT count(*) FROM sqlite_master");
}

/// Makes a file with the tables of a schema and this site id.
pub fn create(path: &Path, schema: Schema, site_id: SiteId) -> Database {
    static TEMPLATES: [OnceLock<Vec<u8>>; 2] = [OnceLock::new(), OnceLock::new()];
    let template = TEMPLATES[schema as usize].get_or_init(|| template(schema));
    let mut bytes = template.clone();
    let mut replaced = 0;
    for at in 0..=bytes.len() - TEMPLATE_ID.len() {
        if bytes[at..].starts_with(&TEMPLATE_ID) {
            bytes[at..at + TEMPLATE_ID.len()].copy_from_slice(&site_id.0);
            replaced += 1;
        }
    }
    assert!(replaced >= 2, "the id is in the table and in its index");
    std::fs::write(path, bytes).expect("a file can be written");
    open(path)
}

fn template(schema: Schema) -> Vec<u8> {
    let folder = folder();
    let path = folder.path().join("template");
    let database = open(&path);
    database.run(match schema {
        Schema::Old => "CREATE TABLE t(id INTEGER PRIMARY KEY NOT NULL, b, c)",
        Schema::New => "CREATE TABLE t(id INTEGER PRIMARY KEY NOT NULL, b, c, d)",
    });
    database.run("CREATE TABLE u(k TEXT PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('t'); SELECT crsql_as_crr('u')");
    database.host.execute("UPDATE crsql_site_id SET site_id = ?1 WHERE ordinal = 0", [TEMPLATE_ID]).expect("an id");
    database.close();
    std::fs::read(&path).expect("the file can be read")
}

/// A folder in memory where the system has one.
pub fn folder() -> tempfile::TempDir {
    let in_memory = PathBuf::from("/dev/shm");
    let made = tempfile::tempdir_in(in_memory).or_else(|_| tempfile::tempdir());
    made.expect("a temporary folder is made")
}

const TEMPLATE_ID: [u8; 16] = *b"template site id";
