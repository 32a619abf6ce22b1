//! Stores the health of endpoints: senders record it, and a user's action resets it.

use super::database::{Statement, Tx, column, from_row, values, without_nul};
use super::error::Result;
use super::handle::Ledger;
use super::health::{Failure, Health};
use crate::clock::UnixMillis;

struct HeldEndpoint {
    id: String,
    health: Health,
}

from_row!(row => HeldEndpoint {
    id: column(row, "id")?,
    health: sqlx::FromRow::from_row(row)?,
});

macro_rules! reset_health {
    ($condition:literal) => {
        Statement::same(concat!(
            "UPDATE endpoints SET failures = 0, failing_since = NULL, held_since = NULL, held_until = NULL, \
             failure_code = NULL, failure = NULL, health_epoch = health_epoch + 1 WHERE id = $1",
            $condition
        ))
    };
}

impl Ledger {
    /// Records an endpoint's health and the reason of its last failure, unless the health was reset meanwhile.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn note_health(&self, id: &str, health: Health, failure: Option<&Failure>) -> Result<()> {
        const NOTE: Statement = Statement::same(
            "UPDATE endpoints SET failures = $2, failing_since = $3, held_since = $4, held_until = $5, \
             failure_code = coalesce($6, failure_code), failure = coalesce($7, failure) \
             WHERE id = $1 AND health_epoch = $8",
        );
        let Health { failures, failing_since, held_since, held_until, epoch } = health;
        let code = failure.map(|failure| failure.code.clone());
        let summary = failure.map(|failure| without_nul(&failure.summary));
        let values = values![id, failures, failing_since, held_since, held_until, code, summary, epoch];
        self.database.execute_unchecked(NOTE, values).await.map(|_| ())
    }

    /// Resets an endpoint's health after a success, unless its epoch is already `epoch` or later.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn note_recovery(&self, id: &str, epoch: u64) -> Result<()> {
        const RESET: Statement = reset_health!(" AND health_epoch < $2");
        self.database.execute_unchecked(RESET, values![id, epoch]).await.map(|_| ())
    }

    /// Endpoints that are held beyond `now`, or began to fail after `now`.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn held_endpoints(&self, now: UnixMillis) -> Result<Vec<(String, Health)>> {
        const LIST: Statement = Statement::same(
            "SELECT id, failures, failing_since, held_since, held_until, health_epoch FROM endpoints \
             WHERE held_until > $1 OR failing_since > $1",
        );
        let rows = self.database.fetch::<HeldEndpoint>(LIST, values![now]).await?;
        Ok(rows.into_iter().map(|row| (row.id, row.health)).collect())
    }
}

/// Resets an endpoint's health after a user's action. The endpoint is tried immediately.
pub(super) async fn reset_health(tx: &mut Tx, id: &str) -> Result<()> {
    const RESET: Statement = reset_health!("");
    tx.execute(RESET, values![id]).await.map(|_| ())
}

/// Lifts the holds of a workspace's endpoints, or of one endpoint, after a user's action. They are tried immediately,
/// and their next success resets their failures.
pub(super) async fn release_holds(tx: &mut Tx, workspace: &str, id: Option<&str>) -> Result<u64> {
    const RELEASE: Statement = Statement::same(
        "UPDATE endpoints SET held_since = NULL, held_until = NULL, health_epoch = health_epoch + 1 \
         WHERE workspace = $1 AND ($2 IS NULL OR id = $2) AND held_until IS NOT NULL",
    );
    tx.execute(RELEASE, values![workspace, id.map(str::to_owned)]).await
}
