use crate::Acknowledged;
use crate::engine_facts;
use crate::error::Result;
use crate::outbound::{Outbound, Produced};
use rejoin_bridge::Connection;
use rejoin_change::{Cursor, SiteId};
use rejoin_wire::Receipt;
use std::cell::RefCell;
use std::collections::HashMap;

/// How far this connection has read each outbound stream. In memory only.
#[derive(Default)]
pub(crate) struct ReadPositions(RefCell<HashMap<SiteId, ReadPosition>>);

struct ReadPosition {
    /// Where `crsql_next` goes on, as long as the stream is the one that was read; `None` at the acknowledged position.
    next: Option<(Cursor, Standing)>,
    last_retrieved: Cursor,
}

/// By what a stream is told from the one before it, which another connection may have replaced or set back.
struct Standing {
    site_id: SiteId,
    /// Moves when the stream is dropped and made again.
    schema_version: i64,
    run: u64,
    acked: Cursor,
}

impl Standing {
    fn of(connection: &Connection, outbound: &Outbound) -> Result<Standing> {
        let position = outbound.position()?;
        Ok(Standing {
            site_id: engine_facts::site_id(connection)?,
            schema_version: engine_facts::schema_version(connection)?,
            run: position.run,
            acked: position.acked,
        })
    }

    /// True where what was read before still counts.
    fn continues(&self, before: &Standing) -> bool {
        self.site_id == before.site_id
            && self.schema_version == before.schema_version
            && self.run == before.run
            && self.acked >= before.acked
    }
}

/// The package that `crsql_next` gives: behind the one it gave last, or behind the acknowledged position where a receipt
/// said that what followed did not arrive.
pub(crate) fn next(connection: &Connection, outbound: &Outbound) -> Result<Option<Produced>> {
    let positions = connection.state(ReadPositions::default);
    let standing = Standing::of(connection, outbound)?;
    let after = positions.0.borrow().get(&outbound.remote()).and_then(|read| read.continues(&standing));
    let produced = outbound.next(after.as_ref())?;
    if let Some(produced) = &produced {
        // Reading may have begun another run, and marked tables.
        let next = Some((produced.end.clone(), Standing::of(connection, outbound)?));
        let read = ReadPosition { next, last_retrieved: produced.end.clone() };
        positions.0.borrow_mut().insert(outbound.remote(), read);
    }
    Ok(produced)
}

/// Notes what a scan of the virtual table returned.
pub(crate) fn retrieved(connection: &Connection, remote: SiteId, produced: &Produced) {
    let positions = connection.state(ReadPositions::default);
    let mut positions = positions.0.borrow_mut();
    let read =
        positions.entry(remote).or_insert_with(|| ReadPosition { next: None, last_retrieved: produced.end.clone() });
    read.last_retrieved = produced.end.clone();
}

/// The end of the last package that this connection read.
pub(crate) fn last_retrieved(connection: &Connection, remote: SiteId) -> Option<Cursor> {
    let positions = connection.state(ReadPositions::default);
    let positions = positions.0.borrow();
    positions.get(&remote).map(|read| read.last_retrieved.clone())
}

/// Takes a receipt. One that moves the position forwards leaves later packages in flight; any other one says that they
/// did not arrive in order, so reading begins again behind the acknowledged position.
pub(crate) fn acknowledge(connection: &Connection, outbound: &Outbound, receipt: &Receipt) -> Result<Acknowledged> {
    let before = outbound.position()?.acked;
    let acknowledged = outbound.acknowledge(receipt)?;
    if !acknowledged.took || acknowledged.position <= before {
        rewind(connection, outbound.remote());
    }
    Ok(acknowledged)
}

/// Reading begins again behind the acknowledged position.
pub(crate) fn rewind(connection: &Connection, remote: SiteId) {
    let positions = connection.state(ReadPositions::default);
    if let Some(read) = positions.0.borrow_mut().get_mut(&remote) {
        read.next = None;
    }
}

/// The stream is dropped.
pub(crate) fn forget(connection: &Connection, remote: SiteId) {
    connection.state(ReadPositions::default).0.borrow_mut().remove(&remote);
}

impl ReadPosition {
    /// Where `crsql_next` goes on, if it is not at the acknowledged position.
    fn continues(&self, standing: &Standing) -> Option<Cursor> {
        let (next, before) = self.next.as_ref()?;
        (standing.continues(before) && *next >= standing.acked).then(|| next.clone())
    }
}
