//! The same load through the original server and through `rejoin serve`, in one run.
//!
//! One client pushes frames that were made beforehand, as fast as the server takes them. A round ends when every listener
//! has received everything and the server says that it has applied everything: a further connection announces the
//! pushing client's site, and every server answers with what it holds of that site. Without listeners that question is
//! asked again and again. Each round has a fresh process and a fresh room, and the servers take turns.

#![forbid(unsafe_code)]

mod load;
mod round;
mod servers;
mod socket;
mod table;

use clap::Parser;
use load::Load;
use servers::{Kind, Place};
use std::path::PathBuf;
use std::process::ExitCode;

/// Compare the throughput of the original server and of `rejoin serve`
///
/// `cargo xtask throughput` builds both and calls this.
#[derive(Parser)]
struct Args {
    /// The program rejoin
    #[arg(long)]
    rejoin: PathBuf,
    /// The script that starts the original server
    #[arg(long)]
    original: PathBuf,
    /// Changes in one frame; can be given many times
    #[arg(long, default_values_t = [1, 10, 100, 1000])]
    batch: Vec<usize>,
    /// Clients that receive everything
    #[arg(long, default_value_t = 1)]
    listeners: usize,
    /// Rounds for each server and batch size
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Part of the usual number of changes, for a quick look
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Leave servers out: original-memory, original-file, rejoin-file
    #[arg(long)]
    without: Vec<String>,
}

/// What goes wrong is a sentence.
type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Outcome<()> {
    let place = Place::new(&args.rejoin, &args.original)?;
    let kinds: Vec<Kind> =
        Kind::ALL.into_iter().filter(|kind| !args.without.iter().any(|name| name == kind.name())).collect();
    println!("{}", table::HEAD);
    for &batch in &args.batch {
        if batch == 0 {
            return Err("a frame has at least one change".to_owned());
        }
        let load = Load::new(batch, args.scale)?;
        let generator = load.rate_of_generator()?;
        let mut measured = vec![Vec::new(); kinds.len()];
        for round in 0..args.rounds {
            for turn in 0..kinds.len() {
                // Whoever goes first goes last in the next round.
                let at = if round % 2 == 0 { turn } else { kinds.len() - 1 - turn };
                let measure = || {
                    let server = place.start(kinds[at])?;
                    let sample = round::run(&server, &load, args.listeners);
                    sample
                        .map_err(|error| format!("{}, batch {batch}: {error}\n{}", kinds[at].name(), server.printed()))
                };
                let sample = match measure() {
                    // The original learns of what is in a file by watching it, and now and then misses the last write.
                    Err(error) if kinds[at] == Kind::OriginalFile => {
                        eprintln!("once more: {error}");
                        measure()?
                    }
                    outcome => outcome?,
                };
                eprintln!("{} batch {batch}: {:.0} changes/s", kinds[at].name(), sample.rate(&load));
                measured[at].push(sample);
            }
        }
        for (kind, samples) in kinds.iter().zip(&measured) {
            println!("{}", table::line(*kind, &load, args.listeners, generator, samples));
        }
    }
    Ok(())
}
