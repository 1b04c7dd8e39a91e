//! What a receipt means to the database whose stream it is about.

use crate::arrivals;
use crate::coverage;
use crate::error::{Result, StreamError};
use crate::identity::{Identity, Verdict};
use crate::rows::{InboundRow, OutboundRow};
use crate::rules::{Rule, holds};
use crate::snapshot::no_streams;
use crate::staging::before_value;
use crate::tracked;
use rejoin_bridge::Connection;
use rejoin_change::{COUNTER_MAX, Cursor, SiteId};
use rejoin_wire::Receipt;

/// What a receipt did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The acknowledged position is another one than before.
    pub moved: bool,
    /// The acknowledged position.
    pub position: Cursor,
    /// The present run.
    pub run: u64,
    /// The receipt belongs to the present run and names a position of this history. Where it does not, what is in flight
    /// is in vain: go on from `position`.
    pub took: bool,
}

/// Moves the position to where the receiver stands. The receiver decides: what is remembered here is corrected in both
/// directions. Runs inside an atomic body.
pub(crate) fn acknowledge(connection: &Connection, mut row: OutboundRow, receipt: &Receipt) -> Result<Acknowledged> {
    let identity = Identity::load(connection)?.ok_or_else(no_streams)?;
    check_names(&identity, row.remote, receipt)?;
    let position = verified_position(&identity, Some(&row), receipt)?;
    let before = (row.acked.clone(), row.run, row.run_start.clone());
    let first_verified = !row.verified && matches!(position, Claimed::At(_));
    row.verified |= first_verified;
    let took = receipt.run == row.run && position != Claimed::Unverifiable;
    match position {
        // Nothing shows what the receiver has. Everything is told once more, in a run above the one that it speaks of, so
        // that it takes it: without a position that can be believed, a higher run is a claim and no proof.
        position if receipt.run > row.run || (receipt.run == row.run && position == Claimed::Unverifiable) => {
            refuse_last_runs(receipt)?;
            row.run = receipt.run;
            row.start_next_run(row.since.clone());
            ask_for_everything(connection, row.remote)?;
        }
        position if receipt.run == row.run => row.acked = position.or_since(&row),
        position => {
            row.run_start = before_value(row.run_start.clone().min(position.or_since(&row)));
            row.acked = row.run_start.clone();
        }
    }
    let moved = before != (row.acked.clone(), row.run, row.run_start.clone());
    if row.acked < before.0 || row.run != before.1 {
        arrivals::forget(connection, row.remote)?;
    } else {
        arrivals::forget_to(connection, row.remote, &row.acked)?;
    }
    if moved && !row.is_filtered() {
        tracked::sent(connection, row.remote, &row.acked)?;
    }
    if moved || first_verified || row.last_error.is_some() {
        row.last_error = None;
        row.save(connection)?;
    }
    Ok(Acknowledged { moved, position: row.acked, run: row.run, took })
}

/// Runs are counted one by one, so nobody gets that far honestly; and a stream in its last run could never start another.
fn refuse_last_runs(receipt: &Receipt) -> Result<()> {
    if receipt.run <= CLAIMED_RUN_MAX {
        return Ok(());
    }
    Err(StreamError::PeerMisbehaved(format!(
        "the receipt of {} speaks of run {}, which no stream can have reached; nothing was changed, ask {0} for another",
        receipt.receiver, receipt.run
    )))
}

/// The highest run that is believed without proof.
const CLAIMED_RUN_MAX: u64 = COUNTER_MAX as u64 / 2;

/// A position under this database's id that it knows nothing of may be one that it has lost, with its key and all (a
/// backup from before its first stream, say). Then it has also lost work of its own that the remote no longer tells it.
fn ask_for_everything(connection: &Connection, remote: SiteId) -> Result<()> {
    let Some(mut inbound) = InboundRow::find(connection, remote)? else { return Ok(()) };
    coverage::forget(connection, remote)?;
    (inbound.base, inbound.position, inbound.as_of) = (None, None, None);
    inbound.save(connection)
}

/// Where a receiver says it stands, as far as that can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// At a position of this history.
    At(Cursor),
    /// It has nothing yet.
    Nowhere,
    /// At something that this database did not mark, or no longer can tell.
    Unverifiable,
}

impl Claimed {
    fn or_since(self, row: &OutboundRow) -> Cursor {
        match self {
            Claimed::At(cursor) => cursor,
            Claimed::Nowhere | Claimed::Unverifiable => row.since.clone(),
        }
    }
}

fn check_names(identity: &Identity, remote: SiteId, receipt: &Receipt) -> Result<()> {
    if receipt.receiver != remote {
        return Err(StreamError::PeerMisbehaved(format!(
            "the receipt comes from {}, and this stream goes to {remote}; give it to the stream whose remote it names",
            receipt.receiver
        )));
    }
    if identity.former_ids.contains(&receipt.sender) {
        return Err(StreamError::remote_is_late(identity.site_id, receipt.sender, "receipt"));
    }
    if receipt.sender != identity.site_id {
        return Err(StreamError::PeerMisbehaved(format!(
            "the receipt is about the stream of {}, and this database is {}",
            receipt.sender, identity.site_id
        )));
    }
    Ok(())
}

/// Fails where the receipt proves that this database is a copy, or an older state, of the one that it is about. `row` is
/// the stream to that receiver.
pub(crate) fn verified_position(identity: &Identity, row: Option<&OutboundRow>, receipt: &Receipt) -> Result<Claimed> {
    let receiver = receipt.receiver;
    if let Some(as_of) = receipt.as_of.as_ref().filter(|_| holds(Rule::AsOf)) {
        let end = Cursor::end_of_version(as_of.head);
        if identity.verify(&end, &as_of.mark) == Verdict::Another {
            return Err(another_history(identity, receiver, "heard of the head", &end));
        }
    }
    let claimed = claimed_position(identity, row, receipt)?;
    let run = row.map_or(0, |row| row.run);
    // The mark shows that this database, or a later state of it, did send that run.
    if receipt.run > run && matches!(claimed, Claimed::At(_)) {
        return Err(StreamError::here(format!(
            "{receiver} has packages of run {} from this database, which is at run {run}: this file is an older state \
             of the one that sent them",
            receipt.run
        )));
    }
    Ok(claimed)
}

fn claimed_position(identity: &Identity, row: Option<&OutboundRow>, receipt: &Receipt) -> Result<Claimed> {
    // Copies made before the first stream have keys of their own. One of them finds out when it first hears of a position
    // that is not its own. Later than that, or under a new id, such a position can only be forged.
    let first_contact = row.is_none_or(|row| !row.verified) && identity.former_ids.is_empty();
    let ranges = receipt.ranges.iter().flat_map(|range| [&range.start, &range.end]);
    // Before version 1 every history is alike.
    let ranges = ranges.filter(|position| position.cursor.db_version > 0);
    for position in receipt.position.iter().chain(ranges) {
        match identity.verify(&position.cursor, &position.mark) {
            Verdict::Ours => {}
            Verdict::Foreign if !first_contact => return Ok(Claimed::Unverifiable),
            Verdict::Forgotten => return Ok(Claimed::Unverifiable),
            Verdict::Another | Verdict::Foreign => {
                return Err(another_history(identity, receipt.receiver, "holds the position", &position.cursor));
            }
        }
    }
    Ok(receipt.position.as_ref().map_or(Claimed::Nowhere, |position| Claimed::At(position.cursor.clone())))
}

fn another_history(identity: &Identity, receiver: SiteId, what: &str, cursor: &Cursor) -> StreamError {
    StreamError::here(format!(
        "{receiver} {what} {cursor} of a database with this one's site id {} but another history: this file is a copy of \
         it, or was restored from a backup",
        identity.site_id
    ))
}
