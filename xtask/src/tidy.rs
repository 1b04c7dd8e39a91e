//! The rules of this repository that the compiler does not check.
//!
//! Each check takes text and returns complaints, so that its tests can show it a bad sample; only [`tidy`] reads files.

mod compatibility;
mod dependencies;
mod edges;
mod links;
mod promises;
mod rust_files;
mod rust_text;
mod text_files;

use crate::{Outcome, repository};
use std::fs;

/// One broken rule: where, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The file, as a path from the repository's root, or the crate.
    place: String,
    /// The line from 1, or 0 where the whole file is meant.
    line: usize,
    what: String,
}

impl Complaint {
    fn new(place: &str, line: usize, what: impl Into<String>) -> Complaint {
        Complaint { place: place.to_owned(), line, what: what.into() }
    }
}

/// Runs all checks over the repository and fails with every complaint they have.
pub fn tidy() -> Outcome<()> {
    let files = repository::files()?;
    let mut complaints = edges::check(&repository::metadata(&["--no-deps"])?)?;
    let allowed =
        fs::read_to_string(repository::root().join("deny.toml")).map_err(|error| format!("deny.toml: {error}"))?;
    complaints.extend(dependencies::check(&repository::metadata(&["--locked"])?, &allowed)?);
    let read = |path: &str| fs::read_to_string(repository::root().join(path)).ok();
    complaints.extend(compatibility::check(&read(compatibility::PAGE).unwrap_or_default(), &read));
    complaints.extend(promises::check(&read(promises::PAGE).unwrap_or_default(), &read));
    let tree = links::Tree::new(&files);
    for path in &files {
        let bytes = fs::read(repository::root().join(path)).map_err(|error| format!("{path}: {error}"))?;
        let Ok(text) = String::from_utf8(bytes) else {
            complaints.push(Complaint::new(path, 0, "is not text: no binaries are committed"));
            continue;
        };
        complaints.extend(text_files::check(path, &text));
        if path.ends_with(".rs") {
            complaints.extend(rust_files::check(path, &text));
        }
        if path.ends_with(".md") || path.ends_with(".rs") {
            complaints.extend(links::check(path, &text, &tree));
        }
    }
    if complaints.is_empty() {
        println!("{} files are tidy", files.len());
        return Ok(());
    }
    complaints.sort_by(|a, b| (&a.place, a.line).cmp(&(&b.place, b.line)));
    let lines: Vec<String> = complaints
        .iter()
        .map(|complaint| match complaint.line {
            0 => format!("{}: {}", complaint.place, complaint.what),
            line => format!("{}:{line}: {}", complaint.place, complaint.what),
        })
        .collect();
    Err(lines.join("\n"))
}
