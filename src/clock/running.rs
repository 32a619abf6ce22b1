//! Running time: the time during which this process runs. A frozen process (SIGSTOP, a paused virtual machine or
//! cgroup) wakes up after all its deadlines, although no peer was slow. A heartbeat measures each freeze, and deadlines
//! move by the same amount.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The interval of the heartbeat.
const BEAT: Duration = Duration::from_millis(200);

/// A pause between two beats that is at least this long counts as a freeze.
const FREEZE: Duration = Duration::from_millis(600);

static PROCESS: FreezeMeter = FreezeMeter::stopped();
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Detects pauses in which no thread of the process ran.
#[derive(Debug)]
struct FreezeMeter {
    /// When a thread last reported that it runs; 0 before the first beat.
    seen: AtomicU64,
    /// The total length of all pauses, in milliseconds.
    frozen: AtomicU64,
    found: Mutex<()>,
}

impl FreezeMeter {
    const fn stopped() -> Self {
        Self { seen: AtomicU64::new(0), frozen: AtomicU64::new(0), found: Mutex::new(()) }
    }

    /// Reports that a thread runs at `now`, in milliseconds. Returns the total length of all pauses until then.
    fn notice(&self, now: u64) -> u64 {
        let seen = self.seen.load(Ordering::Acquire);
        let since = Duration::from_millis(now.saturating_sub(seen));
        if seen == 0 || since < BEAT {
            return self.frozen.load(Ordering::Acquire);
        }
        if since < FREEZE {
            self.seen.fetch_max(now, Ordering::AcqRel);
            return self.frozen.load(Ordering::Acquire);
        }
        // The first thread that runs adds the pause, before any other thread can see that it is over.
        let _found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_sub(self.seen.load(Ordering::Acquire));
        if Duration::from_millis(since) >= FREEZE {
            self.frozen.fetch_add(since, Ordering::AcqRel);
            self.seen.fetch_max(now, Ordering::AcqRel);
        }
        self.frozen.load(Ordering::Acquire)
    }
}

/// The total time for which the process has been frozen, as far as the meter knows.
#[must_use]
pub fn frozen() -> Duration {
    Duration::from_millis(PROCESS.frozen.load(Ordering::Acquire))
}

/// Like [`frozen`], including a freeze that ended just before `now`.
#[must_use]
pub fn frozen_by(now: Instant) -> Duration {
    Duration::from_millis(PROCESS.notice(millis(now)))
}

fn millis(now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(*BEGAN).as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// Starts the heartbeat, which calls `thawed` with the length of each freeze. Without the heartbeat, no freeze is
/// detected.
///
/// # Errors
/// If the system cannot start a thread.
pub fn watch(thawed: impl Fn(Duration) + Send + 'static) -> io::Result<()> {
    PROCESS.seen.fetch_max(millis(Instant::now()), Ordering::AcqRel);
    let beat = move || {
        let mut known = frozen();
        loop {
            thread::sleep(BEAT);
            let now = frozen_by(Instant::now());
            if now > known {
                thawed(now.saturating_sub(known));
            }
            known = now;
        }
    };
    thread::Builder::new().name("heartbeat".into()).spawn(beat).map(drop)
}

pub use marks::{RunningInstant, timeout};

mod marks {
    use std::pin::pin;
    use std::time::Duration;

    use tokio::time::error::Elapsed;
    use tokio::time::{Instant, timeout_at};

    /// The longest duration of a timer: about 30 years.
    const NEVER: Duration = Duration::from_secs(86_400 * 365 * 30);

    /// A moment for measuring running time, as [`Instant`] measures time.
    #[derive(Debug, Clone, Copy)]
    pub struct RunningInstant {
        at: Instant,
        frozen: Duration,
    }

    impl RunningInstant {
        /// The current moment.
        #[must_use]
        pub fn now() -> Self {
            Self::at(Instant::now())
        }

        /// A moment that is only just past.
        #[must_use]
        pub fn at(at: Instant) -> Self {
            Self { at, frozen: super::frozen_by(at.into_std()) }
        }

        /// The moment as an [`Instant`].
        #[must_use]
        pub fn instant(self) -> Instant {
            self.at
        }

        /// The running time from this moment to `later`.
        #[must_use]
        pub fn until(self, later: Self) -> Duration {
            let passed = later.at.saturating_duration_since(self.at);
            passed.saturating_sub(later.frozen.saturating_sub(self.frozen))
        }

        /// The running time since this moment.
        #[must_use]
        pub fn elapsed(self) -> Duration {
            self.until(Self::now())
        }

        /// When `limit` of running time will have passed, given the freezes detected so far.
        #[must_use]
        pub fn deadline(self, limit: Duration) -> Instant {
            self.at + limit.min(NEVER) + super::frozen().saturating_sub(self.frozen)
        }
    }

    /// Like [`tokio::time::timeout`], but counts only running time. After a freeze, `work` is polled again and finds
    /// any input that arrived during the freeze.
    ///
    /// # Errors
    /// [`Elapsed`] if `work` takes longer than `limit`.
    pub async fn timeout<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
        let mut work = pin!(work);
        let began = RunningInstant::now();
        loop {
            let deadline = began.deadline(limit);
            let done = timeout_at(deadline, work.as_mut()).await;
            if done.is_ok() {
                return done;
            }
            // Detects a freeze before the heartbeat does.
            let _ = RunningInstant::now();
            if began.deadline(limit) <= deadline {
                return done;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_between_two_beats_is_a_freeze_and_counts_once() {
        let meter = FreezeMeter::stopped();
        assert_eq!(meter.notice(50_000), 0, "nothing is noticed before the first beat");
        meter.seen.store(1, Ordering::Release);
        for beat in 1..10 {
            assert_eq!(meter.notice(beat * 250), 0);
        }
        assert_eq!(meter.notice(12_250), 10_000);
        assert_eq!(meter.notice(12_260), 10_000, "the second look finds it counted");
        assert_eq!(meter.notice(2_200), 10_000, "and so does a reading from before");
        assert_eq!(meter.notice(12_700), 10_000);
        assert_eq!(meter.notice(13_700), 11_000);
    }

    #[test]
    fn all_threads_see_a_freeze_before_they_see_that_it_is_over() {
        for _ in 0..200 {
            let meter = FreezeMeter::stopped();
            meter.seen.store(1, Ordering::Release);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| assert_eq!(meter.notice(60_001), 60_000));
                }
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_without_a_freeze_is_a_plain_one() {
        let began = tokio::time::Instant::now();
        assert!(timeout(Duration::from_secs(10), std::future::pending::<()>()).await.is_err());
        assert_eq!(began.elapsed(), Duration::from_secs(10));
        assert_eq!(timeout(Duration::MAX, async { 7 }).await.ok(), Some(7));
    }
}
