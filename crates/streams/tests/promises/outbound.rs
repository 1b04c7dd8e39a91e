//! Reading an outbound stream, and saying how far it has come.

use crate::common::*;
use crate::{apply, connect, pair, tell_b, write};
use rejoin_change::SiteId;
use rejoin_wire::Package;
use rusqlite::types::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const ONE_BY_ONE: &str = ", package_changes_max = 1";

/// The first read notes the head in the file, before a package of it leaves. No other read writes anything.
#[test]
fn reading_moves_only_what_its_own_connection_remembers() {
    let folder = Folder::new();
    let (a, _b) = pair(&folder, ONE_BY_ONE);
    write(&a, 1, 3);
    let other = a.again();
    let witnessed = "SELECT value FROM crsql_streams_meta WHERE name = 'witnessed'";
    let mut first = a.host.prepare("SELECT package FROM out_to_b").unwrap();
    let mut rows = first.query([]).unwrap();
    let package: Value = rows.next().unwrap().unwrap().get(0).unwrap();
    assert_eq!(other.one::<i64>(witnessed), 3, "before the package left");
    drop(rows);
    let stands = "SELECT quote(run) || quote(run_start) || quote(acked) || quote(sent) FROM crsql_streams_outbound";
    let before = (other.one::<i64>("PRAGMA data_version"), other.one::<String>(stands));

    let cursors = a.values("SELECT cursor FROM out_to_b");
    assert_eq!(a.one::<Value>("SELECT crsql_next('out_to_b')"), package);
    assert_ne!(a.one::<Value>("SELECT crsql_next('out_to_b')"), package);
    a.values("SELECT cursor FROM out_to_b WHERE cursor > '[2,0]'");
    assert_eq!(a.values("SELECT last_retrieved FROM out_to_b"), cursors[2..]);
    assert_eq!(a.values("SELECT cursor FROM out_to_b"), cursors, "a read begins at what is acknowledged");
    assert_eq!(other.values("SELECT last_retrieved FROM out_to_b"), [Value::Null]);
    assert_eq!(other.one::<Value>("SELECT crsql_next('out_to_b')"), package);
    assert_eq!((other.one::<i64>("PRAGMA data_version"), other.one::<String>(stands)), before);
}

#[test]
fn no_more_packages_are_built_than_are_asked_for() {
    let folder = Folder::new();
    let (a, _b) = pair(&folder, ONE_BY_ONE);
    write(&a, 1, 5);
    let cursors = a.values("SELECT cursor FROM out_to_b");
    for (sql, last) in [("LIMIT 1", 0), ("LIMIT 2 OFFSET 1", 2), ("WHERE cursor > '[1,0]' LIMIT 1", 1)] {
        a.values(&format!("SELECT cursor FROM out_to_b {sql}"));
        assert_eq!(a.values("SELECT last_retrieved FROM out_to_b"), cursors[last..=last], "{sql}");
    }
}

/// By the steps of SQLite's machine, which do not depend on the computer: four times the backlog costs about four times as
/// much, in one transaction and in many.
#[test]
fn a_backlog_read_package_by_package_costs_in_proportion_to_its_length() {
    let cost = |name: &str, sql: &dyn Fn(i64) -> String, count: i64| {
        let folder = Folder::new();
        let (mut a, _b) = pair(&folder, ONE_BY_ONE);
        a.run(&sql(count));
        a.values("SELECT cursor FROM out_to_b LIMIT 1");
        let steps = Arc::new(AtomicU64::new(0));
        let counted = steps.clone();
        let count_steps = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            false
        };
        a.host.progress_handler(10, Some(count_steps)).unwrap();
        let mut packages = 0;
        while a.one::<Value>("SELECT crsql_next('out_to_b')") != Value::Null {
            packages += 1;
        }
        a.host.progress_handler(0, None::<fn() -> bool>).unwrap();
        assert_eq!(packages, count, "{name}");
        steps.load(Ordering::Relaxed)
    };
    let many = |count: i64| (0..count).map(|key| format!("INSERT INTO u VALUES ('{key:04}', 1);")).collect::<String>();
    let one = |count: i64| format!("BEGIN; {} COMMIT", many(count));
    let shapes: [(&str, &dyn Fn(i64) -> String); 2] = [("many transactions", &many), ("one transaction", &one)];
    for (name, sql) in shapes {
        let (few, more) = (cost(name, sql, 100), cost(name, sql, 400));
        assert!(more < 6 * few, "{name}: {few} and {more}");
    }
}

#[test]
fn a_condition_on_anything_but_the_cursor_is_refused_in_words() {
    let folder = Folder::new();
    let (a, _b) = pair(&folder, "");
    write(&a, 1, 1);
    let columns = "package changes bytes change db_version seq last_retrieved last_sent last_acked head receipt rowid";
    let mut conditions: Vec<String> = Vec::new();
    for column in columns.split(' ') {
        conditions.extend([" = 1", " > 1", " <= 1", " IN (1, 2)"].map(|condition| format!("{column}{condition}")));
    }
    let of_cursor = ["= '[1,0]'", ">= '[1,0]'", "< '[1,0]'", "IS NULL", "IS NOT NULL", "IN ('[1,0]', '[2,0]')"];
    conditions.extend(of_cursor.map(|condition| format!("cursor {condition}")));
    conditions.push("cursor BETWEEN '[1,0]' AND '[2,0]'".into());
    conditions.push("cursor > '[0,0]' AND changes = 1".into());
    for condition in conditions {
        let text = a.refused(&format!("SELECT package FROM out_to_b WHERE {condition}"));
        assert!(text.contains("is read by WHERE cursor > …"), "{condition}: {text}");
    }
    // The one row of state is no exception: SQLite would compare blobs with text there.
    assert!(a.refused("SELECT head FROM out_to_b WHERE last_acked <= '[1,0]'").contains("is read by WHERE cursor > …"));
    let around = "WITH p AS MATERIALIZED (SELECT changes FROM out_to_b) SELECT count(*) FROM p WHERE changes";
    assert_eq!((a.one::<i64>(&format!("{around} = 1")), a.one::<i64>(&format!("{around} = 2"))), (1, 0));
}

#[test]
fn a_cursor_may_be_json_text_wherever_one_is_taken() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ONE_BY_ONE);
    write(&a, 1, 5);
    let read = |bounds: &str| a.values(&format!("SELECT db_version FROM out_to_b WHERE {bounds}"));
    let versions = |versions: &[i64]| versions.iter().map(|version| Value::Integer(*version)).collect::<Vec<_>>();
    assert_eq!(read("cursor > '[1,0]' AND cursor <= '[3,0]'"), versions(&[2, 3]));
    assert_eq!(read("cursor > json_array(3, 'end') AND cursor <= json_array(99, 0)"), versions(&[4, 5]));
    assert_eq!(
        read("cursor > '[1,0]' AND cursor > '[3,0]' AND cursor <= '[5,0]' AND cursor <= '[4,0]'"),
        versions(&[4])
    );
    for bounds in ["cursor > NULL", "cursor <= NULL", "cursor > '[1,0]' AND cursor <= NULL"] {
        assert_eq!(read(bounds), [], "{bounds}");
    }
    let last = a.values("SELECT cursor FROM out_to_b WHERE cursor <= '[9,9]'").pop();
    assert_eq!(last, Some(a.one("SELECT head FROM out_to_b")), "no package ends beyond the head");
    a.run("INSERT INTO out_to_b(last_sent) VALUES ('[2,0]'); INSERT INTO out_to_b(last_acked) VALUES ('[1,0]')");
    assert_eq!(a.one::<String>("SELECT position FROM crsql_streams WHERE name = 'out_to_b'"), "[1,0]");
    assert!(a.refused("UPDATE out_to_b SET last_acked = '[7,3]'").contains("cannot be set to [7,3]"));
    a.run("UPDATE out_to_b SET last_sent = '[3,0]'; UPDATE out_to_b SET last_acked = '[2,0]'");
    assert_eq!(read("cursor > '[0,0]'").len(), 5);
    assert_eq!(a.values("SELECT db_version FROM out_to_b"), versions(&[3, 4, 5]));
    let third = SiteId([3; 16]);
    a.run(&format!("CREATE VIRTUAL TABLE s USING crsql_outbound_stream(remote = x'{third}', since = '[3,0]')"));
    assert_eq!(a.one::<i64>("SELECT sum(changes) FROM s"), 2);
    drop(b);
}

#[test]
fn an_update_is_carried_out_once_whatever_the_backlog() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ONE_BY_ONE);
    write(&a, 1, 4);
    let packages = a.values("SELECT package FROM out_to_b");
    for package in &packages[..2] {
        apply(&b, package).unwrap();
    }
    let receipt: Value = b.one("SELECT receipt FROM in_from_a");
    assert_eq!(a.host.execute("UPDATE out_to_b SET last_sent = '[3,0]'", []), Ok(1));
    assert_eq!(a.host.execute("UPDATE out_to_b SET receipt = ?1", [&receipt]), Ok(1));
    assert_eq!(a.one::<i64>("SELECT crsql_pending('out_to_b')"), 2);
    assert_eq!(a.host.execute("UPDATE out_to_b SET last_acked = '[3,0]'", []), Ok(1));
    assert_eq!(a.one::<i64>("SELECT run FROM crsql_streams_outbound"), 0, "forwards is no new run");
    assert_eq!(a.host.execute("UPDATE out_to_b SET last_acked = '[0,0]'", []), Ok(1));
    assert_eq!(a.one::<i64>("SELECT run FROM crsql_streams_outbound"), 1);
    assert!(a.refused("DELETE FROM out_to_b").contains("cannot be deleted from"));
    assert_eq!(tell_b(&a, &b), 4);
    assert!(a.refused("DELETE FROM out_to_b").contains("cannot be deleted from"), "without a backlog too");
    assert_eq!(a.content(), b.content());
}

#[test]
fn a_receipt_corrects_a_sender_that_believes_too_much_and_one_that_believes_too_little() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ONE_BY_ONE);
    write(&a, 1, 4);
    let packages = a.values("SELECT package FROM out_to_b");
    apply(&b, &packages[0]).unwrap();
    a.run("UPDATE out_to_b SET last_acked = '[3,0]'");
    let receipt: Value = b.one("SELECT receipt FROM in_from_a");
    assert_eq!(a.call::<i64>("SELECT crsql_ack('out_to_b', ?1)", &receipt), Ok(1));
    assert_eq!(a.one::<i64>("SELECT crsql_pending('out_to_b')"), 3, "it went back");
    for package in &packages[1..3] {
        apply(&b, package).unwrap();
    }
    let receipt: Value = b.one("SELECT receipt FROM in_from_a");
    assert_eq!(a.call::<i64>("SELECT crsql_ack('out_to_b', ?1)", &receipt), Ok(1));
    assert_eq!((a.one::<i64>("SELECT crsql_pending('out_to_b')"), tell_b(&a, &b)), (1, 1), "it went forwards");
    assert_eq!(a.content(), b.content());
}

#[test]
fn since_now_is_resolved_when_the_stream_is_made_and_never_again() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    write(&a, 1, 2);
    connect(&a, &b, ", since = now");
    write(&a, 3, 3);
    let a = a.reopen();
    write(&a, 4, 4);
    let a = a.reopen();
    assert!(tell_b(&a, &b) > 0);
    assert_eq!(b.values("SELECT v FROM u ORDER BY k"), [3, 4].map(Value::Integer));
}

/// A column that is added before anything was written is filled in version 0.
#[test]
fn since_the_beginning_is_before_version_0_too() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, "");
    a.run(
        "SELECT crsql_begin_alter('u'); ALTER TABLE u ADD COLUMN w DEFAULT 7; INSERT INTO u VALUES ('k', 1, 2);
         SELECT crsql_commit_alter('u')",
    );
    b.run("SELECT crsql_begin_alter('u'); ALTER TABLE u ADD COLUMN w DEFAULT 7; SELECT crsql_commit_alter('u')");
    assert_eq!(tell_b(&a, &b), 1);
    assert_eq!(b.one::<String>("SELECT k || v || w FROM u"), "k12");
    a.run("UPDATE u SET v = 3");
    assert_eq!(tell_b(&a, &b), 1);
    assert_eq!(a.content(), b.content());
}

#[test]
fn tables_whose_names_need_quotes_can_be_chosen() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    // The original cannot track tables of such names.
    let names: &[&str] = if original().is_some() { &["plain", "other"] } else { &["a]b", "c,d", "plain", "other"] };
    for name in names {
        a.run(&format!("CREATE TABLE \"{name}\"(k INTEGER PRIMARY KEY NOT NULL, v)"));
        a.run(&format!("SELECT crsql_as_crr('{name}'); INSERT INTO \"{name}\" VALUES (1, 1)"));
    }
    connect(&a, &b, ", tables = ('A]B', \"c,d\", Plain)");
    assert_eq!(a.one::<i64>("SELECT sum(changes) FROM out_to_b"), names.len() as i64 - 1);
}

#[test]
fn a_package_of_which_everything_was_left_out_still_moves_the_receiver() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ", local_only = 1");
    let c = folder.database("c");
    write(&c, 1, 3);
    tell(&c, &a).unwrap();
    assert_eq!(a.values("SELECT changes FROM out_to_b"), [Value::Integer(0)]);
    assert_eq!(tell_b(&a, &b), 1);
    assert_eq!((a.one::<i64>("SELECT crsql_pending('out_to_b')"), b.one::<i64>("SELECT count(*) FROM u")), (0, 0));
    assert_eq!(b.one::<Value>("SELECT last_seen FROM in_from_a"), a.one::<Value>("SELECT head FROM out_to_b"));
}

#[test]
fn a_package_says_everything_about_itself() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    let former = a.site();
    a.streams().outbound(b.site(), &Default::default()).unwrap();
    a.streams().reidentify().unwrap();
    connect(&a, &b, ", package_changes_max = 2");
    write(&b, 8, 9);
    for package in b.values("SELECT package FROM out_to_a") {
        a.insert("INSERT INTO in_from_b(package) VALUES (?1)", &package).unwrap();
    }
    a.run("BEGIN; INSERT INTO u VALUES ('1', 1), ('2', 2), ('3', 3); COMMIT");
    a.run("UPDATE out_to_b SET last_acked = head; UPDATE out_to_b SET last_acked = '[1,\"end\"]'");
    let packages: Vec<Package> = a
        .values("SELECT package FROM out_to_b")
        .iter()
        .map(
            |package| if let Value::Blob(bytes) = package { Package::decode(bytes).unwrap() } else { panic!("a blob") },
        )
        .collect();
    assert_eq!(packages.len(), 2);
    for package in &packages {
        assert_eq!((package.sender, package.receiver), (a.site(), b.site()));
        assert_eq!(package.former_ids, [former]);
        assert_eq!((package.run, package.run_start.to_string().as_str()), (1, "[1,\"end\"]"));
        assert_eq!(package.since.to_string(), "[0,0]");
        assert_eq!(package.as_of.head, a.streams().head().unwrap());
        let receipt = package.receipt.as_ref().unwrap();
        assert_eq!(Some(&receipt.position.as_ref().unwrap().cursor), a.inbound(b.site()).position().unwrap().as_ref());
        assert!(!package.filtered);
    }
    let [first, second] = &packages[..] else { panic!("two packages") };
    assert_eq!((first.start.cursor.to_string().as_str(), &first.end), ("[1,\"end\"]", &second.start));
    assert_eq!((first.ends_transaction, second.ends_transaction), (false, true));
    assert_eq!((first.changes.len(), second.changes.len()), (2, 1));
}

/// On a file that cannot be written nothing can be noted, so what was never told cannot be told from there.
#[test]
fn a_read_that_would_have_to_note_something_is_refused_where_the_file_can_only_be_read() {
    let folder = Folder::new();
    let (a, _b) = pair(&folder, "");
    write(&a, 1, 1);
    let reader = Database::open_to_read(&a.path);
    for sql in ["SELECT package FROM out_to_b", "SELECT crsql_next('out_to_b')"] {
        let text = reader.refused(sql);
        assert!(text.contains("version 1 must be noted") && text.contains("open for reading only"), "{text}");
    }
    let packages = a.values("SELECT package FROM out_to_b");
    assert_eq!(reader.values("SELECT package FROM out_to_b"), packages, "what was noted can be told");
}

/// SQLite would take a blob for greater than any text.
#[test]
fn cursors_of_another_table_are_compared_by_the_stream() {
    let folder = Folder::new();
    let (a, _b) = pair(&folder, ONE_BY_ONE);
    write(&a, 1, 5);
    a.run("CREATE TABLE kept(c); INSERT INTO kept VALUES ('[3,0]')");
    let read = |from: &str| a.values(&format!("SELECT s.db_version FROM {from}"));
    let versions = |versions: &[i64]| versions.iter().map(|version| Value::Integer(*version)).collect::<Vec<_>>();
    for from in
        ["kept JOIN out_to_b s", "out_to_b s JOIN kept", "kept CROSS JOIN out_to_b s", "kept LEFT JOIN out_to_b s"]
    {
        assert_eq!(read(&format!("{from} ON s.cursor > kept.c")), versions(&[4, 5]), "{from}");
        assert_eq!(read(&format!("{from} ON s.cursor <= kept.c")), versions(&[1, 2, 3]), "{from}");
    }
    assert_eq!(read("out_to_b s WHERE cursor > (SELECT c FROM kept)"), versions(&[4, 5]));
    assert_eq!(read("out_to_b s WHERE '[3,0]' >= cursor"), versions(&[1, 2, 3]));
}

#[test]
fn an_update_with_a_condition_is_refused_instead_of_changing_nothing() {
    let folder = Folder::new();
    let (a, _b) = pair(&folder, ONE_BY_ONE);
    write(&a, 1, 3);
    for condition in ["db_version = 1", "cursor > '[1,0]'", "last_acked <= '[3,0]'", "rowid = 1"] {
        let text = a.refused(&format!("UPDATE out_to_b SET last_acked = '[2,0]' WHERE {condition}"));
        assert!(text.contains("is updated as a whole"), "{condition}: {text}");
    }
    a.run("UPDATE out_to_b SET last_acked = '[2,0]' WHERE 1");
    assert_eq!(a.one::<i64>("SELECT crsql_pending('out_to_b')"), 2);
}

/// What this connection has read of the stream that was dropped is not of the one that was made.
#[test]
fn a_stream_made_anew_is_read_from_its_beginning_by_every_connection() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ONE_BY_ONE);
    write(&a, 1, 2);
    let other = a.again();
    let first: Value = a.one("SELECT crsql_next('out_to_b')");
    for connection in [&a, &other] {
        while connection.one::<Value>("SELECT crsql_next('out_to_b')") != Value::Null {}
    }
    let site = b.site();
    a.run(&format!(
        "DROP TABLE out_to_b; CREATE VIRTUAL TABLE out_to_b USING crsql_outbound_stream(remote = x'{site}'{ONE_BY_ONE})"
    ));
    assert_eq!(a.values("SELECT last_retrieved FROM out_to_b"), [Value::Null]);
    assert_eq!(a.one::<Value>("SELECT crsql_next('out_to_b')"), first);
    assert_eq!(other.one::<Value>("SELECT crsql_next('out_to_b')"), first);
}

#[test]
fn after_a_change_of_identity_every_connection_reads_from_the_beginning() {
    let folder = Folder::new();
    let (a, _b) = pair(&folder, ONE_BY_ONE);
    write(&a, 1, 2);
    let other = a.again();
    for connection in [&a, &other] {
        while connection.one::<Value>("SELECT crsql_next('out_to_b')") != Value::Null {}
    }
    a.run("SELECT crsql_reidentify()");
    let first: Value = a.one("SELECT package FROM out_to_b LIMIT 1");
    for connection in [&a, &other] {
        assert_eq!(connection.one::<Value>("SELECT crsql_next('out_to_b')"), first);
    }
}

/// The receiver was restored: what another connection of the sender has read ahead did not arrive.
#[test]
fn a_position_that_another_connection_sets_back_is_read_from_there() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ONE_BY_ONE);
    write(&a, 1, 3);
    let packages = a.values("SELECT package FROM out_to_b");
    apply(&b, &packages[0]).unwrap();
    let early: Value = b.one("SELECT receipt FROM in_from_a");
    apply(&b, &packages[1]).unwrap();
    let late: Value = b.one("SELECT receipt FROM in_from_a");
    assert_eq!(a.call::<i64>("SELECT crsql_ack('out_to_b', ?1)", &late), Ok(1));
    assert_eq!(a.one::<Value>("SELECT crsql_next('out_to_b')"), packages[2]);
    assert_eq!(a.again().call::<i64>("SELECT crsql_ack('out_to_b', ?1)", &early), Ok(1));
    assert_eq!(a.one::<Value>("SELECT crsql_next('out_to_b')"), packages[1]);
}
