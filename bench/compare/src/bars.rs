//! How much faster than the original the built-in engine must be.

use crate::measure::spread;
use crate::rounds::Measured;
use crate::system::System;

/// One bar: a piece of work, the system that must take it, and by how much.
struct Bar {
    workload: &'static str,
    system: System,
    measure: Measure,
    /// Whether missing it is a failure. The others are shown because users go that way too: existing sync layers speak SQL,
    /// and rows are often changed in several columns.
    is_required: bool,
}

/// What is compared.
#[derive(Clone, Copy)]
enum Measure {
    /// CPU of the original divided by CPU of the built-in engine: at least so much.
    TimesFaster(f64),
    /// What the built-in engine adds to SQLite's own CPU, divided by what the original adds: at most so much.
    ShareOfOverhead(f64),
}

const BARS: &[Bar] = &[
    bar("insert", System::BuiltIn, Measure::ShareOfOverhead(0.5), true),
    bar("apply", System::Rows, Measure::TimesFaster(4.0), true),
    bar("re-apply", System::Rows, Measure::TimesFaster(4.0), true),
    bar("conflicts", System::Rows, Measure::TimesFaster(2.0), true),
    bar("conflicts-rows", System::Rows, Measure::TimesFaster(2.0), false),
    bar("apply", System::Streams, Measure::TimesFaster(4.0), false),
    bar("re-apply", System::Streams, Measure::TimesFaster(4.0), false),
    bar("conflicts", System::Streams, Measure::TimesFaster(2.0), false),
    bar("conflicts-rows", System::Streams, Measure::TimesFaster(2.0), false),
    bar("apply", System::BuiltIn, Measure::TimesFaster(4.0), false),
    bar("re-apply", System::BuiltIn, Measure::TimesFaster(4.0), false),
    bar("conflicts", System::BuiltIn, Measure::TimesFaster(2.0), false),
];

const fn bar(workload: &'static str, system: System, measure: Measure, is_required: bool) -> Bar {
    Bar { workload, system, measure, is_required }
}

/// How a bar was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub workload: &'static str,
    pub system: System,
    /// What was wanted, in words.
    pub wanted: String,
    /// What was reached, in the same measure.
    pub reached: f64,
    pub is_met: bool,
    pub is_required: bool,
}

/// Judges all bars for which there are numbers, by the medians.
pub fn judge(measured: &[Measured]) -> Vec<Judged> {
    BARS.iter().filter_map(|bar| bar.judge(measured)).collect()
}

impl Bar {
    fn judge(&self, measured: &[Measured]) -> Option<Judged> {
        let of_work = measured.iter().find(|one| one.workload.name == self.workload)?;
        let original = cpu_median(of_work, System::Original)?;
        let built_in = cpu_median(of_work, self.system)?;
        let (wanted, reached, is_met) = match self.measure {
            Measure::TimesFaster(times) => {
                let reached = original / built_in;
                (format!("at least {times} times faster"), reached, reached >= times)
            }
            Measure::ShareOfOverhead(share) => {
                let plain = cpu_median(of_work, System::Plain)?;
                let reached = (built_in - plain) / (original - plain);
                (format!("at most {share} of the overhead"), reached, reached <= share)
            }
        };
        let is_required = self.is_required;
        Some(Judged { workload: self.workload, system: self.system, wanted, reached, is_met, is_required })
    }
}

/// The median of a system's CPU times, in seconds.
pub fn cpu_median(measured: &Measured, system: System) -> Option<f64> {
    let (_, samples) = measured.systems.iter().find(|(known, _)| *known == system)?;
    Some(spread(samples.iter().map(|sample| sample.cpu.as_secs_f64()).collect()).median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sample;
    use crate::workload::Workload;
    use std::time::Duration;

    fn measured(name: &str, times_ms: &[(System, u64)]) -> Measured {
        let sample = |ms| Sample { cpu: Duration::from_millis(ms), wall: Duration::from_millis(ms) };
        Measured {
            workload: Workload::of_name(name).expect("is there"),
            changes: 1,
            systems: times_ms.iter().map(|(system, ms)| (*system, vec![sample(*ms)])).collect(),
        }
    }

    #[test]
    fn the_overhead_is_what_comes_on_top_of_sqlite() {
        let insert = |built_in| {
            let times = [(System::Plain, 10), (System::Original, 110), (System::BuiltIn, built_in)];
            judge(&[measured("insert", &times)]).remove(0)
        };
        assert!(insert(60).is_met);
        assert!(!insert(61).is_met);
    }

    #[test]
    fn a_bar_is_met_when_it_is_reached_exactly() {
        let apply = |rows| {
            let times = [(System::Plain, 1), (System::Original, 80), (System::Rows, rows)];
            judge(&[measured("apply", &times)]).remove(0)
        };
        assert!(apply(20).is_met && apply(20).is_required);
        assert!(!apply(21).is_met);
    }

    #[test]
    fn conflicts_are_judged_by_those_of_one_column_and_whole_rows_are_shown_beside_them() {
        let times = |rows| [(System::Plain, 1), (System::Original, 20), (System::Rows, rows)];
        let judged = judge(&[measured("conflicts", &times(11)), measured("conflicts-rows", &times(5))]);
        let judged: Vec<_> = judged.iter().map(|bar| (bar.workload, bar.is_met, bar.is_required)).collect();
        assert_eq!(judged, [("conflicts", false, true), ("conflicts-rows", true, false)]);
    }

    #[test]
    fn without_the_original_nothing_is_judged() {
        assert_eq!(judge(&[measured("insert", &[(System::Plain, 1), (System::BuiltIn, 2)])]), []);
    }
}
