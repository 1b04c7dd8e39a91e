//! Which files the engine takes, and what it makes in them.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use rejoin_bridge::linked;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use support::*;

fn plain(path: &Path, sql: &str) {
    let host = Connection::open(path).unwrap();
    run(&host, sql);
}

fn refusal(path: &Path) -> String {
    linked::open(rejoin_engine::register, || Connection::open(path)).map(|_| ()).unwrap_err().to_string()
}

fn read_only(path: &Path) -> Result<Connection, String> {
    let open = || Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    linked::open(rejoin_engine::register, open).map(|(host, _)| host).map_err(|error| error.to_string())
}

#[test]
fn a_fresh_database_gets_the_originals_tables_in_the_originals_order() {
    let host = memory();
    let names = "SELECT name FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid";
    assert_eq!(rows(&host, names), ["crsql_tracked_peers", "crsql_master", "crsql_site_id", "crsql_site_id_site_id"]);
    assert_eq!(one(&host, "SELECT value FROM crsql_master WHERE key = 'crsqlite_version'"), "160300");
    let site = one(&host, "SELECT crsql_site_id()");
    assert_eq!(site.len(), 32);
    assert_eq!(&site[12..13], "4");
    assert!("89ab".contains(&site[16..17]));
    assert_ne!(site, one(&memory(), "SELECT crsql_site_id()"));
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 0);
    assert_eq!(one(&host, "SELECT crsql_finalize()"), "finalized");
    assert!(!one(&host, "SELECT crsql_sha()").is_empty());
}

#[test]
fn a_database_keeps_its_identity_and_gets_a_new_one_when_it_is_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let first = one(&file(&path), "SELECT crsql_site_id()");
    assert_eq!(one(&file(&path), "SELECT crsql_site_id()"), first);
    plain(&path, "DELETE FROM crsql_site_id WHERE ordinal = 0");
    assert_ne!(one(&file(&path), "SELECT crsql_site_id()"), first);
}

#[test]
fn markers_are_raised_and_never_lowered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    drop(file(&path));
    for (before, after) in [(150000, "160300"), (160100, "160300"), (165000, "165000")] {
        plain(&path, &format!("UPDATE crsql_master SET value = {before} WHERE key = 'crsqlite_version'"));
        assert_eq!(one(&file(&path), "SELECT value FROM crsql_master WHERE key = 'crsqlite_version'"), after);
    }
    plain(&path, "UPDATE crsql_master SET value = 130000 WHERE key = 'crsqlite_version'");
    let expected = "Opening a db created with cr-sqlite version 130000 is not supported. Upcoming release 0.15.0 is a breaking change.";
    assert!(refusal(&path).contains(expected));
    plain(&path, "DELETE FROM crsql_master");
    assert!(refusal(&path).contains("version 0 is not supported"));
}

#[test]
fn files_of_other_layouts_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let marked = "CREATE TABLE crsql_master(key TEXT PRIMARY KEY, value ANY); INSERT INTO crsql_master VALUES ('crsqlite_version', 170000);";
    for (name, sql, expected) in [
        (
            "old",
            "CREATE TABLE foo__crsql_clock(a, __crsql_col_name, __crsql_col_version, __crsql_db_version, __crsql_site_id, __crsql_seq)",
            "cr-sqlite 0.15 or older",
        ),
        (
            "fork",
            "CREATE TABLE foo__crsql_clock(key, col_name, col_version, db_version, site_id, seq, ts)",
            "cr-sqlite 0.17",
        ),
        ("empty fork", "CREATE TABLE crsql_db_versions(site_id, db_version)", "cr-sqlite 0.17"),
    ] {
        let path = folder.path().join(name);
        plain(&path, &format!("{marked}{sql}"));
        let message = refusal(&path);
        assert!(message.contains(expected), "{message}");
        let unchanged = Connection::open(&path).unwrap();
        assert_eq!(number(&unchanged, "SELECT count(*) FROM sqlite_master WHERE name LIKE '%site_id%'"), 0);
    }
}

#[test]
fn a_prepared_file_can_be_read_without_writing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    plain(&path, "CREATE TABLE t(a)");
    assert!(read_only(&path).unwrap_err().contains("open it once for writing"));
    let host = file(&path);
    run(&host, "CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b)");
    track(&host, "foo");
    run(&host, "INSERT INTO foo VALUES (1, 1)");
    drop(host);
    let host = read_only(&path).unwrap();
    assert_eq!(rows(&host, "SELECT cid, val FROM crsql_changes"), ["b|1"]);
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 1);
}

#[test]
fn a_prepared_file_can_be_opened_while_another_connection_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let writer = file(&path);
    run(&writer, "PRAGMA journal_mode = WAL; CREATE TABLE t(a); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
    let reader = file(&path);
    assert_eq!(rows(&reader, "SELECT * FROM crsql_changes"), [] as [&str; 0]);
    run(&writer, "COMMIT");
}

#[test]
fn closing_needs_no_farewell() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 1, 1)");
    assert_eq!(rows(&host, "SELECT val FROM crsql_changes"), ["1", "1"]);
    host.close().expect("sqlite3_close succeeds");
}

#[test]
fn a_tracked_table_cannot_be_written_without_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let host = file(&path);
    run(&host, "CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b)");
    track(&host, "foo");
    drop(host);
    let bare = Connection::open(&path).unwrap();
    assert!(failure(&bare, "INSERT INTO foo VALUES (1, 1)").contains("no such function: crsql_internal_sync_bit"));
}
