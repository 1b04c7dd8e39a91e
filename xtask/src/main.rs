//! Chores of this repository, each one command: `cargo xtask ci`, `tidy`, `oracle`, `chinook`, `apsw`, `conformance`.
//!
//! Everything here is for people who work on rejoin; nothing of it ends up in the program or the library.

#![forbid(unsafe_code)]

mod apsw;
mod chinook;
mod ci;
mod javascript;
mod needs;
mod oracle;
mod repository;
mod run;
mod soak;
mod throughput;
mod tidy;
mod wasm;

use std::process::ExitCode;

/// What a chore returns: what went wrong is a sentence, or several lines of them.
type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["ci"] => ci::ci(),
        ["tidy"] => tidy::tidy(),
        ["oracle"] => oracle::make().and_then(|native| {
            println!("{}", native.display());
            wasm::make().map(|path| println!("{}", path.display()))
        }),
        ["chinook"] => chinook::make().map(|path| println!("{}", path.display())),
        ["javascript"] => javascript::make().map(|path| println!("{}", path.display())),
        ["example"] => javascript::example().map(|path| println!("{}", path.display())),
        ["throughput", arguments @ ..] => throughput::measure(arguments),
        ["soak", arguments @ ..] => soak::soak(arguments),
        ["apsw"] => apsw::make().map(|path| println!("{}", path.display())),
        ["conformance", filters @ ..] => ci::conformance(filters),
        ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        [] => Err(format!("name a chore\n\n{HELP}")),
        other => Err(format!("there is no chore `{}`\n\n{HELP}", other.join(" "))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

const HELP: &str = "\
cargo xtask CHORE

  ci                    install what the tests need (Debian, as root), then run every check and test
  tidy                  check the rules that the compiler does not: allowed edges, unsafe, links, file length
  oracle                make the original cr-sqlite at target/oracle/native/crsqlite.so, and its build for
                        WebAssembly at target/oracle/wasm
  chinook               make the Chinook sample database at target/chinook/chinook.db
  apsw                  put the Python module apsw, which has a newer SQLite, into target/apsw
  javascript            put the JavaScript peers and the original server into target/javascript
  example               build the browser example in target/example-browser
  throughput [ARGUMENT] measure the original server and `rejoin serve` with the same load; --help says more
  soak [SEEDS [KILLS]]  try so many random schedules of the streams, then kill two syncing processes so often
  conformance [FILTER]  build the program and the library, then run the tests against them and the original";
