//! One piece of work by one system, measured.

use crate::Outcome;
use crate::measure::{Sample, measured};
use crate::record::{self, COLUMNS, PULL, PULL_EXCLUDING};
use crate::shape::Shape;
use crate::system::Peer;
use crate::workload::{Action, Columns, LAST_ROWS, PULLS, Workload};
use crate::workshop::Input;
use rejoin::SiteId;
use rejoin::change::{ChangeStore, Cursor};
use rejoin::streams::OutboundOptions;
use rusqlite::types::Value;
use rusqlite::{Connection, Statement, params_from_iter};
use std::hint::black_box;

/// What was measured, and what came out of it.
pub struct Done {
    pub sample: Sample,
    /// Changes or, for SQLite by itself, rows that were read or written.
    pub count: usize,
    /// What an outbound stream has produced.
    pub packages: Vec<Vec<u8>>,
}

/// Does the work. `author` is whose changes are left out where somebody's are.
pub fn perform(workload: &Workload, peer: &Peer, input: &Input, author: Option<&[u8]>) -> Outcome<Done> {
    let shape = workload.shape;
    match (workload.action, input) {
        (Action::Insert(size), Input::Rows(rows)) => write(peer, &shape.insert(), rows, size),
        (Action::Update, Input::Rows(rows)) => write(peer, &shape.update(&[shape.changed_column()]), rows, None),
        (Action::Delete, Input::Rows(rows)) => write(peer, &shape.delete(), rows, None),
        (Action::Apply(size), Input::Rows(rows)) => write(peer, &shape.upsert(), rows, size),
        (Action::ApplyAgain, Input::Rows(rows)) => write(peer, &shape.upsert(), rows, None),
        (Action::ApplyConflicts(columns), Input::Rows(rows)) => {
            write(peer, &shape.update(&columns.of(shape)), rows, None)
        }
        (Action::Apply(size), Input::Records(records)) => {
            let size = size.map_or(records.len(), |rows| rows * shape.columns().len());
            merge(peer, records, size)
        }
        (_, Input::Records(records)) => merge(peer, records, records.len()),
        (_, Input::Packages(packages)) => take(peer, packages),
        (Action::Pull | Action::PullExcluding | Action::PullLast, Input::Nothing) => match peer {
            Peer::Plain(connection) => select(connection, workload),
            Peer::Original(_) | Peer::BuiltIn(..) | Peer::Rows(..) => pull(peer, workload.action, author),
            Peer::Streams(_) => produce(peer, workload.action, author),
        },
        (action, _) => Err(format!("{action:?} was given something else than it needs").into()),
    }
}

fn write(peer: &Peer, sql: &str, rows: &[Vec<Value>], size: Option<usize>) -> Outcome<Done> {
    let connection = peer.connection();
    let mut statement = connection.prepare(sql)?;
    let (sample, written) = measured(|| -> Outcome<()> {
        for transaction in rows.chunks(size.unwrap_or(rows.len()).max(1)) {
            connection.execute_batch("BEGIN")?;
            for row in transaction {
                statement.execute(params_from_iter(row))?;
            }
            connection.execute_batch("COMMIT")?;
        }
        Ok(())
    });
    written?;
    Ok(Done { sample, count: rows.len(), packages: Vec::new() })
}

fn merge(peer: &Peer, records: &[record::Record], size: usize) -> Outcome<Done> {
    if let Peer::Rows(store, connection) = peer {
        return merge_rows(&**store, connection, records, size);
    }
    let connection = peer.connection();
    let mut statement = record::merge_statement(peer)?;
    let (sample, merged) = measured(|| -> Outcome<()> {
        for transaction in records.chunks(size.max(1)) {
            connection.execute_batch("BEGIN")?;
            for record in transaction {
                record::merge(&mut statement, record)?;
            }
            connection.execute_batch("COMMIT")?;
        }
        Ok(())
    });
    merged?;
    Ok(Done { sample, count: records.len(), packages: Vec::new() })
}

/// By the interface through which the streams merge.
fn merge_rows(
    store: &dyn ChangeStore<Error = rejoin_bridge::Error>,
    connection: &Connection,
    records: &[record::Record],
    size: usize,
) -> Outcome<Done> {
    let changes = records.iter().map(record::Record::to_change).collect::<Outcome<Vec<_>>>()?;
    let (sample, merged) = measured(|| -> Outcome<()> {
        for transaction in changes.chunks(size.max(1)) {
            connection.execute_batch("BEGIN")?;
            store.merge(transaction).map_err(|failure| failure.error)?;
            connection.execute_batch("COMMIT")?;
        }
        Ok(())
    });
    merged?;
    Ok(Done { sample, count: changes.len(), packages: Vec::new() })
}

/// Each package is a transaction of its own, as the streams are used.
fn take(peer: &Peer, packages: &[Vec<u8>]) -> Outcome<Done> {
    let database = peer.streams()?;
    let sender = packages.first().map(|package| rejoin_wire::Package::peek(package)).transpose()?;
    let inbound = database.inbound(sender.ok_or("nothing is told")?.sender)?;
    let (sample, count) = measured(|| -> Outcome<usize> {
        let mut count = 0;
        for package in packages {
            count += inbound.apply(package)?.changes;
        }
        Ok(count)
    });
    Ok(Done { sample, count: count?, packages: Vec::new() })
}

fn select(connection: &Connection, workload: &Workload) -> Outcome<Done> {
    let shape = workload.shape;
    let (mut statement, columns) = match workload.action {
        Action::PullExcluding => (of_rows(connection, shape, "WHERE id % 2 = 0")?, shape.columns().len()),
        Action::PullLast => {
            let last = format!("WHERE id > (SELECT max(id) FROM item) - {LAST_ROWS}");
            (of_rows(connection, shape, &last)?, shape.columns().len())
        }
        _ => (of_rows(connection, shape, "")?, shape.columns().len()),
    };
    let columns = columns + shape.key_len();
    let times = if workload.action == Action::PullLast { PULLS } else { 1 };
    let (sample, count) = measured(|| -> Outcome<usize> {
        let mut count = 0;
        for _ in 0..times {
            count += read_all(&mut statement, &[], columns)?;
        }
        Ok(count)
    });
    Ok(Done { sample, count: count?, packages: Vec::new() })
}

fn of_rows<'a>(connection: &'a Connection, shape: Shape, condition: &str) -> Outcome<Statement<'a>> {
    let select = shape.select();
    let (names, order) = select.split_once(" ORDER BY ").ok_or("the rows are in no order")?;
    Ok(connection.prepare(&format!("{names} {condition} ORDER BY {order}"))?)
}

fn pull(peer: &Peer, action: Action, author: Option<&[u8]>) -> Outcome<Done> {
    let since = since(peer, action)?;
    let mut parameters = vec![Value::Integer(since)];
    let sql = match author {
        Some(author) => {
            parameters.push(Value::Blob(author.to_vec()));
            PULL_EXCLUDING
        }
        None => PULL,
    };
    let mut statement = peer.connection().prepare(sql)?;
    let (sample, count) = measured(|| -> Outcome<usize> {
        let mut count = 0;
        for _ in 0..times(action) {
            count += read_all(&mut statement, &parameters, COLUMNS)?;
        }
        Ok(count)
    });
    Ok(Done { sample, count: count?, packages: Vec::new() })
}

/// Steps through all rows and looks at every value.
fn read_all(statement: &mut Statement<'_>, parameters: &[Value], columns: usize) -> Outcome<usize> {
    let mut rows = statement.query(params_from_iter(parameters))?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            black_box(row.get_ref(column)?);
        }
        count += 1;
    }
    Ok(count)
}

/// For a remote that has never been here.
fn produce(peer: &Peer, action: Action, author: Option<&[u8]>) -> Outcome<Done> {
    let since = since(peer, action)?;
    let start = (since > 0).then(|| Cursor::end_of_version(since));
    let mut options = OutboundOptions::default();
    if let Some(author) = author {
        options.exclude_sites.push(SiteId::from_slice(author)?);
    }
    let outbound = peer.streams()?.streams().outbound(SiteId([7; 16]), &options)?;
    let (sample, produced) = measured(|| -> Outcome<(usize, Vec<Vec<u8>>)> {
        let (mut count, mut packages) = (0, Vec::new());
        for _ in 0..times(action) {
            packages.clear();
            let mut after = start.clone();
            while let Some(produced) = outbound.next(after.as_ref())? {
                count += produced.changes;
                packages.push(produced.package.as_bytes().to_vec());
                after = Some(produced.end);
            }
        }
        Ok((count, packages))
    });
    let (count, packages) = produced?;
    Ok(Done { sample, count, packages })
}

/// The version behind which is read.
pub fn since(peer: &Peer, action: Action) -> Outcome<i64> {
    if action == Action::PullLast { Ok(peer.head()? - 1) } else { Ok(0) }
}

fn times(action: Action) -> usize {
    if action == Action::PullLast { PULLS } else { 1 }
}

/// How many rows or changes a piece of work must have read or written.
pub fn expected(workload: &Workload, peer: &Peer, rows: usize) -> usize {
    let changes = workload.changes(rows);
    let columns = workload.shape.columns().len();
    match workload.action {
        Action::Insert(_) => changes / columns,
        Action::Update | Action::Delete => changes,
        Action::ApplyConflicts(Columns::One) => changes,
        _ if peer.replicates() => changes,
        _ => changes / columns,
    }
}
