//! Two processes write transactions of many rows and sync them in small packages, and are killed again and again at
//! random moments. A third one looks on: it never sees a part of another's transaction. In the end both files are equal,
//! and everything that was ever committed is in them.

use rejoin_conformance::{Engine, Host, Peer, Random, Server, Settings, Stream, until_level, wait_until};
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn killed_at_any_moment_two_ends_show_whole_transactions_and_end_equal() {
    let Some(settings) = Settings::find(&[Engine::BuiltIn]) else { return };
    kill_again_and_again(&settings, Engine::BuiltIn, kills().unwrap_or(200));
}

#[test]
fn beside_the_original_two_ends_that_are_killed_end_equal_too() {
    let Some(settings) = Settings::find(&[Engine::Beside]) else { return };
    kill_again_and_again(&settings, Engine::Beside, kills().unwrap_or(200) / 5);
}

/// `REJOIN_KILLS` says how often, for longer runs.
fn kills() -> Option<u64> {
    let text = std::env::var("REJOIN_KILLS").ok()?;
    Some(text.parse().expect("REJOIN_KILLS is a number"))
}

fn kill_again_and_again(settings: &Settings, engine: Engine, kills: u64) {
    let mut random = Random::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let ends = ["a", "b"].map(|name| Peer::new(settings, folder, name, Host::Python, engine));
    ends.iter().for_each(prepare);
    for (end, other) in [(&ends[0], &ends[1]), (&ends[1], &ends[0])] {
        end.make_streams(other, Stream { outbound: ", package_bytes_max = 4096", inbound: ", atomic = transaction" });
        std::fs::create_dir(folder.join(format!("{}-to-{}", end.name, other.name))).expect("a new folder");
    }
    let observers = ["a", "b"].map(|name| Observer::of(&folder.join(format!("{name}.db"))));
    let start = |index: usize| ends[index].start(include_str!("peer.py"), &[["a", "b"], ["b", "a"]][index]);
    let mut running = vec![start(0), start(1)];
    for kill in 0..kills {
        let victim = random.below(2) as usize;
        let id = running[victim].id().to_string();
        let ready = folder.join(format!("{}.ready", ends[victim].name));
        wait_until("the victim works", || std::fs::read_to_string(&ready).is_ok_and(|text| text == id));
        let until = Instant::now() + Duration::from_millis(random.below(LIFE_MS_MAX));
        while Instant::now() < until {
            observers.iter().for_each(Observer::check_whole);
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(running[victim].is_running(), "{victim} ended by itself before kill {kill}");
        running.remove(victim).kill();
        running.insert(victim, start(victim));
    }
    wait_until("both ends have written", || {
        ends.iter().all(|end| folder.join(format!("{}.written", end.name)).is_file())
    });
    std::fs::write(folder.join("stop"), "").expect("a file");
    let written: Vec<(String, i64)> = ["a", "b"].iter().flat_map(|name| written(folder, name)).collect();
    wait_until("everything has arrived", || {
        observers.iter().for_each(Observer::check_whole);
        assert!(running.iter_mut().all(Server::is_running), "an end has ended by itself");
        observers[0].count() == observers[1].count() && observers.iter().all(|observer| observer.has(&written))
    });
    drop(running);
    println!("{kills} kills, {} transactions, {} rows", written.len(), observers[0].count());
    check_level(&ends[0], &ends[1]);
}

fn prepare(end: &Peer) {
    end.run_all(&[
        "PRAGMA journal_mode = wal",
        "CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, batch TEXT, size INTEGER, filler TEXT)",
        "CREATE TABLE counter (id INTEGER PRIMARY KEY NOT NULL, n INTEGER)",
        "CREATE INDEX item_batch ON item (batch, size)",
        "SELECT crsql_as_crr('item')",
        "SELECT crsql_as_crr('counter')",
        "INSERT INTO counter VALUES (1, 0), (2, 0), (3, 0)",
    ]);
}

/// What an end says that it has committed: the transaction and its rows. The last line may be cut by a kill.
fn written(folder: &Path, name: &str) -> Vec<(String, i64)> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.written"))).expect("an end has written something");
    let line = |line: &str| {
        let (batch, size) = line.split_once(' ')?;
        Some((batch.to_owned(), size.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

fn check_level(a: &Peer, b: &Peer) {
    until_level(a, b);
    for table in ["item", "counter"] {
        assert_eq!(a.content(table), b.content(table), "{table}");
    }
    for (end, other) in [(a, b), (b, a)] {
        assert_eq!(end.one(&format!("SELECT crsql_pending('out_to_{}')", other.name), &[]).integer(), 0);
        let waiting = "SELECT max(behind), max(staged_bytes), max(parked) FROM crsql_streams";
        assert_eq!(end.run(waiting, &[]), [[0.into(), 0.into(), 0.into()]], "{}", end.name);
    }
    let records = "SELECT [table], pk, cid, val, col_version, cl FROM crsql_changes ORDER BY 1, 2, 3";
    assert!(a.run(records, &[]) == b.run(records, &[]), "the records differ");
}

/// A connection that only reads, in a process that is not killed.
struct Observer(rusqlite::Connection);

impl Observer {
    fn of(path: &Path) -> Observer {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = rusqlite::Connection::open_with_flags(path, flags).expect("the file opens");
        connection.busy_timeout(Duration::from_secs(10)).expect("a timeout is taken");
        Observer(connection)
    }

    /// Rows are only ever added, all of a transaction at once.
    fn check_whole(&self) {
        let sql =
            "SELECT batch || ': ' || count(*) || ' of ' || size FROM item GROUP BY batch, size HAVING count(*) <> size";
        let parts: Vec<String> = self.rows(sql);
        assert!(parts.is_empty(), "parts of transactions are to be seen: {parts:?}");
    }

    fn count(&self) -> i64 {
        self.rows("SELECT count(*) FROM item").remove(0)
    }

    fn has(&self, written: &[(String, i64)]) -> bool {
        let mut statement = self.0.prepare_cached("SELECT count(*) FROM item WHERE batch = ?1").expect("it compiles");
        written.iter().all(|(batch, size)| {
            statement.query_row([batch], |row| row.get::<_, i64>(0)).is_ok_and(|count| count == *size)
        })
    }

    fn rows<T: rusqlite::types::FromSql>(&self, sql: &str) -> Vec<T> {
        let mut statement = self.0.prepare_cached(sql).expect("it compiles");
        let rows = statement.query_map([], |row| row.get(0)).expect("it runs");
        rows.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

/// The longest time that a victim works before it is killed, if it was started just now.
const LIFE_MS_MAX: u64 = 200;
