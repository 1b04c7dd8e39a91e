//! `rejoin untrack`

use std::io::Write;
use std::path::PathBuf;

use rejoin::track::untrack;
use serde_json::json;

use crate::ending::{Ending, Failure};
use crate::interrupt::cancel_on_ctrl_c;

/// Make tables ordinary ones again
///
/// Their rows stay. What was known about who changed what, and when, is gone: tracked again, the tables count as new.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  rejoin untrack app.db              all tracked tables
  rejoin untrack app.db customer     only this one")]
pub struct Args {
    /// The database file
    #[arg(value_name = "APP.db")]
    database: PathBuf,
    /// The tables [default: all tracked ones]
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<Ending, Failure> {
    let tables = untrack(&args.database, &args.tables, &cancel_on_ctrl_c())?;
    let mut out = std::io::stdout().lock();
    if args.json {
        let names = |tracked: bool| -> Vec<&str> {
            tables.iter().filter(|table| table.is_tracked == tracked).map(|table| table.name.as_str()).collect()
        };
        writeln!(out, "{}", json!({ "untracked": names(true), "were_not_tracked": names(false) }))?;
        return Ok(Ending::Done);
    }
    for table in &tables {
        let says = if table.is_tracked { "no longer tracked" } else { "was not tracked" };
        writeln!(out, "{}: {says}", table.name)?;
    }
    if tables.is_empty() {
        writeln!(out, "no table is tracked")?;
    }
    Ok(Ending::Done)
}
