//! What is compared: everything that an engine keeps and shows, read over one connection.

use rejoin_conformance::{Answer, Row, Session, Statement, Value};
use std::fmt::Write;

/// What one connection shows: each question with its answer.
pub type State = Vec<(String, Answer)>;

/// Reads everything.
pub fn read(session: &mut Session, connection: &str) -> State {
    let objects = session.run(connection, &[plain(OBJECTS)]).answers.remove(0);
    let tables: Vec<String> = objects
        .iter()
        .flatten()
        .filter(|row| row[0] == "table".into() && row[1] != "aside".into())
        .map(|row| row[1].text().to_owned())
        .collect();
    let mut questions = vec![ORDERED.to_owned(), CHANGES.to_owned(), "SELECT crsql_db_version()".to_owned()];
    for table in tables {
        questions.push(match table.as_str() {
            "crsql_master" => format!("SELECT * FROM {table} WHERE key <> 'crsqlite_version'"),
            _ => format!("SELECT * FROM \"{table}\""),
        });
    }
    let statements: Vec<Statement> = questions.iter().map(|sql| plain(sql)).collect();
    let answers = session.run(connection, &statements).answers;
    let mut state = vec![(OBJECTS.to_owned(), objects.map(schema))];
    for (question, answer) in questions.into_iter().zip(answers) {
        let answer = if question == ORDERED { answer } else { answer.map(sorted) };
        state.push((question, answer));
    }
    state
}

/// The first difference, in words.
pub fn difference(ours: &State, theirs: &State) -> Option<String> {
    for ((question, ours), (other, theirs)) in ours.iter().zip(theirs) {
        if question != other {
            return Some(format!("the engines have other tables: {question} and {other}"));
        }
        if let Some(difference) = answers(ours, theirs) {
            return Some(format!("{question}\n{difference}"));
        }
    }
    (ours.len() != theirs.len()).then(|| "one engine has more tables".to_owned())
}

/// How two answers differ. Of two errors the words may differ.
pub fn answers(ours: &Answer, theirs: &Answer) -> Option<String> {
    match (ours, theirs) {
        (Err(_), Err(_)) => None,
        (Ok(ours), Ok(theirs)) if ours == theirs => None,
        (Ok(ours), Ok(theirs)) => {
            let mut text = String::new();
            let missing = |from: &[Row], row: &Row| !from.contains(row);
            for row in ours.iter().filter(|row| missing(theirs, row)) {
                let _ = writeln!(text, "  only ours:   {row:?}");
            }
            for row in theirs.iter().filter(|row| missing(ours, row)) {
                let _ = writeln!(text, "  only theirs: {row:?}");
            }
            if text.is_empty() {
                text = format!("  the same rows in another order or number:\n  {ours:?}\n  {theirs:?}");
            }
            Some(text)
        }
        (ours, theirs) => Some(format!("  ours: {ours:?}\n  theirs: {theirs:?}")),
    }
}

/// A statement without values.
pub fn plain(sql: &str) -> Statement {
    Statement::new(sql, &[])
}

/// Rows in an order of their own.
pub fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

/// Schema rows with the text of each object in one spelling: white space, quotes and comments say nothing.
fn schema(rows: Vec<Row>) -> Vec<Row> {
    let rows = rows.into_iter().map(|mut row| {
        if let Value::Text(sql) = &row[3] {
            row[3] = Value::Text(one_spelling(sql));
        }
        row
    });
    sorted(rows.collect())
}

fn one_spelling(sql: &str) -> String {
    let mut text = sql.to_owned();
    while let Some((before, rest)) = text.clone().split_once("/*") {
        text = format!("{before}{}", rest.split_once("*/").map_or("", |(_, after)| after));
    }
    text.chars()
        .filter(|character| !character.is_whitespace() && !"\"`[]'".contains(*character))
        .collect::<String>()
        .to_ascii_lowercase()
}

const OBJECTS: &str = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%'";

/// The order of `crsql_changes` when none is asked for.
const ORDERED: &str = "SELECT db_version, seq FROM crsql_changes";

const CHANGES: &str = "SELECT [table], pk, cid, val, col_version, db_version, site_id, cl, seq FROM crsql_changes";
