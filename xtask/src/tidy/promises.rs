//! The page that says what a stream promises: every row says whether the promise holds on the original engine too, and names
//! tests that exist, as [`super::compatibility`] has them named.

use super::Complaint;
use super::compatibility::{cells, wrong_tests};

/// The one page that is checked.
pub const PAGE: &str = "docs/promises.md";

/// The header of each table.
const HEADER: [&str; 3] = ["promise", "on the original too", "tests"];

/// Where the differences between the engines are told: a row that says no links to it.
const DIFFERENCES: &str = "](compat.md#the-streams-beside-the-original)";

/// Checks the page; `read` gives a file's text by its path from the root, if there is such a file.
pub fn check(text: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut rows = 0;
    for (index, line) in text.lines().enumerate() {
        let Some(cells) = cells(line) else { continue };
        if cells == HEADER || cells.iter().all(|cell| cell.chars().all(|c| c == '-')) {
            continue;
        }
        rows += 1;
        let mut complain = |what: String| complaints.push(Complaint::new(PAGE, index + 1, what));
        let [_, on_original, tests] = cells[..] else {
            complain(format!("is no row of the columns {HEADER:?}"));
            continue;
        };
        if on_original != "yes" && !(on_original.starts_with("no: ") && on_original.contains(DIFFERENCES)) {
            complain(format!("says {on_original:?} where yes, or no: and a link {DIFFERENCES:?}, belongs"));
        }
        wrong_tests(tests, read).into_iter().for_each(complain);
    }
    if rows == 0 {
        complaints.push(Complaint::new(PAGE, 0, "has no row with a promise and a test"));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "| promise | on the original too | tests |\n|---|---|---|\n";

    fn found(rows: &str) -> usize {
        let read = |path: &str| (path == "crates/streams/tests/sql.rs").then(|| "#[test]\nfn one() {}\n".to_owned());
        check(&format!("{HEAD}{rows}"), &read).len()
    }

    #[test]
    fn rows_that_name_tests_and_say_where_they_hold_pass() {
        let rows = "| a | yes | `streams/sql::one` |\n\
                    | b | no: [why](compat.md#the-streams-beside-the-original) | `streams/sql::one` |\n";
        assert_eq!(found(rows), 0);
    }

    #[test]
    fn a_row_without_a_test_a_reason_or_a_column_is_found_and_so_is_a_page_without_rows() {
        for row in [
            "| a | yes | none |",
            "| a | yes | `streams/sql::two` |",
            "| a | no: because | `streams/sql::one` |",
            "| a | maybe | `streams/sql::one` |",
            "| a | `streams/sql::one` |",
            "",
        ] {
            assert_eq!(found(&format!("{row}\n")), 1, "{row}");
        }
    }
}
