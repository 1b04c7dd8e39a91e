//! What two sides of one session say to each other. Bytes and text: `docs/formats/messages.md`.

mod binary;
mod check;
mod encode;
mod text;

use crate::Receipt;
use rejoin_change::SiteId;

/// One message of a session. A link carries whole messages, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// First message of the side that dialled.
    Hello(Hello),
    /// The answer of the side that was dialled, once it has let the other in.
    Welcome(Welcome),
    /// The definitions of tables that the other side said it lacks.
    Schema(Schema),
    /// The definitions sent have been taken over, or none were needed: what the sender now holds of the other's stream.
    /// Packages may follow.
    Ready(Ready),
    /// A piece of the sender's stream.
    Package(PackageMessage),
    /// Where the sender stands in the other's stream.
    Receipt(ReceiptMessage),
    /// Everything that the sender had to tell when the session started has been acknowledged.
    Level,
    /// The sender cannot go on, and says why. The link closes after it.
    Refusal(Refusal),
    /// The sender ends the session in order. The link closes after it.
    Goodbye(Goodbye),
    /// Asks for a pong with the same number.
    Ping(u64),
    /// The answer to a ping.
    Pong(u64),
}

/// Who dials, what for, and what it has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The oldest version of the session protocol that the side speaks.
    pub version_min: u16,
    /// The newest one.
    pub version_max: u16,
    /// Its database.
    pub site: Site,
    /// The room asked for.
    pub room: String,
    /// Secret that opens the room, where the link has not carried it already.
    pub token: Option<String>,
}

/// The answer to a hello.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome {
    /// The version that both sides speak from here on.
    pub version: u16,
    /// The room's database.
    pub site: Site,
}

/// One database, as it introduces itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Site {
    /// Its present id.
    pub site_id: SiteId,
    /// Ids that it had before it was re-identified, oldest first.
    pub former_ids: Vec<SiteId>,
    /// What the side can do beyond the version; unknown names are ignored.
    pub features: Vec<String>,
    /// Its replicated tables, sorted by name.
    pub tables: Vec<TableShape>,
    /// How many bytes of packages it takes before it must have sent a receipt.
    pub window_bytes: u32,
}

/// What two databases must agree on to replicate a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableShape {
    /// Name of the table.
    pub name: String,
    /// Its columns, sorted by name.
    pub columns: Vec<ColumnShape>,
}

/// One column of a replicated table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ColumnShape {
    /// Name of the column.
    pub name: String,
    /// Place in the primary key, from 1; 0 for a column outside of it.
    pub key_place: u16,
}

/// Definitions of tables, as SQL. Whoever takes them over checks first that they are nothing else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schema {
    /// Sorted by name.
    pub tables: Vec<TableDefinition>,
}

/// One replicated table, as SQL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableDefinition {
    /// Name of the table.
    pub name: String,
    /// One `CREATE TABLE` statement.
    pub create_table: String,
    /// One `CREATE INDEX` statement each.
    pub create_indexes: Vec<String>,
}

/// The sender stands ready to stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ready {
    /// What it holds of the other's stream.
    pub receipt: Receipt,
}

/// A package on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PackageMessage {
    /// Counts the packages of one direction of the session, from 1.
    pub number: u64,
    /// The encoded package.
    pub package: Vec<u8>,
}

/// The answer to a package.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceiptMessage {
    /// Number of the package.
    pub answers: u64,
    /// Where the receiver stands now.
    pub receipt: Receipt,
}

/// Why a side cannot go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people: what is the matter, one sentence.
    pub reason: String,
    /// For people: what to do about it, one sentence.
    pub advice: String,
}

/// What kind of refusal it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusalCode {
    /// No version of the protocol is spoken by both sides.
    Version,
    /// The token is missing or wrong.
    Token,
    /// There is no such room, there cannot be one of that name, or neither side has a table yet.
    Room,
    /// The schemas of the two sides do not fit together.
    Schema,
    /// A message that cannot be read, is out of order or exceeds a limit.
    Protocol,
    /// A package was refused; nothing of it was applied.
    Package,
    /// One of the databases is a copy or an older state of what the other has met.
    Identity,
    /// The side is at one of its limits; later it may go.
    Busy,
    /// The side's own database failed.
    Store,
    /// A code of a later version.
    Other(u16),
}

/// Why a session ends in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Goodbye {
    /// Everything asked for is done.
    Done,
    /// The program is ending.
    Shutdown,
    /// Something that was agreed at the start has changed: dial again at once.
    Restart,
}
