//! Tracks one endpoint: its attempts in flight, its queues and its limits.

use std::time::Duration;

use super::per_lane::PerLane;
use super::slot::{Candidate, Feedback, Limits};
use super::window::Window;
use crate::clock::UnixMillis;
use crate::ledger::{Health, Lane};
use crate::sender::circuit_breaker;
use crate::sender::sender_clock::ClockStep;

/// An endpoint's slots for test events. They do not count against its window, so that a test succeeds even if the
/// endpoint is busy.
const TEST_SLOTS: usize = 4;

/// An endpoint's minimum slots for resends, even if failures have shrunk its window.
const RESEND_SLOTS: usize = 4;

/// How many deliveries are in a queue, as far as this process knows.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct QueueDepth(usize);

impl QueueDepth {
    const UNKNOWN: usize = usize::MAX;

    pub(super) fn set_unknown(&mut self) {
        self.0 = Self::UNKNOWN;
    }

    pub(super) fn add(&mut self, count: usize) {
        self.0 = self.0.saturating_add(count);
    }

    pub(super) fn take(&mut self, count: usize, is_empty: bool) {
        if is_empty {
            self.0 = 0;
        } else if self.0 != Self::UNKNOWN {
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
    in_flight: PerLane<usize>,
    depths: PerLane<QueueDepth>,
    window: Window,
    /// The owner's limit.
    cap: usize,
    /// The pause between two attempts, if the owner limits the rate.
    pace: Option<Duration>,
    free_at: UnixMillis,
    pub(super) health: Health,
    /// Whether the last slot went to a retry.
    pub(super) retry_last: bool,
    /// The turn in which the endpoint got its last slot.
    pub(super) turn: u64,
    pub(super) used_at: UnixMillis,
}

impl Endpoint {
    pub(super) fn new(workspace: &str) -> Self {
        Self {
            workspace: workspace.to_owned(),
            in_flight: PerLane::default(),
            depths: PerLane::default(),
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

    /// Takes limits and health from the ledger, where a user may have changed or reset them.
    pub(super) fn update_limits(&mut self, candidate: &Candidate<'_>) {
        let cap = candidate.concurrency.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        self.cap = cap.unwrap_or(usize::MAX);
        self.pace = candidate.per_second.map(|count| Duration::from_secs(1) / count.max(1));
        self.merge_health(candidate.health);
    }

    /// Merges the health with the health in the ledger.
    pub(super) fn merge_health(&mut self, ledger: Health) {
        if ledger.epoch > self.health.epoch && ledger.failing_since.is_none() {
            // A user has reset the health, so the endpoint gets at least the window of a new endpoint.
            self.window.reset();
        }
        self.health = circuit_breaker::merge(self.health, ledger);
    }

    /// Shifts times after a step of the wall clock.
    pub(super) fn apply_clock_step(&mut self, step: ClockStep) {
        self.free_at = step.shift(self.free_at);
        self.used_at = step.shift(self.used_at);
        self.health = step.shift_health(self.health);
    }

    pub(super) fn depth(&self, lane: Lane) -> QueueDepth {
        self.depths.get(lane)
    }

    pub(super) fn depth_mut(&mut self, lane: Lane) -> &mut QueueDepth {
        self.depths.get_mut(lane)
    }

    pub(super) fn has_queue(&self) -> bool {
        Lane::ALL.iter().any(|lane| self.depth(*lane).exceeds(0))
    }

    /// The attempts that count against its window.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.in_window()
    }

    pub(super) fn limit(&self, now: UnixMillis) -> usize {
        if circuit_breaker::is_probing(&self.health, now) { 1 } else { self.window.size().min(self.cap) }
    }

    /// Whether new deliveries wait because no attempt has succeeded for a while.
    pub(super) fn is_held(&self, now: UnixMillis) -> bool {
        circuit_breaker::is_held(&self.health, now)
    }

    /// The room for first attempts and retries.
    pub(super) fn room(&self, now: UnixMillis) -> usize {
        self.room_below(self.limit(now), now)
    }

    /// The room for resends, which do not wait until a failing endpoint has regained its window.
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

    /// The room for retries. They take at most half of an endpoint's window; the rest is for first attempts.
    pub(super) fn room_for_retries(&self, now: UnixMillis) -> usize {
        self.limit(now).div_ceil(2).saturating_sub(self.in_flight.get(Lane::Retry))
    }

    pub(super) fn room_for_tests(&self) -> usize {
        TEST_SLOTS.saturating_sub(self.in_flight.get(Lane::Test))
    }

    /// Whether an attempt is likely to fail or to hang.
    pub(super) fn is_degraded(&self, lane: Lane) -> bool {
        match lane {
            Lane::First => self.health.failures > 0,
            Lane::Retry => true,
            // There are few of them, and a user is waiting for each.
            Lane::Test | Lane::Resend => false,
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.has_queue() || Lane::ALL.iter().any(|lane| self.in_flight.get(*lane) > 0)
    }

    /// Begins an attempt, if there is room for it.
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
        *self.in_flight.get_mut(lane) += 1;
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

    /// Begins an attempt again, whose limits may have changed since it began.
    pub(super) fn begin_again(&mut self, lane: Lane, turn: u64, now: UnixMillis) -> bool {
        let before = self.in_flight.get(lane);
        *self.in_flight.get_mut(lane) = before.saturating_sub(1);
        let begun = self.begin(lane, turn, now);
        *self.in_flight.get_mut(lane) = before;
        begun
    }

    /// Whether the owner limits the rate.
    pub(super) fn has_pace(&self) -> bool {
        self.pace.is_some()
    }

    /// Ends an attempt.
    pub(super) fn end(&mut self, lane: Lane, outcome: Option<Feedback>, limits: &Limits, now: UnixMillis) {
        // At least half of the window was in use, or first attempts were queued.
        let in_use = self.in_flight() * 2 >= self.window.size() || self.depth(Lane::First).exceeds(0);
        let in_flight = self.in_flight.get_mut(lane);
        *in_flight = in_flight.saturating_sub(1);
        self.used_at = now;
        let Some(outcome) = outcome else { return };
        if outcome.succeeded {
            let bound = limits.attempts_per_endpoint.min(self.cap);
            self.window.succeeded(outcome.took, in_use, bound, limits.attempt_timeout);
        } else {
            self.window.failed();
        }
    }

    /// When the endpoint may get its next attempt, if only its rate limit or its hold delays that.
    pub(super) fn next_turn(&self, now: UnixMillis) -> Option<UnixMillis> {
        // A hold delays first attempts only.
        let others = [Lane::Retry, Lane::Resend].iter().any(|lane| self.depth(*lane).exceeds(0));
        let held_until = if others { None } else { self.health.held_until };
        let at = self.free_at.max(held_until.unwrap_or_default());
        (self.in_flight() < self.limit(now) && at > now).then_some(at)
    }
}
