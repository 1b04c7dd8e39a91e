//! Outbound streams beside the original engine: what packages are made of, and what a key change must not lose.

use rejoin_change::{Change, Cursor, PackedKey, Place, SENTINEL, SiteId, Value as Cell};
use rejoin_conformance::{Engine, Host, Peer, Random, Row, Settings, Statement, Stream, Value, carry, until_level};
use rejoin_wire::Package;
use std::path::Path;

/// The original moves the cells of a row to its new key as they are: with their old versions, behind which a peer that is
/// up to date does not look. It would get the row's key and nothing else.
#[test]
fn a_row_whose_key_was_changed_reaches_a_peer_that_was_up_to_date() {
    let Some(settings) = Settings::find(&[Engine::Beside]) else { return };
    for receiver in [Engine::Beside, Engine::BuiltIn] {
        for options in ["", ", package_changes_max = 1", ", format = json"] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let (s, r) = pair(&settings, folder.path(), receiver, options);
            s.run("INSERT INTO plain VALUES (1, 'two', 3), (7, 8, 9)", &[]);
            carry(&s, &r);
            s.run("UPDATE plain SET a = 2 WHERE a = 1", &[]);
            carry(&s, &r);
            assert_eq!(r.content("plain"), s.content("plain"), "{receiver:?} {options}");
            assert_eq!(r.run("SELECT * FROM plain WHERE a = 2", &[]), [[2.into(), "two".into(), 3.into()]]);
            until_level(&s, &r);
            assert_eq!(r.content("plain"), s.content("plain"), "{receiver:?} {options}");
        }
    }
}

/// The moved cells keep their author too. If that is the peer itself, they look like what came from it.
#[test]
fn a_row_whose_key_was_changed_reaches_the_peer_that_had_written_it() {
    let Some(settings) = Settings::find(&[Engine::Beside]) else { return };
    for receiver in [Engine::Beside, Engine::BuiltIn] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (s, r) = pair(&settings, folder.path(), receiver, "");
        r.run("INSERT INTO plain VALUES (1, 'two', 3)", &[]);
        until_level(&r, &s);
        s.run("UPDATE plain SET a = 2", &[]);
        until_level(&r, &s);
        assert_eq!(r.run("SELECT * FROM plain", &[]), [[2.into(), "two".into(), 3.into()]], "{receiver:?}");
        // Once more, with a change of a cell in the same statement; and over the place of a row that was deleted.
        s.run_all(&["UPDATE plain SET a = 3, b = 'new'", "UPDATE plain SET a = 1"]);
        until_level(&r, &s);
        assert_eq!(r.content("plain"), s.content("plain"), "{receiver:?}");
    }
}

#[test]
fn a_remote_that_leaves_an_author_out_still_gets_the_rows_that_others_moved() {
    let Some(settings) = Settings::find(&[Engine::Beside]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let author = Peer::new(&settings, folder.path(), "author", Host::Python, Engine::Beside);
    author.run_all(&SCHEMA);
    let id = author.site_id().literal();
    let (s, r) = pair(&settings, folder.path(), Engine::Beside, &format!(", exclude_sites = [{id}]"));
    author.make_streams(&s, Stream::default());
    s.make_streams(&author, Stream::default());
    author.run("INSERT INTO plain VALUES (1, 2, 3), (9, 9, 9)", &[]);
    carry(&author, &s);
    carry(&s, &r);
    assert_eq!(r.content("plain"), Vec::<Row>::new());
    s.run("UPDATE plain SET a = 2 WHERE a = 1", &[]);
    carry(&s, &r);
    assert_eq!(r.run("SELECT * FROM plain", &[]), [[2.into(), 2.into(), 3.into()]]);
}

#[test]
fn packages_hold_what_crsql_changes_lists_and_the_cells_of_rows_that_were_moved() {
    let Some(settings) = Settings::find(&[Engine::Beside]) else { return };
    let mut random = Random::new();
    for round in 0..6 {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (s, r) = pair(&settings, folder.path(), Engine::Beside, "");
        for _ in 0..4 {
            for peer in [&s, &r] {
                let script: Vec<Statement> = (0..30).map(|_| Statement::new(&statement(&mut random), &[])).collect();
                for (answer, statement) in peer.run_each(&script).iter().zip(&script) {
                    if let Err(error) = answer {
                        assert!(error.contains("UNIQUE constraint failed"), "{statement:?}\n{error}");
                    }
                }
            }
            if round % 2 == 0 {
                pour(&r, &s);
            }
        }
        let listed = listed(&s);
        for (bytes_max, changes_max) in [(262_144, 1_000_000), (262_144, 1), (100, 3)] {
            let told = told(&s, &format!("package_bytes_max = {bytes_max}, package_changes_max = {changes_max}"));
            assert_told(&told, &listed);
        }
    }
}

#[test]
fn a_transaction_that_is_too_large_for_memory_is_told_in_order() {
    let Some(settings) = Settings::find(&[Engine::Beside]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (s, _) = pair(&settings, folder.path(), Engine::Beside, "");
    s.run_all(&[
        "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 6000) INSERT INTO plain SELECT 7000 - i, i, i FROM n",
        "BEGIN",
        "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
            INSERT INTO pairs SELECT i % 7, 'k' || i, i FROM n",
        "UPDATE plain SET b = -b, c = 'x'",
        "UPDATE plain SET a = -a WHERE a < 2000",
        "COMMIT",
    ]);
    let listed = listed(&s);
    assert!(listed.len() > 18_000);
    assert_told(&told(&s, "package_bytes_max = 60000"), &listed);
}

#[test]
fn a_value_larger_than_a_package_travels_in_parts() {
    let Some(settings) = Settings::find(&[Engine::Beside]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (s, _) = pair(&settings, folder.path(), Engine::Beside, "");
    s.run_all(&[
        "INSERT INTO plain VALUES (1, printf('%.*c', 1200000, 'é'), 'small'), (2, zeroblob(3000000), 5)",
        "INSERT INTO pairs VALUES (1, 'k', printf('%.*c', 70000, 'x'))",
    ]);
    let listed = listed(&s);
    for options in ["package_bytes_max = 100000", "package_bytes_max = 300000, format = json"] {
        assert_told(&told(&s, options), &listed);
    }
}

const SCHEMA: [&str; 6] = [
    "CREATE TABLE plain (a INTEGER PRIMARY KEY NOT NULL, b, c)",
    "CREATE TABLE pairs (y NOT NULL, x TEXT NOT NULL, z, PRIMARY KEY (x, y)) WITHOUT ROWID",
    "CREATE TABLE only (k BLOB PRIMARY KEY NOT NULL)",
    "SELECT crsql_as_crr('plain')",
    "SELECT crsql_as_crr('pairs')",
    "SELECT crsql_as_crr('only')",
];

/// A sender beside the original, and a receiver.
fn pair(settings: &Settings, folder: &Path, receiver: Engine, outbound: &str) -> (Peer, Peer) {
    let s = Peer::new(settings, folder, "s", Host::Python, Engine::Beside);
    let r = Peer::new(settings, folder, "r", Host::Python, receiver);
    for peer in [&s, &r] {
        peer.run_all(&SCHEMA);
    }
    s.make_streams(&r, Stream { outbound, inbound: "" });
    r.make_streams(&s, Stream { outbound, inbound: "" });
    (s, r)
}

fn statement(random: &mut Random) -> String {
    let (key, other) = (random.below(5), random.below(5));
    let value = random.of(&["NULL", "1", "2.5", "'é'", "''", "x'00'", "-1"]).to_string();
    let text = random.of(&["'p'", "'q'", "''"]).to_string();
    match random.below(10) {
        0 | 1 => format!("INSERT OR REPLACE INTO plain VALUES ({key}, {value}, {other})"),
        2 => format!("UPDATE plain SET b = {value} WHERE a >= {key}"),
        3 => format!("DELETE FROM plain WHERE a = {key}"),
        4 => format!("UPDATE plain SET a = {other} WHERE a = {key}"),
        5 => format!("UPDATE plain SET a = {other} + 5, b = {value} WHERE a = {key}"),
        6 => format!("INSERT OR REPLACE INTO pairs VALUES ({key}, {text}, {value})"),
        7 => format!("UPDATE pairs SET x = {text} WHERE y = {key}"),
        8 => format!("INSERT OR IGNORE INTO only VALUES (x'{key:04x}')"),
        _ => format!("DELETE FROM only WHERE k = x'{key:04x}'"),
    }
}

const COLUMNS: &str = "[table], pk, cid, val, col_version, db_version, site_id, cl, seq";

/// As another sync layer does it, seqs and all: many changes share a pair then.
fn pour(from: &Peer, to: &Peer) {
    let insert = format!("INSERT INTO crsql_changes ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    let mut statements = vec![Statement::new("BEGIN", &[])];
    let rows = from.run(&format!("SELECT {COLUMNS} FROM crsql_changes"), &[]);
    statements.extend(rows.iter().map(|row| Statement::new(&insert, row)));
    statements.push(Statement::new("COMMIT", &[]));
    to.run_each(&statements).into_iter().for_each(|answer| drop(answer.expect("the change is merged")));
}

fn listed(peer: &Peer) -> Vec<Change> {
    let rows = peer.run(&format!("SELECT {COLUMNS} FROM crsql_changes"), &[]);
    let mut changes: Vec<Change> = rows
        .into_iter()
        .map(|row| Change {
            table: row[0].text().into(),
            key: PackedKey::from_bytes(row[1].blob().to_vec()).expect("a packed key"),
            column: row[2].text().into(),
            value: cell(&row[3]),
            col_version: row[4].integer(),
            db_version: row[5].integer(),
            site_id: SiteId::from_slice(row[6].blob()).expect("a site id"),
            causal_length: row[7].integer(),
            seq: row[8].integer(),
        })
        .collect();
    changes.sort_by_key(Change::cursor);
    changes
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Integer(i) => Cell::Integer(*i),
        Value::Real(bits) => Cell::Real(f64::from_bits(*bits)),
        Value::Text(text) => Cell::Text(text.clone().into_bytes()),
        Value::Blob(bytes) => Cell::Blob(bytes.clone()),
    }
}

/// What a stream to nobody tells, with the values that came in parts in one piece.
fn told(peer: &Peer, options: &str) -> Vec<Change> {
    let rows = peer.run_all(&[
        &format!(
            "CREATE VIRTUAL TABLE out_to_nobody USING crsql_outbound_stream(remote = x'{}', {options})",
            "07".repeat(16)
        ),
        "SELECT package FROM out_to_nobody",
        "DROP TABLE out_to_nobody",
    ]);
    let mut changes: Vec<Change> = Vec::new();
    let mut end = Cursor::BEGINNING;
    for row in rows {
        let package = match &row[0] {
            Value::Text(text) => Package::decode(text.as_bytes()),
            value => Package::decode(value.blob()),
        };
        let package = package.expect("a package");
        assert_eq!(package.start.cursor, end);
        let mut goes_on = matches!(end.place, Place::At { part: Some(_), .. });
        end = package.end.cursor;
        for change in package.changes {
            match changes.last_mut() {
                Some(Change { value: Cell::Text(all), .. }) if goes_on => all.extend(bytes(&change.value)),
                Some(Change { value: Cell::Blob(all), .. }) if goes_on => all.extend(bytes(&change.value)),
                _ => changes.push(change),
            }
            goes_on = false;
        }
    }
    assert!(end.is_end_of_version());
    changes
}

fn bytes(value: &Cell) -> &[u8] {
    match value {
        Cell::Text(bytes) | Cell::Blob(bytes) => bytes,
        other => panic!("{other:?} has no parts"),
    }
}

/// Everything that is listed is told, in order; and beyond that, with the sentinel of a living row, each of its cells that
/// lie before it, at its place.
fn assert_told(told: &[Change], listed: &[Change]) {
    assert!(told.is_sorted_by(|a, b| a.cursor() < b.cursor()));
    let mut expected = listed.to_vec();
    for sentinel in listed.iter().filter(|change| &*change.column == SENTINEL && change.causal_length % 2 == 1) {
        let of_row = listed.iter().filter(|change| (&change.table, &change.key) == (&sentinel.table, &sentinel.key));
        for cell in of_row.filter(|change| change.db_version < sentinel.db_version) {
            expected.push(Change { db_version: sentinel.db_version, seq: sentinel.seq, ..cell.clone() });
        }
    }
    expected.sort_by_key(Change::cursor);
    for (at, (told, expected)) in told.iter().zip(&expected).enumerate() {
        assert_eq!(told, expected, "change {at}");
    }
    assert_eq!(told.len(), expected.len());
}
