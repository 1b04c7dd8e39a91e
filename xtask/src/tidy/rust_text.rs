//! Rust source with its comments and literals told apart from its code, as far as the checks need it.

/// The same text twice, line for line and column for column, each time with other parts blanked out.
pub struct RustText {
    /// Without comments and without what stands inside string and character literals.
    pub code: String,
    /// Comments only.
    pub comments: String,
}

impl RustText {
    /// Splits a source file. Text that is not Rust gives a wrong answer, but an answer.
    pub fn new(source: &str) -> RustText {
        let mut split =
            Split { code: String::with_capacity(source.len()), comments: String::with_capacity(source.len()) };
        let mut rest = source;
        while let Some(first) = rest.chars().next() {
            let (length, part) = next_part(rest, first);
            split.put(&rest[..length], part);
            rest = &rest[length..];
        }
        RustText { code: split.code, comments: split.comments }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Code,
    Comment,
    Literal,
}

struct Split {
    code: String,
    comments: String,
}

impl Split {
    fn put(&mut self, text: &str, part: Part) {
        for character in text.chars() {
            let blank = if character == '\n' { '\n' } else { ' ' };
            let keep = |wanted| if part == wanted { character } else { blank };
            self.code.push(keep(Part::Code));
            self.comments.push(keep(Part::Comment));
        }
    }
}

/// The length in bytes of the part that `rest` begins with, and what it is. `first` is its first character.
fn next_part(rest: &str, first: char) -> (usize, Part) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Part::Comment);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), Part::Comment);
    }
    if let Some(length) = raw_string(rest) {
        return (length, Part::Literal);
    }
    if first == '"' {
        return (quoted(rest, '"'), Part::Literal);
    }
    if first == '\'' {
        return match character_literal(rest) {
            Some(length) => (length, Part::Literal),
            None => (1, Part::Code),
        };
    }
    // A whole word at once, so that the r of `for"x"` or of `var` is not taken for a raw string's.
    let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    (word.max(first.len_utf8()), Part::Code)
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let tail = &rest[at..];
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let opened = ["r", "br", "cr"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let body = opened.trim_start_matches('#');
    let hashes = opened.len() - body.len();
    let body = body.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let before = rest.len() - body.len();
    Some(before + body.find(&end).map_or(body.len(), |at| at + end.len()))
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// `'a'` and `'\n'` are literals, `'a` is a lifetime.
fn character_literal(rest: &str) -> Option<usize> {
    let mut characters = rest.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        return Some(quoted(rest, '\''));
    }
    let (at, second) = characters.next()?;
    (second == '\'').then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = RustText::new("let a = \"x // y\"; // unsafe\nlet b = 'c'; /* d /* e */ f */ g");
        assert!(text.code.contains("let a ="));
        assert!(text.code.contains("let b ="));
        assert!(text.code.contains('g'));
        for hidden in ["x", "unsafe", "'c'", "d", "f"] {
            assert!(!text.code.contains(hidden), "{hidden} in {:?}", text.code);
        }
        assert!(text.comments.contains("// unsafe"));
        assert!(text.comments.contains("f */"));
        assert!(!text.comments.contains("x // y"));
    }

    #[test]
    fn raw_strings_lifetimes_and_escapes_are_told_apart() {
        let text = RustText::new(r##"fn f<'a>(x: &'a str) { r#"unsafe " "#; '\''; "\"unsafe"; b"unsafe"; end }"##);
        assert!(text.code.contains("fn f<'a>(x: &'a str)"));
        assert!(text.code.contains("end }"));
        assert!(!text.code.contains("unsafe"));
    }

    #[test]
    fn lines_stay_where_they_are() {
        let source = "a\n\"b\nc\"\n// d\ne\n";
        let text = RustText::new(source);
        assert_eq!(text.code.lines().count(), source.lines().count());
        assert_eq!(text.code.lines().nth(4), Some("e"));
        assert_eq!(text.comments.lines().nth(3), Some("// d"));
    }
}
