//! The client's part: what it offers, one session, and what its end means.

use super::driver::{Host, run};
use super::schemas::SchemaText;
use crate::client::{Finished, Next, Over};
use crate::database::Database;
use crate::error::NodeError;
use crate::link::client_halves;
use crate::sqlite::vlcn::{self as store, Blobs, Listener};
use crate::sqlite::{Trouble, Worker};
use rejoin_protocol::vlcn::{Ended, Role, Session};
use rejoin_protocol::{Event, Patience};
use rejoin_wire::message::{Goodbye, RefusalCode};
use rejoin_wire::vlcn::Subprotocol;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// What a client brings to its sessions.
pub(crate) struct Terms {
    pub(crate) schema: Option<SchemaText>,
    pub(crate) blobs: Blobs,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms { schema: None, blobs: Blobs::Refused }
    }
}

/// The original server answers an announcement that it does not like with silence, and tells all it has in one frame,
/// whose bytes may take a while.
pub(crate) const PATIENCE: Patience = Patience {
    handshake_max: Duration::from_secs(20),
    ping_after: Duration::from_secs(15),
    silence_max: Duration::from_secs(300),
};

/// What a dial offers.
pub(crate) fn subprotocol(room: &str, token: Option<&str>) -> Result<HeaderValue, NodeError> {
    if room.is_empty() {
        return Err(NodeError::Misuse("a room needs a name".to_owned()));
    }
    let offer = Subprotocol { room: room.to_owned(), token: token.map(str::to_owned) };
    let offer = offer.write().map_err(|error| NodeError::Misuse(error.to_string()))?;
    HeaderValue::from_str(&offer).map_err(|error| NodeError::Misuse(error.to_string()))
}

/// Runs one session.
pub(crate) async fn session(
    terms: &Terms,
    database: &Database,
    once: bool,
    patience: Patience,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    stop: watch::Receiver<bool>,
    events: &mut (dyn FnMut(Event) + Send),
) -> Result<Over, NodeError> {
    let schema = terms.schema.clone();
    let (announcement, known) = match database.run(move |worker| store::announcement(worker, schema.as_ref())).await {
        Ok(announcement) => announcement,
        Err(Trouble::Reidentified) => {
            return Ok(Over { next: Next::Restart, why: "took a new site id".to_owned(), is_refused: false });
        }
        // A lock is in the way; the next try may find it gone.
        Err(Trouble::Refused(refusal)) if refusal.code == RefusalCode::Busy && !database.is_closed() => {
            return Ok(Over { next: Next::Retry, why: refusal.reason, is_refused: true });
        }
        Err(Trouble::Refused(refusal)) => {
            return Err(NodeError::Store(format!("{}; {}", refusal.reason, refusal.advice)));
        }
    };
    let reader = (store::ANY_SERVER, announcement.schema_version);
    let session = Session::new(Role::Client { announcement, once }, patience);
    let (outgoing, incoming) = client_halves(socket);
    let listener = Listener { known, blobs: terms.blobs, reader };
    let host = Host::Database { database: database.clone(), listener };
    let ended = run(session, outgoing, incoming, host, None, stop, events).await;
    let next = match &ended {
        Ended::Refused(refusal) if refusal.code == RefusalCode::Identity => {
            reidentify(database, refusal.reason.clone()).await?
        }
        ended => what_next(ended, once),
    };
    let is_refused = match &ended {
        Ended::Refused(_) | Ended::Unanswered => true,
        Ended::ByPeer { code, .. } => *code >= REFUSED,
        _ => false,
    };
    Ok(Over { next, why: ended.to_string(), is_refused })
}

/// This database is a copy, or an older state of what the server has met. With a new id everything is told once more.
async fn reidentify(database: &Database, why: String) -> Result<Next, NodeError> {
    let work = move |worker: &mut Worker| worker.reidentify(&why).map_err(Trouble::from);
    match database.run(work).await {
        Ok(()) | Err(Trouble::Reidentified) => Ok(Next::Restart),
        Err(Trouble::Refused(refusal)) => Err(NodeError::Store(format!("{}; {}", refusal.reason, refusal.advice))),
    }
}

fn what_next(ended: &Ended, once: bool) -> Next {
    match ended {
        Ended::Here(Goodbye::Done) => Next::Finish(Finished::Level),
        Ended::Here(Goodbye::Shutdown) => Next::Finish(Finished::Stopped),
        Ended::Here(Goodbye::Restart) if once => Next::Confirm,
        Ended::Here(Goodbye::Restart) => Next::Restart,
        Ended::Silent | Ended::LinkLost | Ended::Unannounced => Next::Retry,
        Ended::Refused(refusal) if refusal.code == RefusalCode::Busy => Next::Retry,
        Ended::ByPeer { code, .. } if !(REFUSED..REFUSED + 100).contains(code) || *code == TIMED_OUT => Next::Retry,
        // A program that runs on goes on trying: the cause may be repaired meanwhile.
        Ended::Unanswered | Ended::Refused(_) | Ended::ByPeer { .. } => match once {
            true => Next::GiveUp,
            false => Next::Retry,
        },
    }
}

/// What a server says that does not keep what it is told.
pub(crate) fn not_held(sessions: u32) -> String {
    format!(
        "the server was told everything in {sessions} sessions, and did not hold it in the next: look at its log, and at \
         whether somebody writes to the database all the time"
    )
}

/// From this code on a server says what has to change before the client dials again.
const REFUSED: u16 = 4400;

/// The code with which rejoin's server ends a session that took too long.
const TIMED_OUT: u16 = 4408;
