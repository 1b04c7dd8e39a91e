//! The functions and modules around the engine, asked of the built-in one and of the original. What differs on purpose
//! is listed in `docs/compat.md`, and is kept clear of.

use rejoin_conformance::{Engine, Host, Peer, Random, Settings, Statement};

/// Both engines, each with an empty database.
fn both(folder: &tempfile::TempDir) -> Option<[Peer; 2]> {
    let settings = Settings::find(&[Engine::Original])?;
    let peer = |(name, engine)| Peer::new(&settings, folder.path(), name, Host::Python, engine);
    Some([("ours", Engine::BuiltIn), ("theirs", Engine::Original)].map(peer))
}

/// Runs the same statements on both, and compares every answer, the words of errors included.
fn same_answers(statements: &[String]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(peers) = both(&folder) else { return };
    let plain: Vec<Statement> = statements.iter().map(|sql| Statement::new(sql, &[])).collect();
    let [ours, theirs] = peers.map(|peer| peer.run_each(&plain));
    for (sql, (ours, theirs)) in statements.iter().zip(ours.iter().zip(&theirs)) {
        assert_eq!(ours, theirs, "(ours, theirs) {sql}\nafter {statements:#?}");
    }
}

fn texts(statements: &[&str]) -> Vec<String> {
    statements.iter().map(|sql| (*sql).to_owned()).collect()
}

#[test]
fn functions_have_the_same_names_arguments_and_flags() {
    // The snapshot is older than crsql_config_* and crsql_sha, and has crsql_as_crr for direct calls only. crsql_get_seq
    // is not deterministic, whatever the original says.
    same_answers(&texts(&[
        "SELECT name, narg, flags & 0x280800, type, enc FROM pragma_function_list WHERE name LIKE 'crsql%'
         AND name NOT IN ('crsql_config_set', 'crsql_config_get', 'crsql_sha', 'crsql_as_crr', 'crsql_get_seq')
         AND name NOT LIKE 'crsql_%stream%' AND name IN ('crsql_after_delete', 'crsql_after_insert', 'crsql_after_update',
         'crsql_as_table', 'crsql_automigrate', 'crsql_begin_alter', 'crsql_commit_alter', 'crsql_db_version',
         'crsql_finalize', 'crsql_fract_as_ordered', 'crsql_fract_fix_conflict_return_old_key',
         'crsql_fract_key_between', 'crsql_increment_and_get_seq', 'crsql_internal_sync_bit', 'crsql_next_db_version',
         'crsql_pack_columns', 'crsql_rows_impacted', 'crsql_site_id') ORDER BY 1",
        "SELECT count(*) FROM pragma_module_list WHERE name IN ('crsql_changes', 'crsql_unpack_columns', 'clset')",
    ]));
}

#[test]
fn wrong_arguments_get_the_same_words() {
    same_answers(&texts(&[
        "SELECT crsql_as_table('nope')",
        "SELECT crsql_after_insert()",
        "SELECT crsql_after_insert('nope', 1)",
        "SELECT crsql_automigrate()",
        "SELECT crsql_automigrate('CREATE TABL x(a)')",
        "SELECT crsql_fract_as_ordered('t')",
        "SELECT crsql_fract_as_ordered('t', 'o')",
        "SELECT crsql_fract_key_between('a', NULL)",
        "SELECT crsql_fract_key_between(5, 7)",
        "SELECT crsql_fract_key_between('a!', 'a ')",
        "SELECT crsql_fract_key_between('a0 ', 'a1')",
        "SELECT crsql_fract_key_between('A' || printf('%26s', ''), 'a1')",
        "SELECT crsql_fract_fix_conflict_return_old_key('t', 'o', -1)",
        "SELECT crsql_fract_fix_conflict_return_old_key('t', 'o', -1, 'id')",
        "SELECT crsql_fract_fix_conflict_return_old_key('t', 'o', 'l', 'id')",
        "SELECT package FROM crsql_unpack_columns WHERE package = x'010901'",
        "SELECT cell FROM crsql_unpack_columns",
        "SELECT cell FROM crsql_unpack_columns WHERE cell = 1",
        "CREATE VIRTUAL TABLE bar USING clset(a PRIMARY KEY NOT NULL)",
        "CREATE VIRTUAL TABLE bar_schema USING clset(a PRIMARY KEY NOT NULL, b UNIQUE)",
        "SELECT name FROM sqlite_master WHERE name LIKE 'bar%'",
    ]));
}

#[test]
fn keys_between_keys_are_the_same() {
    let mut random = Random::new();
    let seed = random.bits();
    println!("script {seed}");
    let mut random = Random::seeded(seed);
    let mut script = Vec::new();
    // Chains that always go to the front, always to the end, always into the middle, and anywhere.
    for chain in 0..4 {
        script.push(format!("CREATE TABLE keys{chain}(k)"));
        for length in 0..60 {
            let place = match chain {
                0 => 0,
                1 => length,
                2 => length / 2,
                _ => random.below(length + 1),
            };
            let key = |place: Option<u64>| match place {
                Some(place) => format!("(SELECT k FROM keys{chain} ORDER BY k LIMIT 1 OFFSET {place})"),
                None => "NULL".to_owned(),
            };
            let (after, before) = (key(place.checked_sub(1)), key(Some(place)));
            script.push(format!("INSERT INTO keys{chain} SELECT crsql_fract_key_between({after}, {before})"));
        }
        script.push(format!("SELECT k FROM keys{chain} ORDER BY k"));
        script.push(format!("SELECT count(*) = 60 FROM (SELECT DISTINCT k FROM keys{chain})"));
    }
    same_answers(&script);
}

const DUMP: [&str; 2] = [
    "SELECT id, o, l, x FROM f ORDER BY id",
    "SELECT [table], hex(pk), cid, val, col_version, db_version, cl, seq FROM crsql_changes ORDER BY db_version, seq, pk, cid",
];

#[test]
fn rows_in_an_order_get_the_same_places_and_the_same_records() {
    let mut random = Random::new();
    for _ in 0..3 {
        let seed = random.bits();
        println!("script {seed}");
        let mut random = Random::seeded(seed);
        let mut script = texts(&[
            "CREATE TABLE f(id INTEGER PRIMARY KEY NOT NULL, o, l, x)",
            // The snapshot returns NULL here.
            "SELECT coalesce(crsql_as_crr('f'), 'OK')",
            "SELECT crsql_fract_as_ordered('f', 'o', 'l')",
        ]);
        for id in 1..40 {
            let (list, other) = (random.below(2), 1 + random.below(id));
            script.push(match random.below(6) {
                0 => format!("INSERT INTO f VALUES ({id}, -1, {list}, 'x')"),
                1 => format!("INSERT INTO f VALUES ({id}, 1, {list}, 'x')"),
                2 => format!("UPDATE f SET o = {} WHERE id = {other}", if list == 0 { -1 } else { 1 }),
                // Not where it would change nothing: such an UPDATE takes a version at the original.
                3 => format!(
                    "UPDATE f SET o = (SELECT max(o) FROM f WHERE l = {list}) WHERE id = {other} AND l = {list}
                     AND o IS NOT (SELECT max(o) FROM f WHERE l = {list})"
                ),
                4 => format!("UPDATE f_fractindex SET after_id = {other} WHERE id = {}", 1 + random.below(id)),
                _ => format!("INSERT INTO f_fractindex(id, l, x, after_id) VALUES ({id}, {list}, 'x', {other})"),
            });
            script.extend(texts(&DUMP));
        }
        same_answers(&script);
    }
}

#[test]
fn an_ordered_table_made_by_one_engine_is_used_by_the_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(peers) = both(&folder) else { return };
    let results = peers.map(|maker| {
        maker.run_all(&[
            "CREATE VIRTUAL TABLE f_schema USING clset(id INTEGER PRIMARY KEY NOT NULL, o, l, x)",
            "SELECT crsql_fract_as_ordered('f', 'o', 'l')",
            "INSERT INTO f VALUES (1, 1, 0, 'x'), (2, 1, 0, 'x'), (3, -1, 0, 'x')",
        ]);
        for (engine, id) in [(Engine::Original, 4), (Engine::BuiltIn, 5)] {
            let user = maker.with_engine(engine);
            user.run(&format!("INSERT INTO f_fractindex(id, l, x, after_id) VALUES ({id}, 0, 'x', 1)"), &[]);
            user.run("UPDATE f SET o = (SELECT o FROM f WHERE id = 1) WHERE id = 2", &[]);
            user.run(&format!("INSERT INTO f_fractindex(id, l, x, after_id) VALUES ({id}0, 0, 'x', 1)"), &[]);
            user.run("UPDATE f_fractindex SET after_id = 3 WHERE id = 2", &[]);
        }
        let rows = maker.run(DUMP[0], &[]);
        maker.with_engine(Engine::Original).run("DROP TABLE f_schema", &[]);
        let left =
            maker.run("SELECT name FROM sqlite_master WHERE name LIKE 'f\\_\\_%' ESCAPE '\\' OR name = 'f'", &[]);
        assert!(left.is_empty(), "{left:?}");
        rows
    });
    assert_eq!(results[0], results[1], "(made by ours, made by theirs)");
}

#[test]
fn a_table_of_clset_is_the_same_table() {
    same_answers(&texts(&[
        "CREATE VIRTUAL TABLE f_schema USING clset(id INTEGER PRIMARY KEY NOT NULL, o, l DEFAULT (max(1, 2)), x)",
        "SELECT type, name, tbl_name FROM sqlite_master WHERE name NOT LIKE 'crsql%' ORDER BY 1, 2",
        "SELECT sql FROM sqlite_master WHERE name = 'f'",
        "SELECT * FROM f_schema",
        "INSERT INTO f_schema(schema) VALUES (1)",
        "CREATE VIRTUAL TABLE f_schema USING clset(a)",
        "CREATE VIRTUAL TABLE IF NOT EXISTS f_schema USING clset(a)",
        "INSERT INTO f(id, o) VALUES (1, 2)",
        DUMP[0],
        DUMP[1],
        "DROP TABLE f_schema",
        "SELECT name FROM sqlite_master WHERE name NOT LIKE 'crsql%'",
    ]));
}

#[test]
fn the_same_migrations_lead_to_the_same_tables_rows_and_records() {
    let schema = |definition: &str, rest: &str| {
        format!(
            "SELECT crsql_automigrate('CREATE TABLE IF NOT EXISTS f({definition});\nSELECT crsql_as_crr(''f'');\n{rest}')"
        )
    };
    let shape = "SELECT m.type, m.name, x.name, x.type, x.\"notnull\", x.dflt_value, x.pk FROM sqlite_master m
        LEFT JOIN pragma_table_xinfo(m.name) x WHERE m.name NOT LIKE '%crsql%' ORDER BY 1, 2, 3";
    let mut script = Vec::new();
    for migration in [
        schema("id INTEGER PRIMARY KEY NOT NULL, o, l, x", "CREATE INDEX IF NOT EXISTS i ON f(o);"),
        "INSERT INTO f VALUES (1, 2, 3, 4), (2, 3, 4, 5)".to_owned(),
        "DELETE FROM f WHERE id = 2".to_owned(),
        schema("id INTEGER PRIMARY KEY NOT NULL, o, l, x, y DEFAULT 7", "CREATE TABLE IF NOT EXISTS plain(a);"),
        "UPDATE f SET y = 8, x = 9".to_owned(),
        schema("id INTEGER PRIMARY KEY NOT NULL, o, l, x, y DEFAULT 7", ""),
        schema(
            "id INTEGER PRIMARY KEY NOT NULL, o, l, x, z TEXT NOT NULL DEFAULT 5",
            "CREATE INDEX IF NOT EXISTS j ON f(l);",
        ),
        "INSERT INTO f(id) VALUES (3)".to_owned(),
    ] {
        script.push(migration);
        script.push(shape.to_owned());
        script.extend(texts(&DUMP));
        script.push("SELECT crsql_db_version()".to_owned());
    }
    // Before the first migration there is nothing to dump; both say so in the same words.
    same_answers(&script);
}
