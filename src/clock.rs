//! Time as an argument: decisions take a [`UnixSeconds`], and a [`Clock`] reads the machine's time.

pub mod running;
mod state_since;

pub use state_since::StateSince;
pub use webhook_assets_links::time::{UnixSeconds, format_exact};

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment in whole milliseconds since 1970-01-01T00:00:00Z, for schedules that need more precision than seconds.
/// Displays as RFC 3339 with milliseconds, e.g. `2026-11-23T09:30:00.250Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This moment plus `duration`, in whole milliseconds; saturates.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This moment minus `duration`; 1970 at the earliest.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The second that contains this moment.
    #[must_use]
    pub fn seconds(self) -> UnixSeconds {
        UnixSeconds(self.0 / 1000)
    }
}

impl From<UnixSeconds> for UnixMillis {
    fn from(second: UnixSeconds) -> Self {
        Self(second.0.saturating_mul(1000))
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Past the year 9999 there is nothing more precise than the words for the second.
        if self.seconds() > UnixSeconds::LAST_WRITABLE {
            return self.seconds().fmt(f);
        }
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(self.0)).fmt(f)
    }
}

/// A moment on both clocks of the machine: the wall clock and the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    instant: Instant,
    wall: Duration,
}

impl Moment {
    /// The current moment.
    #[must_use]
    pub fn now() -> Self {
        Self { instant: Instant::now(), wall: since_1970() }
    }

    /// The moment on the monotonic clock.
    #[must_use]
    pub fn instant(&self) -> Instant {
        self.instant
    }

    /// The time since this moment.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.instant.elapsed()
    }

    /// The moment on the wall clock, in whole seconds.
    #[must_use]
    pub fn second(&self) -> UnixSeconds {
        UnixSeconds(self.wall.as_secs())
    }

    /// The microsecond on the wall clock `duration` after this moment, for timestamps.
    #[must_use]
    pub fn micros_after(&self, duration: Duration) -> u64 {
        u64::try_from(self.wall.saturating_add(duration).as_micros()).unwrap_or(u64::MAX)
    }
}

/// Both clocks of the machine, read at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock, which an administrator or NTP may set.
    pub wall: UnixMillis,
    /// The monotonic clock: the time since the first reading in this process.
    pub steady: Duration,
}

/// A source of time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Reads both clocks.
    fn reading(&self) -> Reading;

    /// The current millisecond.
    fn now_millis(&self) -> UnixMillis {
        self.reading().wall
    }

    /// The current second.
    fn now(&self) -> UnixSeconds {
        self.now_millis().seconds()
    }

    /// The second that this clock showed at `moment`, which is only just past.
    fn at(&self, _moment: &Moment) -> UnixSeconds {
        self.now()
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The current microsecond, for timestamps.
    #[must_use]
    pub fn now_micros(self) -> u64 {
        u64::try_from(since_1970().as_micros()).unwrap_or(u64::MAX)
    }
}

/// If the readings of the two clocks are this far apart, both are read again: the thread did not run in between.
const READ_APART: Duration = Duration::from_millis(50);

impl Clock for SystemClock {
    fn reading(&self) -> Reading {
        static START: OnceLock<Instant> = OnceLock::new();
        let start = START.get_or_init(Instant::now);
        let mut steady = start.elapsed();
        loop {
            let wall = self.now_millis();
            let after = start.elapsed();
            if after.saturating_sub(steady) < READ_APART {
                return Reading { wall, steady };
            }
            steady = after;
        }
    }

    fn now_millis(&self) -> UnixMillis {
        UnixMillis(0).plus(since_1970())
    }

    fn at(&self, moment: &Moment) -> UnixSeconds {
        moment.second()
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's wall clock")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A clock that moves only when a test or a simulation moves it. Clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Reading>>);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn at(now: UnixSeconds) -> Self {
        Self(Arc::new(Mutex::new(Reading { wall: now.into(), steady: Duration::ZERO })))
    }

    /// Sets the wall clock to `now`, forwards or backwards; the monotonic clock stays.
    pub fn set(&self, now: UnixSeconds) {
        self.change(|hands| hands.wall = now.into());
    }

    /// Advances both clocks.
    pub fn advance(&self, duration: Duration) {
        self.change(|hands| {
            *hands =
                Reading { wall: hands.wall.plus(duration), steady: hands.steady.saturating_add(duration) };
        });
    }

    fn change(&self, change: impl FnOnce(&mut Reading)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Clock for ManualClock {
    fn reading(&self) -> Reading {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_in_milliseconds_shows_all_three_digits() {
        let moment = UnixMillis::from(UnixSeconds(1_734_567_890)).plus(Duration::from_millis(7));
        assert_eq!(moment.to_string(), "2024-12-19T00:24:50.007Z");
        assert_eq!(UnixMillis(u64::MAX).plus(Duration::MAX).to_string(), "a time after the year 9999");
        assert_eq!(UnixMillis(5).minus(Duration::from_secs(1)), UnixMillis(0));
    }
}
