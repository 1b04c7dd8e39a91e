use super::plan::Conditions;
use super::{CID, CL, COL_VERSION, DB_VERSION, PK, SEQ, SITE_ID, TABLE, VAL, rowid};
use crate::catalogue::Tracked;
use crate::engine::Engine;
use crate::sql;
use crate::values::to_change;
use rejoin_bridge::{CachedStatement, Error, Output, Result, Statement, TableCursor, Value, ValueRef};
use rejoin_change::{PackedKey, SENTINEL};
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::rc::Rc;

/// A scan of `crsql_changes`: one statement per table, each in stream order, merged. Nothing is kept but the row at
/// which each statement stands.
pub(crate) struct ChangesCursor {
    engine: Rc<Engine>,
    sources: Vec<Source>,
    /// (db_version, seq, which source) of every source that stands on a row, but for the present one.
    waiting: BinaryHeap<Reverse<(i64, i64, usize)>>,
    present: Option<usize>,
    row: RefCell<Option<Row>>,
    sites: RefCell<HashMap<i64, Value>>,
}

/// One table of a scan.
struct Source {
    table: Rc<Tracked>,
    statement: CachedStatement,
    /// The present row's column among those of the table; none for the sentinel.
    column: Option<usize>,
}

/// What the clock rows of one row of a table have in common.
struct Row {
    source: usize,
    key: i64,
    keys: Vec<Value>,
    packed: Vec<u8>,
    causal_length: i64,
    cells: Cells,
}

/// How much of the user's row has been read. One cell alone is read alone, since the others may be large; with the
/// second one the whole row is read.
enum Cells {
    None,
    One,
    All(Vec<Value>),
}

impl ChangesCursor {
    pub(super) fn new(engine: Rc<Engine>) -> ChangesCursor {
        ChangesCursor {
            engine,
            sources: Vec::new(),
            waiting: BinaryHeap::new(),
            present: None,
            row: RefCell::new(None),
            sites: RefCell::new(HashMap::new()),
        }
    }

    /// Lets a source wait at its next row, if it has one.
    fn advance(&mut self, source: usize) -> Result<()> {
        if let Some((db_version, seq)) = self.sources[source].next()? {
            self.waiting.push(Reverse((db_version, seq, source)));
        }
        Ok(())
    }

    fn take_first(&mut self) {
        self.present = self.waiting.pop().map(|Reverse((.., source))| source);
    }

    fn source(&self) -> Result<(usize, &Source)> {
        let present = self.present.ok_or_else(|| Error::misuse("the scan of crsql_changes is at its end"))?;
        Ok((present, &self.sources[present]))
    }

    /// What is known of the present row, read at first need.
    fn with_row<T>(&self, read: impl FnOnce(&mut Row) -> Result<T>) -> Result<T> {
        let (source, Source { table, statement, .. }) = self.source()?;
        let key = statement.column_i64(KEY);
        let mut row = self.row.borrow_mut();
        match &mut *row {
            Some(row) if row.source == source && row.key == key => read(row),
            _ => read(row.insert(read_row(table, source, key)?)),
        }
    }

    fn value(&self) -> Result<Output<'static>> {
        let (_, Source { table, column, .. }) = self.source()?;
        let Some(column) = *column else { return Ok(Output::Null) };
        self.with_row(|row| {
            if let Cells::All(cells) = &row.cells {
                return Ok(cells.get(column).cloned().unwrap_or(Value::Null).into());
            }
            let keys: Vec<ValueRef<'_>> = row.keys.iter().map(ValueRef::from).collect();
            if matches!(row.cells, Cells::None) {
                row.cells = Cells::One;
                let mut statement = table.statements.read_cell[column].lend()?;
                let value = statement.query_row(&keys, |found| Ok(found.column(0).to_value()))?;
                return Ok(value.unwrap_or(Value::Null).into());
            }
            let mut statement = table.statements.read_cells.lend()?;
            let all = |found: &Statement| Ok((0..found.column_count()).map(|i| found.column(i).to_value()).collect());
            let cells: Vec<Value> = statement.query_row(&keys, all)?.unwrap_or_default();
            let value = cells.get(column).cloned().unwrap_or(Value::Null);
            row.cells = Cells::All(cells);
            Ok(value.into())
        })
    }

    fn site(&self, ordinal: i64) -> Result<Output<'static>> {
        if let Some(site) = self.sites.borrow().get(&ordinal) {
            return Ok(site.clone().into());
        }
        let mut statement = self.engine.connection.cached(sql::SITE_OF_ORDINAL)?;
        let site = statement.query_row(&[ordinal.into()], |row| Ok(row.column(0).to_value()))?.unwrap_or(Value::Null);
        self.sites.borrow_mut().insert(ordinal, site.clone());
        Ok(site.into())
    }
}

impl Source {
    /// Steps to the next clock row of a column that the table still has. Returns its db_version and seq.
    fn next(&mut self) -> Result<Option<(i64, i64)>> {
        while self.statement.step()? {
            let name = self.statement.column(COL_NAME).as_bytes().unwrap_or_default();
            self.column = self.table.column_index(name);
            if self.column.is_some() || name == SENTINEL.as_bytes() {
                return Ok(Some((self.statement.column_i64(VERSION), self.statement.column_i64(SEQUENCE))));
            }
        }
        Ok(None)
    }
}

fn read_row(table: &Tracked, source: usize, key: i64) -> Result<Row> {
    let mut statement = table.statements.read_key.lend()?;
    let read = |found: &Statement| {
        let causal_length = if found.column(0).is_null() { 1 } else { found.column_i64(0) };
        let keys: Vec<Value> = (1..=table.keys.len()).map(|i| found.column(i as i32).to_value()).collect();
        let pure: Vec<_> = keys.iter().map(|key| to_change(key.into())).collect();
        let packed = PackedKey::pack(&pure).map_err(|error| Error::failed(error.to_string()))?.as_bytes().to_vec();
        Ok(Row { source, key, keys, packed, causal_length, cells: Cells::None })
    };
    statement.query_row(&[key.into()], read)?.ok_or_else(|| {
        Error::failed(format!(
            "the clock of table {} speaks of key {key}, which its lookaside table does not know: the file is damaged",
            table.name
        ))
    })
}

impl TableCursor for ChangesCursor {
    fn filter(&mut self, _: i32, plan: &str, arguments: &[ValueRef<'_>]) -> Result<()> {
        self.sources.clear();
        self.waiting.clear();
        self.present = None;
        self.row.replace(None);
        self.sites.borrow_mut().clear();
        self.engine.record_waiting()?;
        let conditions = Conditions::read(plan, arguments)?;
        let catalogue = self.engine.catalogue()?;
        let writing = self.engine.connection.has_write_transaction();
        for table in catalogue.tables().iter().filter(|table| table.is_readable()) {
            let Some(part) = conditions.part_of(&self.engine, table, writing)? else { continue };
            let mut statement = self.engine.connection.cached(&part.sql)?;
            let values: Vec<ValueRef<'_>> = part.values.iter().map(ValueRef::from).collect();
            statement.bind_all(&values)?;
            self.sources.push(Source { table: table.clone(), statement, column: None });
            self.advance(self.sources.len() - 1)?;
        }
        self.take_first();
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        if let Some(source) = self.present {
            self.advance(source)?;
        }
        self.take_first();
        Ok(())
    }

    fn eof(&self) -> bool {
        self.present.is_none()
    }

    fn column(&self, index: i32) -> Result<Output<'_>> {
        let (_, source) = self.source()?;
        let statement = &source.statement;
        match index {
            TABLE => Ok(source.table.name.as_str().into()),
            PK => self.with_row(|row| Ok(row.packed.clone().into())),
            CID => Ok(statement.column(COL_NAME).into()),
            VAL => self.value(),
            COL_VERSION => Ok(statement.column_i64(VERSION_OF_CELL).into()),
            DB_VERSION => Ok(statement.column_i64(VERSION).into()),
            SITE_ID => self.site(statement.column_i64(SITE)),
            CL => self.with_row(|row| Ok(row.causal_length.into())),
            SEQ => Ok(statement.column_i64(SEQUENCE).into()),
            _ => Ok(Output::Null),
        }
    }

    fn rowid(&self) -> Result<i64> {
        let (_, source) = self.source()?;
        Ok(rowid(source.table.index, source.statement.column_i64(KEY)))
    }
}

// The columns of `sql::scan`.
const KEY: i32 = 0;
const COL_NAME: i32 = 1;
const VERSION_OF_CELL: i32 = 2;
const VERSION: i32 = 3;
const SITE: i32 = 4;
const SEQUENCE: i32 = 5;
