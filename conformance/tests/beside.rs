//! What the streams cannot promise beside the original cr-sqlite as they do on the built-in engine, and what holds all the
//! same. The sender has the built-in engine; the receiver is tried with both.

use rejoin_conformance::{Engine, Host, Peer, Settings, Statement, Stream, carry, until_level};
use std::path::Path;

/// The original merges cell by cell, so that a CHECK over two columns would see states that nobody has written. Nothing is
/// judged there, and nothing counted.
#[test]
fn a_check_is_off_while_changes_are_merged_and_holds_again_afterwards() {
    let check = "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, low INTEGER, high INTEGER, CHECK (low < high))";
    on_each_engine(&["low INTEGER", "high INTEGER"], check, |engine, a, b| {
        a.run("INSERT INTO note VALUES (1, 1, 2)", &[]);
        carry(a, b);
        a.run("UPDATE note SET low = 10, high = 20", &[]);
        carry(a, b);
        assert_eq!(b.content("note"), a.content("note"), "{engine:?}: valid as a whole");
        a.run("UPDATE note SET low = 30", &[]);
        let answer = b.try_apply(a, &a.packages(b)[0]);
        assert_eq!(answer.is_ok(), engine == Engine::Beside, "{engine:?}: {answer:?}");
        if engine == Engine::Beside {
            assert_eq!(b.content("note"), a.content("note"));
        }
        assert_eq!(b.one("SELECT violations FROM in_from_a", &[]).integer(), 0, "{engine:?}");
        let error = b.error("INSERT INTO note VALUES (2, 2, 1)", &[]);
        assert!(error.contains("CHECK"), "{engine:?}: {error}");
    });
}

#[test]
fn a_trigger_of_the_application_runs_for_each_cell() {
    let table = "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, one, two, three)";
    on_each_engine(&["one", "two", "three"], table, |engine, a, b| {
        b.run("CREATE TABLE log (id INTEGER PRIMARY KEY, note)", &[]);
        for event in ["INSERT", "UPDATE"] {
            b.run(
                &format!(
                    "CREATE TRIGGER on_{event} AFTER {event} ON note BEGIN INSERT INTO log(note) VALUES (NEW.id); END"
                ),
                &[],
            );
        }
        a.run("INSERT INTO note VALUES (1, 1, 1, 1)", &[]);
        carry(a, b);
        let times = b.one("SELECT count(*) FROM log", &[]).integer();
        assert_eq!(times, if engine == Engine::Beside { 3 } else { 1 }, "{engine:?}");
    });
}

/// The built-in engine says when its schema has grown. The original does not, so the streams look when they are used.
#[test]
fn parked_changes_are_merged_at_the_next_use_of_a_stream() {
    let table = "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, one)";
    on_each_engine(&["one", "two"], table, |engine, a, b| {
        a.run("INSERT INTO note VALUES (1, 1, 2)", &[]);
        carry(a, b);
        let parked = || b.one("SELECT parked FROM in_from_a", &[]).integer();
        assert_eq!(parked(), 1, "{engine:?}");
        b.run_all(&[
            "SELECT crsql_begin_alter('note')",
            "ALTER TABLE note ADD COLUMN two",
            "SELECT crsql_commit_alter('note')",
        ]);
        assert_eq!(parked(), i64::from(engine == Engine::Beside), "{engine:?}");
        b.run("SELECT crsql_next('out_to_a')", &[]);
        assert_eq!(parked(), 0, "{engine:?}");
        assert_eq!(b.content("note"), a.content("note"), "{engine:?}");
        until_level(a, b);
        assert_eq!(b.content("note"), a.content("note"), "{engine:?}");
    });
}

/// The original leaves its sync bit set when a merge fails, and then records nothing that the connection writes. The streams
/// put it back.
#[test]
fn after_a_refused_package_local_writes_are_recorded() {
    let table = "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, one INTEGER) STRICT";
    on_each_engine(&["one"], table, |engine, a, b| {
        a.run("INSERT INTO note VALUES (1, 'no number')", &[]);
        let package = a.packages(b).remove(0);
        let answers = b.run_each(&[
            Statement::new("SELECT crsql_apply('in_from_a', ?1)", &[package]),
            Statement::new("INSERT INTO note VALUES (2, 2)", &[]),
            Statement::new("SELECT count(*) FROM crsql_changes", &[]),
        ]);
        let error = answers[0].as_ref().expect_err("a text is no integer");
        assert!(error.contains("table note, key (1)"), "{engine:?}: {error}");
        assert_eq!(answers[2], Ok(vec![vec![1.into()]]), "{engine:?}");
    });
}

/// The original keeps version and author of the cells that a changed key moves. With the row that begins go all of its cells.
#[test]
fn a_row_whose_key_was_changed_arrives_with_its_cells() {
    for engine in [Engine::BuiltIn, Engine::Beside] {
        let Some(settings) = Settings::find(&[engine]) else { continue };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let table = "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, one, two)";
        let (a, b) =
            (peer(&settings, folder.path(), "a", engine, table), peer(&settings, folder.path(), "b", engine, table));
        a.make_streams(&b, Stream::default());
        b.make_streams(&a, Stream::default());
        // One row of each side's, so that the cells are once the receiver's own.
        a.run("INSERT INTO note VALUES (1, 'one', 'a')", &[]);
        b.run("INSERT INTO note VALUES (2, 'two', 'b')", &[]);
        until_level(&a, &b);
        a.run("UPDATE note SET id = id + 10", &[]);
        until_level(&a, &b);
        assert_eq!(b.content("note"), a.content("note"), "{engine:?}");
        let whole = "SELECT count(*) FROM note WHERE id > 10 AND one IS NOT NULL AND two IS NOT NULL";
        assert_eq!(b.one(whole, &[]).integer(), 2, "{engine:?}");
    }
}

fn on_each_engine(columns: &[&str], receiver: &str, test: impl FnMut(Engine, &Peer, &Peer)) {
    with_options(columns, receiver, Stream::default(), test);
}

/// A sender whose table has these columns, and a receiver with this table.
fn with_options(columns: &[&str], receiver: &str, options: Stream<'_>, mut test: impl FnMut(Engine, &Peer, &Peer)) {
    for engine in [Engine::BuiltIn, Engine::Beside] {
        let Some(settings) = Settings::find(&[engine]) else { continue };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let sender = format!("CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, {})", columns.join(", "));
        let a = peer(&settings, folder.path(), "a", Engine::BuiltIn, &sender);
        let b = peer(&settings, folder.path(), "b", engine, receiver);
        a.make_streams(&b, options);
        b.make_streams(&a, options);
        test(engine, &a, &b);
    }
}

fn peer(settings: &Settings, folder: &Path, name: &str, engine: Engine, table: &str) -> Peer {
    let peer = Peer::new(settings, folder, name, Host::Python, engine);
    peer.run_all(&[table, "SELECT crsql_as_crr('note')"]);
    peer
}
