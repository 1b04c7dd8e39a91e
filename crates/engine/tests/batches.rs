//! Changes that are merged in batches end as those that are inserted into `crsql_changes` one by one.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use proptest::prelude::*;
use rejoin_change::{Change, ChangeStore};
use rusqlite::Connection;
use std::rc::Rc;
use support::*;

/// One write of a database, by its place among many rows.
#[derive(Clone, Debug)]
enum Write {
    Put(usize, i64),
    Change(usize, bool, i64),
    Delete(usize),
}

const ROWS: usize = 40;

fn any_writes() -> impl Strategy<Value = Vec<Write>> {
    let write = prop_oneof![
        4 => (0..ROWS, 0i64..5).prop_map(|(row, value)| Write::Put(row, value)),
        3 => (0..ROWS, any::<bool>(), 0i64..5).prop_map(|(row, first, value)| Write::Change(row, first, value)),
        1 => (0..ROWS).prop_map(Write::Delete),
    ];
    prop::collection::vec(write, 0..120)
}

const SCHEMA: &str = "CREATE TABLE t (k NOT NULL, j NOT NULL, a, b, PRIMARY KEY (k, j)); SELECT crsql_as_crr('t');
    CREATE TABLE u (k TEXT PRIMARY KEY NOT NULL, a, b); SELECT crsql_as_crr('u');";

/// Half of the rows are in one table, half in the other; some keys are numbers that are equal but stored in two ways.
fn write(host: &Connection, write: &Write) {
    let place = |row: &usize| match row % 4 {
        0 => ("t", format!("k = {} AND j = 'x'", row / 8), format!("{}, 'x'", row / 8)),
        1 => ("t", format!("k = {0}.0 AND j = 'x'", row / 8), format!("{}.0, 'x'", row / 8)),
        _ => ("u", format!("k = 'row {row}'"), format!("'row {row}'")),
    };
    let sql = match write {
        Write::Put(row, value) => {
            let (table, _, keys) = place(row);
            format!("INSERT OR IGNORE INTO {table} VALUES ({keys}, {value}, 'b')")
        }
        Write::Change(row, first, value) => {
            let (table, found, _) = place(row);
            format!("UPDATE {table} SET {} = {value} WHERE {found}", if *first { "a" } else { "b" })
        }
        Write::Delete(row) => {
            let (table, found, _) = place(row);
            format!("DELETE FROM {table} WHERE {found}")
        }
    };
    run(host, &sql);
}

fn database(writes: &[Write]) -> (Connection, Rc<dyn ChangeStore<Error = rejoin_bridge::Error>>) {
    let (host, handle) = memory_with_handle();
    run(&host, SCHEMA);
    run(&host, "BEGIN");
    writes.iter().for_each(|one| write(&host, one));
    run(&host, "COMMIT");
    let store = rejoin_engine::change_store(&handle).unwrap();
    (host, store)
}

fn told(host: &Connection) -> Vec<Change> {
    changes(host, "ORDER BY db_version, seq").iter().map(change).collect()
}

/// What a batch does, said record by record.
fn insert_each(host: &Connection, records: &[Record]) {
    let sql = "INSERT INTO crsql_changes VALUES (?, ?, ?, ?, ?, 0, ?, ?, crsql_increment_and_get_seq())";
    for record in records {
        let values = [0, 1, 2, 3, 4, 6, 7].map(|i| &record[i]);
        host.prepare_cached(sql).unwrap().execute(rusqlite::params_from_iter(values)).unwrap();
    }
}

fn state(host: &Connection) -> Vec<Vec<String>> {
    let own = "(SELECT hex(site_id) FROM crsql_site_id WHERE ordinal = 0)";
    [
        "SELECT *, typeof(k) FROM t ORDER BY k, j".to_owned(),
        "SELECT * FROM u ORDER BY k".to_owned(),
        format!(
            "SELECT [table], hex(pk), cid, quote(val), col_version, db_version, nullif(hex(site_id), {own}), cl, seq \
             FROM crsql_changes ORDER BY 1, 2, 3"
        ),
        "SELECT crsql_db_version(), crsql_internal_sync_bit()".to_owned(),
    ]
    .map(|sql| rows(host, &sql))
    .to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_ends_as_its_changes_one_by_one(
        theirs in any_writes(),
        ours in any_writes(),
        again in any::<bool>(),
    ) {
        let (sender, _) = database(&theirs);
        let ((batched, store), (single, _)) = (database(&ours), database(&ours));
        let records = changes(&sender, "ORDER BY db_version, seq");
        for _ in 0..=usize::from(again) {
            run(&batched, "BEGIN");
            store.merge(&told(&sender)).unwrap();
            run(&batched, "COMMIT");
            run(&single, "BEGIN");
            insert_each(&single, &records);
            run(&single, "COMMIT");
            prop_assert_eq!(state(&batched), state(&single));
        }
    }
}

/// A database with so many rows in `u`, of two columns each, so that a batch of them is large.
fn many_rows() -> (Connection, Vec<Change>) {
    let (sender, _) = database(&[]);
    run(
        &sender,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 800) \
         INSERT INTO u SELECT 'row ' || i, i, -i FROM n",
    );
    let told = told(&sender);
    (sender, told)
}

#[test]
fn a_large_batch_ends_as_its_changes_one_by_one_and_later_local_writes_are_recorded() {
    let (sender, told) = many_rows();
    let local = "UPDATE u SET a = 0; INSERT INTO u VALUES ('row 900', 1, 2); DELETE FROM u WHERE k = 'row 7'";
    let ((batched, store), (single, _)) = (database(&[]), database(&[]));
    // Compiled before the batch, and run again after it.
    let mut prepared = batched.prepare("INSERT INTO u VALUES (?1, 1, 2)").unwrap();
    prepared.execute(["before"]).unwrap();
    run(&single, "INSERT INTO u VALUES ('before', 1, 2)");
    for writes in ["BEGIN; SELECT 1", "BEGIN; UPDATE u SET b = 5 WHERE k = 'row 3'"] {
        run(&batched, writes);
        store.merge(&told).unwrap();
        run(&batched, &format!("COMMIT; {local}"));
        run(&single, writes);
        insert_each(&single, &changes(&sender, "ORDER BY db_version, seq"));
        run(&single, &format!("COMMIT; {local}"));
        run(&single, "DELETE FROM u WHERE k = 'row 900'");
        run(&batched, "DELETE FROM u WHERE k = 'row 900'");
        assert_eq!(state(&batched), state(&single));
    }
    prepared.execute(["after"]).unwrap();
    run(&single, "INSERT INTO u VALUES ('after', 1, 2)");
    assert_eq!(state(&batched), state(&single));
}

#[test]
fn in_a_large_batch_the_users_triggers_fire_as_in_a_small_one() {
    let (_, told) = many_rows();
    let mut twice = told.clone();
    twice.iter_mut().for_each(|change| change.col_version = 2);
    for temporary in ["", "TEMP"] {
        for on in ["u", "t"] {
            let (host, store) = database(&[]);
            run(
                &host,
                &format!(
                    "CREATE TABLE log(what); CREATE TABLE child(k REFERENCES u ON UPDATE CASCADE); \
                     CREATE {temporary} TRIGGER added AFTER INSERT ON {on} BEGIN INSERT INTO log VALUES ('added'); END; \
                     CREATE {temporary} TRIGGER changed AFTER UPDATE ON {on} BEGIN INSERT INTO log VALUES ('changed'); END"
                ),
            );
            run(&host, "BEGIN");
            store.merge(&told).unwrap();
            store.merge(&twice).unwrap();
            run(&host, "COMMIT");
            let fired = rows(&host, "SELECT what, count(*) FROM log GROUP BY what ORDER BY what");
            let expected: &[&str] = if on == "u" { &["added|800", "changed|800"] } else { &[] };
            assert_eq!(fired, expected, "{temporary} triggers on {on}");
        }
    }
}

#[test]
fn after_a_large_batch_that_fails_local_writes_are_recorded() {
    let (_, mut told) = many_rows();
    if let Some(last) = told.last_mut() {
        last.column = "no such column".into();
    }
    let (host, store) = database(&[]);
    run(&host, "BEGIN");
    assert!(store.merge(&told).is_err());
    run(&host, "ROLLBACK; INSERT INTO u VALUES ('a', 1, 2)");
    assert_eq!(rows(&host, "SELECT cid, col_version FROM crsql_changes ORDER BY seq"), ["a|1", "b|1"]);
}

#[test]
fn a_statement_that_runs_around_a_large_batch_is_not_aborted() {
    let (_, told) = many_rows();
    let (host, store) = database(&[]);
    run(&host, "INSERT INTO u VALUES ('a', 1, 2), ('b', 1, 2)");
    let mut running = host.prepare("SELECT k, CASE WHEN k = 'b' THEN (SELECT count(*) FROM t) END FROM u").unwrap();
    let mut found = running.query([]).unwrap();
    let first: String = found.next().unwrap().unwrap().get(0).unwrap();
    assert_eq!(first, "a");
    run(&host, "BEGIN");
    store.merge(&told).unwrap();
    run(&host, "COMMIT");
    let second: (String, i64) = found.next().unwrap().map(|row| (row.get(0).unwrap(), row.get(1).unwrap())).unwrap();
    assert_eq!(second, ("b".into(), 0));
}
