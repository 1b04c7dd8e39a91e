use super::*;
use crate::linked;
use std::cell::RefCell;
use std::rc::Rc;

/// A list of numbers that can be read, searched from a lower bound, and added to.
struct ListModule(Rc<RefCell<Vec<i64>>>);
struct ListTable(Rc<RefCell<Vec<i64>>>);
struct ListCursor(Rc<RefCell<Vec<i64>>>, Vec<i64>, usize);

impl Module for ListModule {
    type Table = ListTable;
    const KIND: ModuleKind = ModuleKind::Created;
    const SHADOW_SUFFIXES: &'static [&'static str] = &["data"];

    fn connect(&self, connection: &Connection, args: &TableArgs<'_>, creating: bool) -> Result<(String, ListTable)> {
        if args.arguments.contains(&"bad") {
            return Err(Error::failed(format!("{} does not take bad", args.table)));
        }
        if creating {
            connection.execute(&format!("CREATE TABLE \"{}_data\"(a)", args.table))?;
        }
        Ok(("CREATE TABLE list(number INTEGER)".into(), ListTable(self.0.clone())))
    }
}

impl Table for ListTable {
    type Cursor = ListCursor;

    fn best_index(&self, index: &mut IndexInfo) -> Result<()> {
        let bound = index.constraints().iter().position(|c| c.usable && c.column == 0 && c.op == ConstraintOp::Gt);
        if let Some(position) = bound {
            index.use_constraint(position, 1, true);
        }
        index.set_index(i32::from(bound.is_some()), "plan");
        index.set_cost(10.0);
        Ok(())
    }

    fn open(&self) -> Result<ListCursor> {
        Ok(ListCursor(self.0.clone(), Vec::new(), 0))
    }

    fn update(&self, change: &Update<'_>) -> Result<i64> {
        match change {
            Update::Insert { columns, .. } => match columns.get(0) {
                ValueRef::Integer(number) => {
                    self.0.borrow_mut().push(number);
                    Ok(number)
                }
                other => Err(Error::constraint(format!("not a number: {other:?}"))),
            },
            Update::Update { .. } => panic!("on demand"),
            Update::Delete { rowid } => {
                self.0.borrow_mut().retain(|number| number != rowid);
                Ok(0)
            }
        }
    }
}

impl TableCursor for ListCursor {
    fn filter(&mut self, index_number: i32, index_string: &str, args: &[ValueRef<'_>]) -> Result<()> {
        assert_eq!(index_string, "plan");
        let after = if index_number == 1 { args[0].as_i64() } else { i64::MIN };
        self.1 = self.0.borrow().iter().copied().filter(|number| *number > after).collect();
        self.2 = 0;
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        self.2 += 1;
        Ok(())
    }

    fn eof(&self) -> bool {
        self.2 >= self.1.len()
    }

    fn column(&self, _: i32) -> Result<Output<'_>> {
        match self.1[self.2] {
            13 => Err(Error::failed("thirteen is not shown")),
            number => Ok(number.into()),
        }
    }

    fn rowid(&self) -> Result<i64> {
        Ok(self.1[self.2])
    }
}

fn host() -> rusqlite::Connection {
    let (host, _) = linked::open(
        |connection| connection.create_module("list", ListModule(Rc::default())),
        rusqlite::Connection::open_in_memory,
    )
    .expect("a database in memory opens");
    host.execute_batch("CREATE VIRTUAL TABLE l USING list").unwrap();
    host
}

fn message(result: rusqlite::Result<()>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn rows_are_written_searched_and_deleted() {
    let host = host();
    host.execute_batch("INSERT INTO l VALUES (1), (2), (3); DELETE FROM l WHERE number = 2").unwrap();
    let above: i64 =
        host.query_row("SELECT group_concat(number) FROM l WHERE number > 1", [], |row| row.get(0)).unwrap_or(0);
    assert_eq!(above, 0, "group_concat gives text");
    let above: String =
        host.query_row("SELECT group_concat(number) FROM l WHERE number > 0", [], |row| row.get(0)).unwrap();
    assert_eq!(above, "1,3");
}

#[test]
fn every_callbacks_error_reaches_the_user() {
    let host = host();
    assert!(message(host.execute_batch("CREATE VIRTUAL TABLE m USING list(bad)")).contains("m does not take bad"));
    assert!(message(host.execute_batch("INSERT INTO l VALUES ('x')")).contains("not a number"));
    host.execute_batch("INSERT INTO l VALUES (13)").unwrap();
    assert!(message(host.query_row("SELECT number FROM l", [], |_| Ok(()))).contains("thirteen is not shown"));
    host.execute_batch("DELETE FROM l; INSERT INTO l VALUES (1)").unwrap();
    assert!(message(host.execute_batch("UPDATE l SET number = 2")).contains("on demand"));
    host.execute_batch("INSERT INTO l VALUES (2)").expect("the connection still works");
}

#[test]
fn shadow_tables_are_protected_in_defensive_mode() {
    let host = host();
    host.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).unwrap();
    assert!(message(host.execute_batch("INSERT INTO l_data VALUES (1)")).contains("may not be modified"));
    host.execute_batch("CREATE VIRTUAL TABLE m USING list").expect("the module itself may write");
}
