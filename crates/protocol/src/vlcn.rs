//! A session in the vlcn protocol, which cr-sqlite's JavaScript clients and servers speak.
//!
//! It is a state machine of its own with the same contract as [`crate::Session`]: [`Session::handle`] what happens, then
//! [`Session::poll`] until that is empty. Why it is not the same type is told in
//! `docs/decisions/0005-vlcn-is-a-second-state-machine.md`. Read [`Session`] first.

mod ended;
mod exchange;
mod inbound;
mod outbound;
mod session;

pub use ended::Ended;
pub use exchange::{Admitted, Announcement, Input, Output, Pulled, Role};
pub use session::Session;
