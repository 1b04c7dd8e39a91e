//! The tables that every tracked database has, and which files are not for this engine.

use crate::sql;
use rejoin_bridge::{Connection, Error, Result, ValueRef, code};

/// The format that this engine writes, as the original numbers it: 0.16.3.
pub(crate) const FORMAT_VERSION: i64 = 160_300;

/// Files marked older than this are of a format that nobody reads any more.
const FORMAT_VERSION_MIN: i64 = 150_000;

/// Checks that the file is of a format that this engine knows, and makes what is missing. A file that has everything is
/// only read, so that one opened read-only, or locked by a writer, is fine.
pub(crate) fn prepare(connection: &Connection) -> Result<()> {
    let objects = connection.prepare(sql::DATABASE_OBJECTS)?.query(&[], |row| Ok(row.column_text(0)))?;
    let has = |name: &str| objects.iter().any(|object| object == name);
    refuse_other_formats(connection, &has)?;
    let stored = if has("crsql_master") { Some(marker(connection)?) } else { None };
    if let Some(version) = stored.filter(|version| *version < FORMAT_VERSION_MIN) {
        return Err(Error::failed(format!(
            "Opening a db created with cr-sqlite version {version} is not supported. \
             Upcoming release 0.15.0 is a breaking change. {COPY}"
        )));
    }

    let complete =
        ["crsql_tracked_peers", "crsql_master", "crsql_site_id", "crsql_site_id_site_id"].into_iter().all(has)
            && own_site_id(connection)?.is_some();
    let marked = stored.is_some_and(|version| version >= FORMAT_VERSION);
    if complete && (marked || connection.is_readonly()) {
        return Ok(());
    }
    if connection.is_readonly() {
        return Err(Error::new(
            code::READONLY,
            "the database is read-only and lacks the tables that replication needs: open it once for writing",
        ));
    }
    connection
        .savepoint("crsql_prepare", || {
            connection.execute(sql::CREATE_TRACKED_PEERS)?;
            connection.execute(sql::CREATE_MASTER)?;
            connection.execute(sql::CREATE_SITE_ID)?;
            connection.execute(sql::CREATE_SITE_ID_INDEX)?;
            if !marked {
                write_master(connection, "crsqlite_version", FORMAT_VERSION)?;
            }
            if own_site_id(connection)?.is_none() {
                let site_id = random_site_id(connection);
                connection.prepare(sql::ADD_OWN_SITE_ID)?.run(&[ValueRef::Blob(&site_id)])?;
            }
            Ok(())
        })
        .map_err(|error| match error.is_busy() {
            true => Error::new(
                error.code,
                format!(
                    "another connection is writing while the tables for replication are \
             made ({error}): open the database again"
                ),
            ),
            false => error,
        })
}

/// The own site id as it is stored now. It is not remembered: it changes when a database is given a new identity.
pub(crate) fn own_site_id(connection: &Connection) -> Result<Option<Vec<u8>>> {
    let mut table = connection.cached(sql::OBJECT_EXISTS)?;
    if table.query_row(&["table".into(), "crsql_site_id".into()], |_| Ok(()))?.is_none() {
        return Ok(None);
    }
    connection.cached(sql::OWN_SITE_ID)?.query_row(&[], |row| Ok(row.column_blob(0)))
}

/// Remembers a number under a key of `crsql_master`.
pub(crate) fn write_master(connection: &Connection, key: &str, value: i64) -> Result<()> {
    connection.prepare(sql::WRITE_MASTER)?.run(&[key.into(), value.into()])
}

/// A number that `crsql_master` has under a key; 0 where it has none.
pub(crate) fn read_master(connection: &Connection, key: &str) -> Result<i64> {
    let found = connection.cached(sql::READ_MASTER)?.query_row(&[key.into()], |row| Ok(row.column_i64(0)))?;
    Ok(found.unwrap_or(0))
}

fn marker(connection: &Connection) -> Result<i64> {
    read_master(connection, "crsqlite_version")
}

/// Formats are told apart by the shape of their tables, because different formats carry the same marker.
fn refuse_other_formats(connection: &Connection, has: &dyn Fn(&str) -> bool) -> Result<()> {
    let forks_own =
        ["crsql_db_versions", "crsql_site_id_insert_trig", "crsql_site_id_update_trig", "crsql_site_id_delete_trig"];
    if let Some(name) = forks_own.into_iter().find(|name| has(name)) {
        return Err(Error::failed(format!("{name} shows that the database {FORK}. {COPY}")));
    }
    let columns =
        |table: &str| connection.prepare(sql::COLUMN_NAMES)?.query(&[table.into()], |row| Ok(row.column_text(0)));
    if has("crsql_site_id") && !columns("crsql_site_id")?.iter().any(|column| column == "ordinal") {
        return Err(Error::failed(format!("the columns of crsql_site_id show that the database {OLDER}. {COPY}")));
    }
    for clock in connection.prepare(sql::CLOCK_TABLES)?.query(&[], |row| Ok(row.column_text(0)))? {
        let names = columns(&clock)?;
        let has = |name: &str| names.iter().any(|column| column == name);
        let format = match () {
            () if has("__crsql_col_version") => OLDER,
            () if has("ts") && has("col_version") => FORK,
            () => continue,
        };
        return Err(Error::failed(format!("the columns of {clock} show that the database {format}. {COPY}")));
    }
    Ok(())
}

const OLDER: &str = "was written by cr-sqlite 0.15 or older, whose tables are not supported";
const FORK: &str = "was written by cr-sqlite 0.17 (the fork used by corrosion), whose tables are not supported";

/// What to do with a file of another format.
const COPY: &str = "Nothing was changed, and its rows can be copied: create the same tables in a new database, track them \
     there, ATTACH this file beside it, and INSERT INTO each table SELECT from the attached one";

/// 16 random bytes, marked as a UUID of version 4.
fn random_site_id(connection: &Connection) -> [u8; 16] {
    let mut bytes = [0; 16];
    connection.randomness(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}
