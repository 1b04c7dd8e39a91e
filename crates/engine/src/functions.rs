//! The table from which every SQL function is registered.

use crate::engine::Engine;
use crate::values::to_change;
use crate::{automigrate, config, database, fractional, local_write, schema};
use rejoin_bridge::{Call, Error, FunctionFlags, Output, Result};
use rejoin_change::PackedKey;
use std::rc::Rc;

type Body = fn(&Rc<Engine>, &Call<'_>) -> Result<Output<'static>>;

/// Name, number of arguments (-1 any), flags, body: the original's, but for `crsql_get_seq` and `crsql_config_get`,
/// which it calls deterministic though their results change. What triggers call must be usable where the schema is not
/// trusted.
const FUNCTIONS: [(&str, i32, FunctionFlags, Body); 23] = [
    ("crsql_as_crr", -1, FunctionFlags::DETERMINISTIC, |engine, call| grown(engine, schema::as_crr(engine, call))),
    ("crsql_as_table", 1, FunctionFlags::NONE, schema::as_table),
    ("crsql_begin_alter", -1, FunctionFlags::DIRECTONLY, schema::begin_alter),
    ("crsql_commit_alter", -1, FunctionFlags::DIRECTONLY, |engine, call| {
        grown(engine, schema::commit_alter(engine, call))
    }),
    ("crsql_automigrate", -1, FunctionFlags::NONE, |engine, call| {
        grown(engine, automigrate::automigrate(engine, call))
    }),
    ("crsql_config_get", 1, FunctionFlags::INNOCUOUS, config::config_get),
    ("crsql_config_set", 2, FunctionFlags::NONE, config::config_set),
    ("crsql_db_version", 0, FunctionFlags::INNOCUOUS, db_version),
    ("crsql_next_db_version", -1, FunctionFlags::INNOCUOUS, next_db_version),
    ("crsql_site_id", 0, CONSTANT, site_id),
    ("crsql_rows_impacted", 0, FunctionFlags::INNOCUOUS, rows_impacted),
    ("crsql_finalize", -1, FunctionFlags::DIRECTONLY, finalize),
    ("crsql_internal_sync_bit", -1, FunctionFlags::INNOCUOUS, internal_sync_bit),
    ("crsql_pack_columns", -1, FunctionFlags::NONE, pack_columns),
    ("crsql_increment_and_get_seq", 0, FunctionFlags::INNOCUOUS, increment_and_get_seq),
    ("crsql_get_seq", 0, FunctionFlags::INNOCUOUS, get_seq),
    ("crsql_sha", 0, CONSTANT, sha),
    ("crsql_after_insert", -1, FunctionFlags::INNOCUOUS, local_write::after_insert),
    ("crsql_after_update", -1, FunctionFlags::INNOCUOUS, local_write::after_update),
    ("crsql_after_delete", -1, FunctionFlags::INNOCUOUS, local_write::after_delete),
    ("crsql_fract_as_ordered", -1, FunctionFlags::DIRECTONLY, fractional::as_ordered),
    ("crsql_fract_key_between", 2, CONSTANT, fractional::key_between),
    ("crsql_fract_fix_conflict_return_old_key", -1, FunctionFlags::INNOCUOUS, fractional::fix_conflict_return_old_key),
];

/// The same arguments give the same result, and triggers and views may call it.
const CONSTANT: FunctionFlags = FunctionFlags::DETERMINISTIC.and(FunctionFlags::INNOCUOUS);

/// What the triggers of tracked tables call at every row that is written. All others see what was written before them.
const CALLED_BY_TRIGGERS: [&str; 4] =
    ["crsql_internal_sync_bit", "crsql_after_insert", "crsql_after_update", "crsql_after_delete"];

pub(crate) fn register(engine: &Rc<Engine>) -> Result<()> {
    FUNCTIONS.iter().try_for_each(|(name, arguments, flags, body)| {
        let engine = engine.clone();
        let records_first = !CALLED_BY_TRIGGERS.contains(name);
        engine.connection.clone().create_function(name, *arguments, *flags, move |call| {
            if records_first {
                engine.record_waiting()?;
            }
            body(&engine, call)
        })
    })
}

/// Tells those who wait for more of a schema that there is.
fn grown(engine: &Rc<Engine>, result: Result<Output<'static>>) -> Result<Output<'static>> {
    result.inspect(|_| engine.connection.schema_grew())
}

fn db_version(engine: &Rc<Engine>, _: &Call<'_>) -> Result<Output<'static>> {
    engine.db_version().map(Output::Integer).map_err(|error| because("failed to fill db version", error))
}

fn next_db_version(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    let floor = if call.len() == 1 { call.arg(0).as_i64() } else { 0 };
    let next = engine.next_db_version(floor).map(Output::Integer);
    next.map_err(|error| because("Unable to determine the next db version", error))
}

/// The original's words, and the reason.
fn because(what: &str, error: Error) -> Error {
    Error::new(error.code, format!("{what}: {error}"))
}

fn site_id(engine: &Rc<Engine>, _: &Call<'_>) -> Result<Output<'static>> {
    let site_id = database::own_site_id(&engine.connection)?;
    site_id.map(Output::from).ok_or_else(|| {
        Error::failed("the database has no site id: the row of crsql_site_id with ordinal 0 is gone. Open it anew")
    })
}

fn rows_impacted(engine: &Rc<Engine>, _: &Call<'_>) -> Result<Output<'static>> {
    Ok(engine.rows_impacted().into())
}

/// Statements do not linger here, so there is nothing to finalize.
fn finalize(_: &Rc<Engine>, _: &Call<'_>) -> Result<Output<'static>> {
    Ok("finalized".into())
}

fn internal_sync_bit(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    if call.len() == 1 {
        engine.set_sync_bit(call.arg(0).as_i64());
    }
    Ok(engine.sync_bit().into())
}

fn pack_columns(_: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    let values: Vec<_> = (0..call.len()).map(|i| to_change(call.arg(i))).collect();
    let packed = PackedKey::pack(&values).map_err(|error| Error::failed(format!("crsql_pack_columns: {error}")))?;
    Ok(packed.as_bytes().to_vec().into())
}

fn increment_and_get_seq(engine: &Rc<Engine>, _: &Call<'_>) -> Result<Output<'static>> {
    Ok(engine.take_seq(1).into())
}

fn get_seq(engine: &Rc<Engine>, _: &Call<'_>) -> Result<Output<'static>> {
    Ok(engine.seq().into())
}

fn sha(_: &Rc<Engine>, _: &Call<'_>) -> Result<Output<'static>> {
    Ok(concat!("rejoin ", env!("CARGO_PKG_VERSION")).into())
}
