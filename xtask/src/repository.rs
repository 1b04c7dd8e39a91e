//! Where things are: the repository's root, its target folder, its files.

use crate::{Outcome, run};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that holds the workspace's Cargo.toml.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies inside the repository").to_path_buf()
}

/// The folder for everything that is built, as Cargo sees it.
pub fn target() -> Outcome<PathBuf> {
    let metadata = metadata(&["--no-deps"])?;
    let folder = metadata["target_directory"].as_str().ok_or("cargo metadata names no target_directory")?;
    Ok(PathBuf::from(folder))
}

/// What `cargo metadata` says about this workspace.
pub fn metadata(extra: &[&str]) -> Outcome<Value> {
    let text = run::text_of(
        Command::new("cargo").args(["metadata", "--format-version", "1"]).args(extra).current_dir(root()),
    )?;
    serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))
}

/// The files that are, or would be, committed: relative paths with `/`, sorted.
pub fn files() -> Outcome<Vec<String>> {
    let text = run::text_of(
        Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root()),
    )?;
    let root = root();
    let mut files: Vec<String> =
        text.split('\0').filter(|path| !path.is_empty() && root.join(path).is_file()).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(files)
}
