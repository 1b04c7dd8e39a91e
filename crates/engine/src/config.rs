//! Settings of a database, kept in `crsql_master`.
//!
//! The file is the only place where a value is kept, so that what another connection sets counts here at once and what
//! is rolled back is gone. Only while a transaction writes, when nobody else can, the merge rule's setting is remembered.

use crate::engine::Engine;
use crate::{database, sql};
use rejoin_bridge::{Call, Error, Output, Result, ValueRef};
use std::rc::Rc;

/// `crsql_config_set(name, value)`.
pub(crate) fn config_set(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    let key = key_of(call.arg(0))?;
    let value = integer(engine, call.arg(1))?;
    database::write_master(&engine.connection, key, value)?;
    engine.forget_merge_equal_values();
    Ok(value.into())
}

/// `crsql_config_get(name)`: 0 for what was never set.
pub(crate) fn config_get(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    let key = key_of(call.arg(0))?;
    database::read_master(&engine.connection, key).map(Output::Integer)
}

/// Whether the site decides between equal values of equal versions. Exactly 1 says yes; a file in which something else
/// than an integer was stored by hand says no.
pub(crate) fn read_merge_equal_values(engine: &Engine) -> Result<bool> {
    let mut setting = engine.connection.cached(sql::READ_MASTER)?;
    let stored = setting.query_row(&[MERGE_EQUAL_VALUES.into()], |row| Ok(row.column(0) == ValueRef::Integer(1)))?;
    Ok(stored == Some(true))
}

fn key_of(name: ValueRef<'_>) -> Result<&'static str> {
    match name.as_str() {
        Some("merge-equal-values") => Ok(MERGE_EQUAL_VALUES),
        _ => Err(Error::failed("Unknown setting name")),
    }
}

/// The integer that the column would store. Anything else is refused: the original cannot open a file that holds it.
fn integer(engine: &Engine, value: ValueRef<'_>) -> Result<i64> {
    let as_stored = engine.connection.cached(sql::AS_NUMERIC)?.query_row(&[value], |row| Ok(whole(row.column(0))))?;
    as_stored.flatten().ok_or_else(|| {
        Error::failed("crsql_config_set: merge-equal-values takes an integer; 1 switches it on, any other off")
    })
}

fn whole(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(i) => Some(i),
        ValueRef::Real(r) if r.fract() == 0.0 && r.abs() < EXACT_REALS_END => Some(r as i64),
        _ => None,
    }
}

/// Below this every whole real is an integer to SQLite.
const EXACT_REALS_END: f64 = 9_007_199_254_740_992.0;

const MERGE_EQUAL_VALUES: &str = "config.merge-equal-values";

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_bridge::linked;
    use std::cell::RefCell;

    fn database(path: &std::path::Path) -> (rusqlite::Connection, Rc<Engine>) {
        let attached = RefCell::new(None);
        let (host, _) = linked::open(
            |connection| {
                database::prepare(connection)?;
                let engine = Engine::attach(connection)?;
                crate::functions::register(&engine)?;
                attached.replace(Some(engine));
                Ok(())
            },
            || rusqlite::Connection::open(path),
        )
        .unwrap();
        (host, attached.take().unwrap())
    }

    fn set(host: &rusqlite::Connection, value: i64) {
        host.query_row("SELECT crsql_config_set('merge-equal-values', ?1)", [value], |_| Ok(())).unwrap();
    }

    #[test]
    fn the_merge_rule_sees_what_the_file_says_also_after_a_rollback_and_from_another_connection() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let ((host, engine), (other_host, other)) = (database(&path), database(&path));
        assert!(!engine.merge_equal_values().unwrap());
        set(&host, 1);
        assert!(engine.merge_equal_values().unwrap() && other.merge_equal_values().unwrap());
        set(&other_host, 2);
        assert!(!engine.merge_equal_values().unwrap(), "only 1 says yes");

        host.execute_batch("BEGIN; SAVEPOINT s").unwrap();
        engine.begin_write().unwrap();
        assert!(!engine.merge_equal_values().unwrap());
        set(&host, 1);
        assert!(engine.merge_equal_values().unwrap() && engine.merge_equal_values().unwrap());
        host.execute_batch("ROLLBACK TO s").unwrap();
        assert!(!engine.merge_equal_values().unwrap());
        set(&host, 1);
        assert!(engine.merge_equal_values().unwrap());
        host.execute_batch("ROLLBACK").unwrap();
        assert!(!engine.merge_equal_values().unwrap());
        other_host.execute_batch("UPDATE crsql_master SET value = 'x' WHERE key LIKE 'config.%'").unwrap();
        assert!(!engine.merge_equal_values().unwrap());
    }
}
