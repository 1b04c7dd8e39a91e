//! Compares the built-in engine with the original cr-sqlite and with SQLite by itself: the same rows, the same SQLite, one
//! process, all systems in turn. What comes out must be the same everywhere, or the program fails.
//!
//! `docs/performance.md` says what is measured and what the numbers mean.
#![forbid(unsafe_code)]

mod bars;
mod measure;
mod perform;
mod record;
mod report;
mod rounds;
mod shape;
mod system;
mod verify;
mod workload;
mod workshop;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use crate::report::{Circumstances, Setting};
use crate::system::{System, TempStore};
use crate::workload::{WORKLOADS, Workload};
use crate::workshop::Workshop;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Compare the built-in engine with the original cr-sqlite and with SQLite by itself.
///
/// Times are CPU times, as ratios to those of SQLite by itself. Every result is compared; a difference is an error.
#[derive(Parser)]
#[command(name = "rejoin-bench-compare", max_term_width = 110)]
struct Cli {
    /// Rows of the tables; four times as many changes.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    rows: u32,
    /// How often everything is done.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Only this work; may be given several times.
    #[arg(long, value_name = "WORK", value_parser = Workload::of_name)]
    only: Vec<Workload>,
    /// Only this system beside plain SQLite; may be given several times.
    #[arg(long, value_parser = System::of_word)]
    system: Vec<System>,
    /// The original's library [default: oracle/native/crsqlite.so in Cargo's target folder].
    #[arg(long, value_name = "FILE")]
    original: Option<PathBuf>,
    /// Where the databases are made: on a disk, rather than in memory [default: the folder for temporary files].
    #[arg(long)]
    folder: Option<PathBuf>,
    /// JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// End with exit code 3 where a bar is missed.
    #[arg(long)]
    check: bool,
    /// Nothing but one work by one system, again and again, under a profiler; all that is measured happens in the
    /// function `measured`.
    #[arg(long, num_args = 3, value_names = ["WORK", "SYSTEM", "TIMES"], conflicts_with_all = ["only", "system", "check"])]
    repeat_only: Option<Vec<String>>,
    /// Name every work and end.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Outcome<ExitCode> {
    if cli.list {
        for workload in WORKLOADS {
            println!("{:18} {}", workload.name, workload.label);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let rows = usize::try_from(cli.rows)?;
    let folder = match &cli.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let original = original(cli)?;
    let workshop = Workshop::new(folder.path(), original.clone(), rows);
    if let Some(words) = &cli.repeat_only {
        return repeat_only(&workshop, words, rows);
    }
    let systems: Vec<System> = System::ALL.into_iter().filter(|system| is_wanted(cli, *system, &original)).collect();
    let workloads = if cli.only.is_empty() { WORKLOADS } else { &cli.only };
    let mut settings = Vec::new();
    for temp_store in [TempStore::Memory, TempStore::Default] {
        let mut measured = Vec::new();
        for workload in workloads {
            eprintln!("{}, temp_store = {}", workload.label, temp_store.word());
            measured.push(rounds::rounds(
                &workshop,
                workload,
                &systems,
                usize::try_from(cli.rounds)?,
                temp_store,
                rows,
            )?);
        }
        settings.push(Setting { temp_store, measured });
    }
    let circumstances =
        Circumstances { rows, rounds: usize::try_from(cli.rounds)?, has_original: systems.contains(&System::Original) };
    if cli.json {
        println!("{}", report::json(&circumstances, &settings));
    } else {
        print!("{}", report::text(&circumstances, &settings));
    }
    if cli.check { check(&settings) } else { Ok(ExitCode::SUCCESS) }
}

fn is_wanted(cli: &Cli, system: System, original: &Option<PathBuf>) -> bool {
    match system {
        System::Plain => true,
        System::Original if original.is_none() => false,
        _ => cli.system.is_empty() || cli.system.contains(&system),
    }
}

/// The original's library, where it is.
fn original(cli: &Cli) -> Outcome<Option<PathBuf>> {
    if let Some(path) = &cli.original {
        return if path.is_file() { Ok(Some(path.clone())) } else { Err(format!("no file {}", path.display()).into()) };
    }
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent).ok_or("this program lies in no target folder")?;
    let path = target.join("oracle").join("native").join("crsqlite.so");
    if path.is_file() {
        return Ok(Some(path));
    }
    eprintln!("the original is not at {}: `cargo xtask oracle` makes it; going on without it", path.display());
    Ok(None)
}

fn repeat_only(workshop: &Workshop, words: &[String], rows: usize) -> Outcome<ExitCode> {
    let [work, system, times] = words else { return Err("--repeat-only takes WORK SYSTEM TIMES".into()) };
    let workload = Workload::of_name(work)?;
    let system = System::of_word(system)?;
    if !workload.is_for(system) {
        return Err(format!("{work} is nothing that {} does", system.word()).into());
    }
    let times = times.parse().map_err(|_| format!("{times:?} is no number of times"))?;
    let samples = rounds::repeat(workshop, &workload, system, times)?;
    let cpu = measure::spread(samples.iter().map(|sample| sample.cpu.as_secs_f64()).collect());
    let changes = workload.changes(rows);
    println!("{}: {changes} changes, {:.3} µs CPU each (median)", workload.label, cpu.median * 1e6 / changes as f64);
    Ok(ExitCode::SUCCESS)
}

/// Exit code 3 where a bar is missed.
fn check(settings: &[Setting]) -> Outcome<ExitCode> {
    let judged: Vec<_> = settings.iter().flat_map(|setting| bars::judge(&setting.measured)).collect();
    let required: Vec<_> = judged.iter().filter(|bar| bar.is_required).collect();
    if required.is_empty() {
        return Err("nothing that has a bar was measured beside the original, so that there is nothing to check".into());
    }
    Ok(if required.iter().all(|bar| bar.is_met) { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
