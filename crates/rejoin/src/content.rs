//! The content of tables as bytes, for digests: equal bytes mean equal rows, storage classes and reals' bits included.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

/// A digest of rows in order, and how many there were.
#[derive(Clone, Debug, Default)]
pub struct ContentDigest {
    hasher: blake3::Hasher,
    /// Rows taken in.
    pub rows: u64,
}

impl ContentDigest {
    /// Takes in the first `columns` values of a row.
    ///
    /// # Errors
    /// SQLite's, when a value cannot be read.
    pub fn add(&mut self, row: &Row<'_>, columns: usize) -> rusqlite::Result<()> {
        for column in 0..columns {
            self.add_value(row.get_ref(column)?);
        }
        self.rows += 1;
        Ok(())
    }

    fn add_value(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => {
                self.hasher.update(&[0]);
            }
            ValueRef::Integer(integer) => {
                self.hasher.update(&[1]).update(&integer.to_le_bytes());
            }
            ValueRef::Real(real) => {
                self.hasher.update(&[2]).update(&real.to_bits().to_le_bytes());
            }
            ValueRef::Text(bytes) => self.add_bytes(3, bytes),
            ValueRef::Blob(bytes) => self.add_bytes(4, bytes),
        }
    }

    fn add_bytes(&mut self, tag: u8, bytes: &[u8]) {
        self.hasher.update(&[tag]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }

    /// The digest of everything taken in so far: the first 16 bytes of its BLAKE3, as 32 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        let digest = self.hasher.finalize().to_hex();
        digest[..32].to_owned()
    }
}

/// The digest of a query's rows.
///
/// # Errors
/// SQLite's.
pub fn digest_of(connection: &Connection, sql: &str) -> rusqlite::Result<ContentDigest> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut digest = ContentDigest::default();
    while let Some(row) = rows.next()? {
        digest.add(row, columns)?;
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(values: &str) -> String {
        let connection = Connection::open_in_memory().expect("a database");
        digest_of(&connection, &format!("SELECT * FROM (VALUES {values})")).expect("a digest").hex()
    }

    #[test]
    fn values_of_different_classes_differ() {
        let all = ["(NULL)", "(1)", "(1.0)", "('1')", "(x'31')", "('')", "(x'')", "(0.0)", "(-0.0)"];
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                assert_ne!(digest(one), digest(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn values_cannot_run_into_each_other() {
        assert_ne!(digest("('ab','c')"), digest("('a','bc')"));
        assert_eq!(digest("(1,2),(3,4)"), digest("(1,2),(3,4)"));
        assert_ne!(digest("(1,2),(3,4)"), digest("(3,4),(1,2)"));
    }
}
