use crate::error::StreamError;
use crate::sql;
use crate::streams::{Direction, StreamStatus, Streams};
use rejoin_bridge::{
    Connection, IndexInfo, Module, ModuleKind, Output, Result, Table, TableArgs, TableCursor, ValueRef,
};
use rejoin_change::Cursor;

/// `crsql_streams`: one row per stream, readable before any was made. The table that is really created with the first
/// stream owns the bookkeeping as its shadow tables.
pub(super) struct StreamsModule;

impl Module for StreamsModule {
    type Table = StreamsTable;
    const KIND: ModuleKind = ModuleKind::EponymousOrCreated;
    const WRITABLE: bool = false;
    const SHADOW_SUFFIXES: &'static [&'static str] = sql::SHADOW_SUFFIXES;

    fn connect(&self, connection: &Connection, args: &TableArgs<'_>, _: bool) -> Result<(String, StreamsTable)> {
        if !args.table.eq_ignore_ascii_case("crsql_streams") {
            return Err(StreamError::Misuse("the table crsql_streams is made by the first stream itself".into()).into());
        }
        Ok((DECLARATION.into(), StreamsTable(connection.clone())))
    }
}

const DECLARATION: &str = "CREATE TABLE crsql_streams(name TEXT, direction TEXT, remote BLOB, position TEXT, head TEXT,
 behind INTEGER, staged_bytes INTEGER, parked INTEGER, last_error TEXT, last_active INTEGER)";

pub(super) struct StreamsTable(Connection);

impl Table for StreamsTable {
    type Cursor = StreamsCursor;

    fn best_index(&self, index: &mut IndexInfo) -> Result<()> {
        index.set_cost(100.0);
        Ok(())
    }

    fn open(&self) -> Result<StreamsCursor> {
        Ok(StreamsCursor { connection: self.0.clone(), rows: Vec::new(), at: 0 })
    }

    /// SQLite passes on no message from here, so nothing is refused: streams that still exist say what is missing.
    fn destroy(&self) -> Result<()> {
        self.0.execute(sql::DROP_SHADOW_TABLES)
    }

    fn rename(&self, _: &str) -> Result<()> {
        Err(StreamError::Misuse("crsql_streams keeps its name, because the streams look for it".into()).into())
    }
}

pub(super) struct StreamsCursor {
    connection: Connection,
    rows: Vec<StreamStatus>,
    at: usize,
}

impl TableCursor for StreamsCursor {
    fn filter(&mut self, _: i32, _: &str, _: &[ValueRef<'_>]) -> Result<()> {
        self.rows = Streams::of(&self.connection)?.list()?;
        self.at = 0;
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        self.at += 1;
        Ok(())
    }

    fn eof(&self) -> bool {
        self.at >= self.rows.len()
    }

    fn column(&self, index: i32) -> Result<Output<'_>> {
        let row = &self.rows[self.at];
        Ok(match index {
            0 => row.name.clone().into(),
            1 => match row.direction {
                Direction::Outbound => "outbound".into(),
                Direction::Inbound => "inbound".into(),
            },
            2 => row.remote.as_bytes().into(),
            3 => row.position.as_ref().map(Cursor::to_string).into(),
            4 => row.head.map(|head| Cursor::end_of_version(head).to_string()).into(),
            5 => row.behind.into(),
            6 => row.staged_bytes.into(),
            7 => row.parked.into(),
            8 => row.last_error.clone().into(),
            _ => row.last_active_ms.into(),
        })
    }

    fn rowid(&self) -> Result<i64> {
        Ok(self.at as i64 + 1)
    }
}
