//! Two sessions, a link that loses nothing but can be cut, and two stores that keep numbers instead of rows.

use rejoin_change::{Cursor, SiteId};
use rejoin_protocol::{Applied, Ended, Event, Input, Output, Patience, Pulled, Role, Session};
use rejoin_wire::message::{ColumnShape, Message, Schema, Site, TableDefinition, TableShape};
use rejoin_wire::{Mark, Position, Receipt};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// Items of one package at most.
const PACKAGE_ITEMS_MAX: usize = 3;

pub fn table(name: &str) -> TableShape {
    TableShape { name: name.to_owned(), columns: vec![ColumnShape { name: "id".to_owned(), key_place: 1 }] }
}

pub fn receipt(receiver: SiteId, sender: SiteId, position: usize) -> Receipt {
    let position = (position > 0).then(|| Position { cursor: cursor(position), mark: Mark([0; 24]) });
    Receipt { receiver, sender, run: 1, position, as_of: None, ranges: vec![] }
}

fn cursor(position: usize) -> Cursor {
    if position == 0 { Cursor::BEGINNING } else { Cursor::end_of_version(position as i64) }
}

fn position(cursor: &Cursor) -> usize {
    cursor.db_version.max(0) as usize
}

/// A database in miniature: its log is its stream, and one item is one transaction.
pub struct Store {
    pub site: Site,
    pub log: Vec<(u32, bool)>,
    /// Where the other side stands in this log, as far as is remembered.
    pub acknowledged: usize,
    /// Where this side stands in the other's log.
    pub position: usize,
    /// The next receipt is found to be about a run that is over.
    pub starts_anew: bool,
}

impl Store {
    pub fn new(number: u8, window_bytes: u32, tables: &[&str]) -> Store {
        let site = Site {
            site_id: SiteId([number; 16]),
            former_ids: vec![],
            features: vec![],
            tables: tables.iter().map(|name| table(name)).collect(),
            window_bytes,
        };
        Store { site, log: vec![], acknowledged: 0, position: 0, starts_anew: false }
    }

    pub fn write(&mut self, item: u32) {
        self.log.push((item, false));
    }

    pub fn items(&self) -> BTreeSet<u32> {
        self.log.iter().map(|(item, _)| *item).collect()
    }

    /// Answers a question, as a database would.
    fn answer(&mut self, question: Output, remote: SiteId) -> Option<Input> {
        Some(match question {
            Output::Admit(_) => Input::Admitted(self.site.clone()),
            Output::ReadSchema { tables } => Input::SchemaRead(Schema {
                tables: tables
                    .into_iter()
                    .map(|name| TableDefinition { name, create_table: "…".to_owned(), create_indexes: vec![] })
                    .collect(),
            }),
            Output::TakeSchema(schema) => {
                self.site.tables.extend(schema.tables.iter().map(|definition| table(&definition.name)));
                self.site.tables.sort_by(|a, b| a.name.cmp(&b.name));
                self.site.tables.dedup();
                Input::SchemaTaken
            }
            Output::Join { .. } => {
                Input::Joined { site: self.site.clone(), receipt: receipt(self.site.site_id, remote, self.position) }
            }
            Output::Pull { ticket, after } => Input::Pulled { ticket, package: self.pull(after) },
            Output::Apply { package } => Input::Applied(self.apply(&package, remote)),
            Output::Acknowledge(_) if std::mem::take(&mut self.starts_anew) => {
                self.acknowledged = 0;
                Input::Acknowledged { position: cursor(0), took: false }
            }
            Output::Acknowledge(receipt) => {
                self.acknowledged = receipt.position.as_ref().map_or(0, |at| position(&at.cursor)).min(self.log.len());
                Input::Acknowledged { position: cursor(self.acknowledged), took: true }
            }
            _ => return None,
        })
    }

    fn pull(&self, after: Option<Cursor>) -> Option<Pulled> {
        let start = after.as_ref().map_or(self.acknowledged, position);
        let end = self.log.len().min(start + PACKAGE_ITEMS_MAX);
        if start >= end {
            return None;
        }
        let items = self.log[start..end].iter().filter(|(_, from_remote)| !from_remote).map(|(item, _)| *item);
        let mut numbers = vec![start as u32, end as u32];
        numbers.extend(items);
        Some(Pulled {
            changes: numbers.len() as u64 - 2,
            package: numbers.iter().flat_map(|number| number.to_be_bytes()).collect(),
            end: cursor(end),
            head: self.log.len() as i64,
        })
    }

    fn apply(&mut self, package: &[u8], remote: SiteId) -> Applied {
        let numbers: Vec<u32> = package.as_chunks::<4>().0.iter().map(|bytes| u32::from_be_bytes(*bytes)).collect();
        let (start, end) = match numbers[..] {
            [start, end, ..] => (start as usize, end as usize),
            _ => (usize::MAX, 0),
        };
        let mut changes = 0;
        if start == self.position {
            let had = self.items();
            for item in numbers.into_iter().skip(2).filter(|item| !had.contains(item)) {
                self.log.push((item, true));
                changes += 1;
            }
            self.position = end;
        }
        Applied { receipt: receipt(self.site.site_id, remote, self.position), changes }
    }
}

/// One side: its store, its session, and the questions that the database has not answered yet.
pub struct Side {
    pub store: Store,
    pub session: Session,
    pub questions: VecDeque<Output>,
    pub sending: VecDeque<Message>,
    pub events: Vec<Event>,
    pub ended: Option<Ended>,
    pub sent_bytes_open_max: usize,
    sent_bytes_open: VecDeque<usize>,
}

pub struct World {
    pub sides: [Side; 2],
    pub once: bool,
    pub now: Duration,
    pub sessions: u32,
}

impl World {
    pub fn new(dialler: Store, listener: Store, once: bool) -> World {
        let side = |store, role| Side {
            store,
            session: Session::new(role, Patience::default()),
            questions: VecDeque::new(),
            sending: VecDeque::new(),
            events: vec![],
            ended: None,
            sent_bytes_open_max: 0,
            sent_bytes_open: VecDeque::new(),
        };
        let sides = [side(dialler, Role::Listener), side(listener, Role::Listener)];
        let mut world = World { sides, once, now: Duration::ZERO, sessions: 0 };
        world.dial();
        world
    }

    /// A new link with new sessions; whatever was on the old one is gone.
    pub fn dial(&mut self) {
        let role = Role::Dialler {
            site: self.sides[0].store.site.clone(),
            room: "room".to_owned(),
            token: None,
            once: self.once,
        };
        for (number, role) in [(0, role), (1, Role::Listener)] {
            let side = &mut self.sides[number];
            side.session = Session::new(role, Patience::default());
            side.questions.clear();
            side.sending.clear();
            side.sent_bytes_open.clear();
            side.ended = None;
            side.events.clear();
            self.tell(number, Input::Started);
        }
        self.sessions += 1;
    }

    pub fn tell(&mut self, number: usize, input: Input) {
        let side = &mut self.sides[number];
        if let Input::Message(Message::Receipt(_)) = &input {
            side.sent_bytes_open.pop_front();
        }
        side.session.handle(input, self.now);
        while let Some(output) = side.session.poll() {
            assert!(side.ended.is_none(), "after its end a session is silent");
            match output {
                Output::Send(message) => {
                    if let Message::Package(package) = &message {
                        side.sent_bytes_open.push_back(package.package.len());
                        let open = side.sent_bytes_open.iter().sum();
                        side.sent_bytes_open_max = side.sent_bytes_open_max.max(open);
                    }
                    side.sending.push_back(message);
                }
                Output::Event(event) => side.events.push(event),
                Output::Close(ended) => side.ended = Some(ended),
                question => {
                    let kind = std::mem::discriminant(&question);
                    let open = side.questions.iter().any(|one| std::mem::discriminant(one) == kind);
                    assert!(!open, "two questions of one kind are open");
                    side.questions.push_back(question);
                }
            }
        }
    }

    /// Carries one message from a side to the other. False when there is none.
    pub fn carry(&mut self, from: usize) -> bool {
        match self.sides[from].sending.pop_front() {
            Some(message) => {
                self.tell(1 - from, Input::Message(message));
                true
            }
            None if self.sides[from].ended.is_some() && self.sides[1 - from].ended.is_none() => {
                self.tell(1 - from, Input::LinkLost);
                true
            }
            None => false,
        }
    }

    /// Lets a side's database answer the n-th open question. False when there is none.
    pub fn answer(&mut self, number: usize, nth: usize) -> bool {
        let remote = self.sides[1 - number].store.site.site_id;
        let side = &mut self.sides[number];
        if side.questions.is_empty() {
            return false;
        }
        let nth = nth % side.questions.len();
        let question = side.questions.remove(nth).expect("the index was taken modulo the length");
        if let Some(answer) = side.store.answer(question, remote) {
            let changed = matches!(&answer, Input::Applied(applied) if applied.changes > 0);
            self.tell(number, answer);
            if changed {
                self.tell(number, Input::LocalChange);
            }
        }
        true
    }

    pub fn write(&mut self, number: usize, item: u32) {
        self.sides[number].store.write(item);
        self.tell(number, Input::LocalChange);
    }

    pub fn cut(&mut self) {
        self.tell(0, Input::LinkLost);
        self.tell(1, Input::LinkLost);
        self.dial();
    }

    /// Runs until nothing is left to do. Dials again where a session asks for it.
    pub fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            let mut moved = false;
            for number in [0, 1] {
                moved |= self.answer(number, 0);
                moved |= self.carry(number);
            }
            if moved {
                continue;
            }
            let again = |side: &Side| {
                use rejoin_wire::message::Goodbye::Restart;
                matches!(side.ended, Some(Ended::Here(Restart) | Ended::ByPeer(Restart) | Ended::LinkLost))
            };
            if self.sides.iter().any(again) {
                self.dial();
                continue;
            }
            return;
        }
        panic!("the sessions do not come to rest");
    }

    pub fn caught_up(&self, number: usize) -> bool {
        self.sides[number].events.contains(&Event::CaughtUp)
    }
}

const STEPS_MAX: usize = 20_000;
