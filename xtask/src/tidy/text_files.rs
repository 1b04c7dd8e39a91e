//! Rules for every text file: white space, marks of unfinished work, paths of somebody's own machine.

use super::Complaint;
use super::rust_text::RustText;

/// Words that mark work as undone; in Rust only comments are searched.
const MARKS: &[&str] = &["TODO", "FIXME", "XXX"];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &["/work/", "/root/", "/home/"];

/// The one folder whose texts must hold what it looks for.
const OWN_FOLDER: &str = "xtask/src/tidy/";

/// Files that are written by a program.
const GENERATED: &[&str] = &["Cargo.lock"];

/// Checks one file of any kind.
pub fn check(path: &str, text: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    if GENERATED.contains(&path) {
        return complaints;
    }
    if text.contains('\r') {
        complaints.push(Complaint::new(path, 0, "has carriage returns: lines end with \\n alone"));
    }
    if !text.is_empty() && !text.ends_with('\n') {
        complaints.push(Complaint::new(path, 0, "does not end with a line end"));
    }
    for (index, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t']) {
            complaints.push(Complaint::new(path, index + 1, "white space at the end of the line"));
        }
    }
    if !path.starts_with(OWN_FOLDER) {
        complaints.extend(marks(path, text));
        complaints.extend(machine_paths(path, text));
    }
    complaints
}

fn marks(path: &str, text: &str) -> Vec<Complaint> {
    let comments = path.ends_with(".rs").then(|| RustText::new(text).comments);
    let searched = comments.as_deref().unwrap_or(text);
    let mut complaints = Vec::new();
    for (index, line) in searched.lines().enumerate() {
        let words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        for word in words.filter(|word| MARKS.contains(word)) {
            complaints.push(Complaint::new(path, index + 1, format!("{word} was left behind")));
        }
    }
    complaints
}

fn machine_paths(path: &str, text: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for machine_path in MACHINE_PATHS {
            let found = line
                .match_indices(machine_path)
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-/}".contains(c)));
            if found {
                complaints.push(Complaint::new(
                    path,
                    index + 1,
                    format!("names {machine_path}, which is a folder of one machine"),
                ));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_passes() {
        assert_eq!(check("docs/a.md", "# A\n\nText, and a todo list.\n"), []);
        assert_eq!(check("docs/a.md", ""), []);
    }

    #[test]
    fn white_space_at_the_end_of_a_line_is_found() {
        let found = check("docs/a.md", "a\nb \nc\t\n");
        assert_eq!(found.iter().map(|c| c.line).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn a_missing_line_end_and_a_carriage_return_are_found() {
        assert_eq!(check("docs/a.md", "a").len(), 1);
        assert_eq!(check("docs/a.md", "a\r\n").len(), 1);
    }

    #[test]
    fn unfinished_work_is_found_in_text_and_in_comments() {
        assert_eq!(check("docs/a.md", "a TODO b\n").len(), 1);
        assert_eq!(check("crates/wire/src/a.rs", "// FIXME: b\n").len(), 1);
        assert_eq!(check("crates/wire/src/a.rs", "let a = \"XXX\";\n"), []);
        assert_eq!(check("docs/a.md", "TODOS and FIXMEs\n"), []);
    }

    #[test]
    fn a_path_of_one_machine_is_found_and_a_relative_one_is_not() {
        assert_eq!(check("docs/a.md", "see /work/a.md\n").len(), 1);
        assert_eq!(check("docs/a.md", "see https://example.org/home/a and a/work/b\n"), []);
    }
}
