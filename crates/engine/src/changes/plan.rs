//! Which conditions of a query are answered by the clock tables. SQLite checks every condition again, so a condition may
//! be answered loosely (more rows than asked for), never tightly.

use super::{CID, CL, COL_VERSION, DB_VERSION, PK, SEQ, SITE_ID, TABLE};
use crate::catalogue::Tracked;
use crate::engine::Engine;
use crate::local_write::find_key;
use crate::sql;
use crate::values::to_bridge;
use rejoin_bridge::{ConstraintOp, Error, IndexInfo, Result, Value, ValueRef};
use rejoin_change::{PackedKey, SENTINEL};

/// One condition, as it travels from the planner to the scan: a digit for the column and a letter for the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Condition {
    column: i32,
    comparison: Comparison,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Unequal,
    Is,
    IsNot,
}

const COMPARISONS: [(Comparison, ConstraintOp, char, &str); 8] = [
    (Comparison::Equal, ConstraintOp::Eq, 'e', "="),
    (Comparison::Greater, ConstraintOp::Gt, 'g', ">"),
    (Comparison::GreaterOrEqual, ConstraintOp::Ge, 'G', ">="),
    (Comparison::Less, ConstraintOp::Lt, 'l', "<"),
    (Comparison::LessOrEqual, ConstraintOp::Le, 'L', "<="),
    (Comparison::Unequal, ConstraintOp::Ne, 'n', "<>"),
    (Comparison::Is, ConstraintOp::Is, 'i', "IS"),
    (Comparison::IsNot, ConstraintOp::IsNot, 'N', "IS NOT"),
];

impl Comparison {
    fn is_equality(self) -> bool {
        matches!(self, Comparison::Equal | Comparison::Is)
    }

    fn operator(self) -> &'static str {
        COMPARISONS.iter().find(|entry| entry.0 == self).map_or("=", |entry| entry.3)
    }
}

/// Answers xBestIndex.
pub(super) fn choose(index: &mut IndexInfo) {
    let mut text = String::new();
    let mut arguments = 0;
    let mut narrowed_by = [false; 9];
    for (i, constraint) in index.constraints().into_iter().enumerate() {
        let comparison = COMPARISONS.iter().find(|entry| entry.1 == constraint.op);
        let Some((comparison, _, letter, _)) = comparison.filter(|_| constraint.usable) else { continue };
        let answered = match constraint.column {
            TABLE | PK | CID => comparison.is_equality(),
            SITE_ID => comparison.is_equality() || matches!(comparison, Comparison::Unequal | Comparison::IsNot),
            COL_VERSION | DB_VERSION | CL | SEQ => true,
            _ => false,
        };
        if answered {
            arguments += 1;
            index.use_constraint(i, arguments, false);
            text.push_str(&format!("{}{letter}", constraint.column));
            if !matches!(comparison, Comparison::Unequal | Comparison::IsNot) {
                narrowed_by[constraint.column as usize] = true;
            }
        }
    }
    let narrowed = |column: i32| narrowed_by[column as usize];
    let rows = match () {
        () if narrowed(PK) => 10,
        () if narrowed(DB_VERSION) && narrowed(SITE_ID) => 1,
        () if narrowed(DB_VERSION) => 10,
        () => i64::from(i32::MAX),
    };
    index.set_rows(rows);
    index.set_cost(rows as f64);
    let order = index.order_by();
    let natural = [DB_VERSION, SEQ];
    if order.len() <= natural.len()
        && order.iter().zip(natural).all(|(term, column)| term.column == column && !term.desc)
    {
        index.set_order_by_consumed();
    }
    index.set_index(0, &text);
}

/// The conditions of one scan, with the values that they compare with.
pub(super) struct Conditions(Vec<(Condition, Value)>);

/// The part of one table in a scan: which clock rows, and the values that the text takes.
pub(super) struct Part {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

impl Conditions {
    /// Reads back what [`choose`] wrote.
    pub(super) fn read(text: &str, arguments: &[ValueRef<'_>]) -> Result<Conditions> {
        let malformed = || Error::failed(format!("the plan {text:?} is not one of crsql_changes"));
        let letters: Vec<char> = text.chars().collect();
        if letters.len() != 2 * arguments.len() {
            return Err(malformed());
        }
        let pairs = letters.chunks_exact(2).zip(arguments);
        let conditions = pairs.map(|(pair, argument)| {
            let column = pair[0].to_digit(9).ok_or_else(malformed)? as i32;
            let entry = COMPARISONS.iter().find(|entry| entry.2 == pair[1]).ok_or_else(malformed)?;
            Ok((Condition { column, comparison: entry.0 }, argument.to_value()))
        });
        Ok(Conditions(conditions.collect::<Result<_>>()?))
    }

    /// How to find the rows of one table; none where it has none.
    ///
    /// What the connection records while the scan goes on must not turn up in it, or a loop that writes for every row
    /// that it reads never ends. Later versions lie beyond the highest at the beginning. The version of a running
    /// transaction grows while it is read; `writing`, the rows are gathered before the first one is shown.
    pub(super) fn part_of(&self, engine: &Engine, table: &Tracked, writing: bool) -> Result<Option<Part>> {
        let mut part = PartBuilder { conditions: Vec::new(), values: Vec::new(), key: false };
        for (condition, value) in &self.0 {
            if !part.add(engine, table, *condition, value)? {
                return Ok(None);
            }
        }
        let by_version = table.has_version_index && !part.key;
        let text = if writing {
            sql::gathering_scan(&table.name, &part.conditions)
        } else {
            part.conditions.push(sql::no_later_than_now(&table.name));
            sql::scan(&table.name, by_version, &part.conditions)
        };
        Ok(Some(Part { sql: text, values: part.values }))
    }
}

struct PartBuilder {
    conditions: Vec<String>,
    values: Vec<Value>,
    key: bool,
}

impl PartBuilder {
    /// False where no row of the table can satisfy the condition.
    fn add(&mut self, engine: &Engine, table: &Tracked, condition: Condition, value: &Value) -> Result<bool> {
        let Condition { column, comparison } = condition;
        match column {
            TABLE => return Ok(may_be_equal(value, &table.name)),
            CID => return Ok(self.add_column_names(table, value)),
            PK => {
                let key = match value {
                    Value::Blob(bytes) => PackedKey::unpack(bytes).ok().filter(|keys| keys.len() == table.keys.len()),
                    _ => None,
                };
                let Some(keys) = key else { return Ok(false) };
                let keys: Vec<ValueRef<'_>> = keys.iter().map(to_bridge).collect();
                let Some(key) = find_key(table, &keys)? else { return Ok(false) };
                self.key = true;
                self.compare("c.key", "=", Value::Integer(key));
            }
            SITE_ID => return self.add_site(engine, comparison, value),
            COL_VERSION => self.compare("c.col_version", comparison.operator(), value.clone()),
            DB_VERSION => self.compare("c.db_version", comparison.operator(), value.clone()),
            SEQ => self.compare("c.seq", comparison.operator(), value.clone()),
            CL => self.compare(&sql::causal_length(&table.name), comparison.operator(), value.clone()),
            _ => {}
        }
        Ok(true)
    }

    fn compare(&mut self, expression: &str, operator: &str, value: Value) {
        self.values.push(value);
        self.conditions.push(format!("{expression} {operator} ?{}", self.values.len()));
    }

    fn add_column_names(&mut self, table: &Tracked, value: &Value) -> bool {
        let names = table.columns.iter().map(String::as_str).chain([SENTINEL]);
        let names: Vec<String> = names.filter(|name| may_be_equal(value, name)).map(sql::literal).collect();
        self.conditions.push(format!("c.col_name IN ({})", names.join(", ")));
        !names.is_empty()
    }

    /// Site ids are kept as ordinals. An ordinal without a site reads as NULL.
    fn add_site(&mut self, engine: &Engine, comparison: Comparison, value: &Value) -> Result<bool> {
        let ordinal =
            engine.connection.cached(sql::SITE_ORDINAL)?.query_row(&[value.into()], |row| Ok(row.column_i64(0)))?;
        match (comparison.is_equality(), ordinal) {
            (true, Some(ordinal)) => self.compare("c.site_id", "=", Value::Integer(ordinal)),
            (true, None) => return Ok(*value == Value::Null && comparison == Comparison::Is),
            (false, Some(ordinal)) => self.compare("c.site_id", "<>", Value::Integer(ordinal)),
            (false, None) => {}
        }
        Ok(true)
    }
}

/// Whether a query's `=` may take these for equal, under any of SQLite's own collations.
fn may_be_equal(value: &Value, name: &str) -> bool {
    let Value::Text(text) = value else { return !matches!(value, Value::Null | Value::Blob(_)) };
    fn trim(mut text: &[u8]) -> &[u8] {
        while let [rest @ .., b' '] = text {
            text = rest;
        }
        text
    }
    trim(text).eq_ignore_ascii_case(trim(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_back_as_it_was_written() {
        let arguments = [ValueRef::Integer(5), ValueRef::Blob(b"site")];
        let conditions = Conditions::read("5g6N", &arguments).unwrap();
        assert_eq!(conditions.0[0].0, Condition { column: DB_VERSION, comparison: Comparison::Greater });
        assert_eq!(conditions.0[1].0, Condition { column: SITE_ID, comparison: Comparison::IsNot });
        assert_eq!(conditions.0[1].1, Value::Blob(b"site".to_vec()));
        assert!(Conditions::read("5g", &arguments).is_err());
        assert!(Conditions::read("5g6?", &arguments).is_err());
    }

    #[test]
    fn names_are_compared_as_loosely_as_any_collation_does() {
        let text = |text: &str| Value::Text(text.as_bytes().to_vec());
        assert!(may_be_equal(&text("FOO  "), "foo"));
        assert!(!may_be_equal(&text("fo"), "foo"));
        assert!(may_be_equal(&Value::Integer(-1), "-1"));
        assert!(!may_be_equal(&Value::Null, "foo"));
    }
}
