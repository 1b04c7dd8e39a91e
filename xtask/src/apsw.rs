//! apsw, a Python module that carries a newer SQLite than Debian's: the same library must work in both, also in one
//! process.

use crate::{Outcome, needs, repository, run};
use std::path::PathBuf;
use std::process::Command;

/// Installs apsw into target/apsw, unless it is there, and returns that folder: a PYTHONPATH for Debian's python3.
pub fn make() -> Outcome<PathBuf> {
    let folder = repository::target()?.join("apsw");
    if !folder.join(format!("apsw-{VERSION}.dist-info")).is_dir() {
        run::run(
            Command::new(needs::PYTHON)
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--root-user-action=ignore",
                    "--no-deps",
                    "--upgrade",
                ])
                .arg("--only-binary=:all:")
                .arg("--target")
                .arg(&folder)
                .arg(format!("apsw=={VERSION}")),
        )?;
    }
    Ok(folder)
}

/// Its SQLite is 3.54.1.
const VERSION: &str = "3.54.1.0";
