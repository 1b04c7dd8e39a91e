//! A running peer as a library: databases on threads of their own, sessions over WebSockets, rooms, a server and a client.
//!
//! This crate moves bytes between [`rejoin_protocol`] (what is said) and [`rejoin_streams`] (where it is kept). All SQLite
//! work on one database happens on one thread that is named after it; async code never holds a connection. The engine
//! is not named here: whoever opens a database hands over a [`Prepare`] that gives a connection with it. Read
//! [`Database`] first.

#![forbid(unsafe_code)]

mod access;
mod client;
mod database;
mod driver;
mod error;
mod limits;
mod link;
mod rooms;
mod server;
mod sqlite;
mod tls;
mod vlcn;

pub use access::Access;
pub use client::{Client, ClientEvent, Finished};
pub use database::{Database, Opened, Prepare};
pub use error::NodeError;
pub use limits::Limits;
pub use rejoin_protocol::{Ended, Event, Patience, Progress};
pub use server::Server;
