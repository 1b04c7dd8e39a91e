//! A real database with foreign keys, end to end with the program: tracked, served, edited on two copies, and equal.

use rejoin_conformance::{Engine, Host, Peer, Program, Settings, chinook, free_address, program, wait_until};
use std::path::Path;
use std::time::Duration;

#[test]
fn chinook_is_tracked_served_edited_on_two_copies_and_ends_equal() {
    let Some(setup) = Setup::find() else { return };
    let program = setup.program();
    let app = setup.peer("app", Host::Shell);
    std::fs::copy(&setup.chinook, &app.database).expect("a copy of the sample");

    let (code, says) = program.run(&["track", setup.path_of(&app)]);
    assert_eq!(code, 1, "foreign keys are in the way:\n{says}");
    for named in ["Album", "ArtistId", "foreign key", "--adapt"] {
        assert!(says.contains(named), "what is in the way is named ({named}):\n{says}");
    }
    assert_eq!(app.run(TRACKED, &[]), [[0.into()]], "a refusal changes nothing");
    let before = counts(&app);
    program.succeed(&["track", "--adapt", setup.path_of(&app)]);
    assert_eq!(app.run(TRACKED, &[]), [[11.into()]]);
    assert_eq!(counts(&app), before, "the rows stay");
    assert!(Path::new(&format!("{}.before-track", setup.path_of(&app))).is_file(), "the file as it was is kept");
    let copy = setup.peer("copy", Host::Python);
    program.succeed(&["snapshot", setup.path_of(&app), setup.path_of(&copy)]);
    assert_ne!(app.site_id(), copy.site_id(), "a snapshot is a database of its own");

    let address = free_address();
    let room = format!("ws://{address}/chinook");
    let mut server = program.start("serve", &["serve", "--dir", &setup.folder("rooms"), "--listen", &address]);
    let mut syncs = [&app, &copy].map(|peer| program.start(&peer.name, &["sync", setup.path_of(peer), &room]));
    app.run("UPDATE Customer SET City = 'Wien' WHERE CustomerId = 1", &[]);
    copy.run("UPDATE Customer SET Company = 'Firma' WHERE CustomerId = 1", &[]);
    copy.run("INSERT INTO Artist (ArtistId, Name) VALUES (1000, 'from the copy')", &[]);
    app.run("DELETE FROM PlaylistTrack WHERE PlaylistId = 1 AND TrackId < 100", &[]);
    app.run_all(&[
        "BEGIN",
        "INSERT INTO Genre VALUES (100, 'new')",
        "UPDATE Track SET GenreId = 100 WHERE TrackId < 50",
        "COMMIT",
    ]);
    wait_until("both copies are equal", || setup.are_equal(&program, &app, &copy));

    // Level once is not level always: what is written after that arrives as well, by itself.
    copy.run("UPDATE Track SET Name = 'later' WHERE TrackId = 3503", &[]);
    wait_until("a later edit has arrived", || {
        app.run("SELECT Name FROM Track WHERE TrackId = 3503", &[]) == [["later".into()]]
    });
    wait_until("both copies are equal again", || setup.are_equal(&program, &app, &copy));
    assert!(server.is_running() && syncs.iter_mut().all(|sync| sync.is_running()));
    let row = app.run("SELECT City, Company FROM Customer WHERE CustomerId = 1", &[]);
    assert_eq!(row, [["Wien".into(), "Firma".into()]], "edits of two columns both stay");
    assert_eq!(app.run("SELECT count(*) FROM Track WHERE GenreId = 100", &[]), [[49.into()]]);

    // A third copy starts from nothing and takes everything from the room.
    let third = setup.peer("third", Host::Shell);
    program.succeed(&["sync", setup.path_of(&third), &room, "--once"]);
    assert!(setup.are_equal(&program, &app, &third));
    assert_eq!(third.run(TRACKED, &[]), [[11.into()]]);
    app.run("UPDATE Album SET Title = 'different' WHERE AlbumId = 7", &[]);
    let (code, says) = program.run(&["diff", setup.path_of(&app), setup.path_of(&third)]);
    assert_eq!(code, 3, "{says}");
    assert!(says.contains("Album") && says.contains('7'), "it says where: {says}");
}

#[test]
fn killed_at_any_moment_server_and_clients_end_level_and_lose_nothing() {
    let Some(setup) = Setup::find() else { return };
    let mut random = rejoin_conformance::Random::new();
    let program = setup.program();
    let app = setup.peer("app", Host::Shell);
    std::fs::copy(&setup.chinook, &app.database).expect("a copy of the sample");
    program.succeed(&["track", "--adapt", setup.path_of(&app)]);
    // The other copy starts empty, so that kills hit the exchange of the schema and of all rows.
    let copy = setup.peer("copy", Host::Python);

    let address = free_address();
    let room = format!("ws://{address}/chinook");
    let rooms = setup.folder("rooms");
    let arguments: [Vec<&str>; 3] = [
        vec!["serve", "--dir", &rooms, "--listen", &address],
        vec!["sync", setup.path_of(&app), &room],
        vec!["sync", setup.path_of(&copy), &room],
    ];
    let names = ["serve", "app", "copy"];
    let start = |index: usize| program.start(names[index], &arguments[index]);
    let server = Peer::new(&setup.settings, Path::new(&rooms), "chinook", Host::Shell, Engine::BuiltIn);
    let mut running = vec![start(0), start(1)];
    std::thread::sleep(Duration::from_millis(random.below(200)));
    running.remove(1).kill();
    running.push(start(1));
    wait_until("the room has taken the tables", || has_tables(&server));
    running.push(start(2));
    let mut written = [Vec::new(), Vec::new()];
    for kill in 0..KILLS {
        for (peer, (first, written)) in [&app, &copy].into_iter().zip([10_000, 20_000].into_iter().zip(&mut written)) {
            let key = first + kill as i64;
            let edit = format!(
                "INSERT INTO Artist (ArtistId, Name) VALUES ({key}, '{0} {kill}') RETURNING ArtistId",
                peer.name
            );
            match peer.try_run(&edit, &[]) {
                Ok(_) => written.push(key),
                Err(error) => assert!(error.contains("no such table"), "{}: {error}", peer.name),
            }
        }
        app.run(&format!("UPDATE Track SET Milliseconds = Milliseconds + 1 WHERE TrackId % 97 = {kill}"), &[]);
        std::thread::sleep(Duration::from_millis(random.below(400)));
        let victim = random.below(3) as usize;
        assert!(running[victim].is_running(), "{} ended by itself:\n{}", names[victim], running[victim].printed());
        println!("kill {kill}: {}", names[victim]);
        running.remove(victim).kill();
        running.insert(victim, start(victim));
    }
    wait_until("the copy has the tables", || has_tables(&copy));
    copy.run("INSERT INTO Artist (ArtistId, Name) VALUES (30000, 'last')", &[]);
    written[1].push(30_000);
    wait_until("both copies are equal", || setup.are_equal(&program, &app, &copy));
    drop(running);

    for peer in [&app, &copy, &server] {
        for (written, name) in written.iter().zip(["app", "copy"]) {
            for key in written {
                let rows = peer.run("SELECT count(*) FROM Artist WHERE ArtistId = ?1", &[(*key).into()]);
                assert_eq!(rows, [[1.into()]], "{} lost {key} of {name}", peer.name);
            }
        }
    }
    // Not only the rows are equal: every cell has the version and the author that its writer gave it, so nothing that
    // was applied twice has left a trace.
    let records = "SELECT [table], pk, cid, val, col_version, site_id, cl FROM crsql_changes ORDER BY 1, 2, 3";
    let expected = app.run(records, &[]);
    for peer in [&copy, &server] {
        let found = peer.run(records, &[]);
        assert_eq!(found.len(), expected.len(), "{}", peer.name);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{}", peer.name);
        }
    }
}

/// How often something is killed.
const KILLS: usize = 24;

/// How many of the user's tables replicate.
const TRACKED: &str =
    "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%\\_\\_crsql\\_itrig' ESCAPE '\\'";

struct Setup {
    settings: Settings,
    chinook: std::path::PathBuf,
    program: std::path::PathBuf,
    folder: tempfile::TempDir,
}

impl Setup {
    fn find() -> Option<Setup> {
        let (settings, chinook, program) = (Settings::find(&[Engine::BuiltIn])?, chinook()?, program()?);
        let folder = tempfile::tempdir().expect("a temporary folder");
        Some(Setup { settings, chinook, program, folder })
    }

    fn program(&self) -> Program {
        Program::new(&self.program, self.folder.path())
    }

    fn peer(&self, name: &str, host: Host) -> Peer {
        Peer::new(&self.settings, self.folder.path(), name, host, Engine::BuiltIn)
    }

    fn path_of<'a>(&self, peer: &'a Peer) -> &'a str {
        peer.database.to_str().expect("the temporary folder's path is text")
    }

    fn folder(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).expect("a folder in the temporary folder");
        path.to_str().expect("the temporary folder's path is text").to_owned()
    }

    fn are_equal(&self, program: &Program, left: &Peer, right: &Peer) -> bool {
        let (code, says) = program.run(&["diff", self.path_of(left), self.path_of(right)]);
        assert!(code == 0 || code == 3, "rejoin diff ended with {code}\n{says}");
        code == 0
    }
}

/// Whether a database, which may not even exist yet, replicates all tables of the sample.
fn has_tables(peer: &Peer) -> bool {
    peer.database.exists() && peer.try_run(TRACKED, &[]).is_ok_and(|rows| rows == [[11.into()]])
}

fn counts(peer: &Peer) -> Vec<Vec<rejoin_conformance::Row>> {
    [
        "Artist",
        "Album",
        "Employee",
        "Customer",
        "Genre",
        "MediaType",
        "Track",
        "Invoice",
        "InvoiceLine",
        "Playlist",
        "PlaylistTrack",
    ]
    .iter()
    .map(|table| peer.run(&format!("SELECT count(*) FROM {table}"), &[]))
    .collect()
}
