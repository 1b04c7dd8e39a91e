//! What `docs/compat.md` says is different on purpose, shown on both engines: that the original does it, and that the
//! built-in engine does not.

use rejoin_conformance::{Engine, Host, Peer, Row, Settings, Statement, Value};

#[test]
fn an_update_that_changes_nothing_takes_no_version() {
    let version_after = |peer: &Peer| {
        peer.run_all(&["INSERT INTO foo VALUES (1, 'b', 'c')", "UPDATE foo SET b = 'b'", "SELECT crsql_db_version()"])
            .remove(0)
            .remove(0)
    };
    on_both(|ours, theirs| {
        assert_eq!(version_after(theirs), 2.into());
        assert_eq!(version_after(ours), 1.into());
    });
}

#[test]
fn the_cells_of_a_moved_row_get_new_versions() {
    let cells_after = |peer: &Peer| {
        peer.run_all(&[
            "INSERT INTO foo VALUES (1, 'b', 'c')",
            "UPDATE foo SET a = 2",
            "SELECT cid, col_version, cl FROM crsql_changes WHERE db_version = 2 ORDER BY seq",
        ])
    };
    let row = |cid: &str, version: i64, life: i64| -> Row { vec![cid.into(), version.into(), life.into()] };
    on_both(|ours, theirs| {
        assert_eq!(cells_after(theirs), [row("-1", 2, 2), row("-1", 1, 1)], "no cells for peers that are ahead");
        let expected = [row("b", 2, 1), row("c", 2, 1), row("-1", 2, 2), row("-1", 1, 1)];
        assert_eq!(cells_after(ours), expected);
    });
}

#[test]
fn a_failing_as_crr_leaves_the_callers_transaction_alone() {
    let kept = |peer: &Peer| {
        let answers = peer.run_each(&[
            plain("CREATE TABLE bad (x)"),
            plain("BEGIN"),
            plain("INSERT INTO foo VALUES (1, 'b', 'c')"),
            plain("SELECT crsql_as_crr('bad')"),
            plain("SELECT count(*) FROM foo"),
        ]);
        assert!(answers[3].as_ref().is_err_and(|error| error.contains("has no primary key")), "{answers:?}");
        answers[4].clone().expect("a table can be read").remove(0).remove(0)
    };
    on_both(|ours, theirs| {
        assert_eq!(kept(theirs), 0.into());
        assert_eq!(kept(ours), 1.into());
    });
}

#[test]
fn a_merge_that_fails_leaves_local_writes_recorded() {
    let recorded = |peer: &Peer| {
        let values = ["checked".into(), Value::Blob(vec![1, 9, 1]), "b".into(), 0.into(), 1.into(), 1.into()];
        let values = values.into_iter().chain([Value::Blob(vec![7; 16]), 1.into(), 0.into()]).collect::<Vec<_>>();
        let answers = peer.run_each(&[
            plain("CREATE TABLE checked (a INTEGER PRIMARY KEY NOT NULL, b CHECK (b > 0))"),
            plain("SELECT crsql_as_crr('checked')"),
            Statement::new("INSERT INTO crsql_changes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)", &values),
            plain("SELECT crsql_internal_sync_bit()"),
            plain("INSERT INTO foo VALUES (1, 'b', 'c')"),
            plain("SELECT count(*) FROM crsql_changes"),
        ]);
        assert!(answers[2].is_err(), "{answers:?}");
        answers[5].clone().expect("changes can be read").remove(0).remove(0)
    };
    on_both(|ours, theirs| {
        assert_eq!(recorded(theirs), 0.into(), "its sync bit stays set");
        assert_eq!(recorded(ours), 2.into());
    });
}

#[test]
fn a_table_tracked_in_the_same_transaction_is_seen() {
    let wrote = |peer: &Peer| {
        let answers = peer.run_each(&[
            plain("BEGIN"),
            plain("INSERT INTO foo VALUES (1, 'b', 'c')"),
            plain("CREATE TABLE late (a INTEGER PRIMARY KEY NOT NULL, b)"),
            plain("SELECT crsql_as_crr('late')"),
            plain("INSERT INTO late VALUES (1, 2)"),
            plain("COMMIT"),
        ]);
        answers[4].is_ok()
    };
    on_both(|ours, theirs| {
        assert!(!wrote(theirs));
        assert!(wrote(ours));
    });
}

#[test]
fn changes_are_sorted_as_asked() {
    let order = |peer: &Peer| {
        peer.run_all(&["INSERT INTO foo VALUES (1, 'b', 'c')", "INSERT INTO foo VALUES (2, 'b', 'c')"]);
        peer.run("SELECT db_version, seq FROM crsql_changes ORDER BY db_version DESC, seq", &[])
    };
    let row = |version: i64, seq: i64| -> Row { vec![version.into(), seq.into()] };
    on_both(|ours, theirs| {
        assert_eq!(order(theirs), [row(1, 0), row(1, 1), row(2, 0), row(2, 1)]);
        assert_eq!(order(ours), [row(2, 0), row(2, 1), row(1, 0), row(1, 1)]);
    });
}

#[test]
fn a_rolled_back_merge_does_not_count() {
    let impacted = |peer: &Peer| {
        let merge = |key: u8| {
            let values = ["foo".into(), Value::Blob(vec![1, 9, key]), "b".into(), "val".into(), 1.into(), 1.into()];
            let values = values.into_iter().chain([Value::Blob(vec![7; 16]), 1.into(), 0.into()]).collect::<Vec<_>>();
            Statement::new("INSERT INTO crsql_changes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)", &values)
        };
        let count = plain("SELECT crsql_rows_impacted()");
        let answers =
            peer.run_each(&[plain("BEGIN"), merge(1), merge(2), plain("ROLLBACK"), plain("BEGIN"), merge(3), count]);
        answers[6].clone().expect("it counts").remove(0).remove(0)
    };
    on_both(|ours, theirs| {
        assert_eq!(impacted(theirs), 3.into());
        assert_eq!(impacted(ours), 1.into());
    });
}

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

#[test]
fn a_file_of_another_format_is_refused() {
    let Some(settings) = Settings::find(&[Engine::BuiltIn]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let peer = Peer::new(&settings, folder.path(), "old", Host::Shell, Engine::BuiltIn);
    let format = "UPDATE crsql_master SET value = ?1 WHERE key = 'crsqlite_version'";
    peer.run(format, &[130_000.into()]);
    assert!(peer.error("SELECT 1", &[]).contains("130000"));
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
