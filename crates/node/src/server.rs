//! The server: WebSockets into rooms, as a router that any axum program can mount, or as a whole.

use crate::access::Access;
use crate::database::Prepare;
use crate::driver::{self, Host, becomes_true};
use crate::error::NodeError;
use crate::limits::{FAREWELL_MAX, Limits, MESSAGE_BYTES_MAX_UNKNOWN, VLCN_READ_BUFFER_BYTES};
use crate::link::server_halves;
use crate::rooms::{Door, Rooms, is_room_name};
use crate::vlcn::schemas::Schemas;
use crate::vlcn::{self, Activity, Dialled, Watched};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{Extensions, HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rejoin_protocol::{Ended, Patience, Role, Session, vlcn as vlcn_session};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

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
    schemas: OnceLock<Schemas>,
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
            schemas: OnceLock::new(),
            stop: watch::Sender::new(false),
            places: Arc::new(Semaphore::new(limits.connections_max)),
        });
        tokio::spawn(close_idle_rooms(Arc::downgrade(&shared)));
        Ok(Server { shared })
    }

    /// Where the schema files of vlcn clients lie: `NAME` is the newest version of the schema NAME, and earlier ones may
    /// lie in `NAME.earlier`. Only the first call counts.
    pub fn with_schemas(self, folder: impl Into<PathBuf>) -> Server {
        self.shared.schemas.get_or_init(|| Schemas::in_folder(folder.into()));
        self
    }

    /// A WebSocket on every path; `/healthz`; and a word at `/`. The last part of the path names the room of a native
    /// client; a vlcn client names its room in the subprotocol that it offers.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", get(dial))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/{*path}", get(dial))
            .with_state(self.shared.clone())
    }

    /// Serves until `until` is over. Then tells every session goodbye and closes the rooms; fails where one of them does
    /// not close well, which loses nothing that was acknowledged.
    pub async fn serve(
        self,
        listener: TcpListener,
        until: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), NodeError> {
        let mut stopped = self.shared.stop.subscribe();
        let until = async move {
            tokio::select! {
                () = until => {}
                () = becomes_true(&mut stopped) => {}
            }
        };
        tokio::select! {
            () = accept(listener, self.router(), self.shared.limits.connections_max) => {}
            () = until => {}
        }
        self.close().await
    }

    /// Ends every session in order and closes the rooms. No one can enter afterwards.
    pub async fn close(&self) -> Result<(), NodeError> {
        self.shared.stop.send_replace(true);
        let all = u32::try_from(self.shared.limits.connections_max).unwrap_or(u32::MAX);
        // After that time a session is not in order any more, and its room is closed under it, which is safe.
        let ended = tokio::time::timeout(FAREWELL_MAX * 2, self.shared.places.acquire_many(all)).await;
        if ended.is_err() {
            tracing::warn!("some sessions did not end in time");
        }
        self.shared.places.close();
        self.shared.rooms.close_all().await
    }
}

/// Takes connections in, for ever. Those that have not become a WebSocket end with it.
async fn accept(listener: TcpListener, router: Router, connections_max: usize) {
    let places = Arc::new(Semaphore::new(connections_max.saturating_add(CONNECTIONS_SPARE)));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // The other side has gone already, or the system is out of something that others will give back.
                tracing::warn!(%error, "failed to take a connection in");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Only speed depends on it.
        let _ = stream.set_nodelay(true);
        let activity = Activity::default();
        let stream = Watched::new(stream, activity.clone());
        let layered = router.clone().layer(Extension(ConnectInfo(address))).layer(Extension(activity));
        let service = TowerToHyperService::new(layered);
        connections.spawn(async move {
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_MAX)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            if let Err(error) = serving.await {
                tracing::debug!(peer = %address, %error, "a connection broke");
            }
            drop(place);
        });
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
    let turn_away = |room: &str, (status, sentence): TurnedAway| {
        tracing::info!(?peer, room, %status, sentence, "turned away");
        (status, sentence).into_response()
    };
    if uri.path() == "/" && upgrade.is_err() {
        return "rejoin: dial ws://HOST:PORT/ROOM\n".into_response();
    }
    let vlcn = match vlcn::dialled(&headers) {
        Ok(vlcn) => vlcn,
        Err(sentence) => return turn_away("", (StatusCode::BAD_REQUEST, sentence)),
    };
    let (room, token) = match &vlcn {
        Some(dialled) => (dialled.room.clone(), dialled.token.as_deref()),
        None => {
            let room = uri.path().rsplit('/').next().unwrap_or_default().to_owned();
            (room, headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer_token))
        }
    };
    let (permit, has_shown_token) = match let_in(&shared, &room, &headers, token, vlcn.is_none()) {
        Ok(let_in) => let_in,
        Err(turned_away) => return turn_away(&room, turned_away),
    };
    let Ok(upgrade) = upgrade else {
        return (StatusCode::UPGRADE_REQUIRED, "this address is for WebSockets: dial it with ws://\n").into_response();
    };
    if let Some(Dialled { offered, .. }) = vlcn {
        let activity = extensions.get::<Activity>().cloned();
        return upgrade
            .protocols([offered])
            .read_buffer_size(VLCN_READ_BUFFER_BYTES)
            .max_message_size(shared.limits.vlcn_frame_bytes_max)
            .max_frame_size(shared.limits.vlcn_frame_bytes_max)
            .on_upgrade(move |socket| run_vlcn(shared, socket, room, activity, peer, permit));
    }
    upgrade
        .max_message_size(message_bytes_max(&shared.limits, has_shown_token))
        .max_frame_size(message_bytes_max(&shared.limits, has_shown_token))
        .on_upgrade(move |socket| run(shared, socket, room, has_shown_token, peer, permit))
}

type TurnedAway = (StatusCode, String);

/// `may_follow`: where no token has come, one may still come in a message.
fn let_in(
    shared: &Shared,
    room: &str,
    headers: &HeaderMap,
    token: Option<&str>,
    may_follow: bool,
) -> Result<(OwnedSemaphorePermit, bool), TurnedAway> {
    if !is_room_name(room) {
        let place = if may_follow { "the address ends in" } else { "the subprotocol holds" };
        return Err((StatusCode::NOT_FOUND, format!("{place} the name of a room: 1 to 64 letters, digits, _ and -\n")));
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
    let has_shown_token = shared.access.allows(room, token);
    if !has_shown_token && (token.is_some() || !may_follow) {
        return Err((
            StatusCode::UNAUTHORIZED,
            match token {
                Some(_) => format!("this token does not open the room {room}; give the right one with --token\n"),
                None => format!("the room {room} needs a token, and none has come\n"),
            },
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

async fn run_vlcn(
    shared: Arc<Shared>,
    socket: axum::extract::ws::WebSocket,
    room: String,
    activity: Option<Activity>,
    peer: Option<SocketAddr>,
    permit: OwnedSemaphorePermit,
) {
    let session = vlcn_session::Session::new(vlcn_session::Role::Server, shared.patience);
    let (outgoing, incoming) = server_halves(socket);
    tracing::debug!(?peer, room, "vlcn session begins");
    let schemas = shared.schemas.get().cloned().unwrap_or_default();
    let host = vlcn::Host::Room { rooms: shared.rooms.clone(), name: room.clone(), schemas };
    let stop = shared.stop.subscribe();
    let ended = vlcn::run(session, outgoing, incoming, host, activity, stop, &mut |event| {
        tracing::trace!(?event, "vlcn session");
    })
    .await;
    match ended {
        vlcn_session::Ended::Refused(_) => tracing::warn!(?peer, room, %ended, "vlcn session ended"),
        _ => tracing::info!(?peer, room, %ended, "vlcn session ended"),
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

/// Connections beyond those of sessions: of requests that are answered at once, and of those that are turned away.
const CONNECTIONS_SPARE: usize = 64;

/// How long the head of a request may take to arrive.
const HEADER_MAX: Duration = Duration::from_secs(10);

/// Wait after a connection could not be taken in.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
