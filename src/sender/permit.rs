//! Defines the permit of a delivery's task.

use std::sync::Arc;

use super::admission::{Admission, State};
use super::circuit_breaker::{Bounds, HealthSample};
use super::concurrency::{Candidate, Concurrency, Feedback, Slot};
use super::handle::Sender;
use super::health_update::HealthUpdate;
use crate::clock::UnixMillis;
use crate::ledger::Failure;

/// The permit for one attempt. Dropping it releases the slot, even if the task panics.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    sender: Sender,
    slot: Slot,
    /// Whether the attempt has ended.
    released: bool,
    /// The epoch of the endpoint's health when the delivery was claimed.
    epoch: u64,
    /// When the delivery is due again, if at all.
    due_again: Option<UnixMillis>,
}

impl Permit {
    /// Takes a permit for a claimed delivery, unless its endpoint has no room.
    pub(super) fn admit(
        sender: &Sender,
        admission: &Arc<Admission>,
        candidate: Candidate<'_>,
        now: UnixMillis,
    ) -> Option<Self> {
        let epoch = candidate.health.epoch;
        let mut state = admission.lock();
        let slot = state.concurrency.admit(candidate, now)?;
        state.permits += 1;
        drop(state);
        Some(Self::new(sender, admission, slot, epoch))
    }

    /// Takes permits for the first attempts of an event that is about to be accepted: one for each endpoint of the
    /// workspace, as far as the sender knows them, that has room and no queue.
    pub(super) fn reserve(
        sender: &Sender,
        admission: &Arc<Admission>,
        workspace: &str,
        now: UnixMillis,
    ) -> Vec<Self> {
        let mut state = admission.lock();
        // The dispatcher waits for the permits that exist when it sees the stop.
        if sender.0.stop.is_cancelled() {
            return Vec::new();
        }
        let slots = state.concurrency.reserve(workspace, now);
        state.permits += slots.len();
        drop(state);
        slots.into_iter().map(|slot| Self::new(sender, admission, slot, 0)).collect()
    }

    fn new(sender: &Sender, admission: &Arc<Admission>, slot: Slot, epoch: u64) -> Self {
        let (sender, admission) = (sender.clone(), Arc::clone(admission));
        Self { admission, sender, slot, released: false, epoch, due_again: None }
    }

    /// The endpoint of the attempt.
    pub(super) fn endpoint(&self) -> &str {
        self.slot.endpoint()
    }

    /// Confirms a reserved permit with the limits and the health that the ledger has now. `None` if they leave no room.
    pub(super) fn confirm(&mut self, candidate: Candidate<'_>, now: UnixMillis) -> bool {
        self.epoch = candidate.health.epoch;
        self.admission.lock().concurrency.confirm(&self.slot, candidate, now)
    }

    /// Records that an attempt was made, and releases its slot: the result is written while the next attempt runs.
    pub(super) fn attempted(&mut self, outcome: Feedback, at: UnixMillis, failure: Option<Failure>) {
        let sample = HealthSample { at, epoch: self.epoch, failure };
        let admission = Arc::clone(&self.admission);
        let mut state = admission.lock();
        self.record_health(&mut state.concurrency, &sample);
        self.release(&mut state, Some(outcome));
    }

    /// Releases the slot once.
    fn release(&mut self, state: &mut State, outcome: Option<Feedback>) {
        if !std::mem::replace(&mut self.released, true) {
            state.concurrency.release(&self.slot, outcome, self.sender.now());
            if state.concurrency.has_queues() {
                self.sender.0.wake.notify_one();
            }
        }
    }

    /// Records when the delivery is due again.
    pub(super) fn due_again(&mut self, at: UnixMillis) {
        self.due_again = Some(at);
    }

    /// Updates the endpoint's health. Only changes that matter to other processes are written.
    fn record_health(&self, concurrency: &mut Concurrency, sample: &HealthSample) {
        let bounds = Bounds {
            stable_for: self.sender.stable_for(),
            disable_after: self.sender.0.config.disable_after,
        };
        let endpoint = self.slot.endpoint();
        let before = concurrency.health(endpoint);
        let Some(update) = HealthUpdate::of(&self.slot, before, sample, bounds) else { return };
        concurrency.set_health(endpoint, update.health);
        if update.is_new {
            // The receiving task ends only with the dispatcher.
            let _ = self.admission.updates.send(update);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let admission = Arc::clone(&self.admission);
        let mut state = admission.lock();
        self.release(&mut state, None);
        state.permits = state.permits.saturating_sub(1);
        state.due_again = state.due_again.into_iter().chain(self.due_again).min();
        drop(state);
        // A dispatcher that stops waits for the last permit.
        if self.due_again.is_some() || self.sender.0.stop.is_cancelled() {
            self.sender.0.wake.notify_one();
        }
    }
}
