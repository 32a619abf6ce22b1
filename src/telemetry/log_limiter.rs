//! Limits lines that can come by the thousand: of each kind, one in an interval is written.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The least time between two lines of a kind.
const INTERVAL: Duration = Duration::from_secs(10);

/// When the last line of each kind was written, and how many were left out since.
#[derive(Debug, Default)]
pub struct LogLimiter(Mutex<HashMap<&'static str, (Instant, u64)>>);

impl LogLimiter {
    /// How many lines of this kind were left out before this one; `None` if this one is left out, too.
    pub fn admit(&self, kind: &'static str) -> Option<u64> {
        self.admit_at(kind, Instant::now())
    }

    fn admit_at(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kinds.get_mut(kind) {
            Some((last, left_out)) if now.duration_since(*last) < INTERVAL => {
                *left_out += 1;
                None
            }
            Some((last, left_out)) => {
                *last = now;
                Some(std::mem::take(left_out))
            }
            None => {
                kinds.insert(kind, (now, 0));
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_a_kind_is_written_in_an_interval_and_counts_the_others() {
        let (limiter, start) = (LogLimiter::default(), Instant::now());
        let admit = |kind, after| limiter.admit_at(kind, start + Duration::from_secs(after));
        assert_eq!(
            [admit("a", 0), admit("a", 1), admit("b", 1), admit("a", 9)],
            [Some(0), None, Some(0), None]
        );
        assert_eq!([admit("a", 10), admit("a", 11), admit("a", 20)], [Some(2), None, Some(1)]);
    }
}
