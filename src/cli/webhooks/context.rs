//! The context that the database commands share: the open database, the arguments for a workspace and an endpoint, and
//! the errors for missing records.

use clap::Args;

use crate::cli::exit::{Exit, Failure};
use crate::clock::{Clock, SystemClock, UnixMillis};
use crate::config::Sources;
use crate::ledger::{Ledger, LedgerError, is_name};
use crate::sender;

/// The open database, and the settings that commands need.
pub(super) struct CommandContext {
    pub(super) ledger: Ledger,
    pub(super) config: sender::Config,
    pub(super) now: UnixMillis,
}

/// Opens the database and runs a command on it. Only a command with `make` set creates a missing database.
pub(super) fn with_ledger(
    sources: &Sources,
    make: bool,
    work: impl AsyncFnOnce(&CommandContext) -> Exit,
) -> Exit {
    let (database, config) = sources.read_for_webhooks()?;
    if let Some(path) = database.database.path().filter(|path| !make && !path.exists()) {
        return Err(Failure::Failed(format!(
            "there is no database {} yet; `webhooks add` or `serve` makes it (or does WEBHOOK_ASSETS_DATABASE name \
             another?)",
            path.display()
        )));
    }
    tokio::runtime::Runtime::new()?.block_on(async {
        let ledger = Ledger::open(&database).await.map_err(|error| cannot_open(&error))?;
        let context = CommandContext { ledger: ledger.clone(), config, now: SystemClock.now_millis() };
        let ended = work(&context).await;
        ledger.close().await;
        ended
    })
}

/// A temporary failure does not mean a wrong setting.
fn cannot_open(error: &LedgerError) -> Failure {
    let text = format!("webhooks.database: {error}");
    if error.is_transient() { Failure::Failed(text) } else { Failure::Setting(text) }
}

#[derive(Debug, Args)]
pub(crate) struct Workspace {
    /// The workspace
    #[arg(long, short, value_name = "NAME", value_parser = name)]
    pub(super) workspace: String,
}

#[derive(Debug, Args)]
pub(crate) struct EndpointId {
    #[command(flatten)]
    pub(super) of: Workspace,
    /// The endpoint
    #[arg(value_parser = name)]
    pub(super) id: String,
}

impl EndpointId {
    /// The error for an endpoint that does not exist.
    pub(super) fn missing(&self) -> Failure {
        let Self { of: Workspace { workspace }, id } = self;
        Failure::Failed(format!("workspace {workspace} has no endpoint {id}; see `webhooks list`"))
    }
}

/// Parses a workspace's name or an id.
pub(super) fn name(text: &str) -> Result<String, String> {
    is_name(text)
        .then(|| text.to_owned())
        .ok_or_else(|| "takes 1 to 128 visible characters, without spaces".to_owned())
}

/// The error for a delivery that does not exist.
pub(super) fn no_delivery(workspace: &str, id: &str) -> Failure {
    Failure::Failed(format!("workspace {workspace} has no delivery {id}; see `webhooks deliveries`"))
}
