//! What is compared: everything that an engine keeps and shows, read over one connection.

use rejoin_conformance::{Answer, Row, Session, Statement, Value};
use std::fmt::Write;

/// What one connection shows: each question with its answer.
pub type State = Vec<(String, Answer)>;

/// What is to be asked, by the tables that there are.
#[derive(Default)]
pub struct Questions {
    tables: Vec<String>,
}

impl Questions {
    /// Asks two sessions everything, both at once. Of the schema that was there the time before, all is asked together.
    pub fn ask(&mut self, sessions: [&mut Session; 2], connections: [&str; 2]) -> [State; 2] {
        let [ours, theirs] = sessions;
        loop {
            let questions = questions(&self.tables);
            let statements: Vec<Statement> = questions.iter().map(|sql| plain(sql)).collect();
            ours.start_running(connections[0], &statements);
            theirs.start_running(connections[1], &statements);
            let answers = [ours.finish_running().answers, theirs.finish_running().answers];
            let tables = tables(&answers[0][0]);
            if tables == self.tables {
                return answers.map(|answers| questions.iter().cloned().zip(answers).map(in_order).collect());
            }
            self.tables = tables;
        }
    }
}

fn questions(tables: &[String]) -> Vec<String> {
    let mut questions: Vec<String> = [OBJECTS, ORDERED, CHANGES, "SELECT crsql_db_version()"].map(str::to_owned).into();
    questions.extend(tables.iter().map(|table| match table.as_str() {
        "crsql_master" => format!("SELECT * FROM {table} WHERE key <> 'crsqlite_version'"),
        _ => format!("SELECT * FROM \"{table}\""),
    }));
    questions
}

fn tables(objects: &Answer) -> Vec<String> {
    let rows = objects.iter().flatten();
    let tables = rows.filter(|row| row[0] == "table".into() && row[1] != "aside".into());
    tables.map(|row| row[1].text().to_owned()).collect()
}

fn in_order((question, answer): (String, Answer)) -> (String, Answer) {
    let answer = match question.as_str() {
        OBJECTS => answer.map(schema),
        ORDERED => answer,
        _ => answer.map(sorted),
    };
    (question, answer)
}

/// Leaves the application's tables only.
pub fn rows_only(state: State) -> State {
    let is_of_application = |question: &str| question.starts_with("SELECT * FROM") && !question.contains("crsql");
    state.into_iter().filter(|(question, _)| is_of_application(question)).collect()
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
