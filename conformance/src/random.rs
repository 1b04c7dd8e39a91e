//! Random choices that a printed seed repeats.

use std::time::{SystemTime, UNIX_EPOCH};

/// A small generator of random numbers (SplitMix64).
pub struct Random(u64);

impl Random {
    /// The seed in REJOIN_SEED, or one from the clock; it is printed, and a failed test shows what it printed.
    pub fn new() -> Random {
        let seed = match std::env::var("REJOIN_SEED") {
            Ok(text) => text.parse().expect("REJOIN_SEED is a number"),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_nanos() as u64),
        };
        println!("REJOIN_SEED={seed}");
        Random(seed)
    }

    /// A generator of its own for one part of a test.
    pub fn seeded(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number from 0 to `end` - 1; `end` is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }

    /// One of these.
    pub fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

impl Default for Random {
    fn default() -> Random {
        Random::new()
    }
}
