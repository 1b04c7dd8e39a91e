//! The library in the place of the original: a copy of it that is named as the original's file is loads as that does, and
//! a program that was written for the original goes on unchanged.

use rejoin_conformance::{PYTHON, library, original};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A copy of the library under another name, in a folder.
fn copy(folder: &Path, name: &str) -> Option<PathBuf> {
    let copy = folder.join(name);
    std::fs::copy(library()?, &copy).expect("a file can be copied into a temporary folder");
    Some(copy)
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)).trim().to_owned()
}

fn shell(load: &str, sql: &str) -> String {
    text(&Command::new("sqlite3").args([":memory:", load, sql]).output().expect("the shell starts"))
}

fn python(script: &str, arguments: &[&Path]) -> String {
    text(&Command::new(PYTHON).args(["-c", script]).args(arguments).output().expect("python3 starts"))
}

#[test]
fn the_shell_loads_it_by_the_originals_name_with_and_without_the_entry_point() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["crsqlite.so", "libcrsqlite.so"] {
        let Some(copy) = copy(folder.path(), name) else { return };
        for path in [copy.clone(), copy.with_extension("")] {
            for entry in ["", " sqlite3_crsqlite_init"] {
                let load = format!(".load {}{entry}", path.display());
                assert!(shell(&load, "SELECT crsql_sha()").starts_with("rejoin "), "{load}");
            }
        }
    }
}

#[test]
fn python_loads_it_by_the_originals_name_with_and_without_the_entry_point() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(copy) = copy(folder.path(), "crsqlite.so") else { return };
    let script = "
import sqlite3, sys
for path in (sys.argv[1], sys.argv[1].removesuffix('.so')):
    for arguments in ((path,), (path, 'sqlite3_crsqlite_init')):
        db = sqlite3.connect(':memory:')
        db.enable_load_extension(True)
        db.execute(f\"SELECT load_extension({', '.join('?' * len(arguments))})\", arguments)
        assert db.execute('SELECT crsql_sha()').fetchone()[0].startswith('rejoin ')
        db.close()
print('loaded')";
    assert_eq!(python(script, &[&copy]), "loaded");
}

/// Loads by path and entry point, tracks at every start, syncs by `crsql_changes` and `crsql_tracked_peers`, alters a
/// table, and says farewell before it closes.
const WRITTEN_FOR_THE_ORIGINAL: &str = "
import sqlite3, sys
library, folder = sys.argv[1:]

def open_database(name):
    db = sqlite3.connect(f'{folder}/{name}', isolation_level=None)
    db.enable_load_extension(True)
    db.execute('SELECT load_extension(?, ?)', (library, 'sqlite3_crsqlite_init'))
    db.execute('CREATE TABLE IF NOT EXISTS todo (id TEXT PRIMARY KEY NOT NULL, content TEXT, complete INTEGER)')
    db.execute(\"SELECT crsql_as_crr('todo')\").fetchall()
    return db

def close_database(db):
    db.execute('SELECT crsql_finalize()').fetchall()
    db.close()

def pull(target, source):
    own = target.execute('SELECT crsql_site_id()').fetchone()[0]
    other = source.execute('SELECT crsql_site_id()').fetchone()[0]
    seen = target.execute('SELECT version FROM crsql_tracked_peers WHERE site_id = ? AND tag = 0 AND event = 0', (other,)).fetchone()
    changes = source.execute(
        'SELECT \"table\", \"pk\", \"cid\", \"val\", \"col_version\", \"db_version\", \"site_id\", \"cl\", \"seq\" '
        'FROM crsql_changes WHERE db_version > ? AND site_id IS NOT ?', (seen[0] if seen else 0, own)).fetchall()
    target.execute('BEGIN')
    for change in changes:
        target.execute('INSERT INTO crsql_changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)', change)
    impacted = target.execute('SELECT crsql_rows_impacted()').fetchone()[0]
    if changes:
        target.execute(
            'INSERT INTO crsql_tracked_peers (site_id, version, seq, tag, event) VALUES (?, ?, 0, 0, 0) '
            'ON CONFLICT (site_id, tag, event) DO UPDATE SET version = excluded.version', (other, changes[-1][5]))
    target.execute('COMMIT')
    print(len(changes), impacted, target.execute('SELECT crsql_db_version()').fetchone()[0])

a, b = open_database('a.db'), open_database('b.db')
a.execute(\"INSERT INTO todo VALUES ('1', 'milk', 0), ('2', 'bread', 0)\")
pull(b, a)
b.execute(\"UPDATE todo SET complete = 1 WHERE id = '1'\")
b.execute(\"DELETE FROM todo WHERE id = '2'\")
a.execute(\"UPDATE todo SET content = 'oat milk' WHERE id = '1'\")
pull(a, b)
pull(b, a)
for db in (a, b):
    db.execute(\"SELECT crsql_begin_alter('todo')\").fetchall()
    db.execute(\"ALTER TABLE todo ADD COLUMN list TEXT DEFAULT 'home'\")
    db.execute(\"SELECT crsql_commit_alter('todo')\").fetchall()
    close_database(db)
a, b = open_database('a.db'), open_database('b.db')
a.execute(\"UPDATE todo SET list = 'work'\")
pull(b, a)
for db in (a, b):
    print(db.execute('SELECT * FROM todo').fetchall())
    print(db.execute('SELECT hex(pk), cid, val, col_version, db_version, cl, seq FROM crsql_changes').fetchall())
    close_database(db)
";

#[test]
fn a_program_written_for_the_original_does_the_same_with_the_copy_in_its_place() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (Some(copy), Some(original)) = (copy(folder.path(), "crsqlite.so"), original()) else { return };
    let run = |library: &Path, name: &str| {
        let own = folder.path().join(name);
        std::fs::create_dir(&own).expect("a folder in a temporary one");
        python(WRITTEN_FOR_THE_ORIGINAL, &[library, &own])
    };
    let with_the_original = run(&original, "theirs");
    assert!(with_the_original.contains("oat milk") && with_the_original.contains("work"), "{with_the_original}");
    assert_eq!(run(&copy, "ours"), with_the_original);
}

/// The files of that program, made by one and then used by the other.
#[test]
fn replacing_the_file_goes_on_with_the_databases() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (Some(copy), Some(original)) = (copy(folder.path(), "crsqlite.so"), original()) else { return };
    for (name, first, second) in [("there", &original, &copy), ("back", &copy, &original)] {
        let own = folder.path().join(name);
        std::fs::create_dir(&own).expect("a folder in a temporary one");
        let script = |body: &str| {
            let (prelude, _) = WRITTEN_FOR_THE_ORIGINAL.split_once("\na, b = open").expect("the program begins so");
            format!(
                "{prelude}\na, b = open_database('a.db'), open_database('b.db')\n{body}\nclose_database(a)\nclose_database(b)"
            )
        };
        let begins = script("a.execute(\"INSERT INTO todo VALUES ('1', 'milk', 0)\")\npull(b, a)");
        assert_eq!(python(&begins, &[first, &own]), "2 2 1", "{name}");
        let goes_on = script(
            "b.execute(\"UPDATE todo SET complete = 1\")\npull(a, b)\na.execute('DELETE FROM todo')\npull(b, a)\nprint(b.execute('SELECT count(*) FROM todo').fetchone()[0])",
        );
        assert_eq!(python(&goes_on, &[second, &own]), "1 1 2\n1 1 3\n0", "{name}");
    }
}

/// Where both are loaded the first one stays: the original makes tables replicate and the copy brings the streams, or the
/// copy does both and the original refuses to load.
#[test]
fn loaded_together_the_first_one_replicates_whatever_the_files_are_called() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (Some(copy), Some(original)) = (copy(folder.path(), "crsqlite.so"), original()) else { return };
    let script = "
import sqlite3, sys
copy, original = sys.argv[1:]
for order in ((original, copy), (copy, original)):
    db = sqlite3.connect(':memory:', isolation_level=None)
    db.enable_load_extension(True)
    outcome = []
    for library in order:
        try:
            db.execute('SELECT load_extension(?, ?)', (library, 'sqlite3_crsqlite_init'))
            outcome.append('loads')
        except sqlite3.OperationalError:
            outcome.append('refuses')
    db.execute('CREATE TABLE foo (a INTEGER PRIMARY KEY NOT NULL, b)')
    db.execute(\"SELECT crsql_as_crr('foo')\").fetchall()
    db.execute('INSERT INTO foo VALUES (1, 1)')
    db.execute('UPDATE foo SET b = 1')
    # The original takes a version for an update that changes nothing.
    outcome.append('the original' if db.execute('SELECT crsql_db_version()').fetchone()[0] == 2 else 'the copy')
    db.execute(\"CREATE VIRTUAL TABLE o USING crsql_outbound_stream(remote = '00112233445566778899aabbccddeeff')\")
    outcome.append(f\"{len(db.execute('SELECT package FROM o').fetchall())} package\")
    db.execute('SELECT crsql_finalize()').fetchall()
    db.close()
    print(', '.join(outcome))";
    assert_eq!(
        python(script, &[&copy, &original]),
        "loads, loads, the original, 1 package\nloads, refuses, the copy, 1 package"
    );
}
