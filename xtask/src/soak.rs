//! The random tests for as long as somebody likes: more schedules of the simulation, and more kills.

use crate::{Outcome, ci, repository, run};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// `cargo xtask soak [SEEDS [KILLS]]`.
pub fn soak(arguments: &[&str]) -> Outcome<()> {
    let (seeds, kills) = counts(arguments)?;
    // Other schedules every time. A failed test says which one it was.
    let from = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() * 1_000_000);
    println!("{seeds} schedules from REJOIN_SEEDS_FROM={from} on, then {kills} kills");
    let mut simulation = Command::new("cargo");
    simulation
        .args(["test", "--release", "--package", "rejoin-streams", "--test", "simulation", "all_end"])
        .env("REJOIN_SEEDS", seeds.to_string())
        .env("REJOIN_SEEDS_FROM", from.to_string())
        .current_dir(repository::root());
    run::run(&mut simulation)?;
    if kills == 0 { Ok(()) } else { ci::crashes(kills) }
}

fn counts(arguments: &[&str]) -> Outcome<(u64, u64)> {
    let number = |text: &str| text.parse().map_err(|_| format!("a count is a number, and not `{text}`"));
    match arguments {
        [] => Ok((SEEDS, KILLS)),
        [seeds] => Ok((number(seeds)?, KILLS)),
        [seeds, kills] => Ok((number(seeds)?, number(kills)?)),
        [_, _, more, ..] => Err(format!("soak takes how many schedules and how many kills, and not `{more}` as well")),
    }
}

const SEEDS: u64 = 100_000;
const KILLS: u64 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_or_refused_in_words() {
        assert_eq!(counts(&[]), Ok((SEEDS, KILLS)));
        assert_eq!(counts(&["10"]), Ok((10, KILLS)));
        assert_eq!(counts(&["10", "0"]), Ok((10, 0)));
        assert!(counts(&["many"]).is_err_and(|text| text.contains("`many`")));
        assert!(counts(&["1", "2", "3"]).is_err_and(|text| text.contains("`3`")));
    }
}
