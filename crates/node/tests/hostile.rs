//! Who may come in, and what happens to those who misbehave: they are told so, and nobody else notices.

mod support;

use futures_util::{SinkExt, StreamExt};
use rejoin_node::{Access, Limits, NodeError, Patience};
use rejoin_wire::Message as Said;
use rejoin_wire::message::{Hello, RefusalCode, Schema, Site, TableDefinition, TableShape};
use std::time::Duration;
use support::{Folder, Hub, Running, WAIT_MAX, count, open, rows, run, sync_once, sync_once_with};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn with_tokens(folder: &Folder, tokens: &[&str]) -> Hub {
    let access = Access::from_tokens(tokens.iter().copied()).expect("tokens");
    Hub::start_with(&folder.rooms(), access, Limits::default(), Patience::default()).await
}

#[tokio::test]
async fn only_the_right_token_opens_a_room() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    let hub = with_tokens(&folder, &["app=only-app", "everything"]).await;
    for (room, token, allowed) in [
        ("app", "only-app", true),
        ("app", "everything", true),
        ("other", "everything", true),
        ("other", "only-app", false),
        ("app", "wrong", false),
    ] {
        let result = sync_once_with(&a, &hub.url(room), |client| client.with_token(token).expect("ASCII")).await;
        match result {
            Ok(_) => assert!(allowed, "{room} {token}"),
            Err(NodeError::Refused(reason)) => {
                assert!(!allowed && reason.contains("--token"), "{room} {token}: {reason}")
            }
            Err(other) => panic!("{other}"),
        }
    }
    let Err(NodeError::Refused(reason)) = sync_once(&a, &hub.url("app")).await else {
        panic!("let in without a token")
    };
    assert!(reason.contains("--token"), "{reason}");
    assert!(!folder.room("wrong").exists());
    hub.stop().await;
}

#[tokio::test]
async fn a_wrong_token_does_not_make_a_room() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    let hub = with_tokens(&folder, &["secret"]).await;
    assert!(sync_once(&a, &hub.url("app")).await.is_err());
    assert!(!folder.room("app").exists());
    hub.stop().await;
}

#[tokio::test]
async fn the_hello_may_bring_the_token() {
    let folder = Folder::new();
    let hub = with_tokens(&folder, &["secret"]).await;
    for (token, allowed) in [(Some("secret"), true), (Some("wrong"), false), (None, false)] {
        let mut socket = dial(&hub, "app").await;
        say(&mut socket, &Said::Hello(Hello { token: token.map(str::to_owned), ..hello() })).await;
        match heard(&mut socket).await {
            Some(Said::Welcome(_)) => assert!(allowed),
            Some(Said::Refusal(refusal)) => assert!(!allowed && refusal.code == RefusalCode::Token),
            other => panic!("{other:?}"),
        }
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_dial_a_server_without_tokens() {
    let folder = Folder::new();
    let hub = Hub::start(&folder.rooms()).await;
    for (origin, allowed) in [("https://example.com", false), ("http://localhost:5173", true)] {
        let mut request = hub.url("app").into_client_request().expect("a request");
        request.headers_mut().insert("origin", origin.parse().expect("a header"));
        match connect_async(request).await {
            Ok(_) => assert!(allowed),
            Err(Error::Http(response)) => assert!(!allowed && response.status() == 403),
            Err(other) => panic!("{other}"),
        }
    }
    hub.stop().await;
}

#[tokio::test]
async fn tables_that_differ_are_refused_in_words_and_nothing_changes() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    let b = folder.path("b.db");
    run(
        &b,
        "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, body TEXT); SELECT crsql_as_crr('note'); INSERT INTO note VALUES (1, 'b')",
    );
    let hub = Hub::start(&folder.rooms()).await;
    run(&a, "INSERT INTO note VALUES (2, 'a', 1)");
    sync_once(&a, &hub.url("app")).await.expect("level");
    let Err(NodeError::Refused(reason)) = sync_once(&b, &hub.url("app")).await else { panic!("it went through") };
    for word in ["note", "body", "text", "weight"] {
        assert!(reason.contains(word), "{reason}");
    }
    // One that runs on ends too: waiting does not help.
    let running = Running::start(&b, &hub.url("app")).await;
    assert!(matches!(running.ended().await, Err(NodeError::Refused(_))));
    assert_eq!(rows(&folder.room("app")), rows(&a));
    hub.stop().await;
}

#[tokio::test]
async fn a_table_of_the_same_name_that_does_not_replicate_is_left_alone() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    let b = folder.path("b.db");
    run(&b, "CREATE TABLE tag (name TEXT)");
    let hub = Hub::start(&folder.rooms()).await;
    sync_once(&a, &hub.url("app")).await.expect("level");
    let Err(NodeError::Refused(reason)) = sync_once(&b, &hub.url("app")).await else { panic!("it went through") };
    assert!(reason.contains("tag") && reason.contains("track"), "{reason}");
    let database = open(&b);
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'note'";
    let count: i64 = database.connection().query_row(tables, [], |row| row.get(0)).expect("a number");
    assert_eq!(count, 0, "nothing of the room's schema was taken over");
    hub.stop().await;
}

#[tokio::test]
async fn a_database_without_tables_and_a_room_without_tables_have_nothing_to_sync() {
    let folder = Folder::new();
    let hub = Hub::start(&folder.rooms()).await;
    let Err(NodeError::Refused(reason)) = sync_once(&folder.path("empty.db"), &hub.url("app")).await else {
        panic!("it went through")
    };
    assert!(reason.contains("rejoin track"), "{reason}");
    hub.stop().await;
}

#[tokio::test]
async fn nonsense_is_refused_in_words_and_harms_nobody() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    run(&a, "INSERT INTO note VALUES (1, 'one', 1)");
    let hub = Hub::start(&folder.rooms()).await;
    sync_once(&a, &hub.url("app")).await.expect("level");
    let nonsense: Vec<Message> = vec![
        Message::Binary(vec![].into()),
        Message::Binary(vec![0xff; 100_000].into()),
        Message::Text("{\"hello\": [".into()),
        Message::Text("".into()),
        Message::Binary(Said::Level.to_bytes().expect("encodes").into()),
        Message::Binary(Said::Pong(3).to_bytes().expect("encodes").into()),
    ];
    for message in nonsense {
        let shown = format!("{message:?}");
        let mut socket = dial(&hub, "app").await;
        socket.send(message).await.expect("sends");
        match heard(&mut socket).await {
            Some(Said::Refusal(refusal)) => assert_eq!(refusal.code, RefusalCode::Protocol, "{shown:.60}"),
            other => panic!("{shown:.60}: {other:?}"),
        }
        assert_eq!(heard(&mut socket).await, None, "the link closes");
    }
    for path in ["", "a.b", "%2e%2e%2fx", "x/..", &"x".repeat(65)] {
        let url = format!("ws://{}/{path}", hub.address);
        assert!(connect_async(url).await.is_err(), "{path}");
    }
    sync_once(&folder.path("new.db"), &hub.url("app")).await.expect("level");
    assert_eq!(rows(&folder.path("new.db")), rows(&a));
    hub.stop().await;
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_the_connection() {
    let folder = Folder::new();
    let limits = Limits { message_bytes_max: 10_000, ..Limits::default() };
    let hub = Hub::start_with(&folder.rooms(), Access::default(), limits, Patience::default()).await;
    let mut socket = dial(&hub, "app").await;
    // The server may cut the link while it is still being written to.
    let _ = socket.send(Message::Binary(vec![0; 20_000].into())).await;
    let rest = tokio::time::timeout(WAIT_MAX, async { while let Some(Ok(_)) = socket.next().await {} }).await;
    rest.expect("the link closes");
    hub.stop().await;
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_cut_off() {
    let folder = Folder::new();
    let patience = Patience { handshake_max: Duration::from_millis(200), ..Patience::default() };
    let hub = Hub::start_with(&folder.rooms(), Access::default(), Limits::default(), patience).await;
    let mut socket = dial(&hub, "app").await;
    assert_eq!(heard(&mut socket).await, None);
    hub.stop().await;
}

#[tokio::test]
async fn more_connections_than_allowed_are_turned_away() {
    let folder = Folder::new();
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let hub = Hub::start_with(&folder.rooms(), Access::default(), limits, Patience::default()).await;
    let first = dial(&hub, "app").await;
    let second = connect_async(hub.url("app")).await;
    assert!(matches!(second, Err(Error::Http(response)) if response.status() == 503));
    drop(first);
    hub.stop().await;
}

#[tokio::test]
async fn sockets_that_never_ask_for_anything_leave_room_for_others() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    let hub = Hub::start(&folder.rooms()).await;
    let mut mute = Vec::new();
    for _ in 0..50 {
        mute.push(TcpStream::connect(hub.address).await.expect("connects"));
    }
    sync_once(&a, &hub.url("app")).await.expect("level");
    hub.stop().await;
    drop(mute);
}

#[tokio::test]
async fn sql_that_is_not_a_definition_never_reaches_the_room() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    run(&a, "INSERT INTO note VALUES (1, 'one', 1)");
    let hub = Hub::start(&folder.rooms()).await;
    sync_once(&a, &hub.url("app")).await.expect("level");
    for sql in
        ["DROP TABLE note", "CREATE TABLE evil AS SELECT * FROM note", "CREATE TABLE evil (id); DELETE FROM note"]
    {
        let mut socket = dial(&hub, "app").await;
        let mut hello = hello();
        hello.site.tables = vec![TableShape { name: "evil".to_owned(), columns: vec![] }];
        say(&mut socket, &Said::Hello(hello)).await;
        assert!(matches!(heard(&mut socket).await, Some(Said::Welcome(_))));
        let evil = TableDefinition { name: "evil".to_owned(), create_table: sql.to_owned(), create_indexes: vec![] };
        say(&mut socket, &Said::Schema(Schema { tables: vec![evil] })).await;
        let refusal = loop {
            match heard(&mut socket).await {
                Some(Said::Refusal(refusal)) => break refusal,
                Some(Said::Schema(_)) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refusal.code, RefusalCode::Schema, "{sql}");
    }
    assert_eq!(count(&folder.room("app")), 1);
    hub.stop().await;
}

fn hello() -> Hello {
    let site = Site {
        site_id: rejoin::SiteId([7; 16]),
        former_ids: vec![],
        features: vec![],
        tables: vec![TableShape { name: "other".to_owned(), columns: vec![] }],
        window_bytes: 1,
    };
    Hello { version_min: 1, version_max: 1, site, room: "app".to_owned(), token: None }
}

async fn dial(hub: &Hub, room: &str) -> Socket {
    connect_async(hub.url(room)).await.expect("the server answers").0
}

async fn say(socket: &mut Socket, said: &Said) {
    socket.send(Message::Binary(said.to_bytes().expect("encodes").into())).await.expect("sends");
}

/// The next message, or `None` when the link has closed.
async fn heard(socket: &mut Socket) -> Option<Said> {
    loop {
        match tokio::time::timeout(WAIT_MAX, socket.next()).await.expect("an answer in time") {
            Some(Ok(Message::Binary(bytes))) => {
                return Some(Said::from_bytes(&bytes).expect("the server writes messages"));
            }
            Some(Ok(Message::Text(text))) => return Some(Said::from_text(&text).expect("the server writes messages")),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return None,
        }
    }
}
