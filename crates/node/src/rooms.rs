//! Rooms: one database file each, in one folder, open while somebody is in.

use crate::access::Access;
use crate::database::{Database, Prepare};
use crate::error::NodeError;
use crate::limits::{Limits, ROOM_NAME_BYTES_MAX};
use rejoin_wire::message::{Hello, Refusal, RefusalCode, Site};
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// True for 1 to 64 letters, digits, `_` and `-`. No path can be made of such a name.
pub(crate) fn is_room_name(name: &str) -> bool {
    (1..=ROOM_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Every room of a server.
pub(crate) struct Rooms {
    folder: PathBuf,
    prepare: Prepare,
    limits: Limits,
    open: Mutex<HashMap<String, Arc<Room>>>,
}

struct Room {
    database: tokio::sync::Mutex<Option<Database>>,
    left_at: Mutex<Instant>,
}

/// A place in a room. The room stays open while there is one.
pub(crate) struct RoomGuard {
    room: Arc<Room>,
    database: Database,
}

impl RoomGuard {
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }
}

impl Drop for RoomGuard {
    fn drop(&mut self) {
        *self.room.left_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Rooms {
    pub(crate) fn new(folder: PathBuf, prepare: Prepare, limits: Limits) -> Rooms {
        Rooms { folder, prepare, limits, open: Mutex::new(HashMap::new()) }
    }

    /// Enters a room, opening or making its database where needed.
    pub(crate) async fn enter(&self, name: &str) -> Result<RoomGuard, Refusal> {
        if !is_room_name(name) {
            return Err(bad_name());
        }
        let room = self.slot(name)?;
        let mut database = room.database.lock().await;
        if let Some(database) = database.as_ref().filter(|database| !database.is_closed()) {
            return Ok(RoomGuard { database: database.clone(), room: room.clone() });
        }
        let path = self.file_of(name);
        let opened = Database::open(path, self.prepare.clone(), &self.limits).await?;
        tracing::info!(room = name, "opened");
        *database = Some(opened.clone());
        Ok(RoomGuard { database: opened, room: room.clone() })
    }

    /// The room's file: `ROOM.db`, or a file `ROOM` that another server has left, which goes on to be used.
    fn file_of(&self, name: &str) -> PathBuf {
        let path = self.folder.join(format!("{name}.db"));
        let inherited = self.folder.join(name);
        if !is_database(&inherited) {
            return path;
        }
        if path.exists() {
            tracing::warn!(room = name, "both {name}.db and {name} are there; {name}.db is used");
            return path;
        }
        inherited
    }

    /// Whether a room has been made.
    pub(crate) fn has_file(&self, name: &str) -> bool {
        is_room_name(name) && self.file_of(name).exists()
    }

    fn slot(&self, name: &str) -> Result<Arc<Room>, Refusal> {
        let mut open = self.lock();
        if let Some(room) = open.get(name) {
            return Ok(room.clone());
        }
        if open.len() >= self.limits.rooms_open_max {
            // A room that nobody is in can go at once.
            let empty = open.iter().find(|(_, room)| Arc::strong_count(room) == 1).map(|(name, _)| name.clone());
            match empty {
                Some(empty) => drop(open.remove(&empty)),
                None => {
                    return Err(Refusal {
                        code: RefusalCode::Busy,
                        reason: format!("{} rooms are open, as many as are allowed", open.len()),
                        advice: "try again later".to_owned(),
                    });
                }
            }
        }
        let room = Arc::new(Room { database: tokio::sync::Mutex::new(None), left_at: Mutex::new(Instant::now()) });
        open.insert(name.to_owned(), room.clone());
        Ok(room)
    }

    /// Closes the rooms that nobody has been in for a while.
    pub(crate) async fn close_idle(&self) {
        let idle_max = self.limits.room_idle_max;
        let idle: Vec<_> = {
            let mut open = self.lock();
            let names: Vec<String> = open
                .iter()
                .filter(|(_, room)| Arc::strong_count(room) == 1 && room.is_idle_since(idle_max))
                .map(|(name, _)| name.clone())
                .collect();
            names.into_iter().filter_map(|name| open.remove_entry(&name)).collect()
        };
        for (name, room) in idle {
            if let Err(error) = close(&name, &room).await {
                tracing::error!(room = name, %error, "failed to close; nothing that was acknowledged is lost");
            }
        }
    }

    /// Closes all of them. Sessions have to be over.
    pub(crate) async fn close_all(&self) -> Result<(), NodeError> {
        let rooms: Vec<_> = self.lock().drain().collect();
        let mut result = Ok(());
        for (name, room) in rooms {
            result = result.and(close(&name, &room).await);
        }
        result
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Room>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn is_idle_since(&self, idle_max: std::time::Duration) -> bool {
        self.left_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= idle_max
    }
}

async fn close(name: &str, room: &Room) -> Result<(), NodeError> {
    let Some(database) = room.database.lock().await.take() else { return Ok(()) };
    database.close().await?;
    tracing::info!(room = name, "closed");
    Ok(())
}

/// Decides whether a session may enter a room.
pub(crate) struct Door {
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) access: Arc<Access>,
    /// The room that the link was opened for.
    pub(crate) room: String,
    /// The link itself carried a token that opens the room.
    pub(crate) has_shown_token: bool,
}

impl Door {
    pub(crate) async fn admit(&self, hello: &Hello) -> Result<(RoomGuard, Site), Refusal> {
        if hello.room != self.room {
            return Err(Refusal {
                code: RefusalCode::Room,
                reason: format!("the address names the room {}, the hello another one", self.room),
                advice: "dial the address of the room that is meant".to_owned(),
            });
        }
        if !self.has_shown_token && !self.access.allows(&self.room, hello.token.as_deref()) {
            return Err(Refusal {
                code: RefusalCode::Token,
                reason: format!("the room {} needs a token, and this is not one that opens it", self.room),
                advice: "give the right one with --token".to_owned(),
            });
        }
        let guard = self.rooms.enter(&self.room).await?;
        let site = guard.database().site().await?;
        Ok((guard, site))
    }
}

/// Whether a file is a database of SQLite's. An empty one is not, yet.
fn is_database(path: &Path) -> bool {
    let mut head = [0; SQLITE_HEAD.len()];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head == *SQLITE_HEAD
}

/// The first bytes of every database file.
const SQLITE_HEAD: &[u8; 16] = b"SQLite format 3\0";

fn bad_name() -> Refusal {
    Refusal {
        code: RefusalCode::Room,
        reason: format!("a room's name has 1 to {ROOM_NAME_BYTES_MAX} letters, digits, _ and -"),
        advice: "dial an address whose last part is such a name".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_can_be_made_of_a_room_name() {
        for name in ["todo", "a", "A-1_b", &"x".repeat(64)] {
            assert!(is_room_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a\\b", "a.db", "a b", "ä", "a\0", &"x".repeat(65)] {
            assert!(!is_room_name(name), "{name}");
        }
    }
}
