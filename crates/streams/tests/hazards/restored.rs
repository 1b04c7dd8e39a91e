//! A file is put back to what it was before, or deleted.

use crate::common::*;
use crate::{heal, identity_side, insert, next};
use rejoin_change::{Cursor, SiteId};
use rejoin_streams::{InboundOptions, Order, OutboundOptions, Side};

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

/// The server's file was deleted, and a new one with another id is in its place.
#[test]
fn a_wiped_server_gets_everything_back_from_its_clients() {
    let folder = Folder::new();
    let (server, one, two) = (folder.database("server"), folder.database("one"), folder.database("two"));
    insert(&one, 1..=3);
    insert(&two, 11..=12);
    for _ in 0..2 {
        level(&one, &server).unwrap();
        level(&two, &server).unwrap();
    }
    insert(&server, 21..=21);
    level(&server, &one).unwrap();
    server.close();
    let server = folder.database("new");
    for client in [&one, &two, &one] {
        assert_eq!(heal(client, &server), 0);
    }
    for client in [&one, &two] {
        assert_eq!(client.content(), server.content());
    }
    assert_eq!(server.one::<i64>("SELECT count(*) FROM t"), 3 + 2 + 1);
}

/// Yesterday's backup of a server whose clients have gone on, with and without its own writes since.
#[test]
fn a_restored_server_and_its_clients_end_equal() {
    for writes in [false, true] {
        let folder = Folder::new();
        let (server, one, two) = (folder.database("server"), folder.database("one"), folder.database("two"));
        insert(&one, 1..=3);
        level(&one, &server).unwrap();
        level(&two, &server).unwrap();
        server.backup(&folder.path("yesterday"));
        insert(&one, 4..=5);
        insert(&server, 21..=22);
        level(&one, &server).unwrap();
        level(&two, &server).unwrap();
        let server = server.restore(&folder.path("yesterday"));
        if writes {
            insert(&server, 31..=34);
        }
        insert(&two, 41..=41);
        let mut alarms = 0;
        for client in [&two, &one, &two] {
            alarms += heal(client, &server);
        }
        assert_eq!(alarms, 1, "one call brings everything back");
        for client in [&one, &two] {
            assert_eq!(client.content(), server.content());
        }
        assert_eq!(server.one::<i64>("SELECT count(*) FROM t"), 3 + 2 + 2 + 1 + if writes { 4 } else { 0 });
    }
}

/// The receiver has a stretch behind a hole, and no position. The file that sent it is gone, with its key, and the new one
/// under its id would have been refused for ever, without a word of it in any receipt.
#[test]
fn a_wiped_sender_hears_of_ranges_too() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    insert(&a, 1..=2);
    let any = InboundOptions { order: Order::Any, ..Default::default() };
    let inbound = b.streams().inbound(a.site(), &any).unwrap();
    let outbound = a.outbound(b.site());
    let first = outbound.next_until(None, Some(&Cursor::end_of_version(1))).unwrap().unwrap();
    let second = outbound.next(Some(&first.end)).unwrap().unwrap();
    let receipt = inbound.apply(second.package.as_bytes()).unwrap().receipt;
    assert_eq!((receipt.position.clone(), receipt.ranges.len()), (None, 1));
    let wiped = folder.database("wiped");
    wiped.host.execute("UPDATE crsql_site_id SET site_id = ?1 WHERE ordinal = 0", [a.site().as_bytes()]).unwrap();
    let a = wiped.reopen();
    insert(&a, 11..=12);
    assert_eq!(identity_side(&a.outbound(b.site()).acknowledge(&receipt).unwrap_err()), Side::Here);
    a.streams().reidentify().unwrap();
    heal(&a, &b);
    assert_eq!(a.content(), b.content());
    assert_eq!(a.one::<i64>("SELECT count(*) FROM t"), 3);
}
