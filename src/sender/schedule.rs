//! Computes the retry schedule: when a failed delivery is tried again.

use std::time::Duration;

use crate::clock::UnixMillis;

/// The pauses after the first, second and third failed attempt. The help page promises them.
const SHORT: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// The later pauses, for endpoints with a long tail: just under a day in total.
const LONG: [Duration; 7] = [
    minutes(5),
    minutes(30),
    minutes(2 * 60),
    minutes(4 * 60),
    minutes(5 * 60),
    minutes(6 * 60),
    minutes(6 * 60),
];

/// The random fraction of a long-tail pause, so that deliveries that failed together are not retried together.
const JITTER: f64 = 0.1;

/// The longest `Retry-After` that is honoured.
const MAX_RETRY_AFTER: Duration = minutes(6 * 60);

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// A failed attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    /// The number of attempts, including this one.
    pub(super) tries: u32,
    /// Whether the endpoint has a long tail.
    pub(super) long_tail: bool,
    /// The `Retry-After` of the response. Only the long tail honours it.
    pub(super) retry_after: Option<Duration>,
    /// When the attempt ended.
    pub(super) at: UnixMillis,
    /// A random number from 0 to 1.
    pub(super) jitter: f64,
}

/// When the next attempt is due; `None` if none remains.
pub(super) fn next_attempt(failed: Failed) -> Option<UnixMillis> {
    let result = usize::try_from(failed.tries).unwrap_or(usize::MAX).max(1);
    let wanted = failed.retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
    if let Some(pause) = SHORT.get(result - 1) {
        return Some(failed.at.plus(if failed.long_tail { (*pause).max(wanted) } else { *pause }));
    }
    let pause = LONG.get(result - 1 - SHORT.len()).filter(|_| failed.long_tail)?;
    let jittered = pause.mul_f64(1.0 + JITTER * (2.0 * failed.jitter.clamp(0.0, 1.0) - 1.0));
    Some(failed.at.plus(jittered.max(wanted)))
}

/// A random number from 0 to 1.
pub(super) fn jitter() -> f64 {
    let mut bytes = [0; 2];
    let _ = getrandom::fill(&mut bytes);
    f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Failed =
        Failed { tries: 1, long_tail: false, retry_after: None, at: UnixMillis(5_000), jitter: 0.5 };

    fn pause(failed: Failed) -> Option<Duration> {
        next_attempt(failed).map(|due| due.since(failed.at))
    }

    #[test]
    fn four_attempts_one_two_and_four_seconds_apart() {
        let pauses: Vec<_> = (1..=5).map(|tries| pause(Failed { tries, ..FAILED })).collect();
        let seconds = |count| Some(Duration::from_secs(count));
        assert_eq!(pauses, [seconds(1), seconds(2), seconds(4), None, None]);
    }

    #[test]
    fn the_short_schedule_keeps_its_promise_whatever_the_receiver_wishes() {
        let wished = Failed { retry_after: Some(minutes(10)), ..FAILED };
        assert_eq!(pause(wished), Some(Duration::from_secs(1)));
    }

    #[test]
    fn the_long_tail_goes_on_for_about_a_day() {
        let mut total = Duration::ZERO;
        let mut tries = 0;
        while let Some(pause) = pause(Failed { tries: tries + 1, long_tail: true, ..FAILED }) {
            total += pause;
            tries += 1;
        }
        assert_eq!(tries, 10);
        assert!((23 * 60..25 * 60).contains(&(total.as_secs() / 60)), "{total:?}");
    }

    #[test]
    fn the_long_tail_scatters_and_honours_retry_after_within_bounds() {
        let failed = Failed { tries: 4, long_tail: true, ..FAILED };
        let at = |jitter| pause(Failed { jitter, ..failed }).unwrap();
        assert_eq!(at(0.0), Duration::from_secs(270));
        assert_eq!(at(1.0), Duration::from_secs(330));
        let wished = |wanted| pause(Failed { retry_after: Some(wanted), ..failed }).unwrap();
        assert_eq!(wished(minutes(1)), minutes(5));
        assert_eq!(wished(minutes(20)), minutes(20));
        assert_eq!(wished(Duration::from_secs(u64::MAX)), MAX_RETRY_AFTER);
        assert_eq!(next_attempt(Failed { tries: u32::MAX, ..failed }), None);
    }
}
