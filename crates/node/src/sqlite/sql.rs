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

/// Name and version of the schema that a vlcn client or server has given the database.
pub(crate) const VLCN_SCHEMA: &str = "SELECT (SELECT value FROM main.crsql_master WHERE key = 'schema_name'), \
     (SELECT value FROM main.crsql_master WHERE key = 'schema_version')";
pub(crate) const SET_VLCN_SCHEMA: &str =
    "INSERT OR REPLACE INTO main.crsql_master(key, value) VALUES ('schema_name', ?1), ('schema_version', ?2)";

/// Tables that are somebody's own: neither SQLite's nor the engine's.
pub(crate) const ORDINARY_TABLES: &str = "SELECT name FROM main.sqlite_schema WHERE type = 'table' \
     AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'crsql\\_%' ESCAPE '\\' \
     AND name NOT LIKE '%\\_\\_crsql\\_%' ESCAPE '\\' ORDER BY name";

/// Brings the tables in line with a schema's text.
pub(crate) const AUTOMIGRATE: &str = "SELECT crsql_automigrate(?1)";

/// Declared types of a table's columns, and whether the table is STRICT.
pub(crate) const COLUMN_TYPES: &str = "SELECT name, type, pk, \
     (SELECT strict FROM pragma_table_list(?1) WHERE schema = 'main') FROM pragma_table_info(?1, 'main')";

/// What vlcn peers call what was received from a database: the whole of it (tag 0), received (event 0).
pub(crate) const VLCN_HELD: &str =
    "SELECT version, seq FROM main.crsql_tracked_peers WHERE site_id = ?1 AND tag = 0 AND event = 0";
pub(crate) const VLCN_ALL_HELD: &str =
    "SELECT site_id, version, seq FROM main.crsql_tracked_peers WHERE tag = 0 AND event = 0 ORDER BY site_id LIMIT ?1";
pub(crate) const SET_VLCN_HELD: &str = "INSERT INTO main.crsql_tracked_peers(site_id, version, seq, tag, event) \
     VALUES (?1, ?2, 0, 0, 0) ON CONFLICT (site_id, tag, event) DO UPDATE SET version = max(version, excluded.version), seq = 0";

/// Which clients were not told something because their schema did not have it: under which version of the schema, from
/// which db_version on, and up to where it is told again once they have another.
pub(crate) const MAKE_VLCN_SKIPPED: &str = "CREATE TABLE IF NOT EXISTS main.crsql_vlcn_skipped(site_id BLOB NOT NULL, \
     schema_version INTEGER NOT NULL, from_version INTEGER NOT NULL, told_to INTEGER, \
     PRIMARY KEY (site_id, schema_version)) WITHOUT ROWID";
pub(crate) const HAS_VLCN_SKIPPED: &str =
    "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND name = 'crsql_vlcn_skipped'";
pub(crate) const IS_NOTED: &str = "SELECT count(*) FROM main.crsql_vlcn_skipped \
     WHERE site_id = ?1 AND schema_version = ?2 AND told_to IS NULL";
pub(crate) const NOTE_SKIPPED: &str = "INSERT INTO main.crsql_vlcn_skipped(site_id, schema_version, from_version) \
     VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET told_to = NULL";
pub(crate) const FORGET_TOLD: &str = "DELETE FROM main.crsql_vlcn_skipped \
     WHERE site_id = ?1 AND schema_version <> ?2 AND told_to < ?3";
pub(crate) const FORGET_OTHERS: &str =
    "DELETE FROM main.crsql_vlcn_skipped WHERE site_id = ?1 AND schema_version <> ?2";
pub(crate) const TELL_SKIPPED: &str = "UPDATE main.crsql_vlcn_skipped SET told_to = coalesce(told_to, ?3) \
     WHERE site_id = ?1 AND schema_version <> ?2 RETURNING from_version";

/// Changes behind a db_version, of all authors but so many.
pub(crate) fn vlcn_changes(excluded: usize) -> String {
    let others: String = (0..excluded).map(|at| format!(" AND site_id IS NOT ?{}", at + 2)).collect();
    format!(
        "SELECT \"table\", pk, cid, val, col_version, db_version, cl, seq FROM crsql_changes \
         WHERE db_version > ?1{others} ORDER BY db_version, seq"
    )
}

/// The receiver numbers what it receives: version 0 becomes the version of this transaction, or the raised one.
pub(crate) const VLCN_MERGE: &str = "INSERT INTO crsql_changes(\"table\", pk, cid, val, col_version, db_version, site_id, cl, seq) \
     VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, crsql_increment_and_get_seq())";

/// Gives what follows in this transaction a version of its own.
pub(crate) const RAISE_VERSION: &str = "SELECT crsql_next_db_version(crsql_next_db_version() + 1)";
