use std::time::Duration;

/// What one node puts up with. Every field has a default that suits a small server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message. One row's largest value has to fit in.
    pub message_bytes_max: usize,
    /// Bytes of one frame of the vlcn protocol, whose clients send all that they have to tell in one.
    pub vlcn_frame_bytes_max: usize,
    /// Bytes of packages under way in one direction of one session, before the receiver has answered. One package may
    /// go beyond it.
    pub window_bytes: u32,
    /// Sessions that a server holds at the same time.
    pub connections_max: usize,
    /// Rooms that a server has open at the same time.
    pub rooms_open_max: usize,
    /// How long a room without sessions stays open.
    pub room_idle_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_bytes_max: rejoin_wire::limits::MESSAGE_BYTES_MAX,
            vlcn_frame_bytes_max: rejoin_wire::limits::VLCN_FRAME_BYTES_MAX,
            window_bytes: 2 << 20,
            connections_max: 1024,
            rooms_open_max: 1024,
            room_idle_max: Duration::from_secs(60),
        }
    }
}

/// Bytes of one message from a peer whose token, if it has one, comes in its hello and not with the link.
pub(crate) const MESSAGE_BYTES_MAX_UNKNOWN: usize = 8 << 20;

/// Questions that wait for one database's thread. Askers wait for a place.
pub(crate) const QUESTIONS_MAX: usize = 64;

/// Messages of one session that wait for the link. A session that has more to say has a peer that does not read.
pub(crate) const MESSAGES_WAITING_MAX: usize = 4096;

/// How often a database is asked whether another connection has written to it.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How long a statement waits for a lock that another connection holds.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the last messages of a session may take to go out.
pub(crate) const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// How long reaching a server may take, TLS and the upgrade included.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(20);

/// How often one open database takes a new id by itself. More would mean that something else is wrong.
pub(crate) const REIDENTIFICATIONS_MAX: u32 = 3;

/// Bytes of a room's name.
pub(crate) const ROOM_NAME_BYTES_MAX: usize = 64;

/// Bytes of changes after which a frame of the vlcn protocol ends with the transaction that it is in.
pub(crate) const VLCN_FRAME_BYTES_SOFT_MAX: usize = 1 << 20;

/// How long a closed link of the vlcn protocol is read for the other side's close frame.
pub(crate) const VLCN_LINGER_MAX: Duration = Duration::from_secs(1);

/// Bytes that are read from a link of the vlcn protocol at once. They are zeroed before, and most frames are small.
pub(crate) const VLCN_READ_BUFFER_BYTES: usize = 16 << 10;
