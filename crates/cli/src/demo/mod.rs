//! `rejoin demo`

mod atlas;
mod chance;
mod edits;
mod level;
mod peer;
mod play;
mod tell;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use self::play::{Outcome, play};
use self::tell::Teller;
use crate::ending::{Ending, Failure};
use crate::interrupt::asked_to_end;
use crate::show;

/// See it work: a hub and three peers, in one go
///
/// Makes an atlas of the world's capitals, tracks it, and gives copies to three people, who all edit at once while the
/// network and the hub come and go. Ends with a table of rows and digests that shows whether the copies are equal: exit
/// code 0 if they are, 3 if not. Takes some seconds, needs nothing else, and leaves nothing behind.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  rejoin demo
  rejoin demo --keep atlas     keep the databases, to look into them
  rejoin demo --seed 7         other edits")]
pub struct Args {
    /// Seed of what is edited
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Keep the databases in this folder, which must be empty or not exist
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print nothing but one JSON object at the end
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<Ending, Failure> {
    let temporary = match &args.keep {
        Some(folder) => {
            make_empty(folder)?;
            None
        }
        None => Some(tempfile::tempdir().map_err(|error| Failure::Says(format!("failed to make a folder: {error}")))?),
    };
    let folder = temporary.as_ref().map(|folder| folder.path().to_owned()).or_else(|| args.keep.clone());
    let folder = folder.unwrap_or_default();
    let teller = Arc::new(Teller::new(args.json));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Says(format!("failed to start threads: {error}")))?;
    let played = runtime.block_on(async {
        tokio::select! {
            played = play(&folder, args.seed, &teller) => played,
            () = asked_to_end() => Err("stopped".to_owned()),
        }
    });
    // A burst of edits that still runs is short.
    runtime.shutdown_timeout(play::BURST_MAX);
    if teller.is_closed() {
        return Err(Failure::OutputClosed);
    }
    let outcome = played.map_err(Failure::Says)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", as_json(args, &outcome))?;
    } else {
        print(&mut out, args, &outcome)?;
    }
    Ok(if outcome.level.is_equal { Ending::Done } else { Ending::NotLevel })
}

fn make_empty(folder: &PathBuf) -> Result<(), Failure> {
    let says =
        |error: std::io::Error| Failure::Says(format!("failed to make the folder {}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(says)?;
    if std::fs::read_dir(folder).map_err(says)?.next().is_some() {
        return Err(Failure::Says(format!(
            "{} is not empty; name another folder to keep the databases in",
            folder.display()
        )));
    }
    Ok(())
}

fn print(out: &mut impl Write, args: &Args, outcome: &Outcome) -> std::io::Result<()> {
    writeln!(out, "\nThe copies, table by table: rows, and the first digits of a digest of all their values")?;
    let names = &outcome.copies;
    let heads: Vec<String> = names.iter().map(|name| format!("{name:<11}")).collect();
    writeln!(out, "  {:<10} {:>6}  {}", "table", "rows", heads.join(" ").trim_end())?;
    for table in &outcome.level.tables {
        let digests: Vec<String> =
            table.copies.iter().map(|copy| format!("{:<11}", copy.digest.get(..8).unwrap_or("–"))).collect();
        let rows = table.copies.first().map_or(0, |copy| copy.rows);
        let says = if table.is_equal { "equal" } else { "DIFFERENT" };
        writeln!(out, "  {:<10} {:>6}  {} {says}", table.table, show::grouped(rows), digests.join(" "))?;
    }
    let rows: u64 = outcome.level.tables.iter().filter_map(|table| table.copies.first()).map(|copy| copy.rows).sum();
    let says = match outcome.level.is_equal {
        true => format!("All {} copies are equal: {}.", names.len(), show::count(rows, "row")),
        false => "The copies are NOT equal.".to_owned(),
    };
    writeln!(out, "\n{says}")?;
    let timings: Vec<String> =
        outcome.timings_ms.iter().map(|(part, ms)| format!("{part} {:.1} s", *ms as f64 / 1000.0)).collect();
    writeln!(out, "{}; seed {}.", timings.join(", "), args.seed)?;
    let (transactions, rows) = (outcome.written.transactions, outcome.written.rows);
    writeln!(out, "Written: {} in {}.", show::count(rows, "row"), show::count(transactions, "transaction"))?;
    if let Some(folder) = &args.keep {
        let folder = folder.display();
        writeln!(out, "\nThe databases: {folder}/hub/atlas.db, {folder}/lisbon.db and so on. Look where they differ:")?;
        writeln!(out, "  rejoin diff {folder}/hub/atlas.db {folder}/lisbon.db")?;
    }
    writeln!(out, "\nWith a database of your own, next:")?;
    writeln!(out, "  rejoin track --adapt app.db                   make its tables replicate")?;
    writeln!(out, "  rejoin serve --dir ./dbs                      a hub")?;
    writeln!(out, "  rejoin sync app.db ws://127.0.0.1:7448/app    keep it in step, here and elsewhere")
}

fn as_json(args: &Args, outcome: &Outcome) -> serde_json::Value {
    let tables: Vec<serde_json::Value> = outcome.level.tables.iter().map(|table| table_json(outcome, table)).collect();
    let timings: serde_json::Map<String, serde_json::Value> =
        outcome.timings_ms.iter().map(|(part, ms)| (part.replace(' ', "_"), json!(ms))).collect();
    json!({
        "equal": outcome.level.is_equal,
        "seed": args.seed,
        "copies": outcome.copies,
        "tables": tables,
        "timings_ms": timings,
        "seen_after_ms": outcome.seen_after_ms,
        "written": { "transactions": outcome.written.transactions, "rows": outcome.written.rows },
        "kept": args.keep.as_ref().map(|folder| folder.display().to_string()),
    })
}

fn table_json(outcome: &Outcome, table: &level::TableLevel) -> serde_json::Value {
    let copies: serde_json::Map<String, serde_json::Value> = outcome
        .copies
        .iter()
        .zip(&table.copies)
        .map(|(name, copy)| ((*name).to_owned(), json!({ "rows": copy.rows, "digest": copy.digest })))
        .collect();
    json!({ "table": table.table, "equal": table.is_equal, "copies": copies })
}
