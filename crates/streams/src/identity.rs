//! Whether a position belongs to the history that is in this file.
//!
//! `(site id, db_version)` means one history only until a file is copied or a backup is restored. So the versions are
//! cut into epochs, each with a nonce of its own, and every position that leaves carries a mark made with the nonce in
//! force there. A copy that goes on by itself begins another epoch behind what anybody had seen before: from there on
//! its marks differ, and a position that the other copy gave away is recognised.
//!
//! Invariants, in the file: every position that ever left lies at or below `witnessed`; the newest epoch begins at or
//! below `witnessed + 1`; epochs do not overlap.

use crate::engine_facts;
use crate::error::{Result, StreamError, atomically};
use crate::inbound::merge_staged;
use crate::rows::{self, InboundRow, damaged, has_bookkeeping};
use crate::rules::{Rule, holds};
use crate::snapshot::mark_tables;
use crate::sql;
use rejoin_bridge::{Connection, ValueRef};
use rejoin_change::{Cursor, SiteId};
use rejoin_wire::{AsOf, Mark, Position, limits};
use std::cell::Cell;

/// What the snapshot being read says of this database's history.
pub(crate) struct Identity {
    pub site_id: SiteId,
    pub former_ids: Vec<SiteId>,
    /// Every position that ever left lies at or below this version.
    pub witnessed: i64,
    /// `PRAGMA schema_version` when `witnessed` was last raised.
    pub schema_version: i64,
    key: [u8; 32],
    /// Counts the epochs that were ever begun.
    epochs_begun: i64,
    /// Oldest first.
    epochs: Vec<Epoch>,
    /// In force below the oldest epoch that is kept, once older ones were dropped.
    floor_nonce: Option<Nonce>,
}

pub(crate) type Nonce = [u8; 8];

struct Epoch {
    first_version: i64,
    nonce: Nonce,
}

/// What a mark says of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Given away by this history.
    Ours,
    /// Given away under this database's key, but not by this history: by a copy of it, or by a later state of it.
    Another,
    /// Older than what this database remembers.
    Forgotten,
    /// Not made with this database's key.
    Foreign,
}

/// What this connection remembers of the file, to notice when another one is put in its place.
#[derive(Default)]
struct Remembered {
    epochs_begun: Cell<i64>,
    newest_nonce: Cell<Nonce>,
    witnessed: Cell<i64>,
    /// This connection has begun an epoch, and the file has not been replaced since.
    has_own_epoch: Cell<bool>,
}

impl Identity {
    /// Reads; `None` where no stream was ever made.
    pub fn load(connection: &Connection) -> Result<Option<Identity>> {
        if !has_bookkeeping(connection)? {
            return Ok(None);
        }
        let mut identity = Identity {
            site_id: engine_facts::site_id(connection)?,
            former_ids: Vec::new(),
            witnessed: 0,
            schema_version: 0,
            key: [0; 32],
            epochs_begun: 0,
            epochs: Vec::new(),
            floor_nonce: None,
        };
        let meta =
            connection.cached(sql::READ_META)?.query(&[], |row| Ok((row.column_text(0), row.column(1).to_value())))?;
        let mut has_key = false;
        for (name, value) in meta {
            let value = value.as_ref();
            match name.as_str() {
                "key" => {
                    identity.key = value.as_bytes().and_then(|key| key.try_into().ok()).ok_or_else(damaged)?;
                    has_key = true;
                }
                "witnessed" => identity.witnessed = value.as_i64(),
                "schema_version" => identity.schema_version = value.as_i64(),
                "floor_nonce" => identity.floor_nonce = value.as_bytes().and_then(|nonce| nonce.try_into().ok()),
                "epochs_begun" => identity.epochs_begun = value.as_i64(),
                "former_ids" => identity.former_ids = rows::sites(value.as_bytes().unwrap_or_default())?,
                _ => {}
            }
        }
        if !has_key {
            return Err(damaged());
        }
        identity.epochs = connection
            .cached(sql::READ_EPOCHS)?
            .query(&[], |row| Ok((row.column_i64(0), row.column_blob(1))))?
            .into_iter()
            .map(|(first_version, nonce)| Ok(Epoch { first_version, nonce: nonce.try_into().map_err(|_| damaged())? }))
            .collect::<Result<_>>()?;
        connection.state(Remembered::default).look(&identity);
        Ok(Some(identity))
    }

    /// Writes the first entries, for a database that makes its first stream. The key is shared by copies and backups.
    pub fn create(connection: &Connection) -> Result<()> {
        let mut key = [0; 32];
        connection.randomness(&mut key);
        write_meta(connection, "key", ValueRef::Blob(&key))?;
        write_meta(connection, "schema_version", engine_facts::schema_version(connection)?.into())
    }

    /// The mark of a position in this history.
    pub fn mark(&self, cursor: &Cursor) -> Mark {
        self.mark_under(self.nonce_at(cursor.db_version), cursor)
    }

    /// A position of this history, with its mark.
    pub fn position(&self, cursor: Cursor) -> Position {
        Position { mark: self.mark(&cursor), cursor }
    }

    /// The head with its mark.
    pub fn as_of(&self, head: i64) -> AsOf {
        AsOf { head, mark: self.mark(&Cursor::end_of_version(head)) }
    }

    /// Whether the position was given away by this history.
    pub fn verify(&self, cursor: &Cursor, mark: &Mark) -> Verdict {
        let mut nonce = [0; 8];
        nonce.copy_from_slice(&mark.0[..8]);
        if self.mark_under(nonce, cursor) != *mark {
            return Verdict::Foreign;
        }
        if cursor.db_version > self.witnessed {
            return Verdict::Another;
        }
        if self.nonce_at(cursor.db_version) == nonce {
            return Verdict::Ours;
        }
        let forgotten = self.epochs.first().is_none_or(|oldest| cursor.db_version < oldest.first_version);
        if forgotten { Verdict::Forgotten } else { Verdict::Another }
    }

    /// The nonce that marks are made with at a version: zeros before version 1, where every history is alike.
    fn nonce_at(&self, version: i64) -> Nonce {
        if version <= 0 {
            return Nonce::default();
        }
        let epoch = self.epochs.iter().rev().find(|epoch| epoch.first_version <= version);
        epoch.map(|epoch| epoch.nonce).or(self.floor_nonce).unwrap_or_default()
    }

    pub fn newest_nonce(&self) -> Nonce {
        self.epochs.last().map_or(Nonce::default(), |epoch| epoch.nonce)
    }

    fn mark_under(&self, nonce: Nonce, cursor: &Cursor) -> Mark {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&nonce);
        hasher.update(&cursor.to_bytes());
        let mut mark = [0; 24];
        mark[..8].copy_from_slice(&nonce);
        mark[8..].copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Mark(mark)
    }

    /// Raises `witnessed` to the head and takes note of the schema, in one small write. Before a connection does so for
    /// the first time it begins an epoch, which covers every version that nobody has seen, whoever wrote it and when.
    /// Runs inside the caller's atomic body, after [`Identity::load`] in it.
    pub fn witness(&mut self, connection: &Connection, head: i64, schema_version: i64) -> Result<()> {
        if head > self.witnessed {
            let remembered = connection.state(Remembered::default);
            if !remembered.has_own_epoch.get() {
                self.begin_epoch(connection, head)?;
                remembered.has_own_epoch.set(true);
            }
            self.witnessed = head;
            write_meta(connection, "witnessed", head.into())?;
            remembered.keep(self);
        }
        self.schema_version = schema_version;
        write_meta(connection, "schema_version", schema_version.into())
    }

    /// Replaces an epoch under which nothing has been witnessed yet.
    fn begin_epoch(&mut self, connection: &Connection, head: i64) -> Result<()> {
        let first_version = if holds(Rule::Witness) { self.witnessed } else { head } + 1;
        let mut nonce = [0; 8];
        connection.randomness(&mut nonce);
        connection.cached(sql::DROP_EPOCHS_FROM)?.run(&[first_version.into()])?;
        connection.cached(sql::WRITE_EPOCH)?.run(&[first_version.into(), ValueRef::Blob(&nonce)])?;
        self.epochs.retain(|epoch| epoch.first_version < first_version);
        self.epochs.push(Epoch { first_version, nonce });
        if self.epochs.len() > EPOCHS_MAX {
            self.drop_oldest_epochs(connection)?;
        }
        self.epochs_begun += 1;
        write_meta(connection, "epochs_begun", self.epochs_begun.into())
    }

    /// Many at once, because what was given away under the former floor cannot be verified any more: a receiver that is
    /// still that far behind begins once more.
    fn drop_oldest_epochs(&mut self, connection: &Connection) -> Result<()> {
        self.epochs.drain(..EPOCHS_DROPPED);
        let oldest = self.epochs[0].first_version;
        connection.cached(sql::DROP_EPOCHS_BEFORE)?.run(&[oldest.into()])?;
        let mut nonce = Nonce::default();
        connection.randomness(&mut nonce);
        self.floor_nonce = Some(nonce);
        write_meta(connection, "floor_nonce", ValueRef::Blob(&nonce))
    }
}

impl Remembered {
    /// A file that says less than this connection knows is an older state of it, or a transaction was rolled back.
    fn look(&self, stored: &Identity) {
        let older = self.witnessed.get() > stored.witnessed
            || self.epochs_begun.get() > stored.epochs_begun
            || (self.epochs_begun.get() == stored.epochs_begun && self.newest_nonce.get() != stored.newest_nonce());
        if older {
            self.has_own_epoch.set(false);
        }
        self.keep(stored);
    }

    fn keep(&self, stored: &Identity) {
        self.epochs_begun.set(stored.epochs_begun);
        self.newest_nonce.set(stored.newest_nonce());
        self.witnessed.set(stored.witnessed);
    }
}

/// A number of the bookkeeping, if it was ever written.
pub(crate) fn read_meta(connection: &Connection, name: &str) -> Result<Option<i64>> {
    Ok(connection.cached(sql::READ_META_NUMBER)?.query_row(&[name.into()], |row| Ok(row.column_i64(0)))?)
}

pub(crate) fn write_meta(connection: &Connection, name: &str, value: ValueRef<'_>) -> Result<()> {
    Ok(connection.cached(sql::WRITE_META)?.run(&[name.into(), value])?)
}

/// Makes this database a new one for its peers, in one transaction: what it wrote so far becomes the work of an ordinary
/// author, under the former id, and all positions go. Returns the new id. The bookkeeping exists.
pub(crate) fn reidentify(connection: &Connection) -> Result<SiteId> {
    atomically(connection, || {
        let tables = engine_facts::engine_tables(connection)?;
        let former = engine_facts::site_id(connection)?;
        let site_id = random_site_id(connection);
        let ordinal = connection
            .cached(sql::NEXT_ORDINAL)?
            .query_row(&[], |row| Ok(row.column_i64(0)))?
            .filter(|ordinal| *ordinal > 0)
            .ok_or_else(|| {
                StreamError::Misuse("this database has no site id yet, so it cannot take a new one".into())
            })?;
        connection.cached(sql::SET_OWN_SITE_ID)?.run(&[site_id.as_bytes().into()])?;
        connection.cached(sql::ADD_SITE_ID)?.run(&[former.as_bytes().into(), ordinal.into()])?;
        for clock_table in &tables.clock_tables {
            connection.prepare(&sql::disown_changes(clock_table))?.run(&[ordinal.into()])?;
        }
        if tables.has_tracked_peers {
            connection.execute(sql::FORGET_SENT_PEERS)?;
        }
        for row in InboundRow::all(connection)? {
            merge_staged(connection, &row)?;
        }
        forget_positions(connection, former)?;
        Ok(site_id)
    })
}

/// The streams stay and start anew; those that were dropped are forgotten.
fn forget_positions(connection: &Connection, former: SiteId) -> Result<()> {
    let mut identity = Identity::load(connection)?.ok_or_else(damaged)?;
    connection.execute(sql::FORGET_POSITIONS)?;
    identity.former_ids.push(former);
    let surplus = identity.former_ids.len().saturating_sub(limits::FORMER_IDS_MAX);
    let former_ids: Vec<u8> = identity.former_ids[surplus..].iter().flat_map(|id| id.0).collect();
    write_meta(connection, "former_ids", ValueRef::Blob(&former_ids))?;
    identity.epochs.clear();
    identity.floor_nonce = None;
    identity.witnessed = 0;
    write_meta(connection, "witnessed", 0.into())?;
    write_meta(connection, "floor_nonce", ValueRef::Null)?;
    mark_tables(connection)?;
    let head = engine_facts::head(connection)?;
    let schema_version = engine_facts::schema_version(connection)?;
    connection.state(Remembered::default).has_own_epoch.set(false);
    identity.witness(connection, head, schema_version)
}

/// Sixteen random bytes, marked as a random UUID like the engine's own.
fn random_site_id(connection: &Connection) -> SiteId {
    let mut bytes = [0; 16];
    connection.randomness(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    SiteId(bytes)
}

/// Epochs that are kept.
const EPOCHS_MAX: usize = 256;
/// Epochs that go at once when there are more.
const EPOCHS_DROPPED: usize = 64;
