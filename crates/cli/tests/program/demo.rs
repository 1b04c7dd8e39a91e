use crate::{folder, rejoin};

#[test]
fn the_demo_ends_with_equal_copies_and_says_so() {
    let folder = folder();
    let run = rejoin(&folder, &["demo", "--keep", "kept"]);
    assert_eq!(run.code, Some(0), "{}\n{}", run.out, run.err);
    assert!(run.out.contains("All 4 copies are equal"), "{}", run.out);
    for name in ["lisbon", "nairobi", "wellington"] {
        let copy = format!("kept/{name}.db");
        assert_eq!(rejoin(&folder, &["diff", "kept/hub/atlas.db", &copy]).code, Some(0), "{name}");
    }
    // A folder that holds something is left alone.
    let again = rejoin(&folder, &["demo", "--keep", "kept"]);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("is not empty"), "{}", again.err);
}

#[test]
fn the_demos_summary_counts_rows_and_digests_of_every_copy() {
    let run = rejoin(&folder(), &["demo", "--json", "--seed", "3"]);
    assert_eq!(run.code, Some(0), "{}\n{}", run.out, run.err);
    let summary = run.json();
    assert_eq!((&summary["equal"], &summary["seed"]), (&true.into(), &3.into()));
    let tables = summary["tables"].as_array().expect("tables");
    assert_eq!(tables.len(), 7);
    let rows: u64 = tables.iter().filter_map(|table| table["copies"]["hub"]["rows"].as_u64()).sum();
    assert!(rows > 3886, "{rows}");
    for table in tables {
        let copies = table["copies"].as_object().expect("copies");
        assert_eq!(copies.len(), 4);
        assert!(copies.values().all(|copy| copy == &table["copies"]["hub"]), "{table}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let folder = folder();
    let mut child = Command::new(env!("CARGO_BIN_EXE_rejoin"))
        .arg("demo")
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    assert!(lines.any(|line| line.expect("a line").contains("All three edit at once")));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    lines.for_each(drop);
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "rejoin: stopped\n");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}
