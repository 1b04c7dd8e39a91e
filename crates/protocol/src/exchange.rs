//! What goes into a session and what comes out of it.

use rejoin_change::{Cursor, SiteId};
use rejoin_wire::Receipt;
use rejoin_wire::message::{Goodbye, Hello, Message, Refusal, Schema, Site};

/// Which end of the link this side is.
#[derive(Clone, Debug)]
pub enum Role {
    /// It dialled: it says hello and names the room.
    Dialler {
        /// Its database.
        site: Site,
        /// The room asked for.
        room: String,
        /// Secret for the hello, where the link does not carry it.
        token: Option<String>,
        /// End the session when both sides are level with what they had at its start, and the other side also with what
        /// this one had when that was reached.
        once: bool,
    },
    /// It was dialled: it waits for a hello.
    Listener,
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
    /// Answers [`Output::Admit`]: the other side may come in, and this is the room's database.
    Admitted(Site),
    /// Answers [`Output::ReadSchema`].
    SchemaRead(Schema),
    /// Answers [`Output::TakeSchema`]: the tables are there.
    SchemaTaken,
    /// Answers [`Output::Join`].
    Joined {
        /// The database as it is now.
        site: Site,
        /// What it holds of the other side's stream.
        receipt: Receipt,
    },
    /// Answers [`Output::Pull`]; `None` where there is nothing to tell at present.
    Pulled {
        /// The number that the question carried.
        ticket: u64,
        /// The next package.
        package: Option<Pulled>,
    },
    /// Answers [`Output::Apply`]: durable.
    Applied(Applied),
    /// Answers [`Output::Acknowledge`]: durable.
    Acknowledged {
        /// Where the other side stands in this side's stream.
        position: Cursor,
        /// False where the receipt belongs to something that was told before: what has been sent since is in vain, and
        /// the stream goes on from `position`.
        took: bool,
    },
    /// Answers [`Output::Pull`]: the next package cannot be made.
    PullFailed(Refusal),
    /// Answers any of the other questions: it could not be done.
    Failed(Refusal),
    /// This side's database may have more to tell.
    LocalChange,
    /// This side's database has another id or other tables than before.
    SiteChanged(Site),
    /// This side wants to end the session.
    Stop(Goodbye),
    /// The link is dead.
    LinkLost,
    /// Time has passed; see [`crate::Session::deadline`].
    Tick,
}

/// What is to be done. At most one of each kind of question is open at any time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send this to the other side.
    Send(Message),
    /// May this side come in, and into which database? Answered by [`Input::Admitted`].
    Admit(Box<Hello>),
    /// Read the definitions of these tables. Answered by [`Input::SchemaRead`].
    ReadSchema {
        /// Their names.
        tables: Vec<String>,
    },
    /// Make these tables, after checking that the definitions are nothing else. Answered by [`Input::SchemaTaken`].
    TakeSchema(Schema),
    /// Say what is held of this database's stream. Answered by [`Input::Joined`].
    Join {
        /// The other database.
        remote: Box<Site>,
    },
    /// Read the next package for the other side. Answered by [`Input::Pulled`].
    Pull {
        /// To be repeated in the answer.
        ticket: u64,
        /// Read what lies behind this; `None`: behind what is acknowledged.
        after: Option<Cursor>,
    },
    /// Merge a package and remember the position, in one transaction. Answered by [`Input::Applied`].
    Apply {
        /// As it arrived.
        package: Vec<u8>,
    },
    /// Remember durably what the other side says it holds. Answered by [`Input::Acknowledged`].
    Acknowledge(Box<Receipt>),
    /// Both sides have the same id, so one is a copy of the other: give this one a new id, then stop the session with
    /// [`Goodbye::Restart`].
    Reidentify,
    /// Something worth showing.
    Event(Event),
    /// Close the link, after everything sent before has gone out. Nothing follows.
    Close(Ended),
}

/// A package read from this side's stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pulled {
    /// Encoded.
    pub package: Vec<u8>,
    /// The package reaches up to here.
    pub end: Cursor,
    /// How many changes it holds.
    pub changes: u64,
    /// The database's newest db_version when it was read.
    pub head: i64,
}

/// What became of a package.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// Where this side stands now; also after a package that did not fit on.
    pub receipt: Receipt,
    /// How many changes the package brought, 0 when it was not taken.
    pub changes: u64,
}

/// Something worth showing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The two sides have agreed and begin to stream.
    Joined {
        /// The other database.
        remote: SiteId,
        /// Tables that this side has taken over from the other.
        tables_taken: Vec<String>,
    },
    /// Packages have been acknowledged or applied.
    Progress(Progress),
    /// What either side had to tell when the session began has reached the other. Comes once.
    CaughtUp,
}

/// How far a session has come. Counts since its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Changes that the other side has acknowledged.
    pub changes_sent: u64,
    /// Changes applied here.
    pub changes_received: u64,
    /// db_versions that the other side lacks, as of the last package read.
    pub behind_outbound: u64,
    /// db_versions that this side lacks, as of the last package applied.
    pub behind_inbound: u64,
}

/// How a session ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The other side said goodbye.
    ByPeer(Goodbye),
    /// This side said goodbye.
    Here(Goodbye),
    /// The other side refused to go on.
    RefusedByPeer(Refusal),
    /// This side refused to go on, and has said so.
    Refused(Refusal),
    /// Nothing was heard from the other side for too long.
    Silent,
    /// The link broke.
    LinkLost,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::ByPeer(Goodbye::Done) => f.write_str("the other side is done"),
            Ended::ByPeer(Goodbye::Shutdown) => f.write_str("the other side is shutting down"),
            Ended::ByPeer(Goodbye::Restart) => f.write_str("the other side asks to start anew"),
            Ended::Here(Goodbye::Done) => f.write_str("done"),
            Ended::Here(Goodbye::Shutdown) => f.write_str("shutting down"),
            Ended::Here(Goodbye::Restart) => f.write_str("starting anew"),
            Ended::RefusedByPeer(refusal) => {
                let (reason, advice) = (printable(&refusal.reason), printable(&refusal.advice));
                write!(f, "refused by the other side: {reason}; {advice}")
            }
            Ended::Refused(refusal) => write!(f, "{}; {}", refusal.reason, refusal.advice),
            Ended::Silent => f.write_str("nothing heard from the other side for too long"),
            Ended::LinkLost => f.write_str("the connection was lost"),
        }
    }
}

/// What another side has written, without the control characters that a terminal would obey.
pub fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character }).collect()
}
