use super::bytes::{Reader, push_cursor, push_site_ids, push_varint};
use crate::check::{END_BEFORE_START, RANGES, RANGES_OUT_OF_ORDER, ranges_rise};
use crate::error::Result;
use crate::limits::RANGES_MAX;
use crate::{AsOf, Mark, Package, Position, Range, Receipt};
use rejoin_change::{Cursor, SiteId};

/// The part of a package between its fixed header and its changes. Never compressed: marks are random, and a reader
/// that only wants to know what a package is should not have to unpack it.
pub(super) struct Head {
    pub former_ids: Vec<SiteId>,
    pub run_start: Cursor,
    pub since: Cursor,
    pub start: Position,
    pub end: Position,
    pub as_of: AsOf,
    pub receipt: Option<Receipt>,
}

pub(super) fn push_head(out: &mut Vec<u8>, package: &Package) {
    push_site_ids(out, &package.former_ids);
    push_cursor(out, &package.run_start);
    push_cursor(out, &package.since);
    push_position(out, &package.start);
    push_position(out, &package.end);
    push_as_of(out, &package.as_of);
    push_option(out, package.receipt.as_ref(), push_receipt);
}

pub(super) fn read_head(bytes: &[u8]) -> Result<Head> {
    let mut reader = Reader::new(bytes);
    let head = Head {
        former_ids: reader.site_ids()?,
        run_start: reader.cursor()?,
        since: reader.cursor()?,
        start: read_position(&mut reader)?,
        end: read_position(&mut reader)?,
        as_of: read_as_of(&mut reader)?,
        receipt: read_option(&mut reader, read_receipt)?,
    };
    if head.end.cursor < head.start.cursor {
        return Err(reader.malformed(END_BEFORE_START));
    }
    reader.finish()?;
    Ok(head)
}

/// A receipt inside a binary package or message. On its own a receipt is always text.
pub(crate) fn push_receipt(out: &mut Vec<u8>, receipt: &Receipt) {
    out.extend_from_slice(receipt.receiver.as_bytes());
    out.extend_from_slice(receipt.sender.as_bytes());
    push_varint(out, receipt.run);
    push_option(out, receipt.position.as_ref(), push_position);
    push_option(out, receipt.as_of.as_ref(), push_as_of);
    push_varint(out, receipt.ranges.len() as u64);
    for range in &receipt.ranges {
        push_position(out, &range.start);
        push_position(out, &range.end);
    }
}

pub(crate) fn read_receipt(reader: &mut Reader<'_>) -> Result<Receipt> {
    Ok(Receipt {
        receiver: reader.site_id()?,
        sender: reader.site_id()?,
        run: reader.counter()? as u64,
        position: read_option(reader, read_position)?,
        as_of: read_option(reader, read_as_of)?,
        ranges: read_ranges(reader)?,
    })
}

fn read_ranges(reader: &mut Reader<'_>) -> Result<Vec<Range>> {
    let count = reader.length(RANGES, RANGES_MAX)?;
    let ranges: Vec<Range> = (0..count)
        .map(|_| Ok(Range { start: read_position(reader)?, end: read_position(reader)? }))
        .collect::<Result<_>>()?;
    ranges_rise(&ranges).then_some(ranges).ok_or_else(|| reader.malformed(RANGES_OUT_OF_ORDER))
}

fn push_position(out: &mut Vec<u8>, position: &Position) {
    push_cursor(out, &position.cursor);
    out.extend_from_slice(&position.mark.0);
}

fn read_position(reader: &mut Reader<'_>) -> Result<Position> {
    Ok(Position { cursor: reader.cursor()?, mark: Mark(reader.array()?) })
}

fn push_as_of(out: &mut Vec<u8>, as_of: &AsOf) {
    push_varint(out, as_of.head as u64);
    out.extend_from_slice(&as_of.mark.0);
}

fn read_as_of(reader: &mut Reader<'_>) -> Result<AsOf> {
    Ok(AsOf { head: reader.counter()?, mark: Mark(reader.array()?) })
}

pub(crate) fn push_option<T>(out: &mut Vec<u8>, value: Option<&T>, push: impl Fn(&mut Vec<u8>, &T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        push(out, value);
    }
}

pub(crate) fn read_option<T>(
    reader: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T>,
) -> Result<Option<T>> {
    match reader.byte()? {
        0 => Ok(None),
        1 => read(reader).map(Some),
        _ => Err(reader.malformed("a byte that says whether something follows is neither 0 nor 1")),
    }
}
