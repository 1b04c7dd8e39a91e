//! A full disk, or an interruption, at every place of every kind of work: nothing is half done, no flag stays behind, and the
//! same work succeeds afterwards and ends as it does undisturbed.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use rusqlite::Connection;
use support::*;

/// Kinds of work, each of which fills pages. Statements are separated by semicolons; where one fails, the rest is not tried
/// and a transaction that is open is rolled back, as programs do.
fn kinds_of_work() -> Vec<(&'static str, String)> {
    let numbers = "WITH n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 160)";
    let record = |key: u8, cid: &str, val: &str, site: u8| {
        format!("('foo', x'0109{key:02x}', '{cid}', {val}, 3, 7, x'{site:02x}', 3, {key})")
    };
    let records: Vec<String> =
        (1..60).flat_map(|key| [record(key, "b", "zeroblob(300)", key), record(key, "c", "2", 200)]).collect();
    vec![
        ("an insert", format!("{numbers} INSERT INTO foo SELECT i, i || 'text', zeroblob(200) FROM n")),
        ("an update", "UPDATE foo SET b = zeroblob(400), c = 5".into()),
        ("a change of keys", "UPDATE foo SET a = a + 1000".into()),
        ("a delete", "DELETE FROM foo WHERE a > 3".into()),
        ("a transaction", format!("BEGIN; UPDATE foo SET b = 'x'; {numbers} INSERT INTO foo SELECT i, i, i FROM n; DELETE FROM foo WHERE a < 9; COMMIT")),
        ("a merge", format!("INSERT INTO crsql_changes VALUES {}", records.join(", "))),
        ("a merge in a transaction", format!("BEGIN; UPDATE foo SET c = 1 WHERE a = 1; INSERT INTO crsql_changes VALUES {}; COMMIT", records.join(", "))),
        ("tracking a table", "SELECT crsql_as_crr('plain')".into()),
        ("an alteration", "SELECT crsql_begin_alter('foo'); ALTER TABLE foo ADD COLUMN d DEFAULT 'd'; UPDATE foo SET d = zeroblob(300); DELETE FROM foo WHERE a % 3 = 0; SELECT crsql_commit_alter('foo')".into()),
        ("giving a table up", "SELECT crsql_as_table('foo')".into()),
    ]
}

/// A file of small pages with some rows, and the folder that it lies in.
fn prepared() -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    run(&Connection::open(&path).unwrap(), "PRAGMA page_size = 512; CREATE TABLE plain(a PRIMARY KEY NOT NULL, b)");
    let host = file(&path);
    run(
        &host,
        "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; UPDATE crsql_site_id SET site_id = zeroblob(16)",
    );
    run(
        &host,
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40) INSERT INTO plain SELECT i, zeroblob(50) FROM n",
    );
    run(&host, "CREATE TABLE foo(a INTEGER PRIMARY KEY NOT NULL, b, c)");
    track(&host, "foo");
    run(&host, "INSERT INTO foo SELECT a, b, 0 FROM plain");
    (folder, host)
}

/// Everything that is stored, and what the connection says of itself.
fn state(host: &Connection) -> Vec<String> {
    let mut state = rows(host, "SELECT type, name, sql FROM sqlite_master ORDER BY name");
    for table in
        rows(host, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")
    {
        state.push(table.clone());
        state.extend(rows(host, &format!("SELECT * FROM \"{table}\" ORDER BY 1, 2")));
    }
    state.extend(rows(
        host,
        "SELECT crsql_db_version(), crsql_internal_sync_bit(), crsql_rows_impacted(), crsql_get_seq()",
    ));
    state.extend(rows(host, "PRAGMA integrity_check"));
    state
}

/// Runs the work; what it leaves open when it fails is rolled back.
fn attempt(host: &Connection, work: &str) -> Result<(), String> {
    let result = host.execute_batch(work).map_err(|error| error.to_string());
    if result.is_err() && !host.is_autocommit() {
        run(host, "ROLLBACK");
    }
    result
}

/// Tries the work with less and less disturbance until it succeeds. Returns how often it failed.
fn until_it_succeeds(
    name: &str,
    work: &str,
    words: &str,
    disturb: impl Fn(&mut Connection, i64),
    calm: impl Fn(&mut Connection),
) -> usize {
    let (_folder, undisturbed) = prepared();
    attempt(&undisturbed, work).unwrap();
    let expected = state(&undisturbed);
    let (mut failures, mut n) = (0, 0);
    loop {
        let (_folder, mut host) = prepared();
        let before = state(&host);
        disturb(&mut host, n);
        let result = attempt(&host, work);
        calm(&mut host);
        let Err(message) = result else {
            assert!(state(&host) == expected, "{name}, undisturbed at {n}");
            return failures;
        };
        assert!(message.contains(words), "{name}, {n}: {message}");
        assert_eq!(state(&host), before, "{name}, {n}: something is left of it");
        attempt(&host, work).unwrap_or_else(|error| panic!("{name}, {n}: not possible afterwards: {error}"));
        assert!(state(&host) == expected, "{name}, {n}: another result afterwards");
        failures += 1;
        n += 1 + n / 2;
    }
}

#[test]
fn a_full_disk_leaves_nothing_half_done() {
    for (name, work) in kinds_of_work() {
        let limit = |host: &mut Connection, pages: i64| {
            rows(host, &format!("PRAGMA max_page_count = {pages}"));
        };
        let disturb = |host: &mut Connection, n: i64| {
            let pages = number(host, "PRAGMA page_count");
            limit(host, pages + n);
        };
        let failures = until_it_succeeds(name, &work, "database or disk is full", disturb, |host| {
            limit(host, i64::from(i32::MAX))
        });
        let frees = ["a delete", "giving a table up"].contains(&name);
        assert!(frees || failures > 3, "{name} failed {failures} times only");
    }
}

#[test]
fn an_interruption_leaves_nothing_half_done() {
    for (name, work) in kinds_of_work() {
        let disturb = |host: &mut Connection, n: i64| {
            let mut left = n;
            let handler = move || {
                left -= 1;
                left < 0
            };
            host.progress_handler(20, Some(handler)).unwrap();
        };
        let calm = |host: &mut Connection| host.progress_handler(0, None::<fn() -> bool>).unwrap();
        let failures = until_it_succeeds(name, &work, "interrupted", disturb, calm);
        assert!(failures > 4, "{name} was interrupted {failures} times only");
    }
}
