use std::process::{Command, Stdio};

use crate::{folder, rejoin, sql};

#[test]
fn every_verb_explains_itself_with_examples() {
    let folder = folder();
    let verbs = ["demo", "track", "untrack", "serve", "sync", "status", "diff", "snapshot", "extension-path"];
    let help = rejoin(&folder, &["--help"]);
    assert_eq!(help.code, Some(0));
    for verb in verbs {
        assert!(help.out.contains(&format!("  {verb} ")), "{verb} is not in --help");
        let run = rejoin(&folder, &[verb, "--help"]);
        assert_eq!(run.code, Some(0), "{verb}");
        assert!(run.out.contains("Examples:"), "{verb} has no examples");
        assert!(run.out.contains(&format!("rejoin {verb}")), "{verb}'s examples do not use it");
        assert!(run.err.is_empty());
    }
}

#[test]
fn the_version_is_the_packages() {
    let run = rejoin(&folder(), &["--version"]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), concat!("rejoin ", env!("CARGO_PKG_VERSION"), "\n")));
}

#[test]
fn wrong_use_ends_with_2_and_speaks_on_standard_error() {
    let folder = folder();
    for arguments in [&[][..], &["no-such-verb"], &["diff", "one.db"], &["track"], &["diff", "a", "b", "--limit", "x"]]
    {
        let run = rejoin(&folder, arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}");
        assert!(run.out.is_empty() && run.err.contains("--help"), "{arguments:?}");
    }
}

#[test]
fn a_missing_file_is_named_and_not_made() {
    let folder = folder();
    for arguments in
        [&["track", "no.db"][..], &["untrack", "no.db"], &["status", "no.db"], &["snapshot", "no.db", "out.db"]]
    {
        let run = rejoin(&folder, arguments);
        assert_eq!(run.code, Some(1), "{arguments:?}");
        assert!(run.err.contains("no.db is not there"), "{}", run.err);
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let folder = folder();
    std::fs::write(folder.path().join("text.db"), "not a database, but long enough to be looked at ".repeat(50))
        .expect("a file");
    for arguments in [&["track", "text.db"][..], &["status", "text.db"], &["diff", "text.db", "text.db"]] {
        let run = rejoin(&folder, arguments);
        assert_eq!(run.code, Some(1), "{arguments:?}");
        assert!(run.err.contains("not a database"), "{}", run.err);
    }
}

#[test]
fn a_closed_pipe_is_no_crash() {
    let folder = folder();
    sql(&folder, "a.db", "CREATE TABLE t(a PRIMARY KEY); INSERT INTO t VALUES (1)");
    sql(&folder, "b.db", "CREATE TABLE t(a PRIMARY KEY)");
    let mut child = Command::new(env!("CARGO_BIN_EXE_rejoin"))
        .args(["diff", "a.db", "b.db"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("an end");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(matches!(output.status.code(), Some(0 | 3)), "{:?}", output.status);
}

#[test]
fn the_librarys_place_is_told_or_how_to_get_it() {
    let run = rejoin(&folder(), &["extension-path"]);
    match run.code {
        Some(0) => assert!(std::path::Path::new(run.out.trim_end()).is_file(), "{}", run.out),
        code => {
            assert_eq!(code, Some(1));
            assert!(run.err.contains("cargo build --release -p rejoin-extension"), "{}", run.err);
        }
    }
}

#[test]
fn the_status_of_an_ordinary_database_is_that_nothing_is_tracked() {
    let folder = folder();
    sql(&folder, "a.db", "CREATE TABLE t(a PRIMARY KEY)");
    let before = crate::bytes(&folder.path().join("a.db"));
    let run = rejoin(&folder, &["status", "a.db"]);
    assert_eq!(run.code, Some(0));
    assert!(run.out.contains("nothing yet"), "{}", run.out);
    assert_eq!(crate::bytes(&folder.path().join("a.db")), before);
}

#[test]
fn the_status_of_a_tracked_database_names_its_tables_and_changes_nothing() {
    let folder = folder();
    sql(
        &folder,
        "a.db",
        "CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, b); INSERT INTO t VALUES (1, 2); CREATE TABLE u(a)",
    );
    assert_eq!(rejoin(&folder, &["track", "a.db", "t"]).code, Some(0));
    let before = crate::bytes(&folder.path().join("a.db"));
    let run = rejoin(&folder, &["status", "--json", "a.db"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let status = run.json();
    assert_eq!(status["tracked"], serde_json::json!(["t"]));
    assert_eq!(status["untracked"], serde_json::json!(["u"]));
    assert_eq!(status["db_version"], 1);
    assert_eq!(status["site_id"].as_str().map(str::len), Some(32));
    assert_eq!(crate::bytes(&folder.path().join("a.db")), before);
}

#[test]
fn a_stream_that_is_behind_ends_the_status_with_3() {
    let folder = folder();
    sql(&folder, "a.db", "CREATE TABLE t(a INTEGER PRIMARY KEY NOT NULL, b); INSERT INTO t VALUES (1, 2)");
    assert_eq!(rejoin(&folder, &["track", "a.db"]).code, Some(0));
    let database = rejoin::Database::open(folder.path().join("a.db")).expect("a database");
    database
        .connection()
        .execute_batch(
            "CREATE VIRTUAL TABLE to_b USING crsql_outbound_stream(remote = x'00112233445566778899aabbccddeeff')",
        )
        .expect("a stream");
    drop(database);
    let run = rejoin(&folder, &["status", "a.db"]);
    assert_eq!(run.code, Some(3), "{}", run.err);
    assert!(run.out.contains("outbound to 00112233445566778899aabbccddeeff (to_b)"), "{}", run.out);
    let status = rejoin(&folder, &["status", "--json", "a.db"]).json();
    assert_eq!((&status["level"], &status["streams"][0]["behind"]), (&false.into(), &1.into()));
}

/// Every field's name in a JSON value, those of cells and copies left out.
fn fields(value: &serde_json::Value, found: &mut std::collections::BTreeSet<String>) {
    match value {
        serde_json::Value::Array(list) => list.iter().for_each(|value| fields(value, found)),
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                found.insert(name.clone());
                if name != "key" && name != "timings_ms" && name != "a" && name != "b" {
                    fields(value, found);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn every_json_field_is_in_the_guide() {
    let folder = folder();
    let guide = include_str!("../../../../docs/guide/program.md");
    sql(&folder, "a.db", "CREATE TABLE t(k TEXT PRIMARY KEY, v); INSERT INTO t VALUES ('x', 1); CREATE TABLE u(k)");
    sql(&folder, "b.db", "CREATE TABLE t(k TEXT PRIMARY KEY, v); INSERT INTO t VALUES ('x', 2)");
    let mut found = std::collections::BTreeSet::new();
    for arguments in [
        &["diff", "--json", "a.db", "b.db"][..],
        &["track", "--json", "a.db"],
        &["track", "--json", "--adapt", "a.db", "t"],
        &["snapshot", "--json", "a.db", "c.db"],
        &["status", "--json", "a.db"],
        &["untrack", "--json", "a.db"],
    ] {
        fields(&rejoin(&folder, arguments).json(), &mut found);
    }
    assert!(found.len() > 30, "{found:?}");
    for name in found {
        assert!(guide.contains(&format!("`{name}`")), "{name} is not in docs/guide/program.md");
    }
}
