use crate::merge::{Standing, Verdict};

/// The clock of one row, in memory: what decides the merges of all changes that speak of the row.
///
/// Columns are counted as the caller counts them. A cell may be unread, so that a change of one column does not have to
/// read the clocks of all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowClock {
    causal_length: i64,
    cells: Vec<CellClock>,
}

/// What is known of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellClock {
    /// It has not been looked at yet.
    Unread,
    /// Nothing was ever recorded for it.
    Absent,
    /// Its col_version.
    At(i64),
}

impl RowClock {
    /// A row of which nothing was ever recorded.
    pub fn unknown(columns: usize) -> RowClock {
        RowClock { causal_length: 0, cells: vec![CellClock::Absent; columns] }
    }

    /// Turns to another row of so many columns: its causal length (see [`Standing::causal_length`]), and the same for
    /// every cell.
    pub fn turn_to(&mut self, causal_length: i64, columns: usize, cell: CellClock) {
        self.causal_length = causal_length;
        self.cells.clear();
        self.cells.resize(columns, cell);
    }

    /// Says what was read of the row's causal length.
    pub fn set_causal_length(&mut self, causal_length: i64) {
        self.causal_length = causal_length;
    }

    /// Says what was read of a cell.
    pub fn set_cell(&mut self, column: usize, cell: CellClock) {
        self.cells[column] = cell;
    }

    /// What is known of a cell.
    pub fn cell(&self, column: usize) -> CellClock {
        self.cells[column]
    }

    /// See [`Standing::causal_length`].
    pub fn causal_length(&self) -> i64 {
        self.causal_length
    }

    /// True where the row has cells that were recorded, or may have.
    pub fn may_have_cells(&self) -> bool {
        self.cells.iter().any(|cell| *cell != CellClock::Absent)
    }

    /// What decides the merge of a change of this column; of the row itself where there is no such column. None where
    /// the cell has to be read first.
    pub fn standing(&self, column: Option<usize>) -> Option<Standing> {
        let col_version = match column.map(|column| self.cells[column]) {
            Some(CellClock::Unread) => return None,
            Some(CellClock::At(col_version)) => Some(col_version),
            Some(CellClock::Absent) | None => None,
        };
        Some(Standing { causal_length: self.causal_length, col_version })
    }

    /// The clock after a verdict on a change of this column, or of the row itself.
    pub fn carry_out(&mut self, verdict: Verdict, column: Option<usize>, causal_length: i64, col_version: i64) {
        match verdict {
            Verdict::Ignore => return,
            Verdict::Delete => self.cells.fill(CellClock::Absent),
            Verdict::Revive | Verdict::Write { revive: true } => {
                for cell in self.cells.iter_mut().filter(|cell| matches!(cell, CellClock::At(_))) {
                    *cell = CellClock::At(0);
                }
            }
            Verdict::Write { revive: false } => {}
        }
        self.causal_length = causal_length;
        if let (Verdict::Write { .. }, Some(column)) = (verdict, column) {
            self.cells[column] = CellClock::At(col_version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_life_takes_the_cells_back_to_version_0() {
        let mut clock = RowClock::unknown(2);
        clock.carry_out(Verdict::Write { revive: false }, Some(0), 1, 4);
        assert_eq!(clock.standing(Some(0)), Some(Standing { causal_length: 1, col_version: Some(4) }));
        clock.carry_out(Verdict::Write { revive: true }, Some(1), 3, 2);
        assert_eq!((clock.cell(0), clock.cell(1)), (CellClock::At(0), CellClock::At(2)));
        assert_eq!(clock.causal_length(), 3);
    }

    #[test]
    fn a_deletion_forgets_the_cells_and_what_is_ignored_changes_nothing() {
        let mut clock = RowClock::unknown(2);
        clock.turn_to(1, 1, CellClock::Unread);
        assert_eq!(clock.standing(Some(0)), None, "the cell must be read");
        clock.set_cell(0, CellClock::At(7));
        clock.carry_out(Verdict::Ignore, Some(0), 9, 9);
        assert_eq!(clock.standing(Some(0)), Some(Standing { causal_length: 1, col_version: Some(7) }));
        clock.carry_out(Verdict::Delete, None, 2, 2);
        assert!(!clock.may_have_cells());
        assert_eq!(clock.standing(None), Some(Standing { causal_length: 2, col_version: None }));
    }
}
