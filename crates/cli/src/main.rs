//! The `rejoin` program: arguments in, text or JSON out. What the verbs do lives in the crate `rejoin`.
#![forbid(unsafe_code)]

mod demo;
mod diff;
mod ending;
mod extension_path;
mod interrupt;
mod serve;
mod show;
mod snapshot;
mod status;
mod sync;
mod track;
mod untrack;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::ending::{Ending, Failure};

/// Keep copies of a SQLite database in step.
///
/// Each copy is edited on its own, offline or online, and rejoins the others without conflicts. Try it: rejoin demo
#[derive(Parser)]
#[command(name = "rejoin", version, max_term_width = 110, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// What the program can do. Each verb is one file.
#[derive(Subcommand)]
enum Verb {
    Demo(demo::Args),
    Track(track::Args),
    Untrack(untrack::Args),
    Serve(serve::Args),
    Sync(sync::Args),
    Status(status::Args),
    Diff(diff::Args),
    Snapshot(snapshot::Args),
    ExtensionPath(extension_path::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Demo(args) => demo::run(&args),
        Verb::Track(args) => track::run(&args),
        Verb::Untrack(args) => untrack::run(&args),
        Verb::Serve(args) => serve::run(&args),
        Verb::Sync(args) => sync::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::Diff(args) => diff::run(&args),
        Verb::Snapshot(args) => snapshot::run(&args),
        Verb::ExtensionPath(args) => extension_path::run(&args),
    };
    ExitCode::from(match outcome {
        Ok(Ending::Done) => 0,
        Ok(Ending::Failed) => 1,
        Ok(Ending::NotLevel) => 3,
        // Whoever read the output has seen enough.
        Err(Failure::OutputClosed) => 0,
        Err(Failure::Says(why)) => {
            // Nobody is left to tell when this fails.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("rejoin: {why}\n").as_bytes());
            1
        }
    })
}

const AFTER_HELP: &str = "\
Examples:
  rejoin demo                                     see it work: a hub, three peers, one minute
  rejoin track app.db                             what is in the way of tracking these tables?
  rejoin track --adapt app.db                     make them fit, and track them
  rejoin serve --dir ./dbs                        a server with one room per database
  rejoin sync app.db ws://127.0.0.1:7448/app      keep a copy in step with a room
  rejoin diff app.db other.db                     are they equal, and if not, where?

Exit codes: 0 done, 1 failed, 2 wrong use, 3 not level (diff, status).";
