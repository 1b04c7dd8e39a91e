//! Schedules in which streams have been known to lose changes, or to wait for ever: files that are copied and restored,
//! filters that change, histories that move under a position.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod copies;
mod histories;
mod restored;
mod runs;

use common::*;
use rejoin_streams::{OutboundOptions, Produced, Side, StreamError};

fn identity_side(error: &StreamError) -> Side {
    match error {
        StreamError::IdentityChanged { side, .. } => {
            assert!(error.to_string().contains("crsql_reidentify()"), "{error}");
            *side
        }
        other => panic!("another identity was expected, found: {other}"),
    }
}

/// Both ways until nothing moves, with re-identification wherever an error asks for it. Returns how often it did.
fn heal(a: &Database, b: &Database) -> usize {
    let mut alarms = 0;
    for _ in 0..20 {
        let mut quiet = true;
        for (from, to) in [(a, b), (b, a)] {
            match tell(from, to) {
                Ok(packages) => quiet &= packages == 0,
                Err(error) => {
                    let acknowledging =
                        from.outbound(to.site()).acknowledge(&to.inbound(from.site()).receipt().unwrap());
                    let here = if acknowledging.is_err() { from } else { to };
                    assert_eq!(identity_side(&error), Side::Here, "{error}");
                    here.streams().reidentify().unwrap();
                    alarms += 1;
                    quiet = false;
                }
            }
        }
        if quiet {
            return alarms;
        }
    }
    panic!("the two never come to rest");
}

fn insert(database: &Database, ids: std::ops::RangeInclusive<i64>) {
    for id in ids {
        database.run(&format!("INSERT INTO t VALUES ({id}, {id}, {id})"));
    }
}

fn next(from: &Database, to: &Database, options: &OutboundOptions) -> Produced {
    from.outbound_with(to.site(), options).next(None).unwrap().expect("there is something to tell")
}
