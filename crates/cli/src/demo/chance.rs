//! Chance that a seed repeats.

/// A small generator of numbers (SplitMix64): the same seed gives the same numbers.
pub struct Chance(u64);

impl Chance {
    /// A generator of its own for each `branch` of one seed.
    pub fn new(seed: u64, branch: u64) -> Chance {
        let mut chance = Chance(seed ^ branch.wrapping_mul(0xd6e8_feb8_6659_fd93));
        chance.next();
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound)) as u32
    }
}
