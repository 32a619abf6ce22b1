//! `webhooks deliveries`: lists deliveries, and shows one with its attempts.

use std::fmt::Write;

use clap::Args;
use serde_json::{Value, json};

use super::context::{CommandContext, Workspace, name, no_delivery, time};
use super::output::{escaped_lines, table};
use crate::admin::{attempt_to_json, delivery_to_json};
use crate::cli::arguments::Output;
use crate::cli::exit::Exit;
use crate::cli::terminal::escaped;
use crate::clock::UnixMillis;
use crate::ledger::{Attempt, Delivery, DeliveryFilter, DeliveryState, HistoryPage, PickUp};
use crate::webhook::Phases;

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
    /// Only deliveries accepted at this time or later: 2026-11-23T09:30:00Z, or how long ago: 24h
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<UnixMillis>,
    /// Only deliveries accepted before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<UnixMillis>,
    /// How many deliveries to show
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    #[command(flatten)]
    output: Output,
}

impl Deliveries {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        let Workspace { workspace } = &self.of;
        if let Some(id) = &self.id {
            return show_one(context, workspace, id, self.output).await;
        }
        context.require(workspace, self.endpoint.as_deref()).await?;
        let filter = DeliveryFilter {
            endpoint: self.endpoint,
            state: self.status,
            pick_up: self.pick_up,
            call: self.call_id,
            from: self.from,
            to: self.to,
            ..DeliveryFilter::default()
        };
        let page = context.ledger.deliveries(workspace, &filter, self.limit.into()).await?;
        let page = page.unwrap_or(HistoryPage { deliveries: Vec::new(), next: None });
        let now = context.now.seconds();
        let object = || {
            let deliveries: Vec<_> =
                page.deliveries.iter().map(|delivery| delivery_to_json(delivery, now)).collect();
            json!({"deliveries": deliveries})
        };
        self.output.print(object, || as_text(&page, workspace, context))
    }
}

fn as_text(page: &HistoryPage, workspace: &str, context: &CommandContext) -> String {
    if page.deliveries.is_empty() {
        return format!("workspace {workspace} has no such delivery\n");
    }
    let rows: Vec<_> = page.deliveries.iter().map(|delivery| row(delivery, context)).collect();
    let heads = ["ACCEPTED", "STATUS", "TRIES", "CALL", "DELIVERY", "ENDPOINT", "WHAT CAME OF IT"];
    let mut text = table(heads, &rows);
    if page.next.is_some() {
        let _ = writeln!(text, "… and older ones: --limit, --from and --to show them");
    }
    text
}

fn row(delivery: &Delivery, context: &CommandContext) -> [String; 7] {
    [
        delivery.created_at.seconds().to_string(),
        delivery.state.name().to_owned(),
        delivery.attempts.to_string(),
        call_of(delivery),
        delivery.id.clone(),
        delivery.endpoint.clone(),
        outcome(delivery, context.now).unwrap_or_default(),
    ]
}

fn call_of(delivery: &Delivery) -> String {
    let call = delivery.call.as_deref().map_or_else(|| "(test)".to_owned(), escaped);
    if delivery.arrived.is_empty() { call } else { format!("{call} (call.updated)") }
}

/// The most useful fact about a delivery: for a delivered webhook whether its links were used, otherwise why it was not
/// delivered.
pub(super) fn outcome(delivery: &Delivery, now: UnixMillis) -> Option<String> {
    let reasons = [delivery.note.clone(), delivery.last_summary.clone()];
    let outcome = match delivery.state {
        DeliveryState::Delivered => delivery.link_status(now.seconds()).or_else(|| delivery.note.clone()),
        _ => reasons.into_iter().flatten().next(),
    };
    outcome.as_deref().map(escaped)
}

async fn show_one(context: &CommandContext, workspace: &str, id: &str, output: Output) -> Exit {
    let found = context.ledger.delivery(workspace, id).await?;
    let (delivery, attempts) = found.ok_or_else(|| no_delivery(workspace, id))?;
    output.print(
        || with_attempts_to_json(&delivery, &attempts, context.now),
        || facts_of(&delivery, context.now) + &attempts_as_text(&attempts),
    )
}

/// A delivery and its attempts as JSON.
pub(super) fn with_attempts_to_json(delivery: &Delivery, attempts: &[Attempt], now: UnixMillis) -> Value {
    let mut object = delivery_to_json(delivery, now.seconds());
    if let Value::Object(fields) = &mut object {
        fields.insert("attempts".into(), attempts.iter().map(attempt_to_json).collect());
    }
    object
}

fn facts_of(delivery: &Delivery, now: UnixMillis) -> String {
    let text_of = |moment: Option<UnixMillis>| moment.map(|moment| moment.to_string());
    let lines = [
        ("delivery", Some(delivery.id.clone())),
        ("status", Some(delivery.state.name().to_owned())),
        ("call", Some(call_of(delivery))),
        ("event", Some(delivery.event.clone())),
        ("endpoint", Some(delivery.endpoint.clone())),
        ("accepted", Some(delivery.created_at.to_string())),
        ("ended", text_of(delivery.ended_at)),
        ("due", text_of(delivery.due_at)),
        ("note", delivery.note.as_deref().map(escaped)),
        ("links", delivery.link_status(now.seconds())),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:9} {value}");
        }
    }
    text
}

pub(super) fn attempts_as_text(attempts: &[Attempt]) -> String {
    let mut text = String::new();
    for (at, attempt) in attempts.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| attempts.get(before));
        let _ = write!(text, "\n{}\n{}", attempt.started_at, attempt_as_text(attempt, before));
        text.push_str(&exchange_as_text(attempt));
        if let Some(excerpt) = &attempt.excerpt {
            for line in escaped_lines(excerpt).lines() {
                let _ = writeln!(text, "           | {line}");
            }
        }
    }
    text
}

/// Formats the phases of an attempt, and the header fields of its request and its response.
fn exchange_as_text(attempt: &Attempt) -> String {
    let Phases { lookup, connect, tls, first_byte } = attempt.phases;
    let phases = [("lookup", lookup), ("connect", connect), ("TLS", tls), ("first byte", first_byte)];
    let mut parts: Vec<String> = phases
        .into_iter()
        .filter_map(|(name, took)| took.map(|took| format!("{name} {} ms", took.as_millis())))
        .collect();
    if attempt.phases.is_reused() {
        parts.insert(0, "reused connection".to_owned());
    }
    let mut text = String::new();
    if !parts.is_empty() {
        let _ = writeln!(text, "           {}", parts.join(", "));
    }
    for (mark, fields) in [('>', &attempt.sent), ('<', &attempt.answered)] {
        for (name, value) in fields.iter() {
            let _ = writeln!(text, "           {mark} {name}: {}", escaped(value));
        }
    }
    text
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

fn state(text: &str) -> Result<DeliveryState, String> {
    DeliveryState::of(text).ok_or_else(|| "takes waiting, queued, sending, delivered or failed".to_owned())
}

fn pick_up(text: &str) -> Result<PickUp, String> {
    PickUp::of(text).ok_or_else(|| "takes fetched or not-fetched".to_owned())
}
