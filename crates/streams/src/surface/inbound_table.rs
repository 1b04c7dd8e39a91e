use super::{arguments, given, package_value, refuse_other_schemas};
use crate::error::StreamError;
use crate::inbound::Inbound;
use crate::rows::InboundRow;
use crate::streams::{Direction, Streams};
use rejoin_bridge::{
    Columns, Connection, IndexInfo, Module, ModuleKind, Output, Result, Table, TableArgs, TableCursor, Update, ValueRef,
};
use rejoin_change::{Cursor, SiteId};
use rejoin_wire::cursor_to_text;

/// `crsql_inbound_stream`: always one row, which says where the stream stands; packages are inserted.
pub(super) struct InboundModule;

impl Module for InboundModule {
    type Table = InboundTable;
    const KIND: ModuleKind = ModuleKind::Created;

    fn connect(&self, connection: &Connection, args: &TableArgs<'_>, creating: bool) -> Result<(String, InboundTable)> {
        refuse_other_schemas(args)?;
        let (remote, options) = arguments::inbound(&args.arguments)?;
        if creating {
            let streams = Streams::of(connection)?;
            streams.open_inbound(remote, Some(args.table), &options)?;
            streams.expect_schema_change_of_creating()?;
        }
        Ok((DECLARATION.into(), InboundTable { connection: connection.clone(), remote }))
    }
}

const DECLARATION: &str = "CREATE TABLE stream(last_seen BLOB, receipt TEXT, applied INTEGER, needs TEXT,
 staged_bytes INTEGER, parked INTEGER, last_error TEXT, package HIDDEN, dropped INTEGER HIDDEN,
 violations INTEGER HIDDEN)";
const PACKAGE: usize = 7;
const COLUMNS: usize = 10;

pub(super) struct InboundTable {
    connection: Connection,
    remote: SiteId,
}

impl InboundTable {
    fn insert(&self, columns: &Columns<'_>) -> crate::error::Result<i64> {
        if (0..COLUMNS).filter(|index| *index != PACKAGE).any(|index| given(columns.get(index)).is_some()) {
            return Err(StreamError::Misuse(
                "an inbound stream takes packages only: INSERT INTO it (package) VALUES (…)".into(),
            ));
        }
        self.inbound().apply(package_value(columns.get(PACKAGE))?)?;
        Ok(1)
    }

    fn inbound(&self) -> Inbound {
        Inbound::new(self.connection.clone(), self.remote)
    }
}

impl Table for InboundTable {
    type Cursor = InboundCursor;

    fn best_index(&self, index: &mut IndexInfo) -> Result<()> {
        index.set_cost(1.0);
        index.set_rows(1);
        Ok(())
    }

    fn open(&self) -> Result<InboundCursor> {
        Ok(InboundCursor { inbound: self.inbound(), row: None })
    }

    fn update(&self, change: &Update<'_>) -> Result<i64> {
        match change {
            Update::Insert { columns, .. } => Ok(self.insert(columns)?),
            Update::Update { .. } => {
                let text = "an inbound stream cannot be updated; INSERT INTO it (package) VALUES (…)";
                Err(StreamError::Misuse(text.into()).into())
            }
            Update::Delete { .. } => {
                let text = "an inbound stream cannot be deleted from; DROP TABLE forgets its position";
                Err(StreamError::Misuse(text.into()).into())
            }
        }
    }

    fn destroy(&self) -> Result<()> {
        let streams = Streams::of(&self.connection)?;
        streams.close_inbound(self.remote)?;
        Ok(streams.expect_schema_change_of_dropping()?)
    }

    fn rename(&self, new_name: &str) -> Result<()> {
        Ok(Streams::of(&self.connection)?.rename(Direction::Inbound, self.remote, new_name)?)
    }
}

/// A JSON list of pairs of cursors: what is missing lies behind the first, up to and including the second.
fn needs_text(needs: &[(Cursor, Cursor)]) -> String {
    let pairs = needs.iter().map(|(after, until)| format!("[{},{}]", cursor_to_text(after), cursor_to_text(until)));
    format!("[{}]", pairs.collect::<Vec<_>>().join(","))
}

pub(super) struct InboundCursor {
    inbound: Inbound,
    /// The row, as it was when the scan began; `None` behind it.
    row: Option<InboundRow>,
}

impl TableCursor for InboundCursor {
    fn filter(&mut self, _: i32, _: &str, _: &[ValueRef<'_>]) -> Result<()> {
        self.row = Some(self.inbound.row()?);
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        self.row = None;
        Ok(())
    }

    fn eof(&self) -> bool {
        self.row.is_none()
    }

    /// Only what is asked for is looked up: a program asks for the receipt behind every package.
    fn column(&self, index: i32) -> Result<Output<'_>> {
        let Some(row) = &self.row else { return Ok(Output::Null) };
        let inbound = &self.inbound;
        Ok(match index {
            0 => inbound.last_seen()?.as_ref().map(Cursor::to_bytes).into(),
            1 => inbound.receipt()?.to_text().into(),
            2 => row.applied.into(),
            3 => needs_text(&inbound.needs()?).into(),
            4 => inbound.staged_bytes()?.into(),
            5 => inbound.parked()?.into(),
            6 => row.last_error.clone().into(),
            8 => row.dropped.into(),
            9 => row.violations.into(),
            _ => Output::Null,
        })
    }

    fn rowid(&self) -> Result<i64> {
        Ok(1)
    }
}
