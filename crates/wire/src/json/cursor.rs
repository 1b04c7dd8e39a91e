use super::reader::{Number, Reader};
use super::value::{read_key, write_key};
use super::writer::Writer;
use crate::binary::bytes::check_cursor;
use crate::check::NAME;
use crate::error::Result;
use crate::limits::NAME_BYTES_MAX;
use rejoin_change::{Cursor, Part, Place, SEQ_END};
use std::sync::Arc;

pub(crate) fn to_text(cursor: &Cursor) -> String {
    let mut out = Writer::new();
    write_cursor(&mut out, cursor);
    out.finish()
}

pub(crate) fn from_text(text: &str) -> Result<Cursor> {
    let mut reader = Reader::new(text);
    let cursor = read_cursor(&mut reader)?;
    reader.finish()?;
    Ok(cursor)
}

pub(crate) fn write_cursor(out: &mut Writer, cursor: &Cursor) {
    if *cursor == Cursor::BEGINNING {
        return out.raw("[0,0]");
    }
    out.array(|out| {
        out.integer(cursor.db_version);
        match cursor.seq {
            SEQ_END => out.string(END),
            seq => out.integer(seq),
        }
        match &cursor.place {
            // [0,0] is taken: it stands before everything.
            Place::End if (cursor.db_version, cursor.seq) == (0, 0) => out.string(END),
            Place::End => {}
            Place::At { table, key, column, part } => {
                out.string(table);
                write_key(out, key);
                out.string(column);
                if let Some(part) = part {
                    out.integer(part.offset_bytes as i64);
                    out.integer(part.total_bytes as i64);
                    out.integer(part.col_version);
                }
            }
        }
    });
}

pub(crate) fn read_cursor(reader: &mut Reader<'_>) -> Result<Cursor> {
    let (mut db_version, mut seq) = (0, 0);
    let (mut explicit_end, mut table, mut key, mut column) = (false, None, None, None);
    let mut part_numbers = Vec::new();
    let mut length = 0;
    reader.array(|reader| {
        match length {
            0 => db_version = reader.counter()?,
            1 => seq = read_seq(reader)?,
            2 => {
                let name = reader.string(NAME, NAME_BYTES_MAX)?;
                explicit_end = name == END;
                table = Some(Arc::<str>::from(name));
            }
            3 => key = Some(read_key(reader)?),
            4 => column = Some(Arc::<str>::from(reader.string(NAME, NAME_BYTES_MAX)?)),
            5..=7 => part_numbers.push(reader.counter()?),
            _ => return Err(reader.malformed(MALFORMED)),
        }
        length += 1;
        Ok(())
    })?;
    let part = match part_numbers[..] {
        [] => None,
        [offset, total, col_version] => {
            Some(Part { offset_bytes: offset as u64, total_bytes: total as u64, col_version })
        }
        _ => return Err(reader.malformed(MALFORMED)),
    };
    let cursor = match (length, table, key, column) {
        (2, ..) => Cursor::from_pair(db_version, seq),
        (3, ..) if explicit_end => Cursor::end_of_pair(db_version, seq),
        (_, Some(table), Some(key), Some(column)) => {
            Cursor { db_version, seq, place: Place::At { table, key, column, part } }
        }
        _ => return Err(reader.malformed(MALFORMED)),
    };
    check_cursor(&cursor).map_err(|what| reader.malformed(what))?;
    Ok(cursor)
}

fn read_seq(reader: &mut Reader<'_>) -> Result<i64> {
    if reader.peek() == b'"' {
        return match &*reader.string("bytes of a word", END.len())? {
            END => Ok(SEQ_END),
            _ => Err(reader.malformed(MALFORMED)),
        };
    }
    match reader.number()? {
        Number::Integer(seq) if seq >= 0 => Ok(seq),
        _ => Err(reader.malformed(MALFORMED)),
    }
}

const END: &str = "end";
const MALFORMED: &str = "a cursor is none of [db_version, seq], [db_version, \"end\"] and the longer forms";
