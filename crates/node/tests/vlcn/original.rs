//! A server that keeps nothing but numbers and behaves as the original one does where that is peculiar: it compares what
//! comes in with where it stood some frames ago, rejects it, and takes it all the same; it never confirms anything.

use futures_util::{SinkExt, StreamExt};
use rejoin::SiteId;
use rejoin_wire::vlcn::{Message, Point};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

const SITE_ID: SiteId = SiteId([9; 16]);

#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    pub announcements: usize,
    pub changes: usize,
    pub rejections: usize,
    held: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Usual,
    Silent,
    Forgetful,
}

pub struct Original {
    address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Original {
    pub async fn start() -> Original {
        Original::with(Manner::Usual).await
    }

    pub async fn silent() -> Original {
        Original::with(Manner::Silent).await
    }

    pub async fn forgetful() -> Original {
        Original::with(Manner::Forgetful).await
    }

    async fn with(manner: Manner) -> Original {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Heard::default()));
        let shared = heard.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone(), manner));
            }
        });
        Original { address, heard, serving }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/sync", self.address)
    }

    pub fn heard(&self) -> Heard {
        *self.heard.lock().expect("no panic")
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[expect(clippy::result_large_err, reason = "the library's own type")]
fn echo(
    request: &Request,
    mut response: Response,
) -> Result<Response, tokio_tungstenite::tungstenite::handshake::server::ErrorResponse> {
    if let Some(offer) = request.headers().get("sec-websocket-protocol") {
        response.headers_mut().insert("sec-websocket-protocol", offer.clone());
    }
    Ok(response)
}

async fn serve(stream: TcpStream, heard: Arc<Mutex<Heard>>, manner: Manner) {
    let mut socket = accept_hdr_async(stream, echo).await.expect("a WebSocket");
    let mut held_some_frames_ago = Point::START;
    while let Some(Ok(frame)) = socket.next().await {
        let Frame::Binary(bytes) = frame else { continue };
        let message = Message::from_bytes(&bytes).expect("a client says it well");
        if manner == Manner::Silent {
            continue;
        }
        let answer = match message {
            Message::AnnouncePresence { .. } => {
                let mut heard = heard.lock().expect("no panic");
                heard.announcements += 1;
                held_some_frames_ago = Point::after(heard.held);
                let exclude_sites = vec![SITE_ID];
                Some(Message::StartStreaming { since: held_some_frames_ago, exclude_sites, local_only: false })
            }
            Message::Changes { sender, since, changes } => {
                let mut heard = heard.lock().expect("no panic");
                heard.changes += changes.len();
                if manner == Manner::Usual {
                    heard.held = heard.held.max(changes.last_version().expect("a client says something"));
                }
                let is_late = since > held_some_frames_ago;
                heard.rejections += usize::from(is_late);
                is_late.then_some(Message::RejectChanges { whose: sender, since: held_some_frames_ago })
            }
            other => panic!("a client does not say {other:?}"),
        };
        if let Some(answer) = answer {
            let bytes = answer.to_bytes().expect("can be written");
            if socket.send(Frame::Binary(bytes.into())).await.is_err() {
                return;
            }
        }
    }
}
