//! Tells a side that is gone from one that is slow.

use std::time::Duration;

/// How long a session waits for the other side. Each is checked when the session is told that time has passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// From the link's start until both sides stream.
    pub handshake_max: Duration,
    /// Silence after which a ping is sent.
    pub ping_after: Duration,
    /// Silence after which the other side counts as gone. One package over a slow link has to fit in.
    pub silence_max: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            handshake_max: Duration::from_secs(60),
            ping_after: Duration::from_secs(15),
            silence_max: Duration::from_secs(60),
        }
    }
}

/// What a session has heard, and when. Times count from an origin of the caller's choice.
#[derive(Debug)]
pub(crate) struct Liveness {
    patience: Patience,
    started: Duration,
    heard: Duration,
    pings: u64,
    ping_open: bool,
    streaming: bool,
}

/// What the time that has passed means.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Wait,
    Ping(u64),
    Gone,
}

impl Liveness {
    pub(crate) fn new(patience: Patience) -> Liveness {
        let zero = Duration::ZERO;
        Liveness { patience, started: zero, heard: zero, pings: 0, ping_open: false, streaming: false }
    }

    pub(crate) fn start(&mut self, now: Duration) {
        self.started = now;
        self.heard = now;
    }

    pub(crate) fn heard(&mut self, now: Duration) {
        self.heard = now;
        self.ping_open = false;
    }

    pub(crate) fn streaming(&mut self) {
        self.streaming = true;
    }

    /// True for a pong that nobody asked for.
    pub(crate) fn is_unasked(&self, pong: u64) -> bool {
        pong == 0 || pong > self.pings
    }

    pub(crate) fn deadline(&self) -> Duration {
        let silence = self.heard + if self.ping_open { self.patience.silence_max } else { self.patience.ping_after };
        if self.streaming { silence } else { silence.min(self.started + self.patience.handshake_max) }
    }

    pub(crate) fn tick(&mut self, now: Duration) -> Verdict {
        if now >= self.heard + self.patience.silence_max
            || (!self.streaming && now >= self.started + self.patience.handshake_max)
        {
            Verdict::Gone
        } else if now >= self.heard + self.patience.ping_after && !self.ping_open {
            self.ping_open = true;
            self.pings += 1;
            Verdict::Ping(self.pings)
        } else {
            Verdict::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn streaming() -> Liveness {
        let mut liveness = Liveness::new(Patience::default());
        liveness.start(SECOND);
        liveness.streaming();
        liveness
    }

    #[test]
    fn silence_is_answered_by_one_ping_and_then_by_the_end() {
        let mut liveness = streaming();
        assert_eq!(liveness.tick(15 * SECOND), Verdict::Wait);
        assert_eq!(liveness.deadline(), 16 * SECOND);
        assert_eq!(liveness.tick(16 * SECOND), Verdict::Ping(1));
        assert_eq!(liveness.tick(17 * SECOND), Verdict::Wait);
        assert_eq!(liveness.deadline(), 61 * SECOND);
        assert_eq!(liveness.tick(61 * SECOND), Verdict::Gone);
    }

    #[test]
    fn hearing_anything_starts_the_wait_anew() {
        let mut liveness = streaming();
        assert_eq!(liveness.tick(16 * SECOND), Verdict::Ping(1));
        liveness.heard(20 * SECOND);
        assert_eq!(liveness.tick(34 * SECOND), Verdict::Wait);
        assert_eq!(liveness.tick(35 * SECOND), Verdict::Ping(2));
    }

    #[test]
    fn a_handshake_that_does_not_end_is_cut_off_however_chatty() {
        let mut liveness = Liveness::new(Patience::default());
        liveness.start(SECOND);
        liveness.heard(60 * SECOND);
        assert_eq!(liveness.deadline(), 61 * SECOND);
        assert_eq!(liveness.tick(61 * SECOND), Verdict::Gone);
    }
}
