use rejoin_bridge as bridge;
use rejoin_change::SiteId;
use rejoin_wire::WireError;
use std::fmt;

/// Why the streams refused, named by who must act. Every text is a sentence that says what is wrong, where, and what to
/// do about it.
#[derive(Clone, Debug)]
pub enum StreamError {
    /// Bytes that are not a package, a receipt or a cursor. Whoever carries them must send them again.
    Malformed(String),
    /// The remote said something well-formed that breaks the rules of the streams.
    PeerMisbehaved(String),
    /// The schemas differ: a table, a column or the shape of a key is unknown here.
    PeerIncompatible(String),
    /// A position that belongs to another history under the same site id: one of the databases is a copy, or was
    /// restored from a backup.
    IdentityChanged {
        /// Where `crsql_reidentify()` must be called.
        side: Side,
        /// What was found.
        message: String,
    },
    /// SQLite refused.
    Store(bridge::Error),
    /// The call itself is wrong.
    Misuse(String),
}

/// One of the two ends of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The database that this connection has open.
    Here,
    /// The database at the other end.
    Remote,
}

pub(crate) type Result<T> = std::result::Result<T, StreamError>;

impl StreamError {
    /// True where another connection holds a lock, so that trying again helps.
    pub fn is_busy(&self) -> bool {
        matches!(self, StreamError::Store(error) if error.is_busy())
    }

    pub(crate) fn here(message: String) -> StreamError {
        StreamError::IdentityChanged { side: Side::Here, message }
    }

    pub(crate) fn remote(message: String) -> StreamError {
        StreamError::IdentityChanged { side: Side::Remote, message }
    }

    pub(crate) fn remote_is_late(present: SiteId, former: SiteId, what: &str) -> StreamError {
        StreamError::PeerMisbehaved(format!(
            "the {what} is meant for {former}, a former id of this database, which is {present} now; the remote must \
             make streams for the new id"
        ))
    }

    pub(crate) fn unreadable(what: &str, error: &WireError) -> StreamError {
        StreamError::Malformed(format!("failed to read the {what}: {error}"))
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamError::Malformed(text)
            | StreamError::PeerMisbehaved(text)
            | StreamError::PeerIncompatible(text)
            | StreamError::Misuse(text) => f.write_str(text),
            StreamError::IdentityChanged { side: Side::Here, message } => {
                write!(f, "{message}; run SELECT crsql_reidentify() on this database, then make its streams again")
            }
            StreamError::IdentityChanged { side: Side::Remote, message } => write!(
                f,
                "{message}; run SELECT crsql_reidentify() on the remote database, then make a stream for its new id"
            ),
            StreamError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StreamError {}

impl From<bridge::Error> for StreamError {
    fn from(error: bridge::Error) -> StreamError {
        StreamError::Store(error)
    }
}

impl From<StreamError> for bridge::Error {
    fn from(error: StreamError) -> bridge::Error {
        match error {
            StreamError::Store(error) => error,
            other => bridge::Error::failed(other.to_string()),
        }
    }
}

/// [`bridge::Connection::atomically`] for bodies that fail with a [`StreamError`].
pub(crate) fn atomically<T>(connection: &bridge::Connection, body: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut refused = None;
    let result = connection.atomically(|| {
        body().map_err(|error| {
            refused = Some(error.clone());
            error.into()
        })
    });
    result.map_err(|error| refused.unwrap_or(StreamError::Store(error)))
}
