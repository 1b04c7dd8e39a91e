//! The demo's data: an atlas of the world's capitals, made from a table of facts and from what follows from them.

use rejoin::rusqlite::{Connection, Transaction, params};

/// An ordinary schema, with all that replication has to be adapted to: foreign keys, UNIQUE, NOT NULL without defaults.
const SCHEMA: &str = "
CREATE TABLE continent (code TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE country (
  code TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE,
  continent TEXT NOT NULL REFERENCES continent(code), currency TEXT NOT NULL);
CREATE TABLE capital (
  country TEXT PRIMARY KEY REFERENCES country(code), name TEXT NOT NULL,
  latitude REAL NOT NULL, longitude REAL NOT NULL, note TEXT);
CREATE TABLE distance (
  origin TEXT REFERENCES capital(country), destination TEXT REFERENCES capital(country),
  km INTEGER NOT NULL, bearing REAL NOT NULL, PRIMARY KEY (origin, destination));
CREATE TABLE daylight (
  country TEXT REFERENCES capital(country), month INTEGER, minutes INTEGER NOT NULL, PRIMARY KEY (country, month));
CREATE TABLE journey (
  id TEXT PRIMARY KEY, title TEXT NOT NULL, planned_by TEXT NOT NULL, seats INTEGER NOT NULL DEFAULT 4);
CREATE TABLE stop (
  journey TEXT REFERENCES journey(id) ON DELETE CASCADE, place INTEGER,
  country TEXT NOT NULL REFERENCES capital(country), km REAL, PRIMARY KEY (journey, place));
CREATE INDEX stop_country ON stop(country);
CREATE VIEW length AS SELECT journey, sum(km) AS km FROM stop GROUP BY journey;
";

/// Code, country, capital, latitude and longitude of the capital in degrees, continent, currency.
const COUNTRIES: &str = include_str!("atlas.txt");

const CONTINENTS: [(&str, &str); 6] = [
    ("AF", "Africa"),
    ("AS", "Asia"),
    ("EU", "Europe"),
    ("NA", "North America"),
    ("OC", "Oceania"),
    ("SA", "South America"),
];

/// For each capital so many others, the nearest ones.
const NEIGHBOURS: usize = 6;
/// Of the Earth as a sphere.
const RADIUS_KM: f64 = 6371.0088;
/// The day of the year on which the 21st of each month falls.
const DAYS: [f64; 12] = [21.0, 52.0, 80.0, 111.0, 141.0, 172.0, 202.0, 233.0, 264.0, 294.0, 325.0, 355.0];

struct Capital {
    country: &'static str,
    latitude: f64,
    longitude: f64,
}

/// Makes the atlas in an empty database.
pub fn make(connection: &mut Connection) -> rejoin::rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)?;
    let transaction = connection.transaction()?;
    for (code, name) in CONTINENTS {
        transaction.execute("INSERT INTO continent VALUES (?1, ?2)", (code, name))?;
    }
    let mut capitals = Vec::new();
    for line in COUNTRIES.lines() {
        let fields: Vec<&str> = line.split('|').collect();
        let [code, name, capital, latitude, longitude, continent, currency] = fields[..] else { continue };
        let (Ok(latitude), Ok(longitude)) = (latitude.parse(), longitude.parse()) else { continue };
        transaction.execute("INSERT INTO country VALUES (?1, ?2, ?3, ?4)", (code, name, continent, currency))?;
        transaction.execute(
            "INSERT INTO capital(country, name, latitude, longitude) VALUES (?1, ?2, ?3, ?4)",
            (code, capital, latitude, longitude),
        )?;
        capitals.push(Capital { country: code, latitude, longitude });
    }
    insert_distances(&transaction, &capitals)?;
    insert_daylight(&transaction, &capitals)?;
    transaction.commit()
}

fn insert_distances(transaction: &Transaction<'_>, capitals: &[Capital]) -> rejoin::rusqlite::Result<()> {
    let mut insert = transaction.prepare("INSERT INTO distance VALUES (?1, ?2, ?3, ?4)")?;
    for origin in capitals {
        let mut others: Vec<(f64, &Capital)> = capitals
            .iter()
            .filter(|other| other.country != origin.country)
            .map(|other| (distance_km(origin, other), other))
            .collect();
        others.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        for (km, other) in &others[..NEIGHBOURS] {
            insert.execute(params![origin.country, other.country, km.round(), bearing(origin, other)])?;
        }
    }
    Ok(())
}

fn insert_daylight(transaction: &Transaction<'_>, capitals: &[Capital]) -> rejoin::rusqlite::Result<()> {
    let mut insert = transaction.prepare("INSERT INTO daylight VALUES (?1, ?2, ?3)")?;
    for capital in capitals {
        for (month, day) in (1..).zip(DAYS) {
            insert.execute(params![capital.country, month, daylight_minutes(capital.latitude, day)])?;
        }
    }
    Ok(())
}

/// Along a great circle.
fn distance_km(a: &Capital, b: &Capital) -> f64 {
    let (from, to) = (a.latitude.to_radians(), b.latitude.to_radians());
    let east = (b.longitude - a.longitude).to_radians();
    let half_chord = ((to - from) / 2.0).sin().powi(2) + from.cos() * to.cos() * (east / 2.0).sin().powi(2);
    2.0 * RADIUS_KM * half_chord.sqrt().min(1.0).asin()
}

/// In which direction to set out, in degrees from north.
fn bearing(a: &Capital, b: &Capital) -> f64 {
    let (from, to) = (a.latitude.to_radians(), b.latitude.to_radians());
    let east = (b.longitude - a.longitude).to_radians();
    let angle = (east.sin() * to.cos()).atan2(from.cos() * to.sin() - from.sin() * to.cos() * east.cos());
    angle.to_degrees().rem_euclid(360.0)
}

/// From sunrise to sunset, by the Sun's declination on that day of the year; refraction and the Sun's size included.
fn daylight_minutes(latitude: f64, day: f64) -> i64 {
    let declination = (0.39795 * (0.98563 * (day - 173.0)).to_radians().cos()).asin();
    let latitude = latitude.to_radians();
    let horizon = (-0.833_f64).to_radians();
    let hour_angle = (horizon.sin() - latitude.sin() * declination.sin()) / (latitude.cos() * declination.cos());
    // 4 minutes for each degree, before noon and after.
    (hour_angle.clamp(-1.0, 1.0).acos().to_degrees() * 8.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atlas() -> Connection {
        let mut connection = Connection::open_in_memory().expect("a database");
        make(&mut connection).expect("an atlas");
        connection
    }

    fn number(connection: &Connection, sql: &str) -> i64 {
        connection.query_row(sql, [], |row| row.get(0)).expect("a number")
    }

    #[test]
    fn every_line_of_the_table_becomes_a_country_and_no_reference_is_broken() {
        let atlas = atlas();
        assert_eq!(number(&atlas, "SELECT count(*) FROM country"), COUNTRIES.lines().count() as i64);
        assert_eq!(number(&atlas, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
        assert_eq!(number(&atlas, "SELECT count(*) FROM distance"), number(&atlas, "SELECT 6 * count(*) FROM capital"));
        assert_eq!(
            number(&atlas, "SELECT count(*) FROM daylight"),
            number(&atlas, "SELECT 12 * count(*) FROM capital")
        );
    }

    #[test]
    fn what_is_computed_agrees_with_what_is_known() {
        let atlas = atlas();
        // Vienna and Bratislava are 55 km apart; Oslo has almost 19 hours of daylight in June, Quito 12 always.
        assert_eq!(number(&atlas, "SELECT km FROM distance WHERE origin = 'AT' AND destination = 'SK'"), 55);
        let oslo = number(&atlas, "SELECT minutes FROM daylight WHERE country = 'NO' AND month = 6");
        assert!((1120..1140).contains(&oslo), "{oslo}");
        let quito = number(&atlas, "SELECT max(abs(minutes - 727)) FROM daylight WHERE country = 'EC'");
        assert!(quito <= 2, "{quito}");
        assert_eq!(number(&atlas, "SELECT count(*) FROM capital WHERE abs(latitude) > 90 OR abs(longitude) > 180"), 0);
    }
}
