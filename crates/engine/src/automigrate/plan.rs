//! What has to happen so that a database has a schema.

use super::shape::{Object, Schema, Table};
use super::text::{Declared, VirtualTable};
use rejoin_bridge::{Error, Result};

/// The schema that a database is to have.
pub(super) struct Wanted {
    pub(super) schema: Schema,
    pub(super) declared: Declared,
}

/// How a database differs from the schema that it is to have.
pub(super) struct Differences<'a> {
    /// Tables in both, of which something differs.
    pub(super) tables: Vec<TableChange<'a>>,
    /// Tables that the schema does not have.
    pub(super) gone_tables: Vec<&'a Table>,
    /// Virtual tables that the schema does not have.
    pub(super) gone_virtual_tables: Vec<&'a Object>,
    /// Indexes that the schema does not have, and indexes, views and triggers that it has otherwise.
    pub(super) outdated: Vec<&'a Object>,
    /// Views that the schema does not have. They are left, where they go on working.
    pub(super) stray_views: Vec<&'a Object>,
    /// Kind and name of what only the schema has.
    pub(super) missing: Vec<(&'a str, &'a str)>,
}

/// A table that differs.
pub(super) struct TableChange<'a> {
    pub(super) local: &'a Table,
    pub(super) wanted: &'a Table,
    /// Columns to drop, by place in `local`.
    pub(super) dropped: Vec<usize>,
    /// Columns to add, by place in `wanted`.
    pub(super) added: Vec<usize>,
    /// What ALTER TABLE cannot do: names of columns that are defined otherwise, or "its constraints".
    pub(super) redefined: Vec<String>,
    /// True where rows are told apart otherwise.
    pub(super) other_identity: bool,
}

impl<'a> Differences<'a> {
    pub(super) fn find(local: &'a Schema, wanted: &'a Wanted) -> Result<Differences<'a>> {
        let mut differences = Differences {
            tables: Vec::new(),
            gone_tables: Vec::new(),
            gone_virtual_tables: Vec::new(),
            outdated: Vec::new(),
            stray_views: Vec::new(),
            missing: Vec::new(),
        };
        for table in &local.tables {
            match wanted.schema.table(&table.name) {
                None if local.is_behind_virtual_table(&table.name) => {}
                None => differences.gone_tables.push(table),
                Some(other) => differences.tables.extend(table_change(table, other)?),
            }
        }
        differences.find_outdated(local, wanted);
        differences.find_virtual(local, wanted)?;
        differences.find_missing(local, wanted);
        Ok(differences)
    }

    fn find_outdated(&mut self, local: &'a Schema, wanted: &Wanted) {
        let Wanted { schema: wanted, declared } = wanted;
        for object in local.others.iter().filter(|object| !local.is_behind_virtual_table(&object.table)) {
            let on_gone_table = self.gone_tables.iter().any(|table| table.name.eq_ignore_ascii_case(&object.table));
            let outdated = match wanted.other(&object.kind, &object.name) {
                Some(other) => other.normal != object.normal || on_gone_table,
                None => {
                    let is_dropped = |(kind, name): &(String, String)| {
                        *kind == object.kind && name.eq_ignore_ascii_case(&object.name)
                    };
                    let is_table_now = object.kind == "view" && wanted.table(&object.name).is_some();
                    object.kind == "index" || is_table_now || declared.dropped.iter().any(is_dropped)
                }
            };
            if object.kind == "view" && wanted.other("view", &object.name).is_none() && !outdated {
                self.stray_views.push(object);
            }
            if outdated && !(object.kind == "index" && on_gone_table) {
                self.outdated.push(object);
            }
        }
    }

    fn find_virtual(&mut self, local: &'a Schema, wanted: &Wanted) -> Result<()> {
        for object in &local.virtual_tables {
            let same_name = |other: &&VirtualTable| other.name.eq_ignore_ascii_case(&object.name);
            match wanted.declared.virtual_tables.iter().find(same_name) {
                Some(other) if other.using != object.normal => {
                    return Err(Error::failed(format!(
                        "the virtual table {} is defined otherwise in the schema, and cannot be altered: drop it first, \
                         or leave it as it is",
                        object.name
                    )));
                }
                Some(_) => {}
                None => self.gone_virtual_tables.push(object),
            }
            let data =
                crate::clset::data_table(&object.name).filter(|_| object.normal.get(1).is_some_and(|m| m == "clset"));
            if let Some(table) = data.and_then(|name| wanted.schema.table(name)) {
                return Err(Error::failed(format!(
                    "the table {} belongs to the virtual table {}, and the schema makes it by itself: copy its rows and \
                     drop {} first",
                    table.name, object.name, object.name
                )));
            }
        }
        Ok(())
    }

    fn find_missing(&mut self, local: &Schema, wanted: &'a Wanted) {
        let tables = wanted.schema.tables.iter().filter(|table| local.table(&table.name).is_none());
        self.missing.extend(tables.map(|table| ("table", table.name.as_str())));
        let others = wanted.schema.others.iter().filter(|object| local.other(&object.kind, &object.name).is_none());
        self.missing.extend(others.map(|object| (object.kind.as_str(), object.name.as_str())));
        let known = |name: &str| local.virtual_tables.iter().any(|object| object.name.eq_ignore_ascii_case(name));
        let virtual_tables = wanted.declared.virtual_tables.iter().filter(|table| !known(&table.name));
        self.missing.extend(virtual_tables.map(|table| ("virtual table", table.name.as_str())));
    }

    /// True where running the schema's text is all that is left to do.
    pub(super) fn need_nothing_altered(&self) -> bool {
        self.tables.is_empty()
            && self.gone_tables.is_empty()
            && self.gone_virtual_tables.is_empty()
            && self.outdated.is_empty()
    }

    /// The first difference, in words.
    pub(super) fn first(&self) -> Option<String> {
        let table = |change: &TableChange<'_>| format!("table {}", change.local.name);
        let object = |object: &&Object| format!("{} {}", object.kind, object.name);
        let missing = |(kind, name): &(&str, &str)| format!("{kind} {name}");
        let first = self.tables.first().map(table);
        let first = first.or_else(|| self.gone_tables.first().map(|table| format!("table {}", table.name)));
        let first = first.or_else(|| self.gone_virtual_tables.first().map(object));
        let first = first.or_else(|| self.outdated.first().map(object));
        first.or_else(|| self.missing.first().map(missing))
    }
}

/// How two tables of one name differ, if they do.
fn table_change<'a>(local: &'a Table, wanted: &'a Table) -> Result<Option<TableChange<'a>>> {
    let (Some(local_text), Some(wanted_text)) = (&local.parsed, &wanted.parsed) else {
        return Err(Error::failed(format!(
            "the definition of table {} cannot be read well enough to compare it: alter the table by hand",
            local.name
        )));
    };
    let dropped: Vec<usize> =
        (0..local.columns.len()).filter(|at| wanted.column(&local.columns[*at].name).is_none()).collect();
    let added: Vec<usize> =
        (0..wanted.columns.len()).filter(|at| local.column(&wanted.columns[*at].name).is_none()).collect();
    let mut redefined = Vec::new();
    for (at, column) in local.columns.iter().enumerate() {
        let Some(other) = wanted.column(&column.name) else { continue };
        if local.definition(local_text, at) != wanted.definition(wanted_text, other) {
            redefined.push(column.name.clone());
        }
    }
    if local.beyond_columns(local_text) != wanted.beyond_columns(wanted_text) {
        redefined.push("its constraints".to_owned());
    }
    let other_identity = local.identity(local_text) != wanted.identity(wanted_text);
    if dropped.is_empty() && added.is_empty() && redefined.is_empty() && !other_identity {
        return Ok(None);
    }
    Ok(Some(TableChange { local, wanted, dropped, added, redefined, other_identity }))
}
