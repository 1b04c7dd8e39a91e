//! The words between the parentheses of CREATE VIRTUAL TABLE.

use crate::error::{Result, StreamError};
use crate::options::{Atomic, InboundOptions, OnGap, OnUnknown, OnViolation, Order, OutboundOptions, Since};
use rejoin_change::{Cursor, SiteId};
use rejoin_wire::{Compression, Format, cursor_from_text, limits};

/// Reads the arguments of an outbound stream.
pub(crate) fn outbound(arguments: &[&str]) -> Result<(SiteId, OutboundOptions)> {
    let arguments = split(arguments, OUTBOUND)?;
    let mut options = OutboundOptions::default();
    let mut json = false;
    let mut compression = None;
    for argument in &arguments {
        match argument.name {
            "since" => options.since = since(argument)?,
            "exclude_sites" => options.exclude_sites = sites(argument)?,
            "local_only" => options.local_only = argument.choice(&[("0", false), ("1", true)])?,
            "tables" => options.tables = tables(argument)?,
            "trust_tracked" => options.trust_tracked = argument.choice(&[("0", false), ("1", true)])?,
            "format" => json = argument.choice(&[("binary", false), ("json", true)])?,
            "compression" => {
                compression = Some(argument.choice(&[("zstd", Compression::Zstd), ("none", Compression::None)])?);
            }
            "package_bytes_max" => options.package_bytes_max = argument.count(limits::PACKAGE_BYTES_SOFT_MAX)?,
            "package_changes_max" => {
                let unlimited = argument.value.text().is_some_and(|text| text.eq_ignore_ascii_case("unlimited"));
                options.package_changes_max = if unlimited { None } else { Some(argument.count(i64::MAX as usize)?) };
            }
            _ => {}
        }
    }
    options.format = if json { Format::Json } else { Format::Binary(compression.unwrap_or(Compression::Zstd)) };
    Ok((remote(&arguments)?, options))
}

/// Reads the arguments of an inbound stream.
pub(crate) fn inbound(arguments: &[&str]) -> Result<(SiteId, InboundOptions)> {
    let arguments = split(arguments, INBOUND)?;
    let mut options = InboundOptions::default();
    for argument in &arguments {
        match argument.name {
            "on_gap" => options.on_gap = argument.choice(&[("receipt", OnGap::Receipt), ("error", OnGap::Error)])?,
            "order" => options.order = argument.choice(&[("strict", Order::Strict), ("any", Order::Any)])?,
            "atomic" => {
                options.atomic =
                    argument.choice(&[("transaction", Atomic::Transaction), ("package", Atomic::Package)])?;
            }
            "tables" => options.tables = tables(argument)?,
            "on_unknown" => {
                options.on_unknown = argument.choice(&[("park", OnUnknown::Park), ("error", OnUnknown::Error)])?;
            }
            "on_violation" => {
                options.on_violation =
                    argument.choice(&[("stop", OnViolation::Stop), ("accept", OnViolation::Accept)])?;
            }
            _ => {}
        }
    }
    Ok((remote(&arguments)?, options))
}

const OUTBOUND: &[&str] = &[
    "remote",
    "since",
    "exclude_sites",
    "local_only",
    "tables",
    "format",
    "compression",
    "package_bytes_max",
    "package_changes_max",
    "trust_tracked",
];

const INBOUND: &[&str] = &["remote", "order", "atomic", "tables", "on_gap", "on_unknown", "on_violation"];

struct Argument<'a> {
    name: &'static str,
    raw: &'a str,
    value: Value,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Blob(Vec<u8>),
    List(Vec<Value>),
}

fn split<'a>(arguments: &[&'a str], known: &[&'static str]) -> Result<Vec<Argument<'a>>> {
    let mut found: Vec<Argument<'a>> = Vec::new();
    for argument in arguments.iter().map(|argument| argument.trim()).filter(|argument| !argument.is_empty()) {
        let Some((name, raw)) = argument.split_once('=') else {
            return Err(StreamError::Misuse(format!(
                "the argument {argument} has no value; write it as name = value, as in remote = x'…'"
            )));
        };
        let (name, raw) = (unquoted_name(name.trim()), raw.trim());
        let Some(name) = known.iter().find(|known| known.eq_ignore_ascii_case(&name)) else {
            return Err(StreamError::Misuse(format!(
                "there is no argument {name}; the arguments of this stream are {}",
                known.join(", ")
            )));
        };
        if found.iter().any(|earlier| earlier.name == *name) {
            return Err(StreamError::Misuse(format!("the argument {name} is given twice; leave one out")));
        }
        let value =
            parse(raw).ok_or_else(|| StreamError::Misuse(format!("the value of {name} cannot be read: {raw}")))?;
        found.push(Argument { name, raw, value });
    }
    Ok(found)
}

fn unquoted_name(name: &str) -> String {
    match parse(name) {
        Some(Value::Text(text)) => text,
        _ => name.into(),
    }
}

impl Argument<'_> {
    fn wrong(&self, expected: &str) -> StreamError {
        StreamError::Misuse(format!("the value of {} is {}, and must be {expected}", self.name, self.raw))
    }

    fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T> {
        let found = self.value.text().and_then(|text| choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)));
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.wrong(&names.join(" or "))
        })
    }

    fn count(&self, max: usize) -> Result<usize> {
        let number = self.value.text().and_then(|text| text.parse::<usize>().ok());
        number.filter(|number| (1..=max).contains(number)).ok_or_else(|| match max {
            limits::PACKAGE_BYTES_SOFT_MAX => self.wrong(&format!("a number from 1 to {max}")),
            _ => self.wrong("a number of at least 1"),
        })
    }
}

impl Value {
    fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn site(&self) -> Option<SiteId> {
        match self {
            Value::Text(text) => SiteId::from_hex(text).ok(),
            Value::Blob(bytes) => SiteId::from_slice(bytes).ok(),
            Value::List(_) => None,
        }
    }
}

fn remote(arguments: &[Argument<'_>]) -> Result<SiteId> {
    let argument = arguments.iter().find(|argument| argument.name == "remote").ok_or_else(|| {
        StreamError::Misuse(
            "the argument remote is missing; write remote = x'…', with what the other database's SELECT \
             hex(crsql_site_id()) says"
                .into(),
        )
    })?;
    argument.value.site().ok_or_else(|| argument.wrong("a site id of 16 bytes, as x'…' or 32 hexadecimal digits"))
}

fn since(argument: &Argument<'_>) -> Result<Since> {
    let wrong = || argument.wrong("[db_version, seq], a cursor or now");
    let text = match &argument.value {
        Value::Text(text) if text.eq_ignore_ascii_case("now") => return Ok(Since::Now),
        Value::Text(text) => text.clone(),
        Value::List(items) => {
            let items: Option<Vec<&str>> = items.iter().map(Value::text).collect();
            format!("[{}]", items.ok_or_else(wrong)?.join(","))
        }
        Value::Blob(bytes) => return Cursor::from_bytes(bytes).map(Since::Cursor).map_err(|_| wrong()),
    };
    cursor_from_text(&text).map(Since::Cursor).map_err(|_| wrong())
}

fn sites(argument: &Argument<'_>) -> Result<Vec<SiteId>> {
    let wrong = || argument.wrong("a list of site ids, as in [x'…', x'…']");
    match &argument.value {
        Value::List(items) => items.iter().map(|item| item.site().ok_or_else(wrong)).collect(),
        one => one.site().map(|site| vec![site]).ok_or_else(wrong),
    }
}

/// `all` stands for no filter; a name may be bare or quoted, one alone or a list.
fn tables(argument: &Argument<'_>) -> Result<Option<Vec<String>>> {
    let wrong = || argument.wrong("a list of names, as in [a, b] or ('a', 'b'), or all");
    match &argument.value {
        Value::List(items) => {
            let names: Option<Vec<String>> = items.iter().map(|item| item.text().map(Into::into)).collect();
            names.map(Some).ok_or_else(wrong)
        }
        Value::Text(text) if argument.raw.eq_ignore_ascii_case("all") && text.len() == 3 => Ok(None),
        Value::Text(text) => Ok(Some(vec![text.clone()])),
        Value::Blob(_) => Err(wrong()),
    }
}

/// A bare word, 'text', "text", x'blob', [list] or (list), and nothing behind it.
fn parse(raw: &str) -> Option<Value> {
    let mut scanner = Scanner { rest: raw };
    let value = scanner.value()?;
    scanner.rest.trim_start().is_empty().then_some(value)
}

struct Scanner<'a> {
    rest: &'a str,
}

impl Scanner<'_> {
    fn value(&mut self) -> Option<Value> {
        self.rest = self.rest.trim_start();
        match self.rest.chars().next()? {
            quote @ ('\'' | '"' | '`') => self.quoted(quote).map(Value::Text),
            '[' => self.list(']'),
            '(' => self.list(')'),
            'x' | 'X' if self.rest[1..].starts_with('\'') => {
                self.rest = &self.rest[1..];
                let digits = self.quoted('\'')?;
                from_hex(&digits).map(Value::Blob)
            }
            _ => {
                let end = self.rest.find([',', ']', ')', '\'', '"']).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                let word = word.trim();
                (!word.is_empty()).then(|| Value::Text(word.into()))
            }
        }
    }

    /// Doubled quotes stand for one.
    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1).peekable();
        while let Some((index, character)) = chars.next() {
            if character != quote {
                text.push(character);
            } else if chars.next_if(|(_, next)| *next == quote).is_some() {
                text.push(quote);
            } else {
                self.rest = &self.rest[index + quote.len_utf8()..];
                return Some(text);
            }
        }
        None
    }

    fn list(&mut self, closing: char) -> Option<Value> {
        self.rest = &self.rest[1..];
        let mut items = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix(closing) {
                self.rest = rest;
                return Some(Value::List(items));
            }
            if !items.is_empty() {
                self.rest = self.rest.strip_prefix(',')?;
            }
            match self.value()? {
                Value::List(_) => return None,
                item => items.push(item),
            }
        }
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f";

    fn site() -> SiteId {
        SiteId::from_hex(HEX).unwrap()
    }

    fn with_remote<'a>(more: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["remote=x'000102030405060708090a0b0c0d0e0f'"];
        arguments.extend(more);
        arguments
    }

    fn refusal(more: &[&str]) -> String {
        outbound(&with_remote(more)).unwrap_err().to_string()
    }

    #[test]
    fn a_site_id_is_read_in_every_spelling() {
        for spelling in [format!("x'{HEX}'"), format!("X'{HEX}'"), HEX.into(), format!("'{HEX}'"), format!("\"{HEX}\"")]
        {
            for name in ["remote", "REMOTE", "\"Remote\""] {
                let argument = format!(" {name} =  {spelling} ");
                assert_eq!(outbound(&[&argument]).unwrap().0, site(), "{argument}");
                assert_eq!(inbound(&[&argument]).unwrap().0, site(), "{argument}");
            }
        }
    }

    #[test]
    fn every_outbound_argument_is_read() {
        let arguments = with_remote(&[
            "since = [5, 3]",
            "exclude_sites = [x'ffffffffffffffffffffffffffffffff']",
            "local_only = 1",
            "tables = ('a]b', \"c,d\")",
            "trust_tracked = 1",
            "format = binary",
            "compression = 'none'",
            "package_bytes_max = 1000",
            "package_changes_max = 7",
        ]);
        let expected = OutboundOptions {
            since: Since::Cursor(Cursor::end_of_pair(5, 3)),
            exclude_sites: vec![SiteId([0xff; 16])],
            local_only: true,
            tables: Some(vec!["a]b".into(), "c,d".into()]),
            trust_tracked: true,
            format: Format::Binary(Compression::None),
            package_bytes_max: 1000,
            package_changes_max: Some(7),
        };
        assert_eq!(outbound(&arguments).unwrap().1, expected);
        assert_eq!(outbound(&with_remote(&[])).unwrap().1, OutboundOptions::default());
    }

    #[test]
    fn since_is_a_pair_a_text_or_now() {
        let since = |text: &str| outbound(&with_remote(&[text])).unwrap().1.since;
        assert_eq!(since("since=now"), Since::Now);
        assert_eq!(since("since=[0,0]"), Since::Cursor(Cursor::BEGINNING));
        for spelling in ["since='[5,3]'", "since=(5, 3)", "since=\"[5, 3]\""] {
            assert_eq!(since(spelling), Since::Cursor(Cursor::end_of_pair(5, 3)), "{spelling}");
        }
    }

    #[test]
    fn refusals_name_the_argument_and_say_what_it_may_be() {
        let cases: &[(&str, &str)] = &[
            ("colour=blue", "there is no argument colour; the arguments of this stream are remote, since,"),
            ("format", "the argument format has no value"),
            ("format=xml", "the value of format is xml, and must be binary or json"),
            ("compression=gzip", "the value of compression is gzip, and must be zstd or none"),
            ("local_only=yes", "the value of local_only is yes, and must be 0 or 1"),
            ("package_bytes_max=0", "the value of package_bytes_max is 0, and must be a number from 1 to 16777216"),
            ("package_bytes_max=1e9", "the value of package_bytes_max is 1e9"),
            ("package_changes_max=0", "the value of package_changes_max is 0, and must be a number of at least 1"),
            ("since=[1,2,3]", "the value of since is [1,2,3], and must be [db_version, seq], a cursor or now"),
            ("since=yesterday", "the value of since is yesterday"),
            ("exclude_sites=[abc]", "the value of exclude_sites is [abc], and must be a list of site ids"),
            ("remote=x'00'", "the argument remote is given twice"),
            (
                "tables=[x'00']",
                "the value of tables is [x'00'], and must be a list of names, as in [a, b] or ('a', 'b'), or all",
            ),
            ("trust_tracked=yes", "the value of trust_tracked is yes, and must be 0 or 1"),
            ("since='[0,0]", "the value of since cannot be read: '[0,0]"),
        ];
        for (argument, expected) in cases {
            let text = refusal(&[argument]);
            assert!(text.starts_with(expected), "{argument}: {text}");
        }
        assert!(outbound(&[]).unwrap_err().to_string().starts_with("the argument remote is missing"));
        assert!(outbound(&["remote=abc"]).unwrap_err().to_string().contains("must be a site id of 16 bytes"));
    }

    #[test]
    fn an_inbound_stream_takes_what_describes_it() {
        let read = |more: &[&str]| inbound(&with_remote(more)).map(|(_, options)| options);
        let named = [
            "order=any",
            "atomic=package",
            "tables=[t, \"U\"]",
            "on_unknown=error",
            "on_violation=accept",
            "on_gap=error",
        ];
        let expected = InboundOptions {
            order: Order::Any,
            atomic: Atomic::Package,
            tables: Some(vec!["t".into(), "U".into()]),
            on_gap: OnGap::Error,
            on_unknown: OnUnknown::Error,
            on_violation: OnViolation::Accept,
        };
        assert_eq!(read(&named).unwrap(), expected);
        assert_eq!(read(&[]).unwrap(), InboundOptions::default());
        for (argument, expected) in [
            ("atomic=row", "the value of atomic is row, and must be transaction or package"),
            ("order=none", "the value of order is none, and must be strict or any"),
            ("on_unknown=drop", "the value of on_unknown is drop, and must be park or error"),
            ("on_violation=fix", "the value of on_violation is fix, and must be stop or accept"),
            ("on_gap=maybe", "the value of on_gap is maybe, and must be receipt or error"),
            ("since=now", "there is no argument since"),
        ] {
            let text = read(&[argument]).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{argument}: {text}");
        }
    }

    #[test]
    fn values_have_quotes_lists_and_nothing_behind_them() {
        assert_eq!(parse("'a''b'"), Some(Value::Text("a'b".into())));
        let items = vec![Value::Text("a]b".into()), Value::Text("c,d".into())];
        assert_eq!(parse("('a]b', \"c,d\")"), Some(Value::List(items)));
        assert_eq!(parse("[]"), Some(Value::List(vec![])));
        for broken in ["", "'a", "[a", "x'0", "x'zz'", "'a' b", "[a b'c]", "[[a]]", "[,]"] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }
}
