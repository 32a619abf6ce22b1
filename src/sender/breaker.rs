//! Endpoints that fail again and again are held: one attempt now and then looks whether they are back. After days they
//! are disabled. Pure: health and moment in, health and verdict out.

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::ledger::Health;

/// So many failed attempts in a row …
const FAILURES: u32 = 20;

/// … over so long a time, and the endpoint is taken for dead. Four attempts take seven seconds, so a short outage under
/// load does not count.
const FAILING_FOR: Duration = Duration::from_secs(60);

/// The first pause; each further failure doubles it.
const FIRST_HOLD: Duration = Duration::from_secs(30);

/// The longest pause: how late an endpoint that is back may be noticed.
const LONGEST_HOLD: Duration = Duration::from_secs(15 * 60);

/// What follows for the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    GoOn,
    /// Nothing is sent for a while.
    Hold(UnixMillis),
    /// It failed for so long that somebody has to look.
    Disable(String),
}

/// Whether so many attempts failed that the endpoint is tried by one at a time.
pub(super) fn is_tried_gently(health: &Health) -> bool {
    health.held_until.is_some()
}

/// An attempt failed.
pub(super) fn failed(health: Health, now: UnixMillis, disable_after: Duration) -> (Health, Verdict) {
    let since = health.failing_since.unwrap_or(now);
    let failures = health.failures.saturating_add(1);
    let mut after = Health { failures, failing_since: Some(since), held_until: health.held_until };
    let failing_for = now.since(since);
    if failures < FAILURES || failing_for < FAILING_FOR {
        return (after, Verdict::GoOn);
    }
    if failing_for >= disable_after {
        let whole_minutes = Duration::from_secs(failing_for.as_secs() / 60 * 60);
        let reason = format!(
            "every attempt failed for {}, {failures} in a row",
            humantime::format_duration(whole_minutes)
        );
        return (after, Verdict::Disable(reason));
    }
    // Attempts that were under way when the hold began say nothing new.
    if health.held_until.is_some_and(|until| now < until) {
        return (after, Verdict::GoOn);
    }
    let doublings = (failures - FAILURES).min(16);
    let hold = FIRST_HOLD.saturating_mul(1 << doublings).min(LONGEST_HOLD);
    let until = now.plus(hold);
    after.held_until = Some(until);
    (after, Verdict::Hold(until))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: Duration = Duration::from_secs(5 * 24 * 60 * 60);

    /// Fails once every `pause` until the verdict is another than to go on.
    fn fail_until_verdict(
        mut health: Health,
        mut now: UnixMillis,
        pause: Duration,
    ) -> (Health, UnixMillis, Verdict) {
        for _ in 0..1_000_000 {
            now = now.plus(pause);
            let (after, verdict) = failed(health, now, DAYS);
            health = after;
            if verdict != Verdict::GoOn {
                return (health, now, verdict);
            }
        }
        panic!("no verdict");
    }

    #[test]
    fn a_burst_of_failures_is_no_dead_endpoint() {
        let mut health = Health::default();
        for millisecond in 0..10_000 {
            let (after, verdict) = failed(health, UnixMillis(millisecond), DAYS);
            assert_eq!(verdict, Verdict::GoOn);
            health = after;
        }
    }

    #[test]
    fn an_endpoint_that_fails_for_a_minute_is_held_longer_each_time() {
        let (mut health, mut now, verdict) =
            fail_until_verdict(Health::default(), UnixMillis(0), Duration::from_secs(4));
        assert_eq!(verdict, Verdict::Hold(now.plus(FIRST_HOLD)));
        let mut last = Duration::ZERO;
        for _ in 0..10 {
            let until = health.held_until.unwrap();
            let (after, verdict) = failed(health, until, DAYS);
            let Verdict::Hold(next) = verdict else { panic!("{verdict:?}") };
            assert!(next.since(until) >= last && next.since(until) <= LONGEST_HOLD);
            last = next.since(until);
            (health, now) = (after, until);
        }
        assert_eq!(last, LONGEST_HOLD);
        assert!(now > UnixMillis(0));
    }

    #[test]
    fn what_was_under_way_when_the_hold_began_does_not_lengthen_it() {
        let (health, now, _) = fail_until_verdict(Health::default(), UnixMillis(0), Duration::from_secs(4));
        let (after, verdict) = failed(health, now.plus(Duration::from_secs(1)), DAYS);
        assert_eq!(verdict, Verdict::GoOn);
        assert_eq!(after.held_until, health.held_until);
    }

    #[test]
    fn after_days_it_is_disabled_and_the_reason_says_so() {
        let health = Health { failures: 99, failing_since: Some(UnixMillis(0)), held_until: None };
        let (_, verdict) = failed(health, UnixMillis(0).plus(DAYS), DAYS);
        let Verdict::Disable(reason) = verdict else { panic!("{verdict:?}") };
        assert_eq!(reason, "every attempt failed for 5days, 100 in a row");
    }
}
