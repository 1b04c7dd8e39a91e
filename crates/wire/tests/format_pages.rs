//! The examples on the pages under `docs/formats` are true.

use rejoin_wire::{Message, Package, Receipt, limits};

/// The fenced examples of one page.
fn examples(page: &str, language: &str) -> Vec<String> {
    let path = format!("{}/../../docs/formats/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the page is there");
    let begin = format!("```{language}\n");
    text.split(&begin[..]).skip(1).map(|rest| rest.split("\n```").next().unwrap_or(rest).to_owned()).collect()
}

#[test]
fn the_example_package_and_receipt_are_read() {
    let package = &examples("json.md", "json")[0];
    assert_eq!(Package::decode_json(package).unwrap().changes.len(), 1);
    let receipt = &examples("receipt.md", "json")[0];
    assert_eq!(Receipt::from_text(receipt).unwrap().run, 3);
}

/// The binary example is the golden vector, digit by digit, with remarks. Marks are shortened to `1111…11`.
#[test]
fn the_example_of_bytes_is_the_golden_vector() {
    let example = examples("package.md", "").into_iter().find(|example| example.starts_with("89726a70"));
    let mut digits = String::new();
    for line in example.expect("the example is there").lines() {
        let is_digits = |word: &&str| word.chars().all(|c| c.is_ascii_hexdigit() || c == '…');
        // The remark begins behind at least two spaces.
        let line = line.split("   ").next().unwrap_or(line);
        for word in line.split_whitespace().take_while(is_digits) {
            match word.split_once('…') {
                Some((_, end)) => digits.push_str(&end.repeat(24)),
                None => digits.push_str(word),
            }
        }
    }
    let vector = include_str!("golden/package_1_empty.hex").split_whitespace().collect::<String>();
    assert_eq!(digits, vector);
}

#[test]
fn the_example_messages_are_read() {
    let site = "{\"site_id\":\"01010101010101010101010101010101\",\"former_ids\":[],\"features\":[],\"tables\":[],\
                \"window_bytes\":1}";
    let receipt = examples("receipt.md", "json").remove(0);
    let mut count = 0;
    for line in examples("messages.md", "json")[0].lines() {
        let line = line.replace("SITE", site).replace("RECEIPT", &receipt).replace("<base64>", "AAEC");
        let line = line.replace("{\"rejoin_package\":1, …}", "{\"rejoin_package\":1}");
        Message::from_text(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        count += 1;
    }
    assert_eq!(count, 12);
}

#[test]
fn the_limits_on_the_pages_are_those_of_the_code() {
    let spaced = |number: usize| {
        let digits = number.to_string();
        let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned());
        groups.collect::<Vec<_>>().join(" ")
    };
    for (page, limit) in [
        ("package.md", limits::PACKAGE_CHANGES_MAX),
        ("package.md", limits::CURSOR_BYTES_MAX),
        ("package.md", limits::HEAD_BYTES_MAX),
        ("package.md", limits::PACKAGE_BYTES_MAX),
        ("receipt.md", limits::RECEIPT_TEXT_BYTES_MAX),
        ("messages.md", limits::MESSAGE_BYTES_MAX),
        ("messages.md", limits::MESSAGE_RECEIPT_BYTES_MAX),
        ("messages.md", limits::COLUMNS_MAX),
        ("receipt.md", limits::RANGES_MAX),
        ("../limits.md", limits::RANGES_MAX),
        ("../limits.md", limits::FORMER_IDS_MAX),
        ("../limits.md", limits::PACKAGE_CHANGES_MAX),
    ] {
        let path = format!("{}/../../docs/formats/{page}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect("the page is there");
        assert!(text.contains(&spaced(limit)), "{page} says {}", spaced(limit));
    }
}
