//! Remembers since when something works, or does not.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Whether something works, and since when. Its watcher sets it; others read it.
#[derive(Debug)]
pub struct StateSince(Mutex<(bool, Instant)>);

impl Default for StateSince {
    /// It works since now.
    fn default() -> Self {
        Self(Mutex::new((true, Instant::now())))
    }
}

impl StateSince {
    /// Records whether it works. The time changes only with the state.
    pub fn set(&self, works: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 != works {
            *state = (works, Instant::now());
        }
    }

    /// Whether it works, and since when.
    #[must_use]
    pub fn get(&self) -> (bool, Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_changes_only_with_the_state() {
        let state = StateSince::default();
        let begun = state.get();
        state.set(true);
        assert_eq!(state.get(), begun);
        state.set(false);
        let (works, since) = state.get();
        assert!(!works && since >= begun.1);
        state.set(false);
        assert_eq!(state.get(), (false, since));
    }
}
