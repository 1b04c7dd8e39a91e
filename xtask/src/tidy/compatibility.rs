//! The page that says, row by row, what is the same as in cr-sqlite: every row has a verdict and names tests that exist.
//!
//! A row counts where the header of its table has a column "verdict" and a column "shown by". A test is named as
//! `crate/file::test`: `engine/schemas::arguments_are_checked` is in crates/engine/tests/schemas.rs or, for a unit test,
//! crates/engine/src/schemas.rs; `conformance/faults::…` is in conformance/tests/faults.rs. Modules of a file stand
//! between, as in Rust.

use super::Complaint;

/// The one page that is checked.
pub const PAGE: &str = "docs/compat.md";

/// What a row may say.
const VERDICTS: [&str; 3] = ["same", "different on purpose", "not supported and refused"];

/// Checks the page; `read` gives a file's text by its path from the root, if there is such a file.
pub fn check(text: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut columns: Option<(usize, usize)> = None;
    let mut rows = 0;
    for (index, line) in text.lines().enumerate() {
        let Some(cells) = cells(line) else {
            columns = None;
            continue;
        };
        let Some((verdict, tests)) = columns else {
            let find = |name: &str| cells.iter().position(|cell| *cell == name);
            columns = find("verdict").zip(find("shown by"));
            continue;
        };
        if cells.iter().all(|cell| cell.chars().all(|c| c == '-')) {
            continue;
        }
        rows += 1;
        let mut complain = |what: String| complaints.push(Complaint::new(PAGE, index + 1, what));
        let said = cells.get(verdict).copied().unwrap_or_default();
        if !VERDICTS.contains(&said) {
            complain(format!("says {said:?} where one of {VERDICTS:?} belongs"));
        }
        wrong_tests(cells.get(tests).copied().unwrap_or_default(), read).into_iter().for_each(complain);
    }
    if rows == 0 {
        complaints.push(Complaint::new(PAGE, 0, "has no row with a verdict and a test"));
    }
    complaints
}

/// What is wrong with a cell that names tests, each between backticks.
pub(super) fn wrong_tests(cell: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let named: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    if named.is_empty() {
        return vec!["names no test".to_owned()];
    }
    let missing = named.into_iter().filter(|name| !exists(name, read));
    missing.map(|name| format!("names the test {name}, which does not exist")).collect()
}

/// The cells of a line of a table, trimmed; none for another line. A bar within a cell is written `\|`.
pub(super) fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let mut cells = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, character) in inner.char_indices() {
        if character == '|' && !escaped {
            cells.push(inner[start..at].trim());
            start = at + 1;
        }
        escaped = character == '\\';
    }
    cells.push(inner[start..].trim());
    Some(cells)
}

/// True where a test of this name stands in the file that it names, in the modules that it names.
fn exists(name: &str, read: &dyn Fn(&str) -> Option<String>) -> bool {
    let mut parts = name.split("::");
    let Some((folder, file)) = parts.next().and_then(|place| place.split_once('/')) else { return false };
    let path: Vec<&str> = parts.collect();
    let Some((test, modules)) = path.split_last() else { return false };
    let folder = if folder == "conformance" { folder.to_owned() } else { format!("crates/{folder}") };
    let places = ["tests/FILE.rs", "tests/FILE/main.rs", "src/FILE.rs"];
    places.iter().filter_map(|place| read(&format!("{folder}/{}", place.replace("FILE", file)))).any(|text| {
        let mut lines = text.lines().map(str::trim_start);
        modules.iter().all(|module| lines.any(|line| line == format!("mod {module} {{"))) && has_test(lines, test)
    })
}

fn has_test<'a>(mut lines: impl Iterator<Item = &'a str>, test: &str) -> bool {
    let mut marked = false;
    let begins = format!("fn {test}(");
    lines.any(|line| {
        let found = marked && line.strip_prefix("async ").unwrap_or(line).starts_with(&begins);
        // Attributes may stand between the mark and the function.
        marked = line == "#[test]" || line.starts_with("#[tokio::test") || (marked && line.starts_with("#["));
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "| what | verdict | shown by |\n|---|---|---|\n";

    fn files(path: &str) -> Option<String> {
        match path {
            "crates/engine/tests/schemas.rs" => Some("#[test]\nfn one() {}\nfn helper() {}\n".into()),
            "crates/wire/src/size.rs" => Some("mod tests {\n    #[test]\n    fn two() {}\n}\n".into()),
            "conformance/tests/big/main.rs" => {
                Some("mod a {\n    #[test]\n    #[cfg(unix)]\n    fn three() {}\n}\n".into())
            }
            _ => None,
        }
    }

    fn found(rows: &str) -> usize {
        check(&format!("{HEAD}{rows}"), &files).len()
    }

    #[test]
    fn rows_with_a_verdict_and_tests_that_exist_pass() {
        let rows = "| a \\| b | same | `engine/schemas::one`, `wire/size::two` |\n\
                    | c | not supported and refused | `conformance/big::a::three` |\n";
        assert_eq!(found(rows), 0);
    }

    #[test]
    fn a_test_that_does_not_exist_is_found() {
        for name in [
            "engine/schemas::none",
            "engine/schemas::helper",
            "engine/none::one",
            "engine/schemas",
            "conformance/big::b::three",
        ] {
            assert_eq!(found(&format!("| a | same | `{name}` |\n")), 1, "{name}");
        }
    }

    #[test]
    fn a_row_without_verdict_or_test_is_found() {
        assert_eq!(found("| a | missing | `engine/schemas::one` |\n"), 1);
        assert_eq!(found("| a | same | none |\n"), 1);
        assert_eq!(found("| a | same |\n"), 1);
    }

    #[test]
    fn other_tables_are_left_alone_and_a_page_without_rows_is_found() {
        assert_eq!(check("| a | b |\n|---|---|\n| c | d |\n", &files).len(), 1);
        assert_eq!(
            check(&format!("| a | b |\n|---|---|\n| c | d |\n\n{HEAD}| a | same | `engine/schemas::one` |\n"), &files)
                .len(),
            0
        );
    }
}
