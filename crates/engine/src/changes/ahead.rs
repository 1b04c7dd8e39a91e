//! Rows read ahead. The changes of a large merge mostly speak of rows in the order of their keys, as they were written.
//! Then one statement reads the clocks of many rows that lie one behind the other, which costs half of looking for each.

use super::record::Incoming;
use crate::catalogue::Tracked;
use crate::statements::FEW_COLUMNS;
use crate::values::{Parameters, to_bridge, to_change};
use rejoin_bridge::{Result, Statement, ValueRef};
use rejoin_change::{CellClock, RowClock, SENTINEL, Value};
use std::cmp::Ordering;

/// Which clock rows of a row are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    /// That of the column at this place, and the sentinel.
    Cell(usize),
}

impl Wanted {
    /// What to read for so many changes of a row, the first of which is known. A new row, of which nothing is found,
    /// would cost a second look after one that is for a cell alone.
    pub(super) fn by(table: &Tracked, first: &Incoming<'_>, changes: usize) -> Wanted {
        let columns = table.columns.len();
        match first.place {
            Some(place) if changes < columns && (changes == 1 || changes * FEW_COLUMNS < columns) => {
                Wanted::Cell(place)
            }
            _ => Wanted::All,
        }
    }
}

/// What is recorded of a row, as far as it was wanted.
#[derive(Debug)]
pub(super) struct KnownRow {
    keys: Vec<Value>,
    /// The number that stands for the key here.
    pub(super) key: i64,
    pub(super) clock: RowClock,
}

/// Rows of one table that were read before they were asked for, in the order of their keys.
///
/// A row is given once, and one that is passed over is forgotten. What is written meanwhile must be rows that were asked
/// for: then nothing that is kept here is out of date.
#[derive(Default)]
pub(super) struct ReadAhead {
    /// The rows of the last look, those from `next` to `end` not yet asked for; behind them is room.
    rows: Vec<KnownRow>,
    next: usize,
    end: usize,
    wanted: Option<Wanted>,
    pace: Pace,
}

impl ReadAhead {
    /// What is recorded of the row with this key, if it was worth while to read ahead and there was such a row. None says
    /// nothing of the row. `before` is the key that was asked for before.
    pub(super) fn find(
        &mut self,
        table: &Tracked,
        before: &[Value],
        keys: &[Value],
        wanted: Wanted,
    ) -> Result<Option<&mut KnownRow>> {
        self.pace.asked_for(order(before, keys));
        let mut is_it = self.pass_over(keys);
        if self.wanted != Some(wanted) {
            (is_it, self.next) = (false, self.end);
        }
        if self.next == self.end {
            let Some(size) = self.pace.next_size().filter(|_| table.keys_are_in_order) else { return Ok(None) };
            self.read(table, keys, wanted, size)?;
            is_it = self.pass_over(keys);
        }
        if !is_it {
            return Ok(None);
        }
        self.next += 1;
        self.pace.used += 1;
        Ok(Some(&mut self.rows[self.next - 1]))
    }

    /// Forgets the rows before a key; all, where that cannot be told. True where the next one is the row with this key.
    fn pass_over(&mut self, keys: &[Value]) -> bool {
        while self.next < self.end {
            match order(&self.rows[self.next].keys, keys) {
                Some(Ordering::Less) => self.next += 1,
                Some(order) => return order == Ordering::Equal,
                None => self.next = self.end,
            }
        }
        false
    }

    /// Reads up to so many rows from a key on.
    fn read(&mut self, table: &Tracked, keys: &[Value], wanted: Wanted, size: usize) -> Result<()> {
        (self.next, self.end, self.wanted) = (0, 0, Some(wanted));
        let mut parameters: Parameters<'_> = keys.iter().map(to_bridge).collect();
        let statement = match wanted {
            Wanted::All => &table.statements.row_clocks_from,
            Wanted::Cell(place) => {
                parameters = parameters.iter().copied().chain([ValueRef::from(&table.columns[place])]).collect();
                &table.statements.cell_clocks_from
            }
        };
        statement.lend()?.each_until(&parameters, |found| {
            let key = found.column_i64(0);
            let is_next = self.end == 0 || self.rows[self.end - 1].key != key;
            if is_next {
                if self.end == size {
                    return Ok(true);
                }
                self.add_row(table, found, key, wanted);
            }
            let clock = &mut self.rows[self.end - 1].clock;
            match wanted {
                Wanted::Cell(place) => {
                    clock.set_cell(place, CellClock::At(found.column_i64(1)));
                    if !found.column(2).is_null() {
                        clock.set_causal_length(found.column_i64(2));
                    }
                }
                Wanted::All => {
                    let (name, version) = (found.column(1).as_bytes().unwrap_or_default(), found.column_i64(2));
                    if name == SENTINEL.as_bytes() {
                        clock.set_causal_length(version);
                    } else if let Some(column) = table.column_index(name) {
                        clock.set_cell(column, CellClock::At(version));
                    }
                }
            }
            Ok(false)
        })?;
        // Rows that do not come in the order by which they are passed over would be given when they are out of date.
        let is_in_order = |pair: &[KnownRow]| order(&pair[0].keys, &pair[1].keys) == Some(Ordering::Less);
        if !self.rows[..self.end].windows(2).all(is_in_order) {
            self.end = 0;
        }
        self.pace.read(size, self.end);
        Ok(())
    }

    fn add_row(&mut self, table: &Tracked, found: &Statement, key: i64, wanted: Wanted) {
        if self.end == self.rows.len() {
            self.rows.push(KnownRow { keys: Vec::new(), key, clock: RowClock::unknown(0) });
        }
        let row = &mut self.rows[self.end];
        row.key = key;
        row.keys.clear();
        row.keys.extend((3..).take(table.keys.len()).map(|column| to_change(found.column(column)).to_value()));
        let unread = if wanted == Wanted::All { CellClock::Absent } else { CellClock::Unread };
        row.clock.turn_to(1, table.columns.len(), unread);
        self.end += 1;
    }
}

/// When to read ahead, and how far: not unless keys come in order, further where it has paid, and not again for a while
/// where it has not.
#[derive(Default)]
struct Pace {
    /// How many keys have come in order.
    in_order: usize,
    /// How many rows were to be read by the last look, how many it has read, and how many of those were asked for.
    size: usize,
    read: usize,
    used: usize,
    /// Rows to be asked for before another look.
    wait: usize,
}

impl Pace {
    /// The key before one that is asked for compares with it like this.
    fn asked_for(&mut self, before: Option<Ordering>) {
        self.in_order = if before == Some(Ordering::Less) { self.in_order + 1 } else { 0 };
        self.wait = self.wait.saturating_sub(1);
    }

    /// How many rows to read now.
    fn next_size(&mut self) -> Option<usize> {
        let whole = self.read == self.size;
        let has_paid = self.size == 0 || whole && 2 * self.used >= self.read;
        if !has_paid {
            *self = Pace { wait: WAIT, ..Pace::default() };
        }
        if self.wait > 0 || self.in_order < IN_ORDER_MIN {
            return None;
        }
        Some(if self.size == 0 { SIZE_MIN } else { (2 * self.size).min(SIZE_MAX) })
    }

    fn read(&mut self, size: usize, read: usize) {
        (self.size, self.read, self.used) = (size, read, 0);
    }
}

/// How many keys must have come in order before rows are read ahead.
const IN_ORDER_MIN: usize = 3;
/// How many rows are read ahead at first, and at most.
const SIZE_MIN: usize = 4;
const SIZE_MAX: usize = 32;
/// How many rows are asked for in vain before they are read ahead again.
const WAIT: usize = 100;

/// The order of two keys as the lookaside table's index has it; none where a number meets one of the other kind, or a
/// key has another length.
fn order(a: &[Value], b: &[Value]) -> Option<Ordering> {
    if a.len() != b.len() {
        return None;
    }
    for (a, b) in a.iter().zip(b) {
        let order = match (a, b) {
            (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
            (Value::Real(a), Value::Real(b)) => a.partial_cmp(b)?,
            (Value::Text(a), Value::Text(b)) | (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
            (Value::Integer(_) | Value::Real(_), Value::Text(_) | Value::Blob(_)) => Ordering::Less,
            (Value::Text(_), Value::Blob(_)) => Ordering::Less,
            (Value::Text(_) | Value::Blob(_), Value::Integer(_) | Value::Real(_)) => Ordering::Greater,
            (Value::Blob(_), Value::Text(_)) => Ordering::Greater,
            _ => return None,
        };
        if order.is_ne() {
            return Some(order);
        }
    }
    Some(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Attached;
    use rejoin_bridge::linked;
    use std::rc::Rc;

    /// A database in this encoding, with a table of these rows, whose keys are text.
    fn table(encoding: &str, keys: &[&str]) -> (rusqlite::Connection, Rc<Tracked>, tempfile::NamedTempFile) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let create = format!("PRAGMA encoding = '{encoding}'; CREATE TABLE t (k TEXT PRIMARY KEY NOT NULL, a, b)");
        rusqlite::Connection::open(file.path()).unwrap().execute_batch(&create).unwrap();
        let (host, handle) = linked::open(crate::register, || rusqlite::Connection::open(file.path())).unwrap();
        host.execute_batch("SELECT crsql_as_crr('t')").unwrap();
        for key in keys {
            host.execute("INSERT INTO t VALUES (?1, 1, 2)", [key]).unwrap();
        }
        let engine = handle.state(Attached::default).0.get().unwrap().clone();
        let table = engine.table("t").unwrap().unwrap();
        (host, table, file)
    }

    fn text(key: &str) -> Vec<Value> {
        vec![Value::Text(key.into())]
    }

    /// What is found of some rows, asked for one after the other, by the number of each key.
    fn find(ahead: &mut ReadAhead, table: &Tracked, keys: &[&str]) -> Vec<Option<i64>> {
        let mut before = Vec::new();
        let found = keys.iter().map(|key| {
            let key = text(key);
            let found = ahead.find(table, &before, &key, Wanted::All).unwrap().map(|row| row.key);
            before = key;
            found
        });
        found.collect()
    }

    #[test]
    fn rows_in_order_are_found_once_what_lies_between_them_is_passed_over_and_missing_ones_are_not_found() {
        let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let (_host, table, _file) = table("UTF-8", &keys);
        let mut ahead = ReadAhead::default();
        assert_eq!(find(&mut ahead, &table, &["a", "b", "c", "d"]), [None, None, None, Some(4)]);
        assert_eq!(ahead.end, 4, "d, e, f and g were read");
        assert_eq!(
            find(&mut ahead, &table, &["d", "ee", "f", "f", "e", "g"]),
            [None, None, Some(6), None, None, Some(7)]
        );
    }

    #[test]
    fn a_cell_is_read_with_the_causal_length_and_rows_without_it_are_not_found() {
        let (host, table, _file) = table("UTF-8", &["a", "b", "c", "d", "e", "f", "g"]);
        host.execute_batch(
            "DELETE FROM t WHERE k IN ('e', 'f'); INSERT INTO t VALUES ('f', 1, 2); UPDATE t SET a = 3 WHERE k = 'g'",
        )
        .unwrap();
        let mut ahead = ReadAhead::default();
        let mut find = |key: &str, before: &str| {
            let found = ahead.find(&table, &text(before), &text(key), Wanted::Cell(0)).unwrap()?;
            assert_eq!(found.clock.cell(1), CellClock::Unread);
            Some((found.clock.causal_length(), found.clock.cell(0)))
        };
        let found = [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d"), ("f", "e"), ("g", "f")]
            .map(|(key, before)| find(key, before));
        let at = |causal_length, version| Some((causal_length, CellClock::At(version)));
        assert_eq!(found, [None, None, at(1, 1), None, at(3, 1), at(1, 2)]);
    }

    /// Keys come out of the index in the order of its bytes, which in UTF-16 is another than in UTF-8. A row that is kept
    /// out of order is not passed over when it is asked for, and would be given when it is out of date.
    #[test]
    fn rows_that_come_in_another_order_are_not_kept() {
        let keys = ["\u{100}1", "\u{100}2", "\u{100}3", "\u{100}4", "\u{100}5", "a1", "a2"];
        for (encoding, kept) in [("UTF-8", 2), ("UTF-16le", 0)] {
            let (_host, table, _file) = table(encoding, &keys);
            let mut ahead = ReadAhead::default();
            let found = find(&mut ahead, &table, &keys[..4]);
            assert_eq!(found[3].is_some(), kept > 0, "{encoding}");
            assert_eq!(ahead.end, kept, "{encoding}");
        }
    }

    fn ask(pace: &mut Pace, times: usize) -> Option<usize> {
        (0..times).for_each(|_| pace.asked_for(Some(Ordering::Less)));
        pace.next_size()
    }

    #[test]
    fn the_pace_grows_where_it_has_paid_and_stops_for_a_while_where_it_has_not() {
        let mut pace = Pace::default();
        assert_eq!(ask(&mut pace, IN_ORDER_MIN - 1), None);
        assert_eq!(ask(&mut pace, 1), Some(SIZE_MIN));
        let mut size = SIZE_MIN;
        while size < SIZE_MAX {
            pace.read(size, size);
            pace.used = size.div_ceil(2);
            assert_eq!(ask(&mut pace, 1), Some(2 * size));
            size *= 2;
        }
        pace.read(size, size);
        pace.used = size;
        assert_eq!(ask(&mut pace, 1), Some(SIZE_MAX));
        pace.asked_for(Some(Ordering::Greater));
        assert_eq!(pace.next_size(), None, "the keys go back");

        for (read, used) in [(SIZE_MAX, SIZE_MAX / 2 - 1), (SIZE_MAX - 1, SIZE_MAX - 1)] {
            pace.read(SIZE_MAX, read);
            pace.used = used;
            assert_eq!(ask(&mut pace, 1), None);
            assert_eq!(ask(&mut pace, WAIT - 1), None);
            assert_eq!(ask(&mut pace, 1), Some(SIZE_MIN));
        }
    }

    #[test]
    fn the_order_of_keys_is_the_indexs_and_numbers_of_two_kinds_are_not_compared() {
        let values = [
            Value::Integer(-1),
            Value::Integer(2),
            Value::Text(b"a".into()),
            Value::Text(b"ab".into()),
            Value::Blob(vec![]),
        ];
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(order(std::slice::from_ref(a), std::slice::from_ref(b)), Some(i.cmp(&j)), "{a:?} {b:?}");
            }
        }
        let pair = |a: i64, b: &str| [Value::Integer(a), Value::Text(b.into())];
        assert_eq!(order(&pair(1, "b"), &pair(2, "a")), Some(Ordering::Less));
        assert_eq!(order(&pair(1, "b"), &pair(1, "a")), Some(Ordering::Greater));
        assert_eq!(order(&[Value::Real(0.0)], &[Value::Real(-0.0)]), Some(Ordering::Equal));
        for (a, b) in [(Value::Integer(1), Value::Real(1.0)), (Value::Null, Value::Integer(1))] {
            assert_eq!(order(&[a], &[b]), None);
        }
        assert_eq!(order(&[], &pair(1, "a")), None);
    }

    #[test]
    fn rows_are_read_by_the_index_of_the_keys_and_not_sorted() {
        let (host, _, _file) = table("UTF-8", &["a"]);
        host.execute_batch(
            "CREATE TABLE two (k NOT NULL, j NOT NULL, a, b, PRIMARY KEY (k, j)); SELECT crsql_as_crr('two'); ANALYZE",
        )
        .unwrap();
        for (table, keys) in [("t", vec!["k".to_owned()]), ("two", vec!["k".to_owned(), "j".to_owned()])] {
            for sql in [crate::sql::row_clocks_from(table, &keys), crate::sql::cell_clocks_from(table, &keys)] {
                let mut statement = host.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
                let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
                let steps =
                    statement.query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3)).unwrap();
                let plan = steps.map(|step| step.unwrap()).collect::<Vec<_>>().join("; ");
                assert!(plan.starts_with(&format!("SEARCH p USING COVERING INDEX {table}__crsql_pks_pks")), "{plan}");
                assert!(!plan.contains("TEMP B-TREE"), "{plan}");
            }
        }
    }
}
