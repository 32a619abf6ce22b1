//! Records health changes for other processes: an endpoint fails, is held, is disabled or works again.

use std::time::Duration;

use tokio::sync::mpsc;

use super::circuit_breaker::Transition;
use super::handle::Sender;
use super::health_update::HealthUpdate;
use crate::ledger::LedgerError;

/// The pause between two write attempts while the database does not answer.
const WRITE_RETRY: Duration = Duration::from_secs(1);

impl HealthUpdate {
    fn announce(&self, sender: &Sender) {
        let Self { workspace, endpoint, health, transition, sample, .. } = self;
        match transition {
            Transition::Disable(reason) => {
                sender.metrics().endpoint_changed("disabled");
                tracing::error!(
                    workspace,
                    endpoint,
                    reason,
                    "an endpoint is disabled; its events are recorded as failed"
                );
            }
            // Logged once, when the hold begins, not at every probe.
            Transition::Hold(until) if health.held_since == Some(sample.at) => {
                sender.metrics().endpoint_changed("held");
                tracing::warn!(workspace, endpoint, failures = health.failures, until = %until, "an endpoint takes nothing; new events for it wait");
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

/// Writes updates in order, so that the last one remains.
pub(super) async fn write_all(sender: &Sender, updates: &mut mpsc::UnboundedReceiver<HealthUpdate>) {
    while let Some(update) = updates.recv().await {
        while let Err(error) = update.write(sender).await {
            if !error.is_transient() || sender.0.stop.is_cancelled() {
                let HealthUpdate { workspace, endpoint, .. } = &update;
                tracing::warn!(workspace, endpoint, %error, "how the endpoint's attempts go could not be written down");
                break;
            }
            tokio::time::sleep(WRITE_RETRY).await;
        }
        if update.sample.failure.is_none() {
            // The endpoint's queued deliveries need not wait for the next poll.
            sender.wake();
        }
        update.announce(sender);
    }
}
