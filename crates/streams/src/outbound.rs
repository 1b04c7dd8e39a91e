use crate::acknowledge::{self, Acknowledged};
use crate::arrivals;
use crate::engine_facts;
use crate::error::{Result, StreamError, atomically};
use crate::read::{Content, read_content};
use crate::rows::{InboundRow, OutboundRow};
use crate::snapshot::{self, Snapshot, no_streams};
use rejoin_bridge::Connection;
use rejoin_change::{Cursor, SiteId};
use rejoin_wire::{Encoded, Package, Receipt};

/// What this database has to tell one remote.
///
/// `run_start <= acked <= head` holds, save that a receipt may find the receiver further back.
#[derive(Clone)]
pub struct Outbound {
    connection: Connection,
    remote: SiteId,
}

/// One package, ready to travel.
#[derive(Clone, Debug)]
pub struct Produced {
    /// The package in the stream's format.
    pub package: Encoded,
    /// The run that it belongs to.
    pub run: u64,
    /// The cursor that it starts after.
    pub start: Cursor,
    /// The cursor that it ends at.
    pub end: Cursor,
    /// Changes in it.
    pub changes: usize,
    /// Its size as it travels.
    pub bytes: usize,
    /// The head when it was read.
    pub head: i64,
}

/// Where an outbound stream stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundPosition {
    /// The present run.
    pub run: u64,
    /// Where it began.
    pub run_start: Cursor,
    /// What the remote has confirmed, as far as this database remembers.
    pub acked: Cursor,
    /// What the application says it has sent.
    pub sent: Option<Cursor>,
    /// Where the stream starts for a remote that has nothing.
    pub since: Cursor,
}

impl Outbound {
    pub(crate) fn new(connection: Connection, remote: SiteId) -> Outbound {
        Outbound { connection, remote }
    }

    /// The database that is told.
    pub fn remote(&self) -> SiteId {
        self.remote
    }

    /// Builds the package that starts after `after`, or after the acknowledged position. `None` where nothing follows.
    ///
    /// Nothing moves by it. Fails while the connection holds a write transaction.
    pub fn next(&self, after: Option<&Cursor>) -> Result<Option<Produced>> {
        self.next_until(after, None)
    }

    /// As [`Outbound::next`], with an end that the package does not pass.
    pub fn next_until(&self, after: Option<&Cursor>, until: Option<&Cursor>) -> Result<Option<Produced>> {
        let snapshot = Snapshot::open(&self.connection)?;
        let row = self.row()?;
        let start = after.unwrap_or(&row.acked);
        let Some(content) = read_content(&self.connection, &snapshot, &row, start, until)? else { return Ok(None) };
        let package = self.package(&snapshot, &row, start, content)?;
        let encoded = package
            .encode(row.format)
            .map_err(|error| StreamError::Misuse(format!("failed to write the package after {start}: {error}")))?;
        Ok(Some(Produced {
            bytes: encoded.as_bytes().len(),
            package: encoded,
            run: package.run,
            start: package.start.cursor,
            end: package.end.cursor,
            changes: package.changes.len(),
            head: snapshot.head,
        }))
    }

    fn package(&self, snapshot: &Snapshot, row: &OutboundRow, start: &Cursor, content: Content) -> Result<Package> {
        let identity = &snapshot.identity;
        let inbound = InboundRow::find(&self.connection, self.remote)?.filter(|row| row.open);
        Ok(Package {
            sender: identity.site_id,
            receiver: self.remote,
            former_ids: identity.former_ids.clone(),
            run: row.run,
            run_start: row.run_start.clone(),
            since: row.since.clone(),
            start: identity.position(start.clone()),
            ends_transaction: content.end.is_end_of_version(),
            filtered: row.is_filtered(),
            end: identity.position(content.end),
            as_of: identity.as_of(snapshot.head),
            receipt: inbound.map(|row| row.receipt(identity.site_id)),
            changes: content.changes,
        })
    }

    /// Takes a receipt: the position moves to where the receiver stands, forwards or back.
    pub fn acknowledge(&self, receipt: &Receipt) -> Result<Acknowledged> {
        atomically(&self.connection, || acknowledge::acknowledge(&self.connection, self.row()?, receipt))
    }

    /// How many versions the acknowledged position lies behind the head. A version that has to be read again, because the
    /// schema has changed since, counts.
    pub fn pending(&self) -> Result<i64> {
        let acked = self.row()?.acked;
        let again = snapshot::newest_version_again(&self.connection)?;
        let from = again.as_ref().map_or(&acked, |again| again.min(&acked));
        Ok(versions_behind(from, engine_facts::head(&self.connection)?))
    }

    /// Where the stream stands.
    pub fn position(&self) -> Result<OutboundPosition> {
        let OutboundRow { run, run_start, acked, sent, since, .. } = self.row()?;
        Ok(OutboundPosition { run, run_start, acked, sent, since })
    }

    /// Remembers what was handed to a carrier. Nothing depends on it.
    pub fn record_sent(&self, cursor: &Cursor) -> Result<()> {
        atomically(&self.connection, || {
            self.refuse_beyond_head("last_sent", cursor)?;
            let mut row = self.row()?;
            row.sent = Some(cursor.clone());
            row.save(&self.connection)
        })
    }

    /// Sets the acknowledged position by hand. Backwards, everything behind it is told once more, in a new run.
    pub fn set_acked(&self, cursor: &Cursor) -> Result<()> {
        atomically(&self.connection, || {
            self.refuse_beyond_head("last_acked", cursor)?;
            let mut row = self.row()?;
            if *cursor < row.acked {
                row.start_next_run(cursor.clone());
                arrivals::forget(&self.connection, self.remote)?;
            } else {
                row.acked = cursor.clone();
                arrivals::forget_to(&self.connection, self.remote, cursor)?;
            }
            row.save(&self.connection)
        })
    }

    fn refuse_beyond_head(&self, what: &str, cursor: &Cursor) -> Result<()> {
        let head = engine_facts::head(&self.connection)?;
        if cursor.db_version > head {
            return Err(StreamError::Misuse(format!(
                "{what} cannot be set to {cursor}, because the head of this database is version {head}"
            )));
        }
        Ok(())
    }

    pub(crate) fn row(&self) -> Result<OutboundRow> {
        OutboundRow::find(&self.connection, self.remote)?.filter(|row| row.open).ok_or_else(no_streams)
    }
}

/// A version of which a part is acknowledged counts.
pub(crate) fn versions_behind(acked: &Cursor, head: i64) -> i64 {
    (head - acked.whole_versions()).max(0)
}
