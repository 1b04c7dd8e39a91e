//! Tables become tracked, are altered, and stop being tracked.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use rusqlite::Connection;
use support::*;

fn refusal(create: &str, name: &str) -> String {
    let host = memory();
    run(&host, create);
    let before = rows(&host, "SELECT name FROM sqlite_master");
    let message = failure(&host, &format!("SELECT crsql_as_crr('{name}')"));
    assert_eq!(rows(&host, "SELECT name FROM sqlite_master"), before, "{message}");
    message
}

#[test]
fn tables_that_cannot_be_tracked_are_refused_with_the_originals_messages() {
    let no_key = "Table t has no primary key or primary key is nullable. CRRs must have a non nullable primary key";
    let columns: String = (1..=64).map(|i| format!(", c{i}")).collect();
    for (create, expected) in [
        (
            "CREATE TABLE t(a PRIMARY KEY NOT NULL, b UNIQUE)",
            "Table t has unique indices besidesthe primary key. This is not allowed for CRRs",
        ),
        ("CREATE TABLE t(a, b)", no_key),
        ("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", no_key),
        ("CREATE VIEW t AS SELECT 1 AS a", no_key),
        ("CREATE TABLE u(a)", no_key),
        (
            "CREATE TABLE t(a NOT NULL, b, PRIMARY KEY (a, b))",
            "Table t has composite primary key part of which is nullable. CRRs must have a non nullable primary key",
        ),
        (
            "CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL)",
            "t has auto-increment primary keys. This is likely a mistake as two concurrent nodes will assign unrelated rows the same primary key. Either use a primary key that represents the identity of your row or use a database friendly UUID such as UUIDv7",
        ),
        (
            "CREATE TABLE t(a PRIMARY KEY NOT NULL, b REFERENCES t)",
            "Table t has checked foreign key constraints. CRRs may have foreign keys but must not have checked foreign key constraints as they can be violated by row level security or replication.",
        ),
        (
            "CREATE TABLE t(a PRIMARY KEY NOT NULL, b NOT NULL)",
            "Table t has a NOT NULL column without a DEFAULT VALUE. This is not allowed as it prevents forwards and backwards compatibility between schema versions. Make the column nullable or assign a default value to it.",
        ),
        ("CREATE TABLE t(a PRIMARY KEY NOT NULL, \"-1\")", "rename the column"),
        (&format!("CREATE TABLE t(a PRIMARY KEY NOT NULL{columns})"), "Table t has 65 columns; at most 63"),
        ("CREATE TABLE t(a PRIMARY KEY NOT NULL); CREATE TABLE t__crsql_clock(x)", "the name t__crsql_clock is taken"),
    ] {
        let message = refusal(create, "t");
        assert!(message.contains(expected), "{create}: {message}");
    }
}

#[test]
fn a_key_that_the_table_compares_otherwise_than_by_its_bytes_is_refused() {
    for (create, collation) in [
        ("CREATE TABLE t(a TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, b)", "NOCASE"),
        ("CREATE TABLE t(a TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, b) WITHOUT ROWID", "NOCASE"),
        ("CREATE TABLE t(a, b TEXT NOT NULL, c TEXT NOT NULL COLLATE RTRIM, PRIMARY KEY (b, c))", "RTRIM"),
        // The index and the column may each have one of their own.
        ("CREATE TABLE t(a TEXT NOT NULL, b, PRIMARY KEY (a COLLATE NOCASE))", "NOCASE"),
        ("CREATE TABLE t(a TEXT NOT NULL COLLATE NOCASE, b, PRIMARY KEY (a COLLATE BINARY))", "NOCASE"),
    ] {
        let message = refusal(create, "t");
        assert!(message.contains(&format!("by the collation {collation}")), "{create}: {message}");
    }
    // Where it makes no difference it does not matter.
    let host = tracked("CREATE TABLE t(a INTEGER COLLATE NOCASE PRIMARY KEY NOT NULL, b COLLATE NOCASE)", "t");
    run(&host, "INSERT INTO t VALUES (1, 'x'); UPDATE t SET b = 'X'");
    assert_eq!(rows(&host, "SELECT val, col_version FROM crsql_changes"), ["X|2"]);
    run(&host, "CREATE TABLE u(a TEXT COLLATE BINARY PRIMARY KEY NOT NULL, b)");
    track(&host, "u");
}

#[test]
fn arguments_are_checked() {
    let host = foo();
    let expected = "Wrong number of args provided to crsql_as_crr. Provide the schema \n          name and table name or just the table name.";
    assert!(failure(&host, "SELECT crsql_as_crr()").contains(expected));
    assert!(failure(&host, "SELECT crsql_as_crr(NULL)").contains("needs the name of a table"));
    assert!(failure(&host, "SELECT crsql_as_crr('temp', 'foo')").contains("schema main only"));
    run(&host, "CREATE TABLE bar(a PRIMARY KEY NOT NULL)");
    assert_eq!(one(&host, "SELECT crsql_as_crr('main', 'BAR')"), "OK");
    run(&host, "INSERT INTO bar VALUES (1)");
    assert_eq!(rows(&host, "SELECT [table] FROM crsql_changes"), ["bar"]);
    assert!(failure(&host, "SELECT crsql_after_insert()").contains("expected at least 1 argument"));
    assert!(failure(&host, "SELECT crsql_after_insert('nope', 1)").contains("table nope not found"));
    assert!(failure(&host, "SELECT crsql_after_update('foo', 1, 2)").contains("expected 7 values, got 3"));
}

#[test]
fn a_failure_keeps_the_callers_transaction() {
    let host = foo();
    run(&host, "CREATE TABLE t(a, b); BEGIN; INSERT INTO foo VALUES (1, 1, 1)");
    failure(&host, "SELECT crsql_as_crr('t')");
    assert!(!host.is_autocommit());
    run(&host, "COMMIT");
    assert_eq!(rows(&host, "SELECT * FROM foo"), ["1|1|1"]);
}

#[test]
fn rows_that_were_there_before_are_recorded_in_the_order_of_their_keys() {
    let host = memory();
    run(&host, "CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b, c DEFAULT 5); INSERT INTO foo(a) VALUES (20), (3)");
    run(&host, "CREATE TABLE p(a PRIMARY KEY NOT NULL); INSERT INTO p VALUES ('x')");
    track(&host, "foo");
    track(&host, "foo");
    assert_eq!(clock(&host, "foo"), ["1|b|1|1|0|0", "1|c|1|1|0|1", "2|b|1|1|0|2", "2|c|1|1|0|3"]);
    assert_eq!(rows(&host, "SELECT * FROM foo__crsql_pks"), ["1|3", "2|20"]);
    track(&host, "p");
    assert_eq!(clock(&host, "p"), ["1|-1|1|2|0|0"]);
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 2);
}

#[test]
fn a_table_tracked_inside_a_transaction_is_written_in_it_and_forgotten_with_it() {
    let host = foo();
    run(&host, "BEGIN; INSERT INTO foo VALUES (1, 1, 1); CREATE TABLE bar(a PRIMARY KEY NOT NULL, b)");
    track(&host, "bar");
    run(&host, "INSERT INTO bar VALUES (1, 1)");
    assert_eq!(rows(&host, "SELECT [table], seq FROM crsql_changes"), ["foo|0", "foo|1", "bar|2"]);
    run(&host, "ROLLBACK");
    // Another change that reaches the same schema cookie must not be taken for the one that was undone.
    run(&host, "CREATE TABLE other(a PRIMARY KEY NOT NULL, b)");
    track(&host, "other");
    run(&host, "INSERT INTO other VALUES (1, 1)");
    assert_eq!(rows(&host, "SELECT [table] FROM crsql_changes"), ["other"]);
}

#[test]
fn a_rolled_back_change_of_schema_is_noticed_where_the_cookie_comes_back() {
    let host = foo();
    run(&host, "BEGIN; ALTER TABLE foo ADD COLUMN d");
    failure(&host, "INSERT INTO foo VALUES (1, 1, 1, 1)");
    run(&host, "ROLLBACK; CREATE TABLE same_cookie(a)");
    run(&host, "INSERT INTO foo VALUES (1, 1, 1)");
    assert_eq!(clock(&host, "foo").len(), 2);
}

#[test]
fn as_table_forgets_the_history_and_keeps_the_rows() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 1, 1)");
    assert_eq!(one(&host, "SELECT crsql_as_table('foo')"), "NULL");
    assert_eq!(one(&host, "SELECT crsql_as_table('nope')"), "NULL");
    assert_eq!(one(&host, "SELECT crsql_as_table(NULL)"), "NULL");
    assert_eq!(rows(&host, "SELECT name FROM sqlite_master WHERE name LIKE 'foo%'"), ["foo"]);
    run(&host, "INSERT INTO foo VALUES (2, 2, 2)");
    assert_eq!(rows(&host, "SELECT * FROM crsql_changes"), [] as [&str; 0]);
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 1, "a version is not given out twice");
    track(&host, "foo");
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 4);
}

fn alter(host: &Connection, table: &str, sql: &str) {
    run(host, &format!("SELECT crsql_begin_alter('{table}'); {sql}; SELECT crsql_commit_alter('{table}')"));
    assert!(host.is_autocommit());
}

#[test]
fn an_added_column_is_tracked_and_only_what_differs_from_its_default_is_recorded() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 1, 1), (2, 2, 2)");
    alter(&host, "foo", "ALTER TABLE foo ADD COLUMN w DEFAULT 'q'; UPDATE foo SET w = 'r' WHERE a = 2");
    assert_eq!(clock(&host, "foo")[2..], ["2|b|1|1|0|2", "2|c|1|1|0|3", "2|w|1|1|0|0"]);
    assert_eq!(number(&host, "SELECT value FROM crsql_master WHERE key = 'pre_compact_dbversion'"), 1);
    run(&host, "UPDATE foo SET w = 's' WHERE a = 1");
    assert_eq!(rows(&host, "SELECT cid, val FROM crsql_changes WHERE db_version > 1"), ["w|s"]);
}

#[test]
fn a_dropped_and_a_renamed_column_are_forgotten_and_recorded() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 1, 'c')");
    alter(&host, "foo", "ALTER TABLE foo DROP COLUMN b; ALTER TABLE foo RENAME COLUMN c TO d");
    assert_eq!(clock(&host, "foo"), ["1|d|1|1|0|0"]);
    run(&host, "UPDATE foo SET d = 'd'");
    assert_eq!(rows(&host, "SELECT cid, val, col_version FROM crsql_changes"), ["d|d|2"]);
}

#[test]
fn another_primary_key_starts_a_new_history() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 2, 3); DELETE FROM foo; INSERT INTO foo VALUES (2, 2, 3)");
    alter(
        &host,
        "foo",
        "CREATE TABLE new(a INTEGER NOT NULL, b NOT NULL, c, PRIMARY KEY (a, b)); INSERT INTO new SELECT * FROM foo; DROP TABLE foo; ALTER TABLE new RENAME TO foo",
    );
    assert_eq!(clock(&host, "foo"), ["1|c|1|3|0|0"]);
    assert_eq!(rows(&host, "SELECT hex(pk) FROM crsql_changes"), ["0209020902"]);
}

#[test]
fn rows_deleted_during_an_alteration_leave_tombstones_and_returning_ones_live() {
    let (host, peer) = (foo(), foo());
    run(&host, "INSERT INTO foo VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3); DELETE FROM foo WHERE a = 3");
    pull(&host, &peer);
    alter(&host, "foo", "DELETE FROM foo WHERE a = 1; INSERT INTO foo VALUES (3, 'back', 3), (4, 'new', 4)");
    let shown = rows(&host, "SELECT hex(pk), cid, cl FROM crsql_changes ORDER BY pk, cid");
    let expected = [
        "010901|-1|2",
        "010902|b|1",
        "010902|c|1",
        "010903|-1|3",
        "010903|b|3",
        "010903|c|3",
        "010904|b|1",
        "010904|c|1",
    ];
    assert_eq!(shown, expected);
    pull(&peer, &host);
    pull(&host, &peer);
    assert_eq!(rows(&peer, "SELECT * FROM foo"), rows(&host, "SELECT * FROM foo"));
    assert_eq!(rows(&host, "SELECT a FROM foo"), ["2", "3", "4"]);
}

#[test]
fn a_failing_commit_leaves_the_alteration_open_and_the_callers_work_in_place() {
    let host = foo();
    run(
        &host,
        "BEGIN; INSERT INTO foo VALUES (1, 1, 1); SELECT crsql_begin_alter('foo'); CREATE UNIQUE INDEX u ON foo(b)",
    );
    let message = failure(&host, "SELECT crsql_commit_alter('foo')");
    assert!(message.contains("failed compacting tables post alteration"), "{message}");
    assert!(message.contains("unique indices") && message.contains("still open"), "{message}");
    run(&host, "DROP INDEX u; SELECT crsql_commit_alter('foo'); COMMIT");
    run(&host, "INSERT INTO foo VALUES (2, 2, 2)");
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 4);
}

#[test]
fn an_alteration_begins_before_it_ends() {
    let host = foo();
    let message = failure(&host, "SELECT crsql_commit_alter('foo')");
    assert!(message.contains("crsql_begin_alter comes first"), "{message}");
    assert!(host.is_autocommit());
    run(&host, "CREATE TABLE plain(a)");
    assert!(failure(&host, "SELECT crsql_begin_alter('plain')").contains("is not tracked"));
    let message = failure(&host, "SELECT crsql_commit_alter('plain')");
    assert!(message.contains("is not tracked") && message.contains("nothing was changed"), "{message}");
    assert!(host.is_autocommit());
    run(&host, "SELECT crsql_begin_alter('main', 'foo'); ROLLBACK; INSERT INTO foo VALUES (1, 1, 1)");
    assert_eq!(clock(&host, "foo").len(), 2);
}

/// A tracked table with a row, another beside it, and a bare change of the first one's schema.
fn altered_bare(sql: &str) -> Connection {
    let host = foo();
    run(&host, "CREATE TABLE beside(a PRIMARY KEY NOT NULL, b)");
    track(&host, "beside");
    run(&host, "INSERT INTO foo VALUES (1, 1, 1); INSERT INTO beside VALUES (1, 1)");
    run(&host, sql);
    assert_eq!(rows(&host, "SELECT val FROM crsql_changes WHERE [table] = 'beside'"), ["1"], "{sql}");
    run(&host, "SELECT count(*) FROM crsql_changes; INSERT INTO beside VALUES (2, 2)");
    host
}

fn asks_for_an_alteration(host: &Connection, sql: &str) {
    let message = failure(host, sql);
    assert!(message.contains("crsql_begin_alter('foo') and crsql_commit_alter('foo')"), "{sql}: {message}");
}

const INCOMING: &str = "INSERT INTO crsql_changes VALUES ('foo', x'010901', 'b', 9, 9, 1, x'aa', 1, 0)";

#[test]
fn a_column_added_bare_stops_writes_until_the_alteration_is_made_up_for() {
    let host = altered_bare("ALTER TABLE foo ADD COLUMN d");
    for sql in ["INSERT INTO foo VALUES (2, 2, 2, 2)", "UPDATE foo SET b = 2", "DELETE FROM foo", INCOMING] {
        asks_for_an_alteration(&host, sql);
    }
    run(
        &host,
        "SELECT crsql_begin_alter('foo'); SELECT crsql_commit_alter('foo'); INSERT INTO foo VALUES (2, 2, 2, 2)",
    );
    assert_eq!(rows(&host, "SELECT cid FROM crsql_changes WHERE [table] = 'foo' AND pk = x'010902'"), ["b", "c", "d"]);
}

#[test]
fn a_column_renamed_bare_stops_writes() {
    let host = altered_bare("ALTER TABLE foo RENAME COLUMN b TO bb");
    asks_for_an_alteration(&host, "UPDATE foo SET c = 2");
    assert_eq!(rows(&host, "SELECT cid FROM crsql_changes WHERE [table] = 'foo'"), ["c"]);
    let host = altered_bare("ALTER TABLE foo RENAME COLUMN a TO aa");
    asks_for_an_alteration(&host, "INSERT INTO foo VALUES (2, 2, 2)");
}

#[test]
fn a_column_renamed_bare_is_noticed_behind_triggers_of_the_original_too() {
    let host = altered_bare("SELECT 1");
    let trigger = one(&host, "SELECT sql FROM sqlite_master WHERE name = 'foo__crsql_utrig'");
    let plain = trigger.split("/*").next().unwrap().to_string() + trigger.split("*/").nth(1).unwrap();
    run(&host, &format!("DROP TRIGGER foo__crsql_utrig; {plain}"));
    run(&host, "UPDATE foo SET b = 5");
    run(&host, "BEGIN; ALTER TABLE foo ADD COLUMN d");
    asks_for_an_alteration(&host, "INSERT INTO foo VALUES (2, 2, 2, 2)");
    run(&host, "ROLLBACK; ALTER TABLE foo RENAME COLUMN b TO bb");
    asks_for_an_alteration(&host, "UPDATE foo SET c = 2");
}

#[test]
fn a_table_renamed_bare_stops_writes() {
    let host = altered_bare("ALTER TABLE foo RENAME TO bar");
    asks_for_an_alteration(&host, "INSERT INTO bar VALUES (2, 2, 2)");
    asks_for_an_alteration(&host, INCOMING);
    run(&host, "ALTER TABLE bar RENAME TO foo; INSERT INTO foo VALUES (2, 2, 2)");
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes WHERE [table] = 'foo'"), 4);
}

#[test]
fn a_table_dropped_bare_can_come_back_or_be_given_up() {
    let host = altered_bare("DROP TABLE foo");
    asks_for_an_alteration(&host, INCOMING);
    run(&host, "CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b, c); INSERT INTO foo VALUES (7, 7, 7)");
    assert!(failure(&host, INCOMING).contains("crsql_as_crr('foo')"));
    track(&host, "foo");
    let shown = rows(&host, "SELECT hex(pk), cid, cl FROM crsql_changes WHERE [table] = 'foo' ORDER BY pk, cid");
    assert_eq!(shown, ["010901|-1|2", "010907|b|1", "010907|c|1"]);

    let host = altered_bare("DROP TABLE foo");
    run(&host, "SELECT crsql_as_table('foo')");
    assert_eq!(rows(&host, "SELECT DISTINCT [table] FROM crsql_changes"), ["beside"]);
}

#[test]
fn a_dropped_column_is_refused_by_sqlite_itself() {
    let host = foo();
    assert!(failure(&host, "ALTER TABLE foo DROP COLUMN b").contains("foo__crsql_utrig"));
}

#[test]
fn tables_of_the_user_may_be_named_like_clocks() {
    let host = foo();
    run(&host, "CREATE TABLE mycrsql_clock(a); CREATE TABLE x__crsql_clock(a); INSERT INTO foo VALUES (1, 1, 1)");
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 2);
}

#[test]
fn generated_columns_are_left_to_each_database() {
    let create = "CREATE TABLE g(a PRIMARY KEY NOT NULL, b, twice AS (b * 2) STORED, thrice AS (b * 3))";
    let (host, peer) = (tracked(create, "g"), tracked(create, "g"));
    run(&host, "INSERT INTO g(a, b) VALUES (1, 2)");
    assert_eq!(rows(&host, "SELECT cid FROM crsql_changes"), ["b"]);
    pull(&host, &peer);
    assert_eq!(rows(&peer, "SELECT * FROM g"), ["1|2|4|6"]);
}

#[test]
fn a_temporary_table_of_the_same_name_is_left_alone() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 1, 1); CREATE TEMP TABLE foo(a, b, c)");
    assert_eq!(rows(&host, "SELECT val FROM crsql_changes"), ["1", "1"]);
    run(&host, INCOMING);
    assert_eq!(rows(&host, "SELECT * FROM main.foo"), ["1|9|1"]);
    assert_eq!(rows(&host, "SELECT * FROM temp.foo"), [] as [&str; 0]);
}
