//! Sending again: one delivery, or everything that failed in a range of time.

use super::database::{Statement, values};
use super::health::release_holds;
use super::{DeliveryState, Ledger, LedgerError, stored};
use crate::clock::UnixMillis;

/// What to recover: what failed in a range of time.
#[derive(Debug, Clone)]
pub struct RecoverRange {
    /// Of this endpoint alone.
    pub endpoint: Option<String>,
    /// Accepted at this moment or later.
    pub from: UnixMillis,
    /// Accepted before this moment.
    pub to: UnixMillis,
}

/// What became of the wish to send a delivery again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResendOutcome {
    /// It is due now.
    Queued,
    /// It is on its way already.
    InFlight,
    /// Its endpoint is removed or disabled.
    NoEndpoint,
    /// There is none of this id.
    Unknown,
}

/// How many deliveries are recovered in one transaction: others want to write too.
const BATCH: i64 = 500;

macro_rules! recover {
    ($ids:literal) => {
        concat!(
            "UPDATE deliveries SET state = 'queued', lane = 1, due_at = $2, scheduled_at = NULL, tries = 0, ended_at = NULL, \
             note = NULL WHERE id ",
            $ids,
            " AND state = 'failed' AND EXISTS (SELECT 1 FROM endpoints e \
             WHERE e.id = endpoint_id AND e.removed_at IS NULL AND e.state <> 'disabled')"
        )
    };
}

impl Ledger {
    /// Sends a delivery again, whether it arrived or failed: all its attempts anew, with fresh links. The first
    /// of them waits for no hold.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn resend(
        &self,
        workspace: &str,
        id: &str,
        now: UnixMillis,
    ) -> Result<ResendOutcome, LedgerError> {
        const RESEND: Statement = Statement::same(
            "UPDATE deliveries SET state = 'queued', lane = CASE WHEN test THEN 2 ELSE 3 END, due_at = $3, \
             scheduled_at = NULL, tries = 0, ended_at = NULL, note = NULL \
             WHERE workspace = $1 AND id = $2 AND state IN ('delivered', 'failed') AND EXISTS (SELECT 1 FROM endpoints e \
             WHERE e.id = endpoint_id AND e.removed_at IS NULL AND (e.state <> 'disabled' OR test))",
        );
        if self.database.execute(RESEND, values![workspace, id, stored(now)]).await? == 1 {
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

    /// Sends everything again that failed in a range of time; says how much that is. Part by part, so that others can
    /// write in between.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written: what comes after has still failed, and can be recovered again.
    pub async fn recover(
        &self,
        workspace: &str,
        range: &RecoverRange,
        now: UnixMillis,
    ) -> Result<u64, LedgerError> {
        let (mut recovered, mut behind) = (0, Some((stored(range.from), String::new())));
        while let Some(last) = behind {
            let part;
            (part, behind) = self.recover_some(workspace, range, last, now).await?;
            recovered += part;
        }
        // Somebody believes that the receivers are well: those that are held are tried at once.
        let mut tx = self.database.begin().await?;
        release_holds(&mut tx, workspace, range.endpoint.as_deref()).await?;
        tx.commit().await?;
        Ok(recovered)
    }

    /// Recovers the first deliveries behind one; says how many, and behind which to go on.
    async fn recover_some(
        &self,
        workspace: &str,
        range: &RecoverRange,
        (created_at, id): (i64, String),
        now: UnixMillis,
    ) -> Result<(u64, Option<(i64, String)>), LedgerError> {
        const FIND: Statement = Statement::same(
            "SELECT created_at, id FROM deliveries WHERE workspace = $1 AND state = 'failed' AND NOT test \
             AND (created_at, id) > ($2, $3) AND created_at < $4 AND ($5 IS NULL OR endpoint_id = $5) \
             ORDER BY created_at, id LIMIT $6",
        );
        const RECOVER: Statement = Statement {
            sqlite: recover!("IN (SELECT value FROM json_each($1))"),
            postgres: recover!("= ANY (ARRAY(SELECT json_array_elements_text($1::json)))"),
        };
        let values = values![workspace, created_at, id, stored(range.to), range.endpoint.clone(), BATCH];
        let found = self.database.fetch::<(i64, String)>(FIND, values).await?;
        let ids: Vec<&str> = found.iter().map(|(_, id)| id.as_str()).collect();
        let recovered =
            self.database.execute(RECOVER, values![serde_json::json!(ids).to_string(), stored(now)]).await?;
        Ok((recovered, found.into_iter().next_back()))
    }
}
