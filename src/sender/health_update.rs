//! Decides which health changes other processes must learn of.

use super::circuit_breaker::{self, Bounds, HealthSample, Transition};
use super::concurrency::Slot;
use crate::ledger::Health;

/// A change of an endpoint's health.
#[derive(Debug)]
pub(super) struct HealthUpdate {
    pub(super) workspace: String,
    pub(super) endpoint: String,
    pub(super) health: Health,
    pub(super) transition: Transition,
    pub(super) sample: HealthSample,
    /// Whether other processes must learn of the change.
    pub(super) is_new: bool,
}

impl HealthUpdate {
    /// The change that follows from an attempt. `None` if the health was reset since the attempt began.
    pub(super) fn of(slot: &Slot, before: Health, sample: &HealthSample, bounds: Bounds) -> Option<Self> {
        let (health, transition) = circuit_breaker::evaluate(before, sample, bounds)?;
        let changed = (before.failing_since, before.held_until) != (health.failing_since, health.held_until);
        let is_new = changed || transition != Transition::Unchanged;
        let (workspace, endpoint) = (slot.workspace().to_owned(), slot.endpoint().to_owned());
        Some(Self { workspace, endpoint, health, transition, sample: sample.clone(), is_new })
    }
}
