//! `webhooks add`, `list`, `filter`, `late-assets`, `secret`, `pause`, `resume`, `remove`: manage endpoints.

use std::fmt::Write;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::context::{CommandContext, EndpointId, OneEndpoint, Workspace};
use super::headers::HeaderFiles;
use super::output::table;
use crate::admin::{endpoint_to_json, secrets_to_json};
use crate::cli::arguments::{Output, duration};
use crate::cli::exit::{Exit, Failure};
use crate::cli::terminal::escaped;
use crate::clock::UnixMillis;
use crate::ledger::{
    Action, CallFilter, Endpoint, EndpointChange, EndpointState, LedgerError, NewEndpoint, is_description,
};
use crate::webhook::{CallStatus, Direction, EndpointUrl, UrlRules};

#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    of: Workspace,
    /// The URL to send events to: https:// and a public host
    url: String,
    /// A description for people
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = description)]
    description: String,
    /// Retry for a day after the first four attempts
    #[arg(long)]
    long_tail: bool,
    /// Send call.updated when a recording or transcript arrives after its call was sent
    #[arg(long)]
    late_assets: bool,
    /// Limit the attempts at once of each process; by default adaptive, up to webhooks.attempts_per_endpoint
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    concurrency: Option<u32>,
    /// Limit the attempts a second of each process; no limit by default
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    per_second: Option<u32>,
    #[command(flatten)]
    filter: Filter,
    /// Add it although another endpoint of the workspace has this URL
    #[arg(long)]
    allow_duplicate: bool,
    #[command(flatten)]
    headers: HeaderFiles,
    #[command(flatten)]
    output: Output,
}

impl Add {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        let rules = UrlRules { allow_http: context.config.allow_http, networks: &context.config.networks };
        let url = EndpointUrl::parse_entered(&self.url, &rules).map_err(Failure::failed)?;
        let new = NewEndpoint {
            workspace: self.of.workspace,
            url: url.as_str().to_owned(),
            description: self.description,
            long_tail: self.long_tail,
            late_assets: self.late_assets,
            concurrency: self.concurrency,
            per_second: self.per_second,
            filter: self.filter.into(),
            allow_duplicate: self.allow_duplicate,
            headers: self.headers.read()?,
        };
        let added = context.ledger.add_endpoint(new, context.now).await;
        let (endpoint, secret) = added.map_err(refused)?;
        let object = || {
            let mut object = endpoint_to_json(&endpoint);
            if let Value::Object(fields) = &mut object {
                fields.insert("secret".into(), secret.reveal().into());
            }
            object
        };
        self.output.print(object, || {
            format!(
                "added   {}\nsecret  {}\n\n\
                 Give the secret to the receiver; `webhooks secret` shows it again. To try it:\n  \
                 webhook-assets webhooks test --workspace {} {}\n",
                endpoint.id,
                secret.reveal(),
                endpoint.workspace,
                endpoint.id
            )
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    of: Workspace,
    #[command(flatten)]
    output: Output,
}

impl List {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        let Workspace { workspace } = &self.of;
        context.require(workspace, None).await?;
        let endpoints = context.ledger.endpoints(workspace).await?;
        self.output.print(
            || json!({"endpoints": endpoints.iter().map(endpoint_to_json).collect::<Vec<_>>()}),
            || match &endpoints[..] {
                [] => format!("workspace {workspace} has no endpoint; `webhooks add` adds one\n"),
                endpoints => {
                    let rows: Vec<_> = endpoints.iter().map(|endpoint| row(endpoint, context.now)).collect();
                    table(["ENDPOINT", "STATE", "HEALTH", "URL"], &rows)
                }
            },
        )
    }
}

fn row(endpoint: &Endpoint, now: UnixMillis) -> [String; 4] {
    let mut url = escaped(&endpoint.url);
    if !endpoint.description.is_empty() {
        let _ = write!(url, "  ({})", escaped(&endpoint.description));
    }
    if !endpoint.filter.is_all() {
        let _ = write!(url, "  [{}]", conditions(&endpoint.filter));
    }
    if endpoint.late_assets {
        url.push_str("  [late assets]");
    }
    [endpoint.id.clone(), endpoint.state.name().to_owned(), health(endpoint, now), url]
}

/// The conditions on the calls that an endpoint gets.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Only calls that ended so: connected, no-answer, busy, …, separated by commas; any by default
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = status)]
    status: Vec<CallStatus>,
    /// Only calls in this direction: incoming or outgoing
    #[arg(long, value_name = "DIRECTION", value_parser = direction)]
    direction: Option<Direction>,
    /// Only calls with a recording (true), or only calls without one (false)
    #[arg(long, value_name = "BOOL")]
    has_recording: Option<bool>,
}

impl From<Filter> for CallFilter {
    fn from(Filter { status, direction, has_recording }: Filter) -> Self {
        Self { status, direction, has_recording }
    }
}

#[derive(Debug, Args)]
pub(crate) struct SetFilter {
    #[command(flatten)]
    endpoint: EndpointId,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    output: Output,
}

impl SetFilter {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        let filter = CallFilter::from(self.filter);
        let gets = conditions(&filter);
        let change = EndpointChange { filter: Some(filter), ..EndpointChange::default() };
        let changed = change_endpoint(context, &self.endpoint, change).await?;
        self.output.print(
            || endpoint_to_json(&changed),
            || format!("{} gets from now on: {gets}\n", self.endpoint.id),
        )
    }
}

#[derive(Debug, Args)]
pub(crate) struct SetLateAssets {
    #[command(flatten)]
    endpoint: EndpointId,
    /// Whether it gets call.updated
    #[arg(value_name = "BOOL", action = clap::ArgAction::Set)]
    wanted: bool,
    #[command(flatten)]
    output: Output,
}

impl SetLateAssets {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        let change = EndpointChange { late_assets: Some(self.wanted), ..EndpointChange::default() };
        let changed = change_endpoint(context, &self.endpoint, change).await?;
        let id = &self.endpoint.id;
        self.output.print(
            || endpoint_to_json(&changed),
            || match self.wanted {
                true => format!("{id} gets call.updated when an asset arrives after its call was sent\n"),
                false => format!("{id} gets no call.updated\n"),
            },
        )
    }
}

/// Describes which calls an endpoint gets, in the words of the options.
fn conditions(filter: &CallFilter) -> String {
    let status: Vec<_> = filter.status.iter().map(|status| status.name()).collect();
    let conditions = [
        (!status.is_empty()).then(|| status.join(",")),
        filter.direction.map(|direction| direction.name().to_owned()),
        filter
            .has_recording
            .map(|has| if has { "with a recording" } else { "without a recording" }.to_owned()),
    ];
    let conditions: Vec<_> = conditions.into_iter().flatten().collect();
    if conditions.is_empty() { "all calls".to_owned() } else { format!("only {}", conditions.join("; ")) }
}

/// Describes the health of an endpoint in a few words.
fn health(endpoint: &Endpoint, now: UnixMillis) -> String {
    let held_until = endpoint.health.held_until.filter(|until| now < *until);
    match (&endpoint.reason, held_until, endpoint.health.failing_since) {
        (Some(reason), ..) => escaped(reason),
        (None, held_until, Some(since)) => {
            let why = endpoint.failure.as_ref().map_or_else(String::new, |failure| {
                // The part after the colon is an explanation, which does not fit in the table.
                let short = failure.summary.split(": ").next().unwrap_or_default();
                format!(" ({})", escaped(short.trim_end_matches('.')))
            });
            let fails = format!("fails since {}{why}", since.seconds());
            match (endpoint.health.held_since, held_until) {
                (Some(since), Some(until)) => {
                    format!("{fails}; held since {}, tried again {}", since.seconds(), until.seconds())
                }
                (Some(since), None) => {
                    format!("{fails}; held since {}, tried with the next event", since.seconds())
                }
                (None, _) => fails,
            }
        }
        (None, _, None) => "good".to_owned(),
    }
}

#[derive(Debug, Args)]
pub(crate) struct Secret {
    #[command(flatten)]
    endpoint: EndpointId,
    /// Create a new secret; the one before stays valid for a while, as earlier ones do
    #[arg(long)]
    rotate: bool,
    /// How long the secret before stays valid, up to 7 days; 0s ends it and all earlier ones
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = overlap, requires = "rotate")]
    overlap: Duration,
    #[command(flatten)]
    output: Output,
}

impl Secret {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        let EndpointId { of: Workspace { workspace }, id } = &self.endpoint;
        let missing = || self.endpoint.missing();
        if self.rotate {
            let rotated = context.ledger.rotate_secret(workspace, id, self.overlap, context.now).await?;
            rotated.ok_or_else(missing)?;
        }
        let secrets = context.ledger.secrets(workspace, id, context.now).await?.ok_or_else(missing)?;
        context.ledger.record(Action::of("secret.shown", workspace, id)).await?;
        self.output.print(
            || secrets_to_json(&secrets),
            || {
                let mut text = format!("{}\n", secrets.current.reveal());
                for (secret, until) in &secrets.previous {
                    let _ = writeln!(text, "{}  an earlier one, valid until {until}", secret.reveal());
                }
                text
            },
        )
    }
}

pub(super) async fn pause(context: &CommandContext, one: &OneEndpoint) -> Exit {
    let paused = change_endpoint(context, &one.endpoint, state(EndpointState::Paused)).await?;
    one.output.print(
        || endpoint_to_json(&paused),
        || format!("paused {}; its events wait until `webhooks resume`\n", paused.id),
    )
}

pub(super) async fn resume(context: &CommandContext, one: &OneEndpoint) -> Exit {
    let EndpointId { of: Workspace { workspace }, id } = &one.endpoint;
    let before = context.ledger.endpoint(workspace, id).await?;
    let resumed = change_endpoint(context, &one.endpoint, state(EndpointState::Active)).await?;
    let more = match before.map(|endpoint| endpoint.state) {
        Some(EndpointState::Disabled) => "; what failed meanwhile is sent by `webhooks recover`",
        _ => "; what waited is sent now",
    };
    one.output.print(|| endpoint_to_json(&resumed), || format!("resumed {id}{more}\n"))
}

fn state(state: EndpointState) -> EndpointChange {
    EndpointChange { state: Some(state), ..EndpointChange::default() }
}

/// Changes an endpoint and returns it as it is then.
pub(super) async fn change_endpoint(
    context: &CommandContext,
    endpoint: &EndpointId,
    change: EndpointChange,
) -> Result<Endpoint, Failure> {
    let changed = context.ledger.change_endpoint(&endpoint.of.workspace, &endpoint.id, change).await;
    changed.map_err(refused)?.ok_or_else(|| endpoint.missing())
}

/// Says how to add a URL that another endpoint has.
fn refused(error: LedgerError) -> Failure {
    match error {
        LedgerError::DuplicateUrl(_) => {
            Failure::Failed(format!("{error}; use that endpoint, or add --allow-duplicate"))
        }
        error => error.into(),
    }
}

pub(super) async fn remove(context: &CommandContext, one: &OneEndpoint) -> Exit {
    let EndpointId { of: Workspace { workspace }, id } = &one.endpoint;
    if !context.ledger.remove_endpoint(workspace, id, context.now).await? {
        return Err(one.endpoint.missing());
    }
    one.output.print(
        || json!({"id": id, "removed": true}),
        || format!("removed {id}; what waited for it has failed, and its history stays until its time\n"),
    )
}

pub(super) fn description(text: &str) -> Result<String, String> {
    let fits = is_description(text);
    fits.then(|| text.to_owned())
        .ok_or_else(|| "takes at most 500 characters, without control characters".to_owned())
}

fn status(text: &str) -> Result<CallStatus, String> {
    CallStatus::of(text).ok_or_else(|| format!("takes {}", CallStatus::TAKES))
}

fn direction(text: &str) -> Result<Direction, String> {
    Direction::of(text).ok_or_else(|| format!("takes {}", Direction::TAKES))
}

fn overlap(text: &str) -> Result<Duration, String> {
    let longest = Duration::from_secs(7 * 24 * 60 * 60);
    let overlap = duration(text)?;
    if overlap <= longest { Ok(overlap) } else { Err("takes a duration up to 7 days".to_owned()) }
}
