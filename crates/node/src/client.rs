//! The client: keeps one database level with one room, through every loss of the connection.

use crate::database::Database;
use crate::driver::{self, Host, becomes_true};
use crate::error::NodeError;
use crate::limits::{CONNECT_MAX, Limits};
use crate::link::client_halves;
use crate::rooms::is_room_name;
use crate::sqlite::vlcn::Blobs;
use crate::tls;
use crate::vlcn::client as vlcn;
use crate::vlcn::schemas::SchemaText;
use rejoin_protocol::{Ended, Event, Patience, Role, Session, printable};
use rejoin_wire::message::{Goodbye, RefusalCode};
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, error::ProtocolError, error::UrlError};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

/// Syncs a database with a room of a server.
pub struct Client {
    database: Database,
    url: String,
    room: String,
    dialect: Dialect,
    token: Option<String>,
    once: bool,
    limits: Limits,
    patience: Patience,
}

/// The protocol that a client speaks.
enum Dialect {
    Native,
    Vlcn(vlcn::Terms),
}

/// What a client reports while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The server has been reached.
    Connected,
    /// Something in the session.
    Session(Event),
    /// There is no connection. The next try comes by itself.
    Waiting {
        /// Why, as a sentence.
        reason: String,
        /// Time until the next try.
        retry_in: Duration,
    },
}

/// How a client came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// Both sides have what the other had when the session began.
    Level,
    /// It was stopped.
    Stopped,
}

impl Client {
    /// A client of the room that `url` names: `ws://HOST[:PORT]/ROOM`, or `wss://` with TLS.
    pub fn new(database: Database, url: &str) -> Result<Client, NodeError> {
        let room = room_of(url)?;
        Ok(Client {
            database,
            url: url.to_owned(),
            room,
            dialect: Dialect::Native,
            token: None,
            once: false,
            limits: Limits::default(),
            patience: Patience::default(),
        })
    }

    /// A client of a server that speaks the vlcn protocol, as cr-sqlite's JavaScript packages do. The address is the
    /// server's own, with any path; the room travels beside it.
    pub fn vlcn(database: Database, url: &str, room: &str) -> Result<Client, NodeError> {
        Client::check_vlcn(url, room)?;
        Ok(Client {
            database,
            url: url.to_owned(),
            room: room.to_owned(),
            dialect: Dialect::Vlcn(vlcn::Terms::default()),
            token: None,
            once: false,
            limits: Limits::default(),
            patience: vlcn::PATIENCE,
        })
    }

    /// Whether an address and a room can be synced with by the vlcn protocol, as far as it can be told without dialling.
    pub fn check_vlcn(url: &str, room: &str) -> Result<(), NodeError> {
        host_and_path(url)?;
        vlcn::subprotocol(room, None).map(drop)
    }

    /// The schema file of the server, whose name is the schema's: the database is given its tables, and says its name and
    /// version. Without one, the database says what it was given before. Only for the vlcn protocol.
    pub fn with_schema_file(mut self, path: &Path) -> Result<Client, NodeError> {
        self.terms()?.schema = Some(SchemaText::from_file(path).map_err(NodeError::Misuse)?);
        Ok(self)
    }

    /// Also sends BLOB values. The original server ends over one; rejoin's takes them. Only for the vlcn protocol.
    pub fn with_blobs(mut self) -> Result<Client, NodeError> {
        self.terms()?.blobs = Blobs::Told;
        Ok(self)
    }

    fn terms(&mut self) -> Result<&mut vlcn::Terms, NodeError> {
        match &mut self.dialect {
            Dialect::Vlcn(terms) => Ok(terms),
            Dialect::Native => Err(NodeError::Misuse("this is for the vlcn protocol only".to_owned())),
        }
    }

    /// Whether an address can be synced with, as far as it can be told without dialling it.
    pub fn check_url(url: &str) -> Result<(), NodeError> {
        room_of(url).map(drop)
    }

    /// The secret that opens the room. Fails when it holds characters that cannot travel in a header.
    pub fn with_token(mut self, token: &str) -> Result<Client, NodeError> {
        match self.dialect {
            Dialect::Native => bearer(token).map(drop)?,
            Dialect::Vlcn(_) => vlcn::subprotocol(&self.room, Some(token)).map(drop)?,
        }
        self.token = Some(token.to_owned());
        Ok(self)
    }

    /// End when both sides are level with what they had when the session began, and after a few tries when the server
    /// cannot be reached.
    pub fn once(mut self) -> Client {
        self.once = true;
        self
    }

    /// Other limits than the default ones.
    pub fn with_limits(mut self, limits: Limits) -> Client {
        self.limits = limits;
        self
    }

    /// Other waiting times than the default ones.
    pub fn with_patience(mut self, patience: Patience) -> Client {
        self.patience = patience;
        self
    }

    /// Runs until it is done, until `stop` becomes true, or until trying again cannot help.
    pub async fn run(
        &self,
        mut stop: watch::Receiver<bool>,
        mut events: impl FnMut(ClientEvent) + Send,
    ) -> Result<Finished, NodeError> {
        let mut backoff = Backoff::default();
        let mut unconfirmed = 0;
        loop {
            let (mut has_joined, mut has_caught_up) = (false, false);
            let attempt = tokio::select! {
                connected = self.connect() => connected,
                () = becomes_true(&mut stop) => return Ok(Finished::Stopped),
            };
            let reason = match attempt {
                Err(error @ NodeError::Unreachable(_)) => error.to_string(),
                Err(error) => return Err(error),
                Ok(socket) => {
                    events(ClientEvent::Connected);
                    let over = self
                        .session(socket, stop.clone(), &mut |event| {
                            has_joined |= matches!(event, Event::Joined { .. });
                            has_caught_up |= event == Event::CaughtUp;
                            events(ClientEvent::Session(event));
                        })
                        .await?;
                    // What one of the sides refuses, it will refuse again at first.
                    if has_joined && !over.is_refused {
                        backoff.tries = 0;
                    }
                    if has_caught_up {
                        backoff.restarts = 0;
                    }
                    match over.next {
                        Next::Finish(finished) => return Ok(finished),
                        Next::GiveUp => return Err(NodeError::Refused(over.why)),
                        Next::Confirm if unconfirmed < CONFIRMATIONS_MAX => {
                            unconfirmed += 1;
                            continue;
                        }
                        Next::Confirm => return Err(NodeError::Refused(vlcn::not_held(unconfirmed))),
                        Next::Restart if backoff.may_restart() => continue,
                        Next::Restart | Next::Retry => over.why,
                    }
                }
            };
            let retry_in = backoff.next();
            if self.once && backoff.tries >= TRIES_ONCE_MAX {
                return Err(NodeError::Unreachable(format!("{reason}; gave up after {TRIES_ONCE_MAX} tries")));
            }
            events(ClientEvent::Waiting { reason, retry_in });
            tokio::select! {
                () = tokio::time::sleep(retry_in) => {}
                () = becomes_true(&mut stop) => return Ok(Finished::Stopped),
            }
        }
    }

    async fn session(
        &self,
        socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
        stop: watch::Receiver<bool>,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Over, NodeError> {
        match &self.dialect {
            Dialect::Native => {
                let ended = self.native_session(socket, stop, events).await?;
                Ok(Over {
                    next: self.what_next(&ended),
                    why: ended.to_string(),
                    is_refused: matches!(ended, Ended::Refused(_) | Ended::RefusedByPeer(_)),
                })
            }
            Dialect::Vlcn(terms) => {
                vlcn::session(terms, &self.database, self.once, self.patience, socket, stop, events).await
            }
        }
    }

    async fn native_session(
        &self,
        socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
        stop: watch::Receiver<bool>,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Ended, NodeError> {
        let site = match self.database.site().await {
            Ok(site) => site,
            // A lock is in the way; the next try may find it gone.
            Err(refusal) if refusal.code == RefusalCode::Busy && !self.database.is_closed() => {
                return Ok(Ended::Refused(refusal));
            }
            Err(refusal) => return Err(NodeError::Store(refusal.reason)),
        };
        // The header carries the token.
        let role = Role::Dialler { site, room: self.room.clone(), token: None, once: self.once };
        let session = Session::new(role, self.patience);
        let (outgoing, incoming) = client_halves(socket);
        let host = Host::Database(self.database.clone());
        Ok(driver::run(session, outgoing, incoming, host, stop, events).await)
    }

    fn what_next(&self, ended: &Ended) -> Next {
        match ended {
            Ended::Here(Goodbye::Done) => Next::Finish(Finished::Level),
            Ended::Here(Goodbye::Shutdown) => Next::Finish(Finished::Stopped),
            Ended::Here(Goodbye::Restart) | Ended::ByPeer(Goodbye::Restart) => Next::Restart,
            Ended::ByPeer(_) | Ended::Silent | Ended::LinkLost => Next::Retry,
            Ended::RefusedByPeer(refusal) | Ended::Refused(refusal) => match refusal.code {
                RefusalCode::Busy => Next::Retry,
                RefusalCode::Version | RefusalCode::Token | RefusalCode::Schema => Next::GiveUp,
                // A program that runs on goes on trying: the cause may be repaired meanwhile.
                _ if self.once => Next::GiveUp,
                _ => Next::Retry,
            },
        }
    }

    async fn connect(&self) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, NodeError> {
        let request = self.request()?;
        let connector = match request.uri().scheme_str() {
            Some("wss") => Connector::Rustls(tls::client_config()?),
            _ => Connector::Plain,
        };
        let bytes_max = match self.dialect {
            Dialect::Native => self.limits.message_bytes_max,
            Dialect::Vlcn(_) => self.limits.vlcn_frame_bytes_max,
        };
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(bytes_max);
        config.max_frame_size = Some(bytes_max);
        let connecting = connect_async_tls_with_config(request, Some(config), true, Some(connector));
        match tokio::time::timeout(CONNECT_MAX, connecting).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(error)) => Err(self.failed_to_connect(error)),
            Err(_) => {
                Err(NodeError::Unreachable(format!("{} did not answer in {} s", self.url, CONNECT_MAX.as_secs())))
            }
        }
    }

    fn request(&self) -> Result<Request, NodeError> {
        let mut request = self.url.as_str().into_client_request().map_err(|error| self.failed_to_connect(error))?;
        match (&self.dialect, &self.token) {
            (Dialect::Native, None) => {}
            (Dialect::Native, Some(token)) => {
                request.headers_mut().insert(header::AUTHORIZATION, bearer(token)?);
            }
            (Dialect::Vlcn(_), token) => {
                let offer = vlcn::subprotocol(&self.room, token.as_deref())?;
                request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, offer);
            }
        }
        Ok(request)
    }

    fn failed_to_connect(&self, error: SocketError) -> NodeError {
        let url = &self.url;
        match error {
            SocketError::Url(UrlError::UnableToConnect(_)) => {
                NodeError::Unreachable(format!("failed to reach {url}: no address of that host answers"))
            }
            SocketError::Url(error) => NodeError::Misuse(format!("failed to dial {url}: {error}")),
            SocketError::Http(response) => {
                let status = response.status();
                let body = response.body().as_deref().unwrap_or_default();
                let said = printable(String::from_utf8_lossy(&body[..body.len().min(SAID_BYTES_MAX)]).trim());
                let said = if said.is_empty() { status.to_string() } else { said };
                let sentence = format!("{url} refuses: {said}");
                match status {
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                        NodeError::Refused(sentence)
                    }
                    _ => NodeError::Unreachable(sentence),
                }
            }
            SocketError::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => NodeError::Refused(format!(
                "{url} does not speak the vlcn protocol: it does not repeat the room that it is asked for"
            )),
            SocketError::Io(error) if is_bad_certificate(&error) => NodeError::Refused(format!(
                "{url} is not trusted: {error}; install the authority of its certificate on this system, or name a file \
                 with it in SSL_CERT_FILE"
            )),
            SocketError::Io(error) => NodeError::Unreachable(format!("failed to reach {url}: {error}")),
            error => NodeError::Unreachable(format!("failed to reach {url}: {error}")),
        }
    }
}

/// True where TLS has found out that the other side is not, or may not be, who it is dialled as.
fn is_bad_certificate(error: &std::io::Error) -> bool {
    let rustls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(rustls, Some(rustls::Error::InvalidCertificate(_)))
}

/// A session that is over.
pub(crate) struct Over {
    pub(crate) next: Next,
    /// How it ended, as a sentence.
    pub(crate) why: String,
    /// One of the sides refused to go on.
    pub(crate) is_refused: bool,
}

/// What a client does when a session is over.
pub(crate) enum Next {
    Finish(Finished),
    /// Dial again at once.
    Restart,
    /// Dial again at once, to find out whether the server holds what it was told.
    Confirm,
    /// Dial again after a while.
    Retry,
    GiveUp,
}

fn bearer(token: &str) -> Result<HeaderValue, NodeError> {
    HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| NodeError::Misuse("a token is made of visible ASCII characters".to_owned()))
}

/// The last part of an address. It is checked here, so that a typing error does not have to travel.
fn room_of(url: &str) -> Result<String, NodeError> {
    let path = host_and_path(url)?.1.ok_or_else(|| bad_address(url, "it names no room"))?;
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let room = path.rsplit('/').next().unwrap_or_default();
    if !is_room_name(room) {
        return Err(bad_address(url, "it has to end in the name of a room, 1 to 64 letters, digits, _ and -"));
    }
    Ok(room.to_owned())
}

fn host_and_path(url: &str) -> Result<(&str, Option<&str>), NodeError> {
    let no_scheme = || bad_address(url, "it does not start with ws:// or wss://");
    let (scheme, rest) = url.split_once("://").ok_or_else(no_scheme)?;
    if !["ws", "wss"].contains(&scheme) {
        return Err(no_scheme());
    }
    Ok(match rest.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (rest, None),
    })
}

fn bad_address(url: &str, why: &str) -> NodeError {
    NodeError::Misuse(format!("{url} is not an address to sync with: {why}; give ws://HOST:PORT/ROOM"))
}

/// Waiting times between tries: they double up to a ceiling, and chance spreads them, so that the clients of a server
/// that comes back do not all come at once.
#[derive(Default)]
struct Backoff {
    tries: u32,
    restarts: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let ceiling = BACKOFF_FIRST.saturating_mul(1 << self.tries.min(16)).min(BACKOFF_MAX);
        self.tries += 1;
        self.restarts = 0;
        ceiling.mul_f64(0.5 + 0.5 * chance())
    }

    /// Dialling again at once is for what the sides agree on anew; again and again it is an error like any other.
    fn may_restart(&mut self) -> bool {
        self.restarts += 1;
        self.restarts <= RESTARTS_MAX
    }
}

/// A number from 0 up to 1, different every time. Nothing secret depends on it.
fn chance() -> f64 {
    let hash = std::hash::RandomState::new().build_hasher().finish();
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

const BACKOFF_FIRST: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Sessions that are started anew at once, without a wait in between.
const RESTARTS_MAX: u32 = 5;

/// Sessions in a row in which a client that runs once tells something that the server then does not hold.
const CONFIRMATIONS_MAX: u32 = 5;

/// Tries in a row, without having come to stream, after which a client that runs once gives up.
const TRIES_ONCE_MAX: u32 = 5;

/// Bytes of what a server says in refusing.
const SAID_BYTES_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_room_in_the_last_part() {
        assert_eq!(room_of("ws://127.0.0.1:7448/todo").unwrap(), "todo");
        assert_eq!(room_of("wss://example.com/a/b/todo?x=1").unwrap(), "todo");
        for url in ["", "todo", "http://a/todo", "ws://a", "ws://a/", "ws://a/b.db", "ws://a/todo/"] {
            assert!(matches!(room_of(url), Err(NodeError::Misuse(_))), "{url}");
        }
    }

    #[test]
    fn waits_grow_up_to_the_ceiling() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..40).map(|_| backoff.next()).collect();
        assert!(waits[0] <= BACKOFF_FIRST && waits[0] >= BACKOFF_FIRST / 2);
        assert!(waits.iter().all(|wait| *wait <= BACKOFF_MAX));
        assert!(waits[39] >= BACKOFF_MAX / 2);
    }

    #[test]
    fn restarts_in_a_row_are_counted() {
        let mut backoff = Backoff::default();
        assert_eq!((0..9).filter(|_| backoff.may_restart()).count(), RESTARTS_MAX as usize);
    }
}
