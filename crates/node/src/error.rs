use rejoin_wire::message::{Refusal, RefusalCode};
use std::fmt;

/// Why the node could not do something. Each text is a sentence for the person who can change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeError {
    /// What the caller asked for cannot be: an address, a room name, a token.
    Misuse(String),
    /// The database could not be opened or has failed.
    Store(String),
    /// The other side could not be reached, or the connection to it broke.
    Unreachable(String),
    /// The other side does not let this one in, or the two do not fit together. Trying again does not help.
    Refused(String),
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeError::Misuse(text)
            | NodeError::Store(text)
            | NodeError::Unreachable(text)
            | NodeError::Refused(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for NodeError {}

impl From<NodeError> for Refusal {
    fn from(error: NodeError) -> Refusal {
        Refusal {
            code: RefusalCode::Store,
            reason: error.to_string(),
            advice: "look at the log of the side that says so".to_owned(),
        }
    }
}
