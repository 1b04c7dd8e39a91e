//! What ends the original server's process leaves `rejoin serve` as it was.

use rejoin_conformance::{JavaScript, Program, Script, free_address, program};
use serde_json::{Value as Json, json};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

/// What a client does to a server.
type Harm = fn(&mut Client<'_>);

/// Everything that is known to end the original, by name.
const HARMS: &[(&str, Harm)] = &[
    ("a request without a subprotocol", |client| drop(client.dial_with(None))),
    ("a request with two subprotocols", |client| drop(client.dial_with(Some("cm9vbT1h, cm9vbT1i")))),
    ("a subprotocol that is not base64", |client| drop(client.dial_with(Some("~~~")))),
    ("an empty frame", |client| client.send_first(Message::binary(Vec::new()))),
    ("a text frame", |client| client.send_first(Message::text("hello"))),
    ("a frame with an unknown tag", |client| client.send_first(Message::binary(vec![99, 1, 2, 3]))),
    ("a frame that is cut off", |client| {
        let mut bytes = client.encode(announce(1));
        bytes.truncate(20);
        client.send_first(Message::binary(bytes));
    }),
    ("changes that are cut off", |client| {
        let announce = client.encode(announce(1));
        let mut bytes = client.encode(changes(1, json!(["text", "some text"])));
        bytes.truncate(60);
        client.send_all(&[announce, bytes]);
    }),
    ("a second announcement", |client| {
        let bytes = client.encode(announce(1));
        client.send_all(&[bytes.clone(), bytes]);
    }),
    ("a client that tells the server to start", |client| {
        let announce = client.encode(announce(1));
        let start = client.encode(json!(["StartStreaming", ["0", 0], [site(1)], false]));
        client.send_all(&[announce, start]);
    }),
    ("a blob", |client| {
        let announce_first = client.encode(announce(1));
        let blob = client.encode(changes(1, json!(["blob", "00ff"])));
        client.send_all(&[announce_first, blob]);
        let announce_second = client.encode(announce(2));
        client.send_all(&[announce_second]);
    }),
];

#[test]
fn each_of_these_ends_the_original_server() {
    let logs = tempfile::tempdir().expect("a temporary folder");
    let Some(javascript) = JavaScript::find(logs.path()) else { return };
    let schemas = schemas();
    let mut codec = javascript.start("codec.mjs");
    for (name, harm) in HARMS {
        let (address, rooms) = (free_address(), tempfile::tempdir().expect("a temporary folder"));
        let mut server = javascript.original_server(&address, Some(rooms.path()), schemas.path());
        harm(&mut Client { address: &address, codec: &mut codec });
        assert!(server.ends_within(END_MAX), "{name} did not end it");
    }
}

#[test]
fn none_of_these_touches_rejoin_serve() {
    let logs = tempfile::tempdir().expect("a temporary folder");
    let (Some(javascript), Some(program)) = (JavaScript::find(logs.path()), program()) else { return };
    let program = Program::new(&program, logs.path());
    let (schemas, rooms) = (schemas(), tempfile::tempdir().expect("a temporary folder"));
    let address = free_address();
    let mut server = serve(&program, &address, rooms.path(), schemas.path());
    let mut codec = javascript.start("codec.mjs");
    for (name, harm) in HARMS {
        let mut client = Client { address: &address, codec: &mut codec };
        harm(&mut client);
        assert!(client.is_told_to_start(), "after {name} the room is not served\n{}", server.printed());
        assert!(server.is_running(), "{name} ended it");
    }
}

/// How long the original may take to fall over; it does so in a fraction of a second.
const END_MAX: Duration = Duration::from_secs(20);
/// How long a client waits for an answer, and lets a server digest what it was sent.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const DIGEST: Duration = Duration::from_millis(500);

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS foo (a PRIMARY KEY NOT NULL, b);\nSELECT crsql_as_crr('foo');\n";

/// A folder of schemas as both servers take it, with foo.sql.
fn schemas() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("foo.sql"), SCHEMA).expect("a file in a temporary folder");
    folder
}

/// A client that does what no client of the packages does.
struct Client<'a> {
    address: &'a str,
    codec: &'a mut Script,
}

type Socket = WebSocket<TcpStream>;

impl Client<'_> {
    /// The bytes of a message, by the packages' own encoder.
    fn encode(&mut self, message: Json) -> Vec<u8> {
        let mut message = message;
        if message[0] == "AnnouncePresence" {
            message[4] = self.codec.ask("schemaVersion", json!({"text": SCHEMA}));
        }
        let hex = self.codec.ask("encode", json!({"message": message}));
        let hex = hex.as_str().expect("encode answers text");
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("digits")).collect()
    }

    /// Dials with this header, or with none. The server may refuse or die, so that an error is an answer too.
    fn dial_with(&self, subprotocol: Option<&str>) -> Option<Socket> {
        let mut request = format!("ws://{}/sync", self.address).into_client_request().expect("an address");
        if let Some(text) = subprotocol {
            let value = text.parse().expect("text that a header may hold");
            request.headers_mut().insert("sec-websocket-protocol", value);
        }
        let stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a timeout that is not zero");
        let config = Some(WebSocketConfig::default());
        client::client_with_config(request, stream, config).ok().map(|(socket, _)| socket)
    }

    /// Dials the room "harm", which must be possible.
    fn dial(&self) -> Socket {
        self.dial_with(Some("cm9vbT1oYXJt")).unwrap_or_else(|| panic!("{} does not open the room", self.address))
    }

    fn send_first(&mut self, message: Message) {
        let mut socket = self.dial();
        // The server may be gone before it has been said.
        let _ = socket.send(message);
        close(socket);
    }

    /// Sends frames, each once the server has had time for the one before, and hangs up.
    fn send_all(&mut self, frames: &[Vec<u8>]) {
        let mut socket = self.dial();
        for bytes in frames {
            let _ = socket.send(Message::binary(bytes.clone()));
            std::thread::sleep(DIGEST);
        }
        close(socket);
    }

    /// Announces a third site and waits for the answer that every client waits for.
    fn is_told_to_start(&mut self) -> bool {
        let bytes = self.encode(announce(3));
        let mut socket = self.dial();
        socket.send(Message::binary(bytes)).is_ok()
            && matches!(socket.read(), Ok(Message::Binary(bytes)) if bytes.first() == Some(&START_STREAMING))
    }
}

const START_STREAMING: u8 = 4;

fn close(mut socket: Socket) {
    // Nothing depends on a good end.
    let _ = socket.close(None);
    while socket.read().is_ok() {}
}

fn announce(number: u8) -> Json {
    json!(["AnnouncePresence", site(number), [], "foo.sql", "0"])
}

/// One cell of a row of foo.
fn changes(number: u8, value: Json) -> Json {
    json!(["Changes", site(number), ["0", 0], [["foo", "010901", "b", value, "1", "1", null, "1", 0]]])
}

fn site(number: u8) -> String {
    format!("{number:02x}").repeat(16)
}

/// `rejoin serve` with rooms and schemas in these folders.
fn serve(program: &Program, address: &str, rooms: &Path, schemas: &Path) -> rejoin_conformance::Server {
    let (rooms, schemas) = (rooms.to_string_lossy(), schemas.to_string_lossy());
    let server = program.start("serve", &["serve", "--dir", &rooms, "--listen", address, "--schemas", &schemas]);
    rejoin_conformance::wait_until("rejoin serve listens", || TcpStream::connect(address).is_ok());
    server
}
