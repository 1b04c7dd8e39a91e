//! Random schedules on real databases: two to five of them in any topology, loss, duplicates, messages out of order and
//! late, restores, copies, deleted files, filters, schemas and histories that change. When the faults have passed, all
//! must be equal, nothing that exists anywhere may be lost, and nobody may have anything more to say. Before that, no
//! stream may say that it is in sync while its receiver lacks something.
//!
//! `REJOIN_SEEDS` is how many schedules are tried, `REJOIN_SEEDS_FROM` the first; `REJOIN_SEED` tries one alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod files;
mod healing;
mod knowledge;
mod random;
mod rules;
mod seeds;
mod step;
mod world;

use seeds::try_part;

#[test]
fn all_end_equal_and_nothing_is_lost_1() {
    try_part(0);
}

#[test]
fn all_end_equal_and_nothing_is_lost_2() {
    try_part(1);
}

#[test]
fn all_end_equal_and_nothing_is_lost_3() {
    try_part(2);
}

#[test]
fn all_end_equal_and_nothing_is_lost_4() {
    try_part(3);
}

#[test]
fn all_end_equal_and_nothing_is_lost_5() {
    try_part(4);
}

#[test]
fn all_end_equal_and_nothing_is_lost_6() {
    try_part(5);
}

#[test]
fn all_end_equal_and_nothing_is_lost_7() {
    try_part(6);
}

#[test]
fn all_end_equal_and_nothing_is_lost_8() {
    try_part(7);
}
