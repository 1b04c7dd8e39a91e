//! The vlcn protocol over WebSockets: how it is told from the native one, and how its sessions are run.

mod activity;
pub(crate) mod client;
mod driver;
mod handshake;
pub(crate) mod schemas;

pub(crate) use activity::{Activity, Watched};
pub(crate) use driver::{Host, run};
pub(crate) use handshake::{Dialled, dialled};
