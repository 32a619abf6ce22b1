//! The sender's time. It goes on by the clock that nobody sets, and is held against the wall clock at every look: when
//! that jumps, what was scheduled is moved with it, so that a pause takes as long as it should. Pure: readings in.

use std::time::Duration;

use crate::clock::{Reading, UnixMillis};

/// Steps up to this are no jumps: clocks are kept right in small ones.
const SMALL_STEP: Duration = Duration::from_secs(2);

/// A wall clock that jumped forwards is not believed for so long where what follows cannot be undone.
const DOUBT: Duration = Duration::from_secs(24 * 60 * 60);

/// The wall clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Jump {
    /// What it would have said.
    pub(crate) from: UnixMillis,
    /// What it says.
    pub(crate) to: UnixMillis,
}

impl Jump {
    /// A moment before the jump, in the time after it.
    pub(super) fn moved(self, moment: UnixMillis) -> UnixMillis {
        moment.plus(self.to.since(self.from)).minus(self.from.since(self.to))
    }
}

/// The time it is for the sender.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeline {
    anchor: Reading,
    /// How far the wall clock jumped forwards lately, and by when it is believed.
    ahead: Duration,
    believed: Duration,
    /// Since when it has not jumped while we watched.
    since: Duration,
}

impl Timeline {
    pub(super) fn new(reading: Reading) -> Self {
        Self { anchor: reading, ahead: Duration::ZERO, believed: Duration::ZERO, since: reading.steady }
    }

    /// The time it is: that of the wall clock, unless this jumped since it was looked at.
    pub(super) fn now(&self, reading: Reading) -> UnixMillis {
        self.anchor.wall.plus(reading.steady.saturating_sub(self.anchor.steady))
    }

    /// Looks at the wall clock. A jump has to be [followed](Self::follow).
    pub(super) fn look(&mut self, reading: Reading) -> Option<Jump> {
        let jump = Jump { from: self.now(reading), to: reading.wall };
        let step = jump.to.since(jump.from).max(jump.from.since(jump.to));
        if step > SMALL_STEP {
            return Some(jump);
        }
        self.anchor = reading;
        None
    }

    /// From now on it is the time of the wall clock again.
    pub(super) fn follow(&mut self, jump: Jump, reading: Reading) {
        let ahead = self.doubtful(reading).saturating_add(jump.to.since(jump.from));
        self.ahead = ahead.saturating_sub(jump.from.since(jump.to));
        self.believed = reading.steady.saturating_add(DOUBT);
        self.since = reading.steady;
        self.anchor = Reading { wall: jump.to, ..reading };
    }

    /// The time it is for what cannot be undone. A wall clock that is wrong for less than a day deletes nothing.
    pub(super) fn cautious_now(&self, reading: Reading) -> UnixMillis {
        self.now(reading).minus(self.doubtful(reading))
    }

    /// For how long the wall clock has been watched and did not jump.
    pub(super) fn watched(&self, reading: Reading) -> Duration {
        reading.steady.saturating_sub(self.since)
    }

    fn doubtful(&self, reading: Reading) -> Duration {
        if reading.steady < self.believed { self.ahead } else { Duration::ZERO }
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
        let mut timeline = Timeline::new(START);
        let mut wall = START.wall;
        for second in 1..1_000 {
            wall = wall.plus(Duration::from_millis(1_200));
            let reading = after(Duration::from_secs(second), wall);
            assert_eq!(timeline.look(reading), None);
            assert_eq!(timeline.now(reading), wall);
        }
    }

    #[test]
    fn time_goes_on_through_a_jump_until_it_is_followed() {
        for to in [START.wall.minus(HOUR), START.wall.plus(HOUR), START.wall.plus(TEN_YEARS), UnixMillis(0)] {
            let mut timeline = Timeline::new(START);
            let reading = after(Duration::from_secs(1), to.plus(Duration::from_secs(1)));
            let from = START.wall.plus(Duration::from_secs(1));
            assert_eq!(timeline.now(reading), from);
            let jump = timeline.look(reading).unwrap();
            assert_eq!(jump, Jump { from, to: reading.wall });
            let due = from.plus(Duration::from_secs(4));
            assert_eq!(jump.moved(due), reading.wall.plus(Duration::from_secs(4)));
            timeline.follow(jump, reading);
            assert_eq!(timeline.now(reading), reading.wall);
            assert_eq!(timeline.look(reading), None);
        }
    }

    #[test]
    fn what_cannot_be_undone_waits_a_day_for_a_clock_that_jumped_forwards() {
        let mut timeline = Timeline::new(START);
        let wrong = after(Duration::ZERO, START.wall.plus(TEN_YEARS));
        let jump = timeline.look(wrong).unwrap();
        timeline.follow(jump, wrong);
        assert_eq!(timeline.cautious_now(wrong), START.wall);
        let day_later = after(DOUBT, wrong.wall.plus(DOUBT));
        assert_eq!(timeline.cautious_now(day_later), day_later.wall);
        // Set right again within the day.
        let right = after(HOUR, START.wall.plus(HOUR));
        let jump = timeline.look(right).unwrap();
        timeline.follow(jump, right);
        assert_eq!(timeline.cautious_now(right), right.wall);
    }
}
