//! The direction that this side hears: packages wait their turn, and each is answered by a receipt once it is durable.

use crate::exchange::{Applied, Output};
use rejoin_wire::Receipt;
use rejoin_wire::message::{Message, PackageMessage, ReceiptMessage};
use std::collections::VecDeque;

/// What waits to be applied. `bytes` counts every package that has not been answered; it stays below the window plus
/// one package, or the other side has broken its word.
#[derive(Debug)]
pub(crate) struct Inbound {
    window_bytes: usize,
    last_number: u64,
    queue: VecDeque<PackageMessage>,
    applying: Option<Applying>,
    bytes: usize,
    changes: u64,
    behind: u64,
}

#[derive(Debug)]
struct Applying {
    number: u64,
    bytes: usize,
}

impl Inbound {
    pub(crate) fn new(window_bytes: u32) -> Inbound {
        Inbound {
            window_bytes: window_bytes as usize,
            last_number: 0,
            queue: VecDeque::new(),
            applying: None,
            bytes: 0,
            changes: 0,
            behind: 0,
        }
    }

    /// Changes applied since the session began.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// db_versions that the sender had and this side did not, when the last package was read.
    pub(crate) fn behind(&self) -> u64 {
        self.behind
    }

    /// Takes a package in. The error is a sentence about the other side.
    pub(crate) fn arrived(&mut self, message: PackageMessage) -> Result<(), String> {
        if message.number != self.last_number + 1 {
            return Err(format!("package {} came after package {}", message.number, self.last_number));
        }
        let anything_open = self.applying.is_some() || !self.queue.is_empty();
        if anything_open && self.bytes >= self.window_bytes {
            return Err(format!("package {} exceeds the window of {} bytes", message.number, self.window_bytes));
        }
        self.last_number = message.number;
        self.bytes += message.package.len();
        self.queue.push_back(message);
        Ok(())
    }

    /// The next package to apply, when none is being applied.
    pub(crate) fn next(&mut self) -> Option<Output> {
        if self.applying.is_some() {
            return None;
        }
        let message = self.queue.pop_front()?;
        self.applying = Some(Applying { number: message.number, bytes: message.package.len() });
        Some(Output::Apply { package: message.package })
    }

    /// The database has taken the package in, or has said where it stands instead. Returns the answer to it.
    pub(crate) fn applied(&mut self, applied: Applied) -> Option<Output> {
        let Applying { number, bytes } = self.applying.take()?;
        self.bytes -= bytes;
        self.changes += applied.changes;
        self.behind = behind(&applied.receipt);
        Some(Output::Send(Message::Receipt(ReceiptMessage { answers: number, receipt: applied.receipt })))
    }

    /// Drops what waits; used when the session ends.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }
}

fn behind(receipt: &Receipt) -> u64 {
    let (Some(as_of), Some(position)) = (&receipt.as_of, &receipt.position) else { return 0 };
    let open_version = if position.cursor.seq == rejoin_change::SEQ_END { 0 } else { 1 };
    as_of.head.saturating_sub(position.cursor.db_version).saturating_add(open_version).max(0) as u64
}
