use rejoin_change::{Cursor, SiteId};
use rejoin_wire::{Compression, Format, limits};

/// What an outbound stream tells, and in what form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundOptions {
    /// Where a new stream starts.
    pub since: Since,
    /// Authors whose changes are left out.
    pub exclude_sites: Vec<SiteId>,
    /// Only what was written in this database, under its present or a former id.
    pub local_only: bool,
    /// How packages are written.
    pub format: Format,
    /// Soft limit of one package before compression, in bytes: a single larger change makes a larger package. From 1 to
    /// [`limits::PACKAGE_BYTES_SOFT_MAX`].
    pub package_bytes_max: usize,
    /// The most changes in one package; at least 1. `None` is as many as fit.
    pub package_changes_max: Option<usize>,
}

/// Where a new outbound stream starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    /// Behind a cursor.
    Cursor(Cursor),
    /// Behind everything that is there when the stream is made.
    Now,
}

/// How an inbound stream answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InboundOptions {
    /// What happens to a package that leaves a gap.
    pub on_gap: OnGap,
}

/// The answer to a package that starts behind the position of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnGap {
    /// A receipt that says where the stream stands.
    #[default]
    Receipt,
    /// An error that names both cursors.
    Error,
}

impl Default for OutboundOptions {
    fn default() -> OutboundOptions {
        OutboundOptions {
            since: Since::Cursor(Cursor::BEGINNING),
            exclude_sites: Vec::new(),
            local_only: false,
            format: Format::Binary(Compression::Zstd),
            package_bytes_max: PACKAGE_BYTES_DEFAULT,
            package_changes_max: None,
        }
    }
}

/// `package_bytes_max` of a stream that does not say, in bytes.
pub const PACKAGE_BYTES_DEFAULT: usize = 256 << 10;

const _: () = assert!(PACKAGE_BYTES_DEFAULT <= limits::PACKAGE_BYTES_SOFT_MAX);
