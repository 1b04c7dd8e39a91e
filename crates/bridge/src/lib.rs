//! SQLite as seen from inside somebody's connection: the only crate of the project with `unsafe`.
//!
//! SQLite hands every extension a table of its functions. This crate takes that table per connection, so one library
//! works in any host (an old `sqlite3` shell, Python, Node) and several SQLite libraries can live in one process.
//! It binds SQLite without features and without dependencies, contains panics, and carries error messages in the
//! places where SQLite looks for them. It never touches the connection's single hook slots (commit, rollback, update).
//!
//! Read [`Connection`] first.

#![deny(unsafe_op_in_unsafe_fn)]

mod abi;
mod api;
mod atomic;
mod blob;
mod connection;
mod error;
mod function;
mod guard;
pub mod linked;
mod load;
mod private;
mod slot;
mod statement;
mod transaction;
mod triggers;
mod value;
mod vtab;

pub use blob::Blob;
pub use connection::{Connection, SchemaObserver};
pub use error::{Error, Result, code};
pub use function::{Call, FunctionFlags};
pub use guard::NoRows;
pub use load::{SQLITE_VERSION_MIN, load};
pub use private::PrivateDatabase;
pub use slot::{Lent, Slot};
pub use statement::{CachedStatement, Statement};
pub use transaction::{TransactionJoin, TransactionObserver};
pub use triggers::TriggersOff;
pub use value::{Output, Value, ValueRef};
pub use vtab::{
    Columns, Constraint, ConstraintOp, IndexInfo, Module, ModuleKind, OrderBy, Table, TableArgs, TableCursor, Update,
};
