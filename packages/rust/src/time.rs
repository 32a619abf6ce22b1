//! Time as an argument: whole seconds, and durations for people.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment in whole seconds since 1970-01-01T00:00:00Z. Displays as RFC 3339, e.g. `2026-11-23T09:30:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// The last second that RFC 3339 can write: 9999-12-31T23:59:59Z.
    pub const LAST_WRITABLE: Self = Self(253_402_300_799);

    /// This moment plus `duration`, in whole seconds; saturates.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// This moment minus `duration`, in whole seconds; 1970 at the earliest.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// Converts to [`SystemTime`]; a moment past the year 9999 becomes its last second.
    #[must_use]
    pub fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.min(Self::LAST_WRITABLE.0))
    }

    /// The whole second that contains `time`; times before 1970 become 0.
    #[must_use]
    pub fn from_system_time(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self > Self::LAST_WRITABLE {
            return f.write_str("a time after the year 9999");
        }
        humantime::format_rfc3339_seconds(self.to_system_time()).fmt(f)
    }
}

/// Formats a duration for people, exactly to the millisecond, without its units that are zero: `1 day 1h`, `9.5s` as
/// `9s 500ms`.
#[must_use]
pub fn format_exact(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let days = seconds / 86_400;
    let parts = [
        (days, if days == 1 { " day" } else { " days" }),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (duration.subsec_millis().into(), "ms"),
    ];
    let written: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if written.is_empty() { "0s".to_owned() } else { written.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_as_rfc_3339() {
        assert_eq!(UnixSeconds(1_734_567_890).to_string(), "2024-12-19T00:24:50Z");
    }

    #[test]
    fn a_duration_reads_as_its_units() {
        let written = [0, 250, 9_500, 60_000, 90_000_000, 2 * 86_400_000 + 1_000]
            .map(Duration::from_millis)
            .map(format_exact);
        assert_eq!(written, ["0s", "250ms", "9s 500ms", "1m", "1 day 1h", "2 days 1s"]);
    }

    #[test]
    fn no_second_is_too_large_to_display_or_to_add_to() {
        let last = UnixSeconds(u64::MAX).plus(Duration::from_secs(1));
        assert_eq!(last, UnixSeconds(u64::MAX));
        assert_eq!(last.to_string(), "a time after the year 9999");
        assert_eq!(UnixSeconds::LAST_WRITABLE.to_string(), "9999-12-31T23:59:59Z");
    }
}
