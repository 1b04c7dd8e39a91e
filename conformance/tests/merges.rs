//! Single change records, made up at random, merged by the built-in engine and by the original: the same verdict, the
//! same records, the same answers to an application that asks what had an effect.

use rejoin_conformance::{Engine, Host, Peer, Random, Settings, Statement, Value};
use std::collections::HashSet;

#[test]
fn made_up_records_get_the_same_verdict_from_both_engines() {
    let Some(settings) = Settings::find(&[Engine::Original]) else { return };
    let mut random = Random::new();
    for _ in 0..SCRIPTS {
        let seed = random.bits();
        println!("script {seed}");
        let records = Records::new(seed).take(RECORDS);
        let statements: Vec<Statement> =
            records.iter().flat_map(|record| [record.clone()].into_iter().chain(ASKED.map(plain))).collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let answers = [("ours", Engine::BuiltIn), ("theirs", Engine::Original)].map(|(name, engine)| {
            let peer = Peer::new(&settings, folder.path(), name, Host::Python, engine);
            peer.run_all(&SCHEMA);
            peer.run_each(&statements)
        });
        for (index, (ours, theirs)) in answers[0].iter().zip(&answers[1]).enumerate() {
            let (record, part) = (index / (ASKED.len() + 1), index % (ASKED.len() + 1));
            let so_far = || &records[..=record];
            let asked = part.checked_sub(1).map_or("the record itself", |part| ASKED[part]);
            assert_eq!(ours, theirs, "(ours, theirs) {asked} of script {seed} after {:#?}", so_far());
        }
    }
}

#[test]
fn a_record_that_makes_no_sense_is_an_error_and_leaves_nothing() {
    let Some(settings) = Settings::find(&[Engine::BuiltIn]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let peer = Peer::new(&settings, folder.path(), "peer", Host::Python, Engine::BuiltIn);
    peer.run_all(&SCHEMA);
    peer.run("INSERT INTO foo VALUES (1, 'b', 'c')", &[]);
    let site = || Value::Blob(vec![7; 16]);
    let record = |table: &str, pk: Value, cid: &str, site: Value| {
        let values = [table.into(), pk, cid.into(), "val".into(), 9.into(), 9.into(), site, 1.into(), 0.into()];
        Statement::new(INSERT, &values)
    };
    let key = || Value::Blob(vec![1, 9, 1]);
    // What ends the original's process, or is taken by it, is among these.
    let senseless = [
        record("nobody", key(), "b", site()),
        record("foo", Value::Blob(vec![]), "b", site()),
        record("foo", Value::Null, "b", site()),
        record("foo", "text".into(), "b", site()),
        record("foo", Value::Blob(vec![1, 9]), "b", site()),
        record("foo", Value::Blob(vec![1, 0]), "b", site()),
        record("foo", Value::Blob(vec![1, 0x79, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]), "b", site()),
        record("foo", Value::Blob(vec![1, 0x44, 255, 255, 255, 255, 255, 255, 255, 255]), "b", site()),
        record("foo", Value::Blob(vec![0]), "b", site()),
        record("foo", Value::Blob(vec![2, 9, 1, 9, 1]), "b", site()),
        record("foo", key(), "no column", site()),
        record("foo", key(), "b", Value::Blob(vec![7; 17])),
        record(&"t".repeat(3000), key(), "b", site()),
        record("foo", key(), &"c".repeat(3000), site()),
    ];
    let dump = [plain(ASKED[0]), plain("SELECT * FROM foo"), plain("SELECT * FROM foo__crsql_clock")];
    let before = peer.run_each(&dump);
    for (answer, record) in peer.run_each(&senseless).into_iter().zip(&senseless) {
        let message = answer.expect_err(&format!("{record:?} was taken"));
        assert!(!message.is_empty() && message != "SQL logic error", "this says nothing: {message}");
    }
    assert_eq!(peer.run_each(&dump), before);
    peer.run("UPDATE foo SET b = 'still recorded' WHERE a = 1", &[]);
    let versions = "SELECT col_version FROM crsql_changes WHERE cid = 'b'";
    assert_eq!(peer.run(versions, &[]), [[2.into()]]);
}

const SCRIPTS: usize = 6;
const RECORDS: usize = 60;

const SCHEMA: [&str; 4] = [
    "CREATE TABLE foo (a INTEGER PRIMARY KEY NOT NULL, b, c DEFAULT 5)",
    "CREATE TABLE only (a INTEGER PRIMARY KEY NOT NULL)",
    "SELECT crsql_as_crr('foo')",
    "SELECT crsql_as_crr('only')",
];

const INSERT: &str = "INSERT INTO crsql_changes ([table], pk, cid, val, col_version, db_version, site_id, cl, seq)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// What is asked after every record.
const ASKED: [&str; 8] = [
    "SELECT [table], pk, cid, val, col_version, db_version, site_id = crsql_site_id(), cl, seq FROM crsql_changes
        ORDER BY db_version, seq, [table], pk, cid",
    "SELECT * FROM foo ORDER BY a",
    "SELECT * FROM only ORDER BY a",
    "SELECT * FROM foo__crsql_clock ORDER BY key, col_name",
    "SELECT * FROM only__crsql_clock ORDER BY key, col_name",
    "SELECT ordinal, ordinal = 0 OR site_id FROM crsql_site_id WHERE ordinal > 0 ORDER BY ordinal",
    "SELECT crsql_db_version(), crsql_rows_impacted()",
    "SELECT last_insert_rowid() <> 0",
];

fn plain(sql: &str) -> Statement {
    Statement::new(sql, &[])
}

/// Makes up records for a few rows, in any order of versions, with repetitions, and local writes in between.
///
/// Equal versions always come with equal values, because the original decides other ties by site. The first record
/// of a row is a sentinel or of its first life, because the original forgets the life of any other.
struct Records {
    random: Random,
    known: HashSet<(usize, u64)>,
    local: u64,
}

impl Records {
    fn new(seed: u64) -> Records {
        Records { random: Random::seeded(seed), known: HashSet::new(), local: 0 }
    }

    fn take(&mut self, count: usize) -> Vec<Statement> {
        (0..count).map(|_| self.next()).collect()
    }

    fn next(&mut self) -> Statement {
        let table = self.random.below(3) as usize;
        let key = 1 + self.random.below(3);
        if self.random.below(8) == 0 && self.known.contains(&(0, key)) {
            // A version far above every made-up one, so that it ties with none.
            self.local += 1;
            return plain(&format!("UPDATE foo SET c = 'local {}' WHERE a = {key}", self.local));
        }
        let table_name = if table == 2 { "only" } else { "foo" };
        let life = 1 + self.random.below(5);
        let is_known = !self.known.insert((table / 2, key));
        let is_sentinel = table == 2 || !is_known && life > 1 || self.random.below(3) == 0;
        // A cell speaks of a living row; the engines differ on purpose over a delete that names a column.
        let life = if is_sentinel { life } else { life | 1 };
        let column = if is_sentinel { "-1" } else { *self.random.of(&["b", "b", "c"]) };
        // A local write takes the next version of `c`; these must not meet it.
        let version = match column {
            "-1" => life as i64,
            "c" => 1000 * (1 + self.random.below(4)) as i64,
            _ => 1 + self.random.below(4) as i64,
        };
        let value =
            if is_sentinel { Value::Null } else { format!("{column} {version} in life {life}").as_str().into() };
        let site = vec![1 + self.random.below(3) as u8; 16];
        Statement::new(
            INSERT,
            &[
                table_name.into(),
                Value::Blob(vec![1, 9, key as u8]),
                column.into(),
                value,
                version.into(),
                (1 + self.random.below(80) as i64).into(),
                Value::Blob(site),
                (life as i64).into(),
                (self.random.below(10) as i64).into(),
            ],
        )
    }
}
