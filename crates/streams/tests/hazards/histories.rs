//! Versions and cells that move under a position: heads, late stamps, tables made anew, reads beside writers.

use crate::common::*;
use crate::{heal, identity_side, insert};
use rejoin_change::Cursor;
use rejoin_streams::{OutboundOptions, Outcome, Side};

/// No-op updates count versions in memory that are never stored; another connection then writes at them.
#[test]
fn the_head_is_what_is_stored() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    let other = a.again();
    insert(&a, 1..=2);
    a.run("UPDATE t SET b = b");
    assert_eq!(a.streams().head().unwrap(), 2);
    let package = a.outbound(b.site()).next(None).unwrap().unwrap();
    assert_eq!((package.head, package.end.clone()), (2, Cursor::end_of_version(2)));
    let applied = b.inbound(a.site()).apply(package.package.as_bytes()).unwrap();
    a.outbound(b.site()).acknowledge(&applied.receipt).unwrap();
    insert(&other, 3..=3);
    tell(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
}

#[test]
fn versions_from_a_huge_sender_do_not_reach_the_receiver() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=1);
    a.run("UPDATE t__crsql_clock SET db_version = 9007199254740990");
    let a = a.reopen();
    tell(&a, &b).unwrap();
    assert_eq!(b.streams().head().unwrap(), 1);
    b.run("INSERT INTO t VALUES (2, 2, 2)");
    assert_eq!(b.streams().head().unwrap(), 2);
}

/// Cells stamped late by a schema change lie at the version that was newest then.
#[test]
fn cells_that_an_alter_fills_late_are_sent() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=3);
    level(&a, &b).unwrap();
    for database in [&a, &b] {
        database.run("SELECT crsql_begin_alter('t'); ALTER TABLE t ADD COLUMN d");
    }
    a.run("UPDATE t SET d = 'filled at a'");
    for database in [&a, &b] {
        database.run("SELECT crsql_commit_alter('t')");
    }
    level(&a, &b).unwrap();
    assert_eq!(b.one::<i64>("SELECT count(*) FROM t WHERE d = 'filled at a'"), 3);
}

/// Another connection writes between any two statements of a read. What a package says must still be one state.
#[test]
fn a_package_is_read_from_one_state_of_the_database() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.outbound(b.site());
    insert(&a, 1..=50);
    let path = a.path.clone();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let turns = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let granted = turns.clone();
    let writer = std::thread::spawn(move || {
        let other = Database::open_bare(&path);
        other.run("PRAGMA busy_timeout = 5000");
        let (mut round, mut turn, mut written) = (0, 0, 0);
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            // A writer that never rested could keep the lock from the reader's own writes for as long as it likes.
            let now = granted.load(std::sync::atomic::Ordering::Relaxed);
            if now != turn {
                (turn, written) = (now, 0);
            } else if written == 20 {
                std::thread::yield_now();
                continue;
            }
            written += 1;
            other.run(&format!("UPDATE t SET b = {round}, c = {round} WHERE id = {}", round % 50 + 1));
            round += 1;
        }
        other.close();
    });
    a.run("PRAGMA busy_timeout = 5000");
    let options = OutboundOptions { package_changes_max: Some(7), ..Default::default() };
    let (outbound, inbound) = (a.outbound_with(b.site(), &options), b.inbound(a.site()));
    for _ in 0..200 {
        turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match outbound.next(None) {
            Ok(Some(package)) => {
                let applied = inbound.apply(package.package.as_bytes()).unwrap();
                assert_eq!(applied.outcome, Outcome::Merged);
                outbound.acknowledge(&applied.receipt).unwrap();
            }
            Ok(None) => {}
            Err(error) => assert!(error.is_busy(), "{error}"),
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    while let Some(package) = outbound.next(None).unwrap() {
        let applied = inbound.apply(package.package.as_bytes()).unwrap();
        outbound.acknowledge(&applied.receipt).unwrap();
    }
    assert_eq!(a.content(), b.content());
}

/// Giving up the table with the newest versions took the head back, and the versions of the next writes had been
/// acknowledged already: they never left.
#[test]
fn giving_up_a_table_does_not_give_out_its_versions_again() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=2);
    a.run("INSERT INTO u VALUES ('newest', 1); UPDATE u SET v = 2; UPDATE u SET v = 3");
    tell(&a, &b).unwrap();
    a.run("SELECT crsql_as_table('u'); INSERT INTO t VALUES (9, 9, 9)");
    if original().is_some() {
        // The original takes its head back, which is noticed.
        assert_eq!(identity_side(&tell(&a, &b).unwrap_err()), Side::Here);
        a.streams().reidentify().unwrap();
    }
    tell(&a, &b).unwrap();
    assert_eq!(b.one::<i64>("SELECT count(*) FROM t WHERE id = 9"), 1);
}

/// The original takes its head back then, which shows.
#[test]
fn a_head_below_what_was_given_away_means_a_lost_history() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=2);
    a.run("INSERT INTO u VALUES ('newest', 1)");
    tell(&a, &b).unwrap();
    a.run("DELETE FROM u__crsql_clock");
    assert_eq!(identity_side(&a.outbound(b.site()).next(None).unwrap_err()), Side::Here);
    a.streams().reidentify().unwrap();
    assert_eq!(heal(&a, &b), 0);
    assert_eq!(a.content(), b.content());
}

#[test]
fn a_table_tracked_anew_ends_equal_after_a_reidentification() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=4);
    level(&a, &b).unwrap();
    b.run("UPDATE t SET b = 'b' WHERE id <= 2; UPDATE t SET b = 'bb' WHERE id = 1; DELETE FROM t WHERE id = 4");
    level(&a, &b).unwrap();
    a.run("SELECT crsql_as_table('t'); DELETE FROM t WHERE id = 3; UPDATE t SET b = 'a' WHERE id = 1");
    a.run("INSERT INTO t VALUES (5, 5, 5); SELECT crsql_as_crr('t'); UPDATE t SET c = 'a' WHERE id = 2");
    a.streams().reidentify().unwrap();
    heal(&a, &b);
    assert_eq!(a.content(), b.content());
    assert_eq!(b.one::<i64>("SELECT count(*) FROM t WHERE id = 5"), 1);
}

/// The mark on its clock was there from before the change of identity, and the table was not taken note of again.
#[test]
fn a_table_tracked_anew_is_noticed_after_a_change_of_identity_too() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=2);
    level(&a, &b).unwrap();
    b.run("UPDATE t SET b = 'b' WHERE id = 1");
    a.streams().reidentify().unwrap();
    level(&a, &b).unwrap();
    a.run("SELECT crsql_as_table('t'); UPDATE t SET b = 'untold' WHERE id = 1; SELECT crsql_as_crr('t')");
    assert_eq!(identity_side(&a.outbound(b.site()).next(None).unwrap_err()), Side::Here);
    a.streams().reidentify().unwrap();
    heal(&a, &b);
    assert_eq!(a.content(), b.content());
}

/// A row that came back without a column has the old value with col_version 0 at one end and none at the other.
#[test]
fn a_cell_without_a_version_is_told_although_it_came_from_there() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.run("INSERT INTO t VALUES (1, 'b', 'x')");
    level(&a, &b).unwrap();
    a.run("DELETE FROM t; INSERT INTO t(id, b) VALUES (1, 'b2')");
    let after_delete = a.outbound_with(b.site(), &single()).next(None).unwrap().unwrap();
    b.inbound(a.site()).apply(after_delete.package.as_bytes()).unwrap();
    level(&a, &b).unwrap();
    level(&b, &a).unwrap();
    assert_eq!(a.content(), b.content());
}

/// The receipt of an apply that was rolled back says more than the receiver has.
#[test]
fn a_receipt_that_was_sent_before_its_commit_loses_nothing() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=2);
    let package = a.outbound(b.site()).next(None).unwrap().unwrap();
    let inbound = b.inbound(a.site());
    b.run("BEGIN");
    let too_early = inbound.apply(package.package.as_bytes()).unwrap().receipt;
    b.run("ROLLBACK");
    a.outbound(b.site()).acknowledge(&too_early).unwrap();
    assert_eq!(a.outbound(b.site()).pending().unwrap(), 0);
    insert(&a, 3..=3);
    let package = a.outbound(b.site()).next(None).unwrap().unwrap();
    assert_eq!(inbound.apply(package.package.as_bytes()).unwrap().outcome, Outcome::Gap);
    tell(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
    assert_eq!(b.one::<i64>("SELECT count(*) FROM t"), 3);
}

/// An alter has filled cells late. Whoever polls must be told that there is something to read.
#[test]
fn pending_counts_the_version_that_an_alter_has_filled_late() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=3);
    level(&a, &b).unwrap();
    b.run("SELECT crsql_begin_alter('t'); ALTER TABLE t ADD COLUMN d; SELECT crsql_commit_alter('t')");
    a.run("SELECT crsql_begin_alter('t'); ALTER TABLE t ADD COLUMN d; UPDATE t SET d = 'late'; SELECT crsql_commit_alter('t')");
    assert_eq!(a.outbound(b.site()).pending().unwrap(), 1);
    assert_eq!(a.streams().list().unwrap()[0].behind, 1);
    while a.outbound(b.site()).pending().unwrap() > 0 {
        assert!(tell(&a, &b).unwrap() > 0);
    }
    assert_eq!(b.one::<i64>("SELECT count(*) FROM t WHERE d = 'late'"), 3);
}

/// The cells that the alter fills lie at a version which a package of the remote has made, and so looked like a part of it.
#[test]
fn cells_that_an_alter_fills_late_are_sent_to_whoever_brought_the_row() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=3);
    tell(&a, &b).unwrap();
    for database in [&a, &b] {
        database.run("SELECT crsql_begin_alter('t'); ALTER TABLE t ADD COLUMN d");
        if database.path == b.path {
            database.run("UPDATE t SET d = 'filled at b'");
        }
        database.run("SELECT crsql_commit_alter('t')");
    }
    level(&b, &a).unwrap();
    assert_eq!(a.one::<i64>("SELECT count(*) FROM t WHERE d = 'filled at b'"), 3);
}
