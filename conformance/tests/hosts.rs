//! One library in every host: it names no entry point, needs no farewell call, and works with old and new SQLite, in one
//! process with both, and in a Rust program that has SQLite and rejoin linked in.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use rejoin_conformance::{PYTHON, apsw, library};
use std::path::Path;
use std::process::{Command, Output};

const TRACKED: &str =
    "CREATE TABLE IF NOT EXISTS note(id TEXT PRIMARY KEY NOT NULL, body TEXT); SELECT crsql_as_crr('note');";

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)).trim().to_owned()
}

fn shell(database: &Path, library: &Path, sql: &str) -> String {
    let load = format!(".load {}", library.with_extension("").display());
    text(&Command::new("sqlite3").arg(database).args([&load, sql]).output().unwrap())
}

#[test]
fn the_shell_loads_it_without_an_entry_point_and_closes_without_complaint() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("a.db");
    assert_eq!(shell(&database, &library, TRACKED), "OK");
    // The shell prints "sqlite3_close() returns 5" where a compiled statement is left.
    let written = "INSERT INTO note VALUES ('a', 'b'); SELECT cid, val FROM crsql_changes; SELECT crsql_db_version()";
    assert_eq!(shell(&database, &library, written), "body|b\n1");
    assert_eq!(shell(&database, &library, "SELECT crsql_finalize(); SELECT count(*) FROM note"), "finalized\n1");
}

#[test]
fn loading_it_again_or_under_another_name_changes_nothing() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("another_name.so");
    std::fs::copy(&library, &copy).unwrap();
    let database = folder.path().join("a.db");
    shell(&database, &library, TRACKED);
    let load = |path: &Path| format!(".load {}", path.display());
    let output = Command::new("sqlite3")
        .arg(&database)
        .args([&load(&library), &load(&library), &load(&copy)])
        .arg("INSERT INTO note VALUES ('a', 'b'); SELECT count(*) FROM crsql_changes")
        .output()
        .unwrap();
    assert_eq!(text(&output), "1");
}

#[test]
fn without_the_library_a_write_to_a_tracked_table_is_refused_and_reading_works() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("a.db");
    shell(&database, &library, TRACKED);
    let plain = |sql: &str| Command::new("sqlite3").arg(&database).arg(sql).output().unwrap();
    let refused = plain("INSERT INTO note VALUES ('a', 'b')");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("crsql_internal_sync_bit"), "{refused:?}");
    assert_eq!(text(&plain("SELECT count(*) FROM note")), "0");
}

#[test]
fn two_sqlite_libraries_in_one_process_use_it_at_once() {
    let (Some(library), Some(apsw)) = (library(), apsw()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
import sqlite3, sys, apsw
path, library, tracked = sys.argv[1:]
old = sqlite3.connect(path + "/old.db", isolation_level=None)
old.enable_load_extension(True)
old.load_extension(library)
new = apsw.Connection(path + "/new.db")
new.enable_load_extension(True)
new.load_extension(library)
assert sqlite3.sqlite_version != apsw.sqlite_lib_version()
for connection in (old, new):
    for statement in tracked.split(";"):
        list(connection.execute(statement))
ids = [list(connection.execute("SELECT crsql_site_id()"))[0][0] for connection in (old, new)]
for connection, other in ((old, ids[1]), (new, ids[0])):
    for direction in ("outbound", "inbound"):
        connection.execute(f"CREATE VIRTUAL TABLE {direction} USING crsql_{direction}_stream(remote = '{other.hex()}')")
for turn in range(3):
    for connection, word in ((old, "old"), (new, "new")):
        connection.execute("INSERT INTO note VALUES (?, ?)", (f"{word}{turn}", word))
    for sender, receiver in ((old, new), (new, old)):
        for (package,) in list(sender.execute("SELECT package FROM outbound")):
            receiver.execute("INSERT INTO inbound(package) VALUES (?)", (package,))
        (receipt,) = list(receiver.execute("SELECT receipt FROM inbound"))[0]
        sender.execute("INSERT INTO outbound(receipt) VALUES (?)", (receipt,))
rows = [list(map(tuple, connection.execute("SELECT * FROM note ORDER BY id"))) for connection in (old, new)]
assert rows[0] == rows[1] and len(rows[0]) == 6, rows
old.close()
new.close()
print("level")
"#;
    let output = Command::new(PYTHON)
        .env("PYTHONPATH", apsw)
        .args(["-c", script])
        .arg(folder.path())
        .arg(library.with_extension(""))
        .arg(TRACKED)
        .output()
        .unwrap();
    assert_eq!(text(&output), "level");
}

/// rusqlite's own SQLite with the engine linked in, and the shell's older one with the library, on one file.
#[test]
fn a_rust_program_has_it_linked_in_beside_a_shell_that_loads_it() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("a.db");
    let (host, handle) =
        rejoin_bridge::linked::open(rejoin_engine::register, || rusqlite::Connection::open(&database)).unwrap();
    let changes = || -> i64 { host.query_row("SELECT count(*) FROM crsql_changes", [], |row| row.get(0)).unwrap() };
    host.execute_batch(TRACKED).unwrap();
    host.execute_batch("INSERT INTO note VALUES ('a', 'linked')").unwrap();
    let loaded = "INSERT INTO note VALUES ('b', 'loaded'); SELECT db_version FROM crsql_changes WHERE val = 'loaded'";
    assert_eq!(shell(&database, &library, loaded), "2");
    assert_eq!(changes(), 2);
    host.execute_batch("INSERT INTO note VALUES ('c', 'linked')").unwrap();
    assert_eq!(shell(&database, &library, "SELECT max(db_version) FROM crsql_changes"), "3");
    host.close().expect("no compiled statement is left");
    assert!(handle.execute("SELECT 1").is_err());
}
