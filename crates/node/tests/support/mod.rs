//! A server on a free port of this machine, databases in a temporary folder, and the question whether they are equal.
#![allow(dead_code, reason = "each test program uses its own part")]

use rejoin::rusqlite::types::Value;
use rejoin_node::{Access, Client, ClientEvent, Database, Finished, Limits, NodeError, Patience, Server};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// Longer than anything here takes on a slow machine: a test that hangs fails.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

pub const SCHEMA: &str = "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, text TEXT, weight REAL);
     CREATE INDEX by_text ON note (text);
     CREATE TABLE tag (name TEXT PRIMARY KEY NOT NULL, color BLOB);
     SELECT crsql_as_crr('note');
     SELECT crsql_as_crr('tag');";

/// A server, and how to stop it.
pub struct Hub {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), NodeError>>,
}

impl Hub {
    pub async fn start(folder: &Path) -> Hub {
        Hub::start_with(folder, Access::default(), Limits::default(), Patience::default()).await
    }

    pub async fn start_with(folder: &Path, access: Access, limits: Limits, patience: Patience) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Hub::start_on(listener, folder, access, limits, patience)
    }

    /// A server at the address of one that has ended.
    pub async fn restart(address: SocketAddr, folder: &Path) -> Hub {
        let listener = TcpListener::bind(address).await.expect("the port is free again");
        Hub::start_on(listener, folder, Access::default(), Limits::default(), Patience::default())
    }

    /// A server that also knows the schema files of vlcn clients.
    pub async fn start_with_schemas(folder: &Path, schemas: &Path) -> Hub {
        Hub::start_full(folder, Some(schemas), Access::default(), Limits::default(), Patience::default()).await
    }

    pub async fn start_full(
        folder: &Path,
        schemas: Option<&Path>,
        access: Access,
        limits: Limits,
        patience: Patience,
    ) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Hub::start_server(listener, folder, schemas, access, limits, patience)
    }

    pub async fn restart_with_schemas(address: SocketAddr, folder: &Path, schemas: &Path) -> Hub {
        let listener = TcpListener::bind(address).await.expect("the port is free again");
        let (limits, patience) = Default::default();
        Hub::start_server(listener, folder, Some(schemas), Access::default(), limits, patience)
    }

    fn start_on(listener: TcpListener, folder: &Path, access: Access, limits: Limits, patience: Patience) -> Hub {
        Hub::start_server(listener, folder, None, access, limits, patience)
    }

    fn start_server(
        listener: TcpListener,
        folder: &Path,
        schemas: Option<&Path>,
        access: Access,
        limits: Limits,
        patience: Patience,
    ) -> Hub {
        let address = listener.local_addr().expect("a bound listener has an address");
        let mut server =
            Server::new(folder, rejoin::prepare(), access, limits, patience).expect("a folder for the rooms");
        if let Some(schemas) = schemas {
            server = server.with_schemas(schemas);
        }
        let (stop, stopped) = oneshot::channel();
        let until = async move {
            // Gone is as good as told.
            let _ = stopped.await;
        };
        let serving = tokio::spawn(server.serve(listener, until));
        Hub { address, stop, serving }
    }

    pub async fn stop(self) {
        drop(self.stop);
        tokio::time::timeout(WAIT_MAX, self.serving).await.expect("ends in time").expect("no panic").expect("served");
    }

    pub fn url(&self, room: &str) -> String {
        format!("ws://{}/{room}", self.address)
    }
}

/// A folder with databases.
pub struct Folder(pub TempDir);

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn rooms(&self) -> PathBuf {
        self.0.path().join("rooms")
    }

    pub fn room(&self, name: &str) -> PathBuf {
        self.rooms().join(format!("{name}.db"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a database with the two tables.
    pub fn make(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        run(&path, SCHEMA);
        path
    }
}

/// Opens a file, as another program would. While it is switched to WAL mode for the first time, SQLite lets nobody in and
/// does not wait.
pub fn open(path: &Path) -> rejoin::Database {
    for _ in 0..100 {
        match rejoin::Database::open(path) {
            Err(error) if error.is_busy() => std::thread::sleep(Duration::from_millis(20)),
            opened => return opened.expect("the file opens"),
        }
    }
    panic!("{} stays locked", path.display());
}

/// Runs SQL on a connection of its own.
pub fn run(path: &Path, sql: &str) {
    let database = open(path);
    database.connection().execute_batch(sql).expect(sql);
}

/// All rows of both tables, in order.
pub fn rows(path: &Path) -> Vec<Vec<Value>> {
    let database = open(path);
    let mut rows = Vec::new();
    for table in ["note", "tag"] {
        let mut statement =
            database.connection().prepare(&format!("SELECT * FROM {table} ORDER BY 1")).expect("the table is there");
        let columns = statement.column_count();
        let found = statement
            .query_map([], |row| (0..columns).map(|column| row.get(column)).collect())
            .expect("the table can be read");
        rows.extend(found.map(|row| row.expect("a row")));
    }
    rows
}

pub fn count(path: &Path) -> usize {
    rows(path).len()
}

/// Syncs until level.
pub async fn sync_once(path: &Path, url: &str) -> Result<Vec<ClientEvent>, NodeError> {
    sync_once_with(path, url, |client| client).await
}

pub async fn sync_once_with(
    path: &Path,
    url: &str,
    configure: impl FnOnce(Client) -> Client,
) -> Result<Vec<ClientEvent>, NodeError> {
    let database = Database::open(path, rejoin::prepare(), &Limits::default()).await?;
    let client = configure(Client::new(database.clone(), url)?.once());
    let (_stop, stopped) = watch::channel(false);
    let mut events = Vec::new();
    let running = client.run(stopped, |event| events.push(event));
    let result = tokio::time::timeout(WAIT_MAX, running).await.expect("ends in time");
    drop(client);
    database.close().await?;
    result.map(|finished| {
        assert_eq!(finished, Finished::Level);
        events
    })
}

/// A client that runs until it is stopped.
pub struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<Finished, NodeError>>,
}

impl Running {
    pub async fn start(path: &Path, url: &str) -> Running {
        let database = Database::open(path, rejoin::prepare(), &Limits::default()).await.expect("the file opens");
        let client = Client::new(database, url).expect("the address names a room");
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move { client.run(stopped, |_| {}).await });
        Running { stop, task }
    }

    pub async fn stop(self) -> Result<Finished, NodeError> {
        self.stop.send_replace(true);
        tokio::time::timeout(WAIT_MAX, self.task).await.expect("ends in time").expect("no panic")
    }

    /// What it ended with by itself.
    pub async fn ended(self) -> Result<Finished, NodeError> {
        tokio::time::timeout(WAIT_MAX, self.task).await.expect("ends in time").expect("no panic")
    }
}

/// Asks again and again until the answer is yes.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + WAIT_MAX;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "waited for this: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
