//! Copies and restored backups are found out, take a new id, and end level; nothing is lost.

mod support;

use support::{Folder, Hub, Running, count, eventually, open, rows, run, sync_once};

#[tokio::test]
async fn a_restored_room_gets_back_what_its_backup_had_lost() {
    let folder = Folder::new();
    let (a, b) = (folder.make("a.db"), folder.make("b.db"));
    let hub = Hub::start(&folder.rooms()).await;
    run(&a, "INSERT INTO note VALUES (1, 'in the backup', 1)");
    sync_once(&a, &hub.url("app")).await.expect("level");
    sync_once(&b, &hub.url("app")).await.expect("level");
    hub.stop().await;
    let backup = folder.path("backup.db");
    std::fs::copy(folder.room("app"), &backup).expect("a backup");

    let hub = Hub::start(&folder.rooms()).await;
    run(&a, "INSERT INTO note VALUES (2, 'lost with the server', 2)");
    run(&b, "INSERT INTO note VALUES (3, 'lost too', 3)");
    for path in [&a, &b, &a] {
        sync_once(path, &hub.url("app")).await.expect("level");
    }
    assert_eq!(count(&a), 3);
    hub.stop().await;

    std::fs::copy(&backup, folder.room("app")).expect("the backup is restored");
    let before = site_id(&folder.room("app"));
    run(&folder.room("app"), "INSERT INTO note VALUES (4, 'written after the restore', 4)");
    run(&b, "INSERT INTO note VALUES (5, 'and here', 5)");
    let hub = Hub::start(&folder.rooms()).await;
    for path in [&a, &b, &a] {
        sync_once(path, &hub.url("app")).await.expect("level");
    }
    assert_eq!(count(&a), 5);
    assert_eq!(rows(&a), rows(&b));
    assert_eq!(rows(&a), rows(&folder.room("app")));
    assert_ne!(site_id(&folder.room("app")), before, "the restored room has a new id");
    hub.stop().await;
}

#[tokio::test]
async fn a_room_that_is_restored_under_a_client_that_waits_ends_level() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    let hub = Hub::start(&folder.rooms()).await;
    let address = hub.address;
    run(&a, "INSERT INTO note VALUES (1, 'one', 1)");
    sync_once(&a, &hub.url("app")).await.expect("level");
    hub.stop().await;
    let backup = folder.path("backup.db");
    std::fs::copy(folder.room("app"), &backup).expect("a backup");
    let hub = Hub::restart(address, &folder.rooms()).await;
    let client = Running::start(&a, &hub.url("app")).await;
    run(&a, "INSERT INTO note VALUES (2, 'two', 2)");
    eventually("the room has it", || count(&folder.room("app")) == 2).await;
    hub.stop().await;
    std::fs::copy(&backup, folder.room("app")).expect("the backup is restored");
    let hub = Hub::restart(address, &folder.rooms()).await;
    eventually("the room has it again", || count(&folder.room("app")) == 2).await;
    client.stop().await.expect("ends in order");
    hub.stop().await;
}

#[tokio::test]
async fn a_room_whose_file_is_replaced_while_it_is_open_is_opened_anew() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    run(&a, "INSERT INTO note VALUES (1, 'one', 1)");
    let hub = Hub::start(&folder.rooms()).await;
    sync_once(&a, &hub.url("app")).await.expect("level");
    let client = Running::start(&a, &hub.url("app")).await;
    run(&a, "INSERT INTO note VALUES (2, 'two', 2)");
    eventually("the room has it", || count(&folder.room("app")) == 2).await;

    for name in ["app.db", "app.db-wal", "app.db-shm"] {
        // The last two are there only while somebody has the room open.
        let _ = std::fs::rename(folder.rooms().join(name), folder.path(name));
    }
    run(&a, "INSERT INTO note VALUES (3, 'three', 3)");
    eventually("the new room has everything", || {
        let made = "SELECT count(*) FROM sqlite_schema WHERE name = 'tag__crsql_itrig'";
        let room = open(&folder.room("app"));
        let is_made = room.connection().query_row(made, [], |row| row.get::<_, i64>(0)).is_ok_and(|count| count == 1);
        drop(room);
        is_made && count(&folder.room("app")) == 3
    })
    .await;
    client.stop().await.expect("ends in order");
    hub.stop().await;
}

#[tokio::test]
async fn a_client_whose_file_is_replaced_ends_and_says_so() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    run(&a, "INSERT INTO note VALUES (1, 'one', 1)");
    let hub = Hub::start(&folder.rooms()).await;
    let client = Running::start(&a, &hub.url("app")).await;
    eventually("the room is made", || folder.room("app").exists()).await;
    std::fs::rename(&a, folder.path("moved.db")).expect("moved away");
    let Err(rejoin_node::NodeError::Store(reason)) = client.ended().await else { panic!("it goes on") };
    assert!(reason.contains("another file"), "{reason}");
    hub.stop().await;
}

#[tokio::test]
async fn a_copied_client_goes_on_as_a_database_of_its_own() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    let hub = Hub::start(&folder.rooms()).await;
    run(&a, "INSERT INTO note VALUES (1, 'one', 1)");
    sync_once(&a, &hub.url("app")).await.expect("level");
    let copy = folder.path("copy.db");
    std::fs::copy(&a, &copy).expect("a copy");
    run(&a, "INSERT INTO note VALUES (2, 'by the original', 2)");
    run(&copy, "INSERT INTO note VALUES (3, 'by the copy', 3)");
    for path in [&a, &copy, &a, &copy] {
        sync_once(path, &hub.url("app")).await.expect("level");
    }
    assert_eq!(count(&a), 3);
    assert_eq!(rows(&a), rows(&copy));
    assert_eq!(rows(&a), rows(&folder.room("app")));
    assert_ne!(site_id(&a), site_id(&copy));
    hub.stop().await;
}

#[tokio::test]
async fn a_room_that_is_a_copy_of_the_client_is_told_apart_from_it() {
    let folder = Folder::new();
    let a = folder.make("a.db");
    run(&a, "INSERT INTO note VALUES (1, 'one', 1)");
    std::fs::create_dir_all(folder.rooms()).expect("a folder");
    std::fs::copy(&a, folder.room("app")).expect("a copy");
    run(&folder.room("app"), "INSERT INTO note VALUES (2, 'by the room', 2)");
    run(&a, "INSERT INTO note VALUES (3, 'by the client', 3)");
    let hub = Hub::start(&folder.rooms()).await;
    sync_once(&a, &hub.url("app")).await.expect("level");
    assert_eq!(count(&a), 3);
    assert_eq!(rows(&a), rows(&folder.room("app")));
    assert_ne!(site_id(&a), site_id(&folder.room("app")));
    hub.stop().await;
}

fn site_id(path: &std::path::Path) -> rejoin::SiteId {
    open(path).site_id().expect("an id")
}
