//! `docs/formats/bookkeeping.md` names what is in the file: every table with its columns, and every entry of the meta table.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../../docs/formats/bookkeeping.md");

/// The first column of each table of the page that begins with this word, by the heading that it stands under.
fn listed(first: &str) -> BTreeMap<String, Vec<String>> {
    let mut listed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut heading, mut counts) = (String::new(), false);
    for line in PAGE.lines() {
        if let Some(text) = line.strip_prefix("## ") {
            heading = text.into();
        }
        let Some(cell) = line.strip_prefix("| ").and_then(|row| row.split(" |").next()) else {
            counts &= line.starts_with('|');
            continue;
        };
        match cell.strip_prefix('`').and_then(|name| name.strip_suffix('`')) {
            Some(name) if counts => listed.entry(heading.clone()).or_default().push(name.into()),
            Some(_) => {}
            None => counts = cell == first,
        }
    }
    listed
}

#[test]
fn the_page_lists_every_table_and_column() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    a.outbound(b.site());
    let tables =
        a.values("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'crsql_streams\\_%' ESCAPE '\\'");
    let in_the_file: BTreeMap<String, Vec<String>> = tables
        .into_iter()
        .map(|table| {
            let rusqlite::types::Value::Text(table) = table else { panic!("a name is text") };
            let columns = a.values(&format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid"));
            let names = columns.into_iter().map(|name| match name {
                rusqlite::types::Value::Text(name) => name,
                other => panic!("{other:?}"),
            });
            (table, names.collect())
        })
        .collect();
    assert_eq!(listed("column"), in_the_file);
}

#[test]
fn the_page_lists_every_entry_of_the_meta_table() {
    let folder = Folder::new();
    let a = folder.database("a");
    let b = Database::open_bare(&folder.path("b"));
    a.run("INSERT INTO u VALUES ('k', 1)");
    b.run("CREATE TABLE t(id INTEGER PRIMARY KEY NOT NULL, b, c); SELECT crsql_as_crr('t'); INSERT INTO t VALUES (1, 1, 1)");
    tell(&a, &b).unwrap();
    b.run("CREATE TABLE other(id INTEGER PRIMARY KEY NOT NULL); SELECT crsql_as_crr('other')");
    tell(&b, &a).unwrap();
    b.streams().reidentify().unwrap();
    let names = b.values("SELECT name FROM crsql_streams_meta");
    let in_the_file: BTreeSet<String> = names
        .into_iter()
        .map(|name| match name {
            rusqlite::types::Value::Text(name) => name,
            other => panic!("{other:?}"),
        })
        .collect();
    let listed: BTreeSet<String> = listed("name").remove("crsql_streams_meta").unwrap().into_iter().collect();
    assert_eq!(listed, in_the_file);
}
