//! Files that the documentation names must exist.
//!
//! Two forms count. A markdown link to a relative path is resolved from the file that holds it, and its anchor must be
//! a heading there. A path in backquotes counts when its first part is a folder at the top of the repository
//! (`crates/wire/src/lib.rs`) or one of our crates (`wire/package` is crates/wire/src/package.rs, or a folder of that
//! name); in Rust files only the first kind counts, in comments.

use super::Complaint;
use super::rust_text::RustText;
use std::collections::BTreeSet;

/// All files of the repository and all folders that hold some.
pub struct Tree {
    paths: BTreeSet<String>,
}

impl Tree {
    /// Takes paths from the repository's root, with `/`.
    pub fn new(files: &[String]) -> Tree {
        let mut paths = BTreeSet::new();
        for file in files {
            let mut path = file.as_str();
            while paths.insert(path.to_owned()) {
                match path.rsplit_once('/') {
                    Some((folder, _)) => path = folder,
                    None => break,
                }
            }
        }
        Tree { paths }
    }

    fn has(&self, path: &str) -> bool {
        self.paths.contains(path.trim_end_matches('/'))
    }

    fn has_top_folder(&self, name: &str) -> bool {
        self.has(name) && self.paths.range(format!("{name}/")..).next().is_some_and(|path| path.starts_with(name))
    }

    /// A module of one of our crates, as the architecture page names it.
    fn has_module(&self, folder: &str, module: &str) -> bool {
        let module = module.trim_end_matches('/');
        self.has(&format!("crates/{folder}/src/{module}"))
            || self.has(&format!("crates/{folder}/src/{module}.rs"))
            || self.has(&format!("crates/{folder}/{module}"))
    }
}

/// Folders that builds make: what the documentation says about them cannot be looked up.
const BUILT: &[&str] = &["target"];

/// Checks one markdown or Rust file.
pub fn check(path: &str, text: &str, tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let is_rust = path.ends_with(".rs");
    let comments = is_rust.then(|| RustText::new(text).comments);
    let mut in_example = false;
    for (index, line) in comments.as_deref().unwrap_or(text).lines().enumerate() {
        let number = index + 1;
        if line.trim_start_matches(['/', '!', ' ']).starts_with("```") {
            in_example = !in_example;
        }
        if in_example {
            continue;
        }
        if !is_rust {
            for target in link_targets(line) {
                complaints.extend(check_link(path, number, target, text, tree));
            }
        }
        for quoted in in_backquotes(line) {
            if let Some(missing) = missing_path(quoted, !is_rust, tree) {
                complaints.push(Complaint::new(path, number, format!("names {missing}, which does not exist")));
            }
        }
    }
    complaints
}

fn check_link(path: &str, line: usize, target: &str, text: &str, tree: &Tree) -> Option<Complaint> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    if file.is_empty() {
        let known = text.lines().any(|line| anchor_of(line).as_deref() == Some(anchor));
        return (!known)
            .then(|| Complaint::new(path, line, format!("links to #{anchor}, and no heading here is called that")));
    }
    let resolved = resolve(path, file);
    match resolved {
        Some(resolved) if tree.has(&resolved) => None,
        _ => Some(Complaint::new(path, line, format!("links to {file}, which does not exist"))),
    }
}

/// `](target)` of every link in a line.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(move |(at, mark)| {
        let rest = &line[at + mark.len()..];
        rest.find(')').map(|end| rest[..end].trim())
    })
}

fn in_backquotes(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn missing_path<'a>(quoted: &'a str, modules: bool, tree: &Tree) -> Option<&'a str> {
    let is_path_character = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let (first, rest) = quoted.split_once('/')?;
    if rest.is_empty() || BUILT.contains(&first) || !quoted.chars().all(is_path_character) {
        return None;
    }
    let is_module = tree.has_top_folder(&format!("crates/{first}"));
    let found = tree.has(quoted) || (is_module && tree.has_module(first, rest));
    let counts = tree.has_top_folder(first) || (modules && is_module);
    (counts && !found).then_some(quoted)
}

/// The path from the root that `target` means in the file `path`; none when it leaves the repository.
fn resolve(path: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// How a heading is linked to: lower case, spaces as hyphens, other signs dropped.
fn anchor_of(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let files =
            ["README.md", "docs/a.md", "docs/guide/b.md", "crates/wire/src/package.rs", "crates/wire/Cargo.toml"];
        Tree::new(&files.map(str::to_owned))
    }

    fn found(path: &str, text: &str) -> usize {
        check(path, text, &tree()).len()
    }

    #[test]
    fn a_link_to_a_file_that_is_there_passes() {
        assert_eq!(found("README.md", "[a](docs/a.md) [b](./docs/guide/b.md#x) [c](https://example.org/no)\n"), 0);
        assert_eq!(found("docs/guide/b.md", "[a](../a.md) [r](../../README.md)\n"), 0);
    }

    #[test]
    fn a_link_to_a_file_that_is_not_there_is_found() {
        assert_eq!(found("README.md", "[a](docs/c.md)\n"), 1);
        assert_eq!(found("docs/a.md", "[a](docs/a.md)\n"), 1);
        assert_eq!(found("docs/a.md", "[out](../../elsewhere.md)\n"), 1);
    }

    #[test]
    fn an_anchor_must_be_a_heading() {
        assert_eq!(found("README.md", "# How to start?\n[a](#how-to-start)\n"), 0);
        assert_eq!(found("README.md", "# How to start?\n[a](#how-to-stop)\n"), 1);
    }

    #[test]
    fn a_path_in_backquotes_must_exist_when_it_is_one_of_ours() {
        assert_eq!(found("README.md", "`docs/a.md` `wire/package` `crates/wire` `docs/` `target/debug/x` `a/b`\n"), 0);
        assert_eq!(found("README.md", "`docs/c.md`\n"), 1);
        assert_eq!(found("README.md", "`wire/messages`\n"), 1);
    }

    #[test]
    fn examples_are_not_searched() {
        assert_eq!(found("README.md", "```sh\ncat `docs/c.md`\n```\n"), 0);
    }

    #[test]
    fn comments_in_rust_may_name_only_what_is_there() {
        assert_eq!(found("crates/wire/src/package.rs", "//! See `docs/c.md`.\n"), 1);
        assert_eq!(found("crates/wire/src/package.rs", "//! See `docs/a.md`.\nlet a = \"`docs/c.md`\";\n"), 0);
    }
}
