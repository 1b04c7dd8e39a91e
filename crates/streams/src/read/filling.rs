use super::cells::{Held, RowCells, cell_of};
use super::content::Present;
use super::descriptor::Descriptor;
use super::filter::Filter;
use super::large::{Large, ReadAhead, ValueId, read_piece};
use super::order::State;
use super::tables::{Key, Table, Tables};
use crate::error::Result;
use crate::rows::OutboundRow;
use rejoin_bridge::Connection;
use rejoin_change::{Change, Cursor, Part, Place, Value};
use rejoin_wire::{change_overhead_bytes, limits};

/// A package while it is being filled.
pub(super) struct Filling<'a> {
    connection: &'a Connection,
    tables: &'a Tables,
    filter: &'a Filter<'a>,
    state: &'a State,
    bytes_max: usize,
    changes_max: usize,
    pub changes: Vec<Change>,
    bytes: usize,
    /// Where the package ends inside its last change's value.
    part: Option<Part>,
}

/// How far a version was told.
pub(super) enum Filled {
    /// To its end.
    Complete,
    /// To here, because the package is full; None where nothing of it was told.
    Partly(Option<Cursor>),
    /// To `until`, which lies inside it.
    ToUntil,
}

/// A place in a version's changes, and the room that is left for it.
struct Span {
    version: i64,
    is_fresh: bool,
}

impl<'a> Filling<'a> {
    pub fn new(
        connection: &'a Connection,
        tables: &'a Tables,
        filter: &'a Filter<'a>,
        state: &'a State,
        row: &OutboundRow,
    ) -> Filling<'a> {
        Filling {
            connection,
            tables,
            filter,
            state,
            bytes_max: row.package_bytes_max,
            changes_max: row.package_changes_max.unwrap_or(usize::MAX).min(limits::PACKAGE_CHANGES_MAX),
            changes: Vec::new(),
            bytes: 0,
            part: None,
        }
    }

    /// Tells a version, behind `start` and up to `until` where these lie inside it.
    pub fn fill(
        &mut self,
        version: i64,
        present: &Present,
        start: Option<&Cursor>,
        until: Option<&Cursor>,
    ) -> Result<Filled> {
        let Present { ordered, is_fresh } = present;
        let span = Span { version, is_fresh: *is_fresh };
        let told_before = self.changes.len();
        let place = |cursor: &Cursor| -> Result<(usize, Option<(Descriptor, Part)>)> {
            let at = ordered.position(self.tables, cursor)?;
            let inside = ordered.with(at, 1, |changes| match changes {
                [change] => Ok(change.part_at(self.tables, cursor)?.map(|part| (change.clone(), part))),
                _ => Ok(None),
            })?;
            Ok((at, inside))
        };
        let (mut at, begun) = start.map_or(Ok((0, None)), place)?;
        let (stop, cut) = until.map_or(Ok((ordered.len(), None)), place)?;
        let cut_at = |at: usize| cut.as_ref().filter(|_| at == stop).map(|(_, part)| *part);
        if let Some((change, part)) = &begun {
            if !self.go_on(&span, change, *part, cut_at(at))? {
                return Ok(Filled::Partly(self.last_since(told_before)));
            }
            at += 1;
        }
        while at < stop {
            let count = (stop - at).min(CHANGES_AT_ONCE);
            if !ordered.with(at, count, |changes| self.push_all(&span, changes))? {
                return Ok(Filled::Partly(self.last_since(told_before)));
            }
            at += count;
        }
        if let (Some((change, _)), Some(part)) = (&cut, cut_at(at)) {
            self.go_on(&span, change, Part { offset_bytes: 0, ..part }, Some(part))?;
        }
        Ok(match until {
            None => Filled::Complete,
            Some(_) if self.part.is_some() => Filled::Partly(self.last_since(told_before)),
            Some(_) => Filled::ToUntil,
        })
    }

    /// The place of the last change, where it was told since.
    fn last_since(&self, told_before: usize) -> Option<Cursor> {
        let last = self.changes[told_before..].last()?;
        let mut cursor = last.cursor();
        if let Place::At { part, .. } = &mut cursor.place {
            *part = self.part;
        }
        Some(cursor)
    }

    /// False where the package is full.
    fn push_all(&mut self, span: &Span, changes: &[Descriptor]) -> Result<bool> {
        for row in changes.chunk_by(|a, b| (a.table, a.key) == (b.table, b.key)) {
            if !self.push_row(span, row)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Changes of one row that follow each other.
    fn push_row(&mut self, span: &Span, row: &[Descriptor]) -> Result<bool> {
        let table = self.tables.get(row[0].table);
        let mut told = Vec::with_capacity(row.len());
        for change in row {
            if self.filter.lets_pass(span.version, change)? {
                told.push(change);
            }
        }
        self.retain_present(span, table, &mut told)?;
        if told.is_empty() {
            return Ok(true);
        }
        let has_room = self.changes.is_empty() || self.bytes + change_overhead_bytes(0) <= self.bytes_max;
        let room = if has_room { self.changes_max - self.changes.len() } else { 0 };
        let is_cut = told.len() > room;
        told.truncate(room);
        if told.is_empty() {
            return Ok(false);
        }
        let columns: Vec<u16> =
            told.iter().map(|change| change.column).filter(|column| *column != table.sentinel).collect();
        let Some(mut cells) = RowCells::read(table, row[0].key, &columns)? else { return Ok(true) };
        for change in told {
            let held = match change.column == table.sentinel {
                true => Held::Whole(Value::Null),
                false => cells.next(self.connection, self.tables, table, change.column, self.whole_max())?,
            };
            if !self.push(span, change, &cells.key, held)? {
                return Ok(false);
            }
        }
        Ok(!is_cut)
    }

    /// Values up to this size travel whole.
    fn whole_max(&self) -> usize {
        self.bytes_max.max(PART_BYTES_MIN)
    }

    fn push(&mut self, span: &Span, change: &Descriptor, key: &Key, held: Held) -> Result<bool> {
        let size = held.size_bytes();
        let bytes = change_overhead_bytes(key.packed.as_bytes().len()) as u64 + size;
        if size > self.whole_max() as u64 {
            return self.push_part(span, change, key, held, 0, None);
        }
        if !self.changes.is_empty() && self.bytes as u64 + bytes > self.bytes_max as u64 {
            return Ok(false);
        }
        let Held::Whole(value) = held else {
            return self.push_part(span, change, key, held, 0, None);
        };
        self.add(span, change, key, value)?;
        Ok(true)
    }

    /// As much of a value behind `offset` as there is room for, and no more than up to `limit`. False where the package
    /// ends inside the value, or before it.
    fn push_part(
        &mut self,
        span: &Span,
        change: &Descriptor,
        key: &Key,
        held: Held,
        offset: u64,
        limit: Option<u64>,
    ) -> Result<bool> {
        let total_bytes = held.size_bytes();
        let limit = limit.unwrap_or(total_bytes).min(total_bytes);
        if offset >= limit {
            return Ok(true);
        }
        let taken = self.bytes + change_overhead_bytes(key.packed.as_bytes().len());
        let room = self.bytes_max.saturating_sub(taken);
        if (room < PART_BYTES_MIN && !self.changes.is_empty()) || self.changes.len() >= self.changes_max {
            return Ok(false);
        }
        let length = room.max(PART_BYTES_MIN).min(usize::try_from(limit - offset).unwrap_or(usize::MAX));
        let table = self.tables.get(change.table);
        let id = ValueId::of(self.state, span.version, change);
        let value = match &held {
            Held::Whole(value) => cut(value, offset as usize, length),
            Held::Large(large) => read_piece(self.connection, table, &key.packed, &id, large, offset, length)?,
        };
        let offset_bytes = offset + value_bytes(&value) as u64;
        self.add(span, change, key, value)?;
        if offset_bytes < total_bytes {
            self.part = Some(Part { offset_bytes, total_bytes, col_version: change.col_version });
            return Ok(false);
        }
        self.connection.state(ReadAhead::default).forget(&id);
        Ok(true)
    }

    /// Goes on with a value in the middle, if it is still the value that was begun; else there is nothing more to say of
    /// it here, because the cell has moved to a later place.
    fn go_on(&mut self, span: &Span, change: &Descriptor, begun: Part, until: Option<Part>) -> Result<bool> {
        let table = self.tables.get(change.table);
        let mut told = Vec::from_iter(self.filter.lets_pass(span.version, change)?.then_some(change));
        self.retain_present(span, table, &mut told)?;
        if told.is_empty() || change.col_version != begun.col_version || change.column == table.sentinel {
            return Ok(true);
        }
        let Some(key) = table.read_key(change.key)? else { return Ok(true) };
        let id = ValueId::of(self.state, span.version, change);
        let held = match self.connection.state(ReadAhead::default).knows(&id, begun.offset_bytes) {
            Some((size_bytes, is_text)) => Held::Large(Large { size_bytes, is_text, rowid: None }),
            None => cell_of(self.connection, self.tables, table, &key.packed, change.column, self.whole_max())?,
        };
        if held.size_bytes() != begun.total_bytes {
            return Ok(true);
        }
        let limit =
            until.filter(|until| until.total_bytes == begun.total_bytes && until.col_version == begun.col_version);
        if until.is_some() && limit.is_none() {
            return Ok(true);
        }
        self.push_part(span, change, &key, held, begun.offset_bytes, limit.map(|until| until.offset_bytes))
    }

    fn add(&mut self, span: &Span, change: &Descriptor, key: &Key, value: Value) -> Result<()> {
        let table = self.tables.get(change.table);
        self.bytes += change_overhead_bytes(key.packed.as_bytes().len()) + value_bytes(&value);
        self.changes.push(Change {
            table: table.name.clone(),
            key: key.packed.clone(),
            column: table.columns[change.column as usize].clone(),
            value,
            col_version: change.col_version,
            db_version: span.version,
            site_id: self.filter.author(change.author)?.site_id,
            causal_length: key.causal_length,
            seq: change.seq,
        });
        Ok(())
    }

    /// Of changes of one row that were listed in an earlier snapshot, keeps those that are still there. The others have
    /// moved to a later version, and are told there.
    fn retain_present(&self, span: &Span, table: &Table, told: &mut Vec<&Descriptor>) -> Result<()> {
        let Some(key) = told.first().map(|change| change.key).filter(|_| !span.is_fresh) else { return Ok(()) };
        let stored = |change: &Descriptor| {
            let (version, seq) = change.stored.unwrap_or((span.version, change.seq));
            (change.column, change.col_version, version, seq)
        };
        if told.len() <= LOOKED_UP_SINGLY_MAX {
            let mut statement = table.clock_row.lend()?;
            let mut present = Vec::new();
            for change in told.iter() {
                let (column, col_version, version, seq) = stored(change);
                let name = &*table.columns[column as usize];
                let cell = [key.into(), name.into(), col_version.into(), version.into(), seq.into()];
                if statement.query_row(&cell, |_| Ok(()))?.is_some() {
                    present.push(*change);
                }
            }
            *told = present;
            return Ok(());
        }
        let mut present: Vec<(u16, i64, i64, i64)> = Vec::new();
        table.clock_rows_of_row.lend()?.each(&[key.into()], |row| {
            let name = row.column(0).as_bytes().unwrap_or_default();
            if let Some(column) = table.rank_of(name, present.last().map_or(0, |(column, ..)| column + 1)) {
                present.push((column, row.column_i64(1), row.column_i64(2), row.column_i64(3)));
            }
            Ok(())
        })?;
        told.retain(|change| present.contains(&stored(change)));
        Ok(())
    }
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 8,
        Value::Text(bytes) | Value::Blob(bytes) => bytes.len(),
    }
}

/// A piece of a text or blob.
fn cut(value: &Value, offset: usize, length: usize) -> Value {
    let piece = |bytes: &[u8]| bytes[offset..bytes.len().min(offset + length)].to_vec();
    match value {
        Value::Text(bytes) => Value::Text(piece(bytes)),
        Value::Blob(bytes) => Value::Blob(piece(bytes)),
        other => other.clone(),
    }
}

/// Changes that are taken out of a spool at once.
const CHANGES_AT_ONCE: usize = 1024;
/// Up to so many cells of a row are looked up one by one; of more, the row's whole clock is read.
const LOOKED_UP_SINGLY_MAX: usize = 2;
/// A package that has room for no more than this ends before a large value, and smaller values travel whole.
const PART_BYTES_MIN: usize = 4096;
