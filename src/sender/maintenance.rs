//! What has to be done now and then: take over from senders that died, forget what is old, count what is
//! pending.

use std::time::Duration;

use super::Sender;
use super::circuit_breaker::MIN_STABLE_CLOCK;
use crate::clock::running::{self, RunningInstant};
use crate::ledger::LedgerError;

/// How often leases are looked at.
const TICK: Duration = Duration::from_secs(1);

/// How often the pending are counted, in looks.
const COUNT_TICKS: u64 = 10;

/// How often the old is forgotten, in looks.
const PURGE_TICKS: u64 = 60 * 10;

/// Runs until it is aborted.
pub(super) async fn run(sender: &Sender) {
    let mut every = tokio::time::interval(TICK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut resumption = Resumption::default();
    for look in 0_u64.. {
        every.tick().await;
        let leases_valid = resumption.is_long_ago(sender.longest_lease());
        // The dispatcher says so when the database does not answer; here the next look comes soon enough.
        if let Err(error) = tick(sender, look, leases_valid).await {
            tracing::debug!(%error, "the upkeep of the ledger has to wait");
        }
    }
}

/// Leases end by the wall clock, also while this process is frozen; the attempts that it had under way go on when it thaws.
#[derive(Debug, Default)]
struct Resumption {
    frozen: Duration,
    at: Option<RunningInstant>,
}

impl Resumption {
    /// Whether no freeze ended within `time`.
    fn is_long_ago(&mut self, time: Duration) -> bool {
        let frozen = running::frozen_by(std::time::Instant::now());
        if frozen > self.frozen {
            (self.frozen, self.at) = (frozen, Some(RunningInstant::now()));
        }
        self.at.is_none_or(|at| at.elapsed() > time)
    }
}

async fn tick(sender: &Sender, look: u64, leases_valid: bool) -> Result<(), LedgerError> {
    let (ledger, now) = (sender.ledger(), sender.now());
    if let Err(error) = ledger.check_files() {
        sender.0.services.metrics.database_failed(error.label());
    }
    // Leases that are about to move with the clock have not ended.
    let clock_step_lock = sender.0.clock_step_lock.lock().await;
    let taken_back =
        if leases_valid { ledger.requeue_expired(sender.now(), sender.longest_lease()).await? } else { 0 };
    drop(clock_step_lock);
    if taken_back > 0 {
        tracing::warn!(deliveries = taken_back, "a sender left attempts unfinished; they are made again");
        sender.wake();
    }
    if look.is_multiple_of(COUNT_TICKS) {
        ledger.wipe_removed_secrets(sender.conservative_now()).await?;
        let backlog = ledger.backlog(now).await?;
        let metrics = &sender.0.services.metrics;
        metrics.deliveries_pending("waiting", backlog.waiting);
        metrics.deliveries_pending("queued", backlog.queued);
        metrics.deliveries_pending("sending", backlog.sending);
        metrics.deliveries_not_fetched(backlog.not_fetched);
        metrics.delivery_overdue(backlog.oldest_due.map_or(Duration::ZERO, |due| now.since(due)));
    }
    if look.is_multiple_of(PURGE_TICKS) && sender.stable_for() >= MIN_STABLE_CLOCK {
        let forgotten =
            ledger.purge_before(sender.conservative_now().minus(sender.0.config.retention)).await?;
        if forgotten > 0 {
            tracing::info!(target: "webhook_assets::audit", events = forgotten, "forgot events that are older than webhooks.retention");
        }
    }
    Ok(())
}
