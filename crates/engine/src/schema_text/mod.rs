//! Reading the text of CREATE statements, without a database: by tokens, so that what is not understood is noticed.

mod create_table;
mod tokens;

pub use create_table::{Column, Constraint, ConstraintKind, CreateTable};
pub use tokens::{Kind, Token, tokenize};
