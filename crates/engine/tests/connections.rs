//! Several connections to one file, and several changes of schema in one transaction: what one has made, the others see at
//! their next use, and never a list of tables, columns or versions that is out of date.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use rusqlite::Connection;
use support::*;

/// Connections to one file with the table of the worked examples, in WAL mode, so that a reader keeps nobody from writing.
fn connections<const N: usize>() -> (tempfile::TempDir, [Connection; N]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let first = file(&path);
    run(
        &first,
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b, c)",
    );
    track(&first, "foo");
    let all = std::array::from_fn(|_| file(&path));
    (folder, all)
}

fn told(host: &Connection) -> Vec<String> {
    rows(host, "SELECT [table], cid, val, db_version FROM crsql_changes")
}

fn alter(host: &Connection, sql: &str) {
    run(host, &format!("SELECT crsql_begin_alter('foo'); {sql}; SELECT crsql_commit_alter('foo')"));
}

#[test]
fn a_connection_that_has_only_read_sees_what_another_tracks_and_writes_it_at_once() {
    let (_folder, [maker, reader]) = connections();
    assert_eq!(told(&reader), [] as [&str; 0]);
    run(&maker, "CREATE TABLE bar(a PRIMARY KEY NOT NULL, b)");
    track(&maker, "bar");
    run(&maker, "INSERT INTO bar VALUES (1, 1)");
    assert_eq!(told(&reader), ["bar|b|1|1"]);
    run(&reader, "INSERT INTO bar VALUES (2, 2)");
    run(&reader, "INSERT INTO crsql_changes VALUES ('bar', x'010903', 'b', 3, 1, 1, x'aa', 1, 0)");
    assert_eq!(told(&maker), ["bar|b|1|1", "bar|b|2|2", "bar|b|3|3"]);
}

#[test]
fn a_connection_sees_the_columns_that_another_has_added_renamed_and_dropped() {
    let (_folder, [maker, other]) = connections();
    run(&other, "INSERT INTO foo VALUES (1, 'b', 'c')");
    alter(&maker, "ALTER TABLE foo ADD COLUMN d");
    run(&other, "UPDATE foo SET d = 'd'");
    assert_eq!(told(&other), ["foo|b|b|1", "foo|c|c|1", "foo|d|d|2"]);
    alter(&maker, "ALTER TABLE foo RENAME COLUMN d TO e; ALTER TABLE foo DROP COLUMN b");
    let message = failure(&other, "INSERT INTO crsql_changes VALUES ('foo', x'010901', 'd', 3, 9, 9, x'aa', 1, 0)");
    assert!(message.contains("has no column d"), "{message}");
    run(&other, "UPDATE foo SET e = 'e'");
    assert_eq!(rows(&other, "SELECT cid, val FROM crsql_changes"), ["c|c", "e|e"]);
    assert_eq!(told(&maker), told(&other));
}

#[test]
fn a_connection_sees_that_another_has_given_a_table_up_dropped_it_or_made_it_anew() {
    let (_folder, [maker, other]) = connections();
    run(&other, "INSERT INTO foo VALUES (1, 'b', 'c')");
    run(&maker, "SELECT crsql_as_table('foo')");
    run(&other, "INSERT INTO foo VALUES (2, 'b', 'c')");
    assert_eq!(told(&other), [] as [&str; 0]);
    assert_eq!(number(&other, "SELECT crsql_db_version()"), 1, "a version is not given out twice");
    track(&maker, "foo");
    run(&other, "UPDATE foo SET b = 'new' WHERE a = 2");
    assert_eq!(told(&other), ["foo|b|b|2", "foo|c|c|2", "foo|c|c|2", "foo|b|new|3"]);
    run(&maker, "DROP TABLE foo");
    let message = failure(&other, "INSERT INTO crsql_changes VALUES ('foo', x'010901', 'b', 3, 9, 9, x'aa', 1, 0)");
    assert!(message.contains("was dropped or renamed") && message.contains("crsql_as_table('foo')"), "{message}");
    assert_eq!(told(&other), [] as [&str; 0]);
    run(&maker, "CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b, c)");
    track(&other, "foo");
    run(&maker, "INSERT INTO foo VALUES (1, 'again', NULL)");
    let shown = rows(&other, "SELECT hex(pk), cid, val, cl FROM crsql_changes ORDER BY pk, cid");
    assert_eq!(shown, ["010901|-1|NULL|3", "010901|b|again|3", "010901|c|NULL|3", "010902|-1|NULL|2"]);
}

#[test]
fn one_transaction_tracks_alters_and_writes_in_any_order() {
    let host = foo();
    run(&host, "BEGIN; INSERT INTO foo VALUES (1, 1, 1); CREATE TABLE bar(a PRIMARY KEY NOT NULL, b)");
    track(&host, "bar");
    run(&host, "INSERT INTO bar VALUES (1, 1)");
    alter(&host, "ALTER TABLE foo ADD COLUMN d");
    run(&host, "INSERT INTO foo VALUES (2, 2, 2, 2)");
    alter(&host, "ALTER TABLE foo RENAME COLUMN d TO e");
    run(
        &host,
        "UPDATE foo SET e = 'e' WHERE a = 1; INSERT INTO crsql_changes VALUES ('foo', x'010903', 'e', 3, 1, 1, x'aa', 1, 0)",
    );
    run(&host, "SELECT crsql_as_table('bar'); INSERT INTO bar VALUES (2, 2); COMMIT");
    let shown = rows(&host, "SELECT [table], hex(pk), cid, val FROM crsql_changes ORDER BY pk, cid");
    assert_eq!(
        shown,
        [
            "foo|010901|b|1",
            "foo|010901|c|1",
            "foo|010901|e|e",
            "foo|010902|b|2",
            "foo|010902|c|2",
            "foo|010902|e|2",
            "foo|010903|e|3"
        ]
    );
}

#[test]
fn what_is_rolled_back_is_forgotten_wherever_the_schemas_cookie_ends() {
    for undo in ["ROLLBACK", "ROLLBACK TO s; RELEASE s"] {
        let host = foo();
        for (made, columns) in [("one", "a PRIMARY KEY NOT NULL, b"), ("two", "x, y, z PRIMARY KEY NOT NULL")] {
            run(
                &host,
                &format!(
                    "{}; CREATE TABLE {made}({columns})",
                    if undo == "ROLLBACK" { "BEGIN" } else { "SAVEPOINT s" }
                ),
            );
            track(&host, made);
            run(
                &host,
                &format!("INSERT INTO {made} DEFAULT VALUES")
                    .replace("DEFAULT VALUES", if made == "one" { "VALUES (1, 1)" } else { "VALUES (1, 1, 1)" }),
            );
            assert_eq!(rows(&host, "SELECT DISTINCT [table] FROM crsql_changes"), [made]);
            run(&host, undo);
            assert_eq!(told(&host), [] as [&str; 0]);
        }
        run(&host, "CREATE TABLE three(a PRIMARY KEY NOT NULL, b)");
        track(&host, "three");
        run(&host, "INSERT INTO three VALUES (1, 1)");
        assert_eq!(told(&host), ["three|b|1|1"]);
    }
}

#[test]
fn a_reader_in_a_transaction_keeps_the_schema_of_its_snapshot() {
    let (_folder, [maker, reader]) = connections();
    run(&maker, "INSERT INTO foo VALUES (1, 'b', 'c')");
    run(&reader, "BEGIN");
    assert_eq!(told(&reader), ["foo|b|b|1", "foo|c|c|1"]);
    alter(&maker, "ALTER TABLE foo DROP COLUMN c");
    run(&maker, "CREATE TABLE bar(a PRIMARY KEY NOT NULL, b)");
    track(&maker, "bar");
    run(&maker, "INSERT INTO bar VALUES (1, 1)");
    assert_eq!(told(&reader), ["foo|b|b|1", "foo|c|c|1"]);
    run(&reader, "COMMIT");
    assert_eq!(told(&reader), ["foo|b|b|1", "bar|b|1|2"]);
}

#[test]
fn versions_are_given_out_once_whichever_connection_writes_merges_or_rolls_back() {
    let (_folder, hosts) = connections::<3>();
    let mut expected = Vec::new();
    for turn in 0..24_i64 {
        let host = &hosts[turn as usize * 5 % 3];
        match turn % 4 {
            0 => run(host, &format!("INSERT INTO foo VALUES ({turn}, 'local', NULL)")),
            1 => {
                run(host, &format!("BEGIN; INSERT INTO foo VALUES ({turn}, 'undone', NULL)"));
                let other = &hosts[(turn as usize * 5 + 1) % 3];
                assert_eq!(number(other, "SELECT crsql_db_version()"), expected.len() as i64);
                run(host, "ROLLBACK");
                continue;
            }
            2 => run(
                host,
                &format!(
                    "INSERT INTO crsql_changes VALUES ('foo', x'0109{turn:02x}', 'b', 'merged', 1, 1, x'aa', 1, 0)"
                ),
            ),
            _ => {
                run(host, "UPDATE foo SET b = b");
                continue;
            }
        }
        expected.push((expected.len() + 1).to_string());
        for host in &hosts {
            assert_eq!(number(host, "SELECT crsql_db_version()"), expected.len() as i64, "turn {turn}");
            assert_eq!(rows(host, "SELECT db_version FROM crsql_changes WHERE cid = 'b'"), expected, "turn {turn}");
        }
    }
}

#[test]
fn a_new_identity_is_seen_by_every_connection() {
    let (_folder, [maker, other]) = connections();
    run(&other, "INSERT INTO foo VALUES (1, 'b', 'c')");
    run(
        &maker,
        "UPDATE crsql_site_id SET ordinal = 9 WHERE ordinal = 0; INSERT INTO crsql_site_id VALUES (zeroblob(16), 0)",
    );
    assert_eq!(one(&other, "SELECT crsql_site_id()"), "00".repeat(16));
    run(&other, "INSERT INTO foo VALUES (2, 'b', 'c')");
    assert_eq!(number(&other, "SELECT count(*) FROM crsql_changes WHERE site_id = zeroblob(16)"), 4);
}
