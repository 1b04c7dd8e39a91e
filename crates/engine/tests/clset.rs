//! Tables made by the module clset.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use rusqlite::Connection;
use support::*;

const NAMES: &str = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'crsql%' AND sql IS NOT NULL ORDER BY rowid";

fn foo_of_clset() -> Connection {
    let host = memory();
    run(&host, "CREATE VIRTUAL TABLE foo_schema USING clset(a INTEGER PRIMARY KEY NOT NULL, b, c DEFAULT (max(1, 2)))");
    host
}

#[test]
fn the_table_is_made_and_tracked() {
    let host = foo_of_clset();
    run(&host, "INSERT INTO foo(a, b) VALUES (1, 'x')");
    assert_eq!(rows(&host, "SELECT [table], cid, val FROM crsql_changes"), ["foo|b|x", "foo|c|2"]);
    let text = "SELECT sql FROM sqlite_master WHERE name = 'foo'";
    assert_eq!(one(&host, text), "CREATE TABLE \"foo\" (a INTEGER PRIMARY KEY NOT NULL,b,c DEFAULT (max(1, 2)))");
    run(&host, "CREATE VIRTUAL TABLE IF NOT EXISTS foo_schema USING clset(other)");
    assert_eq!(one(&host, "SELECT count(*) FROM foo"), "1");
}

#[test]
fn the_virtual_table_is_an_empty_shell() {
    let host = foo_of_clset();
    assert!(failure(&host, "SELECT * FROM foo_schema").contains("no tables specified"));
    assert_eq!(rows(&host, "SELECT alteration, schema FROM foo_schema"), [] as [&str; 0]);
    for sql in ["INSERT INTO foo_schema(schema) VALUES (1)", "DELETE FROM foo_schema"] {
        assert!(failure(&host, sql).contains("table foo_schema may not be modified"));
    }
}

#[test]
fn dropping_it_drops_the_table_and_gives_no_version_out_twice() {
    let host = foo_of_clset();
    let fresh = rows(&memory(), NAMES);
    run(&host, "INSERT INTO foo(a) VALUES (1); UPDATE foo SET b = 2");
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 2);
    run(&host, "BEGIN; DROP TABLE foo_schema; ROLLBACK");
    assert_eq!(rows(&host, "SELECT a FROM foo"), ["1"]);
    run(&host, "INSERT INTO foo(a) VALUES (2); DROP TABLE foo_schema");
    assert_eq!(rows(&host, NAMES), fresh);
    assert_eq!(rows(&host, "SELECT * FROM crsql_changes"), [] as [&str; 0]);
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 3);
    run(&host, "CREATE VIRTUAL TABLE foo_schema USING clset(a PRIMARY KEY NOT NULL); INSERT INTO foo VALUES (1)");
    assert_eq!(rows(&host, "SELECT db_version FROM crsql_changes"), ["4"]);
}

#[test]
fn it_outlives_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    run(
        &file(&path),
        "CREATE VIRTUAL TABLE foo_schema USING clset(a PRIMARY KEY NOT NULL); INSERT INTO foo VALUES (1)",
    );
    let host = file(&path);
    assert_eq!(rows(&host, "SELECT schema FROM foo_schema"), [] as [&str; 0]);
    run(&host, "INSERT INTO foo VALUES (2); DROP TABLE foo_schema");
    assert_eq!(number(&host, "SELECT count(*) FROM sqlite_master WHERE name LIKE 'foo%'"), 0);
}

#[test]
fn what_cannot_be_made_leaves_nothing_behind() {
    for transaction in [false, true] {
        let host = foo();
        run(&host, "CREATE TABLE there(a PRIMARY KEY NOT NULL)");
        if transaction {
            run(&host, "BEGIN; INSERT INTO foo VALUES (1, 1, 1)");
        }
        let before = rows(&host, NAMES);
        for (sql, expected) in [
            (
                "bar USING clset(a PRIMARY KEY NOT NULL)",
                "bar MUST end with _schema. E.g., bar_schema. Two tables will be created: bar_schema for managing the CRDT schemas and bar for storing the data.",
            ),
            ("_schema USING clset(a PRIMARY KEY NOT NULL)", "MUST end with _schema"),
            (
                "bar_schema USING clset(a PRIMARY KEY NOT NULL, b UNIQUE)",
                "Table bar has unique indices besidesthe primary key. This is not allowed for CRRs",
            ),
            ("bar_schema USING clset(a)", "Table bar has no primary key"),
            ("bar_schema USING clset()", "syntax error"),
            ("bar_schema USING clset", "syntax error"),
            ("there_schema USING clset(a PRIMARY KEY NOT NULL)", "table \"there\" already exists"),
            ("temp.bar_schema USING clset(a PRIMARY KEY NOT NULL)", "main only"),
        ] {
            let message = failure(&host, &format!("CREATE VIRTUAL TABLE {sql}"));
            assert!(message.contains(expected), "{sql}: {message}");
            assert_eq!(rows(&host, NAMES), before, "{sql}");
            assert_eq!(host.is_autocommit(), !transaction, "{sql}");
        }
        if transaction {
            run(&host, "COMMIT");
            assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 2);
        }
        run(
            &host,
            "CREATE VIRTUAL TABLE bar_schema USING clset(a PRIMARY KEY NOT NULL -- the key\n); INSERT INTO bar VALUES (1)",
        );
        assert_eq!(rows(&host, "SELECT cid FROM crsql_changes WHERE [table] = 'bar'"), ["-1"]);
    }
}

#[test]
fn it_is_not_renamed() {
    let host = foo_of_clset();
    let message = failure(&host, "ALTER TABLE foo_schema RENAME TO bar_schema");
    assert!(message.contains("foo_schema cannot be renamed to bar_schema"), "{message}");
    run(&host, "INSERT INTO foo(a) VALUES (1); DROP TABLE foo_schema");
}

#[test]
fn the_history_of_a_table_that_was_dropped_bare_is_taken_up() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 1, 1); DROP TABLE foo");
    run(&host, "CREATE VIRTUAL TABLE foo_schema USING clset(a INTEGER PRIMARY KEY NOT NULL, b)");
    assert_eq!(rows(&host, "SELECT hex(pk), cid, cl FROM crsql_changes"), ["010901|-1|2"]);
    run(&host, "INSERT INTO foo VALUES (1, 2)");
    assert_eq!(rows(&host, "SELECT cid, val, cl FROM crsql_changes"), ["-1|NULL|3", "b|2|3"]);
}
