use crate::exchange::printable;
use rejoin_wire::message::{Goodbye, Refusal, RefusalCode};
use std::fmt;

/// How a session ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// This side is done.
    Here(Goodbye),
    /// This side refused to go on.
    Refused(Refusal),
    /// The other side closed the link.
    ByPeer {
        /// The code of the close frame.
        code: u16,
        /// Its words.
        reason: String,
    },
    /// The server never answered the announcement.
    Unanswered,
    /// The client never announced itself.
    Unannounced,
    /// Nothing was heard from the other side for too long.
    Silent,
    /// The link broke.
    LinkLost,
}

impl Ended {
    /// Code and words of the close frame with which this side ends the link. A code from 4000 on means that the other side
    /// has to change something before it dials again.
    pub fn close_frame(&self) -> (u16, String) {
        let code = match self {
            Ended::Here(Goodbye::Done) | Ended::ByPeer { .. } | Ended::LinkLost => 1000,
            Ended::Here(Goodbye::Shutdown) => 1001,
            Ended::Here(Goodbye::Restart) => 1012,
            Ended::Unanswered | Ended::Unannounced | Ended::Silent => 4408,
            Ended::Refused(refusal) => match refusal.code {
                RefusalCode::Protocol | RefusalCode::Version | RefusalCode::Other(_) => 4400,
                RefusalCode::Token => 4401,
                RefusalCode::Room => 4404,
                RefusalCode::Identity => 4409,
                RefusalCode::Schema => 4412,
                RefusalCode::Package => 4422,
                RefusalCode::Store => 4500,
                RefusalCode::Busy => 4503,
            },
        };
        let mut reason = match self {
            Ended::Here(Goodbye::Done) | Ended::ByPeer { .. } | Ended::LinkLost => String::new(),
            Ended::Refused(refusal) => refusal.reason.clone(),
            ended => ended.to_string(),
        };
        if reason.len() > CLOSE_REASON_BYTES_MAX {
            reason.truncate(reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX - '…'.len_utf8()));
            reason.push('…');
        }
        (code, reason)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Here(Goodbye::Done) => f.write_str("done"),
            Ended::Here(Goodbye::Shutdown) => f.write_str("shutting down"),
            Ended::Here(Goodbye::Restart) => f.write_str("starting anew"),
            Ended::Refused(refusal) => write!(f, "{}; {}", refusal.reason, refusal.advice),
            Ended::ByPeer { code, reason } if reason.is_empty() => {
                write!(f, "the other side closed the connection (code {code})")
            }
            Ended::ByPeer { code, reason } => {
                write!(f, "the other side closed the connection (code {code}): {}", printable(reason))
            }
            Ended::Unanswered => f.write_str(
                "the server took the connection and said nothing: it does not serve this address, or it has no schema \
                 file of this database's schema name and version; look at its log",
            ),
            Ended::Unannounced => f.write_str("the client did not announce itself in time"),
            Ended::Silent => f.write_str("nothing heard from the other side for too long"),
            Ended::LinkLost => f.write_str("the connection was lost"),
        }
    }
}

/// A close frame has room for that many.
const CLOSE_REASON_BYTES_MAX: usize = 123;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_fits_into_a_close_frame() {
        let refusal = |reason: String| {
            Ended::Refused(Refusal { code: RefusalCode::Schema, reason, advice: "do something".to_owned() })
        };
        assert_eq!(refusal("short".to_owned()).close_frame(), (4412, "short".to_owned()));
        let (_, reason) = refusal("ä".repeat(100)).close_frame();
        assert!(reason.len() <= CLOSE_REASON_BYTES_MAX && reason.ends_with('…'), "{reason}");
    }
}
