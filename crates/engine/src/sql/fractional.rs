//! The view and the triggers that keep a table's rows in an order of their own.

use super::{list, literal, main, quote};

/// An ordered table.
pub(crate) struct Ordered<'a> {
    pub(crate) table: &'a str,
    /// The column that holds the keys.
    pub(crate) order: &'a str,
    /// Columns whose values say which list a row belongs to; empty where the table is one list.
    pub(crate) lists: &'a [String],
    /// The key columns, in the order of the primary key.
    pub(crate) keys: &'a [String],
    /// Every column that the table shows, generated ones too.
    pub(crate) shown: &'a [String],
    /// The columns that can be written, and what to write where NOT NULL meets no value.
    pub(crate) written: &'a [(String, Option<String>)],
}

pub(crate) fn view_name(table: &str) -> String {
    format!("{table}_fractindex")
}

/// What comes with the name of the table's column `key` in the view.
pub(crate) fn after_name(key: &str) -> String {
    format!("after_{key}")
}

pub(crate) fn insert_ordering_name(table: &str) -> String {
    format!("__crsql_{table}_fractindex_pend_trig")
}

pub(crate) fn update_ordering_name(table: &str) -> String {
    format!("__crsql_{table}_fractindex_ezmove")
}

pub(crate) fn insert_through_view_name(table: &str) -> String {
    format!("{}_insert_trig", view_name(table))
}

/// The view's own triggers go with it.
pub(crate) fn drop_ordering(table: &str) -> String {
    format!(
        "DROP TRIGGER IF EXISTS {}; DROP TRIGGER IF EXISTS {}; DROP VIEW IF EXISTS {};",
        main(&insert_ordering_name(table)),
        main(&update_ordering_name(table)),
        main(&view_name(table))
    )
}

impl Ordered<'_> {
    /// Everything, as one text of several statements.
    pub(crate) fn create(&self) -> String {
        let order = quote(self.order);
        [
            self.ordering(&insert_ordering_name(self.table), "INSERT"),
            self.ordering(&update_ordering_name(self.table), &format!("UPDATE OF {order}")),
            self.view(),
            self.insert_through_view(),
            self.update_through_view(),
        ]
        .join(";\n")
    }

    /// A row whose order is written as -1 or 1 goes to the front or to the end of its list. Rows that are merged have
    /// got their place from their author.
    fn ordering(&self, name: &str, event: &str) -> String {
        let (table, order) = (quote(self.table), quote(self.order));
        let end = |function: &str| {
            format!(
                "(SELECT {function}({order} COLLATE BINARY) FROM {table} WHERE {} AND {})",
                self.same_list(),
                is_place(&order)
            )
        };
        format!(
            "CREATE TRIGGER {} AFTER {event} ON {table} \
             WHEN CAST(NEW.{order} AS INTEGER) IN (-1, 1) AND crsql_internal_sync_bit() = 0 \
             BEGIN UPDATE {table} SET {order} = CASE CAST(NEW.{order} AS INTEGER) \
             WHEN -1 THEN crsql_fract_key_between(NULL, {}) WHEN 1 THEN crsql_fract_key_between({}, NULL) END \
             WHERE {}; END",
            main(name),
            end("MIN"),
            end("MAX"),
            matches(self.keys, "IS", |key| format!("NEW.{}", quote(key)))
        )
    }

    fn view(&self) -> String {
        let after = list(self.keys, |key| format!("NULL AS {}", quote(&after_name(key))));
        format!(
            "CREATE VIEW {} AS SELECT {}, {after} FROM {}",
            main(&view_name(self.table)),
            list(self.shown, quote),
            quote(self.table)
        )
    }

    fn insert_through_view(&self) -> String {
        let others: Vec<&(String, Option<String>)> = self.others().collect();
        let names: String = others.iter().map(|(name, _)| format!("{}, ", quote(name))).collect();
        let values: String = others.iter().map(|column| format!("{}, ", new_value(column))).collect();
        format!(
            "CREATE TRIGGER {} INSTEAD OF INSERT ON {} BEGIN INSERT INTO {} ({names}{}) VALUES ({values}{}); END",
            main(&insert_through_view_name(self.table)),
            quote(&view_name(self.table)),
            quote(self.table),
            quote(self.order),
            self.place()
        )
    }

    fn update_through_view(&self) -> String {
        let others: String =
            self.others().map(|column| format!("{} = {}, ", quote(&column.0), new_value(column))).collect();
        format!(
            "CREATE TRIGGER {} INSTEAD OF UPDATE ON {} BEGIN UPDATE {} SET {others}{} = {} WHERE {}; END",
            main(&format!("{}_update_trig", view_name(self.table))),
            quote(&view_name(self.table)),
            quote(self.table),
            quote(self.order),
            self.place(),
            matches(self.keys, "IS", |key| format!("OLD.{}", quote(key)))
        )
    }

    /// The order of a row that goes behind another one.
    fn place(&self) -> String {
        let (table, order) = (quote(self.table), quote(self.order));
        let after = |key: &str| format!("NEW.{}", quote(&after_name(key)));
        let of_after = format!("(SELECT {order} FROM {table} WHERE {})", matches(self.keys, "=", after));
        let same_list = self.same_list();
        let mut arguments = vec![literal(self.table), literal(self.order)];
        arguments.extend(self.lists.iter().map(|column| literal(column)));
        arguments.push("-1".to_owned());
        arguments.extend(self.keys.iter().map(|key| literal(key)));
        arguments.extend(self.keys.iter().map(|key| after(key)));
        format!(
            "CASE (SELECT count(*) FROM {table} WHERE {same_list} AND {order} COLLATE BINARY = {of_after}) \
             WHEN 0 THEN -1 \
             WHEN 1 THEN crsql_fract_key_between({of_after}, (SELECT {order} FROM {table} WHERE {same_list} \
             AND {order} COLLATE BINARY > {of_after} ORDER BY {order} COLLATE BINARY LIMIT 1)) \
             ELSE crsql_fract_fix_conflict_return_old_key({}) END",
            arguments.join(", ")
        )
    }

    fn same_list(&self) -> String {
        match self.lists {
            [] => "TRUE".to_owned(),
            lists => matches(lists, "IS", |column| format!("NEW.{}", quote(column))),
        }
    }

    fn others(&self) -> impl Iterator<Item = &(String, Option<String>)> {
        self.written.iter().filter(|(name, _)| name != self.order)
    }
}

fn new_value((name, default): &(String, Option<String>)) -> String {
    let value = format!("NEW.{}", quote(name));
    default.as_ref().map_or(value.clone(), |default| format!("ifnull({value}, ({default}))"))
}

/// True of a key, not of the numbers that ask for one.
fn is_place(order: &str) -> String {
    format!("CAST({order} AS INTEGER) NOT IN (-1, 1)")
}

fn matches(columns: &[String], operator: &str, value: impl Fn(&str) -> String) -> String {
    let terms = columns.iter().map(|column| format!("{} {operator} {}", quote(column), value(column)));
    terms.collect::<Vec<_>>().join(" AND ")
}

fn numbered(keys: &[String], first: usize) -> String {
    let terms = keys.iter().enumerate().map(|(at, key)| format!("t.{} = ?{}", quote(key), first + at));
    terms.collect::<Vec<_>>().join(" AND ")
}

/// (keys) -> the order of a row, and the greatest smaller one in its list.
pub(crate) fn place_and_predecessor(table: &str, order: &str, lists: &[String], keys: &[String]) -> String {
    let (order, same_key) = (quote(order), numbered(keys, 1));
    let same_list: String =
        lists.iter().map(|column| format!(" AND o.{0} IS t.{0}", quote(column))).collect::<Vec<_>>().concat();
    format!(
        "SELECT t.{order}, (SELECT MAX(o.{order} COLLATE BINARY) FROM {table} AS o \
         WHERE o.{order} COLLATE BINARY < t.{order} AND {}{same_list}) FROM {table} AS t WHERE {same_key}",
        is_place(&format!("o.{order}")),
        table = main(table),
    )
}

/// (keys, order): gives a row a place.
pub(crate) fn set_place(table: &str, order: &str, keys: &[String]) -> String {
    format!("UPDATE {} AS t SET {} = ?{} WHERE {}", main(table), quote(order), keys.len() + 1, numbered(keys, 1))
}
