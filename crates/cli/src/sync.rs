//! `rejoin sync`

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rejoin::node::{Client, ClientEvent, Database, Event, Finished, Limits, NodeError, Progress};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::ending::{Ending, Failure};
use crate::interrupt::asked_to_end;
use crate::show;

/// Keep a database level with a room of a server
///
/// Runs until Ctrl-C, through every loss of the connection. Writes by other programs are noticed while it runs. A database
/// without the room's tables takes them over, and a room without the database's tables takes those.
///
/// With --dialect vlcn the server is one of cr-sqlite's JavaScript servers (@vlcn.io/ws-server), or `rejoin serve` with
/// --schemas.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  rejoin sync app.db ws://127.0.0.1:7448/todo                    until Ctrl-C
  rejoin sync app.db wss://example.com/todo --once               until both have what the other had
  rejoin sync new.db ws://127.0.0.1:7448/todo --once             a new file takes tables and rows from the room
  rejoin sync app.db ws://127.0.0.1:8080/sync --dialect vlcn --room todo --schema schemas/main.sql

With --json every line is one object; its \"event\" is connected, joined, progress, caught_up, waiting or finished.
Exit codes: 0 level (--once) or ended by Ctrl-C, 1 failed, 2 wrong use.")]
pub struct Args {
    /// The database file; made where it is not there
    #[arg(value_name = "APP.db")]
    database: PathBuf,
    /// The room: ws://HOST:PORT/ROOM, or wss:// for TLS
    #[arg(value_name = "URL")]
    url: String,
    /// End when both sides have what the other had at the start
    #[arg(long)]
    once: bool,
    /// The secret that opens the room
    #[arg(long, value_name = "SECRET", env = "REJOIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The protocol that the server speaks
    #[arg(long, value_enum, default_value = "native")]
    dialect: Dialect,
    /// The room, with --dialect vlcn; the address is the server's own then
    #[arg(long, value_name = "ROOM", required_if_eq("dialect", "vlcn"))]
    room: Option<String>,
    /// The server's schema file, with --dialect vlcn: its tables are made where they are not there. Not needed for a
    /// database that knows its schema from before
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Send BLOB values too, with --dialect vlcn. The JavaScript server ends over one; `rejoin serve` takes them
    #[arg(long)]
    blobs: bool,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

/// Protocols between a database and a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Dialect {
    /// rejoin's own
    Native,
    /// That of cr-sqlite's JavaScript packages
    Vlcn,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<Ending, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::Says(format!("failed to start the program's threads: {error}")))?;
    runtime.block_on(sync(args))
}

async fn sync(args: &Args) -> Result<Ending, Failure> {
    // Before the file is made.
    check(args)?;
    let database =
        Database::open(&args.database, rejoin::prepare(), &Limits::default()).await.map_err(|error| says(&error))?;
    let mut client = client(args, &database).map_err(|error| says(&error))?;
    if let Some(token) = &args.token {
        client = client.with_token(token).map_err(|error| says(&error))?;
    }
    if args.once {
        client = client.once();
    }
    let (stop, stopped) = watch::channel(false);
    let stop_on_request = stop.clone();
    tokio::spawn(async move {
        asked_to_end().await;
        stop_on_request.send_replace(true);
        asked_to_end().await;
        std::process::exit(1);
    });
    let mut report = Report::new(args);
    let result = client
        .run(stopped, |event| {
            if let Err(failure) = report.show(&event) {
                report.failure.get_or_insert(failure);
                stop.send_replace(true);
            }
        })
        .await;
    let closed = database.close().await;
    if let Some(failure) = report.failure.take() {
        return Err(failure);
    }
    let finished = result.map_err(|error| says(&error))?;
    closed.map_err(|error| says(&error))?;
    report.finish(finished)?;
    match finished {
        Finished::Stopped if args.once => Err(Failure::Says("stopped before both sides were level".to_owned())),
        _ => Ok(Ending::Done),
    }
}

fn check(args: &Args) -> Result<(), Failure> {
    match args.dialect {
        Dialect::Vlcn => {
            let room = args.room.as_deref().unwrap_or_default();
            Client::check_vlcn(&args.url, room).map_err(|error| says(&error))?;
            match args.schema.as_ref().filter(|schema| !schema.is_file()) {
                Some(schema) => Err(Failure::Says(format!("there is no schema file {}", schema.display()))),
                None => Ok(()),
            }
        }
        Dialect::Native => {
            let given = [("--room", args.room.is_some()), ("--schema", args.schema.is_some()), ("--blobs", args.blobs)];
            if let Some((option, _)) = given.iter().find(|(_, is_given)| *is_given) {
                let message = format!("{option} is for --dialect vlcn; a native address ends in the room's name\n");
                clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, message).exit();
            }
            Client::check_url(&args.url).map_err(|error| says(&error))
        }
    }
}

fn client(args: &Args, database: &Database) -> Result<Client, NodeError> {
    if args.dialect == Dialect::Native {
        return Client::new(database.clone(), &args.url);
    }
    let mut client = Client::vlcn(database.clone(), &args.url, args.room.as_deref().unwrap_or_default())?;
    if let Some(schema) = &args.schema {
        client = client.with_schema_file(schema)?;
    }
    if args.blobs { client.with_blobs() } else { Ok(client) }
}

/// Says what happens, in lines: at most two a second of progress, and everything else.
struct Report {
    json: bool,
    /// On a terminal progress is one line that is written over.
    is_terminal: bool,
    began: Instant,
    /// Changes of the sessions that are over.
    before: (u64, u64),
    now: Progress,
    shown: Progress,
    shown_at: Option<Instant>,
    line_is_open: bool,
    failure: Option<Failure>,
}

impl Report {
    fn new(args: &Args) -> Report {
        Report {
            json: args.json,
            is_terminal: std::io::stdout().is_terminal() && !args.json,
            began: Instant::now(),
            before: (0, 0),
            now: Progress::default(),
            shown: Progress::default(),
            shown_at: None,
            line_is_open: false,
            failure: None,
        }
    }

    fn show(&mut self, event: &ClientEvent) -> Result<(), Failure> {
        match event {
            ClientEvent::Connected => {
                self.before = self.totals();
                (self.now, self.shown) = Default::default();
                self.line(json!({ "event": "connected" }), "connected")
            }
            ClientEvent::Session(Event::Joined { remote, tables_taken }) => {
                let tables = match tables_taken[..] {
                    [] => String::new(),
                    _ => format!(", took over the tables {}", tables_taken.join(", ")),
                };
                self.line(
                    json!({ "event": "joined", "remote": remote.to_string(), "tables_taken": tables_taken }),
                    &format!("in step with {remote}{tables}"),
                )
            }
            ClientEvent::Session(Event::Progress(progress)) => {
                self.now = *progress;
                let has_waited = self.shown_at.is_none_or(|shown| shown.elapsed() >= PROGRESS_INTERVAL);
                if has_waited || is_level(progress) { self.show_progress() } else { Ok(()) }
            }
            ClientEvent::Session(Event::CaughtUp) => {
                self.show_progress()?;
                self.line(json!({ "event": "caught_up" }), "level with what was there at the start")
            }
            ClientEvent::Waiting { reason, retry_in } => {
                let retry_in_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX);
                self.line(
                    json!({ "event": "waiting", "reason": reason, "retry_in_ms": retry_in_ms }),
                    &format!("{reason}; next try in {:.1} s", retry_in.as_secs_f64()),
                )
            }
        }
    }

    fn finish(&mut self, finished: Finished) -> Result<(), Failure> {
        let (sent, received) = self.totals();
        let seconds = self.began.elapsed().as_secs_f64();
        let is_level = finished == Finished::Level;
        let told = if is_level { "level" } else { "stopped" };
        self.line(
            json!({
                "event": "finished", "level": is_level, "changes_sent": sent, "changes_received": received,
                "seconds": seconds,
            }),
            &format!(
                "{told}: {} sent, {} received in {seconds:.1} s",
                show::count(sent, "change"),
                show::count(received, "change")
            ),
        )
    }

    fn show_progress(&mut self) -> Result<(), Failure> {
        if self.now == self.shown {
            return Ok(());
        }
        self.shown = self.now;
        self.shown_at = Some(Instant::now());
        let (sent, received) = self.totals();
        let Progress { behind_outbound, behind_inbound, .. } = self.now;
        let text = format!(
            "{} sent ({} to go), {} received ({} to go)",
            show::count(sent, "change"),
            show::count(behind_outbound, "version"),
            show::count(received, "change"),
            show::count(behind_inbound, "version"),
        );
        if self.is_terminal {
            let mut out = std::io::stdout().lock();
            write!(out, "\r\x1b[K{text}")?;
            out.flush()?;
            self.line_is_open = true;
            return Ok(());
        }
        let value = json!({
            "event": "progress", "changes_sent": sent, "changes_received": received,
            "behind_outbound": behind_outbound, "behind_inbound": behind_inbound,
        });
        self.line(value, &text)
    }

    fn line(&mut self, value: Value, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        if std::mem::take(&mut self.line_is_open) {
            writeln!(out)?;
        }
        if self.json {
            writeln!(out, "{value}")?;
        } else {
            writeln!(out, "{text}")?;
        }
        out.flush()?;
        Ok(())
    }

    fn totals(&self) -> (u64, u64) {
        (self.before.0 + self.now.changes_sent, self.before.1 + self.now.changes_received)
    }
}

fn is_level(progress: &Progress) -> bool {
    progress.behind_outbound == 0 && progress.behind_inbound == 0
}

fn says(error: &impl std::fmt::Display) -> Failure {
    Failure::Says(error.to_string())
}

/// Time between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
