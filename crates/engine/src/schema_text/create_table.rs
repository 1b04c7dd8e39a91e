//! A CREATE TABLE statement read as far as its columns and constraints, with the place of each in the text.

use std::ops::Range;

use super::tokens::{Kind, Token, tokenize};

/// What a CREATE TABLE text says, by byte ranges into that text.
#[derive(Debug, PartialEq, Eq)]
pub struct CreateTable {
    /// The table's name, with its quotes and without its schema.
    pub name: Range<usize>,
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// The table constraints, in order.
    pub constraints: Vec<Constraint>,
    /// What stands behind the closing parenthesis: `WITHOUT ROWID`, `STRICT`. May be empty.
    pub options: Range<usize>,
}

/// One column definition.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name without quotes.
    pub name: String,
    /// First byte of the definition, which begins with the name.
    pub start: usize,
    /// One past the last byte of the definition: where another constraint can be put.
    pub end: usize,
    /// The declared type; empty where there is none.
    pub declared_type: Range<usize>,
    /// Its constraints, in order.
    pub constraints: Vec<Constraint>,
}

/// One constraint of a column or of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Constraint {
    /// Which constraint.
    pub kind: ConstraintKind,
    /// Its text, with `CONSTRAINT name` where it has one.
    pub range: Range<usize>,
    /// The comma before it. Only table constraints have one, and SQLite lets all but the first go without.
    pub comma: Option<usize>,
}

/// The kinds of constraints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConstraintKind {
    /// `PRIMARY KEY`, with the place of its `AUTOINCREMENT`.
    PrimaryKey {
        /// Where the word stands.
        autoincrement: Option<Range<usize>>,
    },
    /// `NOT NULL`.
    NotNull,
    /// `NULL`, which SQLite takes and ignores.
    Null,
    /// `UNIQUE`.
    Unique,
    /// `CHECK (…)`, with the place of the expression between the parentheses.
    Check {
        /// Where the expression stands.
        expression: Range<usize>,
    },
    /// `REFERENCES …` or `FOREIGN KEY … REFERENCES …`, or a `DEFERRABLE` that stands apart from its `REFERENCES`.
    ForeignKey,
    /// `DEFAULT …`.
    Default,
    /// `COLLATE …`.
    Collate,
    /// `[GENERATED ALWAYS] AS (…)`.
    Generated,
}

impl CreateTable {
    /// Reads `sql`, a CREATE TABLE statement as `sqlite_schema` keeps it.
    ///
    /// # Errors
    /// A clause that says what could not be read, for a sentence such as "cannot read …: …".
    pub fn parse(sql: &str) -> Result<CreateTable, String> {
        let tokens: Vec<Token> = tokenize(sql)?.into_iter().filter(Token::is_significant).collect();
        Reader { sql, tokens, at: 0 }.create_table()
    }

    /// Every constraint, those of columns first.
    pub fn all_constraints(&self) -> impl Iterator<Item = &Constraint> {
        self.columns.iter().flat_map(|column| &column.constraints).chain(&self.constraints)
    }
}

struct Reader<'a> {
    sql: &'a str,
    /// Only those that mean something.
    tokens: Vec<Token>,
    at: usize,
}

impl Reader<'_> {
    fn create_table(mut self) -> Result<CreateTable, String> {
        self.need("CREATE")?;
        let _ = self.take("TEMP") || self.take("TEMPORARY");
        self.need("TABLE")?;
        if self.take("IF") {
            self.need("NOT")?;
            self.need("EXISTS")?;
        }
        self.name()?;
        if self.peek().is_some_and(|token| token.text(self.sql) == ".") {
            self.at += 1;
            self.name()?;
        }
        let name = self.tokens[self.at - 1].start..self.last_end();
        self.need_kind(Kind::Open)?;
        let mut table = CreateTable { name, columns: Vec::new(), constraints: Vec::new(), options: 0..0 };
        let mut comma = None;
        loop {
            if self.at_table_constraint() {
                self.table_constraints(comma, &mut table.constraints)?;
                break;
            }
            table.columns.push(self.column()?);
            match self.peek().map(|token| (token.kind, token.start)) {
                Some((Kind::Comma, start)) => comma = Some(start),
                _ => break,
            }
            self.at += 1;
        }
        self.need_kind(Kind::Close)?;
        table.options.start = self.last_end();
        while let Some(token) = self.peek() {
            let option = ["WITHOUT", "ROWID", "STRICT"].iter().any(|word| token.is_word(self.sql, word));
            if !option && token.kind != Kind::Comma {
                return Err(self.unexpected());
            }
            self.at += 1;
        }
        table.options.end = self.last_end();
        Ok(table)
    }

    fn at_table_constraint(&self) -> bool {
        ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"].iter().any(|word| self.sees(word))
    }

    fn column(&mut self) -> Result<Column, String> {
        let start = self.peek().map_or(self.sql.len(), |token| token.start);
        let name = self.name()?;
        let name_end = self.last_end();
        // The type: any names that do not start a constraint, and its size in parentheses.
        while let Some(token) = self.peek() {
            let part_of_type = matches!(token.kind, Kind::Word | Kind::Quoted | Kind::Literal);
            if !part_of_type || CONSTRAINT_WORDS.iter().any(|word| token.is_word(self.sql, word)) {
                break;
            }
            self.at += 1;
        }
        if self.peek().is_some_and(|token| token.kind == Kind::Open) {
            self.group()?;
        }
        let type_end = self.last_end();
        let type_start = if type_end == name_end { name_end } else { self.start_after(name_end) };
        let mut constraints = Vec::new();
        while !self.at_end_of_definition() {
            if let Some(constraint) = self.constraint(None)? {
                constraints.push(constraint);
            }
        }
        Ok(Column { name, start, end: self.last_end(), declared_type: type_start..type_end, constraints })
    }

    fn table_constraints(&mut self, first_comma: Option<usize>, into: &mut Vec<Constraint>) -> Result<(), String> {
        let mut comma = first_comma;
        while !self.peek().is_some_and(|token| token.kind == Kind::Close) {
            if let Some(constraint) = self.constraint(comma.take())? {
                into.push(constraint);
            }
            if let Some(Token { kind: Kind::Comma, start, .. }) = self.peek() {
                comma = Some(start);
                self.at += 1;
            }
        }
        match comma {
            Some(_) => Err(self.unexpected()),
            None => Ok(()),
        }
    }

    /// The next constraint, or nothing where `CONSTRAINT name` stands without one.
    fn constraint(&mut self, comma: Option<usize>) -> Result<Option<Constraint>, String> {
        let start = self.peek().map_or(self.sql.len(), |token| token.start);
        if self.take("CONSTRAINT") {
            self.name()?;
            if self.at_end_of_definition() || self.sees("CONSTRAINT") {
                return match comma {
                    // A table constraint that is only a name: its comma belongs to nothing that could be kept track of.
                    Some(_) => Err(self.unexpected()),
                    None => Ok(None),
                };
            }
        }
        let kind = self.constraint_kind()?;
        Ok(Some(Constraint { kind, range: start..self.last_end(), comma }))
    }

    fn constraint_kind(&mut self) -> Result<ConstraintKind, String> {
        if self.take("PRIMARY") {
            self.need("KEY")?;
            let mut autoincrement = None;
            if self.peek().is_some_and(|token| token.kind == Kind::Open) {
                let inside = self.group()?;
                // In parentheses the word stands last; a column of this name would be quoted or followed by something.
                let last = self.tokens.iter().rfind(|token| token.end <= inside.end && token.start >= inside.start);
                autoincrement = last
                    .filter(|token| token.is_word(self.sql, "AUTOINCREMENT") && inside.start < token.start)
                    .map(|token| token.start..token.end);
            } else {
                let _ = self.take("ASC") || self.take("DESC");
            }
            self.on_conflict()?;
            if let Some(token) = self.peek().filter(|token| token.is_word(self.sql, "AUTOINCREMENT")) {
                autoincrement = Some(token.start..token.end);
                self.at += 1;
            }
            return Ok(ConstraintKind::PrimaryKey { autoincrement });
        }
        if self.sees("NOT") && self.sees_next("NULL") {
            self.at += 2;
            self.on_conflict()?;
            return Ok(ConstraintKind::NotNull);
        }
        if self.take("NULL") {
            self.on_conflict()?;
            return Ok(ConstraintKind::Null);
        }
        if self.take("UNIQUE") {
            if self.peek().is_some_and(|token| token.kind == Kind::Open) {
                self.group()?;
            }
            self.on_conflict()?;
            return Ok(ConstraintKind::Unique);
        }
        if self.take("CHECK") {
            let expression = self.group()?;
            self.on_conflict()?;
            return Ok(ConstraintKind::Check { expression });
        }
        if self.take("FOREIGN") {
            self.need("KEY")?;
            self.group()?;
            self.need("REFERENCES")?;
            return self.references();
        }
        if self.take("REFERENCES") {
            return self.references();
        }
        if self.deferrable()? {
            return Ok(ConstraintKind::ForeignKey);
        }
        if self.take("DEFAULT") {
            if self.peek().is_some_and(|token| token.kind == Kind::Open) {
                self.group()?;
            } else {
                if self.peek().is_some_and(|token| matches!(token.text(self.sql), "+" | "-")) {
                    self.at += 1;
                }
                self.any()?;
            }
            return Ok(ConstraintKind::Default);
        }
        if self.take("COLLATE") {
            self.name()?;
            return Ok(ConstraintKind::Collate);
        }
        if self.take("GENERATED") {
            self.need("ALWAYS")?;
            if !self.sees("AS") {
                return Err(self.unexpected());
            }
        }
        if self.take("AS") {
            self.group()?;
            let _ = self.take("STORED") || self.take("VIRTUAL");
            return Ok(ConstraintKind::Generated);
        }
        Err(self.unexpected())
    }

    fn references(&mut self) -> Result<ConstraintKind, String> {
        self.name()?;
        if self.peek().is_some_and(|token| token.kind == Kind::Open) {
            self.group()?;
        }
        loop {
            if self.take("ON") {
                if !(self.take("DELETE") || self.take("UPDATE") || self.take("INSERT")) {
                    return Err(self.unexpected());
                }
                if self.take("SET") {
                    if !(self.take("NULL") || self.take("DEFAULT")) {
                        return Err(self.unexpected());
                    }
                } else if self.take("NO") {
                    self.need("ACTION")?;
                } else if !(self.take("CASCADE") || self.take("RESTRICT")) {
                    return Err(self.unexpected());
                }
            } else if self.take("MATCH") {
                self.name()?;
            } else if !self.deferrable()? {
                return Ok(ConstraintKind::ForeignKey);
            }
        }
    }

    /// `[NOT] DEFERRABLE [INITIALLY DEFERRED | IMMEDIATE]`, if it stands here.
    fn deferrable(&mut self) -> Result<bool, String> {
        if self.sees("NOT") && self.sees_next("DEFERRABLE") {
            self.at += 1;
        }
        if !self.take("DEFERRABLE") {
            return Ok(false);
        }
        if self.take("INITIALLY") && !(self.take("DEFERRED") || self.take("IMMEDIATE")) {
            return Err(self.unexpected());
        }
        Ok(true)
    }

    fn on_conflict(&mut self) -> Result<(), String> {
        if self.take("ON") {
            self.need("CONFLICT")?;
            self.name()?;
        }
        Ok(())
    }

    /// Passes a group in parentheses; gives the place of what is inside.
    fn group(&mut self) -> Result<Range<usize>, String> {
        self.need_kind(Kind::Open)?;
        let start = self.last_end();
        let mut depth = 1_usize;
        loop {
            let token = self.any()?;
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(start..token.start);
            }
        }
    }

    fn at_end_of_definition(&self) -> bool {
        self.peek().is_none_or(|token| matches!(token.kind, Kind::Comma | Kind::Close))
    }

    fn peek(&self) -> Option<Token> {
        self.tokens.get(self.at).copied()
    }

    fn any(&mut self) -> Result<Token, String> {
        let token = self.peek().ok_or_else(|| self.unexpected())?;
        self.at += 1;
        Ok(token)
    }

    fn sees(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.is_word(self.sql, word))
    }

    fn sees_next(&self, word: &str) -> bool {
        self.tokens.get(self.at + 1).is_some_and(|token| token.is_word(self.sql, word))
    }

    fn take(&mut self, word: &str) -> bool {
        let seen = self.sees(word);
        self.at += usize::from(seen);
        seen
    }

    fn need(&mut self, word: &str) -> Result<(), String> {
        if self.take(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn need_kind(&mut self, kind: Kind) -> Result<(), String> {
        match self.peek() {
            Some(token) if token.kind == kind => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.unexpected()),
        }
    }

    fn name(&mut self) -> Result<String, String> {
        let name = self.peek().and_then(|token| token.name(self.sql)).ok_or_else(|| self.unexpected())?;
        self.at += 1;
        Ok(name)
    }

    /// One past the last byte that was passed.
    fn last_end(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |last| self.tokens[last].end)
    }

    /// Where the first token behind a place starts.
    fn start_after(&self, place: usize) -> usize {
        self.tokens.iter().find(|token| token.start >= place).map_or(self.sql.len(), |token| token.start)
    }

    fn unexpected(&self) -> String {
        match self.peek() {
            Some(token) => format!("{} is not expected at byte {}", token.text(self.sql), token.start),
            None => "the statement ends too early".to_owned(),
        }
    }
}

/// The bare words that end a column's type.
const CONSTRAINT_WORDS: [&str; 13] = [
    "CONSTRAINT",
    "DEFAULT",
    "NULL",
    "NOT",
    "PRIMARY",
    "UNIQUE",
    "CHECK",
    "REFERENCES",
    "COLLATE",
    "GENERATED",
    "AS",
    "DEFERRABLE",
    "FOREIGN",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn constraints(sql: &str) -> Vec<(String, Vec<&str>)> {
        let table = CreateTable::parse(sql).expect("a table");
        let texts = |list: &[Constraint]| list.iter().map(|c| &sql[c.range.clone()]).collect();
        let mut all: Vec<_> = table.columns.iter().map(|c| (c.name.clone(), texts(&c.constraints))).collect();
        all.push(("()".to_owned(), texts(&table.constraints)));
        all
    }

    #[test]
    fn columns_and_constraints_are_found_behind_every_kind_of_quote_and_comment() {
        let sql = "CREATE TABLE \"t(\" ( -- the , table\n [a b] INTEGER CONSTRAINT pk PRIMARY KEY ASC ON CONFLICT ABORT \
                   AUTOINCREMENT, `b,` VARCHAR(10, 2) /* ) */ DEFAULT (max(1, ')')) NOT NULL ON CONFLICT IGNORE UNIQUE,\n\
                   'c' DOUBLE PRECISION DEFAULT -1.5 COLLATE \"NOCASE\" CHECK (c IN (1,2)), \
                   d REFERENCES p(x) ON DELETE SET NULL MATCH full NOT DEFERRABLE INITIALLY DEFERRED NOT NULL, \
                   e GENERATED ALWAYS AS (a+1) STORED, f)";
        assert_eq!(
            constraints(sql),
            vec![
                ("a b".to_owned(), vec!["CONSTRAINT pk PRIMARY KEY ASC ON CONFLICT ABORT AUTOINCREMENT"]),
                ("b,".to_owned(), vec!["DEFAULT (max(1, ')'))", "NOT NULL ON CONFLICT IGNORE", "UNIQUE"]),
                ("c".to_owned(), vec!["DEFAULT -1.5", "COLLATE \"NOCASE\"", "CHECK (c IN (1,2))"]),
                (
                    "d".to_owned(),
                    vec!["REFERENCES p(x) ON DELETE SET NULL MATCH full NOT DEFERRABLE INITIALLY DEFERRED", "NOT NULL"]
                ),
                ("e".to_owned(), vec!["GENERATED ALWAYS AS (a+1) STORED"]),
                ("f".to_owned(), vec![]),
                ("()".to_owned(), vec![]),
            ]
        );
    }

    #[test]
    fn types_definitions_and_options_are_found() {
        let sql = "CREATE TABLE main.t(a VARCHAR /* c */ (10) NOT NULL, [b c], d INTEGER) WITHOUT ROWID, STRICT";
        let table = CreateTable::parse(sql).expect("a table");
        let types: Vec<&str> = table.columns.iter().map(|column| &sql[column.declared_type.clone()]).collect();
        assert_eq!(types, ["VARCHAR /* c */ (10)", "", "INTEGER"]);
        let whole: Vec<&str> = table.columns.iter().map(|column| &sql[column.start..column.end]).collect();
        assert_eq!(whole, ["a VARCHAR /* c */ (10) NOT NULL", "[b c]", "d INTEGER"]);
        assert_eq!(&sql[table.options], " WITHOUT ROWID, STRICT");
        assert_eq!(&sql[table.name], "t");
        let plain = CreateTable::parse("CREATE TABLE t(a)").expect("a table");
        assert!(plain.options.is_empty());
    }

    #[test]
    fn table_constraints_may_do_without_commas() {
        let sql = "CREATE TABLE t(a, b, CONSTRAINT k PRIMARY KEY(a, b) UNIQUE (b) ON CONFLICT FAIL, CHECK (a>b)\
                   FOREIGN KEY (a) REFERENCES p ON UPDATE CASCADE) WITHOUT ROWID, STRICT";
        let table = CreateTable::parse(sql).expect("a table");
        assert_eq!(
            constraints(sql)[2].1,
            vec![
                "CONSTRAINT k PRIMARY KEY(a, b)",
                "UNIQUE (b) ON CONFLICT FAIL",
                "CHECK (a>b)",
                "FOREIGN KEY (a) REFERENCES p ON UPDATE CASCADE"
            ]
        );
        let commas: Vec<bool> = table.constraints.iter().map(|constraint| constraint.comma.is_some()).collect();
        assert_eq!(commas, vec![true, false, true, false]);
    }

    #[test]
    fn autoincrement_is_told_from_a_column_of_that_name() {
        let place = |sql: &str| {
            let table = CreateTable::parse(sql).expect("a table");
            let found = table.all_constraints().find_map(|constraint| match &constraint.kind {
                ConstraintKind::PrimaryKey { autoincrement } => Some(autoincrement.clone()),
                _ => None,
            });
            found.expect("a primary key").map(|range| sql[range].to_owned())
        };
        assert_eq!(place("CREATE TABLE t(a INTEGER, PRIMARY KEY (a autoincrement))").as_deref(), Some("autoincrement"));
        assert_eq!(place("CREATE TABLE t(a INTEGER PRIMARY KEY AutoIncrement)").as_deref(), Some("AutoIncrement"));
        assert_eq!(
            place("CREATE TABLE t(a INTEGER, \"autoincrement\" INTEGER, PRIMARY KEY (\"autoincrement\"))"),
            None
        );
    }

    #[test]
    fn what_is_no_create_table_is_refused() {
        for sql in
            ["CREATE VIEW v AS SELECT 1", "CREATE TABLE t(a,", "CREATE TABLE t(a FOO BAR %)", "CREATE TABLE t(a,)"]
        {
            assert!(CreateTable::parse(sql).is_err(), "{sql}");
        }
    }
}
