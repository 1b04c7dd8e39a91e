//! What is told changes its extent: filters, positions set back, receipts late or forged, epochs that are forgotten.

use crate::common::*;
use crate::{identity_side, insert, next};
use rejoin_change::{COUNTER_MAX, Cursor, Place, SiteId};
use rejoin_streams::{Atomic, InboundOptions, Order, OutboundOptions, Outcome, Side, Since, StreamError};
use rejoin_wire::{Mark, Position};

/// The end of a large value is here, its beginning is lost, and the next run tells it again.
#[test]
fn parts_of_a_value_that_a_run_left_behind_do_not_stop_the_next_one() {
    for atomic in [Atomic::Transaction, Atomic::Package] {
        let folder = Folder::new();
        let (a, b) = (folder.database("a"), folder.database("b"));
        let options = OutboundOptions { package_bytes_max: 100, ..Default::default() };
        let any = InboundOptions { order: Order::Any, atomic, ..Default::default() };
        let (outbound, inbound) = (a.outbound_with(b.site(), &options), b.streams().inbound(a.site(), &any).unwrap());
        a.run("INSERT INTO u VALUES ('small', 1)");
        let small = outbound.next(None).unwrap().unwrap();
        outbound.acknowledge(&inbound.apply(small.package.as_bytes()).unwrap().receipt).unwrap();
        a.run("INSERT INTO u VALUES ('large', hex(zeroblob(4000)))");
        let first = outbound.next(None).unwrap().unwrap();
        let second = outbound.next(Some(&first.end)).unwrap().unwrap();
        assert_eq!(inbound.apply(second.package.as_bytes()).unwrap().outcome, Outcome::Merged);
        outbound.set_acked(&Cursor::BEGINNING).unwrap();
        while let Some(package) = outbound.next(None).unwrap() {
            let applied = inbound.apply(package.package.as_bytes()).unwrap();
            outbound.acknowledge(&applied.receipt).unwrap();
        }
        assert_eq!(a.content(), b.content(), "{atomic:?}");
        assert_eq!(inbound.staged_bytes().unwrap(), 0);
    }
}

/// The receiver was restored to a moment at which it had the beginning of a large value, and the sender goes on from there
/// in another run, which is not to begin inside the value: what is staged of it goes with the old run.
#[test]
fn a_run_never_begins_inside_a_value() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    let options = OutboundOptions { package_bytes_max: 100, ..Default::default() };
    let outbound = a.outbound_with(b.site(), &options);
    a.run("INSERT INTO t VALUES (1, 'before', hex(zeroblob(6000)))");
    loop {
        let package = outbound.next(None).unwrap().unwrap();
        let applied = b.inbound(a.site()).apply(package.package.as_bytes()).unwrap();
        outbound.acknowledge(&applied.receipt).unwrap();
        if matches!(package.end.place, Place::At { part: Some(_), .. }) {
            break;
        }
    }
    b.backup(&folder.path("backup"));
    insert(&a, 2..=3);
    tell(&a, &b).unwrap();
    outbound.set_acked(&Cursor::end_of_version(2)).unwrap();
    let b = b.restore(&folder.path("backup"));
    tell(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
    assert_eq!(b.inbound(a.site()).staged_bytes().unwrap(), 0);
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

/// A cursor that stands inside a large value, taken from another stream, as the beginning of this one.
#[test]
fn a_stream_never_begins_inside_a_value() {
    let folder = Folder::new();
    let (a, b, c) = (folder.database("a"), folder.database("b"), folder.database("c"));
    insert(&a, 1..=1);
    a.run("INSERT INTO u VALUES ('large', hex(zeroblob(6000)))");
    let options = OutboundOptions { package_bytes_max: 100, ..Default::default() };
    let outbound = a.outbound_with(b.site(), &options);
    let mut end = Cursor::BEGINNING;
    while !matches!(end.place, Place::At { part: Some(_), .. }) {
        end = outbound.next(Some(&end)).unwrap().unwrap().end;
    }
    let options = OutboundOptions { since: Since::Cursor(end), ..options };
    let outbound = a.outbound_with(c.site(), &options);
    while let Some(package) = outbound.next(None).unwrap() {
        let applied = c.inbound(a.site()).apply(package.package.as_bytes()).unwrap();
        outbound.acknowledge(&applied.receipt).unwrap();
    }
    assert_eq!(c.values("SELECT length(v) FROM u"), vec![12_000.into()]);
    assert_eq!(c.one::<i64>("SELECT count(*) FROM t"), 0);
}
