use crate::Acknowledged;
use crate::error::Result;
use crate::outbound::{Outbound, OutboundPosition, Produced};
use rejoin_bridge::Connection;
use rejoin_change::{Cursor, SiteId};
use rejoin_wire::Receipt;
use std::cell::RefCell;
use std::collections::HashMap;

/// How far this connection has read each outbound stream. In memory only.
#[derive(Default)]
pub(crate) struct ReadPositions(RefCell<HashMap<SiteId, ReadPosition>>);

#[derive(Clone)]
struct ReadPosition {
    run: u64,
    /// Where `crsql_next` goes on; `None` at the acknowledged position.
    next: Option<Cursor>,
    last_retrieved: Cursor,
}

/// The package that `crsql_next` gives: behind the one it gave last, or behind the acknowledged position where a receipt
/// said that what followed did not arrive.
pub(crate) fn next(connection: &Connection, outbound: &Outbound) -> Result<Option<Produced>> {
    let position = outbound.position()?;
    let positions = connection.state(ReadPositions::default);
    let after = positions.0.borrow().get(&outbound.remote()).and_then(|read| read.continues(&position));
    let produced = outbound.next(after.as_ref())?;
    if let Some(produced) = &produced {
        let read =
            ReadPosition { run: produced.run, next: Some(produced.end.clone()), last_retrieved: produced.end.clone() };
        positions.0.borrow_mut().insert(outbound.remote(), read);
    }
    Ok(produced)
}

/// Notes what a scan of the virtual table returned.
pub(crate) fn retrieved(connection: &Connection, remote: SiteId, produced: &Produced) {
    let positions = connection.state(ReadPositions::default);
    let mut positions = positions.0.borrow_mut();
    let read = positions.entry(remote).or_insert_with(|| ReadPosition {
        run: produced.run,
        next: None,
        last_retrieved: produced.end.clone(),
    });
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

impl ReadPosition {
    fn continues(&self, position: &OutboundPosition) -> Option<Cursor> {
        self.next.clone().filter(|next| self.run == position.run && *next >= position.acked)
    }
}
