//! `webhooks deliveries`, `resend`, `recover`, `backfill`: show and resend deliveries, and send earlier calls.

use std::fmt::Write;

use clap::Args;
use serde_json::{Value, json};

use super::context::{CommandContext, EndpointId, Workspace, name, no_delivery};
use super::output::{escaped_lines, table};
use crate::admin::{attempt_to_json, delivery_to_json};
use crate::cli::arguments::moment;
use crate::cli::exit::{Exit, Failure, print, print_json};
use crate::cli::terminal::escaped;
use crate::clock::UnixMillis;
use crate::ledger::{
    Attempt, BackfillOutcome, Delivery, DeliveryFilter, DeliveryState, PickUp, RecoverRange, RecoverWhich,
    ResendOutcome,
};
use crate::webhook::parse_time;

#[derive(Debug, Args)]
pub(crate) struct Deliveries {
    #[command(flatten)]
    of: Workspace,
    /// Show one delivery with its attempts, instead of the newest deliveries
    #[arg(value_parser = name)]
    id: Option<String>,
    /// Only deliveries to this endpoint
    #[arg(long, value_name = "ID", value_parser = name)]
    endpoint: Option<String>,
    /// Only deliveries in this state: waiting, queued, sending, delivered or failed
    #[arg(long, value_name = "STATE", value_parser = state)]
    status: Option<DeliveryState>,
    /// Only deliveries whose links were followed, or were not: fetched or not-fetched
    #[arg(long, value_name = "WHICH", value_parser = pick_up)]
    pick_up: Option<PickUp>,
    /// Only deliveries of this call
    #[arg(long, value_name = "ID", value_parser = name)]
    call_id: Option<String>,
    /// Only deliveries accepted at this time or later: 2026-11-23T09:30:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<UnixMillis>,
    /// Only deliveries accepted before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<UnixMillis>,
    /// How many deliveries to show
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl Deliveries {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        if let Some(id) = &self.id {
            return show_one(context, &self.of.workspace, id, self.json).await;
        }
        let filter = DeliveryFilter {
            endpoint: self.endpoint,
            state: self.status,
            pick_up: self.pick_up,
            call: self.call_id,
            from: self.from,
            to: self.to,
            cursor: None,
        };
        let Workspace { workspace } = &self.of;
        let page = context.ledger.deliveries(workspace, &filter, self.limit.into()).await?;
        let (deliveries, more) =
            page.map_or((Vec::new(), false), |page| (page.deliveries, page.next.is_some()));
        let now = context.now.seconds();
        if self.json {
            let deliveries: Vec<_> =
                deliveries.iter().map(|delivery| delivery_to_json(delivery, now)).collect();
            return print_json(&json!({"deliveries": deliveries}));
        }
        if deliveries.is_empty() {
            return print(&format!("workspace {workspace} has no such delivery\n"));
        }
        let rows: Vec<_> = deliveries.iter().map(|delivery| row(delivery, context)).collect();
        let mut text = table(["ACCEPTED", "DELIVERY", "CALL", "STATUS", "TRIES", "WHAT CAME OF IT"], &rows);
        if more {
            let _ = writeln!(text, "… and older ones: --limit, --from and --to show them");
        }
        print(&text)
    }
}

fn row(delivery: &Delivery, context: &CommandContext) -> [String; 6] {
    [
        delivery.created_at.seconds().to_string(),
        delivery.id.clone(),
        call_of(delivery),
        delivery.state.name().to_owned(),
        delivery.attempts.to_string(),
        outcome(delivery, context).unwrap_or_default(),
    ]
}

fn call_of(delivery: &Delivery) -> String {
    let call = delivery.call.as_deref().map_or_else(|| "(test)".to_owned(), escaped);
    if delivery.arrived.is_empty() { call } else { format!("{call} (call.updated)") }
}

/// The most useful fact about a delivery: for a delivered webhook whether its links were used, otherwise why it was not
/// delivered.
fn outcome(delivery: &Delivery, context: &CommandContext) -> Option<String> {
    let reasons = [delivery.note.clone(), delivery.last_summary.clone()];
    let outcome = match delivery.state {
        DeliveryState::Delivered => {
            delivery.link_status(context.now.seconds()).or_else(|| delivery.note.clone())
        }
        _ => reasons.into_iter().flatten().next(),
    };
    outcome.as_deref().map(escaped)
}

async fn show_one(context: &CommandContext, workspace: &str, id: &str, as_json: bool) -> Exit {
    let found = context.ledger.delivery(workspace, id).await?;
    let (delivery, attempts) = found.ok_or_else(|| no_delivery(workspace, id))?;
    if as_json {
        let mut object = delivery_to_json(&delivery, context.now.seconds());
        if let Value::Object(fields) = &mut object {
            fields.insert("attempts".into(), attempts.iter().map(attempt_to_json).collect());
        }
        return print_json(&object);
    }
    let text_of = |moment: Option<UnixMillis>| moment.map(|moment| moment.to_string());
    let lines = [
        ("delivery", Some(delivery.id.clone())),
        ("status", Some(delivery.state.name().to_owned())),
        ("call", Some(call_of(&delivery))),
        ("event", Some(delivery.event.clone())),
        ("endpoint", Some(delivery.endpoint.clone())),
        ("accepted", Some(delivery.created_at.to_string())),
        ("ended", text_of(delivery.ended_at)),
        ("due", text_of(delivery.due_at)),
        ("note", delivery.note.as_deref().map(escaped)),
        ("links", delivery.link_status(context.now.seconds())),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:9} {value}");
        }
    }
    for (at, attempt) in attempts.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| attempts.get(before));
        let _ = write!(text, "\n{}\n{}", attempt.started_at, attempt_as_text(attempt, before));
        if let Some(excerpt) = &attempt.excerpt {
            for line in escaped_lines(excerpt).lines() {
                let _ = writeln!(text, "           | {line}");
            }
        }
    }
    print(&text)
}

/// Formats an attempt: number, status, duration, diagnosis, and advice unless the previous attempt has the same.
pub(super) fn attempt_as_text(attempt: &Attempt, before: Option<&Attempt>) -> String {
    let answered = attempt.status.map_or_else(|| "no answer".to_owned(), |status| format!("status {status}"));
    let resent = if attempt.resend > 0 { " (sent again)" } else { "" };
    let mut text = format!(
        "attempt {}{resent}  {answered}, {} ms  {}\n",
        attempt.number,
        attempt.took.as_millis(),
        escaped(&attempt.summary)
    );
    if let Some(advice) = &attempt.advice
        && before.and_then(|before| before.advice.as_ref()) != Some(advice)
    {
        let _ = writeln!(text, "           → {}", escaped(advice));
    }
    text
}

#[derive(Debug, Args)]
pub(crate) struct Resend {
    #[command(flatten)]
    of: Workspace,
    /// The delivery
    #[arg(value_parser = name)]
    id: String,
}

impl Resend {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        let (workspace, id) = (&self.of.workspace, &self.id);
        match context.ledger.resend(workspace, id, context.now).await? {
            ResendOutcome::Queued => {
                print(&format!("{id} is due now; `webhooks deliveries` shows what comes of it\n"))
            }
            ResendOutcome::Unknown => Err(no_delivery(workspace, id)),
            ResendOutcome::InFlight => {
                Err(Failure::Failed(format!("{id} is on its way already; its attempts go on")))
            }
            ResendOutcome::NoEndpoint => Err(Failure::Failed(format!(
                "the endpoint of {id} is removed or disabled; `webhooks resume` brings back one that is disabled"
            ))),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Recover {
    #[command(flatten)]
    of: Workspace,
    /// Resend deliveries accepted at this time or later: 2026-11-23T09:30:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: UnixMillis,
    /// Resend deliveries accepted before this time; now by default
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<UnixMillis>,
    /// Of this endpoint alone
    #[arg(long, value_name = "ID", value_parser = name)]
    endpoint: Option<String>,
    /// Resend what failed, what was delivered but not-fetched (none of its links was followed), or all
    #[arg(long, value_name = "WHICH", default_value = "failed", value_parser = which)]
    which: RecoverWhich,
    /// Only say how many there are
    #[arg(long)]
    dry_run: bool,
}

impl Recover {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        let to = self.to.unwrap_or(context.now);
        if self.from >= to {
            return Err(Failure::Usage(format!("--from {} is not before --to {to}", self.from)));
        }
        let (which, workspace) = (self.which, &self.of.workspace);
        let range = RecoverRange { which, endpoint: self.endpoint, from: self.from, to };
        let count = if self.dry_run {
            context.ledger.count_recoverable(workspace, &range).await?
        } else {
            context.ledger.recover(workspace, &range, context.now).await?
        };
        print(&match (count, self.dry_run) {
            (0, _) => {
                format!("nothing {} in this time, or its endpoint is removed or disabled\n", happened(which))
            }
            (1, false) => "1 delivery is due now\n".to_owned(),
            (count, false) => format!("{count} deliveries are due now\n"),
            (1, true) => "1 delivery would be sent again\n".to_owned(),
            (count, true) => format!("{count} deliveries would be sent again\n"),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Backfill {
    #[command(flatten)]
    endpoint: EndpointId,
    /// Send calls accepted at this time or later, within webhooks.retention: 2026-11-23T09:30:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: UnixMillis,
    /// Only say how many there are
    #[arg(long)]
    dry_run: bool,
}

impl Backfill {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        let EndpointId { of: Workspace { workspace }, id } = &self.endpoint;
        let retention = context.config.retention;
        if self.from < context.now.minus(retention) {
            let kept = humantime::format_duration(retention);
            return Err(Failure::Usage(format!(
                "--from {} is not within webhooks.retention ({kept}); earlier calls are forgotten",
                self.from
            )));
        }
        let ledger = &context.ledger;
        match ledger.backfill(workspace, id, self.from, self.dry_run, context.now).await? {
            BackfillOutcome::NoEndpoint => Err(self.endpoint.missing()),
            BackfillOutcome::Disabled => {
                Err(Failure::Failed(format!("{id} is disabled; `webhooks resume` it before")))
            }
            BackfillOutcome::Calls(count) => print(&match (count, self.dry_run) {
                (0, _) => format!("{id} has every call since then that it gets\n"),
                (1, false) => "1 call is due now\n".to_owned(),
                (count, false) => format!("{count} calls are due now\n"),
                (1, true) => "1 call would be sent\n".to_owned(),
                (count, true) => format!("{count} calls would be sent\n"),
            }),
        }
    }
}

fn state(text: &str) -> Result<DeliveryState, String> {
    DeliveryState::of(text).ok_or_else(|| "takes waiting, queued, sending, delivered or failed".to_owned())
}

/// What happened to the deliveries that a recovery takes.
fn happened(which: RecoverWhich) -> &'static str {
    match which {
        RecoverWhich::Failed => "failed",
        RecoverWhich::NotFetched => "was delivered and not fetched",
        RecoverWhich::All => "was delivered or failed",
    }
}

fn pick_up(text: &str) -> Result<PickUp, String> {
    PickUp::of(text).ok_or_else(|| "takes fetched or not-fetched".to_owned())
}

fn which(text: &str) -> Result<RecoverWhich, String> {
    RecoverWhich::of(text).ok_or_else(|| "takes failed, not-fetched or all".to_owned())
}

/// Parses a time with an offset, or in UTC.
fn time(text: &str) -> Result<UnixMillis, String> {
    parse_time(text).map_or_else(|| moment(text).map(UnixMillis::from), Ok)
}
