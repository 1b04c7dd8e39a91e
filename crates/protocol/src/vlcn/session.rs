//! The session: who says what when.

use super::Ended;
use super::exchange::{Admitted, Announcement, Input, Output, Role};
use super::inbound::{Asks, Frame, Inbound, Step};
use super::outbound::Outbound;
use crate::exchange::{Event, Progress};
use crate::liveness::{Liveness, Patience, Verdict};
use rejoin_change::SiteId;
use rejoin_wire::message::{Goodbye, Refusal, RefusalCode};
use rejoin_wire::vlcn::{Message, Point};
use std::collections::VecDeque;
use std::time::Duration;

/// One session in the vlcn protocol.
///
/// Neither side ever answers that it has applied something: what has been told counts as received until the next
/// session's announcement or [`Message::StartStreaming`] says otherwise. What has been applied is confirmed there only.
#[derive(Debug)]
pub struct Session {
    role: Role,
    state: State,
    outputs: VecDeque<Output>,
    liveness: Liveness,
    outbound: Outbound,
    inbound: Inbound,
    peer: Option<SiteId>,
    /// A gap has been answered, and when; it is not answered again at once, for frames that were under way meanwhile.
    gap_answered: Option<Duration>,
    /// The other side has said that it lacks something: go back there, and when that was last done.
    rewind_to: Option<i64>,
    rewound: Option<Duration>,
    /// Changes of the other side could not be applied. What this side has to tell goes over first.
    refusing: Option<Refusal>,
    /// What follows cannot be told. What the other side has to tell comes over first.
    unable: Option<Refusal>,
    /// When something was last told or heard.
    moved: Duration,
    quiet: Quiet,
    caught_up: bool,
    progress: Progress,
    now: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The link is not up yet.
    Idle,
    /// A server waits for the announcement.
    AwaitAnnouncement,
    /// A server has asked whether the client may come in.
    Admitting,
    /// A client waits for the server to say where to start. Changes may come already.
    AwaitStart,
    Streaming,
    Ended,
}

/// How far a side has got in finding out that the other has nothing more to tell at present. A server that gathers what it
/// has to tell may do nothing else meanwhile, and answers a ping when it is through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Quiet {
    /// Until nothing has moved for a while.
    Waiting,
    /// Until the other side answers a ping.
    Asked,
    /// Until nothing has moved for a while after the answer.
    Answered,
}

impl Session {
    /// A session whose link is not up yet.
    pub fn new(role: Role, patience: Patience) -> Session {
        let (own_id, asks) = match &role {
            Role::Client { announcement, .. } => (announcement.site_id, Asks::Never),
            Role::Server => (SiteId([0; 16]), Asks::WhenNeeded),
        };
        Session {
            role,
            state: State::Idle,
            outputs: VecDeque::new(),
            liveness: Liveness::new(patience),
            outbound: Outbound::new(own_id),
            inbound: Inbound::new(asks),
            peer: None,
            gap_answered: None,
            rewind_to: None,
            rewound: None,
            refusing: None,
            unable: None,
            moved: Duration::ZERO,
            quiet: Quiet::Waiting,
            caught_up: false,
            progress: Progress::default(),
            now: Duration::ZERO,
        }
    }

    /// Tells the session what happened, and when: `now` counts from an origin of the caller's choice and never goes back.
    pub fn handle(&mut self, input: Input, now: Duration) {
        if self.state == State::Ended {
            return;
        }
        self.now = now;
        match input {
            Input::Started => self.start(),
            Input::Message(message) => {
                self.liveness.heard(now);
                self.hear(message);
            }
            Input::Malformed(reason) => self.refuse_protocol(reason),
            Input::Heard => self.liveness.heard(now),
            Input::Pong => {
                self.liveness.heard(now);
                if self.quiet == Quiet::Asked {
                    self.moved = now;
                    self.quiet = Quiet::Answered;
                }
            }
            Input::Admitted(admitted) => self.admitted(admitted),
            Input::Pulled { ticket, .. } if !self.outbound.awaits(ticket) => {}
            Input::Pulled { pulled, .. } => {
                let output = self.outbound.pulled(pulled);
                if output.is_some() {
                    self.has_moved();
                }
                self.outputs.extend(output);
                self.check_start();
            }
            Input::Applied { held } => {
                let was_asked_for = self.inbound.applied(held);
                self.has_moved();
                self.gap_answered = None;
                if was_asked_for {
                    self.send_start();
                }
            }
            Input::Incomplete if self.inbound.fall_back() => {}
            Input::Incomplete => {
                self.inbound.incomplete();
                self.gap_answered = Some(now);
                self.send_start();
            }
            Input::Sent => {
                self.outbound.sent();
                self.has_moved();
            }
            Input::Failed(refusal) => self.failed(refusal),
            Input::PullFailed(refusal) => self.pull_failed(refusal),
            Input::LocalChange => self.outbound.wake(),
            Input::Stop(goodbye) => self.end(Ended::Here(goodbye)),
            Input::Closed { code, reason } => self.end(Ended::ByPeer { code, reason }),
            Input::LinkLost => self.end(Ended::LinkLost),
            Input::Tick => self.tick(),
        }
        self.go_on();
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to tell the session that time has passed, by the clock of [`Session::handle`]. `None` before the link is up
    /// and after the end.
    pub fn deadline(&self) -> Option<Duration> {
        if matches!(self.state, State::Idle | State::Ended) {
            return None;
        }
        let rewind = self.rewind_to.and(self.rewound).map(|rewound| rewound + REWIND_INTERVAL);
        let quiet = (self.awaits_quiet() && self.quiet != Quiet::Asked).then(|| self.moved + QUIET_MIN);
        [rewind, quiet].into_iter().flatten().chain([self.liveness.deadline()]).min()
    }

    /// False while more has arrived than has been applied: the link is not to be read for now.
    pub fn wants_messages(&self) -> bool {
        self.inbound.has_room()
    }

    fn start(&mut self) {
        if self.state != State::Idle {
            return;
        }
        self.liveness.start(self.now);
        self.has_moved();
        self.state = match &self.role {
            Role::Server => State::AwaitAnnouncement,
            Role::Client { announcement, .. } => {
                let Announcement { site_id, last_seens, schema_name, schema_version } = announcement.clone();
                self.outputs.push_back(Output::Send(Message::AnnouncePresence {
                    sender: site_id,
                    last_seens,
                    schema_name,
                    schema_version,
                }));
                State::AwaitStart
            }
        };
    }

    fn hear(&mut self, message: Message) {
        let is_client = self.is_client();
        match message {
            // They belong to the servers of a cluster, and both ends of this protocol pass over them.
            Message::Ping | Message::Pong => {}
            Message::AnnouncePresence { sender, last_seens, schema_name, schema_version } => {
                self.hear_announcement(Announcement { site_id: sender, last_seens, schema_name, schema_version });
            }
            _ if self.state == State::AwaitAnnouncement => {
                self.refuse_protocol("a message came before the announcement".to_owned());
            }
            Message::Changes { sender, since, changes } => self.hear_changes(Frame { sender, since, changes }),
            Message::StartStreaming { since, exclude_sites, .. } if is_client => self.hear_start(since, exclude_sites),
            // The original server rejects what it then applies; where it stands it says in the next session.
            Message::RejectChanges { .. } if is_client => {}
            Message::RejectChanges { whose, since } => self.hear_rejection(whose, since),
            Message::StartStreaming { .. } => {
                self.refuse_protocol("a client told the server to start streaming".to_owned());
            }
            Message::CreateDbOnPrimary { .. }
            | Message::ApplyChangesOnPrimary { .. }
            | Message::CreateDbOnPrimaryResponse { .. }
            | Message::Err { .. }
            | Message::ApplyChangesOnPrimaryResponse { .. } => {
                self.refuse_protocol("a message came that only the servers of a cluster send each other".to_owned());
            }
        }
    }

    fn hear_announcement(&mut self, announcement: Announcement) {
        if self.state != State::AwaitAnnouncement {
            return self.refuse_protocol("an announcement came out of turn".to_owned());
        }
        self.peer = Some(announcement.site_id);
        self.state = State::Admitting;
        self.outputs.push_back(Output::Admit(Box::new(announcement)));
    }

    fn admitted(&mut self, admitted: Admitted) {
        let (State::Admitting, Some(peer)) = (self.state, self.peer) else { return };
        if admitted.site_id == peer {
            return self.refuse(Refusal {
                code: RefusalCode::Identity,
                reason: "the client has the same site id as the room's database: one is a copy of the other".to_owned(),
                advice: "give the copy a new id, with SELECT crsql_reidentify() on it".to_owned(),
            });
        }
        self.inbound.start(admitted.held);
        self.outbound = Outbound::new(admitted.site_id);
        self.outbound.start(admitted.start, vec![peer]);
        self.send_start();
        self.streaming(peer);
    }

    /// Tells the client where to start. From the beginning and without leaving out any author it tells all that it has.
    fn send_start(&mut self) {
        let (since, exclude_sites) = match self.inbound.has_asked() {
            // The JavaScript client binds only the first, and with none it keeps the one that it was told before.
            true => (Point::START, vec![NOBODY]),
            false => (self.inbound.held(), vec![self.outbound.own_id()]),
        };
        self.outputs.push_back(Output::Send(Message::StartStreaming { since, exclude_sites, local_only: false }));
    }

    fn streaming(&mut self, peer: SiteId) {
        self.state = State::Streaming;
        self.liveness.streaming();
        self.has_moved();
        self.outputs.push_back(Output::Event(Event::Joined { remote: peer, tables_taken: Vec::new() }));
    }

    fn hear_changes(&mut self, frame: Frame) {
        match self.peer {
            Some(peer) if peer == frame.sender => {}
            None => self.meet(frame.sender),
            Some(peer) => {
                let sender = frame.sender;
                return self.refuse_protocol(format!("changes of {sender} came from {peer}"));
            }
        }
        self.has_moved();
        if self.refusing.is_none() && self.state != State::Ended {
            self.inbound.arrived(frame);
        }
    }

    /// A client learns who the server is from its first message that says so.
    fn meet(&mut self, server: SiteId) {
        let Role::Client { announcement, .. } = &self.role else { return };
        if server == announcement.site_id {
            return self.refuse(Refusal {
                code: RefusalCode::Identity,
                reason: "the server's database has the same site id as this one: one is a copy of the other".to_owned(),
                advice: "give the copy a new id, with SELECT crsql_reidentify() on it".to_owned(),
            });
        }
        let seen = announcement.last_seens.iter().filter(|(site_id, _)| *site_id == server).map(|(_, point)| *point);
        self.inbound.start(seen.max().unwrap_or(Point::START));
        self.peer = Some(server);
    }

    fn hear_start(&mut self, since: Point, exclude_sites: Vec<SiteId>) {
        let is_first = self.state == State::AwaitStart;
        if self.peer.is_none()
            && let Some(server) = exclude_sites.first()
        {
            self.meet(*server);
            if self.state == State::Ended {
                return;
            }
        }
        // A place inside a transaction: all of it is told once more.
        let after = if since.seq > 0 { since.db_version - 1 } else { since.db_version };
        self.outbound.start(after.max(0), exclude_sites);
        if is_first {
            self.streaming(self.peer.unwrap_or(SiteId([0; 16])));
        }
        self.has_moved();
    }

    /// The server holds more of this database than the database has.
    fn check_start(&mut self) {
        if self.is_client() && self.state == State::Streaming && self.outbound.told() > self.outbound.head() {
            let (told, head) = (self.outbound.told(), self.outbound.head());
            self.refuse(Refusal {
                code: RefusalCode::Identity,
                reason: format!("the server holds this database up to version {told}, and it has only {head}"),
                advice: "it was restored from a backup, or is a copy: run SELECT crsql_reidentify() on it".to_owned(),
            });
        }
    }

    fn hear_rejection(&mut self, whose: SiteId, since: Point) {
        let after = if since.seq > 0 { since.db_version - 1 } else { since.db_version }.max(0);
        if self.state == State::Streaming && whose == self.outbound.own_id() && after < self.outbound.told() {
            self.rewind_to = Some(self.rewind_to.map_or(after, |earlier| earlier.min(after)));
        }
    }

    fn failed(&mut self, refusal: Refusal) {
        if refusal.code == RefusalCode::Package && self.inbound.fall_back() {
            return;
        }
        if refusal.code == RefusalCode::Package && self.state == State::Streaming && self.refusing.is_none() {
            // Dialling again would meet the same changes first: the other direction would never get through.
            self.inbound.clear();
            self.refusing = Some(refusal);
        } else {
            self.refuse(refusal);
        }
    }

    fn pull_failed(&mut self, refusal: Refusal) {
        if self.state == State::Streaming && self.refusing.is_none() {
            self.outbound.stop();
            self.has_moved();
            self.unable = Some(refusal);
        } else {
            self.refuse(refusal);
        }
    }

    fn tick(&mut self) {
        match self.liveness.tick(self.now) {
            Verdict::Wait => {}
            Verdict::Ping(_) => self.outputs.push_back(Output::Ping),
            Verdict::Gone => self.end(match self.state {
                State::AwaitStart => Ended::Unanswered,
                State::AwaitAnnouncement | State::Admitting => Ended::Unannounced,
                _ => Ended::Silent,
            }),
        }
    }

    /// Asks the database what can be asked now, and tells what has been reached.
    fn go_on(&mut self) {
        let may_apply = match self.state {
            State::Streaming => true,
            State::AwaitStart => self.peer.is_some(),
            _ => false,
        };
        while may_apply && self.state != State::Ended {
            match self.inbound.next() {
                None => break,
                Some(Step::Do(output)) => self.outputs.push_back(output),
                Some(Step::Gap) => self.answer_gap(),
            }
        }
        if self.state != State::Streaming {
            return;
        }
        if self.rewound.is_none_or(|rewound| self.now >= rewound + REWIND_INTERVAL)
            && let Some(after) = self.rewind_to.take()
        {
            self.rewound = Some(self.now);
            self.outbound.rewind(after);
        }
        self.outputs.extend(self.outbound.next());
        if self.outbound.is_idle()
            && self.rewind_to.is_none()
            && let Some(refusal) = self.refusing.take()
        {
            return self.refuse(refusal);
        }
        self.tell_progress();
        if !self.awaits_quiet() || self.now < self.moved + QUIET_MIN {
            return;
        }
        match self.quiet {
            Quiet::Waiting => {
                self.quiet = Quiet::Asked;
                self.outputs.push_back(Output::Ping);
            }
            Quiet::Asked => {}
            Quiet::Answered => match self.unable.take() {
                Some(refusal) => self.refuse(refusal),
                None => self.catch_up(),
            },
        }
    }

    /// Something was told or heard.
    fn has_moved(&mut self) {
        self.moved = self.now;
        self.quiet = Quiet::Waiting;
    }

    /// True while this side has nothing to do but to find out whether the other has.
    fn awaits_quiet(&self) -> bool {
        let wants = self.unable.is_some() || self.is_client() && !self.caught_up;
        let has_told = self.outbound.is_idle() || self.unable.is_some();
        wants && self.state == State::Streaming && has_told && self.inbound.is_idle()
    }

    /// Nothing has come for a while and everything has been told.
    fn catch_up(&mut self) {
        self.caught_up = true;
        self.outputs.push_back(Output::Event(Event::CaughtUp));
        if matches!(self.role, Role::Client { once: true, .. }) {
            // That the server holds what it was told, only its next StartStreaming says.
            let goodbye = if self.outbound.changes() == 0 { Goodbye::Done } else { Goodbye::Restart };
            self.end(Ended::Here(goodbye));
        }
    }

    fn answer_gap(&mut self) {
        if self.is_client() {
            // The original server does not hear a rejection. A new session starts from what is really held.
            return self.end(Ended::Here(Goodbye::Restart));
        }
        if self.gap_answered.is_none_or(|answered| self.now >= answered + REWIND_INTERVAL) {
            self.gap_answered = Some(self.now);
            self.send_start();
        }
    }

    fn tell_progress(&mut self) {
        let progress = Progress {
            changes_sent: self.outbound.changes(),
            changes_received: self.inbound.changes(),
            behind_outbound: self.outbound.behind(),
            behind_inbound: 0,
        };
        if progress != self.progress {
            self.progress = progress;
            self.outputs.push_back(Output::Event(Event::Progress(progress)));
        }
    }

    fn is_client(&self) -> bool {
        matches!(self.role, Role::Client { .. })
    }

    fn refuse_protocol(&mut self, reason: String) {
        self.refuse(Refusal {
            code: RefusalCode::Protocol,
            reason,
            advice: "this is a fault in the program on the other side".to_owned(),
        });
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.end(Ended::Refused(refusal));
    }

    fn end(&mut self, ended: Ended) {
        self.state = State::Ended;
        self.inbound.clear();
        self.outbound.stop();
        self.outputs.push_back(Output::Close(ended));
    }
}

/// How long nothing moves before the other side is pinged, and again after its answer.
const QUIET_MIN: Duration = Duration::from_secs(1);

/// The author of nothing.
const NOBODY: SiteId = SiteId([0; 16]);

/// How often one side goes back for the other.
const REWIND_INTERVAL: Duration = Duration::from_secs(1);
