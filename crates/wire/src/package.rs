//! What one package of an outbound stream says, before it becomes bytes.

use rejoin_change::{Change, Cursor, SiteId};

/// Proof that a position belongs to one history: made by the database whose stream it is, opaque to everybody else.
/// Eight bytes of epoch nonce, then sixteen of keyed hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark(pub [u8; 24]);

/// A cursor, with the sender's mark of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    /// Where in the sender's stream.
    pub cursor: Cursor,
    /// The sender's mark of `cursor`.
    pub mark: Mark,
}

/// The sender's head at the moment a package was read: "complete up to the end of this package" is true only together
/// with what lay behind it then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AsOf {
    /// The newest stored db_version of the sender.
    pub head: i64,
    /// The sender's mark of the end of that version.
    pub mark: Mark,
}

/// One self-contained piece of an outbound stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Package {
    /// The database that tells.
    pub sender: SiteId,
    /// The database that is told. Nobody else takes the package.
    pub receiver: SiteId,
    /// Ids that the sender had before it was re-identified, oldest first.
    pub former_ids: Vec<SiteId>,
    /// The stream's run: a higher one replaces what was sent before.
    pub run: u64,
    /// Where the run began.
    pub run_start: Cursor,
    /// Where the stream starts for a receiver without a position.
    pub since: Cursor,
    /// The package holds everything of the stream that lies behind this ...
    pub start: Position,
    /// ... up to and including this.
    pub end: Position,
    /// The sender's head when the package was read.
    pub as_of: AsOf,
    /// True where `end` is the end of a transaction.
    pub ends_transaction: bool,
    /// True where the stream leaves something out (tables, authors), so that having all of it says nothing of the rest.
    pub filtered: bool,
    /// The sender's latest receipt for the other direction.
    pub receipt: Option<Receipt>,
    /// In stream order. db_version and seq are the sender's.
    pub changes: Vec<Change>,
}

/// What a receiver says about one inbound stream: where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The database that received.
    pub receiver: SiteId,
    /// The database whose stream it is.
    pub sender: SiteId,
    /// The run that the position was earned in.
    pub run: u64,
    /// `None` means the stream's `since`.
    pub position: Option<Position>,
    /// The newest as-of among the packages applied.
    pub as_of: Option<AsOf>,
    /// What has arrived behind `position`, where packages may come in any order: in order, none touching another.
    pub ranges: Vec<Range>,
}

/// A stretch of a stream: what lies behind `start`, up to and including `end`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    /// Behind this ...
    pub start: Position,
    /// ... up to and including this.
    pub end: Position,
}
