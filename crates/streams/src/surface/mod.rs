//! The streams as SQL sees them: virtual tables and functions over the same bookkeeping that [`crate::Streams`] uses.

mod arguments;
mod functions;
mod inbound_table;
mod outbound_table;
mod read_position;
mod streams_table;

use crate::change_store::{self, Store};
use crate::error::{Result, StreamError};
use crate::parking;
use rejoin_bridge::{self as bridge, Connection, TableArgs, ValueRef};
use rejoin_change::Cursor;
use rejoin_wire::{Receipt, cursor_from_text};

/// Adds the stream modules and functions to a connection. The engine is there already, or is loaded later.
///
/// With a `store` the streams merge through it; without one they write into `crsql_changes`, with the same result.
pub fn register(connection: &Connection, store: Option<Store>) -> bridge::Result<()> {
    if let Some(store) = store {
        change_store::use_store(connection, store);
    }
    for name in ["crsql_outbound_stream", "crsql_OutboundStream"] {
        connection.create_module(name, outbound_table::OutboundModule)?;
    }
    for name in ["crsql_inbound_stream", "crsql_InboundStream"] {
        connection.create_module(name, inbound_table::InboundModule)?;
    }
    connection.create_module("crsql_streams", streams_table::StreamsModule)?;
    connection.observe_schema(|connection| Ok(parking::merge_if_schema_changed(connection)?));
    functions::register(connection)
}

fn refuse_other_schemas(args: &TableArgs<'_>) -> Result<()> {
    if args.schema.eq_ignore_ascii_case("main") {
        return Ok(());
    }
    Err(StreamError::Misuse(format!(
        "streams live in the main database, and {}.{} is in another one; open that file by itself and make the stream \
         there",
        args.schema, args.table
    )))
}

/// A cursor as a stream returned it, or as JSON text.
fn cursor_value(what: &str, value: ValueRef<'_>) -> Result<Cursor> {
    let cursor = match value {
        ValueRef::Blob(bytes) => Cursor::from_bytes(bytes).ok(),
        text => text.as_str().and_then(|text| cursor_from_text(text).ok()),
    };
    cursor.ok_or_else(|| {
        StreamError::Malformed(format!(
            "{what} is not a cursor; give one that a stream returned, or text as '[db_version, seq]'"
        ))
    })
}

fn receipt_value(value: ValueRef<'_>) -> Result<Receipt> {
    let text = value.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| {
        StreamError::Malformed("the receipt is not text; give what SELECT receipt says at the other end".into())
    })?;
    Receipt::from_text(text).map_err(|error| StreamError::unreadable("receipt", &error))
}

fn package_value(value: ValueRef<'_>) -> Result<&[u8]> {
    value.as_bytes().ok_or_else(|| {
        StreamError::Malformed(
            "the package is neither a BLOB nor TEXT; give what SELECT package says at the other end".into(),
        )
    })
}

/// A NULL written to a column is as if it had not been named.
fn given(value: ValueRef<'_>) -> Option<ValueRef<'_>> {
    (!value.is_null()).then_some(value)
}
