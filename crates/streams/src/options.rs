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
    /// Only these tables, compared without regard to the case of ASCII letters. `None` is all. With more than before, a
    /// stream tells everything from `since` again.
    pub tables: Option<Vec<String>>,
    /// Start where `crsql_tracked_peers` says that another sync layer had sent this remote everything, if that lies behind
    /// `since`. Nothing proves it, so it is a promise of the caller's.
    pub trust_tracked: bool,
    /// How packages are written.
    pub format: Format,
    /// Soft limit of one package before compression, in bytes. A value that is larger travels in parts. From 1 to
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

/// What an inbound stream takes, and how it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InboundOptions {
    /// In what order packages may arrive.
    pub order: Order,
    /// What becomes visible together.
    pub atomic: Atomic,
    /// Changes of other tables are dropped and counted; compared without regard to the case of ASCII letters. `None` is
    /// all.
    pub tables: Option<Vec<String>>,
    /// What happens to a package that leaves a gap.
    pub on_gap: OnGap,
    /// What happens to a change that this schema has no place for.
    pub on_unknown: OnUnknown,
    /// What happens to a row that violates a CHECK constraint.
    pub on_violation: OnViolation,
}

/// In what order the packages of a stream may arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Each where the one before ended.
    #[default]
    Strict,
    /// As they come; what is missing in between is tracked.
    Any,
}

/// What becomes visible together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Atomic {
    /// What is left of a remote transaction at reading, however many packages it took.
    #[default]
    Transaction,
    /// What a package holds.
    Package,
}

/// The answer to a change for a table, a column or a shape of key that this schema lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnknown {
    /// It is kept, and merged when the schema has caught up.
    #[default]
    Park,
    /// The package is refused.
    Error,
}

/// The answer to a row that violates a CHECK constraint when a package is merged. The original engine cannot tell a
/// lasting violation from a passing one, so `Accept` is what happens there, without counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnViolation {
    /// The package is refused.
    #[default]
    Stop,
    /// The row is merged and counted.
    Accept,
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
            tables: None,
            trust_tracked: false,
            format: Format::Binary(Compression::Zstd),
            package_bytes_max: PACKAGE_BYTES_DEFAULT,
            package_changes_max: None,
        }
    }
}

/// `package_bytes_max` of a stream that does not say, in bytes.
pub const PACKAGE_BYTES_DEFAULT: usize = 256 << 10;

const _: () = assert!(PACKAGE_BYTES_DEFAULT <= limits::PACKAGE_BYTES_SOFT_MAX);
