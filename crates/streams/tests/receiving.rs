//! What an inbound stream makes of packages: whole transactions, packages in any order, changes that wait for the schema,
//! tables that are left out, rows that violate a CHECK.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use rejoin_change::{Change, Cursor, Part, Place, Value};
use rejoin_streams::{
    Atomic, Inbound, InboundOptions, OnViolation, Order, OutboundOptions, Outcome, Produced, StreamError,
};
use rejoin_wire::{Compression, Encoded, Format, Package, Receipt};

fn inbound(to: &Database, from: &Database, options: &InboundOptions) -> Inbound {
    to.streams().inbound(from.site(), options).unwrap()
}

fn any_order() -> InboundOptions {
    InboundOptions { order: Order::Any, ..InboundOptions::default() }
}

/// All packages of a backlog, none acknowledged.
fn packages(from: &Database, to: &Database, options: &OutboundOptions) -> Vec<Produced> {
    let outbound = from.outbound_with(to.site(), options);
    let mut packages: Vec<Produced> = Vec::new();
    while let Some(package) = outbound.next(packages.last().map(|package| &package.end)).unwrap() {
        packages.push(package);
        assert!(packages.len() < 10_000, "the stream does not end");
    }
    packages
}

fn apply(inbound: &Inbound, package: &Produced) -> Outcome {
    inbound.apply(package.package.as_bytes()).unwrap().outcome
}

#[test]
fn a_transaction_becomes_visible_at_once_however_many_packages_it_takes() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.run("INSERT INTO u VALUES ('before', 1)");
    a.run("BEGIN; INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3); COMMIT");
    a.run("INSERT INTO u VALUES ('after', 1)");
    let packages = packages(&a, &b, &single());
    assert_eq!(packages.len(), 8);
    let inbound = inbound(&b, &a, &InboundOptions::default());
    for (index, package) in packages.iter().enumerate() {
        assert_eq!(apply(&inbound, package), Outcome::Merged);
        let rows = b.one::<i64>("SELECT count(*) FROM t");
        assert_eq!(rows, if index < 6 { 0 } else { 3 }, "behind package {index}");
        assert_eq!(inbound.position().unwrap().as_ref(), Some(&package.end), "the receipt covers what is staged");
        let seen = inbound.last_seen().unwrap().unwrap();
        if (1..6).contains(&index) {
            assert_eq!(seen, Cursor::end_of_version(1), "what is staged is not seen");
            assert!(inbound.staged_bytes().unwrap() > 0);
        } else {
            assert_eq!(seen, package.end);
            assert_eq!(inbound.staged_bytes().unwrap(), 0);
        }
    }
    assert_eq!(a.content(), b.content());
    assert_eq!(tell(&b, &a).unwrap(), 1, "nothing of it is sent back: the package is empty");
    assert_eq!(a.streams().head().unwrap(), 3);
}

/// The staged head of a transaction is acknowledged; then what would have completed it is overwritten, so that it comes
/// with a later version. The transaction is complete as soon as a package passes its end.
#[test]
fn a_transaction_whose_rest_was_overwritten_is_complete_when_a_package_passes_it() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.run("BEGIN; INSERT INTO u VALUES ('x', 1), ('y', 1), ('z', 1); COMMIT");
    let (outbound, inbound) = (a.outbound_with(b.site(), &single()), inbound(&b, &a, &InboundOptions::default()));
    let first = outbound.next(None).unwrap().unwrap();
    outbound.acknowledge(&inbound.apply(first.package.as_bytes()).unwrap().receipt).unwrap();
    assert_eq!(b.one::<i64>("SELECT count(*) FROM u"), 0);
    a.run("UPDATE u SET v = 2 WHERE k <> 'x'");
    tell(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
    assert_eq!(inbound.staged_bytes().unwrap(), 0);
}

#[test]
fn by_package_what_comes_is_merged_at_once() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.run("BEGIN; INSERT INTO u VALUES ('x', 1), ('y', 1), ('z', 1); COMMIT");
    let options = InboundOptions { atomic: Atomic::Package, ..InboundOptions::default() };
    let inbound = inbound(&b, &a, &options);
    for (index, package) in packages(&a, &b, &single()).iter().enumerate() {
        apply(&inbound, package);
        assert_eq!(b.one::<i64>("SELECT count(*) FROM u"), 1 + index as i64);
        assert_eq!(inbound.last_seen().unwrap().as_ref(), Some(&package.end));
    }
    assert_eq!(a.content(), b.content());
}

/// What is staged was acknowledged, so nobody tells it again when the stream ends or the database takes another id.
#[test]
fn what_is_staged_is_merged_when_its_stream_or_its_run_ends() {
    let folder = Folder::new();
    let a = folder.database("a");
    a.run("BEGIN; INSERT INTO u VALUES ('x', 1), ('y', 1), ('z', 1); COMMIT");
    let endings: [fn(&Database, &Database); 4] = [
        |b, _| b.run("DROP TABLE in_from_a"),
        |b, _| b.run("SELECT crsql_reidentify()"),
        |b, a| {
            a.outbound(b.site()).set_acked(&Cursor::BEGINNING).unwrap();
            let package = a.outbound(b.site()).next(None).unwrap().unwrap();
            b.streams().find(a).apply(package.package.as_bytes()).unwrap();
        },
        |b, a| {
            a.streams().reidentify().unwrap();
            tell(a, b).unwrap();
        },
    ];
    for (index, end) in endings.into_iter().enumerate() {
        let b = folder.database(&format!("b{index}"));
        let site = a.site();
        b.run(&format!("CREATE VIRTUAL TABLE in_from_a USING crsql_inbound_stream(remote = x'{site}')"));
        let first = a.outbound_with(b.site(), &single()).next(None).unwrap().unwrap();
        let receipt = b.call::<String>("SELECT crsql_apply('in_from_a', ?)", &blob(&first)).unwrap();
        a.outbound_with(b.site(), &single()).acknowledge(&Receipt::from_text(&receipt).unwrap()).unwrap();
        assert_eq!(b.one::<i64>("SELECT count(*) FROM u"), 0);
        end(&b, &a);
        assert!(b.one::<i64>("SELECT count(*) FROM u") >= 1, "ending {index}");
        assert_eq!(b.one::<i64>("SELECT count(*) FROM crsql_streams_staged"), 0, "ending {index}");
    }
}

trait Find {
    fn find(&self, from: &Database) -> Inbound;
}

impl Find for rejoin_streams::Streams {
    /// The stream as it is, options and all.
    fn find(&self, from: &Database) -> Inbound {
        self.inbound(from.site(), &InboundOptions::default()).unwrap()
    }
}

fn blob(package: &Produced) -> rusqlite::types::Value {
    rusqlite::types::Value::Blob(package.package.as_bytes().to_vec())
}

#[test]
fn in_any_order_every_permutation_ends_alike_and_needs_says_what_is_missing() {
    let folder = Folder::new();
    let a = folder.database("a");
    a.run("INSERT INTO u VALUES ('x', 1)");
    a.run("BEGIN; INSERT INTO t VALUES (1, 1, 1), (2, 2, 2); COMMIT");
    a.run("UPDATE u SET v = 2");
    a.run("DELETE FROM t WHERE id = 1");
    for seed in 0..24u64 {
        let b = folder.database(&format!("b{seed}"));
        let mut packages = packages(&a, &b, &single());
        let inbound = inbound(&b, &a, &any_order());
        let (mut state, count) = (seed, packages.len());
        for index in (1..count).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            packages.swap(index, (state >> 33) as usize % (index + 1));
        }
        for package in &packages {
            assert_eq!(apply(&inbound, package), Outcome::Merged, "seed {seed}");
            assert_eq!(apply(&inbound, package), Outcome::Duplicate, "seed {seed}");
            let rows = b.one::<i64>("SELECT count(*) FROM crsql_changes WHERE \"table\" = 't' AND cid <> '-1'");
            assert!(rows == 0 || rows >= 2, "seed {seed}: half of a transaction is visible");
        }
        assert_eq!(inbound.needs().unwrap(), [], "seed {seed}");
        assert_eq!(inbound.staged_bytes().unwrap(), 0, "seed {seed}");
        assert_eq!(inbound.last_seen().unwrap(), Some(Cursor::end_of_version(4)), "seed {seed}");
        assert_eq!(a.content(), b.content(), "seed {seed}");
    }
}

#[test]
fn what_needs_says_is_served_by_bounds_on_the_cursor() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    for version in 0..12 {
        a.run(&format!("INSERT INTO u VALUES ('k{version}', 1)"));
    }
    a.run(&format!(
        "CREATE VIRTUAL TABLE out_to_b USING crsql_outbound_stream(remote = x'{}', package_changes_max = 1)",
        b.site()
    ));
    b.run(&format!("CREATE VIRTUAL TABLE in_from_a USING crsql_inbound_stream(remote = x'{}', order = any)", a.site()));
    let apply =
        |package: &rusqlite::types::Value| b.insert("INSERT INTO in_from_a(package) VALUES (?)", package).unwrap();
    let all = a.values("SELECT package FROM out_to_b");
    for at in [3, 7, 4] {
        apply(&all[at]);
    }
    assert_eq!(
        b.one::<String>("SELECT needs FROM in_from_a"),
        "[[[0,0],[3,\"end\"]],[[5,\"end\"],[7,\"end\"]],[[8,\"end\"],[12,\"end\"]]]"
    );
    let bounds = "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM in_from_a, json_each(needs)";
    let mut statement = b.host.prepare(bounds).unwrap();
    let bounds: Vec<(String, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap();
    for (after, until) in bounds {
        let sql = "SELECT package FROM out_to_b WHERE cursor > ?1 AND cursor <= ?2";
        let mut served = a.host.prepare(sql).unwrap();
        for package in served.query_map([after, until], |row| row.get(0)).unwrap() {
            apply(&package.unwrap());
        }
    }
    assert_eq!(b.one::<String>("SELECT needs FROM in_from_a"), "[]");
    assert_eq!(a.content(), b.content());
    let receipt = b.values("SELECT receipt FROM in_from_a").remove(0);
    assert_eq!(a.call::<i64>("SELECT crsql_ack('out_to_b', ?)", &receipt), Ok(1));
    assert_eq!(a.one::<i64>("SELECT crsql_pending('out_to_b')"), 0);
}

#[test]
fn beyond_the_bound_of_holes_later_packages_wait_and_the_oldest_hole_is_asked_for() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    for version in 0..140 {
        a.run(&format!("INSERT INTO u VALUES ('k{version}', 1)"));
    }
    let packages = packages(&a, &b, &single());
    let inbound = inbound(&b, &a, &any_order());
    let every_second: Vec<Outcome> =
        packages.iter().skip(1).step_by(2).map(|package| apply(&inbound, package)).collect();
    assert_eq!(every_second.iter().filter(|outcome| **outcome == Outcome::Merged).count(), 64);
    assert_eq!(every_second.last(), Some(&Outcome::Gap));
    let receipt = inbound.receipt().unwrap();
    assert_eq!((receipt.position, receipt.ranges.len()), (None, 64));
    assert_eq!(apply(&inbound, &packages[0]), Outcome::Merged);
    assert_eq!(apply(&inbound, packages.last().unwrap()), Outcome::Merged, "there is room again");
    tell(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
    assert_eq!(inbound.needs().unwrap(), []);
}

/// A package of another history that ends where a range of this one ends must not pass for the same.
#[test]
fn a_range_known_with_another_mark_is_a_history_that_forked() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    for version in 0..4 {
        a.run(&format!("INSERT INTO u VALUES ('k{version}', 1)"));
    }
    let path = folder.path("copy");
    a.outbound(b.site());
    a.backup(&path);
    let inbound = inbound(&b, &a, &any_order());
    let original = packages(&a, &b, &single());
    apply(&inbound, &original[2]);
    let copy = Database::open_bare(&path);
    let forked = packages(&copy, &b, &single());
    let error = inbound.apply(forked[3].package.as_bytes()).unwrap_err();
    assert!(matches!(error, StreamError::IdentityChanged { .. }), "{error}");
    assert!(error.to_string().contains("crsql_reidentify"), "{error}");
    apply(&inbound, &original[0]);
    let receipt = inbound.receipt().unwrap();
    let error = copy.outbound(b.site()).acknowledge(&receipt).unwrap_err();
    assert!(matches!(error, StreamError::IdentityChanged { .. }), "{error}");
}

#[test]
fn changes_wait_for_their_table_and_column_and_merge_when_the_schema_has_caught_up() {
    let folder = Folder::new();
    let a = folder.database("a");
    a.run("INSERT INTO t VALUES (1, 'b', 'c'); INSERT INTO u VALUES ('k', 1)");
    let b = Database::open_bare(&folder.path("b"));
    b.run("CREATE TABLE t(id INTEGER PRIMARY KEY NOT NULL, b); SELECT crsql_as_crr('t')");
    tell(&a, &b).unwrap();
    assert_eq!(b.one::<String>("SELECT id || b FROM t"), "1b", "what has a place is merged");
    assert_eq!(b.one::<i64>("SELECT parked FROM crsql_streams WHERE direction = 'inbound'"), 2);
    a.run("UPDATE t SET c = 'later'; UPDATE u SET v = 2");
    tell(&a, &b).unwrap();
    assert_eq!(b.streams().parked().unwrap(), 2, "one for each cell");
    b.run("SELECT crsql_begin_alter('t'); ALTER TABLE t ADD COLUMN c; SELECT crsql_commit_alter('t')");
    b.run("CREATE TABLE u(k TEXT PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('u')");
    if original().is_none() {
        assert_eq!(a.content(), b.content(), "they are merged without a call");
    }
    tell(&a, &b).unwrap();
    assert_eq!(b.outbound(a.site()).pending().unwrap(), b.streams().head().unwrap());
    level(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
    assert_eq!(b.streams().parked().unwrap(), 0);
}

#[test]
fn parked_changes_outlive_their_stream_and_go_only_when_told_to() {
    let folder = Folder::new();
    let a = folder.database("a");
    a.run("INSERT INTO t VALUES (1, 'b', 'c'); INSERT INTO u VALUES ('k', 1)");
    let b = Database::open_bare(&folder.path("b"));
    b.run("CREATE TABLE other(id INTEGER PRIMARY KEY NOT NULL, x); SELECT crsql_as_crr('other')");
    let site = a.site();
    b.run(&format!("CREATE VIRTUAL TABLE in_from_a USING crsql_inbound_stream(remote = x'{site}')"));
    let package = a.outbound(b.site()).next(None).unwrap().unwrap();
    b.call::<String>("SELECT crsql_apply('in_from_a', ?)", &blob(&package)).unwrap();
    assert_eq!(b.one::<i64>("SELECT parked FROM in_from_a"), 3);
    b.run("DROP TABLE in_from_a; SELECT crsql_reidentify()");
    assert_eq!(b.streams().parked().unwrap(), 3);
    assert_eq!(b.one::<i64>("SELECT crsql_drop_parked('U')"), 1);
    assert_eq!(b.one::<i64>("SELECT crsql_drop_parked()"), 2);
    assert_eq!(b.streams().parked().unwrap(), 0);
}

#[test]
fn where_too_much_waits_the_stream_stops_before_the_package() {
    let folder = Folder::new();
    let a = folder.database("a");
    a.run("INSERT INTO t VALUES (1, 'b', 'c'); INSERT INTO u VALUES ('k', 1)");
    let b = Database::open_bare(&folder.path("b"));
    b.run("CREATE TABLE u(k TEXT PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('u')");
    let inbound = b.inbound(a.site());
    b.run(
        "INSERT OR REPLACE INTO crsql_streams_meta VALUES ('parked', 1048575);
         INSERT OR REPLACE INTO crsql_streams_meta SELECT 'parked_tried', schema_version FROM pragma_schema_version",
    );
    let error = tell(&a, &b).unwrap_err();
    assert!(matches!(error, StreamError::PeerIncompatible(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("1048576 changes wait") && text.contains("crsql_drop_parked()"), "{text}");
    assert!(text.contains("column c of table t"), "{text}");
    assert_eq!((inbound.position().unwrap(), b.one::<i64>("SELECT count(*) FROM u")), (None, 0));
    assert_eq!(b.one::<i64>("SELECT crsql_drop_parked()"), 1_048_575);
    tell(&a, &b).unwrap();
    assert_eq!(b.streams().parked().unwrap(), 2);
}

/// What waited is refused by the tables at last: it goes on waiting, and a call says why.
#[test]
fn parked_changes_that_the_tables_refuse_go_on_waiting() {
    if original().is_some() {
        return; // CHECKs are off there during a merge.
    }
    let folder = Folder::new();
    let a = folder.database("a");
    a.run("INSERT INTO u VALUES ('k', -1)");
    let b = Database::open_bare(&folder.path("b"));
    b.run("CREATE TABLE t(id INTEGER PRIMARY KEY NOT NULL, b, c); SELECT crsql_as_crr('t')");
    tell(&a, &b).unwrap();
    b.run("CREATE TABLE u(k TEXT PRIMARY KEY NOT NULL, v CHECK (v > 0)); SELECT crsql_as_crr('u')");
    assert_eq!(b.streams().parked().unwrap(), 1);
    let text = b.refused("SELECT crsql_merge_parked()");
    assert!(text.contains("table u, key ('k')") && text.contains("CHECK constraint failed"), "{text}");
    a.run("INSERT INTO t VALUES (1, 1, 1)");
    tell(&a, &b).unwrap();
    assert_eq!(b.one::<i64>("SELECT count(*) FROM t"), 1, "nothing else is held up by it");
    b.run("SELECT crsql_begin_alter('u'); ALTER TABLE u ADD COLUMN w; SELECT crsql_commit_alter('u')");
    assert_eq!((b.streams().parked().unwrap(), b.one::<i64>("SELECT count(*) FROM u")), (1, 0));
    assert_eq!(b.one::<i64>("SELECT crsql_drop_parked('u')"), 1);
}

#[test]
fn what_is_staged_survives_a_restart_and_goes_with_a_rollback() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.run("BEGIN; INSERT INTO u VALUES ('x', 1), ('y', 1), ('z', 1); COMMIT");
    let packages = packages(&a, &b, &single());
    apply(&b.inbound(a.site()), &packages[0]);
    let b = b.reopen();
    let inbound = b.inbound(a.site());
    let staged = inbound.staged_bytes().unwrap();
    assert!(staged > 0);
    b.run("BEGIN");
    apply(&inbound, &packages[1]);
    apply(&inbound, &packages[2]);
    assert_eq!(b.one::<i64>("SELECT count(*) FROM u"), 3);
    b.run("ROLLBACK");
    assert_eq!((inbound.staged_bytes().unwrap(), b.one::<i64>("SELECT count(*) FROM u")), (staged, 0));
    assert_eq!(inbound.position().unwrap().as_ref(), Some(&packages[0].end));
    apply(&inbound, &packages[1]);
    apply(&inbound, &packages[2]);
    assert_eq!(a.content(), b.content());
}

#[test]
fn a_parked_key_of_another_shape_stops_no_other_table() {
    let folder = Folder::new();
    let a = folder.database("a");
    a.run("INSERT INTO t VALUES (1, 'b', 'c'); INSERT INTO u VALUES ('k', 1)");
    let b = Database::open_bare(&folder.path("b"));
    b.run(
        "CREATE TABLE t(id INTEGER NOT NULL, b NOT NULL DEFAULT 0, c, PRIMARY KEY (id, b)); SELECT crsql_as_crr('t');
         CREATE TABLE u(k TEXT PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('u')",
    );
    tell(&a, &b).unwrap();
    assert_eq!(b.one::<String>("SELECT k || v FROM u"), "k1");
    assert_eq!(b.streams().parked().unwrap(), 2);
}

#[test]
fn tables_are_left_out_at_either_end_and_come_when_the_filter_widens() {
    let folder = Folder::new();
    let (a, b, c) = (folder.database("a"), folder.database("b"), folder.database("c"));
    a.run("INSERT INTO t VALUES (1, 1, 1); INSERT INTO u VALUES ('k', 1)");
    // At the sender.
    let only_t = OutboundOptions { tables: Some(vec!["T".into()]), ..OutboundOptions::default() };
    let outbound = a.outbound_with(b.site(), &only_t);
    let inbound_b = b.inbound(a.site());
    let package = outbound.next(None).unwrap().unwrap();
    inbound_b.apply(package.package.as_bytes()).unwrap();
    assert_eq!((b.one::<i64>("SELECT count(*) FROM t"), b.one::<i64>("SELECT count(*) FROM u")), (1, 0));
    tell(&a, &b).unwrap();
    assert_eq!(a.content(), b.content(), "a wider filter tells what was left out");
    // At the receiver.
    let options = InboundOptions { tables: Some(vec!["u".into()]), ..InboundOptions::default() };
    let inbound_c = inbound(&c, &a, &options);
    for package in packages(&a, &c, &OutboundOptions::default()) {
        a.outbound(c.site()).acknowledge(&inbound_c.apply(package.package.as_bytes()).unwrap().receipt).unwrap();
    }
    assert_eq!((c.one::<i64>("SELECT count(*) FROM t"), c.one::<i64>("SELECT count(*) FROM u")), (0, 1));
    assert_eq!(inbound_c.counts().unwrap(), (2, 0));
    assert_eq!(a.outbound(c.site()).pending().unwrap(), 0);
    tell(&a, &c).unwrap();
    assert_eq!(a.content(), c.content());
}

#[test]
fn a_row_that_violates_a_check_stops_the_stream_or_is_merged_and_counted() {
    let folder = Folder::new();
    let a = folder.database("a");
    a.run("INSERT INTO t VALUES (1, 1, 1), (2, -2, 2), (3, 3, 3); INSERT INTO u VALUES ('k', 1)");
    let schema = "CREATE TABLE t(id INTEGER PRIMARY KEY NOT NULL, b CHECK (b > 0), c);
         CREATE TABLE u(k TEXT PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('t'); SELECT crsql_as_crr('u')";
    let strict = Database::open_bare(&folder.path("strict"));
    strict.run(schema);
    if original().is_some() {
        // It merges cell by cell, and could not tell a violation that lasts from one that passes.
        tell(&a, &strict).unwrap();
        assert_eq!(a.content(), strict.content());
        assert!(strict.try_run("UPDATE t SET b = -1 WHERE id = 1").is_err(), "CHECKs are in force again");
        return;
    }
    let error = tell(&a, &strict).unwrap_err().to_string();
    assert!(error.contains("table t, key (2)") && error.contains("CHECK constraint failed"), "{error}");
    assert_eq!(strict.one::<i64>("SELECT count(*) FROM t"), 0, "nothing of the package is applied");

    let lenient = Database::open_bare(&folder.path("lenient"));
    lenient.run(schema);
    let options = InboundOptions { on_violation: OnViolation::Accept, ..InboundOptions::default() };
    let inbound = inbound(&lenient, &a, &options);
    let package = a.outbound(lenient.site()).next(None).unwrap().unwrap();
    assert_eq!(apply(&inbound, &package), Outcome::Merged);
    assert_eq!(a.content(), lenient.content());
    assert_eq!(inbound.counts().unwrap(), (0, 1));
    assert_eq!(lenient.one::<i64>("PRAGMA ignore_check_constraints"), 0, "as it was before");
    assert!(lenient.try_run("UPDATE t SET b = -1 WHERE id = 1").is_err());
}

/// Cells of one row may come in two packages of one transaction. Only together they obey the CHECK.
#[test]
fn a_check_sees_all_cells_of_a_row_however_the_transaction_was_cut() {
    let folder = Folder::new();
    let schema = "CREATE TABLE t(id INTEGER PRIMARY KEY NOT NULL, b, c, CHECK (b < c)); SELECT crsql_as_crr('t');
        CREATE TABLE u(k TEXT PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('u')";
    let (a, b) = (Database::open_bare(&folder.path("a")), Database::open_bare(&folder.path("b")));
    a.run(schema);
    b.run(schema);
    a.run("INSERT INTO t VALUES (1, 1, 2)");
    tell(&a, &b).unwrap();
    a.run("UPDATE t SET b = 10, c = 20");
    let inbound = b.inbound(a.site());
    for package in packages(&a, &b, &single()) {
        apply(&inbound, &package);
    }
    assert_eq!(a.content(), b.content());
}

/// In the sender's last transaction c is written before b, and once more behind another row: what is left of it is b,
/// the other row, c. Each value was valid beside the other's at any moment there.
#[test]
fn a_check_sees_all_cells_of_a_row_though_others_stand_between_them() {
    let folder = Folder::new();
    let schema = "CREATE TABLE t(id INTEGER PRIMARY KEY NOT NULL, b, c, CHECK (b < c)); SELECT crsql_as_crr('t');
        CREATE TABLE u(k TEXT PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('u')";
    let (a, b) = (Database::open_bare(&folder.path("a")), Database::open_bare(&folder.path("b")));
    a.run(schema);
    b.run(schema);
    a.run("INSERT INTO t VALUES (1, 1, 2)");
    tell(&a, &b).unwrap();
    let transaction = |key: &str, [c, b, last_c]: [i64; 3]| {
        format!(
            "BEGIN; UPDATE t SET c = {c}; UPDATE t SET b = {b}; INSERT INTO u VALUES ('{key}', 1);
             UPDATE t SET c = {last_c}; COMMIT"
        )
    };
    a.run(&transaction("one package", [20, 10, 15]));
    tell(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
    a.run(&transaction("a package for each change", [200, 100, 150]));
    let inbound = b.inbound(a.site());
    for package in packages(&a, &b, &single()) {
        apply(&inbound, &package);
    }
    assert_eq!(a.content(), b.content());
    assert_eq!(inbound.counts().unwrap(), (0, 0));
}

/// Packages are lost, and what was in them is overwritten: there is nothing left with which to fill the holes.
#[test]
fn a_hole_of_which_nothing_is_left_is_filled_by_an_empty_package() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.run("BEGIN; INSERT INTO u VALUES ('v', 1), ('w', 1), ('x', 1), ('y', 1), ('z', 1); COMMIT");
    a.run("INSERT INTO u VALUES ('last', 1)");
    let packages = packages(&a, &b, &single());
    let inbound = inbound(&b, &a, &any_order());
    for package in packages.iter().step_by(2) {
        apply(&inbound, package);
    }
    a.run("UPDATE u SET v = 2 WHERE k IN ('w', 'y', 'last')");
    let outbound = a.outbound(b.site());
    for _ in 0..3 {
        for (after, until) in inbound.needs().unwrap() {
            let mut from = after;
            while let Some(package) = outbound.next_until(Some(&from), Some(&until)).unwrap() {
                apply(&inbound, &package);
                from = package.end;
            }
        }
    }
    outbound.acknowledge(&inbound.receipt().unwrap()).unwrap();
    tell_any(&a, &b, &inbound);
    assert_eq!(inbound.needs().unwrap(), []);
    assert_eq!(inbound.staged_bytes().unwrap(), 0);
    assert_eq!(a.content(), b.content());
}

fn tell_any(a: &Database, b: &Database, inbound: &Inbound) {
    let outbound = a.outbound(b.site());
    while let Some(package) = outbound.next(None).unwrap() {
        outbound.acknowledge(&inbound.apply(package.package.as_bytes()).unwrap().receipt).unwrap();
    }
}

/// Cuts the last change of a package into parts of `part` bytes, as an outbound stream does with a value that is too large.
fn cut(package: &Package, part: usize) -> Vec<Package> {
    let change = package.changes.last().unwrap().clone();
    let Value::Blob(bytes) = &change.value else { panic!("the last value is a blob") };
    let mut packages = Vec::new();
    let mut start = package.start.clone();
    for (index, piece) in bytes.chunks(part).enumerate() {
        let offset = (index * part + piece.len()) as u64;
        let mut changes = if index == 0 { package.changes[..package.changes.len() - 1].to_vec() } else { Vec::new() };
        changes.push(Change { value: Value::Blob(piece.to_vec()), ..change.clone() });
        let is_last = offset == bytes.len() as u64;
        let mut end = package.end.clone();
        if !is_last {
            let Cursor { db_version, seq, place } = change.cursor();
            let Place::At { table, key, column, .. } = place else { panic!("a change has a place") };
            let part =
                Some(Part { offset_bytes: offset, total_bytes: bytes.len() as u64, col_version: change.col_version });
            end.cursor = Cursor { db_version, seq, place: Place::At { table, key, column, part } };
        }
        let ends_transaction = package.ends_transaction && is_last;
        packages.push(Package { start: start.clone(), end: end.clone(), changes, ends_transaction, ..package.clone() });
        start = end;
    }
    packages
}

fn encoded(package: &Package) -> Vec<u8> {
    match package.encode(Format::Binary(Compression::None)).unwrap() {
        Encoded::Binary(bytes) => bytes,
        Encoded::Text(_) => panic!("a binary package was asked for"),
    }
}

#[test]
fn a_value_in_parts_is_merged_when_it_is_whole_in_every_mode() {
    let folder = Folder::new();
    let a = folder.database("a");
    a.run("BEGIN; INSERT INTO u VALUES ('small', 1); INSERT INTO u VALUES ('large', randomblob(1000)); COMMIT");
    let modes = [
        InboundOptions::default(),
        InboundOptions { atomic: Atomic::Package, ..InboundOptions::default() },
        any_order(),
        InboundOptions { atomic: Atomic::Package, ..any_order() },
    ];
    for (index, options) in modes.into_iter().enumerate() {
        let b = folder.database(&format!("b{index}"));
        let inbound = inbound(&b, &a, &options);
        let whole = a.outbound(b.site()).next(None).unwrap().unwrap();
        let mut parts = cut(&Package::decode(whole.package.as_bytes()).unwrap(), 300);
        assert_eq!(parts.len(), 4);
        if options.order == Order::Any {
            parts.swap(0, 3);
            parts.swap(1, 2);
        }
        for (at, part) in parts.iter().enumerate() {
            assert_eq!(b.one::<i64>("SELECT count(*) FROM u WHERE k = 'large'"), 0, "mode {index}, part {at}");
            assert_eq!(inbound.apply(&encoded(part)).unwrap().outcome, Outcome::Merged, "mode {index}, part {at}");
        }
        assert_eq!(a.content(), b.content(), "mode {index}");
        assert_eq!(inbound.staged_bytes().unwrap(), 0, "mode {index}");
        assert_eq!(inbound.last_seen().unwrap(), inbound.position().unwrap(), "mode {index}");
    }
}

/// A large value is on its way in parts and is overwritten: its second part never exists. What came of it is dropped, and
/// its successor lies later in the stream.
#[test]
fn the_first_parts_of_a_value_that_was_overwritten_are_dropped() {
    let folder = Folder::new();
    let a = folder.database("a");
    a.run("INSERT INTO u VALUES ('large', randomblob(1000))");
    for (index, atomic) in [Atomic::Transaction, Atomic::Package].into_iter().enumerate() {
        let b = folder.database(&format!("b{index}"));
        let inbound = inbound(&b, &a, &InboundOptions { atomic, ..InboundOptions::default() });
        let whole = a.outbound(b.site()).next(None).unwrap().unwrap();
        let parts = cut(&Package::decode(whole.package.as_bytes()).unwrap(), 300);
        inbound.apply(&encoded(&parts[0])).unwrap();
        inbound.apply(&encoded(&parts[1])).unwrap();
        a.run("UPDATE u SET v = 'small'");
        let rest = a.outbound(b.site()).next(inbound.position().unwrap().as_ref()).unwrap().unwrap();
        let mut rest = Package::decode(rest.package.as_bytes()).unwrap();
        rest.start = parts[1].end.clone();
        inbound.apply(&encoded(&rest)).unwrap();
        assert_eq!(a.content(), b.content());
        assert_eq!(inbound.staged_bytes().unwrap(), 0);
        a.run("UPDATE u SET v = randomblob(1000)");
    }
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.run("INSERT INTO u VALUES ('large', randomblob(1000))");
    let inbound = inbound(&b, &a, &InboundOptions::default());
    let whole = a.outbound(b.site()).next(None).unwrap().unwrap();
    let parts = cut(&Package::decode(whole.package.as_bytes()).unwrap(), 300);
    inbound.apply(&encoded(&parts[0])).unwrap();
    inbound.apply(&encoded(&parts[1])).unwrap();
    inbound.apply(&encoded(&parts[2])).unwrap();
    let mut wrong = parts[3].clone();
    wrong.changes[0].value = Value::Blob(vec![0; 99]);
    let error = inbound.apply(&encoded(&wrong)).unwrap_err().to_string();
    assert!(error.contains("do not fit together") && error.contains("key ('large')"), "{error}");
    wrong.changes[0].value = Value::Integer(1);
    assert!(inbound.apply(&encoded(&wrong)).is_err());
    assert_eq!(inbound.apply(&encoded(&parts[3])).unwrap().outcome, Outcome::Merged);
    assert_eq!(a.content(), b.content());
}

/// A remote that sends parts which are no value stops its own stream, but it cannot keep anybody from dropping it.
#[test]
fn a_stream_with_parts_that_are_no_value_can_still_be_dropped() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.run("BEGIN; INSERT INTO u VALUES ('large', randomblob(1000)); INSERT INTO u VALUES ('z', 1); COMMIT");
    let sent = packages(&a, &b, &single());
    let site = a.site();
    let make = format!("CREATE VIRTUAL TABLE in_from_a USING crsql_inbound_stream(remote = x'{site}')");
    b.run(&make);
    let apply =
        |bytes: Vec<u8>| b.call::<String>("SELECT crsql_apply('in_from_a', ?)", &rusqlite::types::Value::Blob(bytes));
    let mut parts = cut(&Package::decode(sent[0].package.as_bytes()).unwrap(), 300);
    parts.last_mut().unwrap().changes[0].value = Value::Blob(vec![0; 7]);
    for part in &parts {
        apply(encoded(part)).unwrap();
    }
    let error = apply(sent[1].package.as_bytes().to_vec()).unwrap_err();
    assert!(error.contains("do not fit together"), "{error}");
    b.run("DROP TABLE in_from_a");
    b.run(&make);
    assert_eq!(b.one::<i64>("SELECT staged_bytes FROM in_from_a"), 0);
    for package in &sent {
        apply(package.package.as_bytes().to_vec()).unwrap();
    }
    assert_eq!(a.content(), b.content());
}
