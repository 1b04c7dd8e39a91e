use super::{CID, CL, COL_VERSION, DB_VERSION, PK, SEQ, SITE_ID, TABLE, VAL};
use crate::catalogue::Tracked;
use crate::eligible::NAME_BYTES_MAX;
use crate::engine::Engine;
use crate::values::from_change;
use rejoin_bridge::{Columns, Error, Result, ValueRef};
use rejoin_change::{Arriving, COUNTER_MAX, Change, PackedKey, SENTINEL, Value};
use std::rc::Rc;

/// The longest site id that is taken from a peer, in bytes. The original takes shorter ones too.
const SITE_ID_BYTES_MAX: usize = 16;

/// What a change says of a cell or of its row. Every part is within its bounds.
#[derive(Clone, Copy)]
pub(super) struct Incoming<'a> {
    pub(super) column: &'a str,
    /// Where the column is among those of the table; none for the sentinel, and for a column that the table lacks.
    pub(super) place: Option<usize>,
    pub(super) value: ValueRef<'a>,
    pub(super) col_version: i64,
    /// At least this version is given to what is stored.
    pub(super) db_version: i64,
    /// Empty for this database itself.
    pub(super) site_id: &'a [u8],
    pub(super) causal_length: i64,
    pub(super) seq: i64,
}

/// A record that was inserted into `crsql_changes`: the row that it speaks of, and what it says.
pub(super) struct Record<'a> {
    pub(super) table: Rc<Tracked>,
    pub(super) packed: &'a [u8],
    pub(super) incoming: Incoming<'a>,
}

impl<'a> Incoming<'a> {
    /// A change of this table that arrives here as the event `seq` of the running transaction.
    pub(super) fn of_change(table: &Tracked, change: &'a Change, seq: i64) -> Result<Incoming<'a>> {
        let incoming = Incoming {
            column: &change.column,
            place: table.column_index(change.column.as_bytes()),
            value: from_change(change.value.as_ref()),
            col_version: change.col_version,
            db_version: 0,
            site_id: change.site_id.as_bytes(),
            causal_length: change.causal_length,
            seq,
        };
        incoming.check().map(|()| incoming)
    }

    /// What decides the merge.
    pub(super) fn arriving(&self) -> Arriving<'a> {
        Arriving { column: self.column, col_version: self.col_version, causal_length: self.causal_length }
    }

    fn check(&self) -> Result<()> {
        let bounded = [
            ("col_version", self.col_version, 0),
            ("db_version", self.db_version, i64::MIN),
            ("cl", self.causal_length, i64::MIN),
            ("seq", self.seq, 0),
        ];
        match bounded.iter().find(|(_, number, at_least)| !(*at_least..=COUNTER_MAX).contains(number)) {
            None => Ok(()),
            Some((name, number, _)) => Err(Error::failed(format!("{name} is {number}, which no change can have"))),
        }
    }
}

impl<'a> Record<'a> {
    /// Reads the nine columns, and checks everything that can be checked without a look at the row.
    pub(super) fn read(engine: &Engine, columns: &'a Columns<'a>) -> Result<Record<'a>> {
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
        let table = table(engine, name)?;
        let column = std::str::from_utf8(column)
            .map_err(|_| Error::failed(format!("crsql - a column name of table {} is not UTF-8", table.name)))?;
        let ValueRef::Blob(packed) = get(PK) else {
            return Err(about(&table, column, &Error::failed("the primary key is not a packed blob")));
        };
        let number = |column: i32| get(column).as_i64();
        let incoming = Incoming {
            column,
            place: table.column_index(column.as_bytes()),
            value: get(VAL),
            col_version: number(COL_VERSION),
            db_version: number(DB_VERSION),
            site_id,
            causal_length: number(CL),
            seq: number(SEQ),
        };
        incoming.check().map_err(|error| about(&table, column, &error))?;
        Ok(Record { table, packed, incoming })
    }
}

/// The tracked table of a name that a peer gave; it can be written.
pub(super) fn table(engine: &Engine, name: &[u8]) -> Result<Rc<Tracked>> {
    let found = std::str::from_utf8(name).ok().map(|name| engine.table(name)).transpose()?.flatten();
    let table = found.ok_or_else(|| {
        let shown = String::from_utf8_lossy(name);
        Error::failed(format!("crsql - could not find the schema information for table {shown}"))
    })?;
    table.check_writable()?;
    Ok(table)
}

/// Reads the values of a key that a peer gave, as the table stores them: as many as its key has, none of them NULL.
pub(super) fn read_key(table: &Tracked, packed: &[u8], keys: &mut Vec<Value>) -> Result<()> {
    PackedKey::unpack_into(packed, keys).map_err(|error| Error::failed(error.to_string()))?;
    if keys.len() != table.keys.len() {
        let (given, wanted) = (keys.len(), table.keys.len());
        return Err(Error::failed(format!("the primary key has {given} values, the table's has {wanted}")));
    }
    // SQLite would make up a key for a NULL in an INTEGER PRIMARY KEY.
    if keys.contains(&Value::Null) {
        return Err(Error::failed("a value of the primary key is NULL"));
    }
    table.key_form.apply(keys)
}

/// The error with the cell that it is about.
pub(super) fn about(table: &Tracked, column: &str, error: &Error) -> Error {
    let what = if column == SENTINEL { "a row".to_owned() } else { format!("column {column}") };
    Error::new(error.code, format!("failed to merge {what} of table {}: {error}", table.name))
}
