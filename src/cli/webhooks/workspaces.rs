//! `webhooks workspaces`: lists the workspaces that have endpoints.

use clap::Args;
use serde_json::json;

use super::context::CommandContext;
use super::output::table;
use crate::cli::arguments::Output;
use crate::cli::exit::Exit;
use crate::cli::terminal::escaped;
use crate::ledger::WorkspaceSummary;

/// How many workspaces one statement reads.
const BATCH: usize = 1_000;

#[derive(Debug, Args)]
pub(crate) struct Workspaces {
    #[command(flatten)]
    output: Output,
}

impl Workspaces {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        let mut workspaces: Vec<WorkspaceSummary> = Vec::new();
        loop {
            let after = workspaces.last().map(|last| last.name.clone()).unwrap_or_default();
            let batch = context.ledger.workspaces(&after, BATCH).await?;
            let is_last = batch.len() < BATCH;
            workspaces.extend(batch);
            if is_last {
                break;
            }
        }
        let to_json = |workspace: &WorkspaceSummary| {
            json!({
                "workspace": workspace.name,
                "endpoints": workspace.endpoints,
                "failing": workspace.failing,
                "since": workspace.since.to_string(),
            })
        };
        self.output.print(
            || json!({"workspaces": workspaces.iter().map(to_json).collect::<Vec<_>>()}),
            || as_text(&workspaces),
        )
    }
}

fn as_text(workspaces: &[WorkspaceSummary]) -> String {
    if workspaces.is_empty() {
        return "no workspace has an endpoint; `webhooks add` adds one\n".to_owned();
    }
    let row = |workspace: &WorkspaceSummary| {
        [
            workspace.since.seconds().to_string(),
            workspace.endpoints.to_string(),
            workspace.failing.to_string(),
            escaped(&workspace.name),
        ]
    };
    table(["SINCE", "ENDPOINTS", "FAILING", "WORKSPACE"], &workspaces.iter().map(row).collect::<Vec<_>>())
}
