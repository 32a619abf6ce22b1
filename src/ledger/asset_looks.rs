//! Schedules when the store is looked at for awaited assets, so that each workspace has its share of the looks.

use std::time::Duration;

use super::assets::Assets;
use super::database::{Statement, column, from_row, int, values};
use super::error::Result;
use super::handle::Ledger;
use crate::clock::UnixMillis;

/// The pause before the first look, and the least between two. Later it is a tenth of the time since the call was sent.
pub(super) const FIRST_LOOK: Duration = Duration::from_secs(30);

/// An event that awaits assets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The workspace of the call.
    pub workspace: String,
    /// The caller's id of the call; `None` for test events.
    pub call: Option<String>,
    /// The id under which it was accepted, `msg_…`.
    pub event: String,
    /// What it awaits.
    pub awaits: Assets,
    /// The recording's id.
    pub recording: Option<String>,
    /// The transcript's id.
    pub transcript: Option<String>,
}

from_row!(row => Look {
    workspace: column(row, "workspace")?,
    call: column(row, "call_id")?,
    event: column(row, "event_id")?,
    awaits: column::<i64, _>(row, "awaits")?.into(),
    recording: column(row, "recording")?,
    transcript: column(row, "transcript")?,
});

/// Steps through the index from one workspace to the next.
macro_rules! workspaces {
    ($deliveries:literal) => {
        concat!(
            "WITH RECURSIVE line(workspace, number) AS (SELECT (SELECT min(d.workspace) FROM ",
            $deliveries,
            " WHERE d.look_at IS NOT NULL AND d.workspace > $1), CAST(1 AS BIGINT) \
             UNION ALL SELECT (SELECT min(d.workspace) FROM ",
            $deliveries,
            " WHERE d.look_at IS NOT NULL AND d.workspace > line.workspace), number + 1 \
             FROM line WHERE line.workspace IS NOT NULL AND number < $2) \
             SELECT workspace, (SELECT min(d.look_at) FROM ",
            $deliveries,
            " WHERE d.look_at IS NOT NULL AND d.workspace = line.workspace) FROM line WHERE workspace IS NOT NULL"
        )
    };
}

/// Without a hint, SQLite could choose the index of all deliveries of a workspace.
const WORKSPACES: Statement = Statement {
    sqlite: workspaces!("deliveries d INDEXED BY deliveries_looks"),
    postgres: workspaces!("deliveries d"),
};

/// Schedules the next looks of a workspace's due deliveries, and returns their ids. A delivery that is sent again awaits
/// assets from its next success on.
macro_rules! claim_looks {
    ($ids:literal) => {
        concat!(
            "UPDATE deliveries SET look_at = CASE WHEN state = 'sending' THEN $2 + $5 \
             WHEN state <> 'delivered' OR awaits IS NULL OR $2 - ended_at >= $4 THEN NULL \
             WHEN ($2 - ended_at) / 10 > $5 THEN $2 + ($2 - ended_at) / 10 ELSE $2 + $5 END WHERE id ",
            $ids,
            " RETURNING id"
        )
    };
}

const CLAIM: Statement = Statement {
    sqlite: claim_looks!(
        "IN (SELECT id FROM deliveries INDEXED BY deliveries_looks WHERE workspace = $1 AND look_at IS NOT NULL \
         AND look_at <= $2 ORDER BY look_at LIMIT $3)"
    ),
    postgres: claim_looks!(
        "= ANY (ARRAY(SELECT id FROM deliveries WHERE workspace = $1 AND look_at IS NOT NULL AND look_at <= $2 \
         ORDER BY look_at LIMIT $3 FOR UPDATE SKIP LOCKED))"
    ),
};

/// Reads what these deliveries await, where their endpoints still get reports.
macro_rules! read_looks {
    ($event:literal, $endpoint:literal, $ids:literal) => {
        concat!(
            "SELECT v.workspace, v.call_id, d.event_id, d.awaits, v.recording, v.transcript FROM deliveries d JOIN events v ON v.id ",
            $event,
            " JOIN endpoints e ON e.id ",
            $endpoint,
            " AND e.removed_at IS NULL AND e.late_assets WHERE d.id ",
            $ids,
            " AND d.state = 'delivered' AND d.awaits IS NOT NULL"
        )
    };
}

const READ: Statement = Statement {
    sqlite: read_looks!("= d.event_id", "= d.endpoint_id", "IN (SELECT value FROM json_each($1))"),
    postgres: read_looks!("= ANY (ARRAY[d.event_id])", "= ANY (ARRAY[d.endpoint_id])", "= ANY ($1::text[])"),
};

impl Ledger {
    /// The next workspaces after a name that have looks, and when the first of them is due.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn workspaces_with_looks(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, UnixMillis)>> {
        self.database.fetch(WORKSPACES, values![after, limit]).await
    }

    /// Claims due looks of a workspace, for assets that arrive until `patience` after the call was sent. The next look at
    /// each is scheduled, whatever becomes of this one.
    ///
    /// # Errors
    /// If it could not be written.
    pub async fn claim_looks(
        &self,
        workspace: &str,
        limit: usize,
        patience: Duration,
        now: UnixMillis,
    ) -> Result<Vec<Look>> {
        let pauses = (int(patience.as_millis()), int(FIRST_LOOK.as_millis()));
        let mut tx = self.database.begin_unchecked().await?;
        let ids = tx.fetch::<(String,)>(CLAIM, values![workspace, now, limit, pauses.0, pauses.1]).await?;
        let ids: Vec<String> = ids.into_iter().map(|(id,)| id).collect();
        let looks = if ids.is_empty() { Vec::new() } else { tx.fetch(READ, values![ids]).await? };
        tx.commit().await?;
        Ok(looks)
    }
}
