//! What happens in the demo, in order.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rejoin::adapt::Obstacle;
use rejoin::node::{Access, Limits, NodeError, Patience, Server};
use rejoin::rusqlite::Connection;
use rejoin::snapshot::snapshot;
use rejoin::track::{TrackOptions, TrackReport, track};
use rejoin::{Cancel, Database};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::atlas;
use super::edits::{Work, Written};
use super::level::{Level, level};
use super::peer::Peer;
use super::tell::Teller;
use crate::show;

/// How it ended.
pub struct Outcome {
    /// The copies' names, the hub first.
    pub copies: Vec<&'static str>,
    /// What they hold.
    pub level: Level,
    /// Parts and how long they took.
    pub timings_ms: Vec<(&'static str, u64)>,
    /// How long a write by a second connection took to reach another copy.
    pub seen_after_ms: u64,
    /// What was written by all.
    pub written: Written,
}

/// The longest time that a burst of edits takes on a slow machine.
pub const BURST_MAX: Duration = Duration::from_secs(10);
/// How long copies may take to become level.
const LEVEL_MAX: Duration = Duration::from_secs(60);
/// Between two looks at whether they are.
const LOOK_INTERVAL: Duration = Duration::from_millis(40);
/// Transactions of one person's burst, and the pause between them.
const BURST: (usize, Duration) = (60, Duration::from_millis(12));

/// Plays it in an empty folder.
pub async fn play(folder: &Path, seed: u64, teller: &Arc<Teller>) -> Result<Outcome, String> {
    let mut stage = Stage::set(folder, seed, teller).await?;
    stage.first_sync().await?;
    stage.all_at_once().await?;
    stage.one_offline().await?;
    stage.hub_away().await?;
    stage.end().await
}

/// Everybody who takes part.
struct Stage<'a> {
    seed: u64,
    teller: &'a Arc<Teller>,
    hub: Hub,
    peers: [Peer; 3],
    burst: u64,
    written: Written,
    seen_after_ms: u64,
    timings_ms: Vec<(&'static str, u64)>,
    part_begun: Instant,
}

impl<'a> Stage<'a> {
    /// The atlas, its hub and its first copy.
    async fn set(folder: &Path, seed: u64, teller: &'a Arc<Teller>) -> Result<Stage<'a>, String> {
        teller.line("rejoin demo: a hub and three peers, in this process, over WebSockets on 127.0.0.1");
        teller.part("An atlas is made and tracked");
        let part_begun = Instant::now();
        let rooms = folder.join("hub");
        let peers = ["lisbon", "nairobi", "wellington"].map(|name| Peer::new(name, folder));
        std::fs::create_dir(&rooms).map_err(|error| format!("failed to make {}: {error}", rooms.display()))?;
        let (original, room, copy) = (folder.join("atlas.db"), rooms.join("atlas.db"), peers[0].path.clone());
        let made = blocking(move || make_atlas(&original, &room, &copy)).await?;
        teller.event(
            "atlas.db",
            &format!("has {} and {} of capitals", show::count(made.tables, "table"), show::count(made.rows, "row")),
        );
        teller.event("track", &made.adapted);
        teller.event("snapshot", "of it for the hub and for lisbon, each with an identity of its own");
        let hub = Hub::new(rooms).await?;
        Ok(Stage {
            seed,
            teller,
            hub,
            peers,
            burst: 0,
            written: Written::default(),
            seen_after_ms: 0,
            timings_ms: vec![("made in", elapsed_ms(part_begun))],
            part_begun,
        })
    }

    async fn first_sync(&mut self) -> Result<(), String> {
        self.begin("The first sync: nairobi and wellington start with nothing");
        self.hub.open().await?;
        self.teller.event("hub", &format!("serves {}", self.hub.url()));
        for peer in &mut self.peers {
            peer.go_online(&self.hub.url(), self.teller).await?;
        }
        self.become_level("first sync").await
    }

    async fn all_at_once(&mut self) -> Result<(), String> {
        self.begin("All three edit at once");
        self.edit_everywhere().await?;
        self.become_level("edits at once").await
    }

    async fn one_offline(&mut self) -> Result<(), String> {
        self.begin("Nairobi goes offline, and everybody goes on");
        self.peers[1].go_offline().await?;
        self.teller.event("nairobi", "is offline");
        for (at, note) in
            [(0, "seen from lisbon: the northernmost capital"), (1, "seen from nairobi: 64 degrees north")]
        {
            let Peer { name, path, .. } = &self.peers[at];
            write_note(path, "IS", note).await?;
            self.teller.event(name, &format!("notes about Reykjavík: '{note}'"));
        }
        self.edit_everywhere().await?;
        self.second_connection().await?;
        self.peers[1].go_online(&self.hub.url(), self.teller).await?;
        self.teller.event("nairobi", "is back");
        self.become_level("one offline").await?;
        let notes = self.notes("IS").await?;
        self.teller.event("all", &format!("now say about Reykjavík: '{}'", notes.join("', '")));
        Ok(())
    }

    /// Plain SQL through a connection of its own, while everything runs; how long until another copy shows it.
    async fn second_connection(&mut self) -> Result<(), String> {
        let note = "its name in Māori is Te Whanganui-a-Tara";
        write_note(&self.peers[2].path, "NZ", note).await?;
        let begun = Instant::now();
        let lisbon = self.peers[0].path.clone();
        while read_note(&lisbon, "NZ").await?.as_deref() != Some(note) {
            if begun.elapsed() > LEVEL_MAX {
                return Err("a write by a second connection did not reach the other copies".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.seen_after_ms = elapsed_ms(begun);
        let ms = self.seen_after_ms;
        self.teller
            .event("wellington", &format!("a second connection runs UPDATE capital …; lisbon has it {ms} ms later"));
        Ok(())
    }

    async fn hub_away(&mut self) -> Result<(), String> {
        self.begin("The hub goes away, and everybody goes on");
        self.teller.event("hub", "stops");
        self.hub.close().await?;
        self.edit_everywhere().await?;
        self.hub.open().await?;
        self.teller.event("hub", "is back");
        self.become_level("hub away").await
    }

    async fn end(mut self) -> Result<Outcome, String> {
        for peer in &mut self.peers {
            peer.go_offline().await?;
        }
        self.hub.close().await?;
        let paths = self.paths();
        let level = blocking(move || level(&paths)).await?;
        self.timings_ms.push(("all", self.teller.elapsed_ms()));
        let copies = ["hub"].into_iter().chain(self.peers.iter().map(|peer| peer.name)).collect();
        let Stage { timings_ms, seen_after_ms, written, .. } = self;
        Ok(Outcome { copies, level, timings_ms, seen_after_ms, written })
    }

    fn begin(&mut self, title: &str) {
        self.teller.part(title);
        self.part_begun = Instant::now();
    }

    /// A burst of edits on all three copies at the same time, online or not.
    async fn edit_everywhere(&mut self) -> Result<(), String> {
        self.burst += 1;
        let (transactions, pause) = BURST;
        let work = self.peers.each_ref().map(|peer| {
            let work = Work { who: peer.name, seed: self.seed, burst: self.burst, transactions, pause };
            let path = peer.path.clone();
            tokio::task::spawn_blocking(move || work.run(&path))
        });
        for (peer, work) in self.peers.iter().zip(work) {
            let written = work.await.map_err(|error| error.to_string())??;
            let (rows, transactions) =
                (show::count(written.rows, "row"), show::count(written.transactions, "transaction"));
            self.teller.event(peer.name, &format!("wrote {rows} in {transactions}"));
            self.written.rows += written.rows;
            self.written.transactions += written.transactions;
        }
        Ok(())
    }

    /// Waits until all copies are equal. Not becoming so is not an error here: the end tells.
    async fn become_level(&mut self, part: &'static str) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let paths = self.paths();
            if blocking(move || level(&paths)).await?.is_equal {
                self.teller.event("all", &format!("are level after {} ms", elapsed_ms(begun)));
                break;
            }
            for peer in &mut self.peers {
                if let Some(why) = peer.failure().await {
                    return Err(why);
                }
            }
            if begun.elapsed() > LEVEL_MAX {
                self.teller.event("all", &format!("are NOT level after {} s", LEVEL_MAX.as_secs()));
                break;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        self.timings_ms.push((part, elapsed_ms(self.part_begun)));
        Ok(())
    }

    /// What each copy says about a country's capital, said once where they agree.
    async fn notes(&self, country: &'static str) -> Result<Vec<String>, String> {
        let mut notes = Vec::new();
        for path in self.paths() {
            notes.extend(read_note(&path, country).await?);
        }
        notes.dedup();
        Ok(notes)
    }

    fn paths(&self) -> Vec<PathBuf> {
        let peers = self.peers.iter().map(|peer| peer.path.clone());
        std::iter::once(self.hub.rooms.join("atlas.db")).chain(peers).collect()
    }
}

/// The server, which can go away and come back under its address.
struct Hub {
    rooms: PathBuf,
    address: std::net::SocketAddr,
    listener: Option<TcpListener>,
    serving: Option<Serving>,
}

struct Serving {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), NodeError>>,
}

impl Hub {
    async fn new(rooms: PathBuf) -> Result<Hub, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;
        Ok(Hub { rooms, address, listener: Some(listener), serving: None })
    }

    fn url(&self) -> String {
        format!("ws://{}/atlas", self.address)
    }

    async fn open(&mut self) -> Result<(), String> {
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => TcpListener::bind(self.address).await.map_err(cannot_listen)?,
        };
        let (limits, patience) = (Limits::default(), Patience::default());
        let server = Server::new(&self.rooms, rejoin::prepare(), Access::default(), limits, patience)
            .map_err(|error| error.to_string())?;
        let (stop, mut stopped) = watch::channel(false);
        let until = async move {
            // Whoever would tell has gone: that is the end as well.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let task = tokio::spawn(server.serve(listener, until));
        self.serving = Some(Serving { stop, task });
        Ok(())
    }

    async fn close(&mut self) -> Result<(), String> {
        let Some(Serving { stop, task }) = self.serving.take() else { return Ok(()) };
        stop.send_replace(true);
        task.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

fn cannot_listen(error: std::io::Error) -> String {
    format!("failed to listen on 127.0.0.1: {error}")
}

struct Made {
    tables: u64,
    rows: u64,
    adapted: String,
}

fn make_atlas(original: &Path, room: &Path, copy: &Path) -> Result<Made, String> {
    let mut connection = Connection::open(original).map_err(|error| error.to_string())?;
    atlas::make(&mut connection).map_err(|error| format!("failed to make the atlas: {error}"))?;
    drop(connection);
    let options = TrackOptions { tables: Vec::new(), adapt: true };
    let report = track(original, &options, &Cancel::default()).map_err(|error| error.to_string())?;
    for target in [room, copy] {
        snapshot(original, target, &Cancel::default()).map_err(|error| error.to_string())?;
    }
    let rows = report.tables.iter().filter_map(|table| table.rebuilt.as_ref()).map(|rebuilt| rebuilt.rows).sum();
    Ok(Made { tables: report.tables.len() as u64, rows, adapted: adapted(&report) })
}

fn adapted(report: &TrackReport) -> String {
    let obstacles = || report.tables.iter().flat_map(|table| &table.survey.obstacles);
    let count = |wanted: fn(&Obstacle) -> bool| obstacles().filter(|obstacle| wanted(obstacle)).count();
    format!(
        "--adapt takes away {} foreign keys and {} UNIQUE, gives {} columns a default; rows verified by digest",
        count(|obstacle| matches!(obstacle, Obstacle::ForeignKey { .. })),
        count(|obstacle| matches!(obstacle, Obstacle::UniqueConstraint { .. })),
        count(|obstacle| matches!(obstacle, Obstacle::NotNullWithoutDefault { .. })),
    )
}

/// Plain SQL through a new connection that has the library in it, as from any other program.
async fn write_note(path: &Path, country: &'static str, note: &'static str) -> Result<(), String> {
    let path = path.to_owned();
    blocking(move || {
        let database = Database::open(&path).map_err(|error| error.to_string())?;
        let sql = "UPDATE capital SET note = ?2 WHERE country = ?1";
        database.connection().execute(sql, [country, note]).map_err(|error| error.to_string())?;
        Ok(())
    })
    .await
}

async fn read_note(path: &Path, country: &'static str) -> Result<Option<String>, String> {
    let path = path.to_owned();
    blocking(move || {
        let connection = rejoin::open_read_only(&path, &Cancel::default()).map_err(|error| error.to_string())?;
        let sql = "SELECT note FROM capital WHERE country = ?1";
        connection.query_row(sql, [country], |row| row.get(0)).map_err(|error| error.to_string())
    })
    .await
}

/// Work that blocks, where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
