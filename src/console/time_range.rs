//! Ranges of time in forms.

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::webhook::parse_time;

/// The length of a relative time range: `1h`, `24h` or `7d`.
pub(super) fn relative_range(text: &str) -> Option<Duration> {
    const HOUR: u64 = 60 * 60;
    let hours = match text {
        "1h" => 1,
        "24h" => 24,
        "7d" => 7 * 24,
        _ => return None,
    };
    Some(Duration::from_secs(hours * HOUR))
}

/// Parses a time as the script sends it, or as a `datetime-local` field sends it without the script, in UTC.
pub(super) fn read_time(text: &str) -> Option<UnixMillis> {
    let utc = |form: &str| parse_time(&format!("{text}{form}"));
    parse_time(text).or_else(|| utc("Z")).or_else(|| utc(":00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_an_offset_is_utc() {
        let moment = UnixMillis(1_765_981_800_000);
        for text in
            ["2025-12-17T14:30", "2025-12-17T14:30:00", "2025-12-17T14:30:00Z", "2025-12-17T15:30:00+01:00"]
        {
            assert_eq!(read_time(text), Some(moment), "{text}");
        }
        assert_eq!(read_time("yesterday"), None);
        assert_eq!(read_time(""), None);
    }
}
