//! A package's changes into `crsql_changes`: everything is checked before SQLite sees it, and a refusal says which cell
//! it is about.

use crate::change_store;
use crate::engine_facts::{self, TableShape};
use crate::error::{Result, StreamError};
use crate::sql;
use rejoin_bridge::{self as bridge, Connection, ValueRef};
use rejoin_change::{COUNTER_MAX, Change, SENTINEL, Value};
use rejoin_wire::Package;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

/// Merges all or fails; runs inside an atomic body. The changes get this transaction's version and its next seqs, so
/// that no remote's numbers reach this database's. False where nothing of it was news.
pub(crate) fn merge(connection: &Connection, package: &Package) -> Result<bool> {
    check(connection, package)?;
    if package.changes.is_empty() {
        return Ok(false);
    }
    match change_store::store(connection) {
        Some(store) => match store.merge(&package.changes) {
            Ok(effective) => Ok(effective > 0),
            Err(failure) => Err(refused(&package.changes[failure.changes], failure.error)),
        },
        None => merge_by_sql(connection, package),
    }
}

fn merge_by_sql(connection: &Connection, package: &Package) -> Result<bool> {
    let impacted_before = rows_impacted(connection)?;
    let mut statement = connection.cached(&sql::merge_change())?;
    for change in &package.changes {
        statement
            .run(&[
                ValueRef::from(&*change.table),
                change.key.as_bytes().into(),
                ValueRef::from(&*change.column),
                value(&change.value),
                change.col_version.into(),
                change.site_id.as_bytes().into(),
                change.causal_length.into(),
            ])
            .map_err(|error| refused(std::slice::from_ref(change), error))?;
    }
    Ok(rows_impacted(connection)? != impacted_before)
}

/// Effective merges of this transaction, as the engine counts them.
fn rows_impacted(connection: &Connection) -> Result<i64> {
    let impacted = connection.cached(sql::ROWS_IMPACTED)?.query_row(&[], |row| Ok(row.column_i64(0)))?;
    Ok(impacted.unwrap_or(0))
}

fn check(connection: &Connection, package: &Package) -> Result<()> {
    let mut shapes: HashMap<Arc<str>, TableShape> = HashMap::new();
    let mut before: Option<&Change> = None;
    for change in &package.changes {
        check_counters(change)?;
        if before.is_some_and(|before| order(before, change).is_ge()) {
            return Err(out_of_order(change));
        }
        before = Some(change);
        if !shapes.contains_key(&change.table) {
            let shape = engine_facts::table_shape(connection, &change.table)?.ok_or_else(|| unknown_table(change))?;
            shapes.insert(change.table.clone(), shape);
        }
        check_shape(&shapes[&change.table], change)?;
    }
    if let (Some(first), Some(last)) = (package.changes.first(), before) {
        if first.cursor() <= package.start.cursor {
            return Err(out_of_order(first));
        }
        if last.cursor() > package.end.cursor {
            return Err(out_of_order(last));
        }
    }
    Ok(())
}

/// The order of a stream, which is that of the changes' cursors.
fn order(a: &Change, b: &Change) -> Ordering {
    let place = |change: &Change| (change.db_version, change.seq);
    place(a)
        .cmp(&place(b))
        .then_with(|| a.table.cmp(&b.table))
        .then_with(|| a.key.cmp(&b.key))
        .then_with(|| a.column.cmp(&b.column))
}

fn out_of_order(change: &Change) -> StreamError {
    StreamError::PeerMisbehaved(format!(
        "the package has the change of {} out of order, at {}; it was not made by an outbound stream",
        describe(change),
        change.cursor()
    ))
}

fn check_counters(change: &Change) -> Result<()> {
    let in_range = (0..=COUNTER_MAX).contains(&change.col_version) && (1..=COUNTER_MAX).contains(&change.causal_length);
    if in_range && (!change.is_sentinel() || change.col_version == change.causal_length) {
        return Ok(());
    }
    Err(StreamError::PeerMisbehaved(format!(
        "the change of {} has col_version {} and causal length {}, which no database makes",
        describe(change),
        change.col_version,
        change.causal_length
    )))
}

fn unknown_table(change: &Change) -> StreamError {
    let column = if change.is_sentinel() { String::new() } else { format!(" (it changes column {})", change.column) };
    StreamError::PeerIncompatible(format!(
        "the package has a change for table {}{column}, which is not replicated in this database; create the table here \
         and run SELECT crsql_as_crr('{}'), then apply the package again",
        change.table,
        change.table.replace('\'', "''")
    ))
}

fn check_shape(shape: &TableShape, change: &Change) -> Result<()> {
    if change.key.len() != shape.key_len {
        return Err(StreamError::PeerIncompatible(format!(
            "the package has a key of {} values for table {} (column {}), whose primary key has {} here; bring both \
             schemas in line, then apply the package again",
            change.key.len(),
            change.table,
            change.column,
            shape.key_len
        )));
    }
    // A deletion speaks of the whole row, whatever column it names.
    if change.is_sentinel() || change.causal_length % 2 == 0 || shape.columns.contains(&*change.column) {
        return Ok(());
    }
    Err(StreamError::PeerIncompatible(format!(
        "the package has a change for column {} of table {}, which that table lacks in this database; add the column \
         here between crsql_begin_alter and crsql_commit_alter, then apply the package again",
        change.column, change.table
    )))
}

/// SQLite's own words, with the cell that they are about, or the cells where several of a row were written together.
fn refused(changes: &[Change], error: bridge::Error) -> StreamError {
    let what = match changes {
        [change] => format!("change of {}", describe(change)),
        _ => {
            let columns: Vec<&str> =
                changes.iter().map(|change| &*change.column).filter(|name| *name != SENTINEL).collect();
            format!("changes of {}, columns {},", describe_row(&changes[0]), columns.join(", "))
        }
    };
    let verb = if changes.len() == 1 { "was" } else { "were" };
    StreamError::Store(bridge::Error::new(error.code, format!("the {what} {verb} refused: {}", error.message)))
}

/// The cell of a change, for messages: table, key and column.
pub(crate) fn describe(change: &Change) -> String {
    let row = describe_row(change);
    if change.is_sentinel() { row } else { format!("{row}, column {}", change.column) }
}

/// The row of a change, for messages: table and key.
fn describe_row(change: &Change) -> String {
    let mut text = format!("table {}, key (", change.table);
    for (index, value) in change.key.values().iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        describe_value(&mut text, value);
    }
    text.push(')');
    text
}

fn describe_value(text: &mut String, value: &Value) {
    let written = match value {
        Value::Null => write!(text, "NULL"),
        Value::Integer(i) => write!(text, "{i}"),
        Value::Real(r) => write!(text, "{r:?}"),
        Value::Text(bytes) => write!(text, "'{}'", shortened(&String::from_utf8_lossy(bytes))),
        Value::Blob(bytes) => {
            let hex: String = bytes.iter().take(DESCRIBED_MAX).map(|byte| format!("{byte:02x}")).collect();
            write!(text, "x'{}'", shortened(&hex))
        }
    };
    written.expect("writing to a String cannot fail");
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(DESCRIBED_MAX) {
        Some((index, _)) => format!("{}…", &text[..index]),
        None => text.into(),
    }
}

fn value(value: &Value) -> ValueRef<'_> {
    match value {
        Value::Null => ValueRef::Null,
        Value::Integer(i) => ValueRef::Integer(*i),
        Value::Real(r) => ValueRef::Real(*r),
        Value::Text(t) => ValueRef::Text(t),
        Value::Blob(b) => ValueRef::Blob(b),
    }
}

/// Characters of one key value in a message.
const DESCRIBED_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_change::{PackedKey, SiteId, ValueRef as KeyValue};

    #[test]
    fn a_cell_is_described_by_table_key_and_column() {
        let key = [KeyValue::Integer(7), KeyValue::Text(b"long"), KeyValue::Blob(&[0xab]), KeyValue::Real(1.5)];
        let mut change = Change {
            table: "t".into(),
            key: PackedKey::pack(&key).unwrap(),
            column: "b".into(),
            value: Value::Null,
            col_version: 1,
            db_version: 1,
            site_id: SiteId([0; 16]),
            causal_length: 1,
            seq: 0,
        };
        assert_eq!(describe(&change), "table t, key (7, 'long', x'ab', 1.5), column b");
        change.column = SENTINEL.into();
        change.key = PackedKey::pack(&[KeyValue::Text("é".repeat(50).as_bytes())]).unwrap();
        assert_eq!(describe(&change), format!("table t, key ('{}…')", "é".repeat(40)));
    }
}
