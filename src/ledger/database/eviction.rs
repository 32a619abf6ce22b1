//! Marks connections that must not be reused. The pools check the mark before they hand out a connection, and when it
//! is returned.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The age of a connection is read shortly before it is compared. Evicting one connection too many does no harm.
const AGE_TOLERANCE: Duration = Duration::from_millis(5);

/// Evicts the connections that were opened before a given time. Clones share it.
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
