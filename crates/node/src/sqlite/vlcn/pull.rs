use super::{Columns, skipped};
use crate::limits::VLCN_FRAME_BYTES_SOFT_MAX;
use crate::sqlite::sql;
use crate::sqlite::worker::{Trouble, Worker, failed};
use rejoin_change::SiteId;
use rejoin_protocol::vlcn::Pulled;
use rejoin_wire::limits::VLCN_FRAME_BYTES_MAX;
use rejoin_wire::message::{Refusal, RefusalCode};
use rejoin_wire::vlcn::{Change, Changes, Value};
use rusqlite::types::ValueRef;
use std::borrow::Cow;
use std::sync::Arc;

/// Whether the other side can take bytes as the value of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blobs {
    Told,
    /// The original server ends its process over one.
    Refused,
}

/// Who is told.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    /// What it knows; nothing else is told.
    pub(crate) known: Arc<Columns>,
    pub(crate) blobs: Blobs,
    /// A client, or [`super::ANY_SERVER`], and the version of its schema, for which it is remembered that something was left
    /// out.
    pub(crate) reader: (SiteId, i64),
}

/// Reads whole transactions behind a db_version: as many as make a frame of a good size, and at least one.
pub(crate) fn pull(
    worker: &mut Worker,
    after: i64,
    exclude: &[SiteId],
    listener: &Listener,
) -> Result<Pulled, Trouble> {
    // Before the scan: what is committed in between is in the scan.
    let mut head = worker.head()?;
    let exclude = &exclude[..exclude.len().min(EXCLUDED_MAX)];
    let mut statement = worker.connection().prepare_cached(&sql::vlcn_changes(exclude.len())).map_err(failed)?;
    let excluded = exclude.iter().map(|site_id| rusqlite::types::Value::Blob(site_id.as_bytes().to_vec()));
    let parameters = std::iter::once(rusqlite::types::Value::Integer(after)).chain(excluded);
    let mut rows = statement.query(rusqlite::params_from_iter(parameters)).map_err(failed)?;
    let mut changes = Changes::new();
    let mut scanned = after;
    let mut left_out = None;
    // Where the transaction begins that is being read, and the last one before it.
    let (mut mark, mut complete) = (changes.mark(), after);
    let mut is_all = true;
    while let Some(row) = rows.next().map_err(failed)? {
        let db_version = row.get(5).map_err(failed)?;
        head = head.max(db_version);
        if db_version > scanned {
            if changes.size_bytes() >= VLCN_FRAME_BYTES_SOFT_MAX {
                is_all = false;
                break;
            }
            (mark, complete) = (changes.mark(), scanned);
            scanned = db_version;
        }
        match push(&mut changes, row, listener, db_version) {
            Ok(true) => {}
            Ok(false) => left_out = left_out.or(Some(db_version)),
            Err(trouble) => {
                // What lies before goes over first; the next look meets the same again.
                changes.truncate(mark);
                if changes.is_empty() {
                    return Err(trouble);
                }
                (scanned, is_all) = (complete, false);
                break;
            }
        }
    }
    drop(rows);
    drop(statement);
    if let Some(db_version) = left_out {
        let (site_id, schema_version) = listener.reader;
        skipped::note(worker.connection(), site_id, schema_version, db_version)?;
    }
    let scanned = if is_all { scanned.max(head) } else { scanned };
    Ok(Pulled { changes, scanned, head })
}

/// Adds the change in a row. False where the listener does not know its column.
fn push(changes: &mut Changes, row: &rusqlite::Row<'_>, listener: &Listener, db_version: i64) -> Result<bool, Trouble> {
    let table = text(row, 0)?;
    let column = text(row, 2)?;
    if !listener.known.has(&table, &column) {
        return Ok(false);
    }
    let lossy;
    let value = match row.get_ref(3).map_err(failed)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::BigInt(number),
        ValueRef::Real(number) => Value::Number(number),
        // JavaScript breaks off at bytes that are not UTF-8, and does the same with what it cannot say itself.
        ValueRef::Text(bytes) => {
            lossy = String::from_utf8_lossy(bytes);
            if matches!(lossy, Cow::Owned(_)) {
                tracing::warn!(
                    table = &*table,
                    column = &*column,
                    "a text is not UTF-8: told with U+FFFD in its place"
                );
            }
            Value::Text(&lossy)
        }
        ValueRef::Blob(_) if listener.blobs == Blobs::Refused => return Err(blob(&table, &column, db_version).into()),
        ValueRef::Blob(bytes) => Value::Blob(bytes),
    };
    let number = |index| row.get::<_, i64>(index).map_err(failed);
    changes.push(&Change {
        table: &table,
        key: row.get_ref(1).and_then(|key| Ok(key.as_blob()?)).map_err(failed)?,
        column: &column,
        value,
        col_version: number(4)?,
        db_version,
        site_id: None,
        causal_length: number(6)?,
        seq: number(7)?,
    });
    if changes.size_bytes() > VLCN_FRAME_BYTES_MAX - FRAME_HEAD_BYTES_MAX {
        return Err(too_large(db_version).into());
    }
    Ok(true)
}

fn text<'a>(row: &'a rusqlite::Row<'_>, index: usize) -> Result<Cow<'a, str>, Refusal> {
    let bytes = row.get_ref(index).and_then(|value| Ok(value.as_bytes()?)).map_err(failed)?;
    Ok(String::from_utf8_lossy(bytes))
}

fn blob(table: &str, column: &str, db_version: i64) -> Refusal {
    Refusal {
        code: RefusalCode::Package,
        reason: format!(
            "the column {column} of {table} holds bytes (a BLOB, written in version {db_version}), and the original \
             server ends over one; nothing of that transaction was sent, and everything before it was"
        ),
        advice: "keep such values as text (hex or base64), or sync with `rejoin serve`, which takes them, and give \
                 --blobs then"
            .to_owned(),
    }
}

fn too_large(db_version: i64) -> Refusal {
    Refusal {
        code: RefusalCode::Store,
        reason: format!(
            "the transaction of version {db_version} is larger than the {} MiB of one frame, and this protocol cannot \
             divide it",
            VLCN_FRAME_BYTES_MAX >> 20
        ),
        advice: "sync this database by the native protocol".to_owned(),
    }
}

/// Authors that are left out; JavaScript looks at one.
const EXCLUDED_MAX: usize = 64;

/// What stands in a frame before its changes.
const FRAME_HEAD_BYTES_MAX: usize = 64;
