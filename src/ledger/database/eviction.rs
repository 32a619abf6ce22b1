//! Connections that are not to be used again: a pool asks before it gives one out, and when it gets one back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A connection is only as old as the look at its age is exact; one too many that is opened anew harms nobody.
const AGE_TOLERANCE: Duration = Duration::from_millis(5);

/// Until when what was opened is condemned. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Eviction(Arc<Mutex<Option<Instant>>>);

impl Eviction {
    /// Condemns every connection that is open now.
    pub(super) fn evict_all(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection of this age is condemned.
    pub(super) fn includes(&self, age: Duration) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| age + AGE_TOLERANCE >= until.elapsed())
    }
}
