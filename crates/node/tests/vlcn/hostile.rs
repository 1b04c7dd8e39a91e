//! Frames and handshakes that end the original server's process: each gets a clear close here, and the others go on.

use crate::browser::{Browser, Closed, SCHEMA, Wire, announcement, rows};
use crate::rooms::schemas;
use crate::support::{Folder, Hub, eventually, open};
use rejoin::{Database, SiteId};
use rejoin_wire::vlcn::{Change, Changes, Message, Point, Value};
use tokio_tungstenite::tungstenite::{Error, Message as Frame};

/// A server with a well-behaved client in its room, and a database for the other one.
struct Scene {
    folder: Folder,
    hub: Hub,
    witness: Browser,
    database: Database,
}

impl Scene {
    async fn new() -> Scene {
        let folder = Folder::new();
        let hub = Hub::start_with_schemas(&folder.rooms(), &schemas(&folder)).await;
        let mut witness = Browser::open(&folder.path("witness.db"), hub.address, "app").await;
        witness.until_started().await;
        witness.run("INSERT INTO note VALUES (1, 'before', 1)");
        witness.tell().await;
        let database = Database::open(folder.path("bad.db")).expect("opens");
        database.connection().execute_batch(SCHEMA).expect("good");
        Scene { folder, hub, witness, database }
    }

    async fn dial(&self) -> Wire {
        Wire::dial(self.hub.address, "app", None).await.expect("is let in")
    }

    /// A connection that has been told where to start.
    async fn join(&self) -> Wire {
        let mut wire = self.dial().await;
        wire.send(&announcement(&self.database)).await;
        let started = wire.hear().await;
        assert!(matches!(started, Ok(Message::StartStreaming { .. })), "{started:?}");
        wire
    }

    fn site_id(&self) -> SiteId {
        self.database.site_id().expect("an id")
    }

    /// The other client still tells and is told, another one can come in, and the room has what it had.
    async fn goes_on(mut self) {
        let has_all = |database: &Database| {
            let sql = "SELECT count(*) FROM note WHERE id <= 3";
            database.connection().query_row(sql, [], |row| row.get::<_, i64>(0)).expect("one row") == 3
        };
        self.witness.run("INSERT INTO note VALUES (2, 'after', 2)");
        self.witness.tell().await;
        let mut late = Browser::open(&self.folder.path("late.db"), self.hub.address, "app").await;
        late.until_started().await;
        late.run("INSERT INTO note VALUES (3, 'late', 3)");
        late.until("all rows", has_all).await;
        self.witness.until("all rows", has_all).await;
        let room = open(&self.folder.room("app"));
        eventually("the room has them", || has_all(&room)).await;
        assert_eq!(rows(&self.witness.database), rows(&room));
        self.hub.stop().await;
    }

    fn changes(&self, changes: &[Change<'_>]) -> Message {
        let mut all = Changes::new();
        changes.iter().for_each(|change| all.push(change));
        Message::Changes { sender: self.site_id(), since: Point::START, changes: all }
    }
}

fn change<'a>(table: &'a str, column: &'a str, value: Value<'a>) -> Change<'a> {
    Change {
        table,
        // The integer 9.
        key: &[1, 9, 9],
        column,
        value,
        col_version: 1,
        db_version: 1,
        site_id: None,
        causal_length: 1,
        seq: 0,
    }
}

fn assert_closed(closed: &Closed, code: u16, says: &str) {
    assert_eq!(closed.code, code, "{closed:?}");
    assert!(closed.reason.contains(says), "{closed:?} says {says}");
}

/// The status and the words with which a dial is turned away.
fn turned_away(result: Result<Wire, Error>) -> (u16, String) {
    match result {
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8_lossy(body).into_owned())
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was let in"),
    }
}

#[tokio::test]
async fn an_announcement_without_a_subprotocol_is_answered_in_the_native_protocol() {
    let scene = Scene::new().await;
    let mut wire = Wire::dial_with(scene.hub.address, "/app", &[]).await.expect("dials as a native client does");
    wire.send(&announcement(&scene.database)).await;
    let refusal = loop {
        use futures_util::StreamExt;
        match wire.socket.next().await {
            Some(Ok(Frame::Binary(bytes))) => break bytes,
            other => assert!(matches!(other, Some(Ok(_))), "{other:?}"),
        }
    };
    let refusal = rejoin_wire::Message::from_bytes(&refusal).expect("a native message");
    assert!(matches!(refusal, rejoin_wire::Message::Refusal(_)), "{refusal:?}");
    scene.goes_on().await;
}

#[tokio::test]
async fn a_subprotocol_that_is_not_base64_is_turned_away() {
    let scene = Scene::new().await;
    let (status, body) = turned_away(Wire::dial_with(scene.hub.address, "/sync", &["***"]).await);
    assert!(status == 400 && body.contains("base64"), "{status} {body}");
    scene.goes_on().await;
}

#[tokio::test]
async fn more_than_one_subprotocol_is_turned_away() {
    let scene = Scene::new().await;
    let offer = "cm9vbT1hcHA";
    let both = format!("{offer}, {offer}");
    for offers in [&[offer, offer][..], &[&both]] {
        let (status, body) = turned_away(Wire::dial_with(scene.hub.address, "/sync", offers).await);
        assert!(status == 400 && body.contains("more than one"), "{status} {body}");
    }
    scene.goes_on().await;
}

#[tokio::test]
async fn a_subprotocol_without_a_room_or_with_a_bad_one_is_turned_away() {
    let scene = Scene::new().await;
    // auth=tok, and room=../x
    for (offer, expected) in [("YXV0aD10b2s", 400), ("cm9vbT0uLi94", 404)] {
        let (status, body) = turned_away(Wire::dial_with(scene.hub.address, "/sync", &[offer]).await);
        assert!(status == expected && body.contains("room"), "{status} {body}");
    }
    scene.goes_on().await;
}

#[tokio::test]
async fn an_empty_frame_is_refused() {
    let scene = Scene::new().await;
    for mut wire in [scene.dial().await, scene.join().await] {
        wire.send_bytes(vec![]).await;
        assert_closed(&wire.closed().await, 4400, "empty");
    }
    scene.goes_on().await;
}

#[tokio::test]
async fn a_text_frame_is_refused() {
    use futures_util::SinkExt;
    let scene = Scene::new().await;
    for mut wire in [scene.dial().await, scene.join().await] {
        wire.socket.send(Frame::Text("hello".into())).await.expect("goes out");
        assert_closed(&wire.closed().await, 4400, "text");
    }
    scene.goes_on().await;
}

#[tokio::test]
async fn an_unknown_message_is_refused() {
    let scene = Scene::new().await;
    for mut wire in [scene.dial().await, scene.join().await] {
        wire.send_bytes(vec![99, 1, 2, 3]).await;
        assert_closed(&wire.closed().await, 4400, "names no message");
    }
    scene.goes_on().await;
}

#[tokio::test]
async fn a_truncated_message_is_refused() {
    let scene = Scene::new().await;
    let whole = scene.changes(&[change("note", "text", Value::Text("x"))]).to_bytes().expect("can be written");
    for length in [1, 17, whole.len() - 1] {
        let mut wire = scene.join().await;
        wire.send_bytes(whole[..length].to_vec()).await;
        assert_closed(&wire.closed().await, 4400, "ends too early");
    }
    scene.goes_on().await;
}

#[tokio::test]
async fn a_second_announcement_is_refused() {
    let scene = Scene::new().await;
    let mut wire = scene.join().await;
    wire.send(&announcement(&scene.database)).await;
    assert_closed(&wire.closed().await, 4400, "announcement");
    scene.goes_on().await;
}

#[tokio::test]
async fn a_client_that_tells_the_server_to_start_is_refused() {
    let scene = Scene::new().await;
    let start = Message::StartStreaming { since: Point::START, exclude_sites: vec![], local_only: false };
    let mut wire = scene.join().await;
    wire.send(&start).await;
    assert_closed(&wire.closed().await, 4400, "start streaming");
    let mut wire = scene.dial().await;
    wire.send(&start).await;
    assert_closed(&wire.closed().await, 4400, "before the announcement");
    scene.goes_on().await;
}

#[tokio::test]
async fn a_blob_is_stored_and_told_to_the_others() {
    let scene = Scene::new().await;
    let mut wire = scene.join().await;
    let key = [1, 11, 1, b'x'];
    let told = scene.changes(&[Change { key: &key, ..change("tag", "color", Value::Blob(&[0, 255])) }]);
    wire.send(&told).await;
    let mut scene = scene;
    scene
        .witness
        .until("the blob", |database| {
            let sql = "SELECT count(*) FROM tag WHERE color = x'00ff'";
            database.connection().query_row(sql, [], |row| row.get::<_, i64>(0)).expect("one row") == 1
        })
        .await;
    wire.send(&scene.changes(&[Change {
        key: &key,
        value: Value::Null,
        column: "-1",
        col_version: 2,
        causal_length: 2,
        db_version: 2,
        ..change("tag", "-1", Value::Null)
    }]))
    .await;
    scene.witness.until("the delete", |database| rows(database).len() == 1).await;
    scene.goes_on().await;
}

#[tokio::test]
async fn a_change_of_an_unknown_table_or_column_is_refused_and_nothing_of_its_frame_applied() {
    let scene = Scene::new().await;
    let good = change("note", "text", Value::Text("must not come in"));
    for (bad, says) in [
        (change("nothing", "x", Value::Null), "table nothing"),
        (change("crsql_master", "value", Value::Null), "table crsql_master"),
        (change("note", "nothing", Value::Null), "column nothing"),
        (change("note", "id", Value::Null), "column id"),
    ] {
        let mut wire = scene.join().await;
        wire.send(&scene.changes(&[good, bad])).await;
        assert_closed(&wire.closed().await, 4422, says);
    }
    scene.goes_on().await;
}

#[tokio::test]
async fn values_keys_and_counters_that_no_database_has_are_refused() {
    let scene = Scene::new().await;
    let good = change("note", "text", Value::Text("must not come in"));
    for (bad, says) in [
        (Change { value: Value::Bool(true), ..good }, "BOOL"),
        (Change { key: &[], ..good }, "packed key"),
        (Change { key: &[1, 9], ..good }, "packed key"),
        (Change { key: &[2, 9, 1, 9, 1], ..good }, "number of values"),
        (Change { col_version: -1, ..good }, "no database makes"),
        (Change { col_version: i64::MAX, ..good }, "no database makes"),
        (Change { db_version: i64::MAX, ..good }, "no database makes"),
        (Change { db_version: i64::MIN, ..good }, "no database makes"),
        (Change { causal_length: 0, ..good }, "no database makes"),
        (Change { causal_length: i64::MAX, ..good }, "no database makes"),
        (Change { db_version: 0, ..good }, "db_version below"),
        (Change { column: "-1", col_version: 2, causal_length: 3, ..good }, "no database makes"),
    ] {
        let mut wire = scene.join().await;
        wire.send(&scene.changes(&[good, bad])).await;
        assert_closed(&wire.closed().await, 4422, says);
    }
    scene.goes_on().await;
}

#[tokio::test]
async fn changes_before_the_announcement_are_refused() {
    let scene = Scene::new().await;
    let mut wire = scene.dial().await;
    wire.send(&scene.changes(&[change("note", "text", Value::Text("must not come in"))])).await;
    assert_closed(&wire.closed().await, 4400, "before the announcement");
    scene.goes_on().await;
}

#[tokio::test]
async fn changes_in_the_name_of_another_are_refused() {
    let scene = Scene::new().await;
    let mut wire = scene.join().await;
    let mut told = Changes::new();
    told.push(&change("note", "text", Value::Text("must not come in")));
    wire.send(&Message::Changes { sender: SiteId([7; 16]), since: Point::START, changes: told }).await;
    assert_closed(&wire.closed().await, 4400, "came from");
    scene.goes_on().await;
}

#[tokio::test]
async fn messages_of_clusters_are_refused_and_their_pings_mean_nothing() {
    let scene = Scene::new().await;
    let mut wire = scene.join().await;
    wire.send(&Message::Ping).await;
    wire.send(&Message::Pong).await;
    wire.send(&Message::ApplyChangesOnPrimaryResponse { request: 1 }).await;
    assert_closed(&wire.closed().await, 4400, "cluster");
    scene.goes_on().await;
}

#[tokio::test]
async fn a_client_with_the_rooms_own_id_is_refused() {
    let scene = Scene::new().await;
    let room = open(&scene.folder.room("app"));
    let mut wire = scene.dial().await;
    wire.send(&announcement(&room)).await;
    assert_closed(&wire.closed().await, 4409, "same site id");
    scene.goes_on().await;
}

#[tokio::test]
async fn a_huge_version_does_not_carry_over_into_the_room() {
    let scene = Scene::new().await;
    let mut wire = scene.join().await;
    let good = change("note", "text", Value::Text("far ahead"));
    wire.send(&scene.changes(&[Change { db_version: (1 << 53) - 1, key: &[1, 9, 4], ..good }])).await;
    let room = scene.folder.room("app");
    let newest = || {
        let sql = "SELECT max(db_version) FROM crsql_changes WHERE pk = x'010904'";
        open(&room).connection().query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).expect("one row")
    };
    eventually("the room has it", || newest().is_some()).await;
    assert!(newest() < Some(100), "{:?}", newest());
    scene.goes_on().await;
}
