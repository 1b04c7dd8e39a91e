//! The session: what is said when, from the first hello to the last goodbye.

use crate::exchange::{Ended, Event, Input, Output, Progress, Role};
use crate::inbound::Inbound;
use crate::liveness::{Liveness, Patience, Verdict};
use crate::outbound::Outbound;
use crate::schema::{self, Difference, ThisSide};
use rejoin_wire::limits::TEXT_BYTES_MAX;
use rejoin_wire::message::{Goodbye, Hello, Message, Ready, Refusal, RefusalCode, Schema, Site, Welcome};
use std::collections::VecDeque;
use std::time::Duration;

/// The version of the session protocol that this crate speaks.
pub const PROTOCOL_VERSION: u16 = 1;

/// One session between two databases.
///
/// Give it what happens with [`Session::handle`], then take from [`Session::poll`] until that is empty. After
/// [`Output::Close`] it ignores everything.
#[derive(Debug)]
pub struct Session {
    role: Role,
    state: State,
    outputs: VecDeque<Output>,
    liveness: Liveness,
    ours: Option<Site>,
    theirs: Option<Site>,
    schema: SchemaExchange,
    outbound: Outbound,
    inbound: Inbound,
    ready_sent: bool,
    ready_heard: bool,
    /// A package could not be applied. What this side has to tell goes over first, then the other side is told.
    refusing: Option<Refusal>,
    /// A package could not be made. What the other side has to tell comes over first, then it is told.
    unable: Option<Refusal>,
    /// While one of the two waits: when the other direction last moved.
    moved: Duration,
    level: bool,
    peer_level: bool,
    caught_up: bool,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The link is not up yet.
    Idle,
    /// A listener waits for a hello.
    AwaitHello,
    /// A listener has asked whether the other side may come in.
    Admitting,
    /// A dialler waits for a welcome.
    AwaitWelcome,
    /// Both sides know each other; tables and receipts are exchanged, then packages.
    Known,
    /// The same id on both sides: this one is about to get another.
    Reidentifying,
    Ended,
}

/// Which tables have to go over before this side can stream.
#[derive(Default, Debug)]
struct SchemaExchange {
    lacking: Vec<String>,
    taken: Vec<String>,
    taking: bool,
    reading: bool,
}

impl Session {
    /// A session whose link is not up yet.
    pub fn new(role: Role, patience: Patience) -> Session {
        let ours = match &role {
            Role::Dialler { site, .. } => Some(site.clone()),
            Role::Listener => None,
        };
        Session {
            role,
            state: State::Idle,
            outputs: VecDeque::new(),
            liveness: Liveness::new(patience),
            inbound: Inbound::new(ours.as_ref().map_or(0, |site| site.window_bytes)),
            ours,
            theirs: None,
            schema: SchemaExchange::default(),
            outbound: Outbound::new(),
            ready_sent: false,
            ready_heard: false,
            refusing: None,
            unable: None,
            moved: Duration::ZERO,
            level: false,
            peer_level: false,
            caught_up: false,
            progress: Progress::default(),
        }
    }

    /// Tells the session what happened, and when: `now` counts from an origin of the caller's choice and never goes back.
    pub fn handle(&mut self, input: Input, now: Duration) {
        if self.state == State::Ended {
            return;
        }
        match input {
            Input::Started => self.start(now),
            Input::Message(message) => {
                self.liveness.heard(now);
                if matches!(message, Message::Package(_) | Message::Receipt(_)) {
                    self.moved = now;
                }
                self.hear(message);
            }
            Input::Malformed(reason) => self.refuse_protocol(reason),
            Input::Admitted(site) => self.admitted(site),
            Input::SchemaRead(schema) => self.schema_read(schema),
            Input::SchemaTaken => self.schema_taken(),
            Input::Joined { site, receipt } => self.joined(site, receipt),
            Input::Pulled { ticket, package } => self.outputs.extend(self.outbound.pulled(ticket, package)),
            Input::Applied(applied) => self.outputs.extend(self.inbound.applied(applied)),
            Input::Acknowledged { position, took } => {
                if let Err(reason) = self.outbound.acknowledged(position, took) {
                    self.refuse_protocol(reason);
                }
            }
            Input::PullFailed(refusal) => {
                self.moved = now;
                self.pull_failed(refusal);
            }
            Input::Failed(refusal) => {
                self.moved = now;
                self.failed(refusal);
            }
            Input::LocalChange => self.outbound.wake(),
            Input::SiteChanged(site) => self.site_changed(site),
            Input::Stop(goodbye) => self.say_goodbye(goodbye),
            Input::LinkLost => self.end(Ended::LinkLost),
            Input::Tick if self.is_stalled() && now >= self.moved + STALLED_MAX => {
                // The other side may be waiting in the same way.
                if let Some(refusal) = self.refusing.take().or_else(|| self.unable.take()) {
                    self.refuse(refusal);
                }
            }
            Input::Tick => match self.liveness.tick(now) {
                Verdict::Wait => {}
                Verdict::Ping(number) => self.send(Message::Ping(number)),
                Verdict::Gone => self.end(Ended::Silent),
            },
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
        let running = !matches!(self.state, State::Idle | State::Ended);
        let stalled = self.is_stalled().then(|| self.moved + STALLED_MAX);
        running.then(|| stalled.unwrap_or(Duration::MAX).min(self.liveness.deadline()))
    }

    fn is_stalled(&self) -> bool {
        self.refusing.is_some() || self.unable.is_some()
    }

    fn failed(&mut self, refusal: Refusal) {
        let other_direction_goes = self.ready_heard && self.refusing.is_none() && self.unable.is_none();
        if refusal.code == RefusalCode::Package && other_direction_goes {
            // Dialling again would meet the same package first: the other direction would never get through.
            self.inbound.clear();
            self.refusing = Some(refusal);
        } else {
            self.refuse(refusal);
        }
    }

    fn pull_failed(&mut self, refusal: Refusal) {
        if self.refusing.is_some() {
            self.refuse(refusal);
        } else {
            self.unable = Some(refusal);
        }
    }

    fn start(&mut self, now: Duration) {
        if self.state != State::Idle {
            return;
        }
        self.liveness.start(now);
        self.state = match &self.role {
            Role::Listener => State::AwaitHello,
            Role::Dialler { site, room, token, .. } => {
                let hello = Hello {
                    version_min: PROTOCOL_VERSION,
                    version_max: PROTOCOL_VERSION,
                    site: site.clone(),
                    room: room.clone(),
                    token: token.clone(),
                };
                self.outputs.push_back(Output::Send(Message::Hello(hello)));
                State::AwaitWelcome
            }
        };
    }

    fn hear(&mut self, message: Message) {
        let result = match message {
            Message::Refusal(refusal) => return self.end(Ended::RefusedByPeer(refusal)),
            Message::Goodbye(goodbye) => return self.end(Ended::ByPeer(goodbye)),
            Message::Ping(number) => {
                self.send(Message::Pong(number));
                Ok(())
            }
            Message::Pong(number) if self.liveness.is_unasked(number) => {
                Err("a pong came that nobody asked for".to_owned())
            }
            Message::Pong(_) => Ok(()),
            Message::Hello(hello) => return self.hear_hello(hello),
            Message::Welcome(welcome) => return self.hear_welcome(welcome),
            _ if self.state == State::Reidentifying => Ok(()),
            _ if self.state != State::Known => Err("a message came before the sides knew each other".to_owned()),
            Message::Schema(schema) => self.hear_schema(schema),
            Message::Ready(ready) => self.hear_ready(ready),
            Message::Package(_) if !self.ready_sent => Err("a package came before this side was ready".to_owned()),
            Message::Package(message) => self.inbound.arrived(message),
            Message::Receipt(_) if !self.ready_heard => Err("a receipt came before anything was sent".to_owned()),
            Message::Receipt(message) => self.outbound.answered(message),
            Message::Level if self.peer_level || !self.ready_heard => Err("a level came out of turn".to_owned()),
            Message::Level => {
                self.peer_level = true;
                Ok(())
            }
        };
        if let Err(reason) = result {
            self.refuse_protocol(reason);
        }
    }

    fn hear_hello(&mut self, hello: Hello) {
        if self.state != State::AwaitHello {
            return self.refuse_protocol("a hello came out of turn".to_owned());
        }
        if !(hello.version_min..=hello.version_max).contains(&PROTOCOL_VERSION) {
            return self.refuse(Refusal {
                code: RefusalCode::Version,
                reason: format!(
                    "the versions {} to {} of the protocol are spoken there, {PROTOCOL_VERSION} is spoken here",
                    hello.version_min, hello.version_max
                ),
                advice: "bring both programs to the same version".to_owned(),
            });
        }
        if !schema::is_sorted(&hello.site.tables) {
            return self.refuse_protocol("the tables of a hello are not sorted".to_owned());
        }
        self.theirs = Some(hello.site.clone());
        self.state = State::Admitting;
        self.outputs.push_back(Output::Admit(Box::new(hello)));
    }

    fn admitted(&mut self, site: Site) {
        if self.state != State::Admitting {
            return;
        }
        self.inbound = Inbound::new(site.window_bytes);
        self.ours = Some(site.clone());
        match self.difference() {
            Err(refusal) => self.refuse(refusal),
            Ok(difference) => {
                self.send(Message::Welcome(Welcome { version: PROTOCOL_VERSION, site }));
                self.known(difference);
            }
        }
    }

    fn hear_welcome(&mut self, welcome: Welcome) {
        if self.state != State::AwaitWelcome {
            return self.refuse_protocol("a welcome came out of turn".to_owned());
        }
        if welcome.version != PROTOCOL_VERSION {
            return self.refuse_protocol(format!("a welcome chose version {}, which was not offered", welcome.version));
        }
        if !schema::is_sorted(&welcome.site.tables) {
            return self.refuse_protocol("the tables of a welcome are not sorted".to_owned());
        }
        self.theirs = Some(welcome.site);
        match self.difference() {
            Err(refusal) => self.refuse(refusal),
            Ok(difference) => self.known(difference),
        }
    }

    fn known(&mut self, difference: Difference) {
        let same_id = match (&self.ours, &self.theirs) {
            (Some(ours), Some(theirs)) => ours.site_id == theirs.site_id,
            _ => false,
        };
        if same_id {
            // One of the two has to take a new id. The one that dialled does; the other waits for it to dial again.
            self.state = State::Reidentifying;
            if self.is_dialler() {
                self.outputs.push_back(Output::Reidentify);
            }
            return;
        }
        self.state = State::Known;
        self.schema.lacking = difference.lacking;
        if !difference.offering.is_empty() {
            self.schema.reading = true;
            self.outputs.push_back(Output::ReadSchema { tables: difference.offering });
        }
        if self.schema.lacking.is_empty() {
            self.join();
        }
    }

    fn schema_read(&mut self, schema: Schema) {
        if self.state == State::Known && self.schema.reading {
            self.schema.reading = false;
            self.send(Message::Schema(schema));
        }
    }

    fn hear_schema(&mut self, schema: Schema) -> Result<(), String> {
        if self.schema.taking || self.schema.lacking.is_empty() || !self.schema.taken.is_empty() {
            return Err("definitions of tables came that nobody asked for".to_owned());
        }
        let names: Vec<&String> = schema.tables.iter().map(|table| &table.name).collect();
        if names != self.schema.lacking.iter().collect::<Vec<_>>() {
            return Err("definitions of other tables came than were lacking".to_owned());
        }
        self.schema.taking = true;
        self.outputs.push_back(Output::TakeSchema(schema));
        Ok(())
    }

    fn schema_taken(&mut self) {
        if self.state == State::Known && self.schema.taking {
            self.schema.taking = false;
            self.schema.taken = std::mem::take(&mut self.schema.lacking);
            self.join();
        }
    }

    fn join(&mut self) {
        if let Some(theirs) = &self.theirs {
            self.outputs.push_back(Output::Join { remote: Box::new(theirs.clone()) });
        }
    }

    fn joined(&mut self, site: Site, receipt: rejoin_wire::Receipt) {
        if self.state != State::Known || self.ready_sent || !self.schema.lacking.is_empty() {
            return;
        }
        // Whatever has changed since the two sides compared their tables is compared anew.
        let same_id = self.ours.as_ref().is_some_and(|ours| ours.site_id == site.site_id);
        let taken = std::mem::take(&mut self.schema.taken);
        let ours = self.ours.as_ref().map_or(&[][..], |ours| &ours.tables);
        let expected = ours.iter().map(|table| &table.name).chain(&taken).count();
        if !same_id || site.tables.len() != expected {
            return self.say_goodbye(Goodbye::Restart);
        }
        self.ours = Some(site);
        match self.difference() {
            Err(refusal) => return self.refuse(refusal),
            Ok(difference) if !difference.lacking.is_empty() => return self.say_goodbye(Goodbye::Restart),
            Ok(_) => {}
        }
        self.ready_sent = true;
        self.send(Message::Ready(Ready { receipt }));
        if let Some(theirs) = &self.theirs {
            let remote = theirs.site_id;
            self.outputs.push_back(Output::Event(Event::Joined { remote, tables_taken: taken }));
        }
        self.both_ready();
    }

    fn hear_ready(&mut self, ready: Ready) -> Result<(), String> {
        if self.ready_heard {
            return Err("a side said twice that it is ready".to_owned());
        }
        if self.schema.reading {
            return Err("a side said that it is ready before it had the tables it lacks".to_owned());
        }
        self.ready_heard = true;
        // What has been sent waits in this side's memory too, so its own bound holds as well.
        let window_bytes = |site: &Option<Site>| site.as_ref().map_or(0, |site| site.window_bytes);
        let window_bytes = window_bytes(&self.ours).min(window_bytes(&self.theirs));
        self.outbound.ready(ready.receipt, window_bytes);
        self.both_ready();
        Ok(())
    }

    fn both_ready(&mut self) {
        if self.ready_sent && self.ready_heard {
            self.liveness.streaming();
        }
    }

    fn site_changed(&mut self, site: Site) {
        let Some(ours) = &self.ours else { return };
        if self.ready_sent && (site.site_id != ours.site_id || site.tables != ours.tables) {
            self.say_goodbye(Goodbye::Restart);
        }
    }

    /// Asks the database what can be asked now, and tells what has been reached.
    fn go_on(&mut self) {
        if self.state != State::Known || !self.ready_sent {
            return;
        }
        self.outputs.extend(self.inbound.next());
        if self.ready_heard {
            while let Some(question) = self.outbound.next() {
                self.outputs.push_back(question);
            }
            match (self.outbound.became_level(), self.level) {
                (true, false) => {
                    self.level = true;
                    self.send(Message::Level);
                }
                // What came in meanwhile is told as well, where it is news to the other side.
                (true, true) => return self.say_goodbye(Goodbye::Done),
                (false, _) => {}
            }
        }
        if self.level
            && let Some(refusal) = self.refusing.take()
        {
            return self.refuse(refusal);
        }
        if self.peer_level
            && let Some(refusal) = self.unable.take()
        {
            return self.refuse(refusal);
        }
        let progress = Progress {
            changes_sent: self.outbound.changes(),
            changes_received: self.inbound.changes(),
            behind_outbound: self.outbound.behind(),
            behind_inbound: self.inbound.behind(),
        };
        if progress != self.progress {
            self.progress = progress;
            self.outputs.push_back(Output::Event(Event::Progress(progress)));
        }
        if self.level && self.peer_level && !self.caught_up {
            self.caught_up = true;
            self.outputs.push_back(Output::Event(Event::CaughtUp));
            if matches!(self.role, Role::Dialler { once: true, .. }) {
                self.outbound.aim_again();
                self.go_on();
            }
        }
    }

    fn difference(&self) -> Result<Difference, Refusal> {
        let (Some(ours), Some(theirs)) = (&self.ours, &self.theirs) else { return Ok(Difference::default()) };
        if self.is_dialler() {
            schema::compare(&theirs.tables, &ours.tables, ThisSide::Guest)
        } else {
            schema::compare(&ours.tables, &theirs.tables, ThisSide::Room)
        }
    }

    fn is_dialler(&self) -> bool {
        matches!(self.role, Role::Dialler { .. })
    }

    fn refuse_protocol(&mut self, reason: String) {
        self.refuse(Refusal {
            code: RefusalCode::Protocol,
            reason,
            advice: "this is a fault in one of the two programs; bring both to the newest version".to_owned(),
        });
    }

    fn refuse(&mut self, mut refusal: Refusal) {
        shorten(&mut refusal.reason);
        shorten(&mut refusal.advice);
        self.send(Message::Refusal(refusal.clone()));
        self.end(Ended::Refused(refusal));
    }

    fn say_goodbye(&mut self, goodbye: Goodbye) {
        self.send(Message::Goodbye(goodbye));
        self.end(Ended::Here(goodbye));
    }

    fn end(&mut self, ended: Ended) {
        self.state = State::Ended;
        self.inbound.clear();
        self.outputs.push_back(Output::Close(ended));
    }

    fn send(&mut self, message: Message) {
        self.outputs.push_back(Output::Send(message));
    }
}

/// How long the other direction may stand still before a side says that its own cannot go on.
const STALLED_MAX: Duration = Duration::from_secs(10);

/// What is too long to be sent loses its end: SQLite quotes what it is given, at any length.
fn shorten(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX - '…'.len_utf8()));
        text.push('…');
    }
}
