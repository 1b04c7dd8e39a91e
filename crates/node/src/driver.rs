//! Runs one session: its questions go to the database, its messages to the link.

use crate::database::Database;
use crate::limits::{FAREWELL_MAX, MESSAGES_WAITING_MAX};
use crate::link::{Frame, Incoming, Outgoing};
use crate::rooms::{Door, RoomGuard};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, SinkExt, StreamExt};
use rejoin_change::SiteId;
use rejoin_protocol::{Ended, Event, Input, Output, Session};
use rejoin_wire::Message;
use rejoin_wire::message::{Goodbye, Refusal, RefusalCode, Site};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Where the database of a session comes from.
pub(crate) enum Host {
    /// It is there.
    Database(Database),
    /// It is known when the other side has said who it is.
    Door(Box<Door>),
}

/// What the driver waits for.
enum Answer {
    Told(Box<Input>),
    Admitted(Box<RoomGuard>, Box<Site>),
}

/// Runs a session to its end. `stop` ends it when it becomes true.
pub(crate) async fn run(
    session: Session,
    outgoing: impl Outgoing,
    incoming: impl Incoming,
    host: Host,
    stop: watch::Receiver<bool>,
    events: &mut (dyn FnMut(Event) + Send),
) -> Ended {
    // The native messages say themselves what the other frames would.
    let incoming = incoming.filter(|frame| {
        let is_told = frame.as_ref().map_or(true, Frame::holds_message);
        std::future::ready(is_told)
    });
    let (frames, waiting) = mpsc::channel(MESSAGES_WAITING_MAX);
    let mut writer = tokio::spawn(write_frames(outgoing, waiting));
    let (database, door) = match host {
        Host::Database(database) => (Some(database), None),
        Host::Door(door) => (None, Some(door)),
    };
    let driver = Driver {
        pulse: database.as_ref().map(Database::pulse),
        session,
        frames,
        database,
        door,
        guard: None,
        remote: SiteId([0; 16]),
        known_site: None,
        as_text: false,
        answers: FuturesUnordered::new(),
        origin: Instant::now(),
    };
    let ended = driver.run(incoming, stop, events).await;
    // The last words go out, unless the other side does not take them.
    if tokio::time::timeout(FAREWELL_MAX, &mut writer).await.is_err() {
        writer.abort();
    }
    ended
}

struct Driver {
    session: Session,
    frames: mpsc::Sender<Frame>,
    database: Option<Database>,
    door: Option<Box<Door>>,
    /// Keeps the room open as long as the session lasts.
    guard: Option<Box<RoomGuard>>,
    pulse: Option<watch::Receiver<crate::database::Pulse>>,
    remote: SiteId,
    known_site: Option<Arc<Site>>,
    /// The other side speaks text.
    as_text: bool,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    origin: Instant,
}

impl Driver {
    async fn run(
        mut self,
        mut incoming: impl Incoming,
        mut stop: watch::Receiver<bool>,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Ended {
        let mut input = Input::Started;
        loop {
            self.session.handle(input, self.origin.elapsed());
            while let Some(output) = self.session.poll() {
                match output {
                    Output::Close(ended) => return ended,
                    Output::Event(event) => events(event),
                    Output::Send(message) => {
                        if let Some(failure) = self.send(&message) {
                            self.session.handle(failure, self.origin.elapsed());
                        }
                    }
                    question => self.ask(question),
                }
            }
            input = self.next(&mut incoming, &mut stop).await;
        }
    }

    /// Hands a message to the link. Returns what the session has to know where that fails.
    fn send(&self, message: &Message) -> Option<Input> {
        let frame = match Frame::write(message, self.as_text) {
            Ok(frame) => frame,
            Err(reason) => {
                return Some(Input::Failed(Refusal {
                    code: RefusalCode::Store,
                    reason: format!("what has to be said cannot be sent: {reason}"),
                    advice: "make the database's schema smaller, or the value that is too large".to_owned(),
                }));
            }
        };
        let error = self.frames.try_send(frame).err()?;
        tracing::debug!(%error, "the other side does not read, or the link is gone");
        Some(Input::LinkLost)
    }

    async fn next(&mut self, incoming: &mut impl Incoming, stop: &mut watch::Receiver<bool>) -> Input {
        let deadline = self.session.deadline().map(|deadline| self.origin + deadline);
        tokio::select! {
            Some(answer) = self.answers.next() => match answer {
                Answer::Told(input) => *input,
                Answer::Admitted(guard, site) => {
                    self.database = Some(guard.database().clone());
                    self.pulse = Some(guard.database().pulse());
                    self.guard = Some(guard);
                    Input::Admitted(*site)
                }
            },
            frame = incoming.next() => match frame {
                Some(Ok(frame)) => {
                    self.as_text = matches!(frame, Frame::Text(_));
                    frame.read().map_or_else(Input::Malformed, Input::Message)
                }
                Some(Err(reason)) => {
                    tracing::debug!(reason, "the link broke");
                    Input::LinkLost
                }
                None => Input::LinkLost,
            },
            input = changed(&mut self.pulse, &mut self.known_site) => match (input, &self.database) {
                (Some(input), _) => input,
                (None, Some(database)) => Input::Failed(database.gone()),
                (None, None) => Input::LinkLost,
            },
            () = sleep_until(deadline) => Input::Tick,
            () = becomes_true(stop) => Input::Stop(Goodbye::Shutdown),
        }
    }

    fn ask(&mut self, question: Output) {
        if let Output::Join { remote } = &question {
            self.remote = remote.site_id;
        }
        if let (Output::Admit(_), Some(door)) = (&question, self.door.take()) {
            let Output::Admit(hello) = question else { return };
            let admit = async move {
                match door.admit(&hello).await {
                    Ok((guard, site)) => Answer::Admitted(Box::new(guard), Box::new(site)),
                    Err(refusal) => Answer::Told(Box::new(Input::Failed(refusal))),
                }
            };
            return self.answers.push(admit.boxed());
        }
        if let Some(database) = self.database.clone() {
            let remote = self.remote;
            self.answers.push(async move { Answer::Told(Box::new(database.answer(question, remote).await)) }.boxed());
        }
    }
}

/// Waits for news of the database. One input per call: first that it is another one, then that it has more to tell.
/// `None` when it has been closed.
async fn changed(
    pulse: &mut Option<watch::Receiver<crate::database::Pulse>>,
    known_site: &mut Option<Arc<Site>>,
) -> Option<Input> {
    let Some(pulse) = pulse else { return std::future::pending().await };
    pulse.changed().await.ok()?;
    let site = pulse.borrow().site.clone();
    if known_site.as_ref().is_some_and(|known| Arc::ptr_eq(known, &site)) {
        let _ = pulse.borrow_and_update();
        return Some(Input::LocalChange);
    }
    *known_site = Some(site.clone());
    pulse.mark_changed();
    Some(Input::SiteChanged((*site).clone()))
}

pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Waits until the value is true; for ever when its sender is gone.
pub(crate) async fn becomes_true(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn write_frames(mut outgoing: impl Outgoing, mut waiting: mpsc::Receiver<Frame>) {
    while let Some(frame) = waiting.recv().await {
        if let Err(reason) = outgoing.send(frame).await {
            tracing::debug!(reason, "failed to write to the link");
            return;
        }
    }
    if tokio::time::timeout(Duration::from_secs(1), outgoing.close()).await.is_err() {
        tracing::trace!("the link did not close in time");
    }
}
