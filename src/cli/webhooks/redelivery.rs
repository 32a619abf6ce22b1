//! `webhooks resend`, `recover`, `backfill`: send deliveries again, and earlier calls.

use clap::Args;
use serde_json::{Value, json};

use super::context::{CommandContext, EndpointId, Workspace, name, no_delivery, time};
use super::progress::follow;
use crate::cli::arguments::Output;
use crate::cli::exit::{Exit, Failure};
use crate::clock::UnixMillis;
use crate::ledger::{BackfillOutcome, RecoverRange, RecoverWhich, ResendOutcome};
use crate::webhook::format_span;

#[derive(Debug, Args)]
pub(crate) struct Resend {
    #[command(flatten)]
    of: Workspace,
    /// The delivery
    #[arg(value_parser = name)]
    id: String,
    #[command(flatten)]
    output: Output,
}

impl Resend {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        let (workspace, id) = (&self.of.workspace, &self.id);
        match context.ledger.resend(workspace, id, context.now).await? {
            ResendOutcome::Queued => self.output.print(
                || json!({"delivery": id}),
                || format!("{id} is due now; `webhooks deliveries` shows what comes of it\n"),
            ),
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
    /// Resend deliveries accepted at this time or later: 2026-11-23T09:30:00Z, or how long ago: 24h
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
    #[arg(long, conflicts_with = "follow")]
    dry_run: bool,
    /// Wait until all have ended, and show how many have; Ctrl-C stops only the waiting
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    output: Output,
}

impl Recover {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        let to = self.to.unwrap_or(context.now);
        if self.from >= to {
            return Err(Failure::Usage(format!("--from {} is not before --to {to}", self.from)));
        }
        let (which, workspace) = (self.which, &self.of.workspace);
        context.require(workspace, self.endpoint.as_deref()).await?;
        let range = RecoverRange { which, endpoint: self.endpoint, from: self.from, to };
        if self.dry_run {
            let count = context.ledger.count_recoverable(workspace, &range).await?;
            return self.output.print(
                || json!({"would_recover": count}),
                || counted(count, &nothing(which), ["delivery", "deliveries"], "would be sent again"),
            );
        }
        let count = context.ledger.recover(workspace, &range, context.now).await?;
        if self.follow && count > 0 {
            return follow(context, workspace, &range, count, self.output).await;
        }
        self.output.print(
            || json!({"recovered": count}),
            || counted(count, &nothing(which), ["delivery", "deliveries"], ARE_DUE),
        )
    }
}

#[derive(Debug, Args)]
pub(crate) struct Backfill {
    #[command(flatten)]
    endpoint: EndpointId,
    /// Send calls accepted at this time or later, within webhooks.retention: 2026-11-23T09:30:00Z, or how long ago: 24h
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: UnixMillis,
    /// Only say how many there are
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

impl Backfill {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        let EndpointId { of: Workspace { workspace }, id } = &self.endpoint;
        let retention = context.config.retention;
        if self.from < context.now.minus(retention) {
            let kept = format_span(retention);
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
            BackfillOutcome::Calls(count) => {
                self.output.print(|| self.as_json(count), || self.as_text(id, count))
            }
        }
    }

    fn as_json(&self, count: u64) -> Value {
        if self.dry_run { json!({"would_send": count}) } else { json!({"queued": count}) }
    }

    fn as_text(&self, id: &str, count: u64) -> String {
        let none = format!("{id} has every call since then that it gets");
        counted(count, &none, ["call", "calls"], if self.dry_run { "would be sent" } else { ARE_DUE })
    }
}

const ARE_DUE: &str = "are due now";

/// A sentence about a number of things.
fn counted(count: u64, none: &str, [one, many]: [&str; 2], what: &str) -> String {
    match count {
        0 => format!("{none}\n"),
        1 => format!("1 {one} {}\n", what.replace("are ", "is ")),
        count => format!("{count} {many} {what}\n"),
    }
}

/// Says that there is nothing to recover.
fn nothing(which: RecoverWhich) -> String {
    let happened = match which {
        RecoverWhich::Failed => "failed",
        RecoverWhich::NotFetched => "was delivered and not fetched",
        RecoverWhich::All => "was delivered or failed",
    };
    format!("nothing {happened} in this time, or its endpoint is removed or disabled")
}

fn which(text: &str) -> Result<RecoverWhich, String> {
    RecoverWhich::of(text).ok_or_else(|| "takes failed, not-fetched or all".to_owned())
}
