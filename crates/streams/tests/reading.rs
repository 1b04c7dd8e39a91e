//! What packages are made of: the same changes, in stream order, as `crsql_changes` lists, wherever a package begins and
//! whatever it may take.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use rejoin_change::{Change, Cursor, PackedKey, Part, Place, SiteId, Value};
use rejoin_streams::{Outbound, OutboundOptions, Produced};
use rejoin_wire::{Compression, Format, Package};
use rusqlite::types::Value as Sql;

/// Nobody: the other end of streams that are only read.
const REMOTE: SiteId = SiteId([7; 16]);

/// All packages behind a cursor, decoded.
fn packages(outbound: &Outbound, after: &Cursor) -> Vec<Package> {
    let mut packages: Vec<Package> = Vec::new();
    let mut after = after.clone();
    while let Some(produced) = outbound.next(Some(&after)).unwrap() {
        let package = decoded(&produced);
        assert_eq!(package.start.cursor, after);
        assert!(package.end.cursor > after);
        assert_eq!(package.ends_transaction, package.end.cursor.is_end_of_version());
        after = package.end.cursor.clone();
        packages.push(package);
    }
    packages
}

fn decoded(produced: &Produced) -> Package {
    Package::decode(produced.package.as_bytes()).unwrap()
}

/// The changes of packages that follow each other, with their values in one piece.
fn joined(packages: &[Package]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for package in packages {
        for (at, change) in package.changes.iter().enumerate() {
            let begun = part(&package.start.cursor).filter(|_| at == 0);
            match (begun, changes.last_mut()) {
                (Some(_), Some(last)) if is_same_cell(last, change) => append(&mut last.value, &change.value),
                _ => changes.push(change.clone()),
            }
            let begun_bytes = begun.map_or(0, |part| part.offset_bytes);
            if let Some(part) = part(&package.end.cursor).filter(|_| at + 1 == package.changes.len()) {
                assert_eq!(begun_bytes + bytes(&change.value).len() as u64, part.offset_bytes);
            }
        }
    }
    changes
}

fn part(cursor: &Cursor) -> Option<Part> {
    match &cursor.place {
        Place::At { part, .. } => *part,
        Place::End => None,
    }
}

fn is_same_cell(a: &Change, b: &Change) -> bool {
    (&a.table, &a.key, &a.column, a.col_version) == (&b.table, &b.key, &b.column, b.col_version)
}

fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::Text(bytes) | Value::Blob(bytes) => bytes,
        _ => &[],
    }
}

fn append(value: &mut Value, more: &Value) {
    match (value, more) {
        (Value::Text(all), Value::Text(more)) | (Value::Blob(all), Value::Blob(more)) => all.extend_from_slice(more),
        (value, more) => panic!("{value:?} does not go on with {more:?}"),
    }
}

/// What `crsql_changes` lists, in stream order.
fn listed(database: &Database) -> Vec<Change> {
    let own = database.site();
    let sql = "SELECT \"table\", pk, cid, val, col_version, db_version, site_id, cl, seq FROM crsql_changes";
    let mut statement = database.host.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        let value = match row.get(3)? {
            Sql::Null => Value::Null,
            Sql::Integer(i) => Value::Integer(i),
            Sql::Real(r) => Value::Real(r),
            Sql::Text(text) => Value::Text(text.into_bytes()),
            Sql::Blob(blob) => Value::Blob(blob),
        };
        Ok(Change {
            table: row.get::<_, String>(0)?.into(),
            key: PackedKey::from_bytes(row.get(1)?).unwrap(),
            column: row.get::<_, String>(2)?.into(),
            value,
            col_version: row.get(4)?,
            db_version: row.get(5)?,
            site_id: row.get::<_, Option<Vec<u8>>>(6)?.map_or(own, |id| SiteId::from_slice(&id).unwrap()),
            causal_length: row.get(7)?,
            seq: row.get(8)?,
        })
    });
    let mut changes: Vec<Change> = rows.unwrap().collect::<Result<_, _>>().unwrap();
    changes.sort_by_key(Change::cursor);
    changes
}

fn options(package_bytes_max: usize, package_changes_max: Option<usize>) -> OutboundOptions {
    OutboundOptions { package_bytes_max, package_changes_max, ..Default::default() }
}

fn assert_told(database: &Database, options: &OutboundOptions) {
    let told = joined(&packages(&database.outbound_with(REMOTE, options), &Cursor::BEGINNING));
    assert_same(&told, &listed(database));
}

fn assert_same(told: &[Change], listed: &[Change]) {
    for (at, (told, listed)) in told.iter().zip(listed).enumerate() {
        assert_eq!(told, listed, "change {at}");
    }
    assert_eq!(told.len(), listed.len());
}

/// A sequence that repeats itself for a seed.
struct Chance(u64);

impl Chance {
    fn new() -> Chance {
        let seed = std::process::id() as u64 ^ std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        println!("seed {seed}");
        Chance(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }
}

const TABLES: &str = r#"
CREATE TABLE plain(id INTEGER PRIMARY KEY NOT NULL, b, "c c" REAL, d TEXT);
CREATE TABLE "quoted ""name"" é"("k ""1""" TEXT NOT NULL, k2 NOT NULL, "!first", "select", z BLOB,
  PRIMARY KEY (k2, "k ""1"""));
CREATE TABLE bare(k BLOB NOT NULL, n INTEGER NOT NULL, v, w, PRIMARY KEY (k, n)) WITHOUT ROWID;
CREATE TABLE keys(a NOT NULL, b NOT NULL, PRIMARY KEY (a, b));
CREATE TABLE strict_one(k REAL PRIMARY KEY NOT NULL, v ANY, g TEXT AS (v || 'x')) STRICT;
SELECT crsql_as_crr('plain'); SELECT crsql_as_crr('quoted "name" é'); SELECT crsql_as_crr('bare');
SELECT crsql_as_crr('keys'); SELECT crsql_as_crr('strict_one');
"#;

fn value(chance: &mut Chance) -> String {
    match chance.below(9) {
        0 => "NULL".into(),
        1 => format!("{}", chance.below(5) as i64 - 2),
        2 => "9e999".into(),
        3 => format!("{}.5", chance.below(3)),
        4 => "''".into(),
        5 => format!("'text {}'", chance.below(4)),
        6 => "x'00ff'".into(),
        7 => format!("printf('%.*c', {}, 'é')", 1 + chance.below(6000)),
        _ => format!("randomblob({})", chance.below(9000)),
    }
}

/// One random statement.
fn statement(chance: &mut Chance) -> String {
    let (id, other) = (chance.below(8), chance.below(8));
    let text = |chance: &mut Chance| ["''", "'a'", "'b'", "'é'"][chance.below(4) as usize];
    let key = |chance: &mut Chance| ["1", "2.5", "'k'", "x'01'", "x''"][chance.below(5) as usize];
    let (a, b, c) = (value(chance), value(chance), value(chance));
    match chance.below(14) {
        0..=2 => format!("INSERT OR REPLACE INTO plain VALUES ({id}, {a}, {b}, {c})"),
        3 => format!("UPDATE plain SET b = {a} WHERE id = {id}"),
        4 => format!("DELETE FROM plain WHERE id = {id}"),
        5 => format!("UPDATE OR IGNORE plain SET id = {other}, d = {a} WHERE id = {id}"),
        6 => format!(
            "INSERT OR REPLACE INTO \"quoted \"\"name\"\" é\" VALUES ({}, {}, {a}, {b}, {c})",
            text(chance),
            key(chance)
        ),
        7 => format!("UPDATE \"quoted \"\"name\"\" é\" SET \"select\" = {a} WHERE k2 = {}", key(chance)),
        8 => format!("INSERT OR REPLACE INTO bare VALUES (CAST({} AS BLOB), {id}, {a}, {b})", text(chance)),
        9 => format!("DELETE FROM bare WHERE n = {id}"),
        10 => format!("INSERT OR IGNORE INTO keys VALUES ({}, {})", key(chance), text(chance)),
        11 => format!("DELETE FROM keys WHERE b = {}", text(chance)),
        12 => format!("INSERT OR REPLACE INTO strict_one(k, v) VALUES ({id}.5, {a})"),
        _ => format!("UPDATE strict_one SET v = {a} WHERE k > {id}"),
    }
}

#[test]
fn packages_hold_what_crsql_changes_lists_whatever_was_written() {
    if original().is_some() {
        return; // It cannot track such names; conformance/tests/reading.rs compares with it.
    }
    let folder = Folder::new();
    let mut chance = Chance::new();
    for round in 0..12 {
        let open = |name: &str| {
            let database = Database::open_bare(&folder.path(&format!("{name}{round}")));
            database.run(TABLES);
            database
        };
        let (a, b) = (open("a"), open("b"));
        for _ in 0..25 {
            let database = if chance.below(3) == 0 { &b } else { &a };
            let statements: Vec<String> = (0..1 + chance.below(6)).map(|_| statement(&mut chance)).collect();
            database.run(&format!("BEGIN; {}; COMMIT", statements.join("; ")));
            if chance.below(5) == 0 {
                pour(&b, &a);
            }
        }
        match chance.below(4) {
            0 => a.run(
                "SELECT crsql_begin_alter('plain'); ALTER TABLE plain DROP COLUMN d;
                 ALTER TABLE plain ADD COLUMN \"+added\" DEFAULT 3; SELECT crsql_commit_alter('plain')",
            ),
            1 => a.run("SELECT crsql_as_table('bare'); SELECT crsql_as_crr('bare')"),
            2 => a.run("SELECT crsql_as_table('keys'); DROP TABLE keys"),
            _ => {}
        }
        for (bytes_max, changes_max) in
            [(262_144, None), (10_000, None), (1, None), (262_144, Some(1)), (4_100, Some(3))]
        {
            let format = if chance.below(2) == 0 { Format::Json } else { Format::Binary(Compression::Zstd) };
            assert_told(&a, &OutboundOptions { format, ..options(bytes_max, changes_max) });
        }
    }
}

/// Changes as another sync layer moves them, seqs and all: many share a pair then.
fn pour(from: &Database, to: &Database) {
    let columns = "\"table\", pk, cid, val, col_version, db_version, site_id, cl, seq";
    let mut read = from.host.prepare(&format!("SELECT {columns} FROM crsql_changes")).unwrap();
    let rows = read.query_map([], |row| (0..9).map(|at| row.get(at)).collect::<Result<Vec<Sql>, _>>()).unwrap();
    let rows: Vec<Vec<Sql>> = rows.collect::<Result<_, _>>().unwrap();
    to.run("BEGIN");
    let write = format!("INSERT INTO crsql_changes({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    for row in rows {
        to.host.execute(&write, rusqlite::params_from_iter(row)).unwrap();
    }
    to.run("COMMIT");
}

/// So many rows in one transaction.
fn fill(database: &Database, first: i64, rows: i64) {
    database.run(&format!(
        "WITH n(i) AS (VALUES ({first}) UNION ALL SELECT i + 1 FROM n WHERE i < {first} + {rows} - 1)
         INSERT INTO t SELECT i, 'text ' || i, i * 0.5 FROM n"
    ));
}

#[test]
fn a_version_that_is_too_large_for_memory_is_told_in_order_from_anywhere() {
    let folder = Folder::new();
    let a = folder.database("a");
    // Two tables in one transaction, their rows by turns, and keys that fall.
    a.run("BEGIN");
    a.run(
        "CREATE TEMP TABLE n AS WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 9000) SELECT i FROM n;
         CREATE TEMP TRIGGER both AFTER INSERT ON main.t BEGIN INSERT INTO u VALUES ('k' || new.id, new.b); END;
         INSERT INTO t SELECT 10000 - i, i, NULL FROM n",
    );
    a.run("COMMIT");
    let all = listed(&a);
    assert_eq!(all.len(), 27_000);
    let before = a.connection.total_changes();
    let outbound = a.outbound_with(REMOTE, &options(100_000, None));
    let told = packages(&outbound, &Cursor::BEGINNING);
    assert!(told.len() > 4, "{}", told.len());
    assert_same(&joined(&told), &all);
    for at in [1, all.len() / 2, all.len() - 1] {
        // Nothing is kept where another connection, or this one later, asks for the middle.
        let again = a.again();
        let start = all[at - 1].cursor();
        let rest = packages(&again.outbound_with(REMOTE, &options(100_000, None)), &start);
        assert_same(&joined(&rest), &all[at..]);
        let rest = packages(&outbound, &start);
        assert_same(&joined(&rest), &all[at..]);
        let pair = Cursor::end_of_pair(start.db_version, start.seq);
        assert_same(&joined(&packages(&outbound, &pair)), &all[at..]);
    }
    assert!(a.connection.total_changes() - before < 20, "the application's counter counts no spooled change");
    assert_eq!(a.one::<i64>("SELECT count(*) FROM sqlite_temp_schema"), 2, "nothing is added to the temp schema");
    a.close();
}

#[test]
fn cells_that_move_up_while_their_version_is_told_are_told_once_at_their_new_place() {
    let folder = Folder::new();
    for rows in [400, 9_000] {
        let a = folder.database(&format!("a{rows}"));
        fill(&a, 1, rows);
        let outbound = a.outbound_with(REMOTE, &options(20_000, None));
        let mut told = Vec::new();
        let mut after = Cursor::BEGINNING;
        let mut step = 0;
        while let Some(produced) = outbound.next(Some(&after)).unwrap() {
            told.push(decoded(&produced));
            after = produced.end;
            step += 1;
            if step == 2 {
                a.run("UPDATE t SET b = 'new' WHERE id % 3 = 0; DELETE FROM t WHERE id % 100 = 7");
                a.run(&format!("UPDATE t SET c = NULL WHERE id = {rows}; INSERT INTO u VALUES ('k', 1)"));
            }
        }
        let told = joined(&told);
        let listed = listed(&a);
        let behind: Vec<&Change> = told.iter().filter(|change| change.db_version > 1).collect();
        assert_eq!(behind, listed.iter().filter(|change| change.db_version > 1).collect::<Vec<_>>());
        let in_first: Vec<Cursor> = told.iter().filter(|change| change.db_version == 1).map(Change::cursor).collect();
        assert!(in_first.is_sorted_by(|a, b| a < b), "no cell is told twice");
        for change in listed.iter().filter(|change| change.db_version == 1) {
            assert!(in_first.binary_search(&change.cursor()).is_ok(), "{change:?}");
        }
    }
}

#[test]
fn several_streams_read_one_large_version_by_turns() {
    let folder = Folder::new();
    let a = folder.database("a");
    fill(&a, 1, 9_000);
    let all = listed(&a);
    let remotes: Vec<Outbound> =
        (0..6).map(|index| a.outbound_with(SiteId([40 + index; 16]), &options(60_000, None))).collect();
    let mut told: Vec<Vec<Package>> = vec![Vec::new(); remotes.len()];
    loop {
        let mut has_more = false;
        for (outbound, told) in remotes.iter().zip(&mut told) {
            let after = told.last().map_or(Cursor::BEGINNING, |package: &Package| package.end.cursor.clone());
            if let Some(produced) = outbound.next(Some(&after)).unwrap() {
                told.push(decoded(&produced));
                has_more = true;
            }
        }
        if !has_more {
            break;
        }
    }
    told.iter().for_each(|told| assert_same(&joined(told), &all));
}

#[test]
fn a_restored_file_is_read_as_it_is_and_not_as_it_was_listed_before() {
    let folder = Folder::new();
    let a = folder.database("a");
    fill(&a, 1, 9_000);
    let backup = folder.path("backup");
    a.backup(&backup);
    a.run("UPDATE t SET b = 'moved' WHERE id > 8000");
    let start = a.outbound_with(REMOTE, &options(20_000, None)).next(None).unwrap().unwrap().end;
    // The backup is copied into the open file; the connection goes on.
    let source = rusqlite::Connection::open(&backup).unwrap();
    let mut host = a.host;
    {
        let copy = rusqlite::backup::Backup::new(&source, &mut host).unwrap();
        copy.run_to_completion(1000, std::time::Duration::ZERO, None).unwrap();
    }
    let a = Database { host, connection: a.connection, path: a.path };
    let error = a.outbound_with(REMOTE, &options(20_000, None)).next(Some(&start));
    // What it has told of and lost is refused, or where nothing was lost, everything that is there is told.
    match error {
        Err(error) => assert!(error.to_string().contains("crsql_reidentify"), "{error}"),
        Ok(_) => {
            let rest = joined(&packages(&a.outbound_with(REMOTE, &options(20_000, None)), &start));
            let all = listed(&a);
            assert_same(&rest, &all[all.len() - rest.len()..]);
        }
    }
}

fn big(database: &Database, table: &str) -> Vec<u8> {
    database.one(&format!("SELECT CAST(v AS BLOB) FROM {table} WHERE k = 'big'"))
}

const LARGE_TABLES: &str = "
CREATE TABLE rowids(k TEXT PRIMARY KEY NOT NULL, v, w);
CREATE TABLE bare(k TEXT PRIMARY KEY NOT NULL, v, w) WITHOUT ROWID;
CREATE TABLE shadowed(k TEXT PRIMARY KEY NOT NULL, v, w, rowid, oid, _rowid_);
SELECT crsql_as_crr('rowids'); SELECT crsql_as_crr('bare'); SELECT crsql_as_crr('shadowed');";

#[test]
fn a_value_larger_than_a_package_travels_in_parts() {
    let folder = Folder::new();
    for encoding in ["UTF-8", "UTF-16le"] {
        for (table, class) in
            [("rowids", "BLOB"), ("rowids", "TEXT"), ("bare", "TEXT"), ("shadowed", "BLOB"), ("bare", "BLOB")]
        {
            let a = Database::open_bare(&folder.path(&format!("{encoding}{table}{class}")));
            a.run(&format!("PRAGMA encoding = '{encoding}'; {LARGE_TABLES}"));
            a.run(&format!(
                "INSERT INTO {table}(k, v, w) VALUES ('big', CAST(printf('%.*c', 200000, 'é') AS {class}), 'small'),
                   ('small', 1, 2), ('z', CAST(printf('%.*c', 20000, 'x') AS {class}), printf('%.*c', 9000, 'y'))"
            ));
            let all = listed(&a);
            for (bytes_max, format) in [
                (262_144, Format::Binary(Compression::Zstd)),
                (262_144, Format::Json),
                (100_001, Format::Binary(Compression::None)),
                (5000, Format::Json),
            ] {
                let options = OutboundOptions { format, ..options(bytes_max, None) };
                let outbound = a.outbound_with(REMOTE, &options);
                let told = packages(&outbound, &Cursor::BEGINNING);
                assert!(told.len() > 400_000 / bytes_max, "{}", told.len());
                for package in &told {
                    let size: usize = package.changes.iter().map(rejoin_wire::change_size_bytes).sum();
                    assert!(size <= bytes_max + 4096, "{size} of {bytes_max}");
                }
                assert_same(&joined(&told), &all);
                // From the middle of the value, with nothing kept.
                let start = told[told.len() / 2].start.cursor.clone();
                assert!(part(&start).is_some());
                let rest = packages(&a.again().outbound_with(REMOTE, &options), &start);
                assert_eq!(rest, told[told.len() / 2..].to_vec());
            }
            assert_eq!(big(&a, table).len(), 400_000);
        }
    }
}

#[test]
fn a_value_that_is_overwritten_in_flight_is_told_at_its_new_place_and_not_gone_on_with() {
    let folder = Folder::new();
    for (rows, bytes) in [(0, 2_000_000), (0, 40_000), (9_000, 2_000_000)] {
        let a = folder.database(&format!("a{rows}{bytes}"));
        a.run("BEGIN; CREATE TEMP TABLE n AS WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 9000) SELECT i FROM n");
        a.run(&format!("INSERT INTO t SELECT i, i, i FROM n WHERE i <= {rows}"));
        a.run(&format!("INSERT INTO u VALUES ('big', zeroblob({bytes})), ('other', 1); COMMIT"));
        let outbound = a.outbound_with(REMOTE, &options(20_000, None));
        let mut told: Vec<Package> = Vec::new();
        while told.iter().filter(|package| part(&package.end.cursor).is_some()).count() < 2 {
            let after = told.last().map_or(Cursor::BEGINNING, |package| package.end.cursor.clone());
            told.push(decoded(&outbound.next(Some(&after)).unwrap().unwrap()));
        }
        let start = told.last().unwrap().end.cursor.clone();
        a.run(&format!("UPDATE u SET v = randomblob({bytes}) WHERE k = 'big'"));
        let rest = packages(&outbound, &start);
        let first = &rest[0].changes[0];
        assert_eq!(first.key.values(), [Value::Text(b"other".to_vec())], "the next in the stream");
        let all = listed(&a);
        let told = joined(&rest);
        assert_same(&told, &all[all.len() - told.len()..]);
        assert_eq!(told.len(), 2);
        // As another connection sees it, too.
        assert_eq!(packages(&a.again().outbound_with(REMOTE, &options(20_000, None)), &start), rest);
    }
}

#[test]
fn a_row_deleted_in_flight_leaves_its_value_unfinished() {
    let folder = Folder::new();
    let a = folder.database("a");
    a.run("INSERT INTO u VALUES ('big', zeroblob(100000))");
    let outbound = a.outbound_with(REMOTE, &options(20_000, None));
    let start = outbound.next(None).unwrap().unwrap().end;
    a.run("DELETE FROM u");
    let rest = packages(&outbound, &start);
    assert_eq!(joined(&rest), listed(&a));
    assert_eq!(rest[0].changes[0].causal_length, 2);
}

#[test]
fn until_ends_a_package_also_inside_a_version_and_inside_a_value() {
    let folder = Folder::new();
    let a = folder.database("a");
    a.run("BEGIN; INSERT INTO t VALUES (1, 2, 3), (2, 3, 4); INSERT INTO u VALUES ('big', zeroblob(50000)), ('l', 1); COMMIT");
    a.run("INSERT INTO t VALUES (3, 4, 5)");
    let outbound = a.outbound_with(REMOTE, &options(20_000, None));
    let told = packages(&outbound, &Cursor::BEGINNING);
    assert_eq!(told.iter().filter(|package| part(&package.end.cursor).is_some()).count(), 2);
    // Every package can be had again by its two ends.
    for package in &told {
        let again = outbound.next_until(Some(&package.start.cursor), Some(&package.end.cursor)).unwrap().unwrap();
        assert_eq!(decoded(&again), *package);
        assert!(outbound.next_until(Some(&package.end.cursor), Some(&package.end.cursor)).unwrap().is_none());
    }
    let all = listed(&a);
    for (at, change) in all.iter().enumerate() {
        let until = change.cursor();
        let mut told = Vec::new();
        let mut after = Cursor::BEGINNING;
        while let Some(produced) = outbound.next_until(Some(&after), Some(&until)).unwrap() {
            told.push(decoded(&produced));
            after = produced.end;
        }
        assert_same(&joined(&told), &all[..=at]);
        assert!(after == until || after.is_end_of_version(), "{after:?}");
    }
}

#[test]
fn where_nothing_follows_inside_a_version_an_empty_package_closes_it() {
    let folder = Folder::new();
    for rows in [3, 9_000] {
        let a = folder.database(&format!("a{rows}"));
        fill(&a, 1, rows);
        a.run("INSERT INTO u VALUES ('big', zeroblob(60000))");
        let outbound = a.outbound_with(REMOTE, &options(20_000, Some(5)));
        let start = outbound.next(None).unwrap().unwrap().end;
        assert!(start.db_version == 1 && !start.is_end_of_version());
        a.run("DELETE FROM t");
        let closed = Cursor::end_of_version(1);
        // Up to the end of the version, and not beyond.
        let package = decoded(&outbound.next_until(Some(&start), Some(&closed)).unwrap().unwrap());
        assert_eq!((package.changes.len(), &package.end.cursor, package.ends_transaction), (0, &closed, true));
        let until = Cursor::end_of_pair(1, 1 << 40);
        let bounded = outbound.next_until(Some(&start), Some(&until)).unwrap().unwrap();
        assert_eq!((bounded.changes, bounded.end), (0, until), "nothing will be stored before that any more");
        // Inside a value that has gone, at the very end of the stream.
        a.run("UPDATE u SET v = zeroblob(50000)");
        let mut inside = outbound.next(Some(&Cursor::end_of_version(3))).unwrap().unwrap().end;
        assert!(part(&inside).is_some());
        let excluding = OutboundOptions { exclude_sites: vec![a.site()], ..options(20_000, None) };
        let nothing = a.outbound_with(SiteId([9; 16]), &excluding);
        for start in [&inside, &start] {
            let package = decoded(&nothing.next(Some(start)).unwrap().unwrap());
            assert_eq!((package.changes.len(), package.end.cursor), (0, Cursor::end_of_version(4)));
            let until = Cursor::end_of_version(start.db_version);
            let package = nothing.next_until(Some(start), Some(&until)).unwrap();
            assert_eq!(package.map(|package| (package.changes, package.end)), Some((0, until)));
        }
        // The head is the version itself: nothing of it is left, and an empty package says so.
        if let Place::At { part: Some(part), .. } = &mut inside.place {
            part.col_version += 1;
        }
        let package = decoded(&outbound.next(Some(&inside)).unwrap().unwrap());
        assert_eq!((package.changes.len(), package.end.cursor), (0, Cursor::end_of_version(4)));
    }
}

#[test]
fn a_stream_of_some_tables_tells_of_no_other_however_much_they_hold() {
    let folder = Folder::new();
    let a = folder.database("a");
    a.run("BEGIN");
    fill(&a, 1, 9_000);
    a.run("INSERT INTO u VALUES ('k', 1), ('l', 2); COMMIT; INSERT INTO t VALUES (0, 0, 0)");
    let options = |tables: &[&str]| OutboundOptions {
        tables: Some(tables.iter().map(|table| table.to_string()).collect()),
        ..options(20_000, None)
    };
    let told = packages(&a.outbound_with(REMOTE, &options(&["U", "none"])), &Cursor::BEGINNING);
    assert_eq!(told.len(), 1);
    assert_same(&joined(&told), &listed(&a).into_iter().filter(|change| &*change.table == "u").collect::<Vec<_>>());
    assert_eq!(told[0].end.cursor, Cursor::end_of_version(2));
    let told = packages(&a.outbound_with(SiteId([8; 16]), &options(&["t"])), &Cursor::BEGINNING);
    assert_same(&joined(&told), &listed(&a).into_iter().filter(|change| &*change.table == "t").collect::<Vec<_>>());
    let told = packages(&a.outbound_with(SiteId([9; 16]), &options(&[])), &Cursor::BEGINNING);
    assert_eq!((told.len(), joined(&told).len()), (1, 0));
}

#[test]
fn a_version_of_an_excluded_author_is_passed_without_being_put_in_order() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    fill(&b, 1, 9_000);
    tell(&b, &a).unwrap();
    a.run("INSERT INTO u VALUES ('k', 1)");
    let excluding = OutboundOptions { exclude_sites: vec![b.site()], ..options(20_000, None) };
    for outbound in [a.outbound_with(REMOTE, &excluding), a.outbound(b.site())] {
        let told = packages(&outbound, &Cursor::BEGINNING);
        assert_eq!((told.len(), joined(&told).len()), (1, 1));
    }
}

#[test]
fn a_connection_closes_in_the_middle_of_a_large_version_and_of_a_large_value() {
    let folder = Folder::new();
    let a = folder.database("a");
    fill(&a, 1, 9_000);
    a.run("INSERT INTO u VALUES ('big', zeroblob(20000000))");
    let outbound = a.outbound_with(REMOTE, &options(20_000, None));
    let first = outbound.next(None).unwrap().unwrap();
    assert!(!first.end.is_end_of_version());
    let begun = outbound.next(Some(&Cursor::end_of_version(1))).unwrap().unwrap();
    assert!(part(&begun.end).is_some());
    drop(outbound);
    let a = a.reopen();
    let outbound = a.outbound_with(REMOTE, &options(20_000, None));
    let again = outbound.next(None).unwrap().unwrap();
    assert_eq!(decoded(&again).changes, decoded(&first).changes);
}

#[test]
fn hundreds_of_tables_are_read_as_one_stream() {
    let folder = Folder::new();
    let a = Database::open_bare(&folder.path("a"));
    let mut chance = Chance::new();
    for table in 0..250 {
        a.run(&format!("CREATE TABLE t{table}(k PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('t{table}')"));
    }
    for _ in 0..40 {
        let inserts: Vec<String> = (0..30)
            .map(|_| format!("INSERT OR REPLACE INTO t{} VALUES ({}, 1)", chance.below(250), chance.below(9)))
            .collect();
        a.run(&format!("BEGIN; {}; COMMIT", inserts.join(";")));
    }
    assert_told(&a, &options(262_144, None));
    assert_told(&a, &options(500, None));
    a.close();
}

#[test]
fn clock_rows_without_a_key_and_lost_columns_and_tables_are_left_out() {
    let folder = Folder::new();
    let a = folder.database("a");
    a.run("INSERT INTO t VALUES (1, 2, 3), (2, 3, 4); INSERT INTO u VALUES ('k', 1)");
    a.run("UPDATE t__crsql_clock SET seq = 0; DELETE FROM t__crsql_pks WHERE id = 2");
    a.run("INSERT INTO u__crsql_clock SELECT key, 'gone', 1, db_version, site_id, 9 FROM u__crsql_clock");
    a.run("CREATE TABLE stray__crsql_clock(a)");
    let told = joined(&packages(&a.outbound(REMOTE), &Cursor::BEGINNING));
    let cells: Vec<(&str, &str)> = told.iter().map(|change| (&*change.table, &*change.column)).collect();
    assert_eq!(cells, [("t", "b"), ("t", "c"), ("u", "v")]);
    a.run("PRAGMA legacy_alter_table = on; ALTER TABLE u RENAME TO other");
    let told = joined(&packages(&a.outbound(REMOTE), &Cursor::BEGINNING));
    assert_eq!(told.len(), 2);
}

/// The original engine leaves the cells of a row where they are when it moves them to another key. A file that it wrote
/// may have such rows, whichever engine has it open.
#[test]
fn with_the_sentinel_of_a_living_row_go_its_older_cells_whoever_wrote_them() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    b.run("INSERT INTO t VALUES (1, 2, 3)");
    tell(&b, &a).unwrap();
    // As the original does UPDATE t SET id = 2: the cells move to the new key as they are.
    a.run(
        "BEGIN; INSERT INTO t__crsql_pks(id) VALUES (2);
         SELECT crsql_internal_sync_bit(1); UPDATE t SET id = 2; SELECT crsql_internal_sync_bit(0);
         UPDATE t__crsql_clock SET key = 2;
         INSERT INTO t__crsql_clock VALUES (1, '-1', 2, 2, 0, 0), (2, '-1', 1, 2, 0, 1); COMMIT",
    );
    for changes_max in [None, Some(1)] {
        let options = options(262_144, changes_max);
        let told = joined(&packages(&a.outbound_with(b.site(), &options), &Cursor::BEGINNING));
        let cells: Vec<(&str, i64, i64, SiteId)> =
            told.iter().map(|change| (&*change.column, change.db_version, change.seq, change.site_id)).collect();
        let expected = [("-1", 2, 0, a.site()), ("-1", 2, 1, a.site()), ("b", 2, 1, b.site()), ("c", 2, 1, b.site())];
        assert_eq!(cells, expected, "{changes_max:?}");
    }
    tell(&a, &b).unwrap();
    assert_eq!(b.values("SELECT id || ':' || b || ':' || c FROM t"), [Sql::Text("2:2:3".into())]);
    // A remote without the right to hear of the sentinel's author hears of none of it.
    let excluding = OutboundOptions { exclude_sites: vec![a.site(), b.site()], ..Default::default() };
    assert!(joined(&packages(&a.outbound_with(REMOTE, &excluding), &Cursor::BEGINNING)).is_empty());
}
