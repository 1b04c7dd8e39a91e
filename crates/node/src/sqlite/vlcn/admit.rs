use super::merge::held;
use super::{Columns, skipped};
use crate::database::Opened;
use crate::sqlite::sql;
use crate::sqlite::worker::{Trouble, Worker, failed};
use crate::vlcn::schemas::{SchemaText, Schemas};
use rejoin_change::SiteId;
use rejoin_protocol::vlcn::{Admitted, Announcement};
use rejoin_wire::limits::VLCN_SITES_MAX;
use rejoin_wire::message::{Refusal, RefusalCode};
use rejoin_wire::vlcn::{Point, schema_version};
use rusqlite::{Connection, TransactionBehavior, params};
use std::sync::Arc;

/// Lets a client into a room, or says why not. A room without a schema gets that of the client, and one with an earlier
/// version is brought to the newest, where the server has a file for it.
pub(crate) fn admit(
    worker: &mut Worker,
    announcement: &Announcement,
    schemas: &Schemas,
) -> Result<(Admitted, Arc<Columns>), Trouble> {
    let known = agree_on_schema(worker, announcement, schemas)?;
    let site_id = worker.site()?.site_id;
    let connection = worker.connection();
    let held = held(connection, announcement.site_id)?;
    let start = start(connection, announcement, site_id, worker.head()?)?;
    Ok((Admitted { site_id, held, start }, Arc::new(known)))
}

/// Whether a room that is not there yet can be made for a client.
pub(crate) fn check_schema(announcement: &Announcement, schemas: &Schemas) -> Result<(), Trouble> {
    let Announcement { schema_name, schema_version, .. } = announcement;
    match schemas.find(schema_name, *schema_version).map_err(Trouble::from)? {
        Some(_) => Ok(()),
        None => Err(no_file(schema_name, *schema_version, false)),
    }
}

/// Where the client is told from: where it says that it stands, unless its schema left something out before. Of several
/// answers the earliest is safe.
fn start(connection: &Connection, announcement: &Announcement, site_id: SiteId, head: i64) -> Result<i64, Refusal> {
    let seen = announcement.last_seens.iter().filter(|(seen, _)| *seen == site_id);
    let seen = seen.map(|(_, point)| if point.seq > 0 { point.db_version - 1 } else { point.db_version }).min();
    let seen = seen.unwrap_or(0).max(0);
    let client = announcement.site_id;
    if seen > head {
        tracing::warn!(
            %client, seen, head,
            "a client has seen more of the room than there is: the room was restored from a backup; told from the start"
        );
        return Ok(0);
    }
    let left_out = skipped::to_tell(connection, client, announcement.schema_version, seen, head)?;
    Ok(left_out.map_or(seen, |from_version| seen.min(from_version - 1)))
}

/// What a client says first: who this database is, what it holds of others, and its schema, which `schema` gives it where
/// it has none. Also says which columns the other side knows.
pub(crate) fn announcement(
    worker: &mut Worker,
    schema: Option<&SchemaText>,
) -> Result<(Announcement, Arc<Columns>), Trouble> {
    if let Some(schema) = schema
        && stored(worker.connection())? != Some((schema.name.clone(), schema.version()))
    {
        bring_to(worker, schema, None)?;
    }
    let site_id = worker.site()?.site_id;
    let (schema_name, schema_version) = stored(worker.connection())?.ok_or_else(|| Refusal {
        code: RefusalCode::Schema,
        reason: "the database has no schema name and version, which the server asks for".to_owned(),
        advice: "give the server's schema file with --schema FILE".to_owned(),
    })?;
    let known = match schema {
        Some(schema) => columns_of(worker, schema)?,
        None => Columns::of_database(worker.connection())?,
    };
    if skipped::has_left_out_for_server(worker.connection(), schema_version)? {
        // The server's position has passed it, and cannot be moved back for good. Under a new id all is told.
        worker.reidentify("the schema now names something that was left out before")?;
        skipped::forget_for_server(worker.connection(), schema_version)?;
        return Err(Trouble::Reidentified);
    }
    let last_seens = all_held(worker.connection()).map_err(failed)?;
    Ok((Announcement { site_id, last_seens, schema_name, schema_version }, Arc::new(known)))
}

fn all_held(connection: &Connection) -> rusqlite::Result<Vec<(SiteId, Point)>> {
    let mut statement = connection.prepare_cached(sql::VLCN_ALL_HELD)?;
    let rows = statement.query_map([VLCN_SITES_MAX as i64], |row| {
        let site_id = SiteId::from_slice(row.get_ref(0)?.as_blob()?).ok();
        let point = Point { db_version: row.get(1)?, seq: row.get::<_, Option<i64>>(2)?.unwrap_or(0) };
        Ok(site_id.map(|site_id| (site_id, point)))
    })?;
    rows.filter_map(Result::transpose).collect()
}

/// Finds out what the client's schema is and makes the room fit. Returns the columns that the client knows.
fn agree_on_schema(worker: &mut Worker, announcement: &Announcement, schemas: &Schemas) -> Result<Columns, Trouble> {
    let (name, version) = (&announcement.schema_name, announcement.schema_version);
    let of_room = stored(worker.connection())?;
    if let Some((room_name, _)) = of_room.as_ref().filter(|(room_name, _)| room_name != name) {
        return Err(refusal(
            format!("the room has the schema {room_name}, and the client another one, {}", shown(name)),
            "open another room for the other schema",
        ));
    }
    let found = schemas.find(name, version).map_err(Trouble::from)?;
    match (&of_room, &found) {
        (Some((_, room_version)), _) if *room_version == version => {}
        (_, None) => return Err(no_file(name, version, of_room.is_some())),
        // A client that has not been updated comes into a room as it is.
        (Some(_), Some(found)) if !found.is_current => {}
        (_, Some(found)) => {
            let newest = if found.is_current { None } else { schemas.current(name).map_err(Trouble::from)? };
            let newest = newest.as_ref().unwrap_or(&found.schema);
            let earlier = match &of_room {
                Some((_, version)) => schemas.find(name, *version).map_err(Trouble::from)?,
                None => None,
            };
            bring_to(worker, newest, earlier.map(|earlier| earlier.schema).as_ref())?;
        }
    }
    match &found {
        Some(found) => columns_of(worker, &found.schema),
        // The room has the version that the client has, so that its tables are the client's.
        None => Ok(Columns::of_database(worker.connection())?),
    }
}

fn no_file(name: &str, version: i64, is_there: bool) -> Trouble {
    let room = if is_there { "the room has another version" } else { "the room has no schema yet" };
    refusal(
        format!(
            "the client has version {version} of the schema {}; {room}, and no file here has that one",
            shown(name)
        ),
        "put the schema file, byte for byte as the client has it, into the folder given by --schemas",
    )
}

/// Gives a database a schema's tables and its name and version, all or nothing. `earlier` is the version that it has now,
/// where its text is known.
fn bring_to(worker: &mut Worker, schema: &SchemaText, earlier: Option<&SchemaText>) -> Result<(), Trouble> {
    let wanted = columns_of(worker, schema)?;
    let connection = worker.connection();
    let transaction =
        rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(failed)?;
    if stored(connection)?.is_some() {
        check_losses(worker, schema, earlier)?;
        migrate(connection, schema)?;
    } else if Columns::of_database(connection)?.lacking(&wanted).is_some() {
        connection.execute_batch(&schema.text).map_err(|error| cannot_make(schema, &error.to_string()))?;
    }
    if let Some(lacking) = Columns::of_database(connection)?.lacking(&wanted) {
        return Err(cannot_make(schema, &format!("the database then still lacks {lacking}")));
    }
    connection.execute(sql::SET_VLCN_SCHEMA, params![schema.name, schema.version()]).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    tracing::info!(schema = schema.name, version = schema.version(), "the database has this schema now");
    worker.refresh()?;
    worker.wrote();
    Ok(())
}

/// A migration drops what the new version does not name. That is meant where the version before named it, and nowhere
/// else: a room can hold tables of native clients too.
fn check_losses(worker: &Worker, schema: &SchemaText, earlier: Option<&SchemaText>) -> Result<(), Trouble> {
    let lost = Columns::of_all_tables(worker.connection())?.without(&all_columns_of(worker, schema)?);
    let meant = match earlier {
        Some(earlier) => all_columns_of(worker, earlier)?,
        None => Columns::default(),
    };
    match meant.lacking(&lost) {
        None => Ok(()),
        Some(lost) => Err(refusal(
            format!(
                "the version of the schema {} that the client has would drop {lost}, with all that is in it",
                schema.name
            ),
            "where that is meant, put the text of the version before into the folder NAME.earlier beside the schema file; \
             otherwise name it in the schema",
        )),
    }
}

fn migrate(connection: &Connection, schema: &SchemaText) -> Result<(), Trouble> {
    let said = connection
        .query_row(sql::AUTOMIGRATE, [&schema.text], |row| row.get::<_, String>(0))
        .map_err(|error| cannot_make(schema, &error.to_string()))?;
    // The original engine says other words where it has failed.
    if said == "migration complete" { Ok(()) } else { Err(cannot_make(schema, &said)) }
}

/// The replicated columns that a schema's text makes, found out in an empty database.
fn columns_of(worker: &Worker, schema: &SchemaText) -> Result<Columns, Trouble> {
    Ok(Columns::of_database(&try_out(worker, schema)?.connection)?)
}

/// The columns of all tables that it makes.
fn all_columns_of(worker: &Worker, schema: &SchemaText) -> Result<Columns, Trouble> {
    Ok(Columns::of_all_tables(&try_out(worker, schema)?.connection)?)
}

fn try_out(worker: &Worker, schema: &SchemaText) -> Result<Opened, Trouble> {
    let scratch = worker.scratch()?;
    scratch.connection.execute_batch(&schema.text).map_err(|error| cannot_make(schema, &error.to_string()))?;
    Ok(scratch)
}

/// Name and version of the schema that a database has been given.
fn stored(connection: &Connection) -> Result<Option<(String, i64)>, Refusal> {
    connection
        .query_row(sql::VLCN_SCHEMA, [], |row| {
            let name: Option<String> = row.get(0)?;
            // A client whose version is not known says -1.
            let version: Option<i64> = row.get(1)?;
            Ok(name.map(|name| (name, version.unwrap_or(-1))))
        })
        .map_err(failed)
}

fn cannot_make(schema: &SchemaText, why: &str) -> Trouble {
    refusal(
        format!("the schema {} cannot be put into the database: {why}", schema.name),
        "repair the file, or the table that is in the way; nothing was changed",
    )
}

fn refusal(reason: String, advice: &str) -> Trouble {
    Trouble::Refused(Refusal { code: RefusalCode::Schema, reason, advice: advice.to_owned() })
}

/// A name from elsewhere, for people.
fn shown(name: &str) -> String {
    rejoin_protocol::printable(&name.chars().take(80).collect::<String>())
}

impl SchemaText {
    pub(crate) fn version(&self) -> i64 {
        schema_version(&self.text)
    }
}
