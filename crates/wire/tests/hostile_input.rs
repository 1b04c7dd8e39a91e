//! Whatever comes in, the answer is a value or an error.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod support;

use proptest::prelude::*;
use rejoin_change::Value;
use rejoin_wire::{Compression, Format, Message, Package, Receipt, WireError, cursor_from_text, limits};
use support::*;

#[test]
fn every_flipped_byte_of_a_binary_package_is_noticed() {
    for compression in [Compression::Zstd, Compression::None] {
        let bytes = binary(&sample(), compression);
        for at in 0..bytes.len() {
            for flip in [0x01, 0x10, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                assert!(Package::decode(&damaged).is_err(), "byte {at} ^ {flip:#x}");
                assert!(Package::peek(&damaged).is_err(), "byte {at} ^ {flip:#x}");
            }
        }
    }
}

#[test]
fn every_shortened_or_lengthened_package_is_noticed() {
    for compression in [Compression::Zstd, Compression::None] {
        let bytes = binary(&sample(), compression);
        for length in 0..bytes.len() {
            assert!(Package::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(Package::decode(&[&bytes[..], b"\0"].concat()).is_err());
    }
    let text = json(&sample());
    for length in (0..text.len()).filter(|length| text.is_char_boundary(*length)) {
        assert!(Package::decode_json(&text[..length]).is_err(), "{length} bytes");
    }
    assert!(Package::decode_json(&format!("{text}0")).is_err());
    assert_eq!(Package::decode_json(&format!(" {text}\n")), Ok(sample()));
}

/// A changed character is an error, or does not change what is said (the case of a hexadecimal digit).
#[test]
fn every_changed_character_of_a_json_package_or_receipt_is_noticed() {
    let text = json(&sample());
    let receipt = sample().receipt.unwrap();
    let receipt_text = receipt.to_text();
    for replacement in ["0", "\"", "}", " "] {
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at) && text.is_char_boundary(at + 1)) {
            let damaged = [&text[..at], replacement, &text[at + 1..]].concat();
            if let Ok(package) = Package::decode_json(&damaged) {
                assert_eq!(package, sample(), "byte {at}: {replacement}");
            }
        }
        for at in 0..receipt_text.len() {
            let damaged = [&receipt_text[..at], replacement, &receipt_text[at + 1..]].concat();
            if let Ok(read) = Receipt::from_text(&damaged) {
                assert_eq!(read, receipt, "byte {at}: {replacement}");
            }
        }
    }
}

/// Gives a damaged package the checksum that fits it, so that the reader behind the checksum is reached.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() >= 12 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&bytes[..8]);
        hasher.update(&bytes[12..]);
        bytes[8..12].copy_from_slice(&hasher.finalize().to_be_bytes());
    }
    bytes
}

/// What a reader accepts, it can also write, and reads again as the same.
fn check_accepted(package: &Package) {
    for format in FORMATS {
        let encoded = package.encode(format).unwrap();
        assert_eq!(&Package::decode(encoded.as_bytes()).unwrap(), package);
    }
}

#[test]
fn every_single_byte_change_behind_a_fitting_checksum_is_read_or_refused() {
    let bytes = binary(&sample(), Compression::None);
    for at in 0..bytes.len() {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            if let Ok(package) = Package::decode(&with_checksum(changed)) {
                check_accepted(&package);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Package::decode(&bytes).is_err());
        let _ = Message::from_bytes(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = (Package::decode_json(&text), Receipt::from_text(&text), Message::from_text(&text));
        let _ = cursor_from_text(&text);
    }

    #[test]
    fn any_text_that_looks_like_json_is_read_or_refused(text in r#"[\[\]{}",:0-9a-f\\u.eE+ -]{0,60}"#) {
        let _ = (Package::decode_json(&text), Receipt::from_text(&text), Message::from_text(&text));
        let _ = cursor_from_text(&text);
    }

    #[test]
    fn mutated_packages_behind_a_fitting_checksum_are_read_or_refused(
        package in any_package(),
        compress in any::<bool>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..6),
    ) {
        let mut bytes = binary(&package, if compress { Compression::Zstd } else { Compression::None });
        for (at, value, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = value,
                1 => bytes.insert(at, value),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Ok(package) = Package::decode(&with_checksum(bytes)) {
            check_accepted(&package);
        }
    }
}

#[test]
fn a_package_that_no_reader_would_take_is_not_written() {
    let refused = |change: fn(&mut Package)| {
        let mut package = sample();
        change(&mut package);
        for format in FORMATS {
            package.encode(format).expect_err("it must not be written");
        }
        package.encode(Format::Json).expect_err("it must not be written")
    };
    assert!(matches!(refused(|p| p.run = 1 << 53), WireError::Misuse { .. }));
    assert!(matches!(refused(|p| p.as_of.head = -1), WireError::Misuse { .. }));
    assert!(matches!(refused(|p| p.changes[0].seq = -1), WireError::Misuse { .. }));
    assert!(matches!(refused(|p| p.changes[0].db_version = 1 << 53), WireError::Misuse { .. }));
    assert!(matches!(refused(|p| p.changes[0].col_version = i64::MIN), WireError::Misuse { .. }));
    assert!(matches!(refused(|p| p.changes[0].causal_length = i64::MAX), WireError::Misuse { .. }));
    assert!(matches!(refused(|p| p.changes[0].value = Value::Real(f64::NAN)), WireError::Misuse { .. }));
    assert!(matches!(refused(|p| p.start.cursor.db_version = 15), WireError::Misuse { .. }));
    assert!(matches!(refused(|p| p.run_start.seq = 0), WireError::Misuse { .. }));
    assert!(matches!(refused(|p| p.receipt.as_mut().unwrap().run = u64::MAX), WireError::Misuse { .. }));
    let too_large = |what: &str, error: WireError| assert!(error.to_string().contains(what), "{error}");
    let long = |length: usize| -> String { "x".repeat(length) };
    too_large("former site ids", refused(|p| p.former_ids = vec![p.sender; limits::FORMER_IDS_MAX + 1]));
    too_large("name", {
        let mut package = sample();
        package.changes[0].table = long(limits::NAME_BYTES_MAX + 1).into();
        package.encode(Format::Json).unwrap_err()
    });
    too_large("bytes of a value", refused(|p| p.changes[0].value = Value::Blob(vec![0; limits::VALUE_BYTES_MAX + 1])));
}

/// A few bytes cannot stand for more memory than the limits allow: here hundreds of changes that share one long key.
#[test]
fn a_small_package_that_would_unfold_to_more_than_the_limit_is_refused() {
    let mut package = empty_sample();
    let mut change = sample().changes[0].clone();
    let long = vec![b'k'; 1 << 19];
    change.key = rejoin_change::PackedKey::pack(&[rejoin_change::ValueRef::Text(&long)]).unwrap();
    package.changes = vec![change; 200];
    let bytes = binary(&package, Compression::Zstd);
    assert!(bytes.len() < 2000);
    assert_eq!(Package::decode(&bytes).unwrap().changes.len(), 200);

    // The writer refuses 300 of them, so the package of 200 is changed by hand: in the body every count of 200 or 199 is
    // a varint of two bytes that occurs nowhere else.
    let mut bytes = binary(&package, Compression::None);
    for at in 28..bytes.len() - 1 {
        match bytes[at..at + 2] {
            [0xc8, 0x01] => bytes[at..at + 2].copy_from_slice(&[0xac, 0x02]),
            [0xc7, 0x01] => bytes[at..at + 2].copy_from_slice(&[0xab, 0x02]),
            _ => {}
        }
    }
    bytes[24..28].copy_from_slice(&300u32.to_be_bytes());
    let from_reader = Package::decode(&with_checksum(bytes)).unwrap_err();
    package.changes.extend_from_within(..100);
    let from_writer = package.encode(Format::Binary(Compression::Zstd)).unwrap_err();
    for error in [from_reader, from_writer] {
        assert!(matches!(error, WireError::TooLarge { what: "bytes of a package's changes", .. }), "{error}");
    }
}

#[test]
fn a_newer_format_is_told_apart_from_damage() {
    let mut bytes = binary(&sample(), Compression::Zstd);
    bytes[4] = 2;
    assert_eq!(Package::decode(&bytes), Err(WireError::UnsupportedVersion { found: 2, newest: 1 }));
    let text = json(&sample()).replacen("\"rejoin_package\":1", "\"rejoin_package\":2", 1);
    assert_eq!(Package::decode_json(&text), Err(WireError::UnsupportedVersion { found: 2, newest: 1 }));
    assert_eq!(Package::decode(b"SQLite format 3\0"), Err(WireError::NotAPackage));
    assert_eq!(Package::decode(b""), Err(WireError::NotAPackage));
}

#[test]
fn json_that_a_careless_reader_would_accept_is_refused() {
    let text = json(&empty_sample());
    assert_eq!(Package::decode_json(&text), Ok(empty_sample()));
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Package::decode_json(&text.replacen(from, to, 1)).expect_err(to)
    };
    changed("\"run\":3", "\"run\":3,\"run\":3");
    changed("\"run\":3", "\"run\":3,\"walk\":3");
    changed("\"run\":3,", "");
    changed("\"run\":3", "\"run\":3.0");
    changed("\"run\":3", "\"run\":\"3\"");
    changed("\"run\":3", "\"run\":03");
    changed("\"run\":3", "\"run\":4");
    changed("\"receipt\":null", "\"receipt\":{}");
    changed("\"changes\":[]", "\"changes\":[null]");
    changed("\"ends_transaction\":true", "\"ends_transaction\":1");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Message::from_text(&format!("{{\"type\":\"level\",\"x\":{deep}}}")).is_err());
}
