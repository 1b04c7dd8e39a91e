//! A database file with a name, the host that opens it, and the streams between two of them.

use crate::host::{Answer, Host, Statement};
use crate::program::Server;
use crate::settings::{Engine, Settings};
use crate::value::{Row, Value};
use std::path::{Path, PathBuf};

/// One copy of a database. Every call is a process of its own that opens the file and closes it again, so nothing that
/// is right in these tests is right only because a connection remembered it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Part of the names of its streams: `out_to_NAME` and `in_from_NAME` at the other end.
    pub name: String,
    /// The file.
    pub database: PathBuf,
    /// What opens it.
    pub host: Host,
    /// What makes its tables replicate.
    pub engine: Engine,
    settings: Settings,
}

/// Options of the streams of one side, as they stand behind `remote = …`: empty, or beginning with a comma.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stream<'a> {
    /// For the outbound stream.
    pub outbound: &'a str,
    /// For the inbound stream.
    pub inbound: &'a str,
}

impl Peer {
    /// A peer whose file, FOLDER/NAME.db, may exist already.
    pub fn new(settings: &Settings, folder: &Path, name: &str, host: Host, engine: Engine) -> Peer {
        Peer {
            name: name.to_owned(),
            database: folder.join(format!("{name}.db")),
            host,
            engine,
            settings: settings.clone(),
        }
    }

    /// The same file, opened with another engine from now on.
    pub fn with_engine(&self, engine: Engine) -> Peer {
        Peer { engine, ..self.clone() }
    }

    /// Runs one statement; the rows, or SQLite's message.
    pub fn try_run(&self, sql: &str, parameters: &[Value]) -> Answer {
        let libraries = self.settings.libraries(self.engine);
        self.host.run(&self.database, &libraries, &[Statement::new(sql, parameters)])
    }

    /// Runs one statement; an error is a failed test.
    pub fn run(&self, sql: &str, parameters: &[Value]) -> Vec<Row> {
        self.try_run(sql, parameters).unwrap_or_else(|error| panic!("{}: {sql}\n{error}", self.name))
    }

    /// Runs statements in one connection; an error is a failed test. The rows of all come back together.
    pub fn run_all(&self, statements: &[&str]) -> Vec<Row> {
        let libraries = self.settings.libraries(self.engine);
        let statements: Vec<Statement> = statements.iter().map(|sql| Statement::new(sql, &[])).collect();
        self.host
            .run(&self.database, &libraries, &statements)
            .unwrap_or_else(|error| panic!("{}: {statements:?}\n{error}", self.name))
    }

    /// Runs statements in one python3 connection, going on after failures: one answer each.
    pub fn run_each(&self, statements: &[Statement]) -> Vec<Answer> {
        Host::run_each(&self.database, &self.settings.libraries(self.engine), statements)
    }

    /// Runs statements in one python3 process that may crash; the answers, or the number of the signal that ended it.
    pub fn run_or_crash(&self, statements: &[Statement]) -> Result<Vec<Answer>, i32> {
        Host::run_or_crash(&self.database, &self.settings.libraries(self.engine), statements)
    }

    /// Runs a python3 script that opens as many connections as it likes, with `connect(name)` for a file in the folder of
    /// this peer's, with this peer's engine, and `answer(connection, sql)` for rows or `error: message`. Gives the lines that
    /// it printed.
    pub fn script(&self, script: &str) -> Vec<String> {
        self.script_with(script, &[])
    }

    /// As [`Peer::script`], with arguments behind the two that every script has in sys.argv.
    pub fn script_with(&self, script: &str, arguments: &[&str]) -> Vec<String> {
        let folder = self.database.parent().expect("a file lies in a folder");
        Host::run_script(folder, &self.settings.libraries(self.engine), script, arguments)
    }

    /// Starts a python3 script as [`Peer::script`] runs it, which goes on. What it prints stands in NAME.log.
    pub fn start(&self, script: &str, arguments: &[&str]) -> Server {
        let folder = self.database.parent().expect("a file lies in a folder");
        let log = folder.join(format!("{}.log", self.name));
        Host::start_script(folder, &self.settings.libraries(self.engine), script, arguments, &log)
    }

    /// The one value that a statement gives.
    pub fn one(&self, sql: &str, parameters: &[Value]) -> Value {
        let mut rows = self.run(sql, parameters);
        assert!(rows.len() == 1 && rows[0].len() == 1, "{sql} gave {rows:?}");
        rows.remove(0).remove(0)
    }

    /// The message of a statement that must fail.
    pub fn error(&self, sql: &str, parameters: &[Value]) -> String {
        match self.try_run(sql, parameters) {
            Err(message) => message,
            Ok(rows) => panic!("{}: {sql} did not fail and gave {rows:?}", self.name),
        }
    }

    /// The database's own site id.
    pub fn site_id(&self) -> Value {
        self.one("SELECT crsql_site_id()", &[])
    }

    /// Makes both streams for another peer.
    pub fn make_streams(&self, remote: &Peer, options: Stream<'_>) {
        let id = remote.site_id().literal();
        let (name, outbound, inbound) = (&remote.name, options.outbound, options.inbound);
        self.run(
            &format!("CREATE VIRTUAL TABLE out_to_{name} USING crsql_outbound_stream(remote = {id}{outbound})"),
            &[],
        );
        self.run(
            &format!("CREATE VIRTUAL TABLE in_from_{name} USING crsql_inbound_stream(remote = {id}{inbound})"),
            &[],
        );
    }

    /// The packages that wait for another peer.
    pub fn packages(&self, remote: &Peer) -> Vec<Value> {
        let rows = self.run(&format!("SELECT package FROM out_to_{}", remote.name), &[]);
        rows.into_iter().map(|mut row| row.remove(0)).collect()
    }

    /// Gives a package from another peer to its stream.
    pub fn try_apply(&self, remote: &Peer, package: &Value) -> Answer {
        self.try_run(
            &format!("INSERT INTO in_from_{}(package) VALUES (?1)", remote.name),
            std::slice::from_ref(package),
        )
    }

    /// Gives a package from another peer to its stream; a refusal is a failed test.
    pub fn apply(&self, remote: &Peer, package: &Value) {
        if let Err(error) = self.try_apply(remote, package) {
            panic!("{} refused a package of {}: {error}", self.name, remote.name);
        }
    }

    /// The receipt for another peer.
    pub fn receipt(&self, remote: &Peer) -> Value {
        self.one(&format!("SELECT receipt FROM in_from_{}", remote.name), &[])
    }

    /// How many changes the last package from another peer brought.
    pub fn applied(&self, remote: &Peer) -> i64 {
        self.one(&format!("SELECT applied FROM in_from_{}", remote.name), &[]).integer()
    }

    /// Takes a receipt from another peer.
    pub fn acknowledge(&self, remote: &Peer, receipt: &Value) {
        let sql = format!("INSERT INTO out_to_{}(receipt) VALUES (?1)", remote.name);
        self.run(&sql, std::slice::from_ref(receipt));
    }

    /// Everything in a table, in the order of its key, with the storage class of each value.
    pub fn content(&self, table: &str) -> Vec<Row> {
        let columns = self.run("SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid", &[table.into()]);
        let quoted = |row: &Row| format!("\"{}\"", row[0].text().replace('"', "\"\""));
        let names: Vec<String> = columns.iter().map(quoted).collect();
        let keys: Vec<String> = columns.iter().filter(|row| row[1].integer() > 0).map(quoted).collect();
        // Packed, so that reals compare by their bits whatever the host prints.
        self.run(
            &format!("SELECT crsql_pack_columns({}) FROM \"{table}\" ORDER BY {}", names.join(", "), keys.join(", ")),
            &[],
        )
    }
}

/// Carries all packages that `from` has for `to`, and the receipt of each back. Returns how many there were.
pub fn carry(from: &Peer, to: &Peer) -> usize {
    let packages = from.packages(to);
    for package in &packages {
        to.apply(from, package);
        from.acknowledge(to, &to.receipt(from));
    }
    packages.len()
}

/// Carries both ways until neither side has anything to say; a failed test when that takes more than a few rounds.
pub fn until_level(left: &Peer, right: &Peer) {
    for _ in 0..ROUNDS_MAX {
        if carry(left, right) + carry(right, left) == 0 {
            return;
        }
    }
    panic!("{} and {} still have packages for each other after {ROUNDS_MAX} rounds", left.name, right.name);
}

const ROUNDS_MAX: usize = 6;
