use super::{package_value, read_position, receipt_value};
use crate::error::{Result, StreamError};
use crate::streams::Streams;
use rejoin_bridge::{self as bridge, Call, Connection, FunctionFlags, Output};
use rejoin_wire::Encoded;

/// One function: name, number of arguments, flags, body.
type Function = (&'static str, i32, FunctionFlags, fn(&Call<'_>) -> Result<Output<'static>>);

const FUNCTIONS: [Function; 8] = [
    ("crsql_next", 1, FunctionFlags::DIRECTONLY, next),
    ("crsql_apply", 2, FunctionFlags::DIRECTONLY, apply),
    ("crsql_ack", 2, FunctionFlags::DIRECTONLY, ack),
    ("crsql_pending", 1, FunctionFlags::NONE, pending),
    ("crsql_reidentify", 0, FunctionFlags::DIRECTONLY, reidentify),
    ("crsql_merge_parked", 0, FunctionFlags::DIRECTONLY, merge_parked),
    ("crsql_drop_parked", 0, FunctionFlags::DIRECTONLY, drop_parked),
    ("crsql_drop_parked", 1, FunctionFlags::DIRECTONLY, drop_parked),
];

pub(super) fn register(connection: &Connection) -> bridge::Result<()> {
    for (name, arguments, flags, body) in FUNCTIONS {
        connection.create_function(name, arguments, flags, move |call| body(call).map_err(Into::into))?;
    }
    Ok(())
}

/// `crsql_next(stream)`: the next package, or NULL where nothing follows.
fn next(call: &Call<'_>) -> Result<Output<'static>> {
    let outbound = Streams::of(call.connection())?.find_outbound(stream_name(call)?)?;
    let produced = read_position::next(call.connection(), &outbound)?;
    Ok(produced.map_or(Output::Null, |produced| package_output(produced.package)))
}

/// `crsql_apply(stream, package)`: the receipt.
fn apply(call: &Call<'_>) -> Result<Output<'static>> {
    let inbound = Streams::of(call.connection())?.find_inbound(stream_name(call)?)?;
    let applied = inbound.apply(package_value(call.arg(1))?)?;
    Ok(applied.receipt.to_text().into())
}

/// `crsql_ack(stream, receipt)`: 1 where the position moved, else 0.
fn ack(call: &Call<'_>) -> Result<Output<'static>> {
    let outbound = Streams::of(call.connection())?.find_outbound(stream_name(call)?)?;
    let acknowledged = read_position::acknowledge(call.connection(), &outbound, &receipt_value(call.arg(1))?)?;
    Ok(Output::Integer(i64::from(acknowledged.moved)))
}

/// `crsql_pending(stream)`: how many versions the remote has not acknowledged.
fn pending(call: &Call<'_>) -> Result<Output<'static>> {
    let outbound = Streams::of(call.connection())?.find_outbound(stream_name(call)?)?;
    Ok(Output::Integer(outbound.pending()?))
}

/// `crsql_reidentify()`: the new site id.
fn reidentify(call: &Call<'_>) -> Result<Output<'static>> {
    let site_id = Streams::of(call.connection())?.reidentify()?;
    Ok(site_id.as_bytes().to_vec().into())
}

/// `crsql_merge_parked()`: how many parked changes were merged.
fn merge_parked(call: &Call<'_>) -> Result<Output<'static>> {
    Ok(Output::Integer(Streams::of(call.connection())?.merge_parked()?))
}

/// `crsql_drop_parked()` or `crsql_drop_parked(table)`: how many parked changes were forgotten.
fn drop_parked(call: &Call<'_>) -> Result<Output<'static>> {
    let table = match call.len() {
        0 => None,
        _ => Some(call.arg(0).as_str().ok_or_else(|| {
            StreamError::Misuse("the argument of crsql_drop_parked is the name of a table, as text".into())
        })?),
    };
    Ok(Output::Integer(Streams::of(call.connection())?.drop_parked(table)?))
}

fn stream_name<'a>(call: &'a Call<'_>) -> Result<&'a str> {
    call.arg(0).as_str().ok_or_else(|| {
        StreamError::Misuse("the first argument is the name of a stream, as text: crsql_next('out_to_b')".into())
    })
}

pub(super) fn package_output(package: Encoded) -> Output<'static> {
    match package {
        Encoded::Binary(bytes) => bytes.into(),
        Encoded::Text(text) => text.into(),
    }
}
