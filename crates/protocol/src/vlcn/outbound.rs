use super::exchange::{Output, Pulled};
use rejoin_change::SiteId;
use rejoin_wire::vlcn::{Message, Point};

/// What this side tells. One frame is under way at any time: the next is read when the link has taken the last.
///
/// `told <= scanned`: between them lie only changes that the other side is not told.
#[derive(Debug)]
pub(super) struct Outbound {
    own_id: SiteId,
    /// Authors whose changes are not told.
    exclude: Vec<SiteId>,
    /// The other side has been told everything up to this db_version, and nothing later.
    told: i64,
    scanned: i64,
    head: i64,
    is_streaming: bool,
    /// There may be more behind `scanned`.
    has_more: bool,
    ticket: u64,
    is_pulling: bool,
    is_sending: bool,
    changes: u64,
}

impl Outbound {
    pub(super) fn new(own_id: SiteId) -> Outbound {
        Outbound {
            own_id,
            exclude: Vec::new(),
            told: 0,
            scanned: 0,
            head: 0,
            is_streaming: false,
            has_more: false,
            ticket: 0,
            is_pulling: false,
            is_sending: false,
            changes: 0,
        }
    }

    /// Begins, or begins anew, behind a db_version. What is being read for an earlier start is dropped.
    pub(super) fn start(&mut self, after: i64, exclude: Vec<SiteId>) {
        self.exclude = exclude;
        self.told = after;
        self.scanned = after;
        self.is_streaming = true;
        self.has_more = true;
        self.ticket += 1;
        self.is_pulling = false;
    }

    /// Goes back to what the other side says that it holds.
    pub(super) fn rewind(&mut self, after: i64) {
        let exclude = std::mem::take(&mut self.exclude);
        self.start(after, exclude);
    }

    pub(super) fn stop(&mut self) {
        self.is_streaming = false;
        self.has_more = false;
    }

    pub(super) fn wake(&mut self) {
        self.has_more = true;
    }

    pub(super) fn next(&mut self) -> Option<Output> {
        if !self.is_streaming || !self.has_more || self.is_pulling || self.is_sending {
            return None;
        }
        self.is_pulling = true;
        self.has_more = false;
        Some(Output::Pull { ticket: self.ticket, after: self.scanned, exclude: self.exclude.clone() })
    }

    /// False for what was read for an earlier start.
    pub(super) fn awaits(&self, ticket: u64) -> bool {
        ticket == self.ticket && self.is_pulling
    }

    pub(super) fn pulled(&mut self, pulled: Pulled) -> Option<Output> {
        self.is_pulling = false;
        self.head = pulled.head;
        self.scanned = self.scanned.max(pulled.scanned);
        self.has_more |= self.scanned < pulled.head;
        let last = pulled.changes.last_version()?;
        let since = Point::after(self.told);
        self.told = last;
        self.is_sending = true;
        self.changes += pulled.changes.len() as u64;
        Some(Output::Send(Message::Changes { sender: self.own_id, since, changes: pulled.changes }))
    }

    pub(super) fn sent(&mut self) {
        self.is_sending = false;
    }

    /// True when everything has been told that there was at the last look.
    pub(super) fn is_idle(&self) -> bool {
        self.is_streaming && !self.has_more && !self.is_pulling && !self.is_sending
    }

    pub(super) fn own_id(&self) -> SiteId {
        self.own_id
    }

    pub(super) fn told(&self) -> i64 {
        self.told
    }

    pub(super) fn head(&self) -> i64 {
        self.head
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn behind(&self) -> u64 {
        u64::try_from(self.head - self.scanned).unwrap_or(0)
    }
}
