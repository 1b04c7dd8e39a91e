//! cr-sqlite's JavaScript clients and native ones meet in the rooms of one server, through real sockets.

mod browser;
mod client;
mod hostile;
mod original;
mod rooms;
#[path = "../support/mod.rs"]
mod support;
