//! Arguments in; lines, exit codes and files out.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::{Server, count, make};

pub fn rejoin(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rejoin"))
        .args(arguments)
        .env_remove("REJOIN_TOKEN")
        .output()
        .expect("the program runs")
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn once_brings_two_files_level_and_says_so_in_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, b) = (folder.path().join("a.db"), folder.path().join("b.db"));
    make(&a, "INSERT INTO note VALUES (1, 'a')");
    make(&b, "INSERT INTO note VALUES (2, 'b')");
    let server = Server::start(&folder.path().join("rooms"), &[]);
    for path in [&a, &b] {
        let run = rejoin(&["sync", text(path), &server.url("app"), "--once"]);
        assert_eq!(run.status.code(), Some(0), "{}", said(&run));
        let out = String::from_utf8(run.stdout).expect("UTF-8");
        assert!(out.lines().last().is_some_and(|line| line.starts_with("level: ")), "{out}");
        let status = rejoin(&["status", text(path)]);
        assert_eq!(status.status.code(), Some(0), "what came in counts as told: {}", said(&status));
    }
    let run = rejoin(&["sync", text(&a), &server.url("app"), "--once", "--json"]);
    let lines: Vec<Value> = String::from_utf8(run.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is an object"))
        .collect();
    let events: Vec<&str> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
    assert_eq!(events.first(), Some(&"connected"));
    assert!(events.contains(&"joined") && events.contains(&"caught_up"), "{events:?}");
    let last = lines.last().expect("a line");
    assert_eq!(last["event"], "finished");
    assert_eq!(last["level"], true);
    assert!(last["changes_received"].as_u64().is_some_and(|changes| changes > 0), "{last}");
    assert_eq!((count(&a), count(&b)), (2, 2));
    assert_eq!(rejoin(&["diff", text(&a), text(&b)]).status.code(), Some(0));
}

#[test]
fn a_server_beyond_this_machine_needs_a_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let rooms = folder.path().join("rooms");
    let run = rejoin(&["serve", "--dir", text(&rooms), "--listen", "0.0.0.0:0"]);
    assert_eq!(run.status.code(), Some(2), "wrong use");
    assert!(said(&run).contains("--token"), "{}", said(&run));
    assert!(!rooms.exists());
}

#[test]
fn without_the_right_token_nothing_goes_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = folder.path().join("a.db");
    make(&a, "");
    let server = Server::start(&folder.path().join("rooms"), &["--token", "app=secret"]);
    let url = server.url("app");
    for arguments in [&["--token", "wrong"][..], &[]] {
        let run = rejoin(&[&["sync", text(&a), &url, "--once"], arguments].concat());
        assert_eq!(run.status.code(), Some(1), "{arguments:?}");
        assert!(said(&run).contains("--token"), "{}", said(&run));
    }
    assert_eq!(rejoin(&["sync", text(&a), &url, "--once", "--token", "secret"]).status.code(), Some(0));
}

#[test]
fn an_address_that_cannot_be_leaves_no_file_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new.db");
    for url in ["http://127.0.0.1/app", "ws://127.0.0.1:1", "ws://127.0.0.1:1/a.db", "app"] {
        let run = rejoin(&["sync", text(&path), url, "--once"]);
        assert_eq!(run.status.code(), Some(1), "{url}");
        assert!(said(&run).contains("ws://HOST:PORT/ROOM"), "{}", said(&run));
        assert!(!path.exists(), "{url}");
    }
}

#[test]
fn a_client_that_nobody_reads_ends_quietly() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = folder.path().join("a.db");
    make(&a, "");
    let server = Server::start(&folder.path().join("rooms"), &[]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_rejoin"))
        .args(["sync", text(&a), &server.url("app")])
        .stdout(writer)
        .status()
        .expect("the program runs");
    assert_eq!(status.code(), Some(0));
}

#[cfg(unix)]
#[test]
fn asked_to_end_both_programs_say_goodbye_and_leave_single_files() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let folder = tempfile::tempdir().expect("a folder");
    let a = folder.path().join("a.db");
    make(&a, "INSERT INTO note VALUES (1, 'a')");
    let mut server = Server::start(&folder.path().join("rooms"), &[]);
    let mut client = Command::new(env!("CARGO_BIN_EXE_rejoin"))
        .args(["sync", text(&a), &server.url("app")])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(client.stdout.take().expect("its output is piped")).lines();
    assert!(lines.any(|line| line.expect("UTF-8").starts_with("level with")), "the client is in step");
    for (child, signal) in [(&mut client, "-INT"), (&mut server.child, "-TERM")] {
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        assert_eq!(child.wait().expect("it ends").code(), Some(0));
    }
    assert!(lines.any(|line| line.expect("UTF-8").starts_with("stopped: ")));
    for wal in ["a.db-wal", "rooms/app.db-wal"] {
        assert!(!folder.path().join(wal).exists(), "{wal}");
    }
    assert_eq!(count(&folder.path().join("rooms/app.db")), 1);
}
