//! Runs one session: its questions go to the database, its messages to the link.

use super::Activity;
use super::schemas::Schemas;
use crate::database::{Database, Pulse};
use crate::driver::{becomes_true, sleep_until};
use crate::limits::{FAREWELL_MAX, MESSAGES_WAITING_MAX, VLCN_LINGER_MAX};
use crate::link::{Frame, Incoming, Outgoing};
use crate::rooms::{RoomGuard, Rooms};
use crate::sqlite::Trouble;
use crate::sqlite::vlcn::{self as store, Blobs, Listener};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, SinkExt, StreamExt};
use rejoin_change::SiteId;
use rejoin_protocol::Event;
use rejoin_protocol::vlcn::{Admitted, Announcement, Ended, Input, Output, Session};
use rejoin_wire::message::{Goodbye, Refusal, RefusalCode};
use rejoin_wire::vlcn::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Where the database of a session comes from.
pub(crate) enum Host {
    /// It is there.
    Database { database: Database, listener: Listener },
    /// It is entered when the client has said who it is.
    Room { rooms: Arc<Rooms>, name: String, schemas: Schemas },
}

/// What the driver waits for.
enum Answer {
    Told(Box<Input>),
    Admitted { guard: Box<RoomGuard>, admitted: Admitted, listener: Listener },
}

/// Runs a session to its end. `stop` ends it when it becomes true.
pub(crate) async fn run(
    session: Session,
    outgoing: impl Outgoing,
    mut incoming: impl Incoming,
    host: Host,
    activity: Option<Activity>,
    stop: watch::Receiver<bool>,
    events: &mut (dyn FnMut(Event) + Send),
) -> Ended {
    let (frames, waiting) = mpsc::channel(MESSAGES_WAITING_MAX);
    let (written, taken) = mpsc::channel(MESSAGES_WAITING_MAX);
    let mut writer = tokio::spawn(write_frames(outgoing, waiting, written));
    let driver = Driver::new(session, frames, taken, host, activity);
    let ended = driver.run(&mut incoming, stop, events).await;
    // The last words go out, unless the other side does not take them.
    if tokio::time::timeout(FAREWELL_MAX, &mut writer).await.is_err() {
        writer.abort();
    }
    // A link that is dropped with bytes unread is reset, and the other side may never see the close frame.
    let linger = async { while let Some(Ok(_)) = incoming.next().await {} };
    if tokio::time::timeout(VLCN_LINGER_MAX, linger).await.is_err() {
        tracing::trace!("the other side did not close the link");
    }
    ended
}

struct Driver {
    session: Session,
    frames: mpsc::Sender<Frame>,
    /// A message for every frame with changes that the link has taken.
    taken: mpsc::Receiver<()>,
    rooms: Option<(Arc<Rooms>, String, Schemas)>,
    database: Option<Database>,
    /// The other side, once it is known.
    listener: Option<Listener>,
    /// Keeps the room open as long as the session lasts.
    guard: Option<Box<RoomGuard>>,
    pulse: Option<watch::Receiver<Pulse>>,
    site_id: Option<SiteId>,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    activity: Option<Activity>,
    bytes_seen: u64,
    origin: Instant,
}

impl Driver {
    fn new(
        session: Session,
        frames: mpsc::Sender<Frame>,
        taken: mpsc::Receiver<()>,
        host: Host,
        activity: Option<Activity>,
    ) -> Driver {
        let (database, listener, rooms) = match host {
            Host::Database { database, listener } => (Some(database), Some(listener), None),
            Host::Room { rooms, name, schemas } => (None, None, Some((rooms, name, schemas))),
        };
        Driver {
            session,
            frames,
            taken,
            rooms,
            pulse: database.as_ref().map(Database::pulse),
            site_id: database.as_ref().map(Database::site_id),
            database,
            listener,
            guard: None,
            answers: FuturesUnordered::new(),
            bytes_seen: activity.as_ref().map_or(0, Activity::bytes),
            activity,
            origin: Instant::now(),
        }
    }

    async fn run(
        mut self,
        incoming: &mut impl Incoming,
        mut stop: watch::Receiver<bool>,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Ended {
        let mut input = Input::Started;
        loop {
            if matches!(input, Input::Tick) && self.has_moved() {
                self.session.handle(Input::Heard, self.origin.elapsed());
            }
            self.session.handle(input, self.origin.elapsed());
            while let Some(output) = self.session.poll() {
                match output {
                    Output::Close(ended) => {
                        let (code, reason) = ended.close_frame();
                        // Where it cannot go out, the link is gone.
                        let _ = self.frames.try_send(Frame::Close { code, reason });
                        return ended;
                    }
                    Output::Event(event) => events(event),
                    Output::Send(message) => {
                        if let Some(failure) = self.send(&message) {
                            self.session.handle(failure, self.origin.elapsed());
                        }
                    }
                    Output::Ping => {
                        let _ = self.frames.try_send(Frame::Ping);
                    }
                    question => self.ask(question),
                }
            }
            input = self.next(incoming, &mut stop).await;
        }
    }

    /// Whether bytes have come or gone since the last look.
    fn has_moved(&mut self) -> bool {
        let Some(activity) = &self.activity else { return false };
        let bytes = activity.bytes();
        std::mem::replace(&mut self.bytes_seen, bytes) != bytes
    }

    /// Hands a message to the link. Returns what the session has to know where that fails.
    fn send(&self, message: &Message) -> Option<Input> {
        let bytes = match message.to_bytes() {
            Ok(bytes) => bytes,
            Err(error) => {
                return Some(Input::PullFailed(Refusal {
                    code: RefusalCode::Store,
                    reason: format!("what has to be said cannot be sent: {error}"),
                    advice: "sync this database by the native protocol".to_owned(),
                }));
            }
        };
        let error = self.frames.try_send(Frame::Binary(bytes)).err()?;
        tracing::debug!(%error, "the other side does not read, or the link is gone");
        Some(Input::LinkLost)
    }

    async fn next(&mut self, incoming: &mut impl Incoming, stop: &mut watch::Receiver<bool>) -> Input {
        let deadline = self.session.deadline().map(|deadline| self.origin + deadline);
        let wants_messages = self.session.wants_messages();
        tokio::select! {
            Some(answer) = self.answers.next() => match answer {
                Answer::Told(input) => *input,
                Answer::Admitted { guard, admitted, listener } => {
                    self.database = Some(guard.database().clone());
                    self.pulse = Some(guard.database().pulse());
                    self.site_id = Some(admitted.site_id);
                    self.listener = Some(listener);
                    self.guard = Some(guard);
                    Input::Admitted(admitted)
                }
            },
            Some(()) = self.taken.recv() => Input::Sent,
            frame = incoming.next(), if wants_messages => read(frame),
            input = changed(&mut self.pulse, self.site_id) => match (input, &self.database) {
                (Some(input), _) => input,
                (None, Some(database)) => Input::Failed(database.gone()),
                (None, None) => Input::LinkLost,
            },
            () = sleep_until(deadline) => Input::Tick,
            () = becomes_true(stop) => Input::Stop(Goodbye::Shutdown),
        }
    }

    fn ask(&mut self, question: Output) {
        match question {
            Output::Admit(announcement) => {
                if let Some((rooms, name, schemas)) = self.rooms.take() {
                    self.answers.push(admit(rooms, name, schemas, *announcement).boxed());
                }
            }
            Output::Pull { ticket, after, exclude } => {
                let Some(listener) = self.listener.clone() else { return };
                self.answer(
                    move |worker| store::pull(worker, after, &exclude, &listener),
                    move |pulled| Input::Pulled { ticket, pulled },
                    Input::PullFailed,
                );
            }
            Output::Apply { sender, changes, as_they_are } => {
                let known = self.listener.as_ref().filter(|_| !as_they_are).map(|listener| listener.known.clone());
                self.answer(
                    move |worker| store::apply(worker, sender, &changes, known.as_deref()),
                    |held| held.map_or(Input::Incomplete, |held| Input::Applied { held }),
                    Input::Failed,
                );
            }
            Output::Send(_) | Output::Ping | Output::Event(_) | Output::Close(_) => {}
        }
    }

    fn answer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut crate::sqlite::Worker) -> Result<T, Trouble> + Send + 'static,
        done: impl FnOnce(T) -> Input + Send + 'static,
        failed: fn(Refusal) -> Input,
    ) {
        let Some(database) = self.database.clone() else { return };
        let answer = async move {
            let input = match database.run(work).await {
                Ok(value) => done(value),
                Err(Trouble::Refused(refusal)) => failed(refusal),
                Err(Trouble::Reidentified) => Input::Stop(Goodbye::Restart),
            };
            Answer::Told(Box::new(input))
        };
        self.answers.push(answer.boxed());
    }
}

async fn admit(rooms: Arc<Rooms>, name: String, schemas: Schemas, announcement: Announcement) -> Answer {
    if !rooms.has_file(&name) {
        // No room is made for a schema that is not known.
        let (schemas, announcement) = (schemas.clone(), announcement.clone());
        let checked = tokio::task::spawn_blocking(move || store::check_schema(&announcement, &schemas)).await;
        if let Ok(Err(Trouble::Refused(refusal))) = checked {
            return Answer::Told(Box::new(Input::Failed(refusal)));
        }
    }
    let guard = match rooms.enter(&name).await {
        Ok(guard) => guard,
        Err(refusal) => return Answer::Told(Box::new(Input::Failed(refusal))),
    };
    let reader = (announcement.site_id, announcement.schema_version);
    let work = move |worker: &mut crate::sqlite::Worker| store::admit(worker, &announcement, &schemas);
    match guard.database().run(work).await {
        Ok((admitted, known)) => {
            let listener = Listener { known, blobs: Blobs::Told, reader };
            Answer::Admitted { guard: Box::new(guard), admitted, listener }
        }
        Err(Trouble::Refused(refusal)) => Answer::Told(Box::new(Input::Failed(refusal))),
        Err(Trouble::Reidentified) => Answer::Told(Box::new(Input::Stop(Goodbye::Restart))),
    }
}

fn read(frame: Option<Result<Frame, String>>) -> Input {
    match frame {
        Some(Ok(Frame::Binary(bytes))) => match Message::from_bytes(&bytes) {
            Ok(message) => Input::Message(message),
            Err(error) => Input::Malformed(format!("a frame cannot be read: {error}")),
        },
        Some(Ok(Frame::Text(_))) => Input::Malformed("a text frame came; messages are binary".to_owned()),
        Some(Ok(Frame::Ping)) => Input::Heard,
        Some(Ok(Frame::Pong)) => Input::Pong,
        Some(Ok(Frame::Close { code, reason })) => Input::Closed { code, reason },
        Some(Err(reason)) => {
            tracing::debug!(reason, "the link broke");
            Input::LinkLost
        }
        None => Input::LinkLost,
    }
}

/// Waits for news of the database: that it has more to tell, or that it is another one. `None` when it has been closed.
async fn changed(pulse: &mut Option<watch::Receiver<Pulse>>, site_id: Option<SiteId>) -> Option<Input> {
    let Some(pulse) = pulse else { return std::future::pending().await };
    pulse.changed().await.ok()?;
    let is_same = site_id.is_none_or(|site_id| pulse.borrow_and_update().site.site_id == site_id);
    Some(if is_same { Input::LocalChange } else { Input::Stop(Goodbye::Restart) })
}

async fn write_frames(mut outgoing: impl Outgoing, mut waiting: mpsc::Receiver<Frame>, written: mpsc::Sender<()>) {
    while let Some(frame) = waiting.recv().await {
        let holds_changes = matches!(&frame, Frame::Binary(bytes) if bytes.first() == Some(&CHANGES));
        if let Err(reason) = outgoing.send(frame).await {
            tracing::debug!(reason, "failed to write to the link");
            return;
        }
        if holds_changes && written.send(()).await.is_err() {
            break;
        }
    }
    while let Ok(frame) = waiting.try_recv() {
        if outgoing.send(frame).await.is_err() {
            return;
        }
    }
    if tokio::time::timeout(Duration::from_secs(1), outgoing.close()).await.is_err() {
        tracing::trace!("the link did not close in time");
    }
}

/// The first byte of a frame with changes.
const CHANGES: u8 = 2;
