//! What is asked of SQLite, on the thread of its database.

mod schema;
mod sql;
pub(crate) mod vlcn;
mod worker;

pub(crate) use worker::{Trouble, Worker};
