//! Changes out of `crsql_changes`, in stream order.

use crate::error::{Result, StreamError};
use crate::sql;
use rejoin_bridge::{Connection, Statement, ValueRef};
use rejoin_change::{Change, Cursor, PackedKey, SiteId, Value};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// All changes behind a cursor. The engine orders by (db_version, seq); what shares a pair is ordered here.
pub(crate) struct ChangeReader<'a> {
    connection: &'a Connection,
    after: Cursor,
    own_id: SiteId,
    /// `None` behind the last row: SQLite would begin again.
    statement: Option<Statement>,
    /// The statement reads the rest of the version that the cursor stands in; another one reads the versions behind it.
    inside_version: bool,
    /// One pair's changes, sorted.
    ready: VecDeque<Change>,
    /// The first change of the next pair.
    ahead: Option<Change>,
    names: HashSet<Arc<str>>,
}

impl<'a> ChangeReader<'a> {
    pub fn open(connection: &'a Connection, after: &Cursor, own_id: SiteId) -> Result<ChangeReader<'a>> {
        let inside_version = !after.is_end_of_version();
        let statement = if inside_version {
            let mut statement = connection.prepare(&sql::read_changes_of_version())?;
            statement.bind_all(&[after.db_version.into(), after.seq.into()])?;
            statement
        } else {
            later_versions(connection, after)?
        };
        Ok(ChangeReader {
            connection,
            after: after.clone(),
            own_id,
            statement: Some(statement),
            inside_version,
            ready: VecDeque::new(),
            ahead: None,
            names: HashSet::new(),
        })
    }

    /// The next change, or `None` at the end.
    pub fn next(&mut self) -> Result<Option<Change>> {
        while self.ready.is_empty() {
            let mut pair = Vec::from_iter(self.ahead.take());
            while let Some(change) = self.step()? {
                if pair
                    .first()
                    .is_some_and(|first: &Change| (first.db_version, first.seq) != (change.db_version, change.seq))
                {
                    self.ahead = Some(change);
                    break;
                }
                pair.push(change);
            }
            if pair.is_empty() {
                return Ok(None);
            }
            pair.sort_by(|a, b| (&a.table, &a.key, &a.column).cmp(&(&b.table, &b.key, &b.column)));
            self.ready = pair.into();
            while self.ready.front().is_some_and(|change| change.cursor() <= self.after) {
                self.ready.pop_front();
            }
        }
        Ok(self.ready.pop_front())
    }

    fn step(&mut self) -> Result<Option<Change>> {
        let Some(mut statement) = self.statement.take() else { return Ok(None) };
        if statement.step()? {
            let change = self.read(&statement)?;
            self.statement = Some(statement);
            return Ok(Some(change));
        }
        if self.inside_version {
            self.inside_version = false;
            self.statement = Some(later_versions(self.connection, &self.after)?);
            return self.step();
        }
        Ok(None)
    }

    fn read(&mut self, row: &Statement) -> Result<Change> {
        let table = self.name(row.column_text(0));
        let column = self.name(row.column_text(2));
        let key = PackedKey::from_bytes(row.column_blob(1)).map_err(|error| {
            StreamError::Misuse(format!("crsql_changes holds a key of table {table} that cannot be read: {error}"))
        })?;
        // Changes whose author's id is gone from crsql_site_id are told as this database's own.
        let site_id = SiteId::from_slice(&row.column_blob(6)).unwrap_or(self.own_id);
        Ok(Change {
            table,
            key,
            column,
            value: value(row.column(3)),
            col_version: row.column_i64(4),
            db_version: row.column_i64(5),
            site_id,
            causal_length: row.column_i64(7),
            seq: row.column_i64(8),
        })
    }

    /// Names repeat in nearly every row.
    fn name(&mut self, text: String) -> Arc<str> {
        match self.names.get(text.as_str()) {
            Some(name) => name.clone(),
            None => {
                let name: Arc<str> = text.into();
                self.names.insert(name.clone());
                name
            }
        }
    }
}

fn later_versions(connection: &Connection, after: &Cursor) -> Result<Statement> {
    let mut statement = connection.prepare(&sql::read_changes_after_version())?;
    statement.bind_all(&[after.db_version.into()])?;
    Ok(statement)
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(i) => Value::Integer(i),
        ValueRef::Real(r) => Value::Real(r),
        ValueRef::Text(t) => Value::Text(t.to_vec()),
        ValueRef::Blob(b) => Value::Blob(b.to_vec()),
    }
}
