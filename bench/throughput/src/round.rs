//! One round: one server, one load, from the first byte to the last applied change.

use crate::Outcome;
use crate::load::{Load, SENDER};
use crate::servers::Server;
use crate::socket::{Heard, Session};
use rejoin_change::SiteId;
use rejoin_wire::vlcn::Point;
use std::io::Write;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// What one round took.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Until everything was applied, and received by all listeners.
    pub took: Duration,
    /// Processor time of the server in this.
    pub processor: Duration,
}

impl Sample {
    /// Changes per second.
    pub fn rate(&self, load: &Load) -> f64 {
        load.changes as f64 / self.took.as_secs_f64()
    }
}

/// Pushes the load through a server that has just been started.
pub fn run(server: &Server, load: &Load, listeners: usize) -> Outcome<Sample> {
    let Session { mut stream, mut reader, position, server: server_site } =
        Session::open(&server.address, ROOM, SENDER, &[])?;
    if position != Point::START {
        return Err(format!("a fresh room holds {position:?} of the sender"));
    }
    let (sender, heard) = channel();
    for number in 0..listeners {
        let site_id = SiteId([number as u8 + 1; 16]);
        let session = Session::open(&server.address, ROOM, site_id, &[])?;
        listen(session, load.changes, sender.clone());
    }
    // Whatever comes back is read, or the server could not go on.
    std::thread::spawn(move || while reader.next().is_ok() {});

    let processor = server.processor_time()?;
    let began = Instant::now();
    stream.write_all(&load.bytes).map_err(|error| format!("pushing: {error}"))?;
    for _ in 0..listeners {
        let outcome = heard.recv_timeout(ROUND_MAX).map_err(|error| format!("a listener: {error}"))?;
        outcome.map_err(|error| format!("a listener: {error}"))?;
    }
    wait_until_applied(server, server_site, load.last_version, began)?;
    let took = began.elapsed();
    let processor = server.processor_time()?.saturating_sub(processor);
    Ok(Sample { took, processor })
}

/// Asks the server what it holds of the sender, on a new connection each time, until it is everything.
fn wait_until_applied(server: &Server, server_site: SiteId, last_version: i64, began: Instant) -> Outcome<()> {
    // This connection says that it has everything, or each question would make the server read its whole room.
    let seen = [(server_site, Point::after(FAR))];
    loop {
        let position = Session::open(&server.address, ROOM, SENDER, &seen)?.position;
        if position.db_version >= last_version {
            return Ok(());
        }
        if began.elapsed() > ROUND_MAX {
            return Err(format!("only {} of {last_version} transactions were applied", position.db_version));
        }
        // Rarer as time goes on, because each question costs the server something.
        std::thread::sleep(STEP.max(began.elapsed() / 25));
    }
}

fn listen(mut session: Session, changes: usize, done: Sender<Outcome<()>>) {
    std::thread::spawn(move || {
        let mut count = 0;
        let outcome = loop {
            match session.reader.next() {
                Ok(Heard::Changes(more)) => count += more,
                Ok(_) => {}
                Err(error) => break Err(format!("after {count} of {changes} changes: {error}")),
            }
            if count >= changes {
                break Ok(());
            }
        };
        // Nobody waits any more when the round has failed already.
        let _ = done.send(outcome);
    });
}

const ROOM: &str = "load";
/// Beyond what any round reaches.
const FAR: i64 = 1 << 40;
const STEP: Duration = Duration::from_millis(20);
const ROUND_MAX: Duration = Duration::from_secs(120);
