//! The vlcn messages have the bytes that JavaScript gives them, in both directions, and nothing that comes in is trusted.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use proptest::prelude::*;
use rejoin_change::{COUNTER_MAX, SiteId};
use rejoin_wire::vlcn::{Change, Changes, Message, Point, Value, schema_version};
use rejoin_wire::{WireError, limits};
use std::fmt::Write;

/// What a message says, in the words of the golden file.
fn describe(message: &Message) -> String {
    match message {
        Message::AnnouncePresence { sender, last_seens, schema_name, schema_version } => {
            let seen: Vec<String> = last_seens.iter().map(|(site, at)| format!("{site}@{}", point(*at))).collect();
            let schema = text(schema_name);
            format!("announce sender={sender} seen=[{}] schema={schema} version={schema_version}", seen.join(" "))
        }
        Message::Changes { sender, since, changes } => {
            format!("changes sender={sender} since={}{}", point(*since), lines(changes))
        }
        Message::RejectChanges { whose, since } => format!("reject whose={whose} since={}", point(*since)),
        Message::StartStreaming { since, exclude_sites, local_only } => {
            let sites: Vec<String> = exclude_sites.iter().map(SiteId::to_string).collect();
            format!("start since={} exclude=[{}] local_only={local_only}", point(*since), sites.join(" "))
        }
        Message::CreateDbOnPrimary { request, room, schema_name, schema_version } => {
            let (room, schema) = (text(room), text(schema_name));
            format!("create_db request={request} room={room} schema={schema} version={schema_version}")
        }
        Message::ApplyChangesOnPrimary { request, sender, changes, room, new_last_seen } => {
            let then = point(*new_last_seen);
            format!("apply request={request} sender={sender} room={} then={then}{}", text(room), lines(changes))
        }
        Message::Ping => "ping".to_owned(),
        Message::Pong => "pong".to_owned(),
        Message::CreateDbOnPrimaryResponse { request, transaction } => {
            format!("created request={request} transaction={transaction}")
        }
        Message::Err { request, text: said } => format!("err request={request} text={}", text(said)),
        Message::ApplyChangesOnPrimaryResponse { request } => format!("applied request={request}"),
    }
}

fn point(point: Point) -> String {
    format!("{}.{}", point.db_version, point.seq)
}

fn lines(changes: &Changes) -> String {
    changes.iter().fold(String::new(), |mut all, change| {
        let Change { col_version, db_version, seq, causal_length, .. } = change;
        let (table, column) = (text(change.table), text(change.column));
        let site = change.site_id.map_or("-".to_owned(), |site_id| site_id.to_string());
        let (key, value) = (hex(change.key), value(change.value));
        write!(
            all,
            "\n  {table} {key} {column} {value} col_version={col_version} at={db_version}.{seq} site={site} \
             causal_length={causal_length}"
        )
        .unwrap();
        all
    })
}

fn value(value: Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::BigInt(number) => format!("bigint {number}"),
        Value::Number(number) => format!("number {number:?}"),
        Value::Text(said) => format!("text {}", text(said)),
        Value::Bool(value) => value.to_string(),
        Value::Blob(bytes) => format!("blob {}", hex(bytes)),
    }
}

fn text(text: &str) -> String {
    let first = text.chars().next();
    if text.len() > 64 && text.chars().all(|letter| Some(letter) == first) {
        return format!("\"{}\"*{}", first.unwrap(), text.chars().count());
    }
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\0'..='\x1f' => write!(out, "\\x{:02x}", letter as u32).unwrap(),
            _ => out.push(letter),
        }
    }
    out + "\""
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(digits: &str) -> Vec<u8> {
    let byte = |digits: &str| u8::from_str_radix(digits, 16).unwrap();
    let mut bytes = Vec::new();
    for word in digits.split_whitespace() {
        match word.split_once('*') {
            Some((digits, count)) => bytes.extend(vec![byte(digits); count.parse().unwrap()]),
            None => bytes.extend((0..word.len()).step_by(2).map(|at| byte(&word[at..at + 2]))),
        }
    }
    bytes
}

/// Name, description and bytes of each.
fn golden() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let blocks = include_str!("golden/vlcn_messages.txt").split("\n# ").skip(1);
    blocks
        .map(|block| {
            let (name, rest) = block.split_once('\n').unwrap();
            let (description, digits) = rest.split_once("\n=\n").unwrap();
            (name, description, bytes_of(digits))
        })
        .collect()
}

#[test]
fn the_golden_messages_are_read_and_written_byte_for_byte() {
    let golden = golden();
    assert_eq!(golden.len(), 65);
    for (name, description, bytes) in golden {
        let message = Message::from_bytes(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(describe(&message), description, "{name}");
        assert_eq!(message.to_bytes().unwrap(), bytes, "{name}");
        if let Message::Changes { sender, since, changes } = message {
            let mut pushed = Changes::new();
            changes.iter().for_each(|change| pushed.push(&change));
            assert_eq!(Message::Changes { sender, since, changes: pushed }.to_bytes().unwrap(), bytes, "{name}");
        }
    }
}

#[test]
fn a_blob_of_seventy_thousand_bytes_has_the_bytes_that_javascript_gives_it() {
    let blob: Vec<u8> = (0..70_000u32).map(|at| (at * 31) as u8).collect();
    let mut bytes = bytes_of("02000102030405060708090a0b0c0d0e0f0000000000000000000103666f6f03010901016205f0a204");
    bytes.extend(&blob);
    bytes.extend(bytes_of("0000000000000001 0000000000000001 00 0000000000000001 00"));
    let message = Message::from_bytes(&bytes).unwrap();
    let Message::Changes { changes, .. } = &message else { panic!("{message:?}") };
    assert_eq!(changes.iter().next().unwrap().value, Value::Blob(&blob));
    assert_eq!(message.to_bytes().unwrap(), bytes);
}

#[test]
fn schema_texts_have_the_versions_that_javascript_gives_them() {
    let mut count = 0;
    for line in include_str!("golden/vlcn_schema_versions.txt").lines().skip(2) {
        let (version, text) = line.split_once(' ').unwrap();
        let text: String = match text.split_once('*') {
            Some((letter, count)) if !text.starts_with('"') => letter.repeat(count.parse().unwrap()),
            _ => serde_json::from_str(text).unwrap(),
        };
        assert_eq!(schema_version(&text), version.parse::<i64>().unwrap(), "{text}");
        count += 1;
    }
    assert_eq!(count, 7);
}

#[test]
fn the_page_about_the_format_is_true() {
    let page = include_str!("../../../docs/formats/vlcn.md");
    let example = page.split("```\n").nth(1).unwrap();
    let digits: String = example.lines().map(|line| line.split("   ").next().unwrap()).collect();
    let bytes = bytes_of(&digits.replace(' ', ""));
    let description = "changes sender=48b15e4f087a43c89dce1b0378802fc1 since=0.0\n  \"foo\" 010901 \"b\" text \"A\" \
                       col_version=1 at=1.0 site=- causal_length=1";
    assert_eq!(describe(&Message::from_bytes(&bytes).unwrap()), description);
    let (frame, changes) = (limits::VLCN_FRAME_BYTES_MAX, limits::VLCN_CHANGES_MAX);
    for (limit, shown) in [
        (frame, "104 857 600"),
        (changes, "2 097 152"),
        (limits::VALUE_BYTES_MAX, "32 MiB"),
        (limits::KEY_BYTES_MAX, "1 MiB"),
        (limits::NAME_BYTES_MAX, "4096"),
        (limits::VLCN_SITES_MAX, "16 384"),
    ] {
        let number: usize = match shown.strip_suffix(" MiB") {
            Some(number) => number.parse::<usize>().unwrap() << 20,
            None => shown.replace(' ', "").parse().unwrap(),
        };
        assert_eq!(limit, number);
        assert!(page.contains(&format!("| {shown}")), "{shown}");
    }
}

#[test]
fn every_shortened_or_lengthened_message_is_an_error() {
    for (name, _, bytes) in golden().into_iter().filter(|golden| golden.2.len() < 1000) {
        for length in 0..bytes.len() {
            assert!(Message::from_bytes(&bytes[..length]).is_err(), "{name}: {length} bytes");
        }
        assert!(Message::from_bytes(&[&bytes[..], b"\0"].concat()).is_err(), "{name}");
    }
    assert!(Message::from_bytes(&[]).is_err());
    for tag in [0, 12, 49, 255] {
        assert!(Message::from_bytes(&[tag; 64]).is_err(), "{tag}");
    }
}

/// Whatever is accepted can be walked, and is written again as it was read.
fn check(bytes: &[u8]) {
    if let Ok(message) = Message::from_bytes(bytes) {
        if let Message::Changes { changes, .. } | Message::ApplyChangesOnPrimary { changes, .. } = &message {
            assert_eq!(changes.iter().count(), changes.len());
        }
        let written = message.to_bytes().unwrap();
        assert_eq!(Message::from_bytes(&written).unwrap(), message);
    }
}

#[test]
fn every_flipped_byte_gives_a_message_or_an_error() {
    for (_, _, bytes) in golden().into_iter().filter(|golden| golden.2.len() < 600) {
        for at in 0..bytes.len() {
            for flip in [0x01, 0x40, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                check(&damaged);
            }
        }
    }
}

#[test]
fn counts_are_bounded_before_they_are_believed() {
    let sender = [7; 16];
    let point = [0; 9];
    // 2^53 - 1, and one above the limit of each.
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
    for head in [[&[1][..], &sender].concat(), [&[2][..], &sender, &point].concat(), [&[4][..], &point].concat()] {
        let error = Message::from_bytes(&[&head[..], &huge].concat());
        assert!(matches!(error, Err(WireError::TooLarge { .. })), "{error:?}");
    }
    let change = [&[2][..], &sender, &point, &[1], &huge].concat();
    assert!(matches!(Message::from_bytes(&change), Err(WireError::TooLarge { .. })));
    let too_long = vec![7; limits::VLCN_FRAME_BYTES_MAX + 1];
    assert!(matches!(Message::from_bytes(&too_long), Err(WireError::TooLarge { .. })));
}

#[test]
fn a_frame_too_large_is_not_written() {
    let blob = vec![0; limits::VALUE_BYTES_MAX];
    let mut changes = Changes::new();
    for seq in 0..4 {
        changes.push(&Change { value: Value::Blob(&blob), seq, ..change("t", &[1, 1], "c") });
    }
    let message = Message::Changes { sender: SiteId([1; 16]), since: Point::START, changes };
    assert!(matches!(message.to_bytes(), Err(WireError::TooLarge { .. })));
}

#[test]
fn what_was_gathered_since_a_mark_can_be_dropped_and_added_again() {
    let mut changes = Changes::new();
    changes.push(&Change { db_version: 4, ..change("t", &[1, 1], "c") });
    let before = changes.clone();
    let mark = changes.mark();
    changes.push(&Change { db_version: 5, ..change("t", &[1, 1], "d") });
    let both = changes.clone();
    changes.truncate(mark);
    assert_eq!(changes, before);
    assert_eq!(changes.last_version(), Some(4));
    let mut added = Changes::new();
    added.push(&Change { db_version: 5, ..change("t", &[1, 1], "d") });
    changes.append(&added);
    changes.append(&Changes::new());
    assert_eq!(changes, both);
    assert_eq!((changes.first_version(), changes.last_version()), (Some(4), Some(5)));
}

#[test]
fn texts_that_are_not_utf_8_are_refused() {
    let mut changes = Changes::new();
    changes.push(&Change { value: Value::Text("xyz"), ..change("table", &[1, 1], "column") });
    let bytes = Message::Changes { sender: SiteId([1; 16]), since: Point::START, changes }.to_bytes().unwrap();
    for needle in [&b"table"[..], b"column", b"xyz"] {
        let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
        let mut damaged = bytes.clone();
        damaged[at] = 0xff;
        assert!(matches!(Message::from_bytes(&damaged), Err(WireError::Malformed { .. })));
    }
}

fn change<'a>(table: &'a str, key: &'a [u8], column: &'a str) -> Change<'a> {
    Change {
        table,
        key,
        column,
        value: Value::Null,
        col_version: 1,
        db_version: 1,
        site_id: None,
        causal_length: 1,
        seq: 0,
    }
}

fn any_point() -> impl Strategy<Value = Point> {
    (any::<i64>(), -COUNTER_MAX..=COUNTER_MAX).prop_map(|(db_version, seq)| Point { db_version, seq })
}

fn any_site() -> impl Strategy<Value = SiteId> {
    any::<[u8; 16]>().prop_map(SiteId)
}

#[derive(Clone, Debug)]
enum Held {
    Null,
    BigInt(i64),
    Number(f64),
    Text(String),
    Bool(bool),
    Blob(Vec<u8>),
}

impl Held {
    fn value(&self) -> Value<'_> {
        match self {
            Held::Null => Value::Null,
            Held::BigInt(number) => Value::BigInt(*number),
            Held::Number(number) => Value::Number(*number),
            Held::Text(text) => Value::Text(text),
            Held::Bool(value) => Value::Bool(*value),
            Held::Blob(bytes) => Value::Blob(bytes),
        }
    }
}

fn any_value() -> impl Strategy<Value = Held> {
    prop_oneof![
        Just(Held::Null),
        any::<i64>().prop_map(Held::BigInt),
        any::<f64>().prop_filter("NaN is equal to nothing", |number| !number.is_nan()).prop_map(Held::Number),
        any::<String>().prop_map(Held::Text),
        any::<bool>().prop_map(Held::Bool),
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(Held::Blob),
    ]
}

proptest! {
    #[test]
    fn changes_come_back_unchanged(
        sender in any_site(),
        since in any_point(),
        told in proptest::collection::vec(
            (any::<String>(), proptest::collection::vec(any::<u8>(), 0..40), any::<String>(), any_value(),
             (any::<i64>(), any::<i64>(), any::<i64>(), -COUNTER_MAX..=COUNTER_MAX),
             proptest::option::of(any_site())),
            0..20,
        ),
    ) {
        let told: Vec<Change<'_>> = told
            .iter()
            .map(|(table, key, column, value, numbers, site_id)| Change {
                table,
                key,
                column,
                value: value.value(),
                col_version: numbers.0,
                db_version: numbers.1,
                site_id: *site_id,
                causal_length: numbers.2,
                seq: numbers.3,
            })
            .collect();
        let mut changes = Changes::new();
        told.iter().for_each(|change| changes.push(change));
        let message = Message::Changes { sender, since, changes };
        let read = Message::from_bytes(&message.to_bytes().unwrap()).unwrap();
        prop_assert_eq!(&read, &message);
        let Message::Changes { changes, .. } = read else { unreachable!("it is equal to changes") };
        prop_assert_eq!(changes.iter().collect::<Vec<_>>(), told.clone());
        prop_assert_eq!(changes.last_version(), told.last().map(|change| change.db_version));
    }

    #[test]
    fn other_messages_come_back_unchanged(
        site in any_site(),
        sites in proptest::collection::vec((any_site(), any_point()), 0..5),
        name in "\\PC{0,40}",
        number in any::<i64>(),
        since in any_point(),
        request in -COUNTER_MAX..=COUNTER_MAX,
        flag in any::<bool>(),
    ) {
        let exclude_sites = sites.iter().map(|(site, _)| *site).collect();
        for message in [
            Message::AnnouncePresence {
                sender: site, last_seens: sites.clone(), schema_name: name.clone(), schema_version: number,
            },
            Message::RejectChanges { whose: site, since },
            Message::StartStreaming { since, exclude_sites, local_only: flag },
            Message::CreateDbOnPrimary {
                request, room: name.clone(), schema_name: name.clone(), schema_version: number,
            },
            Message::CreateDbOnPrimaryResponse { request, transaction: number },
            Message::Err { request, text: name.clone() },
            Message::ApplyChangesOnPrimaryResponse { request },
        ] {
            prop_assert_eq!(Message::from_bytes(&message.to_bytes().unwrap()).unwrap(), message);
        }
    }

    #[test]
    fn any_bytes_give_a_message_or_an_error(tag in 0u8..13, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
        check(&[&[tag][..], &bytes].concat());
    }
}
