//! Whole databases: their files change hands, and they tell each other everything.

use super::{Connection, Pair, RECORD, everything, name, tuple_of_parameters};
use crate::differences::Verdict;
use crate::script::Place;
use crate::state::{self, plain};
use rejoin_conformance::Statement;

impl Pair<'_> {
    /// Each engine goes on with the other's file.
    pub(super) fn swap(&mut self, database: usize) -> Verdict {
        let places: Vec<Place> = self.places().into_iter().filter(|place| place.database == database).collect();
        if places.iter().any(|place| self.state(*place).in_transaction) {
            return Verdict::Equal;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let paths = ["ours", "theirs"].map(|name| folder.path().join(name));
        let sides = [&mut *self.ours, &mut *self.theirs];
        for (side, path) in sides.into_iter().zip(&paths) {
            side.export(places[0], path);
            places.iter().for_each(|place| side.session.close(&name(*place)));
        }
        let sides = [&mut *self.theirs, &mut *self.ours];
        for (side, path) in sides.into_iter().zip(&paths) {
            let file = side.file(database);
            side.session.forget(&file);
            side.session.import(&file, path);
            places.iter().for_each(|place| side.open(*place));
        }
        for place in places {
            *self.state(place) = Connection::default();
        }
        Verdict::Equal
    }

    /// At the end each engine opens the other's files and shows what the other showed.
    pub(super) fn exchange(&mut self) -> Result<(), String> {
        if self.places().into_iter().any(|place| self.state(place).in_transaction) {
            return Ok(());
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let paths = ["ours", "theirs"].map(|name| folder.path().join(name));
        for database in 0..self.rules.databases {
            let place = Place { database, connection: 0 };
            self.settle(place);
            self.ours.export(place, &paths[0]);
            self.theirs.export(place, &paths[1]);
            for (side, path) in [(&mut *self.ours, &paths[1]), (&mut *self.theirs, &paths[0])] {
                let copy = side.file(database + COPY);
                side.session.import(&copy, path);
                side.session.open("copy", &copy, &[]);
            }
            let connection = name(place);
            let sessions = [&mut self.ours.session, &mut self.theirs.session];
            let here = self.questions.ask(sessions, [&connection, "copy"]);
            let sessions = [&mut self.ours.session, &mut self.theirs.session];
            let there = self.questions.ask(sessions, ["copy", &connection]);
            for side in [&mut *self.ours, &mut *self.theirs] {
                side.session.close("copy");
                let copy = side.file(database + COPY);
                side.session.forget(&copy);
            }
            for (what, [ours, theirs]) in [("ours", here), ("theirs", there)] {
                if let Some(difference) = state::difference(&ours, &theirs) {
                    return Err(format!("the file of database {database}, written by {what}: {difference}"));
                }
            }
        }
        Ok(())
    }

    /// The databases of the built-in engine tell each other everything, and must then have the same rows. Those of the
    /// original may not: it can lose the update of a key.
    pub(super) fn converge(&mut self) -> Result<(), String> {
        let places: Vec<Place> = self.places().into_iter().filter(|place| place.connection == 0).collect();
        for place in self.places() {
            if self.state(place).in_transaction {
                return Ok(());
            }
        }
        // The second time each has what the others have been told.
        for _ in 0..2 {
            for from in &places {
                let records = self.ours.sql(*from, &everything()).expect("changes can be read");
                for to in places.iter().filter(|to| *to != from) {
                    let insert = format!("INSERT INTO crsql_changes ({RECORD}) VALUES {}", tuple_of_parameters(0));
                    let mut statements = vec![plain("BEGIN")];
                    statements.extend(records.iter().map(|record| Statement::new(&insert, record)));
                    statements.push(plain("COMMIT"));
                    for answer in self.ours.run(*to, &statements).answers {
                        answer.map_err(|error| format!("a record was refused: {error}"))?;
                    }
                }
            }
        }
        let mut states = Vec::new();
        for place in &places {
            let connection = name(*place);
            let sessions = [&mut self.ours.session, &mut self.theirs.session];
            let [ours, _] = self.questions.ask(sessions, [&connection, &connection]);
            states.push(state::rows_only(ours));
        }
        let mut apart = states.windows(2).filter_map(|pair| state::difference(&pair[0], &pair[1]));
        apart.next().map_or(Ok(()), |what| Err(format!("databases of the built-in engine end apart: {what}")))
    }
}

/// Numbers of copies of databases.
const COPY: usize = 100;
