//! `rejoin`'s own client, at a server of rejoin's and at one that behaves as the original does.

use crate::browser::{Browser, NAME, SCHEMA, rows};
use crate::original::Original;
use crate::rooms::schemas;
use crate::support::{Folder, Hub, WAIT_MAX, eventually, open, run};
use rejoin_node::{Client, ClientEvent, Database, Event, Finished, Limits, NodeError, Patience};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

async fn client(path: &Path, url: &str, schema: Option<&Path>) -> (Database, Client) {
    let database = Database::open(path, rejoin::prepare(), &Limits::default()).await.expect("the file opens");
    let mut client = Client::vlcn(database.clone(), url, "app").expect("an address and a room");
    if let Some(schema) = schema {
        client = client.with_schema_file(schema).expect("a schema file");
    }
    (database, client)
}

async fn once(path: &Path, url: &str, schema: Option<&Path>) -> Result<Vec<ClientEvent>, NodeError> {
    once_with(path, url, schema, |client| client).await
}

async fn once_with(
    path: &Path,
    url: &str,
    schema: Option<&Path>,
    configure: impl FnOnce(Client) -> Client,
) -> Result<Vec<ClientEvent>, NodeError> {
    let (database, client) = client(path, url, schema).await;
    let client = configure(client.once());
    let (_stop, stopped) = watch::channel(false);
    let mut events = Vec::new();
    let running = client.run(stopped, |event| events.push(event));
    let result = tokio::time::timeout(WAIT_MAX, running).await.expect("ends in time");
    drop(client);
    database.close().await?;
    result.map(|finished| {
        assert_eq!(finished, Finished::Level);
        events
    })
}

fn make(folder: &Folder, name: &str) -> (PathBuf, PathBuf) {
    let schema = schemas(folder).join(NAME);
    let path = folder.path(name);
    run(&path, SCHEMA);
    (path, schema)
}

#[tokio::test]
async fn a_file_and_a_room_of_rejoins_server_end_level() {
    let folder = Folder::new();
    let (a, schema) = make(&folder, "a.db");
    let hub = Hub::start_with_schemas(&folder.rooms(), &schemas(&folder)).await;
    let url = format!("ws://{}/any/path", hub.address);
    run(&a, "INSERT INTO note VALUES (1, 'a', 7), (2, 'a', -0.5); INSERT INTO tag VALUES ('x', 'text')");
    once(&a, &url, Some(&schema)).await.expect("level");
    assert_eq!(rows(&open(&folder.room("app"))), rows(&open(&a)));

    run(&folder.room("app"), "DELETE FROM note WHERE id = 1; INSERT INTO note VALUES (3, 'room', 3)");
    let new = folder.path("new.db");
    once(&new, &url, Some(&schema)).await.expect("a new file takes the schema file's tables");
    // The schema is remembered.
    once(&a, &url, None).await.expect("level");
    assert_eq!(rows(&open(&new)), rows(&open(&a)));
    assert_eq!(rows(&open(&folder.room("app"))), rows(&open(&a)));
    hub.stop().await;
}

#[tokio::test]
async fn a_client_that_runs_tells_and_is_told_and_comes_back_when_the_server_does() {
    let folder = Folder::new();
    let (a, schema) = make(&folder, "a.db");
    let hub = Hub::start_with_schemas(&folder.rooms(), &schemas(&folder)).await;
    let address = hub.address;
    let (database, client) = client(&a, &format!("ws://{address}/"), Some(&schema)).await;
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(async move { client.run(stopped, |_| {}).await });
    let mut browser = Browser::open(&folder.path("browser.db"), address, "app").await;
    browser.until_started().await;
    run(&a, "INSERT INTO note VALUES (1, 'a', 7)");
    browser.until("the row of a", |database| rows(database).len() == 1).await;
    browser.run("INSERT INTO note VALUES (2, 'browser', 7)");
    browser.tell().await;
    eventually("a has the row of the browser", || rows(&open(&a)).len() == 2).await;
    hub.stop().await;
    run(&a, "INSERT INTO note VALUES (3, 'meanwhile', 7)");
    let hub = Hub::restart_with_schemas(address, &folder.rooms(), &schemas(&folder)).await;
    eventually("the room has the third row", || rows(&open(&folder.room("app"))).len() == 3).await;
    stop.send_replace(true);
    let finished = tokio::time::timeout(WAIT_MAX, running).await.expect("ends in time").expect("no panic");
    assert_eq!(finished, Ok(Finished::Stopped));
    database.close().await.expect("closes");
    hub.stop().await;
}

#[tokio::test]
async fn a_file_restored_from_a_backup_takes_a_new_id_and_both_sides_end_level() {
    let folder = Folder::new();
    let (a, schema) = make(&folder, "a.db");
    let hub = Hub::start_with_schemas(&folder.rooms(), &schemas(&folder)).await;
    let url = format!("ws://{}/", hub.address);
    run(&a, "INSERT INTO note VALUES (1, 'before the backup', 1)");
    once(&a, &url, Some(&schema)).await.expect("level");
    std::fs::copy(&a, folder.path("backup.db")).expect("a copy");
    let before = open(&a).site_id().expect("an id");
    run(&a, "INSERT INTO note VALUES (2, 'after the backup', 2)");
    run(&a, "INSERT INTO note VALUES (3, 'after the backup', 3)");
    once(&a, &url, None).await.expect("level");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.path(&format!("a.db{suffix}")));
    }
    std::fs::copy(folder.path("backup.db"), &a).expect("a copy");
    run(&a, "INSERT INTO note VALUES (4, 'after the restore', 4)");
    once(&a, &url, None).await.expect("level");
    assert_ne!(open(&a).site_id().expect("an id"), before);
    assert_eq!(rows(&open(&a)), rows(&open(&folder.room("app"))));
    assert_eq!(rows(&open(&a)).len(), 4, "what the backup had lost came back");
    hub.stop().await;
}

#[tokio::test]
async fn a_blob_is_refused_in_words_before_it_is_sent_and_what_lies_before_it_goes_over() {
    let folder = Folder::new();
    let (a, schema) = make(&folder, "a.db");
    let hub = Hub::start_with_schemas(&folder.rooms(), &schemas(&folder)).await;
    let url = format!("ws://{}/", hub.address);
    run(&folder.path("b.db"), SCHEMA);
    run(&folder.path("b.db"), "INSERT INTO note VALUES (9, 'b', 1)");
    once(&folder.path("b.db"), &url, Some(&schema)).await.expect("level");
    run(&a, "INSERT INTO note VALUES (1, 'a', 7)");
    run(&a, "INSERT INTO note VALUES (2, 'with it', 7); INSERT INTO tag VALUES ('x', x'00ff')");
    let Err(NodeError::Refused(reason)) = once(&a, &url, Some(&schema)).await else { panic!("it went over") };
    assert!(reason.contains("BLOB") && reason.contains("color of tag"), "{reason}");
    let room = folder.room("app");
    assert_eq!(rows(&open(&a)).len(), 4, "the other direction came through");
    eventually("what lies before it is there", || rows(&open(&room)).len() == 3).await;
    once_with(&a, &url, None, |client| client.with_blobs().expect("vlcn")).await.expect("level");
    assert_eq!(rows(&open(&a)), rows(&open(&room)));
    hub.stop().await;
}

#[tokio::test]
async fn what_was_left_out_under_an_earlier_schema_is_told_under_one_that_names_it() {
    let folder = Folder::new();
    let (a, schema) = make(&folder, "a.db");
    let hub = Hub::start_with_schemas(&folder.rooms(), &schemas(&folder)).await;
    let url = format!("ws://{}/", hub.address);
    once(&a, &url, Some(&schema)).await.expect("level");
    run(
        &a,
        "SELECT crsql_begin_alter('note'); ALTER TABLE note ADD COLUMN color TEXT; SELECT crsql_commit_alter('note');
         INSERT INTO note VALUES (1, 'a', 1, 'red');",
    );
    once(&a, &url, Some(&schema)).await.expect("level");
    assert_eq!(rows(&open(&folder.room("app"))).len(), 1);
    let newer = SCHEMA.replace("weight REAL", "weight REAL, color TEXT");
    std::fs::write(&schema, &newer).expect("a file");
    once(&a, &url, Some(&schema)).await.expect("level");
    assert_eq!(rows(&open(&a)), rows(&open(&folder.room("app"))), "with the column");
    let site_id = open(&a).site_id().expect("an id");
    once(&a, &url, None).await.expect("level");
    assert_eq!(open(&a).site_id().expect("an id"), site_id, "once is enough");
    hub.stop().await;
}

/// The client dialled again several times a second, for ever: each session began well.
#[tokio::test]
async fn what_this_side_refuses_is_tried_again_after_longer_and_longer_waits() {
    let folder = Folder::new();
    let (a, schema) = make(&folder, "a.db");
    run(&a, "INSERT INTO tag VALUES ('x', x'00ff')");
    let original = Original::start().await;
    let (database, client) = client(&a, &original.url(), Some(&schema)).await;
    let (stop, stopped) = watch::channel(false);
    let mut waits = Vec::new();
    let running = client.run(stopped, |event| {
        if let ClientEvent::Waiting { reason, retry_in } = event {
            assert!(reason.contains("BLOB"), "{reason}");
            waits.push(retry_in);
            if waits.len() == 3 {
                stop.send_replace(true);
            }
        }
    });
    tokio::time::timeout(WAIT_MAX, running).await.expect("ends in time").expect("stops");
    // Each is at least as long as the longest that the one before could be.
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]), "{waits:?}");
    database.close().await.expect("closes");
}

#[tokio::test]
async fn a_server_that_rejects_what_it_applies_is_told_everything_once() {
    let folder = Folder::new();
    let (a, schema) = make(&folder, "a.db");
    let original = Original::start().await;
    for base in 0..3 {
        run(
            &a,
            &format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
                 INSERT INTO note SELECT {base} * 200 + i, hex(zeroblob(4000)), i FROM n"
            ),
        );
    }
    let events = once(&a, &original.url(), Some(&schema)).await.expect("level");
    let told = events.iter().filter_map(|event| match event {
        ClientEvent::Session(Event::Progress(progress)) => Some(progress.changes_sent),
        _ => None,
    });
    assert_eq!(told.max(), Some(1200));
    let heard = original.heard();
    assert_eq!(heard.changes, 1200);
    assert_eq!(heard.announcements, 2, "one session tells, and one finds that it is held");
    assert!(heard.rejections > 0);
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_with_what_may_be_the_matter() {
    let folder = Folder::new();
    let (a, schema) = make(&folder, "a.db");
    let original = Original::silent().await;
    let patience = Patience { handshake_max: Duration::from_millis(300), ..Patience::default() };
    let result = once_with(&a, &original.url(), Some(&schema), |client| client.with_patience(patience)).await;
    let Err(NodeError::Refused(reason)) = result else { panic!("{result:?}") };
    assert!(reason.contains("said nothing") && reason.contains("schema"), "{reason}");
}

#[tokio::test]
async fn a_server_that_forgets_what_it_is_told_is_given_up() {
    let folder = Folder::new();
    let (a, schema) = make(&folder, "a.db");
    run(&a, "INSERT INTO note VALUES (1, 'a', 7)");
    let original = Original::forgetful().await;
    let Err(NodeError::Refused(reason)) = once(&a, &original.url(), Some(&schema)).await else { panic!("level?") };
    assert!(reason.contains("did not hold it"), "{reason}");
}

#[tokio::test]
async fn a_file_without_a_schema_name_is_told_to_get_one() {
    let folder = Folder::new();
    let (a, _) = make(&folder, "a.db");
    let original = Original::start().await;
    let Err(NodeError::Store(reason)) = once(&a, &original.url(), None).await else { panic!("level?") };
    assert!(reason.contains("--schema"), "{reason}");
}

#[tokio::test]
async fn rooms_and_tokens_that_cannot_be_said_are_refused_before_anything_is_dialled() {
    let folder = Folder::new();
    let (a, _) = make(&folder, "a.db");
    let (database, client) = client(&a, "ws://127.0.0.1:1/", None).await;
    assert!(matches!(client.with_token("a=b"), Err(NodeError::Misuse(_))));
    for (url, room) in [("http://127.0.0.1/", "app"), ("ws://127.0.0.1/", ""), ("ws://127.0.0.1/", "a,b")] {
        assert!(matches!(Client::vlcn(database.clone(), url, room), Err(NodeError::Misuse(_))), "{url} {room}");
    }
}
