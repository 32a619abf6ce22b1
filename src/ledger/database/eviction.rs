//! Connections that must not be used again: the pools ask here before they hand one out, and when one is returned.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The age of a connection is read a moment before it is compared; opening one connection too many does no harm.
const AGE_TOLERANCE: Duration = Duration::from_millis(5);

/// Evicts the connections that were opened before a moment. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Eviction(Arc<Mutex<Option<Instant>>>);

impl Eviction {
    /// Evicts every connection that is open now.
    pub(super) fn evict_all(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection of this age is evicted.
    pub(super) fn includes(&self, age: Duration) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| age + AGE_TOLERANCE >= until.elapsed())
    }
}
