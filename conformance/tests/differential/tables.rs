//! The tables that scripts use, and the values that go into them.

use rejoin_conformance::Random;

/// A table as the generator knows it: its name changes with every table made, its shape is one of [`SHAPES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The key's columns in the key's order.
    pub keys: Vec<Column>,
    /// The other columns that replicate, in the table's order.
    pub columns: Vec<Column>,
    /// Whether it is tracked.
    pub tracked: bool,
    /// Whether something was written that was not recorded.
    pub unrecorded: bool,
    /// Whether values of another class than the column's are refused.
    pub strict: bool,
    /// Whether columns may be dropped and renamed: nothing else in the schema names them.
    pub alterable: bool,
    /// How it is made.
    pub create: String,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub class: Class,
    /// Whether it refuses NULL.
    pub not_null: bool,
}

/// What a column is declared to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Anything.
    Any,
    /// INTEGER.
    Integer,
    /// REAL.
    Real,
    /// TEXT.
    Text,
    /// BLOB.
    Blob,
    /// Anything, but numbers in text become numbers.
    Numeric,
}

struct Shape {
    /// The definition after the name.
    definition: &'static str,
    keys: &'static [(&'static str, Class)],
    columns: &'static [(&'static str, Class, bool)],
    alterable: bool,
}

const SHAPES: &[Shape] = &[
    Shape {
        definition: "(a INTEGER PRIMARY KEY NOT NULL, b, c DEFAULT 5)",
        keys: &[("a", Class::Integer)],
        columns: &[("b", Class::Any, false), ("c", Class::Any, false)],
        alterable: true,
    },
    Shape {
        definition: "(k TEXT PRIMARY KEY NOT NULL, n INTEGER, t TEXT NOT NULL DEFAULT 'd')",
        keys: &[("k", Class::Text)],
        columns: &[("n", Class::Integer, false), ("t", Class::Text, true)],
        alterable: true,
    },
    // The key's order is not the table's, and a generated column does not replicate.
    Shape {
        definition: "(x TEXT NOT NULL, z REAL, y INTEGER NOT NULL, g AS (y + 1), w NUMERIC DEFAULT 1.5, \
                     PRIMARY KEY (y, x)) WITHOUT ROWID",
        keys: &[("y", Class::Integer), ("x", Class::Text)],
        columns: &[("z", Class::Real, false), ("w", Class::Numeric, false)],
        alterable: true,
    },
    Shape { definition: "(k BLOB PRIMARY KEY NOT NULL)", keys: &[("k", Class::Blob)], columns: &[], alterable: true },
    Shape {
        definition: "(p NOT NULL, q NOT NULL, PRIMARY KEY (q, p))",
        keys: &[("q", Class::Any), ("p", Class::Any)],
        columns: &[],
        alterable: false,
    },
    Shape {
        definition: "(k BLOB PRIMARY KEY NOT NULL, i INTEGER, r REAL, t TEXT, v ANY) STRICT",
        keys: &[("k", Class::Blob)],
        columns: &[
            ("i", Class::Integer, false),
            ("r", Class::Real, false),
            ("t", Class::Text, false),
            ("v", Class::Any, false),
        ],
        alterable: true,
    },
    Shape {
        definition: "(k PRIMARY KEY NOT NULL, v)",
        keys: &[("k", Class::Any)],
        columns: &[("v", Class::Any, false)],
        alterable: true,
    },
    Shape {
        definition: "(a INTEGER PRIMARY KEY NOT NULL, b CHECK (b IS NOT 1), d DEFAULT NULL)",
        keys: &[("a", Class::Integer)],
        columns: &[("b", Class::Any, false), ("d", Class::Any, false)],
        alterable: false,
    },
    Shape {
        definition: "(a INTEGER PRIMARY KEY NOT NULL, g AS (a * 2) STORED)",
        keys: &[("a", Class::Integer)],
        columns: &[],
        alterable: false,
    },
    Shape {
        definition: "(y INTEGER NOT NULL, b BLOB NOT NULL, PRIMARY KEY (y, b)) WITHOUT ROWID, STRICT",
        keys: &[("y", Class::Integer), ("b", Class::Blob)],
        columns: &[],
        alterable: false,
    },
];

impl Table {
    /// A table of a random shape.
    pub fn of_some_shape(random: &mut Random, number: usize) -> Table {
        let shape = random.of(SHAPES);
        let column = |name: &str, class, not_null| Column { name: name.to_owned(), class, not_null };
        let name = format!("t{number}");
        Table {
            create: format!("CREATE TABLE {name} {}", shape.definition),
            name,
            keys: shape.keys.iter().map(|(name, class)| column(name, *class, true)).collect(),
            columns: shape.columns.iter().map(|(name, class, not_null)| column(name, *class, *not_null)).collect(),
            tracked: false,
            unrecorded: false,
            strict: shape.definition.contains("STRICT"),
            alterable: shape.alterable,
        }
    }

    /// How the table is made.
    pub fn create(&self) -> String {
        self.create.clone()
    }

    /// `k1 IS v1 AND k2 IS v2`.
    pub fn where_key(&self, key: &[String]) -> String {
        let equal = |(column, value): (&Column, &String)| format!("{} IS {value}", column.name);
        self.keys.iter().zip(key).map(equal).collect::<Vec<_>>().join(" AND ")
    }

    /// The names of the key's columns, with commas.
    pub fn key_names(&self) -> String {
        self.keys.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Which values a script writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// A few, of every class, so that the same ones meet: ties, and writes that change nothing.
    Few,
    /// Never the same twice, and none that two databases write, of every class.
    Unique,
}

/// Makes values as SQL literals.
#[derive(Clone, Debug)]
pub struct Literals {
    /// Which ones.
    pub values: Values,
    /// Whether each database has keys of its own.
    pub own_keys: bool,
    written: u64,
}

impl Literals {
    /// A source of values.
    pub fn new(values: Values, own_keys: bool) -> Literals {
        Literals { values, own_keys, written: 0 }
    }

    /// A value for a column, written at a database.
    pub fn value(&mut self, random: &mut Random, column: &Column, strict: bool, database: usize) -> String {
        let class = match column.class {
            Class::Numeric => Class::Any,
            class if strict || random.below(4) > 0 => class,
            _ => Class::Any,
        };
        if column.not_null && random.below(30) == 0
            || !column.not_null && random.below(8) == 0 && self.values == Values::Few
        {
            return "NULL".to_owned();
        }
        let class = match class {
            Class::Any => *random.of(&[Class::Integer, Class::Real, Class::Text, Class::Blob]),
            class => class,
        };
        match self.values {
            Values::Few => (*random.of(few(class))).to_owned(),
            Values::Unique => {
                self.written += 1;
                let number = (database as u64 + 1) * 100_000 + self.written;
                match class {
                    Class::Integer => number.to_string(),
                    Class::Real => format!("{number}.5"),
                    Class::Blob => format!("x'{number:08x}'"),
                    _ => format!("'text {number}'"),
                }
            }
        }
    }

    /// A key for a table, of a few.
    pub fn key(&self, random: &mut Random, table: &Table, database: usize) -> Vec<String> {
        table.keys.iter().map(|column| self.key_value(random, column.class, database)).collect()
    }

    fn key_value(&self, random: &mut Random, class: Class, database: usize) -> String {
        let number = random.below(5);
        let own = if self.own_keys { database as u64 + 1 } else { 0 };
        match class {
            Class::Integer | Class::Numeric => {
                let number = [1, 2, 3, 200, 70_000][number as usize] + own * 1_000_000;
                if random.below(12) == 0 { format!("-{number}") } else { number.to_string() }
            }
            Class::Real => format!("{}.5", number + own * 1000),
            Class::Text => {
                let prefix = ["", "a", "b", "c"][own as usize];
                format!("'{prefix}{}'", ["p", "q", "é", "P", ""][number as usize])
            }
            Class::Blob => {
                let prefix = ["", "0a", "0b", "0c"][own as usize];
                format!("x'{prefix}{}'", ["", "00", "01", "ffee", "70"][number as usize])
            }
            Class::Any => {
                let class = *random.of(&[Class::Integer, Class::Real, Class::Text, Class::Blob]);
                self.key_value(random, class, database)
            }
        }
    }
}

fn few(class: Class) -> &'static [&'static str] {
    match class {
        Class::Integer => &["0", "1", "2", "-1", "255", "9223372036854775807", "-9223372036854775808"],
        Class::Real => &["0.0", "2.5", "1.0", "-1.5", "1e300"],
        Class::Blob => &["x''", "x'00'", "x'ff'", "x'00ff'"],
        _ => &["''", "'a'", "'B'", "'é'", "'9'", "'1'", "'aa'"],
    }
}
