//! What `crsql_changes` shows.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use rusqlite::Connection;
use support::*;

/// Two tables, edited in several transactions.
fn edited() -> Connection {
    let host = memory();
    run(
        &host,
        "CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b, c); CREATE TABLE bar(x NOT NULL, y NOT NULL, z, PRIMARY KEY (y, x))",
    );
    track(&host, "foo");
    track(&host, "bar");
    run(&host, "INSERT INTO foo VALUES (1, 'one', 1)");
    run(&host, "BEGIN; INSERT INTO bar VALUES (2, 'x', 'z'); INSERT INTO foo VALUES (2, 'two', 2); COMMIT");
    run(&host, "UPDATE foo SET c = 11 WHERE a = 1");
    run(&host, "DELETE FROM foo WHERE a = 2");
    host
}

const PLAIN: &str = "SELECT [table], hex(pk), cid, val, col_version, db_version, cl, seq FROM crsql_changes";

#[test]
fn every_clock_row_is_shown_in_stream_order() {
    let host = edited();
    let expected = [
        "foo|010901|b|one|1|1|1|0",
        "bar|020B01780902|z|z|1|2|1|0",
        "foo|010901|c|11|2|3|1|0",
        "foo|010902|-1|NULL|2|4|2|0",
    ];
    assert_eq!(rows(&host, PLAIN), expected);
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes WHERE site_id IS crsql_site_id()"), 4);
}

#[test]
fn without_tracked_tables_there_is_nothing() {
    assert_eq!(rows(&memory(), PLAIN), [] as [&str; 0]);
}

#[test]
fn a_live_row_with_a_sentinel_shows_both() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 1, 1); DELETE FROM foo; INSERT INTO foo VALUES (1, 2, 2)");
    let shown = rows(&host, "SELECT cid, val, col_version, cl, seq FROM crsql_changes");
    assert_eq!(shown, ["-1|NULL|3|3|0", "b|2|1|3|1", "c|2|1|3|2"]);
}

#[test]
fn every_order_is_right() {
    let host = edited();
    run(&host, "INSERT INTO foo VALUES (5, 1, 2), (6, 3, 4)");
    run(&host, "CREATE TEMP TABLE plain AS SELECT rowid AS id, * FROM crsql_changes");
    for order in [
        "db_version, seq",
        "db_version",
        "db_version DESC, seq",
        "db_version DESC, seq DESC",
        "db_version, seq DESC",
        "seq, db_version",
        "seq",
        "val, db_version, seq",
        "cid, db_version, seq",
        "[table] DESC, pk, cid, db_version, seq",
        "length(cid), db_version, seq",
        "db_version, seq, cid",
    ] {
        let from = |table: &str| rows(&host, &format!("SELECT db_version, seq FROM {table} ORDER BY {order}"));
        let keys =
            |table: &str| rows(&host, &format!("SELECT {} FROM {table} ORDER BY {order}", order.replace(" DESC", "")));
        assert_eq!(keys("crsql_changes"), keys("plain"), "{order}");
        assert_eq!(from("crsql_changes").len(), from("plain").len(), "{order}");
    }
    assert_eq!(rows(&host, "SELECT rowid FROM crsql_changes ORDER BY rowid DESC").len(), 8);
}

#[test]
fn every_condition_answers_as_on_a_plain_table() {
    let host = edited();
    run(&host, "INSERT INTO foo VALUES (5, 1, 2), (6, 3, 4)");
    run(&host, "INSERT INTO crsql_changes VALUES ('foo', x'010905', 'b', 9, 9, 1, x'aa', 1, 0)");
    // The same declarations, so that the same affinities apply.
    run(
        &host,
        "CREATE TEMP TABLE plain([table] TEXT NOT NULL, [pk] BLOB NOT NULL, [cid] TEXT NOT NULL, [val] ANY, [col_version] INTEGER NOT NULL, [db_version] INTEGER NOT NULL, [site_id] BLOB NOT NULL, [cl] INTEGER NOT NULL, [seq] INTEGER NOT NULL)",
    );
    run(&host, "INSERT INTO plain SELECT * FROM crsql_changes");
    for condition in [
        "db_version > 2",
        "db_version >= 2 AND db_version <= 3",
        "db_version = 2",
        "db_version = '2'",
        "db_version = 2.0",
        "db_version > 1.5",
        "db_version IN (1, 4)",
        "db_version IS 3",
        "db_version IS NOT 3",
        "db_version <> 3 AND seq < 1",
        "db_version BETWEEN 2 AND 3",
        "db_version > NULL",
        "db_version IS NULL",
        "seq = 1",
        "cl > 1",
        "cl = '2'",
        "cl % 2 = 0",
        "col_version = 2",
        "col_version > 1 OR cid = 'b'",
        "cid = 'b'",
        "cid = 'B'",
        "cid = 'B' COLLATE NOCASE",
        "cid = -1",
        "cid IN ('b', 'z', '-1')",
        "cid <> 'b'",
        "cid LIKE 'B'",
        "cid GLOB '[bc]'",
        "[table] = 'foo'",
        "[table] = 'FOO'",
        "[table] = 'FOO' COLLATE NOCASE",
        "[table] IN ('bar', 'nope')",
        "[table] = 'nope'",
        "pk = x'010901'",
        "pk = x'010901' AND [table] = 'foo' AND cid = 'b'",
        "pk = x'020b01780902'",
        "pk = x'01'",
        "pk = 'text'",
        "pk IN (x'010901', x'010905')",
        "site_id = x'aa'",
        "site_id IS x'bb'",
        "site_id IS NOT x'aa'",
        "site_id <> x'aa'",
        "site_id IS NOT NULL",
        "site_id IS NOT crsql_site_id() AND db_version > 0",
        "site_id = crsql_site_id()",
        "val = 1",
        "val IS NULL",
        "db_version > 1 AND site_id IS NOT x'aa' AND cid = 'c' AND seq >= 0 AND cl = 1",
    ] {
        let from = |table: &str| {
            rows(&host, &format!("SELECT * FROM {table} WHERE {condition} ORDER BY db_version, seq, [table], pk, cid"))
        };
        assert_eq!(from("crsql_changes"), from("plain"), "{condition}");
    }
    let joined = "SELECT count(*) FROM plain AS p JOIN crsql_changes AS c ON c.[table] = p.[table] AND c.pk = p.pk AND c.cid = p.cid AND c.db_version = p.db_version";
    assert_eq!(number(&host, joined), number(&host, "SELECT count(*) FROM plain"));
}

#[test]
fn reading_is_lazy_and_survives_a_commit_in_between() {
    let host = edited();
    let mut statement = host.prepare("SELECT db_version, seq FROM crsql_changes").unwrap();
    let mut found = statement.query([]).unwrap();
    assert_eq!(found.next().unwrap().unwrap().get::<_, i64>(0).unwrap(), 1);
    run(&host, "CREATE TABLE elsewhere(a); INSERT INTO elsewhere VALUES (1)");
    let mut rest = 0;
    while found.next().unwrap().is_some() {
        rest += 1;
    }
    assert_eq!(rest, 3);
}

#[test]
fn writing_for_every_row_that_is_read_comes_to_an_end() {
    let host = edited();
    run(&host, "INSERT INTO foo SELECT 1000 + db_version * 10 + seq, 0, 0 FROM crsql_changes WHERE [table] = 'foo'");
    assert_eq!(number(&host, "SELECT count(*) FROM foo WHERE a > 1000"), 3);
    run(&host, "BEGIN; INSERT INTO foo VALUES (500, 0, 0)");
    run(&host, "INSERT INTO bar SELECT cid, hex(pk), 1 FROM crsql_changes WHERE db_version = 6");
    assert_eq!(number(&host, "SELECT count(*) FROM bar"), 3);
    run(&host, "COMMIT");

    let mut statement = host.prepare("SELECT db_version FROM crsql_changes").unwrap();
    let mut found = statement.query([]).unwrap();
    let mut read = 0;
    while found.next().unwrap().is_some() {
        read += 1;
        assert!(read < 100, "the scan shows what is written while it goes on");
        run(&host, &format!("INSERT INTO foo VALUES ({}, 1, 1)", 2000 + read));
    }
}

#[test]
fn the_running_transaction_sees_its_own_records_and_the_version_before_it() {
    let host = foo();
    run(&host, "BEGIN; INSERT INTO foo VALUES (1, 1, 1)");
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 0);
    assert_eq!(rows(&host, "SELECT db_version, seq FROM crsql_changes"), ["1|0", "1|1"]);
    run(&host, "SELECT crsql_next_db_version(100); COMMIT");
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 1, "only what is stored counts");
}

#[test]
fn the_version_index_bounds_both_the_search_and_the_sorting() {
    let host = edited();
    let plan = rows(
        &host,
        "EXPLAIN QUERY PLAN SELECT c.key FROM main.\"foo__crsql_clock\" AS c INDEXED BY \"foo__crsql_clock_dbv_idx\" \
         WHERE c.db_version > 2 ORDER BY c.db_version, c.seq, c.key, c.col_name",
    );
    assert!(plan[0].contains("USING INDEX foo__crsql_clock_dbv_idx (db_version>?)"), "{plan:?}");
    assert!(plan[1].contains("LAST 3 TERMS OF ORDER BY"), "{plan:?}");
}

#[test]
fn a_site_that_is_gone_reads_as_null() {
    let host = foo();
    run(&host, "INSERT INTO crsql_changes VALUES ('foo', x'010905', 'b', 9, 9, 1, x'aa', 1, 0)");
    run(&host, "DELETE FROM crsql_site_id WHERE site_id = x'aa'");
    assert_eq!(rows(&host, "SELECT cid, site_id FROM crsql_changes WHERE site_id IS NOT x'bb'"), ["b|NULL"]);
}

#[test]
fn a_cell_whose_row_is_gone_is_shown_without_value() {
    let host = foo();
    run(
        &host,
        "INSERT INTO foo VALUES (1, 2, 3); SELECT crsql_internal_sync_bit(1); DELETE FROM foo; SELECT crsql_internal_sync_bit(0)",
    );
    assert_eq!(rows(&host, "SELECT cid, val FROM crsql_changes"), ["b|NULL", "c|NULL"]);
}

#[test]
fn only_insert_and_select_are_allowed() {
    let host = edited();
    let expected = "Only INSERT and SELECT statements are allowed against the crsql changes table";
    assert!(failure(&host, "DELETE FROM crsql_changes").contains(expected));
    assert!(failure(&host, "UPDATE crsql_changes SET val = 1").contains(expected));
}

#[test]
fn the_columns_come_in_the_order_in_which_peers_name_them() {
    let columns = rows(&memory(), "SELECT name FROM pragma_table_xinfo('crsql_changes') WHERE hidden = 0");
    assert_eq!(columns, ["table", "pk", "cid", "val", "col_version", "db_version", "site_id", "cl", "seq"]);
}

#[test]
fn the_packed_forms_are_the_originals() {
    let host = memory();
    for (values, packed) in [
        ("", "00"),
        ("NULL", "0105"),
        ("0", "0101"),
        ("1", "010901"),
        ("128", "010980"),
        ("256", "01110100"),
        ("65536", "0119010000"),
        ("4294967295", "0121ffffffff"),
        ("4294967296", "01290100000000"),
        ("1099511627776", "0131010000000000"),
        ("281474976710656", "013901000000000000"),
        ("9223372036854775807", "01417fffffffffffffff"),
        ("-1", "0141ffffffffffffffff"),
        ("-0.0", "01028000000000000000"),
        ("1.5", "01023ff8000000000000"),
        ("9e999", "01027ff0000000000000"),
        ("''", "0103"),
        ("'hé'", "010b0368c3a9"),
        ("x''", "0104"),
        ("x'00ff'", "010c0200ff"),
        ("1, 'two', 3.5, x'04', NULL", "0509010b0374776f02400c0000000000000c010405"),
    ] {
        assert_eq!(one(&host, &format!("SELECT crsql_pack_columns({values})")), packed, "{values}");
        let unpacked = rows(&host, &format!("SELECT cell FROM crsql_unpack_columns(x'{packed}')"));
        let expected =
            if values.is_empty() { vec![] } else { rows(&host, &format!("VALUES ({})", values.replace(", ", "), ("))) };
        assert_eq!(unpacked, expected, "{values}");
    }
    assert_eq!(one(&host, "SELECT hex(substr(crsql_pack_columns(zeroblob(65536)), 1, 6))"), "011C01000000");
    assert_eq!(one(&host, "SELECT cell FROM crsql_unpack_columns WHERE package = x'0113000161'"), "a");
}

#[test]
fn unpacking_says_what_is_wrong() {
    let host = memory();
    assert!(failure(&host, "SELECT * FROM crsql_unpack_columns").contains("Zero args passed to filter"));
    assert!(
        failure(&host, "SELECT package FROM crsql_unpack_columns(x'0105')")
            .contains("Selected a column besides cell! 1")
    );
    assert!(failure(&host, "SELECT cell FROM crsql_unpack_columns(x'01')").contains("ends before its values"));
    assert!(failure(&host, "SELECT cell FROM crsql_unpack_columns(NULL)").contains("not a blob"));
    run(&host, "CREATE TABLE p(package); INSERT INTO p VALUES (x'020901090a'), (x'010b0178')");
    assert_eq!(
        rows(&host, "SELECT u.rowid, cell FROM p, crsql_unpack_columns(p.package) AS u"),
        ["0|1", "1|10", "0|x"]
    );
}

/// A connection that had an open transaction when it found a schema changed by another joined its transaction with a
/// write of its own, and the application was told the rowid and the count of that.
#[test]
fn reading_in_a_transaction_leaves_the_last_rowid_and_the_count_of_changes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let (one, other) = (file(&path), file(&path));
    run(&one, "CREATE TABLE plain(x INTEGER PRIMARY KEY); INSERT INTO plain VALUES (7)");
    run(&other, "CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b)");
    track(&other, "foo");
    run(&one, "BEGIN IMMEDIATE; INSERT INTO plain VALUES (8), (9), (10)");
    assert_eq!(rows(&one, "SELECT * FROM crsql_changes"), [""; 0]);
    assert_eq!(rows(&one, "SELECT last_insert_rowid(), changes()"), ["10|3"]);
}
