use crate::acknowledge::verified_position;
use crate::arrivals::{self, Transaction};
use crate::engine_facts;
use crate::error::{Result, StreamError, atomically};
use crate::identity::Identity;
use crate::merge;
use crate::options::OnGap;
use crate::rows::{InboundRow, OutboundRow};
use crate::snapshot::no_streams;
use rejoin_bridge::Connection;
use rejoin_change::{Cursor, SiteId};
use rejoin_wire::{AsOf, Package, Receipt};

/// What one remote database has told this one.
#[derive(Clone)]
pub struct Inbound {
    connection: Connection,
    remote: SiteId,
}

/// What applying a package did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Where the stream stands now: to be sent back, once the transaction is committed.
    pub receipt: Receipt,
    /// Changes merged.
    pub changes: usize,
    /// What became of the package.
    pub outcome: Outcome,
}

/// What became of a package. Only `Merged` changes anything; after every other one the receipt tells the sender where to
/// go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It started where the stream stood, and was merged.
    Merged,
    /// It ends at or before the position: it has been here.
    Duplicate,
    /// It starts behind the position: something is missing.
    Gap,
    /// It starts before the position and ends behind it.
    Overlap,
    /// It belongs to a run that a later one has replaced.
    OldRun,
}

impl Inbound {
    pub(crate) fn new(connection: Connection, remote: SiteId) -> Inbound {
        Inbound { connection, remote }
    }

    /// The database that tells.
    pub fn remote(&self) -> SiteId {
        self.remote
    }

    /// Merges a package and moves the position, or does neither. Takes either form of package.
    pub fn apply(&self, package: &[u8]) -> Result<Applied> {
        let transaction = Transaction::of_apply_on(&self.connection);
        let result = Package::decode(package)
            .map_err(|error| StreamError::unreadable("package", &error))
            .and_then(|package| atomically(&self.connection, || self.apply_decoded(&package, transaction)));
        if let Err(error) = &result {
            self.note_error(error);
        }
        result
    }

    /// What to send back: where this stream stands.
    pub fn receipt(&self) -> Result<Receipt> {
        Ok(self.row()?.receipt(engine_facts::site_id(&self.connection)?))
    }

    /// Where the stream stands; `None` before its first package.
    pub fn position(&self) -> Result<Option<Cursor>> {
        Ok(self.row()?.position.map(|position| position.cursor))
    }

    fn apply_decoded(&self, package: &Package, transaction: Transaction) -> Result<Applied> {
        let connection = &self.connection;
        let identity = Identity::load(connection)?.ok_or_else(no_streams)?;
        self.check_names(&identity, package)?;
        if let Some(receipt) = &package.receipt {
            self.check_receipt_inside(&identity, receipt)?;
        }
        let mut row = self.row()?;
        let outcome = judge(&row, package)?;
        if outcome == Outcome::Merged {
            if package.run != row.run {
                arrivals::forget(connection, self.remote)?;
            }
            let before = engine_facts::head(connection)?;
            if merge::merge(connection, package)? {
                let after = engine_facts::head(connection)?;
                arrivals::record(connection, self.remote, before, after, transaction)?;
            }
            row.take(package);
        } else {
            row.applied = 0;
            row.last_error = explain(&row, package, outcome);
            if outcome == Outcome::Gap && row.on_gap == OnGap::Error {
                return Err(StreamError::PeerMisbehaved(explain(&row, package, outcome).unwrap_or_default()));
            }
        }
        row.save(connection)?;
        let changes = if outcome == Outcome::Merged { package.changes.len() } else { 0 };
        Ok(Applied { receipt: row.receipt(identity.site_id), changes, outcome })
    }

    fn check_names(&self, identity: &Identity, package: &Package) -> Result<()> {
        if package.sender != self.remote {
            let known = if package.former_ids.contains(&self.remote) {
                format!("; {} is its former id: make an inbound stream for the new one", self.remote)
            } else {
                "; give it to the stream whose remote it names".into()
            };
            return Err(StreamError::PeerMisbehaved(format!(
                "the package comes from {}, and this stream takes packages of {}{known}",
                package.sender, self.remote
            )));
        }
        if identity.former_ids.contains(&package.receiver) {
            return Err(StreamError::remote_is_late(identity.site_id, package.receiver, "package"));
        }
        if package.receiver != identity.site_id {
            return Err(StreamError::PeerMisbehaved(format!(
                "the package is meant for {}, and this database is {}",
                package.receiver, identity.site_id
            )));
        }
        Ok(())
    }

    /// The sender says where it stands in the stream of this database. If that cannot be, this file is not the one that
    /// it knows, and nothing may be built on the package.
    fn check_receipt_inside(&self, identity: &Identity, receipt: &Receipt) -> Result<()> {
        if receipt.receiver != self.remote || receipt.sender != identity.site_id {
            return Err(StreamError::PeerMisbehaved(format!(
                "the package of {} carries a receipt of {} for {}",
                self.remote, receipt.receiver, receipt.sender
            )));
        }
        let row = OutboundRow::find(&self.connection, self.remote)?;
        verified_position(identity, row.as_ref(), receipt).map(|_| ())
    }

    /// So that `crsql_streams` shows it. The error itself matters more than whether this can be written.
    fn note_error(&self, error: &StreamError) {
        if !self.connection.is_autocommit() || self.connection.is_readonly() || error.is_busy() {
            return;
        }
        let _ = atomically(&self.connection, || {
            let mut row = self.row()?;
            row.applied = 0;
            row.last_error = Some(error.to_string());
            row.save(&self.connection)
        });
    }

    pub(crate) fn row(&self) -> Result<InboundRow> {
        InboundRow::find(&self.connection, self.remote)?.filter(|row| row.open).ok_or_else(no_streams)
    }
}

impl InboundRow {
    pub(crate) fn receipt(&self, own_id: SiteId) -> Receipt {
        Receipt {
            receiver: own_id,
            sender: self.remote,
            run: self.run,
            position: self.position.clone(),
            as_of: self.as_of,
        }
    }

    fn take(&mut self, package: &Package) {
        let begins_anew = package.run > self.run && package.run_start == package.since;
        self.as_of = if begins_anew { Some(package.as_of) } else { newest(self.as_of, package.as_of) };
        self.run = package.run;
        self.position = Some(package.end.clone());
        self.applied = package.changes.len() as i64;
        self.last_error = None;
    }
}

fn newest(known: Option<AsOf>, told: AsOf) -> Option<AsOf> {
    Some(known.filter(|known| known.head >= told.head).unwrap_or(told))
}

/// Whether the package is the next one of its stream.
fn judge(row: &InboundRow, package: &Package) -> Result<Outcome> {
    let (start, end) = (&package.start, &package.end);
    if package.run < row.run {
        return Ok(Outcome::OldRun);
    }
    if package.run > row.run {
        let follows = package.start.cursor == package.run_start
            && (package.run_start == package.since || row.cursor().is_some_and(|position| start.cursor <= *position));
        return Ok(if follows { Outcome::Merged } else { Outcome::Gap });
    }
    let Some(position) = &row.position else {
        return Ok(if start.cursor == package.since { Outcome::Merged } else { Outcome::Gap });
    };
    for told in [start, end] {
        if told.cursor == position.cursor && told.mark != position.mark && told.cursor.db_version > 0 {
            return Err(StreamError::remote(format!(
                "the package of {} speaks of its position {}, which this database knows from another history of that \
                 database: the remote file is a copy, or was restored from a backup",
                package.sender, told.cursor
            )));
        }
    }
    Ok(if start.cursor == position.cursor {
        Outcome::Merged
    } else if end.cursor <= position.cursor {
        Outcome::Duplicate
    } else if start.cursor > position.cursor {
        Outcome::Gap
    } else {
        Outcome::Overlap
    })
}

/// What the stream is waiting for, where a package was not the next one.
fn explain(row: &InboundRow, package: &Package, outcome: Outcome) -> Option<String> {
    let (start, end) = (&package.start.cursor, &package.end.cursor);
    let stands = match row.cursor() {
        Some(cursor) => format!("stands at {cursor}"),
        None => format!("has nothing yet and waits for the package that starts at {}", package.since),
    };
    match outcome {
        Outcome::Merged | Outcome::Duplicate | Outcome::OldRun => None,
        Outcome::Gap => Some(format!(
            "a package is missing: this stream {stands}, and the package starts after {start}; send the receipt to the \
             sender, which goes on from there"
        )),
        Outcome::Overlap => Some(format!(
            "this stream {stands}, inside the package from {start} to {end}; send the receipt to the sender, which goes \
             on from there"
        )),
    }
}
