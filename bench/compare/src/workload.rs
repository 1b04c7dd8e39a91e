//! The pieces of work that are measured.

use crate::shape::Shape;
use crate::system::System;

/// One piece of work, on one kind of table.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in tables.
    pub label: &'static str,
    pub shape: Shape,
    /// What the database holds beforehand.
    pub base: Base,
    pub action: Action,
}

/// What a database holds before the work begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// The empty table.
    Empty,
    /// All rows, written there.
    Local,
    /// All rows, written there in one transaction.
    OneTransaction,
    /// All rows, come from another database.
    Applied,
    /// Every second row is written there, the others come from another database.
    Mixed,
    /// All rows, come from another database, then changed there in these columns.
    Changed(Columns),
    /// Many more rows, written there, the last 25 of them in a transaction of their own.
    History,
}

/// Which columns of a row both sides of a conflict have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Columns {
    One,
    All,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// New rows, so many in a transaction; all in one where nothing is said.
    Insert(Option<usize>),
    /// One column of each row.
    Update,
    /// Each row.
    Delete,
    /// All changes are read.
    Pull,
    /// All changes but those of one author, who wrote half of them.
    PullExcluding,
    /// The last 100 of many changes, [`PULLS`] times.
    PullLast,
    /// All rows of another database, so many of its rows in a transaction; all in one where nothing is said.
    Apply(Option<usize>),
    /// All rows of another database, where they all are already: told by a third database that has them too.
    ApplyAgain,
    /// What another database has changed meanwhile. In half of the cells it wins: by its version in a half of those,
    /// by its value in the other. It loses in the same two ways.
    ApplyConflicts(Columns),
}

/// How often the last changes are read in one measurement: once is too short for the clock.
pub const PULLS: usize = 200;
/// Rows of the last transaction of [`Base::History`].
pub const LAST_ROWS: usize = 25;
/// So many rows does [`Base::History`] hold for each row of other bases, in halves: with 20 000 rows, 1 000 000 changes.
pub const HISTORY_HALVES: usize = 25;
/// Rows in a transaction where bases are made, and where a workload says "of 100".
pub const TRANSACTION_ROWS: usize = 100;

/// Every piece of work, in the order of the tables.
pub const WORKLOADS: &[Workload] = &[
    work("insert", "insert, one transaction", Shape::Integer, Base::Empty, Action::Insert(None)),
    work("insert-100", "insert, transactions of 100", Shape::Integer, Base::Empty, Action::Insert(SMALL)),
    work("insert-text", "insert, text key", Shape::Text, Base::Empty, Action::Insert(None)),
    work("insert-composite", "insert, composite key", Shape::Composite, Base::Empty, Action::Insert(None)),
    work("insert-wide", "insert, 40 columns", Shape::Wide, Base::Empty, Action::Insert(None)),
    work("update", "update one column", Shape::Integer, Base::Local, Action::Update),
    work("update-wide", "update one column of 40", Shape::Wide, Base::Local, Action::Update),
    work("delete", "delete", Shape::Integer, Base::Local, Action::Delete),
    work("pull", "pull everything", Shape::Integer, Base::Local, Action::Pull),
    work("pull-one", "pull one transaction", Shape::Integer, Base::OneTransaction, Action::Pull),
    work("pull-excluding", "pull, excluding a site", Shape::Integer, Base::Mixed, Action::PullExcluding),
    work("pull-last", "last 100 of many changes", Shape::Integer, Base::History, Action::PullLast),
    work("apply", "apply to an empty peer", Shape::Integer, Base::Empty, Action::Apply(None)),
    work("apply-100", "apply, transactions of 100 rows", Shape::Integer, Base::Empty, Action::Apply(SMALL)),
    work("apply-text", "apply, text key", Shape::Text, Base::Empty, Action::Apply(None)),
    work("apply-composite", "apply, composite key", Shape::Composite, Base::Empty, Action::Apply(None)),
    work("re-apply", "re-apply, nothing new", Shape::Integer, Base::Applied, Action::ApplyAgain),
    work(
        "conflicts",
        "apply conflicting updates",
        Shape::Integer,
        Base::Changed(Columns::One),
        Action::ApplyConflicts(Columns::One),
    ),
    work(
        "conflicts-rows",
        "apply conflicting rows",
        Shape::Integer,
        Base::Changed(Columns::All),
        Action::ApplyConflicts(Columns::All),
    ),
];

const SMALL: Option<usize> = Some(TRANSACTION_ROWS);

const fn work(name: &'static str, label: &'static str, shape: Shape, base: Base, action: Action) -> Workload {
    Workload { name, label, shape, base, action }
}

impl Workload {
    /// The workload of a name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn of_name(name: &str) -> Result<Workload, String> {
        let names = || WORKLOADS.iter().map(|workload| workload.name).collect::<Vec<_>>().join(", ");
        WORKLOADS
            .iter()
            .find(|workload| workload.name == name)
            .copied()
            .ok_or_else(|| format!("there is no workload {name:?}; there are {}", names()))
    }

    /// Which systems do it. A local write is the same with streams as without, and the interface below them only merges.
    pub fn is_for(&self, system: System) -> bool {
        let is_local = matches!(self.action, Action::Insert(_) | Action::Update | Action::Delete);
        let is_pull = matches!(self.action, Action::Pull | Action::PullExcluding | Action::PullLast);
        match system {
            System::Plain | System::Original | System::BuiltIn => true,
            System::Rows => !is_local && !is_pull,
            System::Streams => !is_local,
        }
    }

    /// How many rows the table has. That with 40 columns has fewer, for as many changes.
    pub fn rows(&self, rows: usize) -> usize {
        match self.shape {
            Shape::Wide => rows.div_ceil(10),
            _ => rows,
        }
    }

    /// How many changes it is about.
    pub fn changes(&self, rows: usize) -> usize {
        let (rows, columns) = (self.rows(rows), self.shape.columns().len());
        match self.action {
            Action::Insert(_) | Action::Pull | Action::Apply(_) | Action::ApplyAgain => rows * columns,
            Action::PullExcluding => rows.div_ceil(2) * columns,
            Action::Update | Action::Delete | Action::ApplyConflicts(Columns::One) => rows,
            Action::ApplyConflicts(Columns::All) => rows * columns,
            Action::PullLast => PULLS * LAST_ROWS * columns,
        }
    }
}
