//! Whether copies are equal, by their content.

use std::path::PathBuf;

use rejoin::Cancel;
use rejoin::diff::{DiffOptions, SideContent, diff};

/// What copies hold.
pub struct Level {
    /// Whether all of them hold the same.
    pub is_equal: bool,
    /// Table by table.
    pub tables: Vec<TableLevel>,
}

/// What copies hold of one table.
pub struct TableLevel {
    /// Its name.
    pub table: String,
    /// Whether all copies hold the same of it.
    pub is_equal: bool,
    /// For each copy, in their order.
    pub copies: Vec<SideContent>,
}

/// Compares the first copy with each of the others. Reads all of them; call it where that may block.
pub fn level(copies: &[PathBuf]) -> Result<Level, String> {
    let options = DiffOptions { tables: Vec::new(), examples_max: 0 };
    let mut level = Level { is_equal: true, tables: Vec::new() };
    let Some((first, others)) = copies.split_first() else { return Ok(level) };
    for other in others {
        let found = diff(first, other, &options, &Cancel::default()).map_err(|error| error.to_string())?;
        level.is_equal &= found.is_equal();
        for table in found.tables {
            let at = level.tables.iter().position(|known| known.table == table.table).unwrap_or_else(|| {
                let copies = vec![table.a.clone()];
                level.tables.push(TableLevel { table: table.table.clone(), is_equal: true, copies });
                level.tables.len() - 1
            });
            level.tables[at].is_equal &= table.is_equal();
            level.tables[at].copies.push(table.b);
        }
    }
    Ok(level)
}
