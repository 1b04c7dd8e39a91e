//! Whatever is inserted into `crsql_changes`: nothing crashes, nothing is half written, and the connection goes on. Every
//! column is tried with every kind of value, alone and with every other column.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use rusqlite::Connection;
use rusqlite::types::Value;
use support::*;

fn values() -> Vec<Value> {
    let text = |text: &str| Value::Text(text.into());
    vec![
        Value::Null,
        Value::Integer(0),
        Value::Integer(1),
        Value::Integer(-1),
        Value::Integer(2),
        Value::Integer(i64::MIN),
        Value::Integer(i64::MAX),
        Value::Integer(1 << 53),
        Value::Integer((1 << 53) - 1),
        Value::Real(1.5),
        Value::Real(f64::NAN),
        Value::Real(f64::INFINITY),
        Value::Real(-1e300),
        Value::Real(9.3e18),
        text(""),
        text("-1"),
        text("b"),
        text("foo"),
        text("a\0b"),
        text("9223372036854775808"),
        text(&"ü".repeat(2000)),
        Value::Blob(vec![]),
        Value::Blob(vec![0]),
        Value::Blob(vec![0xff; 16]),
        Value::Blob(vec![1, 9, 1]),
        Value::Blob(vec![1, 5]),
        Value::Blob(vec![255; 70_000]),
    ]
}

fn good() -> Record {
    let [table, column] = ["foo", "b"].map(|text| Value::Text(text.into()));
    let [key, site] = [vec![1, 9, 1], vec![7; 16]].map(Value::Blob);
    let [version, life] = [5, 1].map(Value::Integer);
    [table, key, column, Value::Integer(9), version.clone(), version, site, life, Value::Integer(0)]
}

const STATE: &str = "SELECT 'row', a, quote(b), quote(c), 0, 0 FROM foo
    UNION ALL SELECT 'clock', key, col_name, col_version, db_version, site_id || ' ' || seq FROM foo__crsql_clock
    UNION ALL SELECT 'key', __crsql_key, quote(a), 0, 0, 0 FROM foo__crsql_pks
    UNION ALL SELECT 'site', ordinal, hex(site_id), 0, 0, 0 FROM crsql_site_id ORDER BY 1, 2, 3";

/// What must hold whatever was taken.
fn is_sound(host: &Connection, record: &Record) {
    for (what, sql) in [
        ("a flag stays", "SELECT crsql_internal_sync_bit() <> 0"),
        (
            "a clock without key",
            "SELECT EXISTS (SELECT 1 FROM foo__crsql_clock WHERE key NOT IN (SELECT __crsql_key FROM foo__crsql_pks))",
        ),
        (
            "a clock without author",
            "SELECT EXISTS (SELECT 1 FROM foo__crsql_clock WHERE site_id NOT IN (SELECT ordinal FROM crsql_site_id))",
        ),
        (
            "a live cell without row",
            "SELECT EXISTS (SELECT 1 FROM foo__crsql_clock c JOIN foo__crsql_pks p ON p.__crsql_key = c.key WHERE c.col_name <> '-1' AND p.a NOT IN (SELECT a FROM foo))",
        ),
        ("a row without key", "SELECT EXISTS (SELECT 1 FROM foo WHERE a NOT IN (SELECT a FROM foo__crsql_pks))"),
        (
            "a column that is none",
            "SELECT EXISTS (SELECT 1 FROM foo__crsql_clock WHERE col_name NOT IN ('-1', 'b', 'c'))",
        ),
        (
            "a number that none can pass",
            "SELECT EXISTS (SELECT 1 FROM foo__crsql_clock WHERE max(col_version, db_version, seq) >= 9007199254740992 OR min(col_version, db_version, seq) < 0)",
        ),
        (
            "a version that is not the last",
            "SELECT crsql_db_version() <> (SELECT max(db_version) FROM foo__crsql_clock)",
        ),
        (
            "changes that cannot be read",
            "SELECT count(*) <> (SELECT count(*) FROM foo__crsql_clock) FROM crsql_changes WHERE length(pk) + length(cid) + cl > 0",
        ),
    ] {
        assert_eq!(number(host, sql), 0, "{what}: {record:?}");
    }
}

/// Tries the record on its own and among other writes of a transaction. Where it is refused nothing of it stays.
fn is_taken_whole_or_refused(host: &Connection, record: &Record) -> bool {
    run(host, "SAVEPOINT outside");
    run(host, "UPDATE foo SET c = c + 1 WHERE a = 2");
    let before = rows(host, STATE);
    let inside = merge(host, record);
    if inside.is_err() {
        assert_eq!(rows(host, STATE), before, "{record:?}");
    }
    assert_eq!(number(host, "SELECT crsql_internal_sync_bit()"), 0, "{record:?}");
    run(host, "ROLLBACK TO outside; RELEASE outside");
    let before = rows(host, STATE);
    let outside = merge(host, record);
    assert_eq!(outside.is_ok(), inside.is_ok(), "{record:?}");
    match &outside {
        Ok(_) => {
            is_sound(host, record);
            run(host, "INSERT INTO foo VALUES (77, 7, 7); DELETE FROM foo WHERE a = 77");
        }
        Err(error) => {
            assert_eq!(rows(host, STATE), before, "{record:?}");
            assert!(!error.to_string().contains("unexpectedly"), "{record:?}: {error}");
        }
    }
    outside.is_ok()
}

fn prepared() -> Connection {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 1, 1), (2, 2, 2)");
    host
}

#[test]
fn every_column_takes_or_refuses_every_kind_of_value() {
    let (mut taken, mut refused) = (0, 0);
    for column in 0..9 {
        for value in values() {
            let mut record = good();
            record[column] = value;
            if is_taken_whole_or_refused(&prepared(), &record) { taken += 1 } else { refused += 1 }
        }
    }
    assert!(taken > 40 && refused > 80, "{taken} taken, {refused} refused");
}

#[test]
fn every_two_columns_take_or_refuse_every_two_kinds_of_value() {
    let some: Vec<Value> = values().into_iter().step_by(3).collect();
    // One database for all, so that strange records also meet each other. It is made anew where it has come near the end of
    // its numbers.
    let mut host = prepared();
    for first in 0..9 {
        for second in first + 1..9 {
            for (one, other) in some.iter().flat_map(|one| some.iter().map(move |other| (one, other))) {
                let mut record = good();
                (record[first], record[second]) = (one.clone(), other.clone());
                is_taken_whole_or_refused(&host, &record);
                if number(&host, "SELECT crsql_db_version()") > 1 << 52 {
                    host = prepared();
                }
            }
        }
    }
}
