//! What a client was not told because its schema did not have it, and when it is told after all.
//!
//! A client's position moves past what is left out. Once it comes with another version of its schema, it is told again
//! from the first thing that was left out. That it has taken that is known when it says that it holds something later than
//! what there was then: it takes frames in their order only.

use crate::sqlite::sql;
use crate::sqlite::worker::failed;
use rejoin_change::SiteId;
use rejoin_wire::message::Refusal;
use rusqlite::{Connection, params};

/// Remembers that something of a db_version was left out.
pub(super) fn note(
    connection: &Connection,
    client: SiteId,
    schema_version: i64,
    db_version: i64,
) -> Result<(), Refusal> {
    if exists(connection).map_err(failed)? {
        let mut statement = connection.prepare_cached(sql::IS_NOTED).map_err(failed)?;
        let noted: i64 =
            statement.query_row(params![client.as_bytes(), schema_version], |row| row.get(0)).map_err(failed)?;
        if noted > 0 {
            return Ok(());
        }
    } else {
        connection.execute_batch(sql::MAKE_VLCN_SKIPPED).map_err(failed)?;
    }
    let values = params![client.as_bytes(), schema_version, db_version];
    connection.execute(sql::NOTE_SKIPPED, values).map_err(failed)?;
    Ok(())
}

/// The first db_version of which something was left out for a client while it had another version of its schema. `seen`
/// is what the client holds of this database, `head` the newest db_version there is.
pub(super) fn to_tell(
    connection: &Connection,
    client: SiteId,
    schema_version: i64,
    seen: i64,
    head: i64,
) -> Result<Option<i64>, Refusal> {
    if !exists(connection).map_err(failed)? {
        return Ok(None);
    }
    connection.execute(sql::FORGET_TOLD, params![client.as_bytes(), schema_version, seen]).map_err(failed)?;
    let mut statement = connection.prepare_cached(sql::TELL_SKIPPED).map_err(failed)?;
    let found = statement
        .query_map(params![client.as_bytes(), schema_version, head], |row| row.get(0))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<i64>>>)
        .map_err(failed)?;
    Ok(found.into_iter().min())
}

/// Whether something was left out for a server while this database had another version of its schema.
pub(super) fn has_left_out_for_server(connection: &Connection, schema_version: i64) -> Result<bool, Refusal> {
    // Nothing counts as seen, and nothing is there that could be told again from.
    to_tell(connection, ANY_SERVER, schema_version, 0, 0).map(|from_version| from_version.is_some())
}

/// All of it will be told.
pub(super) fn forget_for_server(connection: &Connection, schema_version: i64) -> Result<(), Refusal> {
    connection.execute(sql::FORGET_OTHERS, params![ANY_SERVER.as_bytes(), schema_version]).map_err(failed)?;
    Ok(())
}

/// Stands for the server of a client: its id is not known before it speaks.
pub(crate) const ANY_SERVER: SiteId = SiteId([0; 16]);

fn exists(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached(sql::HAS_VLCN_SKIPPED)?.query_row([], |row| row.get::<_, i64>(0)).map(|count| count > 0)
}
