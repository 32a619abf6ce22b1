//! Running time: the time in which this process ran. A frozen process (SIGSTOP, a paused virtual machine or cgroup) wakes
//! up after all its deadlines, although no peer was slow. A heartbeat measures each freeze, and deadlines move by as much.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The interval of the heartbeat.
const BEAT: Duration = Duration::from_millis(200);

/// From this long a pause between two beats on, the process was frozen.
const FREEZE: Duration = Duration::from_millis(600);

static PROCESS: FreezeMeter = FreezeMeter::stopped();
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Finds pauses in which no thread of a process ran.
#[derive(Debug)]
struct FreezeMeter {
    /// When a thread was last seen to run; 0 before the first beat.
    seen: AtomicU64,
    /// The pauses in all.
    frozen: AtomicU64,
    found: Mutex<()>,
}

impl FreezeMeter {
    const fn stopped() -> Self {
        Self { seen: AtomicU64::new(0), frozen: AtomicU64::new(0), found: Mutex::new(()) }
    }

    /// A thread runs at `now`, in milliseconds. Returns the length of all pauses until then.
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
        // The first thread that runs adds the pause, before any other can see that it is over.
        let _found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_sub(self.seen.load(Ordering::Acquire));
        if Duration::from_millis(since) >= FREEZE {
            self.frozen.fetch_add(since, Ordering::AcqRel);
            self.seen.fetch_max(now, Ordering::AcqRel);
        }
        self.frozen.load(Ordering::Acquire)
    }
}

/// For how long the process has been frozen in all, as far as the meter knows.
#[must_use]
pub fn frozen() -> Duration {
    Duration::from_millis(PROCESS.frozen.load(Ordering::Acquire))
}

/// The same, a freeze included that ended just before `now`.
#[must_use]
pub fn frozen_by(now: Instant) -> Duration {
    Duration::from_millis(PROCESS.notice(millis(now)))
}

fn millis(now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(*BEGAN).as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// Starts the heartbeat, which calls `thawed` with the length of each freeze. Without it no freeze is noticed.
///
/// # Errors
/// If the system has no thread left.
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

#[cfg(feature = "gateway")]
pub use marks::{RunningInstant, timeout};

#[cfg(feature = "gateway")]
mod marks {
    use std::pin::pin;
    use std::time::Duration;

    use tokio::time::error::Elapsed;
    use tokio::time::{Instant, timeout_at};

    /// The longest time of a timer: about 30 years.
    const NEVER: Duration = Duration::from_secs(86_400 * 365 * 30);

    /// A moment that measures running time, as [`Instant`] measures time.
    #[derive(Debug, Clone, Copy)]
    pub struct RunningInstant {
        at: Instant,
        frozen: Duration,
    }

    impl RunningInstant {
        /// Now.
        #[must_use]
        pub fn now() -> Self {
            Self::at(Instant::now())
        }

        /// At a moment that has only just passed.
        #[must_use]
        pub fn at(at: Instant) -> Self {
            Self { at, frozen: super::frozen_by(at.into_std()) }
        }

        /// The moment itself.
        #[must_use]
        pub fn instant(self) -> Instant {
            self.at
        }

        /// How much running time passed until `later`.
        #[must_use]
        pub fn until(self, later: Self) -> Duration {
            let passed = later.at.saturating_duration_since(self.at);
            passed.saturating_sub(later.frozen.saturating_sub(self.frozen))
        }

        /// How much running time has passed.
        #[must_use]
        pub fn elapsed(self) -> Duration {
            self.until(Self::now())
        }

        /// When `limit` of running time will have passed, as far as freezes were noticed.
        #[must_use]
        pub fn deadline(self, limit: Duration) -> Instant {
            self.at + limit.min(NEVER) + super::frozen().saturating_sub(self.frozen)
        }
    }

    /// As [`tokio::time::timeout`], but only running time counts. After a freeze `work` is polled again, so it finds what
    /// arrived meanwhile.
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
            // Notices a freeze before the heartbeat does.
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

    #[cfg(feature = "gateway")]
    #[tokio::test(start_paused = true)]
    async fn a_deadline_without_a_freeze_is_a_plain_one() {
        let began = tokio::time::Instant::now();
        assert!(timeout(Duration::from_secs(10), std::future::pending::<()>()).await.is_err());
        assert_eq!(began.elapsed(), Duration::from_secs(10));
        assert_eq!(timeout(Duration::MAX, async { 7 }).await.ok(), Some(7));
    }
}
