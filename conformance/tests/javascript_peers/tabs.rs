//! The same in tabs of a real Chromium.

use crate::{join, scenario, upgrade, world::World};
use rejoin_conformance::{JavaScriptPeer, chromium};

#[test]
fn two_tabs_and_a_native_peer_converge_through_rejoin_serve() {
    let (Some(mut world), Some(_)) = (World::new(), chromium()) else { return };
    world.start_server();
    let peers = tabs(&world);
    let native = world.native("native");
    scenario::everything(&mut world, &peers, native);
}

#[test]
fn a_schema_upgrade_reaches_tabs_one_after_the_other() {
    let (Some(mut world), Some(_)) = (World::new(), chromium()) else { return };
    world.start_server();
    let peers = tabs(&world);
    let native = world.native("native");
    upgrade::one_after_the_other(&mut world, &peers, native);
}

#[test]
fn a_tab_in_a_browser_and_a_client_in_node_share_a_room_and_a_reloaded_tab_goes_on() {
    let (Some(mut world), Some(_)) = (World::new(), chromium()) else { return };
    world.start_server();
    let browser = world.script("tabs.mjs");
    let mut peers = vec![join(&world, &browser, "tab"), join(&world, &world.script("peers.mjs"), "client")];
    peers[0].run("INSERT INTO entry (id, title) VALUES ('a', 'from the tab')");
    peers[1].run("INSERT INTO entry (id, title) VALUES ('b', 'from the client')");
    world.converge("both have both", &peers, &[], |content| content.len() == 2);
    let before = peers[0].site_id().to_owned();
    peers[0].reload();
    peers[1].run("DELETE FROM entry WHERE id = 'a'");
    peers[0] = join(&world, &browser, "tab");
    assert_eq!(peers[0].site_id(), before, "the tab has the database that it had");
    peers[0].run("UPDATE entry SET count = 3 WHERE id = 'b'");
    world.converge("both go on", &peers, &[], |content| content.len() == 1 && content[0].contains("0903"));
}

fn tabs(world: &World) -> Vec<JavaScriptPeer> {
    let browser = world.script("tabs.mjs");
    ["left", "right"].map(|name| join(world, &browser, name)).into()
}
