//! How endpoints' attempts go: written down by those who send, and begun anew by what a person does.

use super::database::{Statement, Tx, values};
use super::endpoints::FAIL_PENDING;
use super::{Ledger, LedgerError, count, moment, new_id, stored};
use crate::clock::UnixMillis;

/// How an endpoint's last attempts went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Failed attempts since the last good one.
    pub failures: u32,
    /// When the first of them was.
    pub failing_since: Option<UnixMillis>,
    /// Since when new deliveries wait, because nothing was taken for so long.
    pub held_since: Option<UnixMillis>,
    /// When the endpoint is tried next, while it is held.
    pub held_until: Option<UnixMillis>,
    /// Goes up when everything begins anew: an attempt succeeds after failures, or a person does something about them.
    /// What was learnt in an earlier epoch is not written.
    pub epoch: u64,
}

/// Health as the database has it.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub(super) struct HealthRow {
    failures: i64,
    failing_since: Option<i64>,
    held_since: Option<i64>,
    held_until: Option<i64>,
    health_epoch: i64,
}

impl From<HealthRow> for Health {
    fn from(row: HealthRow) -> Self {
        Self {
            failures: count(row.failures),
            failing_since: row.failing_since.map(moment),
            held_since: row.held_since.map(moment),
            held_until: row.held_until.map(moment),
            epoch: u64::try_from(row.health_epoch).unwrap_or_default(),
        }
    }
}

/// What came of an attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In a word.
    pub code: String,
    /// In a sentence.
    pub summary: String,
}

#[derive(sqlx::FromRow)]
struct EndpointHealthRow {
    id: String,
    #[sqlx(flatten)]
    health: HealthRow,
}

impl Ledger {
    /// Writes down how an endpoint's attempts go, and why the last one failed, unless its health began anew meanwhile.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    pub async fn note_health(
        &self,
        id: &str,
        health: Health,
        failure: Option<&Failure>,
    ) -> Result<(), LedgerError> {
        const NOTE: Statement = Statement::same(
            "UPDATE endpoints SET failures = $2, failing_since = $3, held_since = $4, held_until = $5, \
             failure_code = coalesce($6, failure_code), failure = coalesce($7, failure) \
             WHERE id = $1 AND health_epoch = $8",
        );
        let Health { failures, failing_since, held_since, held_until, epoch } = health;
        let values = values![
            id,
            failures,
            failing_since.map(stored),
            held_since.map(stored),
            held_until.map(stored),
            failure.map(|failure| failure.code.clone()),
            failure.map(|failure| failure.summary.replace('\0', "\u{fffd}")),
            stored_epoch(epoch),
        ];
        self.database.execute_unchecked(NOTE, values).await.map(|_| ())
    }

    /// An endpoint takes what it is sent again: its failures up to `epoch` are forgotten.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    pub async fn note_recovery(&self, id: &str, epoch: u64) -> Result<(), LedgerError> {
        const NOTE: Statement = Statement::same(
            "UPDATE endpoints SET failures = 0, failing_since = NULL, held_since = NULL, held_until = NULL, \
             failure_code = NULL, failure = NULL, health_epoch = health_epoch + 1 WHERE id = $1 AND health_epoch < $2",
        );
        self.database.execute_unchecked(NOTE, values![id, stored_epoch(epoch)]).await.map(|_| ())
    }

    /// Disables an endpoint that failed for too long: what waits has failed, and a notice says why. Does nothing if
    /// its health began anew meanwhile.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    pub async fn disable_endpoint(
        &self,
        id: &str,
        epoch: u64,
        reason: &str,
        now: UnixMillis,
    ) -> Result<bool, LedgerError> {
        const DISABLE: Statement = Statement::same(
            "UPDATE endpoints SET state = 'disabled', reason = $2 \
             WHERE id = $1 AND state = 'active' AND health_epoch = $3",
        );
        const NOTICE: Statement = Statement::same(
            "INSERT INTO notices (id, workspace, endpoint_id, what, reason, at) \
             SELECT $2, workspace, id, 'endpoint.disabled', $3, $4 FROM endpoints WHERE id = $1",
        );
        let mut tx = self.database.begin_unchecked().await?;
        let disabled = tx.execute(DISABLE, values![id, reason, stored_epoch(epoch)]).await? == 1;
        if disabled {
            tx.execute(NOTICE, values![id, new_id("ntc", now)?, reason, stored(now)]).await?;
            tx.execute(FAIL_PENDING, values![id, stored(now), "the endpoint is disabled"]).await?;
        }
        tx.commit().await?;
        Ok(disabled)
    }

    /// Endpoints that are held beyond `now`.
    ///
    /// # Errors
    /// [`LedgerError`] if they cannot be read.
    pub async fn held_endpoints(&self, now: UnixMillis) -> Result<Vec<(String, Health)>, LedgerError> {
        const LIST: Statement = Statement::same(
            "SELECT id, failures, failing_since, held_since, held_until, health_epoch FROM endpoints \
             WHERE held_until > $1 OR failing_since > $1",
        );
        self.read_health(LIST, now).await
    }

    async fn read_health(
        &self,
        list: Statement,
        now: UnixMillis,
    ) -> Result<Vec<(String, Health)>, LedgerError> {
        let rows = self.database.fetch::<EndpointHealthRow>(list, values![stored(now)]).await?;
        Ok(rows.into_iter().map(|row| (row.id, row.health.into())).collect())
    }
}

/// A person did something about an endpoint: its failures are forgotten, and it is tried at once.
pub(super) async fn reset_health(tx: &mut Tx, id: &str) -> Result<(), LedgerError> {
    const RESET: Statement = Statement::same(
        "UPDATE endpoints SET failures = 0, failing_since = NULL, held_since = NULL, held_until = NULL, \
         failure_code = NULL, failure = NULL, health_epoch = health_epoch + 1 WHERE id = $1",
    );
    tx.execute(RESET, values![id]).await.map(|_| ())
}

/// A person did something about a workspace's endpoints, or one of them: those that are held are tried at once. That
/// they failed is forgotten when they take something.
pub(super) async fn release_holds(tx: &mut Tx, workspace: &str, id: Option<&str>) -> Result<(), LedgerError> {
    const RELEASE: Statement = Statement::same(
        "UPDATE endpoints SET held_since = NULL, held_until = NULL, health_epoch = health_epoch + 1 \
         WHERE workspace = $1 AND ($2 IS NULL OR id = $2) AND held_until IS NOT NULL",
    );
    tx.execute(RELEASE, values![workspace, id.map(str::to_owned)]).await.map(|_| ())
}

/// An epoch as the database has it.
pub(super) fn stored_epoch(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}
