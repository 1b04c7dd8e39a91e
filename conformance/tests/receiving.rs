//! What an inbound stream makes of packages, on the built-in engine and beside the original: whole transactions, packages
//! in any order, changes that wait for the schema, tables that are left out, CHECK constraints, other sync layers' memory.
//! Every statement is a process of its own, so what is not in the file is lost between all steps.

use rejoin_conformance::{Engine, Host, Peer, Settings, Stream, Value, carry};
use std::path::Path;

/// Runs the body on each engine that is here.
fn on_both(body: impl Fn(&Settings, Engine)) {
    for engine in [Engine::BuiltIn, Engine::Beside] {
        let Some(settings) = Settings::find(&[engine]) else { continue };
        println!("{engine:?}");
        body(&settings, engine);
    }
}

const SCHEMA: [&str; 4] = [
    "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, title, body)",
    "CREATE TABLE tag (name TEXT PRIMARY KEY NOT NULL, color)",
    "SELECT crsql_as_crr('note')",
    "SELECT crsql_as_crr('tag')",
];

/// Two databases with the same tables, and streams for each other: a in the shell, b in python3.
fn pair(settings: &Settings, folder: &Path, engine: Engine, schema: &[&str], options: Stream<'_>) -> (Peer, Peer) {
    let a = Peer::new(settings, folder, "a", Host::Shell, engine);
    let b = Peer::new(settings, folder, "b", Host::Python, engine);
    a.run_all(&SCHEMA);
    b.run_all(schema);
    a.make_streams(&b, options);
    b.make_streams(&a, options);
    (a, b)
}

fn number(peer: &Peer, sql: &str) -> i64 {
    peer.one(sql, &[]).integer()
}

#[test]
fn a_transaction_in_many_packages_becomes_visible_at_once() {
    on_both(|settings, engine| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Stream { outbound: ", package_changes_max = 1", inbound: "" };
        let (a, b) = pair(settings, folder.path(), engine, &SCHEMA, options);
        a.run("INSERT INTO note VALUES (1, 'one', 'x'), (2, 'two', 'y'), (3, 'three', 'z')", &[]);
        let packages = a.packages(&b);
        assert!(packages.len() >= 6, "{} packages", packages.len());
        for (index, package) in packages.iter().enumerate() {
            assert_eq!(number(&b, "SELECT count(*) FROM note"), 0, "before package {index}");
            b.apply(&a, package);
            let staged = number(&b, "SELECT staged_bytes FROM crsql_streams WHERE direction = 'inbound'");
            assert_eq!(staged > 0, index + 1 < packages.len(), "behind package {index}");
        }
        assert_eq!(a.content("note"), b.content("note"));
        a.acknowledge(&b, &b.receipt(&a));
        assert_eq!(number(&a, "SELECT crsql_pending('out_to_b')"), 0);
    });
}

#[test]
fn packages_in_any_order_and_twice_end_alike() {
    on_both(|settings, engine| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Stream { outbound: ", package_changes_max = 1", inbound: ", order = any" };
        let (a, b) = pair(settings, folder.path(), engine, &SCHEMA, options);
        a.run("INSERT INTO note VALUES (1, 'one', 'x'), (2, 'two', 'y')", &[]);
        a.run("UPDATE note SET title = 'three' WHERE id = 2", &[]);
        a.run("DELETE FROM note WHERE id = 1", &[]);
        a.run("INSERT INTO tag VALUES ('red', 7)", &[]);
        let mut packages = a.packages(&b);
        packages.rotate_left(2);
        packages.reverse();
        for package in &packages {
            b.apply(&a, package);
            b.apply(&a, package);
        }
        assert_eq!(b.one("SELECT needs FROM in_from_a", &[]), "[]".into());
        for table in ["note", "tag"] {
            assert_eq!(a.content(table), b.content(table));
        }
    });
}

#[test]
fn what_this_schema_lacks_waits_and_is_merged_when_it_has_caught_up() {
    on_both(|settings, engine| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let schema = ["CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, title)", "SELECT crsql_as_crr('note')"];
        let (a, b) = pair(settings, folder.path(), engine, &schema, Stream::default());
        a.run("INSERT INTO note VALUES (1, 'one', 'x')", &[]);
        a.run("INSERT INTO tag VALUES ('red', 7)", &[]);
        carry(&a, &b);
        assert_eq!(
            b.run("SELECT * FROM note", &[]),
            [["1".parse::<i64>().map(Value::Integer).expect("1"), "one".into()]]
        );
        assert_eq!(number(&b, "SELECT parked FROM in_from_a"), 2);
        assert_eq!(number(&a, "SELECT crsql_pending('out_to_b')"), 0, "they are acknowledged, since they are kept");
        b.run_all(&[
            "SELECT crsql_begin_alter('note')",
            "ALTER TABLE note ADD COLUMN body",
            "SELECT crsql_commit_alter('note')",
            "CREATE TABLE tag (name TEXT PRIMARY KEY NOT NULL, color)",
            "SELECT crsql_as_crr('tag')",
        ]);
        // The original does not say that its schema has changed, so there they wait for the next use of any stream.
        b.run("SELECT count(package) FROM out_to_a", &[]);
        for table in ["note", "tag"] {
            assert_eq!(a.content(table), b.content(table));
        }
        assert_eq!(number(&b, "SELECT parked FROM in_from_a"), 0);
    });
}

#[test]
fn a_table_that_is_not_taken_is_counted_and_comes_with_a_wider_filter() {
    on_both(|settings, engine| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Stream { outbound: "", inbound: ", tables = [note]" };
        let (a, b) = pair(settings, folder.path(), engine, &SCHEMA, options);
        a.run("INSERT INTO note VALUES (1, 'one', 'x')", &[]);
        a.run("INSERT INTO tag VALUES ('red', 7)", &[]);
        carry(&a, &b);
        assert_eq!(number(&b, "SELECT count(*) FROM tag"), 0);
        assert_eq!(number(&b, "SELECT dropped FROM in_from_a"), 1);
        let Value::Blob(id) = a.site_id() else { panic!("a site id is a blob") };
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        b.run("DROP TABLE in_from_a", &[]);
        b.run(&format!("CREATE VIRTUAL TABLE in_from_a USING crsql_inbound_stream(remote = x'{id}')"), &[]);
        a.acknowledge(&b, &b.receipt(&a));
        carry(&a, &b);
        assert_eq!(a.content("tag"), b.content("tag"));
    });
}

/// Real data of a table with CHECK (b < c): from (1, 2) to (10, 20), one cell at a time, passes through (10, 2).
#[test]
fn a_check_over_two_columns_does_not_refuse_what_was_valid_on_both_ends() {
    on_both(|settings, engine| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let schema =
            ["CREATE TABLE span (id INTEGER PRIMARY KEY NOT NULL, b, c, CHECK (b < c))", "SELECT crsql_as_crr('span')"];
        let (a, b) = pair(settings, folder.path(), engine, &schema, Stream::default());
        a.run_all(&schema);
        a.run("INSERT INTO span VALUES (1, 1, 2)", &[]);
        carry(&a, &b);
        a.run("UPDATE span SET b = 10, c = 20", &[]);
        carry(&a, &b);
        assert_eq!(a.content("span"), b.content("span"));
        let error = b.error("UPDATE span SET b = 30", &[]);
        assert!(error.contains("CHECK"), "the constraint is in force again: {error}");
    });
}

#[test]
fn other_sync_layers_find_whole_versions_in_crsql_tracked_peers() {
    on_both(|settings, engine| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Stream { outbound: ", package_changes_max = 1", inbound: "" };
        let (a, b) = pair(settings, folder.path(), engine, &SCHEMA, options);
        a.run("INSERT INTO tag VALUES ('red', 7)", &[]);
        a.run("INSERT INTO note VALUES (1, 'one', 'x')", &[]);
        let tracked = |peer: &Peer, event: i64| {
            let sql = "SELECT version FROM crsql_tracked_peers WHERE tag = 0 AND event = ?1";
            peer.run(sql, &[Value::Integer(event)]).first().map(|row| row[0].integer())
        };
        for (package, whole) in a.packages(&b).iter().zip([1, 1, 2]) {
            b.apply(&a, package);
            a.acknowledge(&b, &b.receipt(&a));
            assert_eq!((tracked(&b, 0), tracked(&a, 1)), (Some(whole), Some(whole)), "never a part of a version");
        }
    });
}

#[test]
fn a_filtered_stream_says_nothing_to_other_sync_layers() {
    on_both(|settings, engine| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (index, outbound) in [", tables = [note]", ", since = now"].into_iter().enumerate() {
            let options = Stream { outbound, inbound: "" };
            let folder = folder.path().join(index.to_string());
            std::fs::create_dir(&folder).expect("a folder is made");
            let a = Peer::new(settings, &folder, "a", Host::Shell, engine);
            let b = Peer::new(settings, &folder, "b", Host::Python, engine);
            a.run_all(&SCHEMA);
            b.run_all(&SCHEMA);
            a.run("INSERT INTO tag VALUES ('before', 1)", &[]);
            a.make_streams(&b, options);
            b.make_streams(&a, Stream::default());
            a.run("INSERT INTO note VALUES (1, 'one', 'x')", &[]);
            carry(&a, &b);
            assert_eq!(a.content("note"), b.content("note"), "{outbound}");
            for peer in [&a, &b] {
                assert_eq!(number(peer, "SELECT count(*) FROM crsql_tracked_peers"), 0, "{outbound}");
            }
        }
    });
}

#[test]
fn a_stream_begins_where_another_sync_layer_ended_only_if_told_to_trust_it() {
    on_both(|settings, engine| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let a = Peer::new(settings, folder.path(), "a", Host::Shell, engine);
        let b = Peer::new(settings, folder.path(), "b", Host::Python, engine);
        a.run_all(&SCHEMA);
        b.run_all(&SCHEMA);
        a.run("INSERT INTO tag VALUES ('old', 1)", &[]);
        a.run("INSERT INTO tag VALUES ('new', 2)", &[]);
        a.run(
            "INSERT INTO crsql_tracked_peers(site_id, version, seq, tag, event) VALUES (?1, 1, 0, 0, 1)",
            &[b.site_id()],
        );
        a.make_streams(&b, Stream { outbound: ", trust_tracked = 1", inbound: "" });
        b.make_streams(&a, Stream::default());
        carry(&a, &b);
        assert_eq!(b.run("SELECT name FROM tag", &[]), [["new".into()]]);
    });
}

/// A clock made anew has forgotten what others know: its rows count as written anew.
#[test]
fn a_table_whose_history_was_given_up_is_noticed_and_comes_level_by_one_call() {
    on_both(|settings, engine| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (a, b) = pair(settings, folder.path(), engine, &SCHEMA, Stream::default());
        a.run("INSERT INTO tag VALUES ('red', 1)", &[]);
        a.run("UPDATE tag SET color = 2", &[]);
        a.run("UPDATE tag SET color = 3", &[]);
        carry(&a, &b);
        a.run_all(&["SELECT crsql_as_table('tag')", "SELECT crsql_as_crr('tag')"]);
        a.run("UPDATE tag SET color = 77", &[]);
        let error = a.error("SELECT count(package) FROM out_to_b", &[]);
        assert!(error.contains("crsql_reidentify"), "{error}");
        a.run("SELECT crsql_reidentify()", &[]);
        b.run_all(&["DROP TABLE in_from_a", "DROP TABLE out_to_a"]);
        b.make_streams(&a, Stream::default());
        for _ in 0..3 {
            carry(&a, &b);
            carry(&b, &a);
        }
        assert_eq!(a.content("tag"), b.content("tag"));
        assert_eq!(number(&a, "SELECT crsql_pending('out_to_b')"), 0);
    });
}
