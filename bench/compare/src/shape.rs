//! The tables that are measured, and their rows.

use rusqlite::types::Value;

/// A kind of table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// An integer key, two short texts, an integer, a real.
    Integer,
    /// The same under a key of random text.
    Text,
    /// The same under a key of a text and an integer.
    Composite,
    /// An integer key and 40 columns, texts and integers in turn.
    Wide,
}

/// Columns of [`Shape::Wide`] outside of its key.
const WIDE_COLUMNS: usize = 40;

impl Shape {
    /// For file names.
    pub fn word(self) -> &'static str {
        match self {
            Shape::Integer => "integer",
            Shape::Text => "text",
            Shape::Composite => "composite",
            Shape::Wide => "wide",
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Shape::Integer | Shape::Wide => &["id"],
            Shape::Text => &["name"],
            Shape::Composite => &["owner", "number"],
        }
    }

    /// The columns outside of the key.
    pub fn columns(self) -> Vec<String> {
        match self {
            Shape::Wide => (0..WIDE_COLUMNS).map(|i| format!("c{i:02}")).collect(),
            _ => ["title", "note", "amount", "score"].map(str::to_owned).to_vec(),
        }
    }

    /// The column that is changed where only one is.
    pub fn changed_column(self) -> usize {
        match self {
            Shape::Wide => 21,
            _ => 2,
        }
    }

    fn all_names(self) -> Vec<String> {
        self.keys().iter().map(|key| (*key).to_owned()).chain(self.columns()).collect()
    }

    /// Makes the table.
    pub fn create(self) -> String {
        let keys = match self {
            Shape::Integer | Shape::Wide => "id INTEGER PRIMARY KEY NOT NULL",
            Shape::Text => "name TEXT PRIMARY KEY NOT NULL",
            Shape::Composite => "owner TEXT NOT NULL, number INTEGER NOT NULL",
        };
        let columns: String = self.columns().iter().map(|column| format!(", {column} {}", affinity(column))).collect();
        let end = if self == Shape::Composite { ", PRIMARY KEY (owner, number)" } else { "" };
        format!("CREATE TABLE item ({keys}{columns}{end})")
    }

    /// (keys, columns): a new row.
    pub fn insert(self) -> String {
        let names = self.all_names();
        format!("INSERT INTO item ({}) VALUES ({})", names.join(", "), parameters(names.len()))
    }

    /// (keys, columns): a new row, or new values for one that is there.
    pub fn upsert(self) -> String {
        let sets: Vec<String> = self.columns().iter().map(|column| format!("{column} = excluded.{column}")).collect();
        format!("{} ON CONFLICT ({}) DO UPDATE SET {}", self.insert(), self.keys().join(", "), sets.join(", "))
    }

    /// (values of the columns, keys): new values for some columns of a row.
    pub fn update(self, columns: &[usize]) -> String {
        let names = self.columns();
        let sets: Vec<String> = columns.iter().map(|column| format!("{} = ?", names[*column])).collect();
        format!("UPDATE item SET {} WHERE {}", sets.join(", "), self.keys_match())
    }

    /// (keys): one row less.
    pub fn delete(self) -> String {
        format!("DELETE FROM item WHERE {}", self.keys_match())
    }

    /// All rows, in the order of their keys.
    pub fn select(self) -> String {
        format!("SELECT {} FROM item ORDER BY {}", self.all_names().join(", "), self.keys().join(", "))
    }

    fn keys_match(self) -> String {
        self.keys().iter().map(|key| format!("{key} = ?")).collect::<Vec<_>>().join(" AND ")
    }

    /// How many values a key has.
    pub fn key_len(self) -> usize {
        self.keys().len()
    }

    /// The key of the row of a number.
    pub fn key(self, number: usize) -> Vec<Value> {
        let integer = Value::Integer(number as i64);
        match self {
            Shape::Integer | Shape::Wide => vec![integer],
            Shape::Text => {
                let scrambled = scramble(number as u64);
                vec![Value::Text(format!("{scrambled:016x}{:016x}", scramble(scrambled)))]
            }
            Shape::Composite => vec![Value::Text(format!("owner-{:04}", number % 500)), integer],
        }
    }

    /// The row of a number: its key, then its columns as they are at first.
    pub fn row(self, number: usize) -> Vec<Value> {
        let columns = 0..self.columns().len();
        self.key(number).into_iter().chain(columns.map(|column| self.value(column, number, Side::First))).collect()
    }

    /// What a side writes into a column of a row. The sides are in ascending order.
    pub fn value(self, column: usize, number: usize, side: Side) -> Value {
        let name = &self.columns()[column];
        match affinity(name) {
            "INTEGER" => Value::Integer(number as i64 + 10_000_000 * side as i64),
            "REAL" => Value::Real(number as f64 / 8.0 + 1e7 * f64::from(side as u8)),
            _ => Value::Text(format!("{} {name} of {number}", ["first", "lower", "middle", "upper"][side as usize])),
        }
    }
}

/// Which value of a column: texts, integers and reals of a later side are greater than those of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    First,
    Lower,
    Middle,
    Upper,
}

fn affinity(column: &str) -> &'static str {
    match column {
        "amount" => "INTEGER",
        "score" => "REAL",
        "title" | "note" => "TEXT",
        wide if wide.ends_with(['1', '3', '5', '7', '9']) => "INTEGER",
        _ => "TEXT",
    }
}

fn parameters(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// A one-to-one scattering of numbers, so that text keys come in no order (the finisher of splitmix64).
fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_sides_are_greater_in_every_column() {
        for shape in [Shape::Integer, Shape::Wide] {
            for column in 0..shape.columns().len() {
                let values = [Side::First, Side::Lower, Side::Middle, Side::Upper].map(|s| shape.value(column, 7, s));
                for pair in values.windows(2) {
                    let greater = match (&pair[0], &pair[1]) {
                        (Value::Integer(a), Value::Integer(b)) => a < b,
                        (Value::Real(a), Value::Real(b)) => a < b,
                        (Value::Text(a), Value::Text(b)) => a < b,
                        _ => false,
                    };
                    assert!(greater, "{shape:?} {column}: {pair:?}");
                }
            }
        }
    }
}
