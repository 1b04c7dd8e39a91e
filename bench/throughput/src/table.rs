//! The results, as lines of a table in Markdown.

use crate::load::Load;
use crate::round::Sample;
use crate::servers::Kind;

/// The table's head.
pub const HEAD: &str = "\
| server | changes in a frame | listeners | changes | changes/s: median | min | max | processor time, median | generator alone |
|---|---|---|---|---|---|---|---|---|";

/// One server with one load.
pub fn line(kind: Kind, load: &Load, listeners: usize, generator: f64, samples: &[Sample]) -> String {
    let mut rates: Vec<f64> = samples.iter().map(|sample| sample.rate(load)).collect();
    rates.sort_by(f64::total_cmp);
    let mut processor: Vec<f64> = samples.iter().map(|sample| sample.processor.as_secs_f64()).collect();
    processor.sort_by(f64::total_cmp);
    format!(
        "| {} | {} | {listeners} | {} | {} | {} | {} | {:.2} s | {} |",
        kind.name(),
        load.batch,
        grouped(load.changes as f64),
        grouped(median(&rates)),
        grouped(rates.first().copied().unwrap_or_default()),
        grouped(rates.last().copied().unwrap_or_default()),
        median(&processor),
        grouped(generator),
    )
}

/// The one in the middle of sorted numbers, or the mean of the two there.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// A whole number with a space between thousands.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0.0, 999.4, 1000.0, 1_234_567.0].map(grouped), ["0", "999", "1 000", "1 234 567"]);
    }

    #[test]
    fn the_median_of_an_even_number_of_samples_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[]), 0.0);
    }
}
