//! Where the things are that the tests drive and compare with, and what happens when one is not there.
//!
//! `cargo xtask conformance` and `cargo xtask ci` make everything first and name what must be there in REJOIN_REQUIRE, so
//! that nothing is left out in silence. A plain `cargo test` uses what it finds and says what it skips.

use std::path::{Path, PathBuf};

/// What makes tables replicate in a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Our library alone.
    BuiltIn,
    /// The original cr-sqlite, loaded first, and our library beside it.
    Beside,
    /// The original cr-sqlite alone; it has no streams.
    Original,
}

/// The libraries to load for each engine.
#[derive(Clone, Debug)]
pub struct Settings {
    library: PathBuf,
    original: Option<PathBuf>,
}

impl Settings {
    /// What is needed to run peers with these engines; none, with a line that says so, when some of it is not there.
    pub fn find(engines: &[Engine]) -> Option<Settings> {
        there("sqlite3", in_path("sqlite3"))?;
        there(PYTHON, PathBuf::from(PYTHON))?;
        let library = library()?;
        let original = if engines.iter().any(|engine| *engine != Engine::BuiltIn) { Some(original()?) } else { None };
        Some(Settings { library, original })
    }

    /// Which libraries to load, in this order, with the entry point where the file's name does not give it.
    pub(crate) fn libraries(&self, engine: Engine) -> Vec<(&Path, &'static str)> {
        let original = || {
            let path = self.original.as_deref().expect("was asked for when these settings were found");
            (path, "sqlite3_crsqlite_init")
        };
        let library = (self.library.as_path(), "");
        match engine {
            Engine::BuiltIn => vec![library],
            Engine::Beside => vec![original(), library],
            Engine::Original => vec![original()],
        }
    }
}

/// The original cr-sqlite, made by `cargo xtask oracle`.
pub fn original() -> Option<PathBuf> {
    there("oracle", target().join("oracle/native/crsqlite.so"))
}

/// A folder that holds cr-sqlite 0.16.0 in WebAssembly, made by `cargo xtask oracle`; Node runs it.
pub fn wasm() -> Option<PathBuf> {
    there("wasm", in_path("node"))?;
    there("wasm", target().join("oracle/wasm"))
}

/// The Chinook database, made by `cargo xtask chinook`.
pub fn chinook() -> Option<PathBuf> {
    there("chinook", target().join("chinook/chinook.db"))
}

/// A folder for PYTHONPATH that holds apsw, made by `cargo xtask apsw`.
pub fn apsw() -> Option<PathBuf> {
    there("apsw", target().join("apsw"))
}

/// The folder of the JavaScript packages, made by `cargo xtask javascript`.
pub fn javascript() -> Option<PathBuf> {
    let finished = there("javascript", target().join("javascript/finished.json"))?;
    finished.parent().map(Path::to_path_buf)
}

/// Debian's Chromium.
pub fn chromium() -> Option<PathBuf> {
    there("chromium", PathBuf::from("/usr/bin/chromium"))
}

/// The browser example as a folder for a web server, made by `cargo xtask example`.
pub fn example() -> Option<PathBuf> {
    there("example", target().join("example-browser/dist"))
}

/// The loadable library, made by `cargo build -p rejoin-extension`.
pub fn library() -> Option<PathBuf> {
    there("library", beside_tests(LIBRARY))
}

/// The program `rejoin`, made by `cargo build`.
pub fn program() -> Option<PathBuf> {
    there("program", beside_tests("rejoin"))
}

/// An example of the crate `rejoin`, made by `cargo build -p rejoin --example NAME`.
pub fn example_program(name: &str) -> Option<PathBuf> {
    there("example-program", beside_tests("examples").join(name))
}

/// The interpreter whose sqlite3 module is Debian's own and can load extensions.
pub const PYTHON: &str = "/usr/bin/python3";

const LIBRARY: &str = if cfg!(target_os = "macos") { "librejoin.dylib" } else { "librejoin.so" };

/// The path, if it exists. If not: a failed test when REJOIN_REQUIRE names it, else a line on stdout.
fn there(name: &str, path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    let required = std::env::var("REJOIN_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|word| word == name),
        "{} is not there, and REJOIN_REQUIRE says that it must be",
        path.display()
    );
    println!("skipped: {} is not there; `cargo xtask conformance` makes what this test needs", path.display());
    None
}

/// Where a program is that is started by its name; its name alone when it is nowhere.
fn in_path(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from(program))
}

/// The folder that the test programs lie in: target/debug for target/debug/deps/TEST.
fn beside_tests(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let deps = test.parent().expect("a file lies in a folder");
    deps.parent().expect("deps lies in the folder of its profile").join(name)
}

fn target() -> PathBuf {
    beside_tests("..").canonicalize().expect("the target folder holds this test")
}
