//! What `docs/compat.md` says is different on purpose, shown on both engines: that the original does it, and that the
//! built-in engine does not.

use rejoin_conformance::{Engine, Host, Peer, Row, Settings, Statement};

#[test]
fn names_that_need_quotes_work() {
    let tracked = |peer: &Peer| {
        let answers = peer.run_each(&[
            plain("CREATE TABLE \"it's a \"\"name\"\"\" (\"the key\" INTEGER PRIMARY KEY NOT NULL, \"a \"\"column\"\"\", \"select\")"),
            Statement::new("SELECT crsql_as_crr(?1)", &["it's a \"name\"".into()]),
            plain("INSERT INTO \"it's a \"\"name\"\"\" VALUES (1, 2, 3)"),
            plain("SELECT cid FROM crsql_changes WHERE [table] = 'it''s a \"name\"' ORDER BY seq"),
        ]);
        answers[1].is_ok() && answers[3] == Ok(vec![vec!["a \"column\"".into()], vec!["select".into()]])
    };
    on_both(|ours, theirs| {
        assert!(!tracked(theirs));
        assert!(tracked(ours));
    });
}

#[test]
fn the_version_never_goes_back_when_a_table_is_given_up() {
    let version_after = |peer: &Peer| {
        peer.run_all(&["INSERT INTO foo VALUES (1, 'b', 'c')", "SELECT crsql_as_table('foo')"]);
        peer.one("SELECT crsql_db_version()", &[])
    };
    on_both(|ours, theirs| {
        assert_eq!(version_after(theirs), 0.into());
        assert_eq!(version_after(ours), 1.into());
    });
}

#[test]
fn a_row_deleted_during_an_alteration_leaves_a_tombstone() {
    let told = |peer: &Peer| {
        peer.run_all(&[
            "INSERT INTO foo VALUES (1, 'b', 'c')",
            "SELECT crsql_begin_alter('foo')",
            "DELETE FROM foo",
            "SELECT crsql_commit_alter('foo')",
        ]);
        peer.run("SELECT cid, cl FROM crsql_changes", &[])
    };
    on_both(|ours, theirs| {
        assert_eq!(told(theirs), Vec::<Row>::new());
        assert_eq!(told(ours), [["-1".into(), 2.into()]]);
    });
}

#[test]
fn a_key_with_another_count_of_values_is_refused() {
    let rows_after = |peer: &Peer| {
        let none = "INSERT INTO crsql_changes VALUES ('foo', x'00', 'b', 1, 1, 1, x'aa', 1, 0)";
        let answer = peer.run_each(&[plain(none)]).remove(0);
        (answer, peer.one("SELECT count(*) FROM foo", &[]))
    };
    on_both(|ours, theirs| {
        assert_eq!(rows_after(theirs), (Ok(vec![]), 1.into()), "SQLite makes a key up");
        let (answer, rows) = rows_after(ours);
        assert!(answer.is_err_and(|error| error.contains("the primary key has 0 values, the table's has 1")));
        assert_eq!(rows, 0.into());
    });
}

#[test]
fn a_delete_counts_by_its_causal_length() {
    let kept = |peer: &Peer| {
        peer.run("INSERT INTO crsql_changes VALUES ('foo', x'010901', '-1', NULL, 3, 1, x'aa', 10, 0)", &[]);
        peer.one("SELECT cl FROM crsql_changes", &[])
    };
    on_both(|ours, theirs| {
        assert_eq!(kept(theirs), 3.into(), "which says that the row lives");
        assert_eq!(kept(ours), 10.into());
    });
}

#[test]
fn a_table_under_another_spelling_and_a_temporary_one_are_told_from_tracked_ones() {
    let wrote = |peer: &Peer| {
        let answers = peer.run_each(&[
            plain("CREATE TABLE Mixed (a PRIMARY KEY NOT NULL, b)"),
            plain("SELECT crsql_as_crr('mixed')"),
            plain("INSERT INTO Mixed VALUES (1, 2)"),
            plain("SELECT [table] FROM crsql_changes"),
            plain("CREATE TEMP TABLE passing (a PRIMARY KEY NOT NULL, b)"),
            plain("SELECT crsql_as_crr('passing')"),
        ]);
        (answers[3].clone(), answers[5].is_ok())
    };
    on_both(|ours, theirs| {
        assert_eq!(wrote(theirs), (Ok(vec![vec!["mixed".into()]]), true), "a name that the schema does not have");
        assert_eq!(wrote(ours), (Ok(vec![vec!["Mixed".into()]]), false));
    });
}

#[test]
fn a_table_with_64_columns_is_refused_in_words() {
    let refused = |peer: &Peer| {
        let columns: Vec<String> = (1..64).map(|number| format!("c{number}")).collect();
        peer.run(&format!("CREATE TABLE wide (a INTEGER PRIMARY KEY NOT NULL, {})", columns.join(", ")), &[]);
        peer.error("SELECT crsql_as_crr('wide')", &[])
    };
    on_both(|ours, theirs| {
        assert!(refused(theirs).contains("SQL logic error"));
        assert!(refused(ours).contains("63"));
    });
}

fn plain(sql: &str) -> Statement {
    Statement::new(sql, &[])
}

/// Runs a test with the same empty tables on the built-in engine and on the original.
fn on_both(test: impl FnOnce(&Peer, &Peer)) {
    let Some(settings) = Settings::find(&[Engine::Original]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let peers = [("ours", Engine::BuiltIn), ("theirs", Engine::Original)].map(|(name, engine)| {
        let peer = Peer::new(&settings, folder.path(), name, Host::Python, engine);
        peer.run_all(&["CREATE TABLE foo (a INTEGER PRIMARY KEY NOT NULL, b, c)", "SELECT crsql_as_crr('foo')"]);
        peer
    });
    let [ours, theirs] = &peers;
    test(ours, theirs);
}
