//! Views and triggers are not compiled when what they speak of changes. This compiles them, to find the broken ones.

use super::shape::Schema;
use crate::sql::migration;
use rejoin_bridge::{Connection, Error, Result};

/// Whether a view works.
pub(super) fn works(connection: &Connection, view: &str) -> bool {
    connection.prepare(&migration::read_view(view)).is_ok()
}

/// What does not work: an object, and why.
pub(super) fn broken(connection: &Connection, schema: &Schema) -> Result<Vec<(String, String)>> {
    let mut broken = Vec::new();
    let mut compile = |object: String, sql: &str| {
        if let Err(error) = connection.prepare(sql) {
            broken.push((object, error.message));
        }
    };
    for view in schema.others.iter().filter(|object| object.kind == "view") {
        compile(format!("view {}", view.name), &migration::read_view(&view.name));
    }
    for table in &schema.tables {
        let has_trigger = |kind: &str, on: &str| kind == "trigger" && on.eq_ignore_ascii_case(&table.name);
        if schema.others.iter().any(|object| has_trigger(&object.kind, &object.table)) {
            let columns: Vec<String> =
                table.columns.iter().filter(|column| !column.is_generated).map(|column| column.name.clone()).collect();
            for write in migration::writes(&table.name, &columns) {
                compile(format!("a trigger of table {}", table.name), &write);
            }
        }
    }
    Ok(broken)
}

/// Fails where something does not work that worked before.
pub(super) fn no_more_broken(connection: &Connection, schema: &Schema, before: &[(String, String)]) -> Result<()> {
    let now = broken(connection, schema)?;
    match now.iter().find(|(object, _)| !before.iter().any(|(known, _)| known == object)) {
        None => Ok(()),
        Some((object, why)) => Err(Error::failed(format!(
            "crsql_automigrate: {object} would no longer work: {why}. Drop it first, or write it anew in the schema"
        ))),
    }
}
