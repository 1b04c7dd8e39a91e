use serde_json::json;

use crate::{bytes, folder, rejoin, sql};

#[test]
fn equal_databases_end_with_0_and_equal_digests() {
    let folder = folder();
    sql(&folder, "a.db", "CREATE TABLE t(a PRIMARY KEY, b, c); INSERT INTO t VALUES (1, 0.1, x'00'), ('é', NULL, -7)");
    // Another order of rows and columns, another file format, and an index more are no differences.
    sql(
        &folder,
        "b.db",
        "PRAGMA journal_mode = WAL; PRAGMA page_size = 1024; CREATE TABLE t(c, a, b, PRIMARY KEY (a)); CREATE INDEX i ON t(c);
         INSERT INTO t(a, b, c) VALUES ('é', NULL, -7), (1, 0.1, x'00')",
    );
    let run = rejoin(&folder, &["diff", "a.db", "b.db"]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), "equal: 1 table, 2 rows\n"));
    let found = rejoin(&folder, &["diff", "--json", "a.db", "b.db"]).json();
    assert_eq!(found["equal"], true);
    assert_eq!(found["tables"][0]["a"]["digest"], found["tables"][0]["b"]["digest"]);
    assert_eq!(found["tables"][0]["a"]["digest"].as_str().map(str::len), Some(32));
}

#[test]
fn differences_end_with_3_and_are_shown_where_they_are() {
    let folder = folder();
    let schema = "CREATE TABLE \"my t\"(k1, k2, v REAL, w, PRIMARY KEY (k1, k2));";
    sql(
        &folder,
        "a.db",
        &format!("{schema} INSERT INTO \"my t\" VALUES (1, 'x', 0.5, 'it''s'), (2, 'y', 1, NULL), (2, 'z', 1, 1)"),
    );
    sql(
        &folder,
        "b.db",
        &format!("{schema} INSERT INTO \"my t\" VALUES (1, 'x', 0.25, 'its'), (2, 'y', 1, NULL), (3, 'y', 1, 1)"),
    );
    let run = rejoin(&folder, &["diff", "a.db", "b.db"]);
    assert_eq!(run.code, Some(3));
    assert_eq!(
        run.out,
        "my t: 1 row only in a.db; 1 row only in b.db; 2 cells different in 1 row\n  \
         k1=1 k2='x' v: 0.5 ≠ 0.25\n  k1=1 k2='x' w: 'it''s' ≠ 'its'\n  k1=2 k2='z': only in a.db\n  k1=3 k2='y': only in b.db\n\
         different: 1 of 1 table\n"
    );
    let found = rejoin(&folder, &["diff", "--json", "--limit", "1", "a.db", "b.db"]).json();
    assert_eq!(found["tables"][0]["cells_different"], 2);
    assert_eq!(
        found["tables"][0]["differences"],
        json!([{"key": {"k1": 1, "k2": "x"}, "column": "v", "a": 0.5, "b": 0.25}])
    );
}

#[test]
fn values_that_only_look_equal_differ() {
    let folder = folder();
    sql(
        &folder,
        "a.db",
        "CREATE TABLE t(k INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1), (2, '1'), (3, 'a'), (4, 0.0)",
    );
    sql(
        &folder,
        "b.db",
        "CREATE TABLE t(k INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1.0), (2, 1), (3, x'61'), (4, -0.0)",
    );
    let run = rejoin(&folder, &["diff", "--json", "a.db", "b.db"]);
    assert_eq!(run.code, Some(3));
    assert_eq!(run.json()["tables"][0]["cells_different"], 4);
    assert!(rejoin(&folder, &["diff", "a.db", "b.db"]).out.contains("k=4 v: 0.0 ≠ -0.0"));
}

#[test]
fn missing_tables_and_columns_and_other_keys_are_differences() {
    let folder = folder();
    sql(&folder, "a.db", "CREATE TABLE only_a(x); CREATE TABLE t(k PRIMARY KEY, a); CREATE TABLE u(k PRIMARY KEY, l)");
    sql(&folder, "b.db", "CREATE TABLE only_b(x); CREATE TABLE t(k PRIMARY KEY, b); CREATE TABLE u(k, l PRIMARY KEY)");
    let run = rejoin(&folder, &["diff", "a.db", "b.db"]);
    assert_eq!(run.code, Some(3));
    for line in [
        "only_a: only in a.db, 0 rows\n",
        "only_b: only in b.db, 0 rows\n",
        "t: only a.db has the columns a\n",
        "t: only b.db has the columns b\n",
        "u: the keys differ, (k) and (l)",
        "different: 4 of 4 tables\n",
    ] {
        assert!(run.out.contains(line), "{line} in {}", run.out);
    }
    assert_eq!(rejoin(&folder, &["diff", "a.db", "b.db", "nowhere"]).code, Some(1));
}

#[test]
fn rows_without_a_key_are_matched_as_a_whole() {
    let folder = folder();
    sql(&folder, "a.db", "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 2), (1, 2), (1, NULL), (1.0, 2)");
    sql(&folder, "b.db", "CREATE TABLE t(a, b); INSERT INTO t VALUES (1.0, 2), (1, NULL), (1, 2), (1, 2)");
    assert_eq!(rejoin(&folder, &["diff", "a.db", "b.db"]).code, Some(0));
    sql(&folder, "b.db", "DELETE FROM t WHERE rowid = 4");
    let run = rejoin(&folder, &["diff", "a.db", "b.db"]);
    assert_eq!(run.code, Some(3));
    assert!(run.out.starts_with("t: 1 row only in a.db\n  a=1 b=2: only in a.db\n"), "{}", run.out);
}

#[test]
fn changes_that_wait_in_the_wal_are_seen_and_no_file_is_changed() {
    let folder = folder();
    sql(&folder, "a.db", "CREATE TABLE t(k PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
    let open =
        sql(&folder, "b.db", "PRAGMA journal_mode = WAL; CREATE TABLE t(k PRIMARY KEY); INSERT INTO t VALUES (1)");
    open.execute_batch("PRAGMA wal_autocheckpoint = 0; INSERT INTO t VALUES (2)").expect("a write");
    let before = bytes(&folder.path().join("b.db"));
    assert_eq!(rejoin(&folder, &["diff", "a.db", "b.db"]).code, Some(0));
    assert_eq!(bytes(&folder.path().join("b.db")), before);
}

#[test]
fn only_tracked_tables_count_unless_others_are_named() {
    let folder = folder();
    for (file, value) in [("a.db", 1), ("b.db", 2)] {
        sql(
            &folder,
            file,
            &format!(
                "CREATE TABLE t(k INTEGER PRIMARY KEY NOT NULL); CREATE TABLE mine(v); INSERT INTO mine VALUES ({value})"
            ),
        );
        assert_eq!(rejoin(&folder, &["track", file, "t"]).code, Some(0));
    }
    assert_eq!(rejoin(&folder, &["diff", "a.db", "b.db"]).code, Some(0));
    assert_eq!(rejoin(&folder, &["diff", "a.db", "b.db", "mine"]).code, Some(3));
}
