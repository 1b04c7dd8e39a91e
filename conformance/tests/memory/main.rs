//! How much memory large transactions and large values take at both ends: parts of them, never all.

#![cfg(target_os = "linux")]

use rejoin_conformance::{Engine, Host, Peer, Settings, Stream};

#[test]
fn a_transaction_of_a_million_changes_is_sent_and_taken_in_parts() {
    let Some(settings) = Settings::find(&[Engine::BuiltIn]) else { return };
    let columns: Vec<String> = (1..=COLUMNS).map(|column| format!("c{column}")).collect();
    let values: Vec<String> = (1..=COLUMNS).map(|column| format!("i + {column}")).collect();
    let rows = 1_000_000 / COLUMNS;
    let write = format!(
        "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) INSERT INTO t SELECT i, {} FROM n",
        values.join(", ")
    );
    let peaks = peaks(&settings, &columns.join(", "), &write);
    println!("{peaks:?}");
    assert!(peaks.sending < ALLOWED && peaks.arriving < ALLOWED && peaks.merging < ALLOWED, "{peaks:?}");
}

#[test]
fn a_value_of_256_mib_is_sent_and_taken_in_parts() {
    let Some(settings) = Settings::find(&[Engine::BuiltIn]) else { return };
    let peaks = peaks(&settings, "c1", &format!("INSERT INTO t VALUES (1, randomblob({VALUE}))"));
    println!("{peaks:?}");
    assert!(peaks.sending < ALLOWED && peaks.arriving < ALLOWED, "{peaks:?}");
    // The value itself, and SQLite's copy of it.
    assert!(peaks.merging < 2 * VALUE + ALLOWED, "{peaks:?}");
}

/// Growth of the processes over what they had when they were idle, in bytes.
#[derive(Debug)]
struct Peaks {
    sending: u64,
    arriving: u64,
    /// While the last package is merged, with everything that waited for it.
    merging: u64,
}

/// Writes at one end, sends, and takes at the other, each in a process of its own.
fn peaks(settings: &Settings, columns: &str, write: &str) -> Peaks {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [a, b] = ["a", "b"].map(|name| Peer::new(settings, folder.path(), name, Host::Python, Engine::BuiltIn));
    for peer in [&a, &b] {
        let table = format!("CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, {columns})");
        peer.run_all(&[&table, "SELECT crsql_as_crr('t')"]);
    }
    a.make_streams(&b, Stream { outbound: ", compression = none", inbound: "" });
    b.make_streams(&a, Stream::default());
    let step = |peer: &Peer, arguments: &[&str]| -> Vec<u64> {
        let lines = peer.script_with(include_str!("steps.py"), arguments);
        lines.iter().map(|line| line.parse::<u64>().expect("a number of KiB") << 10).collect()
    };
    step(&a, &["write", write]);
    let sent = step(&a, &["send"]);
    let taken = step(&b, &["receive"]);
    let receipt = std::fs::read_to_string(folder.path().join("receipt")).expect("a receipt");
    a.acknowledge(&b, &receipt.as_str().into());
    let rows = |peer: &Peer| peer.run("SELECT count(*), sum(length(c1)) FROM t", &[]);
    assert_eq!(rows(&a), rows(&b));
    assert_eq!(a.one("SELECT crsql_pending('out_to_b')", &[]).integer(), 0);
    assert_eq!(b.one("SELECT max(staged_bytes) FROM crsql_streams", &[]).integer(), 0);
    Peaks { sending: sent[0], arriving: taken[0], merging: taken[1] }
}

/// Columns of the table with many changes.
const COLUMNS: u64 = 50;
const VALUE: u64 = 256 << 20;
const ALLOWED: u64 = 64 << 20;
