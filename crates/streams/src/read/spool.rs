//! The changes of one version that is too large to be ordered in memory, in stream order, in a temporary file of this
//! connection's own. They are written once, however many packages they take.

use super::descriptor::Descriptor;
use super::sql;
use super::tables::Table;
use super::walk::{IN_MEMORY_MAX, Source};
use crate::error::{Result, StreamError};
use rejoin_bridge::{self as bridge, Connection, PrivateDatabase, Statement, ValueRef};
use rejoin_change::PackedKey;
use std::cell::RefCell;

/// What was spooled. Whoever reads it looks whether each change is still there: cells move to a later version.
pub(super) struct Spool {
    /// Dropped before the database that it belongs to.
    read: RefCell<Statement>,
    len: usize,
    _database: PrivateDatabase,
}

impl Spool {
    /// Spools all changes of a version in these tables.
    pub fn of(connection: &Connection, wanted: &[&Table], version: i64) -> Result<Spool> {
        Spool::fill(connection, wanted, version).map_err(|error| match error {
            StreamError::Store(error) if error.code & 0xff == bridge::code::FULL => {
                StreamError::Store(bridge::Error::new(
                    error.code,
                    format!(
                        "version {version} is too large to be put in order in memory, and there is no room for that in \
                     SQLite's folder for temporary files ({error}); make room there, or set SQLITE_TMPDIR"
                    ),
                ))
            }
            other => other,
        })
    }

    fn fill(connection: &Connection, wanted: &[&Table], version: i64) -> Result<Spool> {
        let database = connection.open_private_file()?;
        database.execute(sql::CREATE_SPOOL)?;
        let mut writer =
            Writer { insert: database.prepare(sql::SPOOL)?, changes: Vec::new(), last: None, len: 0, is_ordered: true };
        for table in wanted {
            let mut statement = table.clock_rows_of_version.lend()?;
            statement.bind_all(&[version.into()])?;
            let mut source = Source::new(table, statement)?;
            loop {
                let before = writer.changes.len();
                if !source.take_row(version, &mut writer.changes)? {
                    break;
                }
                writer.finish_row(table, before)?;
            }
        }
        writer.flush()?;
        let (len, is_ordered) = (writer.len, writer.is_ordered);
        drop(writer);
        if !is_ordered {
            database.execute(sql::ORDER_SPOOL)?;
        }
        database.execute(sql::END_SPOOL)?;
        let read = RefCell::new(database.prepare(&sql::read_spooled(!is_ordered))?);
        Ok(Spool { read, len, _database: database })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// So many changes from there on, or as many as there are.
    pub fn read(&self, from: usize, count: usize) -> Result<Vec<Descriptor>> {
        let values = [ValueRef::Integer(from as i64 + 1), ValueRef::Integer(count as i64)];
        Ok(self.read.borrow_mut().query(&values, read_descriptor)?)
    }
}

/// Writes changes in windows that are ordered in memory. Mostly one window follows the other, and nothing more is to be
/// done.
struct Writer {
    insert: Statement,
    changes: Vec<Descriptor>,
    last: Option<Descriptor>,
    len: usize,
    is_ordered: bool,
}

impl Writer {
    /// The changes from `first` on are those of one row.
    fn finish_row(&mut self, table: &Table, first: usize) -> Result<()> {
        let Some(key) = self.changes.get(first).map(|change| change.key) else { return Ok(()) };
        match table.read_key(key)? {
            Some(key) => {
                self.changes[first..].iter_mut().for_each(|change| change.packed = Some(key.packed.clone()));
            }
            // Nobody can be told of the row.
            None => self.changes.truncate(first),
        }
        if self.changes.len() >= IN_MEMORY_MAX { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.changes.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
        for change in &self.changes {
            self.insert.run(&[
                change.seq.into(),
                i64::from(change.table).into(),
                ValueRef::Blob(change.packed.as_ref().map_or(&[], PackedKey::as_bytes)),
                i64::from(change.column).into(),
                change.key.into(),
                change.col_version.into(),
                change.author.into(),
                change.sentinel_author.into(),
                change.stored.map(|(version, _)| version).into(),
                change.stored.map(|(_, seq)| seq).into(),
            ])?;
        }
        self.len += self.changes.len();
        if let (Some(last), Some(first)) = (&self.last, self.changes.first()) {
            self.is_ordered &= order(last) < order(first);
        }
        self.last = self.changes.pop().or(self.last.take());
        self.changes.clear();
        Ok(())
    }
}

fn order(change: &Descriptor) -> (i64, u32, &Option<PackedKey>, u16) {
    (change.seq, change.table, &change.packed, change.column)
}

fn read_descriptor(row: &Statement) -> bridge::Result<Descriptor> {
    let integer = |index| (!row.column(index).is_null()).then(|| row.column_i64(index));
    let packed = PackedKey::from_bytes(row.column_blob(2))
        .map_err(|error| bridge::Error::failed(format!("a spooled key cannot be read: {error}")))?;
    Ok(Descriptor {
        seq: row.column_i64(0),
        table: row.column_i64(1) as u32,
        packed: Some(packed),
        column: row.column_i64(3) as u16,
        key: row.column_i64(4),
        col_version: row.column_i64(5),
        author: row.column_i64(6),
        sentinel_author: integer(7),
        stored: integer(8).zip(integer(9)),
    })
}
