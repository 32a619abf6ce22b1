//! The circuit breaker of the store. While it is open, requests are answered 503 immediately, a probe checks once a
//! second whether the store has recovered, and downloads in flight wait for that. Written by hand, because the breakers
//! in crates open on failed requests.
//!
//! Failed requests never open this breaker, because all of them may be for one broken object. Several failures in a row
//! start a probe, for an object that no client can choose. If the probe also fails, the breaker opens.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use tokio::sync::watch;

use crate::clock::StateSince;

/// The number of consecutive failures after which the store is probed.
const PROBE_AFTER: u32 = 5;

/// Whether requests may pass.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    /// True if the breaker is closed, like a circuit, and requests pass.
    closed: watch::Sender<bool>,
    failures: AtomicU32,
    /// Whether a task is probing the store.
    probed: AtomicBool,
    state: StateSince,
}

impl CircuitBreaker {
    pub(super) fn new() -> Self {
        let (failures, probed) = (AtomicU32::new(0), AtomicBool::new(false));
        Self { closed: watch::Sender::new(true), failures, probed, state: StateSince::default() }
    }

    /// Whether requests pass.
    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Whether requests pass, and since when.
    pub(super) fn state(&self) -> (bool, Instant) {
        self.state.get()
    }

    /// Records that the store answered.
    pub(super) fn succeeded(&self) {
        // The common case only reads, so that threads share the cache line.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Records a failed request. If this returns true, the caller must probe the store and finally call
    /// [`CircuitBreaker::close`].
    pub(super) fn failed(&self) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        failures >= PROBE_AFTER && !self.probed.swap(true, Ordering::Relaxed)
    }

    /// Stops requests, because a probe has also failed.
    pub(super) fn open(&self) {
        self.closed.send_replace(false);
        self.state.set(false);
    }

    /// Lets requests pass after the last probe, and resets the failure count.
    pub(super) fn close(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.probed.store(false, Ordering::Relaxed);
        self.closed.send_if_modified(|closed| !std::mem::replace(closed, true));
        self.state.set(true);
    }

    /// Waits until requests pass.
    pub(super) async fn closed(&self) {
        // `self` owns the sender, so the wait cannot fail.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_start_one_probe_and_leave_the_breaker_closed() {
        let breaker = CircuitBreaker::new();
        for _ in 1..PROBE_AFTER {
            assert!(!breaker.failed());
        }
        breaker.succeeded();
        for _ in 1..PROBE_AFTER {
            assert!(!breaker.failed());
        }
        assert!(breaker.failed(), "the fifth without a success between");
        assert!(!breaker.failed(), "a probe is running");
        assert!(breaker.is_closed());
        breaker.open();
        assert!(!breaker.is_closed() && !breaker.state().0);
        breaker.close();
        assert!(breaker.is_closed() && breaker.state().0);
        for _ in 1..PROBE_AFTER {
            assert!(!breaker.failed(), "the count starts again");
        }
        assert!(breaker.failed());
    }
}
