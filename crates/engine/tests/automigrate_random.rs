//! Migrations between schemas that nobody would think of: they succeed whole, or change nothing.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use proptest::prelude::*;
use rusqlite::Connection;
use support::*;

/// What may follow the name of a column that is not in the key.
fn definition() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just(""),
        2 => Just("INTEGER"),
        2 => Just("TEXT COLLATE NOCASE"),
        2 => Just("INTEGER NOT NULL DEFAULT 4"),
        1 => Just("NOT NULL DEFAULT ('it''s')"),
        1 => Just("DEFAULT -1.5 CHECK (a <> -99)"),
        1 => Just("VARCHAR(10, 2) -- a comment, with (\n DEFAULT \"x\""),
        1 => Just("AS (a + 1)"),
        1 => Just("GENERATED ALWAYS AS (a || '!') STORED"),
        1 => Just("UNIQUE"),
        1 => Just("NOT NULL"),
        1 => Just("DEFAULT CURRENT_TIMESTAMP"),
        1 => Just("REFERENCES t"),
    ]
}

fn schema() -> impl Strategy<Value = String> {
    let column = (prop_oneof![Just("b"), Just("c"), Just("\"d d\""), Just("E"), Just("e")], definition());
    let key = prop_oneof![
        6 => Just("a INTEGER PRIMARY KEY NOT NULL"),
        1 => Just("a INT NOT NULL PRIMARY KEY"),
        1 => Just("a TEXT NOT NULL PRIMARY KEY"),
    ];
    let end = prop_oneof![6 => Just(")"), 1 => Just(", CHECK (a < 1000))"), 1 => Just(") WITHOUT ROWID")];
    let index = prop::collection::vec(
        prop_oneof![
            Just("i ON t(a)"),
            Just("i ON t(a DESC)"),
            Just("j ON t(b)"),
            Just("j ON t(b) WHERE a > 1"),
            Just("k ON t(a + 1)")
        ],
        0..3,
    );
    let other = any::<[bool; 3]>();
    (key, prop::collection::vec(column, 1..5), end, index, other).prop_map(
        |(key, columns, end, indexes, [view, u, trigger])| {
            let mut columns = columns;
            columns.sort_by_key(|(name, _)| name.to_lowercase());
            columns.dedup_by_key(|(name, _)| name.to_lowercase());
            let columns: String = columns.iter().map(|(name, rest)| format!(", {name} {rest}")).collect();
            let mut sql = format!("CREATE TABLE IF NOT EXISTS t({key}{columns}{end};\n");
            for index in indexes {
                sql.push_str(&format!("CREATE INDEX IF NOT EXISTS {index};\n"));
            }
            for (made, text) in [
                (view, "CREATE VIEW IF NOT EXISTS v AS SELECT b FROM t;\n"),
                (u, "CREATE TABLE IF NOT EXISTS u(x REFERENCES t, y);\n"),
                (trigger, "CREATE TRIGGER IF NOT EXISTS g AFTER UPDATE ON t BEGIN SELECT NEW.a; END;\n"),
            ] {
                sql.push_str(if made { text } else { "" });
            }
            sql
        },
    )
}

/// The columns as SQLite sees them, in the order of their names, and the texts of the indexes, and of the view and the
/// trigger where the schema has them: others are left.
fn shape(host: &Connection, schema: &str) -> Vec<String> {
    let columns =
        "SELECT m.name, lower(x.name), x.type, x.\"notnull\", x.dflt_value, x.pk, x.hidden FROM sqlite_master m,
        pragma_table_xinfo(m.name) x WHERE m.name IN ('t', 'u') ORDER BY 1, 2";
    let others = "SELECT name, sql FROM sqlite_master WHERE name IN ('i', 'j', 'k', 'v', 'g') ORDER BY 1";
    let mut others = rows(host, others);
    others.retain(|object| match object.split('|').next() {
        Some("v") => schema.contains("VIEW"),
        Some("g") => schema.contains("TRIGGER"),
        _ => true,
    });
    [rows(host, columns), others].concat()
}

/// Column name and value of every cell of the table, by its key.
fn cells(host: &Connection) -> Vec<String> {
    let names = rows(host, "SELECT name FROM pragma_table_info('t') ORDER BY lower(name)");
    let mut cells = Vec::new();
    for name in names {
        let sql = format!("SELECT a, '{}', quote(\"{name}\") FROM t ORDER BY a", name.to_lowercase());
        cells.extend(rows(host, &sql));
    }
    cells
}

fn migrate(host: &Connection, schema: &str) -> Result<(), String> {
    host.query_row("SELECT crsql_automigrate(?1)", [schema], |_| Ok(())).map_err(|error| error.to_string())
}

fn everything(host: &Connection) -> Vec<String> {
    let schema = rows(host, "SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2");
    let history =
        rows(host, "SELECT [table], pk, cid, quote(val), col_version, db_version, cl, seq FROM crsql_changes");
    [schema, history, cells(host)].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_migration_reaches_the_schema_and_keeps_the_rows_or_changes_nothing(
        before in schema(), after in schema(), tracked in any::<bool>(), enforced in any::<bool>()
    ) {
        let host = memory();
        prop_assume!(migrate(&host, &before).is_ok());
        prop_assume!(!tracked || host.query_row("SELECT crsql_as_crr('t')", [], |_| Ok(())).is_ok());
        run(&host, if enforced { "PRAGMA foreign_keys = ON" } else { "PRAGMA foreign_keys = OFF" });
        for row in [1, 2, 3] {
            // Some schemas take no row without a value for their column.
            let _ = host.execute("INSERT INTO t(a) VALUES (?1)", [row]);
        }
        let _ = host.execute_batch("UPDATE t SET b = a * 10 WHERE a < 3; DELETE FROM t WHERE a = 3");
        let (at_first, kept) = (everything(&host), cells(&host));
        let version = number(&host, "SELECT crsql_db_version()");

        let Ok(()) = migrate(&host, &after) else {
            prop_assert_eq!(everything(&host), at_first);
            run(&host, "DELETE FROM t WHERE a = 1");
            return Ok(());
        };
        let fresh = memory();
        migrate(&fresh, &after).expect("a schema that was reached is one");
        prop_assert_eq!(shape(&host, &after), shape(&fresh, &after));
        prop_assert!(number(&host, "SELECT crsql_db_version()") >= version);
        let now = cells(&host);
        let same_definition = |cell: &&String| {
            let name = cell.split('|').nth(1).unwrap();
            now.iter().any(|other| other.split('|').nth(1) == Some(name))
        };
        // A value may take the form of its column's new type; it stays the same number or text.
        let plain = |cell: &String| cell.replace('\'', "").replace(".0", "");
        for cell in kept.iter().filter(same_definition) {
            prop_assert!(now.iter().any(|other| plain(other) == plain(cell)), "{cell} is gone: {now:?}");
        }
        let done = everything(&host);
        migrate(&host, &after).expect("nothing is left to do");
        prop_assert_eq!(everything(&host), done);
        let _ = host.execute("INSERT INTO t(a) VALUES (4)", []);
        run(&host, "DELETE FROM t");
    }
}
