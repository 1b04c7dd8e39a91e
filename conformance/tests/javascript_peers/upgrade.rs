//! An app gets a new column and a new table while its users are at different versions of it.

use crate::world::{Native, SCHEMA, SCHEMA_NAME, World};
use rejoin_conformance::{JavaScriptPeer, Value, wait_until};
use serde_json::json;

/// The server learns of the new schema first, then the clients and the native peer are updated, with edits in between.
pub fn one_after_the_other(world: &mut World, peers: &[JavaScriptPeer], mut native: Native) {
    let (first, second) = (&peers[0], &peers[1]);
    first.run("INSERT INTO entry (id, title) VALUES ('a', 'old')");
    world.converge("the old schema works", peers, &[&native], |content| content.len() == 1);

    let new = SCHEMA.replace("data BLOB)", "data BLOB, color TEXT)")
        + "CREATE TABLE IF NOT EXISTS tag (name TEXT PRIMARY KEY NOT NULL, entry TEXT);\nSELECT crsql_as_crr('tag');\n";
    let earlier = world.schemas.join(format!("{SCHEMA_NAME}.earlier"));
    std::fs::create_dir(&earlier).expect("a folder in a temporary folder");
    std::fs::write(earlier.join("1.sql"), SCHEMA).expect("a file in a temporary folder");
    std::fs::write(world.schemas.join(SCHEMA_NAME), &new).expect("a file in a temporary folder");

    native.stop();
    first.stop();
    first.migrate(SCHEMA_NAME, &new);
    world.sync(first);
    first.run("UPDATE entry SET color = 'red', title = 'new' WHERE id = 'a'; INSERT INTO tag VALUES ('t', 'a')");
    second.run("INSERT INTO entry (id, title) VALUES ('b', 'from an old client')");
    wait_until("an updated client has what an old one wrote", || first.query("SELECT id FROM entry").len() == 2);

    second.stop();
    second.migrate(SCHEMA_NAME, &new);
    world.sync(second);
    let expected = [
        vec![json!("a"), json!("new"), json!("red"), json!("t")],
        vec![json!("b"), json!("from an old client"), json!(null), json!("t")],
    ];
    wait_until("a client that is updated later has the new column's values", || second.query(ROWS) == expected);

    native.run(
        "SELECT crsql_begin_alter('entry'); ALTER TABLE entry ADD COLUMN color TEXT; SELECT crsql_commit_alter('entry')",
    );
    world.start_sync(&mut native);
    let has = |rows: &[[Value; 4]]| native.peer.try_run(ROWS, &[]).is_ok_and(|found| found == rows);
    let first_row = ["a".into(), "new".into(), "red".into(), "t".into()];
    let second_row = |title: &str| ["b".into(), title.into(), Value::Null, "t".into()];
    wait_until("the native peer has the new column's values and the new table", || {
        has(&[first_row.clone(), second_row("from an old client")])
    });
    native.run("UPDATE entry SET title = 'from the native peer' WHERE id = 'b'");
    wait_until("the native peer's edit is at both clients", || {
        peers.iter().all(|peer| peer.query(ROWS)[1][1] == json!("from the native peer"))
    });
    assert!(has(&[first_row, second_row("from the native peer")]));
}

const ROWS: &str = "SELECT id, title, color, (SELECT name FROM tag) FROM entry ORDER BY id";
