//! Every statement of this crate.

/// Sets a connection up: readers and a writer side by side, and what is committed survives a power loss.
pub(crate) const SET_UP: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";

pub(crate) const JOURNAL_MODE: &str = "PRAGMA journal_mode";
pub(crate) const DATA_VERSION: &str = "PRAGMA data_version";
pub(crate) const SCHEMA_VERSION: &str = "PRAGMA schema_version";

/// Writes the log back into the database file and empties it, where nobody else is reading.
pub(crate) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// Names of the tables that replicate: those with the trigger that watches inserts.
pub(crate) const REPLICATED_TABLES: &str = "SELECT name FROM main.sqlite_schema AS tables WHERE type = 'table' AND EXISTS \
     (SELECT 1 FROM main.sqlite_schema WHERE type = 'trigger' AND name = tables.name || '__crsql_itrig') ORDER BY name";

/// Columns of a table, each with its place in the primary key.
pub(crate) const COLUMNS: &str = "SELECT name, pk FROM pragma_table_info(?1, 'main') ORDER BY name";

/// The text that a table was made with.
pub(crate) const TABLE_SQL: &str = "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?1";

/// The texts of the indexes of a table that were made by statements of their own.
pub(crate) const INDEX_SQL: &str =
    "SELECT sql FROM main.sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL ORDER BY name";

/// Everything that a database holds.
pub(crate) const OBJECTS: &str =
    "SELECT type, name, tbl_name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid";

/// Whether a name is taken, by whatever, in any case.
pub(crate) const OBJECT_EXISTS: &str = "SELECT count(*) FROM main.sqlite_schema WHERE lower(name) = lower(?1)";

/// Makes a table replicate.
pub(crate) const AS_CRR: &str = "SELECT crsql_as_crr(?1)";
