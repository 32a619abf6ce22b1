//! Measures how fast a client reads.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The number of bytes per round. It exceeds the kernel buffers of both ends for a client that reads nothing: 64 KiB on
/// the client, up to 384 KiB here if the piece is a whole pipe. It is small, so that the first round ends while the
/// client's kernel still adapts its receive buffer.
const ROUND: usize = 512 * 1024;

/// The same for a connection with a [`Credit`].
const ROUND_WITH_CREDIT: usize = 1280 * 1024;

const QUICK: Duration = Duration::from_millis(250);

/// How many connections may have a [`Credit`] at a time: together 64 MiB of the kernel's memory.
const MAX_CREDITS: usize = 64;

static CREDITS: AtomicUsize = AtomicUsize::new(0);

/// Lets the kernel hold more of a long file for a client that has not shown its speed yet. Most receivers fetch one
/// recording per connection, so this is most of their time: with the usual limit, 1 MB takes several wakeups instead
/// of one (row *miss-1m-connect* of the benchmark). If stalled clients hold all credits, the others only cost these wakeups.
#[derive(Debug)]
struct Credit;

impl Credit {
    fn take() -> Option<Self> {
        let more = |taken| (taken < MAX_CREDITS).then_some(taken + 1);
        CREDITS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        CREDITS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How fast a client reads, measured in rounds.
#[derive(Debug)]
pub(super) struct Pace {
    taken: usize,
    since: Instant,
    quick: bool,
    /// Whether no round has ended yet.
    is_first: bool,
    credit: Option<Credit>,
}

impl Pace {
    pub(super) fn new(since: Instant) -> Self {
        Self { taken: 0, since, quick: false, is_first: true, credit: None }
    }

    /// Takes a credit, which lasts until the end of the first round or nearly until the end of the file. Returns whether there is a new one.
    pub(super) fn take_credit(&mut self) -> bool {
        if !self.is_first || self.credit.is_some() {
            return false;
        }
        self.credit = Credit::take();
        self.credit.is_some()
    }

    pub(super) fn has_credit(&self) -> bool {
        self.credit.is_some()
    }

    /// Ends the credit, because little of the file is left. Returns whether there was one. The bytes that the kernel
    /// took so far show nothing about the client, so a round begins.
    pub(super) fn end_credit(&mut self) -> bool {
        if self.credit.take().is_none() {
            return false;
        }
        (self.taken, self.since) = (0, Instant::now());
        true
    }

    /// Adds bytes that the client took. At the end of a round, returns whether the client is quick, if that has
    /// changed or a credit has ended.
    pub(super) fn on_written(&mut self, bytes: usize) -> Option<bool> {
        self.taken += bytes;
        let round = if self.credit.is_some() { ROUND_WITH_CREDIT } else { ROUND };
        if self.taken < round {
            return None;
        }
        let now = Instant::now();
        let quick = now - self.since < QUICK;
        (self.taken, self.since, self.is_first) = (0, now, false);
        let had_credit = self.credit.take().is_some();
        let has_changed = mem::replace(&mut self.quick, quick) != quick;
        (has_changed || had_credit).then_some(quick)
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

    #[test]
    fn a_credit_lasts_for_the_first_round_and_goes_to_few_connections() {
        let new = || Pace::new(Instant::now());
        let mut waiting: Vec<_> = (0..2 * MAX_CREDITS).map(|_| new()).collect();
        let taken = waiting.iter_mut().map(Pace::take_credit).filter(|taken| *taken).count();
        assert!(taken <= MAX_CREDITS);
        assert!(!new().take_credit(), "all are taken");
        waiting.clear();
        let mut slow = Pace::new(Instant::now() - QUICK);
        assert!(slow.take_credit());
        assert!(!slow.take_credit(), "it has one");
        assert_eq!(slow.on_written(ROUND_WITH_CREDIT - 1), None);
        assert!(slow.end_credit() && !slow.end_credit());
        assert_eq!(slow.on_written(ROUND - 1), None, "what the kernel took ahead does not count");
        assert!(slow.take_credit(), "the next file");
        slow.since -= QUICK;
        assert_eq!(slow.on_written(ROUND_WITH_CREDIT), Some(false), "the usual limit again");
        assert!(!slow.take_credit(), "it has shown its speed");
    }
}
