//! `rejoin sync` as a client of the original server, beside clients of the packages.

use crate::node_peers;
use crate::world::World;
use rejoin_conformance::wait_until;

#[test]
fn rejoin_sync_and_two_clients_converge_through_the_original_server() {
    let Some(mut world) = World::new() else { return };
    world.start_original();
    let peers = node_peers(&world);
    let (first, second) = (&peers[0], &peers[1]);
    first.run("INSERT INTO entry (id, title, count, weight) VALUES ('a', 'ünï 🚀', 9223372036854775807, 0.1)");
    let mut native = world.native_of_vlcn("native");
    second.run("INSERT INTO entry (id, title, count, weight) VALUES ('b', NULL, 3000000000, 7.0)");
    native.run("INSERT INTO entry (id, title, count, weight) VALUES ('c', 'it''s', -9223372036854775808, 1e300)");
    native.run("INSERT INTO place VALUES (9007199254740993, 'ß', ''), (-1, 'z', NULL)");
    world.converge("inserts are everywhere", &peers, &[&native], |content| content.len() == 5);

    first.run("UPDATE entry SET title = 'from the first' WHERE id = 'c'");
    second.run("UPDATE entry SET count = 5 WHERE id = 'c'");
    native.run("UPDATE entry SET weight = 0.5 WHERE id = 'c'");
    let row = "entry 050B01630B0E66726F6D207468652066697273740905023FE000000000000005".to_owned();
    world
        .converge("edits of different columns of a row all stay", &peers, &[&native], |content| content.contains(&row));

    native.run("DELETE FROM entry WHERE id = 'b'");
    first.run("DELETE FROM place WHERE x = -1");
    native.run("UPDATE entry SET id = 'c2' WHERE id = 'c'");
    world.converge("deletes and a key change are everywhere", &peers, &[&native], |content| {
        content.len() == 3 && content.iter().any(|line| line.starts_with("entry 050B026332"))
    });
    second.run("INSERT INTO entry (id, title) VALUES ('b', 'again')");
    world.converge("a deleted row comes back", &peers, &[&native], |content| content.len() == 4);

    second.stop();
    native.stop();
    second.run("INSERT INTO entry (id, title) VALUES ('e', 'offline'); DELETE FROM entry WHERE id = 'a'");
    native.run("UPDATE entry SET title = 'edited while it was deleted elsewhere' WHERE id = 'a'");
    native.run("INSERT INTO entry (id, title) VALUES ('f', 'offline too')");
    world.sync(second);
    world.start_sync(&mut native);
    world.converge("offline edits arrive after a reconnect", &peers, &[&native], |content| content.len() == 5);

    world.kill_original();
    first.run("INSERT INTO entry (id, title) VALUES ('g', 'while the server is down')");
    native.run("UPDATE entry SET title = 'while the server is down' WHERE id = 'f'");
    native.run("DELETE FROM entry WHERE id = 'e'");
    world.start_original();
    world.converge("edits during a restart arrive", &peers, &[&native], |content| content.len() == 5);

    native.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO place SELECT i, 'native', 'row ' || i FROM n",
    );
    world.converge("a large transaction arrives whole", &peers, &[&native], |content| content.len() == 1005);

    // The original would end over bytes. They stay here, and the program says why.
    native.run("INSERT INTO entry (id, title, data) VALUES ('h', 'with a blob', x'00ff')");
    wait_until("the program says what it does not send", || native.printed().contains("holds bytes"));
    first.run("INSERT INTO entry (id, title) VALUES ('i', 'after that')");
    wait_until("the other direction goes on", || {
        native.content().iter().any(|line| line.starts_with("entry 050B0169"))
    });
    assert!(world.original_runs(), "bytes reached the original server and ended it");
}
