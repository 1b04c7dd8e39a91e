//! Which changes one remote is told.

use super::descriptor::Descriptor;
use super::tables::Tables;
use crate::arrivals::Arrivals;
use crate::error::Result;
use crate::rows::OutboundRow;
use crate::snapshot::Snapshot;
use rejoin_bridge::Connection;
use rejoin_change::SiteId;
use std::cell::RefCell;
use std::collections::HashMap;

pub(crate) struct Filter<'a> {
    tables: &'a Tables,
    remote: SiteId,
    own_id: SiteId,
    arrivals: Arrivals,
    exclude_sites: &'a [SiteId],
    /// With `local_only`: this database, under its present and its former ids.
    only: Option<Vec<SiteId>>,
    /// By ordinal, as far as they were met.
    authors: RefCell<HashMap<i64, Author>>,
}

/// An author of changes, and what this remote is told of them.
#[derive(Clone, Copy)]
pub(crate) struct Author {
    pub site_id: SiteId,
    is_told: bool,
}

impl<'a> Filter<'a> {
    pub fn new(
        connection: &Connection,
        snapshot: &Snapshot,
        row: &'a OutboundRow,
        tables: &'a Tables,
    ) -> Result<Filter<'a>> {
        let own_id = snapshot.identity.site_id;
        let own_ids = || snapshot.identity.former_ids.iter().copied().chain([own_id]).collect();
        Ok(Filter {
            tables,
            remote: row.remote,
            own_id,
            arrivals: Arrivals::of(connection, row.remote)?,
            exclude_sites: &row.exclude_sites,
            only: row.local_only.then(own_ids),
            authors: RefCell::default(),
        })
    }

    /// True where the remote is told of the change. A cell that goes with its row's sentinel is told where the sentinel
    /// is, whoever wrote it; a cell of the sentinel's own version is told where either is.
    pub fn lets_pass(&self, version: i64, change: &Descriptor) -> Result<bool> {
        let by_sentinel = match change.sentinel_author {
            Some(author) => self.lets_pass_of(version, author, LIVING)?,
            None => false,
        };
        if by_sentinel || change.stored.is_some() {
            return Ok(by_sentinel);
        }
        self.lets_pass_of(version, change.author, change.col_version)
    }

    fn lets_pass_of(&self, version: i64, author: i64, col_version: i64) -> Result<bool> {
        let Author { site_id, is_told } = self.author(author)?;
        Ok(is_told && !self.arrivals.brought(version, col_version, site_id == self.remote))
    }

    /// The author of an ordinal. Changes whose author's id is gone from `crsql_site_id` are told as this database's own.
    pub fn author(&self, ordinal: i64) -> Result<Author> {
        if let Some(author) = self.authors.borrow().get(&ordinal) {
            return Ok(*author);
        }
        let stored = self
            .tables
            .author
            .lend()?
            .query_row(&[ordinal.into()], |row| Ok(SiteId::from_slice(&row.column_blob(0)).ok()))?;
        let site_id = stored.flatten().unwrap_or(self.own_id);
        let is_told = !self.exclude_sites.contains(&site_id)
            && self.only.as_ref().is_none_or(|authors| authors.contains(&site_id));
        let author = Author { site_id, is_told };
        self.authors.borrow_mut().insert(ordinal, author);
        Ok(author)
    }
}

/// The least col_version of a living row's sentinel.
const LIVING: i64 = 1;

/// True where a stream with this list of tables, or without one, tells of a table. Names compare as SQLite's do.
pub(crate) fn wants_table(tables: Option<&[String]>, name: &str) -> bool {
    tables.is_none_or(|tables| tables.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::wants_table;

    #[test]
    fn tables_are_named_without_regard_to_case() {
        let tables = ["Notes".to_owned(), "é".to_owned()];
        assert!(wants_table(Some(&tables), "nOTES"));
        assert!(!wants_table(Some(&tables), "notes2"));
        assert!(!wants_table(Some(&tables), "É"), "as SQLite: ASCII letters only");
        assert!(!wants_table(Some(&[]), "notes"));
        assert!(wants_table(None, "anything"));
    }
}
