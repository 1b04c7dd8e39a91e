//! The browser example: built, opened in two tabs of a real Chromium, and shared with a file on disk.

use rejoin_conformance::{
    Engine, Host, JavaScript, Peer, Program, Script, Settings, chromium, example, free_address, program, wait_until,
};
use serde_json::json;
use std::net::TcpStream;
use std::path::Path;

#[test]
fn two_tabs_of_the_example_and_a_file_edit_one_list() {
    let logs = tempfile::tempdir().expect("a temporary folder");
    let (Some(javascript), Some(program), Some(page)) = (JavaScript::find(logs.path()), program(), example()) else {
        return;
    };
    let (Some(settings), Some(_)) = (Settings::find(&[Engine::BuiltIn]), chromium()) else { return };
    let program = Program::new(&program, logs.path());
    let (address, rooms) = (free_address(), logs.path().join("rooms").to_string_lossy().into_owned());
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/browser/schemas");
    let schemas = schemas.to_string_lossy().into_owned();
    let serve = || {
        let server = program.start("serve", &["serve", "--dir", &rooms, "--listen", &address, "--schemas", &schemas]);
        wait_until("the server listens", || TcpStream::connect(&address).is_ok());
        server
    };
    let server = serve();

    let mut browser = javascript.start("tabs.mjs");
    for (name, color) in [("Ada", "2f7d5b"), ("Ben", "c2571a")] {
        let query = format!("name={name}&id={name}&color=%23{color}&server=ws://{address}/sync&room=list");
        browser.ask("visit", json!({"name": name, "folder": page, "query": query}));
        wait_until("the page is live", || texts(&mut browser, name, "#connection") == ["Live"]);
    }
    add(&mut browser, "Ada", "Head torches");
    add(&mut browser, "Ben", "Coffee, much of it");
    for name in ["Ada", "Ben"] {
        wait_until("both lines are in both tabs", || texts(&mut browser, name, "#progress") == ["0 of 2 packed"]);
        wait_until("both people are in both tabs", || texts(&mut browser, name, ".face").len() == 2);
    }

    let file = Peer::new(&settings, logs.path(), "list", Host::Shell, Engine::BuiltIn);
    let (path, url) = (file.database.to_string_lossy().into_owned(), format!("ws://{address}/list"));
    let sync = program.start("sync", &["sync", &path, &url]);
    let count = |condition: &str| {
        file.try_run(&format!("SELECT count(*) FROM item WHERE {condition}"), &[])
            .map_or(0, |rows| rows[0][0].integer())
    };
    wait_until("the file has the list", || count("true") == 2);
    // The statement of the example's own page.
    file.run(
        "INSERT INTO item (id, title, created) VALUES (hex(randomblob(8)), 'A line from the shell', unixepoch() * 1000)",
        &[],
    );
    wait_until("a line from the file is in a tab", || texts(&mut browser, "Ada", "#progress") == ["0 of 3 packed"]);
    browser.ask("click", json!({"name": "Ada", "selector": "li:first-child input[type=checkbox]"}));
    wait_until("a tick is in the other tab", || texts(&mut browser, "Ben", "#progress") == ["1 of 3 packed"]);
    wait_until("a tick is in the file", || count("done = 1") == 1);

    browser.ask("click", json!({"name": "Ben", "selector": "#connection"}));
    wait_until("Ben is offline", || texts(&mut browser, "Ben", "#connection") == ["Offline, edits are kept"]);
    add(&mut browser, "Ben", "Chocolate");
    wait_until("Ben sees his line", || texts(&mut browser, "Ben", "#progress") == ["1 of 4 packed"]);
    assert_eq!(count("title = 'Chocolate'"), 0, "a tab that is offline has told");
    browser.ask("click", json!({"name": "Ben", "selector": "#connection"}));
    wait_until("Ben's line arrives", || texts(&mut browser, "Ada", "#progress") == ["1 of 4 packed"]);

    server.kill();
    wait_until("the page says that the server is gone", || {
        let says = texts(&mut browser, "Ada", "#connection");
        says == ["Offline, edits are kept"] || says == ["Connecting …"]
    });
    add(&mut browser, "Ada", "Bread and cheese");
    let server = serve();
    wait_until("the line arrives after a restart", || texts(&mut browser, "Ben", "#progress") == ["1 of 5 packed"]);
    wait_until("and in the file", || count("true") == 5);
    drop((sync, server));
}

fn add(browser: &mut Script, name: &str, title: &str) {
    browser.ask("fill", json!({"name": name, "selector": "#title", "text": title}));
    browser.ask("press", json!({"name": name, "selector": "#title", "key": "Enter"}));
}

fn texts(browser: &mut Script, name: &str, selector: &str) -> Vec<String> {
    let found = browser.ask("texts", json!({"name": name, "selector": selector}));
    serde_json::from_value(found).expect("texts answers a list")
}
