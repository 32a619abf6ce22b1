//! Manages endpoints: the URLs that a workspace's events are sent to.

use serde_json::{Map, Value, json};

use super::audit_changes::{differences, filter_to_json, origin};
use super::audit_entry::Action;
use super::call_filter::CallFilter;
use super::database::{Int, Statement, Tx, column, converted, from_row, values};
use super::endpoint_headers::{Owner, StoredHeaders, change_headers, names_of};
use super::error::{LedgerError, Result};
use super::handle::Ledger;
use super::health::{Failure, Health};
use super::id::new_id;
use super::record_health::reset_health;
use super::reseal::BEFORE_SEALING;
use super::secrets::new_secret;
use crate::clock::UnixMillis;
use crate::webhook::{CustomHeaders, HeaderChanges, WebhookSecret};

/// The database's value for no limit.
const NO_LIMIT: u32 = 0;

/// Whether events are sent to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    /// Events are sent as they arrive.
    Active,
    /// A user paused it: events wait.
    Paused,
    /// It failed for days: its events are recorded as failed and can be recovered.
    Disabled,
}

impl EndpointState {
    /// Its name, in the database and in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

impl From<String> for EndpointState {
    fn from(name: String) -> Self {
        match name.as_str() {
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
    /// Its workspace.
    pub workspace: String,
    /// The URL that events are sent to.
    pub url: String,
    /// The owner's description.
    pub description: String,
    /// Whether events are sent to it.
    pub state: EndpointState,
    /// Why it is not active, if it is not.
    pub reason: Option<String>,
    /// Whether retries continue for a day after the first four attempts.
    pub long_tail: bool,
    /// Whether it gets `call.updated` when an asset arrives after its call was sent.
    pub late_assets: bool,
    /// The maximum number of concurrent attempts per process, if the owner set a limit.
    pub concurrency: Option<u32>,
    /// The maximum number of attempts per second and process, if the owner set a limit.
    pub per_second: Option<u32>,
    /// Which calls it gets.
    pub filter: CallFilter,
    /// The names of its custom header fields; their values are sealed.
    pub headers: Vec<String>,
    /// Until when the previous secret stays valid.
    pub previous_secret_until: Option<UnixMillis>,
    /// The result of its last attempts.
    pub health: Health,
    /// The reason of the last failure, while attempts fail.
    pub failure: Option<Failure>,
    /// When it was added.
    pub created_at: UnixMillis,
}

from_row!(row => Endpoint {
    id: column(row, "id")?,
    workspace: column(row, "workspace")?,
    url: column(row, "url")?,
    description: column(row, "description")?,
    state: converted::<String, _, _>(row, "state")?,
    reason: column(row, "reason")?,
    long_tail: column(row, "long_tail")?,
    late_assets: column(row, "late_assets")?,
    concurrency: converted::<Int, _, _>(row, "concurrency")?,
    per_second: converted::<Int, _, _>(row, "per_second")?,
    filter: column::<Option<i64>, _>(row, "wanted_calls")?.into(),
    headers: names_of(column(row, "header_names")?),
    previous_secret_until: column(row, "previous_until")?,
    health: sqlx::FromRow::from_row(row)?,
    failure: <FailureRow as sqlx::FromRow<_>>::from_row(row)?.into(),
    created_at: column(row, "created_at")?,
});

/// An endpoint to add. The caller has checked its URL.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// Its workspace.
    pub workspace: String,
    /// The URL that events are sent to.
    pub url: String,
    /// The owner's description.
    pub description: String,
    /// Whether retries continue for a day.
    pub long_tail: bool,
    /// Whether it gets reports of late assets.
    pub late_assets: bool,
    /// The maximum number of concurrent attempts; `None` for as many as the receiver handles well.
    pub concurrency: Option<u32>,
    /// The maximum number of attempts per second.
    pub per_second: Option<u32>,
    /// Which calls it gets.
    pub filter: CallFilter,
    /// Whether another endpoint of the workspace may have the same URL.
    pub allow_duplicate: bool,
    /// Its custom header fields.
    pub headers: HeaderChanges,
}

/// Changes to an endpoint. A field that is `None` stays the same.
#[derive(Debug, Clone, Default)]
pub struct EndpointChange {
    /// A new URL, which the caller has checked. Another one drops the custom header fields of the old one.
    pub url: Option<String>,
    /// A new description.
    pub description: Option<String>,
    /// Active or paused. Activating an endpoint resets its health.
    pub state: Option<EndpointState>,
    /// Whether retries continue for a day.
    pub long_tail: Option<bool>,
    /// Whether it gets reports of late assets.
    pub late_assets: Option<bool>,
    /// The maximum number of concurrent attempts; `Some(None)` removes the limit.
    pub concurrency: Option<Option<u32>>,
    /// The maximum number of attempts per second; `Some(None)` removes the limit.
    pub per_second: Option<Option<u32>>,
    /// Which calls it gets from now on.
    pub filter: Option<CallFilter>,
    /// Whether another endpoint of the workspace may have the new URL.
    pub allow_duplicate: bool,
    /// Changes to its custom header fields.
    pub headers: HeaderChanges,
}

/// An event of an endpoint that no user caused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `ntc_…`
    pub id: String,
    /// The workspace of the endpoint.
    pub workspace: String,
    /// The endpoint's id.
    pub endpoint: String,
    /// `endpoint.disabled`
    pub what: String,
    /// The reason, as a sentence.
    pub reason: String,
    /// When it happened.
    pub at: UnixMillis,
}

from_row!(row => Notice {
    id: column(row, "id")?,
    workspace: column(row, "workspace")?,
    endpoint: column(row, "endpoint_id")?,
    what: column(row, "what")?,
    reason: column(row, "reason")?,
    at: column(row, "at")?,
});

/// The reason of the last failure, as stored in the database.
struct FailureRow {
    failure_code: Option<String>,
    failure: Option<String>,
}

from_row!(row => FailureRow {
    failure_code: column(row, "failure_code")?,
    failure: column(row, "failure")?,
});

impl From<FailureRow> for Option<Failure> {
    fn from(row: FailureRow) -> Self {
        row.failure_code.zip(row.failure).map(|(code, summary)| Failure { code, summary })
    }
}

macro_rules! select_endpoints {
    ($rest:literal) => {
        concat!(
            "SELECT id, workspace, url, description, state, reason, previous_until, long_tail, late_assets, concurrency, per_second, \
             wanted_calls, header_names, failures, failing_since, held_since, held_until, health_epoch, failure_code, failure, created_at \
             FROM endpoints WHERE removed_at IS NULL AND ",
            $rest
        )
    };
}

impl Endpoint {
    /// What the audit trail says of it.
    pub(super) fn snapshot(&self) -> Map<String, Value> {
        let value = json!({
            "url": origin(&self.url),
            "description": self.description,
            "state": self.state.name(),
            "long_tail": self.long_tail,
            "late_assets": self.late_assets,
            "concurrency": self.concurrency,
            "per_second": self.per_second,
            "filter": filter_to_json(&self.filter),
            "headers": self.headers,
        });
        if let Value::Object(fields) = value { fields } else { Map::new() }
    }

    /// Applies a change. Returns whether it resets the health: it sets another URL, or resumes the endpoint.
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
        self.late_assets = change.late_assets.unwrap_or(self.late_assets);
        self.concurrency = change.concurrency.unwrap_or(self.concurrency);
        self.per_second = change.per_second.unwrap_or(self.per_second);
        self.filter = change.filter.as_ref().unwrap_or(&self.filter).normalized();
        resumed || moved
    }
}

impl Ledger {
    /// Adds an endpoint and generates its secret.
    ///
    /// # Errors
    /// [`LedgerError::DuplicateUrl`] if the workspace sends to this URL already; [`LedgerError::Header`] if its header fields are
    /// refused; or if it cannot be written.
    pub async fn add_endpoint(&self, new: NewEndpoint, now: UnixMillis) -> Result<(Endpoint, WebhookSecret)> {
        const INSERT: Statement = Statement::same(
            "INSERT INTO endpoints (id, workspace, url, description, state, secret, plain_previous, long_tail, \
             concurrency, per_second, failures, created_at, wanted_calls, late_assets, headers, header_names) \
             VALUES ($1, $2, $3, $4, 'active', $5, $6, $7, $8, $9, 0, $10, $11, $12, $13, $14)",
        );
        let id = new_id("ep", now)?;
        let secret = new_secret()?;
        let headers = CustomHeaders::default().with(new.headers).map_err(LedgerError::Header)?;
        let mut tx = self.database.begin().await?;
        tx.execute(BEFORE_SEALING, Vec::new()).await?;
        let stored = StoredHeaders::seal(&self.seal, &headers, &id, &new.url)?;
        let values = values![
            &id,
            &new.workspace,
            &new.url,
            &new.description,
            self.seal.seal(&secret, &id)?,
            false,
            new.long_tail,
            new.concurrency.unwrap_or(NO_LIMIT),
            new.per_second,
            now,
            &new.filter,
            new.late_assets,
            stored.sealed,
            stored.names,
        ];
        if !new.allow_duplicate {
            refuse_duplicate(&mut tx, &new.workspace, &new.url, &id).await?;
        }
        tx.execute(INSERT, values).await?;
        let endpoint = Endpoint {
            id,
            workspace: new.workspace,
            url: new.url,
            description: new.description,
            state: EndpointState::Active,
            reason: None,
            long_tail: new.long_tail,
            late_assets: new.late_assets,
            concurrency: new.concurrency,
            per_second: new.per_second,
            filter: new.filter.normalized(),
            headers: headers.names().map(str::to_owned).collect(),
            previous_secret_until: None,
            health: Health::default(),
            failure: None,
            created_at: now,
        };
        let added = Action {
            name: "endpoint.added",
            workspace: Some(&endpoint.workspace),
            subject: Some(&endpoint.id),
            after: Some(endpoint.snapshot().into()),
            ..Action::default()
        };
        self.commit_recorded(tx, added).await?;
        Ok((endpoint, secret))
    }

    /// The endpoints of a workspace, oldest first.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn endpoints(&self, workspace: &str) -> Result<Vec<Endpoint>> {
        const LIST: Statement = Statement::same(select_endpoints!("workspace = $1 ORDER BY created_at, id"));
        self.database.fetch(LIST, values![workspace]).await
    }

    /// One endpoint of a workspace; `None` for an endpoint of another workspace.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn endpoint(&self, workspace: &str, id: &str) -> Result<Option<Endpoint>> {
        const GET: Statement = Statement::same(select_endpoints!("workspace = $1 AND id = $2"));
        Ok(self.database.fetch(GET, values![workspace, id]).await?.pop())
    }

    /// Changes an endpoint; `None` if there is none.
    ///
    /// # Errors
    /// [`LedgerError::DuplicateUrl`] if another endpoint of the workspace has the new URL; [`LedgerError::Header`] if its header
    /// fields are refused; or if it cannot be written.
    pub async fn change_endpoint(
        &self,
        workspace: &str,
        id: &str,
        mut change: EndpointChange,
    ) -> Result<Option<Endpoint>> {
        const GET: Statement = Statement {
            sqlite: select_endpoints!("workspace = $1 AND id = $2"),
            // Two changes at a time must not seal header fields for each other's URL.
            postgres: select_endpoints!("workspace = $1 AND id = $2 FOR UPDATE"),
        };
        const UPDATE: Statement = Statement::same(
            "UPDATE endpoints SET url = $3, description = $4, state = $5, reason = $6, long_tail = $7, concurrency = $8, \
             per_second = $9, wanted_calls = $10, late_assets = $11 WHERE workspace = $1 AND id = $2",
        );
        let mut tx = self.database.begin().await?;
        let mut rows = tx.fetch::<Endpoint>(GET, values![workspace, id]).await?;
        let Some(mut endpoint) = rows.pop() else { return Ok(None) };
        let before = endpoint.snapshot();
        let headers = std::mem::take(&mut change.headers);
        let has_moved = change.url.as_ref().is_some_and(|url| *url != endpoint.url);
        let new_url = change.url.is_some() && !change.allow_duplicate;
        let is_healthy = endpoint.health == Health { epoch: endpoint.health.epoch, ..Health::default() };
        let health_is_reset = endpoint.apply(change);
        let values = values![
            workspace,
            id,
            &endpoint.url,
            &endpoint.description,
            endpoint.state.name(),
            &endpoint.reason,
            endpoint.long_tail,
            endpoint.concurrency.unwrap_or(NO_LIMIT),
            endpoint.per_second,
            &endpoint.filter,
            endpoint.late_assets,
        ];
        if new_url {
            refuse_duplicate(&mut tx, workspace, &endpoint.url, id).await?;
        }
        tx.execute(UPDATE, values).await?;
        if health_is_reset {
            reset_health(&mut tx, id).await?;
        }
        let new_headers: Vec<String> = headers.names().map(str::to_owned).collect();
        let owner = Owner { workspace, id, url: &endpoint.url, has_moved, names: &endpoint.headers };
        endpoint.headers = change_headers(&mut tx, &self.seal, owner, headers).await?;
        let (old, new) = differences(before, endpoint.snapshot(), has_moved, &new_headers);
        if old == new && (is_healthy || !health_is_reset) {
            tx.commit().await?;
            return Ok(Some(endpoint));
        }
        let changed = Action {
            name: "endpoint.changed",
            workspace: Some(workspace),
            subject: Some(id),
            before: Some(old),
            after: Some(new),
        };
        self.commit_recorded(tx, changed).await?;
        Ok(Some(endpoint))
    }

    /// The notices about a workspace's endpoints, newest first, at most 100.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn notices(&self, workspace: &str) -> Result<Vec<Notice>> {
        const LIST: Statement = Statement::same(
            "SELECT id, workspace, endpoint_id, what, reason, at FROM notices WHERE workspace = $1 \
             ORDER BY at DESC, id DESC LIMIT 100",
        );
        self.database.fetch(LIST, values![workspace]).await
    }
}

/// Refuses a URL that another endpoint of the workspace has. (On PostgreSQL, two endpoints that are added at the same moment
/// do not see each other.)
async fn refuse_duplicate(tx: &mut Tx, workspace: &str, url: &str, id: &str) -> Result<()> {
    const FIND: Statement = Statement::same(
        "SELECT id FROM endpoints WHERE workspace = $1 AND url = $2 AND id <> $3 AND removed_at IS NULL \
         ORDER BY created_at, id LIMIT 1",
    );
    let found: Vec<(String,)> = tx.fetch(FIND, values![workspace, url, id]).await?;
    found.into_iter().next().map_or(Ok(()), |(other,)| Err(LedgerError::DuplicateUrl(other)))
}
