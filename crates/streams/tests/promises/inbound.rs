//! What an inbound stream makes of packages.

use crate::common::*;
use crate::{apply, pair, tell_b, write};
use rusqlite::types::Value;

#[test]
fn an_inbound_stream_is_one_row_whatever_has_come() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ", package_changes_max = 1");
    let row =
        "SELECT quote(last_seen) || ' ' || applied || ' ' || needs || ' ' || staged_bytes || ' ' || parked || ' ' ||
        quote(last_error) || ' ' || quote(package) FROM in_from_a";
    assert_eq!(b.values(row), [Value::Text("NULL 0 [] 0 0 NULL NULL".into())]);
    write(&a, 1, 3);
    for package in a.values("SELECT package FROM out_to_b") {
        apply(&b, &package).unwrap();
        assert_eq!(b.one::<i64>("SELECT count(*) FROM in_from_a"), 1);
    }
    let head: String = a.one("SELECT quote(head) FROM out_to_b");
    assert_eq!(b.values(row), [Value::Text(format!("{head} 1 [] 0 0 NULL NULL"))]);
}

#[test]
fn a_stream_that_has_nothing_takes_only_the_package_at_the_senders_beginning() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ", package_changes_max = 1");
    write(&a, 1, 3);
    let packages = a.values("SELECT package FROM out_to_b");
    apply(&b, &packages[1]).unwrap();
    assert_eq!((b.one::<i64>("SELECT applied FROM in_from_a"), b.one::<i64>("SELECT count(*) FROM u")), (0, 0));
    let error: String = b.one("SELECT last_error FROM in_from_a");
    assert!(error.contains("waits for the package that starts at [0,0]"), "{error}");
    a.run("UPDATE out_to_b SET last_acked = head");
    let receipt: Value = b.one("SELECT receipt FROM in_from_a");
    assert_eq!(a.call::<i64>("SELECT crsql_ack('out_to_b', ?1)", &receipt), Ok(1));
    assert_eq!(tell_b(&a, &b), 3, "a receipt without a position means the beginning");
    assert_eq!(a.content(), b.content());
}

#[test]
fn a_package_applied_in_the_callers_transaction_is_committed_with_it() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, "");
    write(&a, 1, 2);
    let package: Value = a.one("SELECT package FROM out_to_b");
    b.run("BEGIN; INSERT INTO u VALUES ('own', 0)");
    let early: Value = b.call("SELECT crsql_apply('in_from_a', ?1)", &package).unwrap();
    let other = b.again();
    assert_eq!(other.one::<i64>("SELECT count(*) FROM u"), 0);
    assert_ne!(other.one::<Value>("SELECT receipt FROM in_from_a"), early, "it may not be sent yet");
    b.run("COMMIT");
    assert_eq!(other.one::<i64>("SELECT count(*) FROM u"), 3);
    assert_eq!(other.one::<Value>("SELECT receipt FROM in_from_a"), early);
    assert_eq!(a.call::<i64>("SELECT crsql_ack('out_to_b', ?1)", &early), Ok(1));
}

/// What is not to be sent back is known by the transaction that brought it, and only as long as it may be asked for.
#[test]
fn what_came_in_is_noted_with_its_transaction_and_forgotten_once_acknowledged() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, "");
    write(&a, 1, 2);
    let noted = || b.one::<i64>("SELECT count(*) FROM crsql_streams_arrivals");
    let package: Value = a.one("SELECT package FROM out_to_b");
    b.run("BEGIN");
    apply(&b, &package).unwrap();
    assert_eq!(noted(), 1);
    b.run("ROLLBACK");
    assert_eq!(noted(), 0);
    assert_eq!((tell_b(&a, &b), noted()), (1, 1));
    let nothing: Value = b.one("SELECT package FROM out_to_a");
    let receipt: Value = a.call("SELECT crsql_apply('in_from_b', ?1)", &nothing).unwrap();
    assert_eq!(a.one::<i64>("SELECT applied FROM in_from_b"), 0);
    assert_eq!((b.call::<i64>("SELECT crsql_ack('out_to_a', ?1)", &receipt), noted()), (Ok(1), 0));
}

#[test]
fn a_new_run_begins_without_the_ranges_of_the_one_before() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ", package_changes_max = 1");
    b.run("DROP TABLE in_from_a");
    b.run(&format!("CREATE VIRTUAL TABLE in_from_a USING crsql_inbound_stream(remote = x'{}', order = any)", a.site()));
    write(&a, 1, 5);
    let packages = a.values("SELECT package FROM out_to_b");
    for at in [0, 2, 4] {
        apply(&b, &packages[at]).unwrap();
    }
    assert_eq!(b.one::<i64>("SELECT json_array_length(needs) FROM in_from_a"), 2);
    a.run("UPDATE out_to_b SET last_acked = head; UPDATE out_to_b SET last_acked = '[0,0]'");
    let packages = a.values("SELECT package FROM out_to_b");
    apply(&b, &packages[0]).unwrap();
    assert_eq!(b.one::<String>("SELECT needs FROM in_from_a"), "[[[1,\"end\"],[5,\"end\"]]]");
    for package in packages.iter().rev() {
        apply(&b, package).unwrap();
    }
    assert_eq!(b.one::<String>("SELECT needs FROM in_from_a"), "[]");
    assert_eq!(a.content(), b.content());
}

/// An older value of the same cell arrives later, by another way.
#[test]
fn what_waits_for_its_table_is_kept_by_the_rule_of_merging() {
    let folder = Folder::new();
    let (a, c) = (folder.database("a"), folder.database("c"));
    write(&a, 1, 1);
    tell(&a, &c).unwrap();
    c.run("UPDATE u SET v = 'newer'");
    let b = Database::open_bare(&folder.path("b"));
    b.run("CREATE TABLE t(id INTEGER PRIMARY KEY NOT NULL, b, c); SELECT crsql_as_crr('t')");
    tell(&c, &b).unwrap();
    tell(&a, &b).unwrap();
    assert_eq!(b.streams().parked().unwrap(), 1);
    b.run("CREATE TABLE u(k TEXT PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('u')");
    b.run("SELECT crsql_merge_parked()");
    assert_eq!(b.content(), c.content());
}

#[test]
fn a_table_of_which_nothing_is_taken_does_not_stop_the_stream() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, "");
    b.run("DROP TABLE in_from_a");
    b.run(&format!(
        "CREATE VIRTUAL TABLE in_from_a USING crsql_inbound_stream(remote = x'{}', tables = [T])",
        a.site()
    ));
    write(&a, 1, 2);
    assert_eq!(tell_b(&a, &b), 1);
    assert_eq!((b.one::<i64>("SELECT dropped FROM in_from_a"), b.one::<i64>("SELECT count(*) FROM u")), (2, 0));
    assert_eq!(a.one::<i64>("SELECT crsql_pending('out_to_b')"), 0);
}

/// Several packages in one statement, and a savepoint of the caller's.
#[test]
fn packages_go_with_their_statement_and_with_the_callers_savepoint() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ", package_changes_max = 1");
    write(&a, 1, 3);
    b.run("CREATE TABLE arrived(id INTEGER PRIMARY KEY, package)");
    for package in a.values("SELECT package FROM out_to_b") {
        b.insert("INSERT INTO arrived(package) VALUES (?1)", &package).unwrap();
    }
    let stands = || {
        (
            b.one::<i64>("SELECT count(*) FROM u"),
            b.one::<Option<String>>("SELECT position FROM crsql_streams WHERE name = 'in_from_a'"),
        )
    };
    let all = "INSERT INTO in_from_a(package) SELECT package FROM arrived ORDER BY id";
    b.run("INSERT INTO arrived(package) VALUES (x'00')");
    b.refused(all);
    assert_eq!(stands(), (0, None));
    b.run("BEGIN; INSERT INTO u VALUES ('own', 0)");
    b.refused(all);
    assert_eq!(stands(), (1, None));
    b.run("SAVEPOINT s; INSERT INTO in_from_a(package) SELECT package FROM arrived WHERE id <= 2");
    assert_eq!(stands(), (3, Some("[2,\"end\"]".into())));
    b.run("ROLLBACK TO s");
    assert_eq!(stands(), (1, None));
    b.run("DELETE FROM arrived WHERE id = 4");
    b.run(all);
    b.run("COMMIT");
    assert_eq!(stands(), (4, Some("[3,\"end\"]".into())));
    let seen = "SELECT count(*) - count(DISTINCT seq) FROM crsql_changes WHERE db_version = 1";
    assert_eq!((b.one::<i64>(seen), b.streams().head().unwrap()), (0, 1));
}
