//! Connections that are not to be used again: a pool asks before it gives one out, and when it gets one back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A connection is only as old as the look at its age is exact; one too many that is opened anew harms nobody.
const INEXACT: Duration = Duration::from_millis(5);

/// Until when what was opened is condemned. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Condemned(Arc<Mutex<Option<Instant>>>);

impl Condemned {
    /// Condemns every connection that is open now.
    pub(super) fn all_until_now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection of this age is condemned.
    pub(super) fn covers(&self, age: Duration) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| age + INEXACT >= until.elapsed())
    }
}
