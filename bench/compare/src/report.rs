//! What was measured, as tables for people and as JSON for programs.

use crate::bars::{Judged, cpu_median, judge};
use crate::measure::{Sample, Spread, spread};
use crate::rounds::Measured;
use crate::system::{System, TempStore};
use serde_json::{Value, json};
use std::time::Duration;

/// All that was measured under one setting.
pub struct Setting {
    pub temp_store: TempStore,
    pub measured: Vec<Measured>,
}

/// Where and with what it was measured.
pub struct Circumstances {
    pub rows: usize,
    pub rounds: usize,
    pub has_original: bool,
}

impl Circumstances {
    fn lines(&self) -> String {
        let original = if self.has_original { "native, by cargo xtask oracle" } else { "not there" };
        format!(
            "CPU: {}, {} cores; SQLite {}; rows {}, rounds {}; the original: {original}",
            cpu_model(),
            cores(),
            rusqlite::version(),
            self.rows,
            self.rounds
        )
    }
}

/// Tables for people.
pub fn text(circumstances: &Circumstances, settings: &[Setting]) -> String {
    let mut text = format!("{}\n", circumstances.lines());
    text.push_str("journal_mode = WAL, synchronous = NORMAL, cache_size = 64 MB, a file database\n");
    for setting in settings {
        text.push_str(&format!("\ntemp_store = {}\n\n", setting.temp_store.word()));
        text.push_str(&table(&lines_of_systems(&setting.measured)));
        text.push_str("\nCPU medians against the original\n\n");
        text.push_str(&table(&lines_against_the_original(&setting.measured)));
        let judged = judge(&setting.measured);
        if !judged.is_empty() {
            text.push('\n');
            text.push_str(&table(&lines_of_bars(&judged)));
        }
    }
    text
}

fn lines_of_systems(measured: &[Measured]) -> Vec<Vec<String>> {
    let head = ["work", "changes", "system", "CPU / plain", "(min–max)", "wall / plain", "CPU µs per change"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for one in measured {
        for (system, samples) in &one.systems {
            let cpu = ratios(one, samples, |sample| sample.cpu);
            let wall = ratios(one, samples, |sample| sample.wall);
            lines.push(vec![
                one.workload.label.to_owned(),
                one.changes.to_string(),
                system.word().to_owned(),
                number(cpu.median),
                format!("({}–{})", number(cpu.min), number(cpu.max)),
                number(wall.median),
                format!("{:.2}", micros_per_change(one, *system)),
            ]);
        }
    }
    lines
}

fn lines_against_the_original(measured: &[Measured]) -> Vec<Vec<String>> {
    let head = ["work", "original / built-in", "original / rows", "original / streams"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for one in measured {
        let Some(original) = cpu_median(one, System::Original) else { continue };
        let of = |system| cpu_median(one, system).map_or("–".to_owned(), |median| number(original / median));
        lines.push(vec![one.workload.label.to_owned(), of(System::BuiltIn), of(System::Rows), of(System::Streams)]);
    }
    lines
}

fn lines_of_bars(judged: &[Judged]) -> Vec<Vec<String>> {
    let mut lines = vec![["bar", "system", "wanted", "reached", ""].map(str::to_owned).to_vec()];
    for bar in judged {
        let outcome = match (bar.is_met, bar.is_required) {
            (true, true) => "met",
            (false, true) => "MISSED",
            (true, false) => "met (not required)",
            (false, false) => "missed (not required)",
        };
        lines.push(vec![
            bar.workload.to_owned(),
            bar.system.word().to_owned(),
            bar.wanted.clone(),
            format!("{:.2}", bar.reached),
            outcome.to_owned(),
        ]);
    }
    lines
}

/// All there is, for programs. Times are in nanoseconds.
pub fn json(circumstances: &Circumstances, settings: &[Setting]) -> Value {
    json!({
        "cpu": cpu_model(),
        "cores": cores(),
        "sqlite": rusqlite::version(),
        "rows": circumstances.rows,
        "rounds": circumstances.rounds,
        "original": circumstances.has_original,
        "settings": settings.iter().map(json_of_setting).collect::<Vec<_>>(),
    })
}

fn json_of_setting(setting: &Setting) -> Value {
    let nanoseconds = |times: Vec<Duration>| -> Vec<u64> {
        times.into_iter().map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)).collect()
    };
    let of_system = |one: &Measured, system: System, samples: &[Sample]| {
        let cpu = ratios(one, samples, |sample| sample.cpu);
        json!({
            "system": system.word(),
            "cpu_ns": nanoseconds(samples.iter().map(|sample| sample.cpu).collect()),
            "wall_ns": nanoseconds(samples.iter().map(|sample| sample.wall).collect()),
            "cpu_to_plain": {"min": cpu.min, "median": cpu.median, "max": cpu.max},
            "wall_to_plain": ratios(one, samples, |sample| sample.wall).median,
            "cpu_us_per_change": micros_per_change(one, system),
        })
    };
    let workloads: Vec<Value> = setting
        .measured
        .iter()
        .map(|one| {
            let systems: Vec<Value> =
                one.systems.iter().map(|(system, samples)| of_system(one, *system, samples)).collect();
            json!({"workload": one.workload.name, "changes": one.changes, "systems": systems})
        })
        .collect();
    let bars: Vec<Value> = judge(&setting.measured)
        .into_iter()
        .map(|bar| {
            json!({"workload": bar.workload, "system": bar.system.word(), "wanted": bar.wanted, "reached": bar.reached,
                "met": bar.is_met, "required": bar.is_required})
        })
        .collect();
    json!({"temp_store": setting.temp_store.word(), "workloads": workloads, "bars": bars})
}

/// A system's times divided by those of SQLite by itself in the same round.
fn ratios(one: &Measured, samples: &[Sample], of: impl Fn(&Sample) -> Duration) -> Spread {
    let plain = one.systems.iter().find(|(system, _)| *system == System::Plain).map(|(_, samples)| samples);
    let plain = plain.into_iter().flatten();
    spread(samples.iter().zip(plain).map(|(one, plain)| of(one).as_secs_f64() / of(plain).as_secs_f64()).collect())
}

fn micros_per_change(one: &Measured, system: System) -> f64 {
    cpu_median(one, system).unwrap_or_default() * 1e6 / one.changes as f64
}

fn number(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.2}") } else { format!("{ratio:.1}") }
}

/// Columns of equal width; all but the first and those of words stand to the right.
fn table(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| {
                let space = " ".repeat(width - cell.chars().count());
                if cell.starts_with(|c: char| c.is_ascii_digit() || c == '(') {
                    format!("{space}{cell}")
                } else {
                    format!("{cell}{space}")
                }
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cpu_model() -> String {
    let known = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = known.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or("unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}
