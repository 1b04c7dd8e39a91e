//! The built-in engine and the original cr-sqlite: the same writes give the same records, and either goes on with a
//! file of the other. What differs on purpose is listed in `docs/compat.md`, and the scripts here keep clear of it.

use rejoin_conformance::{Engine, Host, Peer, Random, Row, Settings, Statement, Stream, Value, until_level};
use std::path::Path;

#[test]
fn the_same_local_writes_give_the_same_clock_and_changes() {
    let Some(settings) = Settings::find(&[Engine::Original]) else { return };
    let mut random = Random::new();
    for _ in 0..SCRIPTS {
        let seed = random.bits();
        println!("script {seed}");
        let script = Writer::new(seed, 0).script(STATEMENTS);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (ours, theirs) = one_of_each(&settings, folder.path());
        let record = |peer: &Peer| {
            let statements: Vec<Statement> =
                script.iter().flat_map(|sql| [sql.as_str()].into_iter().chain(DUMP)).map(plain).collect();
            peer.run_each(&statements)
        };
        let (ours, theirs) = (record(&ours), record(&theirs));
        for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            let (statement, part) = (index / (DUMP.len() + 1), index % (DUMP.len() + 1));
            let so_far = || script[..=statement].join(";\n");
            if part == 0 {
                assert_eq!(ours.is_ok(), theirs.is_ok(), "{ours:?} {theirs:?}\n{}", so_far());
            } else {
                assert_eq!(ours, theirs, "(ours, theirs) {}\n{}", DUMP[part - 1], so_far());
            }
        }
    }
}

#[test]
fn the_same_merges_give_the_same_clock_and_changes() {
    let Some(settings) = Settings::find(&[Engine::Original]) else { return };
    let mut random = Random::new();
    for _ in 0..SCRIPTS {
        let seed = random.bits();
        println!("script {seed}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (ours, theirs) = one_of_each(&settings, folder.path());
        let source = Peer::new(&settings, folder.path(), "source", Host::Python, Engine::BuiltIn);
        make_tables(&source);
        let (mut far, mut near) = (Writer::new(seed, 0), Writer::new(seed ^ 1, NEAR_KEYS));
        let mut since = 0;
        for round in 0..ROUNDS {
            run_script(&source, &far.script(8));
            let records = changes_since(&source, since);
            since = source.one("SELECT crsql_db_version()", &[]).integer();
            let own = near.script(4);
            let mut dumps = Vec::new();
            for peer in [&ours, &theirs] {
                merge(peer, &records);
                run_script(peer, &own);
                merge(peer, &records);
                dumps.push(dump(peer));
            }
            assert_eq!(dumps[0], dumps[1], "(ours, theirs) in round {round} of script {seed}");
        }
        assert_eq!(ours.content("foo"), theirs.content("foo"));
    }
}

#[test]
fn a_file_of_the_built_in_engine_is_edited_and_synced_by_the_original() {
    goes_on(Engine::BuiltIn, Engine::Original);
}

#[test]
fn a_file_of_the_original_is_edited_and_synced_by_the_built_in_engine() {
    goes_on(Engine::Original, Engine::BuiltIn);
}

#[test]
fn streams_made_on_one_engine_go_on_with_the_other() {
    let Some(settings) = Settings::find(&[Engine::Beside]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let a = Peer::new(&settings, folder.path(), "a", Host::Shell, Engine::BuiltIn);
    let b = Peer::new(&settings, folder.path(), "b", Host::Python, Engine::Beside);
    make_tables(&a);
    make_tables(&b);
    a.make_streams(&b, Stream::default());
    b.make_streams(&a, Stream::default());
    let mut writers = [Writer::new(3, 0), Writer::new(4, NEAR_KEYS)];
    for round in 0..4 {
        // Every round the engines change places.
        let (first, second) =
            if round % 2 == 0 { (Engine::BuiltIn, Engine::Beside) } else { (Engine::Beside, Engine::BuiltIn) };
        let (a, b) = (a.with_engine(first), b.with_engine(second));
        run_script(&a, &writers[0].script(10));
        run_script(&b, &writers[1].script(10));
        until_level(&a, &b);
        for table in TABLES {
            assert_eq!(a.content(table), b.content(table), "{table} in round {round}");
        }
    }
}

#[test]
fn both_engines_make_the_same_objects_in_a_file() {
    let Some(settings) = Settings::find(&[Engine::Original]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ours, theirs) = one_of_each(&settings, folder.path());
    let objects = "SELECT type, name, tbl_name FROM sqlite_master WHERE name LIKE '%crsql%' ORDER BY 1, 2";
    assert_eq!(ours.run(objects, &[]), theirs.run(objects, &[]));
    let columns = "SELECT m.name, c.cid, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk
        FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.name LIKE '%crsql%' AND m.type = 'table' ORDER BY 1, 2";
    assert_eq!(ours.run(columns, &[]), theirs.run(columns, &[]));
}

#[test]
fn packed_columns_are_the_same_bytes() {
    let Some(settings) = Settings::find(&[Engine::Original]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ours, theirs) = one_of_each(&settings, folder.path());
    let packs =
        "SELECT crsql_pack_columns(NULL, 0, 1, 127, 128, 255, 256, 65535, 65536, 16777216, 4294967296, -1, -128,
        9223372036854775807, -9223372036854775808, 0.0, -0.0, 1.5, 9e999, 4.9e-324, '', 'a', 'hé', x'', x'00ff',
        zeroblob(255), zeroblob(256))";
    let packed = ours.one(packs, &[]);
    assert_eq!(packed, theirs.one(packs, &[]));
    let unpack = "SELECT cell FROM crsql_unpack_columns WHERE package = ?1";
    let unpacked = ours.run(unpack, std::slice::from_ref(&packed));
    assert_eq!(unpacked.len(), 27);
    assert_eq!(unpacked, theirs.run(unpack, &[packed]));
}

/// How many random scripts a test runs, and how long they are.
const SCRIPTS: usize = 5;
const STATEMENTS: usize = 60;
const ROUNDS: usize = 3;

/// Keys from here on are for the receiver's own rows, so that nothing is written on both sides at once: the original
/// decides a tie of equal versions by site, and the built-in engine by value as cr-sqlite 0.16.3 does.
const NEAR_KEYS: i64 = 1000;

const TABLES: [&str; 3] = ["foo", "bar", "only"];

const SCHEMA: [&str; 6] = [
    "CREATE TABLE foo (a INTEGER PRIMARY KEY NOT NULL, b, c DEFAULT 5)",
    // The key's order is not the table's, and a generated column is no part of it.
    "CREATE TABLE bar (x TEXT NOT NULL, z, y INTEGER NOT NULL, g AS (y + 1), PRIMARY KEY (y, x)) WITHOUT ROWID",
    "CREATE TABLE only (k BLOB PRIMARY KEY NOT NULL)",
    "SELECT crsql_as_crr('foo')",
    "SELECT crsql_as_crr('bar')",
    "SELECT crsql_as_crr('only')",
];

/// Everything that the engines keep, with the own site id as 1 and another's as 0.
const DUMP: [&str; 5] = [
    "SELECT [table], pk, cid, val, col_version, db_version, site_id IS crsql_site_id(), cl, seq FROM crsql_changes
        ORDER BY db_version, seq, [table], pk, cid",
    "SELECT crsql_db_version()",
    "SELECT k.*, c.col_name, c.col_version, c.db_version, c.site_id, c.seq FROM foo__crsql_clock c
        LEFT JOIN foo__crsql_pks k ON k.__crsql_key = c.key ORDER BY 1, 3",
    "SELECT k.*, c.col_name, c.col_version, c.db_version, c.site_id, c.seq FROM bar__crsql_clock c
        LEFT JOIN bar__crsql_pks k ON k.__crsql_key = c.key ORDER BY 1, 4",
    "SELECT k.*, c.col_name, c.col_version, c.db_version, c.site_id, c.seq FROM only__crsql_clock c
        LEFT JOIN only__crsql_pks k ON k.__crsql_key = c.key ORDER BY 1, 3",
];

fn plain(sql: &str) -> Statement {
    Statement::new(sql, &[])
}

fn make_tables(peer: &Peer) {
    peer.run_all(&SCHEMA);
}

/// The same tables on the built-in engine and on the original.
fn one_of_each(settings: &Settings, folder: &Path) -> (Peer, Peer) {
    let ours = Peer::new(settings, folder, "ours", Host::Python, Engine::BuiltIn);
    let theirs = Peer::new(settings, folder, "theirs", Host::Python, Engine::Original);
    make_tables(&ours);
    make_tables(&theirs);
    (ours, theirs)
}

/// Runs a script in one connection; a statement that the tables refuse is part of it.
fn run_script(peer: &Peer, script: &[String]) {
    let statements: Vec<Statement> = script.iter().map(|sql| plain(sql)).collect();
    for (answer, sql) in peer.run_each(&statements).iter().zip(script) {
        if let Err(error) = answer {
            assert!(error.contains("UNIQUE constraint failed"), "{}: {sql}\n{error}", peer.name);
        }
    }
}

fn dump(peer: &Peer) -> Vec<Vec<Row>> {
    DUMP.iter().map(|sql| peer.run(sql, &[])).collect()
}

const RECORD: &str = "[table], pk, cid, val, col_version, db_version, site_id, cl, seq";

/// The records as a sync layer of the original's kind reads them.
fn changes_since(peer: &Peer, db_version: i64) -> Vec<Row> {
    let sql = format!("SELECT {RECORD} FROM crsql_changes WHERE db_version > ?1 ORDER BY db_version, seq");
    peer.run(&sql, &[db_version.into()])
}

/// Writes records in one transaction.
fn merge(peer: &Peer, records: &[Row]) {
    let insert = format!("INSERT INTO crsql_changes ({RECORD}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    let mut statements = vec![plain("BEGIN")];
    statements.extend(records.iter().map(|record| Statement::new(&insert, record)));
    statements.push(plain("COMMIT"));
    for answer in peer.run_each(&statements) {
        answer.unwrap_or_else(|error| panic!("{} refused a record: {error}", peer.name));
    }
}

/// A file made and edited by one engine is edited by the other, synced by it with a fresh database of its own, and
/// taken back by the first.
fn goes_on(maker: Engine, other: Engine) {
    let Some(settings) = Settings::find(&[maker, other]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = Peer::new(&settings, folder.path(), "made", Host::Python, maker);
    make_tables(&made);
    let mut writer = Writer::new(7, 0);
    run_script(&made, &writer.script(40));
    let taken = made.with_engine(other);
    assert_eq!(dump(&taken), dump(&made), "the other engine reads the same");
    assert_eq!(taken.site_id(), made.site_id());

    let fresh = Peer::new(&settings, folder.path(), "fresh", Host::Python, other);
    make_tables(&fresh);
    run_script(&taken, &writer.script(40));
    merge(&fresh, &changes_since(&taken, 0));
    run_script(&fresh, &Writer::new(8, NEAR_KEYS).script(20));
    merge(&taken, &changes_since(&fresh, 0));
    for table in TABLES {
        assert_eq!(taken.content(table), fresh.content(table), "{table}");
    }

    assert_eq!(dump(&made), dump(&taken), "the first engine reads what the other wrote");
    run_script(&made, &writer.script(20));
    merge(&fresh, &changes_since(&made, 0));
    for table in TABLES {
        assert_eq!(made.content(table), fresh.content(table), "{table}");
    }
}

/// Makes random writes that the engines record alike: no update that changes nothing (the original counts a version
/// for it), and none of a key (the built-in engine gives the moved cells new versions).
struct Writer {
    random: Random,
    first_key: i64,
    /// Makes every written value another one.
    written: i64,
}

impl Writer {
    fn new(seed: u64, first_key: i64) -> Writer {
        Writer { random: Random::seeded(seed), first_key, written: 0 }
    }

    /// Statements for one connection; a transaction that they begin also ends in them.
    fn script(&mut self, statements: usize) -> Vec<String> {
        let mut script = Vec::new();
        while script.len() < statements {
            if self.random.below(4) == 0 {
                script.push("BEGIN".to_owned());
                for _ in 0..=self.random.below(5) {
                    script.push(self.statement());
                }
                script.push(self.random.of(&["COMMIT", "COMMIT", "ROLLBACK"]).to_string());
            } else {
                script.push(self.statement());
            }
        }
        script
    }

    fn statement(&mut self) -> String {
        let key = self.first_key + self.random.below(5) as i64;
        let text = self.random.of(&["p", "q", "é"]).to_string();
        let (one, two) = (self.value(), self.value());
        match self.random.below(14) {
            0 | 1 => format!("INSERT INTO foo VALUES ({key}, {one}, {two})"),
            2 => format!("INSERT INTO foo (a, b) VALUES ({key}, {one})"),
            3 => format!("INSERT OR REPLACE INTO foo VALUES ({key}, {one}, {two})"),
            4 => format!("INSERT OR IGNORE INTO foo VALUES ({key}, {one}, {two})"),
            5 => format!("INSERT INTO foo (a, b) VALUES ({key}, {one}) ON CONFLICT (a) DO UPDATE SET c = {two}"),
            6 => format!("UPDATE foo SET b = {one} WHERE a BETWEEN {key} AND {}", key + 3),
            7 => format!("UPDATE foo SET b = {one}, c = {two} WHERE a = {key}"),
            8 => format!("DELETE FROM foo WHERE a = {key}"),
            9 => format!("INSERT OR REPLACE INTO bar (x, y, z) VALUES ('{text}', {key}, {one})"),
            10 => format!("UPDATE bar SET z = {one} WHERE y = {key}"),
            11 => format!("DELETE FROM bar WHERE y = {key} AND x = '{text}'"),
            12 => format!("INSERT OR REPLACE INTO only VALUES (x'{:04x}')", key),
            _ => format!("DELETE FROM only WHERE k = x'{:04x}'", key),
        }
    }

    /// A literal that was never written before, of any storage class but NULL.
    fn value(&mut self) -> String {
        self.written += 1;
        let number = self.first_key + self.written;
        match self.random.below(4) {
            0 => number.to_string(),
            1 => format!("{number}.5"),
            2 => format!("x'{number:06x}'"),
            _ => format!("'text {number}'"),
        }
    }
}

/// The site ids that a file of the other engine names are the same blobs.
#[test]
fn authors_are_kept_across_engines() {
    let Some(settings) = Settings::find(&[Engine::Original]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ours, theirs) = one_of_each(&settings, folder.path());
    ours.run("INSERT INTO foo VALUES (1, 'ours', 1)", &[]);
    theirs.run("INSERT INTO foo VALUES (2, 'theirs', 2)", &[]);
    merge(&theirs, &changes_since(&ours, 0));
    merge(&ours, &changes_since(&theirs, 0));
    let author = |peer: &Peer, value: &str| -> Value {
        peer.one("SELECT site_id FROM crsql_changes WHERE val = ?1", &[value.into()])
    };
    for (value, writer) in [("ours", &ours), ("theirs", &theirs)] {
        for peer in [&ours, &theirs] {
            assert_eq!(author(peer, value), writer.site_id());
        }
    }
}
