use super::cursor::{read_cursor, write_cursor};
use super::reader::{Field, Reader, UNKNOWN_FIELD};
use super::receipt::{
    read_as_of, read_position, read_receipt, read_version, verify, write_as_of, write_position, write_receipt,
};
use super::value::{read_key, read_value, write_key, write_value};
use super::writer::Writer;
use crate::binary::bytes::FORMER_IDS;
use crate::check::{CHANGES, END_BEFORE_START, Expanded, NAME, check_package, value_bytes};
use crate::encode::bounded;
use crate::error::Result;
use crate::limits::{FORMER_IDS_MAX, NAME_BYTES_MAX, PACKAGE_CHANGES_MAX, PACKAGE_JSON_BYTES_MAX};
use crate::{Package, checksum};
use rejoin_change::{Change, SiteId};
use std::sync::Arc;

pub(crate) fn encode(package: &Package) -> Result<String> {
    check_package(package)?;
    let mut out = Writer::new();
    out.object(|out| {
        out.name("rejoin_package").integer(FORMAT_VERSION);
        out.name("sender").site_id(&package.sender);
        out.name("receiver").site_id(&package.receiver);
        out.name("former_ids").array(|out| package.former_ids.iter().for_each(|id| out.site_id(id)));
        out.name("run").integer(package.run as i64);
        write_cursor(out.name("run_start"), &package.run_start);
        write_cursor(out.name("since"), &package.since);
        write_position(out.name("start"), &package.start);
        write_position(out.name("end"), &package.end);
        write_as_of(out.name("as_of"), &package.as_of);
        out.name("ends_transaction").bool(package.ends_transaction);
        out.name("filtered").bool(package.filtered);
        out.name("receipt").option(package.receipt.as_ref(), write_receipt);
        out.name("changes").array(|out| package.changes.iter().for_each(|change| write_change(out, change)));
        out.name("checksum").hex(&checksum::of_package(package).to_be_bytes());
    });
    bounded("bytes of a JSON package", out.bytes_written(), PACKAGE_JSON_BYTES_MAX)?;
    Ok(out.finish())
}

pub(crate) fn decode(text: &str) -> Result<Package> {
    let mut reader = Reader::new(text);
    let package = read_package(&mut reader)?;
    reader.finish()?;
    Ok(package)
}

fn read_package(reader: &mut Reader<'_>) -> Result<Package> {
    let (mut version, mut checksum) = (Field::new(), Field::new());
    let (mut sender, mut receiver, mut former_ids) = (Field::new(), Field::new(), Field::new());
    let (mut run, mut run_start, mut since) = (Field::new(), Field::new(), Field::new());
    let (mut start, mut end, mut as_of) = (Field::new(), Field::new(), Field::new());
    let (mut ends_transaction, mut filtered) = (Field::new(), Field::new());
    let (mut receipt, mut changes) = (Field::new(), Field::new());
    reader.object(|reader, name| match name {
        "rejoin_package" => version.read(reader, |reader| read_version(reader, FORMAT_VERSION)),
        "sender" => sender.read(reader, Reader::site_id),
        "receiver" => receiver.read(reader, Reader::site_id),
        "former_ids" => former_ids.read(reader, read_former_ids),
        "run" => run.read(reader, Reader::counter),
        "run_start" => run_start.read(reader, read_cursor),
        "since" => since.read(reader, read_cursor),
        "start" => start.read(reader, read_position),
        "end" => end.read(reader, read_position),
        "as_of" => as_of.read(reader, read_as_of),
        "ends_transaction" => ends_transaction.read(reader, Reader::bool),
        "filtered" => filtered.read(reader, Reader::bool),
        "receipt" => receipt.read(reader, |reader| reader.option(read_receipt)),
        "changes" => changes.read(reader, read_changes),
        "checksum" => checksum.read(reader, Reader::hex),
        _ => Err(reader.malformed(UNKNOWN_FIELD)),
    })?;
    version.required(reader, "this is not a package: the field rejoin_package is missing")?;
    let package = Package {
        sender: sender.required(reader, "the package's field sender is missing")?,
        receiver: receiver.required(reader, "the package's field receiver is missing")?,
        former_ids: former_ids.required(reader, "the package's field former_ids is missing")?,
        run: run.required(reader, "the package's field run is missing")? as u64,
        run_start: run_start.required(reader, "the package's field run_start is missing")?,
        since: since.required(reader, "the package's field since is missing")?,
        start: start.required(reader, "the package's field start is missing")?,
        end: end.required(reader, "the package's field end is missing")?,
        as_of: as_of.required(reader, "the package's field as_of is missing")?,
        ends_transaction: ends_transaction.required(reader, "the package's field ends_transaction is missing")?,
        filtered: filtered.required(reader, "the package's field filtered is missing")?,
        receipt: receipt.required(reader, "the package's field receipt is missing")?,
        changes: changes.required(reader, "the package's field changes is missing")?,
    };
    let stored = checksum.required(reader, "the package's field checksum is missing")?;
    verify(stored, checksum::of_package(&package))?;
    if package.end.cursor < package.start.cursor {
        return Err(reader.malformed(END_BEFORE_START));
    }
    Ok(package)
}

pub(crate) fn read_former_ids(reader: &mut Reader<'_>) -> Result<Vec<SiteId>> {
    let mut ids = Vec::new();
    reader.array(|reader| {
        bounded(FORMER_IDS, ids.len() + 1, FORMER_IDS_MAX)?;
        ids.push(reader.site_id()?);
        Ok(())
    })?;
    Ok(ids)
}

fn write_change(out: &mut Writer, change: &Change) {
    out.object(|out| {
        out.name("table").string(&change.table);
        write_key(out.name("key"), &change.key);
        out.name("column").string(&change.column);
        write_value(out.name("value"), change.value.as_ref());
        out.name("col_version").integer(change.col_version);
        out.name("db_version").integer(change.db_version);
        out.name("site_id").site_id(&change.site_id);
        out.name("causal_length").integer(change.causal_length);
        out.name("seq").integer(change.seq);
    });
}

fn read_changes(reader: &mut Reader<'_>) -> Result<Vec<Change>> {
    let mut changes: Vec<Change> = Vec::new();
    let mut expanded = Expanded::default();
    reader.array(|reader| {
        bounded(CHANGES, changes.len() + 1, PACKAGE_CHANGES_MAX)?;
        let change = read_change(reader, changes.last())?;
        expanded.add(change.key.as_bytes().len(), value_bytes(&change.value))?;
        changes.push(change);
        Ok(())
    })?;
    Ok(changes)
}

/// `before` lends its names, which are mostly the same.
fn read_change(reader: &mut Reader<'_>, before: Option<&Change>) -> Result<Change> {
    let (mut table, mut key, mut column, mut value) = (Field::new(), Field::new(), Field::new(), Field::new());
    let (mut col_version, mut db_version) = (Field::new(), Field::new());
    let (mut site_id, mut causal_length, mut seq) = (Field::new(), Field::new(), Field::new());
    reader.object(|reader, name| match name {
        "table" => table.read(reader, |reader| read_name(reader, before.map(|change| &change.table))),
        "key" => key.read(reader, read_key),
        "column" => column.read(reader, |reader| read_name(reader, before.map(|change| &change.column))),
        "value" => value.read(reader, read_value),
        "col_version" => col_version.read(reader, Reader::counter),
        "db_version" => db_version.read(reader, Reader::counter),
        "site_id" => site_id.read(reader, Reader::site_id),
        "causal_length" => causal_length.read(reader, Reader::counter),
        "seq" => seq.read(reader, Reader::counter),
        _ => Err(reader.malformed(UNKNOWN_FIELD)),
    })?;
    Ok(Change {
        table: table.required(reader, "a change's field table is missing")?,
        key: key.required(reader, "a change's field key is missing")?,
        column: column.required(reader, "a change's field column is missing")?,
        value: value.required(reader, "a change's field value is missing")?,
        col_version: col_version.required(reader, "a change's field col_version is missing")?,
        db_version: db_version.required(reader, "a change's field db_version is missing")?,
        site_id: site_id.required(reader, "a change's field site_id is missing")?,
        causal_length: causal_length.required(reader, "a change's field causal_length is missing")?,
        seq: seq.required(reader, "a change's field seq is missing")?,
    })
}

fn read_name(reader: &mut Reader<'_>, before: Option<&Arc<str>>) -> Result<Arc<str>> {
    let name = reader.string(NAME, NAME_BYTES_MAX)?;
    Ok(match before {
        Some(before) if **before == *name => before.clone(),
        _ => name.into(),
    })
}

const FORMAT_VERSION: i64 = 1;
