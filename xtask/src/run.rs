//! Running other programs.

use crate::Outcome;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs to the end with its output on ours; anything but success is an error that names the command.
pub fn run(command: &mut Command) -> Outcome<()> {
    let status = command.status().map_err(|error| format!("failed to start {}: {error}", line_of(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", line_of(command))) }
}

/// Runs to the end and returns what it wrote to stdout; on failure the error holds what it wrote to stderr.
pub fn text_of(command: &mut Command) -> Outcome<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("failed to start {}: {error}", line_of(command)))?;
    if !output.status.success() {
        return Err(format!(
            "{} ended with {}\n{}",
            line_of(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        ));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{} wrote text that is not UTF-8", line_of(command)))
}

/// Whether a program of this name can be started; an absolute path names itself.
pub fn is_there(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn line_of(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
