//! All systems in turn, round by round.

use crate::Outcome;
use crate::measure::Sample;
use crate::perform::{Done, perform};
use crate::system::{Peer, System, TempStore};
use crate::verify::{Finished, verify, verify_counts};
use crate::workload::{Action, Workload};
use crate::workshop::Workshop;
use std::path::PathBuf;

/// What was measured of one piece of work: for each system one sample of each round.
pub struct Measured {
    pub workload: Workload,
    /// How many changes it was about.
    pub changes: usize,
    pub systems: Vec<(System, Vec<Sample>)>,
}

/// Does one piece of work by all systems, so many times, and compares what comes out. The order of the systems goes round,
/// so that none always comes after the same other one.
pub fn rounds(
    workshop: &Workshop,
    workload: &Workload,
    systems: &[System],
    rounds: usize,
    temp_store: TempStore,
    rows: usize,
) -> Outcome<Measured> {
    let systems: Vec<System> = systems.iter().copied().filter(|system| workload.is_for(*system)).collect();
    let mut measured: Vec<(System, Vec<Sample>)> = systems.iter().map(|system| (*system, Vec::new())).collect();
    let author = author(workshop, workload)?;
    for round in 0..rounds {
        let mut turns = Vec::new();
        for turn in 0..systems.len() {
            let place = (round + turn) % systems.len();
            let turn = Turn::take(workshop, workload, systems[place], temp_store, author.as_deref())?;
            measured[place].1.push(turn.done.sample);
            turns.push(turn);
        }
        turns.sort_by_key(|turn| systems.iter().position(|system| *system == turn.system));
        // Every round does the same, so that comparing the results of one is enough; of all, only how much there is.
        let finished: Vec<Finished<'_>> = turns.iter().map(Turn::finished).collect();
        verify_counts(workload, rows, &finished)?;
        if round == 0 {
            verify(workload, author.as_deref(), &finished)?;
        }
        for turn in turns {
            turn.end(workshop, workload)?;
        }
    }
    Ok(Measured { workload: *workload, changes: workload.changes(rows), systems: measured })
}

/// Does one piece of work by one system again and again, for a profiler, and gives the samples.
pub fn repeat(workshop: &Workshop, workload: &Workload, system: System, times: usize) -> Outcome<Vec<Sample>> {
    let author = author(workshop, workload)?;
    let mut samples = Vec::new();
    for _ in 0..times {
        let turn = Turn::take(workshop, workload, system, TempStore::Memory, author.as_deref())?;
        samples.push(turn.done.sample);
        turn.end(workshop, workload)?;
    }
    Ok(samples)
}

fn author(workshop: &Workshop, workload: &Workload) -> Outcome<Option<Vec<u8>>> {
    match workload.action {
        Action::PullExcluding => workshop.author_of_rows(workload.shape).map(Some),
        _ => Ok(None),
    }
}

/// One system's work in one round.
struct Turn {
    system: System,
    path: PathBuf,
    peer: Peer,
    done: Done,
}

impl Turn {
    fn take(
        workshop: &Workshop,
        workload: &Workload,
        system: System,
        temp_store: TempStore,
        author: Option<&[u8]>,
    ) -> Outcome<Turn> {
        let path = workshop.begin(workload, system)?;
        let peer = workshop.open(system, &path, temp_store)?;
        let input = workshop.input(workload, system, &peer)?;
        let done = perform(workload, &peer, &input, author)
            .map_err(|error| format!("{} by {}: {error}", workload.name, system.word()))?;
        Ok(Turn { system, path, peer, done })
    }

    fn finished(&self) -> Finished<'_> {
        Finished { system: self.system, peer: &self.peer, done: &self.done }
    }

    fn end(self, workshop: &Workshop, workload: &Workload) -> Outcome<()> {
        self.peer.close()?;
        workshop.end(workload, &self.path)
    }
}
