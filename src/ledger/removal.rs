//! Removing an endpoint in a way that can be undone for a while: nothing is sent to it, and its secret is kept.

use std::time::Duration;

use super::database::{Statement, values};
use super::health::release_holds;
use super::{Ledger, LedgerError, stored};
use crate::clock::UnixMillis;

/// How long putting away can be undone.
pub const RESTORE_WINDOW: Duration = Duration::from_secs(60 * 60);

/// The note on what waited for an endpoint that was put away.
const NOTE: &str = "the endpoint was removed";

impl Ledger {
    /// Puts an endpoint away: what waits for it has failed, and what comes in from now on passes it by. It can be
    /// [taken back](Ledger::restore_endpoint) for [`RESTORE_WINDOW`].
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    pub async fn soft_remove_endpoint(
        &self,
        workspace: &str,
        id: &str,
        now: UnixMillis,
    ) -> Result<bool, LedgerError> {
        const REMOVE: Statement = Statement::same(
            "UPDATE endpoints SET removed_at = $3 WHERE workspace = $1 AND id = $2 AND removed_at IS NULL",
        );
        const FAIL_PENDING: Statement = Statement::same(
            "UPDATE deliveries SET state = 'failed', ended_at = $2, note = $3 \
             WHERE endpoint_id = $1 AND state IN ('waiting', 'queued')",
        );
        let mut tx = self.database.begin().await?;
        let removed = tx.execute(REMOVE, values![workspace, id, stored(now)]).await? == 1;
        if removed {
            tx.execute(FAIL_PENDING, values![id, stored(now), NOTE]).await?;
        }
        tx.commit().await?;
        Ok(removed)
    }

    /// Takes an endpoint back that was put away; what waited for it is due. False if it is too late.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    pub async fn restore_endpoint(
        &self,
        workspace: &str,
        id: &str,
        now: UnixMillis,
    ) -> Result<bool, LedgerError> {
        const REQUEUE_FAILED: Statement = Statement::same(
            "UPDATE deliveries SET state = 'queued', due_at = $3, scheduled_at = NULL, ended_at = NULL, note = NULL \
             WHERE endpoint_id = $2 AND workspace = $1 AND state = 'failed' AND note = $4 AND ended_at = \
             (SELECT removed_at FROM endpoints WHERE workspace = $1 AND id = $2)",
        );
        const RESTORE: Statement = Statement::same(
            "UPDATE endpoints SET removed_at = NULL WHERE workspace = $1 AND id = $2 AND removed_at > $3 \
             AND length(secret) > 0",
        );
        let mut tx = self.database.begin().await?;
        tx.execute(REQUEUE_FAILED, values![workspace, id, stored(now), NOTE]).await?;
        let since = stored(now.minus(RESTORE_WINDOW));
        let restored = tx.execute(RESTORE, values![workspace, id, since]).await? == 1;
        if restored {
            release_holds(&mut tx, workspace, Some(id)).await?;
            tx.commit().await?;
        }
        Ok(restored)
    }

    /// Wipes the secrets of endpoints that were put away too long ago to be taken back.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    pub async fn wipe_removed_secrets(&self, now: UnixMillis) -> Result<u64, LedgerError> {
        const WIPE: Statement = Statement {
            sqlite: "UPDATE endpoints SET secret = x'', previous_secret = NULL, earlier_secrets = NULL, state = 'disabled', reason = 'removed' \
                     WHERE removed_at <= $1 AND length(secret) > 0",
            postgres: "UPDATE endpoints SET secret = '', previous_secret = NULL, earlier_secrets = NULL, state = 'disabled', reason = 'removed' \
                       WHERE removed_at <= $1 AND length(secret) > 0",
        };
        // What was being sent when it was put away may have come to stand behind it since.
        const FAIL_QUEUED: Statement = Statement::same(
            "UPDATE deliveries SET state = 'failed', ended_at = $2, note = $3 WHERE state = 'queued' AND endpoint_id IN \
             (SELECT id FROM endpoints WHERE removed_at <= $1 AND length(secret) > 0)",
        );
        let since = stored(now.minus(RESTORE_WINDOW));
        let mut tx = self.database.begin_unchecked().await?;
        tx.execute(FAIL_QUEUED, values![since, stored(now), NOTE]).await?;
        let wiped = tx.execute(WIPE, values![since]).await?;
        tx.commit().await?;
        if wiped > 0 {
            self.database.scrub_files();
        }
        Ok(wiped)
    }
}
