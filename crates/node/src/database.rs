//! A database and the thread that all work on it is done on.

use crate::error::NodeError;
use crate::limits::{Limits, POLL_INTERVAL, QUESTIONS_MAX};
use crate::sqlite::{Trouble, Worker};
use rejoin_change::SiteId;
use rejoin_protocol::{Input, Output};
use rejoin_streams::{StreamError, Streams};
use rejoin_wire::message::{Goodbye, Refusal, RefusalCode, Site};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

/// A connection that is ready for sync: the engine and the streams are on it.
pub struct Opened {
    /// The streams of the connection. First, so that they go before it does.
    pub streams: Streams,
    /// The connection itself.
    pub connection: rusqlite::Connection,
}

/// Opens a database file and prepares the connection. Runs on the database's own thread.
pub type Prepare = Arc<dyn Fn(&Path) -> Result<Opened, StreamError> + Send + Sync>;

/// A database that takes part in sync. A cheap handle; the database is closed when the last one is gone.
#[derive(Clone)]
pub struct Database {
    name: Arc<str>,
    jobs: mpsc::Sender<Job>,
    pulse: watch::Receiver<Pulse>,
}

/// What sessions have to know of a database without asking.
#[derive(Clone)]
pub(crate) struct Pulse {
    /// Rises with every change that a session might have to tell.
    pub(crate) changes: u64,
    /// What the database is.
    pub(crate) site: Arc<Site>,
}

enum Job {
    Run(Box<dyn FnOnce(&mut Worker) + Send>),
    Close(oneshot::Sender<Result<(), Refusal>>),
}

impl Database {
    /// Opens a database file, makes it where it is not there, and puts it in WAL mode. From then on, writes by other
    /// connections and processes are noticed. Must be called inside a tokio runtime.
    pub async fn open(path: impl Into<PathBuf>, prepare: Prepare, limits: &Limits) -> Result<Database, NodeError> {
        let path = path.into();
        let name: Arc<str> = path.display().to_string().into();
        let (jobs, mut waiting) = mpsc::channel::<Job>(QUESTIONS_MAX);
        let (opened, opening) = oneshot::channel();
        let window_bytes = limits.window_bytes;
        let run = move || {
            let mut worker = match Worker::open(&path, &prepare, window_bytes) {
                Ok(worker) => worker,
                Err(error) => {
                    // Whoever asked may have gone away.
                    let _ = opened.send(Err(error));
                    return;
                }
            };
            if opened.send(Ok(worker.pulse())).is_err() {
                return;
            }
            while let Some(job) = waiting.blocking_recv() {
                match job {
                    Job::Run(run) => run(&mut worker),
                    Job::Close(closed) => {
                        waiting.close();
                        let result = worker.checkpoint();
                        drop(worker);
                        let _ = closed.send(result);
                        return;
                    }
                }
                if worker.is_file_lost() {
                    tracing::warn!(file = %path.display(), "the file was replaced or removed while it was open: closed");
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name(thread_name(&name))
            .spawn(run)
            .map_err(|error| NodeError::Store(format!("failed to start a thread for {name}: {error}")))?;
        let pulse =
            opening.await.map_err(|_| NodeError::Store(format!("failed to open {name}: its thread ended")))??;
        tokio::spawn(watch_for_writers(jobs.downgrade()));
        Ok(Database { name, jobs, pulse })
    }

    /// The file's path, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its present site id.
    pub fn site_id(&self) -> SiteId {
        self.pulse.borrow().site.site_id
    }

    /// Writes everything back into the database file and closes it. Sessions that still run on it fail.
    pub async fn close(self) -> Result<(), NodeError> {
        let (closed, closing) = oneshot::channel();
        if self.jobs.send(Job::Close(closed)).await.is_err() {
            return Ok(());
        }
        match closing.await {
            Ok(Err(refusal)) => Err(NodeError::Store(format!("failed to close {}: {}", self.name, refusal.reason))),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// True when its thread has ended, so that nothing can be done with it any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.jobs.is_closed()
    }

    pub(crate) fn pulse(&self) -> watch::Receiver<Pulse> {
        self.pulse.clone()
    }

    pub(crate) async fn site(&self) -> Result<Site, Refusal> {
        self.run(Worker::site).await.map_err(|trouble| match trouble {
            Trouble::Refused(refusal) => refusal,
            Trouble::Reidentified => self.gone(),
        })
    }

    /// Answers a question of a session with `remote`.
    pub(crate) async fn answer(&self, question: Output, remote: SiteId) -> Input {
        let result = match question {
            Output::ReadSchema { tables } => {
                self.run(move |worker| worker.read_schema(&tables)).await.map(Input::SchemaRead)
            }
            Output::TakeSchema(schema) => {
                self.run(move |worker| worker.take_schema(&schema)).await.map(|()| Input::SchemaTaken)
            }
            Output::Join { remote } => self
                .run(move |worker| worker.join(&remote))
                .await
                .map(|(site, receipt)| Input::Joined { site, receipt }),
            Output::Pull { ticket, after } => match self.run(move |worker| worker.pull(remote, after.as_ref())).await {
                Ok(package) => Ok(Input::Pulled { ticket, package }),
                Err(Trouble::Refused(refusal)) => Ok(Input::PullFailed(refusal)),
                Err(trouble) => Err(trouble),
            },
            Output::Apply { package } => {
                self.run(move |worker| worker.apply(remote, &package)).await.map(Input::Applied)
            }
            Output::Acknowledge(receipt) => self
                .run(move |worker| worker.acknowledge(remote, &receipt))
                .await
                .map(|(position, took)| Input::Acknowledged { position, took }),
            Output::Reidentify => {
                let reidentify = |worker: &mut Worker| {
                    worker.reidentify("the database at the other end has the same one").map_err(Trouble::from)
                };
                self.run(reidentify).await.map(|()| Input::Stop(Goodbye::Restart))
            }
            Output::Send(_) | Output::Admit(_) | Output::Event(_) | Output::Close(_) => {
                Err(Trouble::Refused(self.gone()))
            }
        };
        result.unwrap_or_else(Input::from)
    }

    /// Does something on the database's thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Worker) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let (answer, answered) = oneshot::channel();
        let job = Job::Run(Box::new(move |worker| {
            // Whoever asked may have gone away; what was done stays done.
            let _ = answer.send(work(worker));
        }));
        if self.jobs.send(job).await.is_err() {
            return Err(Trouble::Refused(self.gone()));
        }
        answered.await.unwrap_or_else(|_| Err(Trouble::Refused(self.gone())))
    }

    /// What a session is told when the database's thread has ended.
    pub(crate) fn gone(&self) -> Refusal {
        Refusal {
            code: RefusalCode::Busy,
            reason: format!("the database {} has been closed, or another file was put in its place", self.name),
            advice: "start the sync again".to_owned(),
        }
    }
}

/// Asks the database again and again whether anybody else has written to it, as long as there is a handle to it.
async fn watch_for_writers(jobs: mpsc::WeakSender<Job>) {
    let mut interval = tokio::time::interval(POLL_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(jobs) = jobs.upgrade() else { return };
        let poll = Job::Run(Box::new(|worker: &mut Worker| {
            if let Err(refusal) = worker.poll() {
                tracing::debug!(reason = refusal.reason, "failed to look for changes; the next look may succeed");
            }
        }));
        // A database with that much to do looks at itself anyway.
        if let Err(mpsc::error::TrySendError::Closed(_)) = jobs.try_send(poll) {
            return;
        }
    }
}

/// The end of the path: systems show few bytes of a thread's name.
fn thread_name(path: &str) -> String {
    let file = Path::new(path).file_name().map_or_else(|| path.to_owned(), |file| file.to_string_lossy().into_owned());
    format!("db {}", file.replace('\0', ""))
}
