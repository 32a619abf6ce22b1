//! Resends one delivery, or those of a time range, as a person asks. Each resend is counted: its message has its own id,
//! so that receivers take its links.

use serde_json::json;

use super::audit_entry::Action;
use super::database::{Statement, int, over_ids, values};
use super::delivery::DeliveryState;
use super::error::Result;
use super::handle::Ledger;
use super::pick_up::links_followed;
use super::record_health::release_holds;
use crate::clock::UnixMillis;

/// Queues a delivery as if it were new. Links of earlier messages no longer count.
macro_rules! queue_again {
    ($lane:literal, $due_at:literal) => {
        concat!(
            "UPDATE deliveries SET state = 'queued', lane = ",
            $lane,
            ", due_at = ",
            $due_at,
            ", active_at = ",
            $due_at,
            ", scheduled_at = NULL, tries = 0, resends = resends + 1, ended_at = NULL, note = NULL, \
             links_expire_at = NULL, recording_fetched_at = NULL, transcript_fetched_at = NULL WHERE "
        )
    };
}

pub(super) use queue_again;

macro_rules! statements {
    ($which:expr) => {
        Statements {
            find: Statement::same(concat!(
                "SELECT created_at, id FROM deliveries WHERE workspace = $1 AND ",
                $which,
                " AND NOT test AND (created_at, id) > ($2, $3) AND created_at < $4 \
                 AND ($5 IS NULL OR endpoint_id = $5) ORDER BY created_at, id LIMIT $6"
            )),
            recover: over_ids!(
                concat!(queue_again!("1", "$2"), "id"),
                concat!(
                    " AND ",
                    $which,
                    " AND EXISTS (SELECT 1 FROM endpoints e \
                     WHERE e.id = endpoint_id AND e.removed_at IS NULL AND e.state <> 'disabled')"
                )
            ),
            count: Statement::same(concat!(
                "SELECT count(*) FROM deliveries WHERE workspace = $1 AND ",
                $which,
                " AND NOT test AND created_at >= $2 AND created_at < $3 AND ($4 IS NULL OR endpoint_id = $4) \
                 AND endpoint_id IN (SELECT id FROM endpoints \
                 WHERE workspace = $1 AND removed_at IS NULL AND state <> 'disabled')"
            )),
        }
    };
}
/// The deliveries to recover. Test events are never recovered.
#[derive(Debug, Clone)]
pub struct RecoverRange {
    /// Which of them.
    pub which: RecoverWhich,
    /// Of this endpoint only.
    pub endpoint: Option<String>,
    /// Accepted at this time or later.
    pub from: UnixMillis,
    /// Accepted before this time.
    pub to: UnixMillis,
}

/// Which deliveries of a time range to recover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecoverWhich {
    /// Those that failed.
    #[default]
    Failed,
    /// Those that were delivered, and none of whose links was followed.
    NotFetched,
    /// All that have ended.
    All,
}

impl RecoverWhich {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Failed, Self::NotFetched, Self::All];

    /// Its name, for the API and the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::NotFetched => "not-fetched",
            Self::All => "all",
        }
    }

    /// The value with this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|which| which.name() == name)
    }

    fn statements(self) -> Statements {
        match self {
            Self::Failed => statements!("state = 'failed'"),
            Self::NotFetched => statements!(links_followed!("0")),
            Self::All => statements!("state IN ('delivered', 'failed')"),
        }
    }
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

/// The statements of a recovery.
struct Statements {
    /// Finds the next batch.
    find: Statement,
    /// Resends those of a batch that still qualify.
    recover: Statement,
    /// Counts all.
    count: Statement,
}

impl Ledger {
    /// Resends a delivered or failed delivery, with a full set of attempts and new links. The first attempt ignores a
    /// hold of the endpoint.
    ///
    /// # Errors
    /// If it could not be written.
    pub async fn resend(&self, workspace: &str, id: &str, now: UnixMillis) -> Result<ResendOutcome> {
        const RESEND: Statement = Statement::same(concat!(
            queue_again!("CASE WHEN test THEN 2 ELSE 3 END", "$3"),
            "workspace = $1 AND id = $2 AND state IN ('delivered', 'failed') AND EXISTS (SELECT 1 FROM endpoints e \
             WHERE e.id = endpoint_id AND e.removed_at IS NULL AND (e.state <> 'disabled' OR test))",
        ));
        let mut tx = self.database.begin().await?;
        if tx.execute(RESEND, values![workspace, id, now]).await? == 1 {
            self.commit_recorded(tx, Action::of("delivery.resent", workspace, id)).await?;
            return Ok(ResendOutcome::Queued);
        }
        drop(tx);
        Ok(match self.delivery(workspace, id).await? {
            None => ResendOutcome::Unknown,
            Some((delivery, _)) => match delivery.state {
                DeliveryState::Delivered | DeliveryState::Failed => ResendOutcome::NoEndpoint,
                _ => ResendOutcome::InFlight,
            },
        })
    }

    /// Counts the deliveries that [`Ledger::recover`] would resend now.
    ///
    /// # Errors
    /// If they cannot be counted.
    pub async fn count_recoverable(&self, workspace: &str, range: &RecoverRange) -> Result<u64> {
        let values = values![workspace, range.from, range.to, &range.endpoint];
        let _permit = self.search_limiter.acquire(workspace).await;
        let counted = self.database.fetch::<(i64,)>(range.which.statements().count, values).await?;
        Ok(counted.into_iter().find_map(|(count,)| u64::try_from(count).ok()).unwrap_or_default())
    }

    /// Resends the deliveries of a time range, and returns their number. Works in batches, so that other writers are not
    /// blocked.
    ///
    /// # Errors
    /// If it could not be written. Later deliveries stay as they are, and the caller can recover them again.
    pub async fn recover(&self, workspace: &str, range: &RecoverRange, now: UnixMillis) -> Result<u64> {
        let (mut recovered, mut after) = (0, Some((int(range.from.0), String::new())));
        while let Some(last) = after {
            let batch;
            (batch, after) = self.recover_batch(workspace, range, last, now).await?;
            recovered += batch;
        }
        // The user expects the receivers to work, so held endpoints are tried immediately.
        let mut tx = self.database.begin().await?;
        let released = release_holds(&mut tx, workspace, range.endpoint.as_deref()).await?;
        // A double click finds nothing any more, and the audit trail says what was done.
        if recovered + released == 0 {
            return Ok(0);
        }
        let done = json!({
            "which": range.which.name(),
            "from": range.from.to_string(),
            "to": range.to.to_string(),
            "deliveries": recovered,
        });
        let action = Action {
            name: "deliveries.recovered",
            workspace: Some(workspace),
            subject: range.endpoint.as_deref(),
            after: Some(done),
            ..Action::default()
        };
        self.commit_recorded(tx, action).await?;
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
        let Statements { find, recover, .. } = range.which.statements();
        let values = values![workspace, created_at, id, range.to, &range.endpoint, BATCH];
        let found = self.database.fetch::<(i64, String)>(find, values).await?;
        let ids: Vec<String> = found.iter().map(|(_, id)| id.clone()).collect();
        let recovered = self.database.execute(recover, values![ids, now]).await?;
        Ok((recovered, found.into_iter().next_back()))
    }
}
