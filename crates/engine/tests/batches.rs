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
