//! Gaps, duplicates and overlaps are answered with a receipt; packages of another database, cut short or damaged, with
//! an error. None of them changes anything.

use rejoin_conformance::{Engine, Host, Peer, Random, Row, Settings, Statement, Stream, Value, carry, until_level};
use std::path::Path;

const ENGINES: [Engine; 2] = [Engine::BuiltIn, Engine::Beside];

#[test]
fn a_gap_is_answered_with_where_the_receiver_stands_and_the_plain_loop_heals_it() {
    for_each_engine(|settings, folder, engine| {
        let (a, b) = filled(settings, folder, engine, ONE_BY_ONE, "");
        let packages = a.packages(&b);
        assert!(packages.len() > 3);
        b.apply(&a, &packages[0]);
        a.acknowledge(&b, &b.receipt(&a));
        let before = state(&b);
        let standing = b.one("SELECT last_seen FROM in_from_a", &[]);

        b.apply(&a, &packages[2]);
        assert_eq!(b.applied(&a), 0);
        assert!(!b.one("SELECT last_error FROM in_from_a", &[]).is_null(), "it says what it waits for");
        assert_eq!(b.one("SELECT last_seen FROM in_from_a", &[]), standing);
        assert_eq!(state(&b), before);
        let receipt = b.receipt(&a);
        assert_eq!(a.one("SELECT crsql_ack('out_to_b', ?1)", &[receipt]).integer(), 0);

        assert_eq!(carry(&a, &b), packages.len() - 1, "it goes on from where the receiver stands");
        assert_eq!(a.content("note"), b.content("note"));
    });
}

#[test]
fn with_on_gap_error_a_gap_is_an_error_that_names_both_cursors() {
    for_each_engine(|settings, folder, engine| {
        let (a, b) = filled(settings, folder, engine, ONE_BY_ONE, ", on_gap = error");
        let rows = a.run("SELECT package, cursor, db_version, seq FROM out_to_b", &[]);
        b.apply(&a, &rows[0][0]);
        let before = state(&b);
        let message = b.try_apply(&a, &rows[2][0]).expect_err("a gap is refused");
        for row in [&rows[0], &rows[1]] {
            let cursor = format!("[{},{}]", row[2].integer(), row[3].integer());
            let named = message.replace(", ", ",").contains(&cursor);
            assert!(named, "the message names {cursor}: {message}");
        }
        assert_eq!(state(&b), before);
        assert_eq!(carry(&a, &b), rows.len(), "the first is a duplicate by now, the rest is not");
        assert_eq!(a.content("note"), b.content("note"));
    });
}

#[test]
fn a_duplicate_changes_nothing_and_its_receipt_acknowledges_nothing_twice() {
    for_each_engine(|settings, folder, engine| {
        let (a, b) = filled(settings, folder, engine, ONE_BY_ONE, "");
        let packages = a.packages(&b);
        for package in &packages[..3] {
            b.apply(&a, package);
        }
        let before = state(&b);
        let receipt = b.receipt(&a);
        assert_eq!(a.one("SELECT crsql_ack('out_to_b', ?1)", std::slice::from_ref(&receipt)).integer(), 1);
        for package in &packages[..3] {
            b.apply(&a, package);
            assert_eq!(b.applied(&a), 0);
            assert_eq!(state(&b), before);
            assert_eq!(a.one("SELECT crsql_ack('out_to_b', ?1)", &[b.receipt(&a)]).integer(), 0);
        }
        carry(&a, &b);
        assert_eq!(a.content("note"), b.content("note"));
    });
}

#[test]
fn an_overlap_is_applied_neither_in_part_nor_whole() {
    for_each_engine(|settings, folder, engine| {
        let (a, b) = filled(settings, folder, engine, ONE_BY_ONE, "");
        let packages = a.packages(&b);
        b.apply(&a, &packages[0]);
        let before = state(&b);
        // The same stream, made anew with large packages: its one package begins before what b has and ends behind it.
        a.run("DROP TABLE out_to_b", &[]);
        let id = b.site_id().literal();
        a.run(&format!("CREATE VIRTUAL TABLE out_to_b USING crsql_outbound_stream(remote = {id})"), &[]);
        let overlap = a.packages(&b);
        assert_eq!(overlap.len(), 1);
        b.apply(&a, &overlap[0]);
        assert_eq!(b.applied(&a), 0);
        assert_eq!(state(&b), before);
        a.acknowledge(&b, &b.receipt(&a));
        carry(&a, &b);
        assert_eq!(a.content("note"), b.content("note"));
    });
}

#[test]
fn a_package_of_another_database_is_refused_by_name() {
    for_each_engine(|settings, folder, engine| {
        let (a, b) = filled(settings, folder, engine, "", "");
        let c = Peer::new(settings, folder, "c", Host::Shell, engine);
        c.run_all(&SCHEMA);
        c.make_streams(&b, Stream::default());
        c.run("INSERT INTO note VALUES (77, 'from c', NULL)", &[]);
        let before = state(&b);
        let message = b.try_apply(&a, &c.packages(&b)[0]).expect_err("c is not a");
        let id = c.site_id().literal();
        let digits = id.trim_matches(['x', '\'']);
        assert!(message.to_lowercase().contains(digits), "the message names {digits}: {message}");
        assert_eq!(state(&b), before);
        until_level(&a, &b);
        assert_eq!(a.content("note"), b.content("note"));
    });
}

#[test]
fn a_receipt_of_another_stream_moves_nothing() {
    for_each_engine(|settings, folder, engine| {
        let (a, b) = filled(settings, folder, engine, "", "");
        let position = || a.one("SELECT position FROM crsql_streams WHERE name = 'out_to_b'", &[]);
        let before = position();
        let own = a.receipt(&b);
        for wrong in [own, "".into(), "{}".into(), "[1,2]".into(), Value::Null, Value::Integer(1), Value::Blob(vec![1])]
        {
            a.error("INSERT INTO out_to_b(receipt) VALUES (?1)", &[wrong]);
        }
        assert_eq!(position(), before);
        until_level(&a, &b);
        assert_eq!(a.content("note"), b.content("note"));
    });
}

#[test]
fn a_package_that_is_cut_short_or_damaged_is_an_error_and_changes_nothing() {
    let mut random = Random::new();
    for_each_engine(|settings, folder, engine| {
        for (form, options) in ["", ", compression = none", ", format = json"].into_iter().enumerate() {
            let folder = folder.join(form.to_string());
            std::fs::create_dir(&folder).expect("an empty folder");
            let (a, b) = filled(settings, &folder, engine, options, "");
            let package = a.packages(&b).remove(0);
            let damaged = damage(&package, &mut random);
            let before = state(&b);
            let apply = |package: &Value| {
                Statement::new("INSERT INTO in_from_a(package) VALUES (?1)", std::slice::from_ref(package))
            };
            let statements: Vec<Statement> = damaged.iter().map(apply).collect();
            for (answer, package) in b.run_each(&statements).into_iter().zip(&damaged) {
                let message = answer.expect_err(&format!("a damaged package was taken: {package:?}"));
                assert!(message.len() > 15 && message != "SQL logic error", "this says nothing: {message}");
            }
            assert_eq!(state(&b), before);
            // The connection that saw them all is as good as new.
            let mut after = statements;
            after.push(apply(&package));
            after.push(Statement::new("INSERT INTO note VALUES (1000, 'own', NULL)", &[]));
            let answers = b.run_each(&after);
            assert_eq!(answers[answers.len() - 2..], [Ok(vec![]), Ok(vec![])]);
            a.acknowledge(&b, &b.receipt(&a));
            assert_eq!(carry(&b, &a), 1, "what was written after the damage is seen and told");
            assert_eq!(a.content("note"), b.content("note"));
        }
    });
}

#[test]
fn a_refused_package_leaves_the_callers_transaction_open_with_its_own_work() {
    for_each_engine(|settings, folder, engine| {
        let (a, b) = filled(settings, folder, engine, "", "");
        let package = a.packages(&b).remove(0);
        let Value::Blob(mut bytes) = package.clone() else { panic!("{package:?} is not a blob") };
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let apply = "INSERT INTO in_from_a(package) VALUES (?1)";
        let answers = b.run_each(&[
            Statement::new("BEGIN", &[]),
            Statement::new("INSERT INTO note VALUES (500, 'own work', NULL)", &[]),
            Statement::new(apply, &[Value::Blob(bytes)]),
            Statement::new("SELECT count(*) FROM note", &[]),
            Statement::new(apply, &[package]),
            Statement::new("COMMIT", &[]),
        ]);
        assert!(answers[2].is_err());
        assert_eq!(answers[3], Ok(vec![vec![1.into()]]));
        assert_eq!(answers[4..], [Ok(vec![]), Ok(vec![])]);
        a.acknowledge(&b, &b.receipt(&a));
        carry(&b, &a);
        assert_eq!(a.content("note"), b.content("note"));
        assert_eq!(a.run("SELECT title FROM note WHERE id = 500", &[]), [["own work".into()]]);
    });
}

#[test]
fn a_rolled_back_apply_leaves_neither_rows_nor_position() {
    for_each_engine(|settings, folder, engine| {
        let (a, b) = filled(settings, folder, engine, "", "");
        let package = a.packages(&b).remove(0);
        let before = state(&b);
        let answers = b.run_each(&[
            Statement::new("BEGIN", &[]),
            Statement::new("INSERT INTO in_from_a(package) VALUES (?1)", &[package]),
            Statement::new("SELECT count(*) > 0 FROM note", &[]),
            Statement::new("ROLLBACK", &[]),
        ]);
        assert_eq!(answers[2], Ok(vec![vec![1.into()]]));
        assert_eq!(state(&b), before);
        until_level(&a, &b);
        assert_eq!(a.content("note"), b.content("note"));
    });
}

#[test]
fn wrong_use_is_refused_in_words() {
    for_each_engine(|settings, folder, engine| {
        let (a, b) = filled(settings, folder, engine, "", "");
        let id = b.site_id().literal();
        let refused = [
            ("CREATE VIRTUAL TABLE s USING crsql_outbound_stream()".to_owned(), "remote"),
            (format!("CREATE VIRTUAL TABLE s USING crsql_outbound_stream(remote = {id}, colour = red)"), "colour"),
            (format!("CREATE VIRTUAL TABLE s USING crsql_outbound_stream(remote = {id})"), "out_to_b"),
            ("CREATE VIRTUAL TABLE s USING crsql_outbound_stream(remote = x'0102')".to_owned(), "remote"),
            (format!("CREATE VIRTUAL TABLE s USING crsql_inbound_stream(remote = {id}, atomic = row)"), "atomic"),
            ("DELETE FROM out_to_b".to_owned(), "delete"),
        ];
        for (sql, named) in refused {
            let message = a.error(&sql, &[]);
            assert!(message.to_lowercase().contains(named), "{sql} says {message}, which does not name {named}");
        }
        let answers = a.run_each(&[
            Statement::new("BEGIN IMMEDIATE", &[]),
            Statement::new("INSERT INTO note VALUES (900, 'not yet', NULL)", &[]),
            Statement::new("SELECT package FROM out_to_b", &[]),
            Statement::new("SELECT crsql_next('out_to_b')", &[]),
            Statement::new("ROLLBACK", &[]),
        ]);
        assert!(answers[2].is_err(), "what is read may be rolled back");
        assert!(answers[3].is_err(), "what is read may be rolled back");
    });
}

const ONE_BY_ONE: &str = ", package_changes_max = 1";

const SCHEMA: [&str; 2] =
    ["CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, title TEXT, body)", "SELECT crsql_as_crr('note')"];

fn for_each_engine(mut test: impl FnMut(&Settings, &Path, Engine)) {
    for engine in ENGINES {
        let Some(settings) = Settings::find(&[engine]) else { continue };
        println!("{engine:?}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        test(&settings, folder.path(), engine);
    }
}

/// Two databases with streams for each other, and a few transactions in a that b has not seen.
fn filled(settings: &Settings, folder: &Path, engine: Engine, outbound: &str, inbound: &str) -> (Peer, Peer) {
    let a = Peer::new(settings, folder, "a", Host::Shell, engine);
    let b = Peer::new(settings, folder, "b", Host::Python, engine);
    for peer in [&a, &b] {
        peer.run_all(&SCHEMA);
    }
    a.make_streams(&b, Stream { outbound, inbound: "" });
    b.make_streams(&a, Stream { outbound: "", inbound });
    a.run_all(&[
        "INSERT INTO note VALUES (1, 'one', x'00ff'), (2, 'two', NULL)",
        "INSERT INTO note VALUES (3, 'three', 1.5)",
        "UPDATE note SET title = 'zwei' WHERE id = 2",
    ]);
    (a, b)
}

/// What a refused package may not change: the table, its changes, and where the stream stands.
fn state(peer: &Peer) -> (Vec<Row>, Vec<Row>, Vec<Row>) {
    let changes = "SELECT * FROM crsql_changes ORDER BY db_version, seq, [table], pk, cid";
    let position = "SELECT name, position FROM crsql_streams ORDER BY name";
    (peer.content("note"), peer.run(changes, &[]), peer.run(position, &[]))
}

/// The package cut at many places, with one bit changed at many places, with something behind it, and nonsense.
fn damage(package: &Value, random: &mut Random) -> Vec<Value> {
    let (bytes, is_text) = match package {
        Value::Blob(bytes) => (bytes.clone(), false),
        Value::Text(text) => (text.clone().into_bytes(), true),
        other => panic!("{other:?} is not a package"),
    };
    let mut damaged = Vec::new();
    let length = bytes.len() as u64;
    for _ in 0..60 {
        damaged.push(bytes[..random.below(length) as usize].to_vec());
        let mut changed = bytes.clone();
        // A text stays text: its lowest bits turn a letter or digit into another.
        let bit = if is_text { 1 } else { 1u8 << random.below(8) };
        changed[random.below(length) as usize] ^= bit;
        damaged.push(changed);
    }
    damaged.push([&bytes[..], b"\0"].concat());
    damaged.push([&bytes[..], &bytes[..]].concat());
    let mut values: Vec<Value> = damaged
        .into_iter()
        .filter_map(
            |bytes| if is_text { String::from_utf8(bytes).ok().map(Value::Text) } else { Some(Value::Blob(bytes)) },
        )
        .collect();
    values.extend([Value::Null, Value::Integer(5), "{}".into(), "[]".into(), Value::Blob(vec![0; 100])]);
    values
}
