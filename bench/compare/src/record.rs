//! Changes as rows of `crsql_changes`.

use crate::Outcome;
use crate::system::Peer;
use rejoin::change::{self, Change, PackedKey, SiteId};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Row, Statement, params};

/// One row of `crsql_changes`.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub table: String,
    pub key: Vec<u8>,
    pub column: String,
    pub value: Value,
    pub col_version: i64,
    pub db_version: i64,
    /// The author; none where it is the database itself that was asked.
    pub site_id: Option<Vec<u8>>,
    pub causal_length: i64,
    pub seq: i64,
}

/// All changes behind a version: (version).
pub const PULL: &str = "SELECT \"table\", pk, cid, val, col_version, db_version, site_id, cl, seq FROM crsql_changes \
     WHERE db_version > ?1";

/// All changes behind a version but those of an author: (version, author).
pub const PULL_EXCLUDING: &str = "SELECT \"table\", pk, cid, val, col_version, db_version, site_id, cl, seq \
     FROM crsql_changes WHERE db_version > ?1 AND site_id IS NOT ?2";

const MERGE: &str = "INSERT INTO crsql_changes (\"table\", pk, cid, val, col_version, db_version, site_id, cl, seq) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// How many columns a change has.
pub const COLUMNS: usize = 9;

impl Record {
    fn read(row: &Row<'_>) -> rusqlite::Result<Record> {
        Ok(Record {
            table: row.get(0)?,
            key: row.get(1)?,
            column: row.get(2)?,
            value: row.get(3)?,
            col_version: row.get(4)?,
            db_version: row.get(5)?,
            site_id: row.get(6)?,
            causal_length: row.get(7)?,
            seq: row.get(8)?,
        })
    }

    /// What a stream told. The numbers of the teller's transactions stay in it, its authors do not.
    pub fn told(change: &Change) -> Record {
        let value = match &change.value {
            change::Value::Null => Value::Null,
            change::Value::Integer(i) => Value::Integer(*i),
            change::Value::Real(r) => Value::Real(*r),
            change::Value::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
            change::Value::Blob(blob) => Value::Blob(blob.clone()),
        };
        Record {
            table: change.table.to_string(),
            key: change.key.as_bytes().to_vec(),
            column: change.column.to_string(),
            value,
            col_version: change.col_version,
            db_version: change.db_version,
            site_id: Some(change.site_id.as_bytes().to_vec()),
            causal_length: change.causal_length,
            seq: change.seq,
        }
    }

    /// As the engine's own interface takes it.
    pub fn to_change(&self) -> Outcome<Change> {
        let value = match &self.value {
            Value::Null => change::Value::Null,
            Value::Integer(i) => change::Value::Integer(*i),
            Value::Real(r) => change::Value::Real(*r),
            Value::Text(text) => change::Value::Text(text.clone().into_bytes()),
            Value::Blob(blob) => change::Value::Blob(blob.clone()),
        };
        let author = self.site_id.as_deref().ok_or("the change has no author")?;
        Ok(Change {
            table: self.table.as_str().into(),
            key: PackedKey::from_bytes(self.key.clone())?,
            column: self.column.as_str().into(),
            value,
            col_version: self.col_version,
            db_version: self.db_version,
            site_id: SiteId::from_slice(author)?,
            causal_length: self.causal_length,
            seq: self.seq,
        })
    }

    /// Without what may differ between two databases that hold the same: who wrote it, and in which transaction.
    pub fn without_numbers(mut self) -> Record {
        self.site_id = None;
        self.db_version = 0;
        self.seq = 0;
        self
    }
}

/// All changes behind a version, but those of an author, as they come.
pub fn read(peer: &Peer, since: i64, excluding: Option<&[u8]>) -> Outcome<Vec<Record>> {
    let mut statement = peer.connection().prepare(if excluding.is_some() { PULL_EXCLUDING } else { PULL })?;
    let mut rows = match excluding {
        Some(author) => statement.query(params![since, author])?,
        None => statement.query([since])?,
    };
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(Record::read(row)?);
    }
    Ok(records)
}

/// The statement that merges one record.
pub fn merge_statement(peer: &Peer) -> Outcome<Statement<'_>> {
    Ok(peer.connection().prepare(MERGE)?)
}

/// Merges one record.
pub fn merge(statement: &mut Statement<'_>, record: &Record) -> rusqlite::Result<()> {
    // Without a copy of the value, which a sync layer that holds it need not make either.
    let value = rusqlite::types::ToSqlOutput::Borrowed(ValueRef::from(&record.value));
    statement.execute(params![
        record.table,
        record.key,
        record.column,
        value,
        record.col_version,
        record.db_version,
        record.site_id,
        record.causal_length,
        record.seq
    ])?;
    Ok(())
}

/// In the order of their cells, with the database's own author taken out.
pub fn settled(mut records: Vec<Record>, own: &[u8]) -> Vec<Record> {
    for record in &mut records {
        record.site_id.take_if(|author| author == own);
    }
    records.sort_by(|a, b| (&a.table, &a.key, &a.column).cmp(&(&b.table, &b.key, &b.column)));
    records
}
