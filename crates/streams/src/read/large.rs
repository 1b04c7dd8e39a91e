//! Pieces of a value that does not fit into a package.
//!
//! SQLite finds a place inside a long value by going through all that lies before it, so more is read than one package
//! takes, and the rest is kept for the next.

use super::cells::whole_cell;
use super::descriptor::Descriptor;
use super::order::State;
use super::tables::Table;
use crate::error::Result;
use rejoin_bridge::Connection;
use rejoin_change::{PackedKey, Value};
use std::cell::RefCell;

/// A text or blob that is read piece by piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Large {
    pub size_bytes: u64,
    pub is_text: bool,
    /// None where SQLite cannot give pieces of it as they travel: the table has no rowid or has generated columns, or
    /// text is stored as UTF-16.
    pub rowid: Option<i64>,
}

/// Which value it is. What was read of it holds as long as its clock row says the same.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ValueId {
    state: State,
    table: u32,
    key: i64,
    column: u16,
    col_version: i64,
    stored: (i64, i64),
}

impl ValueId {
    pub fn of(state: &State, version: i64, change: &Descriptor) -> ValueId {
        ValueId {
            state: state.clone(),
            table: change.table,
            key: change.key,
            column: change.column,
            col_version: change.col_version,
            stored: change.stored.unwrap_or((version, change.seq)),
        }
    }
}

/// What was read ahead of a few values.
#[derive(Default)]
pub(super) struct ReadAhead(RefCell<Vec<Window>>);

struct Window {
    id: ValueId,
    size_bytes: u64,
    is_text: bool,
    offset: u64,
    bytes: Vec<u8>,
}

impl ReadAhead {
    /// The length of a value and whether it is text, where bytes of it from `offset` on are here.
    pub fn knows(&self, id: &ValueId, offset: u64) -> Option<(u64, bool)> {
        let windows = self.0.borrow();
        let window = windows.iter().find(|window| window.id == *id && window.holds(offset))?;
        Some((window.size_bytes, window.is_text))
    }

    /// A piece that was read already, cut where the window ends.
    fn piece(&self, id: &ValueId, offset: u64, length: usize) -> Option<Vec<u8>> {
        let windows = self.0.borrow();
        let window = windows.iter().find(|window| window.id == *id && window.holds(offset))?;
        let from = (offset - window.offset) as usize;
        Some(window.bytes[from..window.bytes.len().min(from + length)].to_vec())
    }

    fn put(&self, window: Window) {
        let mut windows = self.0.borrow_mut();
        windows.retain(|other| other.id != window.id);
        if windows.len() >= WINDOWS_MAX {
            windows.remove(0);
        }
        windows.push(window);
    }

    pub fn forget(&self, id: &ValueId) {
        self.0.borrow_mut().retain(|window| window.id != *id);
    }
}

impl Window {
    fn holds(&self, offset: u64) -> bool {
        (self.offset..self.offset + self.bytes.len() as u64).contains(&offset)
    }
}

/// Up to `length` bytes of a value, at least one where it has more than `offset`.
pub(super) fn read_piece(
    connection: &Connection,
    table: &Table,
    key: &PackedKey,
    id: &ValueId,
    large: &Large,
    offset: u64,
    length: usize,
) -> Result<Value> {
    let ahead = connection.state(ReadAhead::default);
    let bytes = match ahead.piece(id, offset, length) {
        Some(bytes) => bytes,
        None => {
            let bytes = read_window(connection, table, key, id, large, offset, length.max(WINDOW_BYTES))?;
            let piece = bytes[..bytes.len().min(length)].to_vec();
            ahead.put(Window { id: id.clone(), size_bytes: large.size_bytes, is_text: large.is_text, offset, bytes });
            piece
        }
    };
    Ok(if large.is_text { Value::Text(bytes) } else { Value::Blob(bytes) })
}

fn read_window(
    connection: &Connection,
    table: &Table,
    key: &PackedKey,
    id: &ValueId,
    large: &Large,
    offset: u64,
    length: usize,
) -> Result<Vec<u8>> {
    let (from, rest) = (offset as usize, (large.size_bytes - offset) as usize);
    let length = rest.min(length);
    match large.rowid {
        Some(rowid) => {
            let mut bytes = vec![0; length];
            let blob = connection.open_blob(&table.name, &table.columns[id.column as usize], rowid)?;
            blob.read(from, &mut bytes)?;
            Ok(bytes)
        }
        None => match whole_cell(connection, table, &key.values(), id.column)? {
            Value::Text(bytes) | Value::Blob(bytes) => Ok(bytes[from..from + length].to_vec()),
            _ => Ok(Vec::new()),
        },
    }
}

/// Bytes that are read at once, and kept.
const WINDOW_BYTES: usize = 8 << 20;
/// Values of which something is kept.
const WINDOWS_MAX: usize = 2;
