//! `rejoin snapshot`

use std::io::Write;
use std::path::PathBuf;

use rejoin::snapshot::snapshot;
use serde_json::json;

use crate::ending::{Ending, Failure};
use crate::interrupt::cancel_on_ctrl_c;

/// Copy a database so that the copy is a peer of its own
///
/// The copy is of one moment, also while others write. It has no streams and makes a site id of its own when it is first
/// opened with the library; its rows keep their authors. A file copied in any other way has the original's identity.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  rejoin snapshot app.db laptop.db
  rejoin snapshot app.db laptop.db && rejoin sync laptop.db ws://127.0.0.1:7448/app")]
pub struct Args {
    /// The database file
    #[arg(value_name = "APP.db")]
    database: PathBuf,
    /// The new file; it must not exist
    #[arg(value_name = "OUT.db")]
    copy: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<Ending, Failure> {
    snapshot(&args.database, &args.copy, &cancel_on_ctrl_c())?;
    let bytes = std::fs::metadata(&args.copy).map_or(0, |file| file.len());
    let mut out = std::io::stdout().lock();
    let copy = args.copy.display();
    match args.json {
        true => writeln!(out, "{}", json!({ "copy": copy.to_string(), "bytes": bytes }))?,
        false => writeln!(out, "{copy}: a copy of {} with an identity of its own", args.database.display())?,
    }
    Ok(Ending::Done)
}
