use std::path::Path;
use std::process::{Command, Stdio};

/// What a script printed.
#[derive(Debug)]
pub struct Printed {
    /// On standard output.
    pub out: String,
    /// On standard error.
    pub errors: String,
}

/// Runs a script of bash's in a folder, with the folders of these programs first in PATH. It stops at its first failure,
/// which is one of the test's too.
pub fn bash(script: &str, folder: &Path, programs: &[&Path]) -> Printed {
    let folders = programs.iter().map(|program| program.parent().expect("a program lies in a folder").to_path_buf());
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(folders.chain(std::env::split_paths(&inherited))).expect("no colon in a folder");
    let output = Command::new("bash")
        .args(["-euc", &format!("set -o pipefail\n{script}")])
        .current_dir(folder)
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .expect("bash starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let printed = Printed { out: text(&output.stdout), errors: text(&output.stderr) };
    assert!(output.status.success(), "{script}\nended with {}\n{printed:?}", output.status);
    printed
}
