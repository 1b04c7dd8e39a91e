//! What a host may have set up on its connection beside the engine: hooks, attached and temporary tables, read-only and
//! shared files, stricter rules. Each goes on working, or is refused in words.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use rejoin_bridge::linked;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::sync::{Arc, Mutex};
use support::*;

const RECORD: &str = "INSERT INTO crsql_changes VALUES ('foo', x'010905', 'b', 'val', 1, 1, x'aa', 1, 0)";

fn opened(open: impl FnOnce() -> rusqlite::Result<Connection>) -> Result<Connection, String> {
    linked::open(rejoin_engine::register, open).map(|(host, _)| host).map_err(|error| error.to_string())
}

/// A file with the table of the worked examples, tracked, and one row.
fn prepared(path: &Path) {
    let host = file(path);
    run(&host, "CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b, c)");
    track(&host, "foo");
    run(&host, "INSERT INTO foo VALUES (1, 1, 1)");
}

#[test]
fn the_applications_own_hooks_see_everything_and_stay_in_place() {
    let mut host = foo();
    let log = Arc::new(Mutex::new(Vec::<String>::new()));
    let note = |word: &'static str| {
        let log = log.clone();
        move || log.lock().unwrap().push(word.to_string())
    };
    let (commit, rollback) = (note("commit"), note("rollback"));
    let refuse = Arc::new(Mutex::new(false));
    let refused = refuse.clone();
    host.commit_hook(Some(move || {
        commit();
        *refused.lock().unwrap()
    }))
    .unwrap();
    host.rollback_hook(Some(rollback)).unwrap();
    let updates = log.clone();
    host.update_hook(Some(move |_: rusqlite::hooks::Action, _: &str, table: &str, rowid: i64| {
        if !table.contains("crsql") {
            updates.lock().unwrap().push(format!("{table} {rowid}"));
        }
    }))
    .unwrap();
    let told = |sql: &str| {
        let _ = host.execute_batch(sql);
        std::mem::take(&mut *log.lock().unwrap())
    };
    assert_eq!(told("INSERT INTO foo VALUES (1, 1, 1)"), ["foo 1", "commit"]);
    assert_eq!(told(RECORD), ["foo 5", "commit"], "a merge shows in the table that it writes");
    assert_eq!(told("BEGIN; UPDATE foo SET b = 2 WHERE a = 1; ROLLBACK"), ["foo 1", "rollback"]);
    assert_eq!(
        told("BEGIN; SELECT crsql_begin_alter('foo'); SELECT crsql_commit_alter('foo'); COMMIT").last().unwrap(),
        "commit"
    );

    // A commit that the application refuses is none, and nothing of it is remembered.
    *refuse.lock().unwrap() = true;
    assert_eq!(told("INSERT INTO foo VALUES (2, 2, 2)"), ["foo 2", "commit", "rollback"]);
    assert_eq!(told(RECORD).last().unwrap(), "rollback");
    *refuse.lock().unwrap() = false;
    let before = number(&host, "SELECT crsql_db_version()");
    assert_eq!(before, number(&host, "SELECT max(db_version) FROM crsql_changes"));
    run(&host, "INSERT INTO foo VALUES (2, 2, 2)");
    let written = "SELECT db_version, seq FROM crsql_changes WHERE pk = x'010902'";
    assert_eq!(rows(&host, written), [format!("{}|0", before + 1), format!("{}|1", before + 1)]);
}

#[test]
fn an_authorizer_and_a_progress_handler_that_allow_it_see_the_work_go_on() {
    let mut host = foo();
    host.progress_handler(1, Some(|| false)).unwrap();
    host.authorizer(Some(|_: rusqlite::hooks::AuthContext<'_>| rusqlite::hooks::Authorization::Allow)).unwrap();
    run(&host, "INSERT INTO foo VALUES (1, 1, 1)");
    run(&host, RECORD);
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 3);
}

#[test]
fn attached_databases_are_left_alone_whatever_they_and_their_tables_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.db");
    prepared(&other);
    let host = foo();
    // An attached database by the name of a tracked table, which holds tracked tables of that name itself.
    run(&host, &format!("ATTACH '{}' AS foo; INSERT INTO main.foo VALUES (2, 2, 2)", other.display()));
    assert_eq!(rows(&host, "SELECT hex(pk) FROM crsql_changes"), ["010902", "010902"]);
    run(&host, RECORD);
    assert_eq!(rows(&host, "SELECT a FROM main.foo"), ["2", "5"]);
    assert_eq!(rows(&host, "SELECT a FROM foo.foo"), ["1"]);
    assert_eq!(number(&host, "SELECT crsql_db_version()"), 2);
    // Its triggers call the functions of this connection, which would record the write in the main database.
    let before = rows(&host, "SELECT * FROM main.foo__crsql_clock");
    for sql in [
        "INSERT INTO foo.foo VALUES (7, 7, 7)",
        "UPDATE foo.foo SET b = 7",
        "UPDATE foo.foo SET a = 7",
        "DELETE FROM foo.foo",
        "SELECT crsql_after_insert('foo', 7)",
    ] {
        for begin in
            ["SELECT 1", "BEGIN; UPDATE main.foo SET c = 3 WHERE a = 99", "BEGIN IMMEDIATE; CREATE TABLE main.made(a)"]
        {
            run(&host, begin);
            let message = failure(&host, sql);
            assert!(
                message.contains("table foo") && message.contains("attached database"),
                "{begin}; {sql}: {message}"
            );
            if !host.is_autocommit() {
                run(&host, "ROLLBACK");
            }
        }
    }
    run(
        &host,
        "BEGIN; INSERT INTO main.foo VALUES (3, 3, 3); UPDATE main.foo SET a = 4 WHERE a = 3; DELETE FROM main.foo WHERE a = 4; ROLLBACK",
    );
    assert_eq!(rows(&host, "SELECT * FROM main.foo__crsql_clock"), before);
    assert_eq!(rows(&host, "SELECT * FROM foo.foo"), ["1|1|1"]);
    run(&host, "CREATE TABLE foo.bar(a PRIMARY KEY NOT NULL)");
    assert!(failure(&host, "SELECT crsql_as_crr('foo', 'bar')").contains("schema main only"));
    assert!(failure(&host, "SELECT crsql_as_crr('bar')").contains("has no primary key"));
    run(&host, "BEGIN; INSERT INTO main.foo VALUES (3, 3, 3); INSERT INTO foo.bar VALUES (1); COMMIT; DETACH foo");
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 5);
    let of_last = rows(&host, "SELECT db_version, seq FROM crsql_changes WHERE pk = x'010903'");
    assert_eq!(of_last, ["3|0", "3|1"], "what was refused and what was rolled back has left nothing behind");
}

#[test]
fn temporary_tables_views_and_triggers_do_not_stand_in_for_tracked_ones() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 1, 1)");
    run(
        &host,
        "CREATE TEMP TABLE foo(x, y); CREATE TEMP TABLE foo__crsql_clock(x); CREATE TEMP TABLE foo__crsql_pks(x);
         CREATE TEMP TABLE crsql_master(x); CREATE TEMP TABLE crsql_site_id(x); CREATE TEMP VIEW crsql_tracked_peers AS SELECT 1;
         INSERT INTO temp.foo VALUES (9, 9)",
    );
    run(
        &host,
        "INSERT INTO main.foo VALUES (2, 2, 2); UPDATE main.foo SET b = 3 WHERE a = 1; DELETE FROM main.foo WHERE a = 2",
    );
    run(&host, RECORD);
    let shown = rows(&host, "SELECT hex(pk), cid, val FROM crsql_changes ORDER BY pk, cid");
    assert_eq!(shown, ["010901|b|3", "010901|c|1", "010902|-1|NULL", "010905|b|val"]);
    assert_eq!(rows(&host, "SELECT * FROM temp.foo"), ["9|9"]);
    assert_eq!(number(&host, "SELECT length(crsql_site_id())"), 16);
    run(&host, "SELECT crsql_begin_alter('foo'); ALTER TABLE main.foo ADD COLUMN d; SELECT crsql_commit_alter('foo')");
    assert_eq!(rows(&host, "SELECT * FROM main.foo"), ["1|3|1|NULL", "5|val|NULL|NULL"]);
    run(&host, "SELECT crsql_as_table('foo')");
    assert_eq!(number(&host, "SELECT count(*) FROM temp.foo__crsql_clock"), 0);
}

#[test]
fn a_temporary_trigger_on_a_tracked_table_fires_beside_the_recording() {
    let host = foo();
    run(
        &host,
        "CREATE TEMP TABLE log(a); CREATE TEMP TRIGGER watch AFTER INSERT ON main.foo BEGIN INSERT INTO log VALUES (NEW.a); END;
         INSERT INTO foo VALUES (1, 1, 1)",
    );
    run(&host, RECORD);
    assert_eq!(rows(&host, "SELECT a FROM log"), ["1", "5"]);
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 3);
}

#[test]
fn a_file_that_cannot_be_written_is_read_where_it_is_prepared_and_else_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (ready, bare) = (folder.path().join("ready.db"), folder.path().join("bare.db"));
    prepared(&ready);
    run(&Connection::open(&bare).unwrap(), "CREATE TABLE t(a)");
    let ways = |path: &Path| {
        let uri = |options: &str| format!("file:{}?{options}", path.display());
        [uri("mode=ro"), uri("immutable=1"), uri("mode=ro&immutable=1")]
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
    for way in ways(&ready) {
        let host = opened(|| Connection::open_with_flags(&way, flags)).unwrap();
        assert_eq!(rows(&host, "SELECT cid, val FROM crsql_changes"), ["b|1", "c|1"], "{way}");
        assert_eq!(rows(&host, "SELECT val FROM crsql_changes WHERE pk = x'010901' AND cid = 'b'"), ["1"]);
        assert_eq!(number(&host, "SELECT crsql_db_version()"), 1);
        assert_eq!(one(&host, "SELECT crsql_as_crr('foo')"), "OK", "which programs call at every start");
        for sql in [
            "INSERT INTO foo VALUES (2, 2, 2)",
            RECORD,
            "SELECT crsql_begin_alter('foo')",
            "SELECT crsql_as_table('foo')",
        ] {
            let message = failure(&host, sql);
            assert!(message.contains("readonly") || message.contains("read-only"), "{way}: {sql}: {message}");
        }
        assert_eq!(number(&host, "SELECT crsql_internal_sync_bit()"), 0);
        assert!(host.is_autocommit());
    }
    for way in ways(&bare) {
        let message = opened(|| Connection::open_with_flags(&way, flags)).unwrap_err();
        assert!(message.contains("read-only") && message.contains("open it once for writing"), "{way}: {message}");
    }
}

#[test]
fn query_only_refuses_writes_and_reads_on() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 1, 1); PRAGMA query_only = 1");
    for sql in
        ["INSERT INTO foo VALUES (2, 2, 2)", RECORD, "SELECT crsql_as_table('foo')", "SELECT crsql_begin_alter('foo')"]
    {
        let message = failure(&host, sql);
        assert!(message.contains("readonly database"), "{sql}: {message}");
    }
    assert!(host.is_autocommit());
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 2);
    run(&host, "PRAGMA query_only = 0; INSERT INTO foo VALUES (2, 2, 2)");
    assert_eq!(clock(&host, "foo"), ["1|b|1|1|0|0", "1|c|1|1|0|1", "2|b|1|2|0|0", "2|c|1|2|0|1"]);
}

#[test]
fn defensive_mode_and_an_untrusted_schema_change_nothing() {
    let host = foo();
    host.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).unwrap();
    host.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).unwrap();
    host.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false).unwrap();
    host.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false).unwrap();
    run(&host, "CREATE TABLE late(a PRIMARY KEY NOT NULL, b)");
    track(&host, "late");
    run(
        &host,
        "INSERT INTO foo VALUES (1, 1, 1); INSERT INTO late VALUES (1, 1); UPDATE foo SET b = 2; DELETE FROM late",
    );
    run(&host, RECORD);
    run(&host, "SELECT crsql_begin_alter('foo'); ALTER TABLE foo ADD COLUMN d; SELECT crsql_commit_alter('foo')");
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 4);
    run(&host, "CREATE VIEW told AS SELECT cid FROM crsql_changes");
    assert!(failure(&host, "SELECT crsql_begin_alter('foo') FROM told").is_empty() || host.is_autocommit());
}

/// Two connections that share one cache lock by table, without waiting.
#[test]
fn in_a_shared_cache_a_lock_is_an_error_in_words_and_versions_follow_each_other() {
    let uri = "file:shared_between_two?mode=memory&cache=shared";
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
    let open = || opened(|| Connection::open_with_flags(uri, flags)).unwrap();
    let (one_, two) = (open(), open());
    run(&one_, "CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b, c)");
    track(&one_, "foo");
    run(&one_, "INSERT INTO foo VALUES (1, 1, 1)");
    run(&two, "INSERT INTO foo VALUES (2, 2, 2)");
    run(&one_, "BEGIN; INSERT INTO foo VALUES (3, 3, 3)");
    for sql in ["INSERT INTO foo VALUES (4, 4, 4)", RECORD, "SELECT * FROM crsql_changes"] {
        let message = failure(&two, sql);
        assert!(message.contains("locked"), "{sql}: {message}");
        assert_eq!(number(&two, "SELECT crsql_internal_sync_bit()"), 0);
    }
    run(&one_, "COMMIT");
    run(&two, RECORD);
    run(&one_, "UPDATE foo SET b = 9 WHERE a = 2");
    let versions = "SELECT hex(pk), cid, db_version FROM crsql_changes WHERE cid = 'b'";
    assert_eq!(rows(&two, versions), ["010901|b|1", "010903|b|3", "010905|b|4", "010902|b|5"]);
    assert_eq!(rows(&one_, versions), rows(&two, versions));
}

#[test]
fn a_reader_keeps_its_snapshot_while_others_write_in_wal_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    prepared(&path);
    let (reader, writer) = (file(&path), file(&path));
    run(&writer, "PRAGMA journal_mode = WAL");
    run(&reader, "BEGIN");
    let seen = |host: &Connection| {
        (number(host, "SELECT count(*) FROM crsql_changes"), number(host, "SELECT crsql_db_version()"))
    };
    assert_eq!(seen(&reader), (2, 1));
    run(&writer, "INSERT INTO foo VALUES (2, 2, 2)");
    run(&writer, RECORD);
    run(
        &writer,
        "SELECT crsql_begin_alter('foo'); ALTER TABLE foo ADD COLUMN d DEFAULT 4; SELECT crsql_commit_alter('foo')",
    );
    assert_eq!(seen(&reader), (2, 1));
    let message = failure(&reader, "INSERT INTO foo VALUES (3, 3, 3)");
    assert!(message.contains("locked"), "its snapshot is old: {message}");
    run(&reader, "COMMIT");
    assert_eq!(seen(&reader), (5, 3));
    run(&reader, "INSERT INTO foo VALUES (3, 3, 3, 3)");
    assert_eq!(seen(&writer), (8, 4));
}

#[test]
fn another_writer_is_waited_for_or_named_and_nothing_is_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    prepared(&path);
    let (holder, mut other) = (file(&path), file(&path));
    other.busy_handler(Some(|tries| tries < 3)).unwrap();
    run(&holder, "BEGIN IMMEDIATE; INSERT INTO foo VALUES (2, 2, 2)");
    for sql in
        ["INSERT INTO foo VALUES (3, 3, 3)", RECORD, "SELECT crsql_begin_alter('foo')", "SELECT crsql_as_table('foo')"]
    {
        let message = failure(&other, sql);
        assert!(message.contains("locked"), "{sql}: {message}");
        assert!(other.is_autocommit(), "{sql}");
        assert_eq!(number(&other, "SELECT crsql_internal_sync_bit()"), 0);
    }
    run(&other, "CREATE TEMP TABLE t(a)");
    run(&holder, "COMMIT");
    run(&other, "INSERT INTO foo VALUES (3, 3, 3)");
    let versions = "SELECT db_version FROM crsql_changes WHERE cid = 'b'";
    assert_eq!(rows(&holder, versions), ["1", "2", "3"]);
}

#[test]
fn strict_tables_without_rowid_and_with_generated_columns_replicate() {
    let create = "CREATE TABLE g(x TEXT NOT NULL, y INTEGER NOT NULL, n INT, r REAL, z ANY,
        twice INT AS (n * 2) STORED, thrice INT AS (n * 3) VIRTUAL, PRIMARY KEY (y, x)) STRICT, WITHOUT ROWID";
    let (host, peer) = (tracked(create, "g"), tracked(create, "g"));
    run(&host, "INSERT INTO g VALUES ('a', 1, 5, 1, 'any'), ('b', 2, NULL, NULL, x'00')");
    run(&host, "UPDATE g SET n = 6 WHERE x = 'a'; UPDATE g SET y = 3 WHERE x = 'b'");
    assert_eq!(rows(&host, "SELECT DISTINCT cid FROM crsql_changes ORDER BY cid"), ["-1", "n", "r", "z"]);
    pull(&host, &peer);
    assert_eq!(rows(&peer, "SELECT * FROM g"), ["a|1|6|1.0|any|12|18", "b|3|NULL|NULL|00|NULL|NULL"]);
    let wrong = "INSERT INTO crsql_changes VALUES ('g', x'0209010b0161', 'n', 'text', 9, 9, x'aa', 1, 0)";
    let message = failure(&peer, wrong);
    assert!(
        message.contains("failed to merge column n of table g: cannot store TEXT value in INT column g.n"),
        "{message}"
    );
    assert_eq!(number(&peer, "SELECT crsql_internal_sync_bit()"), 0);
}

fn columns(count: usize) -> String {
    (1..count).map(|i| format!(", c{i}")).collect()
}

#[test]
fn as_many_columns_as_fit_are_tracked_and_more_are_refused_in_words() {
    let host = memory();
    run(&host, &format!("CREATE TABLE widest(a PRIMARY KEY NOT NULL{}, g AS (c1 + 1))", columns(63)));
    track(&host, "widest");
    run(&host, "INSERT INTO widest(a, c1, c62) VALUES (1, 1, 62); UPDATE widest SET c62 = 63, a = 2");
    assert_eq!(rows(&host, "SELECT val FROM crsql_changes WHERE cid = 'c62'"), ["63"]);
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 64, "62 cells and two sentinels");
    for count in [64, 1000, 2000] {
        run(&host, &format!("CREATE TABLE wide{count}(a PRIMARY KEY NOT NULL{})", columns(count)));
        let message = failure(&host, &format!("SELECT crsql_as_crr('wide{count}')"));
        assert!(
            message.contains(&format!("Table wide{count} has {count} columns; at most 63 can be tracked")),
            "{message}"
        );
    }
    assert_eq!(
        rows(&host, "SELECT name FROM sqlite_master WHERE name LIKE 'wide%crsql%' AND name NOT LIKE 'widest%'"),
        [] as [&str; 0]
    );
}

#[test]
fn limits_that_a_host_has_lowered_are_met_in_words_and_leave_nothing() {
    let host = foo();
    run(&host, &format!("INSERT INTO foo VALUES (1, 1, 1); CREATE TABLE ten(a PRIMARY KEY NOT NULL{})", columns(10)));
    host.set_limit(Limit::SQLITE_LIMIT_FUNCTION_ARG, 20).unwrap();
    let message = failure(&host, "SELECT crsql_as_crr('ten')");
    assert!(message.contains("20") && message.contains("arguments"), "{message}");
    run(&host, "UPDATE foo SET b = 2");
    host.set_limit(Limit::SQLITE_LIMIT_FUNCTION_ARG, 21).unwrap();
    track(&host, "ten");
    run(&host, "INSERT INTO ten(a) VALUES (1)");

    // Too few variables or too short a text for a statement of the engine's own: refused by SQLite, and nothing is left.
    for (limit, value, expected) in
        [(Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 1, "variable number"), (Limit::SQLITE_LIMIT_SQL_LENGTH, 60, "too long")]
    {
        let host = foo();
        let normal = host.set_limit(limit, value).unwrap();
        for sql in ["INSERT INTO foo VALUES (2, 2, 2)", RECORD] {
            let message = failure(&host, sql);
            assert!(message.contains(expected), "{message}");
        }
        host.set_limit(limit, normal).unwrap();
        assert_eq!(number(&host, "SELECT crsql_internal_sync_bit()"), 0);
        for table in ["foo", "foo__crsql_clock", "foo__crsql_pks"] {
            assert_eq!(rows(&host, &format!("SELECT * FROM {table}")), [] as [&str; 0]);
        }
        run(&host, "INSERT INTO foo VALUES (2, 2, 2)");
        assert_eq!(clock(&host, "foo"), ["1|b|1|1|0|0", "1|c|1|1|0|1"]);
    }
    // Fewer columns than the engine's own tables have.
    let host = foo();
    run(&host, "CREATE TABLE small(a PRIMARY KEY NOT NULL, b)");
    let normal = host.set_limit(Limit::SQLITE_LIMIT_COLUMN, 5).unwrap();
    for sql in ["SELECT crsql_as_crr('small')", "INSERT INTO foo VALUES (1, 1, 1)", RECORD] {
        let message = failure(&host, sql);
        assert!(message.contains("too many columns"), "{sql}: {message}");
    }
    host.set_limit(Limit::SQLITE_LIMIT_COLUMN, normal).unwrap();
    assert_eq!(number(&host, "SELECT count(*) FROM sqlite_master WHERE name LIKE 'small\\_%' ESCAPE '\\'"), 0);
    assert_eq!(number(&host, "SELECT count(*) FROM foo"), 0);
    run(&host, "INSERT INTO foo VALUES (1, 1, 1)");
    run(&host, RECORD);
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 3);

    let host = foo();
    host.set_limit(Limit::SQLITE_LIMIT_LENGTH, 1000).unwrap();
    assert!(failure(&host, "INSERT INTO foo VALUES (1, zeroblob(2000), 1)").contains("too big"));
    assert_eq!(clock(&host, "foo"), [] as [&str; 0]);
}

#[test]
fn text_in_utf_16_is_told_and_compared_by_its_utf_8_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let create = "CREATE TABLE foo(a TEXT PRIMARY KEY NOT NULL, b, c)";
    let open = |encoding: &str| {
        let path = folder.path().join(encoding);
        run(&Connection::open(&path).unwrap(), &format!("PRAGMA encoding = '{encoding}'; {create}"));
        let host = file(&path);
        track(&host, "foo");
        host
    };
    // In UTF-16 the first unit of the second is lower (d83d < ffee); in UTF-8 it is the greater (f0 > ef).
    let (low, high) = ("\u{ffee}", "\u{1f600}");
    let sent = |value: &str, site: &str| {
        format!("INSERT INTO crsql_changes VALUES ('foo', x'010b026162', 'b', '{value}', 1, 1, x'{site}', 1, 0)")
    };
    for encoding in ["UTF-8", "UTF-16le", "UTF-16be"] {
        for order in [[low, high], [high, low]] {
            let host = open(encoding);
            for (value, site) in order.iter().zip(["aa", "bb"]) {
                run(&host, &sent(value, site));
            }
            assert_eq!(rows(&host, "SELECT a, b FROM foo"), [format!("ab|{high}")], "{encoding} {order:?}");
            assert_eq!(rows(&host, "SELECT hex(pk), cid, length(val) FROM crsql_changes"), ["010B026162|b|1"]);
            run(&host, "INSERT INTO foo VALUES ('é' || char(0) || 'ü', 'a' || char(0), NULL)");
            let key =
                "SELECT hex(pk), hex(CAST(val AS BLOB)) FROM crsql_changes WHERE cid = 'b' AND pk <> x'010b026162'";
            let (bytes, value) = ("010B05C3A900C3BC", if encoding == "UTF-8" { "6100" } else { "" });
            let shown = one(&host, key);
            assert!(shown.starts_with(bytes) && shown.ends_with(value), "{encoding}: {shown}");
            std::fs::remove_file(folder.path().join(encoding)).unwrap();
        }
    }
}

#[test]
fn names_as_long_as_they_may_be_and_longer() {
    let (table, column) = ("t".repeat(2048), "c".repeat(2048));
    let create = format!("CREATE TABLE {table}(a PRIMARY KEY NOT NULL, {column})");
    let (host, peer) = (tracked(&create, &table), tracked(&create, &table));
    run(&host, &format!("INSERT INTO {table} VALUES (1, 'x'); UPDATE {table} SET {column} = 'y'"));
    pull(&host, &peer);
    assert_eq!(rows(&peer, &format!("SELECT * FROM {table}")), ["1|y"]);
    // What no peer would take is not tracked in the first place.
    for (table, column, what) in [("t".repeat(2049), "c".into(), "name"), ("t".into(), "c".repeat(2049), "column")] {
        let host = memory();
        run(&host, &format!("CREATE TABLE {table}(a PRIMARY KEY NOT NULL, {column})"));
        let message = failure(&host, &format!("SELECT crsql_as_crr('{table}')"));
        assert!(message.contains("2048 bytes") && message.contains(what), "{message}");
    }
}

#[test]
fn savepoints_around_everything_take_back_what_is_theirs() {
    let host = foo();
    run(&host, "INSERT INTO foo VALUES (1, 1, 1)");
    let state = |host: &Connection| {
        let tables = rows(host, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name");
        (clock(host, "foo"), rows(host, "SELECT * FROM foo"), tables)
    };
    let before = state(&host);
    for work in [
        "INSERT INTO foo VALUES (2, 2, 2)",
        "UPDATE foo SET a = 7",
        "DELETE FROM foo",
        RECORD,
        "CREATE TABLE bar(a PRIMARY KEY NOT NULL); SELECT crsql_as_crr('bar'); INSERT INTO bar VALUES (1)",
        "SELECT crsql_begin_alter('foo'); ALTER TABLE foo ADD COLUMN d; SELECT crsql_commit_alter('foo'); UPDATE foo SET d = 1",
        "SELECT crsql_begin_alter('foo'); ALTER TABLE foo ADD COLUMN d",
        "SELECT crsql_as_table('foo'); INSERT INTO foo VALUES (3, 3, 3)",
    ] {
        for (begin, undo) in [
            ("BEGIN", "ROLLBACK"),
            ("SAVEPOINT s", "ROLLBACK TO s; RELEASE s"),
            ("BEGIN; SAVEPOINT s", "ROLLBACK TO s; COMMIT"),
            ("SAVEPOINT s; SAVEPOINT t", "RELEASE t; ROLLBACK TO s; RELEASE s"),
        ] {
            run(&host, &format!("{begin}; {work}; {undo}"));
            assert!(host.is_autocommit());
            assert_eq!(state(&host), before, "{begin}; {work}; {undo}");
            assert_eq!(number(&host, "SELECT crsql_db_version()"), 1, "{begin}; {work}; {undo}");
        }
    }
    run(&host, "INSERT INTO foo VALUES (2, 2, 2)");
    assert_eq!(clock(&host, "foo")[2..], ["2|b|1|2|0|0", "2|c|1|2|0|1"]);
}
