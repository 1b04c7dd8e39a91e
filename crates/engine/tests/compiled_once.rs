//! What runs for every row is compiled once. SQLite compiles a statement anew when another value is bound to a parameter
//! that its plan may depend on, which costs several times what running it does.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use rejoin_change::ChangeStore;
use rusqlite::Connection;
use rusqlite::hooks::{AuthContext, Authorization};
use rusqlite::types::Value;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use support::*;

/// What SQLite is asked to compile from now on, in its own words.
fn compiled(host: &mut Connection) -> Arc<Mutex<Vec<String>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = seen.clone();
    let authorizer = move |context: AuthContext<'_>| {
        note.lock().unwrap().push(format!("{:?}", context.action));
        Authorization::Allow
    };
    host.authorizer(Some(authorizer)).unwrap();
    seen
}

/// A database with the table `t` of these key columns.
fn database(keys: &str, primary_key: &str) -> (Connection, Rc<dyn ChangeStore<Error = rejoin_bridge::Error>>) {
    let (host, handle) = memory_with_handle();
    run(&host, &format!("CREATE TABLE t ({keys}, a, b, PRIMARY KEY ({primary_key}))"));
    track(&host, "t");
    (host, rejoin_engine::change_store(&handle).unwrap())
}

const KEYS: [(&str, &str); 4] = [
    ("k INTEGER NOT NULL", "k"),
    ("k TEXT NOT NULL", "k"),
    ("k BLOB NOT NULL", "k"),
    ("k TEXT NOT NULL, j INTEGER NOT NULL", "k, j"),
];

/// Another key for each number, as the table's key columns take it.
fn key(keys: &str, row: i64) -> Vec<Value> {
    let text = Value::Text(format!("row {row:06}"));
    match keys {
        "k INTEGER NOT NULL" => vec![Value::Integer(row)],
        "k TEXT NOT NULL" => vec![text],
        "k BLOB NOT NULL" => vec![Value::Blob(row.to_be_bytes().to_vec())],
        _ => vec![text, Value::Integer(row)],
    }
}

#[test]
fn local_writes_compile_nothing_for_another_row() {
    for (columns, primary_key) in KEYS {
        let (mut host, _) = database(columns, primary_key);
        let count = key(columns, 0).len();
        let values = (1..=count).map(|i| format!("?{i}")).collect::<Vec<_>>().join(", ");
        let sql = [
            format!("INSERT INTO t VALUES ({values}, 1, 2)"),
            format!("UPDATE t SET a = a + 1 WHERE ({primary_key}) = ({values})"),
            format!("DELETE FROM t WHERE ({primary_key}) = ({values})"),
            format!("INSERT INTO t VALUES ({values}, 3, 4)"),
        ];
        let seen = compiled(&mut host);
        let mut statements: Vec<_> = sql.iter().map(|sql| host.prepare(sql).unwrap()).collect();
        for row in 10..20 {
            for statement in &mut statements {
                statement.execute(rusqlite::params_from_iter(key(columns, row))).unwrap();
            }
            if row == 11 {
                seen.lock().unwrap().clear();
            }
        }
        assert_eq!(*seen.lock().unwrap(), Vec::<String>::new(), "{columns}");
    }
}

#[test]
fn merges_compile_nothing_for_another_row() {
    for (columns, primary_key) in KEYS {
        let (sender, _) = database(columns, primary_key);
        let mut told = Vec::new();
        for step in ["INSERT INTO t VALUES", "UPDATE t SET b = b + 1", "DELETE FROM t WHERE b % 2 = 1"] {
            for row in (10..40).filter(|_| step.starts_with("INSERT")) {
                let key = key(columns, row);
                let values = (1..=key.len()).map(|i| format!("?{i}")).collect::<Vec<_>>().join(", ");
                let insert = format!("{step} ({values}, 1, {row})");
                sender.execute(&insert, rusqlite::params_from_iter(key)).unwrap();
            }
            if !step.starts_with("INSERT") {
                run(&sender, step);
            }
            told.push(changes(&sender, "ORDER BY pk, cid"));
        }
        // One by one, and by row.
        let ((mut single, _), (mut batched, store)) = (database(columns, primary_key), database(columns, primary_key));
        let (seen_single, seen_batched) = (compiled(&mut single), compiled(&mut batched));
        let sql = "INSERT INTO crsql_changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let mut insert = single.prepare(sql).unwrap();
        for records in told.iter().flat_map(|records| [records, records]) {
            let by_row: Vec<_> = records.chunk_by(|a, b| a[1] == b[1]).collect();
            for (place, record) in by_row.iter().enumerate() {
                for record in *record {
                    insert.execute(rusqlite::params_from_iter(record)).unwrap();
                }
                store.merge(&record.iter().map(change).collect::<Vec<_>>()).unwrap();
                if place == 5 {
                    seen_single.lock().unwrap().clear();
                    seen_batched.lock().unwrap().clear();
                }
            }
            assert_eq!(*seen_single.lock().unwrap(), Vec::<String>::new(), "{columns}, one by one");
            assert_eq!(*seen_batched.lock().unwrap(), Vec::<String>::new(), "{columns}, by row");
        }
        let shown = "SELECT * FROM t ORDER BY k";
        assert_eq!(rows(&single, shown), rows(&sender, shown));
        assert_eq!(rows(&batched, shown), rows(&sender, shown));
    }
}
