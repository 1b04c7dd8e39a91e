//! A server, its schemas, and what peers of both sorts hold.

use rejoin_conformance::{
    Engine, Host, JavaScript, JavaScriptPeer, OriginalServer, Peer, Program, Script, Server, Settings, Value,
    free_address, program, wait_until,
};
use std::cell::RefCell;
use std::fs::File;
use std::net::TcpStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

/// Name of the schema file.
pub const SCHEMA_NAME: &str = "app.sql";
/// The room that everybody is in.
pub const ROOM: &str = "app";
/// The tables. Their types are declared, because a JavaScript number does not say whether it is an integer.
pub const SCHEMA: &str = "\
CREATE TABLE IF NOT EXISTS entry (id TEXT PRIMARY KEY NOT NULL, title TEXT, count INTEGER, weight REAL, data BLOB);
SELECT crsql_as_crr('entry');
CREATE TABLE IF NOT EXISTS place (x INTEGER NOT NULL, y TEXT NOT NULL, note TEXT, PRIMARY KEY (x, y));
SELECT crsql_as_crr('place');
";
/// All rows, as texts in an order that is the same everywhere; values with their storage class, reals by their bits.
pub const CONTENT: &str = "\
SELECT 'entry ' || hex(crsql_pack_columns(id, title, count, weight, data)) AS row FROM entry
UNION ALL SELECT 'place ' || hex(crsql_pack_columns(x, y, note)) FROM place ORDER BY row";

/// The folder of the original server's databases.
const ORIGINAL_ROOMS: &str = "original";

/// A folder with everything in it. Processes end when this is dropped.
pub struct World {
    /// What the server asks for, if anything.
    pub token: Option<String>,
    /// Schema files, for either server.
    pub schemas: PathBuf,
    pub javascript: JavaScript,
    pub program: Program,
    pub address: String,
    pub settings: Settings,
    server: Option<Server>,
    original: Option<OriginalServer>,
    folder: tempfile::TempDir,
}

/// A native database and the process that keeps it level with the room.
pub struct Native {
    pub peer: Peer,
    /// The server speaks the packages' protocol.
    is_vlcn: bool,
    sync: Option<Server>,
}

impl World {
    /// None when something that is needed is not there.
    pub fn new() -> Option<World> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let javascript = JavaScript::find(folder.path())?;
        let settings = Settings::find(&[Engine::BuiltIn])?;
        let program = Program::new(&program()?, folder.path());
        let schemas = folder.path().join("schemas");
        std::fs::create_dir(&schemas).expect("a folder in a temporary folder");
        std::fs::write(schemas.join(SCHEMA_NAME), SCHEMA).expect("a file in a temporary folder");
        let address = free_address();
        Some(World {
            token: None,
            schemas,
            javascript,
            program,
            address,
            settings,
            server: None,
            original: None,
            folder,
        })
    }

    /// Starts `rejoin serve`, again after [`World::kill_server`] at the same address with the same rooms.
    pub fn start_server(&mut self) {
        let (rooms, schemas) = (self.folder.path().join("rooms"), self.schemas.clone());
        let (rooms, schemas) = (rooms.to_string_lossy(), schemas.to_string_lossy());
        let mut arguments = vec!["serve", "--dir", &rooms, "--listen", &self.address, "--schemas", &schemas];
        if let Some(token) = &self.token {
            arguments.extend(["--token", token]);
        }
        self.server = Some(self.program.start("serve", &arguments));
        wait_until("the server listens", || TcpStream::connect(&self.address).is_ok());
    }

    /// As `kill -9` does.
    pub fn kill_server(&mut self) {
        self.server.take().expect("the server runs").kill();
    }

    /// A script that many peers may live in.
    pub fn script(&self, name: &str) -> Rc<RefCell<Script>> {
        Rc::new(RefCell::new(self.javascript.start(name)))
    }

    /// The address that clients of the packages dial.
    pub fn url(&self) -> String {
        format!("ws://{}/sync", self.address)
    }

    /// Puts a client into the room.
    pub fn sync(&self, peer: &JavaScriptPeer) {
        peer.sync(&self.url(), ROOM, self.token.as_deref());
    }

    /// Starts the original server, again after [`World::kill_original`] at the same address with the same rooms.
    pub fn start_original(&mut self) {
        let rooms = self.folder.path().join(ORIGINAL_ROOMS);
        self.original = Some(self.javascript.original_server(&self.address, Some(&rooms), &self.schemas));
    }

    /// As `kill -9` does.
    pub fn kill_original(&mut self) {
        self.original.take().expect("the original server runs").kill();
    }

    /// The original server learns of writes by watching its files, and now and then misses the last one.
    fn nudge_original(&self) {
        let Ok(files) = std::fs::read_dir(self.folder.path().join(ORIGINAL_ROOMS)) else { return };
        for file in files {
            let path = file.expect("an entry of a folder").path();
            let touched =
                File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
            // SQLite may have removed its journal by now.
            assert!(touched.is_ok() || !path.exists(), "{}: {touched:?}", path.display());
        }
    }

    /// Whether the original server is still there.
    pub fn original_runs(&mut self) -> bool {
        self.original.as_mut().is_some_and(|server| !server.ends_within(Duration::from_secs(1)))
    }

    /// A new native database that takes the tables from the room of `rejoin serve`, in which somebody must be.
    pub fn native(&self, name: &str) -> Native {
        self.join(name, false)
    }

    /// A new native database that syncs as the packages' clients do, with the tables of the schema file.
    pub fn native_of_vlcn(&self, name: &str) -> Native {
        self.join(name, true)
    }

    fn join(&self, name: &str, is_vlcn: bool) -> Native {
        let peer = Peer::new(&self.settings, self.folder.path(), name, Host::Shell, Engine::BuiltIn);
        let mut native = Native { peer, is_vlcn, sync: None };
        self.start_sync(&mut native);
        wait_until("the native peer has the tables", || native.peer.try_run(CONTENT, &[]).is_ok());
        native
    }

    /// Keeps a native database level with the room from now on.
    pub fn start_sync(&self, native: &mut Native) {
        let database = native.peer.database.to_string_lossy().into_owned();
        let schema = self.schemas.join(SCHEMA_NAME).to_string_lossy().into_owned();
        let (of_room, of_server) = (format!("ws://{}/{ROOM}", self.address), self.url());
        let arguments = if native.is_vlcn {
            vec!["sync", &database, &of_server, "--dialect", "vlcn", "--room", ROOM, "--schema", &schema]
        } else {
            vec!["sync", &database, &of_room]
        };
        native.sync = Some(self.program.start(&native.peer.name, &arguments));
    }

    /// Waits until all hold the same and it is what is expected.
    pub fn converge(
        &self,
        what: &str,
        peers: &[JavaScriptPeer],
        natives: &[&Native],
        is_expected: impl Fn(&[String]) -> bool,
    ) {
        let began = Instant::now();
        let mut is_nudged = false;
        loop {
            let mut contents: Vec<(String, Vec<String>)> =
                peers.iter().map(|peer| (peer.name().to_owned(), content_of(peer))).collect();
            contents.extend(natives.iter().map(|native| (native.peer.name.clone(), native.content())));
            let (_, first) = &contents[0];
            if is_expected(first) && contents.iter().all(|(_, content)| content == first) {
                return;
            }
            if began.elapsed() > NUDGE_AFTER && !is_nudged {
                self.nudge_original();
                is_nudged = true;
            }
            if began.elapsed() > CONVERGE_MAX {
                let shown: Vec<String> =
                    contents.iter().map(|(name, rows)| format!("{name}:\n  {}", rows.join("\n  "))).collect();
                panic!("waited {CONVERGE_MAX:?} for this: {what}\n{}", shown.join("\n"));
            }
            std::thread::sleep(STEP);
        }
    }
}

impl Native {
    /// Runs a statement.
    pub fn run(&self, sql: &str) {
        self.peer.run(sql, &[]);
    }

    /// Its database stays without the room for a while.
    pub fn stop(&mut self) {
        self.sync.take().expect("is syncing").kill();
    }

    /// What the process that syncs it has printed.
    pub fn printed(&self) -> String {
        self.sync.as_ref().expect("is syncing").printed()
    }

    pub fn content(&self) -> Vec<String> {
        let text = |row: &Vec<Value>| row[0].text().to_owned();
        self.peer.run(CONTENT, &[]).iter().map(text).collect()
    }
}

/// What a client of the packages holds.
pub fn content_of(peer: &JavaScriptPeer) -> Vec<String> {
    peer.texts(CONTENT)
}

const CONVERGE_MAX: Duration = Duration::from_secs(90);
const NUDGE_AFTER: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(50);
