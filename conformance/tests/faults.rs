//! The known faults of cr-sqlite 0.16.3, by the numbers under which `docs/compat.md` lists them: each is shown on the
//! original, so that it is known to be one, and then shown to be absent here. Where the original crashes, it does so in a
//! process of its own.

use rejoin_conformance::{Answer, Engine, Host, Peer, Row, Settings, Statement, Stream, Value, until_level};

mod fault_1_a_changed_key {
    use super::*;

    #[test]
    fn reaches_a_peer_that_is_ahead_with_its_cells() {
        let script = format!(
            "{PULL}
a, b = tables('a.db'), tables('b.db')
a.execute(\"INSERT INTO foo VALUES (1, 'b', 'c')\")
pull(a, b, 0)
a.execute('UPDATE foo SET a = 2')
pull(a, b, 1)
print(answer(b, 'SELECT * FROM foo'))"
        );
        on_both(|ours, theirs| {
            assert_eq!(theirs.script(&script), ["2|NULL|NULL"]);
            assert_eq!(ours.script(&script), ["2|b|c"]);
        });
    }

    #[test]
    fn reaches_the_author_of_its_cells() {
        let script = format!(
            "{PULL}
a, b = tables('a.db'), tables('b.db')
a.execute(\"INSERT INTO foo VALUES (1, 'b', 'c')\")
pull(a, b, 0)
b.execute('UPDATE foo SET a = 2')
pull(b, a, 1)
print(answer(a, 'SELECT * FROM foo'))"
        );
        on_both(|ours, theirs| {
            assert_eq!(theirs.script(&script), ["2|NULL|NULL"]);
            assert_eq!(ours.script(&script), ["2|b|c"]);
        });
    }
}

#[test]
fn fault_2_a_merge_that_fails_leaves_local_writes_recorded() {
    let recorded = |peer: &Peer| {
        let answers = peer.run_each(&[
            plain("CREATE TABLE checked (a INTEGER PRIMARY KEY NOT NULL, b CHECK (b > 0))"),
            plain("SELECT crsql_as_crr('checked')"),
            change("checked", &[1, 9, 1], "b", 0.into()),
            plain("SELECT crsql_internal_sync_bit()"),
            plain("INSERT INTO foo VALUES (1, 'b', 'c')"),
            plain("SELECT count(*) FROM crsql_changes"),
        ]);
        assert!(answers[2].is_err(), "{answers:?}");
        (value(&answers[3]), value(&answers[5]))
    };
    on_both(|ours, theirs| {
        assert_eq!(recorded(theirs), (1.into(), 0.into()), "its sync bit stays set, and the row is never told");
        assert_eq!(recorded(ours), (0.into(), 2.into()));
    });
}

mod fault_3_a_stale_list_of_tables {
    use super::*;

    #[test]
    fn hides_no_table_that_another_connection_has_tracked() {
        let script = format!(
            "{PULL}
one, two = tables('a.db'), connect('a.db')
answer(two, 'SELECT count(*) FROM crsql_changes')
one.execute('CREATE TABLE bar (a PRIMARY KEY NOT NULL, b)')
answer(one, \"SELECT crsql_as_crr('bar')\")
one.execute('INSERT INTO bar VALUES (1, 2)')
print(answer(two, 'SELECT [table] FROM crsql_changes'))
print(answer(two, 'INSERT INTO bar VALUES (2, 2)'))"
        );
        on_both(|ours, theirs| {
            assert_eq!(theirs.script(&script), ["", "error: table bar not found"]);
            assert_eq!(ours.script(&script), ["bar", ""]);
        });
    }

    #[test]
    fn hides_no_table_that_the_same_transaction_has_tracked() {
        let wrote = |peer: &Peer| {
            let answers = peer.run_each(&[
                plain("BEGIN"),
                plain("INSERT INTO foo VALUES (1, 'b', 'c')"),
                plain("CREATE TABLE late (a INTEGER PRIMARY KEY NOT NULL, b)"),
                plain("SELECT crsql_as_crr('late')"),
                plain("INSERT INTO late VALUES (1, 2)"),
                plain("COMMIT"),
            ]);
            answers[4].clone()
        };
        on_both(|ours, theirs| {
            assert_eq!(wrote(theirs), Err("table late not found".to_owned()));
            assert_eq!(wrote(ours), Ok(vec![]));
        });
    }

    #[test]
    fn hides_no_column_that_the_same_transaction_has_added() {
        let recorded = |peer: &Peer| {
            peer.run_all(&[
                "BEGIN",
                "INSERT INTO foo VALUES (1, 'b', 'c')",
                "SELECT crsql_begin_alter('foo')",
                "ALTER TABLE foo ADD COLUMN d",
                "SELECT crsql_commit_alter('foo')",
                "INSERT INTO foo VALUES (2, 'b', 'c', 'd')",
                "COMMIT",
            ]);
            peer.run("SELECT cid FROM crsql_changes WHERE pk = x'010902' ORDER BY cid", &[])
        };
        on_both(|ours, theirs| {
            assert_eq!(recorded(theirs), rows(&["b", "c"]));
            assert_eq!(recorded(ours), rows(&["b", "c", "d"]));
        });
    }

    #[test]
    fn is_none_after_a_schema_that_was_rolled_back() {
        let went_on = |peer: &Peer| {
            let answers = peer.run_each(&[
                plain("INSERT INTO foo VALUES (1, 'b', 'c')"),
                plain("BEGIN"),
                plain("CREATE TABLE one (a PRIMARY KEY NOT NULL, b)"),
                plain("SELECT crsql_as_crr('one')"),
                plain("INSERT INTO one VALUES (1, 1)"),
                plain("ROLLBACK"),
                // As many changes of the schema as were undone: its cookie is the same again.
                plain("CREATE TABLE two (a PRIMARY KEY NOT NULL, b)"),
                plain("SELECT crsql_as_crr('two')"),
                plain("INSERT INTO two VALUES (1, 1)"),
                plain("SELECT count(*) FROM crsql_changes"),
            ]);
            (answers[8].is_ok(), answers[9].clone())
        };
        on_both(|ours, theirs| {
            assert_eq!(went_on(theirs), (false, Err("SQL logic error".to_owned())));
            assert_eq!(went_on(ours), (true, Ok(vec![vec![3.into()]])));
        });
    }
}

mod fault_4_a_failure_and_the_callers_transaction {
    use super::*;

    /// How many rows of the caller's are left after a call that fails inside of its transaction.
    fn kept(peer: &Peer, schema: &[&str], call: &str) -> Value {
        let mut statements: Vec<Statement> = schema.iter().map(|sql| plain(sql)).collect();
        statements.extend([plain("BEGIN"), plain("INSERT INTO foo VALUES (1, 'b', 'c')"), plain(call)]);
        statements.push(plain("SELECT count(*) FROM foo"));
        value(peer.run_each(&statements).last().expect("one answer each"))
    }

    fn is_kept_here_only(schema: &[&str], call: &str) {
        on_both(|ours, theirs| {
            assert_eq!(kept(theirs, schema, call), 0.into(), "{call}");
            assert_eq!(kept(ours, schema, call), 1.into(), "{call}");
        });
    }

    #[test]
    fn of_as_crr() {
        is_kept_here_only(&["CREATE TABLE bad (x)"], "SELECT crsql_as_crr('bad')");
    }

    #[test]
    fn of_commit_alter() {
        is_kept_here_only(&["CREATE TABLE bad (x)"], "SELECT crsql_commit_alter('bad')");
    }

    #[test]
    fn of_automigrate() {
        let schema = "CREATE TABLE IF NOT EXISTS foo (a INTEGER PRIMARY KEY NOT NULL, b, c);
                      CREATE TABLE IF NOT EXISTS other (a PRIMARY KEY NOT NULL, b, d DEFAULT (1 + 1));";
        is_kept_here_only(
            &["CREATE TABLE other (a PRIMARY KEY NOT NULL, b)"],
            &format!("SELECT crsql_automigrate('{schema}')"),
        );
    }

    #[test]
    fn of_fract_as_ordered() {
        let schema = ["CREATE TABLE todo (id PRIMARY KEY NOT NULL, ord)", "CREATE TABLE todo_fractindex (x)"];
        is_kept_here_only(&schema, "SELECT crsql_fract_as_ordered('todo', 'ord')");
    }
}

#[test]
fn fault_5_changes_are_sorted_as_asked() {
    let order = |peer: &Peer, by: &str| {
        peer.run_each(&[plain(&format!("SELECT db_version, seq FROM crsql_changes ORDER BY {by}"))]).remove(0)
    };
    let row = |version: i64, seq: i64| -> Row { vec![version.into(), seq.into()] };
    on_both(|ours, theirs| {
        for peer in [ours, theirs] {
            peer.run_all(&["INSERT INTO foo VALUES (1, 5, 'c')", "INSERT INTO foo VALUES (2, 4, 'd')"]);
        }
        let ascending = [row(1, 0), row(1, 1), row(2, 0), row(2, 1)];
        let mixed = "db_version DESC, seq";
        assert_eq!(order(theirs, mixed), Ok(ascending.to_vec()), "by the direction of the last term alone");
        assert_eq!(order(ours, mixed), Ok(vec![row(2, 0), row(2, 1), row(1, 0), row(1, 1)]));
        for by in ["val", "rowid"] {
            assert_eq!(order(theirs, by), Err("SQL logic error".to_owned()));
        }
        assert_eq!(order(ours, "val"), Ok(vec![row(2, 0), row(1, 0), row(1, 1), row(2, 1)]));
        assert_eq!(order(ours, "rowid DESC, seq"), Ok(vec![row(2, 0), row(2, 1), row(1, 0), row(1, 1)]));
    });
}

mod fault_6_every_read {
    use super::*;

    fn changes(peer: &Peer) -> Answer {
        peer.run_each(&[plain("SELECT [table] FROM crsql_changes")]).remove(0)
    }

    #[test]
    fn survives_a_tracked_table_that_was_dropped() {
        on_both(|ours, theirs| {
            for peer in [ours, theirs] {
                peer.run_all(&[
                    "CREATE TABLE beside (a PRIMARY KEY NOT NULL)",
                    "SELECT crsql_as_crr('beside')",
                    "INSERT INTO beside VALUES (1)",
                    "INSERT INTO foo VALUES (1, 'b', 'c')",
                    "DROP TABLE foo",
                ]);
            }
            assert_eq!(changes(theirs), Err("query aborted".to_owned()));
            assert_eq!(changes(ours), Ok(rows(&["beside"])));
            // What is left of the dropped table can be given up by name.
            ours.run("SELECT crsql_as_table('foo')", &[]);
            assert_eq!(ours.run("SELECT name FROM sqlite_master WHERE name LIKE 'foo%'", &[]), Vec::<Row>::new());
        });
    }

    #[test]
    fn survives_a_table_that_is_named_like_a_clock() {
        on_both(|ours, theirs| {
            for peer in [ours, theirs] {
                peer.run_all(&["INSERT INTO foo VALUES (1, 'b', 'c')", "CREATE TABLE mycrsql_clock (a)"]);
            }
            assert_eq!(changes(theirs), Err("query aborted".to_owned()));
            assert_eq!(changes(ours), Ok(rows(&["foo", "foo"])));
        });
    }
}

mod fault_7_what_a_peer_or_a_program_sends {
    use super::*;

    /// Ends the original's process by a signal; here it is an error in these words, and the connection goes on.
    fn crashes_only_the_original(statement: Statement, words: &str) {
        on_both(|ours, theirs| {
            let statements = [statement.clone(), plain("INSERT INTO foo VALUES (7, 'b', 'c')")];
            let signal = theirs.run_or_crash(&statements).expect_err("the original crashes");
            assert!([SIGILL, SIGABRT, SIGSEGV].contains(&signal), "{statement:?}: signal {signal}");
            let answers = ours.run_or_crash(&statements).expect("our process goes on");
            let error = answers[0].as_ref().expect_err("it is refused");
            assert!(error.contains(words) && !error.contains("no such function"), "{error:?} lacks {words:?}");
            assert_eq!(answers[1], Ok(vec![]));
            assert_eq!(ours.one("SELECT count(*) FROM foo__crsql_pks", &[]), 1.into(), "only the second left a key");
        });
    }

    #[test]
    fn an_empty_key() {
        crashes_only_the_original(change("foo", &[], "b", 1.into()), "the packed key ends before its values do");
    }

    #[test]
    fn a_key_that_is_null() {
        let sql = "INSERT INTO crsql_changes VALUES ('foo', NULL, 'b', 1, 1, 1, x'aa', 1, 0)";
        crashes_only_the_original(plain(sql), "the primary key is not a packed blob");
    }

    #[test]
    fn a_number_in_a_key_that_is_wider_than_eight_bytes() {
        let key = [1, 0x49, 1, 1, 1, 1, 1, 1, 1, 1, 1];
        crashes_only_the_original(change("foo", &key, "b", 1.into()), "a field of 9 bytes");
    }

    #[test]
    fn a_length_in_a_key_that_is_wider_than_eight_bytes() {
        let key = [1, 0x4b, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
        crashes_only_the_original(change("foo", &key, "b", 1.into()), "a field of 9 bytes");
    }

    #[test]
    fn an_empty_package_to_unpack() {
        crashes_only_the_original(plain("SELECT cell FROM crsql_unpack_columns(x'')"), "ends before its values do");
    }

    #[test]
    fn the_name_of_a_table_that_is_null() {
        for call in
            ["crsql_as_crr(NULL)", "crsql_as_crr('main', NULL)", "crsql_begin_alter(NULL)", "crsql_commit_alter(NULL)"]
        {
            crashes_only_the_original(plain(&format!("SELECT {call}")), "needs the name of a table");
        }
    }

    #[test]
    fn keys_of_an_order_that_are_equal_or_no_keys() {
        for (arguments, words) in
            [("'a!', 'a!'", "a must be before b"), ("'', 'a'", "not empty"), ("'aé', 'aê'", "printable ASCII")]
        {
            crashes_only_the_original(plain(&format!("SELECT crsql_fract_key_between({arguments})")), words);
        }
    }

    const SIGILL: i32 = 4;
    const SIGABRT: i32 = 6;
    const SIGSEGV: i32 = 11;
}

/// Several databases that tell a third in one transaction give it records of the same (db_version, seq), whichever engine
/// merges them. The original has no way to tell a sync layer which of them it has passed; the streams number what arrives.
#[test]
fn fault_9_one_place_in_a_receivers_stream_is_one_change() {
    let doubles = "SELECT count(*) FROM (SELECT 1 FROM crsql_changes GROUP BY db_version, seq HAVING count(*) > 1)";
    let Some(settings) = Settings::find(&[Engine::Original]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let make = |name: &str, engine: Engine| {
        let peer = Peer::new(&settings, folder.path(), name, Host::Python, engine);
        peer.run_all(&["CREATE TABLE foo (a INTEGER PRIMARY KEY NOT NULL, b, c)", "SELECT crsql_as_crr('foo')"]);
        peer
    };
    let theirs = make("theirs", Engine::Original);
    let mut merge = vec![plain("BEGIN")];
    for (key, site) in [(1, 7), (2, 8)] {
        let mut record = record("foo", &[1, 9, key], "b", "val".into());
        record[6] = Value::Blob(vec![site; 16]);
        merge.push(insert(&record));
    }
    merge.push(plain("COMMIT"));
    assert!(theirs.run_each(&merge).iter().all(Result::is_ok));
    assert_eq!(theirs.one(doubles, &[]), 1.into());

    let [a, b, c] = ["a", "b", "c"].map(|name| make(name, Engine::BuiltIn));
    for (key, peer) in [(1, &a), (2, &b)] {
        peer.run("INSERT INTO foo VALUES (?1, 'b', 'c')", &[key.into()]);
        peer.make_streams(&c, Stream::default());
        c.make_streams(peer, Stream::default());
    }
    // Both packages in one transaction of the receiver.
    let packages = [&a, &b].map(|peer| peer.packages(&c).remove(0));
    let apply = |name: &str, package: &Value| {
        Statement::new(&format!("INSERT INTO in_from_{name}(package) VALUES (?1)"), std::slice::from_ref(package))
    };
    let statements = [plain("BEGIN"), apply("a", &packages[0]), apply("b", &packages[1]), plain("COMMIT")];
    for answer in c.run_each(&statements) {
        assert_eq!(answer, Ok(vec![]));
    }
    assert_eq!(c.one("SELECT count(*) FROM crsql_changes", &[]), 4.into());
    assert_eq!(c.one(doubles, &[]), 0.into());
    until_level(&a, &c);
    until_level(&b, &c);
    assert_eq!(a.content("foo").len() + b.content("foo").len(), 4);
}

mod fault_10_automigrate {
    use super::*;

    const TRACK: &str = "SELECT crsql_as_crr('t');";

    fn prepared(peer: &Peer) {
        peer.run_all(&[
            "CREATE TABLE t (a INTEGER PRIMARY KEY NOT NULL, b, c)",
            "CREATE INDEX i ON t (b)",
            "SELECT crsql_as_crr('t')",
            "INSERT INTO t VALUES (1, 2, 3)",
        ]);
    }

    fn migrate(peer: &Peer, schema: &str) -> Answer {
        prepared(peer);
        let call = Statement::new("SELECT crsql_automigrate(?1)", &[format!("{schema}\n{TRACK}").as_str().into()]);
        peer.run_each(&[call]).remove(0)
    }

    #[test]
    fn drops_a_column_with_its_index_or_says_why_not() {
        let schema = "CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY NOT NULL, c);";
        on_both(|ours, theirs| {
            assert_eq!(migrate(theirs, schema), Ok(rows(&["not an error"])), "which is its way to say that it failed");
            assert_eq!(theirs.run("SELECT * FROM t", &[])[0].len(), 3);
            assert_eq!(migrate(ours, schema), Ok(rows(&["migration complete"])));
            assert_eq!(ours.run("SELECT * FROM t", &[]), [[1.into(), 3.into()]]);
        });
    }

    #[test]
    fn changes_the_columns_of_an_index() {
        let schema = "CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY NOT NULL, b, c);
                      CREATE INDEX IF NOT EXISTS i ON t (c);";
        let column = "SELECT name FROM pragma_index_info('i')";
        on_both(|ours, theirs| {
            assert_eq!(migrate(theirs, schema), Ok(rows(&["migration complete"])));
            assert_eq!(theirs.run(column, &[]), rows(&["b"]));
            assert_eq!(migrate(ours, schema), Ok(rows(&["migration complete"])));
            assert_eq!(ours.run(column, &[]), rows(&["c"]));
        });
    }

    #[test]
    fn says_what_is_wrong_with_a_default_that_it_cannot_add() {
        let schema = "CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY NOT NULL, b, c, d DEFAULT (1 + 1));
                      CREATE INDEX IF NOT EXISTS i ON t (b);";
        on_both(|ours, theirs| {
            assert_eq!(migrate(theirs, schema), Ok(rows(&["not an error"])));
            let error = migrate(ours, schema).expect_err("an expression is not the same everywhere");
            assert!(
                error.contains("the new column d DEFAULT (1 + 1)") && error.contains("give it a constant"),
                "{error}"
            );
            assert_eq!(ours.run("SELECT * FROM t", &[])[0].len(), 3, "nothing was changed");
        });
    }
}

mod fault_11_rows_impacted {
    use super::*;

    fn impacted(peer: &Peer, statements: &[Statement]) -> Value {
        let mut all = statements.to_vec();
        all.push(plain("SELECT crsql_rows_impacted()"));
        value(peer.run_each(&all).last().expect("one answer each"))
    }

    fn merge(key: u8) -> Statement {
        change("foo", &[1, 9, key], "b", "val".into())
    }

    #[test]
    fn is_taken_back_by_a_rollback() {
        let statements = [plain("BEGIN"), merge(1), merge(2), plain("ROLLBACK"), plain("BEGIN"), merge(3)];
        on_both(|ours, theirs| {
            assert_eq!(impacted(theirs, &statements), 3.into());
            assert_eq!(impacted(ours, &statements), 1.into());
        });
    }

    #[test]
    fn is_taken_back_by_a_rollback_to_a_savepoint() {
        let statements =
            [plain("BEGIN"), merge(1), plain("SAVEPOINT s"), merge(2), merge(3), plain("ROLLBACK TO s"), merge(4)];
        on_both(|ours, theirs| {
            assert_eq!(impacted(theirs, &statements), 4.into());
            assert_eq!(impacted(ours, &statements), 2.into());
        });
    }

    #[test]
    fn is_taken_back_by_a_statement_that_fails() {
        let two = "INSERT INTO crsql_changes VALUES ('foo', x'010902', 'b', 1, 1, 1, x'aa', 1, 0), \
                   ('foo', x'010903', 'nope', 1, 1, 1, x'aa', 1, 0)";
        on_both(|ours, theirs| {
            assert_eq!(impacted(theirs, &[plain("BEGIN"), merge(1), plain(two)]), 2.into());
            assert_eq!(impacted(ours, &[plain("BEGIN"), merge(1), plain(two)]), 1.into());
        });
    }
}

#[test]
fn fault_12_an_update_that_changes_nothing_takes_no_version() {
    let version_after = |peer: &Peer| {
        peer.run_all(&["INSERT INTO foo VALUES (1, 'b', 'c')", "UPDATE foo SET b = 'b'", "SELECT crsql_db_version()"])
            .remove(0)
    };
    on_both(|ours, theirs| {
        assert_eq!(version_after(theirs), [2.into()]);
        assert_eq!(version_after(ours), [1.into()]);
        assert_eq!(theirs.one("SELECT crsql_db_version()", &[]), 1.into(), "and it goes back at the next start");
    });
}

#[test]
fn fault_13_a_key_that_becomes_a_real_of_the_same_number_is_the_same_row() {
    let lives = |peer: &Peer| {
        peer.run_all(&[
            "CREATE TABLE k (a PRIMARY KEY NOT NULL, b)",
            "SELECT crsql_as_crr('k')",
            "INSERT INTO k VALUES (1, 'b')",
            "UPDATE k SET a = 1.0",
        ]);
        peer.run("SELECT cid, cl FROM crsql_changes ORDER BY cid", &[])
    };
    on_both(|ours, theirs| {
        assert_eq!(lives(theirs), [["-1".into(), 3.into()], ["b".into(), 3.into()]], "deleted and made anew");
        assert_eq!(lives(ours), [["b".into(), 1.into()]]);
    });
}

mod fault_14_a_key_that_the_table_takes_for_another {
    use super::*;

    const CREATE: &str = "CREATE TABLE n (a TEXT PRIMARY KEY COLLATE NOCASE NOT NULL, b)";
    const KEYS: &str = "SELECT count(*) FROM n__crsql_pks";

    #[test]
    fn by_its_collation_is_refused_before_it_does_harm() {
        on_both(|ours, theirs| {
            theirs.run_all(&[CREATE, "SELECT crsql_as_crr('n')", "INSERT INTO n VALUES ('A', 1)"]);
            assert_eq!(theirs.run_each(&[change("n", &[1, 0x0b, 1, b'a'], "b", 2.into())]), [Ok(vec![])]);
            assert_eq!(theirs.one("SELECT count(*) FROM n", &[]), 1.into());
            assert_eq!(theirs.one(KEYS, &[]), 2.into(), "one row has two histories");

            ours.run(CREATE, &[]);
            let error = ours.error("SELECT crsql_as_crr('n')", &[]);
            assert!(error.contains("key column a by the collation NOCASE"), "{error}");
        });
    }

    /// A file that the original made with such a table is opened, read and written as before.
    #[test]
    fn by_its_collation_goes_on_where_the_original_has_tracked_it() {
        on_both(|_, theirs| {
            theirs.run_all(&[CREATE, "SELECT crsql_as_crr('n')", "INSERT INTO n VALUES ('A', 1)"]);
            let ours = theirs.with_engine(Engine::BuiltIn);
            ours.run_all(&[
                "SELECT crsql_as_crr('n')",
                "UPDATE n SET b = 2 WHERE a = 'a'",
                "INSERT INTO n VALUES ('B', 1)",
            ]);
            ours.run_all(&[
                "SELECT crsql_begin_alter('n')",
                "ALTER TABLE n ADD COLUMN c",
                "SELECT crsql_commit_alter('n')",
            ]);
            ours.run("UPDATE n SET c = 'c' WHERE a = 'b'", &[]);
            let expected = [["b".into(), 2.into()], ["b".into(), 1.into()], ["c".into(), "c".into()]];
            assert_eq!(ours.run("SELECT cid, val FROM crsql_changes", &[]), expected);
            assert_eq!(theirs.run("SELECT cid, val FROM crsql_changes", &[]), expected);
            assert_eq!(ours.one(KEYS, &[]), 2.into());
        });
    }

    #[test]
    fn by_its_columns_affinity_is_the_row_that_it_names() {
        let keys_after = |peer: &Peer| {
            let text = change("foo", &[1, 0x0b, 1, b'1'], "b", "from a peer".into());
            let answers = peer.run_each(&[plain("INSERT INTO foo VALUES (1, 'b', 'c')"), text]);
            assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            peer.one("SELECT count(*) FROM foo__crsql_pks", &[])
        };
        on_both(|ours, theirs| {
            assert_eq!(keys_after(theirs), 2.into());
            assert_eq!(keys_after(ours), 1.into());
            assert_eq!(ours.run("SELECT cid, val FROM crsql_changes ORDER BY cid", &[]).len(), 2);
        });
    }
}

#[test]
fn fault_19_a_row_that_replaces_a_live_one_by_its_key_is_not_lost() {
    let script = format!(
        "{PULL}
a, b = tables('a.db'), tables('b.db')
a.execute(\"INSERT INTO foo VALUES (1, 'moved', 'c'), (2, 'x', 'c')\")
for word in 'pqrstuvy':
    a.execute('UPDATE foo SET b = ? WHERE a = 2', (word,))
pull(a, b, 0)
passed = a.execute('SELECT max(db_version) FROM crsql_changes').fetchone()[0]
a.execute('UPDATE OR REPLACE foo SET a = 2 WHERE a = 1')
pull(a, b, passed)
print(answer(a, 'SELECT * FROM foo'), answer(b, 'SELECT * FROM foo'))
pull(b, a, 0)
print(answer(a, 'SELECT * FROM foo'), answer(b, 'SELECT * FROM foo'))"
    );
    on_both(|ours, theirs| {
        assert_eq!(theirs.script(&script), ["2|moved|c 2|y|c", "2|moved|c 2|y|c"], "and they stay unequal");
        assert_eq!(ours.script(&script), ["2|moved|c 2|moved|c", "2|moved|c 2|moved|c"]);
    });
}

/// Two databases in one script, and what a sync layer does between them: all that is newer than what was seen before and not
/// by the receiver itself.
const PULL: &str = "
def tables(name):
    c = connect(name)
    c.execute('CREATE TABLE foo (a INTEGER PRIMARY KEY NOT NULL, b, c)')
    answer(c, \"SELECT crsql_as_crr('foo')\")
    return c

def pull(source, target, since):
    own = target.execute('SELECT crsql_site_id()').fetchone()[0]
    news = source.execute('SELECT * FROM crsql_changes WHERE db_version > ? AND site_id IS NOT ?', (since, own)).fetchall()
    target.execute('BEGIN')
    target.executemany('INSERT INTO crsql_changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)', news)
    target.execute('COMMIT')
";

fn plain(sql: &str) -> Statement {
    Statement::new(sql, &[])
}

/// A record by another site, of a cell's first write.
fn record(table: &str, key: &[u8], column: &str, value: Value) -> [Value; 9] {
    let [one, key, site] = [1.into(), Value::Blob(key.to_vec()), Value::Blob(vec![7; 16])];
    [table.into(), key, column.into(), value, one, 1.into(), site, 1.into(), 0.into()]
}

fn insert(record: &[Value; 9]) -> Statement {
    Statement::new("INSERT INTO crsql_changes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)", record)
}

fn change(table: &str, key: &[u8], column: &str, value: Value) -> Statement {
    insert(&record(table, key, column, value))
}

/// The one value of an answer.
fn value(answer: &Answer) -> Value {
    answer.clone().expect("an answer").remove(0).remove(0)
}

fn rows(texts: &[&str]) -> Vec<Row> {
    texts.iter().map(|text| vec![Value::from(*text)]).collect()
}

/// Runs a test with the same empty tables on the built-in engine and on the original.
fn on_both(test: impl FnOnce(&Peer, &Peer)) {
    let Some(settings) = Settings::find(&[Engine::Original]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let peers = [("ours", Engine::BuiltIn), ("theirs", Engine::Original)].map(|(name, engine)| {
        let own = folder.path().join(name);
        std::fs::create_dir(&own).expect("a folder in a temporary one");
        let peer = Peer::new(&settings, &own, name, Host::Python, engine);
        peer.run_all(&["CREATE TABLE foo (a INTEGER PRIMARY KEY NOT NULL, b, c)", "SELECT crsql_as_crr('foo')"]);
        peer
    });
    let [ours, theirs] = &peers;
    test(ours, theirs);
}
