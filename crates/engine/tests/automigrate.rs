//! A database is given the schema that a text describes.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use rejoin_bridge::{Call, FunctionFlags, Output, linked};
use rusqlite::Connection;
use support::*;

fn try_migrate(host: &Connection, schema: &str) -> Result<String, String> {
    host.query_row("SELECT crsql_automigrate(?1)", [schema], |row| row.get(0)).map_err(|error| error.to_string())
}

fn migrate(host: &Connection, schema: &str) {
    assert_eq!(try_migrate(host, schema), Ok("migration complete".to_owned()), "{schema}");
}

const SCHEMA: &str = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name";

/// A migration that must fail, and leave everything as it was, inside and outside of a transaction of the caller.
fn refused(host: &Connection, schema: &str) -> String {
    let before = rows(host, SCHEMA);
    let message = try_migrate(host, schema).unwrap_err();
    assert_eq!(rows(host, SCHEMA), before, "{schema}");
    assert!(host.is_autocommit());
    run(
        host,
        "CREATE TABLE IF NOT EXISTS callers_own(a); DELETE FROM callers_own; BEGIN; INSERT INTO callers_own VALUES (1)",
    );
    let kept = format!("CREATE TABLE IF NOT EXISTS callers_own(a);\n{schema}");
    assert!(try_migrate(host, &kept).is_err());
    assert!(!host.is_autocommit(), "{schema}");
    run(host, "COMMIT");
    assert_eq!(rows(host, "SELECT a FROM callers_own"), ["1"]);
    run(host, "DROP TABLE callers_own");
    assert_eq!(rows(host, SCHEMA), before, "{schema}");
    message
}

/// A tracked table with two rows.
fn table(create: &str) -> Connection {
    let host = tracked(create, "t");
    run(&host, "INSERT INTO t(a, b) VALUES (1, 'x'), (2, 'y')");
    host
}

const T: &str = "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY NOT NULL, b, c);";
const TRACK: &str = "\nSELECT crsql_as_crr('t');";

#[test]
fn a_schema_is_made_kept_and_dropped() {
    let host = memory();
    let schema = "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY NOT NULL, b); SELECT crsql_as_crr('t');
        CREATE TABLE IF NOT EXISTS plain(a, b); CREATE INDEX IF NOT EXISTS plain_b ON plain(b);
        CREATE VIEW IF NOT EXISTS v AS SELECT a FROM t; INSERT OR IGNORE INTO t VALUES (1, 1);";
    migrate(&host, schema);
    let made = rows(&host, SCHEMA);
    migrate(&host, schema);
    migrate(&host, schema);
    assert_eq!(rows(&host, SCHEMA), made);
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 1);
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 1, "nothing was recorded anew");
    migrate(&host, "");
    let left = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'crsql%' AND type <> 'view'";
    assert_eq!(rows(&host, left), rows(&memory(), left));
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 1, "a version is not given out twice");
}

#[test]
fn a_migration_that_finds_nothing_to_do_only_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let schema = format!("{T} CREATE INDEX IF NOT EXISTS i ON t(b); {TRACK}");
    let writer = file(&path);
    run(&writer, "PRAGMA journal_mode = WAL");
    migrate(&writer, &schema);
    run(&writer, "BEGIN IMMEDIATE");
    migrate(&file(&path), &schema);
    run(&writer, "ROLLBACK");
}

#[test]
fn arguments_are_checked_and_no_schema_is_not_an_empty_schema() {
    let host = table("CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, b, c)");
    for (sql, expected) in [
        ("SELECT crsql_automigrate()", "Had no args. Expected a schema to migrate to"),
        ("SELECT crsql_automigrate(NULL)", "pass '' if every table"),
        ("SELECT crsql_automigrate(x'00')", "pass '' if every table"),
        ("SELECT crsql_automigrate(7)", "pass '' if every table"),
        ("SELECT crsql_automigrate('', '', '')", "takes a schema and"),
    ] {
        let message = failure(&host, sql);
        assert!(message.contains(expected), "{sql}: {message}");
    }
    assert_eq!(refused(&host, "CREATE TABLE t(a); CREATE TABL u(a)"), "near \"TABL\": syntax error");
    assert_eq!(number(&host, "SELECT count(*) FROM t"), 2);
    let cleanup = "SELECT crsql_automigrate('', 'SELECT crsql_finalize(); CREATE TABLE of_the_private_one(a)')";
    assert_eq!(one(&host, cleanup), "migration complete");
    assert_eq!(rows(&host, "SELECT name FROM sqlite_master WHERE name LIKE 'of_%' OR name LIKE 't%'"), [] as [&str; 0]);
}

#[test]
fn a_definition_may_share_its_line_with_the_calls_that_track_and_order_it() {
    let host = memory();
    let schema = "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY NOT NULL, b); SELECT crsql_as_crr('t'); SELECT crsql_fract_as_ordered('t', 'b');";
    migrate(&host, schema);
    run(&host, "INSERT INTO t VALUES (1, 1)");
    migrate(&host, schema);
    assert_eq!(rows(&host, "SELECT * FROM t"), ["1|a "]);
}

#[test]
fn added_and_dropped_columns_keep_the_rows_and_the_history() {
    let host = table("CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, b, c)");
    let peer = memory();
    let schema = "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY NOT NULL, b, d INTEGER NOT NULL DEFAULT 5 CHECK (d > 0), e TEXT COLLATE NOCASE, f AS (a + 1));\nSELECT crsql_as_crr('t');";
    migrate(&peer, schema);
    migrate(&host, schema);
    assert_eq!(rows(&host, "SELECT a, b, d, e, f FROM t"), ["1|x|5|NULL|2", "2|y|5|NULL|3"]);
    assert_eq!(rows(&host, "SELECT DISTINCT cid FROM crsql_changes"), ["b"]);
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 1);
    assert!(failure(&host, "UPDATE t SET d = 0").contains("CHECK constraint failed"));
    run(&host, "UPDATE t SET e = 'Z' WHERE a = 1");
    assert_eq!(rows(&host, "SELECT a FROM t WHERE e = 'z'"), ["1"]);
    pull(&host, &peer);
    assert_eq!(rows(&peer, "SELECT * FROM t"), rows(&host, "SELECT a, b, d, e, f FROM t"));
    migrate(&host, schema);
}

#[test]
fn what_alter_table_cannot_do_is_done_around_the_rows() {
    for (before, after, expected) in [
        ("b, c", "b, c, d AS (b || '!') STORED", "1|x|NULL|x!"),
        ("b, c", "b, c, d DEFAULT (7)", "1|x|NULL|7"),
        ("b, c", "b, c, d DEFAULT (abs(-7))", "1|x|NULL|7"),
        ("b, c", "b TEXT NOT NULL DEFAULT 'n', c INTEGER", "1|x|NULL"),
        ("b, c", "b, c, CHECK (a <> 9)", "1|x|NULL"),
        ("b, c, CHECK (a <> 9)", "b, c", "1|x|NULL"),
        ("b, c DEFAULT 1", "b, c DEFAULT 2", "1|x|1"),
        ("b COLLATE NOCASE, c", "b, c COLLATE RTRIM", "1|x|NULL"),
        ("b, c, d AS (c)", "b, c, d", "1|x|NULL|NULL"),
    ] {
        let host = memory();
        run(&host, &format!("CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, {before}); CREATE INDEX i ON t(b)"));
        run(&host, "CREATE TABLE log(a); CREATE TRIGGER g AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (NEW.a); END");
        run(&host, "INSERT INTO t(a, b) VALUES (1, 'x'), (7, 'y')");
        let schema = format!(
            "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY NOT NULL, {after});
             CREATE INDEX IF NOT EXISTS i ON t(b); CREATE TABLE IF NOT EXISTS log(a)"
        );
        migrate(&host, &schema);
        assert_eq!(rows(&host, "SELECT * FROM t WHERE a = 1"), [expected], "{after}");
        run(&host, "UPDATE t SET b = 'z' WHERE a = 7");
        assert_eq!(rows(&host, "SELECT a FROM log"), ["7"]);
        assert_eq!(number(&host, "SELECT count(*) FROM sqlite_master WHERE name = 'i'"), 1);
        let done = rows(&host, SCHEMA);
        migrate(&host, &schema);
        assert_eq!(rows(&host, SCHEMA), done);
        assert_eq!(number(&host, "SELECT count(*) FROM sqlite_temp_master"), 0);
    }
}

#[test]
fn a_tracked_table_made_anew_keeps_its_history_and_goes_on() {
    let host = table("CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, b, c)");
    run(&host, "DELETE FROM t WHERE a = 2");
    let before = rows(&host, "SELECT pk, cid, val, col_version, db_version, cl, seq FROM crsql_changes");
    let schema = format!("CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY NOT NULL, b, c TEXT);{TRACK}");
    migrate(&host, &schema);
    assert_eq!(rows(&host, "SELECT pk, cid, val, col_version, db_version, cl, seq FROM crsql_changes"), before);
    run(&host, "UPDATE t SET c = 5");
    assert_eq!(rows(&host, "SELECT cid, val, db_version FROM crsql_changes WHERE cid = 'c'"), ["c|5|3"]);
}

#[test]
fn rowids_and_the_last_number_given_out_are_kept() {
    let host = memory();
    run(&host, "CREATE TABLE r(a, b); INSERT INTO r(rowid, a) VALUES (7, 'x'), (3, 'y')");
    run(
        &host,
        "CREATE TABLE n(id INTEGER PRIMARY KEY AUTOINCREMENT, a); INSERT INTO n(id, a) VALUES (1, 'x'), (9, 'y'); DELETE FROM n WHERE id = 9",
    );
    run(&host, "CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO w VALUES ('b', 1), ('a', 2)");
    migrate(
        &host,
        "CREATE TABLE IF NOT EXISTS r(a TEXT, b); CREATE TABLE IF NOT EXISTS n(id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT);
         CREATE TABLE IF NOT EXISTS w(k TEXT PRIMARY KEY, v TEXT)",
    );
    assert_eq!(rows(&host, "SELECT rowid, a FROM r"), ["3|y", "7|x"]);
    run(&host, "INSERT INTO n(a) VALUES ('z')");
    assert_eq!(rows(&host, "SELECT id, a FROM n"), ["1|x", "10|z"]);
    assert_eq!(rows(&host, "SELECT k, v FROM w"), ["a|2", "b|1"]);
    run(&host, "CREATE TABLE named(rowid, oid, _rowid_); INSERT INTO named VALUES (2, 3, 4), (1, 1, 1)");
    migrate(&host, "CREATE TABLE IF NOT EXISTS named(rowid, oid, _rowid_ TEXT)");
    assert_eq!(rows(&host, "SELECT rowid, oid, _rowid_ FROM named ORDER BY 1"), ["1|1|1", "2|3|4"]);
}

#[test]
fn indexes_become_what_the_schema_says_in_every_respect() {
    let host = table("CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, b, c)");
    for index in [
        "i ON t(b)",
        "i ON t(c)",
        "i ON t(b, c)",
        "i ON t(b DESC)",
        "i ON t(b COLLATE NOCASE)",
        "i ON t(b) WHERE c > 1",
        "i ON t(b) WHERE c > 2",
        "i ON t(lower(b))",
        "i ON t(upper(b))",
    ] {
        migrate(&host, &format!("{T} CREATE INDEX IF NOT EXISTS {index}; {TRACK}"));
        let found =
            rows(&host, "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 't' AND sql IS NOT NULL");
        assert_eq!(found, [format!("CREATE INDEX {index}")]);
    }
    migrate(&host, &format!("{T} {TRACK}"));
    assert_eq!(number(&host, "SELECT count(*) FROM sqlite_master WHERE name = 'i'"), 0);
    let clocks = "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name LIKE 't\\_\\_crsql%' ESCAPE '\\'";
    assert_eq!(number(&host, clocks), 2);
}

#[test]
fn a_dropped_column_takes_its_index_along_where_the_schema_drops_both() {
    let host = table("CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, b, c)");
    run(&host, "CREATE INDEX i ON t(c)");
    migrate(&host, &format!("CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY NOT NULL, b);{TRACK}"));
    assert_eq!(rows(&host, "SELECT * FROM t"), ["1|x", "2|y"]);
}

#[test]
fn views_and_triggers_that_are_written_otherwise_are_made_anew_and_others_are_left() {
    let host = table("CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, b, c)");
    run(&host, "CREATE VIEW v AS SELECT c FROM t; CREATE VIEW left_alone AS SELECT a FROM t");
    run(&host, "CREATE TRIGGER g AFTER DELETE ON t BEGIN SELECT OLD.c; END");
    let schema = format!(
        "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY NOT NULL, b); CREATE VIEW IF NOT EXISTS v AS SELECT b FROM t;
         CREATE TRIGGER IF NOT EXISTS g AFTER DELETE ON t BEGIN SELECT OLD.b; SELECT 1; END;{TRACK}"
    );
    migrate(&host, &schema);
    assert_eq!(rows(&host, "SELECT * FROM v"), ["x", "y"]);
    assert_eq!(rows(&host, "SELECT * FROM left_alone"), ["1", "2"]);
    run(&host, "DELETE FROM t WHERE a = 1");
    migrate(&host, &schema);
    migrate(&host, "CREATE TABLE IF NOT EXISTS v(a); CREATE TABLE IF NOT EXISTS left_alone(b)");
    assert_eq!(rows(&host, "SELECT name FROM sqlite_master WHERE type = 'view'"), [] as [&str; 0]);
}

#[test]
fn what_would_break_a_trigger_or_a_view_of_the_schema_is_refused() {
    let view = "CREATE VIEW IF NOT EXISTS v AS SELECT c FROM t;";
    for (object, in_schema) in [
        (view, view),
        ("CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT NEW.c; END", ""),
        ("CREATE TABLE u(a); CREATE TRIGGER g AFTER INSERT ON u BEGIN SELECT c FROM t; END", ""),
    ] {
        let host = table("CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, b, c)");
        run(&host, object);
        for b in ["b", "b TEXT"] {
            let schema = format!(
                "CREATE TABLE IF NOT EXISTS u(a); CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY NOT NULL, {b});
                 {in_schema}{TRACK}"
            );
            let message = refused(&host, &schema);
            let named = ["view v", "trigger g", "a trigger of table"].iter().any(|name| message.contains(name));
            assert!(named && message.contains("in the schema"), "{object}: {message}");
        }
    }
    // What did not work before is no reason to refuse.
    let host = table("CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, b, c)");
    run(&host, "CREATE VIEW broken AS SELECT x FROM nowhere");
    migrate(&host, &format!("{T} CREATE INDEX IF NOT EXISTS i ON t(b);{TRACK}"));
    assert_eq!(rows(&host, "SELECT name FROM sqlite_master WHERE type = 'view'"), ["broken"]);
}

#[test]
fn a_view_that_the_schema_does_not_have_goes_when_it_no_longer_works() {
    let host = table("CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, b, c)");
    run(
        &host,
        "CREATE VIEW v AS SELECT c FROM t; CREATE VIEW on_v AS SELECT c FROM v; CREATE VIEW w AS SELECT b FROM t",
    );
    run(&host, "CREATE TRIGGER wt INSTEAD OF DELETE ON w BEGIN DELETE FROM t WHERE b = OLD.b; END");
    migrate(&host, &format!("CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY NOT NULL, b);{TRACK}"));
    assert_eq!(rows(&host, "SELECT name FROM sqlite_master WHERE type = 'view'"), ["w"]);
    run(&host, "DELETE FROM w WHERE b = 'x'");
    assert_eq!(rows(&host, "SELECT a FROM t"), ["2"]);
}

#[test]
fn a_drop_in_the_schema_comes_before_what_it_is_in_the_way_of() {
    let host = table("CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, b, c)");
    run(&host, "CREATE VIEW v AS SELECT a FROM t; CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT NEW.c; END");
    run(&host, "CREATE TRIGGER h AFTER INSERT ON t BEGIN SELECT NEW.c; END");
    let schema = format!(
        "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY NOT NULL, b); DROP VIEW IF EXISTS main.[V];
         DROP TRIGGER IF EXISTS g; DROP TRIGGER IF EXISTS h; CREATE TRIGGER h AFTER INSERT ON t BEGIN SELECT NEW.b; END;{TRACK}"
    );
    migrate(&host, &schema);
    migrate(&host, &schema);
    let names = "SELECT name FROM sqlite_master WHERE type IN ('view', 'trigger') AND name NOT LIKE '%crsql%'";
    assert_eq!(rows(&host, names), ["h"]);
    run(&host, "INSERT INTO t VALUES (3, 3)");
}

#[test]
fn what_cannot_be_done_without_loss_is_refused_in_words_and_undone() {
    let create = "CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, b, c)";
    for (after, expected) in [
        (
            "t(a INTEGER NOT NULL, b NOT NULL, c, PRIMARY KEY (a, b))",
            "primary key of table t would change from (a integer) to (a integer, b)",
        ),
        (
            "t(a INTEGER NOT NULL, b, c, d NOT NULL DEFAULT 0, PRIMARY KEY (d, a))",
            "would change from (a integer) to (d, a integer)",
        ),
        ("t(a TEXT PRIMARY KEY NOT NULL, b, c)", "would change from (a integer) to (a text)"),
        ("t(a INTEGER PRIMARY KEY NOT NULL, b, c NOT NULL)", "NOT NULL constraint failed: t.c"),
        ("t(a INTEGER PRIMARY KEY NOT NULL, b, c, d NOT NULL)", "NOT NULL constraint failed: t.d"),
        (
            "t(a INTEGER PRIMARY KEY NOT NULL, b INTEGER, c INTEGER) STRICT",
            "cannot store TEXT value in INTEGER column t.b",
        ),
        ("t(a INTEGER PRIMARY KEY NOT NULL, b CHECK (b <> 'y'), c)", "CHECK constraint failed"),
        ("t(a INTEGER PRIMARY KEY NOT NULL, b UNIQUE, c)", "Table t has unique indices besidesthe primary key"),
        ("t(a INTEGER PRIMARY KEY NOT NULL, b, c, d DEFAULT CURRENT_TIMESTAMP)", "every copy would compute for itself"),
        ("t(a INTEGER PRIMARY KEY NOT NULL, b, c, d DEFAULT (random()))", "every copy would compute for itself"),
        (
            "t(a INTEGER PRIMARY KEY NOT NULL, b, c, e AS (b) STORED, d DEFAULT CURRENT_DATE)",
            "every copy would compute for itself",
        ),
    ] {
        let host = table(create);
        let message = refused(&host, &format!("CREATE TABLE IF NOT EXISTS {after};{TRACK}"));
        assert!(message.contains(expected), "{after}: {message}");
        run(&host, "INSERT INTO t VALUES (3, 3, 3)");
        assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 6);
    }
    let host = table(create);
    let again = refused(&host, "CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, b, c);");
    assert!(again.contains("failed to apply the updated schema") && again.contains("IF NOT EXISTS"), "{again}");
    for word in ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "RELEASE s", "END", "VACUUM", "ATTACH ':memory:' AS x"] {
        assert!(refused(&host, &format!("{T}\n{word};")).contains("leave it out"), "{word}");
    }
    let undone = refused(
        &host,
        &format!("{T} DROP TABLE IF EXISTS u; CREATE TABLE IF NOT EXISTS u(a); SELECT crsql_as_crr('u')"),
    );
    assert!(undone.contains("Table u has no primary key"), "{undone}");
    let hidden = refused(&host, &format!("{T} CREATE TABLE IF NOT EXISTS u(a); DELETE FROM sqlite_master"));
    assert!(hidden.contains("may not be modified"), "{hidden}");
}

#[test]
fn another_key_is_taken_for_a_table_that_is_not_tracked() {
    let host = memory();
    run(&host, "CREATE TABLE p(a INTEGER PRIMARY KEY, b); INSERT INTO p VALUES (1, 'x'), (2, 'y')");
    migrate(&host, "CREATE TABLE IF NOT EXISTS p(a INTEGER, b, c DEFAULT 0, PRIMARY KEY (c, a))");
    assert_eq!(rows(&host, "SELECT * FROM p"), ["1|x|0", "2|y|0"]);
    let message = refused(&host, "CREATE TABLE IF NOT EXISTS p(a INTEGER, b, c DEFAULT 0, PRIMARY KEY (c))");
    assert!(message.contains("table p: UNIQUE constraint failed"), "{message}");
}

#[test]
fn enforced_foreign_keys_do_not_delete_anything() {
    let host = memory();
    run(
        &host,
        "PRAGMA foreign_keys = ON; CREATE TABLE parent(id INTEGER PRIMARY KEY, a); CREATE TABLE child(id INTEGER PRIMARY KEY, p REFERENCES parent ON DELETE CASCADE)",
    );
    run(&host, "INSERT INTO parent VALUES (1, 'x'); INSERT INTO child VALUES (1, 1)");
    let child = "CREATE TABLE IF NOT EXISTS child(id INTEGER PRIMARY KEY, p REFERENCES parent ON DELETE CASCADE);";
    let message =
        refused(&host, &format!("CREATE TABLE IF NOT EXISTS parent(id INTEGER PRIMARY KEY, a TEXT); {child}"));
    assert!(message.contains("table child refers to it by a foreign key"), "{message}");
    let message = refused(&host, child);
    assert!(message.contains("table parent is not in the schema, but table child refers to it"), "{message}");
    assert_eq!(number(&host, "SELECT count(*) FROM child"), 1);
    migrate(&host, &format!("CREATE TABLE IF NOT EXISTS parent(id INTEGER PRIMARY KEY, a, b); {child}"));
    run(&host, "PRAGMA foreign_keys = OFF");
    migrate(&host, &format!("CREATE TABLE IF NOT EXISTS parent(id INTEGER PRIMARY KEY, a TEXT); {child}"));
    run(&host, "PRAGMA foreign_keys = ON; PRAGMA foreign_key_check");
    assert_eq!(number(&host, "SELECT count(*) FROM child, parent ON p = parent.id"), 1);
    migrate(&host, "");
    assert_eq!(number(&host, "SELECT count(*) FROM sqlite_master WHERE name IN ('child', 'parent')"), 0);
}

#[test]
fn what_was_ordered_stays_ordered() {
    let schema =
        |columns: &str| format!("CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY NOT NULL, b, o{columns});{TRACK}");
    let host = memory();
    migrate(&host, &schema(", l"));
    run(&host, "SELECT crsql_fract_as_ordered('t', 'o'); INSERT INTO t(a, o) VALUES (1, 1), (2, 1)");
    migrate(&host, &schema(", l, n"));
    run(&host, "INSERT INTO t_fractindex(a, after_a) VALUES (3, 1)");
    assert_eq!(rows(&host, "SELECT a FROM t ORDER BY o"), ["1", "3", "2"]);
    migrate(&host, &schema(", n"));
    run(&host, "INSERT INTO t_fractindex(a, n, after_a) VALUES (5, 'n', 1)");
    migrate(&host, &format!("{}\nSELECT crsql_fract_as_ordered('t', 'o', 'n');", schema(", n")));
    run(&host, "INSERT INTO t_fractindex(a, n, after_a) VALUES (4, NULL, 1)");
    assert_eq!(rows(&host, "SELECT a FROM t WHERE n IS NULL ORDER BY o"), ["1", "4", "3", "2"]);
    let message = refused(&host, &schema(""));
    assert!(message.contains("table t is ordered by (o, n), which does not fit the new schema"), "{message}");
    migrate(&host, "");
    assert_eq!(number(&host, "SELECT count(*) FROM sqlite_master WHERE name LIKE '%fract%'"), 0);
}

#[test]
fn virtual_tables_are_kept_with_their_data_or_dropped_with_it() {
    let host = memory();
    let search = "CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5(body);";
    let clset = "CREATE VIRTUAL TABLE IF NOT EXISTS foo_schema USING clset(a INTEGER PRIMARY KEY NOT NULL, b);";
    migrate(&host, &format!("{search} {clset}"));
    run(&host, "INSERT INTO search VALUES ('hello world'); INSERT INTO foo VALUES (1, 1)");
    migrate(&host, &format!("{clset} {search} CREATE TABLE IF NOT EXISTS u(a);"));
    assert_eq!(rows(&host, "SELECT body FROM search('hello')"), ["hello world"]);
    assert_eq!(rows(&host, "SELECT * FROM foo"), ["1|1"]);
    let message = refused(&host, &format!("{search} {}", clset.replace(", b", ", c")));
    assert!(message.contains("virtual table foo_schema is defined otherwise"), "{message}");
    let message =
        refused(&host, &format!("{search} CREATE TABLE IF NOT EXISTS foo(a INTEGER PRIMARY KEY NOT NULL, b)"));
    assert!(message.contains("belongs to the virtual table foo_schema"), "{message}");
    migrate(&host, clset);
    assert_eq!(number(&host, "SELECT count(*) FROM sqlite_master WHERE name LIKE 'search%'"), 0);
    migrate(&host, "");
    assert_eq!(number(&host, "SELECT count(*) FROM sqlite_master WHERE name LIKE 'foo%'"), 0);
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 1);
}

#[test]
fn the_data_of_a_virtual_table_whose_module_is_missing_is_not_dropped() {
    let host = memory();
    run(&host, "CREATE TABLE of_map(a); CREATE TABLE map_node(a); CREATE INDEX map_index ON map_node(a)");
    run(
        &host,
        "PRAGMA writable_schema = ON; INSERT INTO sqlite_master VALUES
         ('table', 'map', 'map', 0, 'CREATE VIRTUAL TABLE map USING missing(a)'); PRAGMA writable_schema = RESET",
    );
    migrate(&host, "CREATE VIRTUAL TABLE IF NOT EXISTS map USING missing(a); CREATE TABLE IF NOT EXISTS other(a)");
    let names = "SELECT name FROM sqlite_master WHERE name LIKE '%map%' OR name = 'other' ORDER BY 1";
    assert_eq!(rows(&host, names), ["map", "map_index", "map_node", "other"]);
}

#[test]
fn rows_that_do_not_fit_are_not_left_out_in_silence() {
    for definition in
        ["b NOT NULL ON CONFLICT IGNORE", "b, UNIQUE (b) ON CONFLICT REPLACE", "b UNIQUE ON CONFLICT IGNORE"]
    {
        let host = memory();
        run(&host, "CREATE TABLE p(a INTEGER PRIMARY KEY, b); INSERT INTO p VALUES (1, NULL), (2, 'x'), (3, 'x')");
        let message = refused(&host, &format!("CREATE TABLE IF NOT EXISTS p(a INTEGER PRIMARY KEY, {definition})"));
        assert!(message.contains("constraint failed: p.b"), "{definition}: {message}");
        assert_eq!(number(&host, "SELECT count(*) FROM p"), 3);
    }
}

#[test]
fn names_are_compared_as_sqlite_compares_them_and_kept_as_they_were() {
    let host = tracked("CREATE TABLE Foo(A INTEGER PRIMARY KEY NOT NULL, \"b c\")", "Foo");
    run(&host, "INSERT INTO Foo VALUES (1, 'x')");
    migrate(
        &host,
        "create table if not exists foo([a] integer primary key not null, `b c` text, d);\nselect crsql_as_crr('foo');",
    );
    run(&host, "UPDATE foo SET d = 1");
    assert_eq!(rows(&host, "SELECT [table], cid, val FROM crsql_changes"), ["Foo|b c|x", "Foo|d|1"]);
}

#[test]
fn functions_of_the_program_may_be_used_in_definitions() {
    let opened = linked::open(
        |connection| {
            let twice = |call: &Call<'_>| Ok(Output::Integer(call.arg(0).as_i64() * 2));
            connection.create_function("twice", 1, FunctionFlags::DETERMINISTIC, twice)?;
            rejoin_engine::register(connection)
        },
        Connection::open_in_memory,
    );
    let (host, _) = opened.unwrap();
    let schema = "CREATE TABLE IF NOT EXISTS f(a CHECK (twice(a) < 10), b AS (twice(a))); CREATE INDEX IF NOT EXISTS fi ON f(twice(a));";
    migrate(&host, schema);
    run(&host, "INSERT INTO f VALUES (2)");
    migrate(&host, &schema.replace("< 10", "< 12"));
    assert_eq!(rows(&host, "SELECT * FROM f WHERE twice(a) = 4"), ["2|4"]);
}

#[test]
fn a_migration_inside_a_transaction_is_rolled_back_with_it() {
    let host = table("CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, b, c)");
    let before = rows(&host, SCHEMA);
    run(&host, "BEGIN; INSERT INTO t VALUES (3, 3, 3)");
    migrate(&host, "CREATE TABLE IF NOT EXISTS u(a)");
    assert_eq!(rows(&host, "SELECT count(*) FROM crsql_changes"), ["0"]);
    run(&host, "ROLLBACK");
    assert_eq!(rows(&host, SCHEMA), before);
    run(&host, "INSERT INTO t VALUES (3, 3, 3)");
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 6);
}
