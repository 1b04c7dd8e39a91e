use super::functions::package_output;
use super::{arguments, cursor_value, given, read_position, receipt_value, refuse_other_schemas};
use crate::engine_facts;
use crate::error::{StreamError, atomically};
use crate::outbound::{Outbound, Produced};
use crate::streams::{Direction, Streams};
use rejoin_bridge::{
    Columns, Connection, ConstraintOp, IndexInfo, Module, ModuleKind, Output, Result, Table, TableArgs, TableCursor,
    Update, ValueRef,
};
use rejoin_change::{Cursor, SiteId};

/// `crsql_outbound_stream`: one row per package that the remote has not acknowledged; receipts are inserted.
pub(super) struct OutboundModule;

impl Module for OutboundModule {
    type Table = OutboundTable;
    const KIND: ModuleKind = ModuleKind::Created;

    fn connect(
        &self,
        connection: &Connection,
        args: &TableArgs<'_>,
        creating: bool,
    ) -> Result<(String, OutboundTable)> {
        refuse_other_schemas(args)?;
        let (remote, options) = arguments::outbound(&args.arguments)?;
        if creating {
            let streams = Streams::of(connection)?;
            streams.open_outbound(remote, Some(args.table), &options)?;
            streams.expect_schema_change_of_creating()?;
        }
        Ok((DECLARATION.into(), OutboundTable { connection: connection.clone(), remote }))
    }
}

const DECLARATION: &str = "CREATE TABLE stream(package, cursor BLOB, changes INTEGER, bytes INTEGER, change HIDDEN,
 db_version INTEGER HIDDEN, seq INTEGER HIDDEN, last_retrieved BLOB HIDDEN, last_sent BLOB HIDDEN,
 last_acked BLOB HIDDEN, head BLOB HIDDEN, receipt TEXT HIDDEN)";
const CURSOR: i32 = 1;
const LAST_RETRIEVED: usize = 7;
const LAST_SENT: usize = 8;
const LAST_ACKED: usize = 9;
const HEAD: usize = 10;
const RECEIPT: usize = 11;
/// The columns that say where the stream stands, and nothing of a package.
const STATE_COLUMNS: u64 = 1 << LAST_RETRIEVED | 1 << LAST_SENT | 1 << LAST_ACKED | 1 << HEAD | 1 << RECEIPT;

/// The plans: packages, packages of which no column is looked at (a count, or a DELETE), one row of state.
const PACKAGES: i32 = 0;
const UNSEEN_PACKAGES: i32 = 1;
const ONE_ROW: i32 = 2;

pub(super) struct OutboundTable {
    connection: Connection,
    remote: SiteId,
}

impl OutboundTable {
    fn outbound(&self) -> Outbound {
        Outbound::new(self.connection.clone(), self.remote)
    }

    /// Takes over what was given, and for an UPDATE only what differs from what is there.
    fn write(&self, columns: &Columns<'_>, is_update: bool) -> crate::error::Result<()> {
        if (0..LAST_SENT).chain([HEAD]).any(|index| !is_update && given(columns.get(index)).is_some())
            || (0..LAST_RETRIEVED).any(|index| given(columns.get(index)).is_some())
        {
            return Err(StreamError::Misuse(
                "of an outbound stream only receipt, last_sent and last_acked can be written".into(),
            ));
        }
        let gives_nothing = [LAST_SENT, LAST_ACKED, RECEIPT].iter().all(|index| given(columns.get(*index)).is_none());
        if gives_nothing && !is_update {
            return Err(StreamError::Misuse(
                "nothing was given to the outbound stream: receipt, last_sent and last_acked are all NULL".into(),
            ));
        }
        let outbound = self.outbound();
        let position = outbound.position()?;
        if let Some(value) = given(columns.get(LAST_SENT)) {
            let cursor = cursor_value("last_sent", value)?;
            if position.sent.as_ref() != Some(&cursor) {
                outbound.record_sent(&cursor)?;
            }
        }
        if let Some(value) = given(columns.get(LAST_ACKED)) {
            let cursor = cursor_value("last_acked", value)?;
            if position.acked != cursor {
                outbound.set_acked(&cursor)?;
                read_position::rewind(&self.connection, self.remote);
            }
        }
        if let Some(value) = given(columns.get(RECEIPT)) {
            read_position::acknowledge(&self.connection, &outbound, &receipt_value(value)?)?;
        }
        Ok(())
    }
}

impl Table for OutboundTable {
    type Cursor = OutboundCursor;

    fn best_index(&self, index: &mut IndexInfo) -> Result<()> {
        let used = index.columns_used();
        // SQLite asks so for an UPDATE, and for nothing else.
        let is_update = used == u64::MAX;
        let mut plan = String::new();
        for (at, constraint) in index.constraints().into_iter().enumerate() {
            let bound = match (constraint.column, constraint.op) {
                (_, ConstraintOp::Limit | ConstraintOp::Offset) => continue,
                _ if is_update => return Err(update_with_condition().into()),
                (CURSOR, ConstraintOp::Gt) => AFTER,
                (CURSOR, ConstraintOp::Le) => UNTIL,
                _ => return Err(unsupported_constraint().into()),
            };
            if !constraint.usable {
                // SQLite itself would compare the cursors then, which may be JSON text. It looks for another order of the join.
                return Err(rejoin_bridge::Error::constraint("the bounds of an outbound stream are read before it"));
            }
            plan.push(bound);
            index.use_constraint(at, plan.len() as i32, true);
        }
        if is_update || (plan.is_empty() && used != 0 && used & !STATE_COLUMNS == 0) {
            index.set_index(ONE_ROW, "");
            index.set_rows(1);
            index.set_cost(1.0);
            return Ok(());
        }
        if let [only] = index.order_by().as_slice()
            && only.column == CURSOR
            && !only.desc
        {
            index.set_order_by_consumed();
        }
        index.set_index(if used == 0 { UNSEEN_PACKAGES } else { PACKAGES }, &plan);
        index.set_cost(1e6);
        Ok(())
    }

    fn open(&self) -> Result<OutboundCursor> {
        Ok(OutboundCursor {
            connection: self.connection.clone(),
            outbound: self.outbound(),
            until: None,
            row: Row::Done,
            rows_before: 0,
        })
    }

    fn update(&self, change: &Update<'_>) -> Result<i64> {
        let (columns, is_update) = match change {
            Update::Insert { columns, .. } => (columns, false),
            Update::Update { columns, .. } => (columns, true),
            Update::Delete { .. } => return Err(no_delete().into()),
        };
        atomically(&self.connection, || self.write(columns, is_update))?;
        Ok(1)
    }

    fn destroy(&self) -> Result<()> {
        let streams = Streams::of(&self.connection)?;
        streams.close_outbound(self.remote)?;
        read_position::forget(&self.connection, self.remote);
        Ok(streams.expect_schema_change_of_dropping()?)
    }

    fn rename(&self, new_name: &str) -> Result<()> {
        Ok(Streams::of(&self.connection)?.rename(Direction::Outbound, self.remote, new_name)?)
    }
}

fn no_delete() -> StreamError {
    StreamError::Misuse(
        "an outbound stream cannot be deleted from (INSERT a receipt to acknowledge), nor be counted while this \
         connection has uncommitted writes"
            .into(),
    )
}

const AFTER: char = 'a';
const UNTIL: char = 'u';

fn unsupported_constraint() -> StreamError {
    StreamError::Misuse(
        "an outbound stream is read by WHERE cursor > …, and by AND cursor <= …, only; put other conditions around it: \
         WITH p AS MATERIALIZED (SELECT … FROM the stream) SELECT … FROM p WHERE …"
            .into(),
    )
}

fn update_with_condition() -> StreamError {
    StreamError::Misuse(
        "an outbound stream is updated as a whole: leave out the conditions, as in UPDATE the stream SET last_acked = …".into(),
    )
}

/// A scan. Each package is a consistent read of its own.
pub(super) struct OutboundCursor {
    connection: Connection,
    outbound: Outbound,
    until: Option<Cursor>,
    row: Row,
    rows_before: i64,
}

enum Row {
    Package(Box<Produced>),
    /// Where the stream stands, without a package.
    State,
    Done,
}

impl OutboundCursor {
    fn read(&mut self, after: Option<&Cursor>) -> Result<()> {
        self.row = match self.outbound.next_until(after, self.until.as_ref())? {
            Some(produced) => {
                read_position::retrieved(&self.connection, self.outbound.remote(), &produced);
                Row::Package(Box::new(produced))
            }
            None => Row::Done,
        };
        Ok(())
    }

    fn state(&self, index: i32) -> crate::error::Result<Output<'static>> {
        let cursor = match usize::try_from(index).unwrap_or(usize::MAX) {
            LAST_RETRIEVED => read_position::last_retrieved(&self.connection, self.outbound.remote()),
            LAST_SENT => self.outbound.position()?.sent,
            LAST_ACKED => Some(self.outbound.position()?.acked),
            HEAD => Some(Cursor::end_of_version(engine_facts::head(&self.connection)?)),
            _ => None,
        };
        Ok(cursor.map(|cursor| cursor.to_bytes()).into())
    }
}

impl TableCursor for OutboundCursor {
    fn filter(&mut self, plan: i32, bounds: &str, args: &[ValueRef<'_>]) -> Result<()> {
        self.rows_before = 0;
        self.until = None;
        if plan == ONE_ROW {
            self.row = Row::State;
            return Ok(());
        }
        if plan == UNSEEN_PACKAGES && self.connection.has_write_transaction() {
            return Err(no_delete().into());
        }
        let mut after: Option<Cursor> = None;
        for (bound, value) in bounds.chars().zip(args) {
            if value.is_null() {
                self.row = Row::Done;
                return Ok(());
            }
            let cursor = cursor_value("what the cursor is compared with", *value)?;
            if bound == AFTER {
                after = Some(after.map_or(cursor.clone(), |earlier| earlier.max(cursor)));
            } else {
                self.until = Some(self.until.take().map_or(cursor.clone(), |earlier| earlier.min(cursor)));
            }
        }
        self.read(after.as_ref())
    }

    fn next(&mut self) -> Result<()> {
        self.rows_before += 1;
        match std::mem::replace(&mut self.row, Row::Done) {
            Row::Package(produced) => self.read(Some(&produced.end)),
            Row::State | Row::Done => Ok(()),
        }
    }

    fn eof(&self) -> bool {
        matches!(self.row, Row::Done)
    }

    fn column(&self, index: i32) -> Result<Output<'_>> {
        let Row::Package(produced) = &self.row else { return Ok(self.state(index)?) };
        Ok(match index {
            0 | 4 => package_output(produced.package.clone()),
            CURSOR => produced.end.to_bytes().into(),
            2 => (produced.changes as i64).into(),
            3 => (produced.bytes as i64).into(),
            5 => produced.end.db_version.into(),
            6 => produced.end.seq.into(),
            _ => self.state(index)?,
        })
    }

    fn rowid(&self) -> Result<i64> {
        Ok(self.rows_before + 1)
    }
}
