//! Altering what differs: by ALTER TABLE where that is enough, else by making the table anew around its rows.

use super::plan::{Differences, TableChange};
use super::set_aside::{SetAside, set_views_aside, take_ordering};
use super::shape::{Schema, Table};
use crate::engine::Engine;
use crate::schema;
use crate::schema_text::{ConstraintKind, CreateTable};
use crate::sql::{self, migration};
use rejoin_bridge::{Connection, Error, PrivateDatabase, Result};

/// One migration of one database.
pub(super) struct Migration<'a> {
    pub(super) engine: &'a Engine,
    pub(super) private: &'a PrivateDatabase,
    pub(super) wanted: &'a Schema,
}

impl Migration<'_> {
    /// Alters and drops; what is new is left to the schema's own text. Returns what is to be put back after that.
    pub(super) fn alter(&self, differences: &Differences<'_>) -> Result<SetAside> {
        for change in &differences.tables {
            self.refuse(change)?;
        }
        self.engine.begin_write()?;
        let connection = &self.engine.connection;
        for object in &differences.outdated {
            connection.execute(&migration::drop_object(&object.kind, &object.name))?;
        }
        let mut set_aside =
            SetAside { views: set_views_aside(connection, &differences.stray_views)?, orderings: Vec::new() };
        for change in &differences.tables {
            set_aside.orderings.extend(take_ordering(connection, &change.local.name)?);
            self.change(change).map_err(|error| {
                Error::new(error.code, format!("crsql_automigrate: table {}: {error}", change.local.name))
            })?;
        }
        for object in &differences.gone_virtual_tables {
            connection.execute(&sql::drop_table(&object.name))?;
        }
        self.drop_tables(&differences.gone_tables)?;
        Ok(set_aside)
    }

    /// The name under which a table is tracked.
    fn tracked_name(&self, table: &str) -> Result<Option<String>> {
        let catalogue = self.engine.catalogue()?;
        let found = catalogue.tables().iter().find(|tracked| tracked.name.eq_ignore_ascii_case(table));
        Ok(found.map(|tracked| tracked.name.clone()))
    }

    /// What must not happen unasked is refused before anything is touched.
    fn refuse(&self, change: &TableChange<'_>) -> Result<()> {
        let table = &change.local.name;
        if change.other_identity && self.tracked_name(table)?.is_some() {
            return Err(Error::failed(format!(
                "crsql_automigrate: the primary key of table {table} would change from ({}) to ({}). \
                 All history of the table would be lost: make a new table and copy the rows, or alter it between \
                 crsql_begin_alter and crsql_commit_alter",
                key_in_words(change.local),
                key_in_words(change.wanted)
            )));
        }
        Ok(())
    }

    fn change(&self, change: &TableChange<'_>) -> Result<()> {
        let tracked = self.tracked_name(&change.local.name)?;
        if let Some(name) = &tracked {
            schema::drop_triggers(self.engine, name)?;
        }
        if self.altering_is_enough(change, tracked.is_some())? {
            self.alter_columns(change)?;
        } else {
            self.make_anew(change)?;
        }
        self.engine.forget_catalogue();
        match tracked {
            Some(name) => schema::adopt_alteration(self.engine, &name),
            None => Ok(()),
        }
    }

    fn altering_is_enough(&self, change: &TableChange<'_>, is_tracked: bool) -> Result<bool> {
        let addable = self.can_be_added(change, is_tracked)?;
        let Some(local) = &change.local.parsed else { return Ok(false) };
        let mut dropped = change.dropped.iter().flat_map(|at| &local.columns[*at].constraints);
        let bound = dropped.any(|constraint| {
            use ConstraintKind::{ForeignKey, PrimaryKey, Unique};
            matches!(constraint.kind, PrimaryKey { .. } | Unique | ForeignKey)
        });
        Ok(addable && change.redefined.is_empty() && !change.other_identity && !bound)
    }

    /// Whether SQLite adds these columns to a table that has rows; it is asked on a table with one row of NULLs.
    fn can_be_added(&self, change: &TableChange<'_>, is_tracked: bool) -> Result<bool> {
        let names: Vec<String> = change.local.columns.iter().map(|column| column.name.clone()).collect();
        self.private.execute(&migration::make_trial(&names))?;
        let mut all = true;
        for definition in added_definitions(change) {
            let Err(error) = self.private.execute(&migration::try_column(definition)) else { continue };
            let table = &change.local.name;
            let computed = error.message.contains("non-constant default");
            if is_tracked && computed && has_rows(&self.engine.connection, table)? {
                return Err(Error::failed(format!(
                    "the new column {definition} has a default that every copy would compute for itself, so that they \
                     would differ: give it a constant, or none"
                )));
            }
            all = false;
        }
        Ok(all)
    }

    fn alter_columns(&self, change: &TableChange<'_>) -> Result<()> {
        let table = &change.local.name;
        for definition in added_definitions(change) {
            self.engine.connection.execute(&migration::add_column(table, definition))?;
        }
        for at in &change.dropped {
            let column = &change.local.columns[*at].name;
            self.engine.connection.execute(&migration::drop_column(table, column)).map_err(|error| {
                Error::new(
                    error.code,
                    format!("{error}. What needs the column is to be dropped first, or to be in the schema"),
                )
            })?;
        }
        Ok(())
    }

    /// Rows wait in a temporary table while theirs is made anew under its own name, so that nothing which refers to it
    /// is rewritten. Indexes and triggers come back as they were.
    fn make_anew(&self, change: &TableChange<'_>) -> Result<()> {
        let (connection, table) = (&self.engine.connection, &change.local.name);
        self.refuse_parents(table)?;
        let dependants = dependants(connection, table)?;
        let sequence = sequence(connection, table)?;

        let stored: Vec<String> = change.local.columns.iter().map(|column| column.name.clone()).collect();
        let rowid = rowid_name(connection, change.local)?;
        let order = match rowid {
            Some(name) => name.to_owned(),
            None => migration::key_order(&change.local.keys()),
        };
        connection.execute(&migration::put_aside(table, &stored, rowid, &order))?;
        connection.execute(&create_under_name(change.wanted, table)?)?;
        let kept = change.wanted.columns.iter().filter(|column| !column.is_generated);
        let kept: Vec<(usize, String)> =
            kept.filter_map(|column| Some((change.local.column(&column.name)?, column.name.clone()))).collect();
        let key_is_rowid = !change.wanted.keys().is_empty() && !key_has_index(connection, table)?;
        // A key that is the rowid brings it along.
        let same_rowid = rowid.filter(|_| !key_is_rowid).filter(|name| change.wanted.column(name).is_none());
        let same_rowid = if is_without_rowid(connection, table)? { None } else { same_rowid };
        if kept.is_empty() && same_rowid.is_none() {
            return Err(Error::failed("no column would be left of its rows: drop the table first"));
        }
        connection.execute(&migration::put_back(table, &kept, same_rowid))?;
        if let Some(sequence) = sequence.filter(|_| counts(change.wanted)) {
            connection.prepare(migration::FORGET_SEQUENCE)?.run(&[table.into()])?;
            connection.prepare(migration::WRITE_SEQUENCE)?.run(&[table.into(), sequence.into()])?;
        }
        dependants.iter().try_for_each(|text| connection.execute(text))
    }

    /// Dropping a table deletes its rows, which would reach those that refer to it.
    fn refuse_parents(&self, table: &str) -> Result<()> {
        let connection = &self.engine.connection;
        if !foreign_keys_are_enforced(connection)? {
            return Ok(());
        }
        match children(connection, table)?.first() {
            None => Ok(()),
            Some(child) => Err(Error::failed(format!(
                "table {child} refers to it by a foreign key, and foreign keys are enforced on this connection: run the \
                 migration with PRAGMA foreign_keys = OFF"
            ))),
        }
    }

    fn drop_tables(&self, gone: &[&Table]) -> Result<()> {
        let mut left: Vec<&str> = gone.iter().map(|table| table.name.as_str()).collect();
        if foreign_keys_are_enforced(&self.engine.connection)? {
            while !left.is_empty() {
                let next = self.referred_to_by_none(&left)?;
                self.drop_table(left.remove(next))?;
            }
        }
        left.iter().try_for_each(|table| self.drop_table(table))
    }

    /// The place of a table whose rows nothing refers to, or the first where they refer to each other in a circle. Fails
    /// where a table that stays refers to one of them.
    fn referred_to_by_none(&self, tables: &[&str]) -> Result<usize> {
        for (at, table) in tables.iter().enumerate() {
            let mut children = children(&self.engine.connection, table)?;
            children.retain(|child| !child.eq_ignore_ascii_case(table));
            if let Some(kept) = children.iter().find(|child| self.wanted.table(child).is_some()) {
                return Err(Error::failed(format!(
                    "crsql_automigrate: table {table} is not in the schema, but table {kept} refers to it by a foreign \
                     key, and foreign keys are enforced on this connection"
                )));
            }
            if children.is_empty() {
                return Ok(at);
            }
        }
        Ok(0)
    }

    fn drop_table(&self, table: &str) -> Result<()> {
        take_ordering(&self.engine.connection, table)?;
        match self.tracked_name(table)? {
            Some(name) => schema::drop_tracked(self.engine, &name)?,
            None => self.engine.connection.execute(&sql::drop_table(table))?,
        }
        self.engine.forget_catalogue();
        Ok(())
    }
}

/// The key columns with their types and collations.
fn key_in_words(table: &Table) -> String {
    let Some(parsed) = &table.parsed else { return table.keys().join(", ") };
    let columns = table.identity(parsed).into_iter();
    let columns = columns.map(|(name, rest)| std::iter::once(name).chain(rest).collect::<Vec<_>>().join(" "));
    columns.collect::<Vec<_>>().join(", ")
}

/// The text of every new column.
fn added_definitions<'a>(change: &TableChange<'a>) -> Vec<&'a str> {
    let (wanted, places) = (change.wanted, &change.added);
    let columns = wanted.parsed.iter().flat_map(|parsed| places.iter().map(|at| &parsed.columns[*at]));
    columns.map(|column| &wanted.sql[column.start..column.end]).collect()
}

/// The wanted table's text, for the name that the table has here.
fn create_under_name(wanted: &Table, name: &str) -> Result<String> {
    let parsed: &CreateTable = wanted.parsed.as_ref().ok_or_else(|| Error::failed("its definition cannot be read"))?;
    Ok(format!("CREATE TABLE {}{}", sql::quote(name), &wanted.sql[parsed.name.end..]))
}

/// Whether the table gives out numbers that it never gives twice.
fn counts(table: &Table) -> bool {
    table.parsed.as_ref().is_some_and(|parsed| {
        parsed.all_constraints().any(|c| matches!(c.kind, ConstraintKind::PrimaryKey { autoincrement: Some(_) }))
    })
}

fn sequence(connection: &Connection, table: &str) -> Result<Option<i64>> {
    match connection.prepare(migration::READ_SEQUENCE) {
        Ok(mut sequence) => sequence.query_row(&[table.into()], |row| Ok(row.column_i64(0))),
        // No table of the file counts.
        Err(_) => Ok(None),
    }
}

pub(super) fn foreign_keys_are_enforced(connection: &Connection) -> Result<bool> {
    let on = connection.prepare(migration::FOREIGN_KEYS)?.query_row(&[], |row| Ok(row.column_i64(0)))?;
    Ok(on == Some(1))
}

/// The tables whose foreign keys refer to this one.
fn children(connection: &Connection, table: &str) -> Result<Vec<String>> {
    let tables = Schema::read(connection)?.tables;
    let mut parents = connection.prepare(migration::PARENTS)?;
    let mut children = Vec::new();
    for child in tables {
        let of_child = parents.query(&[(&child.name).into()], |row| Ok(row.column_text(0)))?;
        if of_child.iter().any(|parent| parent.eq_ignore_ascii_case(table)) {
            children.push(child.name);
        }
    }
    Ok(children)
}

/// The texts of a table's indexes and triggers.
fn dependants(connection: &Connection, table: &str) -> Result<Vec<String>> {
    let objects = connection
        .prepare(migration::OBJECTS)?
        .query(&[], |row| Ok((row.column_text(0), row.column_text(2), row.column_text(3))))?;
    let of_table = objects
        .into_iter()
        .filter(|(kind, on, _)| matches!(kind.as_str(), "index" | "trigger") && on.eq_ignore_ascii_case(table));
    Ok(of_table.map(|(_, _, text)| text).collect())
}

fn has_rows(connection: &Connection, table: &str) -> Result<bool> {
    Ok(connection.prepare(&migration::has_rows(table))?.query_row(&[], |_| Ok(()))?.is_some())
}

/// The name by which a table's rowid can be read and written apart from its columns.
fn rowid_name(connection: &Connection, table: &Table) -> Result<Option<&'static str>> {
    let free = ["rowid", "_rowid_", "oid"].into_iter().find(|name| table.column(name).is_none());
    Ok(if is_without_rowid(connection, &table.name)? { None } else { free })
}

fn is_without_rowid(connection: &Connection, table: &str) -> Result<bool> {
    let found =
        connection.prepare(migration::IS_WITHOUT_ROWID)?.query_row(&[table.into()], |row| Ok(row.column_i64(0)))?;
    Ok(found == Some(1))
}

fn key_has_index(connection: &Connection, table: &str) -> Result<bool> {
    Ok(connection.prepare(migration::KEY_HAS_INDEX)?.query_row(&[table.into()], |_| Ok(()))?.is_some())
}
