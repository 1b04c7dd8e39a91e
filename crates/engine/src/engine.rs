use crate::catalogue::{Catalogue, Tracked};
use crate::changes::WarmMerge;
use crate::recorder::Recorder;
use crate::{config, database, sql};
use rejoin_bridge::{Connection, Error, Result, Slot, TransactionJoin, TransactionObserver};
use rejoin_change::COUNTER_MAX;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

/// What the engine remembers of one connection.
///
/// `db_version < stored <= pending`, where they are known. No borrow of `catalogue` lives across SQL.
pub(crate) struct Engine {
    pub(crate) connection: Connection,
    data_version_statement: Slot,
    schema_version_statement: Slot,
    join: OnceCell<TransactionJoin>,
    /// Version of the last committed transaction; none where it has to be read again.
    db_version: Cell<Option<i64>>,
    /// The version that the writes of the running transaction carry; none before the first.
    pending: Cell<Option<i64>>,
    /// Number of the next event of the running transaction.
    seq: Cell<i64>,
    /// The highest version under which the running transaction has stored something.
    stored: Cell<Option<i64>>,
    /// True where a part of the running transaction was undone, so that `stored` may be stored nowhere.
    rewound: Cell<bool>,
    /// True from the engine's first write in a transaction to the transaction's end: nobody else can write meanwhile.
    writing: Cell<bool>,
    /// `PRAGMA data_version` as of `db_version`.
    data_version: Cell<i64>,
    sync_bit: Cell<i64>,
    rows_impacted: Cell<i64>,
    /// Local writes of the running statement.
    pub(crate) recorder: Recorder,
    /// The savepoints that are known, by rising depth.
    savepoints: RefCell<Vec<Savepoint>>,
    /// Whether another database is attached, once a write of the running transaction has had to know.
    attached: Cell<Option<bool>>,
    warm_merge: RefCell<Option<WarmMerge>>,
    /// The setting merge-equal-values, while a transaction writes; none where it has to be read.
    merge_equal_values: Cell<Option<bool>>,
    /// The tracked tables, and the schema cookie as of which they were read.
    catalogue: RefCell<Option<(i64, Rc<Catalogue>)>>,
    /// True where `catalogue` shows a schema that may yet be rolled back.
    catalogue_provisional: Cell<bool>,
}

impl Engine {
    /// The engine's state on a connection, told of the ends of its transactions.
    pub(crate) fn attach(connection: &Connection) -> Result<Rc<Engine>> {
        let engine = Rc::new(Engine {
            connection: connection.clone(),
            data_version_statement: connection.slot(sql::DATA_VERSION),
            schema_version_statement: connection.slot(sql::SCHEMA_VERSION),
            join: OnceCell::new(),
            db_version: Cell::new(None),
            pending: Cell::new(None),
            seq: Cell::new(0),
            stored: Cell::new(None),
            rewound: Cell::new(false),
            writing: Cell::new(false),
            data_version: Cell::new(-1),
            sync_bit: Cell::new(0),
            rows_impacted: Cell::new(0),
            recorder: Recorder::default(),
            savepoints: RefCell::default(),
            attached: Cell::new(None),
            warm_merge: RefCell::new(None),
            merge_equal_values: Cell::new(None),
            catalogue: RefCell::new(None),
            catalogue_provisional: Cell::new(false),
        });
        let join = connection.observe_transactions(engine.clone())?;
        engine.join.get_or_init(|| join);
        Ok(engine)
    }

    /// Called before every write of the engine: makes sure that it learns how the transaction ends. What waits to be
    /// recorded comes first.
    pub(crate) fn begin_write(&self) -> Result<()> {
        self.record_waiting()?;
        self.begin_recording()
    }

    /// As [`Engine::begin_write`], for what is to be recorded later.
    pub(crate) fn begin_recording(&self) -> Result<()> {
        if self.writing.get() {
            return Ok(());
        }
        self.join()?;
        self.refresh_data_version()?;
        // Joined by a statement that only reads, outside of BEGIN and COMMIT, the transaction has ended already.
        self.writing.set(self.join.get().is_some_and(TransactionJoin::is_joined));
        Ok(())
    }

    /// True from the engine's first write in a transaction to the transaction's end.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing.get()
    }

    fn join(&self) -> Result<()> {
        self.join.get().map_or(Ok(()), TransactionJoin::join)
    }

    /// Whether a write that a trigger tells of may be one to a table of an attached database. Asked before
    /// [`Engine::begin_recording`].
    pub(crate) fn origin_of_write(&self) -> Result<Origin> {
        if !self.writing.get() && !self.connection.has_write_transaction() {
            return Ok(Origin::Elsewhere);
        }
        if self.connection.is_autocommit() {
            return Ok(Origin::Main);
        }
        Ok(if self.has_attached()? { Origin::Unknown } else { Origin::Main })
    }

    /// Whether another database is attached; remembered while a transaction writes.
    pub(crate) fn has_attached(&self) -> Result<bool> {
        if let Some(known) = self.attached.get() {
            return Ok(known);
        }
        let attached = self.connection.cached(sql::IS_ANOTHER_ATTACHED)?.query_row(&[], |_| Ok(()))?.is_some();
        self.attached.set(self.writing.get().then_some(attached));
        Ok(attached)
    }

    /// The version of the last committed transaction.
    pub(crate) fn db_version(&self) -> Result<i64> {
        if !self.writing.get() {
            self.refresh_data_version()?;
        }
        if let Some(known) = self.db_version.get() {
            return Ok(known);
        }
        let stored = self.stored_db_version()?;
        self.db_version.set(Some(stored));
        Ok(stored)
    }

    /// The version for writes of the running transaction, which is at least `floor`. Only a version under which
    /// something is stored counts at commit; see [`Engine::stamp`].
    pub(crate) fn next_db_version(&self, floor: i64) -> Result<i64> {
        if floor > COUNTER_MAX {
            return Err(Error::failed(format!("{floor} is no version: the largest is {COUNTER_MAX}")));
        }
        let next = (self.db_version()?.saturating_add(1)).max(self.pending.get().unwrap_or(0)).max(floor);
        self.pending.set(Some(next));
        Ok(next)
    }

    /// The version for something that is stored now.
    pub(crate) fn stamp(&self, floor: i64) -> Result<i64> {
        let version = self.next_db_version(floor)?;
        self.stored.set(Some(version));
        Ok(version)
    }

    /// Something that was stamped may not have been stored.
    pub(crate) fn doubt_stored(&self) {
        self.rewound.set(true);
    }

    /// The number of the next event.
    pub(crate) fn seq(&self) -> i64 {
        self.seq.get()
    }

    /// Takes numbers for so many events; returns the first.
    pub(crate) fn take_seq(&self, events: usize) -> i64 {
        self.seq.replace(self.seq.get() + events as i64)
    }

    pub(crate) fn sync_bit(&self) -> i64 {
        self.sync_bit.get()
    }

    pub(crate) fn set_sync_bit(&self, value: i64) {
        self.sync_bit.set(value);
    }

    /// Keeps the triggers of tracked tables from recording what is written until the guard goes.
    pub(crate) fn without_recording(&self) -> SyncBit<'_> {
        SyncBit { engine: self, before: self.sync_bit.replace(1) }
    }

    pub(crate) fn rows_impacted(&self) -> i64 {
        self.rows_impacted.get()
    }

    pub(crate) fn add_rows_impacted(&self, rows: i64) {
        self.rows_impacted.set(self.rows_impacted.get() + rows);
    }

    /// What the merge before left, if nobody has undone it since.
    pub(crate) fn take_warm_merge(&self) -> Option<WarmMerge> {
        self.warm_merge.take()
    }

    pub(crate) fn keep_warm_merge(&self, warm: WarmMerge) {
        self.warm_merge.replace(Some(warm));
    }

    /// Whether the site decides between equal values of equal versions. Read once in a transaction that writes.
    pub(crate) fn merge_equal_values(&self) -> Result<bool> {
        if let Some(known) = self.merge_equal_values.get() {
            return Ok(known);
        }
        let stored = config::read_merge_equal_values(self)?;
        self.merge_equal_values.set(self.writing.get().then_some(stored));
        Ok(stored)
    }

    /// The setting is read again at next use.
    pub(crate) fn forget_merge_equal_values(&self) {
        self.merge_equal_values.set(None);
    }

    /// The tracked tables as the schema is now, also inside a transaction that has changed it.
    pub(crate) fn catalogue(&self) -> Result<Rc<Catalogue>> {
        let cookie = pragma(&self.schema_version_statement)?;
        let remembered = self.catalogue.borrow().clone();
        if let Some((_, catalogue)) = remembered.filter(|(seen, _)| *seen == cookie) {
            return Ok(catalogue);
        }
        let catalogue = Rc::new(Catalogue::load(&self.connection)?);
        // The schema of an open write transaction can be rolled back, and another change can then reach the same cookie. It
        // is remembered only where the engine writes, and so hears of the end: a read joins no transaction.
        let provisional = self.connection.has_write_transaction();
        if provisional && !self.writing.get() {
            self.catalogue.replace(None);
            return Ok(catalogue);
        }
        self.catalogue_provisional.set(provisional);
        self.catalogue.replace(Some((cookie, catalogue.clone())));
        Ok(catalogue)
    }

    /// Finds a table by the exact name under which it is tracked.
    pub(crate) fn table(&self, name: &str) -> Result<Option<Rc<Tracked>>> {
        Ok(self.catalogue()?.find(name).cloned())
    }

    /// Reads the tracked tables anew at next use.
    pub(crate) fn forget_catalogue(&self) {
        self.catalogue.replace(None);
    }

    /// The committed version is read again at next use.
    pub(crate) fn forget_db_version(&self) {
        self.db_version.set(None);
    }

    /// When another connection has committed, what is remembered of the stored version is out of date.
    fn refresh_data_version(&self) -> Result<()> {
        let now = pragma(&self.data_version_statement)?;
        if self.data_version.replace(now) != now {
            self.db_version.set(None);
        }
        Ok(())
    }

    /// The highest version in the file, what the running transaction has written included.
    pub(crate) fn stored_db_version(&self) -> Result<i64> {
        let mut stored = database::read_master(&self.connection, "pre_compact_dbversion")?;
        for table in self.catalogue()?.tables() {
            let mut highest = self.connection.cached(&sql::highest_db_version(&table.name))?;
            let of_table = highest.query_row(&[], |row| Ok(row.column_i64(0)))?;
            stored = stored.max(of_table.unwrap_or(0));
        }
        Ok(stored)
    }

    fn end_transaction(&self) {
        self.pending.set(None);
        self.seq.set(0);
        self.stored.set(None);
        self.rewound.set(false);
        self.writing.set(false);
        self.rows_impacted.set(0);
        self.recorder.clear();
        self.savepoints.borrow_mut().clear();
        self.attached.set(None);
        self.warm_merge.take();
        self.merge_equal_values.set(None);
    }
}

impl TransactionObserver for Engine {
    fn sync(&self) -> Result<()> {
        self.record_waiting()
    }

    fn committed(&self) {
        if self.stored.get().is_some() {
            self.db_version.set(self.stored.get().filter(|_| !self.rewound.get()));
        }
        self.catalogue_provisional.set(false);
        self.end_transaction();
    }

    fn rolled_back(&self) {
        self.db_version.set(None);
        self.rewind_catalogue();
        self.end_transaction();
    }

    fn savepoint(&self, depth: i32) {
        let mut known = self.savepoints.borrow_mut();
        known.retain(|other| other.depth < depth);
        known.push(Savepoint { depth, rows_impacted: self.rows_impacted.get(), waiting: self.recorder.len() });
    }

    fn released(&self, _: i32) -> Result<()> {
        self.record_waiting()
    }

    /// Numbers that were taken stay taken: gaps are harmless, numbers used twice are not.
    fn rolled_back_to(&self, depth: i32) {
        let mut known = self.savepoints.borrow_mut();
        known.retain(|other| other.depth <= depth);
        // A savepoint that is not known is older than the first write.
        let begun = known.last().filter(|other| other.depth == depth);
        let (rows_impacted, waiting) = begun.map_or((0, 0), |begun| (begun.rows_impacted, begun.waiting));
        drop(known);
        self.rows_impacted.set(rows_impacted);
        self.recorder.truncate(waiting);
        self.rewound.set(true);
        self.warm_merge.take();
        self.merge_equal_values.set(None);
        self.rewind_catalogue();
    }
}

impl Engine {
    /// What waited when a savepoint began has been recorded.
    pub(crate) fn forget_waiting_before(&self) {
        self.savepoints.borrow_mut().iter_mut().for_each(|savepoint| savepoint.waiting = 0);
    }

    fn rewind_catalogue(&self) {
        if self.catalogue_provisional.replace(false) {
            self.catalogue.replace(None);
        }
    }
}

/// How things stood when a savepoint began.
struct Savepoint {
    depth: i32,
    rows_impacted: i64,
    /// How many writes waited to be recorded.
    waiting: usize,
}

fn pragma(statement: &Slot) -> Result<i64> {
    let value = statement.lend()?.query_row(&[], |row| Ok(row.column_i64(0)))?;
    value.ok_or_else(|| Error::failed(format!("SQLite did not answer {}", statement.sql())))
}

/// Where the row lies whose write a trigger tells of. Triggers of an attached database call the same functions, and name
/// their tables alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the main database.
    Main,
    /// Not in the main database, which nobody is writing.
    Elsewhere,
    /// In one of several that the transaction may write.
    Unknown,
}

/// While it lives, writes to tracked tables are not recorded. Puts the bit back on every path.
pub(crate) struct SyncBit<'a> {
    engine: &'a Engine,
    before: i64,
}

impl Drop for SyncBit<'_> {
    fn drop(&mut self) {
        self.engine.sync_bit.set(self.before);
    }
}
