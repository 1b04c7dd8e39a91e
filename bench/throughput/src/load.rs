//! What is pushed: frames of whole transactions, made before the clock runs.

use crate::Outcome;
use crate::socket;
use rejoin_change::SiteId;
use rejoin_wire::vlcn::{Change, Changes, Message, Point, Value, schema_version};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

/// Name of the schema's file.
pub const SCHEMA_NAME: &str = "load.sql";
/// The schema, the same for both servers.
pub const SCHEMA: &str =
    "CREATE TABLE IF NOT EXISTS load (id INTEGER PRIMARY KEY NOT NULL, text TEXT);\nSELECT crsql_as_crr('load');\n";

/// The site that pushes.
pub const SENDER: SiteId = SiteId([0x5e; 16]);

/// Frames of one batch size, masked and ready for the socket.
pub struct Load {
    /// Changes in one frame, which is one transaction.
    pub batch: usize,
    /// Changes in all frames.
    pub changes: usize,
    /// The last transaction.
    pub last_version: i64,
    /// All frames, one behind the other.
    pub bytes: Vec<u8>,
}

impl Load {
    /// Inserts of rows with a text of 14 letters, one changed cell each.
    pub fn new(batch: usize, scale: f64) -> Outcome<Load> {
        let usual = match batch {
            0..=9 => 10_000,
            10..=99 => 40_000,
            _ => 100_000,
        };
        let frames = ((f64::from(usual) * scale) as usize / batch).max(1);
        let mut bytes = Vec::new();
        for frame in 0..frames {
            let mut changes = Changes::new();
            for at in 0..batch {
                let id = (frame * batch + at) as u32;
                let text = format!("text {id:09}");
                changes.push(&Change {
                    table: "load",
                    key: &packed(id),
                    column: "text",
                    value: Value::Text(&text),
                    col_version: 1,
                    db_version: frame as i64 + 1,
                    site_id: None,
                    causal_length: 1,
                    seq: at as i64,
                });
            }
            let message = Message::Changes { sender: SENDER, since: Point::after(frame as i64), changes };
            socket::push_frame(&mut bytes, &message.to_bytes().map_err(|error| error.to_string())?);
        }
        Ok(Load { batch, changes: frames * batch, last_version: frames as i64, bytes })
    }

    /// Changes per second that go into a socket whose other end throws everything away.
    pub fn rate_of_generator(&self) -> Outcome<f64> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let sink = std::thread::spawn(move || {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut space = vec![0; 1 << 16];
            while stream.read(&mut space).is_ok_and(|count| count > 0) {}
        });
        let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
        let began = Instant::now();
        stream.write_all(&self.bytes).map_err(|error| error.to_string())?;
        drop(stream);
        sink.join().map_err(|_| "the sink panicked".to_owned())?;
        Ok(self.changes as f64 / began.elapsed().as_secs_f64())
    }
}

/// A client's first message. `seen` is what it holds of the server already.
pub fn announce(sender: SiteId, seen: &[(SiteId, Point)]) -> Outcome<Vec<u8>> {
    let message = Message::AnnouncePresence {
        sender,
        last_seens: seen.to_vec(),
        schema_name: SCHEMA_NAME.to_owned(),
        schema_version: schema_version(SCHEMA),
    };
    message.to_bytes().map_err(|error| error.to_string())
}

/// A primary key of one integer, as cr-sqlite packs it: as few bytes as hold it.
fn packed(id: u32) -> Vec<u8> {
    let bytes = id.to_be_bytes();
    let skipped = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = &bytes[skipped..];
    let mut key = vec![1, (digits.len() as u8) << 3 | 1];
    key.extend_from_slice(digits);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_packed_as_cr_sqlite_packs_them() {
        assert_eq!(packed(0), [1, 0x01]);
        assert_eq!(packed(1), [1, 0x09, 1]);
        assert_eq!(packed(200), [1, 0x09, 200]);
        assert_eq!(packed(70_000), [1, 0x19, 1, 0x11, 0x70]);
    }

    #[test]
    fn a_load_has_whole_frames_of_its_batch_size() {
        let load = Load::new(100, 0.01).expect("makes");
        assert_eq!((load.changes, load.last_version), (1_000, 10));
        // The smallest load is one frame.
        assert_eq!(Load::new(1000, 0.0).expect("makes").changes, 1000);
    }
}
