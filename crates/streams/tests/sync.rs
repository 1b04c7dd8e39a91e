//! The plain way of two databases that talk to each other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use rejoin_change::Cursor;
use rejoin_streams::{InboundOptions, OnUnknown, OutboundOptions, Outcome, Since, StreamError};

#[test]
fn two_databases_end_equal_after_edits_on_both() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.run("INSERT INTO t VALUES (1, 'one', 1.5), (2, x'00ff', NULL); INSERT INTO u VALUES ('k', 9007199254740993)");
    b.run("INSERT INTO t VALUES (2, 'two', 2), (3, 'three', 3)");
    level(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
    a.run("DELETE FROM t WHERE id = 2; UPDATE t SET b = 'A' WHERE id = 1");
    b.run("UPDATE t SET c = 'B' WHERE id = 1; UPDATE t SET b = 'late' WHERE id = 2");
    level(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
    assert_eq!(a.one::<String>("SELECT b || c FROM t WHERE id = 1"), "AB");
}

#[test]
fn a_package_that_arrives_twice_or_late_changes_nothing_and_says_where_the_stream_stands() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    let (outbound, inbound) = (a.outbound_with(b.site(), &single()), b.inbound(a.site()));
    a.run("INSERT INTO u VALUES ('1', 1); INSERT INTO u VALUES ('2', 2); INSERT INTO u VALUES ('3', 3)");
    let first = outbound.next(None).unwrap().unwrap();
    let second = outbound.next(Some(&first.end)).unwrap().unwrap();
    let third = outbound.next(Some(&second.end)).unwrap().unwrap();
    assert!(outbound.next(Some(&third.end)).unwrap().is_none());

    let gap = inbound.apply(second.package.as_bytes()).unwrap();
    assert_eq!((gap.outcome, gap.changes, gap.receipt.position), (Outcome::Gap, 0, None));
    assert_eq!(inbound.apply(first.package.as_bytes()).unwrap().outcome, Outcome::Merged);
    let gap = inbound.apply(third.package.as_bytes()).unwrap();
    assert_eq!(gap.outcome, Outcome::Gap);
    assert_eq!(gap.receipt.position.clone().unwrap().cursor, first.end);
    assert!(outbound.acknowledge(&gap.receipt).unwrap().moved);
    assert!(!outbound.acknowledge(&gap.receipt).unwrap().moved);
    let again = outbound.next(None).unwrap().unwrap();
    assert_eq!((again.start, again.end), (first.end.clone(), second.end.clone()));
    assert_eq!(inbound.apply(second.package.as_bytes()).unwrap().outcome, Outcome::Merged);
    assert_eq!(inbound.apply(first.package.as_bytes()).unwrap().outcome, Outcome::Duplicate);
    assert_eq!(inbound.apply(third.package.as_bytes()).unwrap().outcome, Outcome::Merged);
    assert_eq!(b.one::<i64>("SELECT count(*) FROM u"), 3);
}

#[test]
fn a_package_that_overlaps_the_position_is_not_applied() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    let (outbound, inbound) = (a.outbound(b.site()), b.inbound(a.site()));
    a.run("INSERT INTO u VALUES ('1', 1)");
    let first = outbound.next(None).unwrap().unwrap();
    inbound.apply(first.package.as_bytes()).unwrap();
    a.run("INSERT INTO u VALUES ('2', 2)");
    let both = outbound.next(None).unwrap().unwrap();
    let applied = inbound.apply(both.package.as_bytes()).unwrap();
    assert_eq!((applied.outcome, applied.changes), (Outcome::Overlap, 0));
    assert_eq!(b.one::<i64>("SELECT count(*) FROM u"), 1);
    outbound.acknowledge(&applied.receipt).unwrap();
    tell(&a, &b).unwrap();
    assert_eq!(a.content(), b.content());
}

#[test]
fn what_came_from_a_remote_is_not_sent_back_to_it() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.run("INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)");
    tell(&a, &b).unwrap();
    let back = b.outbound(a.site()).next(None).unwrap().unwrap();
    assert_eq!(back.changes, 0);
    b.run("UPDATE t SET b = 'b' WHERE id = 1");
    let back = b.outbound(a.site()).next(None).unwrap().unwrap();
    assert_eq!(back.changes, 1);
}

#[test]
fn a_relay_does_not_send_back_what_third_databases_wrote() {
    let folder = Folder::new();
    let (a, b, c) = (folder.database("a"), folder.database("b"), folder.database("c"));
    a.run("INSERT INTO u VALUES ('k', 1)");
    tell(&a, &b).unwrap();
    tell(&b, &c).unwrap();
    assert_eq!(c.outbound(b.site()).next(None).unwrap().unwrap().changes, 0);
}

/// A version of the caller's transaction can hold more than the package: only the remote's own changes stay out.
#[test]
fn in_a_callers_transaction_only_the_remotes_own_changes_are_its_arrivals() {
    let folder = Folder::new();
    let (a, b, c) = (folder.database("a"), folder.database("b"), folder.database("c"));
    a.run("INSERT INTO u VALUES ('of a', 1)");
    tell(&a, &b).unwrap();
    b.run("INSERT INTO u VALUES ('of b', 2)");
    let package = b.outbound(c.site()).next(None).unwrap().unwrap().package;
    c.run("BEGIN");
    c.inbound(b.site()).apply(package.as_bytes()).unwrap();
    c.run("INSERT INTO u VALUES ('of c', 3); COMMIT");
    assert_eq!(c.streams().head().unwrap(), 1);
    assert_eq!(c.outbound(b.site()).next(None).unwrap().unwrap().changes, 2);
}

#[test]
fn what_a_third_database_brought_is_sent_even_to_its_author() {
    let folder = Folder::new();
    let (a, b, c) = (folder.database("a"), folder.database("b"), folder.database("c"));
    a.run("INSERT INTO u VALUES ('k', 1)");
    tell(&a, &b).unwrap();
    tell(&b, &c).unwrap();
    let home = c.outbound(a.site()).next(None).unwrap().unwrap();
    assert_eq!(home.changes, 1);
}

/// Two applies in one transaction share its version. What the second brought of the first one's author may be what the
/// author has lost, so all of that version goes to it.
#[test]
fn a_version_that_two_remotes_share_is_no_ones_arrival() {
    let folder = Folder::new();
    let (a, b, c) = (folder.database("a"), folder.database("b"), folder.database("c"));
    a.run("INSERT INTO u VALUES ('by way of b', 1)");
    tell(&a, &b).unwrap();
    let from_b = b.outbound(c.site()).next(None).unwrap().unwrap();
    a.run("INSERT INTO u VALUES ('direct', 2)");
    let since = Since::Cursor(Cursor::end_of_version(1));
    let from_a = a.outbound_with(c.site(), &OutboundOptions { since, ..Default::default() });
    let from_a = from_a.next(None).unwrap().unwrap();
    c.run("BEGIN");
    assert_eq!(c.inbound(a.site()).apply(from_a.package.as_bytes()).unwrap().outcome, Outcome::Merged);
    assert_eq!(c.inbound(b.site()).apply(from_b.package.as_bytes()).unwrap().outcome, Outcome::Merged);
    c.run("COMMIT");
    assert_eq!(c.streams().head().unwrap(), 1);
    assert_eq!(c.outbound(a.site()).next(None).unwrap().unwrap().changes, 2);
}

#[test]
fn a_refused_change_refuses_its_whole_package_and_names_the_cells() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), Database::open_bare(&folder.path("b")));
    b.run(
        "CREATE TABLE t(id INTEGER PRIMARY KEY NOT NULL, b, c CHECK (c IS NOT 'bad')); SELECT crsql_as_crr('t');
         CREATE TABLE u(k TEXT PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('u')",
    );
    // On the original CHECKs are off during a merge, but not triggers.
    let refuse = "WHEN NEW.c = 'bad' BEGIN SELECT RAISE(ABORT, 'CHECK by trigger'); END";
    if original().is_some() {
        b.run(&format!("CREATE TRIGGER i BEFORE INSERT ON t {refuse}; CREATE TRIGGER u BEFORE UPDATE ON t {refuse}"));
    }
    a.run("INSERT INTO u VALUES ('k', 1); INSERT INTO t VALUES (7, 'x', 'bad')");
    let (outbound, inbound) = (a.outbound(b.site()), b.inbound(a.site()));
    let package = outbound.next(None).unwrap().unwrap();
    b.run("BEGIN; INSERT INTO u VALUES ('mine', 1)");
    let error = inbound.apply(package.package.as_bytes()).unwrap_err();
    b.run("COMMIT");
    assert!(matches!(error, StreamError::Store(_)), "{error:?}");
    let text = error.to_string();
    let (what, why) = match original() {
        None => ("the changes of table t, key (7), columns b, c, were refused: ", "CHECK"),
        Some(_) => ("the change of table t, key (7), column c was refused: ", "constraint"),
    };
    assert!(text.starts_with(what) && text.contains(why), "{text}");
    assert_eq!(b.values("SELECT k FROM u"), vec!["mine".to_string().into()]);
    assert_eq!(b.one::<i64>("SELECT count(*) FROM t"), 0);
    assert_eq!(inbound.position().unwrap(), None);
    b.run("INSERT INTO t VALUES (1, 1, 1)");
    assert_eq!(b.one::<i64>("SELECT count(*) FROM crsql_changes WHERE \"table\" = 't'"), 2);
}

#[test]
fn an_unknown_table_column_or_key_shape_is_named_and_nothing_is_applied() {
    let folder = Folder::new();
    let a = folder.database("a");
    a.run("INSERT INTO u VALUES ('k', 1); INSERT INTO t VALUES (1, 2, 3)");
    let schemas = [
        ("CREATE TABLE u(k TEXT PRIMARY KEY NOT NULL, v)", "table t (it changes column b), which is not replicated"),
        (
            "CREATE TABLE u(k TEXT PRIMARY KEY NOT NULL, v); CREATE TABLE t(id INTEGER PRIMARY KEY NOT NULL, b);
             SELECT crsql_as_crr('t')",
            "column c of table t, which that table lacks",
        ),
        (
            "CREATE TABLE u(k TEXT PRIMARY KEY NOT NULL, v);
             CREATE TABLE t(id INTEGER NOT NULL, b NOT NULL DEFAULT 0, c, PRIMARY KEY (id, b)); SELECT crsql_as_crr('t')",
            "a key of 1 values for table t (column b), whose primary key has 2 here",
        ),
    ];
    for (index, (schema, expected)) in schemas.into_iter().enumerate() {
        let b = Database::open_bare(&folder.path(&format!("b{index}")));
        b.run(&format!("{schema}; SELECT crsql_as_crr('u')"));
        let options = InboundOptions { on_unknown: OnUnknown::Error, ..InboundOptions::default() };
        let inbound = b.streams().inbound(a.site(), &options).unwrap();
        let package = a.outbound(b.site()).next(None).unwrap().unwrap();
        let error = inbound.apply(package.package.as_bytes()).unwrap_err();
        assert!(matches!(&error, StreamError::PeerIncompatible(text) if text.contains(expected)), "{error}");
        assert_eq!(b.one::<i64>("SELECT count(*) FROM u"), 0);
        assert_eq!(inbound.position().unwrap(), None);
        assert_eq!(
            b.one::<String>("SELECT last_error FROM crsql_streams WHERE direction = 'inbound'"),
            error.to_string()
        );
    }
}

#[test]
fn packages_for_or_from_others_and_damaged_ones_are_errors_that_change_nothing() {
    let folder = Folder::new();
    let (a, b, c) = (folder.database("a"), folder.database("b"), folder.database("c"));
    a.run("INSERT INTO u VALUES ('k', 1)");
    let package = a.outbound(b.site()).next(None).unwrap().unwrap().package;
    let bytes = package.as_bytes();
    let meant_for_b = c.inbound(a.site()).apply(bytes).unwrap_err().to_string();
    assert!(meant_for_b.contains(&format!("meant for {}", b.site())), "{meant_for_b}");
    let from_a = b.inbound(c.site()).apply(bytes).unwrap_err().to_string();
    assert!(from_a.contains(&format!("comes from {}", a.site())), "{from_a}");
    let inbound = b.inbound(a.site());
    for length in 0..bytes.len() {
        assert!(matches!(inbound.apply(&bytes[..length]), Err(StreamError::Malformed(_))), "cut to {length} bytes");
    }
    for index in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[index] ^= 0x40;
        assert!(inbound.apply(&damaged).is_err(), "byte {index}");
    }
    assert_eq!(b.one::<i64>("SELECT count(*) FROM u"), 0);
    assert_eq!(inbound.apply(bytes).unwrap().outcome, Outcome::Merged);
}

#[test]
fn received_changes_are_numbered_by_the_receiver() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    for version in 0..20 {
        a.run(&format!("INSERT OR REPLACE INTO u VALUES ('k{}', {version})", version % 3));
    }
    a.run("INSERT INTO t VALUES (1, 2, 3)");
    tell(&a, &b).unwrap();
    assert_eq!(b.streams().head().unwrap(), 1);
    let ties = "SELECT count(*) - count(DISTINCT seq) FROM crsql_changes";
    assert_eq!(b.one::<i64>(ties), 0);
    b.run("INSERT INTO u VALUES ('own', 1)");
    assert_eq!(b.streams().head().unwrap(), 2);
}

#[test]
fn a_large_transaction_travels_in_many_packages_and_ends_on_its_boundary() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.run(
        "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 500)
         INSERT INTO t SELECT i, 'text ' || i, i * 0.5 FROM n",
    );
    let options = OutboundOptions { package_bytes_max: 1000, ..Default::default() };
    let (outbound, inbound) = (a.outbound_with(b.site(), &options), b.inbound(a.site()));
    let (mut after, mut packages) = (None, 0);
    while let Some(produced) = outbound.next(after.as_ref()).unwrap() {
        assert_eq!(inbound.apply(produced.package.as_bytes()).unwrap().outcome, Outcome::Merged);
        assert_eq!(produced.start, after.unwrap_or(Cursor::BEGINNING));
        after = Some(produced.end);
        packages += 1;
    }
    assert!(packages > 20, "{packages}");
    assert!(after.unwrap().is_end_of_version());
    assert_eq!(a.content(), b.content());
}

#[test]
fn a_value_larger_than_a_package_travels_in_parts() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.run("INSERT INTO u VALUES ('big', randomblob(300000))");
    let options = OutboundOptions { package_bytes_max: 10, ..Default::default() };
    let produced = a.outbound_with(b.site(), &options).next(None).unwrap().unwrap();
    assert!(produced.bytes < 20_000 && produced.changes == 1, "{} bytes", produced.bytes);
    assert!(!produced.end.is_end_of_version());
    tell_with(&a, &b, &options);
    assert_eq!(a.content(), b.content());
}

fn tell_with(a: &Database, b: &Database, options: &OutboundOptions) {
    let (outbound, inbound) = (a.outbound_with(b.site(), options), b.inbound(a.site()));
    while let Some(produced) = outbound.next(None).unwrap() {
        let applied = inbound.apply(produced.package.as_bytes()).unwrap();
        outbound.acknowledge(&applied.receipt).unwrap();
    }
}

#[test]
fn excluded_authors_and_other_peoples_work_stay_out() {
    let folder = Folder::new();
    let (a, b, c) = (folder.database("a"), folder.database("b"), folder.database("c"));
    a.run("INSERT INTO u VALUES ('a', 1)");
    tell(&a, &b).unwrap();
    b.run("INSERT INTO u VALUES ('b', 1)");
    let all = b.outbound(c.site()).next(None).unwrap().unwrap();
    assert_eq!(all.changes, 2);
    let options = OutboundOptions { exclude_sites: vec![a.site()], ..Default::default() };
    assert_eq!(b.outbound_with(c.site(), &options).next(None).unwrap().unwrap().changes, 1);
    let options = OutboundOptions { local_only: true, ..Default::default() };
    assert_eq!(b.outbound_with(c.site(), &options).next(None).unwrap().unwrap().changes, 1);
    let id = b.site();
    b.streams().reidentify().unwrap();
    assert_ne!(b.site(), id);
    assert_eq!(b.streams().former_ids().unwrap(), vec![id]);
    assert_eq!(b.outbound_with(c.site(), &options).next(None).unwrap().unwrap().changes, 1);
}
