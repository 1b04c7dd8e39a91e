//! Rows in an order of their own: keys between keys, a view to insert and move by, and the triggers that give places.

mod key;

use crate::catalogue::{key_and_other_columns, table_sql};
use crate::engine::Engine;
use crate::schema_text::{Kind, Token, tokenize};
use crate::sql;
use crate::sql::fractional::{self as texts, Ordered};
use rejoin_bridge::{Call, Error, Output, Result, Value, ValueRef};
use std::rc::Rc;

/// `crsql_fract_key_between(after, before)`: NULL is an open end.
pub(crate) fn key_between(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    let after = key_text(engine, call.arg(0))?;
    let before = key_text(engine, call.arg(1))?;
    between(after.as_deref(), before.as_deref()).map(Output::from)
}

fn between(after: Option<&[u8]>, before: Option<&[u8]>) -> Result<String> {
    key::key_between(after, before).map_err(Error::failed)
}

/// The bytes of a key as SQLite makes text of it; none for NULL.
fn key_text(engine: &Engine, value: ValueRef<'_>) -> Result<Option<Vec<u8>>> {
    match value {
        ValueRef::Null => Ok(None),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Some(bytes.to_vec())),
        number => engine.connection.cached(sql::AS_TEXT)?.query_row(&[number], |row| Ok(row.column_blob(0))),
    }
}

/// `crsql_fract_as_ordered(table, order column, list columns …)`.
pub(crate) fn as_ordered(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    if call.len() < 2 {
        return Err(Error::failed("Must provide at least 2 arguments -- the table name and the column to order by"));
    }
    let names: Option<Vec<&str>> = (0..call.len()).map(|at| call.arg(at).as_str()).collect();
    let names = names.filter(|names| names.iter().all(|name| !name.contains('\0'))).ok_or_else(no_such_columns)?;
    let [table, columns @ ..] = names.as_slice() else { return Err(no_such_columns()) };
    order(engine, table, columns)?;
    Ok(Output::Null)
}

/// Orders a table by the first of these columns, in lists by the others. Replaces the order that it had.
pub(crate) fn order(engine: &Engine, table: &str, columns: &[&str]) -> Result<()> {
    let (table, _) = table_sql(&engine.connection, table)?.ok_or_else(no_such_columns)?;
    let known = Columns::read(engine, &table)?;
    let columns: Option<Vec<String>> = columns.iter().map(|name| known.spelling(name)).collect();
    let columns = columns.ok_or_else(no_such_columns)?;
    let [order, lists @ ..] = columns.as_slice() else { return Err(no_such_columns()) };
    known.check(&table, order)?;
    let Columns { keys, shown, written } = &known;
    let ordered = Ordered { table: &table, order, lists, keys, shown, written };
    let rowid = engine.connection.last_insert_rowid();
    let made = engine.connection.savepoint("crsql_fract_as_ordered", || {
        engine.connection.execute(&texts::drop_ordering(&table))?;
        engine.connection.execute(&ordered.create())
    });
    engine.connection.set_last_insert_rowid(rowid);
    made.map_err(|error| Error::new(error.code, format!("crsql_fract_as_ordered('{table}'): {error}")))
}

fn no_such_columns() -> Error {
    Error::failed("all columns are not present in the base table")
}

/// How a table is ordered, read from the text of the trigger that inserts through its view: the table, the order column
/// and the list columns.
pub(crate) fn arguments_of_ordering(trigger: &str) -> Option<Vec<String>> {
    let tokens: Vec<Token> = tokenize(trigger).ok()?.into_iter().filter(Token::is_significant).collect();
    let call = tokens.iter().position(|token| token.is_word(trigger, "crsql_fract_fix_conflict_return_old_key"))?;
    let arguments = tokens[call + 2..].iter().filter(|token| token.kind != Kind::Comma);
    let names = arguments.map_while(|token| (token.kind == Kind::Literal).then(|| token.name(trigger)).flatten());
    Some(names.collect::<Vec<String>>()).filter(|names| names.len() >= 2)
}

/// The columns of a table that is to be ordered.
struct Columns {
    keys: Vec<String>,
    shown: Vec<String>,
    written: Vec<(String, Option<String>)>,
}

impl Columns {
    fn read(engine: &Engine, table: &str) -> Result<Columns> {
        let (keys, _) = key_and_other_columns(&engine.connection, table)?;
        let mut columns = Columns { keys, shown: Vec::new(), written: Vec::new() };
        let rows = engine.connection.prepare(sql::SHOWN_COLUMNS)?.query(&[table.into()], |row| {
            let default = row.column(2).as_str().map(str::to_owned).filter(|_| row.column_i64(1) != 0);
            Ok((row.column_text(0), default, row.column_i64(3) != 0))
        })?;
        for (name, default_of_not_null, generated) in rows {
            columns.shown.push(name.clone());
            if !generated {
                columns.written.push((name, default_of_not_null));
            }
        }
        Ok(columns)
    }

    /// The name of a column as the table spells it.
    fn spelling(&self, name: &str) -> Option<String> {
        self.shown.iter().find(|column| column.eq_ignore_ascii_case(name)).cloned()
    }

    fn check(&self, table: &str, order: &str) -> Result<()> {
        let refused = |why: String| Err(Error::failed(format!("table {table} cannot be ordered: {why}")));
        if self.keys.is_empty() {
            return refused("it has no primary key, by which rows are told apart".to_owned());
        }
        if !self.written.iter().any(|(name, _)| name == order) || self.keys.iter().any(|key| key == order) {
            return refused(format!(
                "the column {order} is generated or part of the primary key, and cannot hold a place"
            ));
        }
        let taken = self.keys.iter().map(|key| texts::after_name(key)).find(|name| self.spelling(name).is_some());
        match taken {
            Some(name) => {
                refused(format!("its column {name} has a name that the view {} needs", texts::view_name(table)))
            }
            None => Ok(()),
        }
    }
}

/// `crsql_fract_fix_conflict_return_old_key(table, order column, list columns …, -1, key names …, key values …)`: where
/// several rows of a list share one place, moves the named row before the others, and returns a place between.
pub(crate) fn fix_conflict_return_old_key(engine: &Rc<Engine>, call: &Call<'_>) -> Result<Output<'static>> {
    if call.len() < 4 {
        return Err(Error::failed("Too few arguments to fix_conflict_return_old_key"));
    }
    let wrong_keys =
        || Error::failed("Incorrect number of primary keys and values provided. Must have at least 1 primary key.");
    let minus_one = (2..call.len()).find(|at| call.arg(*at) == ValueRef::Integer(-1)).ok_or_else(wrong_keys)?;
    let behind = call.len() - minus_one - 1;
    if behind == 0 || !behind.is_multiple_of(2) {
        return Err(wrong_keys());
    }
    let names = |places: std::ops::Range<usize>| -> Option<Vec<String>> {
        places.map(|at| call.arg(at).as_str().map(str::to_owned)).collect()
    };
    let first_value = minus_one + 1 + behind / 2;
    let (Some(columns), Some(keys)) = (names(0..minus_one), names(minus_one + 1..first_value)) else {
        return Err(wrong_keys());
    };
    let values: Vec<Value> = (first_value..call.len()).map(|at| call.arg(at).to_value()).collect();
    fix_conflict(engine, &columns, &keys, &values)
        .map(Output::from)
        .map_err(|error| Error::new(error.code, format!("Failed fixing up ordering conflicts on insert: {error}")))
}

fn fix_conflict(engine: &Engine, columns: &[String], keys: &[String], values: &[Value]) -> Result<String> {
    let [table, order, lists @ ..] = columns else { return Err(Error::failed("no table and column are named")) };
    let mut values: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
    let select = texts::place_and_predecessor(table, order, lists, keys);
    let places = engine
        .connection
        .cached(&select)?
        .query_row(&values, |row| Ok([row.column(0).to_value(), row.column(1).to_value()]))?;
    let [old, predecessor] = places.ok_or_else(|| Error::failed(format!("table {table} has no such row")))?;
    let old = key_text(engine, old.as_ref())?.ok_or_else(|| Error::failed("the row has no place"))?;
    let predecessor = key_text(engine, predecessor.as_ref())?;
    let moved = between(predecessor.as_deref(), Some(&old))?;
    let between_both = between(Some(moved.as_bytes()), Some(&old))?;
    values.push((&moved).into());
    engine.connection.cached(&texts::set_place(table, order, keys))?.run(&values)?;
    Ok(between_both)
}
