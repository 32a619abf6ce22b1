//! Manages endpoints, their secrets and their test events.

use std::time::Duration;

use http::header::{HeaderValue, RETRY_AFTER};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::api::{Api, read_json, reject_browsers};
use super::calls::accepted_to_json;
use super::fields::{Fields, whole};
use super::headers::header_changes;
use super::json::{endpoint_to_json, secrets_to_json};
use crate::admin::access::require_json;
use crate::admin::response::{Answer, json_answer, no_content, not_found, not_json};
use crate::admin::upload::Upload;
use crate::ledger::{
    Action, CallFilter, DEFAULT_OVERLAP, Endpoint, EndpointChange, EndpointState, LedgerError,
    MAX_TESTS_PER_ENDPOINT, MAX_TESTS_PER_WORKSPACE, NewEndpoint, TestOutcome, is_description,
};
use crate::problem::Problem;
use crate::webhook::{CallStatus, Direction, HeaderChanges};

const KNOWN: [&str; 10] = [
    "url",
    "description",
    "long_tail",
    "late_assets",
    "concurrency",
    "per_second",
    "filter",
    "headers",
    "basic_auth",
    "allow_duplicate",
];

/// The maximum time that the previous secret stays valid after a rotation, in seconds.
const MAX_OVERLAP: u32 = 7 * 86_400;

impl Api<'_> {
    pub(super) async fn list_endpoints(&self, workspace: &str) -> Result<Answer, Problem> {
        let endpoints = self.call(self.sender.ledger().endpoints(workspace)).await?;
        let endpoints: Vec<Value> = endpoints.iter().map(endpoint_to_json).collect();
        Ok(json_answer(StatusCode::OK, &json!({"endpoints": endpoints})))
    }

    pub(super) async fn add_endpoint(
        &self,
        workspace: &str,
        request: Request<Upload>,
    ) -> Result<Answer, Problem> {
        let mut fields = Fields::of(read_json(request).await?, &KNOWN)?;
        let url = fields.required("url", TEXT, text)?;
        let wanted = EndpointFields::read(&mut fields)?;
        let new = NewEndpoint {
            workspace: workspace.to_owned(),
            url: self.checked(&url)?,
            description: wanted.description.unwrap_or_default(),
            long_tail: wanted.long_tail.unwrap_or(false),
            late_assets: wanted.late_assets.unwrap_or(false),
            concurrency: wanted.concurrency.flatten(),
            per_second: wanted.per_second.flatten(),
            filter: wanted.filter.unwrap_or_default(),
            allow_duplicate: wanted.allow_duplicate,
            headers: wanted.headers,
        };
        let added = self.sender.ledger().add_endpoint(new, self.sender.now()).await;
        let (endpoint, secret) = added.map_err(|error| self.refused(error))?;
        let mut answer = endpoint_to_json(&endpoint);
        if let Value::Object(fields) = &mut answer {
            fields.insert("secret".into(), secret.reveal().into());
        }
        Ok(json_answer(StatusCode::CREATED, &answer))
    }

    pub(super) async fn show_endpoint(&self, workspace: &str, id: &str) -> Result<Answer, Problem> {
        let endpoint = self.endpoint(workspace, id).await?;
        Ok(json_answer(StatusCode::OK, &endpoint_to_json(&endpoint)))
    }

    pub(super) async fn change_endpoint(
        &self,
        workspace: &str,
        id: &str,
        request: Request<Upload>,
    ) -> Result<Answer, Problem> {
        let mut fields = Fields::of(read_json(request).await?, &[&KNOWN[..], &["state"]].concat())?;
        let url = fields.optional("url", TEXT, text)?;
        let state = fields.optional("state", "active or paused", state)?;
        let wanted = EndpointFields::read(&mut fields)?;
        let change = EndpointChange {
            url: url.map(|url| self.checked(&url)).transpose()?,
            description: wanted.description,
            state,
            long_tail: wanted.long_tail,
            late_assets: wanted.late_assets,
            concurrency: wanted.concurrency,
            per_second: wanted.per_second,
            filter: wanted.filter,
            allow_duplicate: wanted.allow_duplicate,
            headers: wanted.headers,
        };
        let headers: Vec<String> = change.headers.names().map(str::to_owned).collect();
        let changed = self.sender.ledger().change_endpoint(workspace, id, change).await;
        let endpoint = changed.map_err(|error| self.refused(error))?.ok_or_else(no_endpoint)?;
        if !headers.is_empty() {
            let headers = headers.join(", ");
            tracing::info!(target: "webhook_assets::audit", workspace, endpoint = id, headers, "an endpoint's headers were changed");
        }
        // Its deliveries may be sent now, or to another URL.
        self.sender.wake();
        Ok(json_answer(StatusCode::OK, &endpoint_to_json(&endpoint)))
    }

    pub(super) async fn remove_endpoint(&self, workspace: &str, id: &str) -> Result<Answer, Problem> {
        let removed =
            self.call(self.sender.ledger().remove_endpoint(workspace, id, self.sender.now())).await?;
        if removed { Ok(no_content()) } else { Err(no_endpoint()) }
    }

    pub(super) async fn show_secret(&self, workspace: &str, id: &str) -> Result<Answer, Problem> {
        let secrets = self.call(self.sender.ledger().secrets(workspace, id, self.sender.now())).await?;
        let secrets = secrets.ok_or_else(no_endpoint)?;
        let answer = secrets_to_json(&secrets);
        self.call(self.sender.ledger().record(Action::of("secret.shown", workspace, id))).await?;
        tracing::info!(target: "webhook_assets::audit", workspace, endpoint = id, "an endpoint's secret was shown");
        Ok(json_answer(StatusCode::OK, &answer))
    }

    pub(super) async fn rotate_secret(
        &self,
        workspace: &str,
        id: &str,
        request: Request<Upload>,
    ) -> Result<Answer, Problem> {
        let overlap = overlap_of(request).await?;
        let rotated = self.sender.ledger().rotate_secret(workspace, id, overlap, self.sender.now()).await;
        let rotated = rotated.map_err(|error| match error {
            LedgerError::TooManySecrets(_) => {
                Problem::new(StatusCode::CONFLICT, "too_many_secrets", "Too many secrets", &error.to_string())
            }
            error => self.failed(&error),
        });
        let rotated = rotated?.ok_or_else(no_endpoint)?;
        tracing::info!(target: "webhook_assets::audit", workspace, endpoint = id, "an endpoint's secret was rotated");
        let answer = json!({
            "secret": rotated.secret.reveal(),
            "previous_until": rotated.previous_until.to_string(),
        });
        Ok(json_answer(StatusCode::OK, &answer))
    }

    pub(super) async fn test_endpoint(&self, workspace: &str, id: &str) -> Result<Answer, Problem> {
        let endpoint = self.endpoint(workspace, id).await?;
        match self.call(self.sender.test(&endpoint)).await? {
            TestOutcome::Accepted(accepted) => {
                Ok(json_answer(StatusCode::ACCEPTED, &accepted_to_json(&accepted)))
            }
            TestOutcome::RateLimited(pause) => Ok(too_many_tests(pause)),
            TestOutcome::NoEndpoint => Err(no_endpoint()),
        }
    }

    pub(super) async fn list_notices(&self, workspace: &str) -> Result<Answer, Problem> {
        let notices = self.call(self.sender.ledger().notices(workspace)).await?;
        let notices: Vec<Value> = notices
            .iter()
            .map(|notice| {
                json!({
                    "id": notice.id,
                    "endpoint": notice.endpoint,
                    "what": notice.what,
                    "reason": notice.reason,
                    "at": notice.at.to_string(),
                })
            })
            .collect();
        Ok(json_answer(StatusCode::OK, &json!({"notices": notices})))
    }

    async fn endpoint(&self, workspace: &str, id: &str) -> Result<Endpoint, Problem> {
        let found = self.call(self.sender.ledger().endpoint(workspace, id)).await?;
        found.ok_or_else(no_endpoint)
    }

    /// The problem document for an endpoint that is not written. If the answer to a first request was lost, a duplicate
    /// names the endpoint that it has added.
    fn refused(&self, error: LedgerError) -> Problem {
        let LedgerError::DuplicateUrl(id) = error else { return self.failed(&error) };
        let detail = format!(
            "The endpoint {id} of this workspace has this URL already, and each call would arrive there twice. Use that \
             endpoint, or send \"allow_duplicate\": true."
        );
        Problem::new(StatusCode::CONFLICT, "duplicate_url", "Duplicate URL", &detail)
            .with("pointer", "/url")
            .with("endpoint", &id)
    }

    /// The normalized URL, if events may be sent there.
    fn checked(&self, url: &str) -> Result<String, Problem> {
        self.sender.parse_entered_url(url).map(|url| url.as_str().to_owned()).map_err(|error| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "url_refused", "URL refused", &error.to_string())
                .with("pointer", "/url")
        })
    }
}

/// The fields of an endpoint in a request, without its URL and state.
struct EndpointFields {
    description: Option<String>,
    long_tail: Option<bool>,
    late_assets: Option<bool>,
    concurrency: Option<Option<u32>>,
    per_second: Option<Option<u32>>,
    filter: Option<CallFilter>,
    allow_duplicate: bool,
    headers: HeaderChanges,
}

impl EndpointFields {
    fn read(fields: &mut Fields) -> Result<Self, Problem> {
        let limit = || or_null(|value| whole(value, 1..=1_000));
        let takes = "a whole number from 1 to 1000, or null for no limit";
        let description = "a text of at most 500 characters, without control characters";
        Ok(Self {
            description: fields.optional("description", description, plain_text)?,
            long_tail: fields.optional("long_tail", "true or false", Value::as_bool)?,
            late_assets: fields.optional("late_assets", "true or false", Value::as_bool)?,
            concurrency: fields.optional("concurrency", takes, limit())?,
            per_second: fields.optional("per_second", takes, limit())?,
            filter: call_filter(fields)?,
            allow_duplicate: fields
                .optional("allow_duplicate", "true or false", Value::as_bool)?
                .unwrap_or_default(),
            headers: header_changes(fields)?,
        })
    }
}

/// Which calls the endpoint gets. A condition that is null or missing is not set.
fn call_filter(fields: &mut Fields) -> Result<Option<CallFilter>, Problem> {
    let Some(mut fields) = fields.object("filter", &["status", "direction", "has_recording"])? else {
        return Ok(None);
    };
    let statuses = format!("null for any, or a list with {}", CallStatus::TAKES);
    let directions = format!("null for both, or {}", Direction::TAKES);
    let recordings = "null for all calls, true for those with a recording, or false for those without";
    Ok(Some(CallFilter {
        status: fields.optional("status", &statuses, or_null(statuses_of))?.flatten().unwrap_or_default(),
        direction: fields
            .optional("direction", &directions, or_null(|value| Direction::of(value.as_str()?)))?
            .flatten(),
        has_recording: fields.optional("has_recording", recordings, or_null(Value::as_bool))?.flatten(),
    }))
}

fn statuses_of(value: &Value) -> Option<Vec<CallStatus>> {
    let list = value.as_array().filter(|list| !list.is_empty())?;
    list.iter().map(|status| CallStatus::of(status.as_str()?)).collect()
}

/// Accepts `null` too, as `None`.
fn or_null<T>(read: impl Fn(&Value) -> Option<T>) -> impl Fn(&Value) -> Option<Option<T>> {
    move |value| if value.is_null() { Some(None) } else { read(value).map(Some) }
}

const TEXT: &str = "a text";

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn plain_text(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    is_description(text).then(|| text.to_owned())
}

fn state(value: &Value) -> Option<EndpointState> {
    let word = value.as_str()?;
    [EndpointState::Active, EndpointState::Paused].into_iter().find(|state| state.name() == word)
}

/// Parses the overlap of a rotation. A request without a body gets the default.
async fn overlap_of(request: Request<Upload>) -> Result<Duration, Problem> {
    let (origin, json) = (reject_browsers(&request), require_json(&request));
    let body = request.into_body().read().await?;
    let value = if body.is_empty() {
        origin?;
        json!({})
    } else {
        json?;
        serde_json::from_slice(&body).map_err(|error| not_json(&error))?
    };
    let seconds = Fields::of(value, &["overlap"])?.optional(
        "overlap",
        "a whole number of seconds from 0 to 604800",
        |value| whole(value, 0..=MAX_OVERLAP),
    )?;
    Ok(seconds.map_or(DEFAULT_OVERLAP, |seconds| Duration::from_secs(seconds.into())))
}

fn too_many_tests(pause: Duration) -> Answer {
    let seconds = whole_seconds(pause);
    let detail = format!(
        "An endpoint gets {MAX_TESTS_PER_ENDPOINT} test events a minute, and all endpoints of a workspace {MAX_TESTS_PER_WORKSPACE}. \
         Try again in {seconds} s."
    );
    let problem =
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tests", "Too many test events", &detail);
    let mut answer = problem.into_response();
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

/// The pause in seconds, rounded up.
fn whole_seconds(pause: Duration) -> u64 {
    pause.as_secs().saturating_add(u64::from(pause.subsec_nanos() > 0))
}

fn no_endpoint() -> Problem {
    not_found("This workspace has no endpoint of this id.")
}
