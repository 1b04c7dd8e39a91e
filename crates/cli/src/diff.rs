//! `rejoin diff`

use std::io::Write;
use std::path::PathBuf;

use rejoin::diff::{Diff, DiffOptions, Difference, Side, TableDiff, diff};
use rejoin::rusqlite::types::Value;
use serde_json::json;

use crate::ending::{Ending, Failure};
use crate::interrupt::cancel_on_ctrl_c;
use crate::show;

/// Are two databases equal, and if not, where?
///
/// Compares the tracked tables (all tables where neither database tracks any) row by row and cell by cell, reals bit for
/// bit. Reads only, and needs no library. Ends with exit code 0 if equal, 3 if not.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  rejoin diff app.db other.db
  rejoin diff app.db other.db customer invoice     only these tables
  rejoin diff --limit 100 app.db other.db          show more of what differs
  rejoin diff --json app.db other.db               counts and digests for programs")]
pub struct Args {
    /// One database file
    #[arg(value_name = "A.db")]
    a: PathBuf,
    /// The other
    #[arg(value_name = "B.db")]
    b: PathBuf,
    /// The tables to compare [default: the tracked ones]
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,
    /// How many differences to show per table; all are counted
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<Ending, Failure> {
    let options = DiffOptions { tables: args.tables.clone(), examples_max: args.limit };
    let found = diff(&args.a, &args.b, &options, &cancel_on_ctrl_c())?;
    if found.tables.is_empty() {
        return Err(Failure::Says("there is nothing to compare: neither database has a table of its own".to_owned()));
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", as_json(&found))?;
    } else {
        print(&mut out, args, &found)?;
    }
    Ok(if found.is_equal() { Ending::Done } else { Ending::NotLevel })
}

fn print(out: &mut impl Write, args: &Args, found: &Diff) -> std::io::Result<()> {
    for table in found.tables.iter().filter(|table| !table.is_equal()) {
        print_table(out, args, table)?;
    }
    let rows: u64 = found.tables.iter().map(|table| table.a.rows).sum();
    let tables = show::count(found.tables.len() as u64, "table");
    if found.is_equal() {
        return writeln!(out, "equal: {tables}, {}", show::count(rows, "row"));
    }
    let different = found.tables.iter().filter(|table| !table.is_equal()).count();
    writeln!(out, "different: {different} of {tables}")
}

fn print_table(out: &mut impl Write, args: &Args, table: &TableDiff) -> std::io::Result<()> {
    let (a, b) = (args.a.display(), args.b.display());
    let name = &table.table;
    match table.only_in {
        Some(Side::A) => return writeln!(out, "{name}: only in {a}, {}", show::count(table.a.rows, "row")),
        Some(Side::B) => return writeln!(out, "{name}: only in {b}, {}", show::count(table.b.rows, "row")),
        None => {}
    }
    for (columns, file) in [(&table.columns_only_in_a, &a), (&table.columns_only_in_b, &b)] {
        if !columns.is_empty() {
            writeln!(out, "{name}: only {file} has the columns {}", columns.join(", "))?;
        }
    }
    if let Some((key_a, key_b)) = &table.keys_differ {
        let (key_a, key_b) = (key_a.join(", "), key_b.join(", "));
        return writeln!(out, "{name}: the keys differ, ({key_a}) and ({key_b}); rows cannot be matched");
    }
    let mut says = Vec::new();
    if table.rows_only_in_a > 0 {
        says.push(format!("{} only in {a}", show::count(table.rows_only_in_a, "row")));
    }
    if table.rows_only_in_b > 0 {
        says.push(format!("{} only in {b}", show::count(table.rows_only_in_b, "row")));
    }
    if table.rows_different > 0 {
        let (rows, cells) = (show::count(table.rows_different, "row"), show::count(table.cells_different, "cell"));
        says.push(format!("{cells} different in {rows}"));
    }
    if !says.is_empty() {
        writeln!(out, "{name}: {}", says.join("; "))?;
    }
    for example in &table.examples {
        match example {
            Difference::RowOnlyIn { side, key } => {
                let file = if *side == Side::A { &a } else { &b };
                writeln!(out, "  {}: only in {file}", key_text(key))?;
            }
            Difference::Cell { key, column, a, b } => {
                writeln!(out, "  {} {column}: {} ≠ {}", key_text(key), show::value(a), show::value(b))?;
            }
        }
    }
    let counted = table.rows_only_in_a + table.rows_only_in_b + table.cells_different;
    match counted.saturating_sub(table.examples.len() as u64) {
        0 => Ok(()),
        more => writeln!(out, "  … and {} more", show::grouped(more)),
    }
}

fn key_text(key: &[(String, Value)]) -> String {
    let parts: Vec<String> = key.iter().map(|(name, value)| format!("{name}={}", show::value(value))).collect();
    parts.join(" ")
}

fn as_json(found: &Diff) -> serde_json::Value {
    let tables: Vec<serde_json::Value> = found.tables.iter().map(table_json).collect();
    json!({ "equal": found.is_equal(), "tables": tables })
}

fn table_json(table: &TableDiff) -> serde_json::Value {
    let side = |side: Side| if side == Side::A { "a" } else { "b" };
    let key_json = |key: &[(String, Value)]| -> serde_json::Value {
        key.iter().map(|(name, value)| (name.clone(), show::json(value))).collect::<serde_json::Map<_, _>>().into()
    };
    let examples: Vec<serde_json::Value> = table
        .examples
        .iter()
        .map(|example| match example {
            Difference::RowOnlyIn { side: which, key } => json!({ "only_in": side(*which), "key": key_json(key) }),
            Difference::Cell { key, column, a, b } => {
                json!({ "key": key_json(key), "column": column, "a": show::json(a), "b": show::json(b) })
            }
        })
        .collect();
    json!({
        "table": table.table,
        "equal": table.is_equal(),
        "only_in": table.only_in.map(side),
        "a": { "rows": table.a.rows, "digest": table.a.digest, "columns_only_here": table.columns_only_in_a },
        "b": { "rows": table.b.rows, "digest": table.b.digest, "columns_only_here": table.columns_only_in_b },
        "keys_differ": table.keys_differ.is_some(),
        "rows_only_in_a": table.rows_only_in_a,
        "rows_only_in_b": table.rows_only_in_b,
        "rows_different": table.rows_different,
        "cells_different": table.cells_different,
        "differences": examples,
    })
}
