//! Keeping copies of a SQLite database in step, for Rust programs.
//!
//! Two databases, with this program as the carrier:
//!
//! ```
//! use rejoin::Database;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let a = Database::open_in_memory()?;
//! let b = Database::open_in_memory()?;
//! for database in [&a, &b] {
//!     database.connection().execute_batch(
//!         "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, text TEXT);
//!          SELECT crsql_as_crr('note');",
//!     )?;
//! }
//! a.connection().execute("INSERT INTO note VALUES (1, 'hello')", [])?;
//!
//! let to_b = a.outbound(b.site_id()?)?;
//! let from_a = b.inbound(a.site_id()?)?;
//! while let Some(produced) = to_b.next(None)? {
//!     let applied = from_a.apply(produced.package.as_bytes())?;
//!     to_b.acknowledge(&applied.receipt)?;
//! }
//!
//! let text: String = b.connection().query_row("SELECT text FROM note", [], |row| row.get(0))?;
//! assert_eq!(text, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! [`streams`] has them with options: in any order, in a transaction of the program's own, and how they stand.
//!
//! The whole of it, with a server in the same program: a database is kept level with a room.
//!
//! ```
//! use rejoin::node::{Access, Client, Database, Finished, Limits, Patience, Server};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let file = folder.path().join("app.db");
//! # let rooms = folder.path().join("rooms");
//! # rejoin::Database::open(&file)?.connection().execute_batch(
//! #     "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL); SELECT crsql_as_crr('note');",
//! # )?;
//! let server = Server::new(rooms, rejoin::prepare(), Access::default(), Limits::default(), Patience::default())?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!("ws://{}/app", listener.local_addr()?);
//! let serving = tokio::spawn(server.serve(listener, std::future::pending()));
//!
//! let database = Database::open(file, rejoin::prepare(), &Limits::default()).await?;
//! let (_stop, stopped) = tokio::sync::watch::channel(false);
//! let finished = Client::new(database, &url)?.once().run(stopped, |event| println!("{event:?}")).await?;
//! assert_eq!(finished, Finished::Level);
//! # serving.abort();
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().expect("a runtime starts").block_on(example()).expect("the example runs");
//! ```
#![forbid(unsafe_code)]

pub mod adapt;
mod cancel;
mod content;
mod database;
pub mod diff;
mod file_error;
mod keep;
mod prepared;
mod read_only;
pub mod snapshot;
pub mod status;
pub mod streams;
pub mod track;
mod user_tables;

pub use rejoin_change as change;
pub use rejoin_node as node;
pub use rusqlite;

pub use cancel::Cancel;
pub use database::{Database, prepare};
pub use file_error::FileError;
pub use read_only::open_read_only;
pub use rejoin_change::SiteId;
pub use user_tables::{UserTable, user_tables};
