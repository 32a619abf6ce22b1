//! `webhooks`: manages endpoints, secrets and deliveries in the database, and runs a receiver for tests.

mod endpoints;
mod history;
pub(super) mod listen;
mod output;
#[cfg(feature = "console")]
mod portal;
#[cfg(not(feature = "console"))]
#[path = "no_portal.rs"]
mod portal;
mod signature_check;
mod test_event;

use clap::{Args, Subcommand};

use super::{Exit, Failure};
use crate::clock::{Clock, SystemClock, UnixMillis};
use crate::config::Sources;
use crate::ledger::{Ledger, LedgerError, is_name};
use crate::sender;

#[derive(Debug, Subcommand)]
pub(super) enum Webhooks {
    /// Add an endpoint and print its id and secret
    Add(endpoints::Add),
    /// List the endpoints of a workspace
    List(endpoints::List),
    /// Show an endpoint's secret, or create a new one
    Secret(endpoints::Secret),
    /// Hold back an endpoint's events until it is resumed
    Pause(endpoints::Pause),
    /// Resume a paused or disabled endpoint
    Resume(endpoints::Resume),
    /// Remove an endpoint and fail its pending deliveries
    Remove(endpoints::Remove),
    /// Send a test event with working sample links, and follow its attempts
    Test(test_event::Test),
    /// List deliveries, or show one with its attempts
    Deliveries(history::Deliveries),
    /// Send a delivery again, with fresh links and all attempts
    Resend(history::Resend),
    /// Send again all deliveries that failed in a range of time
    Recover(history::Recover),
    /// Print a link that opens the settings page once
    Portal(portal::Portal),
    /// Receive webhooks, print them, and verify their signatures
    Listen(listen::Listen),
}

impl Webhooks {
    pub(super) fn run(self, sources: &Sources) -> Exit {
        match self {
            // A receiver needs neither settings nor a database.
            Self::Listen(listen) => listen.run(),
            // A portal link needs the keyring and no database.
            Self::Portal(portal) => portal.run(sources),
            Self::Add(add) => with_ledger(sources, true, async |context| add.run(&context).await),
            Self::List(list) => with_ledger(sources, false, async |context| list.run(&context).await),
            Self::Secret(secret) => with_ledger(sources, false, async |context| secret.run(&context).await),
            Self::Pause(pause) => with_ledger(sources, false, async |context| pause.run(&context).await),
            Self::Resume(resume) => with_ledger(sources, false, async |context| resume.run(&context).await),
            Self::Remove(remove) => with_ledger(sources, false, async |context| remove.run(&context).await),
            Self::Test(test) => with_ledger(sources, false, async |context| test.run(&context).await),
            Self::Deliveries(deliveries) => {
                with_ledger(sources, false, async |context| deliveries.run(&context).await)
            }
            Self::Resend(resend) => with_ledger(sources, false, async |context| resend.run(&context).await),
            Self::Recover(recover) => {
                with_ledger(sources, false, async |context| recover.run(&context).await)
            }
        }
    }
}

/// The open database, and the settings that commands need.
struct CommandContext {
    ledger: Ledger,
    config: sender::Config,
    now: UnixMillis,
}

/// Opens the database and runs a command on it. Only a command with `make` set creates a missing database.
fn with_ledger(sources: &Sources, make: bool, work: impl AsyncFnOnce(CommandContext) -> Exit) -> Exit {
    let (database, config) = sources.read_for_webhooks()?;
    if let Some(path) = database.database.path().filter(|path| !make && !path.exists()) {
        return Err(Failure::Failed(format!(
            "there is no database {} yet; `webhooks add` or `serve` makes it (or does WEBHOOK_ASSETS_DATABASE name \
             another?)",
            path.display()
        )));
    }
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::failed)?;
    runtime.block_on(async {
        let ledger = Ledger::open(&database).await.map_err(|error| cannot_open(&error))?;
        let context = CommandContext { ledger: ledger.clone(), config, now: SystemClock.now_millis() };
        let ended = work(context).await;
        ledger.close().await;
        ended
    })
}

/// A temporary failure is no wrong setting.
fn cannot_open(error: &LedgerError) -> Failure {
    let text = format!("webhooks.database: {error}");
    if error.is_transient() { Failure::Failed(text) } else { Failure::Setting(text) }
}

/// The workspace of a command.
#[derive(Debug, Args)]
struct Workspace {
    /// The workspace
    #[arg(long, short, value_name = "NAME", value_parser = name)]
    workspace: String,
}

fn name(text: &str) -> Result<String, String> {
    is_name(text)
        .then(|| text.to_owned())
        .ok_or_else(|| "takes 1 to 128 visible characters, without spaces".to_owned())
}

fn no_endpoint(workspace: &str, id: &str) -> Failure {
    Failure::Failed(format!("workspace {workspace} has no endpoint {id}; see `webhooks list`"))
}

fn no_delivery(workspace: &str, id: &str) -> Failure {
    Failure::Failed(format!("workspace {workspace} has no delivery {id}; see `webhooks deliveries`"))
}
