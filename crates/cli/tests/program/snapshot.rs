use crate::{ask, bytes, folder, rejoin, sql};

const SCHEMA: &str = "CREATE TABLE t(k INTEGER PRIMARY KEY NOT NULL, v); INSERT INTO t VALUES (1, 'one'), (2, 'two')";

#[test]
fn a_snapshot_is_equal_and_has_another_identity() {
    let folder = folder();
    sql(&folder, "app.db", SCHEMA);
    assert_eq!(rejoin(&folder, &["track", "app.db"]).code, Some(0));
    sql(&folder, "app.db", "CREATE TABLE crsql_vlcn_skipped(site_id); INSERT INTO crsql_vlcn_skipped VALUES (x'01')");
    let run = rejoin(&folder, &["snapshot", "app.db", "copy.db"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert_eq!(rejoin(&folder, &["diff", "app.db", "copy.db"]).code, Some(0));

    let original = sql(&folder, "app.db", "");
    let copy = sql(&folder, "copy.db", "");
    let own = ask(&original, "SELECT hex(site_id) FROM crsql_site_id WHERE ordinal = 0");
    assert_eq!(ask(&copy, "SELECT hex(site_id) FROM crsql_site_id WHERE ordinal = 0"), Vec::<String>::new());
    // What the original wrote keeps it as its author.
    assert_eq!(
        ask(
            &copy,
            "SELECT DISTINCT hex(s.site_id) FROM t__crsql_clock c JOIN crsql_site_id s ON s.ordinal = c.site_id"
        ),
        own
    );
    assert_eq!(ask(&copy, "SELECT count(*) FROM t__crsql_clock WHERE site_id = 0"), ["0"]);
    assert_eq!(ask(&copy, "SELECT count(*) FROM crsql_tracked_peers"), ["0"]);
    assert_eq!(ask(&copy, "SELECT count(*) FROM sqlite_schema WHERE name = 'crsql_vlcn_skipped'"), ["0"]);
}

#[test]
fn a_snapshot_never_overwrites() {
    let folder = folder();
    sql(&folder, "app.db", SCHEMA);
    std::fs::write(folder.path().join("out.db"), "precious").expect("a file");
    let run = rejoin(&folder, &["snapshot", "app.db", "out.db"]);
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("exists already"), "{}", run.err);
    assert_eq!(bytes(&folder.path().join("out.db")), b"precious");
}

#[test]
fn a_snapshot_leaves_nothing_but_itself() {
    let folder = folder();
    let open = sql(&folder, "app.db", &format!("PRAGMA journal_mode = WAL; {SCHEMA}"));
    assert_eq!(rejoin(&folder, &["track", "app.db"]).code, Some(0));
    drop(open);
    assert_eq!(rejoin(&folder, &["snapshot", "app.db", "copy.db"]).code, Some(0));
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        // SQLite leaves these beside any WAL file that was only read.
        .filter(|name| !name.starts_with("app.db-"))
        .collect();
    names.sort();
    assert_eq!(names, ["app.db", "copy.db"]);
    assert_eq!(rejoin(&folder, &["snapshot", "no.db", "other.db"]).code, Some(1));
    assert!(!folder.path().join("other.db").exists());
}

#[test]
fn a_snapshot_has_no_streams_and_its_status_can_be_read() {
    let folder = folder();
    sql(&folder, "app.db", SCHEMA);
    assert_eq!(rejoin(&folder, &["track", "app.db"]).code, Some(0));
    let app = rejoin::Database::open(folder.path().join("app.db")).expect("a database");
    app.connection()
        .execute_batch(
            "CREATE VIRTUAL TABLE \"to b\" USING crsql_outbound_stream(remote = x'00112233445566778899aabbccddeeff');
             CREATE VIRTUAL TABLE from_b USING crsql_InboundStream(remote = x'00112233445566778899aabbccddeeff');
             CREATE VIRTUAL TABLE words USING fts5(word); INSERT INTO words VALUES ('outbound_stream');",
        )
        .expect("streams");
    assert_eq!(ask(app.connection(), "SELECT count(*) FROM crsql_streams"), ["2"]);
    let run = rejoin(&folder, &["snapshot", "--json", "app.db", "copy.db"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert_eq!(run.json()["copy"], "copy.db");

    let copy = sql(&folder, "copy.db", "");
    assert_eq!(
        ask(
            &copy,
            "SELECT name FROM sqlite_schema WHERE name LIKE 'crsql\\_streams%' ESCAPE '\\' OR sql LIKE '%boundstream%'"
        ),
        Vec::<String>::new()
    );
    assert_eq!(ask(&copy, "SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL%'"), ["words"]);
    let status = rejoin(&folder, &["status", "--json", "copy.db"]);
    assert_eq!(status.code, Some(0), "{}", status.err);
    assert_eq!(status.json()["site_id"], serde_json::Value::Null);
    // The first to open it with the library gives it one.
    let own = rejoin::Database::open(folder.path().join("copy.db")).expect("a database").site_id().expect("an id");
    assert_ne!(own, app.site_id().expect("an id"));
    assert_eq!(ask(app.connection(), "SELECT count(*) FROM crsql_streams"), ["2"]);
}
