//! Which stretches of a remote's stream have arrived. In strict order there is one, which grows; in any order there may
//! be holes between several.

use crate::error::Result;
use crate::rows::{self, InboundRow, damaged};
use crate::sql;
use rejoin_bridge::{Connection, ValueRef};
use rejoin_change::{Cursor, SiteId};
use rejoin_wire::{Position, Range, limits};

/// What has arrived of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Coverage {
    /// What lies before is not the run's to tell. `None` while that is not known.
    base: Option<Cursor>,
    /// Everything from the base up to here.
    position: Option<Position>,
    /// Behind the position, in order, none touching another.
    ranges: Vec<Range>,
}

impl Coverage {
    pub fn of(connection: &Connection, row: &InboundRow) -> Result<Coverage> {
        let mut statement = connection.cached(sql::READ_RANGES)?;
        let ranges = statement.query(&[ValueRef::from(row.remote.as_bytes())], |row| {
            let position = |at| -> Result<Position> {
                let cursor = rows::cursor(row, at)?.ok_or_else(damaged)?;
                Ok(Position { cursor, mark: rows::mark(row, at + 1)? })
            };
            Ok(Range { start: position(0)?, end: position(2)? })
        })?;
        Ok(Coverage { base: row.base.clone(), position: row.position.clone(), ranges })
    }

    /// Nothing yet, of a run that begins at `base`. `position` is what the receiver keeps of the one before: where it
    /// goes on.
    pub fn anew(base: Cursor) -> Coverage {
        Coverage { base: Some(base), position: None, ranges: Vec::new() }
    }

    pub fn save(&self, connection: &Connection, row: &mut InboundRow) -> Result<()> {
        row.base.clone_from(&self.base);
        row.position.clone_from(&self.position);
        let remote = ValueRef::from(row.remote.as_bytes());
        connection.cached(sql::DROP_RANGES)?.run(&[remote])?;
        for Range { start, end } in &self.ranges {
            let cursors = [start.cursor.to_bytes(), end.cursor.to_bytes()];
            let marks = [&start.mark.0[..], &end.mark.0[..]];
            connection.cached(sql::WRITE_RANGE)?.run(&[
                remote,
                (&cursors[0]).into(),
                marks[0].into(),
                (&cursors[1]).into(),
                marks[1].into(),
            ])?;
        }
        Ok(())
    }

    /// Positions that are known with their marks.
    pub fn known(&self) -> impl Iterator<Item = &Position> {
        self.position.iter().chain(self.ranges.iter().flat_map(|range| [&range.start, &range.end]))
    }

    /// Everything between the two has arrived.
    pub fn covers(&self, start: &Cursor, end: &Cursor) -> bool {
        self.stretches().any(|(first, last)| first.is_none_or(|first| first <= start) && end <= last)
    }

    /// Everything that is told of a version has arrived.
    pub fn covers_version(&self, version: i64) -> bool {
        let end = Cursor::end_of_version(version);
        self.stretches().any(|(first, last)| first.is_none_or(|first| first.db_version < version) && end <= *last)
    }

    /// Where they begin (`None`: with the run) and end.
    fn stretches(&self) -> impl Iterator<Item = (Option<&Cursor>, &Cursor)> {
        let first = self.position.iter().map(|position| (None, &position.cursor));
        first.chain(self.ranges.iter().map(|range| (Some(&range.start.cursor), &range.end.cursor)))
    }

    /// Whether the position lies between the two, and is neither of them.
    pub fn position_is_inside(&self, start: &Cursor, end: &Cursor) -> bool {
        self.position.as_ref().is_some_and(|position| *start < position.cursor && position.cursor < *end)
    }

    /// Takes note that everything between the two is here. Of what overlaps only in part nothing shows that it is of the
    /// same history, so that is forgotten, and told once more.
    pub fn add(&mut self, start: &Position, end: &Position) {
        let (mut start, mut end) = (start.clone(), end.clone());
        let inside = |position: &Position| start.cursor < position.cursor && position.cursor < end.cursor;
        self.ranges.retain(|range| !inside(&range.start) && !inside(&range.end));
        let begins = match (&self.position, &self.base) {
            (Some(position), _) => start.cursor <= position.cursor,
            (None, base) => base.as_ref().is_none_or(|base| start.cursor <= *base),
        };
        if begins && self.position.as_ref().is_none_or(|position| position.cursor < end.cursor) {
            self.position = Some(end);
        } else if !begins && start.cursor < end.cursor {
            self.ranges.retain(|range| {
                let touches = range.start.cursor <= end.cursor && start.cursor <= range.end.cursor;
                if touches && range.start.cursor < start.cursor {
                    start = range.start.clone();
                }
                if touches && range.end.cursor > end.cursor {
                    end = range.end.clone();
                }
                !touches
            });
            let at = self.ranges.partition_point(|range| range.start.cursor < start.cursor);
            self.ranges.insert(at, Range { start, end });
        }
        while let (Some(position), Some(range)) = (&mut self.position, self.ranges.first())
            && range.start.cursor <= position.cursor
        {
            let range = self.ranges.remove(0);
            if range.end.cursor > position.cursor {
                *position = range.end;
            }
        }
    }

    /// More holes than are kept track of.
    pub fn has_too_many_holes(&self) -> bool {
        self.ranges.len() > limits::RANGES_MAX
    }

    /// The holes, and what is known to follow. `since` stands for the beginning.
    pub fn missing(&self, since: Option<&Cursor>, head: Option<i64>) -> Vec<(Cursor, Cursor)> {
        let begin = self.position.as_ref().map(|position| &position.cursor).or(self.base.as_ref()).or(since);
        let Some(mut from) = begin.cloned() else { return Vec::new() };
        let mut missing = Vec::new();
        for range in &self.ranges {
            missing.push((from, range.start.cursor.clone()));
            from = range.end.cursor.clone();
        }
        if let Some(end) = head.filter(|head| *head > 0).map(Cursor::end_of_version).filter(|end| from < *end) {
            missing.push((from, end));
        }
        missing
    }

    /// What a receipt says of it.
    pub fn told(&self) -> Vec<Range> {
        let mut bytes = 0;
        let fits = |range: &&Range| {
            bytes += range.start.cursor.to_bytes().len() + range.end.cursor.to_bytes().len() + RANGE_OVERHEAD_BYTES;
            bytes <= limits::RANGES_BYTES_MAX
        };
        self.ranges.iter().take_while(fits).cloned().collect()
    }
}

/// The ranges of a remote are of no use any more.
pub(crate) fn forget(connection: &Connection, remote: SiteId) -> Result<()> {
    Ok(connection.cached(sql::DROP_RANGES)?.run(&[remote.as_bytes().into()])?)
}

/// Two marks, and the lengths of two cursors.
const RANGE_OVERHEAD_BYTES: usize = 2 * 24 + 2 * 4;

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_wire::Mark;

    fn at(db_version: i64, seq: i64) -> Position {
        Position { cursor: Cursor::end_of_pair(db_version, seq), mark: Mark([0; 24]) }
    }

    fn end(db_version: i64) -> Position {
        Position { cursor: Cursor::end_of_version(db_version), mark: Mark([0; 24]) }
    }

    fn beginning() -> Position {
        Position { cursor: Cursor::BEGINNING, mark: Mark([0; 24]) }
    }

    #[test]
    fn in_order_the_position_grows_and_there_are_no_ranges() {
        let mut coverage = Coverage::anew(Cursor::BEGINNING);
        coverage.add(&beginning(), &at(3, 1));
        assert!(!coverage.covers_version(3));
        coverage.add(&at(3, 1), &at(5, 0));
        assert!(coverage.covers_version(3) && coverage.covers_version(4) && !coverage.covers_version(5));
        assert!(coverage.ranges.is_empty());
        assert_eq!(coverage.position, Some(at(5, 0)));
    }

    #[test]
    fn holes_close_whatever_fills_them() {
        let mut coverage = Coverage::anew(Cursor::BEGINNING);
        coverage.add(&end(6), &end(8));
        coverage.add(&end(2), &end(4));
        let missing = coverage.missing(None, Some(9));
        let pair = |a: Cursor, b: Position| (a, b.cursor);
        let expected = [pair(Cursor::BEGINNING, end(2)), pair(end(4).cursor, end(6)), pair(end(8).cursor, end(9))];
        assert_eq!(missing, expected);
        assert!(coverage.covers_version(7) && !coverage.covers_version(5));
        coverage.add(&end(4), &end(6));
        assert_eq!(coverage.ranges.len(), 1, "touching ranges are one");
        coverage.add(&beginning(), &at(2, 5));
        assert_eq!(coverage.ranges.len(), 1);
        coverage.add(&at(2, 5), &end(2));
        assert_eq!((coverage.position.clone(), coverage.ranges.len()), (Some(end(8)), 0));
        assert_eq!(coverage.missing(None, Some(8)), []);
    }

    /// Two copies of one file may tell about the same versions. Only places that are known with their marks show that a
    /// package goes on where another one ended.
    #[test]
    fn what_overlaps_in_part_is_forgotten() {
        let mut coverage = Coverage::anew(Cursor::BEGINNING);
        coverage.add(&end(2), &end(4));
        coverage.add(&end(6), &end(8));
        coverage.add(&end(3), &end(6));
        let expected = [(end(3), end(8))].map(|(start, end)| Range { start, end });
        assert_eq!(coverage.ranges, expected);
        coverage.add(&beginning(), &end(1));
        assert!(coverage.position_is_inside(&Cursor::BEGINNING, &end(2).cursor));
        assert!(!coverage.position_is_inside(&end(1).cursor, &end(2).cursor));
    }

    #[test]
    fn a_version_in_which_the_run_begins_is_complete_without_what_lies_before() {
        let mut coverage = Coverage::anew(at(5, 3).cursor);
        coverage.add(&at(5, 3), &end(5));
        assert!(coverage.covers_version(5));
        let mut coverage = Coverage::anew(Cursor::BEGINNING);
        coverage.add(&at(5, 3), &end(5));
        assert!(!coverage.covers_version(5), "its first part may still come");
    }

    #[test]
    fn what_lies_within_is_covered() {
        let mut coverage = Coverage::anew(Cursor::BEGINNING);
        coverage.add(&end(2), &end(4));
        assert!(coverage.covers(&end(3).cursor, &end(4).cursor));
        assert!(!coverage.covers(&end(1).cursor, &end(3).cursor));
        coverage.add(&beginning(), &end(1));
        assert!(coverage.covers(&Cursor::BEGINNING, &end(1).cursor));
    }
}
