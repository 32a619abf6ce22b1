//! Implements the circuit breaker of endpoints. An endpoint without a success for a minute is held: new deliveries
//! wait, and an occasional attempt probes it. The length of a hold depends on the time without a success, never on the
//! number of failed attempts. After days of failures, the endpoint is disabled. All functions here are pure.

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::ledger::{Failure, Health};
use crate::webhook::format_span;

/// How long an endpoint must be without a success to be held. The four attempts of a delivery take seven seconds, so a
/// short outage does not cause a hold.
const HOLD_AFTER: Duration = Duration::from_secs(60);

/// The shortest pause between two probes.
const SHORTEST: Duration = Duration::from_secs(5);

/// The longest pause in the first ten minutes. A probe may take another ten seconds to fail, so a recovered receiver
/// gets events within 30 seconds.
const LONGEST_AT_FIRST: Duration = Duration::from_secs(15);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The minimum number of consecutive failures that disables an endpoint. With few calls, days without a success prove
/// little.
const MIN_FAILURES: u32 = 20;

/// The maximum time counted from before the clock was observed. A machine may start with a clock that is years off, and
/// correct it later.
const MAX_UNOBSERVED: Duration = Duration::from_secs(10 * 60);

/// For the same reason, no endpoint is disabled before the clock has been observed for this long.
pub(super) const MIN_STABLE_CLOCK: Duration = Duration::from_secs(60 * 60);

/// The limits that apply to a transition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// How long the clock has run without a step while observed.
    pub(super) stable_for: Duration,
    /// How long an endpoint may fail before it is disabled.
    pub(super) disable_after: Duration,
}

/// The change of an endpoint's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Transition {
    /// Nothing.
    Unchanged,
    /// The endpoint is held until this time, or its hold is extended.
    Hold(UnixMillis),
    /// The endpoint is disabled, for this reason.
    Disable(String),
}

/// Whether new deliveries wait.
pub(super) fn is_held(health: &Health, now: UnixMillis) -> bool {
    health.held_until.is_some_and(|until| now < until)
}

/// Whether an endpoint gets only one attempt at a time, because none has succeeded for a while.
pub(super) fn is_probing(health: &Health, now: UnixMillis) -> bool {
    health.held_until.is_some() || health.failing_since.is_some_and(|since| now.since(since) >= HOLD_AFTER)
}

/// The pause between two probes after this time without a success: seconds at first; after ten minutes, one fortieth of
/// that time.
pub(super) fn probe_interval(failing_for: Duration) -> Duration {
    let at_first = (failing_for / 12).clamp(SHORTEST, LONGEST_AT_FIRST);
    (failing_for / 40).max(at_first).min(LONGEST)
}

/// The health after a success: earlier failures no longer count.
pub(super) fn succeeded(health: Health) -> Health {
    let begins_anew = health.failing_since.is_some() || health.held_until.is_some();
    Health { epoch: health.epoch.saturating_add(u64::from(begins_anew)), ..Health::default() }
}

/// The result of an attempt, as evidence of its endpoint's health.
#[derive(Debug, Clone)]
pub(super) struct HealthSample {
    /// When the attempt ended.
    pub(super) at: UnixMillis,
    /// The epoch of the endpoint's health when the attempt began.
    pub(super) epoch: u64,
    /// Why the attempt failed, if it did.
    pub(super) failure: Option<Failure>,
}

/// The health after an attempt. `None` if the health was reset since the attempt began: the attempt then says nothing
/// about the receiver's current state.
pub(super) fn evaluate(
    before: Health,
    sample: &HealthSample,
    bounds: Bounds,
) -> Option<(Health, Transition)> {
    if sample.epoch < before.epoch {
        return None;
    }
    Some(match sample.failure {
        Some(_) => failed(before, sample.at, bounds),
        None => (succeeded(before), Transition::Unchanged),
    })
}

/// The health after a failed attempt.
pub(super) fn failed(health: Health, now: UnixMillis, bounds: Bounds) -> (Health, Transition) {
    let since = health.failing_since.unwrap_or(now);
    let failures = health.failures.saturating_add(1);
    let mut after = Health { failures, failing_since: Some(since), ..health };
    let failing_for = now.since(since);
    if failing_for >= bounds.disable_after
        && failures >= MIN_FAILURES
        && bounds.stable_for >= MIN_STABLE_CLOCK
    {
        return (after, Transition::Disable(reason(failing_for, failures)));
    }
    // Retries, resends and attempts that began before the hold add no information.
    if failing_for < HOLD_AFTER || is_held(&health, now) {
        return (after, Transition::Unchanged);
    }
    let until = now.plus(probe_interval(failing_for.min(bounds.stable_for + MAX_UNOBSERVED)));
    after.held_since = health.held_since.or(Some(now));
    after.held_until = Some(until);
    (after, Transition::Hold(until))
}

fn reason(failing_for: Duration, failures: u32) -> String {
    let whole_minutes = format_span(Duration::from_secs(failing_for.as_secs() / 60 * 60));
    format!("every attempt failed for {whole_minutes}, {failures} in a row")
}

/// Merges an endpoint's health in this process with its health in the ledger, where other processes record their
/// failures. The later epoch wins, because it began with a success or a user's action.
pub(super) fn merge(own: Health, ledger: Health) -> Health {
    match own.epoch.cmp(&ledger.epoch) {
        std::cmp::Ordering::Greater => own,
        std::cmp::Ordering::Less => ledger,
        std::cmp::Ordering::Equal => Health {
            failures: own.failures.max(ledger.failures),
            failing_since: earlier(own.failing_since, ledger.failing_since),
            held_since: earlier(own.held_since, ledger.held_since),
            held_until: own.held_until.max(ledger.held_until),
            epoch: own.epoch,
        },
    }
}

fn earlier(one: Option<UnixMillis>, other: Option<UnixMillis>) -> Option<UnixMillis> {
    one.into_iter().chain(other).min()
}

/// Corrects times in a stored health that are too late because the clock has since been set back: no failure or hold
/// begins in the future, and no hold is longer than the time without a success justifies.
pub(super) fn clamp_to_now(health: Health, now: UnixMillis) -> Health {
    let not_later = |moment: Option<UnixMillis>| moment.map(|moment| moment.min(now));
    let failing_since = not_later(health.failing_since);
    let failing_for = failing_since.map_or(Duration::ZERO, |since| now.since(since));
    let longest = now.plus(probe_interval(failing_for));
    Health {
        failing_since,
        held_since: not_later(health.held_since),
        held_until: health.held_until.map(|until| until.min(longest)),
        ..health
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE_DAYS: Duration = Duration::from_secs(5 * 24 * 60 * 60);
    const DAYS: Bounds = Bounds { stable_for: FIVE_DAYS, disable_after: FIVE_DAYS };
    const START: UnixMillis = UnixMillis(1_000_000_000);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Fails every probe; returns the seconds of the probes.
    fn tried_at(last: u64, between: Duration) -> Vec<u64> {
        let (mut health, mut now, mut tried) = (Health::default(), START, Vec::new());
        while now.since(START) <= seconds(last) {
            tried.push(now.since(START).as_secs());
            let (after, transition) = failed(health, now, DAYS);
            health = after;
            now = match transition {
                Transition::Hold(until) => until,
                _ => now.plus(between),
            };
        }
        tried
    }

    #[test]
    fn failures_of_less_than_a_minute_hold_nothing_however_many() {
        let mut health = Health::default();
        for millisecond in 0..60_000 {
            let (after, transition) = failed(health, START.plus(Duration::from_millis(millisecond)), DAYS);
            assert_eq!(transition, Transition::Unchanged);
            health = after;
        }
    }

    #[test]
    fn a_hold_follows_the_time_and_not_the_attempts() {
        let after_many = {
            let mut health = Health::default();
            for millisecond in 0..60_001 {
                health = failed(health, START.plus(Duration::from_millis(millisecond)), DAYS).0;
            }
            health.held_until
        };
        let few = failed(failed(Health::default(), START, DAYS).0, START.plus(seconds(60)), DAYS).0;
        assert_eq!(after_many, few.held_until);
        assert_eq!(few.held_until, Some(START.plus(seconds(65))));
    }

    #[test]
    fn in_the_first_ten_minutes_a_held_endpoint_is_tried_every_few_seconds() {
        let tried = tried_at(600, seconds(1));
        assert!(tried.windows(2).all(|pair| pair[1] - pair[0] <= 15), "{tried:?}");
        let late = tried_at(24 * 3_600, seconds(1));
        let last: Vec<_> = late.windows(2).map(|pair| pair[1] - pair[0]).rev().take(3).collect();
        assert_eq!(last, [900, 900, 900]);
        // A dead endpoint gets few attempts in two days.
        assert!(late.len() < 400, "{}", late.len());
    }

    #[test]
    fn what_was_under_way_when_the_hold_began_does_not_lengthen_it() {
        let begun =
            failed(Health { failing_since: Some(START), ..Health::default() }, START.plus(seconds(90)), DAYS)
                .0;
        let (after, transition) = failed(begun, START.plus(seconds(91)), DAYS);
        assert_eq!((transition, after.held_until), (Transition::Unchanged, begun.held_until));
        assert_eq!(after.held_since, Some(START.plus(seconds(90))));
    }

    #[test]
    fn after_days_it_is_disabled_and_the_reason_says_so() {
        let health = Health { failures: 99, failing_since: Some(UnixMillis(0)), ..Health::default() };
        let (_, transition) = failed(health, UnixMillis(0).plus(FIVE_DAYS), DAYS);
        let Transition::Disable(reason) = transition else { panic!("{transition:?}") };
        assert_eq!(reason, "every attempt failed for 5 days, 100 in a row");
        // A clock that was not observed proves nothing.
        let now = UnixMillis(0).plus(FIVE_DAYS);
        let (_, transition) = failed(health, now, Bounds { stable_for: Duration::ZERO, ..DAYS });
        assert_eq!(transition, Transition::Hold(now.plus(LONGEST_AT_FIRST)));
        // Two calls a week apart prove nothing either.
        let (_, transition) = failed(Health { failures: 4, ..health }, UnixMillis(0).plus(FIVE_DAYS), DAYS);
        assert!(matches!(transition, Transition::Hold(_)));
    }

    #[test]
    fn what_a_person_did_wins_over_what_a_process_remembers() {
        let held = Health {
            failures: 40,
            failing_since: Some(START),
            held_since: Some(START),
            held_until: Some(START.plus(seconds(900))),
            epoch: 3,
        };
        let anew = Health { epoch: 4, ..Health::default() };
        assert_eq!(merge(held, anew), anew);
        assert_eq!(merge(anew, held), anew);
        assert_eq!(succeeded(held), anew);
        let elsewhere = Health { held_until: Some(START.plus(seconds(1_000))), failures: 2, ..held };
        let both = Health { failures: 40, ..elsewhere };
        assert_eq!((merge(held, elsewhere), merge(elsewhere, held)), (both, both));
    }

    #[test]
    fn a_stored_hold_lasts_no_longer_than_it_can() {
        let hour = seconds(3_600);
        let health = Health {
            failures: 40,
            failing_since: Some(START.minus(seconds(120))),
            held_since: Some(START),
            held_until: Some(START.plus(seconds(10))),
            epoch: 0,
        };
        assert_eq!(clamp_to_now(health, START), health);
        let back = START.minus(hour);
        let set_back = clamp_to_now(health, back);
        assert_eq!(set_back.failing_since, Some(back));
        assert_eq!(set_back.held_until, Some(back.plus(SHORTEST)));
    }
}
