//! What people do with their copies of the atlas: plan journeys, note facts, change and cancel what others planned.

use std::path::Path;
use std::time::Duration;

use rejoin::Database;
use rejoin::rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::chance::Chance;

/// One person's burst of work.
pub struct Work {
    /// Who; also the beginning of the keys of what is made.
    pub who: &'static str,
    /// Seed of what is done.
    pub seed: u64,
    /// Which burst of this person it is, so that bursts differ and their keys do too.
    pub burst: u64,
    /// How many transactions.
    pub transactions: usize,
    /// Between two of them.
    pub pause: Duration,
}

/// How much was written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Transactions.
    pub transactions: u64,
    /// Rows made, changed or deleted.
    pub rows: u64,
}

impl Work {
    /// Does the work on the database at `path`, through a connection of its own, as an application would.
    pub fn run(&self, path: &Path) -> Result<Written, String> {
        let database = Database::open(path).map_err(|error| error.to_string())?;
        let mut written = Written::default();
        let mut chance = Chance::new(self.seed, self.burst * 31 + u64::from(self.who.as_bytes()[0]));
        for number in 0..self.transactions {
            let rows = self.transaction(database.connection(), &mut chance, number);
            written.rows += rows.map_err(|error| format!("{} could not write: {error}", self.who))? as u64;
            written.transactions += 1;
            std::thread::sleep(self.pause);
        }
        Ok(written)
    }

    fn transaction(
        &self,
        connection: &Connection,
        chance: &mut Chance,
        number: usize,
    ) -> rejoin::rusqlite::Result<usize> {
        let transaction = rejoin::rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let rows = match chance.below(100) {
            0..45 => self.plan_journey(&transaction, chance, number)?,
            45..75 => note_daylight(&transaction, chance, self.who)?,
            75..87 => change_seats(&transaction, chance)?,
            87..94 => renumber_stops(&transaction, chance)?,
            _ => cancel_journey(&transaction, chance)?,
        };
        transaction.commit()?;
        Ok(rows)
    }

    /// From a capital to a near one, and on from there.
    fn plan_journey(
        &self,
        connection: &Connection,
        chance: &mut Chance,
        number: usize,
    ) -> rejoin::rusqlite::Result<usize> {
        let id = format!("{}-{}-{number}", self.who, self.burst);
        let mut country = any_country(connection, chance)?;
        let title: String =
            connection
                .query_row("SELECT 'From ' || name FROM capital WHERE country = ?1", [&country], |row| row.get(0))?;
        connection.execute(
            "INSERT INTO journey(id, title, planned_by, seats) VALUES (?1, ?2, ?3, ?4)",
            params![id, title, self.who, 2 + chance.below(7)],
        )?;
        let stops = 3 + chance.below(4);
        for place in 0..stops {
            let next: Option<(String, f64)> = connection
                .query_row(
                    "SELECT destination, km FROM distance WHERE origin = ?1 ORDER BY km LIMIT 1 OFFSET ?2",
                    params![country, chance.below(6)],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let Some((destination, km)) = next else { break };
            connection.execute(
                "INSERT INTO stop(journey, place, country, km) VALUES (?1, ?2, ?3, ?4)",
                // As the crow flies is never how it is travelled: a third more.
                params![id, place + 1, destination, km * 4.0 / 3.0],
            )?;
            country = destination;
        }
        Ok(stops as usize + 1)
    }
}

fn any_country(connection: &Connection, chance: &mut Chance) -> rejoin::rusqlite::Result<String> {
    let sql = "SELECT country FROM capital ORDER BY country LIMIT 1 OFFSET ?1";
    let capitals: u32 = connection.query_row("SELECT count(*) FROM capital", [], |row| row.get(0))?;
    connection.query_row(sql, [chance.below(capitals.max(1))], |row| row.get(0))
}

/// Any journey, whoever planned it.
fn any_journey(connection: &Connection, chance: &mut Chance) -> rejoin::rusqlite::Result<Option<String>> {
    let journeys: u32 = connection.query_row("SELECT count(*) FROM journey", [], |row| row.get(0))?;
    let at = chance.below(journeys.max(1));
    connection.query_row("SELECT id FROM journey ORDER BY id LIMIT 1 OFFSET ?1", [at], |row| row.get(0)).optional()
}

fn note_daylight(connection: &Connection, chance: &mut Chance, who: &str) -> rejoin::rusqlite::Result<usize> {
    // Few capitals, so that people often write about the same one.
    let sql = "SELECT country FROM capital ORDER BY name LIMIT 1 OFFSET ?1";
    let country: String = connection.query_row(sql, [chance.below(40)], |row| row.get(0))?;
    connection.execute(
        "UPDATE capital SET note = (SELECT format('%s: in month %d the day has %d:%02d', ?2, month, minutes / 60, minutes % 60)
         FROM daylight WHERE daylight.country = capital.country AND month = ?3) WHERE country = ?1",
        params![country, who, 1 + chance.below(12)],
    )
}

fn change_seats(connection: &Connection, chance: &mut Chance) -> rejoin::rusqlite::Result<usize> {
    let Some(journey) = any_journey(connection, chance)? else { return Ok(0) };
    connection.execute("UPDATE journey SET seats = ?2 WHERE id = ?1", params![journey, 1 + chance.below(12)])
}

/// Changes keys: each stop moves to another row's place.
fn renumber_stops(connection: &Connection, chance: &mut Chance) -> rejoin::rusqlite::Result<usize> {
    let Some(journey) = any_journey(connection, chance)? else { return Ok(0) };
    connection.execute("UPDATE stop SET place = place + 10 WHERE journey = ?1", [journey])
}

fn cancel_journey(connection: &Connection, chance: &mut Chance) -> rejoin::rusqlite::Result<usize> {
    let Some(journey) = any_journey(connection, chance)? else { return Ok(0) };
    let stops = connection.execute("DELETE FROM stop WHERE journey = ?1", [&journey])?;
    Ok(stops + connection.execute("DELETE FROM journey WHERE id = ?1", [&journey])?)
}
