use super::exchange::Output;
use rejoin_change::SiteId;
use rejoin_wire::vlcn::{Changes, Point};
use std::collections::VecDeque;

/// What the other side tells. Frames are applied in their order, each judged when its turn comes. Small ones that have
/// come meanwhile are applied together: what is written to disk for one is written for many.
#[derive(Debug)]
pub(super) struct Inbound {
    held: Point,
    waiting: VecDeque<Frame>,
    waiting_bytes: usize,
    /// Changes that are being applied.
    applying: Option<u64>,
    /// The frames that they came in, where they are several.
    group: Vec<Frame>,
    /// So many frames are to be applied each by itself, because together they were refused.
    alone: usize,
    asks: Asks,
    /// Asking did not lead beyond this: what follows is taken as it is.
    in_vain_at: Option<Point>,
    changes: u64,
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) sender: SiteId,
    pub(super) since: Point,
    pub(super) changes: Changes,
}

/// Whether the other side is asked for all that it has, when it has left something out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asks {
    Never,
    WhenNeeded,
    /// It has been asked, and its answer starts at the beginning.
    Asked,
    /// Its answer is being applied.
    Answered,
}

/// What becomes of the next frame.
#[derive(Debug)]
pub(super) enum Step {
    Do(Output),
    /// It starts behind what is held of its sender.
    Gap,
}

impl Inbound {
    pub(super) fn new(asks: Asks) -> Inbound {
        Inbound {
            held: Point::START,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            applying: None,
            group: Vec::new(),
            alone: 0,
            asks,
            in_vain_at: None,
            changes: 0,
        }
    }

    /// Sets what is held of the other side, once it is known who that is.
    pub(super) fn start(&mut self, held: Point) {
        self.held = held;
    }

    pub(super) fn arrived(&mut self, frame: Frame) {
        // They carry nothing and move nothing.
        if !frame.changes.is_empty() {
            self.waiting_bytes += frame.changes.size_bytes();
            self.waiting.push_back(frame);
        }
    }

    pub(super) fn next(&mut self) -> Option<Step> {
        if self.applying.is_some() {
            return None;
        }
        let frame = self.waiting.pop_front()?;
        self.waiting_bytes -= frame.changes.size_bytes();
        if frame.since > self.held {
            return Some(Step::Gap);
        }
        if self.asks == Asks::Asked && frame.since == Point::START {
            self.asks = Asks::Answered;
        }
        let as_they_are = matches!(self.asks, Asks::Never | Asks::Answered) || self.in_vain_at == Some(self.held);
        let sender = frame.sender;
        let changes = if self.alone > 0 || self.asks != Asks::WhenNeeded && self.asks != Asks::Never {
            self.alone = self.alone.saturating_sub(1);
            frame.changes
        } else {
            self.gather(frame)
        };
        self.applying = Some(changes.len() as u64);
        Some(Step::Do(Output::Apply { sender, changes, as_they_are }))
    }

    /// The changes of a frame and of those behind it that follow without a gap, as long as they are small.
    fn gather(&mut self, first: Frame) -> Changes {
        let mut last = first.changes.last_version();
        let (mut bytes, mut count) = (first.changes.size_bytes(), first.changes.len());
        self.group.push(first);
        while let Some(frame) = self.waiting.front() {
            let held = Point::after(last.unwrap_or(0)).max(self.held);
            bytes += frame.changes.size_bytes();
            count += frame.changes.len();
            let follows = frame.since <= held && frame.changes.first_version() >= last;
            if !follows || bytes > GROUP_BYTES_MAX || count > GROUP_CHANGES_MAX {
                break;
            }
            last = frame.changes.last_version();
            self.waiting_bytes -= frame.changes.size_bytes();
            self.group.extend(self.waiting.pop_front());
        }
        if self.group.len() == 1 {
            return self.group.pop().map(|frame| frame.changes).unwrap_or_default();
        }
        let mut changes = Changes::new();
        self.group.iter().for_each(|frame| changes.append(&frame.changes));
        changes
    }

    /// What was applied together was not taken: each frame is tried by itself. False where it was one.
    pub(super) fn fall_back(&mut self) -> bool {
        if self.group.is_empty() {
            return false;
        }
        self.applying = None;
        self.alone = self.group.len();
        for frame in self.group.drain(..).rev() {
            self.waiting_bytes += frame.changes.size_bytes();
            self.waiting.push_front(frame);
        }
        true
    }

    /// True where this was all that the other side has, as it was asked for.
    pub(super) fn applied(&mut self, held: Point) -> bool {
        self.group.clear();
        let was_asked_for = self.asks == Asks::Answered;
        if was_asked_for {
            self.asks = Asks::WhenNeeded;
            self.in_vain_at = (held <= self.held).then_some(self.held);
        }
        self.held = self.held.max(held);
        self.changes += self.applying.take().unwrap_or(0);
        was_asked_for
    }

    /// The frame was not taken, because something is left out in it.
    pub(super) fn incomplete(&mut self) {
        self.applying = None;
        self.asks = Asks::Asked;
    }

    pub(super) fn has_asked(&self) -> bool {
        self.asks == Asks::Asked
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.group.clear();
        self.alone = 0;
        self.waiting_bytes = 0;
        self.applying = None;
    }

    pub(super) fn held(&self) -> Point {
        self.held
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.applying.is_none()
    }

    /// False while so much waits that the link is better not read.
    pub(super) fn has_room(&self) -> bool {
        self.waiting_bytes < WAITING_BYTES_MAX && self.waiting.len() < WAITING_FRAMES_MAX
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }
}

/// Frames that are applied together.
const GROUP_BYTES_MAX: usize = 1 << 20;
const GROUP_CHANGES_MAX: usize = 4096;

/// Frames that wait to be applied; one frame more may go beyond it.
const WAITING_BYTES_MAX: usize = 4 << 20;
const WAITING_FRAMES_MAX: usize = 256;
