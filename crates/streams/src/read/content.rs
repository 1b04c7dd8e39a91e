use super::filling::{Filled, Filling};
use super::filter::{Filter, wants_table};
use super::order::{Kept, Ordered, State};
use super::tables::Tables;
use super::walk::{Found, Walk};
use crate::error::Result;
use crate::rows::OutboundRow;
use crate::snapshot::Snapshot;
use rejoin_bridge::Connection;
use rejoin_change::{Change, Cursor};
use std::rc::Rc;

/// What one package holds.
pub(crate) struct Content {
    pub changes: Vec<Change>,
    pub end: Cursor,
}

/// Reads as much as fits. The end is the last change that was told, or the end of a version of which nothing follows;
/// behind the last one of all, it is the end of the head. It does not lie behind `until`. None where nothing follows.
pub(crate) fn read_content(
    connection: &Connection,
    snapshot: &Snapshot,
    row: &OutboundRow,
    start: &Cursor,
    until: Option<&Cursor>,
) -> Result<Option<Content>> {
    let head_end = Cursor::end_of_version(snapshot.head);
    let until = until.filter(|until| **until < head_end);
    if *start >= head_end || until.is_some_and(|until| until <= start) {
        return Ok(None);
    }
    let tables = Tables::of(connection)?;
    let state = State::of(&snapshot.identity, &tables);
    let filter = Filter::new(connection, snapshot, row, &tables)?;
    let witnessed = snapshot.identity.witnessed;
    let mut versions = Versions::new(connection, &tables, &filter, row.tables.as_deref(), witnessed, start);
    versions.kept.look(&state, witnessed);
    let mut filling = Filling::new(connection, &tables, &filter, &state, row);
    let mut end = None;
    if !start.is_end_of_version() && versions.next_is_behind(start.db_version)? {
        // What the start stood in has gone: the version is closed.
        end = version_end(start.db_version, until);
    }
    let stop = loop {
        let (version, present) = match versions.next(until)? {
            Next::Version(version, present) => (version, present),
            Next::LeftOut(version) => match version_end(version, until) {
                Some(closed) => {
                    end = Some(closed);
                    continue;
                }
                None => break Stop::Until,
            },
            Next::Beyond => break Stop::Until,
            Next::None => break if until.is_some() { Stop::Until } else { Stop::Exhausted },
        };
        let inside = |cursor: &&Cursor| cursor.db_version == version && !cursor.is_end_of_version();
        match filling.fill(version, &present, Some(start).filter(inside), until.filter(inside))? {
            Filled::Complete => {
                versions.kept.forget(version, versions.wanted);
                end = Some(Cursor::end_of_version(version));
            }
            Filled::Partly(last) => {
                versions.kept.keep(&state, witnessed, version, versions.wanted, present.ordered);
                end = last.or(end);
                break Stop::Full;
            }
            Filled::ToUntil => {
                versions.kept.keep(&state, snapshot.identity.witnessed, version, versions.wanted, present.ordered);
                break Stop::Until;
            }
        }
    };
    match stop {
        Stop::Full => {}
        // Also where nothing is left of what was to be told: else whoever asks for it would ask for ever. Nothing will be
        // stored there any more, since what comes lies behind the head.
        Stop::Until => end = until.cloned(),
        Stop::Exhausted if snapshot.head > 0 || end.is_some() => end = Some(head_end),
        Stop::Exhausted => {}
    }
    Ok(end.filter(|end| end > start).map(|end| Content { changes: filling.changes, end }))
}

/// Why a package holds no more.
enum Stop {
    /// There is no room.
    Full,
    /// Everything up to the end that was asked for is in it.
    Until,
    /// Everything is in it.
    Exhausted,
}

/// The end of a version, unless it lies behind `until`.
fn version_end(version: i64, until: Option<&Cursor>) -> Option<Cursor> {
    let end = Cursor::end_of_version(version);
    until.is_none_or(|until| end <= *until).then_some(end)
}

/// The changes of one version.
pub(super) struct Present {
    pub ordered: Rc<Ordered>,
    /// Nothing was written since they were listed, so that none has gone meanwhile: a cell that is overwritten moves to a
    /// version beyond the head.
    pub is_fresh: bool,
}

/// What a version holds of the wanted tables, version by version.
struct Versions<'a> {
    connection: &'a Connection,
    tables: &'a Tables,
    filter: &'a Filter<'a>,
    wanted: Option<&'a [String]>,
    /// The head, which a snapshot has always witnessed.
    witnessed: i64,
    kept: Rc<Kept>,
    /// A version that is kept and comes next.
    first: Option<i64>,
    after: i64,
    walk: Option<Walk<'a>>,
}

enum Next {
    Version(i64, Present),
    /// A version of which the remote is told nothing.
    LeftOut(i64),
    /// The next version lies behind `until`.
    Beyond,
    None,
}

impl<'a> Versions<'a> {
    fn new(
        connection: &'a Connection,
        tables: &'a Tables,
        filter: &'a Filter<'a>,
        wanted: Option<&'a [String]>,
        witnessed: i64,
        start: &Cursor,
    ) -> Versions<'a> {
        let after = if start.is_end_of_version() { start.db_version } else { start.db_version - 1 };
        Versions {
            connection,
            tables,
            filter,
            wanted,
            witnessed,
            kept: connection.state(Kept::default),
            first: None,
            after,
            walk: None,
        }
    }

    /// True where nothing is stored at this version, at which the walk begins.
    fn next_is_behind(&mut self, version: i64) -> Result<bool> {
        if self.kept.find(version, self.wanted).is_some() {
            self.first = Some(version);
            self.after = version;
            return Ok(false);
        }
        Ok(self.walk()?.next_version() != Some(version))
    }

    fn walk(&mut self) -> Result<&mut Walk<'a>> {
        let walk = match self.walk.take() {
            Some(walk) => walk,
            None => Walk::behind(self.tables, self.after, |table| wants_table(self.wanted, &table.name))?,
        };
        Ok(self.walk.insert(walk))
    }

    fn kept_version(&self, version: i64) -> Option<Present> {
        let (ordered, witnessed) = self.kept.find(version, self.wanted)?;
        Some(Present { ordered, is_fresh: witnessed == self.witnessed })
    }

    fn next(&mut self, until: Option<&Cursor>) -> Result<Next> {
        if let Some(version) = self.first.take()
            && let Some(present) = self.kept_version(version)
        {
            return Ok(Next::Version(version, present));
        }
        let filter = self.filter;
        let walk = self.walk()?;
        let Some(version) = walk.next_version() else { return Ok(Next::None) };
        if until.is_some_and(|until| version > until.db_version) {
            return Ok(Next::Beyond);
        }
        let ordered = match walk.take(version, filter)? {
            Found::Nothing => return Ok(Next::LeftOut(version)),
            Found::Changes(changes) => Ordered::held(changes, self.tables)?,
            Found::TooMuch => {
                // The statements go back before others of the same text are needed.
                self.walk = None;
                self.after = version;
                if let Some(present) = self.kept_version(version) {
                    return Ok(Next::Version(version, present));
                }
                Ordered::spooled(self.connection, self.tables, version, self.wanted)?
            }
        };
        Ok(Next::Version(version, Present { ordered: Rc::new(ordered), is_fresh: true }))
    }
}
