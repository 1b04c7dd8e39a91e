//! The guide to the streams, run as it is printed: its scripts in the order of the page, the files that it saves, and what
//! it says they print.

use rejoin_conformance::{Engine, Settings, example_program, free_address, program};
use std::path::Path;
use std::process::{Command, Stdio};

const GUIDE: &str = include_str!("../../docs/guide/streams.md");

#[test]
fn everything_on_the_page_runs_and_prints_what_it_says() {
    let (Some(_), Some(program), Some(peer)) = (Settings::find(&[Engine::BuiltIn]), program(), example_program("peer"))
    else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut steps: Vec<(String, Option<String>)> = Vec::new();
    for Block { language, text, before } in blocks(GUIDE) {
        match language {
            "bash" => steps.push((text, None)),
            "text" => steps.last_mut().expect("what is printed follows a script").1 = Some(text),
            "python" => {
                let name = saved_as(before);
                std::fs::write(folder.path().join(name), text).expect("a file in a new folder");
            }
            _ => {}
        }
    }
    assert!(steps.len() >= 10 && steps.iter().filter(|(_, printed)| printed.is_some()).count() >= 6);
    // The port may be taken here.
    let address = free_address();
    let port = address.rsplit_once(':').expect("an address ends with a port").1;
    let script: String =
        steps.iter().map(|(script, _)| format!("{}\necho '{STEP}'\n", with_port(script, port))).collect();
    let printed = bash(&script, folder.path(), &[&program, &peer]);
    let end_of_step = format!("{STEP}\n");
    let mut printed = printed.split(&end_of_step);
    for (script, expected) in steps {
        let printed = printed.next().expect("each step prints its end");
        if let Some(expected) = expected {
            assert_eq!(printed, expected, "\n{script}");
        }
    }
}

#[test]
fn the_program_in_rust_is_the_example_of_the_crate() {
    let example = include_str!("../../crates/rejoin/examples/peer.rs");
    let printed: Vec<Block<'_>> = blocks(GUIDE).into_iter().filter(|block| block.language == "rust").collect();
    assert_eq!(printed.len(), 1);
    assert_eq!(printed[0].text, example);
}

#[test]
fn what_is_not_run_here_is_only_the_installation() {
    let others: Vec<Block<'_>> = blocks(GUIDE)
        .into_iter()
        .filter(|block| !["bash", "text", "python", "rust"].contains(&block.language))
        .collect();
    assert_eq!(others.len(), 1, "of no other language than sh, and once");
    assert_eq!(others[0].language, "sh");
    assert!(others[0].text.starts_with("cargo build --release -p rejoin --example peer\n"));
}

struct Block<'a> {
    language: &'a str,
    text: String,
    /// The page before it.
    before: &'a str,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((_, behind)) = rest.split_once("\n```") {
        let (language, behind) = behind.split_once('\n').expect("the block's first line ends");
        let (text, after) = behind.split_once("\n```\n").expect("the block ends");
        let before = &page[..page.len() - behind.len()];
        blocks.push(Block { language, text: format!("{text}\n"), before });
        // The line end before the next block's first line may be this one's last.
        rest = &behind[behind.len() - after.len() - 1..];
    }
    blocks
}

/// "Save this as `NAME`" stands shortly before.
fn saved_as(before: &str) -> &str {
    let (_, behind) = before.rsplit_once("Save this as `").expect("the page names the file");
    behind.split_once('`').expect("the name ends").0
}

fn with_port(script: &str, port: &str) -> String {
    script.replace("7449", port)
}

/// Runs a script that stops at the first failure, with the folders of these programs first in PATH. What it prints.
fn bash(script: &str, folder: &Path, programs: &[&Path]) -> String {
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
    let errors = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "ended with {}\n{printed}\n{errors}", output.status);
    assert_eq!(errors, "", "nothing is complained about\n{printed}");
    printed.into_owned()
}

const STEP: &str = "--- the step ends";
