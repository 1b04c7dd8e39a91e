//! Tables, key columns and other columns by any name that SQLite takes: quotes, keywords, spaces, signs, other scripts.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use rusqlite::Connection;
use rusqlite::params;
use support::*;

const NAMES: [&str; 27] = [
    "select", "it's", "a\"b", "\"", "'", "''", "`x`", "[x]", "]", "a b", " ", "a.b", "a;b", "--", "/*", "%", "_", "?1",
    ":a", "@", "$", "1", "ключ", "日本", "😀", "new", "OLD",
];

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn created(table: &str, key: &str, column: &str) -> Connection {
    let [t, k, c] = [table, key, column].map(quote);
    tracked(&format!("CREATE TABLE {t} ({k} PRIMARY KEY NOT NULL, {c}, \"beside it\")"), table)
}

/// Everything that is done with a table, on two databases that tell each other.
fn works(table: &str, key: &str, column: &str) {
    let what = format!("{table:?} {key:?} {column:?}");
    let [t, k, c] = [table, key, column].map(quote);
    let (host, peer) = (created(table, key, column), created(table, key, column));
    run(&host, &format!("INSERT INTO {t} VALUES (1, 'a', 'b'), (2, 'a', 'b'), (3, 'a', 'b')"));
    run(
        &host,
        &format!(
            "UPDATE {t} SET {c} = 'x' WHERE {k} = 1; UPDATE {t} SET {k} = 4 WHERE {k} = 2; DELETE FROM {t} WHERE {k} = 3"
        ),
    );
    run(&host, &format!("INSERT OR REPLACE INTO {t} VALUES (1, 'y', NULL)"));
    pull(&host, &peer);
    let all = format!("SELECT * FROM {t} ORDER BY 1");
    assert_eq!(rows(&peer, &all), ["1|y|NULL", "4|a|b"], "{what}");
    run(&peer, &format!("UPDATE {t} SET {c} = 'z' WHERE {k} = 4"));
    pull(&peer, &host);
    assert_eq!(rows(&host, &all), ["1|y|NULL", "4|z|b"], "{what}");

    let found: i64 = host
        .query_row(
            "SELECT count(*) FROM crsql_changes WHERE [table] = ?1 AND cid = ?2",
            params![table, column],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(found, 2, "{what}");
    let fail = host.query_row("SELECT crsql_after_insert(?1, 1, 2, 3)", [table], |_| Ok(())).unwrap_err().to_string();
    assert!(fail.contains(table) && fail.contains("expected 2 values"), "{what}: {fail}");

    let altering = |function: &str| host.query_row(&format!("SELECT {function}(?1)"), [table], |_| Ok(())).unwrap();
    altering("crsql_begin_alter");
    run(
        &host,
        &format!(
            "ALTER TABLE {t} ADD COLUMN \"added '\" DEFAULT 'it''s'; ALTER TABLE {t} RENAME COLUMN {c} TO \"then ]\""
        ),
    );
    altering("crsql_commit_alter");
    run(&host, &format!("UPDATE {t} SET \"added '\" = 'set', \"then ]\" = 'set' WHERE {k} = 1"));
    assert_eq!(
        rows(&host, "SELECT cid FROM crsql_changes WHERE val = 'set' ORDER BY cid"),
        ["added '", "then ]"],
        "{what}"
    );
    altering("crsql_as_table");
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_changes"), 0, "{what}");
    assert_eq!(
        number(&host, "SELECT count(*) FROM sqlite_master WHERE name LIKE '%\\_\\_crsql%' ESCAPE '\\'"),
        0,
        "{what}"
    );
}

#[test]
fn a_table_may_have_any_name() {
    for name in NAMES {
        works(name, "k", "c");
    }
}

#[test]
fn a_key_column_may_have_any_name() {
    for name in NAMES {
        works("t", name, "c");
    }
}

#[test]
fn a_column_may_have_any_name() {
    for name in NAMES {
        works("t", "k", name);
    }
}

#[test]
fn all_of_them_may_have_one_name() {
    for (place, name) in NAMES.into_iter().enumerate() {
        works(name, name, NAMES[(place + 1) % NAMES.len()]);
    }
}

/// The names of tables and columns that the engine uses itself.
#[test]
fn names_of_the_engines_own_are_no_trouble_in_a_users_table() {
    for name in
        ["key", "col_name", "col_version", "db_version", "site_id", "seq", "c", "p", "base", "known", "excluded"]
    {
        works(name, "k", name);
        works("t", name, "v");
        works("t", "k", name);
    }
    // SQLite itself renames no column of these.
    for name in ["rowid", "_rowid_", "oid"] {
        works(name, name, "v");
    }
}

#[test]
fn a_key_column_by_the_name_of_the_lookaside_tables_own_is_refused_in_words() {
    for name in ["__crsql_key", "__CRSQL_KEY"] {
        let host = memory();
        run(&host, &format!("CREATE TABLE t ({name} PRIMARY KEY NOT NULL, b)"));
        let message = failure(&host, "SELECT crsql_as_crr('t')");
        assert!(message.contains(name) && message.contains("rename"), "{message}");
        assert_eq!(
            rows(&host, "SELECT name FROM sqlite_master WHERE name LIKE 't\\_\\_%' ESCAPE '\\'"),
            [] as [&str; 0]
        );
    }
}
