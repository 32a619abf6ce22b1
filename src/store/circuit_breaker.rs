//! The circuit breaker before the store. While it is open, requests are answered 503 at once, one probe a second looks
//! whether the store is back, and downloads in flight wait for that.
//!
//! Failed requests never open it, because what fails may be the one object that was asked for: many failures in a row
//! only have the store probed, by an object that no client can choose. The breaker opens if the probe fails, too.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::watch;

/// After so many failures in a row, with no success between, the store is probed.
const PROBE_AFTER: u32 = 5;

/// Whether requests may pass.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    /// Closed as a circuit is: requests pass.
    closed: watch::Sender<bool>,
    failures: AtomicU32,
    /// Whether a task probes the store.
    probed: AtomicBool,
}

impl CircuitBreaker {
    pub(super) fn new() -> Self {
        let (failures, probed) = (AtomicU32::new(0), AtomicBool::new(false));
        Self { closed: watch::Sender::new(true), failures, probed }
    }

    /// Whether requests pass.
    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// The store answered.
    pub(super) fn succeeded(&self) {
        // Almost always there is nothing to write, and then nothing is written.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A request failed. True if the caller has to probe the store, and to end that with [`CircuitBreaker::close`].
    pub(super) fn failed(&self) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        failures >= PROBE_AFTER && !self.probed.swap(true, Ordering::Relaxed)
    }

    /// A probe failed as well: no requests pass from now on.
    pub(super) fn open(&self) {
        self.closed.send_replace(false);
    }

    /// ProbeTask has ended: requests pass, and failures are counted anew.
    pub(super) fn close(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.probed.store(false, Ordering::Relaxed);
        self.closed.send_if_modified(|closed| !std::mem::replace(closed, true));
    }

    /// Waits until requests pass.
    pub(super) async fn closed(&self) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_have_the_store_probed_once_and_open_nothing() {
        let breaker = CircuitBreaker::new();
        for _ in 1..PROBE_AFTER {
            assert!(!breaker.failed());
        }
        breaker.succeeded();
        for _ in 1..PROBE_AFTER {
            assert!(!breaker.failed());
        }
        assert!(breaker.failed(), "the fifth without a success between");
        assert!(!breaker.failed(), "it is probed already");
        assert!(breaker.is_closed());
        breaker.open();
        assert!(!breaker.is_closed());
        breaker.close();
        assert!(breaker.is_closed());
        for _ in 1..PROBE_AFTER {
            assert!(!breaker.failed(), "counted anew");
        }
        assert!(breaker.failed());
    }
}
