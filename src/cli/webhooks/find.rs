//! `webhooks find`: finds calls, and shows the life of one.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::context::{CommandContext, name};
use super::deliveries::{attempts_as_text, outcome};
use super::output::table;
use crate::admin::{call_life_to_json, found_call_to_json, link_to_json};
use crate::cli::arguments::Output;
use crate::cli::exit::{EXIT_NO, Exit, Failure};
use crate::cli::terminal::escaped;
use crate::clock::UnixMillis;
use crate::config::Sources;
use crate::ledger::{CallLife, DeliveryLife, FoundCall, FoundCalls};
use crate::sender::{Question, is_link};
use crate::signed_url::{Diagnosis, Keyring};

const NOTHING: &str = "no call is found: calls are kept for webhooks.retention, and of an id the beginning or the end is looked for\n";

#[derive(Debug, Args)]
pub(crate) struct Find {
    /// A call's id or the beginning or end of one, the id of an event, a delivery, an endpoint, a recording or a transcript,
    /// a phone number, an e-mail address, an endpoint's host, or a link as a customer pasted it
    text: String,
    /// Only calls of this workspace; of all by default
    #[arg(long, short, value_name = "NAME", value_parser = name)]
    workspace: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Find {
    pub(super) async fn run(self, context: &CommandContext, sources: &Sources) -> Exit {
        if let Some(workspace) = &self.workspace {
            context.require(workspace, None).await?;
        }
        let Question { terms, link } = self.question(context, sources)?;
        let found = context.ledger.find(&terms, self.workspace.as_deref()).await?;
        let life = match &found.calls[..] {
            [one] => context.ledger.call_life(&one.workspace, &one.event).await?,
            _ => None,
        };
        let now = context.now;
        let text = || match (&life, &found.calls[..]) {
            (Some(life), _) => life_as_text(life, now),
            (None, []) => NOTHING.to_owned(),
            (None, _) => list_as_text(&found),
        };
        self.output.print(
            || as_json(&found, life.as_ref(), link.as_ref(), now),
            || link.as_ref().map(notes_on).unwrap_or_default() + &text(),
        )?;
        Ok(if found.calls.is_empty() { ExitCode::from(EXIT_NO) } else { ExitCode::SUCCESS })
    }

    /// Only a link needs the keyring.
    fn question(&self, context: &CommandContext, sources: &Sources) -> Result<Question, Failure> {
        if !is_link(&self.text) {
            return Ok(Question::of_text(&self.text));
        }
        let (keys, longest, base) = sources.read_for_verifying()?;
        let keyring = Keyring::read(keys).map_err(Failure::setting)?;
        Ok(Question::read(&self.text, &keyring, longest, base.as_ref(), context.now.seconds()))
    }
}

/// As the API answers; a single call with its deliveries.
fn as_json(found: &FoundCalls, life: Option<&CallLife>, link: Option<&Diagnosis>, now: UnixMillis) -> Value {
    let calls: Vec<Value> = match life {
        Some(life) => vec![call_life_to_json(life, now.seconds())],
        None => found.calls.iter().map(found_call_to_json).collect(),
    };
    json!({"calls": calls, "more": found.more, "link": link.map(link_to_json)})
}

/// What is to be said of a link, a line each.
fn notes_on(link: &Diagnosis) -> String {
    let mut text = String::new();
    let word = if link.grant.is_some() { "note" } else { "the link" };
    for finding in &link.findings {
        let _ = writeln!(text, "{word}: {}", escaped(&finding.text));
    }
    if let Some(grant) = link.grant.as_ref().or(link.mended.as_ref()) {
        let _ = writeln!(text, "the link: opens the {} until {}", grant.asset(), grant.expires());
    }
    text
}

fn list_as_text(found: &FoundCalls) -> String {
    let row = |call: &FoundCall| {
        [
            call.accepted_at.seconds().to_string(),
            escaped(&call.workspace),
            call.call.as_deref().map_or_else(|| "(test)".to_owned(), escaped),
            call.event.clone(),
        ]
    };
    let rows: Vec<_> = found.calls.iter().map(row).collect();
    let mut text = table(["ACCEPTED", "WORKSPACE", "CALL", "EVENT"], &rows);
    if found.more {
        text.push_str("… and older ones: look for more of the id, or in one --workspace\n");
    }
    text
}

fn life_as_text(life: &CallLife, now: UnixMillis) -> String {
    let CallLife { call, deliveries } = life;
    let lines = [
        ("call", Some(call.call.as_deref().map_or_else(|| "(test)".to_owned(), escaped))),
        ("workspace", Some(escaped(&call.workspace))),
        ("event", Some(call.event.clone())),
        ("accepted", Some(call.accepted_at.to_string())),
        ("recording", call.recording.clone()),
        ("transcript", call.transcript.clone()),
    ];
    let mut text = facts(&lines);
    if deliveries.is_empty() {
        text.push_str("\nno endpoint got it\n");
    }
    for delivery in deliveries {
        text.push_str(&delivery_as_text(delivery, now));
    }
    text
}

fn delivery_as_text(DeliveryLife { delivery, url, attempts }: &DeliveryLife, now: UnixMillis) -> String {
    let moment = |at: Option<UnixMillis>| at.map(|at| at.to_string());
    let lines = [
        ("endpoint", Some(delivery.endpoint.clone())),
        ("url", url.as_deref().map(escaped)),
        ("status", Some(delivery.state.name().to_owned())),
        ("result", outcome(delivery, now)),
        ("ended", moment(delivery.ended_at)),
        ("links until", moment(delivery.links_expire.map(UnixMillis::from))),
        ("recording", moment(delivery.recording_fetched_at).map(|at| format!("first downloaded {at}"))),
        ("transcript", moment(delivery.transcript_fetched_at).map(|at| format!("first downloaded {at}"))),
    ];
    format!("\ndelivery    {}\n{}{}", delivery.id, facts(&lines), attempts_as_text(attempts))
}

fn facts(lines: &[(&str, Option<String>)]) -> String {
    lines.iter().fold(String::new(), |mut text, (name, value)| {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:11} {value}");
        }
        text
    })
}
