//! Random scripts: what happens at a few databases, step by step. A script is made whole before it is run, so that it
//! can be run again with some of its steps left out.

use crate::tables::{Class, Column, Literals, Table, Values};
use rejoin_conformance::Random;

/// Which connection of which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The database's number.
    pub database: usize,
    /// The number of its connection.
    pub connection: usize,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where.
    pub place: Place,
    /// What.
    pub action: Action,
    /// Whether everything is compared afterwards; where not, only the answers are.
    pub compared: bool,
}

/// What happens in a step.
#[derive(Clone, Debug)]
pub enum Action {
    /// One statement.
    Sql(Kind, String),
    /// A row of a tracked table gets another key.
    ChangeKey(KeyChange),
    /// Records of another database are merged; which ones, in which order and how often, the number decides.
    Merge { from: usize, choice: u64 },
    /// The connection is closed and opened.
    Reopen,
    /// Each engine goes on with the other's file of the database.
    Swap,
}

/// What a statement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Writes rows.
    Write,
    /// Merges records that no database has told.
    Merge,
    /// Begins, ends or divides a transaction.
    Transaction,
    /// Changes the schema, or which tables are tracked.
    Schema,
    /// Reads.
    Read,
    /// Sets something for the connection.
    Setting,
}

/// A row's new key.
#[derive(Clone, Debug)]
pub struct KeyChange {
    /// The table.
    pub table: Table,
    /// The old key's literals.
    pub old: Vec<String>,
    /// The new key's literals.
    pub new: Vec<String>,
    /// The whole statement.
    pub sql: String,
}

/// What a script may contain; the rest is in `differences.rs` as a difference that is avoided.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The values.
    pub values: Values,
    /// Whether writes that change nothing, and parts of transactions that are undone, may take versions for nothing.
    pub burns: bool,
    /// Whether each database has keys of its own, so that no two write the same cell.
    pub own_keys: bool,
    /// Whether a connection of the original may miss that another has committed, and records rows that were there before
    /// a table was tracked in another order.
    pub forgetful: bool,
    /// Whether statements give many rows new keys; then only the rows of tables are compared, and nothing is merged.
    pub many_keys: bool,
    /// Whether files are in WAL mode.
    pub wal: bool,
    /// How many databases there are.
    pub databases: usize,
    /// How many connections each has.
    pub connections: usize,
}

/// A script.
#[derive(Clone, Debug)]
pub struct Script {
    /// What it was made by.
    pub rules: Rules,
    /// What happens.
    pub steps: Vec<Step>,
}

/// Makes a script.
pub fn script(seed: u64, rules: Rules, length: usize) -> Script {
    let mut writer = Writer {
        random: Random::seeded(seed),
        rules,
        literals: Literals::new(rules.values, rules.own_keys),
        databases: vec![Database::default(); rules.databases],
        tables: 0,
        columns: 0,
        steps: Vec::new(),
    };
    for _ in 0..=writer.random.below(2) {
        writer.new_table_everywhere();
    }
    while writer.steps.len() < length {
        writer.step();
    }
    writer.end_all_transactions();
    Script { rules, steps: writer.steps }
}

/// A database as the generator believes it to be.
#[derive(Clone, Debug, Default)]
struct Database {
    tables: Vec<Table>,
    /// The connection with an open transaction.
    writer: Option<usize>,
    savepoints: Vec<String>,
}

struct Writer {
    random: Random,
    rules: Rules,
    literals: Literals,
    databases: Vec<Database>,
    tables: usize,
    columns: usize,
    steps: Vec<Step>,
}

impl Writer {
    fn step(&mut self) {
        let database = self.random.below(self.rules.databases as u64) as usize;
        let connection = match self.databases[database].writer {
            // Others mostly wait for the end of a transaction, but not always.
            Some(writer) if self.random.below(8) > 0 => writer,
            _ => self.random.below(self.rules.connections as u64) as usize,
        };
        let place = Place { database, connection };
        let in_transaction = self.databases[database].writer == Some(connection);
        let is_free = self.databases[database].writer.is_none();
        match self.random.below(100) {
            0..=35 if self.rules.many_keys => self.key_changes(place),
            58..=73 | 84.. if self.rules.many_keys => self.write(place),
            0..=51 => self.write(place),
            52..=57 => self.key_change(place),
            58..=69 if self.rules.databases > 1 => self.merge(place),
            58..=73 => self.records(place),
            74..=86 if in_transaction => self.inside_transaction(place),
            74..=83 if is_free => self.begin(place),
            84..=90 if is_free => self.schema(place),
            91..=93 if is_free => self.schema_in_transaction(place),
            94 if is_free && self.random.below(3) == 0 => self.push(place, Action::Swap),
            94 if !in_transaction => self.push(place, Action::Reopen),
            95 if self.random.below(3) == 0 => self.write_unrecorded(place),
            96 if in_transaction => self.raised_version(place),
            97 => {
                let on = self.random.of(&["ON", "OFF"]).to_string();
                self.sql(place, Kind::Setting, format!("PRAGMA recursive_triggers = {on}"));
            }
            _ => self.read(place),
        }
    }

    fn push(&mut self, place: Place, action: Action) {
        self.steps.push(Step { place, action, compared: true });
    }

    fn sql(&mut self, place: Place, kind: Kind, sql: String) {
        self.push(place, Action::Sql(kind, sql));
    }

    fn some_table(&mut self, database: usize) -> Option<Table> {
        let tables = &self.databases[database].tables;
        (!tables.is_empty()).then(|| self.random.of(tables).clone())
    }

    // Transactions.

    fn begin(&mut self, place: Place) {
        let begin =
            if self.rules.forgetful { "BEGIN IMMEDIATE" } else { *self.random.of(&["BEGIN", "BEGIN IMMEDIATE"]) };
        let begin = begin.to_owned();
        self.sql(place, Kind::Transaction, begin);
        self.databases[place.database].writer = Some(place.connection);
    }

    fn inside_transaction(&mut self, place: Place) {
        let savepoints = self.databases[place.database].savepoints.clone();
        match self.random.below(8) {
            0 | 1 if savepoints.len() < 3 => {
                let name = format!("s{}", savepoints.len());
                self.sql(place, Kind::Transaction, format!("SAVEPOINT {name}"));
                self.databases[place.database].savepoints.push(name);
            }
            2 if !savepoints.is_empty() => {
                let at = self.random.below(savepoints.len() as u64) as usize;
                self.sql(place, Kind::Transaction, format!("RELEASE {}", savepoints[at]));
                self.databases[place.database].savepoints.truncate(at);
            }
            3 | 4 if !savepoints.is_empty() && self.rules.burns => {
                let at = self.random.below(savepoints.len() as u64) as usize;
                self.sql(place, Kind::Transaction, format!("ROLLBACK TO {}", savepoints[at]));
                self.databases[place.database].savepoints.truncate(at + 1);
            }
            5 => self.end(place, "ROLLBACK"),
            _ => self.end(place, "COMMIT"),
        }
    }

    fn end(&mut self, place: Place, how: &str) {
        self.sql(place, Kind::Transaction, how.to_owned());
        self.databases[place.database].writer = None;
        self.databases[place.database].savepoints.clear();
    }

    fn end_all_transactions(&mut self) {
        for database in 0..self.rules.databases {
            if let Some(connection) = self.databases[database].writer {
                self.end(Place { database, connection }, "COMMIT");
            }
        }
    }

    // Writes.

    fn write(&mut self, place: Place) {
        if let Some(table) = self.some_table(place.database) {
            self.write_to(place, &table);
        }
    }

    fn write_to(&mut self, place: Place, table: &Table) {
        let sql = match self.random.below(10) {
            0..=4 => self.insert(place, table),
            5..=7 if !table.columns.is_empty() => self.update(place, table),
            5..=8 => {
                let key = self.literals.key(&mut self.random, table, place.database);
                format!("DELETE FROM {} WHERE {}", table.name, table.where_key(&key))
            }
            _ if self.random.below(6) == 0 => format!("DELETE FROM {}", table.name),
            _ => self.insert(place, table),
        };
        // Not of other columns: older builds of SQLite return some reals as integers.
        let returning =
            if self.random.below(10) == 0 { format!(" RETURNING {}", table.key_names()) } else { String::new() };
        self.sql(place, Kind::Write, format!("{sql}{returning}"));
    }

    fn values(&mut self, place: Place, table: &Table, columns: &[Column]) -> Vec<String> {
        let mut values = Vec::new();
        for column in columns {
            values.push(self.literals.value(&mut self.random, column, table.strict, place.database));
        }
        values
    }

    fn insert(&mut self, place: Place, table: &Table) -> String {
        let columns: Vec<Column> = table.columns.iter().filter(|_| self.random.below(5) > 0).cloned().collect();
        // One row each where a statement that fails half-way would take versions for nothing.
        let rows = if self.rules.burns && (table.tracked || !self.rules.forgetful) && self.random.below(4) == 0 {
            1 + self.random.below(3)
        } else {
            1
        };
        let mut tuples = Vec::new();
        for _ in 0..rows {
            let mut values = self.literals.key(&mut self.random, table, place.database);
            values.extend(self.values(place, table, &columns));
            tuples.push(format!("({})", values.join(", ")));
        }
        let names: Vec<&str> = table.keys.iter().chain(&columns).map(|column| column.name.as_str()).collect();
        let or = *self.random.of(&[
            "",
            "",
            "",
            " OR REPLACE",
            " OR REPLACE",
            " OR IGNORE",
            " OR FAIL",
            " OR ABORT",
            " OR ROLLBACK",
        ]);
        let (names, tuples) = (names.join(", "), tuples.join(", "));
        let insert = format!("INSERT{or} INTO {} ({names}) VALUES {tuples}", table.name);
        if !or.is_empty() || self.random.below(3) > 0 {
            return insert;
        }
        let keys = table.key_names();
        let set: Vec<String> = table
            .columns
            .iter()
            .filter(|_| self.random.below(2) == 0)
            .cloned()
            .collect::<Vec<_>>()
            .iter()
            .map(|column| self.assignment(place, table, column, &columns))
            .collect();
        if set.is_empty() {
            return format!("{insert} ON CONFLICT ({keys}) DO NOTHING");
        }
        format!("{insert} ON CONFLICT ({keys}) DO UPDATE SET {}", set.join(", "))
    }

    fn assignment(&mut self, place: Place, table: &Table, column: &Column, inserted: &[Column]) -> String {
        if inserted.contains(column) && self.random.below(2) == 0 {
            return format!("{0} = excluded.{0}", column.name);
        }
        let value = self.literals.value(&mut self.random, column, table.strict, place.database);
        format!("{} = {value}", column.name)
    }

    fn update(&mut self, place: Place, table: &Table) -> String {
        let mut columns: Vec<Column> = table.columns.iter().filter(|_| self.random.below(2) == 0).cloned().collect();
        if columns.is_empty() {
            columns.push(self.random.of(&table.columns).clone());
        }
        let values = self.values(place, table, &columns);
        let set: Vec<String> =
            columns.iter().zip(values).map(|(column, value)| format!("{} = {value}", column.name)).collect();
        let or = *self.random.of(&["", "", "", " OR IGNORE", " OR REPLACE"]);
        let filter = match self.random.below(6) {
            // Every row would get the same value: unique values make no update that changes nothing, even so.
            0 => String::new(),
            _ => {
                let key = self.literals.key(&mut self.random, table, place.database);
                format!(" WHERE {}", table.where_key(&key))
            }
        };
        // Of others' rows, only those of one's own keys are written where keys are owned.
        let filter = if filter.is_empty() && self.rules.own_keys { " WHERE 0".to_owned() } else { filter };
        format!("UPDATE{or} {} SET {}{filter}", table.name, set.join(", "))
    }

    /// A version that the application asks for, after a write: a transaction that asks and writes nothing is different.
    fn raised_version(&mut self, place: Place) {
        let Some(table) = self.some_table(place.database).filter(|table| table.tracked) else { return };
        let key = self.literals.key(&mut self.random, &table, place.database).join(", ");
        let (name, keys) = (table.name.clone(), table.key_names());
        self.sql(place, Kind::Write, format!("INSERT OR REPLACE INTO {name} ({keys}) VALUES ({key})"));
        let version = 1 + self.random.below(80);
        self.sql(place, Kind::Read, format!("SELECT crsql_next_db_version({version})"));
    }

    /// A write that the application keeps from being recorded.
    fn write_unrecorded(&mut self, place: Place) {
        let count = self.databases[place.database].tables.len() as u64;
        if count == 0 {
            return;
        }
        let at = self.random.below(count) as usize;
        self.databases[place.database].tables[at].unrecorded = true;
        let table = self.databases[place.database].tables[at].clone();
        self.sql(place, Kind::Setting, "SELECT crsql_internal_sync_bit(1)".to_owned());
        self.write_to(place, &table);
        self.sql(place, Kind::Setting, "SELECT crsql_internal_sync_bit(0)".to_owned());
    }

    fn key_change(&mut self, place: Place) {
        let Some(table) = self.some_table(place.database).filter(|table| table.tracked) else { return };
        let old = self.literals.key(&mut self.random, &table, place.database);
        let new = self.literals.key(&mut self.random, &table, place.database);
        if old == new {
            return;
        }
        let mut set: Vec<String> =
            table.keys.iter().zip(&new).map(|(column, value)| format!("{} = {value}", column.name)).collect();
        if !table.columns.is_empty() && self.random.below(3) == 0 {
            let column = self.random.of(&table.columns).clone();
            let value = self.literals.value(&mut self.random, &column, table.strict, place.database);
            set.push(format!("{} = {value}", column.name));
        }
        let or = *self.random.of(&["", "", " OR REPLACE", " OR IGNORE"]);
        let sql = format!("UPDATE{or} {} SET {} WHERE {}", table.name, set.join(", "), table.where_key(&old));
        if self.rules.many_keys {
            return self.sql(place, Kind::Write, sql);
        }
        self.push(place, Action::ChangeKey(KeyChange { table, old, new, sql }));
    }

    /// One statement that gives any number of rows new keys.
    fn key_changes(&mut self, place: Place) {
        let Some(table) = self.some_table(place.database).filter(|table| table.tracked) else { return };
        let column = self.random.of(&table.keys).clone();
        let further = *self.random.of(&["+ 1", "- 1", "+ 1000", "* -1"]);
        let value = match column.class {
            Class::Integer => format!("{} {further}", column.name),
            Class::Text => format!("{} || 'z'", column.name),
            _ => self.literals.key(&mut self.random, &table, place.database).remove(0),
        };
        let or = *self.random.of(&["", " OR REPLACE", " OR REPLACE", " OR IGNORE"]);
        let filter = match self.random.below(3) {
            0 => String::new(),
            1 => format!(
                " WHERE {} > {}",
                column.name,
                self.literals.key(&mut self.random, &table, place.database).remove(0)
            ),
            _ => " WHERE rowid % 2 = 0".to_owned(),
        };
        self.sql(place, Kind::Write, format!("UPDATE{or} {} SET {} = {value}{filter}", table.name, column.name));
    }

    // Merges.

    fn merge(&mut self, place: Place) {
        let others: Vec<usize> = (0..self.rules.databases).filter(|other| *other != place.database).collect();
        let from = *self.random.of(&others);
        let choice = self.random.bits();
        self.push(place, Action::Merge { from, choice });
    }

    /// Records of sites that are no databases here.
    fn records(&mut self, place: Place) {
        let Some(table) = self.some_table(place.database).filter(|table| table.tracked) else { return };
        if self.rules.own_keys && table.keys.iter().any(|column| column.class != Class::Integer) {
            return;
        }
        let mut records = Vec::new();
        for _ in 0..=self.random.below(4) / 2 {
            records.push(self.record(place, &table));
        }
        let returning = if self.random.below(6) == 0 { " RETURNING last_insert_rowid(), cid, seq" } else { "" };
        let sql = format!("INSERT INTO crsql_changes VALUES {}{returning}", records.join(", "));
        self.sql(place, Kind::Merge, sql);
    }

    /// A record as a tuple. Where ties go by site at the original, it is of a row that is written by nobody else, and its
    /// value is told by its column, version and life, so that equal versions have equal values.
    fn record(&mut self, place: Place, table: &Table) -> String {
        let own = self.rules.own_keys;
        let key = match own {
            true => table.keys.iter().map(|_| (100 + self.random.below(3)).to_string()).collect(),
            false => self.literals.key(&mut self.random, table, place.database),
        };
        let columns: Vec<&Column> = table.columns.iter().filter(|column| !own || !column.not_null).collect();
        let column = (!columns.is_empty() && self.random.below(3) > 0).then(|| (*self.random.of(&columns)).clone());
        let mut life = 1 + self.random.below(5) as i64;
        let version = if column.is_some() { 1 + self.random.below(4) as i64 } else { life };
        if column.is_some() {
            // A cell speaks of a living row. The snapshot forgets the life of an unknown one.
            life = if own { 1 } else { life | 1 };
        }
        let value = match &column {
            None => "NULL".to_owned(),
            Some(column) if !own => self.literals.value(&mut self.random, column, false, place.database),
            Some(column) if column.class == Class::Integer => version.to_string(),
            Some(column) => format!("'{} {version} in life {life}'", column.name),
        };
        let cid = column.map_or("-1".to_owned(), |column| column.name);
        let site = 0xd0 + self.random.below(3);
        let (db_version, seq) = (1 + self.random.below(60), self.random.below(10));
        format!(
            "('{}', crsql_pack_columns({}), '{cid}', {value}, {version}, {db_version}, x'{}', {life}, {seq})",
            table.name,
            key.join(", "),
            format!("{site:02x}").repeat(16)
        )
    }

    fn read(&mut self, place: Place) {
        let conditions = [
            "db_version > 2",
            "db_version <= 3",
            "site_id IS NOT crsql_site_id()",
            "site_id = crsql_site_id()",
            "cid = 'b'",
            "cid <> '-1'",
            "cl % 2 = 0",
            "cl > 1",
            "col_version >= 2",
            "seq < 2",
            "val IS NULL",
            "[table] = 't1'",
            "pk = x'010901'",
            "db_version IS 1",
            "cid LIKE '%'",
            "cid GLOB '[a-c]'",
            "col_version IN (1, 3)",
            "typeof(val) = 'text'",
        ];
        let one = *self.random.of(&conditions);
        let two = *self.random.of(&conditions);
        let columns = "[table], pk, cid, val, col_version, db_version, site_id, cl, seq";
        self.sql(place, Kind::Read, format!("SELECT {columns} FROM crsql_changes WHERE {one} AND {two}"));
    }

    // Schemas.

    fn new_table(&mut self) -> Table {
        self.tables += 1;
        Table::of_some_shape(&mut self.random, self.tables)
    }

    fn new_table_everywhere(&mut self) {
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

    fn schema(&mut self, place: Place) {
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

    /// A schema change first in its transaction, then a few writes; compared after its end.
    fn schema_in_transaction(&mut self, place: Place) {
        let before = self.databases[place.database].clone();
        let first = self.steps.len();
        self.sql(place, Kind::Transaction, "BEGIN".to_owned());
        if self.random.below(2) == 0 {
            let table = self.new_table();
            self.sql(place, Kind::Schema, table.create());
            let insert = self.insert(place, &table);
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
            let insert = self.insert(place, &table);
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
