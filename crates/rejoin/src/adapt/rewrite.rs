//! The new text of a CREATE statement: the old one with single clauses taken out or put in, the rest verbatim.

use rejoin_engine::schema_text::{Column, Constraint, ConstraintKind, CreateTable, Kind, Token, tokenize};
use std::ops::Range;

use super::obstacle::{NotNullCure, Obstacle};

/// The CREATE TABLE text without what `obstacles` name.
///
/// # Errors
/// A clause that says what could not be read.
pub(super) fn rewrite_table(sql: &str, table: &CreateTable, obstacles: &[Obstacle]) -> Result<String, String> {
    let mut edits = Edits { sql, tokens: tokenize(sql)?, list: Vec::new() };
    let mut removed: Vec<&Constraint> = Vec::new();
    for constraint in table.all_constraints() {
        match &constraint.kind {
            ConstraintKind::ForeignKey | ConstraintKind::Unique => removed.push(constraint),
            ConstraintKind::PrimaryKey { autoincrement: Some(word) } => edits.remove(word.clone()),
            _ => {}
        }
    }
    for obstacle in obstacles {
        match obstacle {
            Obstacle::NotNullWithoutDefault { column, cure } => {
                let column = find(table, column)?;
                let mut not_null = column.constraints.iter().filter(|c| c.kind == ConstraintKind::NotNull);
                match cure {
                    NotNullCure::Default(value) => {
                        let end = not_null.next_back().map_or(column.end, |constraint| constraint.range.end);
                        edits.insert(end, format!(" DEFAULT {value}"));
                    }
                    NotNullCure::NullableForCheck | NotNullCure::NullableForGenerated => removed.extend(not_null),
                }
            }
            Obstacle::NullableKey { column } => {
                let column = find(table, column)?;
                let key = column.constraints.iter().find(|c| matches!(c.kind, ConstraintKind::PrimaryKey { .. }));
                edits.insert(key.map_or(column.end, |constraint| constraint.range.end), " NOT NULL".to_owned());
            }
            Obstacle::Autoincrement => edits.remove_comments_with("autoincrement"),
            _ => {}
        }
    }
    for column in &table.columns {
        for constraint in column.constraints.iter().filter(|c| removed.contains(c)) {
            edits.remove(constraint.range.clone());
        }
    }
    // Table constraints that follow a comma together share it: it goes only if all of them go.
    for group in table.constraints.chunk_by(|_, next| next.comma.is_none()) {
        let all_go = group.iter().all(|constraint| removed.contains(&constraint));
        match (group.first().and_then(|first| first.comma), group.last()) {
            (Some(comma), Some(last)) if all_go => edits.remove(comma..last.range.end),
            _ => {
                for constraint in group.iter().filter(|constraint| removed.contains(constraint)) {
                    edits.remove(constraint.range.clone());
                }
            }
        }
    }
    Ok(edits.apply())
}

/// A CREATE UNIQUE INDEX text without its UNIQUE.
///
/// # Errors
/// A clause that says what could not be read.
pub(super) fn rewrite_index(sql: &str) -> Result<String, String> {
    let tokens = tokenize(sql)?;
    let mut significant = tokens.iter().filter(|token| token.is_significant()).skip(1);
    let unique = significant.next().filter(|token| token.is_word(sql, "UNIQUE"));
    let unique = unique.ok_or("it is not a CREATE UNIQUE INDEX statement")?.start;
    let mut edits = Edits { sql, tokens, list: Vec::new() };
    edits.remove(unique..unique + "UNIQUE".len());
    Ok(edits.apply())
}

fn find<'t>(table: &'t CreateTable, name: &str) -> Result<&'t Column, String> {
    table.columns.iter().find(|column| column.name == name).ok_or_else(|| format!("column {name} is not in its text"))
}

/// Changes to a text, by byte ranges that do not overlap.
struct Edits<'a> {
    sql: &'a str,
    tokens: Vec<Token>,
    list: Vec<(Range<usize>, String)>,
}

impl Edits<'_> {
    /// Takes out a range of whole tokens together with the space before it.
    fn remove(&mut self, range: Range<usize>) {
        let mut start = range.start;
        let before = self.tokens.iter().rposition(|token| token.end == start);
        if let Some(at) = before.filter(|at| self.tokens[*at].kind == Kind::Space) {
            // The line end after a `--` comment has to stay.
            let after_comment = at.checked_sub(1).is_some_and(|at| self.tokens[at].text(self.sql).starts_with("--"));
            if !after_comment {
                start = self.tokens[at].start;
            }
        }
        let next = self.sql.as_bytes().get(range.end).copied().unwrap_or(b' ');
        let joins = !matches!(next, b' ' | b'\t' | b'\n' | b'\r' | b',' | b')');
        self.list.push((start..range.end, if joins { " ".to_owned() } else { String::new() }));
    }

    fn insert(&mut self, at: usize, text: String) {
        self.list.push((at..at, text));
    }

    fn remove_comments_with(&mut self, word: &str) {
        let with_word =
            |token: &&Token| token.kind == Kind::Comment && token.text(self.sql).to_ascii_lowercase().contains(word);
        let comments: Vec<Range<usize>> =
            self.tokens.iter().filter(with_word).map(|token| token.start..token.end).collect();
        comments.into_iter().for_each(|comment| self.remove(comment));
    }

    fn apply(mut self) -> String {
        // A comment inside a clause that goes is gone with it.
        let ranges: Vec<Range<usize>> = self.list.iter().map(|(range, _)| range.clone()).collect();
        let inside = |range: &Range<usize>| {
            ranges.iter().any(|other| {
                let starts_before = other.start < range.start || (other.start == range.start && !range.is_empty());
                other != range && starts_before && range.end < other.end
            })
        };
        self.list.retain(|(range, _)| !inside(range));
        self.list.sort_by_key(|(range, _)| (range.start, range.end));
        let (mut text, mut at) = (String::with_capacity(self.sql.len()), 0);
        for (range, replacement) in self.list {
            text.push_str(&self.sql[at..range.start]);
            text.push_str(&replacement);
            at = range.end;
        }
        text.push_str(&self.sql[at..]);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(sql: &str, obstacles: &[Obstacle]) -> String {
        let table = CreateTable::parse(sql).expect("a table");
        rewrite_table(sql, &table, obstacles).expect("a new text")
    }

    fn default(column: &str, value: &str) -> Obstacle {
        Obstacle::NotNullWithoutDefault { column: column.to_owned(), cure: NotNullCure::Default(value.to_owned()) }
    }

    #[test]
    fn only_what_is_in_the_way_changes() {
        let sql = "CREATE TABLE [Album] (\n  [Id] INTEGER CONSTRAINT pk PRIMARY KEY AUTOINCREMENT, -- key\n  \
                   [Title] NVARCHAR(160)  NOT NULL, /* its name */\n  [Artist] INTEGER NOT NULL REFERENCES Artist(Id) ON DELETE CASCADE,\n  \
                   CONSTRAINT u UNIQUE ([Title] COLLATE NOCASE), -- one each\n  CHECK (Title <> ''),\n  FOREIGN KEY ([Artist]) REFERENCES [Artist] ([Id])\n) ";
        let obstacles = [
            Obstacle::NullableKey { column: "Id".to_owned() },
            default("Title", "''"),
            default("Artist", "0"),
            Obstacle::Autoincrement,
        ];
        assert_eq!(
            rewritten(sql, &obstacles),
            "CREATE TABLE [Album] (\n  [Id] INTEGER CONSTRAINT pk PRIMARY KEY NOT NULL, -- key\n  \
             [Title] NVARCHAR(160)  NOT NULL DEFAULT '', /* its name */\n  [Artist] INTEGER NOT NULL DEFAULT 0, -- one each\n  \
             CHECK (Title <> '')\n) "
        );
    }

    #[test]
    fn a_shared_comma_stays_while_one_constraint_needs_it() {
        let sql = "CREATE TABLE t(a, b, UNIQUE(b) PRIMARY KEY(a, b) UNIQUE(a),FOREIGN KEY(a)REFERENCES t UNIQUE(b))";
        assert_eq!(rewritten(sql, &[]), "CREATE TABLE t(a, b, PRIMARY KEY(a, b))");
    }

    #[test]
    fn neighbours_of_what_goes_do_not_grow_together() {
        let sql = "CREATE TABLE t(a INT REFERENCES p(x)NOT NULL, b INT UNIQUE\n-- last\n)";
        assert_eq!(rewritten(sql, &[default("a", "0")]), "CREATE TABLE t(a INT NOT NULL DEFAULT 0, b INT\n-- last\n)");
    }

    #[test]
    fn comments_keep_their_line_ends() {
        let sql = "CREATE TABLE t(a PRIMARY KEY -- autoincrement? no\n, b -- ref\n REFERENCES p -- end\n)";
        assert_eq!(rewritten(sql, &[]), "CREATE TABLE t(a PRIMARY KEY -- autoincrement? no\n, b -- ref\n  -- end\n)");
    }

    #[test]
    fn a_comment_within_a_clause_goes_with_it() {
        let sql = "CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT, b REFERENCES p /* autoincrement */ (x), c -- autoincrement\n)";
        assert_eq!(rewritten(sql, &[Obstacle::Autoincrement]), "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c\n)");
    }

    #[test]
    fn a_unique_index_becomes_a_plain_one() {
        let sql = "CREATE /* UNIQUE */ UNIQUE INDEX \"unique\" ON t(a) WHERE b = 'UNIQUE'";
        assert_eq!(
            rewrite_index(sql).as_deref(),
            Ok("CREATE /* UNIQUE */ INDEX \"unique\" ON t(a) WHERE b = 'UNIQUE'")
        );
        assert!(rewrite_index("CREATE INDEX i ON t(a)").is_err());
    }
}
