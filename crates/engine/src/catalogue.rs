use crate::affinity::KeyForm;
use crate::sql;
use crate::statements::Statements;
use rejoin_bridge::{Connection, Error, Result, ValueRef};
use std::collections::HashMap;
use std::rc::Rc;

/// The tracked tables of a database, as its schema says at one moment.
#[derive(Default)]
pub(crate) struct Catalogue {
    tables: Vec<Rc<Tracked>>,
    by_name: HashMap<String, usize>,
}

/// One tracked table.
pub(crate) struct Tracked {
    /// The name under which it is tracked.
    pub(crate) name: String,
    /// Its place among all clock tables, in the order in which they were made.
    pub(crate) index: i64,
    /// Its key columns, in the order of the primary key.
    pub(crate) keys: Vec<String>,
    /// How it stores the values of a key.
    pub(crate) key_form: KeyForm,
    /// Its other columns, in the order of the table.
    pub(crate) columns: Vec<String>,
    /// By column: whether it may not hold NULL.
    pub(crate) not_null: Vec<bool>,
    /// Whether its schema is still the one that is tracked.
    pub(crate) state: State,
    /// False where an index that reading needs has been dropped.
    pub(crate) has_version_index: bool,
    /// True where the sentinel's clock row comes before those of all columns, by their names.
    pub(crate) sentinel_is_first: bool,
    /// True where the lookaside table's index has the keys in the order of the primary key.
    pub(crate) keys_are_in_order: bool,
    pub(crate) statements: Statements,
}

/// Whether a table's schema is still the one that is tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Yes.
    Tracked,
    /// Its triggers are away: it is between crsql_begin_alter and crsql_commit_alter, or was made anew.
    Untriggered,
    /// Its columns have changed behind the engine's back. Its key is the same, so it can be read. Says what happened.
    ColumnsAltered(String),
    /// It is gone, or its key is another. Says what happened.
    Lost(String),
}

impl Catalogue {
    pub(crate) fn load(connection: &Connection) -> Result<Catalogue> {
        let mut catalogue = Catalogue::default();
        let clocks = connection.cached(sql::CLOCK_TABLES)?.query(&[], |row| Ok(row.column_text(0)))?;
        for clock in clocks {
            let columns = column_names(connection, &clock)?;
            // Other tables may have names that end alike.
            if !columns.iter().map(|column| column.name.as_str()).eq(sql::CLOCK_COLUMNS) {
                continue;
            }
            let name = clock.strip_suffix(sql::CLOCK_SUFFIX).unwrap_or(&clock).to_owned();
            let index = catalogue.tables.len();
            let table = Tracked::load(connection, name, index as i64)?;
            catalogue.by_name.insert(table.name.clone(), index);
            catalogue.tables.push(Rc::new(table));
        }
        Ok(catalogue)
    }

    pub(crate) fn tables(&self) -> &[Rc<Tracked>] {
        &self.tables
    }

    /// Finds a table by the exact name under which it is tracked.
    pub(crate) fn find(&self, name: &str) -> Option<&Rc<Tracked>> {
        self.by_name.get(name).map(|index| &self.tables[*index])
    }
}

impl Tracked {
    fn load(connection: &Connection, name: String, index: i64) -> Result<Tracked> {
        let (keys, columns) = key_and_other_columns(connection, &name)?;
        let recorded_keys = lookaside_keys(connection, &name)?;
        let state = state(connection, &name, &keys, &columns, &recorded_keys)?;
        let keys_are_in_order = recorded_keys == keys;
        let has_version_index = exists(connection, "index", &sql::clock_index_name(&name))?;
        let statements = Statements::new(connection, &name, &keys, &columns);
        let key_form = key_form(connection, &name)?;
        let others = column_names(connection, &name)?.into_iter().filter(|column| column.key_place == 0);
        let not_null = others.map(|column| column.not_null).collect();
        let sentinel_is_first = columns.iter().all(|column| column.as_str() > rejoin_change::SENTINEL);
        Ok(Tracked {
            name,
            index,
            keys,
            key_form,
            columns,
            not_null,
            state,
            has_version_index,
            sentinel_is_first,
            keys_are_in_order,
            statements,
        })
    }

    /// Fails unless rows of the table can be written and recorded.
    pub(crate) fn check_writable(&self) -> Result<()> {
        let name = &self.name;
        match &self.state {
            State::Tracked => Ok(()),
            State::Untriggered => Err(Error::failed(format!(
                "table {name} is being altered, or was dropped and made anew: call crsql_commit_alter('{name}') if \
                 crsql_begin_alter was called, else crsql_as_crr('{name}')"
            ))),
            State::ColumnsAltered(how) | State::Lost(how) => Err(Error::failed(how.clone())),
        }
    }

    /// True where the rows of the table can be found by their keys.
    pub(crate) fn is_readable(&self) -> bool {
        !matches!(self.state, State::Lost(_))
    }

    /// Where a column is among [`Tracked::columns`].
    pub(crate) fn column_index(&self, name: &[u8]) -> Option<usize> {
        self.columns.iter().position(|column| column.as_bytes() == name)
    }
}

/// A column of any table, and its place in the primary key, from 1; 0 outside of it.
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) key_place: i64,
    declared_type: String,
    not_null: bool,
}

pub(crate) fn column_names(connection: &Connection, table: &str) -> Result<Vec<Column>> {
    connection.cached(sql::COLUMN_NAMES)?.query(&[table.into()], |row| {
        let (name, key_place, declared_type) = (row.column_text(0), row.column_i64(1), row.column_text(2));
        Ok(Column { name, key_place, declared_type, not_null: row.column_i64(3) != 0 })
    })
}

fn key_form(connection: &Connection, table: &str) -> Result<KeyForm> {
    let mut keys = column_names(connection, table)?;
    keys.retain(|column| column.key_place > 0);
    keys.sort_by_key(|column| column.key_place);
    let strict = connection.cached(sql::IS_STRICT)?.query_row(&[table.into()], |_| Ok(()))?.is_some();
    Ok(KeyForm::new(connection, keys.iter().map(|column| column.declared_type.as_str()), strict))
}

/// The key columns in the order of the primary key, and the others in that of the table. Generated columns are in
/// neither list.
pub(crate) fn key_and_other_columns(connection: &Connection, table: &str) -> Result<(Vec<String>, Vec<String>)> {
    let (mut keys, others): (Vec<_>, Vec<_>) =
        column_names(connection, table)?.into_iter().partition(|column| column.key_place > 0);
    keys.sort_by_key(|column| column.key_place);
    let names = |columns: Vec<Column>| columns.into_iter().map(|column| column.name).collect();
    Ok((names(keys), names(others)))
}

pub(crate) fn exists(connection: &Connection, kind: &str, name: &str) -> Result<bool> {
    Ok(connection.cached(sql::OBJECT_EXISTS)?.query_row(&[kind.into(), name.into()], |_| Ok(()))?.is_some())
}

/// The table's name as its schema has it, and its CREATE TABLE text.
pub(crate) fn table_sql(connection: &Connection, table: &str) -> Result<Option<(String, String)>> {
    connection.cached(sql::TABLE_SQL)?.query_row(&[table.into()], |row| Ok((row.column_text(0), row.column_text(1))))
}

/// The columns by which keys are looked up.
pub(crate) fn lookaside_keys(connection: &Connection, table: &str) -> Result<Vec<String>> {
    let index = sql::lookaside_index_name(table);
    connection.cached(sql::INDEX_COLUMNS)?.query(&[(&index).into()], |row| Ok(row.column_text(0)))
}

/// True where both lists name the same columns, in any order.
pub(crate) fn same_names(a: &[String], b: &[String]) -> bool {
    a.len() == b.len() && a.iter().all(|name| b.contains(name))
}

/// Names the columns of a table in a few letters. It stands as a comment in the update trigger, where ALTER TABLE does
/// not rewrite it, so that a column renamed, added or dropped behind the engine's back is noticed.
pub(crate) fn fingerprint(keys: &[String], columns: &[String]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for name in keys.iter().chain(columns) {
        for byte in name.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("{FINGERPRINT_MARK}{hash:016x}")
}

const FINGERPRINT_MARK: &str = "columns:";

fn state(
    connection: &Connection,
    table: &str,
    keys: &[String],
    columns: &[String],
    recorded_keys: &[String],
) -> Result<State> {
    let advice = format!(
        "schema changes of a tracked table go between crsql_begin_alter('{table}') and \
         crsql_commit_alter('{table}')"
    );
    if table_sql(connection, table)?.is_none() {
        return Ok(State::Lost(format!(
            "table {table} is tracked but was dropped or renamed: {advice}. Rename it back, or give its history up with \
             crsql_as_table('{table}') and call crsql_as_crr on the new name"
        )));
    }
    if !same_names(recorded_keys, keys) {
        return Ok(State::Lost(format!(
            "the primary key of table {table} was altered from ({}) to ({}): {advice}. Call both now to track the new key",
            recorded_keys.join(", "),
            keys.join(", ")
        )));
    }
    let trigger = connection
        .cached(sql::TRIGGER)?
        .query_row(&[(&sql::update_trigger_name(table)).into()], |row| Ok((row.column_text(0), row.column_text(1))))?;
    let Some((on_table, text)) = trigger else { return Ok(State::Untriggered) };
    if !exists(connection, "trigger", &sql::insert_trigger_name(table))? || !on_table.eq_ignore_ascii_case(table) {
        return Ok(State::Untriggered);
    }
    if !is_of_these_columns(connection, table, &text, keys, columns)? {
        return Ok(State::ColumnsAltered(format!(
            "the columns of table {table} were altered: {advice}. Call both now to track its present columns"
        )));
    }
    Ok(State::Tracked)
}

/// Whether the update trigger was made for the columns that the table has now. Triggers of the original have no
/// fingerprint: there a new column is missing from the text, and the clock speaks of the old name of a renamed one.
fn is_of_these_columns(
    connection: &Connection,
    table: &str,
    trigger: &str,
    keys: &[String],
    columns: &[String],
) -> Result<bool> {
    if trigger.contains(FINGERPRINT_MARK) {
        return Ok(trigger.contains(&fingerprint(keys, columns)));
    }
    if !columns.iter().all(|column| trigger.contains(&format!("NEW.{}", sql::quote(column)))) {
        return Ok(false);
    }
    let recorded = connection
        .prepare(&sql::sampled_column_names(table))?
        .query(&[] as &[ValueRef<'_>], |row| Ok(row.column_text(0)))?;
    Ok(recorded.iter().all(|name| name == rejoin_change::SENTINEL || columns.contains(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn a_fingerprint_tells_columns_apart_and_is_stable() {
        let fingerprints = [
            fingerprint(&names(&["a"]), &names(&["b", "c"])),
            fingerprint(&names(&["a"]), &names(&["b"])),
            fingerprint(&names(&["a"]), &names(&["bc"])),
            fingerprint(&names(&["a"]), &names(&["c", "b"])),
        ];
        for (i, one) in fingerprints.iter().enumerate() {
            assert!(fingerprints.iter().skip(i + 1).all(|other| other != one));
        }
        assert_eq!(fingerprint(&names(&["a"]), &names(&["b"])), "columns:ab40d7820d408076");
    }

    #[test]
    fn keys_are_compared_as_sets() {
        assert!(same_names(&names(&["a", "b"]), &names(&["b", "a"])));
        assert!(!same_names(&names(&["a"]), &names(&["a", "b"])));
        assert!(!same_names(&names(&["a", "b"]), &names(&["a", "c"])));
    }
}
