use super::bytes::Reader;
use super::changes::{push_changes, read_changes};
use super::compression::{compress, decompress};
use super::head::{Head, push_head, read_head};
use crate::check::{CHANGES, check_package};
use crate::encode::{Compression, PackageHeader, bounded};
use crate::error::{Result, WireError};
use crate::limits::{BODY_BYTES_MAX, HEAD_BYTES_MAX, PACKAGE_CHANGES_MAX};
use crate::{Package, binary::bytes::COUNTER_OUT_OF_RANGE, binary::bytes::counter};
use rejoin_change::{Change, SiteId};

/// The first byte is no start of UTF-8 text, so that a binary package is never taken for a JSON one.
pub(crate) const MAGIC: [u8; 4] = *b"\x89rjp";

pub(crate) fn encode(package: &Package, compression: Compression) -> Result<Vec<u8>> {
    check_package(package)?;
    let mut head = Vec::new();
    push_head(&mut head, package);
    bounded(HEAD, head.len(), HEAD_BYTES_MAX)?;
    let mut body = Vec::new();
    push_changes(&mut body, &package.changes);
    bounded(BODY, body.len(), BODY_BYTES_MAX)?;
    let compressed = match compression {
        Compression::Zstd => compress(&body),
        Compression::None => None,
    };
    let stored = compressed.as_deref().unwrap_or(&body);

    let mut out = Vec::with_capacity(HEADER_BYTES + head.len() + stored.len());
    out.extend_from_slice(&MAGIC);
    out.push(FORMAT_VERSION);
    out.push(if compressed.is_some() { BODY_ZSTD } else { BODY_PLAIN });
    let flags = [(package.ends_transaction, FLAG_ENDS_TRANSACTION), (package.filtered, FLAG_FILTERED)];
    out.push(flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum());
    out.push(0);
    out.extend_from_slice(&[0; 4]); // the checksum, known at the end
    for size in [head.len(), stored.len(), body.len(), package.changes.len()] {
        out.extend_from_slice(&(size as u32).to_be_bytes());
    }
    out.extend_from_slice(&package.run.to_be_bytes());
    out.extend_from_slice(package.sender.as_bytes());
    out.extend_from_slice(package.receiver.as_bytes());
    debug_assert_eq!(out.len(), HEADER_BYTES);
    out.extend_from_slice(&head);
    out.extend_from_slice(stored);
    let checksum = checksum(&out);
    out[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_be_bytes());
    Ok(out)
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Package> {
    let Parts { header, head, stored } = read_parts(bytes)?;
    let Head { former_ids, run_start, since, start, end, as_of, receipt } = head;
    let decompressed;
    let body = if header.compressed {
        decompressed = decompress(stored, header.body_bytes)?;
        &decompressed
    } else if stored.len() == header.body_bytes {
        stored
    } else {
        return Err(WireError::Malformed { what: "the lengths of the body disagree", offset: 20 });
    };
    Ok(Package {
        sender: header.sender,
        receiver: header.receiver,
        former_ids,
        run: header.run,
        run_start,
        since,
        start,
        end,
        as_of,
        ends_transaction: header.ends_transaction,
        filtered: header.filtered,
        receipt,
        changes: read_changes(body, header.changes)?,
    })
}

/// Changes alone, as the body of a package holds them: their count, the length of the body, and the body, compressed.
pub(crate) fn encode_changes(changes: &[Change]) -> Result<Vec<u8>> {
    bounded(CHANGES, changes.len(), PACKAGE_CHANGES_MAX)?;
    let mut body = Vec::new();
    push_changes(&mut body, changes);
    bounded(BODY, body.len(), BODY_BYTES_MAX)?;
    let compressed = compress(&body);
    let mut out = vec![if compressed.is_some() { BODY_ZSTD } else { BODY_PLAIN }];
    out.extend_from_slice(&(changes.len() as u32).to_be_bytes());
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(compressed.as_deref().unwrap_or(&body));
    Ok(out)
}

pub(crate) fn decode_changes(bytes: &[u8]) -> Result<Vec<Change>> {
    let mut reader = Reader::new(bytes);
    let compressed = reader.byte()? == BODY_ZSTD;
    let count = read_size(&mut reader, CHANGES, PACKAGE_CHANGES_MAX)?;
    let body_bytes = read_size(&mut reader, BODY, BODY_BYTES_MAX)?;
    let stored = &bytes[CHANGES_HEADER_BYTES..];
    if compressed { read_changes(&decompress(stored, body_bytes)?, count) } else { read_changes(stored, count) }
}

pub(crate) fn peek(bytes: &[u8]) -> Result<PackageHeader> {
    let Parts { header, head, .. } = read_parts(bytes)?;
    Ok(PackageHeader {
        sender: header.sender,
        receiver: header.receiver,
        run: header.run,
        start: head.start,
        end: head.end,
        changes: header.changes,
    })
}

struct Header {
    compressed: bool,
    ends_transaction: bool,
    filtered: bool,
    head_bytes: usize,
    stored_bytes: usize,
    body_bytes: usize,
    changes: usize,
    run: u64,
    sender: SiteId,
    receiver: SiteId,
}

struct Parts<'a> {
    header: Header,
    head: Head,
    stored: &'a [u8],
}

fn read_parts(bytes: &[u8]) -> Result<Parts<'_>> {
    let mut reader = Reader::new(bytes);
    let header = read_header(&mut reader)?;
    let head = reader.take(header.head_bytes)?;
    let stored = reader.take(header.stored_bytes)?;
    reader.finish()?;
    let computed = checksum(bytes);
    let written = &bytes[CHECKSUM_AT..CHECKSUM_AT + 4];
    let stored_sum = u32::from_be_bytes(written.try_into().expect("the header was read, so its four bytes are there"));
    if stored_sum != computed {
        return Err(WireError::Damaged { stored: stored_sum, computed });
    }
    Ok(Parts { head: read_head(head)?, header, stored })
}

fn read_header(reader: &mut Reader<'_>) -> Result<Header> {
    if reader.array()? != MAGIC {
        return Err(WireError::NotAPackage);
    }
    let version = reader.byte()?;
    if version != FORMAT_VERSION {
        return Err(WireError::UnsupportedVersion { found: version.into(), newest: FORMAT_VERSION.into() });
    }
    let compressed = match reader.byte()? {
        BODY_PLAIN => false,
        BODY_ZSTD => true,
        _ => return Err(reader.malformed("the body is compressed in an unknown way")),
    };
    let flags = match reader.array()? {
        [flags, 0] if flags & !(FLAG_ENDS_TRANSACTION | FLAG_FILTERED) == 0 => flags,
        _ => return Err(reader.malformed("an unknown flag is set")),
    };
    reader.take(4)?; // the checksum
    Ok(Header {
        compressed,
        ends_transaction: flags & FLAG_ENDS_TRANSACTION != 0,
        filtered: flags & FLAG_FILTERED != 0,
        head_bytes: read_size(reader, HEAD, HEAD_BYTES_MAX)?,
        stored_bytes: read_size(reader, "bytes of a package's stored body", BODY_BYTES_MAX)?,
        body_bytes: read_size(reader, BODY, BODY_BYTES_MAX)?,
        changes: read_size(reader, CHANGES, PACKAGE_CHANGES_MAX)?,
        run: u64::from_be_bytes(reader.array()?),
        sender: reader.site_id()?,
        receiver: reader.site_id()?,
    })
    .and_then(|header| match counter(header.run) {
        Some(_) => Ok(header),
        None => Err(reader.malformed(COUNTER_OUT_OF_RANGE)),
    })
}

fn read_size(reader: &mut Reader<'_>, what: &'static str, max: usize) -> Result<usize> {
    let found = u32::from_be_bytes(reader.array()?) as usize;
    bounded(what, found, max)?;
    Ok(found)
}

/// CRC-32 (the one of zip and PNG) of everything but the checksum's own four bytes.
fn checksum(package: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&package[..CHECKSUM_AT]);
    hasher.update(&package[CHECKSUM_AT + 4..]);
    hasher.finalize()
}

const FORMAT_VERSION: u8 = 1;
const HEADER_BYTES: usize = 68;
const CHANGES_HEADER_BYTES: usize = 9;
const CHECKSUM_AT: usize = 8;
const BODY_PLAIN: u8 = 0;
const BODY_ZSTD: u8 = 1;
const FLAG_ENDS_TRANSACTION: u8 = 1;
const FLAG_FILTERED: u8 = 2;
const HEAD: &str = "bytes of a package's head";
const BODY: &str = "bytes of a package's body";
