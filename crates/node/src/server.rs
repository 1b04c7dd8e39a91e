//! The server: WebSockets into rooms, as a router that any axum program can mount, or as a whole.

use crate::access::Access;
use crate::database::Prepare;
use crate::driver::{self, Host, becomes_true};
use crate::error::NodeError;
use crate::limits::{FAREWELL_MAX, Limits, MESSAGE_BYTES_MAX_UNKNOWN};
use crate::link::server_halves;
use crate::rooms::{Door, Rooms, is_room_name};
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{Extensions, HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use rejoin_protocol::{Ended, Patience, Role, Session};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// A server of rooms: each is a database file in one folder, named by the last part of the address that is dialled.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    rooms: Arc<Rooms>,
    access: Arc<Access>,
    limits: Limits,
    patience: Patience,
    stop: watch::Sender<bool>,
    places: Arc<Semaphore>,
}

impl Server {
    /// A server of the rooms in `folder`, which is made where it is not there. Must be called inside a tokio runtime.
    pub fn new(
        folder: impl Into<PathBuf>,
        prepare: Prepare,
        access: Access,
        limits: Limits,
        patience: Patience,
    ) -> Result<Server, NodeError> {
        let folder = folder.into();
        std::fs::create_dir_all(&folder)
            .map_err(|error| NodeError::Store(format!("failed to make the folder {}: {error}", folder.display())))?;
        let shared = Arc::new(Shared {
            rooms: Arc::new(Rooms::new(folder, prepare, limits)),
            access: Arc::new(access),
            limits,
            patience,
            stop: watch::Sender::new(false),
            places: Arc::new(Semaphore::new(limits.connections_max)),
        });
        tokio::spawn(close_idle_rooms(Arc::downgrade(&shared)));
        Ok(Server { shared })
    }

    /// A WebSocket on every path, whose last part names the room; `/healthz`; and a word at `/`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", get(|| async { "rejoin: dial ws://HOST:PORT/ROOM\n" }))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/{*path}", get(dial))
            .with_state(self.shared.clone())
    }

    /// Serves until `until` is over. Then tells every session goodbye and closes the rooms.
    pub async fn serve(
        self,
        listener: TcpListener,
        until: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), NodeError> {
        let listener = listener.tap_io(|stream| {
            // Only speed depends on it.
            let _ = stream.set_nodelay(true);
        });
        let service = self.router().into_make_service_with_connect_info::<SocketAddr>();
        let stop = self.shared.stop.clone();
        let mut stopped = stop.subscribe();
        let until = async move {
            until.await;
            stop.send_replace(true);
        };
        let farewell = async move {
            becomes_true(&mut stopped).await;
            tokio::time::sleep(FAREWELL_MAX).await;
        };
        let served = tokio::select! {
            served = async { axum::serve(listener, service).with_graceful_shutdown(until).await } => served,
            // Whoever has dialled and says nothing does not hold up the end.
            () = farewell => Ok(()),
        };
        self.close().await;
        served.map_err(|error| NodeError::Unreachable(format!("failed to serve: {error}")))
    }

    /// Ends every session in order and closes the rooms. No one can enter afterwards.
    pub async fn close(&self) {
        self.shared.stop.send_replace(true);
        let all = u32::try_from(self.shared.limits.connections_max).unwrap_or(u32::MAX);
        // After that time a session is not in order any more, and its room is closed under it, which is safe.
        let ended = tokio::time::timeout(FAREWELL_MAX * 2, self.shared.places.acquire_many(all)).await;
        if ended.is_err() {
            tracing::warn!("some sessions did not end in time");
        }
        self.shared.places.close();
        self.shared.rooms.close_all().await;
    }
}

/// One dial of a WebSocket, or a GET of something that is not there.
async fn dial(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| *address);
    let room = uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    match let_in(&shared, &room, &headers) {
        Err((status, sentence)) => {
            tracing::info!(?peer, room, %status, sentence, "turned away");
            (status, sentence).into_response()
        }
        Ok((permit, has_shown_token)) => match upgrade {
            Err(_) => {
                (StatusCode::UPGRADE_REQUIRED, "this address is for WebSockets: dial it with ws://\n").into_response()
            }
            Ok(upgrade) => upgrade
                .max_message_size(message_bytes_max(&shared.limits, has_shown_token))
                .max_frame_size(message_bytes_max(&shared.limits, has_shown_token))
                .on_upgrade(move |socket| run(shared, socket, room, has_shown_token, peer, permit)),
        },
    }
}

type TurnedAway = (StatusCode, String);

fn let_in(shared: &Shared, room: &str, headers: &HeaderMap) -> Result<(OwnedSemaphorePermit, bool), TurnedAway> {
    if !is_room_name(room) {
        return Err((
            StatusCode::NOT_FOUND,
            "the address ends in the name of a room: 1 to 64 letters, digits, _ and -\n".to_owned(),
        ));
    }
    if shared.access.is_open()
        && let Some(origin) = headers.get(header::ORIGIN)
        && !is_loopback_origin(origin.to_str().unwrap_or_default())
    {
        // Any page in a browser can dial a server on the same machine; only a token would tell who is meant.
        return Err((
            StatusCode::FORBIDDEN,
            "a page of another origin may not dial a server without tokens; start it with --token\n".to_owned(),
        ));
    }
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer_token);
    // Without a token in the header, the hello may still bring one.
    let has_shown_token = shared.access.allows(room, bearer);
    if bearer.is_some() && !has_shown_token {
        return Err((
            StatusCode::UNAUTHORIZED,
            format!("this token does not open the room {room}; give the right one with --token\n"),
        ));
    }
    let permit = shared.places.clone().try_acquire_owned().map_err(|_| {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the server has as many connections as it allows; try again later\n".to_owned(),
        )
    })?;
    Ok((permit, has_shown_token))
}

/// Whoever has not shown a token cannot make the server hold large messages.
fn message_bytes_max(limits: &Limits, has_shown_token: bool) -> usize {
    if has_shown_token { limits.message_bytes_max } else { limits.message_bytes_max.min(MESSAGE_BYTES_MAX_UNKNOWN) }
}

fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_loopback_origin(origin: &str) -> bool {
    let Some((_, host)) = origin.split_once("://") else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn run(
    shared: Arc<Shared>,
    socket: axum::extract::ws::WebSocket,
    room: String,
    has_shown_token: bool,
    peer: Option<SocketAddr>,
    permit: OwnedSemaphorePermit,
) {
    let door = Door { rooms: shared.rooms.clone(), access: shared.access.clone(), room: room.clone(), has_shown_token };
    let session = Session::new(Role::Listener, shared.patience);
    let (outgoing, incoming) = server_halves(socket);
    tracing::debug!(?peer, room, "session begins");
    let host = Host::Door(Box::new(door));
    let ended = driver::run(session, outgoing, incoming, host, shared.stop.subscribe(), &mut |event| {
        tracing::trace!(?event, "session");
    })
    .await;
    match ended {
        Ended::Refused(_) | Ended::RefusedByPeer(_) => tracing::warn!(?peer, room, %ended, "session ended"),
        _ => tracing::info!(?peer, room, %ended, "session ended"),
    }
    drop(permit);
}

async fn close_idle_rooms(shared: std::sync::Weak<Shared>) {
    loop {
        let Some(idle_max) = shared.upgrade().map(|shared| shared.limits.room_idle_max) else { return };
        tokio::time::sleep(idle_max.clamp(CLOSE_IDLE_INTERVAL_MIN, CLOSE_IDLE_INTERVAL_MAX)).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.rooms.close_idle().await;
    }
}

/// How often it is looked for rooms that nobody is in: as often as such a room may stay open, within these bounds.
const CLOSE_IDLE_INTERVAL_MIN: Duration = Duration::from_millis(100);
const CLOSE_IDLE_INTERVAL_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_machine_count_as_its_own() {
        for origin in ["http://localhost", "http://localhost:5173", "https://127.0.0.1:80", "http://[::1]:3000"] {
            assert!(is_loopback_origin(origin), "{origin}");
        }
        for origin in ["https://example.com", "http://localhost.example.com", "null", "", "http://[::2]:1"] {
            assert!(!is_loopback_origin(origin), "{origin}");
        }
    }

    #[test]
    fn the_scheme_of_a_token_is_read_in_any_case() {
        assert_eq!(bearer_token("bearer  abc "), Some("abc"));
        assert_eq!(bearer_token("Basic abc"), None);
        assert_eq!(bearer_token("Bearer"), None);
    }
}
