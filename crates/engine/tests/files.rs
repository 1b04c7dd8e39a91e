//! Files of every version of cr-sqlite: those of 0.16 are used, the others are refused in words, untouched, and their
//! rows can be brought over. Versions are told by the shape of their tables, since several carry one marker.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use rejoin_bridge::linked;
use rusqlite::Connection;
use std::path::Path;
use support::*;

/// What every version before 0.17 has, with its marker; `site_id` is the columns of crsql_site_id.
fn database_wide(site_id: &str, marker: &str) -> String {
    format!(
        "CREATE TABLE crsql_tracked_peers (\"site_id\" BLOB NOT NULL, \"version\" INTEGER NOT NULL, \"seq\" INTEGER DEFAULT 0,
           \"tag\" INTEGER, \"event\" INTEGER, PRIMARY KEY (\"site_id\", \"tag\", \"event\")) STRICT;
         CREATE TABLE crsql_master (\"key\" TEXT PRIMARY KEY, \"value\" ANY);
         CREATE TABLE crsql_site_id ({site_id});
         CREATE UNIQUE INDEX crsql_site_id_site_id ON crsql_site_id (site_id);
         INSERT INTO crsql_site_id (site_id) VALUES (x'0123456789ab4cdea123456789abcdef');
         {marker};
         CREATE TABLE foo (a INTEGER PRIMARY KEY NOT NULL, b, c);
         INSERT INTO foo VALUES (1, 'one', x'01'), (2, NULL, 2.5);"
    )
}

const ORDINALS: &str = "site_id BLOB NOT NULL, ordinal INTEGER PRIMARY KEY";

fn mark(version: i64) -> String {
    format!("INSERT INTO crsql_master VALUES ('crsqlite_version', {version})")
}

/// The clock of 0.15 and older: the key's columns lie in it, and the triggers are SQL.
fn inline_clock(site: &str) -> String {
    format!(
        "CREATE TABLE foo__crsql_clock (\"a\", __crsql_col_name NOT NULL, __crsql_col_version NOT NULL,
           __crsql_db_version NOT NULL, {site}, __crsql_seq NOT NULL, PRIMARY KEY (\"a\", __crsql_col_name));
         CREATE INDEX foo__crsql_clock_dbv_idx ON foo__crsql_clock (__crsql_db_version);
         INSERT INTO foo__crsql_clock VALUES (1, 'b', 1, 1, NULL, 0), (1, 'c', 1, 1, NULL, 1), (2, 'b', 1, 1, NULL, 2);
         CREATE TRIGGER foo__crsql_itrig AFTER INSERT ON foo WHEN crsql_internal_sync_bit() = 0 BEGIN
           INSERT INTO foo__crsql_clock VALUES (NEW.a, 'b', 1, crsql_nextdbversion(), NULL, crsql_increment_and_get_seq());
         END;"
    )
}

/// The clock of 0.16, with more columns at its end where `more` has some.
fn clock_of_016(more: &str, index: &str) -> String {
    format!(
        "CREATE TABLE foo__crsql_clock (key INTEGER NOT NULL, col_name TEXT NOT NULL, col_version INTEGER NOT NULL,
           db_version INTEGER NOT NULL, site_id INTEGER NOT NULL DEFAULT 0, seq INTEGER NOT NULL {more},
           PRIMARY KEY (key, col_name)) WITHOUT ROWID, STRICT;
         CREATE INDEX foo__crsql_clock_dbv_idx ON foo__crsql_clock ({index});
         CREATE TABLE foo__crsql_pks (__crsql_key INTEGER PRIMARY KEY, \"a\");
         CREATE UNIQUE INDEX foo__crsql_pks_pks ON foo__crsql_pks (\"a\");
         INSERT INTO foo__crsql_pks VALUES (1, 1), (2, 2);
         INSERT INTO foo__crsql_clock (key, col_name, col_version, db_version, site_id, seq)
           VALUES (1, 'b', 1, 1, 0, 0), (1, 'c', 1, 1, 0, 1), (2, 'b', 1, 2, 0, 0), (2, 'c', 1, 2, 0, 1);
         CREATE TRIGGER foo__crsql_itrig AFTER INSERT ON foo WHEN crsql_internal_sync_bit() = 0
           BEGIN VALUES (crsql_after_insert('foo', NEW.\"a\")); END;
         CREATE TRIGGER foo__crsql_utrig AFTER UPDATE ON foo WHEN crsql_internal_sync_bit() = 0
           BEGIN VALUES (crsql_after_update('foo', NEW.\"a\", OLD.\"a\", NEW.\"b\", NEW.\"c\", OLD.\"b\", OLD.\"c\")); END;
         CREATE TRIGGER foo__crsql_dtrig AFTER DELETE ON foo WHEN crsql_internal_sync_bit() = 0
           BEGIN VALUES (crsql_after_delete('foo', OLD.\"a\")); END;"
    )
}

/// What only the fork has beside its clocks.
fn of_the_fork() -> String {
    ["insert", "update", "delete"]
        .map(|event| {
            let row = if event == "delete" { "OLD" } else { "NEW" };
            format!(
                "CREATE TRIGGER crsql_site_id_{event}_trig AFTER {event} ON crsql_site_id WHEN {row}.ordinal != 0
                   BEGIN VALUES (crsql_update_site_id({row}.site_id, {row}.ordinal)); END;"
            )
        })
        .join("\n")
        + "CREATE TABLE crsql_db_versions (\"site_id\" BLOB NOT NULL PRIMARY KEY, \"db_version\" INTEGER NOT NULL) STRICT;
           INSERT INTO crsql_db_versions VALUES (x'0123456789ab4cdea123456789abcdef', 2);"
}

/// Makes a file without the engine.
fn plain(path: &Path, sql: &str) {
    let host = Connection::open(path).unwrap();
    run(&host, sql);
}

/// The words with which a file is refused; it must be the same afterwards, byte for byte, with nothing beside it.
fn refusal(path: &Path) -> String {
    let before = std::fs::read(path).unwrap();
    let opened = linked::open(rejoin_engine::register, || Connection::open(path));
    let message = opened.map(|_| ()).unwrap_err().to_string();
    assert!(std::fs::read(path).unwrap() == before, "{} was written: {message}", path.display());
    let folder = std::fs::read_dir(path.parent().unwrap()).unwrap();
    assert_eq!(folder.count(), 1, "nothing is left beside it");
    message
}

/// Refused as `expected` says; the rows of a refused file come over by the steps that the message names.
fn is_refused_and_can_be_copied(sql: &str, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    plain(&path, sql);
    let message = refusal(&path);
    assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    assert!(message.contains("ATTACH this file"), "{message}");

    let host = foo();
    run(&host, &format!("ATTACH '{}' AS old; INSERT INTO foo SELECT * FROM old.foo; DETACH old", path.display()));
    assert_eq!(rows(&host, "SELECT * FROM foo"), ["1|one|01", "2|NULL|2.5"]);
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes WHERE db_version = 1"), 4);
}

#[test]
fn files_of_0_12_and_0_13_are_refused_by_their_shape_and_can_be_copied() {
    let clock = inline_clock("__crsql_site_id");
    let old = |marker: &str| database_wide("site_id BLOB NOT NULL", marker) + &clock;
    is_refused_and_can_be_copied(
        &old("SELECT 1"),
        "crsql_site_id show that the database was written by cr-sqlite 0.15 or older",
    );
    is_refused_and_can_be_copied(&old(&mark(130_000)), "0.15 or older");
    // Whatever the marker says.
    is_refused_and_can_be_copied(&old(&mark(160_300)), "0.15 or older");
    is_refused_and_can_be_copied(&(database_wide(ORDINALS, &mark(130_000)) + &clock), "foo__crsql_clock show");
}

#[test]
fn files_of_0_15_are_refused_by_their_shape_although_0_16_has_the_same_marker() {
    for site in ["__crsql_site_id", "__crsql_siteid"] {
        let file = database_wide(ORDINALS, &mark(150_000)) + &inline_clock(site);
        is_refused_and_can_be_copied(
            &file,
            "foo__crsql_clock show that the database was written by cr-sqlite 0.15 or older",
        );
    }
}

#[test]
fn files_of_0_17_are_refused_by_their_shape_and_can_be_copied() {
    let fork = clock_of_016(", ts TEXT NOT NULL DEFAULT '0'", "site_id, db_version");
    let file = |marker: i64| database_wide(ORDINALS, &mark(marker));
    is_refused_and_can_be_copied(&(file(170_000) + &fork + &of_the_fork()), "cr-sqlite 0.17");
    // Any one of its marks is enough, whatever the number says.
    is_refused_and_can_be_copied(
        &(file(160_300) + &fork),
        "foo__crsql_clock show that the database was written by cr-sqlite 0.17",
    );
    is_refused_and_can_be_copied(&(file(160_300) + &of_the_fork()), "crsql_db_versions shows");
    let triggers = of_the_fork() + "DROP TABLE crsql_db_versions;";
    is_refused_and_can_be_copied(&(file(160_300) + &triggers), "crsql_site_id_insert_trig shows");
}

#[test]
fn a_file_without_marks_of_its_version_goes_by_its_marker() {
    is_refused_and_can_be_copied(&database_wide(ORDINALS, &mark(130_000)), "cr-sqlite version 130000 is not supported");
    is_refused_and_can_be_copied(&database_wide(ORDINALS, "SELECT 1"), "cr-sqlite version 0 is not supported");
    is_refused_and_can_be_copied(&database_wide(ORDINALS, &mark(-1)), "cr-sqlite version -1 is not supported");
}

#[test]
fn files_of_every_0_16_are_read_and_written_and_their_history_goes_on() {
    for (written_by, marker, after) in [
        ("0.16.0 and 0.16.1", 150_000, "160300"),
        ("0.16.2", 160_100, "160300"),
        ("0.16.3", 160_300, "160300"),
        ("a later one", 160_900, "160900"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        plain(
            &path,
            &(database_wide(ORDINALS, &mark(marker))
                .replace("(site_id) VALUES (x'", "(ordinal, site_id) VALUES (0, x'")
                + &clock_of_016("", "\"db_version\"")),
        );
        let host = file(&path);
        assert_eq!(one(&host, "SELECT hex(crsql_site_id())"), "0123456789AB4CDEA123456789ABCDEF", "{written_by}");
        assert_eq!(one(&host, "SELECT value FROM crsql_master WHERE key = 'crsqlite_version'"), after, "{written_by}");
        assert_eq!(number(&host, "SELECT crsql_db_version()"), 2);
        run(
            &host,
            "UPDATE foo SET b = 'new' WHERE a = 1; DELETE FROM foo WHERE a = 2; INSERT INTO foo VALUES (3, 3, 3)",
        );
        let shown = rows(&host, "SELECT hex(pk), cid, val, col_version, db_version, cl FROM crsql_changes");
        assert_eq!(
            shown,
            ["010901|c|01|1|1|1", "010901|b|new|2|3|1", "010902|-1|NULL|2|4|2", "010903|b|3|1|5|1", "010903|c|3|1|5|1"],
            "{written_by}"
        );
        // The other way: nothing was added to the file that the other engine would not have made.
        let own = rows(&foo(), "SELECT name FROM sqlite_master ORDER BY name");
        assert_eq!(rows(&host, "SELECT name FROM sqlite_master ORDER BY name"), own, "{written_by}");
        assert_eq!(rows(&host, "SELECT sql FROM sqlite_master WHERE name = 'foo__crsql_utrig'").len(), 1);
    }
}

#[test]
fn a_marker_of_another_kind_is_no_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    plain(&path, &database_wide(ORDINALS, "INSERT INTO crsql_master VALUES ('crsqlite_version', 'sixteen')"));
    assert!(refusal(&path).contains("cr-sqlite version 0 is not supported"));
}

#[test]
fn a_table_of_the_users_that_is_named_like_a_clock_is_no_mark_of_a_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    plain(&path, "CREATE TABLE x__crsql_clock(ts); CREATE TABLE crsql_clock(a); CREATE TABLE ts(ts, col_version)");
    assert_eq!(number(&file(&path), "SELECT count(*) FROM crsql_changes"), 0);
}
