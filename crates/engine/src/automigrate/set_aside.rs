//! What is in the way while tables are altered, and is put back afterwards: orderings, and views of which the schema does
//! not speak.

use super::check;
use super::shape::Object;
use crate::catalogue::exists;
use crate::engine::Engine;
use crate::fractional::{arguments_of_ordering, order};
use crate::sql::{fractional, migration};
use rejoin_bridge::{Connection, Error, Result};

/// What waits to be put back.
#[derive(Default)]
pub(super) struct SetAside {
    pub(super) views: Vec<View>,
    pub(super) orderings: Vec<Ordering>,
}

/// A view, and the texts that make it and its triggers.
pub(super) struct View {
    name: String,
    worked: bool,
    texts: Vec<String>,
}

/// How a table was ordered by crsql_fract_as_ordered: the table, the order column, the list columns.
pub(super) struct Ordering(Vec<String>);

impl SetAside {
    /// An ordering that the schema has not made anew is made anew here. A view that does not work on what the tables have
    /// become stays away; it holds no rows.
    pub(super) fn put_back(&self, engine: &Engine) -> Result<()> {
        let connection = &engine.connection;
        for Ordering(arguments) in &self.orderings {
            let [table, columns @ ..] = arguments.as_slice() else { continue };
            if exists(connection, "view", &fractional::view_name(table))? {
                continue;
            }
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            order(engine, table, &columns).map_err(|error| {
                Error::new(
                    error.code,
                    format!(
                        "crsql_automigrate: table {table} is ordered by ({}), which does not fit the new schema: {error}. \
                         Call crsql_fract_as_ordered in the schema, or drop the view {} first",
                        columns.join(", "),
                        fractional::view_name(table)
                    ),
                )
            })?;
        }
        let mut views: Vec<&View> = self.views.iter().collect();
        for text in views.iter().flat_map(|view| &view.texts) {
            connection.execute(text)?;
        }
        // A view may stand on another one.
        while let Some(at) = views.iter().position(|view| view.worked && !check::works(connection, &view.name)) {
            connection.execute(&migration::drop_object("view", &views.remove(at).name))?;
        }
        Ok(())
    }
}

/// Takes views away, with their triggers.
pub(super) fn set_views_aside(connection: &Connection, views: &[&Object]) -> Result<Vec<View>> {
    let objects = connection
        .prepare(migration::OBJECTS)?
        .query(&[], |row| Ok((row.column_text(1), row.column_text(2), row.column_text(3))))?;
    let mut set_aside = Vec::new();
    for Object { name, .. } in views {
        let worked = check::works(connection, name);
        let of_view = objects.iter().filter(|(object, table, _)| object == name || table.eq_ignore_ascii_case(name));
        let texts = of_view.map(|(_, _, text)| text.clone()).collect();
        set_aside.push(View { name: name.clone(), worked, texts });
    }
    for View { name, .. } in &set_aside {
        connection.execute(&migration::drop_object("view", name))?;
    }
    Ok(set_aside)
}

/// Takes the view and the triggers of crsql_fract_as_ordered off a table, if it has them.
pub(super) fn take_ordering(connection: &Connection, table: &str) -> Result<Option<Ordering>> {
    let trigger = fractional::insert_through_view_name(table);
    let objects =
        connection.prepare(migration::OBJECTS)?.query(&[], |row| Ok((row.column_text(1), row.column_text(3))))?;
    let Some((_, text)) = objects.iter().find(|(name, _)| name.eq_ignore_ascii_case(&trigger)) else { return Ok(None) };
    let Some(arguments) = arguments_of_ordering(text) else { return Ok(None) };
    connection.execute(&fractional::drop_ordering(table))?;
    Ok(Some(Ordering(arguments)))
}
