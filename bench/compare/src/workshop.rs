//! Makes what a piece of work needs beforehand, outside of what is measured: databases to begin with, and what other
//! databases tell.

use crate::Outcome;
use crate::record::{self, Record};
use crate::shape::{Shape, Side};
use crate::system::{Peer, System, TempStore};
use crate::workload::{Action, Base, Columns, HISTORY_HALVES, LAST_ROWS, TRANSACTION_ROWS, Workload};
use rejoin::SiteId;
use rejoin::change::{Cursor, PackedKey, Value as KeyValue};
use rejoin::streams::{OutboundOptions, Since};
use rusqlite::params_from_iter;
use rusqlite::types::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The folder in which everything happens, and what has been made in it so far.
pub struct Workshop {
    folder: PathBuf,
    original: Option<PathBuf>,
    rows: usize,
    bases: RefCell<HashMap<(System, Base, Shape), PathBuf>>,
    tellers: RefCell<HashMap<(Told, Shape), Teller>>,
    records: RefCell<HashMap<(Told, Shape), Records>>,
    packages: RefCell<HashMap<Addressed, Packages>>,
}

/// What is told, to whom, and how many changes a package takes at most.
type Addressed = (Told, Shape, Vec<u8>, Option<usize>);
type Packages = Rc<Vec<Vec<u8>>>;
type Records = Rc<Vec<Record>>;

/// What another database has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Told {
    /// All rows, which it has written.
    Rows,
    /// All rows, which it has from the database that wrote them.
    RowsOfAnother,
    /// Its own changes of rows that both have.
    Changes(Columns),
}

/// A database that tells.
#[derive(Clone)]
struct Teller {
    file: PathBuf,
    /// What it tells lies behind this version.
    since: i64,
}

/// What a piece of work is given.
pub enum Input {
    Rows(Vec<Vec<Value>>),
    /// Rows, and changes of them.
    Records(Records),
    Packages(Packages),
    Nothing,
}

impl Workshop {
    /// One in a folder, for databases of so many rows. `original` is the library of the original.
    pub fn new(folder: &Path, original: Option<PathBuf>, rows: usize) -> Workshop {
        Workshop {
            folder: folder.to_path_buf(),
            original,
            rows,
            bases: RefCell::default(),
            tellers: RefCell::default(),
            records: RefCell::default(),
            packages: RefCell::default(),
        }
    }

    /// Opens a file of a system.
    pub fn open(&self, system: System, path: &Path, temp_store: TempStore) -> Outcome<Peer> {
        Peer::open(system, path, self.original.as_deref(), temp_store)
    }

    /// A fresh database for a piece of work to begin with. That with the long history is not copied: it is only read.
    pub fn begin(&self, workload: &Workload, system: System) -> Outcome<PathBuf> {
        let base = self.base(system, workload.base, workload.shape)?;
        if workload.base == Base::History {
            return Ok(base);
        }
        let path = self.folder.join(format!("run-{}.db", system.word()));
        self.remove(&path)?;
        std::fs::copy(base, &path)?;
        Ok(path)
    }

    /// Removes a file that [`Workshop::begin`] gave.
    pub fn end(&self, workload: &Workload, path: &Path) -> Outcome<()> {
        if workload.base == Base::History { Ok(()) } else { self.remove(path) }
    }

    fn remove(&self, path: &Path) -> Outcome<()> {
        for end in ["", "-wal", "-shm", "-journal"] {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            match std::fs::remove_file(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// What a piece of work is given, at this database.
    pub fn input(&self, workload: &Workload, system: System, peer: &Peer) -> Outcome<Input> {
        let shape = workload.shape;
        let rows = workload.rows(self.rows);
        let (told, rows_in_package) = match workload.action {
            Action::Insert(_) => return Ok(Input::Rows((0..rows).map(|number| shape.row(number)).collect())),
            Action::Update => return Ok(Input::Rows((0..rows).map(|n| changed_row(shape, n, Side::Middle)).collect())),
            Action::Delete => return Ok(Input::Rows((0..rows).map(|number| shape.key(number)).collect())),
            Action::Pull | Action::PullExcluding | Action::PullLast => return Ok(Input::Nothing),
            Action::Apply(rows) => (Told::Rows, rows),
            Action::ApplyAgain => (Told::RowsOfAnother, None),
            Action::ApplyConflicts(columns) => (Told::Changes(columns), None),
        };
        match system {
            System::Plain => Ok(Input::Rows((0..rows).map(|number| outcome(shape, told, number)).collect())),
            System::Original | System::BuiltIn | System::Rows => Ok(Input::Records(self.records(told, shape)?)),
            System::Streams => {
                let changes_max = rows_in_package.map(|rows| rows * shape.columns().len());
                self.packages(told, shape, &peer.site_id()?, changes_max).map(Input::Packages)
            }
        }
    }

    fn base(&self, system: System, base: Base, shape: Shape) -> Outcome<PathBuf> {
        if let Some(path) = self.bases.borrow().get(&(system, base, shape)) {
            return Ok(path.clone());
        }
        let path = self.folder.join(format!("base-{}-{}-{}.db", system.word(), word(base), shape.word()));
        let peer = self.open(system, &path, TempStore::Memory)?;
        self.fill(&peer, base, shape)?;
        peer.close()?;
        self.bases.borrow_mut().insert((system, base, shape), path.clone());
        Ok(path)
    }

    fn fill(&self, peer: &Peer, base: Base, shape: Shape) -> Outcome<()> {
        peer.connection().execute_batch(&shape.create())?;
        if peer.replicates() {
            peer.connection().query_row("SELECT crsql_as_crr('item')", [], |_| Ok(()))?;
        }
        let rows = match shape {
            Shape::Wide => self.rows.div_ceil(10),
            _ => self.rows,
        };
        match base {
            Base::Empty => Ok(()),
            Base::Local => insert(peer, shape, 0..rows),
            Base::OneTransaction => insert_in_transactions(peer, shape, 0..rows, rows),
            Base::Applied => self.take(peer, shape, |_| true),
            Base::Mixed if !peer.replicates() => insert(peer, shape, 0..rows),
            Base::Mixed => {
                insert(peer, shape, (0..rows).step_by(2))?;
                self.take(peer, shape, |record| number_of(record) % 2 == 1)
            }
            Base::Changed(columns) => {
                self.take(peer, shape, |_| true)?;
                change(peer, shape, columns, rows, |number| match Conflict::of(number) {
                    Conflict::LosesByVersion => &[Side::Lower, Side::Middle],
                    _ => &[Side::Middle],
                })
            }
            Base::History => {
                let before = self.rows * HISTORY_HALVES / 2;
                insert(peer, shape, 0..before)?;
                insert(peer, shape, before..before + LAST_ROWS)
            }
        }
    }

    /// Merges what the writer of all rows tells.
    fn take(&self, peer: &Peer, shape: Shape, wanted: impl Fn(&Record) -> bool) -> Outcome<()> {
        if !peer.replicates() {
            return insert(peer, shape, 0..self.rows);
        }
        let records = self.records(Told::Rows, shape)?;
        let mut statement = record::merge_statement(peer)?;
        let wanted: Vec<&Record> = records.iter().filter(|record| wanted(record)).collect();
        for transaction in wanted.chunks(TRANSACTION_ROWS * shape.columns().len()) {
            peer.connection().execute_batch("BEGIN")?;
            for record in transaction {
                record::merge(&mut statement, record)?;
            }
            peer.connection().execute_batch("COMMIT")?;
        }
        Ok(())
    }

    fn teller(&self, told: Told, shape: Shape) -> Outcome<Teller> {
        if let Some(teller) = self.tellers.borrow().get(&(told, shape)) {
            return Ok(teller.clone());
        }
        let (name, base) = match told {
            Told::Rows => ("rows", Base::Local),
            Told::RowsOfAnother => ("rows-of-another", Base::Applied),
            Told::Changes(Columns::One) => ("changes", Base::Applied),
            Told::Changes(Columns::All) => ("changes-of-rows", Base::Applied),
        };
        let file = self.folder.join(format!("teller-{name}-{}.db", shape.word()));
        let peer = self.open(System::Streams, &file, TempStore::Memory)?;
        self.fill(&peer, base, shape)?;
        let mut since = 0;
        if let Told::Changes(columns) = told {
            since = peer.head()?;
            change(&peer, shape, columns, self.rows, |number| match Conflict::of(number) {
                Conflict::WinsByVersion => &[Side::Middle, Side::Lower],
                Conflict::LosesByVersion | Conflict::WinsByValue => &[Side::Upper],
                Conflict::LosesByValue => &[Side::Lower],
            })?;
        }
        peer.close()?;
        let teller = Teller { file, since };
        self.tellers.borrow_mut().insert((told, shape), teller.clone());
        Ok(teller)
    }

    fn records(&self, told: Told, shape: Shape) -> Outcome<Records> {
        if let Some(records) = self.records.borrow().get(&(told, shape)) {
            return Ok(records.clone());
        }
        let teller = self.teller(told, shape)?;
        let peer = self.open(System::Streams, &teller.file, TempStore::Memory)?;
        let mut records = record::read(&peer, teller.since, None)?;
        if let Told::Changes(_) = told {
            for record in &mut records {
                record.site_id = Some(Conflict::of(number_of(record)).author().to_vec());
            }
        }
        peer.close()?;
        let records = Rc::new(records);
        self.records.borrow_mut().insert((told, shape), records.clone());
        Ok(records)
    }

    fn packages(
        &self,
        told: Told,
        shape: Shape,
        receiver: &[u8],
        package_changes_max: Option<usize>,
    ) -> Outcome<Packages> {
        let addressed = (told, shape, receiver.to_vec(), package_changes_max);
        if let Some(packages) = self.packages.borrow().get(&addressed) {
            return Ok(packages.clone());
        }
        let teller = self.teller(told, shape)?;
        let peer = self.open(System::Streams, &teller.file, TempStore::Memory)?;
        let since = if teller.since == 0 { Cursor::BEGINNING } else { Cursor::end_of_version(teller.since) };
        let options =
            OutboundOptions { since: Since::Cursor(since), package_changes_max, ..OutboundOptions::default() };
        let outbound = peer.streams()?.streams().outbound(SiteId::from_slice(receiver)?, &options)?;
        let mut packages = Vec::new();
        let mut after = None;
        while let Some(produced) = outbound.next(after.as_ref())? {
            packages.push(produced.package.as_bytes().to_vec());
            after = Some(produced.end);
        }
        drop(outbound);
        peer.close()?;
        let packages = Rc::new(packages);
        self.packages.borrow_mut().insert(addressed, packages.clone());
        Ok(packages)
    }

    /// The author of the rows that [`Base::Mixed`] has from elsewhere.
    pub fn author_of_rows(&self, shape: Shape) -> Outcome<Vec<u8>> {
        let records = self.records(Told::Rows, shape)?;
        Ok(records.first().and_then(|record| record.site_id.clone()).ok_or("nothing was told")?)
    }
}

/// What becomes of a cell that both sides have changed. The sides agree for every fourth row.
#[derive(Clone, Copy)]
enum Conflict {
    /// The other side has written twice.
    WinsByVersion,
    /// This side has written twice.
    LosesByVersion,
    WinsByValue,
    LosesByValue,
}

impl Conflict {
    fn of(number: usize) -> Conflict {
        match number % 4 {
            0 => Conflict::WinsByVersion,
            1 => Conflict::LosesByVersion,
            2 => Conflict::WinsByValue,
            _ => Conflict::LosesByValue,
        }
    }

    /// Who is said to have written it. The original that is compared breaks ties by author and not by value, so that the
    /// greater value gets the greatest author there can be and the lesser one the least: then both ways agree.
    fn author(self) -> [u8; 16] {
        match self {
            Conflict::LosesByValue => [0; 16],
            _ => [0xff; 16],
        }
    }
}

/// The row as it is at the end, for SQLite by itself: what wins is written, or written again.
fn outcome(shape: Shape, told: Told, number: usize) -> Vec<Value> {
    let Told::Changes(columns) = told else { return shape.row(number) };
    let side = match Conflict::of(number) {
        Conflict::WinsByVersion => Side::Lower,
        Conflict::LosesByVersion | Conflict::LosesByValue => Side::Middle,
        Conflict::WinsByValue => Side::Upper,
    };
    let values = columns.of(shape).into_iter().map(|column| shape.value(column, number, side));
    values.chain(shape.key(number)).collect()
}

impl Columns {
    /// The columns' places.
    pub fn of(self, shape: Shape) -> Vec<usize> {
        match self {
            Columns::One => vec![shape.changed_column()],
            Columns::All => (0..shape.columns().len()).collect(),
        }
    }
}

fn changed_row(shape: Shape, number: usize, side: Side) -> Vec<Value> {
    let value = shape.value(shape.changed_column(), number, side);
    [value].into_iter().chain(shape.key(number)).collect()
}

/// The number of the row that a change is about; only of tables with an integer key.
fn number_of(record: &Record) -> usize {
    match PackedKey::unpack(&record.key).ok().as_deref() {
        Some([KeyValue::Integer(number)]) => usize::try_from(*number).unwrap_or_default(),
        _ => 0,
    }
}

fn insert(peer: &Peer, shape: Shape, numbers: impl Iterator<Item = usize>) -> Outcome<()> {
    insert_in_transactions(peer, shape, numbers, TRANSACTION_ROWS)
}

fn insert_in_transactions(
    peer: &Peer,
    shape: Shape,
    numbers: impl Iterator<Item = usize>,
    transaction_rows: usize,
) -> Outcome<()> {
    let mut statement = peer.connection().prepare(&shape.insert())?;
    in_transactions(peer, numbers, transaction_rows, |number| {
        statement.execute(params_from_iter(shape.row(number)))?;
        Ok(())
    })
}

/// Writes the values of some sides into columns of each row, one after the other.
fn change(
    peer: &Peer,
    shape: Shape,
    columns: Columns,
    rows: usize,
    sides: impl Fn(usize) -> &'static [Side],
) -> Outcome<()> {
    let columns = columns.of(shape);
    let mut statement = peer.connection().prepare(&shape.update(&columns))?;
    in_transactions(peer, 0..rows, TRANSACTION_ROWS, |number| {
        for side in sides(number) {
            let values = columns.iter().map(|column| shape.value(*column, number, *side));
            statement.execute(params_from_iter(values.chain(shape.key(number))))?;
        }
        Ok(())
    })
}

fn in_transactions(
    peer: &Peer,
    numbers: impl Iterator<Item = usize>,
    rows: usize,
    mut work: impl FnMut(usize) -> Outcome<()>,
) -> Outcome<()> {
    let mut numbers = numbers.peekable();
    while numbers.peek().is_some() {
        peer.connection().execute_batch("BEGIN")?;
        for number in numbers.by_ref().take(rows) {
            work(number)?;
        }
        peer.connection().execute_batch("COMMIT")?;
    }
    Ok(())
}

fn word(base: Base) -> &'static str {
    match base {
        Base::Empty => "empty",
        Base::Local => "local",
        Base::OneTransaction => "one-transaction",
        Base::Applied => "applied",
        Base::Mixed => "mixed",
        Base::Changed(Columns::One) => "changed",
        Base::Changed(Columns::All) => "changed-rows",
        Base::History => "history",
    }
}
