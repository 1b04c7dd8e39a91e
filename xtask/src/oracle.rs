//! The original cr-sqlite as a loadable library, to compare with.
//!
//! No registry offers it for Linux as such. The npm package of op-sqlite carries a build for Android on x86_64, a
//! snapshot of autumn 2023 with the tables of 0.16. Two steps make it load under glibc: the names of the two
//! libraries that it asks for are replaced, and a small library (conformance/oracle/bionic.c) supplies the
//! eight functions that it imports under Android's symbol version.

use crate::{Outcome, repository, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes target/oracle/native/crsqlite.so, unless it is there and loads, and returns its path.
pub fn make() -> Outcome<PathBuf> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("the original cr-sqlite can be had for Linux on x86_64 only".to_owned());
    }
    let folder = repository::target()?.join("oracle").join("native");
    let library = folder.join("crsqlite.so");
    if library.is_file() && format_of(&library).as_deref() == Ok(FORMAT) {
        return Ok(library);
    }
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let work = folder.join("work");
    if work.exists() {
        fs::remove_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    }
    fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    let made = fetch(&work)
        .and_then(|()| build_bionic(&folder))
        .and_then(|()| adapt(&work, &library))
        .and_then(|()| format_of(&library));
    fs::remove_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    match made?.as_str() {
        FORMAT => Ok(library),
        other => Err(format!("the original cr-sqlite says format {other}, not {FORMAT}")),
    }
}

fn fetch(work: &Path) -> Outcome<()> {
    let text =
        run::text_of(Command::new("npm").args(["pack", "--json", "--ignore-scripts", PACKAGE]).current_dir(work))?;
    let answer: serde_json::Value = serde_json::from_str(&text).map_err(|error| format!("npm pack: {error}"))?;
    let integrity = answer[0]["integrity"].as_str().unwrap_or_default();
    if integrity != INTEGRITY {
        return Err(format!("npm brought another {PACKAGE}: {integrity}"));
    }
    let archive = answer[0]["filename"].as_str().ok_or("npm pack names no file")?;
    // Older npm versions write a scope's name as "@scope/package" here, though the file is "scope-package".
    let archive = archive.trim_start_matches('@').replace('/', "-");
    run::run(Command::new("tar").args(["xzf", &archive, MEMBER]).current_dir(work))
}

fn build_bionic(folder: &Path) -> Outcome<()> {
    let source = repository::root().join("conformance").join("oracle");
    run::run(
        Command::new("gcc")
            .args(["-O2", "-fno-builtin", "-fno-tree-loop-distribute-patterns"])
            .args(["-shared", "-fPIC", "-nostdlib"])
            .arg("-o")
            .arg(folder.join("libbionic.so"))
            .arg(source.join("bionic.c"))
            .arg(format!("-Wl,--version-script={}", source.join("bionic.map").display()))
            .arg("-Wl,-soname,libbionic.so"),
    )
}

fn adapt(work: &Path, library: &Path) -> Outcome<()> {
    let unpacked = work.join(MEMBER);
    let patched = work.join("crsqlite.so");
    fs::copy(&unpacked, &patched).map_err(|error| format!("{}: {error}", unpacked.display()))?;
    for changes in [
        &["--replace-needed", "libdl.so", "libc.so.6"][..],
        &["--replace-needed", "libc.so", "libbionic.so"],
        &["--set-rpath", "$ORIGIN"],
    ] {
        run::run(Command::new("patchelf").args(changes).arg(&patched))?;
    }
    fs::rename(&patched, library).map_err(|error| format!("{}: {error}", library.display()))
}

/// The format version that the library writes into a new database.
fn format_of(library: &Path) -> Outcome<String> {
    let text = run::text_of(
        Command::new("sqlite3")
            .arg(":memory:")
            .arg(format!(".load {}", library.display()))
            .arg("SELECT value FROM crsql_master WHERE key = 'crsqlite_version'; SELECT crsql_finalize()"),
    )?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

const PACKAGE: &str = "@op-engineering/op-sqlite@15.2.12";
const INTEGRITY: &str =
    "sha512-QfOzk4NVG4OQ4tDKAByhXHfqIefF3zM6O5ASYp1gExJCuO1OeF+u1Qf/Hz+c9KSNT2LMrFgm0X7LQxWgvh7j2A==";
const MEMBER: &str = "package/android/src/main/libcrsqlite/x86_64/libcrsqlite.so";
/// What the snapshot stores in crsql_master as crsqlite_version.
const FORMAT: &str = "150000";
