//! What attempts say of their endpoints, written down for others: that one fails, is held, is disabled, is well again.

use std::time::Duration;

use tokio::sync::mpsc;

use super::Sender;
use super::circuit_breaker::{self, Bounds, Verdict};
use crate::clock::UnixMillis;
use crate::ledger::{Failure, Health, LedgerError};

/// Between two tries to write a judgement down, while the database does not answer.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// What an attempt says of its endpoint.
#[derive(Debug, Clone)]
pub(super) struct Attempted {
    /// When it ended.
    pub(super) at: UnixMillis,
    /// In which of the endpoint's epochs it was begun.
    pub(super) epoch: u64,
    /// Why it failed, if it did.
    pub(super) failure: Option<Failure>,
}

/// Something about an endpoint that others should know.
#[derive(Debug)]
pub(super) struct Judgement {
    endpoint: String,
    pub(super) health: Health,
    verdict: Verdict,
    attempted: Attempted,
    /// Whether there is anything to write down.
    pub(super) changes_something: bool,
}

impl Judgement {
    /// What follows from an attempt. `None` if it says nothing about the receiver as it is now: the endpoint's health has
    /// begun anew since.
    pub(super) fn of(endpoint: &str, before: Health, attempted: &Attempted, bounds: Bounds) -> Option<Self> {
        let attempt = circuit_breaker::Attempt {
            at: attempted.at,
            epoch: attempted.epoch,
            failed: attempted.failure.is_some(),
        };
        let (health, verdict) = circuit_breaker::judged(before, attempt, bounds)?;
        let changed = (before.failing_since, before.held_until) != (health.failing_since, health.held_until);
        let changes_something = changed || verdict != Verdict::GoOn;
        Some(Self {
            endpoint: endpoint.to_owned(),
            health,
            verdict,
            attempted: attempted.clone(),
            changes_something,
        })
    }

    fn announce(&self, sender: &Sender) {
        let Self { endpoint, health, verdict, attempted, .. } = self;
        match verdict {
            Verdict::Disable(reason) => {
                sender.0.services.metrics.endpoint_changed("disabled");
                tracing::error!(
                    endpoint,
                    reason,
                    "an endpoint is disabled; its events are recorded as failed"
                );
            }
            // When it begins, not at every attempt that looks whether the endpoint is back.
            Verdict::Hold(until) if health.held_since == Some(attempted.at) => {
                sender.0.services.metrics.endpoint_changed("held");
                tracing::warn!(endpoint, failures = health.failures, until = %until, "an endpoint takes nothing; new events for it wait");
            }
            _ => {}
        }
    }

    async fn write(&self, sender: &Sender) -> Result<(), LedgerError> {
        let (ledger, endpoint, health) = (sender.ledger(), &self.endpoint, self.health);
        match &self.verdict {
            Verdict::Disable(reason) => {
                ledger.disable_endpoint(endpoint, health.epoch, reason, self.attempted.at).await.map(|_| ())
            }
            _ if self.attempted.failure.is_none() => ledger.note_recovery(endpoint, health.epoch).await,
            _ => ledger.note_health(endpoint, health, self.attempted.failure.as_ref()).await,
        }
    }
}

/// Writes judgements down, one after the other: the last one has to be the one that stays.
pub(super) async fn note_all(sender: &Sender, judgements: &mut mpsc::UnboundedReceiver<Judgement>) {
    while let Some(judgement) = judgements.recv().await {
        while let Err(error) = judgement.write(sender).await {
            if !error.may_pass() || sender.0.stop.is_cancelled() {
                let endpoint = judgement.endpoint.as_str();
                tracing::warn!(endpoint, %error, "how the endpoint's attempts go could not be written down");
                break;
            }
            tokio::time::sleep(WRITE_AGAIN).await;
        }
        if judgement.attempted.failure.is_none() {
            // What stands in its lines need not wait for the next look.
            sender.wake();
        }
        judgement.announce(sender);
    }
}
