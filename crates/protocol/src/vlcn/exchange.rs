//! What goes into a session and what comes out of it.

use super::Ended;
use crate::exchange::Event;
use rejoin_change::SiteId;
use rejoin_wire::message::{Goodbye, Refusal};
use rejoin_wire::vlcn::{Changes, Message, Point};

/// Which end of the link this side is.
#[derive(Clone, Debug)]
pub enum Role {
    /// It dialled: it announces itself.
    Client {
        /// Who it is, what it holds of others, and its schema.
        announcement: Announcement,
        /// End when both sides are level, as far as it can be told.
        once: bool,
    },
    /// It was dialled: it waits for the announcement.
    Server,
}

/// What a client says first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announcement {
    /// The client's database.
    pub site_id: SiteId,
    /// What it holds of other databases. May lag behind what it really holds.
    pub last_seens: Vec<(SiteId, Point)>,
    /// Name of its schema.
    pub schema_name: String,
    /// Version of its schema.
    pub schema_version: i64,
}

/// What a server's database is to a client that may come in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admitted {
    /// The server's database.
    pub site_id: SiteId,
    /// What it durably holds of the client.
    pub held: Point,
    /// What the client is told starts after this db_version.
    pub start: i64,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The link is up.
    Started,
    /// The other side said something.
    Message(Message),
    /// The other side sent something that is not a message; the sentence says what is wrong with it.
    Malformed(String),
    /// Bytes come and go: the other side is alive.
    Heard,
    /// The other side answers [`Output::Ping`].
    Pong,
    /// Answers [`Output::Admit`].
    Admitted(Admitted),
    /// Answers [`Output::Pull`].
    Pulled {
        /// The number that the question carried.
        ticket: u64,
        /// What was found.
        pulled: Pulled,
    },
    /// Answers [`Output::Pull`]: the next changes cannot be told.
    PullFailed(Refusal),
    /// Answers [`Output::Apply`]: durable.
    Applied {
        /// What is held of the sender now.
        held: Point,
    },
    /// Answers [`Output::Apply`]: nothing was merged, because a row was made of which not all cells came. The original engine
    /// does not tell the cells of a row whose key was changed; all that the sender has does tell them.
    Incomplete,
    /// The changes handed out by [`Output::Send`] have gone into the link, which has room again.
    Sent,
    /// Answers [`Output::Admit`] or [`Output::Apply`]: it could not be done.
    Failed(Refusal),
    /// This side's database may have more to tell.
    LocalChange,
    /// This side wants to end the session.
    Stop(Goodbye),
    /// The other side closed the link, with a code and a reason.
    Closed {
        /// 1000 where it gave none.
        code: u16,
        /// Its words.
        reason: String,
    },
    /// The link is dead.
    LinkLost,
    /// Time has passed; see [`super::Session::deadline`].
    Tick,
}

/// What is to be done. At most one of each kind of question is open at any time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send this to the other side. Where it holds changes, answer with [`Input::Sent`].
    Send(Message),
    /// Ask the link whether the other side is there; WebSockets have a frame for it.
    Ping,
    /// May this client come in? Answered by [`Input::Admitted`].
    Admit(Box<Announcement>),
    /// Read whole transactions for the other side. Answered by [`Input::Pulled`].
    Pull {
        /// To be repeated in the answer.
        ticket: u64,
        /// Those with a greater db_version.
        after: i64,
        /// Without the changes of these authors.
        exclude: Vec<SiteId>,
    },
    /// Merge changes and remember the position, in one transaction. Answered by [`Input::Applied`] or
    /// [`Input::Incomplete`].
    Apply {
        /// Who told them, and their author.
        sender: SiteId,
        /// In the sender's order.
        changes: Changes,
        /// The sender cannot be asked for more: they are to be taken as they are.
        as_they_are: bool,
    },
    /// Something worth showing.
    Event(Event),
    /// Close the link, after everything sent before has gone out. Nothing follows.
    Close(Ended),
}

/// Whole transactions read from this side's database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pulled {
    /// Their changes.
    pub changes: Changes,
    /// Everything up to this db_version has been looked at.
    pub scanned: i64,
    /// The database's newest db_version.
    pub head: i64,
}
