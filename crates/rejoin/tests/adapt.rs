//! Adapting, held to schemas that nobody would think of.

use proptest::prelude::*;
use rejoin::adapt::{rebuild, survey};
use rejoin::rusqlite::Connection;
use rejoin::user_tables;

/// Between any two tokens.
fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(" "), 1 => Just("\n\t"), 1 => Just(" /* , ) ' [ */ "), 1 => Just(" -- ( \" NOT NULL\n")]
}

/// What a name is put between.
fn quotes() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop_oneof![Just(("\"", "\"")), Just(("[", "]")), Just(("`", "`")), Just(("", ""))]
}

/// What may follow a column's name, besides its key.
fn constraint() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("NOT NULL"),
        Just("NOT NULL ON CONFLICT FAIL"),
        Just("NULL"),
        Just("UNIQUE"),
        Just("UNIQUE ON CONFLICT IGNORE"),
        Just("CONSTRAINT \"a, name\" NOT NULL"),
        Just("CONSTRAINT lonely CONSTRAINT u UNIQUE"),
        Just("DEFAULT 'it''s, ('"),
        Just("DEFAULT (abs(-1) + 2)"),
        Just("DEFAULT -1.5e3"),
        Just("DEFAULT x'00'"),
        Just("COLLATE NOCASE"),
        Just("CHECK (1 <> 2 OR ')' = '(')"),
        Just("REFERENCES other"),
        Just("REFERENCES [other](id)ON DELETE SET NULL ON UPDATE CASCADE NOT DEFERRABLE"),
        Just("CONSTRAINT fk REFERENCES other(id) MATCH FULL DEFERRABLE INITIALLY DEFERRED"),
    ]
}

fn declared_type() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just(""),
        Just("INTEGER"),
        Just("VARCHAR(10, 2)"),
        Just("DOUBLE PRECISION"),
        Just("BLOB"),
        Just("'quoted type'"),
        Just("DATETIME"),
    ]
}

fn table_constraint() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("UNIQUE (c1)"),
        Just("CONSTRAINT u2 UNIQUE (c1 COLLATE NOCASE DESC, c0) ON CONFLICT REPLACE"),
        Just("CHECK (c1 IS NULL OR c1 IS NOT c0 OR 1)"),
        Just("FOREIGN KEY (c1) REFERENCES other(id) ON DELETE CASCADE"),
        Just("CONSTRAINT \"f k\" FOREIGN KEY (c0, c1) REFERENCES two(a, b)"),
    ]
}

/// A CREATE TABLE text that SQLite may or may not take.
fn create_table() -> impl Strategy<Value = String> {
    let column = (declared_type(), prop::collection::vec((space(), constraint()), 0..4), quotes(), space());
    let columns = prop::collection::vec(column, 2..5);
    let constraints = prop::collection::vec((table_constraint(), any::<bool>(), space()), 0..4);
    let key = prop_oneof![
        Just("INTEGER PRIMARY KEY"),
        Just("INTEGER PRIMARY KEY AUTOINCREMENT"),
        Just("TEXT CONSTRAINT pk PRIMARY KEY ON CONFLICT ROLLBACK"),
        Just("(c0)"),
        Just("(c1, c0)"),
    ];
    let tail = prop_oneof![4 => Just(""), 1 => Just(" WITHOUT ROWID")];
    (columns, constraints, key, tail, any::<bool>()).prop_map(|(columns, constraints, key, tail, generated)| {
        let inline = !key.starts_with('(');
        let mut sql = "CREATE TABLE t(".to_owned();
        for (at, (declared, constraints, (open, close), space)) in columns.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let declared = if at == 0 && inline { key } else { declared };
            sql.push_str(&format!("{comma}{space}{open}c{at}{close}{space}{declared}"));
            for (space, constraint) in constraints {
                sql.push_str(&format!("{space}{constraint}"));
            }
        }
        if generated {
            sql.push_str(", g TEXT GENERATED ALWAYS AS (c1 || ')') NOT NULL");
        }
        if !inline {
            sql.push_str(&format!(", PRIMARY KEY {key}"));
        }
        for (at, (constraint, comma, space)) in constraints.iter().enumerate() {
            let comma = if *comma || (at == 0 && inline) { "," } else { "" };
            sql.push_str(&format!("{space}{comma}{space}{constraint}"));
        }
        sql + ")" + tail
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_sqlite_takes_can_be_adapted_and_is_then_free_of_obstacles(sql in create_table()) {
        let connection = Connection::open_in_memory().expect("a database");
        connection.pragma_update(None, "foreign_keys", false).expect("no foreign keys");
        prop_assume!(connection.execute_batch(&sql).is_ok());
        // Rows of every kind, as far as the table takes them.
        for values in ["1, 'a'", "2, 'B'", "NULL, NULL", "-7, x'ff'", "'x', 0.5", "9e99, ''"] {
            let _ = connection.execute_batch(&format!("INSERT OR IGNORE INTO t(c0, c1) VALUES ({values})"));
        }
        let columns = "SELECT group_concat(name || ' ' || type || ' ' || pk || ' ' || hidden) FROM pragma_table_xinfo('t')";
        let before: String = connection.query_row(columns, [], |row| row.get(0)).expect("columns");
        connection.execute_batch("BEGIN").expect("a transaction");
        let tables = user_tables(&connection).expect("tables");
        let found = survey(&connection, &tables[0], &[]).expect("a survey");
        // Rows without a key and keys that a collation compares are their owner's to mend; all the rest is not.
        let owners = ["nulls_in_key", "collated_key"];
        prop_assume!(!found.obstacles.iter().any(|obstacle| owners.contains(&obstacle.kind())));
        prop_assert!(found.is_adaptable(), "{:?}", found.obstacles);
        let rebuilt = rebuild(&connection, &found);
        prop_assert!(rebuilt.is_ok(), "{}", rebuilt.expect_err("an error"));
        let after = survey(&connection, &tables[0], &[]).expect("a survey");
        prop_assert!(after.obstacles.is_empty(), "{:?}", after.obstacles);
        let same: String = connection.query_row(columns, [], |row| row.get(0)).expect("columns");
        prop_assert_eq!(before, same);
    }
}

#[test]
fn a_key_that_a_collation_compares_is_its_owners_to_mend() {
    for (create, expected) in [
        ("CREATE TABLE t(a TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, b)", 1),
        ("CREATE TABLE t(a TEXT NOT NULL COLLATE RTRIM, b NOT NULL DEFAULT 0, PRIMARY KEY (b, a COLLATE BINARY))", 1),
        ("CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL COLLATE NOCASE, b COLLATE NOCASE)", 0),
    ] {
        let connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch(create).expect("a table");
        let tables = user_tables(&connection).expect("tables");
        let found = survey(&connection, &tables[0], &[]).expect("a survey");
        assert_eq!(found.obstacles.len(), expected, "{create}: {:?}", found.obstacles);
        for obstacle in &found.obstacles {
            assert_eq!(obstacle.kind(), "collated_key");
            assert!(obstacle.says().contains("key column a compares by") && obstacle.cure().is_none());
            assert!(obstacle.advice().is_some_and(|advice| advice.contains("without COLLATE")));
        }
    }
}
