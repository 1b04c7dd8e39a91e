//! `crsql_tracked_peers`, by which other sync layers remember what they have exchanged with a peer: kept up to date for
//! them, with whole versions only, because not all of them look at the seq.

use crate::engine_facts;
use crate::error::Result;
use crate::sql;
use rejoin_bridge::{Connection, ValueRef};
use rejoin_change::{Cursor, SiteId};

/// This database has everything of the remote's up to a position.
pub(crate) fn received(connection: &Connection, remote: SiteId, position: Option<&Cursor>) -> Result<()> {
    write(connection, remote, position, RECEIVED)
}

/// The remote has everything of this database up to a position.
pub(crate) fn sent(connection: &Connection, remote: SiteId, position: &Cursor) -> Result<()> {
    write(connection, remote, Some(position), SENT)
}

/// Up to where another sync layer says that it has sent everything. A guess: nothing proves it.
pub(crate) fn guess_sent(connection: &Connection, remote: SiteId) -> Result<Option<i64>> {
    if !engine_facts::engine_tables(connection)?.has_tracked_peers {
        return Ok(None);
    }
    read(connection, remote, SENT)
}

fn write(connection: &Connection, remote: SiteId, position: Option<&Cursor>, event: i64) -> Result<()> {
    if !engine_facts::engine_tables(connection)?.has_tracked_peers {
        return Ok(());
    }
    let whole = position.map_or(0, Cursor::whole_versions);
    if read(connection, remote, event)?.unwrap_or(0) == whole {
        return Ok(());
    }
    Ok(connection.cached(sql::WRITE_TRACKED)?.run(&[remote.as_bytes().into(), whole.into(), event.into()])?)
}

fn read(connection: &Connection, remote: SiteId, event: i64) -> Result<Option<i64>> {
    let values = [ValueRef::from(remote.as_bytes()), event.into()];
    Ok(connection.cached(sql::READ_TRACKED)?.query_row(&values, |row| Ok(row.column_i64(0)))?)
}

const RECEIVED: i64 = 0;
const SENT: i64 = 1;
