//! What is written is read back unchanged, in every format.

mod support;

use proptest::prelude::*;
use rejoin_wire::{
    Compression, Package, Receipt, changes_from_bytes, changes_to_bytes, cursor_from_text, cursor_to_text,
};
use support::*;

proptest! {
    #[test]
    fn packages_come_back_unchanged_from_every_format(package in any_package()) {
        for format in FORMATS {
            let encoded = package.encode(format).unwrap();
            prop_assert_eq!(&Package::decode(encoded.as_bytes()).unwrap(), &package);
        }
    }

    #[test]
    fn changes_come_back_unchanged_without_a_package(package in any_package()) {
        let bytes = changes_to_bytes(&package.changes).unwrap();
        prop_assert_eq!(changes_from_bytes(&bytes).unwrap(), package.changes);
    }

    #[test]
    fn a_header_can_be_read_without_the_changes(package in any_package()) {
        let header = Package::peek(&binary(&package, Compression::Zstd)).unwrap();
        prop_assert_eq!(header.sender, package.sender);
        prop_assert_eq!(header.receiver, package.receiver);
        prop_assert_eq!(header.run, package.run);
        prop_assert_eq!(header.start, package.start);
        prop_assert_eq!(header.end, package.end);
        prop_assert_eq!(header.changes, package.changes.len());
    }

    /// Another program may read the JSON and write it again: here one that sorts the fields and indents.
    #[test]
    fn json_packages_survive_being_rewritten_by_another_program(package in any_package()) {
        let tree: serde_json::Value = serde_json::from_str(&json(&package)).unwrap();
        let rewritten = serde_json::to_string_pretty(&tree).unwrap();
        prop_assert_eq!(Package::decode(rewritten.as_bytes()).unwrap(), package);
    }

    #[test]
    fn receipts_come_back_unchanged(receipt in any_receipt()) {
        prop_assert_eq!(Receipt::from_text(&receipt.to_text()).unwrap(), receipt);
    }

    #[test]
    fn cursors_come_back_unchanged_with_their_place_inside_the_pair(cursor in any_cursor()) {
        prop_assert_eq!(cursor_from_text(&cursor_to_text(&cursor)).unwrap(), cursor);
    }
}

#[test]
fn compression_makes_a_repetitive_package_smaller() {
    let mut package = sample();
    package.changes = package.changes.iter().cycle().take(1000).cloned().collect();
    let plain = binary(&package, Compression::None);
    let compressed = binary(&package, Compression::Zstd);
    assert!(compressed.len() * 4 < plain.len(), "{} against {}", compressed.len(), plain.len());
    assert_eq!(Package::decode(&compressed).unwrap(), package);
}

/// Rows of five cells with a 16-byte key and values of 18 bytes on average, the mix that the format was measured with.
#[test]
fn a_typical_change_takes_few_bytes_beyond_its_value() {
    let mut package = empty_sample();
    let cell = &sample().changes[0];
    for row in 0..2000u64 {
        let id = u128::from(row.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes();
        let key = rejoin_change::PackedKey::pack(&[rejoin_change::ValueRef::Blob(&id)]).unwrap();
        for column in 0..5 {
            let mut change = cell.clone();
            change.key = key.clone();
            change.column = ["a", "b", "c", "d", "e"][column].into();
            change.db_version = 1 + row as i64 / 10;
            change.seq = (row as i64 % 10) * 5 + column as i64;
            change.value = rejoin_change::Value::Text(vec![b'x'; 18]);
            package.changes.push(change);
        }
    }
    let bytes_each = binary(&package, Compression::None).len() as f64 / package.changes.len() as f64;
    assert!(bytes_each < 18.0 + 6.0, "{bytes_each}");
}

#[test]
fn cursors_are_written_as_people_write_them() {
    for (text, canonical) in [
        ("[0,0]", "[0,0]"),
        (" [ 12 , 3 ] ", "[12,3]"),
        ("[12,\"end\"]", "[12,\"end\"]"),
        ("[12,9007199254740991]", "[12,\"end\"]"),
        ("[0,0,\"end\"]", "[0,0,\"end\"]"),
        ("[12,3,\"end\"]", "[12,3]"),
        ("[1,2,\"t\",[1,\"a\"],\"c\"]", "[1,2,\"t\",[1,\"a\"],\"c\"]"),
        ("[1,2,\"end\",[],\"c\",5,10,1]", "[1,2,\"end\",[],\"c\",5,10,1]"),
    ] {
        assert_eq!(cursor_to_text(&cursor_from_text(text).unwrap()), canonical);
    }
}

#[test]
fn what_is_no_cursor_is_refused_in_words() {
    for text in [
        "",
        "[]",
        "[1]",
        "[1,2",
        "[1,2]]",
        "[1,2] 3",
        "12",
        "null",
        "\"now\"",
        "[-1,0]",
        "[1,-1]",
        "[1.0,2]",
        "[1e0,2]",
        "[01,2]",
        "[9007199254740992,0]",
        "[0,9007199254740992]",
        "[\"1\",2]",
        "[1,\"END\"]",
        "[1,2,\"t\"]",
        "[1,2,\"t\",[1]]",
        "[1,2,\"t\",1,\"c\"]",
        "[1,2,\"t\",[],\"c\",1]",
        "[1,2,\"t\",[],\"c\",11,10,1]",
        "[1,2,\"t\",[],\"c\",1,2,3,4]",
        "[1,2,]",
        "[,1,2]",
        "[-0,0]",
    ] {
        let error = cursor_from_text(text).expect_err(text);
        assert!(error.to_string().len() > 10, "{text}: {error}");
    }
}
