//! A large batch whose rows come in the order of their keys, for which rows are read ahead, ends as its changes one by
//! one: whatever rows are missing here, stand in between, come twice, or are spoken of by one change and by many in turn.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use proptest::prelude::*;
use rejoin_bridge::linked;
use rejoin_change::ChangeStore;
use rusqlite::{Connection, params_from_iter};
use std::rc::Rc;
use support::*;

/// Keys of every storage class, among them numbers of both kinds and text whose order is another in UTF-16; few columns,
/// many, and one whose name comes before the sentinel's.
const SCHEMA: &str = "
    CREATE TABLE number (k INTEGER PRIMARY KEY NOT NULL, a, b, c);
    CREATE TABLE mixed (k NOT NULL, j NOT NULL, a, b, PRIMARY KEY (k, j));
    CREATE TABLE wide (k TEXT PRIMARY KEY NOT NULL, a, b, c, d, e, f, g, h, i, j, l, m, n, o, p, q, r);
    CREATE TABLE early (k BLOB PRIMARY KEY NOT NULL, \"!\", b);";

const TABLES: [&str; 4] = ["number", "mixed", "wide", "early"];
const ROWS: u64 = 80;

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Ours,
    Theirs,
}

/// A small generator of numbers: a case is too long to be made smaller.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// The key of a row in the order of the table's keys, as SQL, by column. Some numbers are stored by one side as integers
/// and by the other as reals: they are equal.
fn key(side: Side, table: &str, row: u64) -> Vec<String> {
    match table {
        "number" => vec![format!("{}", row * 3)],
        "mixed" => {
            let first = match row / 20 {
                0 if side == Side::Theirs && !row.is_multiple_of(3) => format!("{row}.0"),
                0 => format!("{row}"),
                1 => format!("{}.{}", row, row % 2),
                2 => format!("'text {row:03}'"),
                _ => format!("x'{row:02x}'"),
            };
            vec![first, format!("'{}'", row % 2)]
        }
        "wide" => vec![format!("'{} {:03}'", if row < ROWS / 2 { "a" } else { "\u{100}" }, row)],
        _ => vec![format!("x'00{row:02x}'")],
    }
}

fn columns(table: &str) -> &'static [&'static str] {
    match table {
        "number" => &["a", "b", "c"],
        "mixed" => &["a", "b"],
        "wide" => &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "l", "m", "n", "o", "p", "q", "r"],
        _ => &["\"!\"", "b"],
    }
}

fn condition(side: Side, table: &str, row: u64) -> String {
    let names = ["k", "j"];
    names
        .iter()
        .zip(key(side, table, row))
        .map(|(name, value)| format!("{name} = {value}"))
        .collect::<Vec<_>>()
        .join(" AND ")
}

/// Rows in the order of their keys, so many of four.
fn fill(side: Side, host: &Connection, dice: &mut Dice, share: u64) {
    run(host, "BEGIN");
    for table in TABLES {
        for row in (0..ROWS).filter(|_| dice.below(4) < share).collect::<Vec<_>>() {
            let values = columns(table).iter().map(|_| ", 1").collect::<String>();
            run(host, &format!("INSERT INTO {table} VALUES ({}{values})", key(side, table, row).join(", ")));
        }
    }
    run(host, "COMMIT");
}

/// One pass over the rows of every table in the order of their keys: most are written, in one column or in several.
fn pass(side: Side, host: &Connection, dice: &mut Dice) {
    run(host, "BEGIN");
    for table in TABLES {
        let columns = columns(table);
        let (most, one_column) = (1 + dice.below(4), columns[dice.below(columns.len() as u64) as usize]);
        for row in 0..ROWS {
            let (keys, found) = (key(side, table, row).join(", "), condition(side, table, row));
            let value = dice.below(3);
            let sql = match dice.below(12) {
                0 => format!("DELETE FROM {table} WHERE {found}"),
                1..=3 => {
                    let values = columns.iter().map(|_| format!(", {value}")).collect::<String>();
                    format!("INSERT OR IGNORE INTO {table} VALUES ({keys}{values})")
                }
                4 => format!("UPDATE {table} SET {0} = {value}, {1} = {value} WHERE {found}", columns[0], columns[1]),
                _ if dice.below(4) < most => format!("UPDATE {table} SET {one_column} = {value} WHERE {found}"),
                _ => continue,
            };
            run(host, &sql);
        }
    }
    run(host, "COMMIT");
}

struct Database {
    host: Connection,
    store: Rc<dyn ChangeStore<Error = rejoin_bridge::Error>>,
    _file: tempfile::NamedTempFile,
}

fn database(side: Side, encoding: &str, seed: u64, share: u64, passes: u64) -> Database {
    let file = tempfile::NamedTempFile::new().unwrap();
    run(&Connection::open(file.path()).unwrap(), &format!("PRAGMA encoding = '{encoding}'; {SCHEMA}"));
    let (host, handle) = linked::open(rejoin_engine::register, || Connection::open(file.path())).unwrap();
    assert_eq!(one(&host, "PRAGMA encoding"), encoding);
    run(&host, "PRAGMA synchronous = OFF");
    TABLES.iter().for_each(|table| track(&host, table));
    let mut dice = Dice(seed);
    fill(side, &host, &mut dice, share);
    (0..passes).for_each(|_| pass(side, &host, &mut dice));
    Database { store: rejoin_engine::change_store(&handle).unwrap(), host, _file: file }
}

/// What a database tells after each of some passes, one after the other: most rows come several times.
fn told(seed: u64, passes: u64, order: &str) -> Vec<Record> {
    let Database { host, .. } = &database(Side::Theirs, "UTF-8", seed, 3, 0);
    let mut dice = Dice(!seed);
    let tell = |_| {
        pass(Side::Theirs, host, &mut dice);
        changes(host, order)
    };
    (0..passes).flat_map(tell).collect()
}

fn state(host: &Connection) -> Vec<Vec<String>> {
    let own = "(SELECT hex(site_id) FROM crsql_site_id WHERE ordinal = 0)";
    let told = format!(
        "SELECT [table], hex(pk), cid, quote(val), col_version, db_version, nullif(hex(site_id), {own}), cl, seq \
         FROM crsql_changes ORDER BY 1, 2, 3"
    );
    let tables = TABLES.map(|table| format!("SELECT *, typeof(k) FROM {table} ORDER BY k"));
    tables.iter().chain([&told]).map(|sql| rows(host, sql)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_in_the_order_of_keys_ends_as_its_changes_one_by_one(
        encoding in prop::sample::select(vec!["UTF-8", "UTF-16le"]),
        theirs in any::<u64>(),
        ours in any::<u64>(),
        share in 0u64..5,
        passes in 0u64..3,
        order in prop::sample::select(vec![
            "ORDER BY db_version, seq",
            "ORDER BY [table], pk",
            "ORDER BY db_version DESC, [table], pk",
            "ORDER BY db_version, [table], pk DESC",
        ]),
    ) {
        let records = told(theirs, 3, order);
        prop_assert!(records.len() > 1000, "{} changes are no large batch", records.len());
        let ours = || database(Side::Ours, encoding, ours, share, passes);
        let (batched, single) = (ours(), ours());
        run(&batched.host, "BEGIN");
        batched.store.merge(&records.iter().map(change).collect::<Vec<_>>()).unwrap();
        run(&batched.host, "COMMIT");
        run(&single.host, "BEGIN");
        let sql = "INSERT INTO crsql_changes VALUES (?, ?, ?, ?, ?, 0, ?, ?, crsql_increment_and_get_seq())";
        for record in &records {
            let values = [0, 1, 2, 3, 4, 6, 7].map(|i| &record[i]);
            single.host.prepare_cached(sql).unwrap().execute(params_from_iter(values)).unwrap();
        }
        run(&single.host, "COMMIT");
        prop_assert_eq!(state(&batched.host), state(&single.host));
    }
}
