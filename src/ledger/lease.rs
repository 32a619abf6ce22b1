//! Requeues deliveries whose sender died and whose lease expired, and renews leases that are about to.

use std::time::Duration;

use super::claimed::{Claimed, Lease};
use super::database::{Backend, Statement, values};
use super::error::Result;
use super::handle::Ledger;
use crate::clock::UnixMillis;

/// How far replicas' clocks may differ.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(20);

impl Ledger {
    /// Requeues deliveries whose sender died: their leases have expired, or expire later than a lease can, because a
    /// clock was set back. They keep their position in the queue.
    ///
    /// # Errors
    /// If it could not be written.
    pub async fn requeue_expired(&self, now: UnixMillis, longest_lease: Duration) -> Result<u64> {
        const REQUEUE: Statement = Statement::same(
            "UPDATE deliveries SET state = 'queued', lease = NULL, lease_until = NULL \
             WHERE state = 'sending' AND (lease_until < $1 OR lease_until > $2)",
        );
        let latest = now.plus(longest_lease + CLOCK_TOLERANCE);
        self.database.execute_unchecked(REQUEUE, values![now, latest]).await
    }

    /// Replaces the lease of a claimed delivery by a longer one of the same holder. `false` if there was another claim since,
    /// by another sender or by this one.
    ///
    /// # Errors
    /// If it could not be written.
    pub async fn renew_lease(&self, claimed: &Claimed, lease: &Lease) -> Result<bool> {
        // Each claim has links of its time. (The end of the lease moves when a clock is set.)
        const RENEW: Statement = Statement::same(
            "UPDATE deliveries SET lease_until = $4 \
             WHERE id = $1 AND state = 'sending' AND lease = $2 AND links_expire_at = $3",
        );
        let values = values![&claimed.delivery, &lease.holder, claimed.links_expire, lease.until];
        Ok(self.database.execute_unchecked(RENEW, values).await? > 0)
    }
}

/// Requeues every delivery in flight. For SQLite, where this process is the only sender.
pub(super) async fn requeue_all(backend: &Backend) -> Result<()> {
    const REQUEUE: Statement = Statement::same(
        "UPDATE deliveries SET state = 'queued', lease = NULL, lease_until = NULL WHERE state = 'sending'",
    );
    if backend.is_shared() {
        return Ok(());
    }
    backend.execute(REQUEUE, Vec::new()).await.map(|_| ())
}
