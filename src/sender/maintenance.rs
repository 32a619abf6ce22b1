//! What has to be done now and then: take over from senders that died, forget what is old, count what is
//! pending.

use std::time::Duration;

use super::Sender;
use super::circuit_breaker::SETTLES;
use crate::clock::running::{self, RunningInstant};
use crate::ledger::LedgerError;

/// How often leases are looked at.
const OFTEN: Duration = Duration::from_secs(1);

/// How often the pending are counted, in looks.
const COUNT_EVERY: u64 = 10;

/// How often the old is forgotten, in looks.
const FORGET_EVERY: u64 = 60 * 10;

/// Runs until it is aborted.
pub(super) async fn keep_up(sender: &Sender) {
    let mut every = tokio::time::interval(OFTEN);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut thaw = Thaw::default();
    for look in 0_u64.. {
        every.tick().await;
        let leases_count = thaw.is_long_ago(sender.longest_lease());
        // The dispatcher says so when the database does not answer; here the next look comes soon enough.
        if let Err(error) = look_after(sender, look, leases_count).await {
            tracing::debug!(%error, "the upkeep of the ledger has to wait");
        }
    }
}

/// Leases end by the wall clock, also while this process is frozen; the attempts that it had under way go on when it thaws.
#[derive(Debug, Default)]
struct Thaw {
    frozen: Duration,
    at: Option<RunningInstant>,
}

impl Thaw {
    /// Whether no freeze ended within `time`.
    fn is_long_ago(&mut self, time: Duration) -> bool {
        let frozen = running::frozen_by(std::time::Instant::now());
        if frozen > self.frozen {
            (self.frozen, self.at) = (frozen, Some(RunningInstant::now()));
        }
        self.at.is_none_or(|at| at.elapsed() > time)
    }
}

async fn look_after(sender: &Sender, look: u64, leases_count: bool) -> Result<(), LedgerError> {
    let (ledger, now) = (sender.ledger(), sender.now());
    if let Err(error) = ledger.check_files() {
        sender.0.services.metrics.ledger_failed(error.word());
    }
    // Leases that are about to move with the clock have not ended.
    let moving = sender.0.moving.lock().await;
    let taken_back =
        if leases_count { ledger.take_back(sender.now(), sender.longest_lease()).await? } else { 0 };
    drop(moving);
    if taken_back > 0 {
        tracing::warn!(deliveries = taken_back, "a sender left attempts unfinished; they are made again");
        sender.wake();
    }
    if look.is_multiple_of(COUNT_EVERY) {
        ledger.wipe_what_was_put_away(sender.cautious_now()).await?;
        let pending = ledger.pending(now).await?;
        let metrics = &sender.0.services.metrics;
        metrics.deliveries_pending("waiting", pending.waiting);
        metrics.deliveries_pending("queued", pending.queued);
        metrics.deliveries_pending("sending", pending.sending);
        metrics.deliveries_not_fetched(pending.not_fetched);
        metrics.delivery_overdue(pending.oldest_due.map_or(Duration::ZERO, |due| now.since(due)));
    }
    if look.is_multiple_of(FORGET_EVERY) && sender.watched() >= SETTLES {
        let forgotten = ledger.forget_before(sender.cautious_now().minus(sender.0.config.retention)).await?;
        if forgotten > 0 {
            tracing::info!(target: "webhook_assets::audit", events = forgotten, "forgot events that are older than webhooks.retention");
        }
    }
    Ok(())
}
