//! The engine and the slow model of it agree after every step of random histories, and databases that have heard of each
//! other end equal: in rows, and in clocks up to ties.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use proptest::prelude::*;
use proptest::sample::Index;
use rejoin_change::model::{Model, Numbering, Table};
use rejoin_change::{Change, PackedKey, SENTINEL, SiteId, Value, ValueRef};
use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use std::collections::BTreeMap;
use support::*;

/// Keys of every kind, values without affinity, defaults, and a table that is nothing but its key.
const SCHEMA: &str = "
    CREATE TABLE item (id INTEGER PRIMARY KEY NOT NULL, a, b DEFAULT 'none');
    CREATE TABLE tag (name TEXT NOT NULL, kind NOT NULL, value, PRIMARY KEY (kind, name)) WITHOUT ROWID;
    CREATE TABLE only (k BLOB PRIMARY KEY NOT NULL);
    SELECT crsql_as_crr('item'), crsql_as_crr('tag'), crsql_as_crr('only');";

const TABLES: [&str; 3] = ["item", "tag", "only"];

/// The key columns of a table, in the order of its primary key.
fn key_columns(table: &str) -> &'static [&'static str] {
    match table {
        "item" => &["id"],
        "tag" => &["kind", "name"],
        _ => &["k"],
    }
}

fn tables() -> Vec<Table> {
    vec![
        Table { name: "item", columns: vec![("a", Value::Null), ("b", Value::Text(b"none".to_vec()))] },
        Table { name: "tag", columns: vec![("value", Value::Null)] },
        Table { name: "only", columns: vec![] },
    ]
}

#[derive(Clone, Debug)]
enum Write {
    Insert { table: usize, key: usize, values: [Value; 2] },
    Update { table: usize, key: usize, to: usize, values: [Option<Value>; 2] },
    Delete { table: usize, key: usize },
}

#[derive(Clone, Debug)]
enum Step {
    /// Writes in one transaction, of which those after `undone` are taken back; all of it where `rolled_back`.
    Write { at: usize, writes: Vec<Write>, undone: Option<usize>, rolled_back: bool },
    /// Records of one database are merged by another, in any order, some twice, in one transaction.
    Merge { from: usize, to: usize, picks: Vec<Index>, numbering: Numbering, then: Vec<Write> },
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        prop::sample::select(vec![0, 1, -5, i64::MAX, i64::MIN]).prop_map(Value::Integer),
        prop::sample::select(vec![0.5, -0.5, 1e300, f64::INFINITY]).prop_map(Value::Real),
        prop::sample::select(vec!["", "a", "B", "é\u{0}x"]).prop_map(|text| Value::Text(text.into())),
        prop::sample::select(vec![vec![], vec![0u8], vec![255, 1]]).prop_map(Value::Blob),
    ]
}

fn any_write() -> impl Strategy<Value = Write> {
    let place = || (0usize..3, 0usize..KEYS);
    prop_oneof![
        4 => (place(), [any_value(), any_value()])
            .prop_map(|((table, key), values)| Write::Insert { table, key, values }),
        5 => (place(), 0usize..KEYS, any::<bool>(), [prop::option::of(any_value()), prop::option::of(any_value())])
            .prop_map(|((table, key), other, moves, values)| {
                Write::Update { table, key, to: if moves { other } else { key }, values }
            }),
        3 => place().prop_map(|(table, key)| Write::Delete { table, key }),
    ]
}

const KEYS: usize = 4;

fn any_step() -> impl Strategy<Value = Step> {
    let writes = || prop::collection::vec(any_write(), 1..5);
    prop_oneof![
        4 => (0usize..3, writes(), prop::option::weighted(0.2, 0usize..4), prop::bool::weighted(0.1))
            .prop_map(|(at, writes, undone, rolled_back)| Step::Write { at, writes, undone, rolled_back }),
        3 => (
            (0usize..3, 1usize..3),
            prop::collection::vec(any::<Index>(), 1..12),
            prop::sample::select(vec![Numbering::Own, Numbering::Next]),
            prop::collection::vec(any_write(), 0..2),
        )
            .prop_map(|((from, by), picks, numbering, then)| Step::Merge { from, to: (from + by) % 3, picks, numbering, then }),
    ]
}

/// The n-th key of a table.
fn key(table: usize, n: usize) -> Vec<Value> {
    let text = |text: &str| Value::Text(text.into());
    match table {
        0 => vec![Value::Integer([0, 1, -1, i64::MAX][n])],
        1 => vec![
            [Value::Integer(7), text("k"), Value::Blob(vec![7]), Value::Real(2.5)][n].clone(),
            text(["x", "", "é", "x"][n]),
        ],
        _ => vec![Value::Blob(vec![n as u8; n])],
    }
}

fn packed(values: &[Value]) -> PackedKey {
    let values: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
    PackedKey::pack(&values).unwrap()
}

fn to_sql(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Integer(i) => Sql::Integer(*i),
        Value::Real(r) => Sql::Real(*r),
        Value::Text(text) => Sql::Text(String::from_utf8(text.clone()).unwrap()),
        Value::Blob(bytes) => Sql::Blob(bytes.clone()),
    }
}

fn from_sql(value: &Sql) -> Value {
    match value {
        Sql::Null => Value::Null,
        Sql::Integer(i) => Value::Integer(*i),
        Sql::Real(r) => Value::Real(*r),
        Sql::Text(text) => Value::Text(text.clone().into_bytes()),
        Sql::Blob(bytes) => Value::Blob(bytes.clone()),
    }
}

/// A database and its model.
struct Pair {
    host: Connection,
    store: std::rc::Rc<dyn rejoin_change::ChangeStore<Error = rejoin_bridge::Error>>,
    model: Model,
}

impl Pair {
    fn new(merge_equal_values: bool) -> Pair {
        let (host, connection) = memory_with_handle();
        run(&host, SCHEMA);
        run(&host, &format!("SELECT crsql_config_set('merge-equal-values', {})", i64::from(merge_equal_values)));
        let id: Vec<u8> = host.query_row("SELECT crsql_site_id()", [], |row| row.get(0)).unwrap();
        let mut model = Model::new(SiteId::from_slice(&id).unwrap(), tables());
        model.set_merge_equal_values(merge_equal_values);
        Pair { host, store: rejoin_engine::change_store(&connection).unwrap(), model }
    }

    fn execute(&self, sql: &str, values: &[Value]) {
        let values: Vec<Sql> = values.iter().map(to_sql).collect();
        let done = self.host.prepare_cached(sql).and_then(|mut s| s.execute(rusqlite::params_from_iter(values)));
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::Insert { table, key: n, values } => {
                let (table, key) = (TABLES[*table], key(*table, *n));
                let count = tables().into_iter().find(|known| known.name == table).unwrap().columns.len();
                let columns = if table == "tag" { &["value"][..] } else { &["a", "b"][..count] };
                let columns = [key_columns(table), columns].concat().join(", ");
                let values = &values[..count];
                let marks = vec!["?"; key.len() + count].join(", ");
                self.execute(
                    &format!("INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})"),
                    &[key.as_slice(), values].concat(),
                );
                self.model.insert(table, &packed(&key), values);
            }
            Write::Update { table, key: n, to, values } => {
                let (name, from, to) = (TABLES[*table], key(*table, *n), key(*table, *to));
                let Some(before) = self.model.row(name, &packed(&from)) else { return };
                let after: Vec<Value> =
                    before.into_iter().zip(values).map(|(old, new)| new.clone().unwrap_or(old)).collect();
                let columns = tables().into_iter().find(|known| known.name == name).unwrap().columns;
                let set = key_columns(name).iter().copied().chain(columns.iter().map(|(column, _)| *column));
                let set = set.map(|column| format!("{column} = ?")).collect::<Vec<_>>().join(", ");
                let found = key_columns(name).iter().map(|column| format!("{column} = ?")).collect::<Vec<_>>();
                self.execute(
                    &format!("UPDATE OR REPLACE {name} SET {set} WHERE {}", found.join(" AND ")),
                    &[to.as_slice(), &after, &from].concat(),
                );
                self.model.update(name, &packed(&from), &packed(&to), &after);
            }
            Write::Delete { table, key: n } => {
                let (name, key) = (TABLES[*table], key(*table, *n));
                let found = key_columns(name).iter().map(|column| format!("{column} = ?")).collect::<Vec<_>>();
                self.execute(&format!("DELETE FROM {name} WHERE {}", found.join(" AND ")), &key);
                self.model.delete(name, &packed(&key));
            }
        }
    }

    fn merge(&mut self, changes: &[Change], numbering: Numbering) {
        let impacted_before = number(&self.host, "SELECT crsql_rows_impacted()");
        match numbering {
            Numbering::Own => changes.iter().for_each(|change| {
                merge(&self.host, &record(change)).unwrap();
            }),
            Numbering::Next => {
                self.store.merge(changes).unwrap();
            }
        }
        let impacted = number(&self.host, "SELECT crsql_rows_impacted()") - impacted_before;
        let expected: i64 = changes.iter().map(|change| self.model.merge(change, numbering)).sum();
        // A cell that is won twice before it is written counts once.
        assert!(
            impacted == expected || numbering == Numbering::Next && impacted < expected,
            "{impacted} of {expected}"
        );
    }

    /// Everything that the model knows is so in the database.
    fn check(&self) {
        let mut shown: Vec<Change> = changes(&self.host, "").iter().map(change).collect();
        shown.sort_by_key(Change::cursor);
        assert_eq!(shown, self.model.changes(), "(database, model)");
        for (table, name) in TABLES.iter().enumerate() {
            let columns = tables().remove(table).columns.iter().map(|(column, _)| *column).collect::<Vec<_>>();
            let names = [key_columns(name), &columns].concat().join(", ");
            let mut statement = self.host.prepare_cached(&format!("SELECT {names} FROM {name}")).unwrap();
            let width = key_columns(name).len() + columns.len();
            let rows = statement.query_map([], |row| (0..width).map(|i| row.get::<_, Sql>(i)).collect());
            let rows: Vec<Vec<Sql>> = rows.unwrap().collect::<rusqlite::Result<_>>().unwrap();
            assert_eq!(rows.len(), self.model.keys(name).len(), "rows of {name}");
            for row in rows {
                let values: Vec<Value> = row.iter().map(from_sql).collect();
                let (key, values) = values.split_at(key_columns(name).len());
                assert_eq!(self.model.row(name, &packed(key)).as_deref(), Some(values), "{name} {key:?}");
            }
        }
        assert_eq!(number(&self.host, "SELECT crsql_internal_sync_bit()"), 0);
    }
}

fn change(record: &Record) -> Change {
    let value = |i: usize| from_sql(&record[i]);
    let text = |i: usize| match &record[i] {
        Sql::Text(text) => text.as_str().into(),
        other => panic!("column {i} is {other:?}"),
    };
    let number = |i: usize| match record[i] {
        Sql::Integer(number) => number,
        ref other => panic!("column {i} is {other:?}"),
    };
    let blob = |i: usize| match &record[i] {
        Sql::Blob(bytes) => bytes.clone(),
        other => panic!("column {i} is {other:?}"),
    };
    Change {
        table: text(0),
        key: PackedKey::from_bytes(blob(1)).unwrap(),
        column: text(2),
        value: value(3),
        col_version: number(4),
        db_version: number(5),
        site_id: SiteId::from_slice(&blob(6)).unwrap(),
        causal_length: number(7),
        seq: number(8),
    }
}

fn record(change: &Change) -> Record {
    [
        Sql::Text(change.table.to_string()),
        Sql::Blob(change.key.as_bytes().to_vec()),
        Sql::Text(change.column.to_string()),
        to_sql(&change.value),
        Sql::Integer(change.col_version),
        Sql::Integer(change.db_version),
        Sql::Blob(change.site_id.0.to_vec()),
        Sql::Integer(change.causal_length),
        Sql::Integer(change.seq),
    ]
}

fn take(pairs: &mut [Pair], step: &Step) {
    match step {
        Step::Write { at, writes, undone, rolled_back } => {
            let pair = &mut pairs[*at];
            let before = pair.model.clone();
            run(&pair.host, "BEGIN");
            for (place, write) in writes.iter().enumerate() {
                if *undone == Some(place) {
                    run(&pair.host, "SAVEPOINT s");
                    let before = pair.model.clone();
                    pair.write(write);
                    run(&pair.host, "ROLLBACK TO s; RELEASE s");
                    pair.model.rewind_to(before);
                } else {
                    pair.write(write);
                }
            }
            run(&pair.host, if *rolled_back { "ROLLBACK" } else { "COMMIT" });
            pair.model.commit();
            if *rolled_back {
                pair.model = before;
            }
        }
        Step::Merge { from, to, picks, numbering, then } => {
            let known = pairs[*from].model.changes();
            if known.is_empty() {
                return;
            }
            let picked: Vec<Change> = picks.iter().map(|pick| pick.get(&known).clone()).collect();
            let pair = &mut pairs[*to];
            run(&pair.host, "BEGIN");
            pair.merge(&picked, *numbering);
            then.iter().for_each(|write| pair.write(write));
            run(&pair.host, "COMMIT");
            pair.model.commit();
        }
    }
}

fn deliver_all(pairs: &mut [Pair], numbering: Numbering) {
    for _ in 0..2 {
        for (from, to) in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)] {
            let known = pairs[from].model.changes();
            run(&pairs[to].host, "BEGIN");
            pairs[to].merge(&known, numbering);
            run(&pairs[to].host, "COMMIT");
            pairs[to].model.commit();
            pairs[to].check();
        }
    }
}

/// What must be equal at the end: the rows; causal lengths, live sentinels of 1 aside; and the col_versions of cells.
type Settled = (Vec<(String, PackedKey, i64)>, BTreeMap<(String, PackedKey, String), (i64, Value)>);

fn settled(model: &Model) -> Settled {
    let changes = model.changes();
    let mut lives: Vec<_> = changes.iter().map(|c| (c.table.to_string(), c.key.clone(), c.causal_length)).collect();
    lives.sort();
    lives.dedup();
    let cells = changes.iter().filter(|change| &*change.column != SENTINEL);
    let cell =
        |c: &Change| ((c.table.to_string(), c.key.clone(), c.column.to_string()), (c.col_version, c.value.clone()));
    (lives, cells.map(cell).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn engine_and_model_agree_after_every_step_and_databases_end_equal(
        steps in prop::collection::vec(any_step(), 1..20),
        last in prop::sample::select(vec![Numbering::Own, Numbering::Next]),
        merge_equal_values in prop::bool::weighted(0.3),
    ) {
        let mut pairs = [(); 3].map(|()| Pair::new(merge_equal_values));
        for step in &steps {
            take(&mut pairs, step);
            pairs.iter().for_each(Pair::check);
        }
        deliver_all(&mut pairs, last);
        let [a, b, c] = pairs.map(|pair| settled(&pair.model));
        prop_assert_eq!(&a, &b);
        prop_assert_eq!(&b, &c);
    }
}
