//! Merging records of others through `INSERT INTO crsql_changes`.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use rusqlite::Connection;
use rusqlite::types::Value;
use support::*;

const S1: [u8; 16] = [0x11; 16];
const S2: [u8; 16] = [0x22; 16];

#[derive(Clone)]
struct Sent {
    cid: &'static str,
    val: Value,
    col_version: i64,
    cl: i64,
    db_version: i64,
    site: [u8; 16],
    seq: i64,
}

fn sent(cid: &'static str, val: i64, col_version: i64, cl: i64, db_version: i64, site: [u8; 16], seq: i64) -> Sent {
    let val = if cid == "-1" { Value::Null } else { Value::Integer(val) };
    Sent { cid, val, col_version, cl, db_version, site, seq }
}

fn record(sent: Sent) -> Record {
    [
        Value::Text("foo".into()),
        Value::Blob(vec![1, 9, 1]),
        Value::Text(sent.cid.into()),
        sent.val,
        Value::Integer(sent.col_version),
        Value::Integer(sent.db_version),
        Value::Blob(sent.site.into()),
        Value::Integer(sent.cl),
        Value::Integer(sent.seq),
    ]
}

fn receive(host: &Connection, sent: Sent) -> i64 {
    merge(host, &record(sent)).unwrap()
}

#[test]
fn the_worked_merges_end_as_the_originals_do() {
    let host = foo();
    receive(&host, sent("b", 10, 1, 1, 5, S1, 0));
    assert_eq!(clock(&host, "foo"), ["1|b|1|5|1|0"]);
    assert_eq!(rows(&host, "SELECT * FROM foo"), ["1|10|NULL"]);
    receive(&host, sent("b", 11, 1, 1, 3, S2, 7));
    assert_eq!(clock(&host, "foo"), ["1|b|1|6|2|7"]);

    let host = foo();
    receive(&host, sent("-1", 0, 2, 2, 5, S1, 3));
    assert_eq!(clock(&host, "foo"), ["1|-1|2|5|1|3"]);
    assert_eq!(rows(&host, "SELECT * FROM foo"), [] as [&str; 0]);
    assert_eq!(rows(&host, "SELECT * FROM foo__crsql_pks"), ["1|1"]);
    receive(&host, sent("b", 1, 1, 3, 9, S2, 3));
    assert_eq!(clock(&host, "foo"), ["1|-1|3|9|2|3", "1|b|1|9|2|3"]);
    assert_eq!(rows(&host, "SELECT * FROM foo"), ["1|1|NULL"]);
    receive(&host, sent("c", 1, 1, 5, 8, S2, 4));
    assert_eq!(clock(&host, "foo"), ["1|-1|5|10|2|4", "1|b|0|10|2|3", "1|c|1|10|2|4"]);
    assert_eq!(rows(&host, "SELECT * FROM foo"), ["1|1|1"]);
    receive(&host, sent("-1", 0, 7, 7, 40, S2, 0));
    assert_eq!(clock(&host, "foo"), ["1|-1|7|40|2|0", "1|b|0|40|2|3", "1|c|0|40|2|4"]);
    receive(&host, sent("-1", 0, 8, 8, 41, S2, 0));
    assert_eq!(clock(&host, "foo"), ["1|-1|8|41|2|0"]);
    receive(&host, sent("-1", 0, 9, 9, 1, S2, 0));
    assert_eq!(clock(&host, "foo"), ["1|-1|9|42|2|0"]);
    assert_eq!(rows(&host, "SELECT * FROM foo"), ["1|NULL|NULL"]);

    let host = foo();
    receive(&host, sent("b", 7, 4, 3, 5, S1, 1));
    assert_eq!(clock(&host, "foo"), ["1|-1|3|5|1|1", "1|b|4|5|1|1"]);

    for cl in [0, -1] {
        let host = foo();
        assert_eq!(receive(&host, sent("b", 7, 4, cl, 5, S1, 1)), 0);
        assert_eq!(clock(&host, "foo"), [] as [&str; 0]);
        assert_eq!(rows(&host, "SELECT * FROM foo__crsql_pks"), ["1|1"]);
        assert_eq!(rows(&host, "SELECT ordinal FROM crsql_site_id"), ["0"]);
    }
}

#[test]
fn the_rowid_says_whether_a_record_had_an_effect() {
    let host = tracked(
        "CREATE TABLE other(a PRIMARY KEY NOT NULL); CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b, c)",
        "other",
    );
    track(&host, "foo");
    assert_eq!(receive(&host, sent("b", 10, 1, 1, 5, S1, 0)), 10_000_000_000_001);
    assert_eq!(receive(&host, sent("b", 10, 1, 1, 5, S1, 0)), 0);
    assert_eq!(host.changes(), 1);
    assert_eq!(rows(&host, "SELECT rowid FROM crsql_changes"), ["10000000000001"]);
}

/// SQLite evaluates RETURNING of a virtual table before the row is inserted: each value is of the record before.
#[test]
fn returning_echoes_the_record_and_shows_what_came_of_the_one_before() {
    let host = foo();
    receive(&host, sent("b", 10, 1, 1, 5, S1, 0));
    let two = "INSERT INTO crsql_changes VALUES ('foo', x'010901', 'b', 9, 1, 5, x'aa', 1, 0), ('foo', x'010902', 'b', 8, 1, 5, x'aa', 1, 0)
        RETURNING cid, val, db_version, last_insert_rowid()";
    assert_eq!(rows(&host, two), ["b|9|5|1", "b|8|5|0"]);
    assert_eq!(host.last_insert_rowid(), 2);
}

#[test]
fn rows_impacted_counts_until_the_transaction_ends() {
    let host = foo();
    let impacted = || number(&host, "SELECT crsql_rows_impacted()");
    run(&host, "BEGIN");
    receive(&host, sent("b", 10, 1, 1, 5, S1, 0));
    receive(&host, sent("b", 10, 1, 1, 5, S1, 0));
    assert_eq!(impacted(), 1);
    receive(&host, sent("b", 10, 1, 3, 5, S1, 0));
    assert_eq!(impacted(), 3, "a reviving cell counts twice");
    run(&host, "ROLLBACK");
    assert_eq!(impacted(), 0);
    run(&host, "BEGIN");
    receive(&host, sent("-1", 0, 2, 2, 5, S1, 0));
    assert_eq!(impacted(), 1);
    run(&host, "COMMIT");
    assert_eq!(impacted(), 0);
}

#[test]
fn with_merge_equal_values_the_greater_site_wins_a_tie_of_values() {
    let host = foo();
    let author = || one(&host, "SELECT substr(hex(site_id), 1, 2) FROM crsql_changes");
    let set = |value: i64| run(&host, &format!("SELECT crsql_config_set('merge-equal-values', {value})"));
    assert_ne!(receive(&host, sent("b", 10, 1, 1, 5, S1, 0)), 0);
    for off in [0, 2] {
        set(off);
        assert_eq!(receive(&host, sent("b", 10, 1, 1, 5, S2, 0)), 0);
        assert_eq!(author(), "11");
    }
    set(1);
    assert_eq!(receive(&host, sent("b", 10, 1, 1, 5, S1, 0)), 0, "its own is no news");
    assert_ne!(receive(&host, sent("b", 10, 1, 1, 5, S2, 7)), 0);
    assert_eq!(rows(&host, "SELECT val, col_version, db_version, seq FROM crsql_changes"), ["10|1|6|7"]);
    assert_eq!(author(), "22");
    assert_eq!(receive(&host, sent("b", 10, 1, 1, 5, S1, 0)), 0, "the smaller one loses");
    assert_eq!(receive(&host, sent("b", 9, 1, 1, 5, [0xff; 16], 0)), 0, "the value decides first");
    assert_ne!(receive(&host, sent("b", 11, 1, 1, 5, S1, 0)), 0);
    // In a transaction, with the setting changed and taken back in it.
    run(&host, "BEGIN; SAVEPOINT s");
    set(0);
    assert_eq!(receive(&host, sent("b", 11, 1, 1, 5, S2, 0)), 0);
    run(&host, "ROLLBACK TO s");
    assert_ne!(receive(&host, sent("b", 11, 1, 1, 5, S2, 0)), 0);
    run(&host, "COMMIT; DELETE FROM crsql_site_id WHERE ordinal > 0");
    let message = merge(&host, &record(sent("b", 11, 1, 1, 5, [0xee; 16], 0))).unwrap_err().to_string();
    assert!(message.contains("could not find site_id for previous change"), "{message}");
}

#[test]
fn with_merge_equal_values_copies_agree_on_who_wrote_a_value() {
    let hosts = [foo(), foo(), foo()];
    for host in &hosts {
        run(host, "SELECT crsql_config_set('merge-equal-values', 1); INSERT INTO foo VALUES (1, 'same', 'same')");
    }
    for _ in 0..2 {
        for [from, to] in [[0, 1], [1, 2], [2, 0], [1, 0], [0, 2], [2, 1]] {
            pull(&hosts[from], &hosts[to]);
        }
    }
    let authors = |host: &Connection| rows(host, "SELECT cid, hex(site_id) FROM crsql_changes ORDER BY cid");
    let greatest = hosts.iter().map(|host| one(host, "SELECT hex(crsql_site_id())")).max().unwrap();
    for host in &hosts {
        assert_eq!(authors(host), [format!("b|{greatest}"), format!("c|{greatest}")]);
    }
}

#[test]
fn what_was_undone_does_not_count() {
    let host = foo();
    let impacted = || number(&host, "SELECT crsql_rows_impacted()");
    let cell = |b: i64| receive(&host, sent("b", b, b, 1, 5, S1, 0));
    let fails = "INSERT INTO crsql_changes VALUES ('foo', x'010907', 'b', 1, 9, 1, x'aa', 1, 0), ('foo', x'010907', 'nope', 1, 9, 1, x'aa', 1, 0)";
    run(&host, "BEGIN; SAVEPOINT before");
    cell(1);
    run(&host, "SAVEPOINT outer");
    cell(2);
    run(&host, "SAVEPOINT inner");
    cell(3);
    failure(&host, fails);
    assert_eq!(impacted(), 3);
    run(&host, "ROLLBACK TO inner");
    assert_eq!(impacted(), 2);
    cell(4);
    run(&host, "RELEASE inner; SAVEPOINT again");
    cell(5);
    assert_eq!(impacted(), 4);
    run(&host, "ROLLBACK TO outer");
    assert_eq!(impacted(), 1);
    cell(6);
    run(&host, "ROLLBACK TO outer; ROLLBACK TO before");
    assert_eq!(impacted(), 0, "that savepoint is older than the first merge");
    cell(7);
    failure(&host, fails);
    assert_eq!(impacted(), 1);
    run(&host, "COMMIT");
    failure(&host, fails);
    assert_eq!(impacted(), 0);
}

#[test]
fn a_key_is_looked_up_as_the_table_stores_it() {
    let cell = |key: &[u8], value: i64| {
        let mut record = record(sent("b", value, value, 1, 1, S1, 0));
        record[1] = Value::Blob(key.to_vec());
        record
    };
    let (number_1, text_1, real_1) =
        (&[1, 9, 1][..], &[1, 0x0b, 1, b'1'][..], &[1, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0][..]);
    for (declared, table, stored) in [
        ("INTEGER", "", "integer"),
        ("INT", "", "integer"),
        ("DECIMAL(9, 2)", "WITHOUT ROWID", "integer"),
        ("INT", "STRICT", "integer"),
        ("REAL", "STRICT, WITHOUT ROWID", "real"),
        ("FLOAT", "", "real"),
    ] {
        for order in [[number_1, text_1, real_1], [text_1, real_1, number_1], [real_1, number_1, text_1]] {
            let host = tracked(&format!("CREATE TABLE foo(a {declared} PRIMARY KEY NOT NULL, b ANY) {table}"), "foo");
            for (value, key) in (1..).zip(order) {
                merge(&host, &cell(key, value)).unwrap();
            }
            assert_eq!(
                rows(&host, "SELECT a = 1, typeof(a), b FROM foo"),
                [format!("1|{stored}|3")],
                "{declared} {table}"
            );
            assert_eq!(rows(&host, "SELECT cid, val, col_version FROM crsql_changes"), ["b|3|3"], "{declared} {table}");
            run(&host, "UPDATE foo SET b = 4");
            assert_eq!(number(&host, "SELECT count(*) FROM foo__crsql_pks"), 1, "{declared} {table}");
        }
    }
    // What is another value to the table stays one.
    let host = tracked("CREATE TABLE foo(a TEXT PRIMARY KEY NOT NULL, b)", "foo");
    for (value, key) in [(1, number_1), (2, text_1), (3, &[1, 0x0b, 2, b'0', b'1'])] {
        merge(&host, &cell(key, value)).unwrap();
    }
    assert_eq!(rows(&host, "SELECT a, typeof(a), b FROM foo"), ["1|text|2", "01|text|3"]);
    for (declared, table) in [("", ""), ("BLOB", ""), ("ANY", "STRICT")] {
        let host = tracked(&format!("CREATE TABLE foo(a {declared} PRIMARY KEY NOT NULL, b ANY) {table}"), "foo");
        merge(&host, &cell(number_1, 1)).unwrap();
        merge(&host, &cell(text_1, 2)).unwrap();
        assert_eq!(rows(&host, "SELECT typeof(a), b FROM foo ORDER BY b"), ["integer|1", "text|2"], "{declared}");
        assert_eq!(number(&host, "SELECT count(*) FROM foo__crsql_pks"), 2);
    }
    // A text that is no number is no key of an INTEGER PRIMARY KEY, and stays a text elsewhere.
    let words: &[u8] = &[1, 0x0b, 2, b'1', b'x'];
    assert!(merge(&foo(), &cell(words, 1)).unwrap_err().to_string().contains("datatype mismatch"));
    let host = tracked("CREATE TABLE foo(a INT PRIMARY KEY NOT NULL, b)", "foo");
    merge(&host, &cell(words, 1)).unwrap();
    assert_eq!(rows(&host, "SELECT a, typeof(a) FROM foo"), ["1x|text"]);
}

#[test]
fn all_events_of_a_transaction_share_a_version_that_merges_can_raise() {
    let host = foo();
    run(&host, "BEGIN; INSERT INTO foo VALUES (5, 1, 1)");
    receive(&host, sent("b", 10, 1, 1, 50, S1, 0));
    run(&host, "INSERT INTO foo VALUES (6, 1, 1); COMMIT");
    let versions = "SELECT DISTINCT db_version FROM foo__crsql_clock ORDER BY 1";
    assert_eq!(rows(&host, versions), ["1", "50"]);
    receive(&host, sent("c", 10, 1, 1, 3, S1, 0));
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 51);
    receive(&host, sent("c", 11, 2, 1, 70, S1, 0));
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 70);
}

#[test]
fn values_tie_by_class_and_are_compared_before_affinity() {
    let rising = [
        Value::Null,
        Value::Blob(vec![0xff]),
        Value::Text("".into()),
        Value::Text("9".into()),
        Value::Real(2.5),
        Value::Integer(-5),
    ];
    for (i, stored) in rising.iter().enumerate() {
        for (j, incoming) in rising.iter().enumerate() {
            let host = foo();
            let with = |val: &Value| Sent { val: val.clone(), ..sent("b", 0, 1, 1, 1, S1, 0) };
            receive(&host, with(stored));
            let effective = receive(&host, with(incoming)) != 0;
            assert_eq!(effective, j > i, "{incoming:?} against {stored:?}");
        }
    }
    let host = tracked("CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b INTEGER, c TEXT)", "foo");
    receive(&host, sent("b", 7, 1, 1, 1, S1, 0));
    assert_eq!(receive(&host, Sent { val: Value::Text("9".into()), ..sent("b", 0, 1, 1, 1, S1, 0) }), 0);
    receive(&host, Sent { val: Value::Text("5".into()), ..sent("c", 0, 1, 1, 1, S1, 0) });
    assert_ne!(receive(&host, sent("c", 9, 1, 1, 1, S1, 0)), 0);
    assert_eq!(rows(&host, "SELECT b, typeof(b), c, typeof(c) FROM foo"), ["7|integer|9|text"]);
}

#[test]
fn authors_are_numbered_when_they_first_win() {
    let host = foo();
    receive(&host, sent("-1", 0, 1, 0, 1, S2, 0));
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_site_id"), 1);
    receive(&host, sent("b", 1, 1, 1, 1, S2, 0));
    receive(&host, sent("b", 2, 2, 1, 1, S1, 0));
    assert_eq!(
        rows(
            &host,
            "SELECT ordinal, hex(site_id) = '22222222222222222222222222222222' FROM crsql_site_id WHERE ordinal > 0"
        ),
        ["1|1", "2|0"]
    );
    let own = host.query_row("SELECT crsql_site_id()", [], |row| row.get::<_, [u8; 16]>(0)).unwrap();
    receive(&host, sent("c", 2, 1, 1, 1, own, 0));
    let mut nobodys = record(sent("c", 2, 2, 1, 1, own, 0));
    nobodys[6] = Value::Null;
    merge(&host, &nobodys).unwrap();
    assert_eq!(rows(&host, "SELECT col_name, site_id FROM foo__crsql_clock"), ["b|2", "c|0"]);
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes WHERE site_id = crsql_site_id()"), 1);
}

#[test]
fn a_new_identity_is_taken_over_at_once() {
    let host = foo();
    receive(&host, sent("b", 1, 1, 1, 1, S1, 0));
    run(
        &host,
        "UPDATE crsql_site_id SET ordinal = 9 WHERE ordinal = 0; INSERT INTO crsql_site_id VALUES (zeroblob(16), 0)",
    );
    assert_eq!(one(&host, "SELECT crsql_site_id()"), "00".repeat(16));
    receive(&host, sent("c", 1, 1, 1, 1, [0; 16], 0));
    assert_eq!(rows(&host, "SELECT site_id FROM foo__crsql_clock WHERE col_name = 'c'"), ["0"]);
}

/// Tries a record that must fail, in a transaction and outside of one, and checks that nothing has changed.
fn refused(host: &Connection, record: &Record) -> String {
    let state = |host: &Connection| {
        [
            "SELECT * FROM foo",
            "SELECT * FROM foo__crsql_clock",
            "SELECT * FROM foo__crsql_pks",
            "SELECT * FROM crsql_site_id",
        ]
        .map(|sql| rows(host, sql))
    };
    let before = state(host);
    run(host, "BEGIN");
    let message = merge(host, record).expect_err("the record is refused").to_string();
    assert_eq!(state(host), before, "inside the transaction: {message}");
    assert_eq!(number(host, "SELECT crsql_internal_sync_bit()"), 0);
    run(host, "COMMIT");
    merge(host, record).expect_err("the record is refused");
    assert_eq!(state(host), before, "{message}");
    message
}

#[test]
fn malformed_records_are_refused_in_words_and_leave_nothing() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 2, 3)");
    let with = |place: usize, value: Value| {
        let mut record = record(sent("b", 10, 9, 1, 5, S1, 0));
        record[place] = value;
        record
    };
    let text = |text: &str| Value::Text(text.into());
    for (place, value, expected) in [
        (0, text("bar"), "crsql - could not find the schema information for table bar"),
        (0, text("FOO"), "crsql - could not find the schema information for table FOO"),
        (0, text(&"x".repeat(2049)), "crsql - table name exceeded max length"),
        (2, text(&"x".repeat(2049)), "crsql - column name exceeded max length"),
        (6, Value::Blob(vec![1; 17]), "crsql - site id exceeded max length"),
        (6, Value::Integer(5), "site id is a number"),
        (1, Value::Null, "not a packed blob"),
        (1, Value::Blob(vec![]), "ends before its values"),
        (1, Value::Blob(vec![1, 0x0b, 9]), "ends before its values"),
        (1, Value::Blob(vec![1, 0x07]), "unknown tag byte"),
        (1, Value::Blob(vec![1, 0xfb, 0, 0]), "a field of 31 bytes"),
        (1, Value::Blob(vec![2, 9, 1, 9, 1]), "column b of table foo: the primary key has 2 values, the table's has 1"),
        (1, Value::Blob(vec![0]), "the primary key has 0 values"),
        (1, Value::Blob(vec![1, 5]), "a value of the primary key is NULL"),
        (2, text("nope"), "failed to merge column nope of table foo: the table has no column nope"),
        (2, text("a"), "no column a outside of its primary key"),
        (2, Value::Blob(vec![0xff]), "not UTF-8"),
        (4, Value::Integer(1 << 53), "col_version is 9007199254740992"),
        (4, Value::Integer(-1), "col_version is -1"),
        (5, Value::Integer(i64::MAX), "db_version is 9223372036854775807"),
        (7, Value::Integer(i64::MAX), "cl is 9223372036854775807"),
        (8, Value::Integer(-1), "seq is -1"),
    ] {
        let message = refused(&host, &with(place, value));
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

#[test]
fn a_refused_value_leaves_nothing_and_local_writes_are_recorded_afterwards() {
    let host = tracked("CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b CHECK (b <> 13), c)", "foo");
    run(&host, "CREATE TRIGGER no AFTER DELETE ON foo BEGIN SELECT RAISE(ABORT, 'rows stay'); END");
    let message = refused(&host, &record(sent("b", 13, 1, 1, 5, S1, 0)));
    assert!(message.contains("failed to merge column b of table foo: CHECK constraint failed"), "{message}");
    refused(&host, &record(sent("b", 13, 1, 3, 5, S1, 0)));
    run(&host, "INSERT INTO foo VALUES (1, 2, 3)");
    assert_eq!(clock(&host, "foo"), ["1|b|1|1|0|0", "1|c|1|1|0|1"]);
    refused(&host, &record(sent("b", 13, 1, 3, 5, S1, 0)));
    assert!(refused(&host, &record(sent("-1", 0, 2, 2, 5, S1, 0))).contains("rows stay"));
    run(&host, "UPDATE foo SET b = 3");
    assert_eq!(clock(&host, "foo"), ["1|b|2|2|0|0", "1|c|1|1|0|1"]);
}

/// A constraint's own ON CONFLICT clause is for the user's statements. A value that a peer sent is stored as it is, or refused.
#[test]
fn a_conflict_clause_of_the_table_neither_swallows_a_value_nor_ends_the_callers_transaction() {
    for clause in ["IGNORE", "REPLACE", "ROLLBACK", "FAIL", "ABORT"] {
        let host = tracked(
            &format!(
                "CREATE TABLE foo(a INTEGER PRIMARY KEY ON CONFLICT {clause} NOT NULL ON CONFLICT {clause},
                 b NOT NULL ON CONFLICT {clause} DEFAULT 5, c CHECK (c <> 13))"
            ),
            "foo",
        );
        let null = Sent { val: Value::Null, ..sent("b", 0, 2, 1, 5, S1, 0) };
        run(&host, "BEGIN; INSERT INTO foo VALUES (2, 2, 2)");
        for record in [record(null.clone()), record(sent("c", 13, 2, 1, 5, S1, 0))] {
            // First where the row is not there, then where it is.
            assert!(refused_inside(&host, &record).contains("constraint failed"), "{clause}");
        }
        receive(&host, sent("b", 7, 1, 1, 5, S1, 0));
        receive(&host, sent("c", 7, 1, 1, 5, S1, 0));
        for record in [record(null), record(sent("c", 13, 2, 1, 5, S1, 0))] {
            assert!(refused_inside(&host, &record).contains("constraint failed"), "{clause}");
        }
        receive(&host, sent("b", 8, 2, 1, 5, S1, 0));
        run(&host, "COMMIT");
        assert_eq!(rows(&host, "SELECT * FROM foo"), ["1|8|7", "2|2|2"], "{clause}");
    }
}

#[test]
fn a_trigger_that_ignores_a_write_refuses_the_record() {
    let host = foo();
    run(
        &host,
        "INSERT INTO foo VALUES (1, 1, 1);
         CREATE TRIGGER i BEFORE INSERT ON foo WHEN NEW.a > 1 BEGIN SELECT RAISE(IGNORE); END;
         CREATE TRIGGER u BEFORE UPDATE ON foo WHEN NEW.b = 13 BEGIN SELECT RAISE(IGNORE); END;
         CREATE TRIGGER d BEFORE DELETE ON foo BEGIN SELECT RAISE(IGNORE); END; BEGIN",
    );
    let mut elsewhere = record(sent("b", 2, 1, 1, 5, S1, 0));
    elsewhere[1] = Value::Blob(vec![1, 9, 2]);
    for record in [record(sent("b", 13, 9, 1, 5, S1, 0)), record(sent("-1", 0, 2, 2, 5, S1, 0)), elsewhere] {
        assert!(refused_inside(&host, &record).contains("the table ignored the"), "{record:?}");
    }
    receive(&host, sent("b", 7, 2, 1, 5, S1, 0));
    run(&host, "COMMIT; DROP TRIGGER d");
    receive(&host, sent("-1", 0, 2, 2, 5, S1, 0));
    // What is not there cannot be deleted, and is remembered as deleted.
    receive(&host, sent("-1", 0, 4, 4, 5, S1, 0));
    assert_eq!(rows(&host, "SELECT cid, cl FROM crsql_changes"), ["-1|4"]);

    let host = tracked("CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL CHECK (a <> 1))", "foo");
    run(&host, "BEGIN");
    assert!(refused_inside(&host, &record(sent("-1", 0, 1, 1, 5, S1, 0))).contains("the table ignored the write"));
    // A row of defaults that is not taken comes with its cells.
    let host = tracked("CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b CHECK (b IS NOT NULL))", "foo");
    receive(&host, sent("-1", 0, 1, 1, 5, S1, 0));
    receive(&host, sent("b", 3, 1, 1, 5, S1, 0));
    assert_eq!(rows(&host, "SELECT * FROM foo"), ["1|3"]);
}

#[test]
fn a_trigger_that_rolls_everything_back_leaves_nothing_of_it_behind() {
    let host = foo();
    run(
        &host,
        "INSERT INTO foo VALUES (1, 1, 1);
         CREATE TRIGGER no AFTER UPDATE ON foo WHEN NEW.b = 13 BEGIN SELECT RAISE(ROLLBACK, 'all of it'); END",
    );
    let state = |host: &Connection| {
        let counts = "SELECT crsql_db_version(), crsql_rows_impacted(), crsql_get_seq(), crsql_internal_sync_bit()";
        (
            clock(host, "foo"),
            rows(host, "SELECT * FROM foo"),
            rows(host, "SELECT * FROM crsql_site_id"),
            rows(host, counts),
        )
    };
    let before = state(&host);
    for statement in ["UPDATE foo SET b = 13", "INSERT OR REPLACE INTO foo VALUES (1, 1, 1); UPDATE foo SET b = 13"] {
        run(&host, "BEGIN; INSERT INTO foo VALUES (2, 2, 2)");
        receive(&host, sent("c", 7, 2, 1, 90, S1, 0));
        assert!(failure(&host, statement).contains("all of it"));
        assert!(host.is_autocommit());
        assert_eq!(state(&host), before);
    }
    run(&host, "BEGIN; SAVEPOINT s; INSERT INTO foo VALUES (2, 2, 2)");
    receive(&host, sent("c", 7, 2, 1, 90, S1, 0));
    let message = merge(&host, &record(sent("b", 13, 2, 1, 90, S2, 0))).unwrap_err().to_string();
    assert!(message.contains("all of it"), "{message}");
    assert!(host.is_autocommit());
    assert_eq!(state(&host), before);
    receive(&host, sent("b", 14, 2, 1, 1, S2, 0));
    assert_eq!(clock(&host, "foo"), ["1|b|2|2|1|0", "1|c|1|1|0|1"]);
}

/// The message of a record that is refused inside of a transaction, which must go on with nothing of it.
fn refused_inside(host: &Connection, record: &Record) -> String {
    let before = (clock(host, "foo"), rows(host, "SELECT * FROM foo"));
    let result = merge(host, record);
    assert!(!host.is_autocommit(), "{result:?}");
    assert_eq!((clock(host, "foo"), rows(host, "SELECT * FROM foo")), before, "{result:?}");
    result.expect_err("the record is refused").to_string()
}

#[test]
fn a_failing_statement_of_many_records_is_undone_whole() {
    let host = foo();
    run(&host, "BEGIN; INSERT INTO foo VALUES (9, 9, 9)");
    let source = foo();
    run(&source, "INSERT INTO foo VALUES (1, 1, 1)");
    run(&host, "CREATE TEMP TABLE incoming AS SELECT * FROM crsql_changes LIMIT 0");
    for record in changes(&source, "") {
        host.execute("INSERT INTO incoming VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rusqlite::params_from_iter(&record))
            .unwrap();
    }
    let before = clock(&host, "foo");
    let failing = "INSERT INTO crsql_changes SELECT [table], pk, CASE seq WHEN 1 THEN 'nope' ELSE cid END, val, col_version, db_version, site_id, cl, seq FROM incoming";
    assert!(failure(&host, failing).contains("no column nope"));
    assert_eq!(clock(&host, "foo"), before);
    run(&host, "INSERT INTO crsql_changes SELECT * FROM incoming; COMMIT");
    assert_eq!(rows(&host, "SELECT * FROM foo ORDER BY a"), ["1|1|1", "9|9|9"]);
}

#[test]
fn an_unknown_column_passes_where_it_would_lose_or_deletes() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 2, 3); DELETE FROM foo");
    assert_eq!(receive(&host, sent("nope", 1, 1, 1, 5, S1, 0)), 0);
    assert_ne!(receive(&host, sent("nope", 1, 1, 4, 5, S1, 0)), 0);
    assert_eq!(clock(&host, "foo"), ["1|-1|4|5|1|0"], "the causal length counts, not the malformed col_version");
}

#[test]
fn triggers_of_the_application_fire_and_can_tell_a_merge() {
    let host = foo();
    run(
        &host,
        "CREATE TABLE log(bit); CREATE TRIGGER watch AFTER INSERT ON foo BEGIN INSERT INTO log VALUES (crsql_internal_sync_bit()); END",
    );
    receive(&host, sent("b", 1, 1, 1, 1, S1, 0));
    run(&host, "INSERT INTO foo VALUES (2, 1, 1)");
    assert_eq!(rows(&host, "SELECT bit FROM log"), ["1", "0"]);
}

#[test]
fn a_merge_that_was_undone_leaves_no_author_behind() {
    let host = foo();
    run(&host, "BEGIN; SAVEPOINT s");
    receive(&host, sent("b", 1, 1, 1, 90, S1, 0));
    run(&host, "ROLLBACK TO s");
    receive(&host, sent("b", 1, 1, 1, 1, S2, 0));
    run(&host, "COMMIT");
    let authors = "SELECT hex(site_id) FROM crsql_site_id WHERE ordinal = (SELECT site_id FROM foo__crsql_clock)";
    assert_eq!(one(&host, authors), "22".repeat(16));
    assert_eq!(
        number(&host, "SELECT crsql_db_version()"),
        number(&host, "SELECT max(db_version) FROM foo__crsql_clock")
    );
}

#[test]
fn composite_keys_and_every_class_of_value_arrive_as_they_were() {
    let create = "CREATE TABLE v(x NOT NULL, y NOT NULL, r, PRIMARY KEY (y, x)) WITHOUT ROWID";
    let (host, peer) = (tracked(create, "v"), tracked(create, "v"));
    run(
        &host,
        "INSERT INTO v VALUES (1, 'é', -0.0), (2, x'00', 9e999), (-3, '', 5e-324), (128, x'', x'00ff'), (9223372036854775807, 1.5, '')",
    );
    pull(&host, &peer);
    let all = "SELECT x, typeof(x), y, typeof(y), r, typeof(r) FROM v ORDER BY x";
    assert_eq!(rows(&peer, all), rows(&host, all));
    assert_eq!(one(&peer, "SELECT r FROM v WHERE x = 1"), "-0.0");
}

#[test]
fn a_database_in_utf_16_merges_with_one_in_utf_8() {
    let create = "CREATE TABLE w(\"clé\" TEXT PRIMARY KEY NOT NULL, \"größe\")";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wide.db");
    run(&Connection::open(&path).unwrap(), &format!("PRAGMA encoding = 'UTF-16'; {create}"));
    let (wide, narrow) = (file(&path), tracked(create, "w"));
    assert_eq!(one(&wide, "PRAGMA encoding"), "UTF-16le");
    track(&wide, "w");
    run(&wide, "INSERT INTO w VALUES ('ключ', '日本'), ('k', x'0041')");
    run(&narrow, "INSERT INTO w VALUES ('schlüssel', 'ü')");
    pull(&wide, &narrow);
    pull(&narrow, &wide);
    // SQLite compares the bytes as they are kept, so the two order them differently.
    let all = |host: &Connection| {
        let mut all = rows(host, "SELECT *, typeof(\"größe\") FROM w");
        all.sort();
        all
    };
    assert_eq!(all(&wide), ["k|0041|blob", "schlüssel|ü|text", "ключ|日本|text"]);
    assert_eq!(all(&narrow), all(&wide));
}
