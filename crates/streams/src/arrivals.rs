//! What came in from a remote is not sent back to it, whoever wrote it. That is told by arrival and not by author: a
//! change of the remote's that came by a third database may be one that the remote itself has lost.

use crate::error::Result;
use crate::rules::{Rule, holds};
use crate::sql;
use rejoin_bridge::{Connection, ValueRef};
use rejoin_change::{Cursor, SiteId};

/// What applying one remote's packages has written here. In order of the versions.
pub(crate) struct Arrivals(Vec<Arrival>);

/// The versions of this database behind `after`, up to and including `last`.
struct Arrival {
    after: i64,
    last: i64,
    /// Nothing but the remote's packages was written under these versions.
    entire: bool,
}

/// How an apply shares its transaction with other writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transaction {
    /// It is the whole transaction, so the versions that it makes hold nothing else.
    Own,
    /// The caller's, which has written nothing yet and may go on to write.
    First,
    /// The caller's, which may have written before.
    Shared,
}

impl Transaction {
    /// What an apply that begins now will be.
    pub fn of_apply_on(connection: &Connection) -> Transaction {
        match (connection.has_write_transaction(), connection.is_autocommit()) {
            (true, _) => Transaction::Shared,
            (false, true) => Transaction::Own,
            (false, false) => Transaction::First,
        }
    }
}

impl Arrivals {
    pub fn of(connection: &Connection, remote: SiteId) -> Result<Arrivals> {
        let rows = connection.cached(sql::READ_ARRIVALS)?.query(&[remote.as_bytes().into()], |row| {
            Ok(Arrival { after: row.column_i64(0), last: row.column_i64(1), entire: row.column_i64(2) != 0 })
        })?;
        Ok(Arrivals(rows))
    }

    /// True where a change came from the remote itself, whose arrivals these are. Under a version that others have
    /// written to as well, only changes of the remote's authorship can be told apart. A cell of col_version 0 may have
    /// come with a row that was restored here, so it counts as news.
    pub fn brought(&self, db_version: i64, col_version: i64, is_by_remote: bool) -> bool {
        if !holds(Rule::Arrival) {
            return col_version != 0 && is_by_remote;
        }
        let index = self.0.partition_point(|arrival| arrival.last < db_version);
        let arrival = self.0.get(index).filter(|arrival| arrival.after < db_version);
        col_version != 0 && arrival.is_some_and(|arrival| arrival.entire || is_by_remote)
    }
}

/// Notes that applying a package of `remote` took the head from `before` to `after`.
pub(crate) fn record(
    connection: &Connection,
    remote: SiteId,
    before: i64,
    after: i64,
    transaction: Transaction,
) -> Result<()> {
    let remote = ValueRef::from(remote.as_bytes());
    if transaction == Transaction::Shared {
        let first_written = if after > before { before + 1 } else { after };
        connection.cached(sql::DROP_OTHERS_ARRIVALS_FROM)?.run(&[remote, first_written.into()])?;
    }
    if after > before {
        let entire = i64::from(transaction == Transaction::Own);
        let arrival = [remote, before.into(), after.into(), entire.into()];
        connection.cached(sql::GROW_ARRIVAL)?.run(&arrival)?;
        if connection.changes() == 0 {
            connection.cached(sql::WRITE_ARRIVAL)?.run(&arrival)?;
        }
    }
    Ok(())
}

/// A change of the schema may have stamped cells of this database's own at a version from `version` on.
pub(crate) fn allow_for_late_stamps(connection: &Connection, version: i64) -> Result<()> {
    Ok(connection.cached(sql::MIX_ARRIVALS_FROM)?.run(&[version.into()])?)
}

/// The remote has acknowledged up to `cursor`: what lies there is never read again.
pub(crate) fn forget_to(connection: &Connection, remote: SiteId, cursor: &Cursor) -> Result<()> {
    let last = cursor.whole_versions();
    Ok(connection.cached(sql::DROP_ARRIVALS_TO)?.run(&[remote.as_bytes().into(), last.into()])?)
}

/// The remote may have lost what it once sent.
pub(crate) fn forget(connection: &Connection, remote: SiteId) -> Result<()> {
    Ok(connection.cached(sql::DROP_ARRIVALS)?.run(&[remote.as_bytes().into()])?)
}
