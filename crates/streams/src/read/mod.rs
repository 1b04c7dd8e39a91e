//! Changes out of the engine's own tables, in stream order, as much as one package takes.
//!
//! Both engines keep the same tables: `<t>__crsql_clock` with one row per cell, `<t>__crsql_pks` with the keys, and
//! `crsql_site_id` with the authors. A read walks the clock tables by db_version (`walk`), leaves out what the remote is
//! not told (`filter`), orders what is left of one version (`order`; where that is too much for memory, in a temporary
//! file: `spool`), and only then reads keys and values (`cells`, `large`). So the cost is that of the changes that are
//! told, wherever a package begins, and the memory that of one package.
//!
//! What is left out: clock rows whose key the key table does not know, cells of columns that the table has no more, and
//! tables that are gone or whose key is another than the engine has recorded.

mod cells;
mod content;
mod descriptor;
mod filling;
mod filter;
mod large;
mod order;
mod spool;
mod sql;
mod tables;
mod walk;

pub(crate) use content::{Content, read_content};
