//! What attempts say of their endpoints, written down for others: that one fails, is held, is disabled, is well again.

use std::time::Duration;

use tokio::sync::mpsc;

use super::Sender;
use super::circuit_breaker::{self, Bounds, Transition};
use crate::clock::UnixMillis;
use crate::ledger::{Failure, Health, LedgerError};

/// Between two tries to write a judgement down, while the database does not answer.
const WRITE_RETRY: Duration = Duration::from_secs(1);

/// What an attempt says of its endpoint.
#[derive(Debug, Clone)]
pub(super) struct HealthSample {
    /// When it ended.
    pub(super) at: UnixMillis,
    /// In which of the endpoint's epochs it was begun.
    pub(super) epoch: u64,
    /// Why it failed, if it did.
    pub(super) failure: Option<Failure>,
}

/// Something about an endpoint that others should know.
#[derive(Debug)]
pub(super) struct HealthUpdate {
    endpoint: String,
    pub(super) health: Health,
    transition: Transition,
    sample: HealthSample,
    /// Whether there is anything to write down.
    pub(super) is_new: bool,
}

impl HealthUpdate {
    /// What follows from an attempt. `None` if it says nothing about the receiver as it is now: the endpoint's health has
    /// begun anew since.
    pub(super) fn of(endpoint: &str, before: Health, sample: &HealthSample, bounds: Bounds) -> Option<Self> {
        let observed =
            circuit_breaker::Sample { at: sample.at, epoch: sample.epoch, failed: sample.failure.is_some() };
        let (health, transition) = circuit_breaker::evaluate(before, observed, bounds)?;
        let changed = (before.failing_since, before.held_until) != (health.failing_since, health.held_until);
        let is_new = changed || transition != Transition::Unchanged;
        Some(Self { endpoint: endpoint.to_owned(), health, transition, sample: sample.clone(), is_new })
    }

    fn announce(&self, sender: &Sender) {
        let Self { endpoint, health, transition, sample, .. } = self;
        match transition {
            Transition::Disable(reason) => {
                sender.0.services.metrics.endpoint_changed("disabled");
                tracing::error!(
                    endpoint,
                    reason,
                    "an endpoint is disabled; its events are recorded as failed"
                );
            }
            // When it begins, not at every attempt that looks whether the endpoint is back.
            Transition::Hold(until) if health.held_since == Some(sample.at) => {
                sender.0.services.metrics.endpoint_changed("held");
                tracing::warn!(endpoint, failures = health.failures, until = %until, "an endpoint takes nothing; new events for it wait");
            }
            _ => {}
        }
    }

    async fn write(&self, sender: &Sender) -> Result<(), LedgerError> {
        let (ledger, endpoint, health) = (sender.ledger(), &self.endpoint, self.health);
        match &self.transition {
            Transition::Disable(reason) => {
                ledger.disable_endpoint(endpoint, health.epoch, reason, self.sample.at).await.map(|_| ())
            }
            _ if self.sample.failure.is_none() => ledger.note_recovery(endpoint, health.epoch).await,
            _ => ledger.note_health(endpoint, health, self.sample.failure.as_ref()).await,
        }
    }
}

/// Writes judgements down, one after the other: the last one has to be the one that stays.
pub(super) async fn write_all(sender: &Sender, updates: &mut mpsc::UnboundedReceiver<HealthUpdate>) {
    while let Some(update) = updates.recv().await {
        while let Err(error) = update.write(sender).await {
            if !error.is_transient() || sender.0.stop.is_cancelled() {
                let endpoint = update.endpoint.as_str();
                tracing::warn!(endpoint, %error, "how the endpoint's attempts go could not be written down");
                break;
            }
            tokio::time::sleep(WRITE_RETRY).await;
        }
        if update.sample.failure.is_none() {
            // What stands in its lines need not wait for the next look.
            sender.wake();
        }
        update.announce(sender);
    }
}
