//! The direction that this side tells: packages are read ahead of what is acknowledged, as far as the window allows.

use crate::exchange::{Output, Pulled};
use rejoin_change::Cursor;
use rejoin_wire::Receipt;
use rejoin_wire::message::{Message, PackageMessage, ReceiptMessage};
use std::collections::VecDeque;

/// What has been sent and what has been heard about it. `acknowledged <= answered <= sent <= head`: only a receipt that
/// the database has confirmed moves `acknowledged`, and a receipt that shows the receiver elsewhere moves the reading
/// back to where it stands.
#[derive(Debug)]
pub(crate) struct Outbound {
    window_bytes: usize,
    /// False until the receiver has said where it stands, and again while the reading moves to where it stands.
    started: bool,
    /// Where to read on; `None`: behind what is acknowledged.
    read: Option<Cursor>,
    last_number: u64,
    unanswered: VecDeque<Unanswered>,
    unanswered_bytes: usize,
    ticket: u64,
    pulling: bool,
    /// There may be something to read.
    more: bool,
    acknowledging: bool,
    /// The newest receipt that the database has not been given yet.
    receipt: Option<Receipt>,
    changes_answered: u64,
    changes_acknowledged: u64,
    acknowledged: Option<Cursor>,
    head: i64,
    level: Level,
    rewinds: u32,
}

#[derive(Debug)]
struct Unanswered {
    number: u64,
    end: Cursor,
    bytes: usize,
    changes: u64,
    /// Sent before the reading moved: its receipt says nothing new.
    stale: bool,
}

/// How far the backlog of the session's start has come.
#[derive(PartialEq, Eq, Debug)]
enum Level {
    Unknown,
    /// Everything up to the end of this db_version has to be acknowledged.
    Below(i64),
    Reached,
}

impl Outbound {
    pub(crate) fn new() -> Outbound {
        Outbound {
            window_bytes: 0,
            started: false,
            read: None,
            last_number: 0,
            unanswered: VecDeque::new(),
            unanswered_bytes: 0,
            ticket: 0,
            pulling: false,
            more: true,
            acknowledging: false,
            receipt: None,
            changes_answered: 0,
            changes_acknowledged: 0,
            acknowledged: None,
            head: 0,
            level: Level::Unknown,
            rewinds: 0,
        }
    }

    /// Changes that the receiver holds since the session began.
    pub(crate) fn changes(&self) -> u64 {
        self.changes_acknowledged
    }

    /// db_versions that the receiver lacks, as of the last package read.
    pub(crate) fn behind(&self) -> u64 {
        let position = self.acknowledged.as_ref().map_or(0, |cursor| cursor.db_version.max(0));
        self.head.saturating_sub(position).max(0) as u64
    }

    /// The receiver has said where it stands, before anything was sent.
    pub(crate) fn ready(&mut self, receipt: Receipt, window_bytes: u32) {
        self.window_bytes = window_bytes as usize;
        self.receipt = Some(receipt);
    }

    /// The database may hold more than has been read.
    pub(crate) fn wake(&mut self) {
        self.more = true;
    }

    /// The next question for the database, if there is one to ask now.
    pub(crate) fn next(&mut self) -> Option<Output> {
        if !self.acknowledging
            && let Some(receipt) = self.receipt.take()
        {
            self.acknowledging = true;
            return Some(Output::Acknowledge(Box::new(receipt)));
        }
        let room = self.unanswered.is_empty() || self.unanswered_bytes < self.window_bytes;
        if self.started && self.more && !self.pulling && room {
            self.pulling = true;
            self.more = false;
            self.ticket += 1;
            return Some(Output::Pull { ticket: self.ticket, after: self.read.clone() });
        }
        None
    }

    /// The database has read on. Returns what to send.
    pub(crate) fn pulled(&mut self, ticket: u64, pulled: Option<Pulled>) -> Option<Output> {
        if !self.pulling || ticket != self.ticket {
            return None;
        }
        self.pulling = false;
        if !self.started {
            self.more = true;
            return None;
        }
        let pulled = pulled?;
        self.more = true;
        self.read = Some(pulled.end.clone());
        self.head = pulled.head;
        if self.level == Level::Unknown {
            self.level = Level::Below(pulled.head);
        }
        self.last_number += 1;
        self.unanswered_bytes += pulled.package.len();
        self.unanswered.push_back(Unanswered {
            number: self.last_number,
            end: pulled.end,
            bytes: pulled.package.len(),
            changes: pulled.changes,
            stale: false,
        });
        Some(Output::Send(Message::Package(PackageMessage { number: self.last_number, package: pulled.package })))
    }

    /// The receiver has answered. The error is a sentence about the other side.
    pub(crate) fn answered(&mut self, message: ReceiptMessage) -> Result<(), String> {
        let Some(first) = self.unanswered.pop_front_if(|first| first.number == message.answers) else {
            return Err(format!("a receipt answers package {}, which is not the next one open", message.answers));
        };
        self.unanswered_bytes -= first.bytes;
        if first.stale {
            return Ok(());
        }
        let stands_at = message.receipt.position.as_ref().map(|position| &position.cursor);
        if stands_at == Some(&first.end) {
            self.rewinds = 0;
            self.changes_answered += first.changes;
        } else if !self.is_between(&first.end, stands_at) {
            self.rewind()?;
        }
        self.receipt = Some(message.receipt);
        Ok(())
    }

    /// The database has remembered the newest receipt that it was given. The error is a sentence about the other side.
    pub(crate) fn acknowledged(&mut self, position: Cursor, took: bool) -> Result<(), String> {
        if !self.acknowledging {
            return Ok(());
        }
        self.acknowledging = false;
        self.acknowledged = Some(position);
        if !took {
            self.rewind()?;
        }
        if self.receipt.is_none() {
            self.changes_acknowledged = self.changes_answered;
            self.started = true;
        }
        Ok(())
    }

    /// True once: when everything that there was to tell at the session's start, or at [`Outbound::aim_again`], is
    /// acknowledged.
    pub(crate) fn became_level(&mut self) -> bool {
        let quiet = self.receipt.is_none() && !self.acknowledging;
        let drained =
            self.started && quiet && !self.more && !self.pulling && self.unanswered.iter().all(|one| one.stale);
        let reached = match self.level {
            Level::Reached => false,
            Level::Unknown => drained,
            Level::Below(head) => {
                let end = Cursor::end_of_version(head);
                drained || self.acknowledged.as_ref().is_some_and(|position| *position >= end)
            }
        };
        if reached {
            self.level = Level::Reached;
        }
        reached
    }

    /// Looks once more, and becomes level again with what there is to tell now.
    pub(crate) fn aim_again(&mut self) {
        self.level = Level::Unknown;
        self.more = true;
    }

    /// True where the receiver stands behind the end of a package and not behind all that is on its way: packages of
    /// before the last move have brought it there meanwhile, and what is on its way goes on from there. To move for that
    /// would send everything on its way once more, each time.
    fn is_between(&self, end: &Cursor, stands_at: Option<&Cursor>) -> bool {
        let last = self.unanswered.back().map(|last| &last.end);
        stands_at.is_some_and(|at| end < at && last.is_some_and(|last| at <= last))
    }

    fn rewind(&mut self) -> Result<(), String> {
        self.rewinds += 1;
        if self.rewinds > REWINDS_MAX {
            return Err(format!("{REWINDS_MAX} packages in a row did not bring the receiver to where they end"));
        }
        self.started = false;
        self.more = true;
        self.read = None;
        self.unanswered.iter_mut().for_each(|one| one.stale = true);
        Ok(())
    }
}

/// Moves of the reading without a package in between that was taken. One is normal after a gap; many mean that the two
/// sides cannot agree.
const REWINDS_MAX: u32 = 8;
