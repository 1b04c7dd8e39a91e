//! Making ordinary tables fit for replication.
//!
//! [`survey`] says what keeps a table from being tracked; [`rebuild`] makes it anew without that, data and dependants
//! kept. Both work on SQL text by tokens, so that everything they do not understand either stays as it is or stops them.

mod facts;
mod obstacle;
mod rebuild;
mod rewrite;
mod survey;

pub use obstacle::{COLUMNS_MAX, NotNullCure, Obstacle};
pub use rebuild::{Rebuilt, rebuild};
pub use survey::{TableSurvey, survey};
