//! `rejoin extension-path`

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::ending::{Ending, Failure};

/// Where is the loadable library?
///
/// Looks beside this program, in ../lib and ../lib/rejoin from there.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  rejoin extension-path
  sqlite3 app.db \".load $(rejoin extension-path)\" \"UPDATE customer SET name = 'Ada' WHERE id = 1\"")]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<Ending, Failure> {
    let program = std::env::current_exe()
        .and_then(std::fs::canonicalize)
        .map_err(|error| Failure::Says(format!("failed to find out where this program is: {error}")))?;
    let places = places(&program);
    let Some(found) = places.iter().find(|place| place.is_file()) else {
        let looked: Vec<String> = places.iter().map(|place| format!("\n  {}", place.display())).collect();
        return Err(Failure::Says(format!(
            "the loadable library is not in any of these places:{}\n\
             put it beside the program, or build it: cargo build --release -p rejoin-extension",
            looked.concat()
        )));
    };
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", json!({ "path": found.display().to_string() }))?,
        false => writeln!(out, "{}", found.display())?,
    }
    Ok(Ending::Done)
}

/// Where the library may be, seen from the program; the first that is there counts.
fn places(program: &Path) -> Vec<PathBuf> {
    let name = format!("{}rejoin{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let Some(folder) = program.parent() else { return Vec::new() };
    let mut places = vec![folder.join(&name)];
    if let Some(above) = folder.parent() {
        places.push(above.join("lib").join(&name));
        places.push(above.join("lib").join("rejoin").join(&name));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_beside_the_program_comes_first() {
        let places = places(Path::new("/opt/rejoin/bin/rejoin"));
        let folders: Vec<&Path> = places.iter().filter_map(|place| place.parent()).collect();
        assert_eq!(
            folders,
            [Path::new("/opt/rejoin/bin"), Path::new("/opt/rejoin/lib"), Path::new("/opt/rejoin/lib/rejoin")]
        );
    }
}
