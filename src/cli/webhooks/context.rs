//! The context that the database commands share: the open database, the arguments for a workspace and an endpoint, and
//! the errors for missing records.

use clap::Args;

use crate::cli::arguments::{Output, moment};
use crate::cli::exit::{Exit, Failure, write_stderr};
use crate::clock::{Clock, SystemClock, UnixMillis};
use crate::config::Sources;
use crate::ledger::{self, Actor, Ledger, LedgerError, is_name};
use crate::sender;
use crate::webhook::parse_time;

/// The open database, and the settings that commands need.
pub(super) struct CommandContext {
    pub(super) ledger: Ledger,
    pub(super) config: sender::Config,
    pub(super) now: UnixMillis,
}

impl CommandContext {
    /// Refuses a workspace, or an endpoint of it, that the database does not know: a misspelt name has no history.
    pub(super) async fn require(&self, workspace: &str, endpoint: Option<&str>) -> Result<(), Failure> {
        if self.ledger.is_known(workspace, endpoint).await? {
            return Ok(());
        }
        Err(match endpoint {
            Some(id) if self.ledger.is_known(workspace, None).await? => no_endpoint(workspace, id),
            _ => Failure::Failed(format!(
                "there is no workspace {workspace}: it has no endpoint and no call; see `webhooks workspaces`"
            )),
        })
    }
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
        announce_upgrade(&database).await.map_err(|error| cannot_open(&error))?;
        let ledger = Ledger::open(&database).await.map_err(|error| cannot_open(&error))?;
        let now = SystemClock.now_millis();
        let acting = ledger.acting_as(Actor::cli(sources.user()), now);
        let context = CommandContext { ledger: acting, config, now };
        let ended = work(&context).await;
        ledger.close().await;
        ended
    })
}

/// Says that opening the database will upgrade its tables. (`serve` logs it.)
async fn announce_upgrade(config: &ledger::Config) -> Result<(), LedgerError> {
    if config.database.path().is_some_and(|path| !path.exists()) {
        return Ok(());
    }
    let names: Vec<_> = Ledger::upgrades(config).await?.into_iter().map(|(_, name)| name).collect();
    if !names.is_empty() {
        write_stderr(format!(
            "note: the tables of {:?} are older than this program and are upgraded now ({}); older programs refuse them from then on\n",
            config.database,
            names.join(", ")
        ));
    }
    Ok(())
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
        no_endpoint(&self.of.workspace, &self.id)
    }
}

/// An endpoint, and how the result is printed.
#[derive(Debug, Args)]
pub(crate) struct OneEndpoint {
    #[command(flatten)]
    pub(super) endpoint: EndpointId,
    #[command(flatten)]
    pub(super) output: Output,
}

fn no_endpoint(workspace: &str, id: &str) -> Failure {
    Failure::Failed(format!("workspace {workspace} has no endpoint {id}; see `webhooks list`"))
}

/// Parses a time with an offset or in UTC, or how long ago it was.
pub(super) fn time(text: &str) -> Result<UnixMillis, String> {
    parse_time(text).map_or_else(|| moment(text).map(UnixMillis::from), Ok)
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
