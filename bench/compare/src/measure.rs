//! CPU time and wall time of one piece of work.

use cpu_time::ProcessTime;
use std::time::{Duration, Instant};

/// What one piece of work took.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// CPU time of this process, the kernel's share included.
    pub cpu: Duration,
    /// Time on the wall.
    pub wall: Duration,
}

/// Runs `work` and says what it took. Not inlined, so that a profiler finds everything measured under this name.
#[inline(never)]
pub fn measured<T>(work: impl FnOnce() -> T) -> (Sample, T) {
    let cpu = ProcessTime::now();
    let wall = Instant::now();
    let done = work();
    let wall = wall.elapsed();
    (Sample { cpu: cpu.elapsed(), wall }, done)
}

/// The least, the median and the greatest of some numbers; all 0 where there are none.
pub fn spread(mut numbers: Vec<f64>) -> Spread {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let median = match numbers.len() {
        0 => 0.0,
        count if count % 2 == 0 => (numbers[middle - 1] + numbers[middle]) / 2.0,
        _ => numbers[middle],
    };
    Spread {
        min: numbers.first().copied().unwrap_or_default(),
        median,
        max: numbers.last().copied().unwrap_or_default(),
    }
}

/// See [`spread`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The one in the middle, or the mean of the two there.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_there() {
        assert_eq!(spread(vec![3.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(spread(vec![4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(spread(Vec::new()).median, 0.0);
    }
}
