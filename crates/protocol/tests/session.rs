//! What a session promises, told by two of them over a link in memory.

mod world;

use proptest::prelude::*;
use rejoin_change::SiteId;
use rejoin_protocol::{Ended, Event, Input, Output, Patience, Role, Session};
use rejoin_wire::message::*;
use std::time::Duration;
use world::{Store, World, receipt, table};

const WINDOW: u32 = 64;

fn world(once: bool) -> World {
    World::new(Store::new(1, WINDOW, &["t"]), Store::new(2, WINDOW, &["t"]), once)
}

#[test]
fn edits_of_both_sides_reach_the_other() {
    let mut world = world(false);
    (0..20).for_each(|item| world.write((item % 2) as usize, item));
    world.settle();
    for number in [0, 1] {
        assert_eq!(world.sides[number].store.items(), (0..20).collect());
        assert!(world.caught_up(number));
        assert_eq!(world.sides[number].ended, None);
    }
    world.write(0, 100);
    world.settle();
    assert!(world.sides[1].store.items().contains(&100));
}

#[test]
fn once_ends_when_both_sides_are_level() {
    let mut world = world(true);
    (0..20).for_each(|item| world.sides[(item % 2) as usize].store.write(item));
    world.settle();
    assert_eq!(world.sides[0].store.items(), world.sides[1].store.items());
    assert_eq!(world.sides[0].ended, Some(Ended::Here(Goodbye::Done)));
    assert_eq!(world.sides[1].ended, Some(Ended::ByPeer(Goodbye::Done)));
    assert!(world.caught_up(0) && world.caught_up(1));
}

#[test]
fn a_session_resumes_where_the_last_one_was_cut() {
    let mut world = world(false);
    (0..30).for_each(|item| world.write(0, item));
    world.settle();
    world.write(0, 30);
    world.cut();
    world.settle();
    let sent: u64 = progress(&world, 0);
    assert_eq!(sent, 1, "only what was new is sent again");
    assert_eq!(world.sides[1].store.items().len(), 31);
}

#[test]
fn a_receiver_that_stands_elsewhere_is_met_where_it_stands() {
    let mut world = world(false);
    (0..30).for_each(|item| world.write(0, item));
    world.settle();
    world.sides[1].store.position = 10;
    world.write(0, 30);
    world.settle();
    assert_eq!(world.sides[1].store.position, 31);
    assert_eq!(world.sides[0].store.acknowledged, 31);
    assert_eq!(world.sessions, 1, "the session healed itself");
}

#[test]
fn a_run_that_starts_anew_is_told_from_its_start() {
    let mut world = world(false);
    (0..30).for_each(|item| world.write(0, item));
    world.settle();
    world.sides[0].store.starts_anew = true;
    world.sides[1].store.position = 0;
    world.write(0, 30);
    world.settle();
    assert!(!world.sides[0].store.starts_anew, "a receipt came");
    assert_eq!((world.sides[0].store.acknowledged, world.sides[1].store.position), (31, 31));
    assert_eq!(world.sessions, 1, "the session healed itself");
}

#[test]
fn a_receiver_that_stands_elsewhere_every_time_is_given_up_in_words() {
    let mut world = world(false);
    world.settle();
    (0..20).for_each(|item| world.write(0, item));
    for _ in 0..200 {
        world.answer(0, 0);
        world.carry(0);
        if world.sides[1].questions.iter().any(|one| matches!(one, Output::Apply { .. })) {
            world.sides[1].store.position = (world.sides[1].store.position + 7) % 20;
        }
        world.answer(1, 0);
        world.carry(1);
    }
    let Some(Ended::Refused(refusal)) = &world.sides[0].ended else { panic!("{:?}", world.sides[0].ended) };
    assert!(refusal.reason.contains("packages in a row"), "{}", refusal.reason);
}

#[test]
fn a_sender_reads_ahead_of_its_receiver_up_to_the_window() {
    let mut world = world(false);
    world.settle();
    (0..300).for_each(|item| world.write(0, item));
    while world.answer(0, 0) {}
    let package_bytes = 4 * 5;
    let open = world.sides[0].sent_bytes_open_max;
    assert!(open >= WINDOW as usize, "packages are sent ahead of receipts");
    assert!(open < WINDOW as usize + package_bytes);
    world.settle();
    assert_eq!(world.sides[1].store.items().len(), 300);
    assert!(world.sides[0].sent_bytes_open_max < WINDOW as usize + package_bytes);
}

#[test]
fn tables_that_one_side_lacks_are_taken_over_from_the_other() {
    let cases: [(&[&str], &[&str]); 3] = [(&["a", "b"], &[]), (&[], &["a", "b"]), (&["a"], &["b"])];
    for (dialler, listener) in cases {
        let mut world = World::new(Store::new(1, WINDOW, dialler), Store::new(2, WINDOW, listener), false);
        world.write(0, 1);
        world.write(1, 2);
        world.settle();
        assert_eq!(world.sessions, 1);
        for number in [0, 1] {
            assert_eq!(world.sides[number].store.site.tables, [table("a"), table("b")]);
            assert_eq!(world.sides[number].store.items().len(), 2);
        }
    }
}

#[test]
fn a_table_that_differs_ends_the_session_on_both_sides() {
    let mut dialler = Store::new(1, WINDOW, &["t"]);
    dialler.site.tables[0].columns.push(ColumnShape { name: "extra".to_owned(), key_place: 0 });
    dialler.site.tables[0].columns.sort_by(|a, b| a.name.cmp(&b.name));
    let mut world = World::new(dialler, Store::new(2, WINDOW, &["t"]), false);
    world.settle();
    let Some(Ended::RefusedByPeer(refusal)) = &world.sides[0].ended else { panic!("{:?}", world.sides[0].ended) };
    assert_eq!(refusal.code, RefusalCode::Schema);
    assert!(refusal.reason.contains("extra"));
    assert!(matches!(&world.sides[1].ended, Some(Ended::Refused(one)) if one == refusal));
}

#[test]
fn tables_that_appear_later_start_the_session_anew() {
    let mut world = world(false);
    world.settle();
    world.sides[1].store.site.tables.push(table("u"));
    let site = world.sides[1].store.site.clone();
    world.tell(1, Input::SiteChanged(site));
    world.settle();
    assert_eq!(world.sessions, 2);
    assert_eq!(world.sides[0].store.site.tables, [table("t"), table("u")]);
}

#[test]
fn a_copy_that_has_kept_the_id_of_the_other_side_takes_a_new_one() {
    let mut world = World::new(Store::new(1, WINDOW, &["t"]), Store::new(1, WINDOW, &["t"]), false);
    world.write(0, 1);
    for _ in 0..10 {
        world.answer(1, 0);
        world.carry(0);
        world.carry(1);
    }
    assert_eq!(world.sides[0].questions.pop_front(), Some(Output::Reidentify));
    world.sides[0].store.site.site_id = SiteId([3; 16]);
    world.tell(0, Input::Stop(Goodbye::Restart));
    world.settle();
    assert_eq!(world.sessions, 2);
    assert!(world.sides[1].store.items().contains(&1));
}

#[test]
fn a_refused_package_is_said_to_the_other_side() {
    let mut world = world(false);
    world.write(0, 1);
    for _ in 0..100 {
        if world.sides[1].questions.iter().any(|one| matches!(one, Output::Apply { .. })) {
            break;
        }
        (0..2).for_each(|number| {
            world.answer(number, 0);
            world.carry(number);
        });
    }
    let refusal =
        Refusal { code: RefusalCode::Package, reason: "a CHECK failed".to_owned(), advice: "repair it".to_owned() };
    world.tell(1, Input::Failed(refusal.clone()));
    while world.carry(1) {}
    assert_eq!(world.sides[0].ended, Some(Ended::RefusedByPeer(refusal)));
    assert_eq!(world.sides[0].store.acknowledged, 0);
}

#[test]
fn a_refused_package_does_not_keep_the_other_direction_from_getting_through() {
    let mut world = world(false);
    (0..30).for_each(|item| world.sides[(item % 2) as usize].store.write(item));
    let refusal = Refusal { code: RefusalCode::Package, reason: "no".to_owned(), advice: "yes".to_owned() };
    for _ in 0..1000 {
        if let Some(at) = world.sides[1].questions.iter().position(|one| matches!(one, Output::Apply { .. })) {
            world.sides[1].questions.remove(at);
            world.tell(1, Input::Failed(refusal.clone()));
        }
        (0..2).for_each(|number| {
            world.answer(number, 0);
            world.carry(number);
        });
    }
    assert_eq!(world.sides[1].ended, Some(Ended::Refused(refusal.clone())));
    assert_eq!(world.sides[0].ended, Some(Ended::RefusedByPeer(refusal)));
    assert_eq!(world.sides[0].store.items().len(), 30, "the side that refuses has told everything");
    assert_eq!(world.sides[1].store.items().len(), 15, "and has taken nothing");
}

#[test]
fn a_package_that_cannot_be_made_does_not_keep_the_other_direction_from_getting_through() {
    let mut world = world(false);
    (0..30).for_each(|item| world.sides[(item % 2) as usize].store.write(item));
    let refusal = Refusal { code: RefusalCode::Store, reason: "no".to_owned(), advice: "yes".to_owned() };
    for _ in 0..1000 {
        if let Some(at) = world.sides[0].questions.iter().position(|one| matches!(one, Output::Pull { .. })) {
            world.sides[0].questions.remove(at);
            world.tell(0, Input::PullFailed(refusal.clone()));
        }
        (0..2).for_each(|number| {
            world.answer(number, 0);
            world.carry(number);
        });
    }
    assert_eq!(world.sides[0].ended, Some(Ended::Refused(refusal.clone())));
    assert_eq!(world.sides[1].ended, Some(Ended::RefusedByPeer(refusal)));
    assert_eq!(world.sides[0].store.items().len(), 30, "the side that cannot tell has heard everything");
}

#[test]
fn two_sides_that_both_refuse_do_not_wait_for_each_other_for_ever() {
    let mut world = world(false);
    (0..30).for_each(|item| world.sides[(item % 2) as usize].store.write(item));
    let refusal = Refusal { code: RefusalCode::Package, reason: "no".to_owned(), advice: "yes".to_owned() };
    for _ in 0..1000 {
        for number in [0, 1] {
            if let Some(at) = world.sides[number].questions.iter().position(|one| matches!(one, Output::Apply { .. })) {
                world.sides[number].questions.remove(at);
                world.tell(number, Input::Failed(refusal.clone()));
            }
            world.answer(number, 0);
            world.carry(number);
        }
    }
    assert_eq!(world.sides[0].ended, None);
    world.now = world.sides[0].session.deadline().expect("the session runs");
    world.tell(0, Input::Tick);
    assert_eq!(world.sides[0].ended, Some(Ended::Refused(refusal.clone())));
    world.settle();
    assert_eq!(world.sides[1].ended, Some(Ended::RefusedByPeer(refusal)));
}

#[test]
fn a_long_reason_is_cut_so_that_it_can_be_sent() {
    let mut world = world(false);
    let refusal = Refusal { code: RefusalCode::Store, reason: "ä".repeat(10_000), advice: String::new() };
    world.tell(0, Input::Failed(refusal));
    let Some(said) = world.sides[0].sending.back() else { panic!("nothing is said") };
    let Ok(Message::Refusal(heard)) = Message::from_bytes(&said.to_bytes().expect("it can be sent")) else {
        panic!("{said:?}")
    };
    assert!(heard.reason.starts_with("ää") && heard.reason.ends_with('…'));
}

#[test]
fn what_a_peer_says_cannot_command_a_terminal() {
    let refusal = Refusal { code: RefusalCode::Busy, reason: "\x1b[2Jgone".to_owned(), advice: "a\nb".to_owned() };
    assert!(!Ended::RefusedByPeer(refusal).to_string().contains(char::is_control));
}

#[test]
fn another_version_is_refused_by_name() {
    let mut session = Session::new(Role::Listener, Patience::default());
    session.handle(Input::Started, Duration::ZERO);
    let site = Store::new(1, 1, &["t"]).site;
    let hello = Hello { version_min: 7, version_max: 9, site, room: "room".to_owned(), token: None };
    session.handle(Input::Message(Message::Hello(hello)), Duration::ZERO);
    let Some(Output::Send(Message::Refusal(refusal))) = session.poll() else { panic!("no refusal") };
    assert_eq!(refusal.code, RefusalCode::Version);
    assert!(refusal.reason.contains("7 to 9"));
}

#[test]
fn a_silent_side_is_pinged_and_then_given_up() {
    let mut world = world(false);
    world.settle();
    let patience = Patience::default();
    world.now = world.sides[0].session.deadline().expect("the session runs");
    assert_eq!(world.now, patience.ping_after);
    world.tell(0, Input::Tick);
    assert_eq!(world.sides[0].sending.front(), Some(&Message::Ping(1)));
    world.settle();
    assert_eq!(world.sides[0].ended, None, "the other side answered");
    world.now += patience.silence_max;
    world.tell(0, Input::Tick);
    assert_eq!(world.sides[0].ended, Some(Ended::Silent));
    assert_eq!(world.sides[0].session.deadline(), None);
}

fn progress(world: &World, number: usize) -> u64 {
    let last = world.sides[number].events.iter().rev().find_map(|event| match event {
        Event::Progress(progress) => Some(progress.changes_sent),
        _ => None,
    });
    last.unwrap_or(0)
}

#[derive(Clone, Debug)]
enum Act {
    Carry(usize),
    Answer(usize, usize),
    Write(usize),
    Cut,
    Forget(usize),
    StartAnew(usize),
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0usize..2).prop_map(Act::Carry),
        12 => (0usize..2, 0usize..4).prop_map(|(side, nth)| Act::Answer(side, nth)),
        6 => (0usize..2).prop_map(Act::Write),
        1 => Just(Act::Cut),
        1 => (0usize..2).prop_map(Act::Forget),
        1 => (0usize..2).prop_map(Act::StartAnew),
    ]
}

fn any_message() -> impl Strategy<Value = Message> {
    let site = (0u8..4, prop::collection::vec("[a-c]", 0..3), 0u32..200).prop_map(|(id, names, window)| {
        Store::new(id, window, &names.iter().map(String::as_str).collect::<Vec<_>>()).site
    });
    let any_receipt = (0u8..4, 0u8..4, 0usize..5).prop_map(|(a, b, at)| receipt(SiteId([a; 16]), SiteId([b; 16]), at));
    let definition =
        "[a-c]".prop_map(|name| TableDefinition { name, create_table: "CREATE".to_owned(), create_indexes: vec![] });
    let refusal = Refusal { code: RefusalCode::Busy, reason: String::new(), advice: String::new() };
    prop_oneof![
        (0u16..3, 0u16..3, site.clone()).prop_map(|(version_min, version_max, site)| Message::Hello(Hello {
            version_min,
            version_max,
            site,
            room: "room".to_owned(),
            token: None
        })),
        (0u16..3, site).prop_map(|(version, site)| Message::Welcome(Welcome { version, site })),
        prop::collection::vec(definition, 0..3).prop_map(|tables| Message::Schema(Schema { tables })),
        any_receipt.clone().prop_map(|receipt| Message::Ready(Ready { receipt })),
        (0u64..4, prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(number, package)| Message::Package(PackageMessage { number, package })),
        (0u64..4, any_receipt).prop_map(|(answers, receipt)| Message::Receipt(ReceiptMessage { answers, receipt })),
        Just(Message::Level),
        (0u64..3).prop_map(Message::Ping),
        (0u64..3).prop_map(Message::Pong),
        Just(Message::Refusal(refusal)),
        Just(Message::Goodbye(Goodbye::Done)),
    ]
}

fn perform(world: &mut World, act: Act, written: &mut u32) {
    match act {
        Act::Carry(from) => {
            world.carry(from);
        }
        Act::Answer(side, nth) => {
            world.answer(side, nth);
        }
        Act::Write(side) => {
            world.write(side, *written);
            *written += 1;
        }
        Act::Cut => world.cut(),
        Act::StartAnew(side) => world.sides[side].store.starts_anew = true,
        // A receiver that has lost some of its positions, and a sender that has lost some of its memory.
        Act::Forget(side) => {
            world.sides[side].store.position /= 2;
            world.sides[side].store.acknowledged /= 2;
        }
    }
}

/// A sender that has to go back starts from where the receiver stood, while packages that are on their way still move it.
/// It used to go back again for every answer from further on: what it sent was always too late, and after eight times it
/// ended the session, as in this schedule.
#[test]
fn a_receiver_that_packages_on_their_way_have_moved_on_does_not_end_the_session() {
    let schedule = "W1 W0 W1 W0 W0 W1 W1 W0 W1 W1 W1 W1 W0 W0 W1 W1 W0 W1 W1 W0 C0 A10 W0 W1 C1 A10 A00 W1 C0 W0 A10 C1 A10 \
        W1 C1 A10 C1 W0 A01 A01 X W1 W0 W1 W1 W0 W1 W0 W1 S1 W0 W1 W0 W0 C0 A10 W1 C1 A10 A00 C1 A00 C0 A00 C0 A10 A10 C0 \
        A10 S0 W1 W0 W0 A10 W0 A10 C1 C1 A10 W1 W1 A00 A02 C0 A10 C0 S0 W1 W1 C0 C0 C0 A10 W1 W0 W1 W0 W1";
    let mut world = World::new(Store::new(1, 61, &["t"]), Store::new(2, 61, &["t"]), false);
    let mut written = 0;
    for word in schedule.split_whitespace() {
        let number = |at: usize| usize::from(word.as_bytes()[at] - b'0');
        let act = match word.as_bytes()[0] {
            b'W' => Act::Write(number(1)),
            b'C' => Act::Carry(number(1)),
            b'A' => Act::Answer(number(1), number(2)),
            b'S' => Act::StartAnew(number(1)),
            _ => Act::Cut,
        };
        perform(&mut world, act, &mut written);
    }
    world.settle();
    for side in &world.sides {
        assert_eq!(side.ended, None);
        assert_eq!(side.store.items(), (0..written).collect());
    }
}

/// So often may something be forgotten in one session. Each time it may have to go back twice, and a session that goes back
/// nine times while nothing is taken in ends, as docs/formats/session.md says: found by a schedule that forgot six times. The
/// next session brings both sides level even then.
const FORGOTTEN_MAX: u32 = 3;

proptest! {
    #[test]
    fn whatever_the_schedule_both_sides_end_level(
        acts in prop::collection::vec(any_act(), 0..300),
        windows in (0u32..100, 0u32..100),
    ) {
        let mut world = World::new(Store::new(1, windows.0, &["t"]), Store::new(2, windows.1, &["t"]), false);
        let (mut written, mut forgotten, mut most_forgotten) = (0, 0, 0);
        for act in acts {
            match act {
                Act::Cut => forgotten = 0,
                Act::StartAnew(_) | Act::Forget(_) => forgotten += 1,
                _ => {}
            }
            most_forgotten = most_forgotten.max(forgotten);
            perform(&mut world, act, &mut written);
        }
        world.settle();
        world.write(0, written);
        world.write(1, written + 1);
        world.settle();
        let gave_up = world.sides.iter().any(|side| matches!(side.ended, Some(Ended::Refused(_))));
        if most_forgotten > FORGOTTEN_MAX && gave_up {
            world.dial();
            world.settle();
        }
        for number in [0, 1] {
            prop_assert_eq!(&world.sides[number].ended, &None);
            prop_assert!(world.caught_up(number));
            prop_assert_eq!(world.sides[number].store.items(), (0..written + 2).collect());
        }
    }

    #[test]
    fn whatever_a_peer_says_the_session_lives_or_ends_in_order(
        dialler in any::<bool>(),
        messages in prop::collection::vec((any_message(), any::<bool>()), 0..30),
    ) {
        let mut world = world(false);
        let number = usize::from(!dialler);
        for (message, answer) in messages {
            world.tell(number, Input::Message(message));
            if answer {
                world.answer(number, 0);
            }
        }
        if let Some(Ended::Refused(refusal)) = &world.sides[number].ended {
            prop_assert_eq!(world.sides[number].sending.back(), Some(&Message::Refusal(refusal.clone())));
        }
    }
}
