//! What the demo says while it runs: one line for each thing that happens, with the time and who did it.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Writes lines to standard output, from any thread.
pub struct Teller {
    begun: Instant,
    is_quiet: bool,
    is_closed: AtomicBool,
    // Keeps lines whole.
    line: Mutex<()>,
}

impl Teller {
    /// A quiet one says nothing.
    pub fn new(is_quiet: bool) -> Teller {
        Teller { begun: Instant::now(), is_quiet, is_closed: AtomicBool::new(false), line: Mutex::new(()) }
    }

    /// Whether standard output has gone away.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Milliseconds since the beginning.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The beginning of a new part.
    pub fn part(&self, title: &str) {
        self.line(&format!("\n{title}"));
    }

    /// Something that somebody did or that happened to them.
    pub fn event(&self, who: &str, what: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.line(&format!("{seconds:7.2} s  {who:<11} {what}"));
    }

    /// A line as it is.
    pub fn line(&self, text: &str) {
        if self.is_quiet || self.is_closed() {
            return;
        }
        let _whole = self.line.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut out = std::io::stdout();
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            self.is_closed.store(true, Ordering::Relaxed);
        }
    }
}
