//! Disables and removes endpoints. A soft removal can be undone for a while.

use std::time::Duration;

use super::audit_entry::Action;
use super::database::{Statement, Tx, values};
use super::error::Result;
use super::handle::Ledger;
use super::id::new_id;
use super::record_health::release_holds;
use crate::clock::UnixMillis;

/// How long a soft removal can be undone.
pub const RESTORE_WINDOW: Duration = Duration::from_secs(60 * 60);

/// The note on deliveries that failed because their endpoint was removed.
const REMOVED: &str = "the endpoint was removed";

/// Builds a statement that wipes secrets and header fields. (An empty `substr` has the type of the secret in both engines.)
macro_rules! wipe {
    ($also:literal, $condition:literal) => {
        Statement::same(concat!(
            "UPDATE endpoints SET ",
            $also,
            "secret = substr(secret, 1, 0), previous_secret = NULL, earlier_secrets = NULL, headers = NULL, state = 'disabled', \
             reason = 'removed' WHERE ",
            $condition
        ))
    };
}

impl Ledger {
    /// Disables an endpoint that has failed for too long: fails its pending deliveries, and adds a notice with the
    /// reason. Does nothing if its health was reset meanwhile.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn disable_endpoint(
        &self,
        id: &str,
        epoch: u64,
        reason: &str,
        now: UnixMillis,
    ) -> Result<bool> {
        const DISABLE: Statement = Statement::same(
            "UPDATE endpoints SET state = 'disabled', reason = $2 \
             WHERE id = $1 AND state = 'active' AND health_epoch = $3",
        );
        const NOTICE: Statement = Statement::same(
            "INSERT INTO notices (id, workspace, endpoint_id, what, reason, at) \
             SELECT $2, workspace, id, 'endpoint.disabled', $3, $4 FROM endpoints WHERE id = $1",
        );
        let mut tx = self.database.begin_unchecked().await?;
        let disabled = tx.execute(DISABLE, values![id, reason, epoch]).await? == 1;
        if disabled {
            tx.execute(NOTICE, values![id, new_id("ntc", now)?, reason, now]).await?;
            fail_pending(&mut tx, id, now, "the endpoint is disabled").await?;
        }
        tx.commit().await?;
        Ok(disabled)
    }

    /// Permanently removes an endpoint with its secrets and header fields, and fails its pending deliveries. Its history stays until it is
    /// purged.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn remove_endpoint(&self, workspace: &str, id: &str, now: UnixMillis) -> Result<bool> {
        const REMOVE: Statement =
            wipe!("removed_at = $3, ", "workspace = $1 AND id = $2 AND removed_at IS NULL");
        let removed = self.remove_with(REMOVE, workspace, id, now).await?;
        self.database.scrub_files();
        Ok(removed)
    }

    /// Removes an endpoint: fails its pending deliveries, and stops new ones. Keeps its secrets:
    /// [`Ledger::restore_endpoint`] can undo this for [`RESTORE_WINDOW`].
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn soft_remove_endpoint(&self, workspace: &str, id: &str, now: UnixMillis) -> Result<bool> {
        const REMOVE: Statement = Statement::same(
            "UPDATE endpoints SET removed_at = $3 WHERE workspace = $1 AND id = $2 AND removed_at IS NULL",
        );
        self.remove_with(REMOVE, workspace, id, now).await
    }

    async fn remove_with(
        &self,
        remove: Statement,
        workspace: &str,
        id: &str,
        now: UnixMillis,
    ) -> Result<bool> {
        let before = match self.acting {
            Some(_) => self.endpoint(workspace, id).await?,
            None => None,
        };
        let mut tx = self.database.begin().await?;
        let removed = tx.execute(remove, values![workspace, id, now]).await? == 1;
        if removed {
            fail_pending(&mut tx, id, now, REMOVED).await?;
            let before = before.as_ref().map(|endpoint| endpoint.snapshot().into());
            let action = Action { before, ..Action::of("endpoint.removed", workspace, id) };
            self.commit_recorded(tx, action).await?;
        }
        Ok(removed)
    }

    /// Restores an endpoint after a soft removal, and requeues the deliveries that the removal failed. False if it is
    /// too late.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn restore_endpoint(&self, workspace: &str, id: &str, now: UnixMillis) -> Result<bool> {
        const REQUEUE_FAILED: Statement = Statement::same(
            "UPDATE deliveries SET state = 'queued', due_at = $3, active_at = $3, scheduled_at = NULL, ended_at = NULL, note = NULL \
             WHERE endpoint_id = $2 AND workspace = $1 AND state = 'failed' AND note = $4 AND ended_at = \
             (SELECT removed_at FROM endpoints WHERE workspace = $1 AND id = $2)",
        );
        const RESTORE: Statement = Statement::same(
            "UPDATE endpoints SET removed_at = NULL WHERE workspace = $1 AND id = $2 AND removed_at > $3 \
             AND length(secret) > 0",
        );
        let mut tx = self.database.begin().await?;
        tx.execute(REQUEUE_FAILED, values![workspace, id, now, REMOVED]).await?;
        let restored = tx.execute(RESTORE, values![workspace, id, now.minus(RESTORE_WINDOW)]).await? == 1;
        if restored {
            release_holds(&mut tx, workspace, Some(id)).await?;
            self.commit_recorded(tx, Action::of("endpoint.restored", workspace, id)).await?;
        }
        Ok(restored)
    }

    /// Wipes the secrets of endpoints whose soft removal can no longer be undone.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn wipe_removed_secrets(&self, now: UnixMillis) -> Result<u64> {
        const WIPE: Statement = wipe!("", "removed_at <= $1 AND length(secret) > 0");
        // A delivery that was being sent when its endpoint was removed may have been requeued since.
        const FAIL_QUEUED: Statement = Statement::same(
            "UPDATE deliveries SET state = 'failed', ended_at = $2, active_at = $2, note = $3 WHERE state = 'queued' AND endpoint_id IN \
             (SELECT id FROM endpoints WHERE removed_at <= $1 AND length(secret) > 0)",
        );
        // Mostly there are none, and PostgreSQL would read the queues of all endpoints for that.
        const DUE: Statement =
            Statement::same("SELECT id FROM endpoints WHERE removed_at <= $1 AND length(secret) > 0 LIMIT 1");
        let since = now.minus(RESTORE_WINDOW);
        if self.database.fetch::<(String,)>(DUE, values![since]).await?.is_empty() {
            return Ok(0);
        }
        let mut tx = self.database.begin_unchecked().await?;
        tx.execute(FAIL_QUEUED, values![since, now, REMOVED]).await?;
        let wiped = tx.execute(WIPE, values![since]).await?;
        tx.commit().await?;
        if wiped > 0 {
            self.database.scrub_files();
        }
        Ok(wiped)
    }
}

/// Fails the pending deliveries of an endpoint.
async fn fail_pending(tx: &mut Tx, id: &str, now: UnixMillis, note: &str) -> Result<()> {
    const FAIL: Statement = Statement::same(
        "UPDATE deliveries SET state = 'failed', ended_at = $2, active_at = $2, note = $3 \
         WHERE endpoint_id = $1 AND state IN ('waiting', 'queued')",
    );
    tx.execute(FAIL, values![id, now, note]).await.map(|_| ())
}
