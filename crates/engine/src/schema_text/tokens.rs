//! SQL text cut into tokens, as far as reading a CREATE statement needs it.
//!
//! Every byte of the text belongs to exactly one token, so a statement can be changed in one place and kept
//! verbatim everywhere else.

/// One token: what it is, and where it stands in the text (byte offsets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What kind of token this is.
    pub kind: Kind,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// The kinds of tokens that a CREATE statement is told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Spaces, tabs, line ends.
    Space,
    /// `-- …` up to the end of its line, or `/* … */`.
    Comment,
    /// A bare name or keyword.
    Word,
    /// A name in `"…"`, `` `…` `` or `[…]`.
    Quoted,
    /// `'…'`, or a blob literal `x'…'`.
    Literal,
    /// A number.
    Number,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// Any other single character, operators included.
    Other,
}

impl Token {
    /// The token's text within `sql`.
    #[must_use]
    pub fn text<'a>(&self, sql: &'a str) -> &'a str {
        &sql[self.start..self.end]
    }

    /// Whether the token is the bare word `word`, in any case.
    #[must_use]
    pub fn is_word(&self, sql: &str, word: &str) -> bool {
        self.kind == Kind::Word && self.text(sql).eq_ignore_ascii_case(word)
    }

    /// Whether the token means something to SQLite.
    #[must_use]
    pub fn is_significant(&self) -> bool {
        !matches!(self.kind, Kind::Space | Kind::Comment)
    }

    /// The name that this token stands for, its quotes taken off. SQLite takes a string for a name as well.
    #[must_use]
    pub fn name(&self, sql: &str) -> Option<String> {
        let text = self.text(sql);
        match self.kind {
            Kind::Word => Some(text.to_owned()),
            Kind::Quoted if text.starts_with('[') => Some(text[1..text.len() - 1].to_owned()),
            Kind::Quoted | Kind::Literal if !text.starts_with(['x', 'X']) => {
                let quote = &text[..1];
                Some(text[1..text.len() - 1].replace(&quote.repeat(2), quote))
            }
            _ => None,
        }
    }
}

/// Cuts `sql` into tokens. Nothing is left out: the tokens' ranges follow each other without gaps.
///
/// # Errors
/// A sentence that says what has no end: a quoted name, a string or a comment.
pub fn tokenize(sql: &str) -> Result<Vec<Token>, String> {
    let bytes = sql.as_bytes();
    let mut tokens = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let (kind, end) = scan(bytes, start)?;
        tokens.push(Token { kind, start, end });
        start = end;
    }
    Ok(tokens)
}

/// The kind and the end of the token that starts at `start`.
fn scan(bytes: &[u8], start: usize) -> Result<(Kind, usize), String> {
    let first = bytes[start];
    let next = bytes.get(start + 1).copied();
    Ok(match first {
        b' ' | b'\t' | b'\n' | b'\r' | 0x0c => {
            (Kind::Space, run(bytes, start, |b| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)))
        }
        b'-' if next == Some(b'-') => (Kind::Comment, run(bytes, start, |b| b != b'\n')),
        // SQLite takes an unclosed block comment at the very end for a comment, too.
        b'/' if next == Some(b'*') => {
            let body = &bytes[start + 2..];
            let length = body.windows(2).position(|pair| pair == b"*/").map_or(body.len(), |at| at + 2);
            (Kind::Comment, start + 2 + length)
        }
        b'\'' => (Kind::Literal, quoted(bytes, start, b'\'')?),
        b'"' | b'`' => (Kind::Quoted, quoted(bytes, start, first)?),
        b'[' => match bytes[start..].iter().position(|b| *b == b']') {
            Some(length) => (Kind::Quoted, start + length + 1),
            None => return Err("a name that starts with [ has no ]".to_owned()),
        },
        b'x' | b'X' if next == Some(b'\'') => (Kind::Literal, quoted(bytes, start + 1, b'\'')?),
        b'(' => (Kind::Open, start + 1),
        b')' => (Kind::Close, start + 1),
        b',' => (Kind::Comma, start + 1),
        b'0'..=b'9' => (Kind::Number, number(bytes, start)),
        b'.' if next.is_some_and(|b| b.is_ascii_digit()) => (Kind::Number, number(bytes, start)),
        _ if is_name_byte(first) => (Kind::Word, run(bytes, start, is_name_byte)),
        _ => (Kind::Other, start + 1),
    })
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn run(bytes: &[u8], start: usize, belongs: impl Fn(u8) -> bool) -> usize {
    bytes[start..].iter().position(|b| !belongs(*b)).map_or(bytes.len(), |length| start + length)
}

/// The end of a quoted token; the quote doubled stands for itself.
fn quoted(bytes: &[u8], open: usize, quote: u8) -> Result<usize, String> {
    let mut at = open + 1;
    while at < bytes.len() {
        if bytes[at] == quote {
            if bytes.get(at + 1) != Some(&quote) {
                return Ok(at + 1);
            }
            at += 1;
        }
        at += 1;
    }
    Err(format!("something that starts with {} has no end", char::from(quote)))
}

/// The end of a number: digits, one point, an exponent with its sign, hexadecimal and `_` separators.
fn number(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < bytes.len() {
        let sign_of_exponent = matches!(bytes[at], b'+' | b'-')
            && matches!(bytes[at - 1], b'e' | b'E')
            && !bytes[start..at].starts_with(b"0x")
            && !bytes[start..at].starts_with(b"0X");
        if is_name_byte(bytes[at]) || bytes[at] == b'.' || (at > start && sign_of_exponent) {
            at += 1;
        } else {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<(Kind, &str)> {
        tokenize(sql).expect("tokens").iter().filter(|t| t.is_significant()).map(|t| (t.kind, t.text(sql))).collect()
    }

    #[test]
    fn every_byte_belongs_to_one_token() {
        let sql = "CREATE TABLE [a b](x'00', \"q\"\"q\" INT -- c, (\n/* ) */ DEFAULT -1.5e-3, `é` TEXT,'it''s' 0x1F+2)";
        let tokens = tokenize(sql).expect("tokens");
        let mut at = 0;
        for token in &tokens {
            assert_eq!(token.start, at);
            assert!(token.end > token.start);
            at = token.end;
        }
        assert_eq!(at, sql.len());
    }

    #[test]
    fn quotes_hide_what_is_inside_them() {
        assert_eq!(
            kinds("a\"(,\"[)]`,`'('''"),
            vec![
                (Kind::Word, "a"),
                (Kind::Quoted, "\"(,\""),
                (Kind::Quoted, "[)]"),
                (Kind::Quoted, "`,`"),
                (Kind::Literal, "'('''"),
            ]
        );
    }

    #[test]
    fn comments_are_no_tokens_of_the_statement() {
        assert_eq!(kinds("a--b,(\nc/*,*/d"), vec![(Kind::Word, "a"), (Kind::Word, "c"), (Kind::Word, "d")]);
    }

    #[test]
    fn numbers_keep_their_exponents_and_hexadecimal_ones_have_none() {
        assert_eq!(
            kinds("1e-5 .5 0xE+1"),
            vec![
                (Kind::Number, "1e-5"),
                (Kind::Number, ".5"),
                (Kind::Number, "0xE"),
                (Kind::Other, "+"),
                (Kind::Number, "1")
            ]
        );
    }

    #[test]
    fn names_lose_their_quotes() {
        for (sql, name) in
            [("ab", "ab"), ("\"a\"\"b\"", "a\"b"), ("[a b]", "a b"), ("`a``b`", "a`b"), ("'a''b'", "a'b")]
        {
            assert_eq!(tokenize(sql).expect("tokens")[0].name(sql).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_has_no_end_is_an_error() {
        for sql in ["'a", "\"a", "[a", "`a``"] {
            assert!(tokenize(sql).is_err(), "{sql}");
        }
    }
}
