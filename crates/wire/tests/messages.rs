//! Session messages: both forms of a frame give back what was written.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use rejoin_change::SiteId;
use rejoin_wire::message::*;
use rejoin_wire::{Message, WireError, limits};
use support::*;

fn any_site() -> BoxedStrategy<Site> {
    let column = (any::<String>(), any::<u16>()).prop_map(|(name, key_place)| ColumnShape { name, key_place });
    let table = (any::<String>(), vec(column, 0..4)).prop_map(|(name, columns)| TableShape { name, columns });
    let id = any::<[u8; 16]>().prop_map(SiteId);
    (id.clone(), vec(id, 0..3), vec(any::<String>(), 0..3), vec(table, 0..3), any::<u32>())
        .prop_map(|(site_id, former_ids, features, tables, window_bytes)| Site {
            site_id,
            former_ids,
            features,
            tables,
            window_bytes,
        })
        .boxed()
}

fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..300, 0..1u64 << 53]
}

fn any_message() -> BoxedStrategy<Message> {
    let text = any::<String>;
    let hello = (any::<u16>(), any::<u16>(), any_site(), text(), prop::option::of(text())).prop_map(
        |(version_min, version_max, site, room, token)| {
            Message::Hello(Hello { version_min, version_max, site, room, token })
        },
    );
    let definition = (text(), text(), vec(text(), 0..3))
        .prop_map(|(name, create_table, create_indexes)| TableDefinition { name, create_table, create_indexes });
    let package = prop_oneof![
        any_package().prop_map(|package| json(&package).into_bytes()),
        vec(any::<u8>(), 0..50),
        Just(b"{\"not\": \"a package\"} ".to_vec()),
        Just(b" {}".to_vec()),
    ];
    let code = prop_oneof![
        Just(RefusalCode::Version),
        Just(RefusalCode::Token),
        Just(RefusalCode::Room),
        Just(RefusalCode::Schema),
        Just(RefusalCode::Protocol),
        Just(RefusalCode::Package),
        Just(RefusalCode::Identity),
        Just(RefusalCode::Busy),
        Just(RefusalCode::Store),
        (10u16..).prop_map(RefusalCode::Other),
        Just(RefusalCode::Other(0)),
    ];
    let goodbye = prop::sample::select(vec![Goodbye::Done, Goodbye::Shutdown, Goodbye::Restart]);
    prop_oneof![
        hello,
        (any::<u16>(), any_site()).prop_map(|(version, site)| Message::Welcome(Welcome { version, site })),
        vec(definition, 0..3).prop_map(|tables| Message::Schema(Schema { tables })),
        any_receipt().prop_map(|receipt| Message::Ready(Ready { receipt })),
        (any_number(), package).prop_map(|(number, package)| Message::Package(PackageMessage { number, package })),
        (any_number(), any_receipt())
            .prop_map(|(answers, receipt)| Message::Receipt(ReceiptMessage { answers, receipt })),
        Just(Message::Level),
        (code, text(), text()).prop_map(|(code, reason, advice)| Message::Refusal(Refusal { code, reason, advice })),
        goodbye.prop_map(Message::Goodbye),
        any_number().prop_map(Message::Ping),
        any_number().prop_map(Message::Pong),
    ]
    .boxed()
}

proptest! {
    #[test]
    fn messages_come_back_unchanged_from_both_frames(message in any_message()) {
        prop_assert_eq!(&Message::from_bytes(&message.to_bytes().unwrap()).unwrap(), &message);
        prop_assert_eq!(&Message::from_text(&message.to_text().unwrap()).unwrap(), &message);
    }

    #[test]
    fn mutated_messages_are_read_or_refused(
        message in any_message(),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let mut bytes = message.to_bytes().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = value;
        for bytes in [&bytes[..], &bytes[..at]] {
            if let Ok(read) = Message::from_bytes(bytes) {
                prop_assert_eq!(Message::from_bytes(&read.to_bytes().unwrap()), Ok(read));
            }
        }
        let text = message.to_text().unwrap();
        if let Some(cut) = text.get(..at.min(text.len() - 1)) {
            prop_assert!(Message::from_text(cut).is_err());
        }
    }
}

fn hello() -> Message {
    let site = Site {
        site_id: SiteId([9; 16]),
        former_ids: vec![],
        features: vec!["zstd".into()],
        tables: vec![TableShape {
            name: "notes".into(),
            columns: vec![ColumnShape { name: "id".into(), key_place: 1 }],
        }],
        window_bytes: 1 << 20,
    };
    Message::Hello(Hello { version_min: 1, version_max: 1, site, room: "team".into(), token: None })
}

/// Both are read before the versions are agreed, so a later version may add fields.
#[test]
fn unknown_fields_of_a_hello_are_skipped_and_of_other_messages_refused() {
    let later = [hello().to_bytes().unwrap(), vec![200, 1, 3, 1, 2, 3]].concat();
    assert_eq!(Message::from_bytes(&later), Ok(hello()));
    let twice = [hello().to_bytes().unwrap(), vec![1, 1, 1]].concat();
    assert!(Message::from_bytes(&twice).is_err());
    let text = hello().to_text().unwrap();
    let later = text.replacen("\"type\"", "\"later\":[{\"x\":1e3},null],\"type\"", 1);
    assert_eq!(Message::from_text(&later), Ok(hello()));
    assert!(Message::from_text("{\"type\":\"ping\",\"number\":1,\"later\":2}").is_err());
    assert_eq!(Message::from_text(" {\"number\":1,\"type\":\"ping\"} "), Ok(Message::Ping(1)));
    assert!(Message::from_bytes(&[10, 1, 0]).is_err());
}

#[test]
fn a_hello_without_its_fields_is_refused() {
    assert!(Message::from_bytes(&[1]).is_err());
    assert!(Message::from_text("{\"type\":\"hello\"}").is_err());
    assert!(Message::from_bytes(&[]).is_err());
    assert!(Message::from_bytes(&[99]).is_err());
    assert!(Message::from_text("{\"type\":\"shout\"}").is_err());
}

#[test]
fn what_exceeds_a_limit_is_neither_written_nor_read() {
    let too_long = "x".repeat(limits::TEXT_BYTES_MAX + 1);
    let refusal = Refusal { code: RefusalCode::Busy, reason: too_long.clone(), advice: String::new() };
    assert!(matches!(Message::Refusal(refusal).to_bytes(), Err(WireError::TooLarge { .. })));
    let text = format!("{{\"type\":\"refusal\",\"code\":\"busy\",\"reason\":\"{too_long}\",\"advice\":\"\"}}");
    assert!(matches!(Message::from_text(&text), Err(WireError::TooLarge { .. })));
    assert!(matches!(Message::Ping(1 << 53).to_bytes(), Err(WireError::Misuse { .. })));
    let mut long_hello = hello().to_bytes().unwrap();
    long_hello.resize(limits::MESSAGE_SMALL_BYTES_MAX + 1, 0);
    assert!(matches!(Message::from_bytes(&long_hello), Err(WireError::TooLarge { .. })));
}

#[test]
fn a_json_package_stands_readable_in_a_text_frame() {
    let package = PackageMessage { number: 1, package: json(&sample()).into_bytes() };
    let text = Message::Package(package).to_text().unwrap();
    assert!(text.starts_with("{\"type\":\"package\",\"number\":1,\"package\":{\"rejoin_package\":1,"));
}
