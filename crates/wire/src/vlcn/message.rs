use super::change::Changes;
use super::primitives::{Reader, push_bytes, push_i64, push_point, push_varint, push_varuint};
use crate::error::{Result, WireError};
use crate::limits::{NAME_BYTES_MAX, TEXT_BYTES_MAX, VLCN_FRAME_BYTES_MAX, VLCN_SITES_MAX};
use rejoin_change::SiteId;

/// A place in a database's changes: everything up to and including it. Ordered by db_version, then by seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Point {
    /// The transaction.
    pub db_version: i64,
    /// The place in it; 0 in all that is really sent, where it means all of the transaction.
    pub seq: i64,
}

impl Point {
    /// Before everything.
    pub const START: Point = Point { db_version: 0, seq: 0 };

    /// A whole transaction and all before it.
    pub fn after(db_version: i64) -> Point {
        Point { db_version, seq: 0 }
    }
}

/// One message: one binary frame.
///
/// Those from [`Message::CreateDbOnPrimary`] on are for servers of one cluster. They are read so that they can be told
/// from nonsense; rejoin does not send them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A client says who it is and which schema it has. Its first message.
    AnnouncePresence {
        /// The client's database.
        sender: SiteId,
        /// What it holds of other databases.
        last_seens: Vec<(SiteId, Point)>,
        /// Name of its schema.
        schema_name: String,
        /// [`super::schema_version`] of the schema's text, -1 where there is none.
        schema_version: i64,
    },
    /// Whole transactions.
    Changes {
        /// The database that tells them; their author for the receiver.
        sender: SiteId,
        /// They follow this.
        since: Point,
        /// In the order of their db_versions.
        changes: Changes,
    },
    /// Changes started behind what the receiver holds.
    RejectChanges {
        /// Whose changes.
        whose: SiteId,
        /// What is held of them.
        since: Point,
    },
    /// A server tells a client where to start, or to start again.
    StartStreaming {
        /// What the server holds of the client.
        since: Point,
        /// Authors whose changes the client is to keep; only the first counts.
        exclude_sites: Vec<SiteId>,
        /// Only changes of the client's own.
        local_only: bool,
    },
    /// Asks the primary server to make a room.
    CreateDbOnPrimary {
        /// Number of the request.
        request: i64,
        /// Name of the room.
        room: String,
        /// Name of its schema.
        schema_name: String,
        /// Version of its schema.
        schema_version: i64,
    },
    /// Asks the primary server to write.
    ApplyChangesOnPrimary {
        /// Number of the request.
        request: i64,
        /// The client that told the changes.
        sender: SiteId,
        /// The changes.
        changes: Changes,
        /// Name of the room.
        room: String,
        /// What is held of the client afterwards.
        new_last_seen: Point,
    },
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
    /// The room is there as of a transaction of the file system's.
    CreateDbOnPrimaryResponse {
        /// Number of the request.
        request: i64,
        /// The transaction.
        transaction: i64,
    },
    /// A request failed.
    Err {
        /// Number of the request, -1 for all.
        request: i64,
        /// What went wrong.
        text: String,
    },
    /// The changes are written.
    ApplyChangesOnPrimaryResponse {
        /// Number of the request.
        request: i64,
    },
}

impl Message {
    /// Reads one frame. Bytes behind the message are an error.
    pub fn from_bytes(bytes: &[u8]) -> Result<Message> {
        let found = bytes.len() as u64;
        if bytes.len() > VLCN_FRAME_BYTES_MAX {
            return Err(WireError::TooLarge { what: FRAME, found, max: VLCN_FRAME_BYTES_MAX as u64 });
        }
        let mut reader = Reader::new(bytes);
        let message = Message::read(&mut reader)?;
        reader.finish()?;
        Ok(message)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Message> {
        if reader.remaining() == 0 {
            return Err(reader.malformed("an empty frame holds no message"));
        }
        Ok(match reader.byte()? {
            1 => Message::AnnouncePresence {
                sender: reader.site_id()?,
                last_seens: {
                    let count = reader.length("positions in one message", VLCN_SITES_MAX)?;
                    (0..count).map(|_| Ok((reader.site_id()?, reader.point()?))).collect::<Result<_>>()?
                },
                schema_name: name(reader)?,
                schema_version: reader.i64()?,
            },
            2 => {
                Message::Changes { sender: reader.site_id()?, since: reader.point()?, changes: Changes::read(reader)? }
            }
            3 => Message::RejectChanges { whose: reader.site_id()?, since: reader.point()? },
            4 => Message::StartStreaming {
                since: reader.point()?,
                exclude_sites: {
                    let count = reader.length("sites in one message", VLCN_SITES_MAX)?;
                    (0..count).map(|_| reader.site_id()).collect::<Result<_>>()?
                },
                local_only: reader.byte()? == 1,
            },
            5 => Message::CreateDbOnPrimary {
                request: reader.varint()?,
                room: name(reader)?,
                schema_name: name(reader)?,
                schema_version: reader.i64()?,
            },
            6 => Message::ApplyChangesOnPrimary {
                request: reader.varint()?,
                sender: reader.site_id()?,
                changes: Changes::read(reader)?,
                room: name(reader)?,
                new_last_seen: reader.point()?,
            },
            7 => Message::Ping,
            8 => Message::Pong,
            9 => Message::CreateDbOnPrimaryResponse { request: reader.varint()?, transaction: reader.i64()? },
            10 => Message::Err {
                request: reader.varint()?,
                text: reader.text("bytes of an error's text", TEXT_BYTES_MAX)?.to_owned(),
            },
            11 => Message::ApplyChangesOnPrimaryResponse { request: reader.varint()? },
            _ => return Err(reader.malformed("the first byte names no message")),
        })
    }

    /// Writes one frame. Fails where a limit of [`crate::limits`] is exceeded.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Message::AnnouncePresence { sender, last_seens, schema_name, schema_version } => {
                out.push(1);
                out.extend_from_slice(sender.as_bytes());
                push_varuint(&mut out, last_seens.len() as u64);
                for (site_id, point) in last_seens {
                    out.extend_from_slice(site_id.as_bytes());
                    push_point(&mut out, *point);
                }
                push_bytes(&mut out, schema_name.as_bytes());
                push_i64(&mut out, *schema_version);
            }
            Message::Changes { sender, since, changes } => {
                out.reserve(changes.size_bytes() + 64);
                out.push(2);
                out.extend_from_slice(sender.as_bytes());
                push_point(&mut out, *since);
                changes.push_to(&mut out)?;
            }
            Message::RejectChanges { whose, since } => {
                out.push(3);
                out.extend_from_slice(whose.as_bytes());
                push_point(&mut out, *since);
            }
            Message::StartStreaming { since, exclude_sites, local_only } => {
                out.push(4);
                push_point(&mut out, *since);
                push_varuint(&mut out, exclude_sites.len() as u64);
                exclude_sites.iter().for_each(|site_id| out.extend_from_slice(site_id.as_bytes()));
                out.push(u8::from(*local_only));
            }
            Message::CreateDbOnPrimary { request, room, schema_name, schema_version } => {
                out.push(5);
                push_varint(&mut out, *request);
                push_bytes(&mut out, room.as_bytes());
                push_bytes(&mut out, schema_name.as_bytes());
                push_i64(&mut out, *schema_version);
            }
            Message::ApplyChangesOnPrimary { request, sender, changes, room, new_last_seen } => {
                out.push(6);
                push_varint(&mut out, *request);
                out.extend_from_slice(sender.as_bytes());
                changes.push_to(&mut out)?;
                push_bytes(&mut out, room.as_bytes());
                push_point(&mut out, *new_last_seen);
            }
            Message::Ping => out.push(7),
            Message::Pong => out.push(8),
            Message::CreateDbOnPrimaryResponse { request, transaction } => {
                out.push(9);
                push_varint(&mut out, *request);
                push_i64(&mut out, *transaction);
            }
            Message::Err { request, text } => {
                out.push(10);
                push_varint(&mut out, *request);
                push_bytes(&mut out, text.as_bytes());
            }
            Message::ApplyChangesOnPrimaryResponse { request } => {
                out.push(11);
                push_varint(&mut out, *request);
            }
        }
        if out.len() > VLCN_FRAME_BYTES_MAX {
            let found = out.len() as u64;
            return Err(WireError::TooLarge { what: FRAME, found, max: VLCN_FRAME_BYTES_MAX as u64 });
        }
        Ok(out)
    }
}

fn name(reader: &mut Reader<'_>) -> Result<String> {
    Ok(reader.text("bytes of a name", NAME_BYTES_MAX)?.to_owned())
}

const FRAME: &str = "bytes of a frame";
