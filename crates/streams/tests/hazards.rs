//! Schedules in which streams have been known to lose changes: copies, backups, filters that change, histories that move.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use rejoin_change::{COUNTER_MAX, Cursor, SiteId};
use rejoin_streams::{InboundOptions, Order, OutboundOptions, Outcome, Produced, Side, StreamError};
use rejoin_wire::{Mark, Position};

fn identity_side(error: &StreamError) -> Side {
    match error {
        StreamError::IdentityChanged { side, .. } => {
            assert!(error.to_string().contains("crsql_reidentify()"), "{error}");
            *side
        }
        other => panic!("another identity was expected, found: {other}"),
    }
}

/// Both ways until nothing moves, with re-identification wherever an error asks for it. Returns how often it did.
fn heal(a: &Database, b: &Database) -> usize {
    let mut alarms = 0;
    for _ in 0..20 {
        let mut quiet = true;
        for (from, to) in [(a, b), (b, a)] {
            match tell(from, to) {
                Ok(packages) => quiet &= packages == 0,
                Err(error) => {
                    let acknowledging =
                        from.outbound(to.site()).acknowledge(&to.inbound(from.site()).receipt().unwrap());
                    let here = if acknowledging.is_err() { from } else { to };
                    assert_eq!(identity_side(&error), Side::Here, "{error}");
                    here.streams().reidentify().unwrap();
                    alarms += 1;
                    quiet = false;
                }
            }
        }
        if quiet {
            return alarms;
        }
    }
    panic!("the two never come to rest");
}

fn insert(database: &Database, ids: std::ops::RangeInclusive<i64>) {
    for id in ids {
        database.run(&format!("INSERT INTO t VALUES ({id}, {id}, {id})"));
    }
}

fn next(from: &Database, to: &Database, options: &OutboundOptions) -> Produced {
    from.outbound_with(to.site(), options).next(None).unwrap().expect("there is something to tell")
}

#[test]
fn a_restored_sender_is_noticed_when_it_is_behind_its_receivers_position() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=4);
    level(&a, &b).unwrap();
    a.backup(&folder.path("backup"));
    insert(&a, 5..=6);
    level(&a, &b).unwrap();
    let a = a.restore(&folder.path("backup"));
    let receipt = b.inbound(a.site()).receipt().unwrap();
    assert_eq!(identity_side(&a.outbound(b.site()).acknowledge(&receipt).unwrap_err()), Side::Here);
    assert_eq!(heal(&a, &b), 1);
    assert_eq!(a.content(), b.content());
    assert_eq!(a.one::<i64>("SELECT count(*) FROM t"), 6);
}

/// The application wrote before any stream was opened again, so the head has passed the receiver's position.
#[test]
fn a_restored_sender_is_noticed_when_it_has_passed_its_receivers_position() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=4);
    level(&a, &b).unwrap();
    a.backup(&folder.path("backup"));
    insert(&a, 5..=6);
    level(&a, &b).unwrap();
    let a = a.restore(&folder.path("backup"));
    insert(&a, 11..=15);
    assert_eq!(heal(&a, &b), 1);
    assert_eq!(a.content(), b.content());
    assert_eq!(a.one::<i64>("SELECT count(*) FROM t"), 11);
}

/// The streams were used again after the restore, by another peer, so that the versions are witnessed anew.
#[test]
fn a_restored_sender_is_noticed_after_its_versions_were_given_to_somebody_else() {
    let folder = Folder::new();
    let (a, b, c) = (folder.database("a"), folder.database("b"), folder.database("c"));
    insert(&a, 1..=4);
    level(&a, &b).unwrap();
    a.backup(&folder.path("backup"));
    insert(&a, 5..=6);
    level(&a, &b).unwrap();
    let a = a.restore(&folder.path("backup"));
    insert(&a, 11..=15);
    level(&a, &c).unwrap();
    assert_eq!(heal(&a, &b), 1);
    heal(&a, &c);
    heal(&b, &c);
    heal(&a, &b);
    assert_eq!(a.content(), b.content());
    assert_eq!(c.content(), b.content());
    assert_eq!(a.one::<i64>("SELECT count(*) FROM t"), 11);
}

/// The position itself is valid in both histories. Only the head at which the package was read is not.
#[test]
fn a_position_earned_under_a_later_head_is_not_trusted() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=8);
    a.outbound(b.site()).next(None).unwrap();
    a.backup(&folder.path("backup"));
    a.run("UPDATE t SET b = 'moved up' WHERE id = 3");
    let package = next(&a, &b, &OutboundOptions { package_changes_max: Some(8), ..Default::default() });
    assert!(package.end < Cursor::end_of_version(8) && package.end > Cursor::end_of_version(3), "{}", package.end);
    b.inbound(a.site()).apply(package.package.as_bytes()).unwrap();
    assert_eq!(b.one::<i64>("SELECT count(*) FROM t WHERE b = 3"), 0);
    let a = a.restore(&folder.path("backup"));
    heal(&a, &b);
    assert_eq!(a.content(), b.content());
    assert_eq!(b.one::<i64>("SELECT b FROM t WHERE id = 3"), 3);
}

#[test]
fn a_restored_receiver_asks_again_for_what_it_has_lost() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=4);
    level(&a, &b).unwrap();
    b.backup(&folder.path("backup"));
    insert(&a, 5..=6);
    level(&a, &b).unwrap();
    insert(&a, 7..=7);
    let b = b.restore(&folder.path("backup"));
    assert_eq!(b.one::<i64>("SELECT count(*) FROM t"), 4);
    heal(&a, &b);
    assert_eq!(a.content(), b.content());
    assert_eq!(b.one::<i64>("SELECT count(*) FROM t"), 7);
}

#[test]
fn a_wiped_receiver_under_its_old_id_gets_everything() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=4);
    tell(&a, &b).unwrap();
    let id = b.site();
    let wiped = folder.database("wiped");
    wiped.host.execute("UPDATE crsql_site_id SET site_id = ?1 WHERE ordinal = 0", [id.as_bytes()]).unwrap();
    let b = wiped.reopen();
    assert_eq!(b.site(), id);
    tell(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
}

#[test]
fn a_copy_that_goes_on_beside_the_original_is_noticed_and_loses_nothing() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=3);
    level(&a, &b).unwrap();
    a.backup(&folder.path("copy"));
    let copy = Database::open_bare(&folder.path("copy"));
    insert(&a, 10..=12);
    insert(&copy, 20..=24);
    level(&a, &b).unwrap();
    assert_eq!(heal(&copy, &b), 1);
    assert_ne!(copy.site(), a.site());
    heal(&a, &b);
    assert_eq!(a.content(), b.content());
    assert_eq!(copy.content(), b.content());
    assert_eq!(b.one::<i64>("SELECT count(*) FROM t"), 3 + 3 + 5);
}

/// The backup is from before the first stream, so the key of the marks is lost too. The two exchange everything.
#[test]
fn a_database_restored_to_before_its_first_stream_gets_its_lost_work_back() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.backup(&folder.path("backup"));
    insert(&a, 1..=3);
    level(&a, &b).unwrap();
    let a = a.restore(&folder.path("backup"));
    insert(&a, 11..=12);
    a.outbound(b.site()).next(None).unwrap();
    assert_eq!(heal(&a, &b), 1);
    assert_eq!(a.content(), b.content());
    assert_eq!(a.one::<i64>("SELECT count(*) FROM t"), 5);
}

/// The file was copied before it had any stream, as a template is. The copy only listens.
#[test]
fn a_copy_made_before_the_first_stream_is_noticed_though_it_tells_nothing() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.backup(&folder.path("copy"));
    let copy = Database::open_bare(&folder.path("copy"));
    insert(&a, 1..=3);
    tell(&a, &b).unwrap();
    assert_eq!(heal(&copy, &b), 1);
    assert_eq!(copy.content(), a.content());
}

/// A template was copied, and both copies were edited before either had a stream.
#[test]
fn two_copies_made_before_the_first_stream_end_equal() {
    for copy_first in [false, true] {
        let folder = Folder::new();
        let (a, b) = (folder.database("a"), folder.database("b"));
        a.backup(&folder.path("copy"));
        let copy = Database::open_bare(&folder.path("copy"));
        insert(&a, 1..=3);
        insert(&copy, 11..=12);
        let (one, other) = if copy_first { (&copy, &a) } else { (&a, &copy) };
        tell(one, &b).unwrap();
        assert_eq!(heal(other, &b), 1);
        heal(one, &b);
        heal(other, &b);
        assert_eq!(a.content(), b.content());
        assert_eq!(copy.content(), b.content());
        assert_eq!(b.one::<i64>("SELECT count(*) FROM t"), 5);
    }
}

/// Only packages travel, no receipts: the copy's package ends where the receiver stands, under another nonce.
#[test]
fn a_copys_package_is_never_taken_for_a_duplicate() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=3);
    level(&a, &b).unwrap();
    a.backup(&folder.path("copy"));
    let copy = Database::open_bare(&folder.path("copy"));
    insert(&a, 10..=10);
    insert(&copy, 20..=20);
    tell(&a, &b).unwrap();
    let package = copy.outbound(b.site()).next(None).unwrap().unwrap();
    let error = b.inbound(a.site()).apply(package.package.as_bytes()).unwrap_err();
    assert_eq!(identity_side(&error), Side::Remote);
    assert_eq!(b.one::<i64>("SELECT count(*) FROM t WHERE id = 20"), 0);
}

/// Neither end of the copy's package is a place that the receiver knows, so no mark tells the two histories apart. Joined to
/// one stretch, they would hide from both databases what it lacks of either.
#[test]
fn packages_of_two_copies_do_not_become_one_stretch_in_any_order() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.backup(&folder.path("copy"));
    let copy = Database::open_bare(&folder.path("copy"));
    insert(&a, 1..=1);
    insert(&copy, 11..=12);
    let any = InboundOptions { order: Order::Any, ..Default::default() };
    let inbound = b.streams().inbound(a.site(), &any).unwrap();
    let of_a = next(&a, &b, &OutboundOptions::default());
    let of_copy = next(&copy, &b, &OutboundOptions::default());
    assert_eq!(inbound.apply(of_a.package.as_bytes()).unwrap().outcome, Outcome::Merged);
    let applied = inbound.apply(of_copy.package.as_bytes()).unwrap();
    assert_eq!(applied.outcome, Outcome::Overlap);
    assert_eq!(identity_side(&copy.outbound(b.site()).acknowledge(&applied.receipt).unwrap_err()), Side::Here);
    assert!(a.outbound(b.site()).acknowledge(&applied.receipt).unwrap().took);
}

/// Streams by hand may exchange packages before receipts. The receipt inside the package is enough.
#[test]
fn a_restored_database_is_noticed_by_the_receipt_inside_a_package() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=3);
    level(&a, &b).unwrap();
    a.backup(&folder.path("backup"));
    insert(&a, 4..=5);
    level(&a, &b).unwrap();
    b.run("INSERT INTO u VALUES ('b', 1)");
    let package = next(&b, &a, &OutboundOptions::default());
    let a = a.restore(&folder.path("backup"));
    let error = a.inbound(b.site()).apply(package.package.as_bytes()).unwrap_err();
    assert_eq!(identity_side(&error), Side::Here);
    assert_eq!(a.one::<i64>("SELECT count(*) FROM u"), 0);
}

/// The phone is restored and then talks to a hub that it has never met: no position can raise an alarm there. What it
/// wrote and lost comes home all the same.
#[test]
fn a_restored_database_gets_its_own_lost_work_from_a_hub_that_never_met_it() {
    let folder = Folder::new();
    let (phone, first, second) = (folder.database("phone"), folder.database("first"), folder.database("second"));
    insert(&phone, 1..=3);
    level(&phone, &first).unwrap();
    phone.backup(&folder.path("backup"));
    insert(&phone, 11..=13);
    level(&phone, &first).unwrap();
    level(&first, &second).unwrap();
    let phone = phone.restore(&folder.path("backup"));
    assert_eq!(heal(&phone, &second), 0);
    assert_eq!(phone.content(), second.content());
    assert_eq!(phone.one::<i64>("SELECT count(*) FROM t"), 6);
}

#[test]
fn a_file_replaced_under_an_open_connection_begins_another_epoch() {
    let folder = Folder::new();
    let (mut a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=4);
    level(&a, &b).unwrap();
    a.backup(&folder.path("backup"));
    insert(&a, 5..=6);
    level(&a, &b).unwrap();
    let backup = rusqlite::Connection::open(folder.path("backup")).unwrap();
    let copying = rusqlite::backup::Backup::new(&backup, &mut a.host).unwrap();
    copying.run_to_completion(1000, std::time::Duration::ZERO, None).unwrap();
    drop(copying);
    insert(&a, 21..=23);
    a.outbound(SiteId([7; 16])).next(None).unwrap();
    assert_eq!(heal(&a, &b), 1);
    assert_eq!(a.content(), b.content());
    assert_eq!(a.one::<i64>("SELECT count(*) FROM t"), 9);
}

#[test]
fn a_wider_filter_sends_what_was_left_out() {
    let folder = Folder::new();
    let (a, b, c) = (folder.database("a"), folder.database("b"), folder.database("c"));
    a.run("INSERT INTO u VALUES ('a', 1)");
    level(&a, &b).unwrap();
    b.run("INSERT INTO u VALUES ('b', 1)");
    let narrow = [
        OutboundOptions { local_only: true, ..Default::default() },
        OutboundOptions { exclude_sites: vec![a.site()], ..Default::default() },
    ];
    for options in narrow {
        let inbound = c.inbound(b.site());
        let outbound = b.outbound_with(c.site(), &options);
        let run = outbound.position().unwrap().run;
        if let Some(package) = outbound.next(None).unwrap() {
            let applied = inbound.apply(package.package.as_bytes()).unwrap();
            outbound.acknowledge(&applied.receipt).unwrap();
        }
        tell(&b, &c).unwrap();
        assert_eq!(b.content(), c.content(), "{options:?}");
        assert_eq!(b.outbound(c.site()).position().unwrap().run, run + 1);
    }
}

#[test]
fn a_narrower_filter_does_not_begin_a_run() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.run("INSERT INTO u VALUES ('a', 1)");
    level(&a, &b).unwrap();
    let options = OutboundOptions { local_only: true, ..Default::default() };
    let position = a.outbound_with(b.site(), &options).position().unwrap();
    assert_eq!((position.run, position.acked), (0, Cursor::end_of_version(1)));
}

/// The run began behind where the receiver really is: its beginning moves back, else both would wait for ever.
#[test]
fn a_run_that_began_too_late_moves_back_to_its_receiver() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=2);
    tell(&a, &b).unwrap();
    b.backup(&folder.path("backup"));
    insert(&a, 3..=6);
    tell(&a, &b).unwrap();
    a.outbound(b.site()).set_acked(&Cursor::end_of_version(5)).unwrap();
    let b = b.restore(&folder.path("backup"));
    let package = a.outbound(b.site()).next(None).unwrap().unwrap();
    let applied = b.inbound(a.site()).apply(package.package.as_bytes()).unwrap();
    assert_eq!(applied.outcome, Outcome::Gap);
    let acknowledged = a.outbound(b.site()).acknowledge(&applied.receipt).unwrap();
    assert_eq!((acknowledged.took, acknowledged.position), (false, Cursor::end_of_version(2)));
    tell(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
}

#[test]
fn packages_and_receipts_of_an_older_run_have_no_effect() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=3);
    let (outbound, inbound) = (a.outbound(b.site()), b.inbound(a.site()));
    let old = outbound.next(None).unwrap().unwrap();
    let old_receipt = inbound.apply(old.package.as_bytes()).unwrap().receipt;
    outbound.acknowledge(&old_receipt).unwrap();
    outbound.set_acked(&Cursor::BEGINNING).unwrap();
    assert!(!outbound.acknowledge(&old_receipt).unwrap().took);
    assert_eq!(outbound.position().unwrap().acked, Cursor::BEGINNING);
    let new = outbound.next(None).unwrap().unwrap();
    assert_eq!(inbound.apply(new.package.as_bytes()).unwrap().outcome, Outcome::Merged);
    assert_eq!(inbound.apply(old.package.as_bytes()).unwrap().outcome, Outcome::OldRun);
}

/// A receipt of a higher run can only come from packages that this file does not remember.
#[test]
fn a_receipt_of_a_higher_run_means_an_older_state() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=3);
    level(&a, &b).unwrap();
    a.backup(&folder.path("backup"));
    a.outbound(b.site()).set_acked(&Cursor::BEGINNING).unwrap();
    level(&a, &b).unwrap();
    let a = a.restore(&folder.path("backup"));
    let receipt = b.inbound(a.site()).receipt().unwrap();
    assert_eq!(identity_side(&a.outbound(b.site()).acknowledge(&receipt).unwrap_err()), Side::Here);
}

#[test]
fn a_forged_receipt_neither_acknowledges_nor_makes_anybody_change_its_id() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=3);
    tell(&a, &b).unwrap();
    insert(&a, 4..=6);
    let outbound = a.outbound(b.site());
    let honest = b.inbound(a.site()).receipt().unwrap();
    let mut forged = honest.clone();
    forged.position.as_mut().unwrap().cursor = Cursor::end_of_version(6);
    let acknowledged = outbound.acknowledge(&forged).unwrap();
    assert_eq!((acknowledged.took, acknowledged.position), (false, Cursor::BEGINNING));
    let mut forged = honest.clone();
    forged.position.as_mut().unwrap().mark.0[20] ^= 1;
    forged.run = acknowledged.run;
    assert!(!outbound.acknowledge(&forged).unwrap().took);
    let mut forged = honest.clone();
    forged.as_of.as_mut().unwrap().head = 1 << 40;
    forged.run = outbound.position().unwrap().run;
    outbound.acknowledge(&forged).unwrap();
    for position in [None, forged.position.clone()] {
        let mut forged = honest.clone();
        forged.position = position.map(|position| Position { mark: Mark([7; 24]), ..position });
        forged.run = outbound.position().unwrap().run + 10;
        let acknowledged = outbound.acknowledge(&forged).unwrap();
        assert_eq!((acknowledged.took, acknowledged.run), (false, forged.run + 1));
    }
    tell(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
}

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

#[test]
fn since_now_starts_there_and_a_new_receiver_learns_it() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=3);
    let options = OutboundOptions { since: rejoin_streams::Since::Now, ..Default::default() };
    assert!(a.outbound_with(b.site(), &options).next(None).unwrap().is_none());
    insert(&a, 4..=4);
    let package = next(&a, &b, &options);
    assert_eq!(package.start, Cursor::end_of_version(3));
    assert_eq!(b.inbound(a.site()).apply(package.package.as_bytes()).unwrap().outcome, Outcome::Merged);
    assert_eq!(b.values("SELECT id FROM t"), vec![4.into()]);
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

#[test]
fn a_receipt_sent_again_and_again_never_loses_anything() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    let mut receipts = Vec::new();
    for id in 1..=4 {
        insert(&a, id..=id);
        tell(&a, &b).unwrap();
        receipts.push(b.inbound(a.site()).receipt().unwrap());
    }
    for receipt in receipts.iter().rev() {
        a.outbound(b.site()).acknowledge(receipt).unwrap();
    }
    assert_eq!(a.outbound(b.site()).position().unwrap().acked, Cursor::end_of_version(1));
    let package = a.outbound(b.site()).next(None).unwrap().unwrap();
    assert_eq!(b.inbound(a.site()).apply(package.package.as_bytes()).unwrap().outcome, Outcome::Duplicate);
    insert(&a, 5..=5);
    tell(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
}

/// Every connection that sends begins an epoch; the list of them is bounded.
#[test]
fn epochs_are_bounded_and_old_positions_start_over() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=1);
    tell(&a, &b).unwrap();
    let stale = b.inbound(a.site()).receipt().unwrap();
    for id in 2..=270 {
        let other = a.again();
        insert(&other, id..=id);
        other.outbound(SiteId([9; 16])).next(None).unwrap();
        other.close();
    }
    assert!(a.one::<i64>("SELECT count(*) FROM crsql_streams_epochs") <= 256);
    let acknowledged = a.outbound(b.site()).acknowledge(&stale).unwrap();
    assert_eq!((acknowledged.took, acknowledged.position), (false, Cursor::BEGINNING));
    let outbound = a.outbound(b.site());
    let inbound = b.inbound(a.site());
    while let Some(package) = outbound.next_until(None, Some(&Cursor::end_of_version(20))).unwrap() {
        let applied = inbound.apply(package.package.as_bytes()).unwrap();
        assert_eq!(applied.outcome, Outcome::Merged);
        assert!(outbound.acknowledge(&applied.receipt).unwrap().took);
    }
    tell(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
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

/// Numbers end, and the stream would stop for good with the last run.
#[test]
fn a_forged_run_cannot_use_up_the_numbers_of_runs() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=3);
    tell(&a, &b).unwrap();
    let outbound = a.outbound(b.site());
    let mut forged = b.inbound(a.site()).receipt().unwrap();
    forged.position = None;
    for run in [COUNTER_MAX as u64, COUNTER_MAX as u64 - 1] {
        forged.run = run;
        let error = outbound.acknowledge(&forged).unwrap_err();
        assert!(matches!(error, StreamError::PeerMisbehaved(_)), "{error:?}");
    }
    insert(&a, 4..=4);
    tell(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
}
