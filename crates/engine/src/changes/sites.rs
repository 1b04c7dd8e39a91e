use crate::engine::Engine;
use crate::sql;
use rejoin_bridge::{Result, ValueRef};

/// The ordinals under which the authors of changes are stored. Kept only as long as nobody else can have written: a
/// database can be given another identity.
#[derive(Default)]
pub(super) struct SiteOrdinals(Vec<(Vec<u8>, i64)>);

impl SiteOrdinals {
    /// The ordinal of an author. A new author gets one, when a change of theirs first wins. A change without an author
    /// counts as this database's own.
    pub(super) fn ordinal(&mut self, engine: &Engine, site_id: &[u8]) -> Result<i64> {
        if site_id.is_empty() {
            return Ok(OWN_ORDINAL);
        }
        if let Some((_, ordinal)) = self.0.iter().find(|(known, _)| known == site_id) {
            return Ok(*ordinal);
        }
        let connection = &engine.connection;
        let value = ValueRef::Blob(site_id);
        let found = connection.cached(sql::SITE_ORDINAL)?.query_row(&[value], |row| Ok(row.column_i64(0)))?;
        let ordinal = match found {
            Some(ordinal) => ordinal,
            None => {
                connection.cached(sql::ADD_SITE)?.run(&[value])?;
                connection.last_insert_rowid()
            }
        };
        if self.0.len() >= REMEMBERED_MAX {
            self.0.clear();
        }
        self.0.push((site_id.to_vec(), ordinal));
        Ok(ordinal)
    }
}

/// The ordinal of this database itself.
const OWN_ORDINAL: i64 = 0;

/// How many authors are remembered: they are looked for one by one.
const REMEMBERED_MAX: usize = 32;
