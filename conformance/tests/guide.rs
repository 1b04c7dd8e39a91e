//! The guide to the streams, run as it is printed: its scripts in the order of the page, the files that it saves, and what
//! it says they print.

use rejoin_conformance::{Engine, Host, Peer, Settings, Stream, bash, example_program, free_address, program};
use std::collections::BTreeSet;

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
    assert_eq!(printed.errors, "", "nothing is complained about\n{}", printed.out);
    let printed = printed.out;
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

#[test]
fn the_page_lists_every_argument_column_and_function() {
    let Some(settings) = Settings::find(&[Engine::BuiltIn]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [a, b] = ["a", "b"].map(|name| Peer::new(&settings, folder.path(), name, Host::Python, Engine::BuiltIn));
    a.make_streams(&b, Stream::default());
    for (heading, module, table) in [
        ("Outbound streams", "crsql_outbound_stream", "out_to_b"),
        ("Inbound streams", "crsql_inbound_stream", "in_from_b"),
    ] {
        let error = a.error(&format!("CREATE VIRTUAL TABLE x USING {module}(nothing = 1)"), &[]);
        let (_, arguments) = error.split_once("the arguments of this stream are ").expect("the error lists them");
        assert_eq!(listed(heading, "argument"), names(arguments.split(", ")), "{heading}");
        let columns = a.run("SELECT name FROM pragma_table_xinfo(?1) WHERE name <> 'change'", &[table.into()]);
        assert_eq!(listed(heading, "column"), names(columns.iter().map(|row| row[0].text())), "{heading}");
    }
    let columns = a.run("SELECT name FROM pragma_table_xinfo('crsql_streams')", &[]);
    assert_eq!(listed("All streams", "column"), names(columns.iter().map(|row| row[0].text())));
    for call in listed("Functions", "call") {
        let (name, arguments) = call.split_once('(').expect("a call has parentheses");
        let count = if arguments == ")" { 0 } else { 1 + arguments.matches(", ").count() };
        let sql = "SELECT count(*) FROM pragma_function_list WHERE name = ?1 AND narg = ?2";
        assert_eq!(a.one(sql, &[name.into(), (count as i64).into()]).integer(), 1, "{call}");
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    names.map(Into::into).collect()
}

/// What the first column lists of the table that begins with this word, under this heading.
fn listed(heading: &str, first: &str) -> BTreeSet<String> {
    let (_, section) = GUIDE.split_once(&format!("\n## {heading}\n")).expect("the page has this heading");
    let section = section.split("\n## ").next().unwrap_or(section);
    let (_, rows) = section.split_once(&format!("\n| {first} |")).expect("the section has this table");
    let rows = rows.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2))
        .map(Into::into)
        .collect()
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

const STEP: &str = "--- the step ends";
