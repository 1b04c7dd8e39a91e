use std::fmt;

/// Why bytes could not be read, or a value could not be written. The texts complete "failed to read the package: …".
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireError {
    /// Neither a binary nor a JSON package: something else was handed over.
    NotAPackage,
    /// The bytes break the format. Whoever made them is at fault.
    Malformed {
        /// What is wrong, as a phrase.
        what: &'static str,
        /// Where, in bytes: in the input, or inside a compressed body after decompression.
        offset: usize,
    },
    /// The checksum does not fit: the carrier changed or lost bytes. Send it again.
    Damaged {
        /// The checksum that came along.
        stored: u32,
        /// The checksum of what arrived.
        computed: u32,
    },
    /// A limit of [`crate::limits`] is exceeded.
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size, in the unit of the limit.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// Written by a newer rejoin in a format that this one does not know. Update this side.
    UnsupportedVersion {
        /// The version that the bytes name.
        found: u64,
        /// The newest version that this side reads.
        newest: u64,
    },
    /// The value that was to be written cannot be said in this format. The calling code is at fault.
    Misuse {
        /// What is wrong with it.
        what: &'static str,
    },
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::NotAPackage => f.write_str("it is neither a binary nor a JSON package of rejoin"),
            WireError::Malformed { what, offset } => write!(f, "{what} (at byte {offset})"),
            WireError::Damaged { stored, computed } => write!(
                f,
                "it was damaged on the way: its checksum is {stored:08x}, but its content gives {computed:08x}; \
                 send it again"
            ),
            WireError::TooLarge { what, found, max } => write!(f, "{what}: {found}, where {max} is the most"),
            WireError::UnsupportedVersion { found, newest } => write!(
                f,
                "it has format version {found}, and this rejoin reads versions up to {newest}; update rejoin on this side"
            ),
            WireError::Misuse { what } => f.write_str(what),
        }
    }
}

impl std::error::Error for WireError {}

pub(crate) type Result<T> = std::result::Result<T, WireError>;
