//! Pieces of a remote's transactions that wait, in the file, for the rest: until everything that is told of a version
//! has arrived, and until a value that travels in parts is whole.

use crate::coverage::Coverage;
use crate::error::{Result, StreamError};
use crate::merge::Merge;
use crate::options::Atomic;
use crate::rows::damaged;
use crate::rules::{Rule, holds};
use crate::sql;
use rejoin_bridge::Connection;
use rejoin_change::{Change, Cursor, Part, Place, SiteId, Value};
use rejoin_wire::{Package, changes_from_bytes, changes_to_bytes, limits};

/// The staged pieces of one remote.
pub(crate) struct Staging<'a> {
    connection: &'a Connection,
    remote: SiteId,
}

/// What a package tells of one version: everything behind `start`, up to and including `finish`.
struct Piece<'p> {
    version: i64,
    start: Cursor,
    finish: Cursor,
    changes: &'p [Change],
}

impl<'a> Staging<'a> {
    pub fn of(connection: &'a Connection, remote: SiteId) -> Staging<'a> {
        Staging { connection, remote }
    }

    /// Takes in a package that `coverage` has taken note of: merges what is complete with it, and stages the rest.
    ///
    /// Versions that came whole with the package, which are most, are merged together: a large merge costs less.
    pub fn take(&self, package: &Package, coverage: &Coverage, atomic: Atomic, merge: &mut Merge<'_>) -> Result<()> {
        if self.takes_whole(package, coverage)? {
            return merge.add_whole(&package.changes);
        }
        let staged = self.versions()?;
        let is_whole = |piece: &Piece<'_>| {
            let parts = [&piece.start, &piece.finish].into_iter().find_map(part_of);
            coverage.covers_version(piece.version) && parts.is_none() && !staged.contains(&piece.version)
        };
        let (mut from, mut to) = (0, 0);
        for piece in pieces(package) {
            let behind = to + piece.changes.len();
            if !is_whole(&piece) {
                merge.add_whole(&package.changes[from..to])?;
                from = behind;
                if coverage.covers_version(piece.version) {
                    self.merge_version(piece.version, Some(&piece), Values::default(), merge)?;
                } else if atomic == Atomic::Transaction {
                    self.stage(&piece)?;
                } else {
                    self.merge_what_is_whole(&piece, merge)?;
                }
            }
            to = behind;
        }
        merge.add_whole(&package.changes[from..to])?;
        // A version of which nothing more came may be complete now, because the package passes it.
        for version in self.versions()? {
            if holds(Rule::Closing) && coverage.covers_version(version) {
                self.merge_version(version, None, Values::default(), merge)?;
            }
        }
        Ok(())
    }

    /// Merges everything, complete or not: the run or the stream ends, and what is staged is not told again. Only parts of
    /// values that are not whole go: such a value is told once more, because no run begins inside of one.
    pub fn merge_everything(&self, merge: &mut Merge<'_>) -> Result<()> {
        for version in self.versions()? {
            self.merge_version(version, None, Values { open: None, drops_incomplete: true }, merge)?;
        }
        Ok(())
    }

    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.version_behind(NO_VERSION)?.is_none())
    }

    /// What the pieces take up in the file, in bytes.
    pub fn bytes(&self) -> Result<i64> {
        let mut statement = self.connection.cached(sql::STAGED_BYTES)?;
        Ok(statement.query_row(&[self.remote.as_bytes().into()], |row| Ok(row.column_i64(0)))?.unwrap_or(0))
    }

    /// Up to where everything is merged, of a stream that has arrived up to `position`.
    pub fn merged_to(&self, position: &Cursor) -> Result<Cursor> {
        let values = [self.remote.as_bytes().into(), position.db_version.into()];
        let first = self.connection.cached(sql::STAGED_FROM)?.query_row(&values, |row| Ok(row.column_blob(0)))?;
        match first.filter(|bytes| !bytes.is_empty()) {
            None => Ok(position.clone()),
            Some(bytes) => Ok(Cursor::from_bytes(&bytes).map_err(|_| damaged())?.min(position.clone())),
        }
    }

    /// True where nothing has to be staged and nothing that is staged has to do with the package: the usual case.
    fn takes_whole(&self, package: &Package, coverage: &Coverage) -> Result<bool> {
        let (start, end) = (&package.start.cursor, &package.end.cursor);
        let first = package.changes.first().map_or(end.db_version, |change| change.db_version);
        let last = package.changes.last().map_or(first, |change| change.db_version);
        let whole = part_of(start).is_none() && part_of(end).is_none();
        Ok(whole && coverage.covers_version(first) && coverage.covers_version(last) && self.is_empty()?)
    }

    fn versions(&self) -> Result<Vec<i64>> {
        let mut versions = Vec::new();
        let mut last = NO_VERSION;
        while let Some(version) = self.version_behind(last)? {
            versions.push(version);
            last = version;
        }
        Ok(versions)
    }

    /// The next version of which anything is staged. One version may have thousands of pieces, which are not looked at.
    fn version_behind(&self, version: i64) -> Result<Option<i64>> {
        let values = [self.remote.as_bytes().into(), version.into()];
        let next = self
            .connection
            .cached(sql::NEXT_STAGED_VERSION)?
            .query_row(&values, |row| Ok((!row.column(0).is_null()).then(|| row.column_i64(0))))?;
        Ok(next.flatten())
    }

    fn stage(&self, piece: &Piece<'_>) -> Result<()> {
        // Only a piece with changes has anything to keep; but where a value breaks off, its end must be known too.
        if piece.changes.is_empty() && part_of(&piece.start).is_none() {
            return Ok(());
        }
        let changes = changes_to_bytes(piece.changes).map_err(|error| StreamError::unreadable("package", &error))?;
        let (start, finish) = (piece.start.to_bytes(), piece.finish.to_bytes());
        Ok(self.connection.cached(sql::STAGE)?.run(&[
            self.remote.as_bytes().into(),
            piece.version.into(),
            (&start).into(),
            (&finish).into(),
            (&changes).into(),
        ])?)
    }

    /// Merges the staged pieces of a version and one that has just come, in the order of the stream.
    fn merge_version(
        &self,
        version: i64,
        arrived: Option<&Piece<'_>>,
        mut values: Values,
        merge: &mut Merge<'_>,
    ) -> Result<()> {
        let mut arrived = arrived;
        for (rowid, start, finish) in self.pieces_of(version)? {
            if let Some(piece) = arrived.take_if(|piece| piece.start <= start) {
                values.feed(&piece.start, &piece.finish, piece.changes.to_vec(), merge)?;
            }
            values.feed(&start, &finish, self.read(rowid)?, merge)?;
            self.drop_piece(rowid)?;
        }
        if let Some(piece) = arrived {
            values.feed(&piece.start, &piece.finish, piece.changes.to_vec(), merge)?;
        }
        merge.finish()
    }

    /// Merges a piece at once, save for parts of values: those are staged, and merged when the value is whole.
    fn merge_what_is_whole(&self, piece: &Piece<'_>, merge: &mut Merge<'_>) -> Result<()> {
        let changes = piece.changes;
        let continues = continued(&piece.start, changes).is_some();
        let breaks_off = part_of(&piece.finish).is_some() && !changes.is_empty();
        let head = usize::from(continues);
        let tail = changes.len() - usize::from(breaks_off && changes.len() > head);
        let before_tail = changes[..tail].last().map_or_else(|| behind_value(&piece.start), Change::cursor);
        let version = piece.version;
        if part_of(&piece.start).is_some() {
            let finish = match changes {
                [_] if continues => piece.finish.clone(),
                [first, ..] if continues => first.cursor(),
                _ => behind_value(&piece.start),
            };
            self.stage(&Piece { version, start: piece.start.clone(), finish, changes: &changes[..head] })?;
        }
        merge.add_whole(&changes[head..tail])?;
        if tail < changes.len() {
            let finish = piece.finish.clone();
            self.stage(&Piece { version, start: before_tail, finish, changes: &changes[tail..] })?;
        }
        if head > 0 || tail < changes.len() || part_of(&piece.start).is_some() {
            self.merge_finished_values(version, merge)?;
        }
        Ok(())
    }

    /// Of a version of which only parts of values are staged: merges those values that are whole, and drops the parts of
    /// those that will never be.
    fn merge_finished_values(&self, version: i64, merge: &mut Merge<'_>) -> Result<()> {
        let mut run: Vec<(i64, Cursor, Cursor)> = Vec::new();
        for piece in self.pieces_of(version)? {
            let follows = run.last().is_some_and(|(_, _, finish)| *finish == piece.1);
            if !follows {
                run.clear();
            }
            // A run begins with the first part of a value, which starts outside of it.
            if part_of(&piece.1).is_none() || follows {
                let ends_value = part_of(&piece.2).is_none();
                run.push(piece);
                if ends_value {
                    self.merge_run(std::mem::take(&mut run), merge)?;
                }
            }
        }
        Ok(())
    }

    fn merge_run(&self, run: Vec<(i64, Cursor, Cursor)>, merge: &mut Merge<'_>) -> Result<()> {
        let mut values = Values::default();
        for (rowid, start, finish) in run {
            values.feed(&start, &finish, self.read(rowid)?, merge)?;
            self.drop_piece(rowid)?;
        }
        merge.finish()
    }

    fn pieces_of(&self, version: i64) -> Result<Vec<(i64, Cursor, Cursor)>> {
        let mut statement = self.connection.cached(sql::STAGED_PIECES)?;
        let values = [self.remote.as_bytes().into(), version.into()];
        let rows = statement.query(&values, |row| Ok((row.column_i64(0), row.column_blob(1), row.column_blob(2))))?;
        let cursor = |bytes: &[u8]| Cursor::from_bytes(bytes).map_err(|_| damaged());
        rows.into_iter().map(|(rowid, start, finish)| Ok((rowid, cursor(&start)?, cursor(&finish)?))).collect()
    }

    fn read(&self, rowid: i64) -> Result<Vec<Change>> {
        let mut statement = self.connection.cached(sql::STAGED_PIECE)?;
        let changes = statement
            .query_row(&[rowid.into()], |row| Ok(changes_from_bytes(row.column(0).as_bytes().unwrap_or_default())))?;
        changes.ok_or_else(damaged)?.map_err(|_| damaged())
    }

    fn drop_piece(&self, rowid: i64) -> Result<()> {
        Ok(self.connection.cached(sql::DROP_STAGED_PIECE)?.run(&[rowid.into()])?)
    }
}

/// Before every version.
const NO_VERSION: i64 = -1;

/// The package, version by version. One in which it starts or ends without telling anything is there too.
fn pieces(package: &Package) -> Vec<Piece<'_>> {
    let (start, end) = (&package.start.cursor, &package.end.cursor);
    let begins_at = |version: i64| {
        if start.db_version == version { start.clone() } else { Cursor::end_of_version(version - 1).max(start.clone()) }
    };
    let ends_at = |version: i64| Cursor::end_of_version(version).min(end.clone());
    let piece = |version, changes| Piece { version, start: begins_at(version), finish: ends_at(version), changes };
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    let starts_inside = part_of(start).is_some();
    if starts_inside && package.changes.first().is_none_or(|change| change.db_version > start.db_version) {
        pieces.push(piece(start.db_version, &[]));
    }
    let by_version = package.changes.chunk_by(|a, b| a.db_version == b.db_version);
    pieces.extend(by_version.map(|changes| piece(changes[0].db_version, changes)));
    pieces
}

/// Puts values together that travel in parts, piece by piece, and passes everything else on.
#[derive(Default)]
struct Values {
    open: Option<OpenValue>,
    /// Parts whose beginning or middle never came are no error.
    drops_incomplete: bool,
}

/// A value of which the first bytes are here.
struct OpenValue {
    change: Change,
    bytes: Vec<u8>,
    part: Part,
}

impl Values {
    fn feed(&mut self, start: &Cursor, finish: &Cursor, changes: Vec<Change>, merge: &mut Merge<'_>) -> Result<()> {
        let mut changes = changes;
        let breaks_off = part_of(finish).filter(|_| changes.last().is_some_and(|last| is_inside(finish, last)));
        if let Some(part) = continued(start, &changes) {
            let change = changes.remove(0);
            let ends_here = breaks_off.is_none() || !changes.is_empty();
            let fits = self.go_on(change, part);
            self.unless_dropped(fits)?;
            match (ends_here, breaks_off) {
                (true, _) => self.complete(merge)?,
                (false, Some(now)) => return self.unless_dropped(self.check_offset(now)),
                (false, None) => {}
            }
        } else {
            // The value was overwritten meanwhile: its successor lies later in the stream.
            self.open = None;
        }
        if let Some(part) = breaks_off
            && let Some(change) = changes.pop()
        {
            merge.add(&changes)?;
            let begun = OpenValue::begin(change, part).map(|open| self.open = Some(open));
            let fits = begun.and_then(|()| self.check_offset(part));
            return self.unless_dropped(fits);
        }
        merge.add(&changes)
    }

    /// Forgets the open value where its parts do not fit and that is no error.
    fn unless_dropped(&mut self, fits: Result<()>) -> Result<()> {
        if fits.is_err() && self.drops_incomplete {
            self.open = None;
            return Ok(());
        }
        fits
    }

    /// Adds bytes that stand behind `part.offset_bytes`. In any order some of them may be here already.
    fn go_on(&mut self, change: Change, part: Part) -> Result<()> {
        let bytes = content(&change)?;
        let Some(open) = &mut self.open else { return Err(out_of_place(&change)) };
        let known = open.bytes.len().checked_sub(part.offset_bytes as usize);
        let same = change.cursor() == open.change.cursor()
            && (change.col_version, part.total_bytes) == (open.change.col_version, open.part.total_bytes);
        let Some(known) = known.filter(|_| same) else { return Err(out_of_place(&change)) };
        if open.bytes.len() + bytes.len().saturating_sub(known) > open.part.total_bytes as usize {
            return Err(out_of_place(&change));
        }
        open.bytes.extend_from_slice(bytes.get(known..).unwrap_or_default());
        Ok(())
    }

    fn check_offset(&self, part: Part) -> Result<()> {
        match &self.open {
            Some(open) if open.bytes.len() as u64 >= part.offset_bytes => Ok(()),
            Some(open) => Err(out_of_place(&open.change)),
            None => Ok(()),
        }
    }

    fn complete(&mut self, merge: &mut Merge<'_>) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        if open.bytes.len() as u64 != open.part.total_bytes {
            return self.unless_dropped(Err(out_of_place(&open.change)));
        }
        let value = match open.change.value {
            Value::Text(_) => Value::Text(open.bytes),
            _ => Value::Blob(open.bytes),
        };
        merge.add_one(Change { value, ..open.change })
    }
}

impl OpenValue {
    fn begin(change: Change, part: Part) -> Result<OpenValue> {
        let mut change = change;
        content(&change)?;
        let bytes = match &mut change.value {
            Value::Text(bytes) | Value::Blob(bytes) => std::mem::take(bytes),
            _ => Vec::new(),
        };
        if part.total_bytes > limits::WHOLE_VALUE_BYTES_MAX || bytes.len() as u64 >= part.total_bytes {
            return Err(out_of_place(&change));
        }
        Ok(OpenValue { change, bytes, part })
    }
}

fn content(change: &Change) -> Result<&[u8]> {
    match &change.value {
        Value::Text(bytes) | Value::Blob(bytes) => Ok(bytes),
        _ => Err(out_of_place(change)),
    }
}

fn out_of_place(change: &Change) -> StreamError {
    StreamError::PeerMisbehaved(format!(
        "the parts of the value in {} do not fit together; it was not sent by an outbound stream",
        crate::merge::describe(change)
    ))
}

/// Behind the value inside which a cursor stands; else the cursor itself.
pub(crate) fn behind_value(cursor: &Cursor) -> Cursor {
    let mut behind = cursor.clone();
    if let Place::At { part, .. } = &mut behind.place {
        *part = None;
    }
    behind
}

/// A place before the value that the cursor stands in, if it does.
pub(crate) fn before_value(cursor: Cursor) -> Cursor {
    match (part_of(&cursor), cursor.seq) {
        (None, _) => cursor,
        (Some(_), 0) => Cursor::end_of_version(cursor.db_version - 1),
        (Some(_), seq) => Cursor::end_of_pair(cursor.db_version, seq - 1),
    }
}

fn part_of(cursor: &Cursor) -> Option<Part> {
    match &cursor.place {
        Place::At { part, .. } => *part,
        Place::End => None,
    }
}

/// Where the first change goes on with the value inside which a piece starts: that place.
fn continued(start: &Cursor, changes: &[Change]) -> Option<Part> {
    let part = part_of(start)?;
    changes.first().filter(|first| is_inside(start, first) && first.col_version == part.col_version).map(|_| part)
}

/// The cursor stands inside the value of this change.
fn is_inside(cursor: &Cursor, change: &Change) -> bool {
    let Place::At { table, key, column, .. } = &cursor.place else { return false };
    (cursor.db_version, cursor.seq) == (change.db_version, change.seq)
        && (table, key, column) == (&change.table, &change.key, &change.column)
}
