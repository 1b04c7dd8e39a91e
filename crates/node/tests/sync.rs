//! Databases are kept level through a real server on this machine.

mod support;

use rejoin_node::{ClientEvent, Event, NodeError};
use support::{Folder, Hub, Running, count, eventually, open, rows, run, sync_once};

#[tokio::test]
async fn edits_made_offline_on_both_sides_reach_the_other() {
    let folder = Folder::new();
    let (a, b) = (folder.make("a.db"), folder.make("b.db"));
    let hub = Hub::start(&folder.rooms()).await;
    run(&a, "INSERT INTO note VALUES (1, 'from a', 0.1), (2, 'from a', -0.0); INSERT INTO tag VALUES ('x', x'00ff')");
    run(&b, "INSERT INTO note VALUES (2, 'from b', 1e300), (3, 'from b', NULL)");
    for path in [&a, &b, &a] {
        sync_once(path, &hub.url("app")).await.expect("level");
    }
    assert_eq!(rows(&a), rows(&b));
    assert_eq!(rows(&a), rows(&folder.room("app")));
    assert_eq!(count(&a), 4);

    run(&a, "UPDATE note SET text = 'again' WHERE id = 3");
    run(&b, "DELETE FROM note WHERE id = 1; UPDATE note SET weight = 7 WHERE id = 3");
    for path in [&a, &b, &a] {
        sync_once(path, &hub.url("app")).await.expect("level");
    }
    assert_eq!(rows(&a), rows(&b));
    assert_eq!(count(&a), 3);
    hub.stop().await;
}

#[tokio::test]
async fn a_new_file_takes_tables_and_rows_from_the_room() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    run(&a, "INSERT INTO note VALUES (1, 'hello', 1)");
    let hub = Hub::start(&folder.rooms()).await;
    sync_once(&a, &hub.url("app")).await.expect("level");
    let events = sync_once(&folder.path("new.db"), &hub.url("app")).await.expect("level");
    let taken = events.iter().find_map(|event| match event {
        ClientEvent::Session(Event::Joined { tables_taken, .. }) => Some(tables_taken.clone()),
        _ => None,
    });
    assert_eq!(taken, Some(vec!["note".to_owned(), "tag".to_owned()]));
    assert_eq!(rows(&folder.path("new.db")), rows(&a));
    let index = "SELECT sql FROM sqlite_schema WHERE name = 'by_text'";
    let database = open(&folder.path("new.db"));
    let sql: String = database.connection().query_row(index, [], |row| row.get(0)).expect("the index came too");
    assert_eq!(sql, "CREATE INDEX by_text ON note (text)");
    hub.stop().await;
}

#[tokio::test]
async fn two_clients_that_make_the_room_at_once_end_level() {
    let folder = Folder::new();
    let (a, b) = (folder.make("a.db"), folder.make("b.db"));
    run(&a, "INSERT INTO note VALUES (1, 'a', 1)");
    run(&b, "INSERT INTO note VALUES (2, 'b', 2)");
    let hub = Hub::start(&folder.rooms()).await;
    let url = hub.url("app");
    let (first, second) = tokio::join!(sync_once(&a, &url), sync_once(&b, &url));
    first.expect("level");
    second.expect("level");
    sync_once(&a, &url).await.expect("level");
    sync_once(&b, &url).await.expect("level");
    assert_eq!(rows(&a), rows(&b));
    assert_eq!(count(&a), 2);
    hub.stop().await;
}

#[tokio::test]
async fn writes_by_other_connections_are_noticed_on_both_ends() {
    let folder = Folder::new();
    let (a, b) = (folder.make("a.db"), folder.make("b.db"));
    let hub = Hub::start(&folder.rooms()).await;
    let clients = [Running::start(&a, &hub.url("app")).await, Running::start(&b, &hub.url("app")).await];
    run(&a, "INSERT INTO note VALUES (1, 'by another connection', 1)");
    eventually("the row of a reaches b", || count(&b) == 1).await;
    run(&folder.room("app"), "INSERT INTO note VALUES (2, 'into the room itself', 2)");
    eventually("the row of the room reaches both", || count(&a) == 2 && count(&b) == 2).await;
    assert_eq!(rows(&a), rows(&b));
    for client in clients {
        client.stop().await.expect("ends in order");
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_client_comes_back_when_the_server_does() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    let hub = Hub::start(&folder.rooms()).await;
    let address = hub.address;
    let client = Running::start(&a, &hub.url("app")).await;
    run(&a, "INSERT INTO note VALUES (1, 'before', 1)");
    eventually("the room is made", || folder.room("app").exists()).await;
    eventually("the row reaches the room", || count_if_there(&folder) == 1).await;
    hub.stop().await;
    assert!(!folder.path("rooms/app.db-wal").exists(), "a closed room is one file");
    run(&a, "INSERT INTO note VALUES (2, 'meanwhile', 2)");
    let hub = Hub::restart(address, &folder.rooms()).await;
    eventually("the second row reaches the room", || count_if_there(&folder) == 2).await;
    client.stop().await.expect("ends in order");
    hub.stop().await;
}

fn count_if_there(folder: &Folder) -> usize {
    let database = open(&folder.room("app"));
    let count = database.connection().query_row("SELECT count(*) FROM note", [], |row| row.get::<_, i64>(0));
    count.unwrap_or(0) as usize
}

#[tokio::test]
async fn a_backlog_larger_than_the_window_goes_over_in_pieces() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    run(
        &a,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
         INSERT INTO tag SELECT 'tag ' || i, randomblob(100000) FROM n",
    );
    let hub = Hub::start(&folder.rooms()).await;
    sync_once(&a, &hub.url("app")).await.expect("level");
    assert_eq!(rows(&folder.room("app")), rows(&a));
    hub.stop().await;
}

#[tokio::test]
async fn a_sender_that_believes_too_much_is_put_right_by_the_receiver() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    run(&a, "INSERT INTO note VALUES (1, 'one', 1)");
    let hub = Hub::start(&folder.rooms()).await;
    sync_once(&a, &hub.url("app")).await.expect("level");
    run(&a, "INSERT INTO note VALUES (2, 'two', 2)");
    {
        let database = open(&a);
        let room = open(&folder.room("app")).site_id().expect("an id");
        let outbound = database.outbound(room).expect("the stream is there");
        let head = database.streams().head().expect("a head");
        outbound.set_acked(&rejoin::change::Cursor::end_of_version(head)).expect("up to the head is allowed");
        assert_eq!(outbound.pending().expect("a number"), 0);
    }
    sync_once(&a, &hub.url("app")).await.expect("level");
    assert_eq!(rows(&folder.room("app")), rows(&a));
    hub.stop().await;
}

#[tokio::test]
async fn tables_that_are_tracked_while_a_session_runs_go_over_too() {
    let folder = Folder::new();
    let (a, b) = (folder.make("a.db"), folder.make("b.db"));
    let hub = Hub::start(&folder.rooms()).await;
    let clients = [Running::start(&a, &hub.url("app")).await, Running::start(&b, &hub.url("app")).await];
    run(&a, "INSERT INTO note VALUES (1, 'one', 1)");
    eventually("both are in step", || count(&b) == 1).await;
    run(
        &a,
        "CREATE TABLE late (id INTEGER PRIMARY KEY NOT NULL, n); SELECT crsql_as_crr('late'); INSERT INTO late VALUES (7, 8)",
    );
    eventually("the table and its row reach b", || {
        let database = open(&b);
        database.connection().query_row("SELECT n FROM late WHERE id = 7", [], |row| row.get::<_, i64>(0)).is_ok()
    })
    .await;
    for client in clients {
        client.stop().await.expect("ends in order");
    }
    hub.stop().await;
}

#[tokio::test]
async fn an_empty_client_waits_until_somebody_has_made_the_room() {
    let folder = Folder::new();
    let new = folder.path("new.db");
    let hub = Hub::start(&folder.rooms()).await;
    let client = Running::start(&new, &hub.url("app")).await;
    eventually("the room is there, and empty", || folder.room("app").exists()).await;
    let a = folder.make("a.db");
    run(&a, "INSERT INTO note VALUES (1, 'one', 1)");
    sync_once(&a, &hub.url("app")).await.expect("level");
    eventually("the tables and the row reach the new file", || {
        let database = open(&new);
        database.connection().query_row("SELECT text FROM note", [], |row| row.get::<_, String>(0)).is_ok()
    })
    .await;
    client.stop().await.expect("ends in order");
    hub.stop().await;
}

#[tokio::test]
async fn a_row_that_one_side_refuses_stops_that_direction_only_and_is_taken_once_it_is_repaired() {
    let folder = Folder::new();
    let (a, b) = (folder.path("a.db"), folder.make("b.db"));
    run(
        &a,
        "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, text TEXT CHECK (text <> 'bad'), weight REAL);
         CREATE TABLE tag (name TEXT PRIMARY KEY NOT NULL, color BLOB);
         SELECT crsql_as_crr('note'); SELECT crsql_as_crr('tag');",
    );
    let hub = Hub::start(&folder.rooms()).await;
    run(&b, "INSERT INTO note VALUES (1, 'bad', 1)");
    sync_once(&b, &hub.url("app")).await.expect("level");
    run(&a, "INSERT INTO note VALUES (2, 'good', 2)");
    let Err(NodeError::Refused(reason)) = sync_once(&a, &hub.url("app")).await else { panic!("it went through") };
    assert!(reason.contains("CHECK") && reason.contains("note"), "{reason}");
    assert_eq!(count(&a), 1, "nothing of the package was applied");
    assert_eq!(count(&folder.room("app")), 2, "the other direction got through");

    run(&b, "UPDATE note SET text = 'better' WHERE id = 1");
    for path in [&b, &a] {
        sync_once(path, &hub.url("app")).await.expect("level");
    }
    assert_eq!(rows(&a), rows(&b));
    hub.stop().await;
}

#[tokio::test]
async fn a_room_that_nobody_is_in_is_closed() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    let limits = rejoin_node::Limits { room_idle_max: std::time::Duration::ZERO, ..Default::default() };
    let hub = Hub::start_with(&folder.rooms(), Default::default(), limits, Default::default()).await;
    sync_once(&a, &hub.url("app")).await.expect("level");
    let wal = folder.path("rooms/app.db-wal");
    eventually("the room is one file again", || !wal.exists()).await;
    run(&a, "INSERT INTO note VALUES (1, 'one', 1)");
    sync_once(&a, &hub.url("app")).await.expect("a closed room opens again");
    assert_eq!(rows(&folder.room("app")), rows(&a));
    hub.stop().await;
}
