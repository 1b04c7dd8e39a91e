//! Whether what came out is the same everywhere.

use crate::Outcome;
use crate::perform::{Done, expected, since};
use crate::record::{self, Record};
use crate::system::{Peer, System};
use crate::workload::{Action, Workload};
use rejoin_wire::Package;
use rusqlite::types::Value;
use std::fmt::Debug;

/// One system's work, still open.
pub struct Finished<'a> {
    pub system: System,
    pub peer: &'a Peer,
    pub done: &'a Done,
}

/// Whether every system has handled as much as there is.
pub fn verify_counts(workload: &Workload, rows: usize, finished: &[Finished<'_>]) -> Outcome<()> {
    for one in finished {
        let wanted = expected(workload, one.peer, rows);
        if one.done.count != wanted {
            let (word, count) = (one.system.word(), one.done.count);
            return Err(format!("{}: {word} has handled {count}, and should have {wanted}", workload.name).into());
        }
    }
    Ok(())
}

/// Compares what the systems have done: their rows with those of SQLite by itself, their changes with each other. What
/// the original and the built-in engine have stored or told must be equal in everything but their own ids; what the
/// streams have, in everything but authors, transactions and places in them.
pub fn verify(workload: &Workload, author: Option<&[u8]>, finished: &[Finished<'_>]) -> Outcome<()> {
    let mut reference: Option<(System, Vec<Vec<Value>>)> = None;
    let mut told: Option<(System, Vec<Record>)> = None;
    for one in finished {
        if !is_pull(workload.action) {
            let found = user_rows(workload, one.peer)?;
            match &reference {
                Some((first, expected)) => same(workload, "rows", (*first, expected), (one.system, &found))?,
                None => reference = Some((one.system, found)),
            }
        }
        if !one.peer.replicates() {
            continue;
        }
        let found = changes(workload, one, author)?;
        match &told {
            None => told = Some((one.system, found)),
            Some((first, expected)) if one.system.numbers_anew() || first.numbers_anew() => {
                let bare = |records: &[Record]| -> Vec<Record> {
                    records.iter().cloned().map(Record::without_numbers).collect()
                };
                same(workload, "changes", (*first, &bare(expected)), (one.system, &bare(&found)))?;
            }
            Some((first, expected)) => same(workload, "changes", (*first, expected), (one.system, &found))?,
        }
    }
    Ok(())
}

fn is_pull(action: Action) -> bool {
    matches!(action, Action::Pull | Action::PullExcluding | Action::PullLast)
}

fn user_rows(workload: &Workload, peer: &Peer) -> Outcome<Vec<Vec<Value>>> {
    let columns = workload.shape.key_len() + workload.shape.columns().len();
    let mut statement = peer.connection().prepare(&workload.shape.select())?;
    let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect())?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What was told, where that was the work; else everything that there is to tell.
fn changes(workload: &Workload, one: &Finished<'_>, author: Option<&[u8]>) -> Outcome<Vec<Record>> {
    let records = if is_pull(workload.action) && one.system == System::Streams {
        let mut records = Vec::new();
        for package in &one.done.packages {
            records.extend(Package::decode(package)?.changes.iter().map(Record::told));
        }
        records
    } else {
        record::read(one.peer, since(one.peer, workload.action)?, author)?
    };
    Ok(record::settled(records, &one.peer.site_id()?))
}

fn same<T: PartialEq + Debug>(
    workload: &Workload,
    what: &str,
    (first, expected): (System, &[T]),
    (second, found): (System, &[T]),
) -> Outcome<()> {
    if expected == found {
        return Ok(());
    }
    let differs = expected.iter().zip(found).find(|(a, b)| a != b);
    let shown = match differs {
        Some((a, b)) => format!("{a:?}\n{b:?}"),
        None => format!("{} and {}", expected.len(), found.len()),
    };
    let (name, first, second) = (workload.name, first.word(), second.word());
    Err(format!("{name}: the {what} of {first} and of {second} are not the same:\n{shown}").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sample;
    use crate::system::TempStore;
    use std::time::Duration;

    /// Two databases of the built-in engine, the second changed by a statement, compared after a work.
    fn compared(workload: &str, first: System, second: System, changed: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().expect("a folder");
        let workload = Workload::of_name(workload).expect("is there");
        let open = |number: usize, system: System| {
            let path = folder.path().join(number.to_string());
            let peer = Peer::open(system, &path, None, TempStore::Memory).expect("opens");
            peer.connection().execute_batch(&workload.shape.create()).expect("a table");
            if peer.replicates() {
                peer.connection().query_row("SELECT crsql_as_crr('item')", [], |_| Ok(())).expect("is tracked");
            }
            peer.connection().execute_batch("INSERT INTO item VALUES (1, 'a', 'b', 2, 0.5)").expect("a row");
            peer
        };
        let peers = [open(1, first), open(2, second)];
        peers[1].connection().execute_batch(changed).expect("is changed");
        let done =
            Done { sample: Sample { cpu: Duration::ZERO, wall: Duration::ZERO }, count: 1, packages: Vec::new() };
        let finished: Vec<Finished<'_>> = [first, second]
            .into_iter()
            .zip(&peers)
            .map(|(system, peer)| Finished { system, peer, done: &done })
            .collect();
        verify(&workload, None, &finished).map_err(|error| error.to_string())
    }

    #[test]
    fn equal_databases_are_the_same() {
        assert_eq!(compared("insert", System::BuiltIn, System::Streams, ""), Ok(()));
        assert_eq!(compared("insert", System::Plain, System::BuiltIn, ""), Ok(()));
    }

    #[test]
    fn a_row_that_differs_is_found() {
        let found = compared("insert", System::Plain, System::BuiltIn, "UPDATE item SET amount = 3").unwrap_err();
        assert!(found.contains("the rows of plain and of built-in") && found.contains("Integer(3)"), "{found}");
    }

    #[test]
    fn a_change_that_differs_in_its_version_alone_is_found() {
        let twice = "UPDATE item SET amount = 3; UPDATE item SET amount = 2";
        let found = compared("insert", System::BuiltIn, System::Streams, twice).unwrap_err();
        assert!(
            found.contains("the changes of built-in and of streams") && found.contains("col_version: 3"),
            "{found}"
        );
    }

    #[test]
    fn a_change_that_is_missing_is_found() {
        let found = compared(
            "pull",
            System::BuiltIn,
            System::BuiltIn,
            "DELETE FROM item__crsql_clock WHERE col_name = 'title'",
        );
        assert!(found.expect_err("differs").contains("4 and 3"));
    }
}
