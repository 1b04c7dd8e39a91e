//! What well-behaved clients see.

use crate::browser::{Browser, NAME, SCHEMA, Wire, announcement, announcement_of, rows};
use crate::support::{Folder, Hub, Running, eventually, open, run};
use rejoin::Database;
use rejoin_node::{Access, Limits, Patience};
use rejoin_wire::vlcn::{Message, Point, schema_version};
use std::path::PathBuf;

/// A folder with the schema file of these tests.
pub fn schemas(folder: &Folder) -> PathBuf {
    let schemas = folder.path("schemas");
    std::fs::create_dir_all(&schemas).expect("a folder");
    std::fs::write(schemas.join(NAME), SCHEMA).expect("a file");
    schemas
}

async fn start(folder: &Folder) -> Hub {
    Hub::start_with_schemas(&folder.rooms(), &schemas(folder)).await
}

fn count(database: &Database) -> usize {
    rows(database).len()
}

#[tokio::test]
async fn two_browsers_and_a_native_client_of_one_room_meet() {
    let folder = Folder::new();
    let hub = start(&folder).await;
    let mut one = Browser::open(&folder.path("one.db"), hub.address, "app").await;
    let mut two = Browser::open(&folder.path("two.db"), hub.address, "app").await;
    one.run("INSERT INTO note VALUES (1, 'one', 7), (2, 'one', -0.5); INSERT INTO tag VALUES ('x', x'00ff')");
    two.run("INSERT INTO note VALUES (2, 'two', 1e300), (3, NULL, NULL)");
    one.until_started().await;
    two.until_started().await;
    one.until("four rows", |database| count(database) == 4).await;
    two.until("four rows", |database| count(database) == 4).await;

    let native = folder.path("native.db");
    let client = Running::start(&native, &hub.url("app")).await;
    eventually("the native client has them", || {
        let database = open(&native);
        database.connection().prepare("SELECT * FROM note").is_ok() && count(&database) == 4
    })
    .await;
    run(&native, "INSERT INTO note VALUES (4, 'native', 3); DELETE FROM note WHERE id = 1");
    let is_told = |database: &Database| {
        let sql = "SELECT count(*) = 0 FROM note WHERE id = 1 UNION ALL SELECT count(*) = 1 FROM note WHERE id = 4";
        let mut statement = database.connection().prepare(sql).expect("the table is there");
        statement.query_map([], |row| row.get::<_, bool>(0)).expect("rows").all(|is_so| is_so.expect("a row"))
    };
    one.until("the native client's edits", is_told).await;
    two.until("the native client's edits", is_told).await;
    assert_eq!(rows(&one.database), rows(&two.database));
    assert_eq!(rows(&one.database), rows(&open(&native)));
    assert_eq!(rows(&one.database), rows(&open(&folder.room("app"))));
    client.stop().await.expect("ends in order");
    hub.stop().await;
}

#[tokio::test]
async fn a_client_is_let_in_on_any_path_and_a_page_at_the_root_is_still_a_page() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = Folder::new();
    let hub = start(&folder).await;
    let database = Database::open(folder.path("one.db")).expect("opens");
    database.connection().execute_batch(SCHEMA).expect("good");
    for path in ["/", "/sync", "/x/sync?y=1", "/other-room", "/vlcn-ws/"] {
        let mut wire = Wire::dial_with(hub.address, path, &["cm9vbT1hcHA"]).await.expect(path);
        wire.send(&announcement(&database)).await;
        assert!(matches!(wire.hear().await, Ok(Message::StartStreaming { .. })), "{path}");
    }
    assert!(folder.room("app").exists() && !folder.room("other-room").exists());
    let mut socket = tokio::net::TcpStream::connect(hub.address).await.expect("connects");
    socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("goes out");
    let mut page = String::new();
    socket.read_to_string(&mut page).await.expect("an answer");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("ws://HOST:PORT/ROOM"), "{page}");
    hub.stop().await;
}

#[tokio::test]
async fn numbers_are_stored_as_their_columns_have_them_and_texts_that_are_not_utf_8_are_told_all_the_same() {
    use rejoin::rusqlite::types::Value as Cell;
    use rejoin_wire::vlcn::{Change, Changes, Value};
    let folder = Folder::new();
    let hub = start(&folder).await;
    let one = Database::open(folder.path("one.db")).expect("opens");
    one.connection().execute_batch(SCHEMA).expect("good");
    let mut wire = Wire::dial(hub.address, "app", None).await.expect("is let in");
    wire.send(&announcement(&one)).await;
    assert!(matches!(wire.hear().await, Ok(Message::StartStreaming { .. })));
    let mut changes = Changes::new();
    for (table, key, column, number) in [
        ("tag", &[1, 11, 1, b'a'][..], "color", 7.0),
        ("tag", &[1, 11, 1, b'b'], "color", 7.5),
        ("tag", &[1, 11, 1, b'c'], "color", 3e9),
        ("tag", &[1, 11, 1, b'd'], "color", -2_147_483_648.0),
        ("note", &[1, 9, 1], "weight", 7.0),
        ("note", &[1, 9, 1], "text", 7.0),
    ] {
        changes.push(&Change {
            table,
            key,
            column,
            value: Value::Number(number),
            col_version: 1,
            db_version: 1,
            site_id: None,
            causal_length: 1,
            seq: 0,
        });
    }
    let sender = one.site_id().expect("an id");
    wire.send(&Message::Changes { sender, since: Point::START, changes }).await;
    let room = open(&folder.room("app"));
    eventually("the room has them", || count(&room) == 5).await;
    let values: Vec<Cell> = rows(&room).into_iter().map(|row| row.last().cloned().expect("a cell")).collect();
    let expected = [Cell::Real(7.0), Cell::Integer(7), Cell::Real(7.5), Cell::Real(3e9), Cell::Integer(-2_147_483_648)];
    assert_eq!(values, expected);
    assert_eq!(rows(&room)[0][1], Cell::Text("7".to_owned()));

    run(&folder.room("app"), "INSERT INTO note VALUES (2, CAST(x'61ff62' AS TEXT), 9007199254740993)");
    run(&folder.room("app"), "INSERT INTO tag VALUES ('e', 9007199254740993)");
    let mut told = Vec::new();
    while told.len() < 3 {
        if let Message::Changes { changes, .. } = wire.hear().await.expect("goes on") {
            told.extend(changes.iter().map(|change| format!("{} {:?}", change.column, change.value)));
        }
    }
    let expected = ["text Text(\"a\u{fffd}b\")", "weight Number(9007199254740992.0)", "color BigInt(9007199254740993)"];
    assert_eq!(told, expected);
    hub.stop().await;
}

#[tokio::test]
async fn changes_from_a_client_have_the_client_as_their_author_and_its_position_is_kept_with_them() {
    let folder = Folder::new();
    let hub = start(&folder).await;
    let mut one = Browser::open(&folder.path("one.db"), hub.address, "app").await;
    one.until_started().await;
    assert_eq!(one.starts, [Point::START]);
    one.run("INSERT INTO note VALUES (1, 'one', 7)");
    one.run("INSERT INTO note VALUES (2, 'one', 7)");
    one.tell().await;
    let authored = || {
        let room = open(&folder.room("app"));
        let sql = "SELECT (SELECT count(DISTINCT db_version) FROM crsql_changes WHERE site_id = ?1),
             (SELECT version FROM crsql_tracked_peers WHERE site_id = ?1 AND tag = 0 AND event = 0)";
        let site_id = one.site_id.as_bytes();
        room.connection()
            .query_row(sql, [site_id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?)))
            .expect("one row")
    };
    eventually("the room has both transactions, as two", || authored() == (2, Some(2))).await;
    hub.stop().await;
}

#[tokio::test]
async fn a_client_starts_from_what_is_durably_held_also_after_the_server_was_restarted() {
    let folder = Folder::new();
    let hub = start(&folder).await;
    let address = hub.address;
    let mut one = Browser::open(&folder.path("one.db"), address, "app").await;
    let stale = announcement(&one.database);
    one.until_started().await;
    one.run("INSERT INTO note VALUES (1, 'before', 1)");
    one.tell().await;
    eventually("the room has the row", || count(&open(&folder.room("app"))) == 1).await;
    run(&folder.room("app"), "INSERT INTO note VALUES (2, 'in the room', 2)");
    one.until("the row of the room", |database| count(database) == 2).await;
    hub.stop().await;
    let closed = one.wire.closed().await;
    assert_eq!(closed.code, 1001, "{closed:?}");

    let hub = Hub::restart_with_schemas(address, &folder.rooms(), &schemas(&folder)).await;
    run(&folder.room("app"), "INSERT INTO note VALUES (3, 'meanwhile', 3)");
    one.run("INSERT INTO note VALUES (4, 'meanwhile', 4)");
    // A page announces what it held when it was loaded: it is told again what it has, and takes it without effect.
    let mut one = one.reconnect(address, "app", &stale).await;
    one.until_started().await;
    assert_eq!(one.starts.last(), Some(&Point::after(1)), "what the room holds of the client");
    one.until("the row that came meanwhile", |database| count(database) == 4).await;
    eventually("the room has all", || count(&open(&folder.room("app"))) == 4).await;
    assert_eq!(rows(&one.database), rows(&open(&folder.room("app"))));
    hub.stop().await;
}

#[tokio::test]
async fn a_gap_is_answered_by_the_place_to_start_from_and_nothing_behind_it_is_applied() {
    let folder = Folder::new();
    let hub = start(&folder).await;
    let mut one = Browser::open(&folder.path("one.db"), hub.address, "app").await;
    one.until_started().await;
    for id in 1..=3 {
        one.run(&format!("INSERT INTO note VALUES ({id}, 'one', 1)"));
    }
    let behind = one.frame(2).expect("the third transaction");
    one.wire.send(&behind).await;
    let answer = one.wire.hear().await;
    assert!(matches!(answer, Ok(Message::StartStreaming { since: Point::START, .. })), "{answer:?}");
    assert_eq!(count(&open(&folder.room("app"))), 0);
    let all = one.frame(0).expect("all of it");
    one.wire.send(&all).await;
    eventually("the room has all", || count(&open(&folder.room("app"))) == 3).await;
    hub.stop().await;
}

/// cr-sqlite tells of a changed key that the old row is gone and that a new one is there, and nothing of its cells: they
/// keep their old versions and authors. Here a client's frame is left without them, as there.
#[tokio::test]
async fn a_key_that_a_client_changes_keeps_its_cells_everywhere() {
    let folder = Folder::new();
    let hub = start(&folder).await;
    let mut one = Browser::open(&folder.path("one.db"), hub.address, "app").await;
    let mut two = Browser::open(&folder.path("two.db"), hub.address, "app").await;
    one.until_started().await;
    two.until_started().await;
    one.run("INSERT INTO note VALUES (1, 'one', 7)");
    one.tell().await;
    two.until("the row", |database| count(database) == 1).await;
    two.run("UPDATE note SET text = 'two' WHERE id = 1");
    two.tell().await;
    one.until("the edit of the other", |database| {
        let sql = "SELECT text = 'two' FROM note WHERE id = 1";
        database.connection().query_row(sql, [], |row| row.get(0)).expect("one row")
    })
    .await;
    one.run("UPDATE note SET id = 5 WHERE id = 1");
    let Some(Message::Changes { sender, since, changes }) = one.frame(one.starts[0].db_version + 1) else {
        panic!("the key change is told");
    };
    let mut sentinels = rejoin_wire::vlcn::Changes::new();
    changes.iter().filter(|change| change.column == "-1").for_each(|change| sentinels.push(&change));
    // The key (5) is told by rejoin's engine through its cells alone; cr-sqlite makes a sentinel.
    let last = changes.iter().last().expect("cells");
    sentinels.push(&rejoin_wire::vlcn::Change {
        key: &[1, 9, 5],
        column: "-1",
        value: rejoin_wire::vlcn::Value::Null,
        col_version: 1,
        causal_length: 1,
        ..last
    });
    one.wire.send(&Message::Changes { sender, since, changes: sentinels }).await;
    // The client answers the server's questions: first with all that it has.
    one.until_started().await;
    assert_eq!(one.starts.last(), Some(&Point::START));
    one.until_started().await;
    assert!(one.starts.last() > Some(&Point::START));
    two.until("the moved row with its cells", |database| {
        let sql = "SELECT count(*) FROM note WHERE id = 5 AND text = 'two' AND weight = 7";
        let moved: i64 = database.connection().query_row(sql, [], |row| row.get(0)).expect("one row");
        moved == 1 && count(database) == 1
    })
    .await;
    assert_eq!(rows(&one.database), rows(&open(&folder.room("app"))));
    hub.stop().await;
}

#[tokio::test]
async fn a_rejection_by_a_client_is_answered_from_where_it_stands() {
    let folder = Folder::new();
    let hub = start(&folder).await;
    let mut one = Browser::open(&folder.path("one.db"), hub.address, "app").await;
    one.until_started().await;
    run(&folder.room("app"), "INSERT INTO note VALUES (1, 'room', 1)");
    one.until("the row", |database| count(database) == 1).await;
    let server = open(&folder.room("app")).site_id().expect("an id");
    one.wire.send(&Message::RejectChanges { whose: server, since: Point::START }).await;
    let again = one.wire.hear().await;
    assert!(matches!(again, Ok(Message::Changes { since: Point::START, .. })), "{again:?}");
    hub.stop().await;
}

#[tokio::test]
async fn a_wrong_or_missing_token_is_turned_away_and_the_right_one_is_not() {
    let folder = Folder::new();
    let access = Access::from_tokens(["app=only-app", "everything"]).expect("tokens");
    let schemas = schemas(&folder);
    let hub = Hub::start_full(&folder.rooms(), Some(&schemas), access, Limits::default(), Patience::default()).await;
    for (room, token, is_let_in) in [
        ("app", Some("only-app"), true),
        ("other", Some("everything"), true),
        ("other", Some("only-app"), false),
        ("app", Some("wrong"), false),
        ("app", None, false),
    ] {
        match Wire::dial(hub.address, room, token).await {
            Ok(_) => assert!(is_let_in, "{room} {token:?}"),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                assert!(!is_let_in && response.status() == 401, "{room} {token:?} {response:?}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_schema_that_is_not_the_rooms_is_refused_with_a_code_and_a_sentence_and_makes_no_room() {
    let folder = Folder::new();
    let hub = start(&folder).await;
    let database = Database::open(folder.path("one.db")).expect("opens");
    database.connection().execute_batch(SCHEMA).expect("good");
    for (name, version) in [(NAME, 5), ("other.sql", 1), ("../app.sql", schema_version(SCHEMA)), ("", -1)] {
        let mut wire = Wire::dial(hub.address, "app", None).await.expect("is let in");
        wire.send(&announcement_of(&database, name, version)).await;
        let closed = wire.closed().await;
        assert_eq!(closed.code, 4412, "{closed:?}");
        assert!(closed.reason.contains("schema"), "{closed:?}");
    }
    assert!(!folder.room("app").exists(), "no room is made for a schema that is not known");
    // The room is not spoilt by them.
    let mut one = Browser::connect(database, hub.address, "app", &announcement_of_test(&folder)).await;
    one.until_started().await;
    hub.stop().await;
}

fn announcement_of_test(folder: &Folder) -> Message {
    announcement(&open(&folder.path("one.db")))
}

#[tokio::test]
async fn a_room_that_another_server_has_left_is_used_as_it_is() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.rooms()).expect("a folder");
    let left = folder.rooms().join("app");
    run(&left, SCHEMA);
    run(&left, "INSERT INTO note VALUES (1, 'left', 1)");
    let stored = format!(
        "INSERT INTO crsql_master(key, value) VALUES ('schema_name', '{NAME}'), ('schema_version', {})",
        schema_version(SCHEMA)
    );
    run(&left, &stored);
    // Without a schema file: the room has what the client has.
    let hub = Hub::start(&folder.rooms()).await;
    let mut one = Browser::open(&folder.path("one.db"), hub.address, "app").await;
    one.until("the row that was left", |database| count(database) == 1).await;
    assert!(!folder.room("app").exists());
    hub.stop().await;
}

#[tokio::test]
async fn tables_and_columns_that_a_clients_schema_lacks_are_not_sent_to_it() {
    let folder = Folder::new();
    let native = folder.path("native.db");
    run(
        &native,
        "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, text TEXT, weight REAL, secret TEXT);
         CREATE TABLE tag (name TEXT PRIMARY KEY NOT NULL, color BLOB);
         CREATE TABLE extra (id INTEGER PRIMARY KEY NOT NULL, x);
         SELECT crsql_as_crr('note'); SELECT crsql_as_crr('tag'); SELECT crsql_as_crr('extra');
         INSERT INTO note VALUES (1, 'native', 1, 'not for browsers'); INSERT INTO extra VALUES (1, 2);",
    );
    let hub = start(&folder).await;
    crate::support::sync_once(&native, &hub.url("app")).await.expect("level");
    let mut one = Browser::open(&folder.path("one.db"), hub.address, "app").await;
    one.until("the row", |database| count(database) == 1).await;
    run(&folder.room("app"), "INSERT INTO extra VALUES (2, 3); INSERT INTO note(id, text) VALUES (2, 'later')");
    one.until("the later row", |database| count(database) == 2).await;
    one.run("UPDATE note SET text = 'browser' WHERE id = 1");
    one.tell().await;
    eventually("the edit reaches the room", || {
        let room = open(&folder.room("app"));
        let sql = "SELECT text = 'browser' AND secret = 'not for browsers' FROM note WHERE id = 1";
        room.connection().query_row(sql, [], |row| row.get(0)).expect("one row")
    })
    .await;
    hub.stop().await;
}

#[tokio::test]
async fn a_backlog_goes_over_in_frames_that_end_with_transactions() {
    let folder = Folder::new();
    let hub = start(&folder).await;
    let mut one = Browser::open(&folder.path("one.db"), hub.address, "app").await;
    one.until_started().await;
    for base in 0..8 {
        one.run(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
             INSERT INTO note SELECT {base} * 50 + i, hex(zeroblob(4000)), i FROM n"
        ));
    }
    one.tell().await;
    eventually("the room has all", || count(&open(&folder.room("app"))) == 400).await;
    let database = Database::open(folder.path("two.db")).expect("opens");
    database.connection().execute_batch(SCHEMA).expect("good");
    let mut wire = Wire::dial(hub.address, "app", None).await.expect("is let in");
    wire.send(&announcement(&database)).await;
    let (mut frames, mut told, mut seen) = (0, 0, Vec::new());
    while told < 800 {
        if let Message::Changes { changes, since, .. } = wire.hear().await.expect("goes on") {
            frames += 1;
            told += changes.len();
            let mut versions: Vec<i64> = changes.iter().map(|change| change.db_version).collect();
            versions.dedup();
            assert!(versions.iter().all(|version| !seen.contains(version)), "no transaction is divided");
            assert_eq!(since.db_version, seen.last().copied().unwrap_or(0));
            seen.extend(versions);
        }
    }
    assert!(frames > 1 && seen.len() == 8, "{frames} frames of {} transactions", seen.len());
    hub.stop().await;
}

/// A second version of the schema: a column and a table more.
const SECOND: &str =
    "CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY NOT NULL, text TEXT, weight REAL, color TEXT);
CREATE TABLE IF NOT EXISTS tag (name TEXT PRIMARY KEY NOT NULL, color BLOB);
CREATE TABLE IF NOT EXISTS extra (id INTEGER PRIMARY KEY NOT NULL, x);
SELECT crsql_as_crr('note');
SELECT crsql_as_crr('tag');
SELECT crsql_as_crr('extra');
";

/// Puts a new version in the place of the schema file, and the one before beside it.
fn upgrade(schemas: &std::path::Path, text: &str) {
    let earlier = schemas.join(format!("{NAME}.earlier"));
    std::fs::create_dir_all(&earlier).expect("a folder");
    let count = std::fs::read_dir(&earlier).expect("a folder").count();
    std::fs::rename(schemas.join(NAME), earlier.join(count.to_string())).expect("moves");
    std::fs::write(schemas.join(NAME), text).expect("a file");
}

/// A page that has been loaded anew with another version of the schema.
async fn upgraded(path: &std::path::Path, hub: &Hub, text: &str) -> Browser {
    let database = Database::open(path).expect("the file opens");
    database.connection().query_row("SELECT crsql_automigrate(?1)", [text], |_| Ok(())).expect("the schema is good");
    let announcement = announcement_of(&database, NAME, schema_version(text));
    Browser::connect(database, hub.address, "app", &announcement).await
}

#[tokio::test]
async fn a_client_with_a_newer_schema_brings_the_room_to_it_and_earlier_clients_may_stay() {
    let folder = Folder::new();
    let schemas = schemas(&folder);
    let hub = Hub::start_with_schemas(&folder.rooms(), &schemas).await;
    let mut old = Browser::open(&folder.path("old.db"), hub.address, "app").await;
    old.until_started().await;
    old.run("INSERT INTO note VALUES (1, 'old', 1)");
    old.tell().await;
    upgrade(&schemas, SECOND);
    let mut new = upgraded(&folder.path("new.db"), &hub, SECOND).await;
    new.until("the row", |database| count(database) == 1).await;
    new.run("UPDATE note SET color = 'red', text = 'new'; INSERT INTO extra VALUES (1, 'x')");
    new.tell().await;
    old.until("what the old schema knows of it", |database| {
        let sql = "SELECT text = 'new' FROM note";
        database.connection().query_row(sql, [], |row| row.get(0)).expect("one row")
    })
    .await;
    let mut late = Browser::open(&folder.path("late.db"), hub.address, "app").await;
    late.until("the row", |database| count(database) == 1).await;
    hub.stop().await;
}

#[tokio::test]
async fn what_was_left_out_for_an_earlier_schema_is_told_once_the_client_has_a_newer_one() {
    let folder = Folder::new();
    let schemas = schemas(&folder);
    let hub = Hub::start_with_schemas(&folder.rooms(), &schemas).await;
    let mut one = Browser::open(&folder.path("one.db"), hub.address, "app").await;
    one.until_started().await;
    upgrade(&schemas, SECOND);
    let mut new = upgraded(&folder.path("new.db"), &hub, SECOND).await;
    new.until_started().await;
    new.run("INSERT INTO note VALUES (1, 'new', 1, 'red'); INSERT INTO extra VALUES (1, 'x')");
    new.run("INSERT INTO note VALUES (2, 'new', 2, 'blue')");
    new.tell().await;
    one.until("the rows", |database| count(database) == 2).await;
    drop(one);
    let mut one = upgraded(&folder.path("one.db"), &hub, SECOND).await;
    let has_all = |database: &Database| {
        let sql = "SELECT (SELECT group_concat(color) FROM (SELECT color FROM note ORDER BY id)), (SELECT count(*) FROM extra)";
        let found: (Option<String>, i64) =
            database.connection().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("one row");
        found == (Some("red,blue".to_owned()), 1)
    };
    one.until("what was left out", has_all).await;

    // Once the client holds something later, nothing is told twice.
    new.run("INSERT INTO note VALUES (3, 'new', 3, 'green')");
    new.tell().await;
    one.until("the third row", |database| count(database) == 3).await;
    let mut wire = Wire::dial(hub.address, "app", None).await.expect("is let in");
    wire.send(&announcement_of(&one.database, NAME, schema_version(SECOND))).await;
    assert!(matches!(wire.hear().await, Ok(Message::StartStreaming { .. })));
    run(&folder.room("app"), "INSERT INTO note VALUES (4, 'room', 4, NULL)");
    match wire.hear().await {
        Ok(Message::Changes { since, changes, .. }) => {
            assert!(changes.iter().all(|change| change.db_version > since.db_version && change.key == [1, 9, 4]));
        }
        other => panic!("{other:?}"),
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_migration_that_would_drop_what_no_earlier_schema_named_is_refused_and_changes_nothing() {
    let folder = Folder::new();
    let schemas = schemas(&folder);
    let hub = Hub::start_with_schemas(&folder.rooms(), &schemas).await;
    let mut old = Browser::open(&folder.path("old.db"), hub.address, "app").await;
    old.until_started().await;
    run(&folder.room("app"), "CREATE TABLE own (x); INSERT INTO own VALUES (1);");
    upgrade(&schemas, SECOND);
    let database = Database::open(folder.path("new.db")).expect("opens");
    let mut wire = Wire::dial(hub.address, "app", None).await.expect("is let in");
    wire.send(&announcement_of(&database, NAME, schema_version(SECOND))).await;
    let closed = wire.closed().await;
    assert!(closed.code == 4412 && closed.reason.contains("drop the table own"), "{closed:?}");
    run(&folder.room("app"), "DROP TABLE own");
    let mut new = upgraded(&folder.path("new.db"), &hub, SECOND).await;
    new.until_started().await;

    // What an earlier version named may be left out by a later one.
    let third = SECOND.replace(", color TEXT", "");
    upgrade(&schemas, &third);
    let mut newest = upgraded(&folder.path("newest.db"), &hub, &third).await;
    newest.until_started().await;
    hub.stop().await;
}
