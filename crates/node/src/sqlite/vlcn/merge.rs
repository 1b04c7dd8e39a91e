use super::Columns;
use super::columns::{Affinity, Tables};
use crate::sqlite::sql;
use crate::sqlite::worker::{Trouble, Worker, failed, is_busy};
use rejoin_change::{COUNTER_MAX, Change, PackedKey, SENTINEL, SiteId, ValueRef};
use rejoin_streams::Store;
use rejoin_wire::message::{Refusal, RefusalCode};
use rejoin_wire::vlcn::{self, Point, Value};
use rusqlite::types::{self, ToSqlOutput};
use rusqlite::{Connection, TransactionBehavior, params};
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::slice;
use std::sync::Arc;

/// Merges changes with their sender as the author, and remembers that they are held: both or neither. Returns what is
/// held of the sender afterwards.
///
/// With `known`, the columns that the sender has, nothing is merged and `None` returned where a row was made without all of
/// its cells.
pub(crate) fn apply(
    worker: &mut Worker,
    sender: SiteId,
    changes: &vlcn::Changes,
    known: Option<&Columns>,
) -> Result<Option<Point>, Trouble> {
    let connection = worker.connection();
    let transaction =
        rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(failed)?;
    let tables = worker.vlcn_tables().of(connection)?;
    check(&tables, changes)?;
    if known.is_some_and(|known| leaves_out_cells(changes, known)) {
        tracing::info!(client = %sender, "a row came without all of its cells: the client is asked for all that it has");
        return Ok(None);
    }
    merge(connection, worker.change_store().as_ref(), &tables, sender, changes)?;
    let last = changes.last_version().unwrap_or(0);
    let mut statement = connection.prepare_cached(sql::SET_VLCN_HELD).map_err(failed)?;
    statement.execute(params![sender.as_bytes(), last]).map_err(failed)?;
    drop(statement);
    let held = held(connection, sender)?;
    transaction.commit().map_err(failed)?;
    worker.wrote();
    Ok(Some(held))
}

/// True where a row comes to life and not all of its cells come with it. That is how the original engine tells that a
/// primary key was changed: the cells that moved along keep their old versions, and are not told.
fn leaves_out_cells(changes: &vlcn::Changes, known: &Columns) -> bool {
    let mut made: HashMap<(&str, &[u8]), HashSet<&str>> = HashMap::new();
    for change in changes.iter().filter(|change| change.column == SENTINEL && change.causal_length % 2 == 1) {
        if known.cells_of(change.table) > 0 {
            made.entry((change.table, change.key)).or_default();
        }
    }
    if made.is_empty() {
        return false;
    }
    for change in changes.iter().filter(|change| change.column != SENTINEL) {
        if let Some(cells) = made.get_mut(&(change.table, change.key)) {
            cells.insert(change.column);
        }
    }
    made.iter().any(|((table, _), cells)| cells.len() < known.cells_of(table))
}

/// What is durably held of a database.
pub(super) fn held(connection: &Connection, site_id: SiteId) -> Result<Point, Refusal> {
    let mut statement = connection.prepare_cached(sql::VLCN_HELD).map_err(failed)?;
    let mut rows = statement.query([site_id.as_bytes()]).map_err(failed)?;
    match rows.next().map_err(failed)? {
        None => Ok(Point::START),
        Some(row) => Ok(Point {
            db_version: row.get(0).map_err(failed)?,
            seq: row.get::<_, Option<i64>>(1).map_err(failed)?.unwrap_or(0),
        }),
    }
}

/// All of them have been checked. Without a store they go in by `crsql_changes`, with the same result.
fn merge(
    connection: &Connection,
    store: Option<&Store>,
    tables: &Tables,
    sender: SiteId,
    changes: &vlcn::Changes,
) -> Result<(), Refusal> {
    let mut raise = connection.prepare_cached(sql::RAISE_VERSION).map_err(failed)?;
    let mut statement = connection.prepare_cached(sql::VLCN_MERGE).map_err(failed)?;
    let mut write = |gathered: &[Change]| match store {
        Some(store) => store.merge(gathered).map(|_| ()).map_err(|failure| {
            let busy = failure.error.is_busy();
            refused(&gathered[failure.changes], &failure.error, busy)
        }),
        None => gathered.iter().try_for_each(|change| {
            insert(&mut statement, change).map_err(|error| refused(slice::from_ref(change), &error, is_busy(&error)))
        }),
    };
    let row: Arc<str> = SENTINEL.into();
    let mut gathered: Vec<Change> = Vec::with_capacity(changes.len().min(GATHERED_MAX));
    for change in changes.iter() {
        let before = gathered.last().map_or(change.db_version, |before| before.db_version);
        if before != change.db_version || gathered.len() == GATHERED_MAX {
            write(&gathered)?;
            gathered.clear();
        }
        // Each of the sender's transactions becomes one here, so that it can be told on by itself.
        if before != change.db_version {
            raise.query_row([], |_| Ok(())).map_err(failed)?;
        }
        gathered.push(authored(&change, sender, tables, &row)?);
    }
    if gathered.is_empty() { Ok(()) } else { write(&gathered) }
}

fn insert(statement: &mut rusqlite::CachedStatement<'_>, change: &Change) -> rusqlite::Result<()> {
    let value = match change.value.as_ref() {
        ValueRef::Null => types::ValueRef::Null,
        ValueRef::Integer(number) => types::ValueRef::Integer(number),
        ValueRef::Real(number) => types::ValueRef::Real(number),
        ValueRef::Text(text) => types::ValueRef::Text(text),
        ValueRef::Blob(bytes) => types::ValueRef::Blob(bytes),
    };
    let parameters = params![
        change.table,
        change.key.as_bytes(),
        change.column,
        ToSqlOutput::Borrowed(value),
        change.col_version,
        change.site_id.as_bytes(),
        change.causal_length,
    ];
    statement.execute(parameters).map(|_| ())
}

/// The change with the sender as its author. `row` is the name that stands for the row itself.
fn authored(change: &vlcn::Change<'_>, sender: SiteId, tables: &Tables, row: &Arc<str>) -> Result<Change, Refusal> {
    let (table, shape) = tables.get_key_value(change.table).ok_or_else(|| unknown_table(change))?;
    let (column, affinity) = match shape.columns.get_key_value(change.column) {
        Some((column, affinity)) => (column.clone(), *affinity),
        None if change.column == SENTINEL => (row.clone(), Affinity::None),
        None => (change.column.into(), Affinity::None),
    };
    Ok(Change {
        table: table.clone(),
        key: key(change)?,
        column,
        value: stored(change.value, affinity).to_value(),
        col_version: change.col_version,
        db_version: change.db_version,
        site_id: sender,
        causal_length: change.causal_length,
        seq: change.seq,
    })
}

fn key(change: &vlcn::Change<'_>) -> Result<PackedKey, Refusal> {
    PackedKey::from_bytes(change.key.to_vec()).map_err(|error| impossible(change, &error.to_string()))
}

/// Whether the changes can be some of this database's tables, before any of them is merged.
fn check(tables: &Tables, changes: &vlcn::Changes) -> Result<(), Refusal> {
    let mut before = 0;
    for change in changes.iter() {
        check_one(tables, &change)?;
        if change.db_version < before {
            return Err(impossible(&change, "a db_version below that of the change before it"));
        }
        before = change.db_version;
    }
    Ok(())
}

fn check_one(tables: &Tables, change: &vlcn::Change<'_>) -> Result<(), Refusal> {
    let is_sentinel = change.column == SENTINEL;
    let counters = [change.col_version, change.db_version, change.causal_length, change.seq];
    if !counters.iter().all(|counter| (0..=COUNTER_MAX).contains(counter))
        || change.causal_length == 0
        || (is_sentinel && change.col_version != change.causal_length)
    {
        return Err(impossible(change, "a version, causal length or seq that no database makes"));
    }
    if let Value::Bool(_) = change.value {
        return Err(impossible(change, "a value of the kind BOOL, which no database can store"));
    }
    let key = key(change)?;
    let table = tables.get(change.table).ok_or_else(|| unknown_table(change))?;
    if key.len() != table.key_values {
        return Err(impossible(change, "a primary key of another number of values than the table's"));
    }
    // A deletion speaks of the whole row, whatever column it names.
    if is_sentinel || change.causal_length % 2 == 0 || table.columns.contains_key(change.column) {
        return Ok(());
    }
    let (table, column) = (quoted(change.table), quoted(change.column));
    Err(unknown(format!("a change came for the column {column} of {table}, which that table lacks here")))
}

/// What a value that has travelled becomes. JavaScript says an integer as a number, so that only the column can tell; for
/// a column without an affinity the rule is that of cr-sqlite in a browser: a number that is an integer of 32 bits is one.
fn stored(value: Value<'_>, affinity: Affinity) -> ValueRef<'_> {
    match value {
        Value::Null | Value::Bool(_) => ValueRef::Null,
        Value::BigInt(number) => ValueRef::Integer(number),
        Value::Number(number) => match affinity {
            Affinity::Real => ValueRef::Real(number),
            Affinity::Integer if is_integer_between(number, -INTEGER_END, INTEGER_END) => {
                ValueRef::Integer(number as i64)
            }
            Affinity::Text | Affinity::None
                if is_integer_between(number, f64::from(i32::MIN) - 1.0, f64::from(i32::MAX) + 1.0) =>
            {
                ValueRef::Integer(number as i64)
            }
            _ => ValueRef::Real(number),
        },
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Blob(bytes) => ValueRef::Blob(bytes),
    }
}

/// -0.0 is the real that it is.
fn is_integer_between(number: f64, below: f64, above: f64) -> bool {
    number.trunc() == number && number > below && number < above && !(number == 0.0 && number.is_sign_negative())
}

/// 2^63: reals from there on are no integers of SQLite.
const INTEGER_END: f64 = 9_223_372_036_854_775_808.0;

/// Why changes were not taken; more than one where cells of a row were being written together.
fn refused(changes: &[Change], error: &dyn Display, is_busy: bool) -> Refusal {
    if is_busy {
        return Refusal {
            code: RefusalCode::Busy,
            reason: format!("SQLite failed: {error}"),
            advice: "wait until the other program that writes to the database is done".to_owned(),
        };
    }
    let table = changes.first().map_or_else(String::new, |change| quoted(&change.table));
    let columns: Vec<String> = changes.iter().take(COLUMNS_SHOWN_MAX).map(|change| quoted(&change.column)).collect();
    let columns = columns.join(", ");
    let what = match changes.len() {
        0 | 1 => format!("the change of column {columns} of {table} was"),
        2..=COLUMNS_SHOWN_MAX => format!("the changes of columns {columns} of a row of {table} were"),
        more => {
            format!("the changes of columns {columns} and {} more of a row of {table} were", more - COLUMNS_SHOWN_MAX)
        }
    };
    Refusal {
        code: RefusalCode::Package,
        reason: format!("{what} refused: {error}"),
        advice: "change the row or the rule that refuses it; nothing was applied and nothing is lost".to_owned(),
    }
}

fn impossible(change: &vlcn::Change<'_>, what: &str) -> Refusal {
    Refusal {
        code: RefusalCode::Package,
        reason: format!("a change of {}, column {}, has {what}", quoted(change.table), quoted(change.column)),
        advice: "this is a fault in the program on the other side; nothing was applied".to_owned(),
    }
}

fn unknown_table(change: &vlcn::Change<'_>) -> Refusal {
    unknown(format!("a change came for the table {}, which does not replicate here", quoted(change.table)))
}

fn unknown(reason: String) -> Refusal {
    Refusal {
        code: RefusalCode::Package,
        reason,
        advice: "bring both sides to one schema; nothing was applied and nothing is lost".to_owned(),
    }
}

/// A name from elsewhere, for people.
fn quoted(name: &str) -> String {
    rejoin_protocol::printable(&name.chars().take(NAME_SHOWN_MAX).collect::<String>())
}

/// Characters of a name that a message shows.
const NAME_SHOWN_MAX: usize = 80;

/// Columns that a message names.
const COLUMNS_SHOWN_MAX: usize = 8;

/// How many changes are merged at once: they are in memory twice meanwhile.
const GATHERED_MAX: usize = 1 << 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::vlcn::KnownTables;
    use std::path::Path;

    const SENDER: SiteId = SiteId([7; 16]);

    fn change<'a>(key: &'a [u8], column: &'a str, value: Value<'a>, counters: [i64; 3]) -> vlcn::Change<'a> {
        let [db_version, col_version, causal_length] = counters;
        let (table, site_id, seq) = ("note", None, 0);
        vlcn::Change { table, key, column, value, col_version, db_version, site_id, causal_length, seq }
    }

    /// Merges every frame in a transaction of its own. Returns what the database then tells, and how the frames went.
    fn told(frames: &[vlcn::Changes], with_store: bool) -> (Vec<String>, Vec<Result<(), RefusalCode>>) {
        let opened = rejoin::prepare()(Path::new(":memory:")).expect("opens");
        let connection = &opened.connection;
        connection
            .execute_batch(
                "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, text TEXT, n INTEGER NOT NULL DEFAULT 0, any);
                 SELECT crsql_as_crr('note')",
            )
            .expect("a table");
        let tables = KnownTables::default().of(connection).expect("tables");
        let store = opened.streams.change_store();
        assert!(store.is_some(), "the built-in engine takes changes");
        let store = store.filter(|_| with_store);
        let went = frames.iter().map(|frame| {
            let behavior = TransactionBehavior::Immediate;
            let transaction = rusqlite::Transaction::new_unchecked(connection, behavior).expect("begins");
            merge(connection, store.as_ref(), &tables, SENDER, frame).map_err(|refusal| refusal.code)?;
            transaction.commit().expect("commits");
            Ok(())
        });
        let went = went.collect();
        let mut statement = connection
            .prepare(
                "SELECT concat_ws(' ', \"table\", hex(pk), cid, quote(val), typeof(val), col_version, db_version, \
                 hex(site_id), cl, seq) FROM crsql_changes ORDER BY db_version, seq",
            )
            .expect("a statement");
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        (rows.collect::<rusqlite::Result<_>>().expect("texts"), went)
    }

    fn frame(changes: &[vlcn::Change<'_>]) -> vlcn::Changes {
        let mut frame = vlcn::Changes::new();
        changes.iter().for_each(|change| frame.push(change));
        frame
    }

    #[test]
    fn a_store_and_crsql_changes_make_the_same_of_frames() {
        let (one, two): (&[u8], &[u8]) = (&[1, 0x09, 1], &[1, 0x09, 2]);
        let mut large = vlcn::Changes::new();
        for id in 0..GATHERED_MAX + 3 {
            let key = PackedKey::pack(&[ValueRef::Integer(id as i64)]).expect("a key");
            large.push(&change(key.as_bytes(), "text", Value::Text("x"), [40, 9, 9]));
        }
        let frames = [
            vlcn::Changes::new(),
            frame(&[
                change(one, "text", Value::Text("a"), [1, 1, 1]),
                change(one, "n", Value::Number(3.0), [1, 1, 1]),
                change(two, "any", Value::Number(3e9), [1, 1, 1]),
                change(one, "text", Value::Text("b"), [2, 2, 1]),
                change(two, "text", Value::Number(5.0), [2, 1, 1]),
            ]),
            // A refused frame leaves nothing, also not of its first transaction.
            frame(&[
                change(one, "text", Value::Text("lost"), [3, 3, 1]),
                change(two, "text", Value::Text("lost"), [4, 3, 1]),
                change(two, "n", Value::Null, [4, 3, 1]),
            ]),
            frame(&[
                change(one, "text", Value::Text("stale"), [5, 1, 1]),
                change(one, SENTINEL, Value::Null, [6, 2, 2]),
                change(two, "gone", Value::Null, [6, 2, 2]),
                change(one, SENTINEL, Value::Null, [7, 3, 3]),
                change(one, "any", Value::Blob(&[0, 0xff]), [7, 1, 3]),
            ]),
            large,
        ];
        let (by_store, went) = told(&frames, true);
        assert_eq!(went, [Ok(()), Ok(()), Err(RefusalCode::Package), Ok(()), Ok(())]);
        let (by_sql, went_by_sql) = told(&frames, false);
        assert_eq!(went, went_by_sql);
        assert_eq!(by_store, by_sql);
        assert!(by_store.len() > GATHERED_MAX && by_store.iter().all(|line| !line.contains("lost")));
    }

    fn kind(number: f64, affinity: Affinity) -> &'static str {
        match stored(Value::Number(number), affinity) {
            ValueRef::Integer(_) => "integer",
            ValueRef::Real(_) => "real",
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_number_becomes_what_its_column_makes_of_it() {
        for (number, integer, real, none) in [
            (7.0, "integer", "real", "integer"),
            (7.5, "real", "real", "real"),
            (-0.0, "real", "real", "real"),
            (2_147_483_647.0, "integer", "real", "integer"),
            (-2_147_483_648.0, "integer", "real", "integer"),
            (2_147_483_648.0, "integer", "real", "real"),
            (3_000_000_000.0, "integer", "real", "real"),
            (9_007_199_254_740_991.0, "integer", "real", "real"),
            (9.3e18, "real", "real", "real"),
            (f64::INFINITY, "real", "real", "real"),
        ] {
            assert_eq!(kind(number, Affinity::Integer), integer, "{number} INTEGER");
            assert_eq!(kind(number, Affinity::Real), real, "{number} REAL");
            assert_eq!(kind(number, Affinity::None), none, "{number} untyped");
        }
    }
}
