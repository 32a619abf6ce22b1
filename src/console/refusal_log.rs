//! Limits how often refused forms are logged.

use std::sync::{Mutex, PoisonError};

use crate::clock::UnixSeconds;

/// The seconds between two lines about refused forms, so that a hostile client cannot fill the log.
const LOG_INTERVAL: u64 = 10;

/// Counts refused forms between two lines of the log.
#[derive(Debug, Default)]
pub(super) struct RefusalLog(Mutex<Unlogged>);

#[derive(Debug, Default)]
struct Unlogged {
    last_line: Option<UnixSeconds>,
    count: u64,
}

impl RefusalLog {
    /// Counts a refused form. Returns how many there were since the last line, this one included, if it is time for a
    /// line.
    pub(super) fn count(&self, now: UnixSeconds) -> Option<u64> {
        let mut unlogged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unlogged.count = unlogged.count.saturating_add(1);
        // A clock that was set back must not silence the log.
        if unlogged.last_line.is_some_and(|last| last.0.abs_diff(now.0) < LOG_INTERVAL) {
            return None;
        }
        unlogged.last_line = Some(now);
        Some(std::mem::take(&mut unlogged.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_refused_forms_make_one_line_in_ten_seconds() {
        let log = RefusalLog::default();
        assert_eq!(log.count(UnixSeconds(1_000)), Some(1));
        assert!((0..100).all(|_| log.count(UnixSeconds(1_009)).is_none()));
        assert_eq!(log.count(UnixSeconds(1_010)), Some(101));
        assert_eq!(log.count(UnixSeconds(500)), Some(1), "the clock was set back");
    }
}
