use crate::abi::sqlite3_index_info;
use crate::api::Api;
use crate::load::allocate_text;

/// One condition of a query's WHERE on this table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// The column, counted from 0; -1 is the rowid.
    pub column: i32,
    /// The comparison.
    pub op: ConstraintOp,
    /// False where the right side is not known in this plan.
    pub usable: bool,
}

/// A comparison in a WHERE. The right side is the argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConstraintOp {
    /// `=`
    Eq,
    /// `>`
    Gt,
    /// `<=`
    Le,
    /// `<`
    Lt,
    /// `>=`
    Ge,
    /// `MATCH`
    Match,
    /// `LIKE`
    Like,
    /// `GLOB`
    Glob,
    /// `REGEXP`
    Regexp,
    /// `<>`
    Ne,
    /// `IS NOT`
    IsNot,
    /// `IS NOT NULL`
    IsNotNull,
    /// `IS NULL`
    IsNull,
    /// `IS`
    Is,
    /// `LIMIT`
    Limit,
    /// `OFFSET`
    Offset,
    /// A function that the table overloads, or a comparison that is newer than this code.
    Other(u8),
}

/// One term of a query's ORDER BY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// The column, counted from 0; -1 is the rowid.
    pub column: i32,
    /// True for descending.
    pub desc: bool,
}

/// A query as the planner shows it to a virtual table, and the table's answer.
pub struct IndexInfo {
    raw: *mut sqlite3_index_info,
    api: Api,
}

impl IndexInfo {
    /// # Safety
    /// `raw` belongs to the xBestIndex call that the returned value does not outlive.
    pub(super) unsafe fn new(raw: *mut sqlite3_index_info, api: Api) -> IndexInfo {
        IndexInfo { raw, api }
    }

    fn info(&self) -> &sqlite3_index_info {
        // SAFETY: valid by the contract of `new`.
        unsafe { &*self.raw }
    }

    fn info_mut(&mut self) -> &mut sqlite3_index_info {
        // SAFETY: valid by the contract of `new`, and nobody else holds it during the call.
        unsafe { &mut *self.raw }
    }

    /// The conditions, in the order in which [`IndexInfo::use_constraint`] names them.
    pub fn constraints(&self) -> Vec<Constraint> {
        let info = self.info();
        (0..usize::try_from(info.constraint_count).unwrap_or(0))
            .map(|index| {
                // SAFETY: the array has `constraint_count` entries.
                let constraint = unsafe { &*info.constraints.add(index) };
                Constraint {
                    column: constraint.column,
                    op: ConstraintOp::from_code(constraint.op),
                    usable: constraint.usable != 0,
                }
            })
            .collect()
    }

    /// Wants the right side of a condition as argument number `argument`, counted from 1. With `omit`, SQLite does not
    /// check the condition again.
    pub fn use_constraint(&mut self, index: usize, argument: i32, omit: bool) {
        assert!(index < self.info().constraint_count as usize, "the constraint is one of those given");
        // SAFETY: the array has as many entries as there are constraints.
        let usage = unsafe { &mut *self.info_mut().usage.add(index) };
        usage.argv_index = argument;
        usage.omit = u8::from(omit);
    }

    /// The order that the query asks for.
    pub fn order_by(&self) -> Vec<OrderBy> {
        let info = self.info();
        (0..usize::try_from(info.order_by_count).unwrap_or(0))
            .map(|index| {
                // SAFETY: the array has `order_by_count` entries.
                let term = unsafe { &*info.order_by.add(index) };
                OrderBy { column: term.column, desc: term.desc != 0 }
            })
            .collect()
    }

    /// Promises that rows come in the order that the query asks for.
    pub fn set_order_by_consumed(&mut self) {
        self.info_mut().order_by_consumed = 1;
    }

    /// The estimated cost, in disk reads.
    pub fn set_cost(&mut self, cost: f64) {
        self.info_mut().estimated_cost = cost;
    }

    /// The estimated number of rows.
    pub fn set_rows(&mut self, rows: i64) {
        self.info_mut().estimated_rows = rows;
    }

    /// What the cursor's filter is given to know the plan by.
    pub fn set_index(&mut self, number: i32, string: &str) {
        let text = allocate_text(&self.api, string);
        let info = self.info_mut();
        info.index_number = number;
        info.index_string = text;
        info.need_to_free_index_string = 1;
    }

    /// Which columns the query may read: bit n for column n, the top bit for all from 63 on. All ones where SQLite
    /// cannot say, as for UPDATE.
    pub fn columns_used(&self) -> u64 {
        self.info().columns_used
    }
}

impl ConstraintOp {
    fn from_code(code: u8) -> ConstraintOp {
        match code {
            2 => ConstraintOp::Eq,
            4 => ConstraintOp::Gt,
            8 => ConstraintOp::Le,
            16 => ConstraintOp::Lt,
            32 => ConstraintOp::Ge,
            64 => ConstraintOp::Match,
            65 => ConstraintOp::Like,
            66 => ConstraintOp::Glob,
            67 => ConstraintOp::Regexp,
            68 => ConstraintOp::Ne,
            69 => ConstraintOp::IsNot,
            70 => ConstraintOp::IsNotNull,
            71 => ConstraintOp::IsNull,
            72 => ConstraintOp::Is,
            73 => ConstraintOp::Limit,
            74 => ConstraintOp::Offset,
            other => ConstraintOp::Other(other),
        }
    }
}
