//! The steps of a script that change the schema, or which tables are tracked.

use super::{Kind, Place, Writer};
use crate::tables::{Class, Column, Table};

impl Writer {
    fn new_table(&mut self) -> Table {
        self.tables += 1;
        Table::of_some_shape(&mut self.random, self.tables)
    }

    pub(super) fn new_table_everywhere(&mut self) {
        let table = self.new_table();
        for database in 0..self.rules.databases {
            let place = Place { database, connection: self.random.below(self.rules.connections as u64) as usize };
            self.sql(place, Kind::Schema, table.create());
            let mut table = table.clone();
            for _ in 0..self.random.below(if self.rules.forgetful { 2 } else { 3 }) {
                let insert = self.insert(place, &table);
                self.sql(place, Kind::Write, insert);
            }
            self.sql(place, Kind::Schema, format!("SELECT crsql_as_crr('{}')", table.name));
            table.tracked = true;
            if self.random.below(4) == 0 && !self.rules.many_keys {
                self.application_trigger(place, &table);
            }
            self.databases[database].tables.push(table);
        }
    }

    /// A trigger of the application's, which is told whether a write is a merge.
    fn application_trigger(&mut self, place: Place, table: &Table) {
        let name = &table.name;
        let event = *self.random.of(&["INSERT", "UPDATE", "DELETE"]);
        // The original writes a row twice where a cell brings it to life, which a trigger on updates would tell.
        let when =
            if event == "UPDATE" || self.random.below(2) == 0 { "WHEN crsql_internal_sync_bit() = 0 " } else { "" };
        self.sql(place, Kind::Schema, "CREATE TABLE IF NOT EXISTS log (event, bit)".to_owned());
        self.sql(
            place,
            Kind::Schema,
            format!(
                "CREATE TRIGGER noted_{name} AFTER {event} ON {name} {when}BEGIN \
             INSERT INTO log VALUES ('{event} {name}', crsql_internal_sync_bit()); END"
            ),
        );
    }

    pub(super) fn schema(&mut self, place: Place) {
        let tables = self.databases[place.database].tables.len() as u64;
        match self.random.below(8) {
            0 if tables < 4 => self.new_table_everywhere_free(),
            // The original forgets the version when it gives up its last table.
            1 if self.databases[place.database].tables.iter().filter(|table| table.tracked).count() > 1 => {
                let at = self.random.below(tables) as usize;
                let function =
                    if self.databases[place.database].tables[at].tracked { "crsql_as_table" } else { "crsql_as_crr" };
                let table = &mut self.databases[place.database].tables[at];
                table.tracked = !table.tracked;
                let sql = format!("SELECT {function}('{}')", table.name);
                self.sql(place, Kind::Schema, sql);
            }
            2 if tables > 0 => {
                let at = self.random.below(tables) as usize;
                let name = self.databases[place.database].tables[at].name.clone();
                self.databases[place.database].tables[at].tracked = true;
                self.sql(place, Kind::Schema, format!("SELECT crsql_as_crr('{name}')"));
            }
            3 => {
                self.columns += 1;
                let table = format!("refused{}", self.columns);
                let definition = *self.random.of(&[
                    "(a)",
                    "(a INTEGER PRIMARY KEY)",
                    "(a PRIMARY KEY NOT NULL, b UNIQUE)",
                    "(a PRIMARY KEY NOT NULL, b NOT NULL)",
                    "(a INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL)",
                ]);
                self.sql(place, Kind::Schema, format!("CREATE TABLE {table} {definition}"));
                self.sql(place, Kind::Schema, format!("SELECT crsql_as_crr('{table}')"));
            }
            _ if tables > 0 => {
                let at = self.random.below(tables) as usize;
                let first = self.steps.len();
                for sql in self.alteration(place, at) {
                    self.sql(place, Kind::Schema, sql);
                }
                self.compare_only_at_the_end(first);
            }
            _ => {}
        }
    }

    /// Leaves the comparison of everything to the last of the steps from here on.
    fn compare_only_at_the_end(&mut self, first: usize) {
        if let [steps @ .., _] = &mut self.steps[first..] {
            steps.iter_mut().for_each(|step| step.compared = false);
        }
    }

    fn new_table_everywhere_free(&mut self) {
        if self.databases.iter().all(|database| database.writer.is_none()) {
            self.new_table_everywhere();
        }
    }

    /// The statements of an alteration of a tracked table.
    fn alteration(&mut self, place: Place, at: usize) -> Vec<String> {
        let mut table = self.databases[place.database].tables[at].clone();
        // What was not recorded is found when an alteration ends, and then the engines differ on purpose.
        if !table.tracked || table.unrecorded {
            return Vec::new();
        }
        let name = table.name.clone();
        let mut statements = vec![format!("SELECT crsql_begin_alter('{name}')")];
        for _ in 0..=self.random.below(2) {
            statements.extend(self.alter(place, &mut table));
        }
        statements.push(format!("SELECT crsql_commit_alter('{name}')"));
        self.databases[place.database].tables[at] = table;
        statements
    }

    fn alter(&mut self, place: Place, table: &mut Table) -> Option<String> {
        self.columns += 1;
        let name = table.name.clone();
        match self.random.below(7) {
            0..=2 => {
                let column = Column { name: format!("n{}", self.columns), class: Class::Any, not_null: false };
                let declared = if table.strict { "ANY" } else { "" };
                let default = *self.random.of(&["", " DEFAULT 7", " DEFAULT 'new'", " NOT NULL DEFAULT 0"]);
                let not_null = default.contains("NOT NULL");
                let sql = format!("ALTER TABLE {name} ADD COLUMN {} {declared}{default}", column.name);
                table.columns.push(Column { not_null, ..column });
                Some(sql)
            }
            3 if table.alterable && !table.columns.is_empty() => {
                let at = self.random.below(table.columns.len() as u64) as usize;
                let column = table.columns.remove(at);
                Some(format!("ALTER TABLE {name} DROP COLUMN {}", column.name))
            }
            4 if table.alterable && !table.columns.is_empty() => {
                let at = self.random.below(table.columns.len() as u64) as usize;
                let new = format!("n{}", self.columns);
                let old = std::mem::replace(&mut table.columns[at].name, new.clone());
                Some(format!("ALTER TABLE {name} RENAME COLUMN {old} TO {new}"))
            }
            5 if table.alterable && self.random.below(3) == 0 => {
                let at = self.random.below(table.keys.len() as u64) as usize;
                let new = format!("n{}", self.columns);
                let old = std::mem::replace(&mut table.keys[at].name, new.clone());
                Some(format!("ALTER TABLE {name} RENAME COLUMN {old} TO {new}"))
            }
            // A key that is known and free could be that of a deleted row, which is another difference.
            6 if !table.columns.is_empty() => Some(self.update(place, table)),
            _ => None,
        }
    }

    /// A write that leaves its transaction open when it fails: what was changed in it before is counted on afterwards.
    fn insert_in_transaction(&mut self, place: Place, table: &Table) -> String {
        self.insert(place, table).replacen("INSERT OR ROLLBACK", "INSERT OR ABORT", 1)
    }

    /// A schema change first in its transaction, then a few writes; compared after its end.
    pub(super) fn schema_in_transaction(&mut self, place: Place) {
        let before = self.databases[place.database].clone();
        let first = self.steps.len();
        self.sql(place, Kind::Transaction, "BEGIN".to_owned());
        if self.random.below(2) == 0 {
            let table = self.new_table();
            self.sql(place, Kind::Schema, table.create());
            let insert = self.insert_in_transaction(place, &table);
            self.sql(place, Kind::Write, insert);
            self.sql(place, Kind::Schema, format!("SELECT crsql_as_crr('{}')", table.name));
            self.databases[place.database].tables.push(Table { tracked: true, ..table });
        } else if !before.tables.is_empty() {
            let at = self.random.below(before.tables.len() as u64) as usize;
            for sql in self.alteration(place, at) {
                self.sql(place, Kind::Schema, sql);
            }
        }
        for _ in 0..self.random.below(3) {
            // What was altered in this transaction is not written in it: the original still has the old columns.
            let untouched: Vec<Table> = before
                .tables
                .iter()
                .filter(|table| self.databases[place.database].tables.contains(table))
                .cloned()
                .collect();
            if untouched.is_empty() {
                break;
            }
            let table = self.random.of(&untouched).clone();
            let insert = self.insert_in_transaction(place, &table);
            self.sql(place, Kind::Write, insert);
        }
        if self.random.below(3) == 0 {
            self.databases[place.database] = before;
            self.sql(place, Kind::Transaction, "ROLLBACK".to_owned());
        } else {
            self.sql(place, Kind::Transaction, "COMMIT".to_owned());
        }
        self.compare_only_at_the_end(first);
    }
}
