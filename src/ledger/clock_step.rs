//! What is stored with a moment, when clocks are wrong: leases that end, and pauses whose clock was set.

use std::time::Duration;

use super::database::{Backend, Statement, values};
use super::{Ledger, LedgerError, stored};
use crate::clock::UnixMillis;

/// How far a moment may lie ahead before it is taken for one by a clock that was set back since: replicas' clocks differ.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);
const REPLICA_CLOCK_TOLERANCE: Duration = Duration::from_secs(20);

impl Ledger {
    /// Puts deliveries back in line whose sender died: their leases have ended, or end later than a lease can, because a
    /// clock was set back. They keep their place.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn requeue_expired(
        &self,
        now: UnixMillis,
        longest_lease: Duration,
    ) -> Result<u64, LedgerError> {
        const REQUEUE: Statement = Statement::same(
            "UPDATE deliveries SET state = 'queued', lease = NULL, lease_until = NULL \
             WHERE state = 'sending' AND (lease_until < $1 OR lease_until > $2)",
        );
        let latest = now.plus(longest_lease + REPLICA_CLOCK_TOLERANCE);
        self.database.execute_unchecked(REQUEUE, values![stored(now), stored(latest)]).await
    }

    /// The wall clock was set from one moment to another: what `holder` has under way and has scheduled moves with it; on
    /// SQLite, where there is one sender and one clock, everything does. (Other replicas' clocks may be right.)
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written; then nothing has moved.
    pub async fn apply_clock_step(
        &self,
        holder: &str,
        from: UnixMillis,
        to: UnixMillis,
    ) -> Result<(), LedgerError> {
        const LEASES: Statement = Statement::same(
            "UPDATE deliveries SET lease_until = lease_until + $1 WHERE state = 'sending' AND lease = $2",
        );
        const OWN_PAUSES: Statement = Statement::same(
            "UPDATE deliveries SET due_at = due_at + $1, scheduled_at = scheduled_at + $1 \
             WHERE state = 'waiting' AND scheduled_at IS NOT NULL AND scheduled_by = $2",
        );
        const ALL_PAUSES: Statement = Statement::same(
            "UPDATE deliveries SET due_at = due_at + $1, scheduled_at = scheduled_at + $1 \
             WHERE state = 'queued' OR state = 'waiting' AND scheduled_at IS NOT NULL",
        );
        const HEALTH: Statement = Statement::same(
            "UPDATE endpoints SET failing_since = failing_since + $1, held_since = held_since + $1, \
             held_until = held_until + $1 WHERE failing_since IS NOT NULL OR held_until IS NOT NULL",
        );
        let by = stored(to).saturating_sub(stored(from));
        let mut tx = self.database.begin_unchecked().await?;
        tx.execute(LEASES, values![by, holder]).await?;
        if self.database.is_shared() {
            tx.execute(OWN_PAUSES, values![by, holder]).await?;
        } else {
            tx.execute(ALL_PAUSES, values![by]).await?;
            tx.execute(HEALTH, values![by]).await?;
        }
        tx.commit().await
    }

    /// Pauses that began in the future begin now: the clock was set back since. What is in line and came in the future
    /// came now.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn correct_future_times(&self, now: UnixMillis) -> Result<u64, LedgerError> {
        const CORRECT: Statement = Statement::same(
            "UPDATE deliveries SET due_at = CASE WHEN scheduled_at IS NULL THEN $1 \
             ELSE $1 + due_at - scheduled_at END, scheduled_at = CASE WHEN scheduled_at IS NULL THEN NULL ELSE $1 END \
             WHERE state IN ('waiting', 'queued') AND coalesce(scheduled_at, due_at) > $2",
        );
        self.database
            .execute_unchecked(CORRECT, values![stored(now), stored(now.plus(CLOCK_TOLERANCE))])
            .await
    }
}

/// Puts every delivery back in line that somebody was sending, when this process is the only sender.
pub(super) async fn requeue_all(open: &Backend) -> Result<(), LedgerError> {
    const REQUEUE: Statement = Statement::same(
        "UPDATE deliveries SET state = 'queued', lease = NULL, lease_until = NULL WHERE state = 'sending'",
    );
    if open.is_shared() {
        return Ok(());
    }
    open.execute(REQUEUE, Vec::new()).await.map(|_| ())
}
