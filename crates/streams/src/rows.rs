//! The bookkeeping of the streams, row by row: what is kept of each in the database file.

use crate::error::{Result, StreamError};
use crate::options::{Atomic, InboundOptions, OnGap, OnUnknown, OnViolation, Order};
use crate::rules::{Rule, holds};
use crate::sql;
use crate::staging::before_value;
use rejoin_bridge::{Connection, Statement, ValueRef};
use rejoin_change::{Cursor, SiteId};
use rejoin_wire::{AsOf, Compression, Format, Mark, Position};

/// What this database remembers of what it tells one remote.
#[derive(Clone, Debug)]
pub(crate) struct OutboundRow {
    pub remote: SiteId,
    /// The virtual table that is its face in SQL, if there is one.
    pub name: Option<String>,
    /// False after DROP TABLE: only the run and the filter are still worth something.
    pub open: bool,
    pub since: Cursor,
    pub run: u64,
    pub run_start: Cursor,
    pub acked: Cursor,
    pub sent: Option<Cursor>,
    pub exclude_sites: Vec<SiteId>,
    pub local_only: bool,
    pub tables: Option<Vec<String>>,
    pub format: Format,
    pub package_bytes_max: usize,
    pub package_changes_max: Option<usize>,
    /// The remote has returned a position with a mark of this database's.
    pub verified: bool,
    pub last_error: Option<String>,
    pub last_active_ms: Option<i64>,
}

/// What this database remembers of what one remote told it.
#[derive(Clone, Debug)]
pub(crate) struct InboundRow {
    pub remote: SiteId,
    pub name: Option<String>,
    pub open: bool,
    pub run: u64,
    /// Where the remote's stream starts, as its packages say.
    pub since: Option<Cursor>,
    /// What lies before is not this run's to tell.
    pub base: Option<Cursor>,
    /// Everything up to here has arrived.
    pub position: Option<Position>,
    pub as_of: Option<AsOf>,
    /// Changes that the last package brought.
    pub applied: i64,
    /// Changes of tables that the stream does not take, so far.
    pub dropped: i64,
    /// Rows that were merged although they violate a CHECK constraint, so far.
    pub violations: i64,
    pub options: InboundOptions,
    pub last_error: Option<String>,
    pub last_active_ms: Option<i64>,
}

impl OutboundRow {
    pub fn find(connection: &Connection, remote: SiteId) -> Result<Option<OutboundRow>> {
        Ok(select_outbound(connection, sql::BY_REMOTE, &[ValueRef::from(remote.as_bytes())])?.pop())
    }

    pub fn find_by_name(connection: &Connection, name: &str) -> Result<Option<OutboundRow>> {
        Ok(select_outbound(connection, sql::BY_NAME, &[ValueRef::from(name)])?.pop())
    }

    /// All that are open.
    pub fn all(connection: &Connection) -> Result<Vec<OutboundRow>> {
        select_outbound(connection, sql::OPEN, &[])
    }

    pub fn save(&self, connection: &Connection) -> Result<()> {
        let sites: Vec<u8> = self.exclude_sites.iter().flat_map(|site| site.0).collect();
        let (since, run_start, acked) = (self.since.to_bytes(), self.run_start.to_bytes(), self.acked.to_bytes());
        let sent = self.sent.as_ref().map(Cursor::to_bytes);
        let tables = self.tables.as_deref().map(names_to_bytes);
        Ok(connection.cached(&sql::write_outbound())?.run(&[
            ValueRef::from(self.remote.as_bytes()),
            self.name.as_deref().into(),
            i64::from(self.open).into(),
            (&since).into(),
            (self.run as i64).into(),
            (&run_start).into(),
            (&acked).into(),
            sent.as_ref().into(),
            (&sites).into(),
            i64::from(self.local_only).into(),
            tables.as_ref().into(),
            format_name(self.format).into(),
            (self.package_bytes_max as i64).into(),
            self.package_changes_max.map(|max| max as i64).into(),
            i64::from(self.verified).into(),
            self.last_error.as_deref().into(),
        ])?)
    }

    /// Whether something is left out besides what came from the remote itself.
    pub fn is_filtered(&self) -> bool {
        self.local_only || !self.exclude_sites.is_empty() || self.tables.is_some() || self.since != Cursor::BEGINNING
    }

    /// Everything from `cursor` on is told once more, and all of a value that it stands in. The receiver follows, because
    /// the number is higher.
    pub fn start_next_run(&mut self, cursor: Cursor) {
        if !holds(Rule::Run) {
            return;
        }
        let cursor = before_value(cursor);
        self.run += 1;
        self.run_start = cursor.clone();
        self.acked = cursor;
        self.sent = None;
    }
}

impl InboundRow {
    pub fn find(connection: &Connection, remote: SiteId) -> Result<Option<InboundRow>> {
        Ok(select_inbound(connection, sql::BY_REMOTE, &[ValueRef::from(remote.as_bytes())])?.pop())
    }

    pub fn find_by_name(connection: &Connection, name: &str) -> Result<Option<InboundRow>> {
        Ok(select_inbound(connection, sql::BY_NAME, &[ValueRef::from(name)])?.pop())
    }

    /// All that are open.
    pub fn all(connection: &Connection) -> Result<Vec<InboundRow>> {
        select_inbound(connection, sql::OPEN, &[])
    }

    pub fn save(&self, connection: &Connection) -> Result<()> {
        let position = self.position.as_ref().map(|position| position.cursor.to_bytes());
        let mark = self.position.as_ref().map(|position| &position.mark.0[..]);
        let (since, base) = (self.since.as_ref().map(Cursor::to_bytes), self.base.as_ref().map(Cursor::to_bytes));
        let InboundOptions { order, atomic, tables, on_gap, on_unknown, on_violation } = &self.options;
        let tables = tables.as_deref().map(names_to_bytes);
        Ok(connection.cached(&sql::write_inbound())?.run(&[
            ValueRef::from(self.remote.as_bytes()),
            self.name.as_deref().into(),
            i64::from(self.open).into(),
            (self.run as i64).into(),
            since.as_ref().into(),
            base.as_ref().into(),
            position.as_ref().into(),
            mark.into(),
            self.as_of.map(|as_of| as_of.head).into(),
            self.as_of.as_ref().map(|as_of| &as_of.mark.0[..]).into(),
            self.applied.into(),
            self.dropped.into(),
            self.violations.into(),
            i64::from(*order == Order::Any).into(),
            i64::from(*atomic == Atomic::Package).into(),
            tables.as_ref().into(),
            i64::from(*on_gap == OnGap::Error).into(),
            i64::from(*on_unknown == OnUnknown::Error).into(),
            i64::from(*on_violation == OnViolation::Accept).into(),
            self.last_error.as_deref().into(),
        ])?)
    }

    /// Where the stream stands, where it has taken anything yet.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.position.as_ref().map(|position| &position.cursor)
    }
}

/// True where this database has ever made a stream.
pub(crate) fn has_bookkeeping(connection: &Connection) -> Result<bool> {
    Ok(connection.cached(sql::HAS_BOOKKEEPING)?.query_row(&[], |_| Ok(()))?.is_some())
}

fn select_outbound(connection: &Connection, condition: &str, values: &[ValueRef<'_>]) -> Result<Vec<OutboundRow>> {
    if !has_bookkeeping(connection)? {
        return Ok(Vec::new());
    }
    let mut statement = connection.cached(&sql::read_outbound(condition))?;
    Ok(statement.query(values, |row| read_outbound(row).map_err(Into::into))?)
}

fn read_outbound(row: &Statement) -> Result<OutboundRow> {
    Ok(OutboundRow {
        remote: site(row, 0)?,
        name: text(row, 1),
        open: row.column_i64(2) != 0,
        since: cursor(row, 3)?.ok_or_else(damaged)?,
        run: run(row, 4)?,
        run_start: cursor(row, 5)?.ok_or_else(damaged)?,
        acked: cursor(row, 6)?.ok_or_else(damaged)?,
        sent: cursor(row, 7)?,
        exclude_sites: sites(&row.column_blob(8))?,
        local_only: row.column_i64(9) != 0,
        tables: names(row, 10)?,
        format: FORMATS
            .into_iter()
            .find(|(name, _)| *name == row.column_text(11))
            .map(|(_, format)| format)
            .ok_or_else(damaged)?,
        package_bytes_max: usize::try_from(row.column_i64(12)).map_err(|_| damaged())?,
        package_changes_max: integer(row, 13).map(usize::try_from).transpose().map_err(|_| damaged())?,
        verified: row.column_i64(14) != 0,
        last_error: text(row, 15),
        last_active_ms: integer(row, 16),
    })
}

fn select_inbound(connection: &Connection, condition: &str, values: &[ValueRef<'_>]) -> Result<Vec<InboundRow>> {
    if !has_bookkeeping(connection)? {
        return Ok(Vec::new());
    }
    let mut statement = connection.cached(&sql::read_inbound(condition))?;
    Ok(statement.query(values, |row| read_inbound(row).map_err(Into::into))?)
}

fn read_inbound(row: &Statement) -> Result<InboundRow> {
    let position = match cursor(row, 6)? {
        None => None,
        Some(cursor) => Some(Position { cursor, mark: mark(row, 7)? }),
    };
    let as_of = match integer(row, 8) {
        None => None,
        Some(head) => Some(AsOf { head, mark: mark(row, 9)? }),
    };
    let is_set = |index| row.column_i64(index) != 0;
    let options = InboundOptions {
        order: if is_set(13) { Order::Any } else { Order::Strict },
        atomic: if is_set(14) { Atomic::Package } else { Atomic::Transaction },
        tables: names(row, 15)?,
        on_gap: if is_set(16) { OnGap::Error } else { OnGap::Receipt },
        on_unknown: if is_set(17) { OnUnknown::Error } else { OnUnknown::Park },
        on_violation: if is_set(18) { OnViolation::Accept } else { OnViolation::Stop },
    };
    Ok(InboundRow {
        remote: site(row, 0)?,
        name: text(row, 1),
        open: row.column_i64(2) != 0,
        run: run(row, 3)?,
        since: cursor(row, 4)?,
        base: cursor(row, 5)?,
        position,
        as_of,
        applied: row.column_i64(10),
        dropped: row.column_i64(11),
        violations: row.column_i64(12),
        options,
        last_error: text(row, 19),
        last_active_ms: integer(row, 20),
    })
}

fn site(row: &Statement, index: i32) -> Result<SiteId> {
    SiteId::from_slice(&row.column_blob(index)).map_err(|_| damaged())
}

/// Site ids in one blob, sixteen bytes each.
pub(crate) fn sites(bytes: &[u8]) -> Result<Vec<SiteId>> {
    bytes.chunks(16).map(|id| SiteId::from_slice(id).map_err(|_| damaged())).collect()
}

/// Names in one blob, each with a zero byte behind it, which no name holds.
fn names_to_bytes(names: &[String]) -> Vec<u8> {
    names.iter().flat_map(|name| name.bytes().chain([0])).collect()
}

fn names(row: &Statement, index: i32) -> Result<Option<Vec<String>>> {
    if row.column(index).is_null() {
        return Ok(None);
    }
    let text = String::from_utf8(row.column_blob(index)).map_err(|_| damaged())?;
    Ok(Some(text.split_terminator('\0').map(Into::into).collect()))
}

fn run(row: &Statement, index: i32) -> Result<u64> {
    u64::try_from(row.column_i64(index)).map_err(|_| damaged())
}

pub(crate) fn cursor(row: &Statement, index: i32) -> Result<Option<Cursor>> {
    match row.column(index) {
        ValueRef::Null => Ok(None),
        value => Cursor::from_bytes(value.as_bytes().unwrap_or_default()).map(Some).map_err(|_| damaged()),
    }
}

pub(crate) fn mark(row: &Statement, index: i32) -> Result<Mark> {
    row.column_blob(index).try_into().map(Mark).map_err(|_| damaged())
}

fn text(row: &Statement, index: i32) -> Option<String> {
    (!row.column(index).is_null()).then(|| row.column_text(index))
}

fn integer(row: &Statement, index: i32) -> Option<i64> {
    (!row.column(index).is_null()).then(|| row.column_i64(index))
}

/// Only a program that writes into the shadow tables by itself can bring this about.
pub(crate) fn damaged() -> StreamError {
    StreamError::Misuse(
        "the bookkeeping in crsql_streams is damaged; drop the streams and the table crsql_streams, run \
         SELECT crsql_reidentify(), and make the streams again"
            .into(),
    )
}

const FORMATS: [(&str, Format); 3] = [
    ("binary,zstd", Format::Binary(Compression::Zstd)),
    ("binary,none", Format::Binary(Compression::None)),
    ("json", Format::Json),
];

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Binary(Compression::Zstd) => "binary,zstd",
        Format::Binary(Compression::None) => "binary,none",
        Format::Json => "json",
    }
}
