//! The body of a binary package: its changes, column by column. `docs/formats/package.md` gives the layout.

use super::bytes::{COUNTER_OUT_OF_RANGE, Reader, counter, is_counter, push_bytes, push_varint, unzigzag, zigzag};
use super::numbers::{push_numbers, read_numbers};
use crate::check::{Expanded, KEY, NAME, NOT_A_NUMBER, VALUE};
use crate::encode::bounded;
use crate::error::{Result, WireError};
use crate::limits::{KEY_BYTES_MAX, NAME_BYTES_MAX, VALUE_BYTES_MAX};
use rejoin_change::{Change, PackedKey, SiteId, Value};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

pub(super) fn push_changes(out: &mut Vec<u8>, changes: &[Change]) {
    let mut tables = Dictionary::default();
    let mut columns = Dictionary::default();
    let mut sites = Dictionary::default();
    let mut rows = RowColumns::default();
    let mut cells = CellColumns::default();
    let mut first_column_of_row = 0i64;
    let mut before: Option<&Change> = None;
    for change in changes {
        let column = columns.index_of(&*change.column);
        let same_row = before.is_some_and(|b| b.key == change.key && b.table == change.table);
        let expected_column = if same_row {
            *rows.changes.last_mut().expect("a row was begun before it goes on") += 1;
            cells.last_column + 1
        } else {
            rows.tables.push(tables.index_of(&*change.table));
            rows.changes.push(1);
            rows.key_lengths.push(change.key.as_bytes().len() as u64);
            rows.keys.extend_from_slice(change.key.as_bytes());
            std::mem::replace(&mut first_column_of_row, column as i64)
        };
        cells.push(change, before, column, expected_column, sites.index_of(&change.site_id));
        before = Some(change);
    }

    push_varint(out, tables.entries.len() as u64);
    tables.entries.iter().for_each(|name| push_bytes(out, name.as_bytes()));
    push_varint(out, columns.entries.len() as u64);
    columns.entries.iter().for_each(|name| push_bytes(out, name.as_bytes()));
    push_varint(out, sites.entries.len() as u64);
    sites.entries.iter().for_each(|site| out.extend_from_slice(site.as_bytes()));

    push_varint(out, rows.changes.len() as u64);
    for numbers in [&rows.tables, &rows.changes, &rows.key_lengths] {
        push_numbers(out, numbers);
    }
    out.extend_from_slice(&rows.keys);

    let CellColumns { columns, db_versions, seqs, col_versions, sites, causal_lengths, classes, .. } = &cells;
    for numbers in [columns, db_versions, seqs, col_versions, sites, causal_lengths, classes] {
        push_numbers(out, numbers);
    }
    push_numbers(out, &cells.integers);
    out.extend_from_slice(&cells.reals);
    push_numbers(out, &cells.lengths);
    out.extend_from_slice(&cells.contents);
}

/// Reads exactly `count` changes, which the caller has bounded, and nothing else.
pub(super) fn read_changes(body: &[u8], count: usize) -> Result<Vec<Change>> {
    let mut reader = Reader::new(body);
    let tables = read_names(&mut reader, count)?;
    let columns = read_names(&mut reader, count)?;
    let site_count = reader.length("site ids in a package", count)?;
    let sites = (0..site_count).map(|_| reader.site_id()).collect::<Result<Vec<SiteId>>>()?;

    let mut rows = read_rows(&mut reader, &tables, count)?;
    let column_deltas = read_numbers(&mut reader, count)?;
    let db_version_deltas = read_numbers(&mut reader, count)?;
    let seq_deltas = read_numbers(&mut reader, count)?;
    let col_versions = read_numbers(&mut reader, count)?;
    let site_indexes = read_numbers(&mut reader, count)?;
    let causal_lengths = read_numbers(&mut reader, count)?;
    let classes = read_numbers(&mut reader, count)?;
    let mut values = Values::read(&mut reader, &classes)?;

    let out_of_range = || WireError::Malformed { what: COUNTER_OUT_OF_RANGE, offset: 0 };
    let unknown_index = || WireError::Malformed { what: UNKNOWN_INDEX, offset: 0 };
    let mut expanded = Expanded::default();
    let mut changes = Vec::with_capacity(count);
    let (mut db_version, mut seq, mut column, mut first_column_of_row) = (0i64, -1i64, 0i64, 0i64);
    for i in 0..count {
        let (row, begins_row) = rows.next().ok_or_else(|| reader.malformed(ROWS_DISAGREE))?;
        let expected_column = if begins_row { first_column_of_row } else { column + 1 };
        column = expected_column.checked_add(unzigzag(column_deltas[i])).ok_or_else(unknown_index)?;
        let column_name = entry(&columns, column as u64).ok_or_else(unknown_index)?;
        if begins_row {
            first_column_of_row = column;
        }
        let db_version_delta = unzigzag(db_version_deltas[i]);
        db_version = db_version.checked_add(db_version_delta).filter(|n| is_counter(*n)).ok_or_else(out_of_range)?;
        let expected_seq = if db_version_delta == 0 { seq + 1 } else { 0 };
        let seq_sum = expected_seq.checked_add(unzigzag(seq_deltas[i]));
        seq = seq_sum.filter(|n| is_counter(*n)).ok_or_else(out_of_range)?;
        expanded.add(row.key.as_bytes().len(), values.next_bytes(classes[i]))?;
        changes.push(Change {
            table: row.table.clone(),
            key: row.key.clone(),
            column: column_name.clone(),
            value: values.next(classes[i])?,
            col_version: counter(col_versions[i]).ok_or_else(out_of_range)?,
            db_version,
            site_id: *entry(&sites, site_indexes[i]).ok_or_else(unknown_index)?,
            causal_length: counter(causal_lengths[i]).ok_or_else(out_of_range)?,
            seq,
        });
    }
    Ok(changes)
}

/// Distinct things in the order in which they first occur.
struct Dictionary<'a, T: ?Sized> {
    entries: Vec<&'a T>,
    indexes: HashMap<&'a T, u64>,
    /// What was asked for last: changes of one row, table and author follow each other.
    last: Option<(&'a T, u64)>,
}

impl<T: ?Sized> Default for Dictionary<'_, T> {
    fn default() -> Self {
        Dictionary { entries: Vec::new(), indexes: HashMap::new(), last: None }
    }
}

impl<'a, T: ?Sized + Eq + Hash> Dictionary<'a, T> {
    fn index_of(&mut self, entry: &'a T) -> u64 {
        match self.last {
            Some((last, index)) if last == entry => index,
            _ => {
                let entries = &mut self.entries;
                let index = *self.indexes.entry(entry).or_insert_with(|| {
                    entries.push(entry);
                    entries.len() as u64 - 1
                });
                self.last = Some((entry, index));
                index
            }
        }
    }
}

/// A row here is a run of changes with the same table and key.
#[derive(Default)]
struct RowColumns {
    tables: Vec<u64>,
    changes: Vec<u64>,
    key_lengths: Vec<u64>,
    keys: Vec<u8>,
}

#[derive(Default)]
struct CellColumns {
    last_column: i64,
    columns: Vec<u64>,
    db_versions: Vec<u64>,
    seqs: Vec<u64>,
    col_versions: Vec<u64>,
    sites: Vec<u64>,
    causal_lengths: Vec<u64>,
    classes: Vec<u64>,
    integers: Vec<u64>,
    reals: Vec<u8>,
    lengths: Vec<u64>,
    contents: Vec<u8>,
}

impl CellColumns {
    fn push(&mut self, change: &Change, before: Option<&Change>, column: u64, expected_column: i64, site: u64) {
        let (last_db_version, last_seq) = before.map_or((0, -1), |b| (b.db_version, b.seq));
        let db_version_delta = change.db_version - last_db_version;
        let expected_seq = if db_version_delta == 0 { last_seq + 1 } else { 0 };
        self.last_column = column as i64;
        self.columns.push(zigzag(column as i64 - expected_column));
        self.db_versions.push(zigzag(db_version_delta));
        self.seqs.push(zigzag(change.seq - expected_seq));
        self.col_versions.push(change.col_version as u64);
        self.sites.push(site);
        self.causal_lengths.push(change.causal_length as u64);
        self.push_value(&change.value);
    }

    fn push_value(&mut self, value: &Value) {
        let class = match value {
            Value::Null => CLASS_NULL,
            Value::Integer(integer) => {
                self.integers.push(zigzag(*integer));
                CLASS_INTEGER
            }
            Value::Real(real) => {
                self.reals.extend_from_slice(&real.to_bits().to_be_bytes());
                CLASS_REAL
            }
            Value::Text(bytes) => {
                self.push_content(bytes);
                CLASS_TEXT
            }
            Value::Blob(bytes) => {
                self.push_content(bytes);
                CLASS_BLOB
            }
        };
        self.classes.push(class);
    }

    fn push_content(&mut self, bytes: &[u8]) {
        self.lengths.push(bytes.len() as u64);
        self.contents.extend_from_slice(bytes);
    }
}

/// A dictionary has no more entries than there are changes.
fn read_names(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Arc<str>>> {
    let names = reader.length("names in a package", count)?;
    (0..names).map(|_| reader.text(NAME, NAME_BYTES_MAX).map(Arc::from)).collect()
}

struct Row {
    table: Arc<str>,
    key: PackedKey,
    changes: u64,
}

/// Gives each row as often as it has changes.
struct Rows {
    rows: std::vec::IntoIter<Row>,
    current: Option<Row>,
    used: u64,
}

fn read_rows(reader: &mut Reader<'_>, tables: &[Arc<str>], count: usize) -> Result<Rows> {
    let row_count = reader.length("rows in a package", count)?;
    let table_indexes = read_numbers(reader, row_count)?;
    let change_counts = read_numbers(reader, row_count)?;
    let key_lengths = read_numbers(reader, row_count)?;
    let total = change_counts.iter().try_fold(0u64, |sum, changes| sum.checked_add(*changes));
    if total != Some(count as u64) || change_counts.contains(&0) {
        return Err(reader.malformed(ROWS_DISAGREE));
    }
    let mut rows = Vec::with_capacity(row_count);
    for i in 0..row_count {
        let table = entry(tables, table_indexes[i]).ok_or_else(|| reader.malformed(UNKNOWN_INDEX))?.clone();
        let key = reader.take(bounded_length(KEY, key_lengths[i], KEY_BYTES_MAX)?)?;
        let key = PackedKey::from_bytes(key.to_vec()).map_err(|_| reader.malformed("a packed key is malformed"))?;
        rows.push(Row { table, key, changes: change_counts[i] });
    }
    Ok(Rows { rows: rows.into_iter(), current: None, used: 0 })
}

impl Rows {
    /// The row of the next change, and whether the change begins it.
    fn next(&mut self) -> Option<(&Row, bool)> {
        let begins = self.current.as_ref().is_none_or(|row| row.changes == self.used);
        if begins {
            self.current = self.rows.next();
            self.used = 0;
        }
        self.used += 1;
        self.current.as_ref().map(|row| (row, begins))
    }
}

/// The values of a body, given out in order. All of them have been found to be there.
struct Values<'a> {
    integers: std::vec::IntoIter<u64>,
    reals: Reader<'a>,
    lengths: std::iter::Peekable<std::vec::IntoIter<u64>>,
    contents: Reader<'a>,
}

impl<'a> Values<'a> {
    fn read(reader: &mut Reader<'a>, classes: &[u64]) -> Result<Values<'a>> {
        if classes.iter().any(|class| *class > CLASS_BLOB) {
            return Err(reader.malformed("a value has an unknown class"));
        }
        let count_of = |wanted: &[u64]| classes.iter().filter(|class| wanted.contains(class)).count();
        let integers = read_numbers(reader, count_of(&[CLASS_INTEGER]))?;
        let reals = reader.take(8 * count_of(&[CLASS_REAL]))?;
        let lengths = read_numbers(reader, count_of(&[CLASS_TEXT, CLASS_BLOB]))?;
        let mut contents_bytes = 0;
        for length in &lengths {
            // Every length is bounded and there are fewer than 2^18, so the sum cannot overflow.
            contents_bytes += bounded_length(VALUE, *length, VALUE_BYTES_MAX)?;
        }
        let contents = reader.take(contents_bytes)?;
        reader.finish()?;
        Ok(Values {
            integers: integers.into_iter(),
            reals: Reader::new(reals),
            lengths: lengths.into_iter().peekable(),
            contents: Reader::new(contents),
        })
    }

    /// Length of the next value's content, without taking it.
    fn next_bytes(&mut self, class: u64) -> usize {
        match class {
            CLASS_TEXT | CLASS_BLOB => self.lengths.peek().map_or(0, |length| *length as usize),
            _ => 0,
        }
    }

    fn next(&mut self, class: u64) -> Result<Value> {
        match class {
            CLASS_INTEGER => {
                let number = self.integers.next().expect("there are as many integers as classes that say so");
                Ok(Value::Integer(unzigzag(number)))
            }
            CLASS_REAL => {
                let real = f64::from_bits(u64::from_be_bytes(self.reals.array()?));
                if real.is_nan() { Err(self.reals.malformed(NOT_A_NUMBER)) } else { Ok(Value::Real(real)) }
            }
            CLASS_TEXT => self.content().map(Value::Text),
            CLASS_BLOB => self.content().map(Value::Blob),
            _ => Ok(Value::Null),
        }
    }

    fn content(&mut self) -> Result<Vec<u8>> {
        let length = self.lengths.next().expect("there are as many lengths as classes that say so");
        Ok(self.contents.take(length as usize)?.to_vec())
    }
}

/// A negative index, cast, lies far behind the end.
fn entry<T>(dictionary: &[T], index: u64) -> Option<&T> {
    usize::try_from(index).ok().and_then(|index| dictionary.get(index))
}

fn bounded_length(what: &'static str, found: u64, max: usize) -> Result<usize> {
    let length = usize::try_from(found).unwrap_or(usize::MAX);
    bounded(what, length, max).map(|()| length)
}

const CLASS_NULL: u64 = 0;
const CLASS_INTEGER: u64 = 1;
const CLASS_REAL: u64 = 2;
const CLASS_TEXT: u64 = 3;
const CLASS_BLOB: u64 = 4;
const UNKNOWN_INDEX: &str = "an index points behind its dictionary";
const ROWS_DISAGREE: &str = "the rows do not add up to the changes";
