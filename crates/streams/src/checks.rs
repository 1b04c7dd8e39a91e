//! CHECK constraints that look away while changes are merged.

use crate::engine_facts;
use crate::error::Result;
use crate::sql;
use rejoin_bridge::Connection;
use std::cell::Cell;

/// CHECK constraints are off while this lives, and as they were afterwards.
pub(crate) struct IgnoredChecks<'c> {
    connection: &'c Connection,
    were_ignored: bool,
}

impl<'c> IgnoredChecks<'c> {
    pub fn begin(connection: &'c Connection) -> Result<IgnoredChecks<'c>> {
        let ignored = connection.prepare(sql::IGNORES_CHECKS)?.query_row(&[], |row| Ok(row.column_i64(0)))?;
        let were_ignored = ignored.unwrap_or(0) != 0;
        if !were_ignored {
            connection.execute(sql::IGNORE_CHECKS)?;
        }
        Ok(IgnoredChecks { connection, were_ignored })
    }
}

impl Drop for IgnoredChecks<'_> {
    fn drop(&mut self) {
        if !self.were_ignored
            && let Err(error) = self.connection.execute(sql::OBEY_CHECKS)
        {
            self.connection.log(error.code, "CHECK constraints could not be turned on again after a merge");
        }
    }
}

/// Whether any table of the user's may have a CHECK constraint: turning them off makes SQLite prepare every statement anew.
pub(crate) fn has_checks(connection: &Connection) -> Result<bool> {
    let schema_version = engine_facts::schema_version(connection)?;
    let known = connection.state(Known::default);
    if let Some((version, has)) = known.0.get()
        && version == schema_version
        && !connection.has_write_transaction()
    {
        return Ok(has);
    }
    let has = connection.cached(sql::HAS_CHECKS)?.query_row(&[], |_| Ok(()))?.is_some();
    if !connection.has_write_transaction() {
        known.0.set(Some((schema_version, has)));
    }
    Ok(has)
}

#[derive(Default)]
struct Known(Cell<Option<(i64, bool)>>);
