use super::cursor::{read_cursor, write_cursor};
use super::reader::{Field, Reader, UNKNOWN_FIELD};
use super::writer::Writer;
use crate::check::{RANGES, RANGES_OUT_OF_ORDER, ranges_rise};
use crate::encode::bounded;
use crate::error::{Result, WireError};
use crate::limits::RANGES_MAX;
use crate::{AsOf, Mark, Position, Range, Receipt, checksum};

pub(crate) fn to_text(receipt: &Receipt) -> String {
    let mut out = Writer::new();
    write_receipt(&mut out, receipt);
    out.finish()
}

pub(crate) fn from_text(text: &str) -> Result<Receipt> {
    let mut reader = Reader::new(text);
    let receipt = read_receipt(&mut reader)?;
    reader.finish()?;
    Ok(receipt)
}

/// The same object stands alone as a receipt's text and inside a JSON package.
pub(crate) fn write_receipt(out: &mut Writer, receipt: &Receipt) {
    out.object(|out| {
        out.name("rejoin_receipt").integer(FORMAT_VERSION);
        out.name("receiver").site_id(&receipt.receiver);
        out.name("sender").site_id(&receipt.sender);
        out.name("run").integer(receipt.run as i64);
        out.name("position").option(receipt.position.as_ref(), write_position);
        out.name("as_of").option(receipt.as_of.as_ref(), write_as_of);
        out.name("ranges").array(|out| receipt.ranges.iter().for_each(|range| write_range(out, range)));
        out.name("checksum").hex(&checksum::of_receipt(receipt).to_be_bytes());
    });
}

pub(crate) fn read_receipt(reader: &mut Reader<'_>) -> Result<Receipt> {
    let (mut version, mut checksum) = (Field::new(), Field::new());
    let (mut receiver, mut sender, mut run) = (Field::new(), Field::new(), Field::new());
    let (mut position, mut as_of, mut ranges) = (Field::new(), Field::new(), Field::new());
    reader.object(|reader, name| match name {
        "rejoin_receipt" => version.read(reader, |reader| read_version(reader, FORMAT_VERSION)),
        "receiver" => receiver.read(reader, Reader::site_id),
        "sender" => sender.read(reader, Reader::site_id),
        "run" => run.read(reader, Reader::counter),
        "position" => position.read(reader, |reader| reader.option(read_position)),
        "as_of" => as_of.read(reader, |reader| reader.option(read_as_of)),
        "ranges" => ranges.read(reader, read_ranges),
        "checksum" => checksum.read(reader, Reader::hex),
        _ => Err(reader.malformed(UNKNOWN_FIELD)),
    })?;
    version.required(reader, "this is not a receipt: the field rejoin_receipt is missing")?;
    let receipt = Receipt {
        receiver: receiver.required(reader, "the receipt's field receiver is missing")?,
        sender: sender.required(reader, "the receipt's field sender is missing")?,
        run: run.required(reader, "the receipt's field run is missing")? as u64,
        position: position.required(reader, "the receipt's field position is missing")?,
        as_of: as_of.required(reader, "the receipt's field as_of is missing")?,
        ranges: ranges.required(reader, "the receipt's field ranges is missing")?,
    };
    let stored = checksum.required(reader, "the receipt's field checksum is missing")?;
    verify(stored, checksum::of_receipt(&receipt))?;
    Ok(receipt)
}

fn write_range(out: &mut Writer, range: &Range) {
    out.object(|out| {
        write_position(out.name("start"), &range.start);
        write_position(out.name("end"), &range.end);
    });
}

fn read_ranges(reader: &mut Reader<'_>) -> Result<Vec<Range>> {
    let mut ranges = Vec::new();
    reader.array(|reader| {
        bounded(RANGES, ranges.len() + 1, RANGES_MAX)?;
        ranges.push(read_range(reader)?);
        Ok(())
    })?;
    ranges_rise(&ranges).then_some(ranges).ok_or_else(|| reader.malformed(RANGES_OUT_OF_ORDER))
}

fn read_range(reader: &mut Reader<'_>) -> Result<Range> {
    let (mut start, mut end) = (Field::new(), Field::new());
    reader.object(|reader, name| match name {
        "start" => start.read(reader, read_position),
        "end" => end.read(reader, read_position),
        _ => Err(reader.malformed(UNKNOWN_FIELD)),
    })?;
    Ok(Range {
        start: start.required(reader, "a range's field start is missing")?,
        end: end.required(reader, "a range's field end is missing")?,
    })
}

pub(crate) fn write_position(out: &mut Writer, position: &Position) {
    out.object(|out| {
        write_cursor(out.name("cursor"), &position.cursor);
        out.name("mark").hex(&position.mark.0);
    });
}

pub(crate) fn read_position(reader: &mut Reader<'_>) -> Result<Position> {
    let (mut cursor, mut mark) = (Field::new(), Field::new());
    reader.object(|reader, name| match name {
        "cursor" => cursor.read(reader, read_cursor),
        "mark" => mark.read(reader, Reader::hex),
        _ => Err(reader.malformed(UNKNOWN_FIELD)),
    })?;
    Ok(Position {
        cursor: cursor.required(reader, "a position's field cursor is missing")?,
        mark: Mark(mark.required(reader, "a position's field mark is missing")?),
    })
}

pub(crate) fn write_as_of(out: &mut Writer, as_of: &AsOf) {
    out.object(|out| {
        out.name("head").integer(as_of.head);
        out.name("mark").hex(&as_of.mark.0);
    });
}

pub(crate) fn read_as_of(reader: &mut Reader<'_>) -> Result<AsOf> {
    let (mut head, mut mark) = (Field::new(), Field::new());
    reader.object(|reader, name| match name {
        "head" => head.read(reader, Reader::counter),
        "mark" => mark.read(reader, Reader::hex),
        _ => Err(reader.malformed(UNKNOWN_FIELD)),
    })?;
    Ok(AsOf {
        head: head.required(reader, "the field head of an as_of is missing")?,
        mark: Mark(mark.required(reader, "the field mark of an as_of is missing")?),
    })
}

/// A version that this side does not know makes every other field meaningless, so it is an error at once.
pub(crate) fn read_version(reader: &mut Reader<'_>, newest: i64) -> Result<()> {
    let found = reader.counter()?;
    if found != newest {
        return Err(WireError::UnsupportedVersion { found: found as u64, newest: newest as u64 });
    }
    Ok(())
}

pub(crate) fn verify(stored: [u8; 4], computed: u32) -> Result<()> {
    let stored = u32::from_be_bytes(stored);
    if stored == computed { Ok(()) } else { Err(WireError::Damaged { stored, computed }) }
}

const FORMAT_VERSION: i64 = 1;
