//! `rejoin track`

use std::io::Write;
use std::path::PathBuf;

use rejoin::adapt::{NotNullCure, Obstacle, TableSurvey};
use rejoin::track::{TrackOptions, TrackReport, TrackedTable, track};
use serde_json::json;

use crate::ending::{Ending, Failure};
use crate::interrupt::cancel_on_ctrl_c;
use crate::show;

/// Make tables replicate
///
/// Checks every table first. Where something is in the way, it says what, and what --adapt would do about it, and
/// changes nothing. All is done in one transaction; afterwards the file is in WAL mode.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  rejoin track app.db                      all tables, or what is in their way
  rejoin track app.db customer invoice     only these
  rejoin track --adapt app.db              make them fit; the file as it was stays beside it

Every program that writes to a tracked table must have the library loaded: rejoin extension-path says where it is.")]
pub struct Args {
    /// The database file
    #[arg(value_name = "APP.db")]
    database: PathBuf,
    /// The tables to track [default: all]
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,
    /// Make tables anew so that they can be tracked: without foreign keys, with plain indexes for unique ones, with
    /// defaults for NOT NULL columns. Keeps the file as it was as APP.db.before-track
    #[arg(long)]
    adapt: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<Ending, Failure> {
    let options = TrackOptions { tables: args.tables.clone(), adapt: args.adapt };
    let report = track(&args.database, &options, &cancel_on_ctrl_c())?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", as_json(args, &report))?;
    } else {
        print(&mut out, args, &report)?;
    }
    if report.is_done {
        return Ok(Ending::Done);
    }
    if args.json {
        return Ok(Ending::Failed);
    }
    let adaptable = report.tables.iter().all(|table| table.survey.is_adaptable());
    Err(Failure::Says(match adaptable {
        true => "nothing was changed; run it again with --adapt to make these tables fit".to_owned(),
        false => {
            "nothing was changed; --adapt cannot clear all of this. Change these tables, or name the tables to track"
                .to_owned()
        }
    }))
}

fn state(report: &TrackReport, table: &TrackedTable) -> &'static str {
    match table {
        _ if table.survey.is_tracked => "already_tracked",
        _ if table.rebuilt.is_some() => "adapted",
        _ if report.is_done => "tracked",
        _ if table.survey.obstacles.is_empty() => "ready",
        _ => "in_the_way",
    }
}

fn print(out: &mut impl Write, args: &Args, report: &TrackReport) -> std::io::Result<()> {
    for table in &report.tables {
        let rows = table.rebuilt.as_ref().map(|rebuilt| show::count(rebuilt.rows, "row")).unwrap_or_default();
        let says = match state(report, table) {
            "already_tracked" => "is tracked already".to_owned(),
            "adapted" => format!("tracked, made anew with its {rows}"),
            "tracked" => "tracked".to_owned(),
            "ready" => "can be tracked as it is".to_owned(),
            _ if table.survey.is_adaptable() => "can be tracked with --adapt".to_owned(),
            _ => "cannot be tracked".to_owned(),
        };
        writeln!(out, "{}: {says}", table.survey.table)?;
        print_survey(out, &table.survey)?;
    }
    for orphans in &report.orphans {
        let rows = show::count(orphans.rows.unsigned_abs(), "row");
        writeln!(out, "note: {}: {rows} referred to nothing in {} already", orphans.table, orphans.parent)?;
    }
    if let Some(kept) = &report.kept {
        writeln!(out, "{} as it was is kept as {}", args.database.display(), kept.display())?;
    }
    if report.is_done {
        writeln!(out, "Programs that write to these tables must load the library from now on: rejoin extension-path")?;
    }
    Ok(())
}

fn print_survey(out: &mut impl Write, survey: &TableSurvey) -> std::io::Result<()> {
    // Kinds that tables have many of take one line together.
    let (mut keys, mut defaults, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for obstacle in &survey.obstacles {
        match obstacle {
            Obstacle::ForeignKey { .. } => keys.push(obstacle),
            Obstacle::NotNullWithoutDefault { column, cure: NotNullCure::Default(value) } => {
                defaults.push(format!("{column} {value}"));
            }
            _ => others.push(obstacle),
        }
    }
    if let Some(cure) = keys.last().and_then(|last| last.cure()) {
        let says: Vec<String> = keys.iter().map(|key| key.says()).collect();
        writeln!(out, "  {}: {cure}", says.join(", "))?;
    }
    if !defaults.is_empty() {
        writeln!(out, "  NOT NULL without a default, which becomes: {}", defaults.join(", "))?;
    }
    for obstacle in others {
        match (obstacle.cure(), obstacle.advice()) {
            (Some(cure), _) => writeln!(out, "  {}: {cure}", obstacle.says())?,
            (None, Some(advice)) => writeln!(out, "  {}: not something --adapt can change; {advice}", obstacle.says())?,
            (None, None) => writeln!(out, "  {}", obstacle.says())?,
        }
    }
    for note in &survey.notes {
        writeln!(out, "  note: {note}")?;
    }
    Ok(())
}

fn as_json(args: &Args, report: &TrackReport) -> serde_json::Value {
    let tables: Vec<serde_json::Value> = report
        .tables
        .iter()
        .map(|table| {
            let obstacles: Vec<serde_json::Value> = table
                .survey
                .obstacles
                .iter()
                .map(|found| {
                    json!({ "kind": found.kind(), "says": found.says(), "cure": found.cure(), "advice": found.advice() })
                })
                .collect();
            json!({
                "table": table.survey.table,
                "state": state(report, table),
                "rows": table.rebuilt.as_ref().map(|rebuilt| rebuilt.rows),
                "digest": table.rebuilt.as_ref().map(|rebuilt| &rebuilt.digest),
                "obstacles": obstacles,
                "notes": table.survey.notes,
            })
        })
        .collect();
    let orphans: Vec<serde_json::Value> = report
        .orphans
        .iter()
        .map(|orphans| json!({ "table": orphans.table, "parent": orphans.parent, "rows": orphans.rows }))
        .collect();
    json!({
        "database": args.database.display().to_string(),
        "done": report.is_done,
        "kept": report.kept.as_ref().map(|kept| kept.display().to_string()),
        "orphans": orphans,
        "tables": tables,
    })
}
