//! The end of a simulation: the faults have passed, and everything must be everywhere.

use crate::common::Database;
use crate::knowledge::Knowledge;
use crate::step::Script;
use crate::world::{Checked, World};

/// Runs a script to its end.
pub fn run(script: &Script, seed: u64) -> Checked {
    let mut world = World::new(script, seed);
    for (index, step) in script.steps.iter().enumerate() {
        world.take(step).map_err(|what| format!("step {index}: {what}"))?;
    }
    world.heal(seed.is_multiple_of(2))
}

impl World {
    /// With `late` what is on its way still arrives; else it is lost.
    fn heal(&mut self, late: bool) -> Checked {
        self.clear_filters();
        self.grow_all();
        if late {
            self.drain();
        }
        self.network.clear();
        let mut everything = Knowledge::default();
        for database in self.databases() {
            everything.join(self.knowledge(database));
        }
        self.rest()?;
        self.check_equal(&everything)?;
        self.check_silent()
    }

    /// Sessions on every link, until a whole round moves nothing.
    fn rest(&mut self) -> Checked {
        for _ in 0..ROUNDS_MAX {
            let mut moved = false;
            for (a, b) in self.links.clone() {
                moved |= self.session(a, b);
            }
            if !moved {
                return Ok(());
            }
        }
        Err("the databases never come to rest".into())
    }

    fn check_equal(&self, everything: &Knowledge) -> Checked {
        let first = content(self.database(0));
        let first_knows = Knowledge::of(self.database(0), |_| true);
        for (index, database) in self.databases().enumerate() {
            let known = Knowledge::of(database, |_| true);
            if let Some(what) = known.lacks(everything) {
                let streams: String = self.links.iter().map(|&(a, b)| self.show(a, b)).collect();
                return Err(format!("{index} has lost {what}{streams}"));
            }
            if known != first_knows {
                return Err(format!("{index} knows {known:?}\nand 0 knows {first_knows:?}"));
            }
            if content(database) != first {
                return Err(format!("{index} holds {}\nand 0 holds {first}", content(database)));
            }
        }
        Ok(())
    }

    fn check_silent(&self) -> Checked {
        for (from, to) in self.directions() {
            let (sender, receiver) = (self.database(from), self.database(to));
            let outbound = sender.outbound(receiver.site());
            if let Some(package) = outbound.next(None).map_err(|error| error.to_string())? {
                return Err(format!("{from} still has a package for {to}: {package:?}"));
            }
            if !self.compare(from, to)? {
                return Err(format!("{from} and {to} rest, and do not say that they are in sync"));
            }
            let needs = self.inbound(to, from).needs().map_err(|error| error.to_string())?;
            if !needs.is_empty() {
                return Err(format!("the stream from {from} to {to} still needs {needs:?}"));
            }
            for (database, remote) in [(sender, receiver), (receiver, sender)] {
                for stream in database.streams().list().map_err(|error| error.to_string())? {
                    let waits = stream.behind != 0 || stream.staged_bytes != 0 || stream.parked != 0;
                    if stream.remote == remote.site() && waits {
                        return Err(format!("a stream between {from} and {to} waits: {stream:?}"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Everything that a user sees, in one text.
fn content(database: &Database) -> String {
    let tables = [
        "SELECT id || ':' || quote(b) || ':' || quote(c) || ':' || quote(d) FROM t ORDER BY id",
        "SELECT k || ':' || quote(v) FROM u ORDER BY k",
        "SELECT id || ':' || quote(x) || ':' || quote(y) FROM w ORDER BY id",
    ];
    tables.map(|sql| format!("{:?}", database.values(sql))).join("\n")
}

const ROUNDS_MAX: usize = 60;
