//! The messages of the vlcn WebSocket protocol: what cr-sqlite's JavaScript clients and servers say to each other.
//!
//! The bytes are described in `docs/formats/vlcn.md`. What is read here is borrowed from the frame or kept as the bytes
//! that came ([`Changes`]), so that a frame takes about its own size in memory, whatever it holds.

mod change;
mod message;
mod primitives;
mod schema_version;
mod subprotocol;

pub use change::{Change, Changes, Mark, Value};
pub use message::{Message, Point};
pub use schema_version::schema_version;
pub use subprotocol::{Subprotocol, SubprotocolError};
