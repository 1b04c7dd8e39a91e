//! Databases that were edited apart and merge each other's records end equal, in whatever order records arrive.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use proptest::prelude::*;
use proptest::sample::Index;
use rusqlite::Connection;
use support::*;

#[derive(Clone, Debug)]
enum Step {
    /// Plain SQL on one of the databases.
    Edit(usize, String),
    /// One database takes some records of another, in any order, some of them twice.
    Exchange { from: usize, to: usize, picks: Vec<Index> },
}

fn any_value() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["NULL", "0", "1", "-5", "2.5", "-0.5", "'a'", "'b'", "''", "x'00'", "x'ff'"])
}

fn any_edit() -> impl Strategy<Value = String> {
    let key = || 1..4;
    prop_oneof![
        4 => (key(), any_value(), any_value()).prop_map(|(a, b, c)| format!("INSERT OR IGNORE INTO foo VALUES ({a}, {b}, {c})")),
        2 => (key(), any_value()).prop_map(|(a, b)| format!("INSERT OR REPLACE INTO foo(a, b) VALUES ({a}, {b})")),
        4 => (key(), any_value()).prop_map(|(a, b)| format!("UPDATE foo SET b = {b} WHERE a = {a}")),
        2 => (key(), any_value()).prop_map(|(a, c)| format!("UPDATE foo SET c = {c} WHERE a <> {a}")),
        3 => key().prop_map(|a| format!("DELETE FROM foo WHERE a = {a}")),
        2 => (key(), key()).prop_map(|(a, b)| format!("UPDATE OR IGNORE foo SET a = {b} WHERE a = {a}")),
        2 => (key(), key()).prop_map(|(a, b)| format!("UPDATE OR REPLACE foo SET a = {b}, c = 7 WHERE a = {a}")),
        2 => key().prop_map(|a| format!("INSERT OR REPLACE INTO pair VALUES ({a}, 'k')")),
        1 => key().prop_map(|a| format!("DELETE FROM pair WHERE x = {a}")),
        1 => (key(), any_value()).prop_map(|(a, b)| format!(
            "BEGIN; INSERT OR REPLACE INTO foo VALUES ({a}, {b}, 1); SAVEPOINT s; DELETE FROM foo; ROLLBACK TO s; \
             UPDATE foo SET c = 2; COMMIT"
        )),
        1 => Just("BEGIN; DELETE FROM foo; DELETE FROM pair; ROLLBACK".to_string()),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0usize..3, any_edit()).prop_map(|(at, sql)| Step::Edit(at, sql)),
        1 => (0usize..3, 1usize..3, prop::collection::vec(any::<Index>(), 0..8))
            .prop_map(|(from, by, picks)| Step::Exchange { from, to: (from + by) % 3, picks }),
    ]
}

fn database() -> Connection {
    let host = memory();
    run(
        &host,
        "CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b, c); CREATE TABLE pair(x NOT NULL, y NOT NULL, PRIMARY KEY (y, x))",
    );
    track(&host, "foo");
    track(&host, "pair");
    host
}

fn take(from: &Connection, to: &Connection, picks: &[Index]) {
    let records = changes(from, "");
    if records.is_empty() {
        return;
    }
    for pick in picks {
        merge(to, pick.get(&records)).unwrap();
    }
}

/// What must be equal at the end: rows, and of the clocks what does not depend on the database.
fn state(host: &Connection) -> Vec<Vec<String>> {
    [
        "SELECT *, typeof(b), typeof(c) FROM foo ORDER BY a",
        "SELECT * FROM pair ORDER BY x, y",
        // Equal writes of two authors tie, and each database keeps the author that it heard of first.
        "SELECT [table], hex(pk), cid, col_version, cl FROM crsql_changes WHERE cid <> '-1' ORDER BY 1, 2, 3",
        "SELECT [table], hex(pk), max(cl) FROM crsql_changes GROUP BY 1, 2 ORDER BY 1, 2",
    ]
    .map(|sql| rows(host, sql))
    .to_vec()
}

/// What holds of one database at any time.
fn check_own(host: &Connection) {
    for table in ["foo", "pair"] {
        let highest = format!("SELECT coalesce(max(db_version), 0) FROM {table}__crsql_clock");
        assert!(number(host, "SELECT crsql_db_version()") >= number(host, &highest));
    }
    let alive = "SELECT count(*) FROM foo__crsql_pks AS p WHERE EXISTS (SELECT 1 FROM foo__crsql_clock WHERE key = p.__crsql_key) \
         AND (SELECT coalesce(max(col_version), 1) % 2 FROM foo__crsql_clock WHERE key = p.__crsql_key AND col_name = '-1') = 1";
    assert_eq!(number(host, alive), number(host, "SELECT count(*) FROM foo"), "live clocks are live rows");
    assert_eq!(number(host, "SELECT crsql_internal_sync_bit()"), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn databases_that_have_merged_each_other_are_equal(steps in prop::collection::vec(any_step(), 1..25), last in prop::collection::vec(any::<Index>(), 12)) {
        let databases = [database(), database(), database()];
        for step in &steps {
            match step {
                Step::Edit(at, sql) => run(&databases[*at], sql),
                Step::Exchange { from, to, picks } => take(&databases[*from], &databases[*to], picks),
            }
            databases.iter().for_each(check_own);
        }
        // Twice round, so that what the first pair learns late comes back; some records out of order beforehand.
        for _ in 0..2 {
            for (from, to) in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)] {
                take(&databases[from], &databases[to], &last);
                pull(&databases[from], &databases[to]);
            }
        }
        databases.iter().for_each(check_own);
        prop_assert_eq!(state(&databases[0]), state(&databases[1]));
        prop_assert_eq!(state(&databases[1]), state(&databases[2]));
    }

    #[test]
    fn a_peer_that_asks_for_what_is_new_misses_nothing(edits in prop::collection::vec((any_edit(), any::<bool>()), 1..60)) {
        let (host, peer) = (database(), database());
        let mut seen = 0;
        for (sql, then_pull) in edits.iter().map(|(sql, then_pull)| (sql, *then_pull)).chain([(&String::new(), true)]) {
            run(&host, sql);
            if then_pull {
                for record in changes(&host, &format!("WHERE db_version > {seen}")) {
                    merge(&peer, &record).unwrap();
                }
                seen = number(&host, "SELECT crsql_db_version()");
            }
        }
        prop_assert_eq!(&state(&host)[..2], &state(&peer)[..2]);
    }
}
