//! One piece at a time: hyper takes pieces of a body until its buffer is full, even when the socket takes nothing. For a
//! client that stalls that is memory for nothing, so the next piece is made when the socket has taken the one before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::server::zero_copy::pending::Pending;

/// What a connection of HTTP/1 was given to send, and what its socket has taken.
#[derive(Debug, Default)]
pub(in crate::server) struct WriteGate {
    given: AtomicU64,
    taken: AtomicU64,
    waiting: AtomicWaker,
    pub(in crate::server) files: Pending,
}

impl WriteGate {
    pub(in crate::server) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A new answer begins. (Its head is counted as taken and not as given; that does not add up over answers.)
    pub(in crate::server) fn begin(&self) {
        self.given.store(0, Ordering::Relaxed);
        self.taken.store(0, Ordering::Relaxed);
    }

    /// Waits until the socket has taken what it was given.
    pub(in crate::server) fn poll_drained(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_empty() {
            return Poll::Ready(());
        }
        self.waiting.register(cx.waker());
        if self.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(in crate::server) fn on_queued(&self, bytes: usize) {
        self.given.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(in crate::server) fn on_written(&self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.is_empty() {
            self.waiting.wake();
        }
    }

    fn is_empty(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.given.load(Ordering::Relaxed) && self.files.is_empty()
    }
}
