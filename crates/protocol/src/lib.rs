//! One sync session as a state machine.
//!
//! A session joins two databases over one link, in both directions at once. It never sees SQLite, a socket or a clock:
//! it is told what happened ([`Input`], with the time as an argument) and answers with what is to be done ([`Output`]).
//! Both sides are the same type with a [`Role`]. Read [`Session`] first.
//!
//! What holds whatever the other side does: a package is handed over for applying only in the order it came in, its
//! receipt leaves only after the database has confirmed it, and what has merely been sent never counts as received.

#![forbid(unsafe_code)]

mod exchange;
mod inbound;
mod liveness;
mod outbound;
mod schema;
mod session;
pub mod vlcn;

pub use exchange::{Applied, Ended, Event, Input, Output, Progress, Pulled, Role, printable};
pub use liveness::Patience;
pub use session::{PROTOCOL_VERSION, Session};
