//! The SQL of this crate, each statement once. `crsql_changes`, `crsql_master`, `crsql_site_id` and the clock tables are
//! the engine's, built in or original; everything else is the streams' own.

pub const CREATE_BOOKKEEPING: &str = "CREATE VIRTUAL TABLE main.crsql_streams USING crsql_streams";

/// Made with the virtual table `crsql_streams`, whose shadow tables they are. Cursors are kept as their bytes.
pub const CREATE_SHADOW_TABLES: &str = "
CREATE TABLE main.crsql_streams_meta (name TEXT PRIMARY KEY, value);
CREATE TABLE main.crsql_streams_epochs (first_version INTEGER PRIMARY KEY, nonce BLOB NOT NULL);
CREATE TABLE main.crsql_streams_outbound (
  remote BLOB PRIMARY KEY, name TEXT, open INTEGER NOT NULL,
  since BLOB NOT NULL, run INTEGER NOT NULL, run_start BLOB NOT NULL, acked BLOB NOT NULL, sent BLOB,
  exclude_sites BLOB NOT NULL, local_only INTEGER NOT NULL, tables BLOB, format TEXT NOT NULL,
  package_bytes_max INTEGER NOT NULL, package_changes_max INTEGER, verified INTEGER NOT NULL,
  last_error TEXT, last_active INTEGER);
CREATE TABLE main.crsql_streams_inbound (
  remote BLOB PRIMARY KEY, name TEXT, open INTEGER NOT NULL, run INTEGER NOT NULL, since BLOB, base BLOB,
  position BLOB, mark BLOB, as_of_head INTEGER, as_of_mark BLOB,
  applied INTEGER NOT NULL, dropped INTEGER NOT NULL, violations INTEGER NOT NULL,
  any_order INTEGER NOT NULL, by_package INTEGER NOT NULL, tables BLOB,
  error_on_gap INTEGER NOT NULL, error_on_unknown INTEGER NOT NULL, accept_violations INTEGER NOT NULL,
  last_error TEXT, last_active INTEGER);
CREATE TABLE main.crsql_streams_ranges (
  remote BLOB NOT NULL, start BLOB NOT NULL, start_mark BLOB NOT NULL, finish BLOB NOT NULL, finish_mark BLOB NOT NULL,
  PRIMARY KEY (remote, start)) WITHOUT ROWID;
CREATE TABLE main.crsql_streams_staged (
  remote BLOB NOT NULL, version INTEGER NOT NULL, place BLOB NOT NULL, finish BLOB NOT NULL, changes BLOB NOT NULL,
  PRIMARY KEY (remote, version, place, finish));
CREATE TABLE main.crsql_streams_parked (
  tbl TEXT NOT NULL, pk BLOB NOT NULL, cid TEXT NOT NULL, val, col_version INTEGER NOT NULL, cl INTEGER NOT NULL,
  site_id BLOB NOT NULL, PRIMARY KEY (tbl, pk, cid));
CREATE TABLE main.crsql_streams_tables (name TEXT PRIMARY KEY);
CREATE TABLE main.crsql_streams_arrivals (
  remote BLOB NOT NULL, after_version INTEGER NOT NULL, last_version INTEGER NOT NULL, entire INTEGER NOT NULL,
  PRIMARY KEY (remote, after_version)) WITHOUT ROWID;
";

pub const DROP_SHADOW_TABLES: &str = "
DROP TABLE IF EXISTS main.crsql_streams_meta;
DROP TABLE IF EXISTS main.crsql_streams_epochs;
DROP TABLE IF EXISTS main.crsql_streams_outbound;
DROP TABLE IF EXISTS main.crsql_streams_inbound;
DROP TABLE IF EXISTS main.crsql_streams_arrivals;
DROP TABLE IF EXISTS main.crsql_streams_ranges;
DROP TABLE IF EXISTS main.crsql_streams_staged;
DROP TABLE IF EXISTS main.crsql_streams_parked;
DROP TABLE IF EXISTS main.crsql_streams_tables;
";

pub const SHADOW_SUFFIXES: &[&str] =
    &["meta", "epochs", "outbound", "inbound", "arrivals", "ranges", "staged", "parked", "tables"];

pub const HAS_BOOKKEEPING: &str = "SELECT 1 FROM main.sqlite_master WHERE name = 'crsql_streams_meta'";
pub const SCHEMA_VERSION: &str = "PRAGMA main.schema_version";

pub const READ_META: &str = "SELECT name, value FROM main.crsql_streams_meta";
pub const READ_META_NUMBER: &str = "SELECT value FROM main.crsql_streams_meta WHERE name = ?1";
pub const WRITE_META: &str = "INSERT OR REPLACE INTO main.crsql_streams_meta(name, value) VALUES (?1, ?2)";
pub const READ_EPOCHS: &str = "SELECT first_version, nonce FROM main.crsql_streams_epochs ORDER BY first_version";
pub const DROP_EPOCHS_FROM: &str = "DELETE FROM main.crsql_streams_epochs WHERE first_version >= ?1";
pub const WRITE_EPOCH: &str = "INSERT INTO main.crsql_streams_epochs(first_version, nonce) VALUES (?1, ?2)";
pub const DROP_EPOCHS_BEFORE: &str = "DELETE FROM main.crsql_streams_epochs WHERE first_version < ?1";

const OUTBOUND_COLUMNS: &str = "remote, name, open, since, run, run_start, acked, sent, exclude_sites, local_only, \
 tables, format, package_bytes_max, package_changes_max, verified, last_error, last_active";

pub fn read_outbound(condition: &str) -> String {
    format!("SELECT {OUTBOUND_COLUMNS} FROM main.crsql_streams_outbound WHERE {condition} ORDER BY rowid")
}

/// The last column is the present time, in unix milliseconds.
pub fn write_outbound() -> String {
    format!(
        "INSERT OR REPLACE INTO main.crsql_streams_outbound({OUTBOUND_COLUMNS})
 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, {NOW_MS})"
    )
}

const INBOUND_COLUMNS: &str = "remote, name, open, run, since, base, position, mark, as_of_head, as_of_mark, applied, \
 dropped, violations, any_order, by_package, tables, error_on_gap, error_on_unknown, accept_violations, last_error, \
 last_active";

pub fn read_inbound(condition: &str) -> String {
    format!("SELECT {INBOUND_COLUMNS} FROM main.crsql_streams_inbound WHERE {condition} ORDER BY rowid")
}

/// The last column is the present time, in unix milliseconds.
pub fn write_inbound() -> String {
    format!(
        "INSERT OR REPLACE INTO main.crsql_streams_inbound({INBOUND_COLUMNS})
 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, {NOW_MS})"
    )
}

pub const BY_REMOTE: &str = "remote = ?1";
pub const BY_NAME: &str = "name = ?1 COLLATE NOCASE AND open";
pub const OPEN: &str = "open";
const NOW_MS: &str = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";

pub const FORGET_POSITIONS: &str = "
DELETE FROM main.crsql_streams_outbound WHERE NOT open;
UPDATE main.crsql_streams_outbound SET run = 0, run_start = since, acked = since, sent = NULL,
  verified = 0, last_error = NULL;
DELETE FROM main.crsql_streams_inbound WHERE NOT open;
UPDATE main.crsql_streams_inbound SET run = 0, since = NULL, base = NULL, position = NULL, mark = NULL,
  as_of_head = NULL, as_of_mark = NULL, applied = 0, last_error = NULL;
DELETE FROM main.crsql_streams_arrivals;
DELETE FROM main.crsql_streams_epochs;
DELETE FROM main.crsql_streams_ranges;
DELETE FROM main.crsql_streams_tables;
";

pub const READ_ARRIVALS: &str = "SELECT after_version, last_version, entire FROM main.crsql_streams_arrivals
 WHERE remote = ?1 ORDER BY after_version";
pub const WRITE_ARRIVAL: &str =
    "INSERT OR REPLACE INTO main.crsql_streams_arrivals(remote, after_version, last_version, entire)
 VALUES (?1, ?2, ?3, ?4)";
pub const GROW_ARRIVAL: &str = "UPDATE main.crsql_streams_arrivals SET last_version = ?3
 WHERE remote = ?1 AND last_version = ?2 AND entire = ?4";
pub const MIX_ARRIVALS_FROM: &str = "UPDATE main.crsql_streams_arrivals SET entire = 0 WHERE last_version >= ?1";
pub const DROP_ARRIVALS: &str = "DELETE FROM main.crsql_streams_arrivals WHERE remote = ?1";
pub const DROP_ARRIVALS_TO: &str = "DELETE FROM main.crsql_streams_arrivals WHERE remote = ?1 AND last_version <= ?2";
pub const DROP_OTHERS_ARRIVALS_FROM: &str = "DELETE FROM main.crsql_streams_arrivals
 WHERE remote <> ?1 AND last_version >= ?2";

pub const READ_RANGES: &str = "SELECT start, start_mark, finish, finish_mark FROM main.crsql_streams_ranges
 WHERE remote = ?1 ORDER BY start";
pub const WRITE_RANGE: &str = "INSERT INTO main.crsql_streams_ranges(remote, start, start_mark, finish, finish_mark)
 VALUES (?1, ?2, ?3, ?4, ?5)";
pub const DROP_RANGES: &str = "DELETE FROM main.crsql_streams_ranges WHERE remote = ?1";

pub const STAGE: &str = "INSERT OR REPLACE INTO main.crsql_streams_staged(remote, version, place, finish, changes)
 VALUES (?1, ?2, ?3, ?4, ?5)";
pub const NEXT_STAGED_VERSION: &str =
    "SELECT min(version) FROM main.crsql_streams_staged WHERE remote = ?1 AND version > ?2";
pub const STAGED_PIECES: &str = "SELECT rowid, place, finish FROM main.crsql_streams_staged
 WHERE remote = ?1 AND version = ?2 ORDER BY place, finish";
pub const STAGED_PIECE: &str = "SELECT changes FROM main.crsql_streams_staged WHERE rowid = ?1";
pub const DROP_STAGED_PIECE: &str = "DELETE FROM main.crsql_streams_staged WHERE rowid = ?1";
pub const STAGED_BYTES: &str = "SELECT sum(length(changes)) FROM main.crsql_streams_staged WHERE remote = ?1";
/// Where the earliest piece of a version begins.
pub const STAGED_FROM: &str = "SELECT min(place) FROM main.crsql_streams_staged WHERE remote = ?1 AND version = ?2";

pub const PARKED_CELL: &str = "SELECT val, col_version, cl, site_id FROM main.crsql_streams_parked
 WHERE tbl = ?1 AND pk = ?2 AND cid = ?3";
pub const PARK: &str = "INSERT OR REPLACE INTO main.crsql_streams_parked(tbl, pk, cid, val, col_version, cl, site_id)
 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub const PARKED_TABLES: &str = "SELECT DISTINCT tbl FROM main.crsql_streams_parked";
/// From a place on, so that what does not fit yet is passed.
pub const PARKED_CHANGES: &str = "SELECT pk, cid, val, col_version, cl, site_id FROM main.crsql_streams_parked
 WHERE tbl = ?1 AND (pk, cid) > (?2, ?3) ORDER BY pk, cid LIMIT ?4";
pub const UNPARK: &str = "DELETE FROM main.crsql_streams_parked WHERE tbl = ?1 AND pk = ?2 AND cid = ?3";
pub const DROP_PARKED: &str = "DELETE FROM main.crsql_streams_parked";
pub const DROP_PARKED_OF_TABLE: &str = "DELETE FROM main.crsql_streams_parked WHERE tbl = ?1 COLLATE NOCASE";
pub const COUNT_PARKED: &str = "SELECT count(*) FROM main.crsql_streams_parked";

pub const KNOWN_TABLES: &str = "SELECT name FROM main.crsql_streams_tables";
pub const KNOW_TABLE: &str = "INSERT OR IGNORE INTO main.crsql_streams_tables(name) VALUES (?1)";
/// The marks that show that a clock table is the one that the streams have read: another one made anew lacks it.
pub const TABLE_MARKS: &str = "SELECT tbl_name FROM main.sqlite_master WHERE type = 'index'
 AND name = tbl_name || '_epoch' AND tbl_name LIKE '%\\_\\_crsql\\_clock' ESCAPE '\\'";

pub fn mark_table(clock_table: &str) -> String {
    let mark = quoted(&format!("{clock_table}_epoch"));
    format!("CREATE INDEX main.{mark} ON {}(db_version) WHERE 0", quoted(clock_table))
}

pub const READ_TRACKED: &str =
    "SELECT version FROM main.crsql_tracked_peers WHERE site_id = ?1 AND tag = 0 AND event = ?2";
pub const WRITE_TRACKED: &str =
    "INSERT OR REPLACE INTO main.crsql_tracked_peers(site_id, version, seq, tag, event) VALUES (?1, ?2, 0, 0, ?3)";

pub const HAS_CHECKS: &str = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND sql LIKE '%check%'
 AND name NOT LIKE '%\\_\\_crsql\\_%' ESCAPE '\\' LIMIT 1";
pub const IGNORES_CHECKS: &str = "PRAGMA ignore_check_constraints";
pub const IGNORE_CHECKS: &str = "PRAGMA ignore_check_constraints = 1";
pub const OBEY_CHECKS: &str = "PRAGMA ignore_check_constraints = 0";

/// The names that matter of the engine's own tables, with room for false positives: `_` stands for any letter.
pub const ENGINE_TABLES: &str = "SELECT name FROM main.sqlite_master WHERE type = 'table'
 AND (name LIKE '%\\_\\_crsql\\_clock' ESCAPE '\\' OR name IN ('crsql_master', 'crsql_site_id', 'crsql_tracked_peers'))";
pub const CLOCK_SUFFIX: &str = "__crsql_clock";

/// One row, one column: the newest stored db_version of these clock tables, NULL where there is none.
pub fn newest_version<'a>(clock_tables: impl Iterator<Item = &'a String>) -> String {
    let each: Vec<String> =
        clock_tables.map(|table| format!("SELECT max(db_version) AS v FROM main.{}", quoted(table))).collect();
    format!("SELECT max(v) FROM ({})", each.join(" UNION ALL "))
}

pub const COMPACTED_VERSION: &str = "SELECT value FROM main.crsql_master WHERE key = 'pre_compact_dbversion'";

pub const STORED_SITE_ID: &str = "SELECT site_id FROM main.crsql_site_id WHERE ordinal = 0";
pub const ENGINE_SITE_ID: &str = "SELECT crsql_site_id()";

/// Keeps a read transaction as long as it stands on its one row.
pub const HOLD_SNAPSHOT: &str = "SELECT count(*) FROM main.sqlite_master";

const CHANGE_COLUMNS: &str = "\"table\", pk, cid, val, col_version, db_version, site_id, cl, seq";

/// The receiver numbers what it receives: version 0 becomes the version of this transaction.
pub fn merge_change() -> String {
    format!(
        "INSERT INTO crsql_changes({CHANGE_COLUMNS})
 VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, crsql_increment_and_get_seq())"
    )
}

pub const ROWS_IMPACTED: &str = "SELECT crsql_rows_impacted()";

pub const SYNC_BIT: &str = "SELECT crsql_internal_sync_bit()";
pub const SET_SYNC_BIT: &str = "SELECT crsql_internal_sync_bit(?1)";

pub const TABLE_COLUMNS: &str = "SELECT name, pk FROM pragma_table_info(?1, 'main')";

pub const NEXT_ORDINAL: &str = "SELECT max(ordinal) + 1 FROM main.crsql_site_id";
pub const SET_OWN_SITE_ID: &str = "UPDATE main.crsql_site_id SET site_id = ?1 WHERE ordinal = 0";
pub const ADD_SITE_ID: &str = "INSERT INTO main.crsql_site_id(site_id, ordinal) VALUES (?1, ?2)";
pub const FORGET_SENT_PEERS: &str = "DELETE FROM main.crsql_tracked_peers WHERE event = 1";

pub fn disown_changes(clock_table: &str) -> String {
    format!("UPDATE main.{} SET site_id = ?1 WHERE site_id = 0", quoted(clock_table))
}

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
