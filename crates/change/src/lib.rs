//! The vocabulary of a change, and the one rule that decides a merge.
//!
//! This crate is pure: no I/O, no SQLite, no clock, no randomness, no other crate. Everything that rejoin says,
//! keeps or carries is made of the types here. Read [`Change`] first.

#![forbid(unsafe_code)]

mod cursor;
mod merge;
pub mod model;
mod packed_key;
mod row;
mod site_id;
mod store;
mod value;

pub use cursor::{Cursor, CursorError, Part, Place, SEQ_END};
pub use merge::{Arriving, Standing, Tie, Verdict, decide};
pub use packed_key::{KEY_VALUES_MAX, PackedKey, PackedKeyError};
pub use row::{CellClock, RowClock};
pub use site_id::{SiteId, SiteIdError};
pub use store::{ChangeStore, MergeFailure};
pub use value::{Value, ValueRef};

use std::sync::Arc;

/// The column name that stands for the row itself: its creation, deletion or resurrection.
pub const SENTINEL: &str = "-1";

/// The largest version, causal length or sequence number that is accepted from anybody: 2^53 - 1, the largest integer
/// that every peer (JavaScript among them) can hold exactly.
pub const COUNTER_MAX: i64 = (1 << 53) - 1;

/// One cell of one row, or the row's sentinel, as one database tells it to another: a row of `crsql_changes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Name of the table, exactly as it was given to `crsql_as_crr`.
    pub table: Arc<str>,
    /// The row's primary key, packed.
    pub key: PackedKey,
    /// Name of the column, or [`SENTINEL`].
    pub column: Arc<str>,
    /// The cell's value; NULL for the sentinel.
    pub value: Value,
    /// Lamport counter of the cell; for the sentinel the row's causal length.
    pub col_version: i64,
    /// The transaction at the database that tells the change, in its own numbering.
    pub db_version: i64,
    /// Author: the database where the winning write was made.
    pub site_id: SiteId,
    /// Causal length of the row: odd while it lives, even when it is deleted.
    pub causal_length: i64,
    /// Position inside the transaction `db_version`.
    pub seq: i64,
}

impl Change {
    /// True where the change speaks of the row and not of one of its cells.
    pub fn is_sentinel(&self) -> bool {
        &*self.column == SENTINEL
    }

    /// The place of this change in its database's stream: the cursor of everything up to and including it.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            db_version: self.db_version,
            seq: self.seq,
            place: Place::At {
                table: self.table.clone(),
                key: self.key.clone(),
                column: self.column.clone(),
                part: None,
            },
        }
    }
}
