//! Does periodic maintenance: requeues deliveries of dead senders, purges old events, indexes calls of earlier versions,
//! folds figures and counts the backlog.

use std::time::Duration;

use super::circuit_breaker::MIN_STABLE_CLOCK;
use super::handle::Sender;
use crate::clock::running::{self, RunningInstant};
use crate::ledger::LedgerError;

/// How often leases are checked.
const TICK: Duration = Duration::from_secs(1);

/// How often the backlog is counted, in ticks.
const COUNT_TICKS: u64 = 10;

/// How often old events are purged, in ticks.
const PURGE_TICKS: u64 = 60 * 10;

/// Runs until it is aborted.
pub(super) async fn run(sender: &Sender) {
    let mut every = tokio::time::interval(TICK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut resumption = Resumption::default();
    for count in 0_u64.. {
        every.tick().await;
        let leases_valid = resumption.is_long_ago(sender.longest_lease());
        // The dispatcher logs that the database does not answer. The next tick retries soon enough.
        if let Err(error) = tick(sender, count, leases_valid).await {
            tracing::debug!(%error, "the upkeep of the ledger has to wait");
        }
    }
}

/// Detects suspensions. While this process is suspended, its leases expire by the wall clock, but its attempts continue
/// when it resumes.
#[derive(Debug, Default)]
struct Resumption {
    frozen: Duration,
    at: Option<RunningInstant>,
}

impl Resumption {
    /// Whether the last suspension ended longer ago than `time`.
    fn is_long_ago(&mut self, time: Duration) -> bool {
        let frozen = running::frozen_by(std::time::Instant::now());
        if frozen > self.frozen {
            (self.frozen, self.at) = (frozen, Some(RunningInstant::now()));
        }
        self.at.is_none_or(|at| at.elapsed() > time)
    }
}

async fn tick(sender: &Sender, count: u64, leases_valid: bool) -> Result<(), LedgerError> {
    let (ledger, now) = (sender.ledger(), sender.now());
    if let Err(error) = ledger.check_files() {
        sender.metrics().database_failed(error.label());
    }
    // A lease that a clock step is about to shift has not expired.
    let clock_step_lock = sender.0.clock_step_lock.read().await;
    let requeued =
        if leases_valid { ledger.requeue_expired(sender.now(), sender.longest_lease()).await? } else { 0 };
    drop(clock_step_lock);
    if requeued > 0 {
        tracing::warn!(deliveries = requeued, "a sender left attempts unfinished; they are made again");
        sender.wake();
    }
    ledger.index_earlier_calls().await?;
    if count.is_multiple_of(COUNT_TICKS) {
        ledger.wipe_removed_secrets(sender.conservative_now()).await?;
        ledger.fold_figures(now).await?;
        let backlog = ledger.backlog(now).await?;
        let metrics = sender.metrics();
        metrics.deliveries_pending("waiting", backlog.waiting);
        metrics.deliveries_pending("queued", backlog.queued);
        metrics.deliveries_pending("sending", backlog.sending);
        metrics.deliveries_not_fetched(backlog.not_fetched);
        metrics.delivery_overdue(backlog.oldest_due.map_or(Duration::ZERO, |due| now.since(due)));
    }
    if count.is_multiple_of(PURGE_TICKS) && sender.stable_for() >= MIN_STABLE_CLOCK {
        ledger.purge_figures(sender.conservative_now()).await?;
        ledger.purge_audit_trail(sender.conservative_now().minus(sender.0.config.audit_retention)).await?;
        let purged = ledger.purge_before(sender.conservative_now().minus(sender.0.config.retention)).await?;
        if purged > 0 {
            tracing::info!(target: "webhook_assets::audit", events = purged, "forgot events that are older than webhooks.retention");
        }
    }
    Ok(())
}
