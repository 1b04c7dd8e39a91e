//! The rules that keep streams from losing changes, as switches for the tests that show what each of them is for.
//!
//! Without the feature `rule-switches`, which only this crate's own tests turn on, every rule holds and the questions are
//! gone from the compiled code.

/// A rule that schedules are known for in which changes are lost, or wait for ever, without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// An epoch covers every version that nobody has seen, also those that were written before the streams were used.
    Witness,
    /// A receipt is verified by the head at which its packages were read, and not by its position alone.
    AsOf,
    /// What came in from a remote is known by its arrival, and not by its author.
    Arrival,
    /// A filter that became wider, and a position that was set back, begin the next run.
    Run,
    /// A transaction of which pieces are staged is whole when a package passes its end.
    Closing,
}

/// Whether the rule holds.
#[cfg(not(feature = "rule-switches"))]
pub(crate) const fn holds(_: Rule) -> bool {
    true
}

#[cfg(feature = "rule-switches")]
pub(crate) use switches::holds;
#[cfg(feature = "rule-switches")]
pub use switches::without;

#[cfg(feature = "rule-switches")]
mod switches {
    use super::Rule;
    use std::cell::Cell;

    thread_local! {
        static BROKEN: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    pub(crate) fn holds(rule: Rule) -> bool {
        BROKEN.get() != Some(rule)
    }

    /// Runs `body` while one rule does not hold on this thread.
    pub fn without<T>(rule: Rule, body: impl FnOnce() -> T) -> T {
        let _restored = Restored(BROKEN.replace(Some(rule)));
        body()
    }

    struct Restored(Option<Rule>);

    impl Drop for Restored {
        fn drop(&mut self) {
            BROKEN.set(self.0);
        }
    }
}
