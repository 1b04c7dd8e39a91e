use super::{CID, CL, COL_VERSION, DB_VERSION, PK, SEQ, SITE_ID, TABLE, VAL, rowid};
use crate::catalogue::Tracked;
use crate::engine::Engine;
use crate::local_write::find_or_add_key;
use crate::sql;
use crate::values::{to_bridge, to_change};
use rejoin_bridge::{Columns, Error, Result, ValueRef, code};
use rejoin_change::{Arriving, COUNTER_MAX, PackedKey, SENTINEL, Standing, Value, Verdict, decide};
use std::cmp::Ordering;
use std::rc::Rc;

/// The longest table or column name that is taken from a peer, in bytes.
const NAME_BYTES_MAX: usize = 2048;

/// The longest site id that is taken from a peer, in bytes. The original takes shorter ones too.
const SITE_ID_BYTES_MAX: usize = 16;

/// Merges one record. Returns the rowid of its row, or 0 where it had no effect.
///
/// The user's row is written before the clock: what can be refused (by a constraint or a trigger of the user's) comes
/// first, so that a refused record leaves nothing behind, also inside a transaction that goes on.
pub(super) fn merge(engine: &Rc<Engine>, columns: &Columns<'_>) -> Result<i64> {
    let record = Record::read(engine, columns)?;
    let table = record.table.clone();
    record.merge(engine).map_err(|error| {
        let Record { column, .. } = record;
        Error::new(error.code, format!("failed to merge column {column} of table {}: {error}", table.name))
    })
}

struct Record<'a> {
    table: Rc<Tracked>,
    keys: Vec<Value>,
    column: &'a str,
    value: ValueRef<'a>,
    col_version: i64,
    db_version: i64,
    site_id: &'a [u8],
    causal_length: i64,
    seq: i64,
}

impl<'a> Record<'a> {
    fn read(engine: &Engine, columns: &'a Columns<'a>) -> Result<Record<'a>> {
        let get = |column: i32| columns.get(column as usize);
        let name = get(TABLE).as_bytes().unwrap_or_default();
        if name.len() > NAME_BYTES_MAX {
            return Err(Error::failed("crsql - table name exceeded max length"));
        }
        let column = get(CID).as_bytes().unwrap_or_default();
        if column.len() > NAME_BYTES_MAX {
            return Err(Error::failed("crsql - column name exceeded max length"));
        }
        let site_id = match get(SITE_ID) {
            ValueRef::Null => &[],
            ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes,
            ValueRef::Integer(_) | ValueRef::Real(_) => return Err(Error::failed("crsql - the site id is a number")),
        };
        if site_id.len() > SITE_ID_BYTES_MAX {
            return Err(Error::failed("crsql - site id exceeded max length"));
        }
        let shown = String::from_utf8_lossy(name);
        let table = engine
            .table(&shown)?
            .ok_or_else(|| Error::failed(format!("crsql - could not find the schema information for table {shown}")))?;
        table.check_writable()?;
        let column = std::str::from_utf8(column)
            .map_err(|_| Error::failed(format!("crsql - a column name of table {shown} is not UTF-8")))?;
        let what = |problem: String| Error::failed(format!("crsql - column {column} of table {shown}: {problem}"));
        let keys = match get(PK) {
            ValueRef::Blob(bytes) => PackedKey::unpack(bytes).map_err(|error| what(error.to_string()))?,
            _ => return Err(what("the primary key is not a packed blob".into())),
        };
        if keys.len() != table.keys.len() {
            let (given, wanted) = (keys.len(), table.keys.len());
            return Err(what(format!("the primary key has {given} values, the table's has {wanted}")));
        }
        // SQLite would make up a key for a NULL in an INTEGER PRIMARY KEY.
        if keys.contains(&Value::Null) {
            return Err(what("a value of the primary key is NULL".into()));
        }
        let number = |column: i32, name: &str, at_least: i64| -> Result<i64> {
            let number = get(column).as_i64();
            if (at_least..=COUNTER_MAX).contains(&number) {
                return Ok(number);
            }
            Err(what(format!("{name} is {number}, which no change can have")))
        };
        Ok(Record {
            keys,
            column,
            value: get(VAL),
            col_version: number(COL_VERSION, "col_version", 0)?,
            db_version: number(DB_VERSION, "db_version", i64::MIN)?,
            site_id,
            causal_length: number(CL, "cl", i64::MIN)?,
            seq: number(SEQ, "seq", 0)?,
            table: table.clone(),
        })
    }

    fn merge(&self, engine: &Engine) -> Result<i64> {
        engine.begin_write()?;
        let keys: Vec<ValueRef<'_>> = self.keys.iter().map(to_bridge).collect();
        let (known, standing) = self.standing(engine, &keys)?;
        let arriving =
            Arriving { column: self.column, col_version: self.col_version, causal_length: self.causal_length };
        let verdict = decide(standing, arriving, || self.compare_values(engine, &keys, standing))?;
        let row = RowMerge { engine, record: self, keys: &keys, known };
        let key = match verdict {
            // The key is made known even so, as the original does.
            Verdict::Ignore => return row.key().map(|_| 0),
            Verdict::Delete => row.delete()?,
            Verdict::Revive => row.revive()?,
            Verdict::Write { revive } => row.write(revive)?,
        };
        Ok(rowid(self.table.index, key))
    }

    /// The number of the key, if it is known, and what is known of the row and the cell.
    fn standing(&self, engine: &Engine, keys: &[ValueRef<'_>]) -> Result<(Option<i64>, Standing)> {
        let values: Vec<ValueRef<'_>> = keys.iter().copied().chain([self.column.into()]).collect();
        let mut statement = engine.connection.cached(&self.table.sql.standing)?;
        let found = statement.query_row(&values, |row| {
            let number = |i: i32| (!row.column(i).is_null()).then(|| row.column_i64(i));
            let causal_length = number(1).unwrap_or(row.column_i64(3));
            Ok((number(0), Standing { causal_length, col_version: number(2) }))
        })?;
        Ok(found.unwrap_or((None, Standing { causal_length: 0, col_version: None })))
    }

    /// Compares the incoming value with the stored one, as it is stored.
    fn compare_values(&self, engine: &Engine, keys: &[ValueRef<'_>], standing: Standing) -> Result<Ordering> {
        let column = self.column_index()?;
        let mut statement = engine.connection.cached(&self.table.sql.read_cell[column])?;
        let order = statement.query_row(keys, |row| Ok(to_change(self.value).merge_order(to_change(row.column(0)))))?;
        match order {
            Some(order) => Ok(order),
            // Cells of a life before this one were never written in it: any write wins.
            None if standing.col_version == Some(0) => Ok(Ordering::Greater),
            None => Err(Error::failed(format!("could not find row to merge with for tbl {}", self.table.name))),
        }
    }

    fn column_index(&self) -> Result<usize> {
        self.table
            .column_index(self.column.as_bytes())
            .ok_or_else(|| Error::failed(format!("the table has no column {} outside of its primary key", self.column)))
    }
}

/// Executes a verdict on one row.
struct RowMerge<'a> {
    engine: &'a Engine,
    record: &'a Record<'a>,
    keys: &'a [ValueRef<'a>],
    /// The number of the key, where it was known beforehand.
    known: Option<i64>,
}

impl RowMerge<'_> {
    fn delete(&self) -> Result<i64> {
        let table = &self.record.table;
        self.write_base(&sql::delete_row(&table.name, &table.keys), self.keys)?;
        let key = self.key()?;
        self.set_clock_row(key, SENTINEL, self.record.causal_length)?;
        self.engine.connection.cached(&table.sql.drop_cells)?.run(&[key.into()])?;
        self.engine.add_rows_impacted(1);
        Ok(key)
    }

    fn revive(&self) -> Result<i64> {
        let table = &self.record.table;
        self.write_base(&sql::add_row(&table.name, &table.keys), self.keys)?;
        let key = self.key()?;
        self.begin_life(key)?;
        Ok(key)
    }

    fn write(&self, revive: bool) -> Result<i64> {
        let column = self.record.column_index()?;
        let values: Vec<ValueRef<'_>> = self.keys.iter().copied().chain([self.record.value]).collect();
        self.write_base(&self.record.table.sql.write_cell[column], &values)?;
        let key = self.key()?;
        if revive {
            self.begin_life(key)?;
        }
        self.set_clock_row(key, self.record.column, self.record.col_version)?;
        self.engine.add_rows_impacted(1);
        Ok(key)
    }

    fn begin_life(&self, key: i64) -> Result<()> {
        let version = self.engine.stamp(self.record.db_version)?;
        let zero_cells = sql::zero_cells(&self.record.table.name);
        self.engine.connection.cached(&zero_cells)?.run(&[key.into(), version.into()])?;
        self.set_clock_row(key, SENTINEL, self.record.causal_length)?;
        self.engine.add_rows_impacted(1);
        Ok(())
    }

    /// Writes the user's table; the triggers that record local writes look away meanwhile.
    fn write_base(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<()> {
        let mut statement = self.engine.connection.cached(sql)?;
        let _sync_bit = self.engine.without_recording();
        statement.run(values)
    }

    fn key(&self) -> Result<i64> {
        match self.known {
            Some(key) => Ok(key),
            None => Ok(find_or_add_key(self.engine, &self.record.table, self.keys)?.0),
        }
    }

    /// The author gets an ordinal when a change of theirs first wins. It is looked up each time, because a database can
    /// be given another identity. A record without an author counts as this database's own.
    fn set_clock_row(&self, key: i64, column: &str, col_version: i64) -> Result<()> {
        let version = self.engine.stamp(self.record.db_version)?;
        let connection = &self.engine.connection;
        let sql = &self.record.table.sql;
        let run = |text: &str, site: ValueRef<'_>| {
            let seq = self.record.seq.into();
            let values = [key.into(), column.into(), col_version.into(), version.into(), site, seq];
            connection.cached(text)?.run(&values)
        };
        if self.record.site_id.is_empty() {
            return run(&sql.set_clock_row, OWN_ORDINAL.into());
        }
        let site_id = ValueRef::Blob(self.record.site_id);
        match run(&sql.set_clock_row_of_site, site_id) {
            Err(error) if error.code & 0xff == code::CONSTRAINT => {
                connection.cached(sql::ADD_SITE)?.run(&[site_id])?;
                run(&sql.set_clock_row_of_site, site_id)
            }
            result => result,
        }
    }
}

/// The ordinal of this database itself.
const OWN_ORDINAL: i64 = 0;
