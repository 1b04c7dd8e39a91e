//! A WebSocket, of the server's or of the client's library, as whole messages in order.

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use rejoin_wire::Message;
use std::fmt::Display;

/// One frame.
#[derive(Debug)]
pub(crate) enum Frame {
    Binary(Vec<u8>),
    Text(String),
    /// Asks the library at the other end whether it is there.
    Ping,
    /// Its answer.
    Pong,
    /// The last frame of a side.
    Close {
        code: u16,
        reason: String,
    },
}

impl Frame {
    /// Reads the message in it. The error is a sentence.
    pub(crate) fn read(&self) -> Result<Message, String> {
        match self {
            Frame::Binary(bytes) => Message::from_bytes(bytes),
            Frame::Text(text) => Message::from_text(text),
            Frame::Ping | Frame::Pong | Frame::Close { .. } => return Err("the frame holds no message".to_owned()),
        }
        .map_err(|error| error.to_string())
    }

    /// False for the frames by which the two ends of a link speak of the link.
    pub(crate) fn holds_message(&self) -> bool {
        matches!(self, Frame::Binary(_) | Frame::Text(_))
    }

    /// Writes a message, as text where the other side speaks text. The error is a sentence.
    pub(crate) fn write(message: &Message, as_text: bool) -> Result<Frame, String> {
        match as_text {
            true => message.to_text().map(Frame::Text),
            false => message.to_bytes().map(Frame::Binary),
        }
        .map_err(|error| error.to_string())
    }
}

/// The half of a link that frames go into.
pub(crate) trait Outgoing: Sink<Frame, Error = String> + Send + Unpin + 'static {}
impl<T: Sink<Frame, Error = String> + Send + Unpin + 'static> Outgoing for T {}

/// The half of a link that frames come out of. It ends when the link is closed; an error says why it broke.
pub(crate) trait Incoming: Stream<Item = Result<Frame, String>> + Send + Unpin {}
impl<T: Stream<Item = Result<Frame, String>> + Send + Unpin> Incoming for T {}

/// The two halves of a WebSocket, given how its library writes and reads frames.
pub(crate) fn halves<W, M, E>(
    socket: W,
    write: fn(Frame) -> M,
    read: fn(M) -> Option<Frame>,
) -> (impl Outgoing, impl Incoming)
where
    W: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Send + Unpin + 'static,
    M: Send + 'static,
    E: Display + Send + 'static,
{
    let (sink, stream) = socket.split();
    let outgoing = sink
        .sink_map_err(|error| error.to_string())
        .with(move |frame: Frame| std::future::ready(Ok::<M, String>(write(frame))));
    let incoming = stream.filter_map(move |message| {
        std::future::ready(match message {
            Ok(message) => read(message).map(Ok),
            Err(error) => Some(Err(error.to_string())),
        })
    });
    (outgoing, incoming)
}

pub(crate) fn server_halves(socket: axum::extract::ws::WebSocket) -> (impl Outgoing, impl Incoming) {
    use axum::extract::ws::{CloseFrame, Message};
    halves(
        socket,
        |frame| match frame {
            Frame::Binary(bytes) => Message::Binary(bytes.into()),
            Frame::Text(text) => Message::Text(text.into()),
            Frame::Ping => Message::Ping(Default::default()),
            Frame::Pong => Message::Pong(Default::default()),
            Frame::Close { code, reason } => Message::Close(Some(CloseFrame { code, reason: reason.into() })),
        },
        |message| match message {
            Message::Binary(bytes) => Some(Frame::Binary(bytes.into())),
            Message::Text(text) => Some(Frame::Text(text.as_str().to_owned())),
            // The library answers it.
            Message::Ping(_) => Some(Frame::Ping),
            Message::Pong(_) => Some(Frame::Pong),
            Message::Close(frame) => Some(closed(frame.map(|frame| (frame.code, frame.reason.as_str().to_owned())))),
        },
    )
}

pub(crate) fn client_halves<S>(socket: tokio_tungstenite::WebSocketStream<S>) -> (impl Outgoing, impl Incoming)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};
    halves(
        socket,
        |frame| match frame {
            Frame::Binary(bytes) => Message::Binary(bytes.into()),
            Frame::Text(text) => Message::Text(text.into()),
            Frame::Ping => Message::Ping(Default::default()),
            Frame::Pong => Message::Pong(Default::default()),
            Frame::Close { code, reason } => {
                Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))
            }
        },
        |message| match message {
            Message::Binary(bytes) => Some(Frame::Binary(bytes.into())),
            Message::Text(text) => Some(Frame::Text(text.as_str().to_owned())),
            // The library answers it.
            Message::Ping(_) => Some(Frame::Ping),
            Message::Pong(_) => Some(Frame::Pong),
            Message::Close(frame) => {
                Some(closed(frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned()))))
            }
            Message::Frame(_) => None,
        },
    )
}

fn closed(frame: Option<(u16, String)>) -> Frame {
    let (code, reason) = frame.unwrap_or((NO_CLOSE_CODE, String::new()));
    Frame::Close { code, reason }
}

/// What stands for a close frame without a code.
const NO_CLOSE_CODE: u16 = 1005;
