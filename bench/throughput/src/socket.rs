//! A WebSocket client that does as little as it can, so that a server is never measured through it.

use crate::Outcome;
use crate::load::announce;
use rejoin_change::SiteId;
use rejoin_wire::vlcn::{Message, Point};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Adds a binary frame of a client. The mask is zero, so that what is sent is what was encoded.
pub fn push_frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.push(0x82);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// What a server sent, as far as anybody here wants to know.
pub enum Heard {
    /// Start telling behind this; the server's own site.
    Start(Point, SiteId),
    /// So many changes.
    Changes(usize),
    /// Anything else, control frames included.
    Other,
}

/// A connection that has announced itself and was told to start.
pub struct Session {
    /// For writing.
    pub stream: TcpStream,
    /// For reading.
    pub reader: Frames,
    /// What the server holds of the announced site.
    pub position: Point,
    /// The server's site.
    pub server: SiteId,
}

impl Session {
    /// Dials a room and announces a site, and waits for the answer. `seen` is what the site holds of the server.
    pub fn open(address: &str, room: &str, site_id: SiteId, seen: &[(SiteId, Point)]) -> Outcome<Session> {
        let mut stream = dial(address, room)?;
        let mut bytes = Vec::new();
        push_frame(&mut bytes, &announce(site_id, seen)?);
        stream.write_all(&bytes).map_err(|error| format!("announcing: {error}"))?;
        let mut reader = Frames::new(&stream)?;
        loop {
            if let Heard::Start(position, server) = reader.next()? {
                return Ok(Session { stream, reader, position, server });
            }
        }
    }
}

fn dial(address: &str, room: &str) -> Outcome<TcpStream> {
    let says = |error: std::io::Error| format!("dialling {address}: {error}");
    let mut stream = TcpStream::connect(address).map_err(says)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(says)?;
    stream.set_nodelay(true).map_err(says)?;
    let subprotocol = base64_simd::STANDARD_NO_PAD.encode_to_string(format!("room={room}"));
    let request = format!(
        "GET /sync HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(says)?;
    // Byte by byte, so that nothing of the first frame is taken away.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).map_err(says)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    if head.starts_with("HTTP/1.1 101") { Ok(stream) } else { Err(format!("{address} answered {}", head.trim_end())) }
}

/// The frames of a server, one after the other.
pub struct Frames {
    reader: BufReader<TcpStream>,
    payload: Vec<u8>,
}

impl Frames {
    fn new(stream: &TcpStream) -> Outcome<Frames> {
        let stream = stream.try_clone().map_err(|error| error.to_string())?;
        Ok(Frames { reader: BufReader::with_capacity(1 << 18, stream), payload: Vec::new() })
    }

    /// The next frame. Its changes are not looked at, but counted from its head.
    pub fn next(&mut self) -> Outcome<Heard> {
        let mut head = [0; 2];
        self.read(&mut head)?;
        let length = match head[1] & 0x7f {
            126 => {
                let mut bytes = [0; 2];
                self.read(&mut bytes)?;
                u64::from(u16::from_be_bytes(bytes))
            }
            127 => {
                let mut bytes = [0; 8];
                self.read(&mut bytes)?;
                u64::from_be_bytes(bytes)
            }
            length => u64::from(length),
        };
        if length > FRAME_BYTES_MAX {
            return Err(format!("a frame of {length} bytes"));
        }
        self.payload.resize(length as usize, 0);
        let mut payload = std::mem::take(&mut self.payload);
        let read = self.read(&mut payload);
        self.payload = payload;
        read?;
        match (head[0] & 0x0f, self.payload.first()) {
            (BINARY, Some(&CHANGES)) => Ok(Heard::Changes(count_of(&self.payload)?)),
            (BINARY, _) => match Message::from_bytes(&self.payload).map_err(|error| error.to_string())? {
                Message::StartStreaming { since, exclude_sites, .. } => {
                    let server = exclude_sites.first().ok_or("the server names no site of its own")?;
                    Ok(Heard::Start(since, *server))
                }
                _ => Ok(Heard::Other),
            },
            (CLOSE, _) => Err(format!("the server hung up: {}", String::from_utf8_lossy(&self.payload))),
            _ => Ok(Heard::Other),
        }
    }

    fn read(&mut self, space: &mut [u8]) -> Outcome<()> {
        let mut filled = 0;
        while filled < space.len() {
            let there = match self.reader.fill_buf() {
                Ok(there) => there,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("reading: {error}")),
            };
            if there.is_empty() {
                return Err("the server has closed the connection".to_owned());
            }
            let count = there.len().min(space.len() - filled);
            space[filled..filled + count].copy_from_slice(&there[..count]);
            self.reader.consume(count);
            filled += count;
        }
        Ok(())
    }
}

/// How many changes a frame has: behind tag, sender and point.
fn count_of(payload: &[u8]) -> Outcome<usize> {
    let cut = || "a frame of changes is cut off".to_owned();
    let mut at = 1 + 16 + 8;
    // The point's second half, a number whose length only its bytes tell.
    while *payload.get(at).ok_or_else(cut)? & 0x80 != 0 {
        at += 1;
    }
    at += 1;
    let (mut count, mut shift) = (0, 0);
    loop {
        let byte = *payload.get(at).ok_or_else(cut)?;
        count |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(count);
        }
        at += 1;
        shift += 7;
        if shift > 28 {
            return Err(cut());
        }
    }
}

const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const CHANGES: u8 = 2;
const FRAME_BYTES_MAX: u64 = 1 << 30;
/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_wire::vlcn::{Change, Changes, Value};

    #[test]
    fn changes_are_counted_from_the_head_of_their_frame() {
        for expected in [0, 1, 127, 128, 20_000] {
            let mut changes = Changes::new();
            for _ in 0..expected {
                changes.push(&Change {
                    table: "t",
                    key: &[1, 1],
                    column: "c",
                    value: Value::Null,
                    col_version: 1,
                    db_version: 1,
                    site_id: None,
                    causal_length: 1,
                    seq: 0,
                });
            }
            let since = Point { db_version: 7, seq: 1000 };
            let message = Message::Changes { sender: SiteId([1; 16]), since, changes };
            assert_eq!(count_of(&message.to_bytes().expect("encodes")), Ok(expected));
        }
        assert!(count_of(&[2; 20]).is_err());
    }

    #[test]
    fn a_frame_says_its_length_in_as_many_bytes_as_it_takes() {
        for (length, head) in
            [(5, &[0x82, 0x85][..]), (126, &[0x82, 0xfe, 0, 126]), (70_000, &[0x82, 0xff, 0, 0, 0, 0, 0, 1])]
        {
            let mut out = Vec::new();
            push_frame(&mut out, &vec![7; length]);
            assert!(out.starts_with(head), "{:?}", &out[..12]);
        }
    }
}
