//! What a receiver remembers of what came in, and when it stops to: runs, arrivals, the newest head that it has heard of.

use crate::common::*;
use crate::{apply, pair, tell_b, write};
use rejoin_change::Cursor;
use rejoin_streams::{OutboundOptions, Since};
use rejoin_wire::{Package, Receipt};
use rusqlite::types::Value;

const ONE_BY_ONE: &str = ", package_changes_max = 1";

fn arrivals(database: &Database) -> i64 {
    database.one("SELECT count(*) FROM crsql_streams_arrivals")
}

/// A package that was read earlier may be applied later.
#[test]
fn a_receipt_tells_of_the_newest_head_among_the_packages_taken() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ONE_BY_ONE);
    write(&a, 1, 2);
    let early = a.values("SELECT package FROM out_to_b");
    write(&a, 3, 3);
    let late = a.values("SELECT package FROM out_to_b");
    let heard = || Receipt::from_text(&b.one::<String>("SELECT receipt FROM in_from_a")).unwrap().as_of.unwrap().head;
    apply(&b, &late[0]).unwrap();
    assert_eq!(heard(), 3);
    apply(&b, &early[1]).unwrap();
    assert_eq!((b.one::<i64>("SELECT applied FROM in_from_a"), heard()), (1, 3));
}

#[test]
fn a_new_run_is_entered_only_where_it_begins() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ONE_BY_ONE);
    write(&a, 1, 3);
    tell_b(&a, &b);
    a.run("UPDATE out_to_b SET last_acked = '[0,0]'");
    let packages = a.values("SELECT package FROM out_to_b");
    let receipt: Value = b.one("SELECT receipt FROM in_from_a");
    apply(&b, &packages[1]).unwrap();
    assert_eq!(b.one::<i64>("SELECT applied FROM in_from_a"), 0);
    assert!(b.one::<String>("SELECT last_error FROM in_from_a").starts_with("a package is missing"));
    assert_eq!(b.one::<Value>("SELECT receipt FROM in_from_a"), receipt);
    for package in &packages {
        apply(&b, package).unwrap();
        assert_eq!(b.one::<i64>("SELECT applied FROM in_from_a"), 1);
    }
    assert_eq!(tell_b(&a, &b), 3, "its receipt is of the new run, and was not given yet");
    assert_eq!(tell_b(&a, &b), 0);
}

/// What the remote may have lost has to be told to it, by whomever it came.
#[test]
fn what_came_in_counts_no_more_when_a_position_goes_back_or_a_run_begins() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, "");
    let early: Value = a.one("SELECT receipt FROM in_from_b");
    write(&a, 1, 1);
    tell_b(&a, &b);
    write(&b, 2, 2);
    let receipt: Value = a.call("SELECT crsql_apply('in_from_b', ?1)", &b.one("SELECT package FROM out_to_a")).unwrap();
    assert_eq!((b.call::<i64>("SELECT crsql_ack('out_to_a', ?1)", &receipt), arrivals(&b)), (Ok(1), 0));
    write(&a, 3, 3);
    tell_b(&a, &b);
    assert_eq!(arrivals(&b), 1);
    assert_eq!(b.call::<i64>("SELECT crsql_ack('out_to_a', ?1)", &early), Ok(1));
    assert_eq!(arrivals(&b), 0);
    assert_eq!(b.one::<i64>("SELECT sum(changes) FROM out_to_a"), 3);

    write(&a, 4, 4);
    tell_b(&a, &b);
    assert_eq!(arrivals(&b), 1);
    a.run("UPDATE out_to_b SET last_acked = '[0,0]'");
    tell_b(&a, &b);
    assert_eq!(arrivals(&b), 0, "everything came again and nothing of it was news");
}

/// They were told under the run before, whose arrivals count no more.
#[test]
fn pieces_of_an_earlier_run_make_what_comes_with_them_no_arrival() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ONE_BY_ONE);
    a.run("BEGIN; INSERT INTO u VALUES ('x', 1), ('y', 1); COMMIT");
    write(&a, 1, 1);
    apply(&b, &a.one("SELECT package FROM out_to_b LIMIT 1")).unwrap();
    assert!(b.one::<i64>("SELECT staged_bytes FROM in_from_a") > 0);
    let site = b.site();
    a.run(
        "UPDATE out_to_b SET last_acked = '[2,\"end\"]'; UPDATE out_to_b SET last_acked = '[0,0]'; DROP TABLE out_to_b",
    );
    a.run(&format!("CREATE VIRTUAL TABLE out_to_b USING crsql_outbound_stream(remote = x'{site}')"));
    apply(&b, &a.one("SELECT package FROM out_to_b")).unwrap();
    assert_eq!((b.one::<i64>("SELECT applied FROM in_from_a"), arrivals(&b)), (3, 0));
    assert_eq!(a.content(), b.content());
}

/// The parked change came by a third database. It may be merged in the transaction that takes a package of its author.
#[test]
fn what_waited_for_its_table_is_no_arrival_of_whoever_comes_next() {
    let folder = Folder::new();
    let (a, c) = (folder.database("a"), folder.database("c"));
    write(&a, 1, 1);
    tell(&a, &c).unwrap();
    let b = Database::open_bare(&folder.path("b"));
    b.run("CREATE TABLE t(id INTEGER PRIMARY KEY NOT NULL, b, c); SELECT crsql_as_crr('t')");
    tell(&c, &b).unwrap();
    b.run("CREATE TABLE u(k TEXT PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('u')");
    a.run("INSERT INTO t VALUES (1, 1, 1)");
    let since = Since::Cursor(Cursor::end_of_version(1));
    let outbound = a.outbound_with(b.site(), &OutboundOptions { since, ..Default::default() });
    let package = outbound.next(None).unwrap().unwrap();
    b.inbound(a.site()).apply(package.package.as_bytes()).unwrap();
    let home = b.outbound(a.site()).next(None).unwrap().unwrap();
    let home = Package::decode(home.package.as_bytes()).unwrap();
    assert!(home.changes.iter().any(|change| &*change.table == "u"), "{home:?}");
}
