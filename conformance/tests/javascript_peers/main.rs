//! The real JavaScript clients, a native peer, and a server between them: `rejoin serve`, or the original.

mod original;
mod scenario;
mod tabs;
mod upgrade;
mod world;

use rejoin_conformance::{JavaScriptPeer, Random};
use std::cell::RefCell;
use std::rc::Rc;
use world::World;

#[test]
fn two_clients_in_node_and_a_native_peer_converge_through_rejoin_serve() {
    let Some(mut world) = World::new() else { return };
    world.start_server();
    let peers = node_peers(&world);
    let native = world.native("native");
    scenario::everything(&mut world, &peers, native);
}

#[test]
fn random_edits_offline_times_and_restarts_of_the_server_end_equal() {
    let Some(mut world) = World::new() else { return };
    world.start_server();
    let peers = node_peers(&world);
    let native = world.native("native");
    scenario::random(&mut world, &peers, native, &mut Random::new());
}

#[test]
fn a_schema_upgrade_reaches_clients_in_node_one_after_the_other() {
    let Some(mut world) = World::new() else { return };
    world.start_server();
    let peers = node_peers(&world);
    let native = world.native("native");
    upgrade::one_after_the_other(&mut world, &peers, native);
}

#[test]
fn a_token_lets_clients_in_and_its_absence_does_not() {
    let Some(mut world) = World::new() else { return };
    world.token = Some("secret-1".to_owned());
    world.start_server();
    let peers = node_peers(&world);
    let stranger = JavaScriptPeer::open(&world.script("peers.mjs"), "stranger", world::SCHEMA_NAME, world::SCHEMA);
    stranger.sync(&world.url(), world::ROOM, Some("wrong"));
    peers[0].run("INSERT INTO entry (id, title) VALUES ('a', 'for those inside')");
    world.converge("the row is at both clients", &peers, &[], |content| content.len() == 1);
    assert_eq!(world::content_of(&stranger), [""; 0]);
}

/// Two clients that have joined the room.
fn node_peers(world: &World) -> Vec<JavaScriptPeer> {
    let script = world.script("peers.mjs");
    ["first", "second"].map(|name| join(world, &script, name)).into()
}

fn join(world: &World, script: &Rc<RefCell<rejoin_conformance::Script>>, name: &str) -> JavaScriptPeer {
    let peer = JavaScriptPeer::open(script, name, world::SCHEMA_NAME, world::SCHEMA);
    world.sync(&peer);
    peer
}
