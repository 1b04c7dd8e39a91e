//! Settings of a database.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use support::*;

const GET: &str = "SELECT crsql_config_get('merge-equal-values')";

fn set(value: &str) -> String {
    format!("SELECT crsql_config_set('merge-equal-values', {value})")
}

#[test]
fn a_setting_is_kept_in_the_file_and_seen_by_other_connections_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let (host, other) = (file(&path), file(&path));
    assert_eq!(one(&host, GET), "0");
    assert_eq!(one(&host, &set("1")), "1");
    assert_eq!(one(&host, GET), "1");
    assert_eq!(one(&other, GET), "1");
    assert_eq!(one(&other, &set("'7'")), "7");
    assert_eq!(one(&host, GET), "7");
    let stored = "SELECT value, typeof(value) FROM crsql_master WHERE key = 'config.merge-equal-values'";
    assert_eq!(rows(&file(&path), stored), ["7|integer"]);
}

#[test]
fn a_rollback_takes_a_setting_back() {
    let host = memory();
    run(&host, &format!("{}; BEGIN; {}; SAVEPOINT s; {}; ROLLBACK TO s", set("1"), set("2"), set("3")));
    assert_eq!(one(&host, GET), "2");
    run(&host, "ROLLBACK");
    assert_eq!(one(&host, GET), "1");
}

#[test]
fn settings_that_are_not_there_are_refused_by_name() {
    let host = memory();
    for name in ["'merge_equal_values'", "'MERGE-EQUAL-VALUES'", "''", "NULL", "1", "x'00'"] {
        assert_eq!(failure(&host, &format!("SELECT crsql_config_set({name}, 1)")), "Unknown setting name", "{name}");
        assert_eq!(failure(&host, &format!("SELECT crsql_config_get({name})")), "Unknown setting name", "{name}");
    }
}

#[test]
fn a_value_with_which_the_original_could_not_open_the_file_is_not_stored() {
    let host = memory();
    for value in ["NULL", "'abc'", "'1abc'", "1.5", "x'31'", "''"] {
        assert!(failure(&host, &set(value)).contains("takes an integer"), "{value}");
    }
    assert_eq!(number(&host, "SELECT count(*) FROM crsql_master WHERE key LIKE 'config.%'"), 0);
    assert_eq!(one(&host, &set("1.0")), "1");
}

#[test]
fn a_file_with_a_damaged_setting_opens_and_the_setting_is_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    run(&file(&path), "INSERT INTO crsql_master VALUES ('config.merge-equal-values', 'abc'), ('config.other', 'x')");
    let host = file(&path);
    assert_eq!(one(&host, GET), "0");
    assert_eq!(one(&host, &set("1")), "1");
}
