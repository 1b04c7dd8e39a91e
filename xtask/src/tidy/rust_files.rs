//! Rules for Rust files: where `unsafe` may stand, how long a file may be, what may not be left behind.

use super::Complaint;
use super::rust_text::RustText;

/// The most lines that a Rust file may have.
const LINES_MAX: usize = 700;

/// Where `unsafe` may stand.
const UNSAFE_FOLDERS: &[&str] = &["crates/bridge/", "extension/", "bench/original/"];

/// Macros that mark work as undone.
const LEFT_BEHIND: &[&str] = &["todo!", "unimplemented!", "dbg!"];

/// Checks one Rust file.
pub fn check(path: &str, source: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let text = RustText::new(source);
    let lines = source.lines().count();
    if lines > LINES_MAX {
        complaints.push(Complaint::new(
            path,
            0,
            format!("has {lines} lines; {LINES_MAX} is the limit: split it by noun"),
        ));
    }
    let unsafe_allowed = UNSAFE_FOLDERS.iter().any(|folder| path.starts_with(folder));
    if !unsafe_allowed && is_crate_root(path) && !text.code.contains(FORBID) {
        complaints.push(Complaint::new(path, 1, format!("does not say {FORBID}")));
    }
    let mut in_unit_tests = path.ends_with("/tests.rs");
    for (index, line) in text.code.lines().enumerate() {
        let number = index + 1;
        if !unsafe_allowed && has_word(line, "unsafe") {
            complaints.push(Complaint::new(
                path,
                number,
                "`unsafe` belongs in crates/bridge, extension and bench/original only",
            ));
        }
        for name in LEFT_BEHIND {
            if has_macro(line, name) {
                complaints.push(Complaint::new(path, number, format!("`{name}` was left behind")));
            }
        }
        in_unit_tests |= line.trim() == "#[cfg(test)]";
        if in_unit_tests && is_source(path) && has_word(line, "sleep") {
            complaints.push(Complaint::new(
                path,
                number,
                "a unit test may not sleep: hand the time in, or wait for what must happen",
            ));
        }
    }
    complaints
}

const FORBID: &str = "#![forbid(unsafe_code)]";

/// Files that Cargo takes for a crate of their own without being told.
fn is_crate_root(path: &str) -> bool {
    path.ends_with("src/lib.rs") || path.ends_with("src/main.rs")
}

fn is_source(path: &str) -> bool {
    path.contains("/src/")
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|found| found == word)
}

fn has_macro(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, source: &str) -> Vec<String> {
        check(path, source).into_iter().map(|c| c.what).collect()
    }

    const GOOD: &str = "//! A crate.\n#![forbid(unsafe_code)]\nfn f() {}\n";

    #[test]
    fn a_good_file_passes() {
        assert!(complaints("crates/wire/src/lib.rs", GOOD).is_empty());
    }

    #[test]
    fn a_crate_root_must_forbid_unsafe_code() {
        let found = complaints("crates/wire/src/lib.rs", "//! #![forbid(unsafe_code)]\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("forbid"));
        assert!(complaints("crates/bridge/src/lib.rs", "//! A crate.\n").is_empty());
    }

    #[test]
    fn unsafe_stays_in_its_crates() {
        let bad = "fn f() { unsafe { g() } }\n";
        assert_eq!(complaints("crates/wire/src/a.rs", bad).len(), 1);
        assert!(complaints("crates/bridge/src/a.rs", bad).is_empty());
        assert!(complaints("extension/src/lib.rs", bad).is_empty());
        assert!(complaints("crates/wire/src/a.rs", "// unsafe\nlet unsafe_code = \"unsafe\";\n").is_empty());
    }

    #[test]
    fn a_file_of_701_lines_is_too_long_and_one_of_700_is_not() {
        assert!(complaints("crates/wire/src/a.rs", &"x\n".repeat(700)).is_empty());
        let found = complaints("crates/wire/src/a.rs", &"x\n".repeat(701));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("701"));
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_not_in_strings() {
        for bad in ["todo!()", "unimplemented!(\"x\")", "let a = dbg!(b);"] {
            assert_eq!(complaints("crates/wire/src/a.rs", bad).len(), 1, "{bad}");
        }
        assert!(complaints("crates/wire/src/a.rs", "let a = \"todo!\"; // dbg!").is_empty());
    }

    #[test]
    fn a_unit_test_may_not_sleep_and_the_program_may() {
        let source = "fn f() { sleep(a) }\n#[cfg(test)]\nmod tests {\n    fn t() { std::thread::sleep(b) }\n}\n";
        let found = check("crates/wire/src/a.rs", source);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 4);
        assert_eq!(check("crates/wire/src/a/tests.rs", "fn t() { sleep(b) }\n").len(), 1);
        assert!(check("crates/wire/tests/a.rs", "fn t() { sleep(b) }\n").is_empty());
    }
}
