use crate::binary::bytes::{COUNTER_OUT_OF_RANGE, FORMER_IDS, check_cursor, counter, is_counter};
use crate::encode::bounded;
use crate::error::{Result, WireError};
use crate::limits::{
    EXPANDED_BYTES_MAX, FORMER_IDS_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX, PACKAGE_CHANGES_MAX, RANGES_MAX, VALUE_BYTES_MAX,
};
use crate::size::size_bytes;
use crate::{AsOf, Package, Position, Range, Receipt};
use rejoin_change::{Change, Value};

/// Checks before writing what every reader will check: a package that nobody can read must not leave.
pub(crate) fn check_package(package: &Package) -> Result<()> {
    bounded(FORMER_IDS, package.former_ids.len(), FORMER_IDS_MAX)?;
    bounded(CHANGES, package.changes.len(), PACKAGE_CHANGES_MAX)?;
    for cursor in [&package.run_start, &package.since, &package.start.cursor, &package.end.cursor] {
        check_cursor(cursor).map_err(|what| WireError::Misuse { what })?;
    }
    require(package.start.cursor <= package.end.cursor, END_BEFORE_START)?;
    require(counter(package.run).is_some() && is_counter(package.as_of.head), COUNTER_OUT_OF_RANGE)?;
    package.receipt.as_ref().map_or(Ok(()), check_receipt)?;
    let mut expanded = Expanded::default();
    package.changes.iter().try_for_each(|change| {
        check_change(change)?;
        expanded.add(change.key.as_bytes().len(), value_bytes(&change.value))
    })
}

pub(crate) fn check_receipt(receipt: &Receipt) -> Result<()> {
    if let Some(Position { cursor, .. }) = &receipt.position {
        check_cursor(cursor).map_err(|what| WireError::Misuse { what })?;
    }
    bounded(RANGES, receipt.ranges.len(), RANGES_MAX)?;
    for cursor in receipt.ranges.iter().flat_map(|range| [&range.start.cursor, &range.end.cursor]) {
        check_cursor(cursor).map_err(|what| WireError::Misuse { what })?;
    }
    require(ranges_rise(&receipt.ranges), RANGES_OUT_OF_ORDER)?;
    let head_fits = receipt.as_of.is_none_or(|AsOf { head, .. }| is_counter(head));
    require(counter(receipt.run).is_some() && head_fits, COUNTER_OUT_OF_RANGE)
}

/// Each range holds something, and lies behind the one before without touching it.
pub(crate) fn ranges_rise(ranges: &[Range]) -> bool {
    ranges.iter().all(|range| range.start.cursor < range.end.cursor)
        && ranges.windows(2).all(|pair| pair[0].end.cursor < pair[1].start.cursor)
}

fn check_change(change: &Change) -> Result<()> {
    bounded(KEY, change.key.as_bytes().len(), KEY_BYTES_MAX)?;
    bounded(NAME, change.table.len(), NAME_BYTES_MAX)?;
    bounded(NAME, change.column.len(), NAME_BYTES_MAX)?;
    bounded(VALUE, value_bytes(&change.value), VALUE_BYTES_MAX)?;
    let counters = [change.col_version, change.db_version, change.causal_length, change.seq];
    require(counters.into_iter().all(is_counter), COUNTER_OUT_OF_RANGE)?;
    require(!matches!(change.value, Value::Real(real) if real.is_nan()), NOT_A_NUMBER)
}

fn require(condition: bool, what: &'static str) -> Result<()> {
    if condition { Ok(()) } else { Err(WireError::Misuse { what }) }
}

pub(crate) fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Text(bytes) | Value::Blob(bytes) => bytes.len(),
        _ => 0,
    }
}

/// Counts what the changes of a package take up, before they are made.
#[derive(Default)]
pub(crate) struct Expanded {
    bytes: usize,
}

impl Expanded {
    pub fn add(&mut self, key_bytes: usize, value_bytes: usize) -> Result<()> {
        // The sum stays below the limit and the addend below 2^26, so it cannot overflow.
        self.bytes += size_bytes(key_bytes, value_bytes);
        bounded("bytes of a package's changes", self.bytes, EXPANDED_BYTES_MAX)
    }
}

pub(crate) const CHANGES: &str = "changes in a package";
pub(crate) const KEY: &str = "bytes of a primary key";
pub(crate) const NAME: &str = "bytes of a table or column name";
pub(crate) const VALUE: &str = "bytes of a value";
pub(crate) const RANGES: &str = "ranges in a receipt";
pub(crate) const RANGES_OUT_OF_ORDER: &str = "the ranges of a receipt are empty, or not in order";
pub(crate) const END_BEFORE_START: &str = "the package ends before it starts";
pub(crate) const NOT_A_NUMBER: &str = "a real is not a number, which SQLite cannot store";
