//! What is there, counted for people: workspaces, and how far a recovery has come.

use super::database::{Statement, values};
use super::{Ledger, LedgerError, RecoverRange, moment, stored};
use crate::clock::UnixMillis;
use crate::webhook::CompletedCall;

/// A workspace and its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceSummary {
    /// Its name.
    pub name: String,
    /// How many endpoints it has.
    pub endpoints: u64,
    /// How many of them failed last, or are disabled.
    pub failing: u64,
    /// When the first of them was added.
    pub since: UnixMillis,
}

/// How far a recovery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecoveryProgress {
    /// What is on its way.
    pub pending: u64,
    /// What arrived since it began.
    pub delivered: u64,
    /// What failed again since it began.
    pub failed: u64,
}

impl Ledger {
    /// Workspaces that have endpoints, by name, those behind `after`.
    ///
    /// # Errors
    /// [`LedgerError`] if they cannot be read.
    pub async fn workspaces(&self, after: &str, limit: usize) -> Result<Vec<WorkspaceSummary>, LedgerError> {
        const LIST: Statement = Statement::same(
            "SELECT workspace, count(*), count(CASE WHEN failures > 0 OR state = 'disabled' THEN 1 END), min(created_at) \
             FROM endpoints WHERE removed_at IS NULL AND workspace > $1 GROUP BY workspace ORDER BY workspace LIMIT $2",
        );
        type Fields = (String, i64, i64, i64);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        // The operator's, who sees every workspace.
        let _permit = self.search_limiter.acquire("").await;
        let rows = self.database.fetch::<Fields>(LIST, values![after, limit]).await?;
        let line = |(name, endpoints, failing, since): Fields| WorkspaceSummary {
            name,
            endpoints: number(endpoints),
            failing: number(failing),
            since: moment(since),
        };
        Ok(rows.into_iter().map(line).collect())
    }

    /// The call that a delivery carries; `None` for an id of another workspace.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read.
    pub async fn call_of(
        &self,
        workspace: &str,
        delivery: &str,
    ) -> Result<Option<CompletedCall>, LedgerError> {
        const GET: Statement = Statement::same(
            "SELECT v.content FROM deliveries d JOIN events v ON v.id = d.event_id \
             WHERE d.workspace = $1 AND d.id = $2",
        );
        let mut rows = self.database.fetch::<(String,)>(GET, values![workspace, delivery]).await?;
        Ok(rows.pop().and_then(|(content,)| serde_json::from_str(&content).ok()))
    }

    /// How far the deliveries of a range have come since `began`.
    ///
    /// # Errors
    /// [`LedgerError`] if they cannot be counted.
    pub async fn progress(
        &self,
        workspace: &str,
        range: &RecoverRange,
        began: UnixMillis,
    ) -> Result<RecoveryProgress, LedgerError> {
        const COUNT: Statement = Statement::same(
            "SELECT state, count(*) FROM deliveries WHERE workspace = $1 AND NOT test AND created_at >= $2 \
             AND created_at < $3 AND ($4 IS NULL OR endpoint_id = $4) AND (ended_at IS NULL OR ended_at >= $5) \
             GROUP BY state",
        );
        let values =
            values![workspace, stored(range.from), stored(range.to), range.endpoint.clone(), stored(began),];
        let _permit = self.search_limiter.acquire(workspace).await;
        let mut progress = RecoveryProgress::default();
        for (state, count) in self.database.fetch::<(String, i64)>(COUNT, values).await? {
            match state.as_str() {
                "delivered" => progress.delivered += number(count),
                "failed" => progress.failed += number(count),
                _ => progress.pending += number(count),
            }
        }
        Ok(progress)
    }
}

fn number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or_default()
}
