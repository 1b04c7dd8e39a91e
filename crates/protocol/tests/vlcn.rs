//! What a session of the vlcn protocol does, whatever the other side does.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use proptest::prelude::*;
use rejoin_change::SiteId;
use rejoin_protocol::vlcn::{Admitted, Announcement, Ended, Input, Output, Pulled, Role, Session};
use rejoin_protocol::{Event, Patience};
use rejoin_wire::message::{Goodbye, Refusal, RefusalCode};
use rejoin_wire::vlcn::{Change, Changes, Message, Point, Value};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

const SERVER: SiteId = SiteId([1; 16]);
const CLIENT: SiteId = SiteId([2; 16]);
const SECOND: Duration = Duration::from_secs(1);

fn changes(versions: impl IntoIterator<Item = (i64, i64)>) -> Changes {
    let mut changes = Changes::new();
    for (db_version, item) in versions {
        changes.push(&Change {
            table: "t",
            key: &[1, 1],
            column: "c",
            value: Value::BigInt(item),
            col_version: 1,
            db_version,
            site_id: None,
            causal_length: 1,
            seq: 0,
        });
    }
    changes
}

fn frame(sender: SiteId, since: i64, versions: impl IntoIterator<Item = i64>) -> Input {
    let changes = changes(versions.into_iter().map(|version| (version, version)));
    Input::Message(Message::Changes { sender, since: Point::after(since), changes })
}

fn announcement(last_seens: Vec<(SiteId, Point)>) -> Announcement {
    Announcement { site_id: CLIENT, last_seens, schema_name: "s".to_owned(), schema_version: 1 }
}

fn announce() -> Input {
    Input::Message(Message::AnnouncePresence {
        sender: CLIENT,
        last_seens: vec![],
        schema_name: "s".to_owned(),
        schema_version: 1,
    })
}

fn start_message(since: i64) -> Message {
    Message::StartStreaming { since: Point::after(since), exclude_sites: vec![SERVER], local_only: false }
}

fn refusal(code: RefusalCode) -> Refusal {
    Refusal { code, reason: "it cannot be".to_owned(), advice: "do something".to_owned() }
}

fn nothing(head: i64) -> Pulled {
    Pulled { changes: Changes::new(), scanned: head, head }
}

/// A session, and the time.
struct Side {
    session: Session,
    now: Duration,
}

impl Side {
    fn new(role: Role) -> Side {
        let mut side = Side { session: Session::new(role, Patience::default()), now: Duration::ZERO };
        assert!(matches!(side.tell(Input::Started)[..], [] | [Output::Send(Message::AnnouncePresence { .. })]));
        side
    }

    fn client(once: bool) -> Side {
        Side::new(Role::Client { announcement: announcement(vec![]), once })
    }

    fn tell(&mut self, input: Input) -> Vec<Output> {
        self.session.handle(input, self.now);
        std::iter::from_fn(|| self.session.poll()).filter(|output| !matches!(output, Output::Event(_))).collect()
    }

    fn after(&mut self, passed: Duration) -> Vec<Output> {
        self.now += passed;
        self.tell(Input::Tick)
    }

    /// Lets the session's clock run until it has something to say.
    fn until_deadline(&mut self) -> Vec<Output> {
        self.now = self.session.deadline().expect("it runs");
        self.tell(Input::Tick)
    }

    fn pulled(&mut self, ticket: u64, pulled: Pulled) -> Vec<Output> {
        self.tell(Input::Pulled { ticket, pulled })
    }
}

/// A server that streams, holds `held` of its client and has told all it has.
fn server(held: i64) -> Side {
    let mut side = Side::new(Role::Server);
    assert!(matches!(side.tell(announce())[..], [Output::Admit(_)]));
    let outputs = side.tell(Input::Admitted(Admitted { site_id: SERVER, held: Point::after(held), start: 0 }));
    let [Output::Send(start), Output::Pull { ticket, after: 0, exclude }] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(*start, start_message(held), "the start comes before any change");
    assert_eq!(*exclude, [CLIENT]);
    assert!(side.pulled(*ticket, nothing(0)).is_empty());
    side
}

/// A client that streams and has told all it has.
fn client(once: bool) -> Side {
    let mut side = Side::client(once);
    let outputs = side.tell(Input::Message(start_message(0)));
    let [Output::Pull { ticket, after: 0, exclude }] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(*exclude, [SERVER]);
    assert!(side.pulled(*ticket, nothing(0)).is_empty());
    side
}

fn pull_of(outputs: &[Output]) -> (u64, i64) {
    let found = outputs.iter().find_map(|output| match output {
        Output::Pull { ticket, after, .. } => Some((*ticket, *after)),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no pull in {outputs:?}"))
}

fn ended(outputs: &[Output]) -> Ended {
    match outputs.last() {
        Some(Output::Close(ended)) => ended.clone(),
        _ => panic!("it goes on: {outputs:?}"),
    }
}

#[test]
fn the_next_frame_is_read_when_the_link_has_taken_the_last_and_follows_it() {
    let mut side = server(0);
    let (ticket, _) = pull_of(&side.tell(Input::LocalChange));
    let told = Pulled { changes: changes([(3, 3), (4, 4)]), scanned: 5, head: 9 };
    let outputs = side.pulled(ticket, told);
    assert!(matches!(&outputs[..], [Output::Send(Message::Changes { since: Point::START, .. })]), "{outputs:?}");
    assert!(side.tell(Input::LocalChange).is_empty(), "one at a time");
    let (ticket, after) = pull_of(&side.tell(Input::Sent));
    assert_eq!(after, 5, "what was looked at is not looked at again");
    let outputs = side.pulled(ticket, Pulled { changes: changes([(7, 7)]), scanned: 9, head: 9 });
    let [Output::Send(Message::Changes { sender: SERVER, since, .. })] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(*since, Point::after(4), "it follows what was told, not what was looked at");
    assert!(side.tell(Input::Sent).is_empty(), "all is told");
}

fn applied(outputs: &[Output]) -> Vec<i64> {
    match outputs {
        [Output::Apply { sender: CLIENT, changes, .. }] => changes.iter().map(|change| change.db_version).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn frames_that_have_come_meanwhile_are_applied_together_up_to_a_gap() {
    let mut side = server(0);
    assert_eq!(applied(&side.tell(frame(CLIENT, 0, [1]))), [1]);
    for version in [2, 3, 4] {
        assert!(side.tell(frame(CLIENT, version - 1, [version])).is_empty());
    }
    assert!(side.tell(frame(CLIENT, 8, [9])).is_empty());
    assert_eq!(applied(&side.tell(Input::Applied { held: Point::after(1) })), [2, 3, 4]);
    assert_eq!(side.tell(Input::Applied { held: Point::after(4) }), [Output::Send(start_message(4))]);
    assert_eq!(applied(&side.tell(frame(CLIENT, 0, [1, 2, 3, 4, 5]))), [1, 2, 3, 4, 5], "overlap is no gap");
    assert!(side.tell(frame(CLIENT, 5, [6])).is_empty());
    assert!(side.tell(frame(CLIENT, 3, [4, 5, 6])).is_empty());
    assert_eq!(applied(&side.tell(Input::Applied { held: Point::after(5) })), [6]);
    assert_eq!(applied(&side.tell(Input::Applied { held: Point::after(6) })), [4, 5, 6], "versions rise in each");
}

#[test]
fn frames_that_are_refused_together_are_tried_each_by_itself() {
    let mut side = server(0);
    side.tell(frame(CLIENT, 0, [1]));
    for version in [2, 3, 4] {
        side.tell(frame(CLIENT, version - 1, [version]));
    }
    assert_eq!(applied(&side.tell(Input::Applied { held: Point::after(1) })), [2, 3, 4]);
    assert_eq!(applied(&side.tell(Input::Failed(refusal(RefusalCode::Package)))), [2]);
    assert_eq!(applied(&side.tell(Input::Applied { held: Point::after(2) })), [3]);
    let outputs = side.tell(Input::Failed(refusal(RefusalCode::Package)));
    assert_eq!(ended(&outputs), Ended::Refused(refusal(RefusalCode::Package)), "what came before it is held");

    let mut side = server(0);
    side.tell(frame(CLIENT, 0, [1]));
    side.tell(frame(CLIENT, 1, [2]));
    side.tell(frame(CLIENT, 2, [3]));
    assert_eq!(applied(&side.tell(Input::Applied { held: Point::after(1) })), [2, 3]);
    assert_eq!(applied(&side.tell(Input::Incomplete)), [2]);
    assert_eq!(applied(&side.tell(Input::Applied { held: Point::after(2) })), [3]);
    assert!(matches!(side.tell(Input::Incomplete)[..], [Output::Send(Message::StartStreaming { .. })]));
}

#[test]
fn the_link_is_not_read_while_much_waits() {
    let mut side = server(0);
    for version in 1.. {
        assert!(version < 1000, "there is a bound");
        if !side.session.wants_messages() {
            break;
        }
        side.tell(frame(CLIENT, version - 1, [version]));
    }
    for version in 1.. {
        if side.session.wants_messages() {
            break;
        }
        side.tell(Input::Applied { held: Point::after(version) });
    }
}

#[test]
fn a_gap_is_answered_by_what_is_held_and_not_again_at_once() {
    let mut side = server(7);
    assert_eq!(side.tell(frame(CLIENT, 8, [9])), [Output::Send(start_message(7))]);
    assert!(side.tell(frame(CLIENT, 9, [10])).is_empty(), "it was under way meanwhile");
    side.now += SECOND;
    assert_eq!(side.tell(frame(CLIENT, 10, [11])), [Output::Send(start_message(7))], "silence is no answer");
    assert!(matches!(side.tell(frame(CLIENT, 7, [8, 9]))[..], [Output::Apply { .. }]));
    side.tell(Input::Applied { held: Point::after(9) });
    assert_eq!(side.tell(frame(CLIENT, 10, [11])), [Output::Send(start_message(9))]);
}

#[test]
fn a_client_that_left_something_out_is_asked_for_all_it_has_and_then_goes_on_as_before() {
    // One that authors nothing, because the client would go on leaving out the site that it was told before.
    let nobody = SiteId([0; 16]);
    let all = Message::StartStreaming { since: Point::START, exclude_sites: vec![nobody], local_only: false };
    let as_they_are = |outputs: &[Output]| match outputs {
        [Output::Apply { as_they_are, .. }] => *as_they_are,
        other => panic!("{other:?}"),
    };
    let mut side = server(7);
    assert!(!as_they_are(&side.tell(frame(CLIENT, 7, [8]))));
    assert_eq!(side.tell(Input::Incomplete), [Output::Send(all.clone())]);
    assert!(side.tell(frame(CLIENT, 8, [9])).is_empty(), "it was under way meanwhile");
    side.now += SECOND;
    assert_eq!(side.tell(frame(CLIENT, 9, [10])), [Output::Send(all)]);
    assert!(as_they_are(&side.tell(frame(CLIENT, 0, 1..=10))));
    assert_eq!(side.tell(Input::Applied { held: Point::after(10) }), [Output::Send(start_message(10))]);
    assert!(!as_they_are(&side.tell(frame(CLIENT, 10, [11]))));
    side.tell(Input::Applied { held: Point::after(11) });

    let mut side = client(false);
    assert!(as_they_are(&side.tell(frame(SERVER, 0, [1]))), "a server cannot be asked");
}

/// A client that tells all it has in several frames would be asked for ever.
#[test]
fn a_client_is_not_asked_again_where_asking_has_led_no_further() {
    let mut side = server(7);
    side.tell(frame(CLIENT, 7, [8]));
    side.tell(Input::Incomplete);
    side.tell(frame(CLIENT, 0, 1..=5));
    assert_eq!(side.tell(Input::Applied { held: Point::after(7) }), [Output::Send(start_message(7))]);
    assert!(matches!(side.tell(frame(CLIENT, 7, [8]))[..], [Output::Apply { as_they_are: true, .. }]));
    side.tell(Input::Applied { held: Point::after(8) });
    assert!(matches!(side.tell(frame(CLIENT, 8, [9]))[..], [Output::Apply { as_they_are: false, .. }]));
}

#[test]
fn a_client_that_lacks_something_is_told_from_there_at_most_once_a_second() {
    let mut side = server(0);
    let (ticket, _) = pull_of(&side.tell(Input::LocalChange));
    side.pulled(ticket, Pulled { changes: changes([(5, 5)]), scanned: 5, head: 5 });
    side.tell(Input::Sent);
    let rejects = |whose, since| Input::Message(Message::RejectChanges { whose, since: Point::after(since) });
    assert!(side.tell(rejects(CLIENT, 2)).is_empty(), "it is not about this side's changes");
    assert!(side.tell(rejects(SERVER, 5)).is_empty(), "it holds all");
    let (ticket, after) = pull_of(&side.tell(rejects(SERVER, 2)));
    assert_eq!(after, 2);
    let outputs = side.pulled(ticket, Pulled { changes: changes([(5, 5)]), scanned: 5, head: 5 });
    assert!(matches!(&outputs[..], [Output::Send(Message::Changes { since, .. })] if *since == Point::after(2)));
    side.tell(Input::Sent);
    assert!(side.tell(rejects(SERVER, 2)).is_empty());
    assert_eq!(pull_of(&side.until_deadline()).1, 2);
}

#[test]
fn what_was_read_for_an_earlier_start_is_dropped() {
    let mut side = Side::client(false);
    let (first, _) = pull_of(&side.tell(Input::Message(start_message(0))));
    let (second, after) = pull_of(&side.tell(Input::Message(start_message(4))));
    assert_eq!(after, 4);
    assert!(side.pulled(first, Pulled { changes: changes([(1, 1)]), scanned: 5, head: 5 }).is_empty());
    let outputs = side.pulled(second, Pulled { changes: changes([(5, 5)]), scanned: 5, head: 5 });
    assert!(matches!(&outputs[..], [Output::Send(Message::Changes { since, .. })] if *since == Point::after(4)));
}

#[test]
fn a_place_inside_a_transaction_means_all_of_it_once_more() {
    let mut side = Side::client(false);
    let since = Point { db_version: 4, seq: 3 };
    let start = Message::StartStreaming { since, exclude_sites: vec![SERVER], local_only: true };
    assert_eq!(pull_of(&side.tell(Input::Message(start))).1, 3);
}

#[test]
fn changes_that_are_refused_end_the_session_when_everything_has_been_told() {
    let mut side = server(0);
    let (ticket, _) = pull_of(&side.tell(Input::LocalChange));
    side.tell(frame(CLIENT, 0, [1]));
    assert!(side.tell(Input::Failed(refusal(RefusalCode::Package))).is_empty(), "the other direction goes on");
    assert!(side.tell(frame(CLIENT, 0, [1])).is_empty(), "nothing behind it is applied");
    side.pulled(ticket, Pulled { changes: changes([(1, 1)]), scanned: 1, head: 1 });
    assert_eq!(ended(&side.tell(Input::Sent)), Ended::Refused(refusal(RefusalCode::Package)));
}

#[test]
fn what_cannot_be_told_ends_the_session_when_nothing_more_comes() {
    let mut side = client(true);
    pull_of(&side.tell(Input::LocalChange));
    assert!(side.tell(Input::PullFailed(refusal(RefusalCode::Package))).is_empty());
    assert!(matches!(side.tell(frame(SERVER, 0, [1]))[..], [Output::Apply { .. }]));
    side.tell(Input::Applied { held: Point::after(1) });
    assert_eq!(side.until_deadline(), [Output::Ping]);
    side.tell(Input::Pong);
    assert_eq!(ended(&side.until_deadline()), Ended::Refused(refusal(RefusalCode::Package)));
}

#[test]
fn a_client_that_runs_once_is_done_when_it_told_nothing_and_the_server_has_no_more() {
    let mut side = client(true);
    assert!(side.after(SECOND / 2).is_empty());
    assert!(matches!(side.tell(frame(SERVER, 0, [1]))[..], [Output::Apply { .. }]));
    side.tell(Input::Applied { held: Point::after(1) });
    assert!(side.after(SECOND * 9 / 10).is_empty(), "the wait begins anew");
    assert_eq!(side.until_deadline(), [Output::Ping]);
    assert!(side.after(SECOND * 3).is_empty(), "a server that gathers what it has does not answer meanwhile");
    // The answer comes behind what it has gathered.
    side.tell(frame(SERVER, 1, [2]));
    side.tell(Input::Applied { held: Point::after(2) });
    side.tell(Input::Pong);
    assert_eq!(side.until_deadline(), [Output::Ping]);
    side.tell(Input::Pong);
    assert_eq!(ended(&side.until_deadline()), Ended::Here(Goodbye::Done));
}

#[test]
fn a_client_that_runs_once_dials_again_to_find_out_whether_the_server_holds_what_it_was_told() {
    let mut side = Side::client(true);
    let (ticket, _) = pull_of(&side.tell(Input::Message(start_message(0))));
    side.pulled(ticket, Pulled { changes: changes([(1, 1)]), scanned: 1, head: 1 });
    side.tell(Input::Sent);
    assert_eq!(side.until_deadline(), [Output::Ping]);
    side.tell(Input::Pong);
    assert_eq!(ended(&side.until_deadline()), Ended::Here(Goodbye::Restart));
}

#[test]
fn a_client_passes_over_rejections_and_starts_anew_over_a_gap() {
    let mut side = client(false);
    let rejection = Message::RejectChanges { whose: CLIENT, since: Point::START };
    assert!(side.tell(Input::Message(rejection)).is_empty());
    assert_eq!(ended(&side.tell(frame(SERVER, 3, [4]))), Ended::Here(Goodbye::Restart));
}

#[test]
fn a_client_judges_what_comes_by_what_it_has_announced() {
    let announcement = announcement(vec![(SERVER, Point::after(5))]);
    let mut side = Side::new(Role::Client { announcement, once: false });
    side.tell(Input::Message(start_message(0)));
    assert!(matches!(side.tell(frame(SERVER, 5, [6]))[..], [Output::Apply { .. }]));
}

#[test]
fn changes_may_come_before_the_server_has_said_where_to_start() {
    let mut side = Side::client(false);
    assert!(matches!(side.tell(frame(SERVER, 0, [1]))[..], [Output::Apply { sender: SERVER, .. }]));
}

#[test]
fn one_id_on_both_sides_and_a_server_that_knows_the_future_are_refused() {
    let code = |ended: Ended| match ended {
        Ended::Refused(refusal) => refusal.code,
        other => panic!("{other:?}"),
    };
    let mut side = Side::new(Role::Server);
    side.tell(announce());
    let admitted = Admitted { site_id: CLIENT, held: Point::START, start: 0 };
    assert_eq!(code(ended(&side.tell(Input::Admitted(admitted)))), RefusalCode::Identity);

    let mut side = Side::client(false);
    assert_eq!(code(ended(&side.tell(frame(CLIENT, 0, [1])))), RefusalCode::Identity);

    let mut side = Side::client(false);
    let (ticket, _) = pull_of(&side.tell(Input::Message(start_message(8))));
    assert_eq!(code(ended(&side.pulled(ticket, nothing(7)))), RefusalCode::Identity);
}

#[test]
fn messages_out_of_turn_are_refused_in_either_role() {
    let litefs = Message::Err { request: -1, text: "x".to_owned() };
    let start = start_message(0);
    let second = Message::AnnouncePresence {
        sender: CLIENT,
        last_seens: vec![],
        schema_name: "s".to_owned(),
        schema_version: 1,
    };
    let is_refused = |mut side: Side, message: &Message| {
        let ended = ended(&side.tell(Input::Message(message.clone())));
        assert!(matches!(&ended, Ended::Refused(refusal) if refusal.code == RefusalCode::Protocol), "{ended:?}");
        assert_eq!(ended.close_frame().0, 4400);
    };
    for message in [&litefs, &start, &second] {
        is_refused(server(0), message);
    }
    for message in [&litefs, &start] {
        is_refused(Side::new(Role::Server), message);
    }
    for message in [&litefs, &second] {
        is_refused(client(false), message);
        is_refused(Side::client(false), message);
    }
    let other = Message::Changes { sender: SiteId([3; 16]), since: Point::START, changes: changes([(1, 1)]) };
    is_refused(server(0), &other);
    is_refused(client(false), &other);
    for mut side in [server(0), client(false), Side::client(false)] {
        assert!(side.tell(Input::Message(Message::Ping)).is_empty());
        assert!(side.tell(Input::Message(Message::Pong)).is_empty());
    }
}

#[test]
fn a_side_that_says_nothing_is_told_from_one_that_is_gone() {
    let mut side = Side::client(false);
    side.now = 60 * SECOND;
    assert_eq!(ended(&side.tell(Input::Tick)), Ended::Unanswered);
    let mut side = Side::new(Role::Server);
    side.now = 60 * SECOND;
    assert_eq!(ended(&side.tell(Input::Tick)), Ended::Unannounced);
    let mut side = server(0);
    side.now = 15 * SECOND;
    assert_eq!(side.tell(Input::Tick), [Output::Ping]);
    side.now = 50 * SECOND;
    side.tell(Input::Heard);
    side.now = 65 * SECOND;
    assert_eq!(side.tell(Input::Tick), [Output::Ping], "bytes have come");
    side.now = 110 * SECOND;
    assert_eq!(ended(&side.tell(Input::Tick)), Ended::Silent);
    assert!(side.tell(announce()).is_empty(), "nothing follows the end");
    assert_eq!(side.session.deadline(), None);
}

/// A database in miniature: one item is one transaction, with its author.
#[derive(Clone)]
struct Store {
    site_id: SiteId,
    log: Vec<(i64, SiteId)>,
    held: HashMap<SiteId, Point>,
}

impl Store {
    fn new(site_id: SiteId) -> Store {
        Store { site_id, log: Vec::new(), held: HashMap::new() }
    }

    fn items(&self) -> BTreeSet<i64> {
        self.log.iter().map(|(item, _)| *item).collect()
    }

    fn pull(&self, after: i64, exclude: &[SiteId]) -> Pulled {
        let head = self.log.len() as i64;
        let mut told = Changes::new();
        let mut scanned = after;
        for (at, (item, author)) in self.log.iter().enumerate().skip(usize::try_from(after).unwrap()) {
            if told.len() == 3 {
                break;
            }
            scanned = at as i64 + 1;
            if !exclude.contains(author) {
                changes([(scanned, *item)]).iter().for_each(|change| told.push(&change));
            }
        }
        Pulled { changes: told, scanned, head }
    }

    fn apply(&mut self, sender: SiteId, changes: &Changes) -> Point {
        let known = self.items();
        for change in changes.iter() {
            let Value::BigInt(item) = change.value else { unreachable!("all items are numbers") };
            if !known.contains(&item) {
                self.log.push((item, sender));
            }
        }
        let held = self.held.entry(sender).or_default();
        *held = Point::after(changes.last_version().unwrap()).max(*held);
        *held
    }
}

/// A server, its clients, and links of which messages can be lost with the link only.
struct World {
    stores: Vec<Store>,
    links: Vec<Option<Link>>,
    now: Duration,
}

struct Link {
    sessions: [Session; 2],
    queues: [VecDeque<Message>; 2],
    questions: [VecDeque<Output>; 2],
}

impl World {
    fn new(clients: u8) -> World {
        let stores = (0..=clients).map(|number| Store::new(SiteId([number + 1; 16]))).collect();
        World { stores, links: (0..clients).map(|_| None).collect(), now: Duration::ZERO }
    }

    fn dial(&mut self, client: usize) {
        let store = &self.stores[client + 1];
        let announcement = Announcement {
            site_id: store.site_id,
            last_seens: store.held.iter().map(|(site, point)| (*site, *point)).collect(),
            schema_name: "s".to_owned(),
            schema_version: 1,
        };
        let roles = [Role::Server, Role::Client { announcement, once: false }];
        let mut link = Link {
            sessions: roles.map(|role| Session::new(role, Patience::default())),
            queues: Default::default(),
            questions: Default::default(),
        };
        link.sessions.iter_mut().for_each(|session| session.handle(Input::Started, self.now));
        self.links[client] = Some(link);
        self.drain(client);
    }

    fn drain(&mut self, client: usize) {
        let Some(link) = &mut self.links[client] else { return };
        let mut is_over = false;
        for side in 0..2 {
            while let Some(output) = link.sessions[side].poll() {
                match output {
                    Output::Send(message) => {
                        if matches!(message, Message::Changes { .. }) {
                            link.questions[side].push_back(Output::Send(Message::Ping));
                        }
                        link.queues[1 - side].push_back(message);
                    }
                    Output::Event(Event::CaughtUp | Event::Joined { .. } | Event::Progress(_)) | Output::Ping => {}
                    Output::Close(ended) => {
                        assert!(matches!(ended, Ended::Here(_)), "{ended:?}");
                        is_over = true;
                    }
                    question => link.questions[side].push_back(question),
                }
            }
        }
        if is_over {
            self.links[client] = None;
        }
    }

    /// One step of one side: hears a message, or has a question answered.
    fn step(&mut self, client: usize, side: usize, hears: bool) {
        let Some(link) = &mut self.links[client] else { return };
        let store = &mut self.stores[if side == 0 { 0 } else { client + 1 }];
        let input = if hears && link.sessions[side].wants_messages() {
            link.queues[side].pop_front().map(Input::Message)
        } else {
            link.questions[side].pop_front().map(|question| match question {
                Output::Send(_) => Input::Sent,
                Output::Admit(announcement) => {
                    let seen = announcement.last_seens.iter().find(|(site, _)| *site == store.site_id);
                    Input::Admitted(Admitted {
                        site_id: store.site_id,
                        held: store.held.get(&announcement.site_id).copied().unwrap_or_default(),
                        start: seen.map_or(0, |(_, point)| point.db_version),
                    })
                }
                Output::Pull { ticket, after, exclude } => {
                    Input::Pulled { ticket, pulled: store.pull(after, &exclude) }
                }
                Output::Apply { sender, changes, .. } => Input::Applied { held: store.apply(sender, &changes) },
                other => unreachable!("{other:?} is no question"),
            })
        };
        let applied = matches!(input, Some(Input::Applied { .. }));
        if let Some(input) = input {
            link.sessions[side].handle(input, self.now);
        }
        self.drain(client);
        if applied {
            self.changed(if side == 0 { 0 } else { client + 1 });
        }
    }

    fn changed(&mut self, store: usize) {
        for client in 0..self.links.len() {
            let side = if store == 0 { 0 } else { 1 };
            if store != 0 && store != client + 1 {
                continue;
            }
            if let Some(link) = &mut self.links[client] {
                link.sessions[side].handle(Input::LocalChange, self.now);
            }
            self.drain(client);
        }
    }

    fn write(&mut self, store: usize, item: i64) {
        let author = self.stores[store].site_id;
        self.stores[store].log.push((item, author));
        self.changed(store);
    }

    fn settle(&mut self) {
        for _ in 0..2000 {
            for client in 0..self.links.len() {
                if self.links[client].is_none() {
                    self.dial(client);
                }
                for side in 0..2 {
                    self.step(client, side, true);
                    self.step(client, side, false);
                }
            }
            self.now += Duration::from_millis(10);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Writes, steps in any order and cut links; then everybody comes back and has everything.
    #[test]
    fn a_server_and_its_clients_end_level_through_every_loss_of_a_link(
        actions in proptest::collection::vec((0u8..12, 0usize..3, any::<bool>()), 0..300)
    ) {
        let mut world = World::new(3);
        let mut items = 0;
        for (action, client, flag) in actions {
            match action {
                0 => world.links[client] = None,
                1 => world.dial(client),
                2 | 3 => {
                    items += 1;
                    world.write(if flag { 0 } else { client + 1 }, items);
                }
                _ => world.step(client, usize::from(action % 2 == 0), flag),
            }
        }
        world.settle();
        let all: BTreeSet<i64> = (1..=items).collect();
        for store in &world.stores {
            prop_assert_eq!(store.items(), all.clone());
        }
    }
}
