//! Rows in an order of their own.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use rusqlite::Connection;
use support::*;

/// A tracked table of lists, ordered by the column `place`.
fn todo() -> Connection {
    let host =
        tracked("CREATE TABLE todo(id INTEGER PRIMARY KEY NOT NULL, list, place, done NOT NULL DEFAULT 0)", "todo");
    run(&host, "SELECT crsql_fract_as_ordered('todo', 'place', 'list')");
    host
}

fn in_order(host: &Connection, list: &str) -> String {
    rows(host, &format!("SELECT id FROM todo WHERE list IS {list} ORDER BY place")).join(" ")
}

#[test]
fn a_key_between_two_is_asked_for_by_sql() {
    let host = memory();
    let key = |arguments: &str| one(&host, &format!("SELECT '[' || crsql_fract_key_between({arguments}) || ']'"));
    assert_eq!(key("NULL, NULL"), "[a ]");
    assert_eq!(key("'a0', 'a1'"), "[a0P]");
    assert_eq!(key("x'6130', NULL"), "[a1]");
    for (arguments, expected) in [
        ("5, 7", "head is out of range"),
        ("1.5, NULL", "head is out of range"),
        ("'a1', 'a1'", "key_between - a must be before b"),
        ("'', NULL", "a key is not empty"),
        ("'aé', 'b'", "printable ASCII"),
        ("x'ff', NULL", "printable ASCII"),
    ] {
        let message = failure(&host, &format!("SELECT crsql_fract_key_between({arguments})"));
        assert!(message.contains(expected), "{arguments}: {message}");
    }
    run(&host, "CREATE TABLE t(a, b, c AS (crsql_fract_key_between(a, b)))");
}

#[test]
fn minus_one_and_one_ask_for_the_front_and_the_end_of_the_list() {
    let host = todo();
    run(
        &host,
        "INSERT INTO todo(id, list, place) VALUES (1, 'a', 1), (2, 'a', 1), (3, 'a', -1), (4, 'b', 1), (5, 'b', '-1')",
    );
    assert_eq!((in_order(&host, "'a'"), in_order(&host, "'b'")), ("3 1 2".into(), "5 4".into()));
    run(&host, "UPDATE todo SET place = -1 WHERE id = 2; UPDATE todo SET place = 1 WHERE id = 3");
    assert_eq!(in_order(&host, "'a'"), "2 1 3");
    run(&host, "INSERT INTO todo(id, place) VALUES (6, 1), (7, 1), (8, -1)");
    assert_eq!(in_order(&host, "NULL"), "8 6 7", "rows without a list are a list");
    assert_eq!(rows(&host, "SELECT count(DISTINCT place) FROM todo WHERE list IS NULL"), ["3"]);
}

#[test]
fn a_row_is_recorded_with_its_place_as_the_original_records_it() {
    let host = todo();
    run(&host, "INSERT INTO todo(id, list, place) VALUES (1, 'a', 1)");
    assert_eq!(clock(&host, "todo"), ["1|done|1|1|0|4", "1|list|1|1|0|2", "1|place|2|1|0|3"]);
    run(&host, "INSERT INTO todo_fractindex(id, list, after_id) VALUES (2, 'a', 1)");
    assert_eq!(clock(&host, "todo")[3..], ["2|done|1|2|0|2", "2|list|1|2|0|0", "2|place|1|2|0|1"]);
}

#[test]
fn the_view_inserts_and_moves_behind_a_row() {
    let host = todo();
    run(&host, "INSERT INTO todo(id, list, place) VALUES (1, 'a', 1), (2, 'a', 1), (3, 'a', 1)");
    run(
        &host,
        "INSERT INTO todo_fractindex(id, list, after_id) VALUES (4, 'a', 1), (5, 'a', 3), (6, 'a', NULL), (7, 'a', 99)",
    );
    assert_eq!(in_order(&host, "'a'"), "7 6 1 4 2 3 5");
    assert_eq!(rows(&host, "SELECT DISTINCT done FROM todo"), ["0"], "a default stands in for no value");
    run(&host, "UPDATE todo_fractindex SET after_id = 3 WHERE id = 7");
    assert_eq!(in_order(&host, "'a'"), "6 1 4 2 3 7 5");
    run(&host, "UPDATE todo_fractindex SET after_id = NULL WHERE id = 5");
    assert_eq!(in_order(&host, "'a'"), "5 6 1 4 2 3 7");
    run(&host, "UPDATE todo_fractindex SET id = 70, done = 1, after_id = 5 WHERE id = 7");
    assert_eq!(in_order(&host, "'a'"), "5 70 6 1 4 2 3");
    assert_eq!(one(&host, "SELECT done FROM todo WHERE id = 70"), "1");
}

#[test]
fn rows_that_share_a_place_are_moved_apart() {
    let host = todo();
    run(
        &host,
        "INSERT INTO todo(id, list, place) VALUES (9, 'a', 'a P'), (1, 'a', 'a!'), (2, 'a', 'a!'), (8, 'b', 'a d')",
    );
    run(&host, "INSERT INTO todo_fractindex(id, list, after_id) VALUES (3, 'a', 1)");
    assert_eq!(
        rows(&host, "SELECT id, place FROM todo WHERE list = 'a' ORDER BY place"),
        ["9|a P", "1|a h", "3|a t", "2|a!"]
    );
    let fix = "SELECT crsql_fract_fix_conflict_return_old_key('todo', 'place', 'list', -1, 'id', 2)";
    assert_eq!(one(&host, fix), "a }");
    assert_eq!(one(&host, "SELECT place FROM todo WHERE id = 2"), "a z");
}

#[test]
fn wrong_arguments_for_a_conflict_are_refused() {
    let host = todo();
    let wrong = "Incorrect number of primary keys and values provided. Must have at least 1 primary key.";
    let failed = "Failed fixing up ordering conflicts on insert";
    for (arguments, expected) in [
        ("'todo', 'place', -1", "Too few arguments to fix_conflict_return_old_key"),
        ("'todo', 'place', -1, 'id'", wrong),
        ("'todo', 'place', 'id', 2", wrong),
        ("'todo', 'place', 'list', -1", wrong),
        ("NULL, 'place', -1, 'id', 2", wrong),
        ("'todo', 'place', -1, 'id', 2", failed),
        ("'nope', 'place', -1, 'id', 2", failed),
        ("'todo', 'nope', -1, 'id', 2", failed),
        ("'todo', 'place', -1, 'nope', 2", failed),
    ] {
        let message = failure(&host, &format!("SELECT crsql_fract_fix_conflict_return_old_key({arguments})"));
        assert!(message.contains(expected), "{arguments}: {message}");
    }
}

#[test]
fn every_table_that_can_be_tracked_can_be_ordered() {
    for create in [
        "CREATE TABLE t(k1 TEXT NOT NULL, o, k2 INTEGER NOT NULL, l, PRIMARY KEY (k2, k1)) WITHOUT ROWID",
        "CREATE TABLE t(k1 TEXT NOT NULL, o TEXT, k2 INTEGER NOT NULL, l, PRIMARY KEY (k2, k1))",
        "CREATE TABLE t(k1 TEXT NOT NULL, o TEXT COLLATE NOCASE, k2 INTEGER NOT NULL, l, g AS (k2 + 1), PRIMARY KEY (k1, k2)) STRICT",
    ] {
        let create = if create.ends_with("STRICT") {
            create.replace(" l,", " l TEXT,").replace(" g AS", " g INTEGER AS")
        } else {
            create.into()
        };
        let host = tracked(&create, "t");
        run(&host, "SELECT crsql_fract_as_ordered('t', 'o', 'l')");
        run(&host, "INSERT INTO t(k1, k2, o) VALUES ('a', 1, 1), ('b', 1, 1), ('a', 2, -1)");
        run(&host, "INSERT INTO t_fractindex(k1, k2, after_k1, after_k2) VALUES ('c', 3, 'a', 1), ('d', 4, 'a', NULL)");
        let order = || rows(&host, "SELECT k1 || k2 FROM t ORDER BY o COLLATE BINARY").join(" ");
        assert_eq!(order(), "d4 a2 a1 c3 b1", "{create}");
        run(
            &host,
            "UPDATE t SET o = 1 WHERE k1 = 'd'; UPDATE t_fractindex SET after_k1 = 'b', after_k2 = 1 WHERE k1 = 'c'",
        );
        assert_eq!(order(), "a2 a1 b1 c3 d4", "{create}");
        run(&host, "UPDATE t SET o = (SELECT o FROM t WHERE k1 = 'b') WHERE k1 = 'c'");
        run(&host, "INSERT INTO t_fractindex(k1, k2, after_k1, after_k2) VALUES ('e', 5, 'b', 1)");
        assert_eq!(order(), "a2 a1 b1 e5 c3 d4", "{create}");
    }
}

#[test]
fn names_that_need_quotes_work() {
    let host = tracked(
        "CREATE TABLE \"it's \"\"a\"\"\"(\"k '\" INTEGER PRIMARY KEY NOT NULL, \"order\", \"l\"\"\")",
        "it's \"a\"",
    );
    run(&host, "SELECT crsql_fract_as_ordered('it''s \"a\"', 'order', 'l\"')");
    run(&host, "INSERT INTO \"it's \"\"a\"\"\" VALUES (1, 1, 0), (2, 1, 0)");
    run(&host, "UPDATE \"it's \"\"a\"\"\" SET \"order\" = 'a!'");
    run(&host, "INSERT INTO \"it's \"\"a\"\"_fractindex\"(\"k '\", \"l\"\"\", \"after_k '\") VALUES (3, 0, 1)");
    assert_eq!(rows(&host, "SELECT \"k '\" FROM \"it's \"\"a\"\"\" ORDER BY \"order\""), ["1", "3", "2"]);
}

#[test]
fn merged_rows_keep_the_place_that_their_author_gave() {
    let (author, peer) = (
        tracked("CREATE TABLE todo(id INTEGER PRIMARY KEY NOT NULL, list, place, done NOT NULL DEFAULT 0)", "todo"),
        todo(),
    );
    run(&author, "INSERT INTO todo(id, list, place) VALUES (1, 'a', 1)");
    pull(&author, &peer);
    assert_eq!(rows(&peer, "SELECT place FROM todo"), ["1"]);
    let (one, other) = (todo(), todo());
    run(&one, "INSERT INTO todo(id, list, place) VALUES (1, 'a', 1), (2, 'a', 1)");
    pull(&one, &other);
    run(&other, "INSERT INTO todo_fractindex(id, list, after_id) VALUES (3, 'a', 1)");
    pull(&other, &one);
    assert_eq!(rows(&one, "SELECT * FROM todo"), rows(&other, "SELECT * FROM todo"));
    assert_eq!(in_order(&one, "'a'"), "1 3 2");
}

#[test]
fn ordering_anew_takes_the_new_lists_and_new_columns() {
    let host = todo();
    run(&host, "SELECT crsql_begin_alter('todo'); ALTER TABLE todo ADD COLUMN note; SELECT crsql_commit_alter('todo')");
    run(&host, "SELECT crsql_fract_as_ordered('TODO', 'Place')");
    run(
        &host,
        "INSERT INTO todo(id, list, place) VALUES (1, 'a', 1), (2, 'b', 1); UPDATE todo SET place = 1 WHERE id = 1",
    );
    assert_eq!(rows(&host, "SELECT id FROM todo ORDER BY place"), ["2", "1"], "one list, in both triggers");
    run(&host, "INSERT INTO todo_fractindex(id, note, after_id) VALUES (3, 'n', 2)");
    assert_eq!(rows(&host, "SELECT id, note FROM todo ORDER BY place"), ["2|NULL", "3|n", "1|NULL"]);
    let made = "SELECT type, name FROM sqlite_master WHERE name LIKE '%fractindex%' ORDER BY rowid";
    assert_eq!(
        rows(&host, made),
        [
            "trigger|__crsql_todo_fractindex_pend_trig",
            "trigger|__crsql_todo_fractindex_ezmove",
            "view|todo_fractindex",
            "trigger|todo_fractindex_insert_trig",
            "trigger|todo_fractindex_update_trig"
        ]
    );
}

#[test]
fn a_failure_leaves_the_order_that_was_there_and_the_callers_transaction() {
    let host = todo();
    run(&host, "CREATE TABLE nokey(a, o); CREATE TABLE taken(a INTEGER PRIMARY KEY NOT NULL, o, after_a)");
    run(&host, "BEGIN; INSERT INTO todo(id, list, place) VALUES (1, 'a', 1)");
    let columns = "all columns are not present in the base table";
    for (arguments, expected) in [
        ("'todo'", "Must provide at least 2 arguments -- the table name and the column to order by"),
        ("'todo', 'nope'", columns),
        ("'todo', 'place', 'nope'", columns),
        ("'todo', NULL", columns),
        ("NULL, 'place'", columns),
        ("'nope', 'place'", columns),
        ("'todo_fractindex', 'place'", columns),
        ("'todo', 'id'", "cannot hold a place"),
        ("'nokey', 'o'", "no primary key"),
        ("'taken', 'o'", "after_a"),
    ] {
        let message = failure(&host, &format!("SELECT crsql_fract_as_ordered({arguments})"));
        assert!(message.contains(expected), "{arguments}: {message}");
        assert!(!host.is_autocommit());
    }
    run(&host, "INSERT INTO todo_fractindex(id, list, after_id) VALUES (2, 'a', 1); COMMIT");
    assert_eq!(in_order(&host, "'a'"), "1 2");
}
