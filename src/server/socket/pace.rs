//! Measures how fast a client reads.

use std::time::{Duration, Instant};

/// The number of bytes per round. It exceeds the kernel buffers of both ends for a client that reads nothing: 64 KiB on
/// the client, up to 384 KiB here if the piece is a whole pipe. It is small, so that the first round ends while the
/// client's kernel still adapts its receive buffer.
const ROUND: usize = 512 * 1024;
const QUICK: Duration = Duration::from_millis(250);

/// How fast a client reads, measured in rounds.
#[derive(Debug)]
pub(super) struct Pace {
    taken: usize,
    since: Instant,
    quick: bool,
}

impl Pace {
    pub(super) fn new(since: Instant) -> Self {
        Self { taken: 0, since, quick: false }
    }

    /// Adds bytes that the client took. At the end of a round, returns whether the client is quick, if that has
    /// changed.
    pub(super) fn on_written(&mut self, bytes: usize) -> Option<bool> {
        self.taken += bytes;
        if self.taken < ROUND {
            return None;
        }
        let now = Instant::now();
        let quick = now - self.since < QUICK;
        (self.taken, self.since) = (0, now);
        (std::mem::replace(&mut self.quick, quick) != quick).then_some(quick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_quick_or_slow_by_its_last_round() {
        let mut pace = Pace::new(Instant::now());
        assert_eq!(pace.on_written(ROUND - 1), None);
        assert_eq!(pace.on_written(1), Some(true));
        assert_eq!(pace.on_written(ROUND), None, "as before");
        std::thread::sleep(QUICK);
        assert_eq!(pace.on_written(ROUND), Some(false));
        assert_eq!(pace.on_written(ROUND), Some(true));
    }
}
