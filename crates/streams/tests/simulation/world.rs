//! Databases, the links between them, and the messages on their way.

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

/// What the applications do.
impl World {
    fn write(&self, database: usize, write: Write, key: usize, value: usize, elsewhere: bool) {
        let database = self.database(database);
        let value = if value == 0 { "NULL".into() } else { value.to_string() };
        let sql = match write {
            Write::Insert => format!("INSERT OR IGNORE INTO t(id, b, c) VALUES ({key}, {value}, {value})"),
            Write::Replace => format!("INSERT OR REPLACE INTO t(id, b) VALUES ({key}, {value})"),
            Write::UpdateOne => format!("UPDATE t SET b = {value} WHERE id = {key}"),
            Write::UpdateMany => format!("UPDATE t SET c = {value}, b = 9 WHERE id >= {key}"),
            Write::UpdateLarge => format!("UPDATE t SET c = '{}' WHERE id >= {key}", value.repeat(LARGE)),
            Write::Delete => format!("DELETE FROM t WHERE id = {key}"),
            Write::MoveKey => format!("UPDATE OR IGNORE t SET id = {key} + 1 WHERE id = {key}"),
            Write::BothTables => {
                format!("BEGIN; INSERT OR REPLACE INTO u VALUES ('k{key}', {value}); UPDATE t SET b = {value}; COMMIT")
            }
            Write::Third if has_table(database, "w") => {
                format!("INSERT OR REPLACE INTO w VALUES ({key}, {value}, 'w')")
            }
            Write::Third if has_d(database) => format!("UPDATE t SET d = {value} WHERE id <= {key}"),
            Write::Third => format!("INSERT OR IGNORE INTO u VALUES ('k{key}', {value})"),
        };
        if elsewhere {
            files::share(database);
            let other = files::open(&database.path);
            other.run(&sql);
            other.close();
            files::keep(database);
        } else {
            database.run(&sql);
        }
    }

    fn grow(&self, database: usize, what: Growth) {
        let database = self.database(database);
        match what {
            Growth::Column { filled } if !has_d(database) => {
                database.run("SELECT crsql_begin_alter('t'); ALTER TABLE t ADD COLUMN d");
                if filled {
                    database.run("UPDATE t SET d = 'filled ' || id WHERE id % 2 = 1");
                }
                database.run("SELECT crsql_commit_alter('t')");
            }
            Growth::Nothing => database.run("SELECT crsql_begin_alter('t'); SELECT crsql_commit_alter('t')"),
            Growth::Table if !has_table(database, "w") => {
                database.run("CREATE TABLE w(id INTEGER PRIMARY KEY NOT NULL, x, y); SELECT crsql_as_crr('w')");
            }
            Growth::Column { .. } | Growth::Table => {}
        }
    }

    fn remake(&self, database: usize, table: usize) {
        let index = database % self.databases.len();
        let database = self.database(index);
        if table == 0 {
            database
                .run("SELECT crsql_as_table('t'); UPDATE t SET b = 'meanwhile' WHERE id = 2; SELECT crsql_as_crr('t')");
        } else {
            database.run("SELECT crsql_as_table('u'); SELECT crsql_as_crr('u')");
        }
        self.remade.borrow_mut().insert(index);
    }

    /// Everybody has the same tables in the end.
    pub fn grow_all(&self) {
        for index in 0..self.databases.len() {
            self.grow(index, Growth::Column { filled: false });
            self.grow(index, Growth::Table);
        }
    }

    fn read_in_transaction(&mut self, link: usize, back: bool) -> Checked {
        let (from, to) = self.direction(link, back);
        if self.same_site(from, to) {
            return Ok(());
        }
        let outbound = self.outbound(from, to, None);
        let database = self.database(from);
        database.run("BEGIN; INSERT OR REPLACE INTO u VALUES ('never', 1); UPDATE t SET b = 8");
        let read = outbound.next(None);
        database.run("ROLLBACK");
        match read {
            Err(StreamError::Misuse(_)) => Ok(()),
            other => Err(format!("a read inside a transaction that has written gave {other:?}")),
        }
    }
}

/// What happens to files.
impl World {
    fn restore(&mut self, backup: usize, how: Restore) {
        let (index, from) = self.backups[backup].clone();
        self.faults += 1;
        self.replace(index, |mut database| match how {
            Restore::Closed => {
                let path = database.path.clone();
                database.close();
                std::fs::copy(&from, &path).expect("the file can be copied");
                files::open(&path)
            }
            Restore::Open => {
                let source = rusqlite::Connection::open(&from).expect("the backup opens");
                let backup = Backup::new(&source, &mut database.host).expect("a backup can be restored");
                backup.run_to_completion(1000, Duration::ZERO, None).expect("a backup is restored");
                drop(backup);
                database
            }
        });
    }

    fn copy(&mut self, database: usize, how: Copying, neighbours: [usize; 2]) {
        let path = self.new_path();
        let source = self.database(database);
        match how {
            Copying::File => drop(std::fs::copy(&source.path, &path).expect("the file can be copied")),
            Copying::VacuumInto => source.run(&format!("VACUUM INTO '{}'", path.display())),
        }
        self.faults += 1;
        let copy = self.databases.len();
        for neighbour in neighbours {
            let link = (neighbour % copy, copy);
            if !self.links.contains(&link) {
                self.links.push(link);
            }
        }
        self.databases.push(Some(files::open(&path)));
    }

    fn wipe(&mut self, database: usize, keeps_id: bool) {
        self.faults += 1;
        let new_id = self.new_id();
        let mut gone = Vec::new();
        self.replace(database, |database| {
            let (path, old_id) = (database.path.clone(), database.site());
            database.close();
            gone.push(old_id);
            std::fs::remove_file(&path).expect("the file can be deleted");
            files::create(&path, files::Schema::New, if keeps_id { old_id } else { new_id })
        });
        self.gone.extend(gone);
    }
}

/// What the streams do.
impl World {
    fn filter_towards(&self, from: usize, remote: SiteId) -> Filter {
        self.filters.get(&(from, remote)).cloned().unwrap_or_default()
    }

    fn outbound_to(&self, from: usize, remote: SiteId, limits: Option<(usize, usize)>) -> Outbound {
        let Filter { local_only, exclude_sites, tables } = self.filter_towards(from, remote);
        let format = match from % 3 {
            0 => Format::Json,
            1 => Format::Binary(Compression::None),
            _ => Format::Binary(Compression::Zstd),
        };
        let (package_changes_max, package_bytes_max) = limits.unzip();
        let package_bytes_max = package_bytes_max.unwrap_or(PACKAGE_BYTES_DEFAULT);
        let filter = OutboundOptions { local_only, exclude_sites, tables, ..Default::default() };
        let options = OutboundOptions { package_changes_max, package_bytes_max, format, ..filter };
        self.database(from).outbound_with(remote, &options)
    }

    fn outbound(&self, from: usize, to: usize, limits: Option<(usize, usize)>) -> Outbound {
        self.outbound_to(from, self.database(to).site(), limits)
    }

    fn inbound_from(&self, to: usize, remote: SiteId) -> Inbound {
        let options = self.receives.get(&(to, remote)).unwrap_or(&self.receive);
        self.database(to).streams().inbound(remote, options).expect("the stream opens")
    }

    pub fn inbound(&self, to: usize, from: usize) -> Inbound {
        self.inbound_from(to, self.database(from).site())
    }

    pub fn same_site(&self, a: usize, b: usize) -> bool {
        self.database(a).site() == self.database(b).site()
    }

    fn filter(&mut self, link: usize, back: bool, kind: FilterKind) {
        let (from, to) = self.direction(link, back);
        let filter = match kind {
            FilterKind::All => Filter::default(),
            FilterKind::LocalOnly => Filter { local_only: true, ..Default::default() },
            FilterKind::Exclude(author) => {
                Filter { exclude_sites: vec![self.database(author).site()], ..Default::default() }
            }
            FilterKind::Tables(tables) => Filter { tables: Some(names(tables)), ..Default::default() },
        };
        self.filters.insert((from, self.database(to).site()), filter);
    }

    pub fn clear_filters(&mut self) {
        self.filters.clear();
        for options in self.receives.values_mut() {
            options.tables = None;
        }
    }

    fn set_back(&mut self, link: usize, back: bool, version: usize) {
        let (from, to) = self.direction(link, back);
        let version = version as i64;
        if self.same_site(from, to) || version > self.database(from).streams().head().expect("a head") {
            return;
        }
        let outbound = self.outbound(from, to, None);
        let cursor = if version == 0 { Cursor::BEGINNING } else { Cursor::end_of_version(version) };
        // Forwards it is a promise of the user's, which may be wrong.
        if cursor <= outbound.position().expect("a position").acked {
            outbound.set_acked(&cursor).expect("the position can be set back");
        }
    }

    /// A session between two ends with one id cannot begin: one of them takes a new one.
    fn tell_apart(&self, from: usize, to: usize) {
        if self.same_site(from, to) {
            self.database(from).streams().reidentify().expect("a new identity");
        }
    }

    fn send(&mut self, from: usize, to: usize, limits: (usize, usize), packages: usize) {
        self.tell_apart(from, to);
        let from_site = self.database(from).site();
        let receipt = self.inbound(to, from).receipt().expect("a receipt");
        let outbound = self.outbound(from, to, Some(limits));
        let (mut after, mut produced) = (None, Vec::new());
        for _ in 0..packages {
            match self.read(from, &outbound, after.as_ref()) {
                Ok(Some(package)) => {
                    after = Some(package.end);
                    produced.push(Message::Package { to, from_site, bytes: package.package.as_bytes().to_vec() });
                }
                Ok(None) => break,
                Err(error) => {
                    self.heed(from, &error);
                    break;
                }
            }
        }
        self.network.extend(produced);
        self.network.push(Message::Receipt { to: from, receipt });
    }

    /// The next package. Who reads learns what became of its tables.
    fn read(&self, at: usize, outbound: &Outbound, after: Option<&Cursor>) -> Result<Option<Produced>, StreamError> {
        let read = outbound.next(after);
        if read.is_ok() {
            self.remade.borrow_mut().remove(&at);
        }
        read
    }

    fn deliver(&mut self, at: usize, again: bool, inside: Inside) {
        if self.network.is_empty() {
            return;
        }
        let at = at % self.network.len();
        let message = self.network[at].clone();
        self.hand_over(&message, inside);
        if !again && !matches!(inside, Inside::RolledBack) {
            self.network.remove(at);
            if self.arrived.len() < ARRIVED_MAX {
                self.arrived.push(message);
            }
        }
    }

    pub fn drain(&mut self) {
        while !self.network.is_empty() {
            self.deliver(0, false, Inside::Own);
        }
    }

    /// True where something has moved.
    fn hand_over(&self, message: &Message, inside: Inside) -> bool {
        match message {
            Message::Package { to, from_site, bytes } => self.apply(*to, *from_site, bytes, inside),
            Message::Receipt { to, receipt } => {
                let database = self.database(*to);
                if receipt.sender != database.site() || receipt.receiver == database.site() {
                    return false;
                }
                let acknowledged = self.outbound_to(*to, receipt.receiver, None).acknowledge(receipt);
                acknowledged.map_or_else(|error| self.heed(*to, &error), |acknowledged| acknowledged.moved)
            }
        }
    }

    fn apply(&self, to: usize, from_site: SiteId, bytes: &[u8], inside: Inside) -> bool {
        let database = self.database(to);
        if from_site == database.site() {
            return false;
        }
        let inbound = self.inbound_from(to, from_site);
        let applied = match inside {
            Inside::Own => inbound.apply(bytes),
            Inside::Callers => {
                database.run("BEGIN; INSERT OR REPLACE INTO u VALUES ('callers', 1)");
                let applied = inbound.apply(bytes);
                database.run("UPDATE t SET c = 'callers' WHERE id = 3; COMMIT");
                applied
            }
            Inside::RolledBack => {
                database.run("BEGIN");
                let applied = inbound.apply(bytes);
                database.run("ROLLBACK");
                applied
            }
        };
        applied.map_or_else(|error| self.heed(to, &error), |applied| applied.outcome == Outcome::Merged)
    }

    /// What a program does at an error of its stream. True where that makes a new identity.
    fn heed(&self, at: usize, error: &StreamError) -> bool {
        match error {
            StreamError::IdentityChanged { side: Side::Here, .. } => {
                self.database(at).streams().reidentify().expect("a new identity");
                self.remade.borrow_mut().remove(&at);
                true
            }
            // The other side learns of it from the next receipt; what was misdirected is dropped; schemas catch up.
            StreamError::IdentityChanged { side: Side::Remote, .. }
            | StreamError::PeerMisbehaved(_)
            | StreamError::PeerIncompatible(_) => false,
            other => panic!("{other}"),
        }
    }

    /// Receipts first, then packages, each acknowledged. True where anything moved.
    pub fn session(&mut self, a: usize, b: usize) -> bool {
        self.tell_apart(a, b);
        let mut moved = false;
        for (from, to) in [(a, b), (b, a)] {
            moved |= self.receipt(from, to);
        }
        for (from, to) in [(a, b), (b, a)] {
            moved |= self.tell(from, to);
        }
        moved
    }

    /// The streams between two, for messages.
    pub fn show(&self, a: usize, b: usize) -> String {
        let one = |index: usize, other: usize| {
            let (database, remote) = (self.database(index), self.database(other).site());
            let streams = database.streams().list().expect("the streams are listed");
            let streams: Vec<String> =
                streams.iter().filter(|row| row.remote == remote).map(|row| format!("\n  {row:?}")).collect();
            format!("\n{index} is {}: {}", database.site(), streams.concat())
        };
        if self.same_site(a, b) { format!("both are {}", self.database(a).site()) } else { one(a, b) + &one(b, a) }
    }

    fn receipt(&self, from: usize, to: usize) -> bool {
        let receipt = self.inbound(to, from).receipt().expect("a receipt");
        self.hand_over(&Message::Receipt { to: from, receipt }, Inside::Own)
    }

    /// Ends where one of the two takes a new id.
    fn tell(&self, from: usize, to: usize) -> bool {
        let ids = || (self.database(from).site(), self.database(to).site());
        let before = ids();
        let mut moved = false;
        for _ in 0..PACKAGES_MAX {
            let produced = match self.read(from, &self.outbound(from, to, Some((3, SMALL))), None) {
                Ok(Some(produced)) => produced,
                Ok(None) => break,
                Err(error) => return self.heed(from, &error) || moved,
            };
            let mut taken = self.apply(to, before.0, produced.package.as_bytes(), Inside::Own);
            moved |= taken;
            if ids() != before {
                return true;
            }
            taken |= self.receipt(from, to);
            moved |= taken;
            if !taken || ids() != before {
                break;
            }
        }
        moved
    }

    /// Where the sender says that nothing is pending and the receipt is at its head, the receiver must have everything.
    /// True where they say so.
    pub fn compare(&self, from: usize, to: usize) -> Result<bool, String> {
        if self.same_site(from, to) {
            return Ok(false);
        }
        let (sender, receiver) = (self.database(from), self.database(to));
        let receipt = self.inbound(to, from).receipt().expect("a receipt");
        let outbound = self.outbound(from, to, None);
        let acknowledged = match outbound.acknowledge(&receipt) {
            Ok(acknowledged) => acknowledged,
            Err(error) => {
                self.heed(from, &error);
                return Ok(false);
            }
        };
        let head = sender.streams().head().expect("a head");
        if head == 0 {
            return Ok(true);
        }
        let stands = receipt.position.map(|position| position.cursor);
        let in_sync = acknowledged.took
            && outbound.pending().expect("a count") == 0
            && stands == Some(Cursor::end_of_version(head));
        // Who has given up the history of a table finds out at its next read, as at a restored file.
        if !in_sync || self.remade.borrow().contains(&to) {
            return Ok(false);
        }
        let staged = self.inbound(to, from).staged_bytes().expect("a count");
        if staged > 0 {
            let what = format!("{from} and {to} are in sync at {head}, and {staged} bytes of it are staged");
            return Err(what + &self.show(from, to));
        }
        let filter = self.filter_towards(from, receiver.site());
        let accepted = self.receives.get(&(to, sender.site())).and_then(|options| options.tables.clone());
        let mut own = sender.streams().former_ids().expect("the former ids");
        own.push(sender.site());
        let told = |change: &Change| {
            let of =
                |tables: &Option<Vec<String>>| tables.as_ref().is_none_or(|t| t.iter().any(|t| **t == *change.table));
            of(&filter.tables)
                && of(&accepted)
                && !filter.exclude_sites.contains(&change.site_id)
                && (!filter.local_only || own.contains(&change.site_id))
        };
        match Knowledge::with_waiting(receiver, &[]).lacks(&Knowledge::of(sender, told)) {
            None => Ok(true),
            Some(what) => Err(format!(
                "{from} and {to} say that they are in sync at {head}, but {to} lacks {what}{}",
                self.show(from, to)
            )),
        }
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
