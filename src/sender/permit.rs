//! Defines the permit of a delivery's task, and the completion that it sends to the dispatcher when released.

use tokio::sync::mpsc;

use super::circuit_breaker::HealthSample;
use super::concurrency::{Feedback, Slot};
use crate::clock::UnixMillis;
use crate::ledger::Failure;

/// A message to the dispatcher: a delivery's task has ended.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) slot: Slot,
    /// The epoch of the endpoint's health when the delivery was claimed.
    pub(super) epoch: u64,
    /// The result of the attempt, if one was made.
    pub(super) outcome: Option<(Feedback, HealthSample)>,
    /// When the delivery is due again, if at all.
    pub(super) due_again: Option<UnixMillis>,
}

/// The permit for one attempt. Dropping it releases the slot, even if the task panics.
#[derive(Debug)]
pub(super) struct Permit {
    completion: Option<Completion>,
    dispatcher: mpsc::UnboundedSender<Completion>,
}

impl Permit {
    pub(super) fn new(slot: Slot, epoch: u64, dispatcher: mpsc::UnboundedSender<Completion>) -> Self {
        let completion = Some(Completion { slot, epoch, outcome: None, due_again: None });
        Self { completion, dispatcher }
    }

    /// Records that an attempt was made.
    pub(super) fn attempted(&mut self, outcome: Feedback, at: UnixMillis, failure: Option<Failure>) {
        if let Some(completion) = &mut self.completion {
            completion.outcome = Some((outcome, HealthSample { at, epoch: completion.epoch, failure }));
        }
    }

    /// Records when the delivery is due again.
    pub(super) fn due_again(&mut self, at: UnixMillis) {
        if let Some(completion) = &mut self.completion {
            completion.due_again = Some(at);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(completion) = self.completion.take() {
            // If the dispatcher has ended, nothing counts attempts.
            let _ = self.dispatcher.send(completion);
        }
    }
}
