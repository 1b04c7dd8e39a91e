//! Packages as a peer might make them that wants to do harm: well-formed where bytes and checksum are looked at, and wrong
//! in what they say. None of them may leave the connection other than it was.

use crate::common::*;
use crate::{apply, pair, write};
use rejoin_change::{COUNTER_MAX, Change, PackedKey, SiteId, Value, ValueRef};
use rejoin_wire::{Compression, Encoded, Format, Package};
use rusqlite::types::Value as Sql;

fn key(values: &[ValueRef<'_>]) -> PackedKey {
    PackedKey::pack(values).unwrap()
}

/// One change made wrong in each of many ways.
fn wrong_changes(change: &Change) -> Vec<Change> {
    let own = |edit: &dyn Fn(&mut Change)| {
        let mut wrong = change.clone();
        edit(&mut wrong);
        wrong
    };
    let tables =
        ["crsql_site_id", "crsql_streams_meta", "crsql_master", "sqlite_master", "u__crsql_clock", "\0", "'\"]"];
    let mut wrong: Vec<Change> = tables.iter().map(|table| own(&|change| change.table = (*table).into())).collect();
    let columns = ["k", "rowid", "__crsql_key", "v\"; DROP TABLE u; --", "\0"];
    wrong.extend(columns.iter().map(|column| own(&|change| change.column = (*column).into())));
    for number in [-1, 0, 2, COUNTER_MAX, COUNTER_MAX + 1, i64::MAX, i64::MIN] {
        wrong.push(own(&|change| change.col_version = number));
        wrong.push(own(&|change| change.causal_length = number));
    }
    wrong.push(own(&|change| change.column = "-1".into()));
    for keys in [&[][..], &[ValueRef::Null], &[ValueRef::Integer(1); 2], &[ValueRef::Integer(1); 200]] {
        if let Ok(key) = PackedKey::pack(keys) {
            wrong.push(own(&|change| change.key = key.clone()));
        }
    }
    wrong.push(own(&|change| change.key = key(&[ValueRef::Blob(&[0; 100_000])])));
    wrong.push(own(&|change| change.value = Value::Blob(vec![7; 2_000_000])));
    wrong
}

/// One package made wrong in each of many ways, as far as it can be written at all.
fn wrong_packages(honest: &Package) -> Vec<Vec<u8>> {
    let mut wrong: Vec<Package> = wrong_changes(&honest.changes[0])
        .into_iter()
        .map(|change| {
            let mut package = honest.clone();
            package.changes[0] = change;
            package
        })
        .collect();
    let mut edit = |edit: &dyn Fn(&mut Package)| {
        let mut package = honest.clone();
        edit(&mut package);
        wrong.push(package);
    };
    edit(&|package| package.changes.reverse());
    edit(&|package| package.changes.truncate(1));
    edit(&|package| package.sender = SiteId([9; 16]));
    edit(&|package| package.receiver = package.sender);
    edit(&|package| package.former_ids = vec![package.receiver; 3]);
    edit(&|package| package.run = COUNTER_MAX as u64);
    edit(&|package| package.start.cursor = package.end.cursor.clone());
    edit(&|package| package.end.cursor.db_version = COUNTER_MAX);
    edit(&|package| package.as_of.head = COUNTER_MAX);
    edit(&|package| package.since = package.end.cursor.clone());
    edit(&|package| package.ends_transaction = false);
    edit(&|package| package.changes.iter_mut().for_each(|change| change.db_version = COUNTER_MAX));
    edit(&|package| package.changes.iter_mut().for_each(|change| change.seq = -1));
    edit(&|package| package.changes.iter_mut().for_each(|change| change.site_id = package.receiver));
    let bytes = wrong.iter().filter_map(|package| package.encode(Format::Binary(Compression::None)).ok());
    bytes.map(|encoded| encoded.as_bytes().to_vec()).collect()
}

/// With the checksum that fits: four bytes behind the first eight.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let covered = bytes[..8].iter().chain(&bytes[12..]);
    let mut crc = !0u32;
    for byte in covered {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    bytes[8..12].copy_from_slice(&(!crc).to_be_bytes());
    bytes
}

/// What a package must leave alone whatever becomes of it.
fn settings(database: &Database) -> Vec<i64> {
    let pragmas =
        "ignore_check_constraints foreign_keys defer_foreign_keys recursive_triggers writable_schema query_only
        reverse_unordered_selects schema_version";
    let read = |name| database.one::<i64>(&format!("PRAGMA {name}"));
    pragmas.split_whitespace().map(read).chain([database.one("SELECT crsql_internal_sync_bit()")]).collect()
}

fn everything(database: &Database) -> (String, Vec<Sql>, Vec<Sql>) {
    let changes = "SELECT \"table\" || quote(pk) || cid || quote(val) || col_version || db_version || seq || cl FROM crsql_changes
        ORDER BY 1";
    let position = "SELECT name || ifnull(position, '-') FROM crsql_streams ORDER BY 1";
    (database.content(), database.values(changes), database.values(position))
}

#[test]
fn no_package_of_a_hostile_peer_leaves_the_connection_other_than_it_was() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ", compression = none");
    write(&b, 50, 50);
    a.run("BEGIN; INSERT INTO u VALUES ('1', 1), ('2', 'two'); INSERT INTO t VALUES (1, 2.5, x'00'); COMMIT");
    let honest: Sql = a.one("SELECT package FROM out_to_b");
    let Sql::Blob(bytes) = &honest else { panic!("a blob") };
    let package = Package::decode(bytes).unwrap();
    let Encoded::Binary(same) = package.encode(Format::Binary(Compression::None)).unwrap() else { panic!("bytes") };
    assert_eq!(with_checksum(same.clone()), same, "the checksum is the format's");
    let mut hostile = wrong_packages(&package);
    assert!(hostile.len() > 20, "{} of them can be written", hostile.len());
    for at in 12..same.len() {
        for value in [0x00, 0x80, 0xff] {
            let mut changed = same.clone();
            changed[at] = value;
            hostile.push(with_checksum(changed));
        }
    }
    let (before, standing) = (settings(&b), everything(&b));
    let mut refused = 0;
    for (index, bytes) in hostile.into_iter().enumerate() {
        let package = Sql::Blob(bytes);
        b.run("BEGIN; INSERT INTO u VALUES ('own', 1)");
        let own = everything(&b);
        let answer = apply(&b, &package);
        assert!(!b.host.is_autocommit(), "package {index} ended the caller's transaction");
        if let Err(text) = answer {
            assert!(text.len() > 20 && text != "SQL logic error", "package {index}: {text}");
            assert_eq!(everything(&b), own, "package {index} was refused and changed something");
            refused += 1;
        }
        b.run("ROLLBACK");
        assert_eq!(settings(&b), before, "package {index}");
        assert_eq!(everything(&b), standing, "package {index}");
    }
    assert!(refused > 100, "{refused}");
    apply(&b, &honest).unwrap();
    write(&b, 60, 60);
    assert_eq!(b.one::<i64>("SELECT count(*) FROM u"), 4);
    assert_eq!(b.one::<i64>("SELECT count(*) FROM crsql_changes WHERE \"table\" = 'u'"), 4, "own writes are recorded");
}

#[test]
fn a_package_that_no_stream_would_have_made_is_refused_and_says_why() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ", compression = none");
    write(&a, 1, 3);
    a.run("DELETE FROM u WHERE k = '3'");
    let Sql::Blob(bytes) = a.one("SELECT package FROM out_to_b") else { panic!("a blob") };
    let honest = Package::decode(&bytes).unwrap();
    let sentinel = honest.changes.iter().position(Change::is_sentinel).unwrap();
    type Edit<'a> = &'a dyn Fn(&mut Package);
    let edits: [(&str, Edit<'_>); 4] = [
        ("out of order", &|package| package.changes.reverse()),
        ("out of order", &|package| package.changes.insert(1, package.changes[0].clone())),
        ("out of order", &|package| package.changes.last_mut().unwrap().db_version += 1),
        ("which no database makes", &|package| package.changes[sentinel].col_version += 1),
    ];
    for (index, (expected, edit)) in edits.into_iter().enumerate() {
        let mut package = honest.clone();
        edit(&mut package);
        let encoded = package.encode(Format::Binary(Compression::None)).unwrap();
        let text = apply(&b, &Sql::Blob(encoded.as_bytes().to_vec())).unwrap_err();
        assert!(text.contains(expected), "{index}: {text}");
    }
    apply(&b, &Sql::Blob(bytes)).unwrap();
    assert_eq!(a.content(), b.content());
}
