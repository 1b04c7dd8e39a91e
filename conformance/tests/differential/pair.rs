//! The two engines side by side: every step is done on both, and what may differ on purpose is made equal.

use crate::differences::{self, Verdict};
use crate::script::{Action, Kind, Place, Rules, Script, Step};
use crate::state::{self, Questions, plain, sorted};
use rejoin_conformance::{Answer, Ran, Random, Row, Session, Statement};
use std::collections::BTreeMap;
use std::path::Path;

mod files;

/// One engine with the files of a script.
pub struct Side {
    /// Its process.
    pub session: Session,
    /// Where its files are; empty where they are in the process's memory.
    folder: String,
}

impl Side {
    /// An engine whose files are in a folder, or in its memory.
    pub fn new(session: Session, folder: Option<&Path>) -> Side {
        let folder = folder.map(|folder| format!("{}/", folder.display())).unwrap_or_default();
        Side { session, folder }
    }

    fn file(&self, database: usize) -> String {
        format!("{}{database}.db", self.folder)
    }

    fn open(&mut self, place: Place) {
        let file = self.file(place.database);
        self.session.open(&name(place), &file, &[0xa0 + place.database as u8; 16]);
    }

    pub fn run(&mut self, place: Place, statements: &[Statement]) -> Ran {
        self.session.run(&name(place), statements)
    }

    pub fn sql(&mut self, place: Place, sql: &str) -> Answer {
        self.run(place, &[plain(sql)]).answers.remove(0)
    }

    /// Copies the file of a database to a path; nobody is writing.
    fn export(&mut self, place: Place, path: &Path) {
        // What is in the log only would not be copied.
        self.sql(place, "PRAGMA wal_checkpoint(TRUNCATE)").expect("nobody is writing or reading");
        let file = self.file(place.database);
        self.session.export(&file, path);
    }

    /// The only value of an answer.
    pub fn number(&mut self, place: Place, sql: &str) -> i64 {
        self.sql(place, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))[0][0].integer()
    }
}

fn name(place: Place) -> String {
    format!("{}.{}", place.database, place.connection)
}

/// What differed, and at which step.
#[derive(Debug)]
pub struct Difference {
    /// The step's number; that of one past the last for the end.
    pub step: usize,
    /// In words.
    pub what: String,
}

/// What is remembered of a connection while a script runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connection {
    pub in_transaction: bool,
    /// Whether the running transaction has changed the schema.
    pub schema_changed: bool,
    /// Whether the original may remember a version that is stored nowhere.
    pub unsettled: bool,
    /// By how much the original's count of impacted rows is higher for a transaction that was rolled back.
    pub residue: i64,
    /// Whether the running transaction has merged something.
    pub merged: bool,
    /// Whether the last records were refused.
    pub refused: bool,
}

/// Two engines running one script.
pub struct Pair<'a> {
    pub ours: &'a mut Side,
    pub theirs: &'a mut Side,
    pub rules: Rules,
    pub connections: BTreeMap<(usize, usize), Connection>,
    questions: Questions,
    /// The steps, in words, for the one who has to find out.
    pub log: Vec<String>,
}

/// Whether a script goes on.
pub type Outcome = Result<Verdict, String>;

impl<'a> Pair<'a> {
    /// Runs a script on new files.
    pub fn run(ours: &'a mut Side, theirs: &'a mut Side, script: &Script) -> (Result<(), Difference>, Vec<String>) {
        let rules = script.rules;
        let mut pair = Pair {
            ours,
            theirs,
            rules,
            connections: BTreeMap::new(),
            questions: Questions::default(),
            log: Vec::new(),
        };
        pair.open_all();
        let mut result = Ok(());
        for (number, step) in script.steps.iter().enumerate() {
            match pair.step(number, step) {
                Ok(Verdict::Equal) => {}
                Ok(Verdict::Enough) => break,
                Err(what) => {
                    result = Err(Difference { step: number, what });
                    break;
                }
            }
        }
        if result.is_ok() {
            let end = if rules.many_keys { pair.converge() } else { pair.exchange() };
            result = end.map_err(|what| Difference { step: script.steps.len(), what });
        }
        pair.close_all();
        let log = std::mem::take(&mut pair.log);
        (result, log)
    }

    fn places(&self) -> Vec<Place> {
        (0..self.rules.databases)
            .flat_map(|database| (0..self.rules.connections).map(move |connection| Place { database, connection }))
            .collect()
    }

    fn open_all(&mut self) {
        for place in self.places() {
            for side in [&mut *self.ours, &mut *self.theirs] {
                side.open(place);
                if place.connection == 0 {
                    if self.rules.wal {
                        side.sql(place, "PRAGMA journal_mode = WAL").expect("a new file takes it");
                    }
                    side.sql(place, "CREATE TABLE aside (x INTEGER PRIMARY KEY, y)").expect("a new file takes a table");
                    side.sql(place, ASIDE).expect("a new table takes a row");
                }
            }
            self.connections.insert((place.database, place.connection), Connection::default());
        }
    }

    fn close_all(&mut self) {
        for place in self.places() {
            self.ours.session.close(&name(place));
            self.theirs.session.close(&name(place));
        }
        for database in 0..self.rules.databases {
            for side in [&mut *self.ours, &mut *self.theirs] {
                let file = side.file(database);
                side.session.forget(&file);
            }
        }
    }

    pub fn state(&mut self, place: Place) -> &mut Connection {
        self.connections.get_mut(&(place.database, place.connection)).expect("every connection was opened")
    }

    fn step(&mut self, number: usize, step: &Step) -> Outcome {
        let place = step.place;
        self.log.push(format!("{number} {} {}", name(place), described(&step.action)));
        if self.rules.forgetful {
            self.places()
                .into_iter()
                .filter(|other| other.database == place.database)
                .for_each(|other| self.unsettle(other));
        }
        self.settle(place);
        let verdict = match &step.action {
            Action::Sql(kind, sql) => self.statement(place, *kind, sql)?,
            Action::ChangeKey(change) => differences::change_key(self, place, change)?,
            Action::Merge { from, choice } => self.merge(place, *from, *choice)?,
            Action::Reopen => self.reopen(place),
            Action::Swap => self.swap(place.database),
        };
        if verdict == Verdict::Enough {
            return Ok(verdict);
        }
        // What has gone wrong stays wrong: not every step has to be looked at.
        let is_schema = matches!(step.action, Action::Sql(Kind::Schema, _));
        if step.compared && changes_something(&step.action) && (is_schema || number.is_multiple_of(COMPARED)) {
            self.compare(place)?;
            let other = Place { connection: (place.connection + 1) % self.rules.connections, ..place };
            if other != place {
                self.settle(other);
                self.compare(other)?;
            }
        }
        Ok(Verdict::Equal)
    }

    fn reopen(&mut self, place: Place) -> Verdict {
        if !self.state(place).in_transaction {
            for side in [&mut *self.ours, &mut *self.theirs] {
                side.session.close(&name(place));
                side.open(place);
            }
            *self.state(place) = Connection::default();
        }
        Verdict::Equal
    }

    /// Runs statements on both engines at once.
    pub fn both(&mut self, place: Place, statements: &[Statement]) -> (Ran, Ran) {
        let connection = name(place);
        self.ours.session.start_running(&connection, statements);
        self.theirs.session.start_running(&connection, statements);
        (self.ours.session.finish_running(), self.theirs.session.finish_running())
    }

    fn statement(&mut self, place: Place, kind: Kind, sql: &str) -> Outcome {
        if kind == Kind::Merge {
            return self.merge_by(place, plain(sql));
        }
        if sql.contains("crsql_next_db_version") {
            if !self.has_written(place) {
                return Ok(Verdict::Equal);
            }
            // Nothing may be written under it.
            self.unsettle(place);
        }
        let before = differences::Before::read(self, place, sql);
        let (ours, theirs) = self.both(place, &with_counts(plain(sql)));
        let differs = match kind {
            Kind::Read | Kind::Write => {
                state::answers(&ours.answers[0].clone().map(sorted), &theirs.answers[0].clone().map(sorted))
            }
            _ => state::answers(&ours.answers[0].clone().map(drop_rows), &theirs.answers[0].clone().map(drop_rows)),
        };
        if let Some(what) = differs {
            return differences::explain(self, place, &ours.answers[0], &theirs.answers[0], what);
        }
        self.after(place, kind, &ours, &theirs)?;
        before.make_equal(self, place, kind, sql, &ours);
        if kind == Kind::Write && ours.answers[0].is_err() && self.state(place).in_transaction {
            differences::leave_gap(self, place);
        }
        if kind == Kind::Write && ours.answers[0].is_ok() {
            self.compare_counts(place, &ours, &theirs)?;
        }
        self.settle_after(place, kind);
        Ok(Verdict::Equal)
    }

    /// Whether the running transaction has recorded something.
    fn has_written(&mut self, place: Place) -> bool {
        self.state(place).in_transaction && self.theirs.number(place, "SELECT crsql_get_seq()") > 0
    }

    /// Keeps count of transactions.
    fn after(&mut self, place: Place, kind: Kind, ours: &Ran, theirs: &Ran) -> Result<(), String> {
        if ours.in_transaction != theirs.in_transaction {
            return Err(format!(
                "a transaction is open at one engine only: ours {}, theirs {}",
                ours.in_transaction, theirs.in_transaction
            ));
        }
        let burns = self.rules.burns;
        if self.state(place).in_transaction && !ours.in_transaction && ours.answers[0].is_err() {
            // By OR ROLLBACK.
            differences::rolled_back(self, place);
        }
        let state = self.state(place);
        state.in_transaction = ours.in_transaction;
        state.unsettled |= burns;
        state.schema_changed |= kind == Kind::Schema;
        Ok(())
    }

    /// What a statement tells its own connection.
    fn compare_counts(&mut self, place: Place, ours: &Ran, theirs: &Ran) -> Result<(), String> {
        // A changed key takes more numbers here.
        let seq_counts = self.state(place).in_transaction && !self.rules.many_keys;
        for (number, (what, _)) in COUNTS.into_iter().enumerate() {
            let count = |ran: &Ran| ran.answers[number + 1].clone().map(|rows| rows[0][0].integer());
            let (Ok(ours), Ok(theirs)) = (count(ours), count(theirs)) else { return Err(format!("{what} failed")) };
            let expected = if what == "rows impacted" { ours + self.state(place).residue } else { ours };
            // Outside of a transaction the number is that of no event.
            if expected != theirs && (what != "seq" || seq_counts) {
                return Err(format!("{what}: ours {ours}, expected {expected}, theirs {theirs}"));
            }
        }
        Ok(())
    }

    fn compare(&mut self, place: Place) -> Result<(), String> {
        if self.state(place).unsettled && !self.state(place).in_transaction {
            // Another connection is writing, so that this one could not be brought to forget what is no longer so.
            return Ok(());
        }
        let connection = name(place);
        let sessions = [&mut self.ours.session, &mut self.theirs.session];
        let states = self.questions.ask(sessions, [&connection, &connection]);
        let [ours, theirs] = if self.rules.many_keys { states.map(state::rows_only) } else { states };
        match state::difference(&ours, &theirs) {
            None => Ok(()),
            Some(what) => Err(format!("over connection {connection}: {what}")),
        }
    }

    /// A commit without tracked writes makes the original read its version and its tables again.
    pub fn settle(&mut self, place: Place) {
        if self.state(place).unsettled && !self.state(place).in_transaction {
            let settled = self.theirs.sql(place, SETTLE).is_ok();
            self.state(place).unsettled = !settled;
        }
    }

    /// The original may remember what is no longer so.
    pub fn unsettle(&mut self, place: Place) {
        self.state(place).unsettled = true;
    }

    pub fn settle_after(&mut self, place: Place, kind: Kind) {
        if kind == Kind::Schema || self.state(place).schema_changed && !self.state(place).in_transaction {
            // Making tables moves the last rowid at the original.
            self.level_rowids(place);
        }
        if self.state(place).in_transaction {
            return;
        }
        self.state(place).merged = false;
        if std::mem::take(&mut self.state(place).schema_changed) {
            for connection in 0..self.rules.connections {
                let other = Place { connection, ..place };
                self.state(other).unsettled = true;
                self.settle(other);
            }
        }
        self.settle(place);
    }

    /// Gives both the same last rowid.
    pub fn level_rowids(&mut self, place: Place) {
        // Fails where another connection is writing, and then at both.
        let _ = self.ours.sql(place, ASIDE);
        let _ = self.theirs.sql(place, ASIDE);
    }

    /// Reopens a connection of the original.
    pub fn reopen_theirs(&mut self, place: Place) {
        let recursive = self.theirs.number(place, "PRAGMA recursive_triggers");
        self.theirs.session.close(&name(place));
        self.theirs.open(place);
        let _ = self.theirs.sql(place, &format!("PRAGMA recursive_triggers = {recursive}"));
        self.level_rowids(place);
        self.state(place).residue = 0;
    }

    // Merges.

    fn merge(&mut self, place: Place, from: usize, choice: u64) -> Outcome {
        let mut random = Random::seeded(choice);
        let source = Place { database: from, connection: 0 };
        // Told by either engine: they tell the same. Both are read, since a transaction that has read holds a lock.
        let told = [&mut *self.ours, &mut *self.theirs].map(|teller| teller.sql(source, &everything()));
        let [Ok(by_ours), Ok(by_theirs)] = told else {
            return Ok(Verdict::Equal);
        };
        let records = if random.below(2) == 0 { by_ours } else { by_theirs };
        let records = chosen(records, &mut random, self.rules.own_keys);
        let own_transaction = !self.state(place).in_transaction && random.below(3) > 0;
        if own_transaction && self.statement(place, Kind::Transaction, "BEGIN IMMEDIATE")? == Verdict::Enough {
            return Ok(Verdict::Enough);
        }
        let at_once = [1, 1, 2, 5, 20][random.below(5) as usize];
        for some in records.chunks(at_once) {
            self.log.push(format!("    {} {some:?}", name(place)));
            let tuples: Vec<String> = (0..some.len()).map(|number| tuple_of_parameters(9 * number)).collect();
            let sql = format!("INSERT INTO crsql_changes ({RECORD}) VALUES {}", tuples.join(", "));
            if self.merge_by(place, Statement::new(&sql, &some.concat()))? == Verdict::Enough {
                return Ok(Verdict::Enough);
            }
            // The sentinel that the snapshot must have before a cell may be among what was refused.
            if self.rules.own_keys && self.state(place).refused {
                break;
            }
        }
        if own_transaction && self.state(place).in_transaction {
            return self.statement(place, Kind::Transaction, "COMMIT");
        }
        Ok(Verdict::Equal)
    }

    fn merge_by(&mut self, place: Place, insert: Statement) -> Outcome {
        let insert = with_counts(insert);
        let ours = self.ours.run(place, &insert);
        let theirs = differences::merge_at_original(self, place, &insert);
        let (our_answer, their_answer) = (&ours.answers[0], &theirs.answers[0]);
        if let Some(what) = state::answers(our_answer, their_answer) {
            return differences::explain(self, place, our_answer, their_answer, what);
        }
        self.state(place).refused = their_answer.is_err();
        self.after(place, Kind::Merge, &ours, &theirs)?;
        if theirs.in_transaction {
            self.state(place).merged = true;
        } else if their_answer.is_ok() {
            self.state(place).residue = 0;
        }
        if their_answer.is_ok() {
            self.compare_counts(place, &ours, &theirs)?;
        }
        self.settle(place);
        Ok(Verdict::Equal)
    }
}

fn everything() -> String {
    format!("SELECT {RECORD} FROM crsql_changes ORDER BY db_version, seq")
}

/// Some of the records, as a careless carrier may bring them.
fn chosen(records: Vec<Row>, random: &mut Random, in_order: bool) -> Vec<Row> {
    let mut some: Vec<Row> = match random.below(4) {
        0 => records.clone(),
        1 => {
            let since = random.below(6) as i64;
            records.iter().filter(|record| record[5].integer() > since).cloned().collect()
        }
        2 => records.iter().filter(|_| random.below(2) == 0).cloned().collect(),
        _ => {
            let mut some: Vec<Row> = records.iter().filter(|_| random.below(4) > 0).cloned().collect();
            for place in (1..some.len()).rev() {
                some.swap(place, random.below(place as u64 + 1) as usize);
            }
            let again: Vec<Row> = some.iter().filter(|_| random.below(5) == 0).cloned().collect();
            some.extend(again);
            some
        }
    };
    if in_order {
        differences::sentinels_first(&mut some, &records);
    }
    some.truncate(60);
    some
}

/// The statement, and after it what it tells its own connection.
fn with_counts(statement: Statement) -> Vec<Statement> {
    std::iter::once(statement).chain(COUNTS.iter().map(|(_, sql)| plain(sql))).collect()
}

/// Whether a comparison after the step can show anything new.
fn changes_something(action: &Action) -> bool {
    match action {
        Action::Sql(Kind::Read | Kind::Setting, _) => false,
        Action::Sql(Kind::Transaction, sql) => sql == "COMMIT" || sql.starts_with("ROLLBACK"),
        _ => true,
    }
}

/// `(?1, ?2, …)`, for as many values as a record has.
fn tuple_of_parameters(before: usize) -> String {
    let parameters: Vec<String> = (1..=9).map(|number| format!("?{}", before + number)).collect();
    format!("({})", parameters.join(", "))
}

fn drop_rows(_: Vec<Row>) -> Vec<Row> {
    Vec::new()
}

fn described(action: &Action) -> String {
    match action {
        Action::Sql(_, sql) => sql.clone(),
        Action::ChangeKey(change) => format!("{} -- a new key", change.sql),
        Action::Merge { from, choice } => format!("merges from database {from}, choice {choice}"),
        Action::Reopen => "is closed and opened".to_owned(),
        Action::Swap => "the engines swap their files".to_owned(),
    }
}

const COUNTS: [(&str, &str); 5] = [
    ("changes", "SELECT changes()"),
    ("last rowid", "SELECT last_insert_rowid()"),
    ("rows impacted", "SELECT crsql_rows_impacted()"),
    ("seq", "SELECT crsql_get_seq()"),
    ("sync bit", "SELECT crsql_internal_sync_bit()"),
];

/// A write that nothing else notices: it moves no rowid.
const SETTLE: &str = "UPDATE aside SET y = 1";
const ASIDE: &str = "INSERT OR REPLACE INTO aside (x) VALUES (1)";
const RECORD: &str = "[table], pk, cid, val, col_version, db_version, site_id, cl, seq";

/// After every how many steps everything is compared.
const COMPARED: usize = 3;
