//! One endpoint: what it has under way, what stands in its lines, and how much it may have.

use std::time::Duration;

use super::window::Window;
use super::{Candidate, Feedback, Limits};
use crate::clock::UnixMillis;
use crate::ledger::{Health, Lane};
use crate::sender::circuit_breaker;
use crate::sender::sender_clock::ClockStep;

/// Test events of one endpoint at once. They have places of their own beside its window, so that a person who tests sees
/// what comes of it, whatever the endpoint is busy with.
const TEST_SLOTS: usize = 4;

/// What a person has sent again gets up to this many places, however small failures have left the window.
const RESEND_SLOTS: usize = 4;

/// How many deliveries stand in a line, as far as this process knows.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct QueueDepth(usize);

impl QueueDepth {
    const LONG: usize = usize::MAX;

    pub(super) fn set_unknown(&mut self) {
        self.0 = Self::LONG;
    }

    pub(super) fn add(&mut self, count: usize) {
        self.0 = self.0.saturating_add(count);
    }

    pub(super) fn take(&mut self, count: usize, were_all: bool) {
        if were_all {
            self.0 = 0;
        } else if self.0 != Self::LONG {
            self.0 = self.0.saturating_sub(count);
        }
    }

    pub(super) fn exceeds(self, count: usize) -> bool {
        self.0 > count
    }
}

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) workspace: String,
    /// Attempts under way in each lane.
    in_flight_by_lane: [usize; 4],
    depths: [QueueDepth; 4],
    window: Window,
    /// The owner's own limit.
    cap: usize,
    /// The pause between two attempts, if its owner limits how many it gets a second.
    pace: Option<Duration>,
    free_at: UnixMillis,
    pub(super) health: Health,
    /// Whether the lane of retries had the last turn.
    retry_last: bool,
    /// When it got its last place.
    turn: u64,
    used_at: UnixMillis,
}

impl Endpoint {
    pub(super) fn new(workspace: &str) -> Self {
        Self {
            workspace: workspace.to_owned(),
            in_flight_by_lane: [0; 4],
            depths: [QueueDepth::default(); 4],
            window: Window::default(),
            cap: usize::MAX,
            pace: None,
            free_at: UnixMillis(0),
            health: Health::default(),
            retry_last: false,
            turn: 0,
            used_at: UnixMillis(0),
        }
    }

    /// Takes over what the ledger says: limits may have been changed, failures forgotten by hand.
    pub(super) fn update_limits(&mut self, candidate: &Candidate<'_>) {
        let cap = candidate.concurrency.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        self.cap = cap.unwrap_or(usize::MAX);
        self.pace = candidate.per_second.map(|count| Duration::from_secs(1) / count.max(1));
        self.merge_health(candidate.health);
    }

    /// Puts together what is known of its health here and in the ledger.
    pub(super) fn merge_health(&mut self, ledger: Health) {
        if ledger.epoch > self.health.epoch && ledger.failing_since.is_none() {
            // Something was done about it: it has the places of an endpoint that is new, at least.
            self.window.reset();
        }
        self.health = circuit_breaker::merge(self.health, ledger);
    }

    /// The wall clock was set: what was scheduled moves with it.
    pub(super) fn apply_clock_step(&mut self, step: ClockStep) {
        self.free_at = step.shift(self.free_at);
        self.used_at = step.shift(self.used_at);
        for moment in
            [&mut self.health.failing_since, &mut self.health.held_since, &mut self.health.held_until]
        {
            *moment = moment.map(|moment| step.shift(moment));
        }
    }

    pub(super) fn depth(&self, lane: Lane) -> QueueDepth {
        let [first, retry, test, resend] = self.depths;
        match lane {
            Lane::First => first,
            Lane::Retry => retry,
            Lane::Test => test,
            Lane::Resend => resend,
        }
    }

    pub(super) fn depth_mut(&mut self, lane: Lane) -> &mut QueueDepth {
        let [first, retry, test, resend] = &mut self.depths;
        match lane {
            Lane::First => first,
            Lane::Retry => retry,
            Lane::Test => test,
            Lane::Resend => resend,
        }
    }

    pub(super) fn has_queue(&self) -> bool {
        self.depths.iter().any(|line| line.exceeds(0))
    }

    pub(super) fn in_flight_in(&self, lane: Lane) -> usize {
        let [first, retry, test, resend] = self.in_flight_by_lane;
        match lane {
            Lane::First => first,
            Lane::Retry => retry,
            Lane::Test => test,
            Lane::Resend => resend,
        }
    }

    fn in_flight_mut(&mut self, lane: Lane) -> &mut usize {
        let [first, retry, test, resend] = &mut self.in_flight_by_lane;
        match lane {
            Lane::First => first,
            Lane::Retry => retry,
            Lane::Test => test,
            Lane::Resend => resend,
        }
    }

    /// What counts against its window: tests have their own room.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight_in(Lane::First) + self.in_flight_in(Lane::Retry) + self.in_flight_in(Lane::Resend)
    }

    pub(super) fn limit(&self, now: UnixMillis) -> usize {
        if circuit_breaker::is_probing(&self.health, now) { 1 } else { self.window.size().min(self.cap) }
    }

    /// Whether new deliveries wait, because it has taken nothing for so long.
    pub(super) fn is_held(&self, now: UnixMillis) -> bool {
        circuit_breaker::is_held(&self.health, now)
    }

    /// How many more attempts it takes now, beside tests and what a person asks for.
    pub(super) fn room(&self, now: UnixMillis) -> usize {
        self.room_below(self.limit(now), now)
    }

    /// What a person asks for does not wait until a failing endpoint has won its places back.
    pub(super) fn room_for_resends(&self, now: UnixMillis) -> usize {
        self.room_below(self.window.size().max(RESEND_SLOTS).min(self.cap), now)
    }

    fn room_below(&self, limit: usize, now: UnixMillis) -> usize {
        if self.free_at > now {
            return 0;
        }
        let room = limit.saturating_sub(self.in_flight());
        if self.pace.is_some() { room.min(1) } else { room }
    }

    /// Retries take half of an endpoint's places at most: first attempts have a lane of their own.
    pub(super) fn room_for_retries(&self, now: UnixMillis) -> usize {
        self.limit(now).div_ceil(2).saturating_sub(self.in_flight_in(Lane::Retry))
    }

    pub(super) fn room_for_tests(&self) -> usize {
        TEST_SLOTS.saturating_sub(self.in_flight_in(Lane::Test))
    }

    /// Whether an attempt is likely to fail or to hang.
    pub(super) fn is_degraded(&self, lane: Lane) -> bool {
        match lane {
            Lane::First => self.health.failures > 0,
            Lane::Retry => true,
            // There are few, and a person waits for each.
            Lane::Test | Lane::Resend => false,
        }
    }

    pub(super) fn retry_last(&self) -> bool {
        self.retry_last
    }

    pub(super) fn turn(&self) -> u64 {
        self.turn
    }

    pub(super) fn used_at(&self) -> UnixMillis {
        self.used_at
    }

    pub(super) fn is_busy(&self) -> bool {
        self.has_queue() || self.in_flight_by_lane.iter().any(|count| *count > 0)
    }

    /// An attempt begins, if there is room for it.
    pub(super) fn begin(&mut self, lane: Lane, turn: u64, now: UnixMillis) -> bool {
        let room = match lane {
            Lane::First if self.is_held(now) => 0,
            Lane::First => self.room(now),
            Lane::Retry => self.room(now).min(self.room_for_retries(now)),
            Lane::Resend => self.room_for_resends(now),
            Lane::Test => self.room_for_tests(),
        };
        if room == 0 {
            return false;
        }
        *self.in_flight_mut(lane) += 1;
        self.turn = turn;
        self.used_at = now;
        if matches!(lane, Lane::First | Lane::Retry) {
            self.retry_last = lane == Lane::Retry;
        }
        if let Some(pace) = self.pace.filter(|_| lane != Lane::Test) {
            self.free_at = self.free_at.max(now).plus(pace);
        }
        true
    }

    /// An attempt ended.
    pub(super) fn end(&mut self, lane: Lane, outcome: Option<Feedback>, limits: &Limits, now: UnixMillis) {
        // At least half of the window was in use, or somebody stands in line for it.
        let in_use = self.in_flight() * 2 >= self.window.size() || self.depth(Lane::First).exceeds(0);
        let in_flight_by_lane = self.in_flight_mut(lane);
        *in_flight_by_lane = in_flight_by_lane.saturating_sub(1);
        self.used_at = now;
        let Some(outcome) = outcome else { return };
        if outcome.succeeded {
            let bound = limits.attempts_per_endpoint.min(self.cap);
            self.window.succeeded(outcome.took, in_use, bound, limits.attempt_timeout);
        } else {
            self.window.failed();
        }
    }

    /// When it may be sent to again, if only its pace or its hold is in the way.
    pub(super) fn next_turn(&self, now: UnixMillis) -> Option<UnixMillis> {
        // A hold is in the way of first attempts alone.
        let others = [Lane::Retry, Lane::Resend].iter().any(|lane| self.depth(*lane).exceeds(0));
        let held_until = if others { None } else { self.health.held_until };
        let at = self.free_at.max(held_until.unwrap_or_default());
        (self.in_flight() < self.limit(now) && at > now).then_some(at)
    }
}
