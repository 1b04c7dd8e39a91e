//! Databases, the links between them, and the messages on their way.

mod applications;
mod exchange;
mod replaced_files;

use crate::common::Database;
use crate::files;
use crate::knowledge::Knowledge;
use crate::random::Random;
use crate::step::{Copying, FilterKind, Growth, Inside, Restore, SMALL, Script, Step, Write};
use rejoin_change::{Change, Cursor, SiteId};
use rejoin_streams::{
    Inbound, InboundOptions, Outbound, OutboundOptions, Outcome, PACKAGE_BYTES_DEFAULT, Produced, Side, StreamError,
};
use rejoin_wire::{Compression, Format, Receipt};
use rusqlite::backup::Backup;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// What was expected and is not so.
pub type Checked = Result<(), String>;

pub struct World {
    folder: tempfile::TempDir,
    files: usize,
    ids: Random,
    databases: Vec<Option<Database>>,
    pub links: Vec<(usize, usize)>,
    pub network: Vec<Message>,
    arrived: Vec<Message>,
    backups: Vec<(usize, PathBuf)>,
    faults: usize,
    /// What each database tells a remote, by its id: two databases that have one id get the same.
    filters: BTreeMap<(usize, SiteId), Filter>,
    /// How inbound streams take packages: all of them, and some in another way.
    receive: InboundOptions,
    receives: BTreeMap<(usize, SiteId), InboundOptions>,
    /// Ids of databases that are no more. What waits for their rest may wait for ever.
    gone: Vec<SiteId>,
    /// Databases that have given up the history of a table, and have not noticed yet.
    remade: RefCell<BTreeSet<usize>>,
}

#[derive(Clone)]
pub enum Message {
    Package { to: usize, from_site: SiteId, bytes: Vec<u8> },
    Receipt { to: usize, receipt: Receipt },
}

#[derive(Clone, Default)]
struct Filter {
    local_only: bool,
    exclude_sites: Vec<SiteId>,
    tables: Option<Vec<String>>,
}

impl World {
    pub fn new(script: &Script, seed: u64) -> World {
        let count = script.databases.len();
        let mut world = World {
            folder: files::folder(),
            files: 0,
            ids: Random::seeded(!seed),
            databases: Vec::new(),
            links: script.shape.links(count),
            network: Vec::new(),
            arrived: Vec::new(),
            backups: Vec::new(),
            faults: 0,
            filters: BTreeMap::new(),
            receive: InboundOptions { order: script.receive.0, atomic: script.receive.1, ..Default::default() },
            receives: BTreeMap::new(),
            gone: Vec::new(),
            remade: RefCell::default(),
        };
        for schema in &script.databases {
            let (path, id) = (world.new_path(), world.new_id());
            world.databases.push(Some(files::create(&path, *schema, id)));
        }
        world
    }

    pub fn take(&mut self, step: &Step) -> Checked {
        match *step {
            Step::Write { database, write, key, value, elsewhere } => {
                self.write(database, write, key, value, elsewhere)
            }
            Step::Send { link, back, changes_max, packages, bytes_max } => {
                let (from, to) = self.direction(link, back);
                self.send(from, to, (changes_max, bytes_max), packages);
            }
            Step::Deliver { at, again, inside } => self.deliver(at, again, inside),
            Step::Lose { at } if !self.network.is_empty() => drop(self.network.remove(at % self.network.len())),
            Step::Late { at } if !self.arrived.is_empty() => {
                let message = self.arrived[at % self.arrived.len()].clone();
                self.hand_over(&message, Inside::Own);
            }
            Step::Level { link } => {
                let (a, b) = self.direction(link, false);
                if !(0..SESSIONS_MAX).any(|_| !self.session(a, b)) {
                    return Err(format!("{a} and {b} never come to rest: {}", self.show(a, b)));
                }
                self.compare(a, b)?;
                self.compare(b, a)?;
            }
            Step::Compare { link, back } => {
                let (from, to) = self.direction(link, back);
                return self.compare(from, to).map(drop);
            }
            Step::Backup { database } => {
                let index = database % self.databases.len();
                let path = self.new_path();
                std::fs::copy(&self.database(index).path, &path).expect("the file can be copied");
                self.backups.push((index, path));
            }
            Step::Restore { backup, how } if !self.backups.is_empty() && self.faults < FAULTS_MAX => {
                self.restore(backup % self.backups.len(), how);
            }
            Step::Clone { database, how, neighbours }
                if self.databases.len() < DATABASES_MAX && self.faults < FAULTS_MAX =>
            {
                self.copy(database, how, neighbours);
            }
            Step::Wipe { database, keeps_id } if self.faults < FAULTS_MAX => self.wipe(database, keeps_id),
            Step::Reopen { database } => self.replace(database, |database| {
                let path = database.path.clone();
                database.close();
                files::open(&path)
            }),
            Step::SetBack { link, back, version } => self.set_back(link, back, version),
            Step::Filter { link, back, filter } => self.filter(link, back, filter),
            Step::Receive { link, back, order, atomic, tables } => {
                let (from, to) = self.direction(link, back);
                let options = InboundOptions { order, atomic, tables: tables.map(names), ..Default::default() };
                self.receives.insert((to, self.database(from).site()), options);
            }
            Step::Grow { database, what } => self.grow(database, what),
            Step::Remake { database, table } => self.remake(database, table),
            Step::Burn { database } => self.database(database).run("UPDATE t SET b = b"),
            Step::ReadInTransaction { link, back } => return self.read_in_transaction(link, back),
            Step::Lose { .. } | Step::Late { .. } | Step::Restore { .. } | Step::Clone { .. } | Step::Wipe { .. } => {}
        }
        Ok(())
    }

    pub fn databases(&self) -> impl Iterator<Item = &Database> {
        self.databases.iter().flatten()
    }

    /// What a database has of everything that exists.
    pub fn knowledge(&self, database: &Database) -> Knowledge {
        Knowledge::with_waiting(database, &self.gone)
    }

    pub fn database(&self, index: usize) -> &Database {
        self.databases[index % self.databases.len()].as_ref().expect("every database is open between steps")
    }

    fn replace(&mut self, index: usize, change: impl FnOnce(Database) -> Database) {
        let index = index % self.databases.len();
        let database = self.databases[index].take().expect("every database is open between steps");
        self.databases[index] = Some(change(database));
    }

    fn new_path(&mut self) -> PathBuf {
        self.files += 1;
        self.folder.path().join(format!("{}.db", self.files))
    }

    fn new_id(&mut self) -> SiteId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.ids.bits().to_be_bytes());
        id[8..].copy_from_slice(&self.ids.bits().to_be_bytes());
        SiteId(id)
    }

    fn direction(&self, link: usize, back: bool) -> (usize, usize) {
        let (a, b) = self.links[link % self.links.len()];
        if back { (b, a) } else { (a, b) }
    }

    /// Both ways of every link.
    pub fn directions(&self) -> Vec<(usize, usize)> {
        self.links.iter().flat_map(|&(a, b)| [(a, b), (b, a)]).collect()
    }
}

fn names(tables: &[&str]) -> Vec<String> {
    tables.iter().map(|table| table.to_string()).collect()
}

fn has_table(database: &Database, name: &str) -> bool {
    database.one::<i64>(&format!("SELECT count(*) FROM sqlite_master WHERE name = '{name}'")) > 0
}

fn has_d(database: &Database) -> bool {
    database.one::<i64>("SELECT count(*) FROM pragma_table_info('t') WHERE name = 'd'") > 0
}

/// Restores, copies and deleted files of one script.
const FAULTS_MAX: usize = 3;
/// Repetitions in a large value: more than a part has bytes.
const LARGE: usize = 6000;
const DATABASES_MAX: usize = 5;
/// Messages that are kept to arrive late.
const ARRIVED_MAX: usize = 64;
/// After which two that nobody else talks to must have nothing more to say.
const SESSIONS_MAX: usize = 40;
/// Packages of one session in one direction.
const PACKAGES_MAX: usize = 100;
