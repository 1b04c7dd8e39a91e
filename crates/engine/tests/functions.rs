//! The table of functions, and what each says to wrong arguments.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

mod support;
use rusqlite::ffi::ErrorCode;
use support::*;

const DETERMINISTIC: i64 = 0x800;
const DIRECTONLY: i64 = 0x8_0000;
const INNOCUOUS: i64 = 0x20_0000;

#[test]
fn names_arguments_and_flags_are_those_of_the_original_but_for_two_that_are_not_deterministic() {
    let expected = [
        ("crsql_after_delete", -1, INNOCUOUS),
        ("crsql_after_insert", -1, INNOCUOUS),
        ("crsql_after_update", -1, INNOCUOUS),
        ("crsql_as_crr", -1, DETERMINISTIC),
        ("crsql_as_table", 1, 0),
        ("crsql_automigrate", -1, 0),
        ("crsql_begin_alter", -1, DIRECTONLY),
        ("crsql_commit_alter", -1, DIRECTONLY),
        // The original says deterministic, although crsql_config_set changes it.
        ("crsql_config_get", 1, INNOCUOUS),
        ("crsql_config_set", 2, 0),
        ("crsql_db_version", 0, INNOCUOUS),
        ("crsql_finalize", -1, DIRECTONLY),
        ("crsql_fract_as_ordered", -1, DIRECTONLY),
        ("crsql_fract_fix_conflict_return_old_key", -1, INNOCUOUS),
        ("crsql_fract_key_between", 2, DETERMINISTIC | INNOCUOUS),
        // The original says deterministic, although every event changes it.
        ("crsql_get_seq", 0, INNOCUOUS),
        ("crsql_increment_and_get_seq", 0, INNOCUOUS),
        ("crsql_internal_sync_bit", -1, INNOCUOUS),
        ("crsql_next_db_version", -1, INNOCUOUS),
        ("crsql_pack_columns", -1, 0),
        ("crsql_rows_impacted", 0, INNOCUOUS),
        ("crsql_sha", 0, DETERMINISTIC | INNOCUOUS),
        ("crsql_site_id", 0, DETERMINISTIC | INNOCUOUS),
    ];
    let found = rows(
        &memory(),
        "SELECT name, narg, flags, type, enc FROM pragma_function_list WHERE name LIKE 'crsql%' ORDER BY name",
    );
    let expected: Vec<String> =
        expected.iter().map(|(name, arguments, flags)| format!("{name}|{arguments}|{flags}|s|utf8")).collect();
    assert_eq!(found, expected);
    let modules = "SELECT name FROM pragma_module_list WHERE name LIKE 'crsql%' OR name = 'clset' ORDER BY 1";
    assert_eq!(rows(&memory(), modules), ["clset", "crsql_changes", "crsql_unpack_columns"]);
}

#[test]
fn arguments_that_are_missing_or_of_no_use_are_errors_and_end_nothing() {
    let host = foo();
    for (sql, expected) in [
        ("SELECT crsql_as_crr(NULL)", "crsql_as_crr needs the name of a table"),
        ("SELECT crsql_as_crr(x'00')", "crsql_as_crr needs the name of a table"),
        ("SELECT crsql_as_crr('main', NULL)", "crsql_as_crr needs the name of a table"),
        ("SELECT crsql_begin_alter()", "crsql_begin_alter needs the name of a table"),
        ("SELECT crsql_begin_alter(NULL)", "crsql_begin_alter needs the name of a table"),
        ("SELECT crsql_commit_alter()", "crsql_commit_alter needs the name of a table"),
        ("SELECT crsql_commit_alter(NULL, NULL)", "crsql_commit_alter needs the name of a table"),
        ("SELECT crsql_after_insert()", "expected at least 1 argument"),
        ("SELECT crsql_after_update()", "expected at least 1 argument"),
        ("SELECT crsql_after_delete()", "expected at least 1 argument"),
        ("SELECT crsql_after_insert('nope', 1)", "table nope not found"),
        ("SELECT crsql_after_update('FOO', 1)", "table FOO not found"),
        ("SELECT crsql_after_update('foo', 1, 2)", "expected 7 values, got 3"),
        ("SELECT crsql_automigrate()", "Had no args. Expected a schema to migrate to"),
        ("SELECT crsql_fract_as_ordered()", "Must provide at least 2 arguments"),
        ("SELECT crsql_fract_fix_conflict_return_old_key()", "Too few arguments to fix_conflict_return_old_key"),
    ] {
        let message = failure(&host, sql);
        assert!(message.contains(expected), "{sql}: {message}");
        assert!(host.is_autocommit());
    }
    for sql in ["crsql_after_insert(NULL)", "crsql_after_update(NULL, 1)", "crsql_after_delete(1, 2)"] {
        failure(&host, &format!("SELECT {sql}"));
    }
    // Exactly two arguments are schema and table; of three the first is the table.
    assert_eq!(one(&host, "SELECT crsql_as_crr('foo', 'x', 'y')"), "OK");
    run(&host, "SELECT crsql_begin_alter('main', 'foo'); SELECT crsql_commit_alter('main', 'foo')");
    assert_eq!(one(&host, "SELECT crsql_next_db_version('12', 1)"), "1");
    assert_eq!(one(&host, "SELECT crsql_next_db_version('12')"), "12");
    assert_eq!(one(&host, "SELECT crsql_internal_sync_bit(1, 2)"), "0");
    assert_eq!(one(&host, "SELECT crsql_finalize(1, 2)"), "finalized");
}

#[test]
fn the_counter_of_events_is_returned_before_it_is_raised() {
    let host = foo();
    run(&host, "BEGIN; INSERT INTO foo VALUES (1, 1, 1)");
    let counters = "SELECT crsql_get_seq(), crsql_increment_and_get_seq(), crsql_get_seq()";
    assert_eq!(one(&host, counters), "2|2|3");
    run(&host, "COMMIT");
    assert_eq!(one(&host, "SELECT crsql_get_seq()"), "0");
}

#[test]
fn the_build_is_named() {
    assert!(one(&memory(), "SELECT crsql_sha()").starts_with("rejoin "));
}

#[test]
fn unpacking_answers_as_the_original_and_says_what_is_wrong() {
    let host = memory();
    let unpacked = "SELECT rowid, cell FROM crsql_unpack_columns(crsql_pack_columns(1, 'x', NULL))";
    assert_eq!(rows(&host, unpacked), ["0|1", "1|x", "2|NULL"]);
    let second = "SELECT cell FROM crsql_unpack_columns WHERE package = crsql_pack_columns(1, 'x') AND cell = 'x'";
    assert_eq!(rows(&host, second), ["x"]);
    let code = |sql: &str| {
        let error = host.prepare(sql).and_then(|mut s| s.query_row([], |_| Ok(()))).unwrap_err();
        (error.sqlite_error_code(), error.to_string())
    };
    for (sql, expected_code, expected) in [
        (
            "SELECT package FROM crsql_unpack_columns WHERE package = x'010901'",
            ErrorCode::ApiMisuse,
            "Selected a column besides cell! 1",
        ),
        ("SELECT cell FROM crsql_unpack_columns", ErrorCode::ApiMisuse, "Zero args passed to filter"),
        ("SELECT cell FROM crsql_unpack_columns LIMIT 5 OFFSET 1", ErrorCode::ApiMisuse, "Zero args passed to filter"),
        (
            "SELECT cell FROM crsql_unpack_columns WHERE cell = 1",
            ErrorCode::Unknown,
            "no package column specified. Got PACKAGE instead",
        ),
        ("SELECT cell FROM crsql_unpack_columns(x'0109')", ErrorCode::Unknown, "ends before its values do"),
        ("SELECT cell FROM crsql_unpack_columns(x'')", ErrorCode::Unknown, "ends before its values do"),
        ("SELECT cell FROM crsql_unpack_columns(x'0148')", ErrorCode::Unknown, "the packed key"),
        ("SELECT cell FROM crsql_unpack_columns('abc')", ErrorCode::Unknown, "is not a blob"),
        ("SELECT cell FROM crsql_unpack_columns(NULL)", ErrorCode::Unknown, "is not a blob"),
    ] {
        let (found, message) = code(sql);
        assert!(message.contains(expected), "{sql}: {message}");
        assert_eq!(found, Some(expected_code), "{sql}: {message}");
    }
}
