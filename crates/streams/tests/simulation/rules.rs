//! What each rule is for: a schedule that ends well with it, and badly without it. Random schedules come upon some of them
//! once in a thousand times only, so they are written out.

use crate::files::Schema;
use crate::seeds::outcome;
use crate::step::{FilterKind, Inside, Restore, Script, Shape, Step, Write};
use rejoin_streams::rules::{Rule, without};
use rejoin_streams::{Atomic, Order, PACKAGE_BYTES_DEFAULT};

/// The application of a restored file writes before anybody opens its streams, up to versions that the lost file had given
/// away. Were the new epoch to begin behind those, the receiver's position would look like one of this history as soon as
/// a package has been read.
#[test]
fn an_epoch_must_cover_what_was_written_before_the_streams_were_used() {
    let mut steps: Vec<Step> = (1..=4).map(insert).collect();
    steps.extend([
        Step::Level { link: 0 },
        Step::Backup { database: 0 },
        insert(5),
        insert(6),
        Step::Level { link: 0 },
    ]);
    steps.push(Step::Restore { backup: 0, how: Restore::Closed });
    steps.extend((11..=14).map(insert));
    steps.extend([send(4), LOSE, LOSE]);
    is_needed(Rule::Witness, &pair(steps, TAKEN_AT_ONCE));
}

/// A cell moves up, a package that does not reach it is applied, and the file is restored to before that: the cell is
/// where the position has passed it, and the position itself lies in both histories.
#[test]
fn a_receipt_must_be_verified_by_the_head_at_reading() {
    let mut steps: Vec<Step> = (1..=8).map(insert).collect();
    steps.extend([send(100), LOSE, LOSE, Step::Backup { database: 0 }]);
    steps.push(Step::Write { database: 0, write: Write::UpdateOne, key: 3, value: 5, elsewhere: false });
    steps.extend([send(14), DELIVER, LOSE]);
    steps.push(Step::Restore { backup: 0, how: Restore::Closed });
    is_needed(Rule::AsOf, &pair(steps, TAKEN_AT_ONCE));
}

/// A phone is restored, and then talks to a hub that it has never met. By author, the hub would leave out what the phone
/// itself has lost.
#[test]
fn what_is_not_sent_back_must_be_told_by_arrival() {
    let level = |link| Step::Level { link };
    let steps =
        vec![insert(1), level(0), level(1), Step::Backup { database: 0 }, insert(5), insert(6), level(0), level(1)];
    let restore = Step::Restore { backup: 0, how: Restore::Closed };
    let databases = vec![Schema::New; 3];
    let steps = [steps, vec![restore, level(2)]].concat();
    is_needed(Rule::Arrival, &Script { databases, shape: Shape::Ring, receive: TAKEN_AT_ONCE, steps });
}

#[test]
fn a_wider_filter_must_begin_a_run() {
    let filter = |filter| Step::Filter { link: 0, back: false, filter };
    let level = Step::Level { link: 0 };
    let write = Step::Write { database: 0, write: Write::BothTables, key: 1, value: 1, elsewhere: false };
    let steps = vec![write, filter(FilterKind::Tables(&["t"])), level, filter(FilterKind::All), level];
    is_needed(Rule::Run, &pair(steps, TAKEN_AT_ONCE));
}

/// The head of a transaction is staged, and its tail is overwritten before it is sent: nothing of it comes any more.
#[test]
fn a_staged_transaction_must_be_whole_when_a_package_passes_it() {
    let mut steps = vec![insert(1), send(2), DELIVER, LOSE];
    steps.push(Step::Write { database: 0, write: Write::Third, key: 1, value: 5, elsewhere: false });
    steps.push(Step::Level { link: 0 });
    is_needed(Rule::Closing, &pair(steps, (Order::Strict, Atomic::Transaction)));
}

fn is_needed(rule: Rule, script: &Script) {
    assert_eq!(outcome(script, SEED), Ok(()), "with every rule");
    let without_it = without(rule, || outcome(script, SEED));
    println!("without {rule:?}: {}", without_it.expect_err("this schedule ends well without the rule"));
}

fn insert(key: usize) -> Step {
    Step::Write { database: 0, write: Write::Insert, key, value: 1, elsewhere: false }
}

fn send(changes_max: usize) -> Step {
    Step::Send { link: 0, back: false, changes_max, packages: 1, bytes_max: PACKAGE_BYTES_DEFAULT }
}

const DELIVER: Step = Step::Deliver { at: 0, again: false, inside: Inside::Own };
const LOSE: Step = Step::Lose { at: 0 };

fn pair(steps: Vec<Step>, receive: (Order, Atomic)) -> Script {
    Script { databases: vec![Schema::New; 2], shape: Shape::Chain, receive, steps }
}

const TAKEN_AT_ONCE: (Order, Atomic) = (Order::Strict, Atomic::Package);
/// What is on its way in the end is lost.
const SEED: u64 = 1;
