//! Which parts of an open file the kernel had in memory a moment ago. Asking it takes a system call for every half mebibyte;
//! what was just sent it does not forget so soon.

use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::file_slice::{PART, read_cached, samples};

/// For how long an answer of the kernel is believed. A part that it does forget within this time is waited for where it is
/// sent, as everywhere else.
const TRUSTED_FOR: Duration = Duration::from_millis(250);

/// What is known of a file's parts.
#[derive(Debug)]
pub(crate) struct PageCache {
    began: Instant,
    /// For each part, when it was last in memory: milliseconds since the beginning and one; 0 if it was not seen there.
    seen: Box<[AtomicU64]>,
}

impl PageCache {
    /// Of a file of `size` bytes, of which nothing is known.
    pub(crate) fn new(size: u64) -> Self {
        let parts = usize::try_from(size.div_ceil(PART)).unwrap_or_default();
        Self { began: Instant::now(), seen: (0..parts).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Whether the kernel contains these positions of `file` in memory `now`, or had a moment ago. What it contains not it begins to read.
    pub(crate) fn contains(&self, file: &File, piece: &Range<u64>, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.began);
        let stamp = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let believed = u64::try_from(TRUSTED_FOR.as_millis()).unwrap_or_default();
        samples(piece).all(|at| {
            let seen = usize::try_from(at / PART).ok().and_then(|part| self.seen.get(part));
            let then = seen.map_or(0, |seen| seen.load(Ordering::Relaxed));
            if then > 0 && stamp.saturating_sub(then) < believed {
                return true;
            }
            let is_there = read_cached(file, &mut [0], at).is_some();
            if let Some(seen) = seen.filter(|_| is_there) {
                seen.store(stamp, Ordering::Relaxed);
            }
            is_there
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file_of(size: u64) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![1; usize::try_from(size).unwrap()]).unwrap();
        file
    }

    #[test]
    fn what_was_in_memory_a_moment_ago_is_not_asked_for_again_and_later_it_is() {
        let file = file_of(3 * PART);
        let warm = PageCache::new(3 * PART);
        assert!(warm.contains(&file, &(0..2 * PART), Instant::now()));
        // The kernel would say no: there is nothing any more.
        file.set_len(0).unwrap();
        assert!(warm.contains(&file, &(0..2 * PART), Instant::now()));
        assert!(
            !warm.contains(&file, &(0..3 * PART), Instant::now()),
            "nobody contains asked for the last part before"
        );
        std::thread::sleep(TRUSTED_FOR);
        assert!(!warm.contains(&file, &(0..2 * PART), Instant::now()));
    }

    #[test]
    fn positions_behind_the_end_that_was_known_are_asked_for_each_time() {
        let file = file_of(PART);
        let warm = PageCache::new(0);
        assert!(
            warm.contains(&file, &(0..10), Instant::now()) && warm.contains(&file, &(5..10), Instant::now())
        );
        assert!(!warm.contains(&file, &(2 * PART..3 * PART), Instant::now()));
    }
}
