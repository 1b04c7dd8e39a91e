//! Every size limit of what is read and written, each named once. Writers keep to them as readers do.

/// Bytes of one encoded binary package.
pub const PACKAGE_BYTES_MAX: usize = 128 + HEAD_BYTES_MAX + BODY_BYTES_MAX;

/// Bytes of a binary package's head: five cursors and the former ids, with room to spare.
pub const HEAD_BYTES_MAX: usize = 5 * CURSOR_BYTES_MAX + 16 * FORMER_IDS_MAX + RANGES_BYTES_MAX + 1024;

/// Bytes of one JSON package. Larger than [`PACKAGE_BYTES_MAX`], because escapes and base64 take room.
pub const PACKAGE_JSON_BYTES_MAX: usize = 256 << 20;

/// Bytes of a package's body after decompression.
pub const BODY_BYTES_MAX: usize = 64 << 20;

/// What the changes of one package may take up in memory, as [`crate::change_size_bytes`] counts it: a key that many
/// changes share counts for each of them.
pub const EXPANDED_BYTES_MAX: usize = 128 << 20;

/// The largest `package_bytes_max` that a stream accepts. With one more change on top, of the largest key and a value
/// as long as this, a package still keeps below every other limit.
pub const PACKAGE_BYTES_SOFT_MAX: usize = 16 << 20;

/// Changes in one package.
pub const PACKAGE_CHANGES_MAX: usize = 1 << 18;

/// Bytes of one packed primary key.
pub const KEY_BYTES_MAX: usize = 1 << 20;

/// Bytes of one table or column name.
pub const NAME_BYTES_MAX: usize = 4096;

/// Bytes of one value, or of one part of a value, inside a package.
pub const VALUE_BYTES_MAX: usize = 32 << 20;

/// Bytes of a whole value that travels in parts: the most that SQLite can be built for.
pub const WHOLE_VALUE_BYTES_MAX: u64 = i32::MAX as u64;

/// Earlier site ids of one sender.
pub const FORMER_IDS_MAX: usize = 256;

/// Bytes of one cursor in binary form: two integers, a key and two names with every zero byte escaped, and a part.
pub const CURSOR_BYTES_MAX: usize = 16 + 1 + 2 * (KEY_BYTES_MAX + 2 * NAME_BYTES_MAX) + 6 + 25;

/// Bytes of one cursor as JSON text. Escaped text takes six bytes for one at the worst; each of a key's values has a
/// little around it.
pub const CURSOR_TEXT_BYTES_MAX: usize = 6 * (KEY_BYTES_MAX + 2 * NAME_BYTES_MAX) + 8192;

/// Ranges in one receipt: holes that a stream in any order keeps track of.
pub const RANGES_MAX: usize = 64;

/// Bytes of the ranges of one receipt in binary form. Where long keys would take more, a receiver names fewer ranges: its
/// position is what counts.
pub const RANGES_BYTES_MAX: usize = 128 << 10;

/// Bytes of a receipt's text. Nearly every receipt has less than 600; the limit leaves room for a position behind the
/// longest key, since a receipt that cannot be said would stop its stream for good.
pub const RECEIPT_TEXT_BYTES_MAX: usize = CURSOR_TEXT_BYTES_MAX + 6 * RANGES_BYTES_MAX + 128 * RANGES_MAX + 4096;

/// Levels of nesting in JSON text that is skipped because nobody here knows its field.
pub const JSON_DEPTH_MAX: usize = 32;

/// Bytes of one session message as bytes: a package and the little around it.
pub const MESSAGE_BYTES_MAX: usize = PACKAGE_BYTES_MAX + 64;

/// Bytes of one session message as text. A binary package inside takes four thirds of its size as base64, which is
/// less than a JSON package may take.
pub const MESSAGE_TEXT_BYTES_MAX: usize = PACKAGE_JSON_BYTES_MAX + 1024;

/// Bytes of a hello or welcome, which arrive before anybody knows who sends them, of a refusal, and of every other
/// message without a limit of its own.
pub const MESSAGE_SMALL_BYTES_MAX: usize = 4 << 20;

/// Bytes of a schema message.
pub const MESSAGE_SCHEMA_BYTES_MAX: usize = 16 << 20;

/// Bytes of a message that holds a receipt.
pub const MESSAGE_RECEIPT_BYTES_MAX: usize = RECEIPT_TEXT_BYTES_MAX + 1024;

/// Bytes of one short text in a message: room, feature, reason, advice.
pub const TEXT_BYTES_MAX: usize = 4096;

/// Bytes of a token.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Features that one side names.
pub const FEATURES_MAX: usize = 64;

/// Tables that one side names. SQLite itself has no limit; this is far above what anybody replicates.
pub const TABLES_MAX: usize = 4096;

/// Columns of one table: the most that SQLite can be built for.
pub const COLUMNS_MAX: usize = 32_767;

/// Indexes of one table.
pub const INDEXES_MAX: usize = 1024;

/// Bytes of one SQL statement.
pub const SQL_BYTES_MAX: usize = 1 << 20;

/// Bytes of one frame of the vlcn protocol. The original server takes as many.
pub const VLCN_FRAME_BYTES_MAX: usize = 100 << 20;

/// Changes in one frame of the vlcn protocol. The smallest change that a table can have takes some fifty bytes, so that
/// a frame is full before.
pub const VLCN_CHANGES_MAX: usize = 1 << 21;

/// Databases that one message of the vlcn protocol names.
pub const VLCN_SITES_MAX: usize = 1 << 14;

// A stream fills a package up to its `package_bytes_max` and then adds the change that exceeds it, whose value or part
// of a value is no longer than that: what comes of it must fit in every format, with at most 96 bytes of numbers each.
const FULLEST: usize = 2 * PACKAGE_BYTES_SOFT_MAX + KEY_BYTES_MAX;
const _: () = assert!(PACKAGE_BYTES_SOFT_MAX <= VALUE_BYTES_MAX);
const _: () = assert!(FULLEST <= EXPANDED_BYTES_MAX && FULLEST + (24 << 20) <= BODY_BYTES_MAX);
const _: () = assert!(6 * FULLEST <= PACKAGE_JSON_BYTES_MAX);
const _: () = assert!(PACKAGE_BYTES_MAX.div_ceil(3) * 4 + 1024 <= MESSAGE_TEXT_BYTES_MAX);
