//! What came in from a remote is not sent back to it. That is told by arrival and not by author: a change of the
//! remote's that came by a third database may be one that the remote itself has lost.

use crate::error::Result;
use crate::sql;
use rejoin_bridge::{Connection, ValueRef};
use rejoin_change::{Change, Cursor, SiteId};

/// The versions of this database that applying one remote's packages made: behind the first number of each pair, up to
/// and including the second. In order.
pub(crate) struct Arrivals(Vec<(i64, i64)>);

impl Arrivals {
    pub fn of(connection: &Connection, remote: SiteId) -> Result<Arrivals> {
        let rows = connection
            .cached(sql::READ_ARRIVALS)?
            .query(&[remote.as_bytes().into()], |row| Ok((row.column_i64(0), row.column_i64(1))))?;
        Ok(Arrivals(rows))
    }

    /// True where `change`, which the remote wrote, came from the remote itself. A cell of col_version 0 may have come
    /// with a row that was restored here, so it counts as news.
    pub fn brought(&self, change: &Change) -> bool {
        let index = self.0.partition_point(|(_, last)| *last < change.db_version);
        change.col_version != 0 && self.0.get(index).is_some_and(|(after, _)| *after < change.db_version)
    }
}

/// Notes that applying a package of `remote` took the head from `before` to `after`. `shared`: the transaction had begun
/// to write before, so its version may hold others' changes too.
pub(crate) fn record(connection: &Connection, remote: SiteId, before: i64, after: i64, shared: bool) -> Result<()> {
    let remote = ValueRef::from(remote.as_bytes());
    if shared {
        let first_written = if after > before { before + 1 } else { after };
        connection.cached(sql::DROP_OTHERS_ARRIVALS_FROM)?.run(&[remote, first_written.into()])?;
    }
    if after > before {
        connection.cached(sql::GROW_ARRIVAL)?.run(&[remote, before.into(), after.into()])?;
        if connection.changes() == 0 {
            connection.cached(sql::WRITE_ARRIVAL)?.run(&[remote, before.into(), after.into()])?;
        }
    }
    Ok(())
}

/// The remote has acknowledged up to `cursor`: what lies there is never read again.
pub(crate) fn forget_to(connection: &Connection, remote: SiteId, cursor: &Cursor) -> Result<()> {
    let last = if cursor.is_end_of_version() { cursor.db_version } else { cursor.db_version - 1 };
    Ok(connection.cached(sql::DROP_ARRIVALS_TO)?.run(&[remote.as_bytes().into(), last.into()])?)
}

/// The remote may have lost what it once sent.
pub(crate) fn forget(connection: &Connection, remote: SiteId) -> Result<()> {
    Ok(connection.cached(sql::DROP_ARRIVALS)?.run(&[remote.as_bytes().into()])?)
}
