//! The original cr-sqlite 0.16.0 in WebAssembly, as its authors published it on npm, to compare with.
//!
//! What to install is pinned in conformance/oracle/package-lock.json; conformance/oracle/session.mjs runs it in Node.

use crate::{Outcome, repository, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Installs the packages into target/oracle/wasm, unless they are there, and returns that folder.
pub fn make() -> Outcome<PathBuf> {
    let folder = repository::target()?.join("oracle").join("wasm");
    let pinned = repository::root().join("conformance").join("oracle");
    if is_installed(&folder, &pinned) {
        return Ok(folder);
    }
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // The list of what is pinned goes last: with it there, everything is.
    remove(&folder.join(INSTALLED))?;
    for name in ["package.json", LIST] {
        copy(&pinned.join(name), &folder.join(name))?;
    }
    run::run(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder))?;
    copy(&pinned.join(LIST), &folder.join(INSTALLED))?;
    Ok(folder)
}

/// Whether the packages were installed from the same list.
fn is_installed(folder: &Path, pinned: &Path) -> bool {
    match (fs::read(folder.join(INSTALLED)), fs::read(pinned.join(LIST))) {
        (Ok(installed), Ok(pinned)) => installed == pinned,
        _ => false,
    }
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    fs::copy(from, to).map(drop).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}

fn remove(path: &Path) -> Outcome<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("{}: {error}", path.display())),
        _ => Ok(()),
    }
}

const LIST: &str = "package-lock.json";

/// A copy of the list from which everything was installed.
const INSTALLED: &str = "installed-package-lock.json";
