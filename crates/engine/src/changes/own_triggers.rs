//! A large merge need not fire the triggers of tracked tables, which would only find that there is nothing to record: a
//! statement that fires triggers keeps a journal, which costs more than the row that it writes.

use crate::engine::Engine;
use crate::sql;
use rejoin_bridge::{Result, TriggersOff};

/// Switches triggers off for a merge of so many changes, where that pays and the database has none but those which
/// record local writes.
pub(super) fn off(engine: &Engine, changes: usize) -> Result<Option<TriggersOff>> {
    if changes < WORTHWHILE_MIN || !are_all(engine)? {
        return Ok(None);
    }
    engine.connection.triggers_off()
}

/// Whether every trigger is one that records local writes. A temporary one can write to attached databases, whose
/// triggers are not looked at.
fn are_all(engine: &Engine) -> Result<bool> {
    let connection = &engine.connection;
    if connection.cached(sql::IS_ANY_TRIGGER_TEMPORARY)?.query_row(&[], |_| Ok(()))?.is_some() {
        return Ok(false);
    }
    let catalogue = engine.catalogue()?;
    let mut are_all = true;
    connection.cached(sql::TRIGGERS)?.each_until(&[], |trigger| {
        let (table, name, text) = (trigger.column_text(0), trigger.column_text(1), trigger.column_text(2));
        let names = [sql::insert_trigger_name, sql::update_trigger_name, sql::delete_trigger_name];
        are_all = catalogue.find(&table).is_some()
            && names.iter().any(|of| of(&table) == name)
            && text.contains(sql::UNLESS_MERGING);
        Ok(!are_all)
    })?;
    Ok(are_all)
}

/// Below so many changes it costs more to compile the statements anew than their journals do.
const WORTHWHILE_MIN: usize = 1000;
