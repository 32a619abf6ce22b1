//! Counts workspaces, the backlog and the progress of a recovery, for users and metrics.

use super::database::{Statement, column, converted, from_row, values};
use super::error::Result;
use super::handle::Ledger;
use super::redelivery::RecoverRange;
use crate::clock::UnixMillis;
use crate::webhook::CompletedCall;

/// A workspace and its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceSummary {
    /// Its name.
    pub name: String,
    /// How many endpoints it has.
    pub endpoints: u64,
    /// How many of them are failing or disabled.
    pub failing: u64,
    /// When the first of them was added.
    pub since: UnixMillis,
}

from_row!(row => WorkspaceSummary {
    name: column(row, "workspace")?,
    endpoints: converted::<i64, _, _>(row, "endpoints")?,
    failing: converted::<i64, _, _>(row, "failing")?,
    since: column(row, "since")?,
});

/// The progress of a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecoveryProgress {
    /// Deliveries that have not ended yet.
    pub pending: u64,
    /// Deliveries that succeeded since it began.
    pub delivered: u64,
    /// Deliveries that failed again since it began.
    pub failed: u64,
}

/// The number of pending deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Deliveries that are not due yet.
    pub waiting: u64,
    /// Deliveries in queues.
    pub queued: u64,
    /// Deliveries in flight.
    pub sending: u64,
    /// Deliveries with unexpired links that no client has followed.
    pub not_fetched: u64,
    /// The due time of the delivery that has waited longest for the sender only.
    pub oldest_due: Option<UnixMillis>,
}

from_row!(row => Backlog {
    waiting: converted::<i64, _, _>(row, "waiting")?,
    queued: converted::<i64, _, _>(row, "queued")?,
    sending: converted::<i64, _, _>(row, "sending")?,
    not_fetched: converted::<i64, _, _>(row, "not_fetched")?,
    oldest_due: None,
});

macro_rules! count_resent {
    ($deliveries:literal, $state:literal) => {
        concat!(
            "SELECT count(*) FROM ",
            $deliveries,
            " WHERE workspace = $1 AND ",
            $state,
            " AND resends > 0 AND created_at >= $2 AND created_at < $3 AND ($4 IS NULL OR endpoint_id = $4)"
        )
    };
}

macro_rules! count_progress {
    ($pending:literal) => {
        concat!(
            "SELECT (",
            count_resent!($pending, "state IN ('waiting', 'queued', 'sending')"),
            ") AS pending, (",
            count_resent!("deliveries", "state = 'failed' AND ended_at >= $5"),
            ") AS failed"
        )
    };
}

/// Without a hint, SQLite would read all deliveries of the range.
const PROGRESS: Statement = Statement {
    sqlite: count_progress!("deliveries INDEXED BY deliveries_under_way"),
    postgres: count_progress!("deliveries"),
};

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

impl Ledger {
    /// Workspaces with endpoints, sorted by name, after the name `after`.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn workspaces(&self, after: &str, limit: usize) -> Result<Vec<WorkspaceSummary>> {
        const LIST: Statement = Statement::same(
            "SELECT workspace, count(*) AS endpoints, \
             count(CASE WHEN failures > 0 OR state = 'disabled' THEN 1 END) AS failing, min(created_at) AS since \
             FROM endpoints WHERE removed_at IS NULL AND workspace > $1 GROUP BY workspace ORDER BY workspace LIMIT $2",
        );
        // The operator's search, which covers every workspace.
        let _permit = self.search_limiter.acquire("").await;
        self.database.fetch(LIST, values![after, limit]).await
    }

    /// Whether the workspace has or had an endpoint, or has calls; with an endpoint, whether it has or had that endpoint.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn is_known(&self, workspace: &str, endpoint: Option<&str>) -> Result<bool> {
        const KNOWN: Statement = Statement::same(
            "SELECT workspace FROM endpoints WHERE workspace = $1 AND ($2 IS NULL OR id = $2) \
             UNION ALL SELECT workspace FROM events WHERE workspace = $1 AND $2 IS NULL LIMIT 1",
        );
        let values = values![workspace, endpoint.map(str::to_owned)];
        Ok(!self.database.fetch::<(String,)>(KNOWN, values).await?.is_empty())
    }

    /// The call of a delivery; `None` for an id of another workspace.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn call_of(&self, workspace: &str, delivery: &str) -> Result<Option<CompletedCall>> {
        const GET: Statement = Statement::same(
            "SELECT v.content FROM deliveries d JOIN events v ON v.id = d.event_id \
             WHERE d.workspace = $1 AND d.id = $2",
        );
        let mut rows = self.database.fetch::<(String,)>(GET, values![workspace, delivery]).await?;
        Ok(rows.pop().and_then(|(content,)| serde_json::from_str(&content).ok()))
    }

    /// The progress of a recovery that `began` to send `recovered` deliveries of a range again. Counts those that are
    /// pending and those that failed, which have indexes: a page asks every second, and the range may hold a million.
    ///
    /// # Errors
    /// If they cannot be counted.
    pub async fn progress(
        &self,
        workspace: &str,
        range: &RecoverRange,
        began: UnixMillis,
        recovered: u64,
    ) -> Result<RecoveryProgress> {
        let values = values![workspace, range.from, range.to, &range.endpoint, began];
        let _permit = self.search_limiter.acquire(workspace).await;
        let counted = self.database.fetch::<(i64, i64)>(PROGRESS, values).await?.pop().unwrap_or_default();
        let (pending, failed) = (unsigned(counted.0), unsigned(counted.1));
        let delivered = recovered.saturating_sub(pending).saturating_sub(failed);
        Ok(RecoveryProgress { pending, delivered, failed })
    }

    /// The backlog of all workspaces.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn backlog(&self, now: UnixMillis) -> Result<Backlog> {
        const COUNT: Statement = Statement::same(
            "SELECT (SELECT count(*) FROM deliveries WHERE state = 'waiting') AS waiting, \
             (SELECT count(*) FROM deliveries WHERE state = 'queued') AS queued, \
             (SELECT count(*) FROM deliveries WHERE state = 'sending') AS sending, \
             (SELECT count(*) FROM deliveries WHERE state = 'delivered' AND recording_fetched_at IS NULL \
              AND transcript_fetched_at IS NULL AND links_expire_at > $1) AS not_fetched",
        );
        let counts = self.database.fetch::<Backlog>(COUNT, values![now.seconds()]).await?.pop();
        let oldest_due = self.oldest_overdue(now).await?;
        Ok(counts.map_or_else(Backlog::default, |counts| Backlog { oldest_due, ..counts }))
    }
}
