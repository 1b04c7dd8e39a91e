//! The JavaScript peers, the original server and the browser's driver, as npm brings them.
//!
//! Both lists of packages are pinned: conformance/javascript/package-lock.json and examples/browser/package-lock.json.
//! No package's install script runs, because two of them download; the one native module is compiled from the source
//! that its package carries, and the original extension is put where the original server looks for it.

use crate::{Outcome, oracle, repository, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes target/javascript with everything that the tests' scripts import, unless it is there, and returns its path.
pub fn make() -> Outcome<PathBuf> {
    let original = oracle::make()?;
    let folder = repository::target()?.join("javascript");
    let source = repository::root().join("conformance").join("javascript");
    if install(&source, &folder)? {
        build_sqlite(&folder)?;
        place_extension(&original, &folder)?;
        finish(&folder)?;
    }
    Ok(folder)
}

/// Builds the browser example in target/example-browser and returns the folder that a web server can show.
pub fn example() -> Outcome<PathBuf> {
    let folder = repository::target()?.join("example-browser");
    let source = repository::root().join("examples").join("browser");
    if install(&source, &folder)? {
        finish(&folder)?;
    }
    for path in repository::files()? {
        if let Some(inner) = path.strip_prefix("examples/browser/") {
            copy(&source.join(inner), &folder.join(inner))?;
        }
    }
    run::run(Command::new("npm").args(["run", "--silent", "build"]).current_dir(&folder))?;
    Ok(folder.join("dist"))
}

/// Installs what a folder's package-lock.json names into another folder. False when it had been finished before.
fn install(source: &Path, folder: &Path) -> Outcome<bool> {
    let lock = source.join(LOCK);
    let wanted = fs::read_to_string(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    if fs::read_to_string(folder.join(FINISHED)).is_ok_and(|there| there == wanted) {
        return Ok(false);
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for name in ["package.json", LOCK] {
        copy(&source.join(name), &folder.join(name))?;
    }
    run::run(
        Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(folder),
    )?;
    Ok(true)
}

/// Marks a folder as complete, so that an install that was cut off is begun again.
fn finish(folder: &Path) -> Outcome<()> {
    copy(&folder.join(LOCK), &folder.join(FINISHED))
}

/// Compiles better-sqlite3 against the headers that came with node.
fn build_sqlite(folder: &Path) -> Outcome<()> {
    let mut command = Command::new("npm");
    command.args(["rebuild", "better-sqlite3", "--loglevel=error"]).current_dir(folder);
    command.env("npm_config_build_from_source", "true");
    // Without this node-gyp would fetch the headers. Debian's own node-gyp knows where Debian's are.
    let prefix = run::text_of(Command::new("node").args(["-p", "require('path').resolve(process.execPath, '../..')"]))?;
    let prefix = Path::new(prefix.trim());
    if prefix.join("include/node/node.h").is_file() {
        command.env("npm_config_nodedir", prefix);
    }
    run::run(&mut command)
}

/// Puts the original extension where its npm package would have downloaded it to, and loads it once.
fn place_extension(original: &Path, folder: &Path) -> Outcome<()> {
    let place = folder.join("node_modules/@vlcn.io/crsqlite/dist");
    fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    for name in ["crsqlite.so", "libbionic.so"] {
        copy(&original.with_file_name(name), &place.join(name))?;
    }
    run::text_of(Command::new("node").args(["--input-type=module", "--eval", LOADS]).current_dir(folder)).map(drop)
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    }
    fs::copy(from, to).map(drop).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}

const LOCK: &str = "package-lock.json";
/// A copy of the lock file, written last.
const FINISHED: &str = "finished.json";
const LOADS: &str = "\
import Database from 'better-sqlite3';
import { extensionPath } from '@vlcn.io/crsqlite';
const database = new Database(':memory:');
database.loadExtension(extensionPath);
database.prepare('SELECT crsql_site_id()').get();
database.prepare('SELECT crsql_finalize()').get();
database.close();
";
