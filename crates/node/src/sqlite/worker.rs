//! One database, on its thread.

use super::{schema, sql, vlcn};
use crate::database::{Opened, Prepare, Pulse};
use crate::error::NodeError;
use crate::limits::{BUSY_TIMEOUT, REIDENTIFICATIONS_MAX};
use rejoin_change::{Cursor, SiteId};
use rejoin_protocol::{Applied, Input, Pulled};
use rejoin_streams::{Inbound, InboundOptions, Outbound, OutboundOptions, Side, Store, StreamError};
use rejoin_wire::message::{Goodbye, Refusal, RefusalCode, Schema, Site};
use rejoin_wire::{Compression, Encoded, Format, Receipt};
use rusqlite::Connection;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A connection with its streams, and what others are told about it. Lives and dies on one thread.
pub(crate) struct Worker {
    name: Arc<str>,
    streams: HashMap<SiteId, (Outbound, Inbound)>,
    opened: Opened,
    pulse: watch::Sender<Pulse>,
    data_version: i64,
    schema_version: i64,
    window_bytes: u32,
    reidentifications: u32,
    path: PathBuf,
    prepare: Prepare,
    vlcn_tables: vlcn::KnownTables,
    file: FileId,
    is_file_lost: bool,
}

/// Why a question was not answered.
#[derive(Debug)]
pub(crate) enum Trouble {
    Refused(Refusal),
    /// The database has just taken a new id, because it turned out to be a copy or an older state of another one.
    Reidentified,
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Trouble {
        Trouble::Refused(refusal)
    }
}

/// What a session is told when its question could not be answered.
impl From<Trouble> for Input {
    fn from(trouble: Trouble) -> Input {
        match trouble {
            Trouble::Refused(refusal) => Input::Failed(refusal),
            Trouble::Reidentified => Input::Stop(Goodbye::Restart),
        }
    }
}

/// Why a database was not opened.
struct NotOpened {
    reason: String,
    /// A lock is in the way.
    is_busy: bool,
}

impl From<StreamError> for NotOpened {
    fn from(error: StreamError) -> NotOpened {
        NotOpened { reason: error.to_string(), is_busy: error.is_busy() }
    }
}

impl From<rusqlite::Error> for NotOpened {
    fn from(error: rusqlite::Error) -> NotOpened {
        NotOpened { is_busy: is_busy(&error), reason: error.to_string() }
    }
}

impl From<Refusal> for NotOpened {
    fn from(refusal: Refusal) -> NotOpened {
        NotOpened { is_busy: refusal.code == RefusalCode::Busy, reason: refusal.reason }
    }
}

impl Worker {
    /// Opens a database. Other programs may be at it: SQLite's own waiting does not cover the first switch to WAL mode,
    /// so all of it is tried again while a lock is in the way.
    pub(crate) fn open(path: &Path, prepare: &Prepare, window_bytes: u32) -> Result<Worker, NodeError> {
        let deadline = Instant::now() + BUSY_TIMEOUT;
        loop {
            match prepare(path)
                .map_err(NotOpened::from)
                .and_then(|opened| Worker::new(path, opened, prepare, window_bytes))
            {
                Ok(worker) => return Ok(worker),
                Err(error) if error.is_busy && Instant::now() < deadline => std::thread::sleep(OPEN_PAUSE),
                Err(error) => {
                    return Err(NodeError::Store(format!("failed to open {}: {}", path.display(), error.reason)));
                }
            }
        }
    }

    /// Sets the connection up and reads what the database is.
    fn new(path: &Path, opened: Opened, prepare: &Prepare, window_bytes: u32) -> Result<Worker, NotOpened> {
        let name: Arc<str> = path.display().to_string().into();
        opened.connection.busy_timeout(BUSY_TIMEOUT)?;
        opened.connection.execute_batch(sql::SET_UP)?;
        let mode: String = opened.connection.query_row(sql::JOURNAL_MODE, [], |row| row.get(0))?;
        if mode != "wal" && mode != "memory" {
            return Err(NotOpened {
                reason:
                    "it cannot be put in WAL mode, because another program has it open in another mode or its file \
                         system does not allow it; close the other program, or move the file"
                        .to_owned(),
                is_busy: true,
            });
        }
        let unknown = Site {
            site_id: SiteId([0; 16]),
            former_ids: Vec::new(),
            features: Vec::new(),
            tables: Vec::new(),
            window_bytes,
        };
        let mut worker = Worker {
            streams: HashMap::new(),
            opened,
            pulse: watch::Sender::new(Pulse { changes: 0, site: Arc::new(unknown) }),
            data_version: 0,
            schema_version: 0,
            window_bytes,
            reidentifications: 0,
            file: FileId::of(path),
            path: path.to_owned(),
            prepare: prepare.clone(),
            vlcn_tables: vlcn::KnownTables::default(),
            is_file_lost: false,
            name,
        };
        worker.poll()?;
        Ok(worker)
    }

    pub(crate) fn pulse(&self) -> watch::Receiver<Pulse> {
        self.pulse.subscribe()
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.opened.connection
    }

    /// What vlcn changes are checked against.
    pub(super) fn vlcn_tables(&self) -> &vlcn::KnownTables {
        &self.vlcn_tables
    }

    /// What takes changes without a detour through SQL, where the connection's engine does.
    pub(super) fn change_store(&self) -> Option<Store> {
        self.opened.streams.change_store()
    }

    /// The newest db_version that is stored.
    pub(super) fn head(&self) -> Result<i64, Refusal> {
        self.opened.streams.head().map_err(store_refusal)
    }

    /// An empty database in memory that knows what this one's connection knows.
    pub(super) fn scratch(&self) -> Result<Opened, Refusal> {
        (self.prepare)(Path::new(":memory:")).map_err(store_refusal)
    }

    /// Tells every session that there may be more to tell.
    pub(super) fn wrote(&self) {
        self.pulse.send_modify(|pulse| pulse.changes += 1);
    }

    /// Looks whether anybody has written to the database, and tells.
    pub(crate) fn poll(&mut self) -> Result<(), Refusal> {
        if FileId::of(&self.path) != self.file {
            self.is_file_lost = true;
        }
        let connection = &self.opened.connection;
        let data_version = connection.query_row(sql::DATA_VERSION, [], |row| row.get(0)).map_err(failed)?;
        if data_version != self.data_version {
            self.refresh()?;
            self.data_version = data_version;
            self.pulse.send_modify(|pulse| pulse.changes += 1);
        }
        Ok(())
    }

    /// True when another file has been put in the place of the one that is open, or none: nothing that is written to this
    /// one will ever be seen.
    pub(crate) fn is_file_lost(&self) -> bool {
        self.is_file_lost
    }

    /// Reads the database's id and tables anew and tells where they are others than before.
    pub(super) fn refresh(&mut self) -> Result<(), Refusal> {
        let connection = &self.opened.connection;
        let schema_version = connection.query_row(sql::SCHEMA_VERSION, [], |row| row.get(0)).map_err(failed)?;
        let known = self.pulse.borrow().site.clone();
        let site_id = self.opened.streams.site_id().map_err(store_refusal)?;
        if schema_version == self.schema_version && site_id == known.site_id {
            return Ok(());
        }
        let site = Site {
            site_id,
            former_ids: self.opened.streams.former_ids().map_err(store_refusal)?,
            features: vec![FEATURE_ZSTD.to_owned()],
            tables: schema::shapes(connection).map_err(failed)?,
            window_bytes: self.window_bytes,
        };
        if site_id != known.site_id {
            self.streams.clear();
        }
        self.schema_version = schema_version;
        if site != *known {
            self.pulse.send_modify(|pulse| pulse.site = Arc::new(site));
        }
        Ok(())
    }

    pub(crate) fn site(&mut self) -> Result<Site, Trouble> {
        self.poll()?;
        Ok((*self.pulse.borrow().site).clone())
    }

    pub(crate) fn read_schema(&mut self, tables: &[String]) -> Result<Schema, Trouble> {
        Ok(schema::read(&self.opened.connection, tables)?)
    }

    pub(crate) fn take_schema(&mut self, schema: &Schema) -> Result<(), Trouble> {
        schema::take_over(&self.opened.connection, schema)?;
        let names: Vec<&str> = schema.tables.iter().map(|table| table.name.as_str()).collect();
        tracing::info!(database = &*self.name, tables = names.join(", "), "took over tables");
        self.refresh()?;
        Ok(())
    }

    /// Opens the streams to and from a remote. Says what the database is, and what it holds of the remote's stream.
    pub(crate) fn join(&mut self, remote: &Site) -> Result<(Site, Receipt), Trouble> {
        let remote_id = remote.site_id;
        let compression = match remote.features.iter().any(|feature| feature == FEATURE_ZSTD) {
            true => Compression::Zstd,
            false => Compression::None,
        };
        let options = OutboundOptions { format: Format::Binary(compression), ..OutboundOptions::default() };
        self.streams.remove(&remote_id);
        let receipt = self.ask(RefusalCode::Store, |worker| {
            let outbound = worker.opened.streams.outbound(remote_id, &options)?;
            let inbound = worker.opened.streams.inbound(remote_id, &InboundOptions::default())?;
            let receipt = inbound.receipt()?;
            worker.streams.insert(remote_id, (outbound, inbound));
            Ok(receipt)
        })?;
        self.refresh()?;
        Ok((self.site()?, receipt))
    }

    pub(crate) fn pull(&mut self, remote: SiteId, after: Option<&Cursor>) -> Result<Option<Pulled>, Trouble> {
        let produced = self.ask(RefusalCode::Store, |worker| worker.streams_of(remote)?.0.next(after))?;
        Ok(produced.map(|produced| Pulled {
            package: match produced.package {
                Encoded::Binary(bytes) => bytes,
                Encoded::Text(text) => text.into_bytes(),
            },
            end: produced.end,
            changes: produced.changes as u64,
            head: produced.head,
        }))
    }

    pub(crate) fn apply(&mut self, remote: SiteId, package: &[u8]) -> Result<Applied, Trouble> {
        let applied = self.ask(RefusalCode::Package, |worker| worker.streams_of(remote)?.1.apply(package))?;
        if applied.changes > 0 {
            self.pulse.send_modify(|pulse| pulse.changes += 1);
        }
        Ok(Applied { receipt: applied.receipt, changes: applied.changes as u64 })
    }

    /// Says where the remote stands now, and whether the receipt was about the present run.
    pub(crate) fn acknowledge(&mut self, remote: SiteId, receipt: &Receipt) -> Result<(Cursor, bool), Trouble> {
        let acknowledged =
            self.ask(RefusalCode::Protocol, |worker| worker.streams_of(remote)?.0.acknowledge(receipt))?;
        Ok((acknowledged.position, acknowledged.took))
    }

    /// Gives the database a new id and tells every session on it.
    pub(crate) fn reidentify(&mut self, why: &str) -> Result<(), Refusal> {
        if self.reidentifications >= REIDENTIFICATIONS_MAX {
            return Err(Refusal {
                code: RefusalCode::Identity,
                reason: format!("the database has taken a new id {REIDENTIFICATIONS_MAX} times in a row: {why}"),
                advice: "find out which copies of it are in use, and start the program again".to_owned(),
            });
        }
        self.reidentifications += 1;
        let before = self.pulse.borrow().site.site_id;
        self.streams.clear();
        let site_id = self.opened.streams.reidentify().map_err(store_refusal)?;
        tracing::warn!(database = &*self.name, %before, now = %site_id, why, "took a new site id");
        self.refresh()
    }

    /// Writes everything back into the database file.
    pub(crate) fn checkpoint(&self) -> Result<(), Refusal> {
        self.opened.connection.query_row(sql::CHECKPOINT, [], |_| Ok(())).map_err(failed)
    }

    fn streams_of(&self, remote: SiteId) -> Result<&(Outbound, Inbound), StreamError> {
        self.streams.get(&remote).ok_or_else(|| {
            StreamError::Misuse("the streams have been closed in the meantime; start the sync again".to_owned())
        })
    }

    /// Runs `body`, and turns its error into what it means for a session.
    fn ask<T>(
        &mut self,
        code: RefusalCode,
        body: impl FnOnce(&mut Worker) -> Result<T, StreamError>,
    ) -> Result<T, Trouble> {
        let error = match body(self) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if let StreamError::IdentityChanged { side: Side::Here, message } = &error {
            self.reidentify(message)?;
            return Err(Trouble::Reidentified);
        }
        Err(Trouble::Refused(stream_refusal(&error, code)))
    }
}

/// Tells a file from another one of the same name.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileId(Option<(u64, u64)>);

impl FileId {
    #[cfg(unix)]
    fn of(path: &Path) -> FileId {
        use std::os::unix::fs::MetadataExt;
        FileId(std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino())))
    }

    /// An open file can be neither replaced nor removed there.
    #[cfg(not(unix))]
    fn of(_: &Path) -> FileId {
        FileId(None)
    }
}

/// What a refusal of the streams is to the other side. `code` is for what SQLite itself refuses.
fn stream_refusal(error: &StreamError, code: RefusalCode) -> Refusal {
    let (code, advice) = match error {
        StreamError::Malformed(_) | StreamError::PeerMisbehaved(_) => {
            (RefusalCode::Protocol, "bring both programs to the newest version")
        }
        // The tables were compared when the session began; they are again when the next one does.
        StreamError::PeerIncompatible(_) => {
            (RefusalCode::Package, "make the tables the same on both sides, then start the sync again")
        }
        StreamError::IdentityChanged { .. } => {
            (RefusalCode::Identity, "give the copy a new id, with SELECT crsql_reidentify() on it")
        }
        StreamError::Store(_) if error.is_busy() => {
            (RefusalCode::Busy, "wait until the other program that writes to the database is done")
        }
        StreamError::Store(_) if code == RefusalCode::Package => {
            (code, "change the row or the rule that refuses it; nothing was applied and nothing is lost")
        }
        StreamError::Store(_) => (RefusalCode::Store, "look at the database of the side that says so"),
        StreamError::Misuse(_) => (RefusalCode::Store, "nothing is lost; the rest follows when that is done"),
    };
    Refusal { code, reason: error.to_string(), advice: advice.to_owned() }
}

fn store_refusal(error: StreamError) -> Refusal {
    stream_refusal(&error, RefusalCode::Store)
}

/// What an error of SQLite is to the other side.
pub(super) fn failed(error: rusqlite::Error) -> Refusal {
    let (code, advice) = match is_busy(&error) {
        true => (RefusalCode::Busy, "wait until the other program that writes to the database is done"),
        false => (RefusalCode::Store, "look at the database of the side that says so"),
    };
    Refusal { code, reason: format!("SQLite failed: {error}"), advice: advice.to_owned() }
}

pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked))
}

/// Time between two tries to open a database that is locked.
const OPEN_PAUSE: Duration = Duration::from_millis(50);

/// Packages may be compressed with zstd.
const FEATURE_ZSTD: &str = "zstd";
