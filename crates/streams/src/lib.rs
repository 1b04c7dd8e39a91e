//! Packages out of and into any `crsql_changes`, and where each peer stands.
//!
//! An outbound stream is what this database has to tell one remote database, an inbound stream what one remote has told
//! this one. Both are rows of bookkeeping in the database file; virtual tables and functions are their face in SQL, and
//! [`Streams`] is their face in Rust. Whoever carries the packages and receipts need not look into them.
//!
//! This crate runs inside somebody's connection, synchronously. It knows the engine by SQL only, so that it works beside
//! the built-in engine and beside the original cr-sqlite alike. It never ends a transaction that it did not begin, and
//! it uses no network, no clock of its own and no threads. Read [`Streams`] first.

#![forbid(unsafe_code)]

mod acknowledge;
mod arrivals;
mod change_store;
mod checks;
mod coverage;
mod engine_facts;
mod error;
mod identity;
mod inbound;
mod merge;
mod options;
mod outbound;
mod parking;
mod read;
mod rows;
#[cfg(feature = "rule-switches")]
pub mod rules;
#[cfg(not(feature = "rule-switches"))]
mod rules;
mod snapshot;
mod sql;
mod staging;
mod streams;
mod surface;
mod tracked;
mod values;

pub use acknowledge::Acknowledged;
pub use change_store::Store;
pub use error::{Side, StreamError};
pub use inbound::{Applied, Inbound, Outcome};
pub use options::{
    Atomic, InboundOptions, OnGap, OnUnknown, OnViolation, Order, OutboundOptions, PACKAGE_BYTES_DEFAULT, Since,
};
pub use outbound::{Outbound, OutboundPosition, Produced};
pub use streams::{Direction, StreamStatus, Streams};
pub use surface::register;
