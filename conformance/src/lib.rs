//! Drives rejoin from outside, as its users do: the loadable library in the `sqlite3` shell and in Debian's python3, the
//! program as a process, and the original cr-sqlite beside or instead of the built-in engine.
//!
//! The tests are in `conformance/tests`. This library links neither SQLite nor another crate of this workspace, so a test
//! sees what a user sees. Read [`Peer`] first: one database file, used by one host with one engine.

#![forbid(unsafe_code)]

mod bash;
mod host;
mod javascript;
mod peer;
mod program;
mod random;
mod session;
mod settings;
mod value;

pub use bash::{Printed, bash};
pub use host::{Answer, Host, Statement};
pub use javascript::{JavaScript, JavaScriptPeer, OriginalServer, Script};
pub use peer::{Peer, Stream, carry, until_level};
pub use program::{Program, Server, free_address, wait_until};
pub use random::Random;
pub use session::{Ran, Session};
pub use settings::{
    Engine, PYTHON, Settings, apsw, chinook, chromium, example, example_program, javascript, library, original,
    program, wasm,
};
pub use value::{Row, Value};
