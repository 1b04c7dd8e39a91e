//! What reading takes of SQLite's memory. The limit is that of the whole process, so there is one test here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use rejoin_change::{Cursor, SiteId, Value};
use rejoin_wire::Package;

/// SQLite's memory: its caches, and no value or transaction as a whole.
const SQLITE_BYTES_MAX: usize = 12 << 20;
const VALUE_BYTES: usize = 40 << 20;

#[test]
fn neither_a_large_value_nor_a_large_transaction_is_ever_in_sqlites_memory_as_a_whole() {
    let folder = Folder::new();
    let a = folder.database("a");
    a.run(&format!(
        "PRAGMA cache_size = -2000;
         INSERT INTO u VALUES ('blob', zeroblob({VALUE_BYTES}));
         INSERT INTO u VALUES ('text', printf('%.*c', {VALUE_BYTES}, 'x'));
         WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
         INSERT INTO t SELECT i, zeroblob(100), 'text' FROM n"
    ));
    let a = a.reopen();
    a.run("PRAGMA cache_size = -2000");
    let limit = format!("PRAGMA hard_heap_limit = {SQLITE_BYTES_MAX}");
    assert_eq!(a.one::<i64>(&limit), SQLITE_BYTES_MAX as i64, "the limit is taken");
    assert!(a.host.query_row(&format!("SELECT length(randomblob({}))", VALUE_BYTES), [], |_| Ok(())).is_err());
    let outbound = a.outbound(SiteId([7; 16]));
    let (mut after, mut changes, mut value_bytes) = (Cursor::BEGINNING, 0, 0);
    while let Some(produced) = outbound.next(Some(&after)).unwrap() {
        let package = Package::decode(produced.package.as_bytes()).unwrap();
        after = package.end.cursor;
        changes += package.changes.iter().filter(|change| &*change.table == "t").count();
        let of_values = package.changes.iter().filter(|change| &*change.table == "u");
        value_bytes += of_values
            .map(|change| match &change.value {
                Value::Text(bytes) | Value::Blob(bytes) => bytes.len(),
                _ => 0,
            })
            .sum::<usize>();
    }
    assert_eq!((changes, value_bytes), (120_000, 2 * VALUE_BYTES));
}
