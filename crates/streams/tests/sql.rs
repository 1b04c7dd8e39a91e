//! The streams as SQL sees them: the five lines, the functions, the columns, and every refusal in words.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use rusqlite::types::Value;

fn hex(database: &Database) -> String {
    database.one("SELECT hex(crsql_site_id())")
}

/// Makes the four streams of two databases, with more arguments for the outbound ones.
fn connect(a: &Database, b: &Database, more: &str) {
    let (id_a, id_b) = (hex(a), hex(b));
    a.run(&format!("CREATE VIRTUAL TABLE out_to_b USING crsql_outbound_stream(remote = x'{id_b}'{more})"));
    a.run(&format!("CREATE VIRTUAL TABLE in_from_b USING crsql_InboundStream(remote = \"{id_b}\")"));
    b.run(&format!("CREATE VIRTUAL TABLE out_to_a USING crsql_OutboundStream(remote = '{id_a}'{more})"));
    b.run(&format!("CREATE VIRTUAL TABLE in_from_a USING crsql_inbound_stream(REMOTE = x'{id_a}')"));
}

/// One round of the five lines, by tables.
fn round(from: &Database, out: &str, to: &Database, into: &str) -> usize {
    let packages = from.values(&format!("SELECT package FROM {out}"));
    for package in &packages {
        to.insert(&format!("INSERT INTO {into}(package) VALUES (?1)"), package).expect("the package is taken");
    }
    let receipt: Value = to.one(&format!("SELECT receipt FROM {into}"));
    from.insert(&format!("INSERT INTO {out}(receipt) VALUES (?1)"), &receipt).expect("the receipt is taken");
    packages.len()
}

#[test]
fn five_lines_bring_two_files_level_in_every_format() {
    for more in [
        "",
        ", format = json",
        ", compression = none",
        ", package_changes_max = 1",
        ", format = 'JSON', package_changes_max=1",
    ] {
        let folder = Folder::new();
        let (mut a, mut b) = (folder.database("a"), folder.database("b"));
        connect(&a, &b, more);
        a.run("INSERT INTO t VALUES (1, 'one', -0.0), (2, x'00', 9e999); INSERT INTO u VALUES ('k', 9007199254740993)");
        b.run("INSERT INTO t VALUES (2, 'two', 1), (3, NULL, 5e-324)");
        for _ in 0..3 {
            (a, b) = (a.reopen(), b.reopen());
            round(&a, "out_to_b", &b, "in_from_a");
            (a, b) = (a.reopen(), b.reopen());
            round(&b, "out_to_a", &a, "in_from_b");
        }
        assert_eq!(a.content(), b.content(), "{more}");
        assert_eq!(a.one::<i64>("SELECT count(*) FROM t"), 3);
        for stream in ["out_to_b", "in_from_b"] {
            let behind = format!("SELECT behind FROM crsql_streams WHERE name = '{stream}'");
            assert_eq!(a.one::<i64>(&behind), 0, "{more} {stream}");
        }
        assert_eq!(a.one::<i64>("SELECT crsql_pending('out_to_b')"), 0);
        let class: String = a.one("SELECT typeof(package) FROM out_to_b WHERE cursor > '[0,0]'");
        assert_eq!(class, if more.to_lowercase().contains("json") { "text" } else { "blob" });
    }
}

#[test]
fn the_functions_do_the_same() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, ", package_changes_max = 1");
    a.run("INSERT INTO u VALUES ('1', 1); INSERT INTO u VALUES ('2', 2); INSERT INTO u VALUES ('3', 3)");
    assert_eq!(a.one::<i64>("SELECT crsql_pending('out_to_b')"), 3);
    let mut packages = Vec::new();
    loop {
        let package: Value = a.one("SELECT crsql_next('OUT_TO_B')");
        if package == Value::Null {
            break;
        }
        packages.push(package);
    }
    assert_eq!(packages.len(), 3);
    let receipt: Value = b.call("SELECT crsql_apply('in_from_a', ?1)", &packages[0]).unwrap();
    assert_eq!(a.call::<i64>("SELECT crsql_ack('out_to_b', ?1)", &receipt), Ok(1));
    assert_eq!(a.one::<Value>("SELECT crsql_next('out_to_b')"), Value::Null);
    let lost: Value = b.call("SELECT crsql_apply('in_from_a', ?1)", &packages[2]).unwrap();
    assert_eq!(a.call::<i64>("SELECT crsql_ack('out_to_b', ?1)", &lost), Ok(0));
    assert_eq!(b.one::<i64>("SELECT applied FROM in_from_a"), 0);
    assert!(
        b.one::<String>("SELECT last_error FROM in_from_a").starts_with("a package is missing: this stream stands at")
    );
    assert_eq!(a.one::<i64>("SELECT crsql_pending('out_to_b')"), 2);
    for _ in 0..2 {
        let package: Value = a.one("SELECT crsql_next('out_to_b')");
        let receipt: Value = b.call("SELECT crsql_apply('in_from_a', ?1)", &package).unwrap();
        assert_eq!(a.call::<i64>("SELECT crsql_ack('out_to_b', ?1)", &receipt), Ok(1));
    }
    assert_eq!(a.content(), b.content());
    assert_eq!(a.one::<i64>("SELECT crsql_pending('out_to_b')"), 0);
    assert_eq!(b.one::<Option<String>>("SELECT last_error FROM in_from_a"), None);
}

#[test]
fn a_read_starts_and_ends_at_cursors_in_either_form() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, ", package_changes_max = 1");
    for version in 1..=5 {
        a.run(&format!("INSERT INTO t VALUES ({version}, 1, 1)"));
    }
    let cursors = a.values("SELECT cursor FROM out_to_b");
    assert_eq!(cursors.len(), 10);
    let mut sorted = cursors.clone();
    sorted.sort_by_key(|cursor| if let Value::Blob(bytes) = cursor { bytes.clone() } else { panic!("a blob") });
    assert_eq!(cursors, sorted);
    let mut from_third = a.host.prepare("SELECT cursor FROM out_to_b WHERE cursor > ?1 AND cursor <= ?2").unwrap();
    let found: Vec<Value> =
        from_third.query_map([&cursors[2], &cursors[6]], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(found, cursors[3..=6]);
    assert_eq!(a.one::<i64>("SELECT count(*) FROM out_to_b WHERE cursor > '[2,1]'"), 6);
    assert_eq!(a.one::<i64>("SELECT count(*) FROM out_to_b WHERE cursor > '[4,1]' AND cursor <= '[9,9]'"), 2);
    assert_eq!(a.one::<i64>("SELECT count(*) FROM out_to_b WHERE cursor > '[5,9]'"), 1);
    assert_eq!(a.one::<i64>("SELECT count(*) FROM out_to_b WHERE cursor > NULL"), 0);
    assert_eq!(a.values("SELECT db_version FROM out_to_b ORDER BY cursor LIMIT 3"), [1, 1, 2].map(Value::Integer));
    assert_eq!(a.values("SELECT cursor FROM out_to_b ORDER BY cursor DESC LIMIT 1"), cursors[9..]);
    assert_eq!(a.one::<i64>("SELECT sum(changes) FROM out_to_b"), 10);
    assert_eq!(a.one::<i64>("SELECT sum(bytes = length(package) AND package = change) FROM out_to_b"), 10);
}

#[test]
fn the_state_columns_are_one_row_and_can_be_written_once_whatever_the_backlog() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, ", package_changes_max = 1");
    a.run("INSERT INTO u VALUES ('1', 1); INSERT INTO u VALUES ('2', 2); INSERT INTO u VALUES ('3', 3)");
    let cursors = a.values("SELECT cursor FROM out_to_b");
    assert_eq!(a.values("SELECT last_retrieved FROM out_to_b"), cursors[2..]);
    assert_eq!(a.values("SELECT head FROM out_to_b"), cursors[2..]);
    a.insert("INSERT INTO out_to_b(last_sent) VALUES (?1)", &cursors[1]).unwrap();
    assert_eq!(a.values("SELECT last_sent FROM out_to_b"), cursors[1..2]);
    a.insert("UPDATE out_to_b SET last_acked = ?1", &cursors[1]).unwrap();
    assert_eq!(a.values("SELECT last_acked FROM out_to_b"), cursors[1..2]);
    assert_eq!(a.values("SELECT cursor FROM out_to_b"), cursors[2..]);
    a.run("UPDATE out_to_b SET last_acked = '[0,0]'");
    assert_eq!(a.values("SELECT cursor FROM out_to_b"), cursors);
    assert!(a.refused("UPDATE out_to_b SET last_acked = '[4,0]'").contains("the head of this database is version 3"));
    assert!(a.refused("INSERT INTO out_to_b(last_sent) VALUES ('[4,0]')").contains("last_sent cannot be set to [4,0]"));
}

#[test]
fn moving_last_acked_back_sends_everything_again_and_the_receiver_follows() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, "");
    a.run("INSERT INTO u VALUES ('k', 1)");
    round(&a, "out_to_b", &b, "in_from_a");
    assert_eq!(round(&a, "out_to_b", &b, "in_from_a"), 0);
    a.run("UPDATE out_to_b SET last_acked = '[0,0]'");
    assert_eq!(round(&a, "out_to_b", &b, "in_from_a"), 1);
    assert_eq!(b.one::<i64>("SELECT applied FROM in_from_a"), 1);
    assert_eq!(round(&a, "out_to_b", &b, "in_from_a"), 0);
}

#[test]
fn an_outbound_read_is_refused_while_there_are_uncommitted_writes() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, "");
    a.run("INSERT INTO u VALUES ('k', 1); BEGIN; INSERT INTO u VALUES ('uncommitted', 1)");
    for sql in ["SELECT package FROM out_to_b", "SELECT crsql_next('out_to_b')"] {
        let text = a.host.query_row(sql, [], |_| Ok(())).unwrap_err().to_string();
        assert!(text.contains("COMMIT first"), "{text}");
    }
    a.run("ROLLBACK");
    assert_eq!(a.one::<i64>("SELECT changes FROM out_to_b"), 1);
}

#[test]
fn a_read_in_an_open_transaction_says_what_to_do_where_nothing_durable_can_be_written() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, "");
    a.run("INSERT INTO u VALUES ('k', 1); BEGIN; SELECT count(*) FROM u");
    let text = a.host.query_row("SELECT package FROM out_to_b", [], |_| Ok(())).unwrap_err().to_string();
    assert!(text.contains("COMMIT first"), "{text}");
    a.run("COMMIT");
    assert_eq!(a.values("SELECT changes FROM out_to_b"), [Value::Integer(1)]);
    a.run("BEGIN; SELECT count(*) FROM u");
    assert_eq!(a.values("SELECT changes FROM out_to_b"), [Value::Integer(1)]);
    a.run("COMMIT");
}

#[test]
fn a_package_applied_in_a_transaction_goes_with_it() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, "");
    a.run("INSERT INTO u VALUES ('k', 1)");
    let package: Value = a.one("SELECT package FROM out_to_b");
    b.run("BEGIN; INSERT INTO u VALUES ('mine', 1)");
    b.insert("INSERT INTO in_from_a(package) VALUES (?1)", &package).unwrap();
    assert_eq!(b.one::<i64>("SELECT count(*) FROM u"), 2);
    b.run("ROLLBACK");
    assert_eq!(b.one::<i64>("SELECT count(*) FROM u"), 0);
    assert_eq!(b.one::<Value>("SELECT last_seen FROM in_from_a"), Value::Null);
    let broken = Value::Blob(b"RJP nonsense".to_vec());
    b.run("BEGIN; INSERT INTO u VALUES ('mine', 1)");
    let text = b.insert("INSERT INTO in_from_a(package) VALUES (?1)", &broken).unwrap_err();
    assert!(text.contains("failed to read the package"), "{text}");
    b.insert("INSERT INTO in_from_a(package) VALUES (?1)", &package).unwrap();
    b.run("COMMIT");
    assert_eq!(b.one::<i64>("SELECT count(*) FROM u"), 2);
}

#[test]
fn what_is_sent_back_is_not_news_by_sql_either() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, "");
    a.run("INSERT INTO u VALUES ('k', 1)");
    round(&a, "out_to_b", &b, "in_from_a");
    assert_eq!(b.values("SELECT changes FROM out_to_a"), [Value::Integer(0)]);
}

#[test]
fn one_stream_is_read_while_another_is_applied_on_the_same_connection() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, ", package_changes_max = 1");
    a.run("INSERT INTO u VALUES ('1', 1); INSERT INTO u VALUES ('2', 2); INSERT INTO u VALUES ('3', 3)");
    b.run("INSERT INTO u VALUES ('4', 4); INSERT INTO u VALUES ('5', 5); INSERT INTO u VALUES ('6', 6)");
    let incoming = b.values("SELECT package FROM out_to_a");
    let mut read = a.host.prepare("SELECT package FROM out_to_b").unwrap();
    let mut rows = read.query([]).unwrap();
    let mut told = 0;
    while let Some(row) = rows.next().unwrap() {
        let package: Value = row.get(0).unwrap();
        b.insert("INSERT INTO in_from_a(package) VALUES (?1)", &package).unwrap();
        if let Some(package) = incoming.get(told) {
            a.insert("INSERT INTO in_from_b(package) VALUES (?1)", package).unwrap();
        }
        told += 1;
        assert!(told < 20);
    }
    drop(rows);
    drop(read);
    while round(&a, "out_to_b", &b, "in_from_a") + round(&b, "out_to_a", &a, "in_from_b") > 0 {}
    assert_eq!(a.content(), b.content());
}

#[test]
fn drop_forgets_the_position_but_not_the_run() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, ", local_only = 1");
    a.run("INSERT INTO u VALUES ('k', 1)");
    round(&a, "out_to_b", &b, "in_from_a");
    a.run("UPDATE out_to_b SET last_acked = '[0,0]'");
    round(&a, "out_to_b", &b, "in_from_a");
    let id_b = hex(&b);
    a.run("DROP TABLE out_to_b");
    assert_eq!(a.one::<i64>("SELECT count(*) FROM crsql_streams WHERE direction = 'outbound'"), 0);
    a.run(&format!("CREATE VIRTUAL TABLE again USING crsql_outbound_stream(remote = x'{id_b}', local_only = 1)"));
    assert_eq!(round(&a, "again", &b, "in_from_a"), 1);
    assert_eq!(round(&a, "again", &b, "in_from_a"), 0);
    assert_eq!(a.one::<i64>("SELECT run FROM crsql_streams_outbound"), 1);
    b.run("DROP TABLE in_from_a");
    b.run(&format!("CREATE VIRTUAL TABLE in_again USING crsql_inbound_stream(remote = x'{}')", hex(&a)));
    assert_eq!(round(&a, "again", &b, "in_again"), 0);
    assert_eq!(round(&a, "again", &b, "in_again"), 1);
    assert_eq!(b.one::<i64>("SELECT applied FROM in_again"), 1);
}

#[test]
fn a_reidentified_database_writes_under_its_new_id_and_keeps_its_streams() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, "");
    a.run("INSERT INTO u VALUES ('old', 1)");
    round(&a, "out_to_b", &b, "in_from_a");
    let former = hex(&a);
    let returned: String = a.one("SELECT hex(crsql_reidentify())");
    assert_ne!(returned, former);
    assert_eq!(hex(&a.again()), returned);
    // A connection on which the original was loaded before goes on to say the former id; what it writes bears the new one.
    assert_eq!(hex(&a), if original().is_some() { former.clone() } else { returned.clone() });
    a.run("INSERT INTO u VALUES ('new', 2)");
    let authors = "SELECT hex(site_id) FROM crsql_changes ORDER BY db_version";
    assert_eq!(a.values(authors), [former, returned.clone()].map(Value::Text));
    let package: Value = a.one("SELECT package FROM out_to_b");
    let text = b.insert("INSERT INTO in_from_a(package) VALUES (?1)", &package).unwrap_err();
    assert!(text.contains("is its former id: make an inbound stream for the new one"), "{text}");
    b.run(&format!("CREATE VIRTUAL TABLE in_from_new USING crsql_inbound_stream(remote = x'{returned}')"));
    round(&a, "out_to_b", &b, "in_from_new");
    assert_eq!(a.content(), b.content());
}

#[test]
fn a_renamed_stream_answers_to_its_new_name() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, "");
    a.run("ALTER TABLE out_to_b RENAME TO elsewhere; ALTER TABLE in_from_b RENAME TO source");
    assert_eq!(
        a.values("SELECT name FROM crsql_streams"),
        ["elsewhere", "source"].map(|name| Value::Text(name.into()))
    );
    assert_eq!(a.one::<i64>("SELECT crsql_pending('elsewhere')"), 0);
    assert!(a.refused("SELECT crsql_pending('out_to_b')").contains("there is no outbound stream named out_to_b"));
}

#[test]
fn crsql_streams_can_be_read_before_any_stream_was_made() {
    let folder = Folder::new();
    let a = folder.database("a");
    assert_eq!(a.one::<i64>("SELECT count(*) FROM crsql_streams"), 0);
    assert_eq!(a.one::<i64>("SELECT count(*) FROM sqlite_master WHERE name LIKE 'crsql_streams%'"), 0);
}

#[test]
fn without_the_bookkeeping_a_stream_says_so_and_can_be_made_again() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, "");
    a.run("INSERT INTO u VALUES ('k', 1)");
    round(&a, "out_to_b", &b, "in_from_a");
    a.run("DROP TABLE crsql_streams");
    assert_eq!(a.one::<i64>("SELECT count(*) FROM sqlite_master WHERE name LIKE 'crsql_streams%'"), 0);
    for sql in [
        "SELECT package FROM out_to_b",
        "SELECT receipt FROM in_from_b",
        "INSERT INTO out_to_b(last_sent) VALUES ('[0,0]')",
    ] {
        assert!(a.refused(sql).contains("drop the stream and make it again"), "{sql}");
    }
    a.run("DROP TABLE out_to_b; DROP TABLE in_from_b");
    b.run("DROP TABLE out_to_a; DROP TABLE in_from_a");
    connect(&a, &b, "");
    a.run("INSERT INTO u VALUES ('l', 1)");
    round(&a, "out_to_b", &b, "in_from_a");
    assert_eq!(a.content(), b.content());
}

#[test]
fn refusals_say_what_and_what_to_do() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, "");
    let (id_a, id_b) = (hex(&a), hex(&b));
    let other = format!("'{}'", "00".repeat(16));
    let cases = [
        (
            format!("CREATE VIRTUAL TABLE x USING crsql_outbound_stream(remote = x'{id_b}')"),
            "the table out_to_b; use that one",
        ),
        (
            format!("CREATE VIRTUAL TABLE x USING crsql_inbound_stream(remote = x'{id_b}')"),
            "the table in_from_b; use that one",
        ),
        (
            format!("CREATE VIRTUAL TABLE x USING crsql_outbound_stream(remote = x'{id_a}')"),
            "site id of this database itself",
        ),
        ("CREATE VIRTUAL TABLE x USING crsql_outbound_stream".into(), "the argument remote is missing"),
        (
            format!("CREATE VIRTUAL TABLE x USING crsql_outbound_stream(remote = {other}, tables = [x'00'])"),
            "the value of tables is",
        ),
        (
            format!("CREATE VIRTUAL TABLE x USING crsql_inbound_stream(remote = {other}, atomic = row)"),
            "the value of atomic is row",
        ),
        (
            format!("CREATE VIRTUAL TABLE temp.x USING crsql_inbound_stream(remote = {other})"),
            "streams live in the main database",
        ),
        ("CREATE VIRTUAL TABLE x USING crsql_streams".into(), "made by the first stream itself"),
        ("DELETE FROM out_to_b".into(), "cannot be deleted from"),
        ("DELETE FROM in_from_b".into(), "cannot be deleted from"),
        ("UPDATE in_from_b SET receipt = 1".into(), "cannot be updated"),
        ("INSERT INTO in_from_b(receipt) VALUES (1)".into(), "takes packages only"),
        ("INSERT INTO in_from_b(package) VALUES (NULL)".into(), "neither a BLOB nor TEXT"),
        ("INSERT INTO in_from_b(package) VALUES (5)".into(), "neither a BLOB nor TEXT"),
        ("INSERT INTO in_from_b(package) VALUES ('{}')".into(), "failed to read the package"),
        ("INSERT INTO out_to_b(package) VALUES (1)".into(), "only receipt, last_sent and last_acked"),
        ("INSERT INTO out_to_b(head) VALUES (1)".into(), "only receipt, last_sent and last_acked"),
        ("INSERT INTO out_to_b(receipt) VALUES (1)".into(), "the receipt is not text"),
        ("INSERT INTO out_to_b(receipt) VALUES ('{}')".into(), "failed to read the receipt"),
        ("INSERT INTO out_to_b(last_acked) VALUES (x'00')".into(), "last_acked is not a cursor"),
        ("SELECT * FROM out_to_b WHERE db_version > 1".into(), "is read by WHERE cursor > …"),
        ("SELECT * FROM out_to_b WHERE cursor = '[0,0]'".into(), "is read by WHERE cursor > …"),
        ("SELECT package FROM out_to_b WHERE cursor > 5".into(), "is not a cursor"),
        ("SELECT crsql_next(1)".into(), "is the name of a stream"),
        ("SELECT crsql_next('in_from_b')".into(), "there is no outbound stream named in_from_b"),
        ("SELECT crsql_apply('out_to_b', x'00')".into(), "there is no inbound stream named out_to_b"),
    ];
    a.run("INSERT INTO u VALUES ('k', 1)");
    for (sql, expected) in cases {
        let text = a.refused(&sql);
        assert!(text.contains(expected), "{sql}: {text}");
        assert!(a.host.is_autocommit(), "{sql}");
    }
    assert_eq!(a.values("SELECT name FROM crsql_streams").len(), 2);
}

#[test]
fn the_bookkeeping_is_protected_in_defensive_mode_and_the_streams_still_work() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    let defensive = rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE;
    for database in [&a, &b] {
        database.host.set_db_config(defensive, true).unwrap();
    }
    connect(&a, &b, "");
    a.run("INSERT INTO u VALUES ('k', 1)");
    round(&a, "out_to_b", &b, "in_from_a");
    tell(&b, &a).unwrap();
    round(&b, "out_to_a", &a, "in_from_b");
    assert_eq!(a.content(), b.content());
    for table in ["meta", "epochs", "outbound", "inbound", "arrivals"] {
        let text = a.refused(&format!("DELETE FROM crsql_streams_{table}"));
        assert!(text.contains("may not be modified"), "{text}");
    }
}

#[test]
fn streams_survive_vacuum_and_backup() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    connect(&a, &b, "");
    a.run("INSERT INTO u VALUES ('k', 1)");
    round(&a, "out_to_b", &b, "in_from_a");
    a.run("VACUUM");
    let copy = folder.path("copy");
    a.run(&format!("VACUUM INTO '{}'", copy.display()));
    a.close();
    let a = Database::open_bare(&copy);
    a.run("INSERT INTO u VALUES ('l', 1)");
    round(&a, "out_to_b", &b, "in_from_a");
    assert_eq!(a.content(), b.content());
}

/// SQLite does not wait for another writer in the middle of a statement that reads.
#[test]
fn a_first_read_beside_another_writer_is_refused_in_words_and_goes_through_afterwards() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.run("INSERT INTO t VALUES (1, 1, 1)");
    a.run(&format!("CREATE VIRTUAL TABLE out_to_b USING crsql_outbound_stream(remote = '{}')", b.site()));
    let writer = a.again();
    writer.run("BEGIN IMMEDIATE");
    let message = a.host.query_row("SELECT package FROM out_to_b", [], |_| Ok(())).unwrap_err().to_string();
    assert!(message.contains("another connection is writing") && message.contains("crsql_next()"), "{message}");
    writer.run("COMMIT");
    a.host.query_row("SELECT package FROM out_to_b", [], |_| Ok(())).unwrap();
}
