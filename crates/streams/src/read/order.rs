//! The changes of one version in stream order, in memory or spooled; and what this connection keeps of them from one
//! package to the next.

use super::descriptor::{Descriptor, put_in_order};
use super::filter::wants_table;
use super::spool::Spool;
use super::tables::{Table, Tables};
use crate::error::Result;
use crate::identity::{Identity, Nonce};
use rejoin_bridge::Connection;
use rejoin_change::{Cursor, SiteId};
use std::cell::RefCell;
use std::rc::Rc;

/// The changes of one version that lie in some tables, in stream order.
pub(super) enum Ordered {
    Held(Vec<Descriptor>),
    Spooled(Spool),
}

impl Ordered {
    pub fn held(mut changes: Vec<Descriptor>, tables: &Tables) -> Result<Ordered> {
        put_in_order(&mut changes, tables)?;
        Ok(Ordered::Held(changes))
    }

    pub fn spooled(
        connection: &Connection,
        tables: &Tables,
        version: i64,
        wanted: Option<&[String]>,
    ) -> Result<Ordered> {
        let wanted: Vec<&Table> = tables.list.iter().filter(|table| wants_table(wanted, &table.name)).collect();
        Ok(Ordered::Spooled(Spool::of(connection, &wanted, version)?))
    }

    pub fn len(&self) -> usize {
        match self {
            Ordered::Held(changes) => changes.len(),
            Ordered::Spooled(spool) => spool.len(),
        }
    }

    /// Shows so many changes from there on to `look`, or as many as there are.
    pub fn with<T>(&self, from: usize, count: usize, look: impl FnOnce(&[Descriptor]) -> Result<T>) -> Result<T> {
        match self {
            Ordered::Held(changes) => look(&changes[from..changes.len().min(from.saturating_add(count))]),
            Ordered::Spooled(spool) => look(&spool.read(from, count)?),
        }
    }

    /// Where the first change stands that lies behind a cursor in the version. A value that the cursor stands inside lies
    /// behind it.
    pub fn position(&self, tables: &Tables, cursor: &Cursor) -> Result<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let is_behind = self.with(middle, 1, |changes| match changes {
                [change] => Ok(change.compare(tables, cursor)?.is_gt()),
                _ => Ok(true),
            })?;
            (low, high) = if is_behind { (low, middle) } else { (middle + 1, high) };
        }
        Ok(low)
    }
}

/// What everything that is kept depends on: where one of these is another, it may not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    site_id: SiteId,
    newest_nonce: Nonce,
    schema_version: i64,
}

impl State {
    pub fn of(identity: &Identity, tables: &Tables) -> State {
        State {
            site_id: identity.site_id,
            newest_nonce: identity.newest_nonce(),
            schema_version: tables.schema_version,
        }
    }
}

/// What this connection keeps of versions that did not fit into a package. The next one goes on in them, whichever
/// stream it belongs to.
#[derive(Default)]
pub(super) struct Kept(RefCell<Vec<Entry>>);

struct Entry {
    state: State,
    /// The head when the changes were listed, which was witnessed before. A file that has witnessed less is an older state.
    witnessed: i64,
    version: i64,
    tables: Option<Vec<String>>,
    ordered: Rc<Ordered>,
}

impl Kept {
    /// Drops what belongs to another state of the file.
    pub fn look(&self, state: &State, witnessed: i64) {
        self.0.borrow_mut().retain(|entry| entry.state == *state && entry.witnessed <= witnessed);
    }

    /// The changes of a version, and the head when they were listed, as it was witnessed.
    pub fn find(&self, version: i64, tables: Option<&[String]>) -> Option<(Rc<Ordered>, i64)> {
        let mut kept = self.0.borrow_mut();
        let at = kept.iter().position(|entry| entry.is_of(version, tables))?;
        let entry = kept.remove(at);
        let found = (entry.ordered.clone(), entry.witnessed);
        kept.push(entry);
        Some(found)
    }

    /// Keeps a version, in the place of the one that was not looked for for longest.
    pub fn keep(&self, state: &State, witnessed: i64, version: i64, tables: Option<&[String]>, ordered: Rc<Ordered>) {
        let mut kept = self.0.borrow_mut();
        if kept.iter().any(|entry| entry.is_of(version, tables)) {
            return;
        }
        if kept.len() >= KEPT_MAX {
            kept.remove(0);
        }
        let (state, tables) = (state.clone(), tables.map(Into::into));
        kept.push(Entry { state, witnessed, version, tables, ordered });
    }

    /// A package went past the end of a version.
    pub fn forget(&self, version: i64, tables: Option<&[String]>) {
        self.0.borrow_mut().retain(|entry| !entry.is_of(version, tables));
    }
}

impl Entry {
    fn is_of(&self, version: i64, tables: Option<&[String]>) -> bool {
        self.version == version && self.tables.as_deref() == tables
    }
}

/// Versions that one connection keeps. More streams than that, each in a version of its own, order them anew.
const KEPT_MAX: usize = 4;
