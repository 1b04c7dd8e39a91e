//! The same load through the original server and through `rejoin serve`.

use crate::{Outcome, javascript, repository, run};
use std::fs;
use std::process::Command;

/// Builds both servers and the load's generator with optimizations, and measures with these arguments.
pub fn measure(arguments: &[&str]) -> Outcome<()> {
    run::run(
        Command::new("cargo")
            .args(["build", "--release", "--package", "rejoin-cli", "--package", "rejoin-bench-throughput"])
            .current_dir(repository::root()),
    )?;
    compare("release", arguments)
}

/// A small part of the load, with what has been built for the tests: shows that the comparison works, measures nothing.
pub fn try_out() -> Outcome<()> {
    compare("debug", &["--rounds", "1", "--scale", "0.02"])
}

fn compare(profile: &str, arguments: &[&str]) -> Outcome<()> {
    let packages = javascript::make()?;
    let script = packages.join("scripts").join("original_server.mjs");
    let source = repository::root().join("conformance/javascript/original_server.mjs");
    fs::create_dir_all(packages.join("scripts")).map_err(|error| format!("{}: {error}", packages.display()))?;
    fs::copy(&source, &script).map_err(|error| format!("{}: {error}", source.display()))?;
    let programs = repository::target()?.join(profile);
    run::run(
        Command::new(programs.join("rejoin-bench-throughput"))
            .arg("--rejoin")
            .arg(programs.join("rejoin"))
            .arg("--original")
            .arg(&script)
            .args(arguments),
    )
}
