//! Stores alerts to the operator until they are delivered. What happens again before an alert is sent adds to its number,
//! and an endpoint gets at most one alert of a kind in an interval, so a storm of failures is no storm of alerts.

use std::time::Duration;

use super::database::{Statement, Tx, column, converted, from_row, int, values, without_nul};
use super::error::Result;
use super::handle::Ledger;
use super::id::new_id;
use crate::clock::UnixMillis;
use crate::webhook::{Alert, AlertEndpoint, AlertKind};

/// The state of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertState {
    /// It waits for its first or next attempt.
    Pending,
    /// It is delivered.
    Delivered,
    /// No attempts are left.
    Failed,
}

impl AlertState {
    /// Its name, in the database and in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl From<String> for AlertState {
    fn from(name: String) -> Self {
        match name.as_str() {
            "pending" => Self::Pending,
            "delivered" => Self::Delivered,
            _ => Self::Failed,
        }
    }
}

/// An alert, and how far its sending is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAlert {
    /// The alert.
    pub alert: Alert,
    /// Its state.
    pub state: AlertState,
    /// The number of attempts.
    pub tries: u32,
    /// When its next attempt is due, while it is pending.
    pub due_at: Option<UnixMillis>,
    /// The result of its last attempt, as a sentence.
    pub last_summary: Option<String>,
    /// When it was delivered or failed.
    pub ended_at: Option<UnixMillis>,
}

/// An alert that this process must send now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedAlert {
    /// The alert.
    pub alert: Alert,
    /// The number of attempts before.
    pub tries: u32,
}

/// The result of an attempt to send an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertOutcome {
    /// It is delivered.
    Delivered,
    /// Another attempt follows.
    RetryAt(UnixMillis),
    /// It has failed: no attempts are left.
    Failed,
}

/// The cause of an alert.
pub(super) struct Cause {
    pub(super) kind: AlertKind,
    pub(super) endpoint: AlertEndpoint,
    pub(super) since: Option<UnixMillis>,
    pub(super) count: u64,
    pub(super) code: Option<String>,
    pub(super) reason: Option<String>,
}

struct AlertRow(Alert);

from_row!(row => AlertRow {
    0: Alert {
        id: column(row, "id")?,
        kind: AlertKind::of(&column::<String, _>(row, "kind")?).unwrap_or(AlertKind::Test),
        at: column(row, "at")?,
        endpoint: Some(AlertEndpoint {
            workspace: column(row, "workspace")?,
            id: column(row, "endpoint_id")?,
            description: column(row, "description")?,
            host: column(row, "host")?,
        }),
        since: column(row, "since")?,
        count: converted::<i64, _, _>(row, "count")?,
        code: column(row, "code")?,
        reason: column(row, "reason")?,
    },
});

from_row!(row => ClaimedAlert {
    alert: <AlertRow as sqlx::FromRow<_>>::from_row(row)?.0,
    tries: converted::<i64, _, _>(row, "tries")?,
});

from_row!(row => StoredAlert {
    alert: <AlertRow as sqlx::FromRow<_>>::from_row(row)?.0,
    state: converted::<String, _, _>(row, "state")?,
    tries: converted::<i64, _, _>(row, "tries")?,
    due_at: column(row, "due_at")?,
    last_summary: column(row, "last_summary")?,
    ended_at: column(row, "ended_at")?,
});

macro_rules! columns {
    () => {
        "id, kind, at, workspace, endpoint_id, description, host, since, count, code, reason, tries"
    };
}

/// Claims the next due alert. One that was never attempted waits for the end of another of its endpoint that was, so that they
/// arrive in their order.
macro_rules! claim {
    ($skip_locked:literal) => {
        concat!(
            "UPDATE alerts SET lease = $2, lease_until = $3 WHERE id = (SELECT a.id FROM alerts a \
             WHERE a.state = 'pending' AND a.due_at <= $1 AND (a.lease IS NULL OR a.lease_until <= $1) \
             AND (a.tries > 0 OR NOT EXISTS (SELECT 1 FROM alerts b WHERE b.endpoint_id = a.endpoint_id AND b.id <> a.id \
             AND b.state = 'pending' AND (b.tries > 0 OR b.lease IS NOT NULL))) ORDER BY a.due_at, a.id LIMIT 1",
            $skip_locked,
            ") RETURNING ",
            columns!()
        )
    };
}

impl Ledger {
    /// Claims the next due alert for `holder`, who has it until `until`.
    ///
    /// # Errors
    /// If it could not be written.
    pub async fn claim_alert(
        &self,
        holder: &str,
        until: UnixMillis,
        now: UnixMillis,
    ) -> Result<Option<ClaimedAlert>> {
        const CLAIM: Statement =
            Statement { sqlite: claim!(""), postgres: claim!(" FOR UPDATE SKIP LOCKED") };
        let mut tx = self.database.begin_unchecked().await?;
        let claimed = tx.fetch(CLAIM, values![now, holder, until]).await?.pop();
        tx.commit().await?;
        Ok(claimed)
    }

    /// Records an attempt to send an alert, and what follows from it, if `holder` still has it.
    ///
    /// # Errors
    /// If it could not be written.
    pub async fn finish_alert(
        &self,
        id: &str,
        holder: &str,
        outcome: &AlertOutcome,
        summary: &str,
        now: UnixMillis,
    ) -> Result<()> {
        const FINISH: Statement = Statement::same(
            "UPDATE alerts SET state = $3, due_at = coalesce($4, due_at), ended_at = $5, tries = tries + 1, \
             last_summary = $6, lease = NULL, lease_until = NULL WHERE id = $1 AND lease = $2",
        );
        let (state, due_at) = match outcome {
            AlertOutcome::Delivered => (AlertState::Delivered, None),
            AlertOutcome::Failed => (AlertState::Failed, None),
            AlertOutcome::RetryAt(due) => (AlertState::Pending, Some(*due)),
        };
        let ended_at = due_at.is_none().then_some(now);
        let values = values![id, holder, state.name(), due_at, ended_at, without_nul(summary)];
        self.database.execute_unchecked(FINISH, values).await.map(|_| ())
    }

    /// The alerts, newest first.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn alerts(&self, limit: usize) -> Result<Vec<StoredAlert>> {
        const LIST: Statement = Statement::same(concat!(
            "SELECT ",
            columns!(),
            ", state, CASE WHEN state = 'pending' THEN due_at END AS due_at, last_summary, ended_at FROM alerts \
             ORDER BY at DESC, id DESC LIMIT $1"
        ));
        self.database.fetch(LIST, values![limit]).await
    }

    /// How many alerts are pending.
    ///
    /// # Errors
    /// If they cannot be counted.
    pub async fn pending_alerts(&self) -> Result<u64> {
        const COUNT: Statement = Statement::same("SELECT count(*) FROM alerts WHERE state = 'pending'");
        let counted = self.database.fetch::<(i64,)>(COUNT, Vec::new()).await?;
        Ok(counted.into_iter().find_map(|(count,)| u64::try_from(count).ok()).unwrap_or_default())
    }
}

/// Adds an alert, or adds to the number of one that was not attempted yet. Its first attempt is due when `interval` has passed
/// since the last alert of its endpoint and kind.
pub(super) async fn add_alert(tx: &mut Tx, cause: Cause, interval: Duration, now: UnixMillis) -> Result<()> {
    const ADD: Statement = Statement::same(
        "INSERT INTO alerts (id, kind, endpoint_id, workspace, description, host, since, code, reason, count, state, at, \
         due_at, tries) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'pending', $11, \
         (SELECT CASE WHEN max(b.ended_at) + $12 > $11 THEN max(b.ended_at) + $12 ELSE $11 END FROM alerts b \
         WHERE b.endpoint_id = $3 AND b.kind = $2), 0) \
         ON CONFLICT (endpoint_id, kind) WHERE state = 'pending' AND tries = 0 AND lease IS NULL DO UPDATE SET \
         count = alerts.count + excluded.count, at = excluded.at, code = excluded.code, reason = excluded.reason",
    );
    let Cause { kind, endpoint, since, count, code, reason } = cause;
    let values = values![
        new_id("alt", now)?,
        kind.name(),
        endpoint.id,
        endpoint.workspace,
        endpoint.description,
        endpoint.host,
        since,
        code,
        reason,
        count,
        now,
        int(interval.as_millis()),
    ];
    tx.execute(ADD, values).await.map(|_| ())
}
