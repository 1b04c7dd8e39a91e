//! Local writes are recorded when the statement that made them has ended.
//!
//! A statement that fires triggers keeps a journal, into which SQLite copies every page that is written while it runs, so
//! that it can be undone alone. Were the clock rows written by the triggers themselves, their pages would be copied as
//! well, again for every statement. At the statement's end its journal goes first, and only then are virtual tables
//! told; there the clock rows are written, before the application learns that its statement is done. Without a journal,
//! outside of BEGIN and COMMIT, they are written before the commit.
//!
//! Whoever looks at the clock while a statement is still running has it written first, by [`Engine::record_waiting`].

use crate::engine::Engine;
use crate::local_write::LocalWrite;
use rejoin_bridge::{Error, Output, Result};
use std::cell::RefCell;

/// What waits to be recorded on one connection.
#[derive(Default)]
pub(crate) struct Recorder {
    waiting: RefCell<Vec<LocalWrite>>,
    /// Why something that was written could not be recorded: the transaction must not be committed.
    failed: RefCell<Option<Error>>,
}

impl Recorder {
    /// How many writes wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Forgets all writes but the first so many: the others were undone.
    pub(crate) fn truncate(&self, len: usize) {
        self.waiting.borrow_mut().truncate(len);
    }

    /// The transaction has ended.
    pub(crate) fn clear(&self) {
        self.truncate(0);
        self.failed.take();
    }
}

impl Engine {
    /// Has a write recorded when its statement has ended. Returns what the triggers' functions return.
    pub(crate) fn record_later(&self, write: LocalWrite) -> Result<Output<'static>> {
        // What can go wrong goes wrong here, where it concerns this statement alone.
        self.next_db_version(0)?;
        let waiting = {
            let mut waiting = self.recorder.waiting.borrow_mut();
            waiting.push(write);
            waiting.len()
        };
        // Without a transaction nobody tells that the statement has ended.
        if waiting >= WAITING_MAX || !self.is_writing() {
            self.record_waiting()?;
        }
        Ok(Output::Integer(0))
    }

    /// Records every write that waits, in the order in which they were made. Where that fails, the transaction cannot be
    /// committed any more.
    pub(crate) fn record_waiting(&self) -> Result<()> {
        if let Some(error) = &*self.recorder.failed.borrow() {
            return Err(error.clone());
        }
        if self.recorder.len() == 0 {
            return Ok(());
        }
        let mut writes = self.recorder.waiting.take();
        self.forget_waiting_before();
        drop(self.take_warm_merge());
        let rowid = self.connection.last_insert_rowid();
        let recorded = writes.iter().try_for_each(|write| write.record(self));
        self.connection.set_last_insert_rowid(rowid);
        if let Err(error) = recorded {
            // At the end of a statement SQLite passes the code on, but not the words.
            self.connection.log(error.code, &format!("a local write cannot be recorded, and is rolled back: {error}"));
            // SQLite may have rolled the transaction back already.
            if self.is_writing() {
                self.recorder.failed.replace(Some(error.clone()));
            }
            return Err(error);
        }
        writes.clear();
        // The list is used again, unless somebody has begun another.
        if self.recorder.len() == 0 {
            self.recorder.waiting.replace(writes);
        }
        Ok(())
    }
}

/// So many writes wait at most: a statement can write any number of rows.
const WAITING_MAX: usize = 512;
