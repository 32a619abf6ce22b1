//! `webhooks alerts`: lists the alerts to the operator, or sends a test.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::{CommandContext, with_ledger};
use super::output::table;
use crate::admin::{alert_to_json, tested_alert_to_json};
use crate::cli::arguments::Output;
use crate::cli::command_action::CommandAction;
use crate::cli::command_trail::record_command;
use crate::cli::exit::{EXIT_NO, Exit, Failure};
use crate::cli::terminal::escaped;
use crate::clock::{Clock, SystemClock};
use crate::config::Sources;
use crate::ledger::StoredAlert;
use crate::sender::AlertPoster;

/// How many alerts the list shows.
const LISTED: usize = 100;

#[derive(Debug, Subcommand)]
pub(crate) enum Alerts {
    /// List the last 100 alerts, newest first
    List(List),
    /// Send a test to alerts.url, and say what came of it
    Test(Test),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    #[command(flatten)]
    output: Output,
}

impl Alerts {
    pub(super) fn run(self, sources: &Sources) -> Exit {
        match self {
            Self::List(list) => with_ledger(sources, false, async |context| list.run(context).await),
            Self::Test(test) => test.run(sources),
        }
    }
}

impl List {
    async fn run(self, context: &CommandContext) -> Exit {
        let alerts = context.ledger.alerts(LISTED).await?;
        self.output.print(
            || json!({"alerts": alerts.iter().map(alert_to_json).collect::<Vec<_>>()}),
            || as_text(&alerts),
        )
    }
}

fn as_text(alerts: &[StoredAlert]) -> String {
    if alerts.is_empty() {
        return "no alerts\n".to_owned();
    }
    let rows: Vec<_> = alerts.iter().map(row).collect();
    table(["AT", "KIND", "STATUS", "WORKSPACE", "ENDPOINT", "MESSAGE"], &rows)
}

fn row(stored: &StoredAlert) -> [String; 6] {
    let alert = &stored.alert;
    let (workspace, endpoint) =
        alert.endpoint.as_ref().map(|it| (it.workspace.clone(), it.id.clone())).unwrap_or_default();
    [
        alert.at.to_string(),
        alert.kind.name().to_owned(),
        stored.state.name().to_owned(),
        escaped(&workspace),
        endpoint,
        alert.message(),
    ]
}

impl Test {
    fn run(self, sources: &Sources) -> Exit {
        let (_, config) = sources.read_for_webhooks()?;
        let poster = AlertPoster::new(&config).map_err(Failure::setting)?;
        let poster = poster.ok_or_else(|| {
            Failure::Setting(
                "alerts.url: not set (WEBHOOK_ASSETS_ALERTS_URL); takes the URL that alerts go to".to_owned(),
            )
        })?;
        let now = SystemClock.now_millis();
        let (exchange, diagnosis) = tokio::runtime::Runtime::new()?.block_on(poster.test(now));
        record_command(sources, CommandAction { name: "alerts.tested", ..CommandAction::default() });
        let host = poster.config().url.host_for_logs();
        self.output.print(
            || tested_alert_to_json(&exchange, &diagnosis),
            || format!("test alert for {host}\n{}\n", escaped(&diagnosis.english.to_string())),
        )?;
        Ok(if exchange.is_success() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
    }
}
