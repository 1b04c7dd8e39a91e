//! What differs on purpose, and how each difference is made equal or kept out of a script.

use crate::pair::{Outcome, Pair};
use crate::script::{KeyChange, Kind, Place};
use crate::state::{self, plain};
use rejoin_conformance::{Answer, Ran, Row, Statement, Value};
use std::collections::BTreeMap;

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both did the same.
    Equal,
    /// They differ on purpose, in a way after which the rest of the script cannot be compared.
    Enough,
}

/// An answer that differs: on purpose, or not.
pub fn explain(pair: &mut Pair<'_>, place: Place, ours: &Answer, theirs: &Answer, what: String) -> Outcome {
    let stale = ["not found", "could not find the schema information", "values, got"];
    match (ours, theirs) {
        // The original reads its list of tables once in a transaction.
        (Ok(_), Err(error)) if pair.state(place).schema_changed && stale.iter().any(|words| error.contains(words)) => {
            Ok(Verdict::Enough)
        }
        _ => Err(what),
    }
}

/// What has to be known before a statement to make its intended difference equal afterwards.
pub struct Before {
    stored: Option<i64>,
}

impl Before {
    pub fn read(pair: &mut Pair<'_>, place: Place, sql: &str) -> Before {
        let clock = |table: &str| format!("SELECT count(*) FROM sqlite_master WHERE name = '{table}__crsql_clock'");
        let stored = argument(sql, "crsql_as_table")
            .filter(|table| pair.theirs.number(place, &clock(table)) == 1)
            .map(|_| pair.theirs.number(place, "SELECT crsql_db_version()"));
        Before { stored }
    }

    pub fn make_equal(self, pair: &mut Pair<'_>, place: Place, kind: Kind, sql: &str, ours: &Ran) {
        if ours.answers[0].is_err() {
            return;
        }
        if let Some(stored) = self.stored {
            // The original's version can go back when a table is given up.
            let keep = format!(
                "INSERT INTO crsql_master VALUES ('pre_compact_dbversion', {stored}) \
                 ON CONFLICT (key) DO UPDATE SET value = {stored}"
            );
            pair.theirs.sql(place, &keep).expect("the original's table takes a number");
        }
        if let Some(table) = argument(sql, "crsql_as_crr").or_else(|| argument(sql, "crsql_commit_alter")) {
            same_order_of_backfill(pair, place, table);
        }
        // The RELEASE of a savepoint that began the transaction ends it as well.
        let is_commit = sql == "COMMIT" || sql.starts_with("RELEASE") && !pair.state(place).in_transaction;
        if kind == Kind::Transaction && is_commit && pair.state(place).merged {
            pair.state(place).residue = 0;
        }
        if kind == Kind::Transaction && sql == "ROLLBACK" {
            rolled_back(pair, place);
        }
        if kind == Kind::Transaction && sql.starts_with("ROLLBACK TO") {
            goes_on_counting(pair, place);
        }
    }
}

/// The table's name in `SELECT function('table')`.
fn argument<'a>(sql: &'a str, function: &str) -> Option<&'a str> {
    sql.strip_prefix("SELECT ")?.strip_prefix(function)?.strip_prefix("('")?.strip_suffix("')")
}

/// The original goes on counting impacted rows after a rollback, and with the schema that was rolled back.
pub fn rolled_back(pair: &mut Pair<'_>, place: Place) {
    goes_on_counting(pair, place);
    pair.state(place).merged = false;
    if std::mem::take(&mut pair.state(place).schema_changed) {
        pair.reopen_theirs(place);
    }
}

/// What was undone still counts as impacted at the original.
fn goes_on_counting(pair: &mut Pair<'_>, place: Place) {
    pair.state(place).residue = pair.theirs.number(place, IMPACTED) - pair.ours.number(place, IMPACTED);
}

/// A statement has failed: the originals do not give its numbers out again.
pub fn leave_gap(pair: &mut Pair<'_>, place: Place) {
    let next = "SELECT crsql_get_seq()";
    for _ in pair.ours.number(place, next)..pair.theirs.number(place, next) {
        pair.ours.number(place, "SELECT crsql_increment_and_get_seq()");
    }
}

/// Rows and cells that nobody has recorded get their numbers (the local one of the key, and seq) in an order which, at the
/// original, is that of SQLite's plan. Where nothing else differs, the original is given the numbers of the other.
fn same_order_of_backfill(pair: &mut Pair<'_>, place: Place, table: &str) {
    let keys = format!("SELECT * FROM {table}__crsql_pks ORDER BY __crsql_key");
    let clock = format!("SELECT key, col_name, col_version, db_version, site_id, seq FROM {table}__crsql_clock");
    let read = |side: &mut crate::pair::Side| Some((side.sql(place, &keys).ok()?, side.sql(place, &clock).ok()?));
    let (Some(ours), Some(theirs)) = (read(pair.ours), read(pair.theirs)) else { return };
    let same = without_numbers(&ours.0, &ours.1) == without_numbers(&theirs.0, &theirs.1);
    if ours == theirs || !same {
        return;
    }
    let mut statements =
        vec![plain(&format!("DELETE FROM {table}__crsql_pks")), plain(&format!("DELETE FROM {table}__crsql_clock"))];
    for (name, rows) in [("pks", &ours.0), ("clock", &ours.1)] {
        for row in rows {
            let parameters: Vec<String> = (1..=row.len()).map(|number| format!("?{number}")).collect();
            let insert = format!("INSERT INTO {table}__crsql_{name} VALUES ({})", parameters.join(", "));
            statements.push(Statement::new(&insert, row));
        }
    }
    for answer in pair.theirs.run(place, &statements).answers {
        answer.expect("the original's clock can be written");
    }
}

/// Clock rows with keys in place of their numbers, and apart from them the sequence numbers under each version.
fn without_numbers(keys: &[Row], clock: &[Row]) -> (Vec<Row>, Vec<Row>) {
    let key_of = |number: &Value| keys.iter().find(|row| row[0] == *number).map(|row| row[1..].to_vec());
    let rows = clock.iter().map(|row| [key_of(&row[0]).unwrap_or_default(), row[1..5].to_vec()].concat());
    let numbers = clock.iter().map(|row| vec![row[3].clone(), row[5].clone()]);
    (state::sorted(rows.collect()), state::sorted(numbers.collect()))
}

/// Merges at the original, where a record that is refused leaves the key behind, stops the recording of local writes,
/// raises the version of the running transaction, and is counted as far as it got.
pub fn merge_at_original(pair: &mut Pair<'_>, place: Place, insert: &[Statement]) -> Ran {
    let in_transaction = pair.state(place).in_transaction;
    if in_transaction {
        pair.theirs.sql(place, "SAVEPOINT record").expect("a savepoint can be set");
    }
    let mut ran = pair.theirs.run(place, insert);
    let is_refused = ran.answers[0].is_err();
    if is_refused {
        pair.theirs.number(place, "SELECT crsql_internal_sync_bit(0)");
    }
    if in_transaction {
        if is_refused {
            let _ = pair.theirs.sql(place, "ROLLBACK TO record");
            // Nothing takes back a raised version.
            let raised = pair.theirs.number(place, "SELECT crsql_next_db_version()");
            pair.ours.number(place, &format!("SELECT crsql_next_db_version({raised})"));
        }
        let _ = pair.theirs.sql(place, "RELEASE record");
        ran.in_transaction = true;
    }
    if is_refused {
        goes_on_counting(pair, place);
        pair.level_rowids(place);
        pair.unsettle(place);
    }
    ran
}

/// The snapshot forgets the life of a row when a cell of it comes before its sentinel: puts the sentinel before.
pub fn sentinels_first(some: &mut Vec<Row>, all: &[Row]) {
    let is_sentinel = |record: &Row| record[2] == "-1".into();
    let mut ordered: Vec<Row> = Vec::new();
    for record in some.drain(..) {
        if record[7].integer() > 1 && !is_sentinel(&record) {
            let of_row = |other: &&Row| other[0] == record[0] && other[1] == record[1] && is_sentinel(other);
            ordered.extend(all.iter().find(of_row).cloned());
        }
        ordered.push(record);
    }
    *some = ordered;
}

/// A row gets another key. The original's moved cells keep their versions; here they are written anew: the same is done
/// to the original's clock.
pub fn change_key(pair: &mut Pair<'_>, place: Place, change: &KeyChange) -> Outcome {
    let own_transaction = !pair.state(place).in_transaction;
    if own_transaction {
        let begin = plain("BEGIN IMMEDIATE");
        let ours = pair.ours.run(place, std::slice::from_ref(&begin));
        let theirs = pair.theirs.run(place, &[begin]);
        if let Some(what) = state::answers(&ours.answers[0], &theirs.answers[0]) {
            return Err(what);
        }
        if ours.answers[0].is_err() {
            return Ok(Verdict::Equal);
        }
    }
    let moved = Moved::read(pair, place, change);
    let ours = pair.ours.run(place, &[plain(&change.sql), plain("SELECT changes()")]);
    let theirs = pair.theirs.run(place, &[plain(&change.sql), plain("SELECT changes()")]);
    // The count of changes says nothing about a statement that failed.
    let answers = if ours.answers[0].is_ok() { 2 } else { 1 };
    for (ours, theirs) in ours.answers.iter().zip(&theirs.answers).take(answers) {
        if let Some(what) = state::answers(ours, theirs) {
            return explain(pair, place, ours, theirs, what);
        }
    }
    if theirs.answers[0].is_ok() && theirs.answers[1] == Ok(vec![vec![1.into()]]) {
        moved.write_anew(pair, place, change);
    }
    if own_transaction {
        let [ours, theirs] = [&mut *pair.ours, &mut *pair.theirs].map(|side| side.sql(place, "COMMIT"));
        if let Some(what) = state::answers(&ours, &theirs) {
            return Err(what);
        }
        if ours.is_err() {
            // Another connection is reading.
            for side in [&mut *pair.ours, &mut *pair.theirs] {
                side.sql(place, "ROLLBACK").expect("an open transaction can be rolled back");
            }
        }
    }
    pair.state(place).unsettled |= pair.rules.burns;
    pair.settle_after(place, Kind::Write);
    Ok(Verdict::Equal)
}

/// The col_versions that a moved row and the one that it replaces had.
struct Moved {
    /// The highest of both.
    cells: BTreeMap<String, i64>,
    /// Those with which the original's cells begin under the new key.
    before: BTreeMap<String, i64>,
}

impl Moved {
    fn read(pair: &mut Pair<'_>, place: Place, change: &KeyChange) -> Moved {
        let (mut cells, mut before) = (BTreeMap::new(), BTreeMap::new());
        let recursive = pair.theirs.number(place, "PRAGMA recursive_triggers") == 1;
        // A replaced row is recorded as deleted first where triggers see it.
        let keys: &[&[String]] = if recursive && change.sql.starts_with("UPDATE OR REPLACE") {
            &[&change.old]
        } else {
            &[&change.old, &change.new]
        };
        for key in keys {
            let cells_of_key = format!("SELECT col_name, col_version {}", of_key(change, key, "col_name <> '-1'"));
            for row in pair.theirs.sql(place, &cells_of_key).unwrap_or_default() {
                let highest = cells.entry(row[0].text().to_owned()).or_default();
                *highest = row[1].integer().max(*highest);
                // The moved cells take the places of those that were there.
                if key == &change.old || !before.contains_key(row[0].text()) {
                    before.insert(row[0].text().to_owned(), row[1].integer());
                }
            }
        }
        Moved { cells, before }
    }

    fn write_anew(self, pair: &mut Pair<'_>, place: Place, change: &KeyChange) {
        let table = &change.table.name;
        let Some(first) = sentinel(pair, place, change, &change.old) else { return };
        let Some((new_key, _, _)) = sentinel(pair, place, change, &change.new) else { return };
        let (old_key, first, version) = first;
        if old_key == new_key {
            return;
        }
        let mut set = |key: i64, column: &str, assignments: String| {
            let sql =
                format!("UPDATE {table}__crsql_clock SET {assignments} WHERE key = {key} AND col_name = '{column}'");
            pair.theirs.sql(place, &sql).expect("the original's clock can be written");
        };
        let count = self.cells.len() as i64;
        let columns = change.table.columns.iter().map(|column| column.name.clone());
        let columns: Vec<String> = columns.collect();
        let mut number = 0;
        for column in &columns {
            // What the same statement has changed is one further, and comes after the sentinels. A number alone does not
            // tell: cells of an earlier life that a merge has set back keep theirs.
            let before = self.before.get(column).copied().unwrap_or(0);
            let now =
                format!("db_version = {version} AND site_id = 0 AND seq > {} AND col_version > {before}", first + 1);
            let Some(highest) = self.cells.get(column) else {
                set(new_key, column, format!("seq = CASE WHEN {now} THEN seq + {count} ELSE seq END"));
                continue;
            };
            set(
                new_key,
                column,
                format!(
                    "col_version = {highest} + CASE WHEN {now} THEN 2 ELSE 1 END, \
                 seq = CASE WHEN {now} THEN seq + {count} ELSE {first} + {number} END, \
                 db_version = {version}, site_id = 0"
                ),
            );
            number += 1;
        }
        set(old_key, "-1", format!("seq = {first} + {count}"));
        set(new_key, "-1", format!("seq = {first} + {count} + 1"));
        for _ in 0..count {
            pair.theirs.number(place, "SELECT crsql_increment_and_get_seq()");
        }
    }
}

/// The number of a key, and seq and version of its sentinel.
fn sentinel(pair: &mut Pair<'_>, place: Place, change: &KeyChange, key: &[String]) -> Option<(i64, i64, i64)> {
    let sql = format!("SELECT c.key, c.seq, c.db_version {}", of_key(change, key, "col_name = '-1'"));
    let rows = pair.theirs.sql(place, &sql).ok()?;
    rows.first().map(|row| (row[0].integer(), row[1].integer(), row[2].integer()))
}

fn of_key(change: &KeyChange, key: &[String], condition: &str) -> String {
    let table = &change.table;
    let filter = table.where_key(key);
    format!(
        "FROM {0}__crsql_clock AS c WHERE {condition} AND key = (SELECT __crsql_key FROM {0}__crsql_pks WHERE {filter})",
        table.name
    )
}

const IMPACTED: &str = "SELECT crsql_rows_impacted()";
