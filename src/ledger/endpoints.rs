//! Endpoints: where a workspace wants its events, with which secret, and how well that goes.

use sqlx::FromRow;

use super::database::{Statement, values};
use super::health::{Failure, Health, HealthRow, reset_health};
use super::secrets::new_secret;
use super::{Ledger, LedgerError, count, moment, new_id, stored};
use crate::clock::UnixMillis;
use crate::webhook::WebhookSecret;

/// What stands for a limit in the database that nobody chose.
const NO_LIMIT: u32 = 0;

/// A limit from the database.
pub(super) fn limit(stored: i64) -> Option<u32> {
    Some(count(stored)).filter(|limit| *limit != NO_LIMIT)
}

/// Whether an endpoint is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    /// Events are sent as they come.
    Active,
    /// A person paused it: events wait.
    Paused,
    /// It failed for days: events are recorded as failed, to be recovered.
    Disabled,
}

impl EndpointState {
    /// Its word, here and in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }

    fn of(name: &str) -> Self {
        match name {
            "active" => Self::Active,
            "paused" => Self::Paused,
            _ => Self::Disabled,
        }
    }
}

/// An endpoint, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `ep_…`
    pub id: String,
    /// Whose it is.
    pub workspace: String,
    /// Where events go.
    pub url: String,
    /// What its owner calls it.
    pub description: String,
    /// Whether it is sent to.
    pub state: EndpointState,
    /// Why it is not active.
    pub reason: Option<String>,
    /// Whether retries go on for a day after the first four attempts.
    pub long_tail: bool,
    /// The most attempts at once, in each process, if its owner chose a limit.
    pub concurrency: Option<u32>,
    /// Attempts a second, in each process.
    pub per_second: Option<u32>,
    /// Until when the secret before the last rotation is valid too.
    pub previous_secret_until: Option<UnixMillis>,
    /// How it goes.
    pub health: Health,
    /// Why the last attempt failed, while attempts fail.
    pub failure: Option<Failure>,
    /// When it was added.
    pub created_at: UnixMillis,
}

/// An endpoint to be added. Its URL has been checked.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// Whose it is.
    pub workspace: String,
    /// Where events go.
    pub url: String,
    /// What its owner calls it.
    pub description: String,
    /// Whether retries go on for a day.
    pub long_tail: bool,
    /// The most attempts at once; `None` for as many as it takes well.
    pub concurrency: Option<u32>,
    /// Attempts a second.
    pub per_second: Option<u32>,
}

/// What to change about an endpoint; `None` leaves a thing as it is.
#[derive(Debug, Clone, Default)]
pub struct EndpointChange {
    /// Another URL, checked before.
    pub url: Option<String>,
    /// Another description.
    pub description: Option<String>,
    /// Active or paused. Making it active forgets its failures.
    pub state: Option<EndpointState>,
    /// Whether retries go on for a day.
    pub long_tail: Option<bool>,
    /// The most attempts at once; `Some(None)` lifts the limit.
    pub concurrency: Option<Option<u32>>,
    /// Attempts a second; `Some(None)` lifts the limit.
    pub per_second: Option<Option<u32>>,
}

/// What happened to an endpoint without a person's doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `ntc_…`
    pub id: String,
    /// Whose endpoint.
    pub workspace: String,
    /// Which endpoint.
    pub endpoint: String,
    /// `endpoint.disabled`
    pub what: String,
    /// Why, as a sentence.
    pub reason: String,
    /// When.
    pub at: UnixMillis,
}

#[derive(FromRow)]
pub(super) struct EndpointRow {
    id: String,
    workspace: String,
    url: String,
    description: String,
    state: String,
    reason: Option<String>,
    previous_until: Option<i64>,
    long_tail: bool,
    concurrency: i64,
    per_second: Option<i64>,
    #[sqlx(flatten)]
    health: HealthRow,
    failure_code: Option<String>,
    failure: Option<String>,
    created_at: i64,
}

impl From<EndpointRow> for Endpoint {
    fn from(row: EndpointRow) -> Self {
        Self {
            state: EndpointState::of(&row.state),
            id: row.id,
            workspace: row.workspace,
            url: row.url,
            description: row.description,
            reason: row.reason,
            long_tail: row.long_tail,
            concurrency: limit(row.concurrency),
            per_second: row.per_second.map(count),
            previous_secret_until: row.previous_until.map(moment),
            health: row.health.into(),
            failure: row.failure_code.zip(row.failure).map(|(code, summary)| Failure { code, summary }),
            created_at: moment(row.created_at),
        }
    }
}

macro_rules! select_endpoints {
    ($rest:literal) => {
        concat!(
            "SELECT id, workspace, url, description, state, reason, previous_until, long_tail, concurrency, per_second, \
             failures, failing_since, held_since, held_until, health_epoch, failure_code, failure, created_at FROM endpoints WHERE removed_at IS NULL AND ",
            $rest
        )
    };
}

impl Endpoint {
    /// Changes it; says whether its failures are forgotten: they were another receiver's, or a person has mended it.
    fn apply(&mut self, change: EndpointChange) -> bool {
        let resumed = change.state == Some(EndpointState::Active);
        let moved = change.url.is_some();
        if let Some(state) = change.state {
            self.reason = (state == EndpointState::Paused).then(|| "paused by hand".to_owned());
            self.state = state;
        }
        if resumed || moved {
            self.health = Health { epoch: self.health.epoch.saturating_add(1), ..Health::default() };
            self.failure = None;
        }
        self.url = change.url.unwrap_or_else(|| std::mem::take(&mut self.url));
        self.description = change.description.unwrap_or_else(|| std::mem::take(&mut self.description));
        self.long_tail = change.long_tail.unwrap_or(self.long_tail);
        self.concurrency = change.concurrency.unwrap_or(self.concurrency);
        self.per_second = change.per_second.unwrap_or(self.per_second);
        resumed || moved
    }
}

impl Ledger {
    /// Adds an endpoint and makes its secret.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    pub async fn add_endpoint(
        &self,
        new: NewEndpoint,
        now: UnixMillis,
    ) -> Result<(Endpoint, WebhookSecret), LedgerError> {
        const INSERT: Statement = Statement::same(
            "INSERT INTO endpoints (id, workspace, url, description, state, secret, plain_previous, long_tail, \
             concurrency, per_second, failures, created_at) VALUES ($1, $2, $3, $4, 'active', $5, $6, $7, $8, $9, 0, $10)",
        );
        let id = new_id("ep", now)?;
        let secret = new_secret()?;
        let values = values![
            id.clone(),
            new.workspace.clone(),
            new.url.clone(),
            new.description.clone(),
            self.seal.seal(&secret, &id)?,
            false,
            new.long_tail,
            new.concurrency.unwrap_or(NO_LIMIT),
            new.per_second.map(i64::from),
            stored(now),
        ];
        self.database.execute(INSERT, values).await?;
        let endpoint = Endpoint {
            id,
            workspace: new.workspace,
            url: new.url,
            description: new.description,
            state: EndpointState::Active,
            reason: None,
            long_tail: new.long_tail,
            concurrency: new.concurrency,
            per_second: new.per_second,
            previous_secret_until: None,
            health: Health::default(),
            failure: None,
            created_at: now,
        };
        Ok((endpoint, secret))
    }

    /// The endpoints of a workspace, oldest first.
    ///
    /// # Errors
    /// [`LedgerError`] if they cannot be read.
    pub async fn endpoints(&self, workspace: &str) -> Result<Vec<Endpoint>, LedgerError> {
        const LIST: Statement = Statement::same(select_endpoints!("workspace = $1 ORDER BY created_at, id"));
        let rows = self.database.fetch::<EndpointRow>(LIST, values![workspace]).await?;
        Ok(rows.into_iter().map(Endpoint::from).collect())
    }

    /// One endpoint of a workspace; `None` for an id of another's.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read.
    pub async fn endpoint(&self, workspace: &str, id: &str) -> Result<Option<Endpoint>, LedgerError> {
        const GET: Statement = Statement::same(select_endpoints!("workspace = $1 AND id = $2"));
        let mut rows = self.database.fetch::<EndpointRow>(GET, values![workspace, id]).await?;
        Ok(rows.pop().map(Endpoint::from))
    }

    /// Changes an endpoint; `None` if there is none.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    pub async fn change_endpoint(
        &self,
        workspace: &str,
        id: &str,
        change: EndpointChange,
    ) -> Result<Option<Endpoint>, LedgerError> {
        const UPDATE: Statement = Statement::same(
            "UPDATE endpoints SET url = $3, description = $4, state = $5, reason = $6, long_tail = $7, concurrency = $8, \
             per_second = $9 WHERE workspace = $1 AND id = $2 AND removed_at IS NULL",
        );
        let Some(mut endpoint) = self.endpoint(workspace, id).await? else { return Ok(None) };
        let health_is_reset = endpoint.apply(change);
        let values = values![
            workspace,
            id,
            endpoint.url.clone(),
            endpoint.description.clone(),
            endpoint.state.name(),
            endpoint.reason.clone(),
            endpoint.long_tail,
            endpoint.concurrency.unwrap_or(NO_LIMIT),
            endpoint.per_second.map(i64::from),
        ];
        let mut tx = self.database.begin().await?;
        let changed = tx.execute(UPDATE, values).await?;
        if health_is_reset {
            reset_health(&mut tx, id).await?;
        }
        tx.commit().await?;
        Ok((changed == 1).then_some(endpoint))
    }

    /// Removes an endpoint and its secrets; what waited for it has failed. The history stays until its time.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    pub async fn remove_endpoint(
        &self,
        workspace: &str,
        id: &str,
        now: UnixMillis,
    ) -> Result<bool, LedgerError> {
        const REMOVE: Statement = Statement {
            sqlite: "UPDATE endpoints SET removed_at = $3, secret = x'', previous_secret = NULL, earlier_secrets = NULL, state = 'disabled', \
                     reason = 'removed' WHERE workspace = $1 AND id = $2 AND removed_at IS NULL",
            postgres: "UPDATE endpoints SET removed_at = $3, secret = '', previous_secret = NULL, earlier_secrets = NULL, state = 'disabled', \
                       reason = 'removed' WHERE workspace = $1 AND id = $2 AND removed_at IS NULL",
        };
        let mut tx = self.database.begin().await?;
        let removed = tx.execute(REMOVE, values![workspace, id, stored(now)]).await? == 1;
        if removed {
            let note = "the endpoint was removed";
            tx.execute(FAIL_PENDING, values![id, stored(now), note]).await?;
        }
        tx.commit().await?;
        self.database.scrub_files();
        Ok(removed)
    }

    /// What happened to a workspace's endpoints, newest first, at most 100.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read.
    pub async fn notices(&self, workspace: &str) -> Result<Vec<Notice>, LedgerError> {
        const LIST: Statement = Statement::same(
            "SELECT id, workspace, endpoint_id, what, reason, at FROM notices WHERE workspace = $1 \
             ORDER BY at DESC, id DESC LIMIT 100",
        );
        type Fields = (String, String, String, String, String, i64);
        let rows = self.database.fetch::<Fields>(LIST, values![workspace]).await?;
        let notice = |(id, workspace, endpoint, what, reason, at): Fields| Notice {
            id,
            workspace,
            endpoint,
            what,
            reason,
            at: moment(at),
        };
        Ok(rows.into_iter().map(notice).collect())
    }
}

/// What waits for an endpoint will not be sent.
pub(super) const FAIL_PENDING: Statement = Statement::same(
    "UPDATE deliveries SET state = 'failed', ended_at = $2, note = $3 \
     WHERE endpoint_id = $1 AND state IN ('waiting', 'queued')",
);
