//! `webhooks`: manages endpoints, secrets and deliveries in the database, and runs a receiver for tests.

mod alerts;
mod change;
mod context;
mod deliveries;
mod endpoints;
mod find;
mod headers;
pub(super) mod listen;
mod output;
#[cfg(feature = "console")]
mod portal;
#[cfg(not(feature = "console"))]
#[path = "no_portal.rs"]
mod portal;
mod progress;
mod redelivery;
mod signature_check;
mod test_event;
mod workspaces;

use clap::Subcommand;

pub(super) use portal::sign_in_link;

use super::exit::Exit;
use crate::config::Sources;
use context::{CommandContext, OneEndpoint, with_ledger};

#[derive(Debug, Subcommand)]
pub(super) enum Webhooks {
    #[command(flatten)]
    OnDatabase(OnDatabase),
    /// List the alerts to the operator, or send a test
    #[command(subcommand)]
    Alerts(alerts::Alerts),
    /// Print a link that opens the settings page once
    Portal(portal::Portal),
    /// Receive webhooks, print them, and verify their signatures
    Listen(listen::Listen),
}

#[derive(Debug, Subcommand)]
pub(super) enum OnDatabase {
    /// Add an endpoint and print its id and secret
    Add(endpoints::Add),
    /// List the workspaces that have endpoints
    Workspaces(workspaces::Workspaces),
    /// List the endpoints of a workspace
    List(endpoints::List),
    /// Change an endpoint's URL, description or limits
    Change(change::Change),
    /// Choose which calls an endpoint gets; all without an option
    Filter(endpoints::SetFilter),
    /// Choose whether an endpoint gets call.updated when an asset arrives after its call was sent
    LateAssets(endpoints::SetLateAssets),
    /// List, set or remove the headers that an endpoint gets, such as its credentials
    Headers(headers::SetHeaders),
    /// Show an endpoint's secret, or create a new one
    Secret(endpoints::Secret),
    /// Hold back an endpoint's events until it is resumed
    Pause(OneEndpoint),
    /// Resume a paused or disabled endpoint
    Resume(OneEndpoint),
    /// Remove an endpoint and fail its pending deliveries
    Remove(OneEndpoint),
    /// Send a test event with working sample links, and follow its attempts
    Test(OneEndpoint),
    /// Find a call of any workspace, and show what became of it
    Find(find::Find),
    /// List deliveries, or show one with its attempts
    Deliveries(deliveries::Deliveries),
    /// Send a delivery again, with fresh links and all attempts
    Resend(redelivery::Resend),
    /// Send again what failed in a range of time, what was not fetched, or all
    Recover(redelivery::Recover),
    /// Send earlier calls to an endpoint that has not got them
    Backfill(redelivery::Backfill),
}

impl Webhooks {
    pub(super) fn run(self, sources: &Sources) -> Exit {
        match self {
            Self::OnDatabase(command) => {
                let make = matches!(command, OnDatabase::Add(_));
                with_ledger(sources, make, async |context| command.run(context, sources).await)
            }
            Self::Alerts(alerts) => alerts.run(sources),
            // The receiver needs neither settings nor a database.
            Self::Listen(listen) => listen.run(),
            // A portal link needs the keyring but no database.
            Self::Portal(portal) => portal.run(sources),
        }
    }
}

impl OnDatabase {
    async fn run(self, context: &CommandContext, sources: &Sources) -> Exit {
        match self {
            Self::Add(add) => add.run(context).await,
            Self::Workspaces(workspaces) => workspaces.run(context).await,
            Self::List(list) => list.run(context).await,
            Self::Change(change) => change.run(context).await,
            Self::Filter(filter) => filter.run(context).await,
            Self::LateAssets(late_assets) => late_assets.run(context).await,
            Self::Headers(headers) => headers.run(context).await,
            Self::Secret(secret) => secret.run(context).await,
            Self::Pause(endpoint) => endpoints::pause(context, &endpoint).await,
            Self::Resume(endpoint) => endpoints::resume(context, &endpoint).await,
            Self::Remove(endpoint) => endpoints::remove(context, &endpoint).await,
            Self::Test(endpoint) => test_event::send(context, &endpoint).await,
            Self::Find(find) => find.run(context, sources).await,
            Self::Deliveries(deliveries) => deliveries.run(context).await,
            Self::Resend(resend) => resend.run(context).await,
            Self::Recover(recover) => recover.run(context).await,
            Self::Backfill(backfill) => backfill.run(context).await,
        }
    }
}
