//! A file is copied, and both go on under one site id.

use crate::common::*;
use crate::{heal, identity_side, insert, next};
use rejoin_streams::{InboundOptions, Order, OutboundOptions, Outcome, Side};

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

/// Each copy talks to a relay of its own, and every position is right for whoever looks at it, so nobody has anything to
/// notice. By author, the relays would leave out towards each copy what the other one wrote.
#[test]
fn two_copies_behind_two_relays_get_each_others_work() {
    let folder = Folder::new();
    let (a, first, second) = (folder.database("a"), folder.database("first"), folder.database("second"));
    insert(&a, 1..=2);
    level(&a, &first).unwrap();
    level(&first, &second).unwrap();
    a.backup(&folder.path("copy"));
    let copy = Database::open_bare(&folder.path("copy"));
    insert(&a, 10..=11);
    insert(&copy, 20..=22);
    for _ in 0..3 {
        level(&a, &first).unwrap();
        heal(&copy, &second);
        level(&first, &second).unwrap();
    }
    for database in [&first, &second, &copy] {
        assert_eq!(database.content(), a.content());
    }
    assert_eq!(a.one::<i64>("SELECT count(*) FROM t"), 2 + 2 + 3);
}

/// However the copy was made: byte by byte beside an open connection, by VACUUM INTO, or by SQLite's backup interface.
#[test]
fn both_copies_of_an_open_file_go_on_writing_and_lose_nothing() {
    for way in ["file", "vacuum into", "backup"] {
        for copy_first in [false, true] {
            let folder = Folder::new();
            let (a, b) = (folder.database("a"), folder.database("b"));
            insert(&a, 1..=3);
            level(&a, &b).unwrap();
            insert(&a, 4..=4);
            let path = folder.path("copy");
            match way {
                "file" => a.backup(&path),
                "vacuum into" => a.run(&format!("VACUUM INTO '{}'", path.display())),
                _ => a.host.backup(rusqlite::MAIN_DB, &path, None::<fn(rusqlite::backup::Progress)>).unwrap(),
            }
            insert(&a, 10..=12);
            let copy = Database::open_bare(&path);
            insert(&copy, 20..=24);
            b.run("INSERT INTO u VALUES ('of b', 1)");
            let (one, other) = if copy_first { (&copy, &a) } else { (&a, &copy) };
            heal(one, &b);
            let alarms = heal(other, &b);
            heal(one, &b);
            assert_eq!(alarms, 1, "{way}: the second one to come takes a new id");
            for database in [&a, &copy] {
                assert_eq!(database.content(), b.content(), "{way}");
            }
            assert_eq!(b.one::<i64>("SELECT count(*) FROM t"), 4 + 3 + 5, "{way}");
        }
    }
}
