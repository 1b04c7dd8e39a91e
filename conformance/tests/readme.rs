//! The examples on the README's first screen, run as they stand there.

use rejoin_conformance::{Engine, Settings, bash, chinook, free_address, program};

#[test]
fn the_sql_example_of_the_readme_is_true() {
    let (Some(_), Some(program)) = (Settings::find(&[Engine::BuiltIn]), program()) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let example = block_after("In SQL");
    assert!(example.contains("crsql_apply"), "{example}");
    let printed = bash(&example, folder.path(), &[&program]);
    assert_eq!(printed.out.lines().last(), Some("hello"), "{printed:?}");
}

#[test]
fn the_program_example_of_the_readme_is_true() {
    let (Some(chinook), Some(program)) = (chinook(), program()) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::copy(chinook, folder.path().join("app.db")).expect("a copy of the sample");
    let example = block_after("With the program");
    assert!(example.contains("127.0.0.1:7448"), "{example}");
    // The port may be taken here, and the server must not stay.
    let example = example.replace("127.0.0.1:7448", &free_address());
    let printed = bash(&format!("trap 'kill %1' EXIT\n{example}"), folder.path(), &[&program]);
    assert!(folder.path().join("rooms").join("app.db").is_file(), "{printed:?}");
}

/// The first example behind these words in the README.
fn block_after(words: &str) -> String {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once(words).expect("the README has these words");
    let (_, rest) = rest.split_once("```sh\n").expect("an example follows");
    rest.split_once("```").expect("the example ends").0.to_owned()
}
