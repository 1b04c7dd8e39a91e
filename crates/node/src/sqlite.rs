//! What is asked of SQLite, on the thread of its database.

mod schema;
mod sql;
mod worker;

pub(crate) use worker::{Trouble, Worker};
