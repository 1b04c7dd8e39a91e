use crate::sql;
use rejoin_bridge::{Connection, Slot};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The statements that run for every row of one tracked table.
pub(crate) struct Statements {
    pub(crate) find_key: Slot,
    pub(crate) add_key: Slot,
    pub(crate) read_key: Slot,
    pub(crate) standing: Slot,
    pub(crate) row_clock: Slot,
    /// By column.
    pub(crate) cell_clock: Vec<Slot>,
    pub(crate) row_clocks_from: Slot,
    pub(crate) cell_clocks_from: Slot,
    pub(crate) cells_of_key: Slot,
    pub(crate) site_of_cell: Slot,
    pub(crate) add_cells: Slot,
    pub(crate) touch_cell: Slot,
    pub(crate) created: Slot,
    pub(crate) recreated: Slot,
    pub(crate) deleted: Slot,
    pub(crate) drop_cells: Slot,
    pub(crate) zero_cells: Slot,
    pub(crate) add_clock_row: Slot,
    /// By column.
    pub(crate) update_clock_row: Vec<Slot>,
    pub(crate) set_clock_row: Slot,
    /// By column.
    pub(crate) read_cell: Vec<Slot>,
    pub(crate) read_cells: Slot,
    pub(crate) row_exists: Slot,
    pub(crate) add_row: Slot,
    pub(crate) delete_row: Slot,
    column_sets: ColumnSets,
}

/// What reads and writes some columns of a row.
pub(crate) struct ColumnSet {
    /// The columns' places among those of the table, as bits.
    places: u64,
    /// Reads them, in their order.
    pub(crate) read: Slot,
    /// Writes their clock rows, which are not there yet.
    pub(crate) add_clock_rows: Slot,
    /// For a row that is there.
    pub(crate) update: Slot,
    /// For a row that may be there.
    pub(crate) upsert: Slot,
}

impl ColumnSet {
    /// Where a column of the set is in what [`ColumnSet::read`] gives.
    pub(crate) fn position(&self, place: usize) -> i32 {
        (self.places & ((1 << place) - 1)).count_ones() as i32
    }
}

impl Statements {
    pub(crate) fn new(connection: &Connection, table: &str, keys: &[String], columns: &[String]) -> Statements {
        let slot = |sql: String| connection.slot(sql);
        Statements {
            find_key: slot(sql::find_key(table, keys)),
            add_key: slot(sql::add_key(table, keys)),
            read_key: slot(sql::read_key(table, keys)),
            standing: slot(sql::standing(table, keys)),
            row_clock: slot(sql::row_clock(table, keys)),
            cell_clock: columns
                .iter()
                .map(|column| slot(sql::cell_clock(table, keys, column, columns.len() <= FEW_COLUMNS)))
                .collect(),
            row_clocks_from: slot(sql::row_clocks_from(table, keys)),
            cell_clocks_from: slot(sql::cell_clocks_from(table, keys)),
            cells_of_key: slot(sql::cells_of_key(table)),
            site_of_cell: slot(sql::site_of_cell(table)),
            add_cells: slot(sql::add_cells(table, columns)),
            touch_cell: slot(sql::touch_cell(table)),
            created: slot(sql::touch_sentinel_created(table)),
            recreated: slot(sql::touch_sentinel_recreated(table)),
            deleted: slot(sql::touch_sentinel_deleted(table)),
            drop_cells: slot(sql::drop_cells(table)),
            zero_cells: slot(sql::zero_cells(table)),
            add_clock_row: slot(sql::add_clock_row(table)),
            update_clock_row: columns.iter().map(|column| slot(sql::update_clock_row(table, column))).collect(),
            set_clock_row: slot(sql::set_clock_row(table)),
            read_cell: columns.iter().map(|column| slot(sql::read_cell(table, keys, column))).collect(),
            read_cells: slot(sql::read_cells(table, keys, columns)),
            row_exists: slot(sql::row_exists(table, keys)),
            add_row: slot(sql::add_row(table, keys)),
            delete_row: slot(sql::delete_row(table, keys)),
            column_sets: ColumnSets {
                connection: connection.clone(),
                table: table.to_owned(),
                keys: keys.to_vec(),
                columns: columns.to_vec(),
                known: RefCell::default(),
                last: RefCell::default(),
            },
        }
    }

    /// What reads and writes these columns.
    pub(crate) fn column_set(&self, columns: impl Iterator<Item = usize>) -> Rc<ColumnSet> {
        self.column_sets.of(columns.fold(0, |set, column| set | 1 << column))
    }
}

/// Statements by the set of columns that they speak of. A tracked table has fewer than 64 columns: a set is a number.
struct ColumnSets {
    connection: Connection,
    table: String,
    keys: Vec<String>,
    columns: Vec<String>,
    known: RefCell<HashMap<u64, Rc<ColumnSet>>>,
    /// The one that was asked for last.
    last: RefCell<Option<Rc<ColumnSet>>>,
}

impl ColumnSets {
    fn of(&self, set: u64) -> Rc<ColumnSet> {
        let mut last = self.last.borrow_mut();
        match &*last {
            Some(statements) if statements.places == set => statements.clone(),
            _ => last.insert(self.find_or_make(set)).clone(),
        }
    }

    fn find_or_make(&self, set: u64) -> Rc<ColumnSet> {
        let mut known = self.known.borrow_mut();
        if let Some(statements) = known.get(&set) {
            return statements.clone();
        }
        if known.len() >= COLUMN_SETS_MAX {
            known.clear();
        }
        let columns = self.columns.iter().enumerate().filter(|(place, _)| set >> place & 1 == 1);
        let columns: Vec<&String> = columns.map(|(_, column)| column).collect();
        let slot = |sql: fn(&str, &[String], &[&String]) -> String| {
            self.connection.slot(sql(&self.table, &self.keys, &columns))
        };
        let mut by_name = columns.clone();
        by_name.sort();
        let statements = Rc::new(ColumnSet {
            places: set,
            read: slot(sql::read_columns),
            add_clock_rows: self.connection.slot(sql::add_clock_rows(&self.table, &by_name)),
            update: slot(sql::update_row),
            upsert: slot(sql::upsert_row),
        });
        known.insert(set, statements.clone());
        statements
    }
}

/// Up to so many columns all clock rows of a row are passed rather than two of them looked for.
pub(crate) const FEW_COLUMNS: usize = 8;

/// Of how many sets of columns the statements are kept, for one table.
const COLUMN_SETS_MAX: usize = 64;
