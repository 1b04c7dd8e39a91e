//! `crsql_unpack_columns(package)`: the values that `crsql_pack_columns` packed, one per row.

use crate::values::to_bridge;
use rejoin_bridge::{
    Connection, Constraint, ConstraintOp, Error, IndexInfo, Module, ModuleKind, Output, Result, Table, TableArgs,
    TableCursor, ValueRef, code,
};
use rejoin_change::{PackedKey, Value};

/// The module behind `crsql_unpack_columns`.
pub(crate) struct UnpackModule;

const CELL: i32 = 0;
const PACKAGE: i32 = 1;

impl Module for UnpackModule {
    type Table = UnpackTable;
    const KIND: ModuleKind = ModuleKind::Eponymous;
    const WRITABLE: bool = false;
    const INNOCUOUS: bool = true;

    fn connect(&self, _: &Connection, _: &TableArgs<'_>, _: bool) -> Result<(String, UnpackTable)> {
        Ok(("CREATE TABLE unpacked(cell ANY, package BLOB HIDDEN)".into(), UnpackTable))
    }
}

pub(crate) struct UnpackTable;

impl Table for UnpackTable {
    type Cursor = UnpackCursor;

    fn best_index(&self, index: &mut IndexInfo) -> Result<()> {
        let packages = index.constraints().into_iter().enumerate();
        let mut packages = packages.filter(|(_, c)| c.column == PACKAGE && c.op == ConstraintOp::Eq).peekable();
        index.set_cost(10.0);
        if packages.peek().is_none() {
            let on_cell =
                |c: &Constraint| c.column == CELL && !matches!(c.op, ConstraintOp::Limit | ConstraintOp::Offset);
            return match index.constraints().iter().any(on_cell) {
                true => Err(Error::failed("no package column specified. Got PACKAGE instead")),
                false => Ok(()),
            };
        }
        let usable = packages.find(|(_, constraint)| constraint.usable);
        let (place, _) = usable
            .ok_or_else(|| Error::new(code::CONSTRAINT, "the package is known in another order of the tables"))?;
        index.use_constraint(place, 1, true);
        Ok(())
    }

    fn open(&self) -> Result<UnpackCursor> {
        Ok(UnpackCursor { values: Vec::new(), at: 0 })
    }
}

pub(crate) struct UnpackCursor {
    values: Vec<Value>,
    at: usize,
}

impl TableCursor for UnpackCursor {
    fn filter(&mut self, _: i32, _: &str, arguments: &[ValueRef<'_>]) -> Result<()> {
        self.at = 0;
        self.values = match arguments.first() {
            None => return Err(Error::misuse("Zero args passed to filter")),
            Some(ValueRef::Blob(package)) => {
                PackedKey::unpack(package).map_err(|error| Error::failed(format!("crsql_unpack_columns: {error}")))?
            }
            Some(_) => return Err(Error::failed("crsql_unpack_columns: the package is not a blob")),
        };
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        self.at += 1;
        Ok(())
    }

    fn eof(&self) -> bool {
        self.at >= self.values.len()
    }

    fn column(&self, index: i32) -> Result<Output<'_>> {
        if index != CELL {
            return Err(Error::misuse(format!("Selected a column besides cell! {index}")));
        }
        Ok(self.values.get(self.at).map_or(Output::Null, |value| to_bridge(value).into()))
    }

    fn rowid(&self) -> Result<i64> {
        Ok(self.at as i64)
    }
}
