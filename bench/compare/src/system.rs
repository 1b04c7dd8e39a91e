//! What is compared: SQLite by itself, and what makes its tables replicate.

use crate::Outcome;
use rejoin::Database;
use rejoin::change::ChangeStore;
use rusqlite::Connection;
use std::path::Path;
use std::rc::Rc;

/// One of the things that are compared. All use the same SQLite, which is built into this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum System {
    /// SQLite, doing the equivalent work on an ordinary table.
    Plain,
    /// The original cr-sqlite, native, loaded as a library.
    Original,
    /// The built-in engine by `crsql_changes`, as existing sync layers use it.
    BuiltIn,
    /// The built-in engine by the interface through which the streams merge: row by row, without packages.
    Rows,
    /// The built-in engine by its streams, packages and positions included.
    Streams,
}

impl System {
    /// In the order of the tables.
    pub const ALL: [System; 5] = [System::Plain, System::Original, System::BuiltIn, System::Rows, System::Streams];

    /// Its name on the command line and in tables.
    pub fn word(self) -> &'static str {
        match self {
            System::Plain => "plain",
            System::Original => "original",
            System::BuiltIn => "built-in",
            System::Rows => "rows",
            System::Streams => "streams",
        }
    }

    /// Whether it numbers what it merges by itself.
    pub fn numbers_anew(self) -> bool {
        matches!(self, System::Rows | System::Streams)
    }

    /// The system of a name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn of_word(word: &str) -> Result<System, String> {
        let words = || System::ALL.map(System::word).join(", ");
        System::ALL
            .into_iter()
            .find(|system| system.word() == word)
            .ok_or_else(|| format!("there is no system {word:?}; there are {}", words()))
    }
}

/// Where SQLite keeps temporary tables and statement journals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TempStore {
    /// In memory.
    Memory,
    /// Where SQLite keeps them when nobody says anything: in files.
    Default,
}

impl TempStore {
    /// As PRAGMA temp_store takes it.
    pub fn word(self) -> &'static str {
        match self {
            TempStore::Memory => "MEMORY",
            TempStore::Default => "DEFAULT",
        }
    }
}

/// An open database of one system.
pub enum Peer {
    Plain(Connection),
    Original(Connection),
    /// The engine's handle goes before the connection does.
    BuiltIn(rejoin_bridge::Connection, Connection),
    Rows(Rc<dyn ChangeStore<Error = rejoin_bridge::Error>>, Connection),
    Streams(Database),
}

impl Peer {
    /// Opens a file, or makes it. `original` is the library of the original.
    pub fn open(system: System, path: &Path, original: Option<&Path>, temp_store: TempStore) -> Outcome<Peer> {
        let peer = match system {
            System::Plain => Peer::Plain(Connection::open(path)?),
            System::Original => {
                let library = original.ok_or("the original cr-sqlite is not there")?;
                let connection = Connection::open(path)?;
                rejoin_bench_original::load(&connection, library)?;
                Peer::Original(connection)
            }
            System::BuiltIn => {
                let (connection, handle) =
                    rejoin_bridge::linked::open(rejoin_engine::register, || Connection::open(path))?;
                Peer::BuiltIn(handle, connection)
            }
            System::Rows => {
                let (connection, handle) =
                    rejoin_bridge::linked::open(rejoin_engine::register, || Connection::open(path))?;
                Peer::Rows(rejoin_engine::change_store(&handle).ok_or("the engine is not there")?, connection)
            }
            System::Streams => Peer::Streams(Database::open(path)?),
        };
        peer.connection().execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536; \
             PRAGMA temp_store = {}",
            temp_store.word()
        ))?;
        Ok(peer)
    }

    /// For SQL.
    pub fn connection(&self) -> &Connection {
        match self {
            Peer::Plain(connection)
            | Peer::Original(connection)
            | Peer::BuiltIn(_, connection)
            | Peer::Rows(_, connection) => connection,
            Peer::Streams(database) => database.connection(),
        }
    }

    /// The database with its streams, where the system is that.
    pub fn streams(&self) -> Outcome<&Database> {
        match self {
            Peer::Streams(database) => Ok(database),
            _ => Err("only the system `streams` has streams".into()),
        }
    }

    /// Whether its tables replicate.
    pub fn replicates(&self) -> bool {
        !matches!(self, Peer::Plain(_))
    }

    /// The site id.
    pub fn site_id(&self) -> Outcome<Vec<u8>> {
        Ok(self.connection().query_row("SELECT crsql_site_id()", [], |row| row.get(0))?)
    }

    /// The version of the last transaction.
    pub fn head(&self) -> Outcome<i64> {
        Ok(self.connection().query_row("SELECT crsql_db_version()", [], |row| row.get(0))?)
    }

    /// Closes the file; the last one to do so leaves no journal beside it.
    pub fn close(self) -> Outcome<()> {
        match self {
            Peer::Plain(connection) => Ok(connection.close().map_err(|(_, error)| error)?),
            Peer::Original(connection) => Ok(rejoin_bench_original::finish(connection)?),
            Peer::BuiltIn(handle, connection) => {
                drop(handle);
                Ok(connection.close().map_err(|(_, error)| error)?)
            }
            Peer::Rows(store, connection) => {
                drop(store);
                Ok(connection.close().map_err(|(_, error)| error)?)
            }
            Peer::Streams(database) => {
                drop(database);
                Ok(())
            }
        }
    }
}
