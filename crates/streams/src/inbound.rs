use crate::acknowledge::verified_position;
use crate::arrivals::{self, Transaction};
use crate::coverage::Coverage;
use crate::engine_facts;
use crate::error::{Result, StreamError, atomically};
use crate::identity::Identity;
use crate::merge::{self, Merge};
use crate::options::{OnGap, OnUnknown, Order};
use crate::parking;
use crate::rows::{InboundRow, OutboundRow};
use crate::snapshot::no_streams;
use crate::staging::Staging;
use crate::tracked;
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
    /// Changes in the package, where it was taken: merged, or staged until the rest of their transaction is here.
    pub changes: usize,
    /// What became of the package.
    pub outcome: Outcome,
}

/// What became of a package. Only `Merged` takes anything of it; after every other one the receipt tells the sender where to
/// go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was the next one (in any order: it was not here yet), and was merged, or staged until its transaction is whole.
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

    /// Merges or stages a package and moves the position, or does neither. Takes either form of package.
    ///
    /// In the caller's transaction where one is open, which stays open and keeps its other work when the package is refused.
    /// The receipt may be sent only after its commit.
    pub fn apply(&self, package: &[u8]) -> Result<Applied> {
        let transaction = Transaction::of_apply_on(&self.connection);
        let result = Package::decode(package)
            .map_err(|error| StreamError::unreadable("package", &error))
            .and_then(|package| atomically(&self.connection, || self.apply_decoded(package, transaction)));
        if let Err(error) = &result {
            self.note_error(error);
        }
        result
    }

    /// What to send back: where this stream stands.
    pub fn receipt(&self) -> Result<Receipt> {
        let row = self.row()?;
        let coverage = Coverage::of(&self.connection, &row)?;
        Ok(receipt_of(&row, &coverage, engine_facts::site_id(&self.connection)?))
    }

    /// Up to where everything has arrived, be it merged or staged; `None` before the first package.
    pub fn position(&self) -> Result<Option<Cursor>> {
        Ok(self.row()?.position.map(|position| position.cursor))
    }

    /// Up to where everything has arrived and is merged; `None` before the first package.
    pub fn last_seen(&self) -> Result<Option<Cursor>> {
        let row = self.row()?;
        row.cursor().map(|position| Staging::of(&self.connection, self.remote).merged_to(position)).transpose()
    }

    /// The stretches of the stream that are missing, each behind its first cursor and up to its second one: holes, and what
    /// the remote is known to have told beyond. Only where packages may come in any order; else the position says it all.
    pub fn needs(&self) -> Result<Vec<(Cursor, Cursor)>> {
        let row = self.row()?;
        if row.options.order == Order::Strict {
            return Ok(Vec::new());
        }
        Ok(Coverage::of(&self.connection, &row)?.missing(row.since.as_ref(), row.as_of.map(|as_of| as_of.head)))
    }

    /// Bytes in the file of pieces that wait for the rest of their transaction or value.
    pub fn staged_bytes(&self) -> Result<i64> {
        Staging::of(&self.connection, self.remote).bytes()
    }

    /// How many changes wait because this schema lacks their table, column or shape of key, whichever stream brought them.
    pub fn parked(&self) -> Result<i64> {
        parking::parked(&self.connection)
    }

    /// Changes of tables that the stream does not take, and rows that were merged although they violate a CHECK
    /// constraint, since the stream was made.
    pub fn counts(&self) -> Result<(i64, i64)> {
        let row = self.row()?;
        Ok((row.dropped, row.violations))
    }

    fn apply_decoded(&self, mut package: Package, transaction: Transaction) -> Result<Applied> {
        let connection = &self.connection;
        let identity = Identity::load(connection)?.ok_or_else(no_streams)?;
        self.check_names(&identity, &package)?;
        if let Some(receipt) = &package.receipt {
            self.check_receipt_inside(&identity, receipt)?;
        }
        for former in &package.former_ids {
            self.take_over_from(*former)?;
        }
        let mut row = self.row()?;
        let mut coverage = Coverage::of(connection, &row)?;
        let outcome = judge(&row, &coverage, &package)?;
        let changes = package.changes.len();
        if outcome == Outcome::Merged {
            merge::check(&package)?;
            row.dropped += keep_tables(&mut package, row.options.tables.as_deref());
            self.take(&mut row, &mut coverage, &package, transaction)?;
            row.applied = changes as i64;
        } else {
            row.applied = 0;
            row.last_error = explain(&row, &package, outcome);
            if outcome == Outcome::Gap && row.options.on_gap == OnGap::Error {
                return Err(StreamError::PeerMisbehaved(explain(&row, &package, outcome).unwrap_or_default()));
            }
        }
        row.save(connection)?;
        let receipt = receipt_of(&row, &coverage, identity.site_id);
        Ok(Applied { receipt, changes: row.applied as usize, outcome })
    }

    /// Merges or stages the package, and moves the position behind it.
    fn take(
        &self,
        row: &mut InboundRow,
        coverage: &mut Coverage,
        package: &Package,
        transaction: Transaction,
    ) -> Result<()> {
        let connection = &self.connection;
        let staging = Staging::of(connection, self.remote);
        parking::merge_if_schema_changed(connection)?;
        let begins_anew = package.run > row.run && package.run_start == package.since;
        if package.run != row.run {
            arrivals::forget(connection, self.remote)?;
            merge_staged(connection, row)?;
            row.run = package.run;
            row.base = None;
            *coverage = Coverage::anew(package.run_start.clone());
        } else if row.base.is_none() {
            *coverage = Coverage::anew(package.since.clone());
        }
        row.since = Some(package.since.clone());
        coverage.add(&package.start, &package.end);
        // Behind everything that did not come with the package: a version that it shares with that is no one's arrival.
        let before = engine_facts::head(connection)?;
        let mut merge = Merge::new(connection, row.options.on_unknown, row.options.on_violation)?;
        staging.take(package, coverage, row.options.atomic, &mut merge)?;
        let merged = merge.end()?;
        row.violations += merged.violations;
        if merged.is_news {
            let after = engine_facts::head(connection)?;
            arrivals::record(connection, self.remote, before, after, transaction)?;
        }
        row.as_of = if begins_anew { Some(package.as_of) } else { newest(row.as_of, package.as_of) };
        row.last_error = None;
        coverage.save(connection, row)?;
        if !package.filtered && row.options.tables.is_none() {
            tracked::received(connection, self.remote, row.cursor())?;
        }
        Ok(())
    }

    /// The remote had another id before: nothing more comes under it, so what waits for the rest is merged as it is.
    fn take_over_from(&self, former: SiteId) -> Result<()> {
        let Some(mut row) = InboundRow::find(&self.connection, former)? else { return Ok(()) };
        if former == self.remote || Staging::of(&self.connection, former).is_empty()? {
            return Ok(());
        }
        merge_staged(&self.connection, &row)?;
        row.last_error = Some(format!(
            "{former} is a former id of {}, which goes on under its new one; drop this stream when nothing else uses it",
            self.remote
        ));
        row.save(&self.connection)
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

/// Merges what is staged of a remote whose run or stream ends. What the tables refuse waits with what they do not know.
pub(crate) fn merge_staged(connection: &Connection, row: &InboundRow) -> Result<()> {
    let staging = Staging::of(connection, row.remote);
    if staging.is_empty()? {
        return Ok(());
    }
    let merge_into = |mut merge: Merge<'_>| {
        staging.merge_everything(&mut merge)?;
        merge.end().map(|_| ())
    };
    match atomically(connection, || merge_into(Merge::new(connection, OnUnknown::Park, row.options.on_violation)?)) {
        Err(error) if !error.is_busy() => atomically(connection, || merge_into(Merge::parking(connection)?)),
        merged => merged,
    }
}

fn receipt_of(row: &InboundRow, coverage: &Coverage, own_id: SiteId) -> Receipt {
    Receipt { ranges: coverage.told(), ..row.receipt(own_id) }
}

impl InboundRow {
    /// Without ranges.
    pub(crate) fn receipt(&self, own_id: SiteId) -> Receipt {
        Receipt {
            receiver: own_id,
            sender: self.remote,
            run: self.run,
            position: self.position.clone(),
            as_of: self.as_of,
            ranges: Vec::new(),
        }
    }
}

/// Takes out what belongs to tables that the stream does not take. How many changes that were.
fn keep_tables(package: &mut Package, tables: Option<&[String]>) -> i64 {
    let Some(tables) = tables else { return 0 };
    let before = package.changes.len();
    package.changes.retain(|change| tables.iter().any(|table| table.eq_ignore_ascii_case(&change.table)));
    (before - package.changes.len()) as i64
}

fn newest(known: Option<AsOf>, told: AsOf) -> Option<AsOf> {
    Some(known.filter(|known| known.head >= told.head).unwrap_or(told))
}

/// Whether the package can be taken now.
fn judge(row: &InboundRow, coverage: &Coverage, package: &Package) -> Result<Outcome> {
    let (start, end) = (&package.start, &package.end);
    if package.run < row.run {
        return Ok(Outcome::OldRun);
    }
    if package.run > row.run {
        let follows = start.cursor == package.run_start
            && (package.run_start == package.since || row.cursor().is_some_and(|position| start.cursor <= *position));
        return Ok(if follows { Outcome::Merged } else { Outcome::Gap });
    }
    for known in coverage.known() {
        if [start, end].into_iter().any(|told| told.cursor == known.cursor && told.mark != known.mark)
            && known.cursor.db_version > 0
        {
            return Err(StreamError::remote(format!(
                "the package of {} speaks of its position {}, which this database knows from another history of that \
                 database: the remote file is a copy, or was restored from a backup",
                package.sender, known.cursor
            )));
        }
    }
    if row.options.order == Order::Any {
        return Ok(judge_in_any_order(coverage, package));
    }
    let Some(position) = row.cursor() else {
        return Ok(if start.cursor == package.since { Outcome::Merged } else { Outcome::Gap });
    };
    Ok(if start.cursor == *position {
        Outcome::Merged
    } else if end.cursor <= *position {
        Outcome::Duplicate
    } else if start.cursor > *position {
        Outcome::Gap
    } else {
        Outcome::Overlap
    })
}

/// Everything is taken that is not here yet, as long as not too many holes are left.
fn judge_in_any_order(coverage: &Coverage, package: &Package) -> Outcome {
    let (start, end) = (&package.start, &package.end);
    if start.cursor < end.cursor && coverage.covers(&start.cursor, &end.cursor) {
        return Outcome::Duplicate;
    }
    // Nothing shows that a package which passes the position is of the history that it was earned in.
    if coverage.position_is_inside(&start.cursor, &end.cursor) {
        return Outcome::Overlap;
    }
    let mut with_it = coverage.clone();
    with_it.add(start, end);
    if with_it.has_too_many_holes() { Outcome::Gap } else { Outcome::Merged }
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
