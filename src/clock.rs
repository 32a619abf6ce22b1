//! Time, as an argument. Everything that decides takes a [`UnixSeconds`]; only a [`Clock`] at the edge asks the
//! machine.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second that RFC 3339 can write: 9999-12-31T23:59:59Z.
const LAST_WRITABLE_SECOND: u64 = 253_402_300_799;

/// A moment, in whole seconds since 1970-01-01T00:00:00Z. Displays as RFC 3339, e.g. `2026-11-23T09:30:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// This moment and `duration` more, in whole seconds; stays at the far end instead of overflowing.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// How long from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// The same moment for the standard library; moments past the year 9999 become its last second.
    #[must_use]
    pub fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.min(LAST_WRITABLE_SECOND))
    }

    /// The whole second in which `time` lies; times before 1970 become 0.
    #[must_use]
    pub fn from_system_time(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > LAST_WRITABLE_SECOND {
            return f.write_str("a time after the year 9999");
        }
        humantime::format_rfc3339_seconds(self.to_system_time()).fmt(f)
    }
}

/// Tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The second it is now.
    fn now(&self) -> UnixSeconds;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine is asked for the time")]
    fn now(&self) -> UnixSeconds {
        UnixSeconds::from_system_time(SystemTime::now())
    }
}

/// A clock that stands until it is moved; clones share the hand. For tests and simulations.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock standing at `now`.
    #[must_use]
    pub fn at(now: UnixSeconds) -> Self {
        Self(Arc::new(AtomicU64::new(now.0)))
    }

    /// Moves the hand to `now`, forwards or backwards.
    pub fn set(&self, now: UnixSeconds) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves the hand forwards.
    pub fn advance(&self, duration: Duration) {
        self.set(self.now().plus(duration));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_as_rfc_3339() {
        assert_eq!(UnixSeconds(1_734_567_890).to_string(), "2024-12-19T00:24:50Z");
    }

    #[test]
    fn no_second_is_too_large_to_display_or_to_add_to() {
        let last = UnixSeconds(u64::MAX).plus(Duration::from_secs(1));
        assert_eq!(last, UnixSeconds(u64::MAX));
        assert_eq!(last.to_string(), "a time after the year 9999");
        assert_eq!(UnixSeconds(LAST_WRITABLE_SECOND).to_string(), "9999-12-31T23:59:59Z");
    }
}
