//! What a local write records.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use support::*;

#[test]
fn the_worked_example_is_recorded_as_the_original_does_it() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 2, 3)");
    assert_eq!(clock(&host, "foo"), ["1|b|1|1|0|0", "1|c|1|1|0|1"]);
    assert_eq!(rows(&host, "SELECT * FROM foo__crsql_pks"), ["1|1"]);

    run(&host, "UPDATE foo SET b = 2");
    assert_eq!(clock(&host, "foo"), ["1|b|1|1|0|0", "1|c|1|1|0|1"]);
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 1, "an update without effect takes no version");

    run(&host, "UPDATE foo SET b = 5");
    assert_eq!(clock(&host, "foo"), ["1|b|2|2|0|0", "1|c|1|1|0|1"]);

    run(&host, "INSERT OR REPLACE INTO foo VALUES (1, 7, 3)");
    assert_eq!(clock(&host, "foo"), ["1|b|3|3|0|1", "1|c|2|3|0|2"]);

    run(&host, "INSERT INTO foo VALUES (1, 7, 3) ON CONFLICT DO UPDATE SET b = 8");
    assert_eq!(clock(&host, "foo"), ["1|b|4|4|0|0", "1|c|2|3|0|2"]);

    run(&host, "INSERT OR IGNORE INTO foo VALUES (1, 9, 9)");
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 4);

    run(&host, "UPDATE foo SET a = 2");
    assert_eq!(clock(&host, "foo"), ["1|-1|2|5|0|2", "2|-1|1|5|0|3", "2|b|5|5|0|0", "2|c|3|5|0|1"]);

    run(&host, "UPDATE foo SET a = 3, b = 100");
    let moved = ["2|-1|2|6|0|2", "3|-1|1|6|0|3", "3|b|7|6|0|4", "3|c|4|6|0|1"];
    assert_eq!(clock(&host, "foo")[1..], moved);

    run(&host, "DELETE FROM foo");
    assert_eq!(clock(&host, "foo")[2..], ["3|-1|2|7|0|0"]);

    run(&host, "INSERT INTO foo VALUES (3, 1, 1)");
    assert_eq!(clock(&host, "foo")[2..], ["3|-1|3|8|0|0", "3|b|1|8|0|1", "3|c|1|8|0|2"]);

    run(
        &host,
        "BEGIN; INSERT INTO foo VALUES (10, 0, 0); INSERT INTO foo VALUES (11, 0, 0); DELETE FROM foo WHERE a = 10; COMMIT",
    );
    assert_eq!(clock(&host, "foo")[5..], ["4|-1|2|9|0|4", "5|b|1|9|0|2", "5|c|1|9|0|3"]);
}

#[test]
fn a_table_of_key_columns_has_sentinels_only() {
    let host = tracked("CREATE TABLE p(a PRIMARY KEY NOT NULL) WITHOUT ROWID", "p");
    for (sql, sentinel) in [
        ("INSERT INTO p VALUES ('x')", "1|-1|1|1|0|0"),
        ("DELETE FROM p", "1|-1|2|2|0|0"),
        ("INSERT INTO p VALUES ('x')", "1|-1|3|3|0|0"),
        ("INSERT OR REPLACE INTO p VALUES ('x')", "1|-1|5|4|0|0"),
    ] {
        run(&host, sql);
        assert_eq!(clock(&host, "p"), [sentinel], "{sql}");
    }
}

#[test]
fn a_row_that_replaces_another_by_a_key_change_rises_above_it() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 'old', 'old'); INSERT INTO foo VALUES (3, 'moved', 'moved')");
    run(&host, "UPDATE foo SET b = 'older'; UPDATE foo SET b = 'oldest' WHERE a = 1");
    assert_eq!(clock(&host, "foo")[..2], ["1|b|3|4|0|0", "1|c|1|1|0|1"]);
    run(&host, "UPDATE OR REPLACE foo SET a = 1 WHERE a = 3");
    let expected = ["1|-1|1|5|0|3", "1|b|4|5|0|0", "1|c|2|5|0|1", "2|-1|2|5|0|2"];
    assert_eq!(clock(&host, "foo"), expected);
    assert_eq!(rows(&host, "SELECT * FROM foo"), ["1|older|moved"]);
}

#[test]
fn a_key_change_reaches_a_peer_that_is_ahead() {
    let (host, peer) = (foo(), foo());
    run(&host, "INSERT INTO foo VALUES (1, 2, 3)");
    pull(&host, &peer);
    run(&host, "UPDATE foo SET a = 2");
    for record in changes(&host, "WHERE db_version > 1") {
        merge(&peer, &record).unwrap();
    }
    assert_eq!(rows(&peer, "SELECT * FROM foo"), ["2|2|3"]);
}

#[test]
fn a_key_that_stays_equal_as_a_number_has_not_moved() {
    let host = tracked("CREATE TABLE n(a PRIMARY KEY NOT NULL, b)", "n");
    run(&host, "INSERT INTO n VALUES (1, 'x'); UPDATE n SET a = 1.0");
    assert_eq!(clock(&host, "n"), ["1|b|1|1|0|0"]);
}

#[test]
fn with_recursive_triggers_a_replace_is_a_delete_and_an_insert() {
    let host = foo();
    run(&host, "PRAGMA recursive_triggers = 1; INSERT INTO foo VALUES (1, 2, 3)");
    run(&host, "INSERT OR REPLACE INTO foo VALUES (1, 7, 3)");
    assert_eq!(clock(&host, "foo"), ["1|-1|3|2|0|1", "1|b|1|2|0|2", "1|c|1|2|0|3"]);
}

#[test]
fn a_rollback_gives_version_and_seq_back() {
    let host = foo();
    run(&host, "BEGIN; INSERT INTO foo VALUES (1, 2, 3); ROLLBACK");
    assert_eq!(number(&host, "SELECT crsql_get_seq()"), 0);
    run(&host, "INSERT INTO foo VALUES (1, 2, 3)");
    assert_eq!(clock(&host, "foo"), ["1|b|1|1|0|0", "1|c|1|1|0|1"]);
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 1);
}

#[test]
fn what_rollback_to_undid_leaves_a_gap_and_nothing_else() {
    let host = foo();
    run(&host, "BEGIN; INSERT INTO foo VALUES (1, 2, 3); SAVEPOINT s; INSERT INTO foo VALUES (2, 2, 3); ROLLBACK TO s");
    run(&host, "INSERT INTO foo VALUES (2, 4, 4); COMMIT");
    assert_eq!(clock(&host, "foo"), ["1|b|1|1|0|0", "1|c|1|1|0|1", "2|b|1|1|0|4", "2|c|1|1|0|5"]);
}

#[test]
fn a_transaction_whose_writes_were_all_undone_has_no_version() {
    let host = foo();
    run(&host, "BEGIN; SAVEPOINT s; INSERT INTO foo VALUES (1, 2, 3); ROLLBACK TO s; COMMIT");
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 0);
}

#[test]
fn a_failing_statement_in_a_transaction_undoes_its_clock_rows() {
    let host = tracked("CREATE TABLE k(a INTEGER PRIMARY KEY NOT NULL, b CHECK (b <> 13))", "k");
    run(&host, "BEGIN; INSERT INTO k VALUES (1, 1)");
    assert!(failure(&host, "INSERT INTO k VALUES (2, 2), (3, 13)").contains("CHECK"));
    run(&host, "INSERT INTO k VALUES (4, 4); COMMIT");
    assert_eq!(rows(&host, "SELECT a FROM k__crsql_pks"), ["1", "4"]);
    assert_eq!(clock(&host, "k"), ["1|b|1|1|0|0", "2|b|1|1|0|1"]);
}

#[test]
fn last_insert_rowid_is_the_users_own() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (77, 2, 3)");
    assert_eq!(host.last_insert_rowid(), 77);
}

#[test]
fn another_connections_commits_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let (one_side, other) = (file(&path), file(&path));
    run(&one_side, "CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b, c)");
    track(&one_side, "foo");
    run(&other, "INSERT INTO foo VALUES (1, 1, 1)");
    run(&one_side, "INSERT INTO foo VALUES (2, 1, 1)");
    run(&other, "INSERT INTO foo VALUES (3, 1, 1)");
    assert_eq!(rows(&other, "SELECT DISTINCT db_version FROM foo__crsql_clock"), ["1", "2", "3"]);
    assert_eq!(number(&one_side, "SELECT crsql_db_version()"), 3);
    run(&one_side, "CREATE TABLE bar(a INTEGER PRIMARY KEY NOT NULL, b)");
    track(&one_side, "bar");
    run(&other, "INSERT INTO bar VALUES (1, 1)");
    assert_eq!(rows(&one_side, "SELECT [table], cid, db_version FROM crsql_changes WHERE db_version > 3"), ["bar|b|4"]);
    assert_eq!(one(&one_side, "SELECT hex(crsql_site_id())"), one(&other, "SELECT hex(crsql_site_id())"));
}

#[test]
fn names_of_every_kind_work() {
    let table = "it's a \"table\", [select]";
    let quoted = table.replace('"', "\"\"");
    let create = format!(
        "CREATE TABLE \"{quoted}\"(\"k'\"\"1\" INTEGER NOT NULL, \"group\" NOT NULL, \"c 'd\", \"e\"\"f\", PRIMARY KEY (\"group\", \"k'\"\"1\"))"
    );
    let (host, peer) = (tracked(&create, table), tracked(&create, table));
    run(&host, &format!("INSERT INTO \"{quoted}\" VALUES (1, 'g', 'c', 'd')"));
    run(&host, &format!("UPDATE \"{quoted}\" SET \"e\"\"f\" = 'new', \"group\" = 'h'"));
    pull(&host, &peer);
    assert_eq!(rows(&peer, &format!("SELECT * FROM \"{quoted}\"")), ["1|h|c|new"]);
    run(&peer, &format!("DELETE FROM \"{quoted}\""));
    pull(&peer, &host);
    assert_eq!(rows(&host, &format!("SELECT * FROM \"{quoted}\"")), [] as [&str; 0]);
}

#[test]
fn with_the_sync_bit_set_nothing_is_recorded() {
    let host = foo();
    run(
        &host,
        "SELECT crsql_internal_sync_bit(1); INSERT INTO foo VALUES (1, 2, 3); SELECT crsql_internal_sync_bit(0)",
    );
    assert_eq!(clock(&host, "foo"), [] as [&str; 0]);
}

#[test]
fn versions_can_be_asked_for_and_raised() {
    let host = foo();
    assert_eq!(number(&host, "SELECT crsql_next_db_version(50)"), 50);
    run(&host, "INSERT INTO foo VALUES (1, 2, 3)");
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 50);
    assert_eq!(number(&host, "SELECT crsql_next_db_version()"), 51);
    assert_eq!(number(&host, "SELECT crsql_next_db_version(1, 99)"), 51);
    assert!(failure(&host, "SELECT crsql_next_db_version(9223372036854775807)").contains("9007199254740991"));
    run(&host, "BEGIN");
    assert_eq!(number(&host, "SELECT crsql_increment_and_get_seq()"), 0);
    assert_eq!(number(&host, "SELECT crsql_get_seq()"), 1);
}

#[test]
fn a_trigger_of_the_users_sees_in_crsql_changes_what_its_statement_has_written_so_far() {
    let host = memory();
    // SQLite runs the newest trigger first: this one comes after that which records.
    run(
        &host,
        "CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b); CREATE TABLE seen(a, changes, version); \
         CREATE TRIGGER sees AFTER INSERT ON foo BEGIN \
         INSERT INTO seen SELECT NEW.a, count(*), crsql_next_db_version() FROM crsql_changes; END; \
         SELECT crsql_as_crr('foo')",
    );
    run(&host, "BEGIN; INSERT INTO foo VALUES (1, 1), (2, 2); INSERT INTO foo VALUES (3, 3); COMMIT");
    assert_eq!(rows(&host, "SELECT * FROM seen"), ["1|1|1", "2|2|1", "3|3|1"]);
    assert_eq!(clock(&host, "foo"), ["1|b|1|1|0|0", "2|b|1|1|0|1", "3|b|1|1|0|2"]);
}

#[test]
fn a_statement_that_still_has_rows_to_return_is_recorded_before_anyone_looks() {
    let host = foo();
    for begin in ["SELECT 1", "BEGIN"] {
        run(&host, begin);
        let mut statement = host.prepare("INSERT INTO foo VALUES (1, 1, 1), (2, 2, 2) RETURNING a").unwrap();
        let mut returned = statement.query([]).unwrap();
        assert_eq!(returned.next().unwrap().unwrap().get::<_, i64>(0).unwrap(), 1);
        assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 4);
        drop(returned);
        assert_eq!(rows(&host, "SELECT count(*) FROM foo__crsql_clock"), ["4"]);
        drop(statement);
        run(&host, if host.is_autocommit() { "SELECT 1" } else { "COMMIT" });
        run(&host, "DELETE FROM foo; SELECT crsql_as_table('foo'); SELECT crsql_as_crr('foo')");
    }
}

#[test]
fn a_statement_of_many_rows_is_recorded_whole_or_not_at_all() {
    let host = tracked("CREATE TABLE k(a INTEGER PRIMARY KEY NOT NULL, b CHECK (b <> 13))", "k");
    let many = |last: i64| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
             INSERT INTO k SELECT i, CASE i WHEN 2000 THEN {last} ELSE 0 END FROM n"
        )
    };
    run(&host, "BEGIN");
    assert!(failure(&host, &many(13)).contains("CHECK"));
    assert_eq!(rows(&host, "SELECT count(*) FROM k__crsql_clock"), ["0"]);
    run(&host, &many(1));
    run(&host, "SAVEPOINT s; DELETE FROM k; INSERT INTO k VALUES (5000, 5); ROLLBACK TO s; COMMIT");
    let whole =
        "SELECT count(*), count(DISTINCT key), max(col_version), min(db_version), max(db_version) FROM k__crsql_clock";
    assert_eq!(rows(&host, whole), ["2000|2000|1|1|1"]);
    assert_eq!(rows(&host, "SELECT count(DISTINCT seq) FROM k__crsql_clock"), ["2000"]);
}

#[test]
fn what_cannot_be_recorded_is_rolled_back_and_does_not_spoil_the_next_transaction() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 1, 1)");
    let before = clock(&host, "foo");
    run(
        &host,
        "CREATE TEMP TABLE lock(held); CREATE TEMP TRIGGER refuses BEFORE INSERT ON main.foo__crsql_clock \
         WHEN EXISTS (SELECT 1 FROM lock) BEGIN SELECT RAISE(ABORT, 'refused'); END",
    );
    for (begin, end) in [("SELECT 1", "SELECT 1"), ("BEGIN", "COMMIT"), ("SAVEPOINT s", "RELEASE s")] {
        run(&host, &format!("INSERT INTO lock VALUES (1); {begin}"));
        failure(&host, "INSERT INTO foo VALUES (2, 2, 2)");
        assert!(host.is_autocommit(), "{begin}: a row that is not recorded must not stay");
        assert_eq!(rows(&host, "SELECT a FROM foo"), ["1"]);
        assert_eq!(clock(&host, "foo"), before);
        run(&host, &format!("DELETE FROM lock; {begin}; INSERT INTO foo VALUES (3, 3, 3); {end}"));
        assert_eq!(rows(&host, "SELECT a FROM foo"), ["1", "3"]);
        assert_eq!(rows(&host, "SELECT count(*) FROM foo__crsql_clock WHERE key = 2"), ["2"]);
        run(&host, &format!("{begin}; DELETE FROM foo WHERE a = 3; {end}"));
        run(&host, "DELETE FROM foo__crsql_clock WHERE key = 2; DELETE FROM foo__crsql_pks WHERE a = 3");
    }
}

#[test]
fn a_write_nested_in_another_that_fails_takes_back_only_its_own() {
    let host = foo();
    run(&host, "BEGIN");
    let mut outer = host.prepare("INSERT INTO foo VALUES (1, 1, 1), (2, 2, 2) RETURNING a").unwrap();
    let mut returned = outer.query([]).unwrap();
    returned.next().unwrap();
    assert!(failure(&host, "INSERT INTO foo VALUES (3, 3, 3), (1, 1, 1)").contains("UNIQUE"));
    run(&host, "INSERT INTO foo VALUES (4, 4, 4)");
    drop(returned);
    drop(outer);
    run(&host, "COMMIT");
    assert_eq!(rows(&host, "SELECT a FROM foo__crsql_pks"), ["1", "2", "4"]);
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 6);
}
