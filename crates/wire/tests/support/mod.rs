//! What the tests of this crate share: arbitrary packages, and a sample that has one of everything.
//!
//! The strategies are boxed, because unboxed they overflow the stack of a test thread.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "test code, though clippy sees no test attribute here")]

use proptest::collection::vec;
use proptest::prelude::*;
use rejoin_change::{COUNTER_MAX, Change, Cursor, PackedKey, Part, Place, SENTINEL, SEQ_END, SiteId, Value, ValueRef};
use rejoin_wire::{AsOf, Compression, Encoded, Format, Mark, Package, Position, Range, Receipt};

pub const FORMATS: [Format; 3] = [Format::Binary(Compression::Zstd), Format::Binary(Compression::None), Format::Json];

pub fn binary(package: &Package, compression: Compression) -> Vec<u8> {
    match package.encode(Format::Binary(compression)).unwrap() {
        Encoded::Binary(bytes) => bytes,
        Encoded::Text(_) => panic!("a binary package was asked for"),
    }
}

pub fn json(package: &Package) -> String {
    match package.encode(Format::Json).unwrap() {
        Encoded::Text(text) => text,
        Encoded::Binary(_) => panic!("a JSON package was asked for"),
    }
}

/// Small and large, so that every width of varint occurs.
fn any_counter() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0i64..4, 2 => 0i64..100_000, 1 => 0i64..=COUNTER_MAX, 1 => Just(COUNTER_MAX)]
}

pub fn any_value() -> BoxedStrategy<Value> {
    let special = [0.0, -0.0, 1.0, 0.1, f64::MIN_POSITIVE / 4.0, f64::MAX, f64::INFINITY, f64::NEG_INFINITY];
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Integer),
        (-3i64..3).prop_map(Value::Integer),
        prop::sample::select(vec![COUNTER_MAX, COUNTER_MAX + 1, -COUNTER_MAX, -COUNTER_MAX - 1, i64::MIN, i64::MAX])
            .prop_map(Value::Integer),
        any::<f64>().prop_filter("SQLite has no NaN", |real| !real.is_nan()).prop_map(Value::Real),
        prop::sample::select(special.to_vec()).prop_map(Value::Real),
        any::<String>().prop_map(|text| Value::Text(text.into_bytes())),
        vec(any::<u8>(), 0..20).prop_map(Value::Text),
        vec(any::<u8>(), 0..20).prop_map(Value::Blob),
        (any::<u8>(), 0usize..3000).prop_map(|(byte, length)| Value::Blob(vec![byte; length])),
    ]
    .boxed()
}

fn any_key() -> BoxedStrategy<PackedKey> {
    let packed = vec(any_value(), 0..4).prop_map(|values| {
        let values: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
        PackedKey::pack(&values).unwrap()
    });
    // The last is a key that another program has packed wider than needed.
    let few = [&[1u8, 0x09, 1][..], &[1, 0x09, 2], &[1, 0x13, 0, 1, b'a']];
    let few = prop::sample::select(few.to_vec()).prop_map(|bytes| PackedKey::from_bytes(bytes.to_vec()).unwrap());
    prop_oneof![packed, few].boxed()
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![3 => prop::sample::select(vec!["a", "b", "end", SENTINEL, ""]).prop_map(String::from), 1 => any::<String>()]
}

fn any_site() -> impl Strategy<Value = SiteId> {
    prop_oneof![any::<[u8; 16]>().prop_map(SiteId), (0u8..3).prop_map(|byte| SiteId([byte; 16]))]
}

fn any_mark() -> impl Strategy<Value = Mark> {
    any::<[u8; 24]>().prop_map(Mark)
}

pub fn any_cursor() -> BoxedStrategy<Cursor> {
    let part = (0u64..1000, 1000u64..2000, any_counter()).prop_map(|(offset_bytes, total_bytes, col_version)| Part {
        offset_bytes,
        total_bytes,
        col_version,
    });
    let at = (any_name(), any_key(), any_name(), prop::option::of(part))
        .prop_map(|(table, key, column, part)| Place::At { table: table.into(), key, column: column.into(), part });
    let inside = (any_counter(), prop_oneof![any_counter(), Just(SEQ_END)], prop_oneof![Just(Place::End), at])
        .prop_map(|(db_version, seq, place)| Cursor { db_version, seq, place });
    prop_oneof![1 => Just(Cursor::BEGINNING), 1 => Just(Cursor::end_of_pair(0, 0)), 4 => inside].boxed()
}

fn any_position() -> BoxedStrategy<Position> {
    (any_cursor(), any_mark()).prop_map(|(cursor, mark)| Position { cursor, mark }).boxed()
}

fn any_as_of() -> impl Strategy<Value = AsOf> {
    (any_counter(), any_mark()).prop_map(|(head, mark)| AsOf { head, mark })
}

pub fn any_receipt() -> BoxedStrategy<Receipt> {
    let position = prop::option::of(any_position());
    (any_site(), any_site(), any_counter(), position, prop::option::of(any_as_of()), any_ranges())
        .prop_map(|(receiver, sender, run, position, as_of, ranges)| Receipt {
            receiver,
            sender,
            run: run as u64,
            position,
            as_of,
            ranges,
        })
        .boxed()
}

/// In order, none touching another.
fn any_ranges() -> BoxedStrategy<Vec<Range>> {
    vec(any_position(), 0..8)
        .prop_map(|mut ends| {
            ends.sort_by(|a, b| a.cursor.cmp(&b.cursor));
            ends.dedup_by(|a, b| a.cursor == b.cursor);
            ends.chunks_exact(2).map(|pair| Range { start: pair[0].clone(), end: pair[1].clone() }).collect()
        })
        .boxed()
}

fn any_change() -> BoxedStrategy<Change> {
    (
        any_name(),
        any_key(),
        any_name(),
        any_value(),
        any_counter(),
        any_counter(),
        any_site(),
        any_counter(),
        any_counter(),
    )
        .prop_map(|(table, key, column, value, col_version, db_version, site_id, causal_length, seq)| Change {
            table: table.into(),
            key,
            column: column.into(),
            value,
            col_version,
            db_version,
            site_id,
            causal_length,
            seq,
        })
        .boxed()
}

/// Changes as a real stream has them: rows of several columns, rising seq.
fn rows_of_changes() -> BoxedStrategy<Vec<Change>> {
    vec((any_key(), 1usize..5, any_value()), 0..8)
        .prop_map(|rows| {
            let mut changes = Vec::new();
            for (version, (key, columns, value)) in (1..).zip(rows) {
                for column in 0..columns {
                    changes.push(Change {
                        table: "notes".into(),
                        key: key.clone(),
                        column: ["-1", "title", "body", "rank"][column.min(3)].into(),
                        value: value.clone(),
                        col_version: 1,
                        db_version: version / 2,
                        site_id: SiteId([7; 16]),
                        causal_length: 1,
                        seq: changes.len() as i64,
                    });
                }
            }
            changes
        })
        .boxed()
}

pub fn any_package() -> BoxedStrategy<Package> {
    let changes = prop_oneof![vec(any_change(), 0..12), rows_of_changes()];
    let stream = (any_counter(), any_cursor(), any_cursor(), any_position(), any_position(), any_as_of());
    let flags = (any::<bool>(), any::<bool>());
    let around = (any_site(), any_site(), vec(any_site(), 0..4), flags, prop::option::of(any_receipt()));
    (stream, around, changes)
        .prop_map(|(stream, around, changes)| {
            let (run, run_start, since, a, b, as_of) = stream;
            let (sender, receiver, former_ids, (ends_transaction, filtered), receipt) = around;
            let (start, end) = if a.cursor <= b.cursor { (a, b) } else { (b, a) };
            let run = run as u64;
            Package {
                sender,
                receiver,
                former_ids,
                run,
                run_start,
                since,
                start,
                end,
                as_of,
                ends_transaction,
                filtered,
                receipt,
                changes,
            }
        })
        .boxed()
}

/// One of everything, the same in every run: the golden vectors are made of it.
pub fn sample() -> Package {
    let author = SiteId([0xaa; 16]);
    let sender = SiteId(*b"sender-sender-se");
    let receiver = SiteId(*b"receiver-receive");
    let mark = |byte| Mark([byte; 24]);
    let key = |values: &[ValueRef<'_>]| PackedKey::pack(values).unwrap();
    let row = key(&[ValueRef::Integer(1), ValueRef::Text(b"two")]);
    let values = [
        Value::Null,
        Value::Integer(-5),
        Value::Integer(i64::MIN),
        Value::Real(0.1),
        Value::Real(-0.0),
        Value::Real(f64::INFINITY),
        Value::Text("naïve \"text\"\n\0".as_bytes().to_vec()),
        Value::Text(vec![0xff, 0xfe]),
        Value::Blob(vec![0, 1, 2]),
        Value::Text(b"again and again and again and again and again and again and again".to_vec()),
    ];
    let mut changes: Vec<Change> = (0..)
        .zip(values)
        .map(|(i, value)| Change {
            table: "notes".into(),
            key: row.clone(),
            column: if i == 0 { SENTINEL.into() } else { format!("column {i}").into() },
            value,
            col_version: if i == 3 { 300 } else { 1 },
            db_version: 12,
            site_id: if i < 5 { sender } else { author },
            causal_length: 1,
            seq: i,
        })
        .collect();
    changes.push(Change {
        table: "tags".into(),
        key: PackedKey::from_bytes(vec![1, 0x13, 0, 1, b'a']).unwrap(),
        column: SENTINEL.into(),
        value: Value::Null,
        col_version: 2,
        db_version: 14,
        site_id: author,
        causal_length: 2,
        seq: COUNTER_MAX - 1,
    });
    let inside = Cursor {
        db_version: 14,
        seq: 3,
        place: Place::At {
            table: "tags".into(),
            key: key(&[ValueRef::Blob(&[0, 255])]),
            column: "a\0b".into(),
            part: Some(Part { offset_bytes: 10, total_bytes: 20, col_version: 1 }),
        },
    };
    Package {
        sender,
        receiver,
        former_ids: vec![SiteId([1; 16]), SiteId([2; 16])],
        run: 3,
        run_start: Cursor::BEGINNING,
        since: Cursor::end_of_pair(0, 0),
        start: Position { cursor: Cursor::end_of_version(11), mark: mark(0x11) },
        end: Position { cursor: inside, mark: mark(0x22) },
        as_of: AsOf { head: 14, mark: mark(0x33) },
        ends_transaction: false,
        filtered: true,
        receipt: Some(Receipt {
            receiver: sender,
            sender: receiver,
            run: 1,
            position: Some(Position { cursor: Cursor::end_of_pair(7, 2), mark: mark(0x44) }),
            as_of: None,
            ranges: vec![],
        }),
        changes,
    }
}

/// A package with nothing in it, which carries its cursors all the same.
pub fn empty_sample() -> Package {
    let end = Position { cursor: Cursor::end_of_version(20), mark: Mark([0x55; 24]) };
    Package {
        changes: vec![],
        receipt: None,
        former_ids: vec![],
        end,
        ends_transaction: true,
        filtered: false,
        ..sample()
    }
}
