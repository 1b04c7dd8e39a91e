//! What apps do to their databases, step by step and at random.

use crate::world::{Native, World};
use rejoin_conformance::{JavaScriptPeer, Random};

/// Inserts, updates, deletes, key changes, blobs, big integers, floats, unicode, offline edits, reconnects and restarts
/// of the server, by two clients and a native peer.
pub fn everything(world: &mut World, peers: &[JavaScriptPeer], mut native: Native) {
    let (first, second) = (&peers[0], &peers[1]);

    first.run("INSERT INTO entry VALUES ('a', 'ünï 🚀 日本', 9223372036854775807, 0.1, x'00ff80')");
    second.run("INSERT INTO entry VALUES ('b', NULL, 9007199254740993, -2.5e-300, x'2731')");
    native.run("INSERT INTO entry VALUES ('c', 'it''s', -9223372036854775808, 1e300, x'00')");
    first.run("INSERT INTO entry VALUES ('d', '', 3000000000, 7.0, NULL); INSERT INTO place VALUES (-1, 'ß', 'key')");
    native.run("INSERT INTO place VALUES (9007199254740993, '', 'big key')");
    second.run("INSERT INTO place VALUES (4294967296, 'z', NULL)");
    world.converge("inserts are everywhere", peers, &[&native], |content| content.len() == 7);

    first.run("UPDATE entry SET title = 'from the first' WHERE id = 'a'");
    second.run("UPDATE entry SET count = 5 WHERE id = 'a'");
    native.run("UPDATE entry SET weight = 0.5, data = x'ff' WHERE id = 'a'");
    let row = "entry 050B01610B0E66726F6D20746865206669727374090502".to_owned();
    world.converge("edits of different columns of a row all stay", peers, &[&native], |content| {
        content.iter().any(|line| line.starts_with(&row) && line.ends_with("3FE00000000000000C01FF"))
    });

    first.run("DELETE FROM entry WHERE id = 'b'");
    native.run("DELETE FROM place WHERE x = 4294967296");
    world.converge("deletes are everywhere", peers, &[&native], |content| content.len() == 5);
    second.run("INSERT INTO entry (id, title) VALUES ('b', 'again')");
    world.converge("a deleted row comes back", peers, &[&native], |content| content.len() == 6);

    native.run("UPDATE entry SET id = 'a2' WHERE id = 'a'");
    native.run("UPDATE place SET y = 'moved', note = 'here' WHERE x = -1");
    world.converge("key changes of the native peer are everywhere", peers, &[&native], |content| {
        let has = |key: &str| content.iter().any(|line| line.starts_with(&format!("entry 05{key}")));
        content.len() == 6 && !has("0B0161") && has("0B026132")
    });
    first.run("UPDATE entry SET id = 'a3' WHERE id = 'a2'");
    second.run("UPDATE place SET y = 'moved again' WHERE x = -1");
    world.converge("so are those of clients, which do not tell the cells themselves", peers, &[&native], |content| {
        content.iter().any(|line| line.starts_with("entry 050B0261330B0E") && line.ends_with("3FE00000000000000C01FF"))
            && content
                .iter()
                .any(|line| line.starts_with("place 0341FFFFFFFFFFFFFFFF0B0B") && line.ends_with("0B0468657265"))
    });

    for peer in peers {
        peer.run(&format!("UPDATE entry SET title = 'by {}' WHERE id = 'c'", peer.name()));
    }
    native.run("UPDATE entry SET title = 'by the native one' WHERE id = 'c'");
    world.converge("edits of one cell end with one value", peers, &[&native], |content| content.len() == 6);

    second.stop();
    native.stop();
    second.run("INSERT INTO entry (id, title) VALUES ('e', 'offline'); DELETE FROM entry WHERE id = 'd'");
    native.run("UPDATE entry SET title = 'edited while it was deleted elsewhere' WHERE id = 'd'");
    native.run("INSERT INTO entry (id, data) VALUES ('f', x'0102')");
    first.run("UPDATE entry SET count = 77 WHERE id = 'c'");
    world.sync(second);
    world.start_sync(&mut native);
    world.converge("offline edits arrive after a reconnect", peers, &[&native], |content| content.len() == 7);

    world.kill_server();
    first.run("INSERT INTO entry (id, title) VALUES ('g', 'while the server is down')");
    second.run("UPDATE entry SET title = 'while the server is down' WHERE id = 'e'");
    native.run("DELETE FROM entry WHERE id = 'f'");
    world.start_server();
    world.converge("edits during a restart arrive", peers, &[&native], |content| content.len() == 7);

    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
        INSERT INTO place SELECT i, 'WHO', 'row ' || i FROM n";
    first.run(&many.replace("WHO", "one"));
    native.run(&many.replace("WHO", "native"));
    world.converge("large transactions arrive whole", peers, &[&native], |content| content.len() == 807);
    world.kill_server();
    world.start_server();
    second.run("DELETE FROM place WHERE y = 'one'");
    world.converge("so do large deletes after a restart", peers, &[&native], |content| content.len() == 407);
}

/// Rounds of random edits on few rows by everybody, with peers and the server away now and then.
pub fn random(world: &mut World, peers: &[JavaScriptPeer], mut native: Native, random: &mut Random) {
    for round in 0..ROUNDS {
        let (absent, is_down) = (random.below(5), random.below(4) == 0);
        if is_down {
            world.kill_server();
        }
        match absent {
            0 => native.stop(),
            at @ 1..=2 => peers[at as usize - 1].stop(),
            _ => {}
        }
        for _ in 0..EDITS {
            let sql = if random.below(6) == 0 { key_change(random) } else { edit(random) };
            match random.below(3) {
                0 => native.run(&sql),
                at => peers[at as usize - 1].run(&sql),
            }
        }
        match absent {
            0 => world.start_sync(&mut native),
            at @ 1..=2 => world.sync(&peers[at as usize - 1]),
            _ => {}
        }
        if is_down {
            world.start_server();
        }
        if round % 3 == 2 {
            world.converge(&format!("round {round} ends equal"), peers, &[&native], |_| true);
        }
    }
    // A last row from each, so that nothing can look equal before all has been told.
    for peer in peers {
        peer.run(&format!("INSERT INTO entry (id) VALUES ('last of {}')", peer.name()));
    }
    native.run("INSERT INTO entry (id) VALUES ('last of native')");
    world.converge("everything ends equal", peers, &[&native], |content| {
        content.iter().filter(|line| line.contains("6C617374206F6620")).count() == 3
    });
}

fn edit(random: &mut Random) -> String {
    let id = *random.of(&["a", "b", "c", "日"]);
    let x = *random.of(&[0_i64, 1, -5, 9_007_199_254_740_993]);
    let number = *random.of(&[0_i64, 1, -1, 2_147_483_648, 9_007_199_254_740_993, i64::MIN]);
    // Whole reals of up to 32 bits are integers to a client, and an integer wins a tie: docs/guide/javascript.md.
    let real = *random.of(&["0.5", "-7.25", "0.1", "-2.5e-300", "1e300"]);
    let text = *random.of(&["'one'", "'ünï 🚀'", "''", "NULL", "'two'"]);
    let blob = *random.of(&["x'00'", "x'ff00ff'", "NULL"]);
    match random.below(8) {
        0 | 1 => format!("INSERT OR REPLACE INTO entry VALUES ('{id}', {text}, {number}, {real}, {blob})"),
        2 => format!("UPDATE entry SET title = {text} WHERE id = '{id}'"),
        3 => format!("UPDATE entry SET count = {number}, data = {blob} WHERE id = '{id}'"),
        4 => format!("DELETE FROM entry WHERE id = '{id}'"),
        5 => format!("INSERT OR IGNORE INTO place VALUES ({x}, '{id}', {text})"),
        6 => format!("UPDATE place SET note = {text} WHERE x = {x}"),
        _ => format!("DELETE FROM place WHERE y = '{id}'"),
    }
}

fn key_change(random: &mut Random) -> String {
    let (from, to) = (*random.of(&["a", "b", "c", "日"]), *random.of(&["moved", "b", "x"]));
    format!("UPDATE entry SET id = '{to}' WHERE id = '{from}' AND NOT EXISTS (SELECT 1 FROM entry WHERE id = '{to}')")
}

const ROUNDS: usize = 9;
const EDITS: usize = 8;
