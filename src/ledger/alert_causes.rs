//! Finds what to alert the operator to: compares the state of endpoints with the last alert about it, and counts links that
//! expired unfetched. Both are stored, so a killed program misses nothing.

use std::time::Duration;

use super::alerts::{Cause, add_alert};
use super::database::{Int, Statement, Tx, column, converted, from_row, values};
use super::error::Result;
use super::handle::Ledger;
use super::health::Failure;
use crate::clock::{UnixMillis, UnixSeconds};
use crate::webhook::{AlertEndpoint, AlertKind};

/// How long every attempt must have failed for an alert. An endpoint that gets calls is on hold before that, and needs no
/// second alert.
const FAILING_AFTER: Duration = Duration::from_secs(120);

/// How long after their expiry links count as unfetched: a download that had begun before is recorded when it ends.
const LAST_DOWNLOADS: Duration = Duration::from_secs(5 * 60);

/// How many endpoints one transaction alerts to.
const BATCH: usize = 100;

/// An endpoint whose state differs from the last alert about it.
struct Changed {
    kind: String,
    endpoint: AlertEndpoint,
    failing_since: Option<UnixMillis>,
    failure: Option<Failure>,
}

from_row!(row => Changed {
    kind: column(row, "kind")?,
    endpoint: AlertEndpoint {
        workspace: column(row, "workspace")?,
        id: column(row, "id")?,
        description: column(row, "description")?,
        host: AlertEndpoint::host_of(&column::<String, _>(row, "url")?),
    },
    failing_since: column(row, "failing_since")?,
    failure: column::<Option<String>, _>(row, "failure_code")?
        .zip(column(row, "failure")?)
        .map(|(code, summary)| Failure { code, summary }),
});

/// Endpoints in a state that the operator wants to know and was not alerted to: `$1` failing, `$2` on hold, `$3` disabled. A
/// state keeps its alert until an attempt succeeds, so that a person's action alone is no recovery.
const CHANGED: Statement = Statement::same(
    "SELECT id, workspace, url, description, failing_since, failure_code, failure, kind FROM \
     (SELECT e.*, CASE WHEN state = 'disabled' THEN CASE WHEN $3 THEN 'endpoint.disabled' END \
     WHEN state = 'paused' THEN alerted WHEN $2 AND held_since IS NOT NULL THEN 'endpoint.held' \
     WHEN $1 AND alerted IS NULL AND failing_since <= $4 THEN 'endpoint.failing' ELSE alerted END AS kind \
     FROM endpoints e WHERE removed_at IS NULL \
     AND (failing_since IS NOT NULL OR state = 'disabled' OR alerted IS NOT NULL)) AS endpoints \
     WHERE kind IS NOT NULL AND kind IS DISTINCT FROM alerted ORDER BY id LIMIT $5",
);

/// Reads an endpoint with an alert about its state.
macro_rules! alerted {
    ($locked:literal) => {
        concat!(
            "SELECT id, workspace, url, description, failing_since, failure_code, failure, alerted AS kind FROM endpoints \
             WHERE id = $1 AND alerted IS NOT NULL AND removed_at IS NULL",
            $locked
        )
    };
}

/// An endpoint with delivered calls whose links expired unfetched.
struct Unfetched {
    endpoint: AlertEndpoint,
    count: u64,
    since: Option<UnixMillis>,
}

from_row!(row => Unfetched {
    endpoint: AlertEndpoint {
        workspace: column(row, "workspace")?,
        id: column(row, "id")?,
        description: column(row, "description")?,
        host: AlertEndpoint::host_of(&column::<String, _>(row, "url")?),
    },
    count: converted::<i64, _, _>(row, "count")?,
    since: column(row, "since")?,
});

impl Ledger {
    /// Adds alerts of these kinds to endpoints that are failing, on hold or disabled. Returns how many.
    ///
    /// # Errors
    /// If it could not be written. Then nothing is added.
    pub async fn alert_to_states(
        &self,
        kinds: &[AlertKind],
        interval: Duration,
        now: UnixMillis,
    ) -> Result<usize> {
        const MARK: Statement = Statement::same(
            "UPDATE endpoints SET alerted = $2 WHERE id = $1 AND alerted IS DISTINCT FROM $2",
        );
        let wanted = |kind| kinds.contains(&kind);
        let (failing, held, disabled) =
            (wanted(AlertKind::Failing), wanted(AlertKind::Held), wanted(AlertKind::Disabled));
        let values = values![failing, held, disabled, now.minus(FAILING_AFTER), BATCH];
        let changed = self.database.fetch::<Changed>(CHANGED, values).await?;
        if changed.is_empty() {
            return Ok(0);
        }
        let mut tx = self.database.begin_unchecked().await?;
        let mut added = 0;
        for Changed { kind, endpoint, failing_since, failure } in changed {
            let Some(kind) = AlertKind::of(&kind) else { continue };
            // Another process may have been faster.
            if tx.execute(MARK, values![&endpoint.id, kind.name()]).await? == 0 {
                continue;
            }
            drop_unsent(&mut tx, &endpoint.id).await?;
            let (code, reason) = failure.map(|failure| (failure.code, failure.summary)).unzip();
            let cause = Cause { kind, endpoint, since: failing_since, count: 1, code, reason };
            add_alert(&mut tx, cause, interval, now).await?;
            added += 1;
        }
        tx.commit().await?;
        Ok(added)
    }

    /// The endpoints with an alert about their state, for which a success is news.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn alerted_endpoints(&self) -> Result<Vec<String>> {
        const LIST: Statement = Statement::same(
            "SELECT id FROM endpoints WHERE removed_at IS NULL \
             AND (failing_since IS NOT NULL OR state = 'disabled' OR alerted IS NOT NULL) AND alerted IS NOT NULL",
        );
        let rows = self.database.fetch::<(String,)>(LIST, Vec::new()).await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Records that an endpoint with an alert about its state has taken a delivery. If that alert was not sent yet, it and this
    /// one are not needed; otherwise adds an alert, if the operator wants such.
    ///
    /// # Errors
    /// If it could not be written. Then nothing has changed.
    pub async fn alert_to_recovery(
        &self,
        endpoint: &str,
        interval: Option<Duration>,
        now: UnixMillis,
    ) -> Result<()> {
        const READ: Statement = Statement { sqlite: alerted!(""), postgres: alerted!(" FOR NO KEY UPDATE") };
        const MARK: Statement = Statement::same("UPDATE endpoints SET alerted = NULL WHERE id = $1");
        let mut tx = self.database.begin_unchecked().await?;
        let Some(Changed { endpoint, .. }) = tx.fetch::<Changed>(READ, values![endpoint]).await?.pop() else {
            return Ok(());
        };
        tx.execute(MARK, values![&endpoint.id]).await?;
        let is_news =
            !drop_unsent(&mut tx, &endpoint.id).await? || was_alerted(&mut tx, &endpoint.id).await?;
        if let Some(interval) = interval.filter(|_| is_news) {
            let kind = AlertKind::Recovered;
            let cause = Cause { kind, endpoint, since: None, count: 1, code: None, reason: None };
            add_alert(&mut tx, cause, interval, now).await?;
        }
        tx.commit().await
    }

    /// Adds alerts to links of delivered calls that expired unfetched since this was asked before.
    ///
    /// # Errors
    /// If it could not be written. Then nothing has changed.
    pub async fn alert_to_expired_links(&self, interval: Duration, now: UnixMillis) -> Result<usize> {
        const COUNT: Statement = Statement::same(
            "SELECT e.id, e.workspace, e.url, e.description, count(*) AS count, min(d.ended_at) AS since \
             FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id WHERE d.state = 'delivered' \
             AND d.recording_fetched_at IS NULL AND d.transcript_fetched_at IS NULL AND d.links_expire_at > $1 \
             AND d.links_expire_at <= $2 AND NOT d.test AND e.removed_at IS NULL \
             GROUP BY e.id, e.workspace, e.url, e.description ORDER BY e.id",
        );
        const ADVANCE: Statement =
            Statement::same("UPDATE alert_progress SET links_until = $2 WHERE links_until = $1");
        let until = now.minus(LAST_DOWNLOADS).seconds();
        let Some(from) = self.links_until().await?.filter(|from| *from < until) else { return Ok(0) };
        let mut tx = self.database.begin_unchecked().await?;
        // Another process may have been faster.
        if tx.execute(ADVANCE, values![from, until]).await? == 0 {
            return Ok(0);
        }
        let unfetched = tx.fetch::<Unfetched>(COUNT, values![from, until]).await?;
        let added = unfetched.len();
        for Unfetched { endpoint, count, since } in unfetched {
            let kind = AlertKind::Unfetched;
            let cause = Cause { kind, endpoint, since, count, code: None, reason: None };
            add_alert(&mut tx, cause, interval, now).await?;
        }
        tx.commit().await?;
        Ok(added)
    }

    async fn links_until(&self) -> Result<Option<UnixSeconds>> {
        const READ: Statement = Statement::same("SELECT links_until FROM alert_progress");
        Ok(self.database.fetch::<(Int,)>(READ, Vec::new()).await?.pop().map(|(until,)| until.into()))
    }

    /// Prepares the first alerts of a database: what happened before the operator wanted alerts is no news.
    ///
    /// # Errors
    /// If it could not be written.
    pub async fn begin_alerts(&self, now: UnixMillis) -> Result<()> {
        const BEGIN: Statement = Statement::same(
            "INSERT INTO alert_progress (number, links_until) VALUES (1, $1) ON CONFLICT (number) DO NOTHING",
        );
        const DISABLED: Statement =
            Statement::same("UPDATE endpoints SET alerted = 'endpoint.disabled' WHERE state = 'disabled'");
        if self.links_until().await?.is_some() {
            return Ok(());
        }
        let mut tx = self.database.begin_unchecked().await?;
        if tx.execute(BEGIN, values![now.minus(LAST_DOWNLOADS).seconds()]).await? == 1 {
            tx.execute(DISABLED, Vec::new()).await?;
        }
        tx.commit().await
    }
}

/// Drops the alert about an endpoint's state that was not attempted yet. False if there is none.
async fn drop_unsent(tx: &mut Tx, endpoint: &str) -> Result<bool> {
    const DROP: Statement = Statement::same(
        "DELETE FROM alerts WHERE endpoint_id = $1 AND state = 'pending' AND tries = 0 AND lease IS NULL \
         AND kind IN ('endpoint.failing', 'endpoint.held', 'endpoint.disabled', 'endpoint.recovered')",
    );
    Ok(tx.execute(DROP, values![endpoint]).await? > 0)
}

/// Whether the last alert about an endpoint's state that was attempted was of trouble.
async fn was_alerted(tx: &mut Tx, endpoint: &str) -> Result<bool> {
    const LAST: Statement = Statement::same(
        "SELECT kind FROM alerts WHERE endpoint_id = $1 \
         AND kind IN ('endpoint.failing', 'endpoint.held', 'endpoint.disabled', 'endpoint.recovered') \
         ORDER BY at DESC, id DESC LIMIT 1",
    );
    let last = tx.fetch::<(String,)>(LAST, values![endpoint]).await?.pop();
    Ok(last.is_some_and(|(kind,)| kind != AlertKind::Recovered.name()))
}
