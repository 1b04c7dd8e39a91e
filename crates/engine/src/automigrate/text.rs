//! The text of a schema, statement by statement.

use super::shape::normal;
use crate::schema_text::{Kind, Token, tokenize};
use rejoin_bridge::{Connection, Error, Result};

/// A virtual table that the schema makes.
pub(super) struct VirtualTable {
    pub(super) name: String,
    /// Its statement from the word USING on, without what does not matter.
    pub(super) using: Vec<String>,
}

/// What a schema's text says that the database in memory does not show.
#[derive(Default)]
pub(super) struct Declared {
    /// They are not made in memory, since their modules may be missing there.
    pub(super) virtual_tables: Vec<VirtualTable>,
    /// Kind, in small letters, and name of what has a DROP statement.
    pub(super) dropped: Vec<(String, String)>,
}

/// Runs the definitions of a schema on an empty database, and nothing else: what reads or writes rows is for the
/// database that is migrated.
pub(super) fn declare(private: &Connection, schema: &str) -> Result<Declared> {
    let tokens: Vec<Token> =
        tokenize(schema).map_err(Error::failed)?.into_iter().filter(Token::is_significant).collect();
    let mut declared = Declared::default();
    let mut at = 0;
    while let Some(first) = tokens.get(at) {
        if is_semicolon(first, schema) {
            at += 1;
            continue;
        }
        let end = at + tokens[at..].iter().position(|token| is_semicolon(token, schema)).unwrap_or(tokens.len() - at);
        let word = first.text(schema).to_ascii_uppercase();
        if TRANSACTION_WORDS.contains(&word.as_str()) {
            return Err(Error::failed(format!(
                "the schema has a {word} statement: a migration runs inside one transaction, leave it out"
            )));
        }
        declared.dropped.extend(dropped(&tokens[at..end], schema));
        if let Some(virtual_table) = virtual_table(&tokens[at..end], schema)? {
            declared.virtual_tables.push(virtual_table);
            at = end;
        } else if ROW_WORDS.contains(&word.as_str()) {
            at = end;
        } else {
            let (statement, rest) = private.prepare_first(&schema[first.start..])?;
            if let Some(mut statement) = statement {
                statement.run(&[])?;
            }
            let used_up_to = schema.len() - rest.len();
            at += tokens[at..].iter().take_while(|token| token.start < used_up_to).count().max(1);
        }
    }
    Ok(declared)
}

fn is_semicolon(token: &Token, sql: &str) -> bool {
    token.kind == Kind::Other && token.text(sql) == ";"
}

/// Statements that define nothing.
const ROW_WORDS: [&str; 11] =
    ["SELECT", "VALUES", "WITH", "INSERT", "REPLACE", "UPDATE", "DELETE", "PRAGMA", "ANALYZE", "REINDEX", "EXPLAIN"];

/// Statements that would end the transaction of the caller, or cannot run in one.
const TRANSACTION_WORDS: [&str; 9] =
    ["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "ATTACH", "DETACH", "VACUUM"];

/// What a DROP statement names.
fn dropped(tokens: &[Token], sql: &str) -> Option<(String, String)> {
    let (drop, kind) = (tokens.first()?, tokens.get(1)?);
    if !drop.is_word(sql, "DROP") {
        return None;
    }
    let name = tokens.last()?.name(sql)?;
    Some((kind.text(sql).to_ascii_lowercase(), name))
}

fn virtual_table(tokens: &[Token], sql: &str) -> Result<Option<VirtualTable>> {
    let begins = |words: &[&str], from: usize| {
        words.iter().enumerate().all(|(at, word)| tokens.get(from + at).is_some_and(|token| token.is_word(sql, word)))
    };
    if !begins(&["CREATE", "VIRTUAL", "TABLE"], 0) {
        return Ok(None);
    }
    let mut name_at = if begins(&["IF", "NOT", "EXISTS"], 3) { 6 } else { 3 };
    if tokens.get(name_at + 1).is_some_and(|token| token.text(sql) == ".") {
        if !tokens[name_at].name(sql).is_some_and(|schema| schema.eq_ignore_ascii_case("main")) {
            return Err(Error::failed("a migration makes virtual tables in the schema main only"));
        }
        name_at += 2;
    }
    let name = tokens.get(name_at).and_then(|token| token.name(sql));
    let (Some(name), Some(using)) = (name, tokens.get(name_at + 1)) else {
        return Err(Error::failed("a CREATE VIRTUAL TABLE statement of the schema has no name or no module"));
    };
    let end = tokens.last().map_or(using.end, |token| token.end);
    Ok(Some(VirtualTable { name, using: normal(&sql[using.start..end]) }))
}

/// The part of a virtual table's own text that [`VirtualTable::using`] is compared with.
pub(super) fn using_of(create: &str) -> Vec<String> {
    let tokens = normal(create);
    let from = tokens.iter().position(|token| token == "using").unwrap_or(tokens.len());
    tokens[from..].to_vec()
}
