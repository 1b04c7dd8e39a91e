//! What `docs/promises.md` says of the streams, where no other test would notice that it is no longer so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod both;
#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod inbound;
mod outbound;
mod runs;

use common::*;
use rusqlite::types::Value;

/// Makes an outbound and an inbound stream on each side, with more arguments for the outbound ones.
fn connect(a: &Database, b: &Database, more: &str) {
    for (here, there, name) in [(a, b, "b"), (b, a, "a")] {
        let site = there.site();
        here.run(&format!("CREATE VIRTUAL TABLE out_to_{name} USING crsql_outbound_stream(remote = x'{site}'{more})"));
        here.run(&format!("CREATE VIRTUAL TABLE in_from_{name} USING crsql_inbound_stream(remote = x'{site}')"));
    }
}

fn pair(folder: &Folder, more: &str) -> (Database, Database) {
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, more);
    (a, b)
}

/// From a to b: everything that is not acknowledged, and the receipt back. Returns how many packages there were.
fn tell_b(a: &Database, b: &Database) -> usize {
    let packages = a.values("SELECT package FROM out_to_b");
    for package in &packages {
        apply(b, package).unwrap();
    }
    a.insert("INSERT INTO out_to_b(receipt) VALUES (?1)", &b.one("SELECT receipt FROM in_from_a")).unwrap();
    packages.len()
}

fn apply(b: &Database, package: &Value) -> Result<(), String> {
    b.insert("INSERT INTO in_from_a(package) VALUES (?1)", package)
}

/// One transaction for each key from `from` to `to`.
fn write(database: &Database, from: i64, to: i64) {
    for key in from..=to {
        database.run(&format!("INSERT INTO u VALUES ('{key}', {key})"));
    }
}
