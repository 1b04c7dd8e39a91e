//! The things that keep a table from being tracked, each with its words and its cure.

/// The most columns a tracked table can have: the update trigger passes each column twice, and SQLite's functions take
/// 127 arguments.
pub const COLUMNS_MAX: usize = 63;
/// One thing that keeps a table from being tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A foreign key, which changes that arrive one table after another could violate.
    ForeignKey {
        /// The columns that refer.
        columns: Vec<String>,
        /// The table referred to.
        parent: String,
        /// `ON DELETE …` and `ON UPDATE …` where they do something.
        actions: String,
    },
    /// A UNIQUE constraint, which two copies could satisfy each and violate together.
    UniqueConstraint {
        /// Its columns.
        columns: Vec<String>,
        /// The plain index that `adapt` makes for it, or none where another index serves already.
        index: Option<String>,
    },
    /// A unique index; the same.
    UniqueIndex {
        /// Its name.
        name: String,
    },
    /// A NOT NULL column without a default: a row is made before its cells are known.
    NotNullWithoutDefault {
        /// The column.
        column: String,
        /// What `adapt` does about it.
        cure: NotNullCure,
    },
    /// A column of the primary key that may hold NULL by the table's definition.
    NullableKey {
        /// The column.
        column: String,
    },
    /// Rows whose key holds NULL.
    NullsInKey {
        /// The column.
        column: String,
        /// How many.
        rows: i64,
    },
    /// `AUTOINCREMENT`: two copies would give the same number to different rows.
    Autoincrement,
    /// The word "autoincrement" as part of a name or a value, where it cannot be taken away.
    AutoincrementInText,
    /// No primary key, so nothing says which row is which.
    NoPrimaryKey,
    /// A key column that compares by a collation, under which different bytes are one row.
    CollatedKey {
        /// The column.
        column: String,
        /// The collation's name.
        collation: String,
    },
    /// More columns than can be tracked.
    TooManyColumns {
        /// How many it has.
        columns: usize,
    },
    /// A column named `-1`, which is what the change records call the row itself.
    ReservedColumnName,
    /// The CREATE TABLE text could not be read well enough to change it.
    Unreadable {
        /// Why.
        why: String,
    },
}

/// What becomes of a NOT NULL column without a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotNullCure {
    /// It gets this default and keeps its NOT NULL.
    Default(String),
    /// It loses its NOT NULL, because the default that its type suggests would violate a CHECK.
    NullableForCheck,
    /// It loses its NOT NULL, because its value is computed.
    NullableForGenerated,
}

impl Obstacle {
    /// A short name for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Obstacle::ForeignKey { .. } => "foreign_key",
            Obstacle::UniqueConstraint { .. } => "unique_constraint",
            Obstacle::UniqueIndex { .. } => "unique_index",
            Obstacle::NotNullWithoutDefault { .. } => "not_null_without_default",
            Obstacle::NullableKey { .. } => "nullable_key",
            Obstacle::NullsInKey { .. } => "nulls_in_key",
            Obstacle::Autoincrement => "autoincrement",
            Obstacle::AutoincrementInText => "autoincrement_in_text",
            Obstacle::NoPrimaryKey => "no_primary_key",
            Obstacle::CollatedKey { .. } => "collated_key",
            Obstacle::TooManyColumns { .. } => "too_many_columns",
            Obstacle::ReservedColumnName => "reserved_column_name",
            Obstacle::Unreadable { .. } => "unreadable",
        }
    }

    /// What is in the way, as a clause.
    #[must_use]
    pub fn says(&self) -> String {
        match self {
            Obstacle::ForeignKey { columns, parent, actions } => {
                format!("foreign key ({}) → {parent}{actions}", columns.join(", "))
            }
            Obstacle::UniqueConstraint { columns, .. } => format!("UNIQUE ({})", columns.join(", ")),
            Obstacle::UniqueIndex { name } => format!("unique index {name}"),
            Obstacle::NotNullWithoutDefault { column, .. } => format!("{column} is NOT NULL without a default"),
            Obstacle::NullableKey { column } => format!("key column {column} is not declared NOT NULL"),
            Obstacle::NullsInKey { column, rows } => {
                format!("{rows} {} NULL in key column {column}", if *rows == 1 { "row has" } else { "rows have" })
            }
            Obstacle::Autoincrement => "AUTOINCREMENT".to_owned(),
            Obstacle::AutoincrementInText => {
                "the word autoincrement within a name or value of its definition".to_owned()
            }
            Obstacle::NoPrimaryKey => "no primary key".to_owned(),
            Obstacle::CollatedKey { column, collation } => {
                format!(
                    "key column {column} compares by {collation}: copies that spell one key differently would end unequal"
                )
            }
            Obstacle::TooManyColumns { columns } => format!("{columns} columns, {COLUMNS_MAX} is the most"),
            Obstacle::ReservedColumnName => "a column named -1, a name that change records use".to_owned(),
            Obstacle::Unreadable { why } => format!("its definition cannot be read: {why}"),
        }
    }

    /// What `adapt` does about it, or `None` where only the database's owner can do something.
    #[must_use]
    pub fn cure(&self) -> Option<String> {
        Some(match self {
            Obstacle::ForeignKey { actions, .. } if actions.is_empty() => {
                "removed; nothing checks these references any more".to_owned()
            }
            Obstacle::ForeignKey { .. } => {
                "removed; nothing checks these references any more, and its actions no longer happen".to_owned()
            }
            Obstacle::UniqueConstraint { index: Some(index), .. } => {
                format!("becomes the plain index {index}; ON CONFLICT on these columns no longer works")
            }
            Obstacle::UniqueConstraint { index: None, .. } => "removed; another index serves these columns".to_owned(),
            Obstacle::UniqueIndex { .. } => {
                "becomes a plain index; ON CONFLICT on its columns no longer works".to_owned()
            }
            Obstacle::NotNullWithoutDefault { cure: NotNullCure::Default(value), .. } => {
                format!("gets DEFAULT {value}")
            }
            Obstacle::NotNullWithoutDefault { cure: NotNullCure::NullableForCheck, .. } => {
                "may be NULL from now on, since an empty default would violate a CHECK".to_owned()
            }
            Obstacle::NotNullWithoutDefault { cure: NotNullCure::NullableForGenerated, .. } => {
                "NOT NULL removed; its value is computed".to_owned()
            }
            Obstacle::NullableKey { .. } => "gets NOT NULL".to_owned(),
            Obstacle::Autoincrement => "removed; keys that were deleted last may be given again".to_owned(),
            Obstacle::NullsInKey { .. }
            | Obstacle::AutoincrementInText
            | Obstacle::NoPrimaryKey
            | Obstacle::CollatedKey { .. }
            | Obstacle::TooManyColumns { .. }
            | Obstacle::ReservedColumnName
            | Obstacle::Unreadable { .. } => return None,
        })
    }

    /// What the database's owner can do where `adapt` cannot.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Obstacle::NullsInKey { .. } => Some("give these rows a key, or delete them"),
            Obstacle::AutoincrementInText => Some("rename it"),
            Obstacle::NoPrimaryKey => Some("make the table anew with a primary key that is the same on every copy"),
            Obstacle::CollatedKey { .. } => Some(
                "make the table anew with what is compared in the key, without COLLATE, and the spelling beside it",
            ),
            Obstacle::TooManyColumns { .. } => Some("move some columns to a second table with the same key"),
            Obstacle::ReservedColumnName => Some("rename the column"),
            Obstacle::Unreadable { .. } => Some("make the table anew by hand"),
            _ => None,
        }
    }
}
