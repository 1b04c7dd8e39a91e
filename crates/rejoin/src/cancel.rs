//! Stopping long work on a database from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, InterruptHandle};

/// Stops the work that it was handed to: the statement that runs ends with an error, and its transaction is rolled
/// back. Clones stop the same work.
#[derive(Clone, Default)]
pub struct Cancel {
    cancelled: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<InterruptHandle>>>,
}

impl Cancel {
    /// Stops the work at its next step. Work that has been committed stays.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        for connection in self.connections.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            connection.interrupt();
        }
    }

    /// Whether the work was told to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Lets `cancel` reach a connection.
    pub(crate) fn watch(&self, connection: &Connection) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(connection.get_interrupt_handle());
        if self.is_cancelled() {
            connection.get_interrupt_handle().interrupt();
        }
    }
}
