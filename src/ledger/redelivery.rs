//! Resends one delivery, or every failed delivery of a time range, as a person asks. Each resend is counted: its message
//! has its own id, so that receivers take its links.

use super::database::{Statement, int, over_ids, values};
use super::delivery::DeliveryState;
use super::error::Result;
use super::handle::Ledger;
use super::record_health::release_holds;
use crate::clock::UnixMillis;

/// The failed deliveries to recover.
#[derive(Debug, Clone)]
pub struct RecoverRange {
    /// Of this endpoint only.
    pub endpoint: Option<String>,
    /// Accepted at this time or later.
    pub from: UnixMillis,
    /// Accepted before this time.
    pub to: UnixMillis,
}

/// The result of a resend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResendOutcome {
    /// It is queued.
    Queued,
    /// It has not ended yet.
    InFlight,
    /// Its endpoint is removed or disabled.
    NoEndpoint,
    /// There is no delivery with this id.
    Unknown,
}

/// How many deliveries one transaction recovers. Other writers wait for each transaction.
const BATCH: i64 = 500;

const RECOVER: Statement = over_ids!(
    "UPDATE deliveries SET state = 'queued', lane = 1, due_at = $2, scheduled_at = NULL, tries = 0, resends = resends + 1, \
     ended_at = NULL, note = NULL WHERE id",
    " AND state = 'failed' AND EXISTS (SELECT 1 FROM endpoints e \
     WHERE e.id = endpoint_id AND e.removed_at IS NULL AND e.state <> 'disabled')"
);

impl Ledger {
    /// Resends a delivered or failed delivery, with a full set of attempts and new links. The first attempt ignores a
    /// hold of the endpoint.
    ///
    /// # Errors
    /// If it could not be written.
    pub async fn resend(&self, workspace: &str, id: &str, now: UnixMillis) -> Result<ResendOutcome> {
        const RESEND: Statement = Statement::same(
            "UPDATE deliveries SET state = 'queued', lane = CASE WHEN test THEN 2 ELSE 3 END, due_at = $3, \
             scheduled_at = NULL, tries = 0, resends = resends + 1, ended_at = NULL, note = NULL \
             WHERE workspace = $1 AND id = $2 AND state IN ('delivered', 'failed') AND EXISTS (SELECT 1 FROM endpoints e \
             WHERE e.id = endpoint_id AND e.removed_at IS NULL AND (e.state <> 'disabled' OR test))",
        );
        if self.database.execute(RESEND, values![workspace, id, now]).await? == 1 {
            return Ok(ResendOutcome::Queued);
        }
        Ok(match self.delivery(workspace, id).await? {
            None => ResendOutcome::Unknown,
            Some((delivery, _)) => match delivery.state {
                DeliveryState::Delivered | DeliveryState::Failed => ResendOutcome::NoEndpoint,
                _ => ResendOutcome::InFlight,
            },
        })
    }

    /// Resends every failed delivery of a time range, and returns their number. Works in batches, so that other writers
    /// are not blocked.
    ///
    /// # Errors
    /// If it could not be written. Later deliveries stay failed, and the caller can recover them again.
    pub async fn recover(&self, workspace: &str, range: &RecoverRange, now: UnixMillis) -> Result<u64> {
        let (mut recovered, mut after) = (0, Some((int(range.from.0), String::new())));
        while let Some(last) = after {
            let batch;
            (batch, after) = self.recover_batch(workspace, range, last, now).await?;
            recovered += batch;
        }
        // The user expects the receivers to work, so held endpoints are tried immediately.
        let mut tx = self.database.begin().await?;
        release_holds(&mut tx, workspace, range.endpoint.as_deref()).await?;
        tx.commit().await?;
        Ok(recovered)
    }

    /// Recovers the next batch after a delivery. Returns its size and its last delivery.
    async fn recover_batch(
        &self,
        workspace: &str,
        range: &RecoverRange,
        (created_at, id): (i64, String),
        now: UnixMillis,
    ) -> Result<(u64, Option<(i64, String)>)> {
        const FIND: Statement = Statement::same(
            "SELECT created_at, id FROM deliveries WHERE workspace = $1 AND state = 'failed' AND NOT test \
             AND (created_at, id) > ($2, $3) AND created_at < $4 AND ($5 IS NULL OR endpoint_id = $5) \
             ORDER BY created_at, id LIMIT $6",
        );
        let values = values![workspace, created_at, id, range.to, &range.endpoint, BATCH];
        let found = self.database.fetch::<(i64, String)>(FIND, values).await?;
        let ids: Vec<String> = found.iter().map(|(_, id)| id.clone()).collect();
        let recovered = self.database.execute(RECOVER, values![ids, now]).await?;
        Ok((recovered, found.into_iter().next_back()))
    }
}
