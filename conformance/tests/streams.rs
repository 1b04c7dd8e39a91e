//! The five lines of sync, between the shell and python3, on the built-in engine and beside the original.
//! Every statement is a process of its own, so files are closed and reopened between all steps.

use rejoin_conformance::{Engine, Host, Peer, Settings, Stream, carry, until_level};
use std::path::Path;

#[test]
fn shell_and_python_sync_both_ways_on_the_built_in_engine() {
    let Some(settings) = Settings::find(&[Engine::BuiltIn]) else { return };
    for options in FORMS {
        sync_both_ways(&settings, Engine::BuiltIn, options);
    }
}

#[test]
fn shell_and_python_sync_both_ways_beside_the_original() {
    let Some(settings) = Settings::find(&[Engine::Beside]) else { return };
    for options in FORMS {
        sync_both_ways(&settings, Engine::Beside, options);
    }
}

#[test]
fn the_four_functions_do_the_same_as_the_tables() {
    for engine in [Engine::BuiltIn, Engine::Beside] {
        let Some(settings) = Settings::find(&[engine]) else { continue };
        functions(&settings, engine);
    }
}

#[test]
fn a_third_database_gets_what_the_first_wrote_through_the_second() {
    for engine in [Engine::BuiltIn, Engine::Beside] {
        let Some(settings) = Settings::find(&[engine]) else { continue };
        through_the_middle(&settings, engine);
    }
}

#[test]
fn conflicting_edits_end_the_same_on_both_sides() {
    for engine in [Engine::BuiltIn, Engine::Beside] {
        let Some(settings) = Settings::find(&[engine]) else { continue };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (a, b) = pair(&settings, folder.path(), engine, "");
        a.run("INSERT INTO note VALUES (1, 'title', 'body', 1.0), (2, 'second', NULL, 2.0)", &[]);
        until_level(&a, &b);
        a.run("UPDATE note SET title = 'from a', body = 'also from a' WHERE id = 1", &[]);
        b.run("UPDATE note SET title = 'from b' WHERE id = 1", &[]);
        a.run("DELETE FROM note WHERE id = 2", &[]);
        b.run("UPDATE note SET title = 'kept?' WHERE id = 2", &[]);
        until_level(&a, &b);
        assert_eq!(a.content("note"), b.content("note"), "{engine:?}");
        assert_eq!(a.run("SELECT body FROM note WHERE id = 1", &[]), [["also from a".into()]]);
        assert_eq!(a.run("SELECT * FROM note WHERE id = 2", &[]), Vec::<Vec<_>>::new(), "a delete wins");
    }
}

#[test]
fn a_stream_lists_itself_and_its_lag() {
    for engine in [Engine::BuiltIn, Engine::Beside] {
        let Some(settings) = Settings::find(&[engine]) else { continue };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (a, b) = pair(&settings, folder.path(), engine, "");
        let listed = "SELECT name, direction, remote, behind FROM crsql_streams ORDER BY name";
        a.run("INSERT INTO note VALUES (1, 'title', 'body', 1.0)", &[]);
        let id = b.site_id();
        let rows = a.run(listed, &[]);
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert_eq!(rows[0][..3], ["in_from_b".into(), "inbound".into(), id.clone()]);
        assert_eq!(rows[1][..3], ["out_to_b".into(), "outbound".into(), id]);
        assert!(rows[1][3].integer() > 0, "{rows:?}");
        carry(&a, &b);
        assert_eq!(a.run(listed, &[])[1][3].integer(), 0);
        a.run("DROP TABLE out_to_b", &[]);
        assert_eq!(a.run(listed, &[]).len(), 1);
    }
}

/// Options of the outbound streams: each form of package, in one piece and one change at a time.
const FORMS: [&str; 4] =
    ["", ", package_changes_max = 1", ", format = json", ", format = json, package_changes_max = 1"];

const SCHEMA: [&str; 4] = [
    "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, title TEXT, body, stars REAL)",
    "CREATE TABLE tag (note INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (note, name))",
    "SELECT crsql_as_crr('note')",
    "SELECT crsql_as_crr('tag')",
];

/// Two databases with the same tables and streams for each other: a in the shell, b in python3.
fn pair(settings: &Settings, folder: &Path, engine: Engine, outbound: &str) -> (Peer, Peer) {
    let a = Peer::new(settings, folder, "a", Host::Shell, engine);
    let b = Peer::new(settings, folder, "b", Host::Python, engine);
    for peer in [&a, &b] {
        peer.run_all(&SCHEMA);
    }
    let options = Stream { outbound, inbound: "" };
    a.make_streams(&b, options);
    b.make_streams(&a, options);
    (a, b)
}

fn sync_both_ways(settings: &Settings, engine: Engine, outbound: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (a, b) = pair(settings, folder.path(), engine, outbound);
    // Every storage class and the values that formats get wrong.
    a.run_all(&[
        "INSERT INTO note VALUES (1, 'it''s; \"quoted\"\nand on two lines', x'00ff00', -1.5)",
        "INSERT INTO note VALUES (-9223372036854775808, '', x'', 9e999), (9223372036854775807, NULL, NULL, -9e999)",
        "INSERT INTO note VALUES (9007199254740993, 'Grüße, 世界 🎵', 9007199254740993, 4.9e-324)",
        "BEGIN",
        "INSERT INTO tag VALUES (1, 'one'), (1, 'two')",
        "UPDATE note SET stars = 0.1 WHERE id = 1",
        "COMMIT",
    ]);
    b.run("INSERT INTO note VALUES (100, 'from b', 1e300, 5.0)", &[]);

    let packages = a.packages(&b);
    if outbound.contains("changes_max") {
        assert!(packages.len() > 10, "one change a package: {}", packages.len());
    } else {
        assert_eq!(packages.len(), 1);
    }
    let is_text = |value: &rejoin_conformance::Value| matches!(value, rejoin_conformance::Value::Text(_));
    assert_eq!(is_text(&packages[0]), outbound.contains("json"));
    for package in &packages {
        b.apply(&a, package);
        assert!(b.applied(&a) > 0);
        a.acknowledge(&b, &b.receipt(&a));
    }
    assert!(a.packages(&b).is_empty(), "all of it was acknowledged");
    assert!(carry(&b, &a) > 0);
    for table in ["note", "tag"] {
        assert_eq!(a.content(table), b.content(table), "{engine:?} {outbound}");
    }
    assert_eq!(a.content("note").len(), 5);

    a.run_all(&["DELETE FROM tag WHERE name = 'one'", "UPDATE note SET body = 'new' WHERE id = 100"]);
    b.run_all(&["UPDATE note SET title = NULL WHERE id = 1", "INSERT INTO tag VALUES (100, 'b')"]);
    until_level(&a, &b);
    for table in ["note", "tag"] {
        assert_eq!(a.content(table), b.content(table), "{engine:?} {outbound}");
    }
    assert_eq!(a.content("tag").len(), 2);
    assert_eq!(b.run("SELECT title, body FROM note WHERE id = 100", &[]), [["from b".into(), "new".into()]]);
}

fn functions(settings: &Settings, engine: Engine) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (a, b) = pair(settings, folder.path(), engine, ", package_changes_max = 2");
    a.run("INSERT INTO note VALUES (1, 'one', NULL, 1.0), (2, 'two', NULL, 2.0)", &[]);
    assert_eq!(a.one("SELECT crsql_pending('out_to_b')", &[]).integer(), 1);
    let next = a.run_all(&["SELECT crsql_next('out_to_b')", "SELECT crsql_next('out_to_b')"]);
    assert_ne!(next[0], next[1], "crsql_next goes on in one connection");
    let mut rounds = 0;
    loop {
        let package = a.one("SELECT crsql_next('out_to_b')", &[]);
        if package.is_null() {
            break;
        }
        let receipt = b.one("SELECT crsql_apply('in_from_a', ?1)", &[package]);
        let acknowledged = |times| {
            let answer = a.one("SELECT crsql_ack('out_to_b', ?1)", std::slice::from_ref(&receipt));
            assert_eq!(answer.integer(), times);
        };
        acknowledged(1);
        acknowledged(0);
        rounds += 1;
        assert!(rounds < 20, "this does not end");
    }
    assert!(rounds >= 3, "six changes, two at a time");
    assert_eq!(a.one("SELECT crsql_pending('out_to_b')", &[]).integer(), 0);
    assert_eq!(a.content("note"), b.content("note"));
}

fn through_the_middle(settings: &Settings, engine: Engine) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (a, b) = pair(settings, folder.path(), engine, "");
    let c = Peer::new(settings, folder.path(), "c", Host::Shell, engine);
    c.run_all(&SCHEMA);
    b.make_streams(&c, Stream::default());
    c.make_streams(&b, Stream::default());
    a.run("INSERT INTO note VALUES (1, 'from a', NULL, NULL)", &[]);
    c.run("INSERT INTO note VALUES (2, 'from c', NULL, NULL)", &[]);
    until_level(&a, &b);
    until_level(&b, &c);
    until_level(&a, &b);
    for peer in [&b, &c] {
        assert_eq!(peer.content("note"), a.content("note"), "{engine:?}");
    }
    let authors = c.run("SELECT DISTINCT site_id FROM crsql_changes ORDER BY db_version", &[]);
    assert!(authors.contains(&vec![a.site_id()]), "a change keeps its author: {authors:?}");
}
