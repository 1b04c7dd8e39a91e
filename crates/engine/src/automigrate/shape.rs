//! A schema as it is compared: what each object is, without the freedoms that its text has.

use super::text::using_of;
use crate::schema_text::{ConstraintKind, CreateTable, Kind, tokenize};
use crate::sql::{fractional, migration};
use rejoin_bridge::{Connection, Result};

/// The tables, indexes, views and triggers of a database that are the user's.
pub(super) struct Schema {
    pub(super) tables: Vec<Table>,
    /// Indexes, views and triggers.
    pub(super) others: Vec<Object>,
    pub(super) virtual_tables: Vec<Object>,
}

/// An index, view, trigger or virtual table.
pub(super) struct Object {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) table: String,
    /// Its text without what does not matter; of a virtual table only its module and arguments.
    pub(super) normal: Vec<String>,
}

/// An ordinary table.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) sql: String,
    pub(super) columns: Vec<Column>,
    /// None where its text cannot be read.
    pub(super) parsed: Option<CreateTable>,
}

/// A column as SQLite sees it.
pub(super) struct Column {
    pub(super) name: String,
    /// From 1 on, or 0.
    pub(super) key_place: i64,
    pub(super) is_generated: bool,
}

impl Schema {
    pub(super) fn read(connection: &Connection) -> Result<Schema> {
        let kinds = connection
            .prepare(migration::VIRTUAL_TABLES)?
            .query(&[], |row| Ok((row.column_text(0), row.column_text(1))))?;
        let is = |name: &str, kind: &str| kinds.iter().any(|(found, k)| k == kind && found.eq_ignore_ascii_case(name));
        let objects = connection
            .prepare(migration::OBJECTS)?
            .query(&[], |row| Ok([0, 1, 2, 3].map(|column| row.column_text(column))))?;
        let mut schema = Schema { tables: Vec::new(), others: Vec::new(), virtual_tables: Vec::new() };
        for [kind, name, table, sql] in objects {
            if is_reserved(&name) || is_reserved(&table) || is(&table, "shadow") {
                continue;
            }
            if is(&name, "virtual") {
                let normal = using_of(&sql);
                schema.virtual_tables.push(Object { kind, name, table, normal });
            } else if kind == "table" {
                schema.tables.push(Table::read(connection, name, sql)?);
            } else {
                let normal = normal(&sql);
                schema.others.push(Object { kind, name, table, normal });
            }
        }
        schema.leave_out_orderings();
        schema.leave_out_data_of_clset();
        Ok(schema)
    }

    /// The views of ordered tables, and their triggers, are made by a function.
    fn leave_out_orderings(&mut self) {
        let views: Vec<String> = self.tables.iter().map(|table| fractional::view_name(&table.name)).collect();
        let is_view = |name: &str| views.iter().any(|view| view.eq_ignore_ascii_case(name));
        self.others.retain(|object| !is_view(&object.name) && !is_view(&object.table));
    }

    /// So are the tables behind those of the module clset.
    fn leave_out_data_of_clset(&mut self) {
        let of_clset = self.virtual_tables.iter().filter(|object| object.normal.get(1).is_some_and(|m| m == "clset"));
        let data: Vec<&str> = of_clset.filter_map(|object| crate::clset::data_table(&object.name)).collect();
        self.tables.retain(|table| !data.contains(&table.name.as_str()));
        self.others.retain(|object| !data.contains(&object.table.as_str()));
    }

    /// Whether a table may be one in which a virtual table keeps its data. SQLite knows that only where the module is
    /// loaded and says so.
    pub(super) fn is_behind_virtual_table(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let behind = |of: &str| name.strip_prefix(&of.to_ascii_lowercase()).is_some_and(|rest| rest.starts_with('_'));
        self.virtual_tables.iter().any(|object| behind(&object.name))
    }

    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name.eq_ignore_ascii_case(name))
    }

    pub(super) fn other(&self, kind: &str, name: &str) -> Option<&Object> {
        self.others.iter().find(|object| object.kind == kind && object.name.eq_ignore_ascii_case(name))
    }
}

/// Names of SQLite, of the engine and of the streams.
fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("sqlite_") || name.starts_with("crsql_") || name.contains("__crsql_")
}

impl Table {
    fn read(connection: &Connection, name: String, sql: String) -> Result<Table> {
        let columns = connection.prepare(migration::COLUMNS)?.query(&[(&name).into()], |row| {
            let (name, key_place) = (row.column_text(0), row.column_i64(1));
            Ok(Column { name, key_place, is_generated: row.column_i64(2) != 0 })
        })?;
        let parsed = CreateTable::parse(&sql).ok().filter(|parsed| {
            parsed.columns.iter().map(|column| &column.name).eq(columns.iter().map(|column| &column.name))
        });
        Ok(Table { name, sql, columns, parsed })
    }

    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// The key columns' names, in the order of the key.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<&Column> = self.columns.iter().filter(|column| column.key_place > 0).collect();
        keys.sort_by_key(|column| column.key_place);
        keys.into_iter().map(|column| column.name.clone()).collect()
    }

    /// A column's type and constraints; the order of the constraints does not matter.
    pub(super) fn definition(&self, parsed: &CreateTable, at: usize) -> Vec<Vec<String>> {
        let column = &parsed.columns[at];
        let mut constraints: Vec<Vec<String>> =
            column.constraints.iter().map(|constraint| normal(&self.sql[constraint.range.clone()])).collect();
        constraints.sort();
        constraints.insert(0, normal(&self.sql[column.declared_type.clone()]));
        constraints
    }

    /// What else the text says: table constraints in any order, and options.
    pub(super) fn beyond_columns(&self, parsed: &CreateTable) -> Vec<Vec<String>> {
        let mut constraints: Vec<Vec<String>> =
            parsed.constraints.iter().map(|constraint| normal(&self.sql[constraint.range.clone()])).collect();
        constraints.sort();
        let mut options = normal(&self.sql[parsed.options.clone()]);
        options.retain(|token| token != ",");
        options.sort();
        constraints.push(options);
        constraints
    }

    /// What decides which rows are the same: for every key column its name, type and collation.
    pub(super) fn identity(&self, parsed: &CreateTable) -> Vec<(String, Vec<String>)> {
        let describe = |name: String| {
            let column = &parsed.columns[self.column(&name).expect("a key column is a column")];
            let mut tokens = normal(&self.sql[column.declared_type.clone()]);
            let collations = column.constraints.iter().filter(|constraint| constraint.kind == ConstraintKind::Collate);
            tokens.extend(collations.flat_map(|constraint| normal(&self.sql[constraint.range.clone()])));
            (name.to_ascii_lowercase(), tokens)
        };
        self.keys().into_iter().map(describe).collect()
    }
}

/// A text as tokens: without space and comments, names without quotes, bare words in small letters.
pub(super) fn normal(sql: &str) -> Vec<String> {
    let Ok(tokens) = tokenize(sql) else { return vec![sql.to_owned()] };
    let significant = tokens.iter().filter(|token| token.is_significant());
    significant
        .map(|token| match token.kind {
            Kind::Quoted => token.name(sql).unwrap_or_default(),
            Kind::Literal => token.text(sql).to_owned(),
            _ => token.text(sql).to_ascii_lowercase(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_space_comments_and_letters_do_not_matter_and_strings_do() {
        assert_eq!(normal("a INTEGER -- c\n DEFAULT 'A'"), normal("\"a\"\tinteger /* x */default 'A'"));
        assert_ne!(normal("a DEFAULT 'A'"), normal("a DEFAULT 'a'"));
    }
}
