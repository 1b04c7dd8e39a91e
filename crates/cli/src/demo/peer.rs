//! One person's copy of the atlas, and its way to the hub.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rejoin::node::{Client, ClientEvent, Database, Event, Finished, Limits, NodeError, Progress};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::tell::Teller;

/// A copy and its owner.
pub struct Peer {
    /// The owner's whereabouts.
    pub name: &'static str,
    /// The database file.
    pub path: PathBuf,
    online: Option<Online>,
}

struct Online {
    database: Database,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<Finished, NodeError>>,
}

impl Peer {
    /// Somebody whose copy is or will be in `folder`, and who is offline.
    pub fn new(name: &'static str, folder: &Path) -> Peer {
        Peer { name, path: folder.join(format!("{name}.db")), online: None }
    }

    /// Keeps the copy in step with the hub from now on.
    pub async fn go_online(&mut self, url: &str, teller: &Arc<Teller>) -> Result<(), String> {
        let limits = Limits::default();
        let database = Database::open(&self.path, rejoin::prepare(), &limits).await.map_err(|e| e.to_string())?;
        let client = Client::new(database.clone(), url).map_err(|error| error.to_string())?;
        let (stop, stopped) = watch::channel(false);
        let mut reports = Reports {
            name: self.name,
            teller: teller.clone(),
            begun: Instant::now(),
            newest: Progress::default(),
            is_waiting: false,
        };
        let task = tokio::spawn(async move { client.run(stopped, move |event| reports.report(event)).await });
        self.online = Some(Online { database, stop, task });
        Ok(())
    }

    /// Ends the session. What is written from now on waits in the file.
    pub async fn go_offline(&mut self) -> Result<(), String> {
        let Some(online) = self.online.take() else { return Ok(()) };
        online.stop.send_replace(true);
        let ended = online.task.await.map_err(|error| error.to_string())?;
        ended.map_err(|error| format!("{} could not sync: {error}", self.name))?;
        online.database.close().await.map_err(|error| error.to_string())
    }

    /// Why the sync ended by itself, if it did.
    pub async fn failure(&mut self) -> Option<String> {
        if !self.online.as_ref().is_some_and(|online| online.task.is_finished()) {
            return None;
        }
        let online = self.online.take()?;
        match online.task.await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(format!("{} could not sync: {error}", self.name)),
            Err(error) => Some(format!("{} could not sync: {error}", self.name)),
        }
    }
}

/// Turns what a client reports into lines.
struct Reports {
    name: &'static str,
    teller: Arc<Teller>,
    begun: Instant,
    newest: Progress,
    is_waiting: bool,
}

impl Reports {
    fn report(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Connected => {
                (self.begun, self.newest) = (Instant::now(), Progress::default());
                self.is_waiting = false;
            }
            ClientEvent::Session(Event::Joined { tables_taken, .. }) if !tables_taken.is_empty() => {
                self.teller.event(self.name, &format!("has no tables yet and takes the hub's {}", tables_taken.len()));
            }
            ClientEvent::Session(Event::Progress(progress)) => self.newest = progress,
            ClientEvent::Session(Event::CaughtUp) => {
                let (told, heard) = (self.newest.changes_sent, self.newest.changes_received);
                let ms = self.begun.elapsed().as_millis();
                self.teller.event(self.name, &format!("has caught up in {ms} ms: {told} changes told, {heard} heard"));
            }
            // Said once for each time that the hub is away.
            ClientEvent::Waiting { .. } if !self.is_waiting => {
                self.is_waiting = true;
                self.teller.event(self.name, "cannot reach the hub and keeps trying");
            }
            ClientEvent::Waiting { .. } => {}
            ClientEvent::Session(_) => {}
        }
    }
}
