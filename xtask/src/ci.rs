//! Every check and every test, in one command; what it prints is enough to see what was checked and what was not.

use crate::{Outcome, apsw, chinook, javascript, needs, oracle, repository, run, throughput, tidy, wasm};
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs everything. Fails when a step failed, and also when something had to be left out.
pub fn ci() -> Outcome<()> {
    let mut report = Report::default();
    report.step("tidy", tidy::tidy);
    report.step("format", || cargo(&["fmt", "--all", "--", "--check"]));
    let mut missing = Vec::new();
    report.step("install", || {
        missing = needs::install();
        Ok(())
    });
    for need in &missing {
        report.leave_out(format!("{} is missing: {}", need.program, need.without));
    }
    let is_missing = |program: &str| missing.iter().any(|need| need.program == program);

    let mut required = vec!["library", "program", "example-program"];
    for program in ["sqlite3", needs::PYTHON] {
        if !is_missing(program) {
            required.push(program);
        }
    }
    if ["npm", "gcc", "patchelf", "tar", "sqlite3"].iter().any(|program| is_missing(program)) {
        report.leave_out("the original cr-sqlite: nothing is compared with it".to_owned());
    } else if report.step("oracle", || oracle::make().map(drop)) {
        required.push("oracle");
    }
    if ["node", "npm"].iter().any(|program| is_missing(program)) {
        report.leave_out("cr-sqlite 0.16.0 in WebAssembly: nothing is compared with it".to_owned());
    } else if report.step("wasm", || wasm::make().map(drop)) {
        required.push("wasm");
    }
    if ["node", "make", "g++"].iter().any(|program| is_missing(program)) || !required.contains(&"oracle") {
        report.leave_out("the JavaScript peers and servers: nothing is exchanged with them".to_owned());
    } else if report.step("javascript", || javascript::make().map(drop)) {
        required.push("javascript");
    }
    if is_missing(needs::CHROMIUM) || !required.contains(&"javascript") {
        report.leave_out("the browser: nothing is tried in its tabs".to_owned());
    } else {
        required.push("chromium");
        if report.step("example", || javascript::example().map(drop)) {
            required.push("example");
        }
    }
    if is_missing(needs::PYTHON) || is_missing("/usr/bin/pip3") {
        report.leave_out("the Chinook database and apsw: nothing is tried on them".to_owned());
    } else {
        if report.step("chinook", || chinook::make().map(drop)) {
            required.push("chinook");
        }
        if report.step("apsw", || apsw::make().map(drop)) {
            required.push("apsw");
        }
    }

    report.step("clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    report.step("documentation", || {
        run::run(cargo_command(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
    });
    if report.step("build", || cargo(&["build", "--workspace"]).and_then(|()| build_examples())) {
        report.step("tests", || test(&["--workspace"], &required));
        if required.contains(&"oracle") {
            report.step("streams beside the original", || streams_beside_the_original(&required));
        }
        if required.contains(&"javascript") {
            report.step("throughput", throughput::try_out);
        }
        report.step("documentation tests", || cargo(&["test", "--workspace", "--doc"]));
    } else {
        report.leave_out("all tests, because the build failed".to_owned());
    }
    if run::is_there("cargo-deny") {
        report.step("dependencies", || cargo(&["deny", "check", "bans", "licenses", "sources"]));
    } else {
        // Compiling cargo-deny takes longer than everything else here; tidy checks licences and sources by itself.
        println!("\ncargo-deny is not installed: only licences and sources were checked, by tidy");
    }
    report.finish()
}

/// Builds what the conformance tests drive, fetches what they compare with, and runs those that match a filter.
pub fn conformance(filters: &[&str]) -> Outcome<()> {
    cargo(&["build", "--package", "rejoin-extension", "--package", "rejoin-cli"])?;
    build_examples()?;
    oracle::make()?;
    wasm::make()?;
    chinook::make()?;
    apsw::make()?;
    let mut required = vec!["library", "program", "example-program", "sqlite3", needs::PYTHON];
    required.extend(["oracle", "wasm", "chinook", "apsw", "javascript"]);
    javascript::make()?;
    if run::is_there(needs::CHROMIUM) {
        javascript::example()?;
        required.extend(["chromium", "example"]);
    }
    let mut arguments = vec!["--package", "rejoin-conformance"];
    arguments.extend(filters);
    test(&arguments, &required)
}

/// Two ends that sync are killed so often.
pub fn crashes(kills: u64) -> Outcome<()> {
    cargo(&["build", "--package", "rejoin-extension"])?;
    oracle::make()?;
    let mut command = cargo_command(&["test", "--package", "rejoin-conformance", "--test", "crashes"]);
    run::run(command.env("REJOIN_REQUIRE", "library,oracle").env("REJOIN_KILLS", kills.to_string()))
}

/// Runs the tests with nextest where it is installed; `required` are the things whose absence is a failure.
fn test(arguments: &[&str], required: &[&str]) -> Outcome<()> {
    run::run(&mut test_command(arguments, required))
}

fn test_command(arguments: &[&str], required: &[&str]) -> Command {
    let mut words = if run::is_there("cargo-nextest") {
        vec!["nextest", "run"]
    } else {
        vec!["test", "--lib", "--bins", "--tests"]
    };
    words.extend(arguments);
    let mut command = cargo_command(&words);
    command.env("REJOIN_REQUIRE", required.join(","));
    command
}

/// The tests of the streams once more, on the original engine.
fn streams_beside_the_original(required: &[&str]) -> Outcome<()> {
    let library = oracle::make()?;
    let mut command = test_command(&["--package", "rejoin-streams"], required);
    run::run(command.env("REJOIN_ORIGINAL", library))
}

/// The program in Rust of the guide to the streams.
fn build_examples() -> Outcome<()> {
    cargo(&["build", "--package", "rejoin", "--examples"])
}

fn cargo(arguments: &[&str]) -> Outcome<()> {
    run::run(&mut cargo_command(arguments))
}

fn cargo_command(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(repository::root());
    command
}

/// What happened so far, step by step.
#[derive(Default)]
struct Report {
    steps: Vec<(&'static str, Duration, Outcome<()>)>,
    left_out: Vec<String>,
}

impl Report {
    /// Runs one step, prints its name and how long it took, and says whether it passed.
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Outcome<()>) -> bool {
        println!("\n== {name}");
        let began = Instant::now();
        let outcome = work();
        let took = began.elapsed();
        match &outcome {
            Ok(()) => println!("-- {name} passed in {}", seconds(took)),
            Err(what) => println!("{what}\n-- {name} FAILED after {}", seconds(took)),
        }
        let passed = outcome.is_ok();
        self.steps.push((name, took, outcome));
        passed
    }

    fn leave_out(&mut self, what: String) {
        println!("left out: {what}");
        self.left_out.push(what);
    }

    /// Prints the summary. Everything must have run, and passed.
    fn finish(self) -> Outcome<()> {
        println!("\n== summary");
        let mut failed = Vec::new();
        for (name, took, outcome) in &self.steps {
            let word = if outcome.is_ok() { "passed" } else { "FAILED" };
            println!("{word}  {name:20} {:>8}", seconds(*took));
            if outcome.is_err() {
                failed.push(*name);
            }
        }
        for what in &self.left_out {
            println!("left out: {what}");
        }
        let total = self.steps.iter().map(|(_, took, _)| *took).sum();
        match (failed.is_empty(), self.left_out.is_empty()) {
            (true, true) => {
                println!("everything ran and passed, in {}", seconds(total));
                Ok(())
            }
            (true, false) => Err("what ran has passed, but not everything could run".to_owned()),
            (false, _) => Err(format!("failed: {}", failed.join(", "))),
        }
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_fails_the_whole_and_is_named() {
        let mut report = Report::default();
        assert!(report.step("good", || Ok(())));
        assert!(!report.step("bad", || Err("no".to_owned())));
        assert_eq!(report.finish(), Err("failed: bad".to_owned()));
    }

    #[test]
    fn something_left_out_fails_the_whole() {
        let mut report = Report::default();
        report.step("good", || Ok(()));
        report.leave_out("the rest".to_owned());
        assert!(report.finish().is_err());
    }

    #[test]
    fn all_steps_passed_is_success() {
        let mut report = Report::default();
        report.step("good", || Ok(()));
        assert_eq!(report.finish(), Ok(()));
    }
}
