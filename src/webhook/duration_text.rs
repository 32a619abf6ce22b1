//! Formats durations for sentences.

use std::time::Duration;

/// Formats a duration in its largest unit (`3 days`), with one decimal below ten seconds (`2.5 s`), and in milliseconds
/// below a twentieth of a second.
#[must_use]
pub fn format_span(span: Duration) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "day"), (3600, "hour"), (60, "minute")];
    let seconds = span.as_secs();
    // Uses a unit only from two of it on, or for exactly one: `90 s` is more exact than `1 minute`.
    match UNITS.iter().find(|(length, _)| seconds == *length || seconds >= 2 * length) {
        Some((length, unit)) if seconds == *length => format!("1 {unit}"),
        Some((length, unit)) => format!("{} {unit}s", seconds / length),
        None if span < Duration::from_millis(50) => format!("{} ms", span.as_millis().max(1)),
        None if span.subsec_millis() >= 50 && seconds < 60 => format!("{:.1} s", span.as_secs_f64()),
        None => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_in_one_unit() {
        let said = |seconds| format_span(Duration::from_secs_f64(seconds));
        assert_eq!((said(0.0), said(0.012), said(0.4)), ("1 ms".into(), "12 ms".into(), "0.4 s".into()));
        assert_eq!(said(10.0), "10 s");
        assert_eq!(said(2.46), "2.5 s");
        assert_eq!(said(11.2), "11.2 s");
        assert_eq!(said(60.0), "1 minute");
        assert_eq!(said(90.0), "90 s");
        assert_eq!(said(150.0), "2 minutes");
        assert_eq!(said(86_400.0), "1 day");
        assert_eq!(said(3.2 * 86_400.0), "3 days");
    }
}
