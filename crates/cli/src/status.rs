//! `rejoin status`

use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use rejoin::status::{Status, StreamStatus, status};
use serde_json::json;

use crate::ending::{Ending, Failure};
use crate::interrupt::cancel_on_ctrl_c;
use crate::show;

/// Is this database in step, and if not, why?
///
/// Shows the tracked tables and every stream: where it is, how far behind, what went wrong last. Reads only. Ends with
/// exit code 0 if level, 3 if not.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  rejoin status app.db
  rejoin status --json app.db")]
pub struct Args {
    /// The database file
    #[arg(value_name = "APP.db")]
    database: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<Ending, Failure> {
    let status = status(&args.database, &cancel_on_ctrl_c())?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", as_json(&status))?;
    } else {
        print(&mut out, &status)?;
    }
    Ok(if status.is_level() { Ending::Done } else { Ending::NotLevel })
}

fn print(out: &mut impl Write, status: &Status) -> std::io::Result<()> {
    let names = |tracked: bool| -> Vec<&str> {
        status.tables.iter().filter(|table| table.is_tracked == tracked).map(|table| table.name.as_str()).collect()
    };
    if let Some(site_id) = &status.site_id {
        writeln!(out, "site id    {}", show::hex(site_id))?;
        writeln!(out, "version    {}", status.db_version)?;
    } else if !names(true).is_empty() {
        writeln!(out, "site id    none yet; it is made when the file is first opened with the library")?;
    }
    match names(true).as_slice() {
        [] => writeln!(out, "tracked    nothing yet; rejoin track makes tables replicate")?,
        tracked => writeln!(out, "tracked    {}", tracked.join(", "))?,
    }
    if let untracked @ [_, ..] = names(false).as_slice() {
        writeln!(out, "untracked  {}", untracked.join(", "))?;
    }
    if status.streams.is_empty() {
        return writeln!(out, "streams    none yet; rejoin sync makes them, or CREATE VIRTUAL TABLE in SQL");
    }
    for stream in &status.streams {
        print_stream(out, stream)?;
    }
    writeln!(out, "{}", if status.is_level() { "level" } else { "not level" })
}

fn print_stream(out: &mut impl Write, stream: &StreamStatus) -> std::io::Result<()> {
    let towards = if stream.direction == "outbound" { "to" } else { "from" };
    let name = stream.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
    writeln!(out, "{} {towards} {}{name}", stream.direction, show::hex(&stream.remote))?;
    let behind = match stream.behind {
        None => "how far behind is not known".to_owned(),
        Some(0) => "level".to_owned(),
        Some(versions) => format!("{} behind", show::count(versions.unsigned_abs(), "version")),
    };
    writeln!(out, "  position {}, head {}: {behind}", text(&stream.position), text(&stream.head))?;
    if let Some(at) = stream.last_active_ms {
        writeln!(out, "  last active {}", ago(at))?;
    }
    if stream.staged_bytes > 0 {
        let bytes = show::count(stream.staged_bytes.unsigned_abs(), "byte");
        writeln!(out, "  {bytes} of an incomplete transaction wait for the rest")?;
    }
    if stream.parked > 0 {
        let changes = show::count(stream.parked.unsigned_abs(), "change");
        writeln!(out, "  {changes} for tables or columns that are missing here: bring the schema up to date")?;
    }
    if let Some(error) = &stream.last_error {
        writeln!(out, "  last error: {error}")?;
    } else if stream.behind.is_some_and(|behind| behind > 0) {
        writeln!(out, "  to do: let it run, e.g. rejoin sync APP.db URL")?;
    }
    Ok(())
}

/// How long ago a moment in unix milliseconds was.
fn ago(unix_ms: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let seconds = now.saturating_sub(unix_ms.unsigned_abs() / 1000);
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86400),
    }
}

fn as_json(status: &Status) -> serde_json::Value {
    let streams: Vec<serde_json::Value> = status
        .streams
        .iter()
        .map(|stream| {
            // Positions are JSON text already.
            let position = |text: &Option<String>| -> serde_json::Value {
                text.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
            };
            json!({
                "name": stream.name,
                "direction": stream.direction,
                "remote": show::hex(&stream.remote),
                "position": position(&stream.position),
                "head": position(&stream.head),
                "behind": stream.behind,
                "staged_bytes": stream.staged_bytes,
                "parked": stream.parked,
                "last_error": stream.last_error,
                "last_active_ms": stream.last_active_ms,
                "level": stream.is_level(),
            })
        })
        .collect();
    let names = |tracked: bool| -> Vec<&str> {
        status.tables.iter().filter(|table| table.is_tracked == tracked).map(|table| table.name.as_str()).collect()
    };
    json!({
        "level": status.is_level(),
        "site_id": status.site_id.as_deref().map(show::hex),
        "db_version": status.db_version,
        "tracked": names(true),
        "untracked": names(false),
        "streams": streams,
    })
}
