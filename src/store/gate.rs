//! A store that fails again and again is left alone: requests are answered at once, one probe at a time looks whether
//! it is back, and downloads in flight wait for that.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::watch;

/// So many failures in a row, with no success between, and the store is taken for down.
const FAILURES: u32 = 5;

/// Whether requests may pass.
#[derive(Debug)]
pub(super) struct Gate {
    open: watch::Sender<bool>,
    failures: AtomicU32,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { open: watch::Sender::new(true), failures: AtomicU32::new(0) }
    }

    pub(super) fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// The store answered.
    pub(super) fn succeeded(&self) {
        // Almost always there is nothing to write, and then nothing is written.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// The store failed. True for the one failure that closes the gate: its caller has to see to the probing.
    pub(super) fn failed(&self) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        failures >= FAILURES && self.open.send_if_modified(|open| std::mem::replace(open, false))
    }

    /// A probe found the store well again; on probation, until something else succeeds.
    pub(super) fn open(&self) {
        self.failures.store(FAILURES - 1, Ordering::Relaxed);
        self.open.send_replace(true);
    }

    /// Waits until requests may pass.
    pub(super) async fn opened(&self) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_in_a_row_close_the_gate_and_only_one_of_them_does() {
        let gate = Gate::new();
        for _ in 1..FAILURES {
            assert!(!gate.failed());
        }
        gate.succeeded();
        for _ in 1..FAILURES {
            assert!(!gate.failed() && gate.is_open());
        }
        assert!(gate.failed() && !gate.is_open());
        assert!(!gate.failed(), "it is closed already");
        gate.open();
        assert!(gate.is_open());
        assert!(gate.failed() && !gate.is_open(), "on probation a single failure is enough");
        gate.open();
        gate.succeeded();
        assert!(!gate.failed() && gate.is_open());
    }
}
