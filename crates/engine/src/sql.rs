//! Every SQL text of the engine: one function per statement. Names are quoted by [`quote`], texts by [`literal`].
//!
//! Those of ordered tables and of migrations have modules of their own.
//!
//! Everything lives in the schema `main`; names are qualified, so that temporary tables cannot stand in the way.

pub(crate) mod fractional;
pub(crate) mod migration;

/// An identifier, quoted.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text literal. SQL text ends at a NUL, so a name that holds one is not known to SQLite either.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn main(name: &str) -> String {
    format!("main.{}", quote(name))
}

fn clock(table: &str) -> String {
    main(&clock_name(table))
}

fn lookaside(table: &str) -> String {
    main(&lookaside_name(table))
}

pub(crate) fn clock_name(table: &str) -> String {
    format!("{table}{CLOCK_SUFFIX}")
}

pub(crate) fn lookaside_name(table: &str) -> String {
    format!("{table}__crsql_pks")
}

pub(crate) fn clock_index_name(table: &str) -> String {
    format!("{table}__crsql_clock_dbv_idx")
}

pub(crate) fn lookaside_index_name(table: &str) -> String {
    format!("{table}__crsql_pks_pks")
}

pub(crate) fn insert_trigger_name(table: &str) -> String {
    format!("{table}__crsql_itrig")
}

pub(crate) fn update_trigger_name(table: &str) -> String {
    format!("{table}__crsql_utrig")
}

pub(crate) fn delete_trigger_name(table: &str) -> String {
    format!("{table}__crsql_dtrig")
}

/// What the name of every clock table ends in.
pub(crate) const CLOCK_SUFFIX: &str = "__crsql_clock";

/// The columns of a clock table, in order.
pub(crate) const CLOCK_COLUMNS: [&str; 6] = ["key", "col_name", "col_version", "db_version", "site_id", "seq"];

fn list<'a>(names: impl IntoIterator<Item = &'a String>, each: impl Fn(&str) -> String) -> String {
    names.into_iter().map(|name| each(name)).collect::<Vec<_>>().join(", ")
}

/// `"a" = ?1 AND "b" = ?2`, with any operator and first number.
fn keys_match(keys: &[String], operator: &str, first: usize) -> String {
    let terms = keys.iter().enumerate().map(|(i, key)| format!("{} {operator} ?{}", quote(key), first + i));
    terms.collect::<Vec<_>>().join(" AND ")
}

fn parameters(count: usize) -> String {
    (1..=count).map(|i| format!("?{i}")).collect::<Vec<_>>().join(", ")
}

// The database-wide tables.

pub(crate) const CREATE_TRACKED_PEERS: &str = "CREATE TABLE IF NOT EXISTS main.crsql_tracked_peers (\"site_id\" BLOB NOT NULL, \
     \"version\" INTEGER NOT NULL, \"seq\" INTEGER DEFAULT 0, \"tag\" INTEGER, \"event\" INTEGER, \
     PRIMARY KEY (\"site_id\", \"tag\", \"event\")) STRICT";
pub(crate) const CREATE_MASTER: &str =
    "CREATE TABLE IF NOT EXISTS main.\"crsql_master\" (\"key\" TEXT PRIMARY KEY, \"value\" ANY)";
pub(crate) const CREATE_SITE_ID: &str =
    "CREATE TABLE IF NOT EXISTS main.\"crsql_site_id\" (site_id BLOB NOT NULL, ordinal INTEGER PRIMARY KEY)";
pub(crate) const CREATE_SITE_ID_INDEX: &str =
    "CREATE UNIQUE INDEX IF NOT EXISTS main.crsql_site_id_site_id ON \"crsql_site_id\" (site_id)";
pub(crate) const DATABASE_OBJECTS: &str = "SELECT name FROM main.sqlite_master WHERE name IN \
     ('crsql_tracked_peers', 'crsql_master', 'crsql_site_id', 'crsql_site_id_site_id', 'crsql_db_versions', \
     'crsql_site_id_insert_trig', 'crsql_site_id_update_trig', 'crsql_site_id_delete_trig')";
pub(crate) const READ_MASTER: &str = "SELECT value FROM main.crsql_master WHERE key = ?1";
pub(crate) const WRITE_MASTER: &str =
    "INSERT INTO main.crsql_master (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
/// (value) -> the value as text.
pub(crate) const AS_TEXT: &str = "SELECT CAST(?1 AS TEXT)";
/// (value) -> what the column `value` of crsql_master, whose affinity is NUMERIC, stores of it.
pub(crate) const AS_NUMERIC: &str =
    "SELECT CASE WHEN typeof(?1) IN ('text', 'real') AND CAST(?1 AS NUMERIC) = ?1 THEN CAST(?1 AS NUMERIC) ELSE ?1 END";
pub(crate) const OWN_SITE_ID: &str = "SELECT site_id FROM main.crsql_site_id WHERE ordinal = 0";
pub(crate) const ADD_OWN_SITE_ID: &str = "INSERT INTO main.crsql_site_id (site_id, ordinal) VALUES (?1, 0)";
pub(crate) const SITE_ORDINAL: &str = "SELECT ordinal FROM main.crsql_site_id WHERE site_id = ?1";
pub(crate) const SITE_OF_ORDINAL: &str = "SELECT site_id FROM main.crsql_site_id WHERE ordinal = ?1";
pub(crate) const ADD_SITE: &str = "INSERT INTO main.crsql_site_id (site_id) VALUES (?1)";
pub(crate) const DATA_VERSION: &str = "PRAGMA main.data_version";
pub(crate) const SCHEMA_VERSION: &str = "PRAGMA main.schema_version";

// The catalogue.

pub(crate) const CLOCK_TABLES: &str = "SELECT name FROM main.sqlite_master WHERE type = 'table' \
     AND name GLOB '?*__crsql_clock' ORDER BY rowid";
pub(crate) const COLUMN_NAMES: &str =
    "SELECT name, pk, type, \"notnull\" FROM pragma_table_info(?1, 'main') ORDER BY cid";
pub(crate) const IS_STRICT: &str = "SELECT 1 FROM pragma_table_list(?1) WHERE schema = 'main' AND strict = 1";
pub(crate) const IS_ANOTHER_ATTACHED: &str = "SELECT 1 FROM pragma_database_list WHERE seq > 1";
pub(crate) const INDEX_COLUMNS: &str = "SELECT name FROM pragma_index_info(?1, 'main') ORDER BY seqno";
pub(crate) const TABLE_SQL: &str =
    "SELECT name, sql FROM main.sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
pub(crate) const TRIGGER: &str = "SELECT tbl_name, sql FROM main.sqlite_master WHERE type = 'trigger' AND name = ?1";
/// Table, name and text of every trigger.
pub(crate) const TRIGGERS: &str = "SELECT tbl_name, name, sql FROM main.sqlite_master WHERE type = 'trigger'";
pub(crate) const IS_ANY_TRIGGER_TEMPORARY: &str = "SELECT 1 FROM temp.sqlite_master WHERE type = 'trigger'";
pub(crate) const OBJECT_EXISTS: &str = "SELECT 1 FROM main.sqlite_master WHERE type = ?1 AND name = ?2";

/// Name, NOT NULL, default, and whether it is generated, of every column that is not hidden.
pub(crate) const SHOWN_COLUMNS: &str = "SELECT name, \"notnull\", dflt_value, hidden > 1 \
     FROM pragma_table_xinfo(?1, 'main') WHERE hidden <> 1 ORDER BY cid";

/// The column names that the clock rows of the lowest and the highest key speak of.
pub(crate) fn sampled_column_names(table: &str) -> String {
    let clock = clock(table);
    format!(
        "SELECT DISTINCT col_name FROM {clock} WHERE key = (SELECT min(key) FROM {clock}) \
         OR key = (SELECT max(key) FROM {clock})"
    )
}

// Which tables can be tracked.

pub(crate) const HAS_OTHER_UNIQUE_INDEX: &str =
    "SELECT 1 FROM pragma_index_list(?1, 'main') WHERE \"unique\" = 1 AND origin <> 'pk'";
pub(crate) const KEY_COLUMN_COUNTS: &str = "SELECT count(*), coalesce(sum(\"notnull\" <> 0), 0) \
     FROM pragma_table_info(?1, 'main') WHERE pk > 0";
/// The collations by which the index of a primary key compares; none where the key is the rowid.
pub(crate) const KEY_COLLATIONS: &str = "SELECT x.name, x.coll FROM pragma_index_list(?1, 'main') AS i, \
     pragma_index_xinfo(i.name, 'main') AS x WHERE i.origin = 'pk' AND x.\"key\" = 1 ORDER BY x.seqno";
pub(crate) const HAS_FOREIGN_KEY: &str = "SELECT 1 FROM pragma_foreign_key_list(?1, 'main')";
pub(crate) const HAS_REQUIRED_COLUMN: &str = "SELECT 1 FROM pragma_table_xinfo(?1, 'main') \
     WHERE pk = 0 AND \"notnull\" <> 0 AND dflt_value IS NULL AND hidden = 0";
pub(crate) const COLUMN_DEFAULTS: &str =
    "SELECT name, \"notnull\", dflt_value FROM pragma_table_info(?1, 'main') WHERE pk = 0 ORDER BY cid";

// Tracking a table.

/// A table of the user, with the definitions as they were given. A comment may end them.
pub(crate) fn create_table(table: &str, definitions: &str) -> String {
    let line_end = if definitions.contains("--") { "\n" } else { "" };
    format!("CREATE TABLE {} ({definitions}{line_end})", main(table))
}

pub(crate) fn drop_table(table: &str) -> String {
    format!("DROP TABLE IF EXISTS {}", main(table))
}

pub(crate) fn create_clock(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (key INTEGER NOT NULL, col_name TEXT NOT NULL, col_version INTEGER NOT NULL, \
         db_version INTEGER NOT NULL, site_id INTEGER NOT NULL DEFAULT 0, seq INTEGER NOT NULL, \
         PRIMARY KEY (key, col_name)) WITHOUT ROWID, STRICT",
        clock(table)
    )
}

pub(crate) fn create_clock_index(table: &str) -> String {
    let (index, clock) = (main(&clock_index_name(table)), quote(&clock_name(table)));
    format!("CREATE INDEX IF NOT EXISTS {index} ON {clock} (\"db_version\")")
}

pub(crate) fn create_lookaside(table: &str, keys: &[String]) -> String {
    format!("CREATE TABLE IF NOT EXISTS {} (__crsql_key INTEGER PRIMARY KEY, {})", lookaside(table), list(keys, quote))
}

pub(crate) fn create_lookaside_index(table: &str, keys: &[String]) -> String {
    let (index, lookaside) = (main(&lookaside_index_name(table)), quote(&lookaside_name(table)));
    format!("CREATE UNIQUE INDEX IF NOT EXISTS {index} ON {lookaside} ({})", list(keys, quote))
}

/// The condition of every trigger that records, in the original's words.
pub(crate) const UNLESS_MERGING: &str = "crsql_internal_sync_bit() = 0";

pub(crate) fn create_insert_trigger(table: &str, keys: &[String]) -> String {
    format!(
        "CREATE TRIGGER {} AFTER INSERT ON {} WHEN {UNLESS_MERGING} \
         BEGIN VALUES (crsql_after_insert({}, {})); END",
        main(&insert_trigger_name(table)),
        quote(table),
        literal(table),
        list(keys, |key| format!("NEW.{}", quote(key)))
    )
}

/// `fingerprint` goes into a comment of the trigger, which no ALTER TABLE rewrites.
pub(crate) fn create_update_trigger(table: &str, keys: &[String], columns: &[String], fingerprint: &str) -> String {
    let of = |row: &str, names: &[String]| list(names, |name| format!("{row}.{}", quote(name)));
    let mut arguments = vec![literal(table), of("NEW", keys), of("OLD", keys)];
    if !columns.is_empty() {
        arguments.extend([of("NEW", columns), of("OLD", columns)]);
    }
    format!(
        "CREATE TRIGGER {} AFTER UPDATE ON {} WHEN {UNLESS_MERGING} \
         BEGIN /* {fingerprint} */ VALUES (crsql_after_update({})); END",
        main(&update_trigger_name(table)),
        quote(table),
        arguments.join(", ")
    )
}

pub(crate) fn create_delete_trigger(table: &str, keys: &[String]) -> String {
    format!(
        "CREATE TRIGGER {} AFTER DELETE ON {} WHEN {UNLESS_MERGING} \
         BEGIN VALUES (crsql_after_delete({}, {})); END",
        main(&delete_trigger_name(table)),
        quote(table),
        literal(table),
        list(keys, |key| format!("OLD.{}", quote(key)))
    )
}

/// Also the triggers that older versions made for each key column.
pub(crate) fn drop_triggers(table: &str, keys: &[String]) -> String {
    let own = [insert_trigger_name(table), update_trigger_name(table), delete_trigger_name(table)];
    let legacy = keys.iter().map(|key| format!("{table}_{key}__crsql_utrig"));
    let drop = |name: String| format!("DROP TRIGGER IF EXISTS {};", main(&name));
    own.into_iter().chain(legacy).map(drop).collect()
}

pub(crate) fn drop_clock_and_lookaside(table: &str) -> String {
    format!("DROP TABLE IF EXISTS {}; DROP TABLE IF EXISTS {};", clock(table), lookaside(table))
}

// Backfill and compaction.

pub(crate) fn highest_key(table: &str) -> String {
    format!("SELECT coalesce(max(__crsql_key), 0) FROM {}", lookaside(table))
}

/// A lookaside row for every row of the table that has none, in the order of the keys. The unary plus takes the
/// column's affinity and collation away: keys are compared as they are stored.
pub(crate) fn add_missing_keys(table: &str, keys: &[String]) -> String {
    format!(
        "INSERT INTO {lookaside} ({names}) SELECT {names} FROM {base} AS base WHERE NOT EXISTS \
         (SELECT 1 FROM {lookaside} AS known WHERE {same}) ORDER BY {names}",
        lookaside = lookaside(table),
        base = main(table),
        names = list(keys, quote),
        same = same_key(keys)
    )
}

fn same_key(keys: &[String]) -> String {
    let same = keys.iter().map(|key| format!("known.{0} IS +base.{0}", quote(key)));
    same.collect::<Vec<_>>().join(" AND ")
}

fn base_row_exists(table: &str, keys: &[String]) -> String {
    let same = keys.iter().map(|key| format!("base.{0} = known.{0}", quote(key))).collect::<Vec<_>>().join(" AND ");
    format!("EXISTS (SELECT 1 FROM {} AS base WHERE {same})", main(table))
}

pub(crate) fn keys_above(table: &str) -> String {
    format!("SELECT __crsql_key FROM {} WHERE __crsql_key > ?1 ORDER BY __crsql_key", lookaside(table))
}

/// Keys of rows that live in the table although their sentinel says deleted, or that have no clock row at all.
pub(crate) fn keys_to_revive(table: &str, keys: &[String]) -> String {
    format!(
        "SELECT known.__crsql_key, sentinel.col_version FROM {lookaside} AS known LEFT JOIN {clock} AS sentinel \
         ON sentinel.key = known.__crsql_key AND sentinel.col_name = '-1' \
         WHERE sentinel.col_version % 2 = 0 AND {exists} ORDER BY known.__crsql_key",
        lookaside = lookaside(table),
        clock = clock(table),
        exists = base_row_exists(table, keys)
    )
}

/// Keys of rows that their clock rows call alive although they are not in the table.
pub(crate) fn keys_to_bury(table: &str, keys: &[String]) -> String {
    format!(
        "SELECT known.__crsql_key FROM {lookaside} AS known \
         WHERE EXISTS (SELECT 1 FROM {clock} AS c WHERE c.key = known.__crsql_key \
         AND NOT (c.col_name = '-1' AND c.col_version % 2 = 0)) AND NOT {exists} ORDER BY known.__crsql_key",
        lookaside = lookaside(table),
        clock = clock(table),
        exists = base_row_exists(table, keys)
    )
}

/// Keys of rows in the table that have no clock row for a column and hold something else than its default there.
pub(crate) fn keys_without_cell(table: &str, keys: &[String], column: &str, default: Option<&str>) -> String {
    let same = keys.iter().map(|key| format!("base.{0} = known.{0}", quote(key))).collect::<Vec<_>>().join(" AND ");
    let differs = default.map(|expression| format!("AND base.{} IS NOT ({expression})", quote(column)));
    format!(
        "SELECT known.__crsql_key FROM {lookaside} AS known JOIN {base} AS base ON {same} WHERE NOT EXISTS \
         (SELECT 1 FROM {clock} AS c WHERE c.key = known.__crsql_key AND c.col_name = {column}) {differs} \
         ORDER BY known.__crsql_key",
        lookaside = lookaside(table),
        base = main(table),
        clock = clock(table),
        column = literal(column),
        differs = differs.unwrap_or_default()
    )
}

pub(crate) fn forget_other_columns(table: &str, columns: &[String]) -> String {
    let known: String = columns.iter().map(|column| format!(", {}", literal(column))).collect();
    format!("DELETE FROM {} WHERE col_name NOT IN ('-1'{known})", clock(table))
}

pub(crate) fn forget_unused_keys(table: &str) -> String {
    format!("DELETE FROM {} WHERE __crsql_key NOT IN (SELECT key FROM {})", lookaside(table), clock(table))
}

// Clock rows and keys, for local writes and merges.

pub(crate) fn highest_db_version(table: &str) -> String {
    format!("SELECT max(db_version) FROM {}", clock(table))
}

pub(crate) fn find_key(table: &str, keys: &[String]) -> String {
    format!("SELECT __crsql_key FROM {} WHERE {}", lookaside(table), keys_match(keys, "IS", 1))
}

/// (keys): a key that may be known already; then nothing happens.
pub(crate) fn add_key(table: &str, keys: &[String]) -> String {
    format!(
        "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING",
        lookaside(table),
        list(keys, quote),
        parameters(keys.len())
    )
}

/// (key, sentinel?) -> the values of a key, then its sentinel.
pub(crate) fn read_key(table: &str, keys: &[String]) -> String {
    format!(
        "SELECT (SELECT col_version FROM {clock} WHERE key = ?1 AND col_name = '-1'), {names} \
         FROM {lookaside} WHERE __crsql_key = ?1",
        clock = clock(table),
        names = list(keys, quote),
        lookaside = lookaside(table)
    )
}

/// (keys, column) -> the key, its sentinel, the column's col_version, and whether it has any clock row.
pub(crate) fn standing(table: &str, keys: &[String]) -> String {
    format!(
        "SELECT p.__crsql_key, (SELECT col_version FROM {clock} WHERE key = p.__crsql_key AND col_name = '-1'), \
         (SELECT col_version FROM {clock} WHERE key = p.__crsql_key AND col_name = ?{column}), \
         EXISTS (SELECT 1 FROM {clock} WHERE key = p.__crsql_key) FROM {lookaside} AS p WHERE {keys_match}",
        clock = clock(table),
        column = keys.len() + 1,
        lookaside = lookaside(table),
        keys_match = keys_match(keys, "IS", 1)
    )
}

/// (keys) -> the key, column and col_version of each clock row, by column.
pub(crate) fn row_clock(table: &str, keys: &[String]) -> String {
    select_row_clock(table, keys, "c.col_name", "")
}

/// The key and two more columns of the clock rows of a row, by their columns. No value of the key is NULL.
///
/// A join of both tables would be compiled anew for other keys, see [`select_clocks_from`]; what finds one row by a unique
/// index never is.
fn select_row_clock(table: &str, keys: &[String], second: &str, condition: &str) -> String {
    format!(
        "SELECT c.key, {second}, c.col_version FROM {} AS c \
         WHERE c.key = (SELECT __crsql_key FROM {} WHERE {}){condition} ORDER BY c.col_name",
        clock(table),
        lookaside(table),
        keys_match(keys, "=", 1)
    )
}

/// (keys) -> the key, whether it is the sentinel, and the col_version of a cell's clock row and of the sentinel, as far as
/// they are there, by column.
/// For few columns: passing all clock rows of a row, which the unary plus brings about, costs less than looking for two.
pub(crate) fn cell_clock(table: &str, keys: &[String], column: &str, few_columns: bool) -> String {
    let plus = if few_columns { "+" } else { "" };
    let condition = format!(" AND {plus}c.col_name IN ('-1', {})", literal(column));
    select_row_clock(table, keys, "c.col_name = '-1'", &condition)
}

/// (keys) -> the key, column and col_version of each clock row, then the values of the key, from these keys on in their
/// order.
pub(crate) fn row_clocks_from(table: &str, keys: &[String]) -> String {
    let columns = "c.col_name, c.col_version";
    select_clocks_from(table, keys, columns, &format!("CROSS JOIN {} AS c ON c.key = p.__crsql_key", clock(table)))
}

/// (keys, column) -> the key, the cell's col_version and the sentinel's or NULL, then the values of the key, for each row
/// that has the cell's clock row, from these keys on in their order.
pub(crate) fn cell_clocks_from(table: &str, keys: &[String]) -> String {
    let clocks = format!(
        "CROSS JOIN {clock} AS c ON c.key = p.__crsql_key AND c.col_name = (SELECT ?{column}) \
         LEFT JOIN {clock} AS s ON s.key = p.__crsql_key AND s.col_name = '-1'",
        clock = clock(table),
        column = keys.len() + 1
    );
    select_clocks_from(table, keys, "c.col_version, s.col_version", &clocks)
}

/// Parameters come out of subqueries: SQLite may compile a statement anew for each value that it compares with an index.
fn select_clocks_from(table: &str, keys: &[String], columns: &str, clocks: &str) -> String {
    let names = list(keys, |key| format!("p.{}", quote(key)));
    format!(
        "SELECT c.key, {columns}, {names} FROM {} AS p {clocks} WHERE ({names}) >= (SELECT {}) ORDER BY {names}",
        lookaside(table),
        parameters(keys.len())
    )
}

/// (key, db_version; then col_version, site ordinal and seq of each column): clock rows that are not there yet, by their
/// columns' names, the order in which the clock keeps them. See [`add_cells`] for OR FAIL.
pub(crate) fn add_clock_rows(table: &str, columns: &[&String]) -> String {
    let row = |(i, column): (usize, &&String)| {
        let first = 3 + 3 * i;
        format!("(?1, {}, ?{first}, ?2, ?{}, ?{})", literal(column), first + 1, first + 2)
    };
    let rows: Vec<String> = columns.iter().enumerate().map(row).collect();
    format!("INSERT OR FAIL INTO {} ({CLOCK_ROW}) VALUES {}", clock(table), rows.join(", "))
}

/// (key, column) -> the site id of the cell's author; NULL where the ordinal stands for nobody.
pub(crate) fn site_of_cell(table: &str) -> String {
    format!(
        "SELECT (SELECT s.site_id FROM main.crsql_site_id AS s WHERE s.ordinal = c.site_id) FROM {} AS c \
         WHERE c.key = ?1 AND c.col_name = ?2",
        clock(table)
    )
}

/// (key, db_version, first seq): a first clock row for every column. OR FAIL saves SQLite the journal with which it could
/// take back the rows before one that fails: whatever is around this takes back everything.
pub(crate) fn add_cells(table: &str, columns: &[String]) -> String {
    format!("INSERT OR FAIL INTO {} ({CLOCK_ROW}) VALUES {}", clock(table), first_cells(columns))
}

/// By the columns' names, the order in which the clock keeps them.
fn first_cells(columns: &[String]) -> String {
    let mut by_name: Vec<(usize, &String)> = columns.iter().enumerate().collect();
    by_name.sort_by_key(|(_, column)| *column);
    let row = |(i, column): (usize, &String)| format!("(?1, {}, 1, ?2, 0, ?3 + {i})", literal(column));
    by_name.into_iter().map(row).collect::<Vec<_>>().join(", ")
}

/// (key, db_version, first seq): every column is written once more.
pub(crate) fn touch_cells(table: &str, columns: &[String]) -> String {
    format!("INSERT INTO {} ({CLOCK_ROW}) VALUES {} {ONCE_MORE}", clock(table), first_cells(columns))
}

/// (key, column, db_version, seq): the column is written once more.
pub(crate) fn touch_cell(table: &str) -> String {
    format!(
        "INSERT INTO {} (key, col_name, col_version, db_version, site_id, seq) VALUES (?1, ?2, 1, ?3, 0, ?4) {}",
        clock(table),
        ONCE_MORE
    )
}

const ONCE_MORE: &str = "ON CONFLICT (key, col_name) DO UPDATE SET col_version = col_version + 1, \
     db_version = excluded.db_version, site_id = 0, seq = excluded.seq";

/// (key, db_version, seq): the row was created, alive or dead before.
pub(crate) fn touch_sentinel_created(table: &str) -> String {
    format!(
        "INSERT INTO {} (key, col_name, col_version, db_version, site_id, seq) VALUES (?1, '-1', 1, ?2, 0, ?3) \
         ON CONFLICT (key, col_name) DO UPDATE SET \
         col_version = CASE col_version % 2 WHEN 0 THEN col_version + 1 ELSE col_version + 2 END, \
         db_version = excluded.db_version, site_id = 0, seq = excluded.seq",
        clock(table)
    )
}

/// (key, db_version, seq): as [`touch_sentinel_created`], where there is a sentinel.
pub(crate) fn touch_sentinel_recreated(table: &str) -> String {
    format!(
        "UPDATE {} SET col_version = CASE col_version % 2 WHEN 0 THEN col_version + 1 ELSE col_version + 2 END, \
         db_version = ?2, site_id = 0, seq = ?3 WHERE key = ?1 AND col_name = '-1'",
        clock(table)
    )
}

/// (key, db_version, seq): the row was deleted.
pub(crate) fn touch_sentinel_deleted(table: &str) -> String {
    format!(
        "INSERT INTO {} (key, col_name, col_version, db_version, site_id, seq) VALUES (?1, '-1', 2, ?2, 0, ?3) {}",
        clock(table),
        ONCE_MORE
    )
}

/// (key): forgets the cells of a row.
pub(crate) fn drop_cells(table: &str) -> String {
    format!("DELETE FROM {} WHERE key = ?1 AND col_name <> '-1'", clock(table))
}

/// (key) -> column and col_version of its cells.
pub(crate) fn cells_of_key(table: &str) -> String {
    format!("SELECT col_name, col_version FROM {} WHERE key = ?1 AND col_name <> '-1'", clock(table))
}

/// (key, column, col_version, db_version, site ordinal, seq): a clock row that is not there yet.
pub(crate) fn add_clock_row(table: &str) -> String {
    format!("INSERT INTO {} ({CLOCK_ROW}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)", clock(table))
}

/// (key, col_version, db_version, site ordinal, seq): the clock row of a column, which is there.
pub(crate) fn update_clock_row(table: &str, column: &str) -> String {
    format!(
        "UPDATE {} SET col_version = ?2, db_version = ?3, site_id = ?4, seq = ?5 WHERE key = ?1 AND col_name = {}",
        clock(table),
        literal(column)
    )
}

/// (key, column, col_version, db_version, site ordinal, seq): sets a clock row.
pub(crate) fn set_clock_row(table: &str) -> String {
    format!(
        "{} ON CONFLICT (key, col_name) DO UPDATE SET col_version = excluded.col_version, \
         db_version = excluded.db_version, site_id = excluded.site_id, seq = excluded.seq",
        add_clock_row(table)
    )
}

const CLOCK_ROW: &str = "key, col_name, col_version, db_version, site_id, seq";

/// (key, db_version): a new life begins; the cells of the one before lose against every write.
pub(crate) fn zero_cells(table: &str) -> String {
    format!("UPDATE {} SET col_version = 0, db_version = ?2 WHERE key = ?1 AND col_name <> '-1'", clock(table))
}

// Values as a column of some affinity stores them. A comparison with a number makes a number of a text that is one, and
// leaves any other as it is.

pub(crate) const AS_NUMBER: &str = "SELECT iif(CAST(?1 AS NUMERIC) = ?1, CAST(?1 AS NUMERIC), ?1)";
pub(crate) const AS_REAL: &str = "SELECT iif(typeof(?1) = 'integer' OR CAST(?1 AS NUMERIC) = ?1, CAST(?1 AS REAL), ?1)";

// The user's rows.

/// (keys): whether there is such a row.
pub(crate) fn row_exists(table: &str, keys: &[String]) -> String {
    format!("SELECT 1 FROM {} WHERE {}", main(table), keys_match(keys, "=", 1))
}

/// (keys) -> one cell.
pub(crate) fn read_cell(table: &str, keys: &[String], column: &str) -> String {
    format!("SELECT {} FROM {} WHERE {}", quote(column), main(table), keys_match(keys, "=", 1))
}

/// (keys) -> all cells, in the order of the columns.
pub(crate) fn read_cells(table: &str, keys: &[String], columns: &[String]) -> String {
    read_columns(table, keys, &columns.iter().collect::<Vec<_>>())
}

/// (keys) -> some cells, in the order in which their columns are named.
pub(crate) fn read_columns(table: &str, keys: &[String], columns: &[&String]) -> String {
    let names = list(columns.iter().copied(), quote);
    format!("SELECT {names} FROM {} WHERE {}", main(table), keys_match(keys, "=", 1))
}

/// (keys, values): writes some columns of a row, and the row if it is not there. The values are named by their numbers,
/// since the table itself may be called "excluded".
pub(crate) fn upsert_row(table: &str, keys: &[String], columns: &[&String]) -> String {
    format!(
        "INSERT INTO {} ({names}, {columns}) VALUES ({}) ON CONFLICT ({names}) DO UPDATE SET {set}",
        main(table),
        parameters(keys.len() + columns.len()),
        names = list(keys, quote),
        columns = list(columns.iter().copied(), quote),
        set = assignments(columns, keys.len() + 1)
    )
}

/// (keys, values): writes some columns of a row that is there.
pub(crate) fn update_row(table: &str, keys: &[String], columns: &[&String]) -> String {
    let set = assignments(columns, keys.len() + 1);
    format!("UPDATE {} SET {set} WHERE {}", main(table), keys_match(keys, "=", 1))
}

/// `"a" = ?3, "b" = ?4`, with any first number.
fn assignments(columns: &[&String], first: usize) -> String {
    let terms = columns.iter().zip(first..).map(|(column, place)| format!("{} = ?{place}", quote(column)));
    terms.collect::<Vec<_>>().join(", ")
}

/// (keys): a row of defaults, where there is none.
pub(crate) fn add_row(table: &str, keys: &[String]) -> String {
    format!("INSERT OR IGNORE INTO {} ({}) VALUES ({})", main(table), list(keys, quote), parameters(keys.len()))
}

/// (keys): deletes a row.
pub(crate) fn delete_row(table: &str, keys: &[String]) -> String {
    format!("DELETE FROM {} WHERE {}", main(table), keys_match(keys, "=", 1))
}

/// The clock rows of a table that satisfy `conditions` (which speak of `c`), in stream order.
pub(crate) fn scan(table: &str, by_version: bool, conditions: &[String]) -> String {
    let index = if by_version { format!("INDEXED BY {}", quote(&clock_index_name(table))) } else { String::new() };
    select_clock_rows(table, &index, conditions, "c.db_version")
}

/// A condition: versions up to the highest at the time when the statement begins.
pub(crate) fn no_later_than_now(table: &str) -> String {
    format!("c.db_version <= (SELECT max(db_version) FROM {})", clock(table))
}

/// As [`scan`], gathered before the first row is given: the unary plus keeps any index from giving the order.
pub(crate) fn gathering_scan(table: &str, conditions: &[String]) -> String {
    select_clock_rows(table, "", conditions, "+c.db_version")
}

fn select_clock_rows(table: &str, index: &str, conditions: &[String], version: &str) -> String {
    let filter = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    format!(
        "SELECT c.key, c.col_name, c.col_version, c.db_version, c.site_id, c.seq FROM {} AS c {index} {filter} \
         ORDER BY {version}, c.seq, c.key, c.col_name",
        clock(table)
    )
}

/// The causal length of a clock row's row, with the affinity of the column `cl`.
pub(crate) fn causal_length(table: &str) -> String {
    format!(
        "CAST(coalesce((SELECT s.col_version FROM {} AS s WHERE s.key = c.key AND s.col_name = '-1'), 1) AS INTEGER)",
        clock(table)
    )
}
