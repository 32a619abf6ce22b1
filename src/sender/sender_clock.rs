//! Implements the sender's clock. It runs on the monotonic clock, and every poll compares it with the wall clock. After
//! a step of the wall clock, schedules are shifted, so that pauses keep their length. All functions here are pure.

use std::time::Duration;

use crate::clock::{Reading, UnixMillis};
use crate::ledger::Health;

/// Smaller differences are not steps but normal clock adjustments.
const MAX_SLEW: Duration = Duration::from_secs(2);

/// How long a wall clock that stepped forwards is not trusted for decisions that cannot be undone.
const TRUST_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A step of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockStep {
    /// The time that it would have shown.
    pub(crate) from: UnixMillis,
    /// The time that it shows.
    pub(crate) to: UnixMillis,
}

impl ClockStep {
    /// Converts a time from before the step.
    pub(super) fn shift(self, moment: UnixMillis) -> UnixMillis {
        moment.plus(self.to.since(self.from)).minus(self.from.since(self.to))
    }

    /// Converts the times of a health from before the step.
    pub(super) fn shift_health(self, health: Health) -> Health {
        let shift = |moment: Option<UnixMillis>| moment.map(|moment| self.shift(moment));
        Health {
            failing_since: shift(health.failing_since),
            held_since: shift(health.held_since),
            held_until: shift(health.held_until),
            ..health
        }
    }
}

/// The clock of the schedules.
#[derive(Debug, Clone, Copy)]
pub(super) struct SenderClock {
    anchor: Reading,
    /// How far the wall clock recently stepped forwards, and when it is trusted again.
    forward_step: Duration,
    trusted_at: Duration,
    /// Since when the wall clock has run without a step while observed.
    stable_since: Duration,
}

impl SenderClock {
    pub(super) fn new(reading: Reading) -> Self {
        Self {
            anchor: reading,
            forward_step: Duration::ZERO,
            trusted_at: Duration::ZERO,
            stable_since: reading.steady,
        }
    }

    /// The current time: that of the wall clock, unless it has made a step since the last poll.
    pub(super) fn now(&self, reading: Reading) -> UnixMillis {
        self.anchor.wall.plus(reading.steady.saturating_sub(self.anchor.steady))
    }

    /// Compares the clock with the wall clock. The caller must [apply](Self::apply) a step.
    pub(super) fn detect_step(&mut self, reading: Reading) -> Option<ClockStep> {
        let step = ClockStep { from: self.now(reading), to: reading.wall };
        let size = step.to.since(step.from).max(step.from.since(step.to));
        if size > MAX_SLEW {
            return Some(step);
        }
        self.anchor = reading;
        None
    }

    /// Adopts the wall clock after a step.
    pub(super) fn apply(&mut self, step: ClockStep, reading: Reading) {
        let ahead = self.untrusted(reading).saturating_add(step.to.since(step.from));
        self.forward_step = ahead.saturating_sub(step.from.since(step.to));
        self.trusted_at = reading.steady.saturating_add(TRUST_AFTER);
        self.stable_since = reading.steady;
        self.anchor = Reading { wall: step.to, ..reading };
    }

    /// The time for decisions that cannot be undone. A wall clock that is wrong for less than a day deletes nothing.
    pub(super) fn conservative_now(&self, reading: Reading) -> UnixMillis {
        self.now(reading).minus(self.untrusted(reading))
    }

    /// How long the wall clock has run without a step while observed.
    pub(super) fn stable_for(&self, reading: Reading) -> Duration {
        reading.steady.saturating_sub(self.stable_since)
    }

    fn untrusted(&self, reading: Reading) -> Duration {
        if reading.steady < self.trusted_at { self.forward_step } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);
    const START: Reading = Reading { wall: UnixMillis(4_000_000_000_000), steady: HOUR };

    fn after(passed: Duration, wall: UnixMillis) -> Reading {
        Reading { wall, steady: START.steady + passed }
    }

    #[test]
    fn a_clock_that_is_kept_right_in_small_steps_does_not_jump() {
        let mut sender_clock = SenderClock::new(START);
        let mut wall = START.wall;
        for second in 1..1_000 {
            wall = wall.plus(Duration::from_millis(1_200));
            let reading = after(Duration::from_secs(second), wall);
            assert_eq!(sender_clock.detect_step(reading), None);
            assert_eq!(sender_clock.now(reading), wall);
        }
    }

    #[test]
    fn time_goes_on_through_a_jump_until_it_is_followed() {
        for to in [START.wall.minus(HOUR), START.wall.plus(HOUR), START.wall.plus(TEN_YEARS), UnixMillis(0)] {
            let mut sender_clock = SenderClock::new(START);
            let reading = after(Duration::from_secs(1), to.plus(Duration::from_secs(1)));
            let from = START.wall.plus(Duration::from_secs(1));
            assert_eq!(sender_clock.now(reading), from);
            let step = sender_clock.detect_step(reading).unwrap();
            assert_eq!(step, ClockStep { from, to: reading.wall });
            let due = from.plus(Duration::from_secs(4));
            assert_eq!(step.shift(due), reading.wall.plus(Duration::from_secs(4)));
            sender_clock.apply(step, reading);
            assert_eq!(sender_clock.now(reading), reading.wall);
            assert_eq!(sender_clock.detect_step(reading), None);
        }
    }

    #[test]
    fn what_cannot_be_undone_waits_a_day_for_a_clock_that_jumped_forwards() {
        let mut sender_clock = SenderClock::new(START);
        let wrong = after(Duration::ZERO, START.wall.plus(TEN_YEARS));
        let step = sender_clock.detect_step(wrong).unwrap();
        sender_clock.apply(step, wrong);
        assert_eq!(sender_clock.conservative_now(wrong), START.wall);
        let day_later = after(TRUST_AFTER, wrong.wall.plus(TRUST_AFTER));
        assert_eq!(sender_clock.conservative_now(day_later), day_later.wall);
        // The clock is corrected within the day.
        let right = after(HOUR, START.wall.plus(HOUR));
        let step = sender_clock.detect_step(right).unwrap();
        sender_clock.apply(step, right);
        assert_eq!(sender_clock.conservative_now(right), right.wall);
    }
}
