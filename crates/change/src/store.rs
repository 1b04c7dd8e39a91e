use crate::Change;
use std::ops::Range;

/// A database that takes changes without a detour through SQL. The built-in engine is one; the streams use it where the
/// program that puts both together hands it over, and `crsql_changes` elsewhere, with the same result.
pub trait ChangeStore {
    /// What goes wrong in the database.
    type Error;

    /// Merges changes, in order, as if each had been inserted into `crsql_changes` with db_version 0 and the next seq of
    /// the running transaction. Returns how many had an effect.
    ///
    /// A failure leaves changes before it merged: the caller undoes them, by a savepoint or by a statement around it.
    fn merge(&self, changes: &[Change]) -> Result<usize, MergeFailure<Self::Error>>;
}

/// Why changes could not be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeFailure<E> {
    /// Which of the changes it is about, counted from 0; more than one where cells of a row were being written together.
    pub changes: Range<usize>,
    /// What went wrong.
    pub error: E,
}
