//! The formats stay what they are. When a test here fails, the format has changed: that needs a new format version, and
//! the old vectors stay beside the new ones. To write vectors for a new version, run with `REJOIN_WRITE_GOLDEN=1`.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod support;

use rejoin_change::SiteId;
use rejoin_wire::message::*;
use rejoin_wire::{Compression, Message, Package, Receipt};
use std::path::PathBuf;
use support::*;

/// The committed vector. Hexadecimal vectors are broken into lines; white space does not count.
fn golden(name: &str, now: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("REJOIN_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{now}\n")).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.trim_end().to_owned()
}

fn to_hex(bytes: &[u8]) -> String {
    let lines = bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    lines.collect::<Vec<_>>().join("\n")
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn plain_binary_packages_are_what_they_were() {
    for (name, package) in [("package_1.hex", sample()), ("package_1_empty.hex", empty_sample())] {
        let written = to_hex(&binary(&package, Compression::None));
        let vector = golden(name, &written);
        assert_eq!(written, vector, "{name}");
        assert_eq!(Package::decode(&from_hex(&vector)), Ok(package), "{name}");
    }
}

/// Another release of zstd may compress differently, so the vector is only read.
#[test]
fn compressed_packages_are_still_read() {
    let mut package = sample();
    package.changes.extend(sample().changes);
    let vector = golden("package_1_zstd.hex", &to_hex(&binary(&package, Compression::Zstd)));
    let bytes = from_hex(&vector);
    assert_eq!(bytes[5], 1, "the vector is compressed");
    assert_eq!(Package::decode(&bytes), Ok(package));
}

#[test]
fn json_packages_are_what_they_were() {
    for (name, package) in [("package_1.json", sample()), ("package_1_empty.json", empty_sample())] {
        let written = json(&package);
        let vector = golden(name, &written);
        assert_eq!(written, vector, "{name}");
        assert_eq!(Package::decode_json(&vector), Ok(package), "{name}");
    }
}

#[test]
fn receipts_are_what_they_were() {
    let full = Receipt { as_of: Some(sample().as_of), position: Some(sample().end), ..sample().receipt.unwrap() };
    let bare = Receipt { as_of: None, position: None, ..full.clone() };
    for (name, receipt) in [("receipt_1.json", full), ("receipt_1_bare.json", bare)] {
        let written = receipt.to_text();
        let vector = golden(name, &written);
        assert_eq!(written, vector, "{name}");
        assert_eq!(Receipt::from_text(&vector), Ok(receipt), "{name}");
    }
}

#[test]
fn messages_are_what_they_were() {
    let written = messages().into_iter().map(|message| to_hex(&message.to_bytes().unwrap()).replace('\n', ""));
    let written = written.collect::<Vec<_>>().join("\n");
    let vector = golden("messages_1.hex", &written);
    assert_eq!(written, vector);
    let read: Vec<Message> = vector.lines().map(|line| Message::from_bytes(&from_hex(line)).unwrap()).collect();
    assert_eq!(read, messages());

    let written = messages().iter().map(|message| message.to_text().unwrap()).collect::<Vec<_>>().join("\n");
    let vector = golden("messages_1.jsonl", &written);
    assert_eq!(written, vector);
    let read: Vec<Message> = vector.lines().map(|line| Message::from_text(line).unwrap()).collect();
    assert_eq!(read, messages());
}

/// One of each kind.
fn messages() -> Vec<Message> {
    let column = |name: &str, key_place| ColumnShape { name: name.into(), key_place };
    let site = |byte| Site {
        site_id: SiteId([byte; 16]),
        former_ids: vec![SiteId([byte + 1; 16])],
        features: vec!["schema".into()],
        tables: vec![TableShape { name: "notes".into(), columns: vec![column("id", 1), column("text", 0)] }],
        window_bytes: 1 << 20,
    };
    let receipt = sample().receipt.unwrap();
    let definition = TableDefinition {
        name: "notes".into(),
        create_table: "CREATE TABLE notes (id INTEGER PRIMARY KEY NOT NULL, text TEXT)".into(),
        create_indexes: vec!["CREATE INDEX notes_by_text ON notes (text)".into()],
    };
    vec![
        Message::Hello(Hello {
            version_min: 1,
            version_max: 2,
            site: site(1),
            room: "team".into(),
            token: Some("secret".into()),
        }),
        Message::Welcome(Welcome { version: 1, site: site(3) }),
        Message::Schema(Schema { tables: vec![definition] }),
        Message::Ready(Ready { receipt: receipt.clone() }),
        Message::Package(PackageMessage { number: 1, package: binary(&empty_sample(), Compression::None) }),
        Message::Package(PackageMessage { number: 2, package: json(&empty_sample()).into_bytes() }),
        Message::Receipt(ReceiptMessage { answers: 300, receipt }),
        Message::Level,
        Message::Refusal(Refusal {
            code: RefusalCode::Busy,
            reason: "The room is full.".into(),
            advice: "Try again in a minute.".into(),
        }),
        Message::Goodbye(Goodbye::Shutdown),
        Message::Ping(7),
        Message::Pong(7),
    ]
}
