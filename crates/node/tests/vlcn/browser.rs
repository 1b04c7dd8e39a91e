//! A small client of the vlcn protocol, which does what cr-sqlite's client in a browser does, over a real database; and a
//! bare connection for what no client does.

use crate::support::WAIT_MAX;
use futures_util::{SinkExt, StreamExt};
use rejoin::rusqlite::types::Value as Cell;
use rejoin::{Database, SiteId};
use rejoin_wire::vlcn::{Change, Changes, Message, Point, Subprotocol, Value, schema_version};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// The schema that the clients of these tests have.
pub const NAME: &str = "app.sql";
pub const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY NOT NULL, text TEXT, weight REAL);
CREATE TABLE IF NOT EXISTS tag (name TEXT PRIMARY KEY NOT NULL, color BLOB);
SELECT crsql_as_crr('note');
SELECT crsql_as_crr('tag');
";

/// A connection that sends and hears frames.
pub struct Wire {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// How the server ended a connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed {
    pub code: u16,
    pub reason: String,
}

impl Wire {
    pub async fn dial(address: SocketAddr, room: &str, token: Option<&str>) -> Result<Wire, Error> {
        let offer =
            Subprotocol { room: room.to_owned(), token: token.map(str::to_owned) }.write().expect("can be said");
        Wire::dial_with(address, "/sync", &[&offer]).await
    }

    pub async fn dial_with(address: SocketAddr, path: &str, offers: &[&str]) -> Result<Wire, Error> {
        let mut request = format!("ws://{address}{path}").into_client_request()?;
        for offer in offers {
            request.headers_mut().append("sec-websocket-protocol", offer.parse().expect("a header's value"));
        }
        let connecting = connect_async(request);
        let (socket, response) = tokio::time::timeout(WAIT_MAX, connecting).await.expect("answers in time")?;
        let echoed = response.headers().get("sec-websocket-protocol").map(|value| value.to_str().expect("ASCII"));
        assert_eq!(echoed, offers.first().copied(), "the offer is echoed as it is");
        Ok(Wire { socket })
    }

    pub async fn send(&mut self, message: &Message) {
        self.send_bytes(message.to_bytes().expect("can be written")).await;
    }

    pub async fn send_bytes(&mut self, bytes: Vec<u8>) {
        // Where the server has closed already, what it said is still to be heard.
        let _ = self.socket.send(Frame::Binary(bytes.into())).await;
    }

    /// The next message, or how the server closed the connection.
    pub async fn hear(&mut self) -> Result<Message, Closed> {
        // A server's pings are no news.
        tokio::time::timeout(WAIT_MAX, self.hear_news()).await.expect("hears in time")
    }

    async fn hear_news(&mut self) -> Result<Message, Closed> {
        loop {
            match self.socket.next().await {
                Some(Ok(Frame::Binary(bytes))) => {
                    return Ok(Message::from_bytes(&bytes).expect("the server says it well"));
                }
                Some(Ok(Frame::Close(Some(frame)))) => {
                    return Err(Closed { code: frame.code.into(), reason: frame.reason.as_str().to_owned() });
                }
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                other => panic!("the server says {other:?}"),
            }
        }
    }

    /// Hears until the server closes the connection.
    pub async fn closed(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.hear().await {
                return closed;
            }
        }
    }
}

/// A client with a database.
pub struct Browser {
    pub database: Database,
    pub site_id: SiteId,
    pub wire: Wire,
    /// What a client remembers of others while it runs.
    seen: HashMap<SiteId, Point>,
    sent: i64,
    exclude: Option<SiteId>,
    /// The points at which the server told this client to start.
    pub starts: Vec<Point>,
}

/// What a client announces before it has heard anything. Kept for later connections, as browsers do.
pub fn announcement(database: &Database) -> Message {
    announcement_of(database, NAME, schema_version(SCHEMA))
}

pub fn announcement_of(database: &Database, name: &str, version: i64) -> Message {
    let sql = "SELECT site_id, version, seq FROM crsql_tracked_peers";
    let mut statement = database.connection().prepare(sql).expect("the table is there");
    let last_seens = statement
        .query_map([], |row| {
            let site: [u8; 16] = row.get(0)?;
            Ok((SiteId(site), Point { db_version: row.get(1)?, seq: row.get(2)? }))
        })
        .expect("can be read")
        .map(|row| row.expect("a row"))
        .collect();
    Message::AnnouncePresence {
        sender: database.site_id().expect("an id"),
        last_seens,
        schema_name: name.to_owned(),
        schema_version: version,
    }
}

impl Browser {
    /// Opens a file with the schema of these tests and connects.
    pub async fn open(path: &Path, address: SocketAddr, room: &str) -> Browser {
        let database = Database::open(path).expect("the file opens");
        database.connection().execute_batch(SCHEMA).expect("the schema is good");
        let announcement = announcement(&database);
        Browser::connect(database, address, room, &announcement).await
    }

    pub async fn connect(database: Database, address: SocketAddr, room: &str, announcement: &Message) -> Browser {
        let mut wire = Wire::dial(address, room, None).await.expect("is let in");
        wire.send(announcement).await;
        let site_id = database.site_id().expect("an id");
        let seen = match announcement {
            Message::AnnouncePresence { last_seens, .. } => last_seens.iter().copied().collect(),
            other => panic!("{other:?} is no announcement"),
        };
        Browser { site_id, database, wire, seen, sent: 0, exclude: None, starts: Vec::new() }
    }

    /// Connects once more, with what a page that was not loaded anew remembers.
    pub async fn reconnect(self, address: SocketAddr, room: &str, announcement: &Message) -> Browser {
        let mut browser = Browser::connect(self.database, address, room, announcement).await;
        browser.seen = self.seen;
        browser
    }

    /// Answers the server until `is_so`.
    pub async fn until(&mut self, what: &str, is_so: impl Fn(&Database) -> bool) {
        let deadline = tokio::time::Instant::now() + WAIT_MAX;
        while !is_so(&self.database) {
            assert!(tokio::time::Instant::now() < deadline, "waited for this: {what}");
            self.step().await;
        }
    }

    /// Answers the server until it has said where to start, once more than so far.
    pub async fn until_started(&mut self) {
        let before = self.starts.len();
        while self.starts.len() == before {
            let message = self.wire.hear().await.expect("the server goes on");
            self.take(message).await;
        }
    }

    /// Takes what has come within a moment, and tells what is new here.
    pub async fn step(&mut self) {
        let moment = std::time::Duration::from_millis(20);
        if let Ok(heard) = tokio::time::timeout(moment, self.wire.hear()).await {
            self.take(heard.expect("the server goes on")).await;
        }
        if !self.starts.is_empty() {
            self.tell().await;
        }
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::StartStreaming { since, exclude_sites, .. } => {
                self.sent = since.db_version;
                self.exclude = exclude_sites.first().copied();
                self.starts.push(since);
                self.tell().await;
            }
            Message::Changes { sender, since, changes } => {
                let seen = self.seen.get(&sender).copied().unwrap_or_default();
                assert!(
                    since <= seen,
                    "the server leaves a gap: it starts after {since:?}, and {seen:?} has been seen"
                );
                self.apply(sender, &changes);
            }
            other => panic!("a client does not take {other:?}"),
        }
    }

    fn apply(&mut self, sender: SiteId, changes: &Changes) {
        let connection = self.database.connection();
        connection.execute_batch("BEGIN").expect("begins");
        for change in changes.iter() {
            let value = match change.value {
                Value::Null => Cell::Null,
                Value::BigInt(number) => Cell::Integer(number),
                Value::Number(number) => Cell::Real(number),
                Value::Text(text) => Cell::Text(text.to_owned()),
                Value::Blob(bytes) => Cell::Blob(bytes.to_vec()),
                Value::Bool(_) => panic!("a server never says BOOL"),
            };
            let Change { table, key, column, col_version, db_version, causal_length, seq, .. } = change;
            connection
                .execute(
                    "INSERT INTO crsql_changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    rejoin::rusqlite::params![
                        table,
                        key,
                        column,
                        value,
                        col_version,
                        db_version,
                        sender.as_bytes(),
                        causal_length,
                        seq
                    ],
                )
                .expect("a client knows what it is told");
        }
        let last = Point::after(changes.last_version().expect("changes"));
        connection
            .execute(
                "INSERT INTO crsql_tracked_peers(site_id, version, seq, tag, event) VALUES (?, ?, 0, 0, 0)
                 ON CONFLICT DO UPDATE SET version = max(version, excluded.version)",
                rejoin::rusqlite::params![sender.as_bytes(), last.db_version],
            )
            .expect("can be written");
        connection.execute_batch("COMMIT").expect("ends");
        self.seen.insert(sender, last);
    }

    /// Sends what is new in one frame, with every number as JavaScript's.
    pub async fn tell(&mut self) {
        if let Some(frame) = self.frame(self.sent) {
            if let Message::Changes { changes, .. } = &frame {
                self.sent = changes.last_version().expect("changes");
            }
            self.wire.send(&frame).await;
        }
    }

    /// The frame with everything of this client behind a db_version.
    pub fn frame(&self, after: i64) -> Option<Message> {
        let sql = "SELECT \"table\", pk, cid, val, col_version, db_version, cl, seq FROM crsql_changes
             WHERE db_version > ?1 AND site_id IS NOT ?2 ORDER BY db_version, seq";
        let mut statement = self.database.connection().prepare(sql).expect("the table is there");
        let exclude = self.exclude.map(|site| site.as_bytes().to_vec());
        let mut rows = statement.query(rejoin::rusqlite::params![after, exclude]).expect("can be read");
        let mut changes = Changes::new();
        while let Some(row) = rows.next().expect("a row") {
            let (table, key, column): (String, Vec<u8>, String) =
                (row.get(0).expect("text"), row.get(1).expect("bytes"), row.get(2).expect("text"));
            let cell: Cell = row.get(3).expect("a value");
            let value = match &cell {
                Cell::Null => Value::Null,
                Cell::Integer(number) => Value::Number(*number as f64),
                Cell::Real(number) => Value::Number(*number),
                Cell::Text(text) => Value::Text(text),
                Cell::Blob(bytes) => Value::Blob(bytes),
            };
            changes.push(&Change {
                table: &table,
                key: &key,
                column: &column,
                value,
                col_version: row.get(4).expect("a number"),
                db_version: row.get(5).expect("a number"),
                site_id: None,
                causal_length: row.get(6).expect("a number"),
                seq: row.get(7).expect("a number"),
            });
        }
        let since = Point::after(after);
        (!changes.is_empty()).then_some(Message::Changes { sender: self.site_id, since, changes })
    }

    pub fn run(&self, sql: &str) {
        self.database.connection().execute_batch(sql).expect(sql);
    }
}

/// All rows of both tables, in order.
pub fn rows(database: &Database) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for table in ["note", "tag"] {
        let sql = format!("SELECT * FROM {table} ORDER BY 1");
        let mut statement = database.connection().prepare(&sql).expect("the table is there");
        let columns = statement.column_count();
        let found = statement
            .query_map([], |row| (0..columns).map(|column| row.get(column)).collect())
            .expect("the table can be read");
        rows.extend(found.map(|row| row.expect("a row")));
    }
    rows
}
