//! What a vlcn session asks of a database: may this schema come in, what is there to tell, and merge what was told.

mod admit;
mod columns;
mod merge;
mod pull;
mod skipped;

pub(crate) use admit::{admit, announcement, check_schema};
pub(crate) use columns::Columns;
pub(super) use columns::KnownTables;
pub(crate) use merge::apply;
pub(crate) use pull::{Blobs, Listener, pull};
pub(crate) use skipped::ANY_SERVER;
