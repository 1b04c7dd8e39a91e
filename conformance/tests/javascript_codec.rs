//! Messages of the vlcn protocol are read and written as the packages' own encoder and decoder do.

use rejoin_change::SiteId;
use rejoin_conformance::{JavaScript, Random};
use rejoin_wire::vlcn::{Change, Changes, Message, Point, Value, schema_version};
use serde_json::{Value as Json, json};

const ROUNDS: usize = 600;

#[test]
fn random_messages_of_every_kind_mean_the_same_in_javascript_both_ways() {
    let logs = tempfile::tempdir().expect("a temporary folder");
    let Some(javascript) = JavaScript::find(logs.path()) else { return };
    let mut codec = javascript.start("codec.mjs");
    let mut random = Random::new();
    let mut kinds = [0; KINDS];
    for round in 0..ROUNDS {
        let kind = round % KINDS;
        let message = message(&mut random, kind);
        kinds[kind] += 1;
        let ours = message.to_bytes().expect("is within the limits");
        let said = codec.ask("decode", json!({"bytes": hex(&ours)}));
        assert_eq!(said, describe(&message), "their decoder, our encoder, {}", hex(&ours));
        let theirs = codec.ask("encode", json!({"message": describe(&message)}));
        let theirs = bytes_of(theirs.as_str().expect("encode answers text"));
        let read = Message::from_bytes(&theirs).unwrap_or_else(|error| panic!("{error}: {}", hex(&theirs)));
        assert_eq!(read, message, "our decoder, their encoder");
        assert_eq!(hex(&theirs), hex(&ours), "their encoder, our encoder");
    }
    assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
}

#[test]
fn every_tag_that_javascript_knows_is_tried() {
    let logs = tempfile::tempdir().expect("a temporary folder");
    let Some(javascript) = JavaScript::find(logs.path()) else { return };
    let tags = javascript.start("codec.mjs").ask("tags", json!({}));
    let tags = tags.as_object().expect("an object of names");
    assert_eq!(tags.len(), KINDS);
    let mut random = Random::new();
    for kind in 0..KINDS {
        let message = message(&mut random, kind);
        let name = describe(&message)[0].as_str().expect("a name first").to_owned();
        assert_eq!(Some(&json!(message.to_bytes().expect("is within the limits")[0])), tags.get(&name), "{name}");
    }
}

#[test]
fn the_version_of_a_schema_is_that_of_javascript() {
    let logs = tempfile::tempdir().expect("a temporary folder");
    let Some(javascript) = JavaScript::find(logs.path()) else { return };
    let mut codec = javascript.start("codec.mjs");
    let mut random = Random::new();
    for round in 0..100 {
        let text = if round == 0 { String::new() } else { text(&mut random) };
        let version = codec.ask("schemaVersion", json!({"text": text}));
        assert_eq!(version, json!(schema_version(&text).to_string()), "{text:?}");
    }
}

/// How many kinds of message there are.
const KINDS: usize = 11;

fn message(random: &mut Random, kind: usize) -> Message {
    match kind {
        0 => Message::AnnouncePresence {
            sender: site_id(random),
            last_seens: (0..random.below(4)).map(|_| (site_id(random), point(random))).collect(),
            schema_name: text(random),
            schema_version: integer(random),
        },
        1 => Message::Changes { sender: site_id(random), since: point(random), changes: changes(random) },
        2 => Message::RejectChanges { whose: site_id(random), since: point(random) },
        3 => Message::StartStreaming {
            since: point(random),
            exclude_sites: (0..random.below(3)).map(|_| site_id(random)).collect(),
            local_only: random.below(2) == 1,
        },
        4 => Message::CreateDbOnPrimary {
            request: small(random),
            room: text(random),
            schema_name: text(random),
            schema_version: integer(random),
        },
        5 => Message::ApplyChangesOnPrimary {
            request: small(random),
            sender: site_id(random),
            changes: changes(random),
            room: text(random),
            new_last_seen: point(random),
        },
        6 => Message::Ping,
        7 => Message::Pong,
        8 => Message::CreateDbOnPrimaryResponse { request: small(random), transaction: integer(random) },
        9 => Message::Err { request: small(random), text: text(random) },
        _ => Message::ApplyChangesOnPrimaryResponse { request: small(random) },
    }
}

fn changes(random: &mut Random) -> Changes {
    let mut changes = Changes::new();
    // Now and then so many that the count itself takes two bytes.
    let count = if random.below(20) == 0 { 120 + random.below(20) } else { random.below(6) };
    for _ in 0..count {
        let (table, column, words) = (text(random), text(random), text(random));
        let (key, blob) = (bytes(random), bytes(random));
        let value = match random.below(6) {
            0 => Value::Null,
            1 => Value::BigInt(integer(random)),
            2 => Value::Number(real(random)),
            3 => Value::Text(&words),
            4 => Value::Bool(random.below(2) == 1),
            _ => Value::Blob(&blob),
        };
        let site_id = if random.below(2) == 1 { Some(site_id(random)) } else { None };
        changes.push(&Change {
            table: &table,
            key: &key,
            column: &column,
            value,
            col_version: integer(random),
            db_version: integer(random),
            site_id,
            causal_length: integer(random),
            seq: small(random),
        });
    }
    changes
}

fn site_id(random: &mut Random) -> SiteId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random.bits().to_be_bytes());
    bytes[8..].copy_from_slice(&random.bits().to_be_bytes());
    SiteId(bytes)
}

fn point(random: &mut Random) -> Point {
    Point { db_version: integer(random), seq: small(random) }
}

/// Any 64 bits, small ones and the ends of the range as often as the rest.
fn integer(random: &mut Random) -> i64 {
    let edges = [0, 1, -1, i64::MIN, i64::MAX, 1 << 53, -(1 << 53), (1 << 53) + 1, i64::from(i32::MAX) + 1];
    match random.below(3) {
        0 => *random.of(&edges),
        1 => random.below(300) as i64 - 150,
        _ => random.bits() as i64,
    }
}

/// A number that JavaScript holds exactly, of any length in bits; not -0, which has no integer here.
fn small(random: &mut Random) -> i64 {
    let magnitude = (random.bits() >> (11 + random.below(53))) as i64;
    if random.below(2) == 1 { -magnitude } else { magnitude }
}

fn real(random: &mut Random) -> f64 {
    let edges = [0.0, -0.0, 1.0, 0.1, f64::MAX, f64::MIN_POSITIVE, 5e-324, f64::INFINITY, f64::NEG_INFINITY];
    if random.below(2) == 0 {
        return *random.of(&edges);
    }
    let number = f64::from_bits(random.bits());
    // One is not equal to itself, and could not be compared below.
    if number.is_nan() { 0.5 } else { number }
}

fn text(random: &mut Random) -> String {
    let letters = ['a', 'Z', '"', '\\', '\0', '\n', ' ', 'ü', 'ß', '日', '🚀', '\u{2028}', '\u{feff}', '\u{10ffff}'];
    let count = if random.below(10) == 0 { random.below(300) } else { random.below(12) };
    (0..count).map(|_| *random.of(&letters)).collect()
}

fn bytes(random: &mut Random) -> Vec<u8> {
    let count = if random.below(10) == 0 { random.below(300) } else { random.below(12) };
    (0..count).map(|_| random.bits() as u8).collect()
}

/// The message in the form that codec.mjs has for it.
fn describe(message: &Message) -> Json {
    match message {
        Message::AnnouncePresence { sender, last_seens, schema_name, schema_version } => {
            let seen: Vec<Json> = last_seens.iter().map(|(site_id, at)| json!([site(site_id), place(at)])).collect();
            json!(["AnnouncePresence", site(sender), seen, schema_name, schema_version.to_string()])
        }
        Message::Changes { sender, since, changes } => json!(["Changes", site(sender), place(since), cells(changes)]),
        Message::RejectChanges { whose, since } => json!(["RejectChanges", site(whose), place(since)]),
        Message::StartStreaming { since, exclude_sites, local_only } => {
            let sites: Vec<String> = exclude_sites.iter().map(site).collect();
            json!(["StartStreaming", place(since), sites, local_only])
        }
        Message::CreateDbOnPrimary { request, room, schema_name, schema_version } => {
            json!(["CreateDbOnPrimary", request, room, schema_name, schema_version.to_string()])
        }
        Message::ApplyChangesOnPrimary { request, sender, changes, room, new_last_seen } => {
            json!(["ApplyChangesOnPrimary", request, site(sender), cells(changes), room, place(new_last_seen)])
        }
        Message::Ping => json!(["Ping"]),
        Message::Pong => json!(["Pong"]),
        Message::CreateDbOnPrimaryResponse { request, transaction } => {
            json!(["CreateDbOnPrimaryResponse", request, transaction.to_string()])
        }
        Message::Err { request, text } => json!(["Err", request, text]),
        Message::ApplyChangesOnPrimaryResponse { request } => json!(["ApplyChangesOnPrimaryResponse", request]),
    }
}

fn cells(changes: &Changes) -> Vec<Json> {
    let cell = |change: Change<'_>| {
        let value = match change.value {
            Value::Null => json!(["null"]),
            Value::BigInt(number) => json!(["integer", number.to_string()]),
            Value::Number(number) => json!(["real", format!("{:016x}", number.to_bits())]),
            Value::Text(text) => json!(["text", text]),
            Value::Bool(value) => json!(["bool", value]),
            Value::Blob(bytes) => json!(["blob", hex(bytes)]),
        };
        json!([
            change.table,
            hex(change.key),
            change.column,
            value,
            change.col_version.to_string(),
            change.db_version.to_string(),
            change.site_id.as_ref().map(site),
            change.causal_length.to_string(),
            change.seq
        ])
    };
    changes.iter().map(cell).collect()
}

fn site(site_id: &SiteId) -> String {
    hex(site_id.as_bytes())
}

fn place(point: &Point) -> Json {
    json!([point.db_version.to_string(), point.seq])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("digits")).collect()
}
