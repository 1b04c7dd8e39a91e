use crate::arrivals;
use crate::change_store::{self, Store};
use crate::coverage;
use crate::engine_facts;
use crate::error::{Result, StreamError, atomically};
use crate::identity::{self, Identity};
use crate::inbound::{Inbound, merge_staged};
use crate::options::{InboundOptions, Order, OutboundOptions, Since};
use crate::outbound::{Outbound, versions_behind};
use crate::parking;
use crate::rows::{InboundRow, OutboundRow, has_bookkeeping};
use crate::snapshot::{self, no_streams};
use crate::sql;
use crate::staging::{Staging, before_value};
use crate::tracked;
use rejoin_bridge::Connection;
use rejoin_change::{Cursor, SiteId};
use rejoin_wire::limits;

/// The streams of one database, on one connection.
#[derive(Clone)]
pub struct Streams {
    connection: Connection,
}

/// One stream, as `crsql_streams` shows it.
#[derive(Clone, Debug)]
pub struct StreamStatus {
    /// The virtual table that is its face in SQL, if there is one.
    pub name: Option<String>,
    /// Which way it goes.
    pub direction: Direction,
    /// The database at the other end.
    pub remote: SiteId,
    /// Acknowledged (outbound) or taken (inbound) so far.
    pub position: Option<Cursor>,
    /// The newest version of the database that tells, as far as it is known here.
    pub head: Option<i64>,
    /// Versions between position and head.
    pub behind: i64,
    /// Bytes in the file of pieces that wait for the rest of their transaction or value. Inbound only.
    pub staged_bytes: i64,
    /// Changes that wait until the schema has a place for them, whichever stream brought them. Inbound only.
    pub parked: i64,
    /// Why the last package or receipt was refused, or what the stream is waiting for.
    pub last_error: Option<String>,
    /// When the stream last did anything, in unix milliseconds.
    pub last_active_ms: Option<i64>,
}

/// Which way a stream goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From this database to the remote.
    Outbound,
    /// From the remote to this database.
    Inbound,
}

impl Streams {
    /// A handle. Nothing is read or written by it.
    pub fn of(connection: &Connection) -> Result<Streams> {
        Ok(Streams { connection: connection.clone() })
    }

    /// This database's id, as it is stored.
    pub fn site_id(&self) -> Result<SiteId> {
        engine_facts::site_id(&self.connection)
    }

    /// The ids that this database had before it was re-identified, oldest first.
    pub fn former_ids(&self) -> Result<Vec<SiteId>> {
        Ok(Identity::load(&self.connection)?.map(|identity| identity.former_ids).unwrap_or_default())
    }

    /// The newest stored db_version.
    pub fn head(&self) -> Result<i64> {
        engine_facts::head(&self.connection)
    }

    /// The engine that [`register`](crate::register) was given, for a program that merges changes which came another way
    /// than by a stream. None where the connection has the original engine: `crsql_changes` is the way in then.
    ///
    /// It takes part in the transaction that is open on the connection, as its own statements do.
    pub fn change_store(&self) -> Option<Store> {
        change_store::store(&self.connection)
    }

    /// Makes the outbound stream to a remote, or opens it again. With a wider filter than before (more tables, fewer
    /// exclusions, no longer `local_only`, an earlier `since`) it starts its next run.
    ///
    /// A stream that has a virtual table keeps the options of its CREATE; other ones are refused then.
    pub fn outbound(&self, remote: SiteId, options: &OutboundOptions) -> Result<Outbound> {
        self.open_outbound(remote, None, options)?;
        Ok(Outbound::new(self.connection.clone(), remote))
    }

    /// Makes the inbound stream from a remote, or opens it again.
    pub fn inbound(&self, remote: SiteId, options: &InboundOptions) -> Result<Inbound> {
        self.open_inbound(remote, None, options)?;
        Ok(Inbound::new(self.connection.clone(), remote))
    }

    /// All streams.
    pub fn list(&self) -> Result<Vec<StreamStatus>> {
        let head = self.head()?;
        let again = snapshot::newest_version_again(&self.connection)?;
        let outbound = OutboundRow::all(&self.connection)?.into_iter().map(|row| StreamStatus {
            name: row.name,
            direction: Direction::Outbound,
            remote: row.remote,
            behind: versions_behind(again.as_ref().map_or(&row.acked, |again| again.min(&row.acked)), head),
            position: Some(row.acked),
            head: Some(head),
            staged_bytes: 0,
            parked: 0,
            last_error: row.last_error,
            last_active_ms: row.last_active_ms,
        });
        let parked = self.parked()?;
        let inbound = InboundRow::all(&self.connection)?.into_iter().map(|row| {
            let head = row.as_of.map(|as_of| as_of.head);
            Ok(StreamStatus {
                behind: head.zip(row.cursor()).map_or(0, |(head, cursor)| versions_behind(cursor, head)),
                name: row.name,
                direction: Direction::Inbound,
                remote: row.remote,
                position: row.position.map(|position| position.cursor),
                head,
                staged_bytes: Staging::of(&self.connection, row.remote).bytes()?,
                parked,
                last_error: row.last_error,
                last_active_ms: row.last_active_ms,
            })
        });
        outbound.map(Ok).chain(inbound).collect()
    }

    /// How many changes wait because this schema lacks their table, their column or their shape of key.
    pub fn parked(&self) -> Result<i64> {
        parking::parked(&self.connection)
    }

    /// Merges those parked changes that the schema has a place for by now, and returns how many. Streams do so by
    /// themselves; this one says why the tables refuse, where they do.
    pub fn merge_parked(&self) -> Result<i64> {
        if self.parked()? == 0 {
            return Ok(0);
        }
        atomically(&self.connection, || parking::merge_fitting(&self.connection))
    }

    /// Forgets parked changes, of one table or of all, and returns how many. They are not told again by themselves.
    pub fn drop_parked(&self, table: Option<&str>) -> Result<i64> {
        parking::drop_parked(&self.connection, table)
    }

    /// Gives this database a new site id, for a file that is a copy or was restored: for its peers it is a new database,
    /// and everything is exchanged with them once more. Returns the new id.
    pub fn reidentify(&self) -> Result<SiteId> {
        self.make_bookkeeping()?;
        identity::reidentify(&self.connection)
    }

    pub(crate) fn open_outbound(&self, remote: SiteId, name: Option<&str>, options: &OutboundOptions) -> Result<()> {
        self.check_remote(remote)?;
        check_options(options)?;
        self.make_bookkeeping()?;
        let connection = &self.connection;
        let known = OutboundRow::find(connection, remote)?;
        let wanted = self.outbound_row(remote, name, options, known.as_ref())?;
        let Some(known) = known else { return atomically(connection, || wanted.save(connection)) };
        if let (true, Some(first)) = (known.open, &known.name) {
            if name.is_some() {
                return Err(second_stream("outbound", "to", first, remote));
            }
            if !known.has_options_of(&wanted) {
                return Err(StreamError::Misuse(format!(
                    "the outbound stream to {remote} has the virtual table {first} and its options; drop that table to \
                     use others"
                )));
            }
            return Ok(());
        }
        if known.open && name.is_none() && known.has_options_of(&wanted) {
            return Ok(());
        }
        atomically(connection, || {
            let mut row = wanted;
            row.run = known.run;
            row.run_start = known.run_start.clone();
            if known.is_widened_by(&row) {
                row.start_next_run(row.since.clone());
                arrivals::forget(connection, remote)?;
            } else if known.open {
                row.acked = known.acked.clone();
            } else {
                row.run_start = row.run_start.min(row.since.clone());
            }
            row.save(connection)
        })
    }

    fn outbound_row(
        &self,
        remote: SiteId,
        name: Option<&str>,
        options: &OutboundOptions,
        known: Option<&OutboundRow>,
    ) -> Result<OutboundRow> {
        let mut since = match (&options.since, known) {
            // A receiver that has nothing could make nothing of the rest of a value.
            (Since::Cursor(cursor), _) => before_value(cursor.clone()),
            // Resolved once, when the stream was made.
            (Since::Now, Some(known)) if known.open => known.since.clone(),
            (Since::Now, _) => match self.head()? {
                0 => Cursor::BEGINNING,
                head => Cursor::end_of_version(head),
            },
        };
        if options.trust_tracked && !known.is_some_and(|known| known.open) {
            let guess = tracked::guess_sent(&self.connection, remote)?.unwrap_or(0).min(self.head()?);
            since = since.max(if guess > 0 { Cursor::end_of_version(guess) } else { Cursor::BEGINNING });
        } else if let (true, Some(known)) = (options.trust_tracked, known) {
            since = known.since.clone();
        }
        let mut exclude_sites = options.exclude_sites.clone();
        exclude_sites.sort();
        exclude_sites.dedup();
        Ok(OutboundRow {
            remote,
            name: name.map(Into::into),
            open: true,
            run: 0,
            run_start: since.clone(),
            acked: since.clone(),
            since,
            sent: None,
            exclude_sites,
            local_only: options.local_only,
            tables: options.tables.as_deref().map(sorted_names),
            format: options.format,
            package_bytes_max: options.package_bytes_max,
            package_changes_max: options.package_changes_max,
            verified: known.is_some_and(|known| known.verified),
            last_error: None,
            last_active_ms: None,
        })
    }

    pub(crate) fn open_inbound(&self, remote: SiteId, name: Option<&str>, options: &InboundOptions) -> Result<()> {
        self.check_remote(remote)?;
        self.make_bookkeeping()?;
        let connection = &self.connection;
        let options = &InboundOptions { tables: options.tables.as_deref().map(sorted_names), ..options.clone() };
        let mut row = match InboundRow::find(connection, remote)? {
            Some(known) => known,
            None => InboundRow {
                remote,
                name: None,
                open: false,
                run: 0,
                since: None,
                base: None,
                position: None,
                as_of: None,
                applied: 0,
                dropped: 0,
                violations: 0,
                options: InboundOptions::default(),
                last_error: None,
                last_active_ms: None,
            },
        };
        match (row.open, &row.name, name) {
            (true, Some(first), Some(_)) => return Err(second_stream("inbound", "from", first, remote)),
            (true, Some(_), None) => return Ok(()),
            (true, None, None) if row.options == *options => return Ok(()),
            _ => {}
        }
        let takes_more = row.open && widens(row.options.tables.as_deref(), options.tables.as_deref());
        row.open = true;
        row.name = name.map(Into::into);
        row.options = options.clone();
        atomically(connection, || {
            // What was dropped so far is told once more only to a receiver that has nothing yet.
            if takes_more || row.options.order == Order::Strict {
                coverage::forget(connection, remote)?;
            }
            if takes_more {
                (row.base, row.position) = (None, None);
            }
            row.save(connection)
        })
    }

    fn check_remote(&self, remote: SiteId) -> Result<()> {
        if remote == self.site_id()? {
            return Err(StreamError::Misuse(format!(
                "{remote} is the site id of this database itself; give the other database's, which its own SELECT \
                 crsql_site_id() says"
            )));
        }
        Ok(())
    }

    pub(crate) fn make_bookkeeping(&self) -> Result<()> {
        let connection = &self.connection;
        if has_bookkeeping(connection)? {
            return Ok(());
        }
        atomically(connection, || {
            connection.execute(sql::CREATE_BOOKKEEPING)?;
            connection.execute(sql::CREATE_SHADOW_TABLES)?;
            Identity::create(connection)
        })
    }

    /// The face of a stream goes, and its position with it. The run stays.
    pub(crate) fn close_outbound(&self, remote: SiteId) -> Result<()> {
        atomically(&self.connection, || {
            let Some(mut row) = OutboundRow::find(&self.connection, remote)? else { return Ok(()) };
            (row.open, row.name, row.sent, row.last_error) = (false, None, None, None);
            row.acked = row.since.clone();
            row.save(&self.connection)
        })
    }

    pub(crate) fn close_inbound(&self, remote: SiteId) -> Result<()> {
        atomically(&self.connection, || {
            let connection = &self.connection;
            let Some(mut row) = InboundRow::find(connection, remote)? else { return Ok(()) };
            merge_staged(connection, &row)?;
            coverage::forget(connection, remote)?;
            (row.open, row.name, row.last_error) = (false, None, None);
            (row.since, row.base, row.position, row.as_of) = (None, None, None, None);
            (row.applied, row.dropped, row.violations) = (0, 0, 0);
            row.save(connection)
        })
    }

    /// CREATE VIRTUAL TABLE of a stream moves `schema_version` by one, and no cell with it.
    pub(crate) fn expect_schema_change_of_creating(&self) -> Result<()> {
        let now = engine_facts::schema_version(&self.connection)?;
        self.expect_schema_change(now - 1, now)
    }

    /// As for creating; but here the change comes after this.
    pub(crate) fn expect_schema_change_of_dropping(&self) -> Result<()> {
        let now = engine_facts::schema_version(&self.connection)?;
        self.expect_schema_change(now, now + 1)
    }

    fn expect_schema_change(&self, before: i64, after: i64) -> Result<()> {
        let Some(identity) = Identity::load(&self.connection)? else { return Ok(()) };
        if identity.schema_version != before {
            return Ok(());
        }
        atomically(&self.connection, || identity::write_meta(&self.connection, "schema_version", after.into()))
    }

    pub(crate) fn find_outbound(&self, name: &str) -> Result<Outbound> {
        let row = OutboundRow::find_by_name(&self.connection, name)?.ok_or_else(|| unknown_stream("outbound", name))?;
        Ok(Outbound::new(self.connection.clone(), row.remote))
    }

    pub(crate) fn find_inbound(&self, name: &str) -> Result<Inbound> {
        let row = InboundRow::find_by_name(&self.connection, name)?.ok_or_else(|| unknown_stream("inbound", name))?;
        Ok(Inbound::new(self.connection.clone(), row.remote))
    }

    pub(crate) fn rename(&self, direction: Direction, remote: SiteId, new_name: &str) -> Result<()> {
        let connection = &self.connection;
        atomically(connection, || match direction {
            Direction::Outbound => {
                let mut row = OutboundRow::find(connection, remote)?.ok_or_else(no_streams)?;
                row.name = Some(new_name.into());
                row.save(connection)
            }
            Direction::Inbound => {
                let mut row = InboundRow::find(connection, remote)?.ok_or_else(no_streams)?;
                row.name = Some(new_name.into());
                row.save(connection)
            }
        })
    }
}

impl OutboundRow {
    fn has_options_of(&self, other: &OutboundRow) -> bool {
        self.since == other.since
            && self.exclude_sites == other.exclude_sites
            && self.local_only == other.local_only
            && self.tables == other.tables
            && self.format == other.format
            && self.package_bytes_max == other.package_bytes_max
            && self.package_changes_max == other.package_changes_max
    }

    /// True where `other` tells what this one left out, so that a position earned under this filter says too much.
    fn is_widened_by(&self, other: &OutboundRow) -> bool {
        (self.local_only && !other.local_only)
            || self.exclude_sites.iter().any(|site| !other.exclude_sites.contains(site))
            || widens(self.tables.as_deref(), other.tables.as_deref())
            || other.since < self.since
    }
}

/// Whether `after` has a table that `before` leaves out. `None` is all.
fn widens(before: Option<&[String]>, after: Option<&[String]>) -> bool {
    match (before, after) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(after)) => after.iter().any(|table| !before.contains(table)),
    }
}

/// As they are kept and compared: in order, each once, ASCII letters in lower case.
fn sorted_names(names: &[String]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    names.sort();
    names.dedup();
    names
}

fn check_options(options: &OutboundOptions) -> Result<()> {
    if !(1..=limits::PACKAGE_BYTES_SOFT_MAX).contains(&options.package_bytes_max) {
        return Err(StreamError::Misuse(format!(
            "package_bytes_max is {}, and may be 1 to {}",
            options.package_bytes_max,
            limits::PACKAGE_BYTES_SOFT_MAX
        )));
    }
    if options.package_changes_max == Some(0) {
        return Err(StreamError::Misuse("package_changes_max is 0, and must be at least 1".into()));
    }
    Ok(())
}

fn second_stream(kind: &str, to: &str, first: &str, remote: SiteId) -> StreamError {
    StreamError::Misuse(format!(
        "there is an {kind} stream {to} {remote} already, the table {first}; use that one, or drop it first"
    ))
}

fn unknown_stream(kind: &str, name: &str) -> StreamError {
    StreamError::Misuse(format!(
        "there is no {kind} stream named {name}; SELECT name, direction FROM crsql_streams lists the streams"
    ))
}
