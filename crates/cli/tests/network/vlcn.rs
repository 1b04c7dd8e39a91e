//! The protocol of cr-sqlite's JavaScript packages, at both ends.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::programs::{rejoin, said, text};
use crate::{Server, count, make};

/// A folder with a schema file.
fn scene() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let schemas = folder.path().join("schemas");
    std::fs::create_dir(&schemas).expect("a folder");
    let schema = schemas.join("app.sql");
    let text =
        "CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY NOT NULL, text TEXT);\nSELECT crsql_as_crr('note');";
    std::fs::write(&schema, text).expect("a file");
    (folder, schemas, schema)
}

#[test]
fn two_files_end_level_through_a_room_by_either_protocol() {
    let (folder, schemas, schema) = scene();
    let (a, b) = (folder.path().join("a.db"), folder.path().join("b.db"));
    make(&a, "INSERT INTO note VALUES (1, 'a')");
    let server = Server::start(&folder.path().join("rooms"), &["--schemas", text(&schemas), "--token", "app=secret"]);
    let url = server.url("any/path");
    let vlcn = ["--once", "--dialect", "vlcn", "--room", "app", "--token", "secret"];
    let run = rejoin(&[&["sync", text(&a), &url, "--schema", text(&schema)], &vlcn[..]].concat());
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    // A new file takes its tables from the schema file, and another from the room.
    let run = rejoin(&[&["sync", text(&b), &url, "--json", "--schema", text(&schema)], &vlcn[..]].concat());
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let out = String::from_utf8(run.stdout).expect("UTF-8");
    let last: serde_json::Value = serde_json::from_str(out.lines().last().expect("a line")).expect("an object");
    assert_eq!((&last["event"], &last["level"]), (&"finished".into(), &true.into()));
    let native = folder.path().join("native.db");
    let run = rejoin(&["sync", text(&native), &server.url("app"), "--once", "--token", "secret"]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    assert_eq!((count(&b), count(&native)), (1, 1));

    let run = rejoin(&["sync", text(&a), &url, "--once", "--dialect", "vlcn", "--room", "app", "--token", "wrong"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(said(&run).contains("token"), "{}", said(&run));
}

#[test]
fn what_does_not_go_together_is_wrong_use_or_said_before_a_file_is_made() {
    let (folder, schemas, schema) = scene();
    let a = folder.path().join("a.db");
    let url = "ws://127.0.0.1:1/app";
    for (arguments, code, says) in [
        (&["--dialect", "vlcn"][..], 2, "--room"),
        (&["--dialect", "other"], 2, "--dialect"),
        (&["--room", "app"], 2, "--dialect vlcn"),
        (&["--schema", text(&schema)], 2, "--dialect vlcn"),
        (&["--blobs"], 2, "--dialect vlcn"),
        (&["--dialect", "vlcn", "--room", "a,b"], 1, "comma"),
        (&["--dialect", "vlcn", "--room", "app", "--schema", "no.sql"], 1, "no.sql"),
    ] {
        let run = rejoin(&[&["sync", text(&a), url, "--once"], arguments].concat());
        assert_eq!(run.status.code(), Some(code), "{arguments:?}: {}", said(&run));
        assert!(said(&run).contains(says), "{arguments:?}: {}", said(&run));
    }
    assert!(!a.exists());
    let rooms = folder.path().join("rooms");
    let run = rejoin(&["serve", "--dir", text(&rooms), "--listen", "127.0.0.1:0", "--schemas", text(&schema)]);
    assert_eq!(run.status.code(), Some(1));
    assert!(said(&run).contains("no folder"), "{}", said(&run));
    assert!(schemas.exists());
}
