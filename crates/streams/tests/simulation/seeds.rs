//! Which schedules are tried, and what is shown of one that fails.

use crate::common::original;
use crate::healing;
use crate::step::Script;
use crate::world::Checked;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Tries every eighth seed, from this one on. A failed test shows the seed and what is left of its script when all steps
/// that do not matter are gone.
pub fn try_part(part: u64) {
    if original().is_some() {
        // The snapshot of the original that can be had decides ties by author, and two copies of a file are one author.
        return println!("skipped: this simulates the built-in engine");
    }
    let (first, count) = match variable("REJOIN_SEED") {
        Some(_) if part > 0 => return,
        Some(seed) => (seed, 1),
        None => (variable("REJOIN_SEEDS_FROM").unwrap_or(0), variable("REJOIN_SEEDS").unwrap_or(SEEDS)),
    };
    for seed in (first + part..first + count).step_by(PARTS as usize) {
        let script = Script::of(seed);
        if let Err(what) = outcome(&script, seed) {
            println!("REJOIN_SEED={seed}: {what}");
            let (script, what) = shrink(script, seed, what);
            panic!("REJOIN_SEED={seed}: {what}\n{script:#?}");
        }
    }
}

/// Runs a script; a panic in it is a failure like any other.
pub fn outcome(script: &Script, seed: u64) -> Checked {
    catch_unwind(AssertUnwindSafe(|| healing::run(script, seed))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default())
    })
}

/// Leaves out pieces of the script as long as it still fails.
fn shrink(mut script: Script, seed: u64, mut what: String) -> (Script, String) {
    let began = Instant::now();
    let mut length = script.steps.len() / 2;
    while length > 0 {
        let mut at = 0;
        while at < script.steps.len() && began.elapsed() < SHRINKING_MAX {
            let mut shorter = script.clone();
            shorter.steps.drain(at..(at + length).min(script.steps.len()));
            match outcome(&shorter, seed) {
                Err(still) => (script, what) = (shorter, still),
                Ok(()) => at += length,
            }
        }
        length /= 2;
    }
    (script, what)
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// How many schedules are tried where nobody says otherwise.
const SEEDS: u64 = 2000;
const PARTS: u64 = 8;
/// How long a failing script is shortened.
const SHRINKING_MAX: Duration = Duration::from_secs(20);
