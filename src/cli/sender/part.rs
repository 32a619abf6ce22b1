//! The sender's part of a process: its database, and the dispatcher that sends webhooks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::cli::app::{App, Only};
use crate::cli::exit::Failure;
use crate::clock::running;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::ledger::{AuditSink, DatabaseUrl, Ledger, LedgerError};
use crate::sender::{self, Sender, SenderMetrics};
use crate::tasks::{self, Task};
use crate::webhook::Poster;

/// The most downloads that wait to be recorded in the delivery history; further downloads are not recorded.
const MAX_PENDING_DOWNLOADS: usize = 4096;

/// The sender with its database, the database alone, or neither.
pub(crate) struct SenderPart {
    ledger: Option<Ledger>,
    sender: Option<Sender>,
    dispatcher: Option<JoinHandle<()>>,
}

impl SenderPart {
    /// Checks settings before the database is created.
    pub(crate) fn check(config: &Config, only: Option<Only>) -> Result<(), Failure> {
        let reads_files = config.sender.ca_file.is_some() || config.sender.proxy.is_some();
        if only != Some(Only::Gateway) && reads_files {
            Poster::new(&config.sender.poster()).map_err(Failure::setting)?;
        }
        Ok(())
    }

    pub(crate) async fn open(app: &App, only: Option<Only>) -> Result<Self, Failure> {
        let ledger = open_ledger(app, only).await?;
        let sender = match (&ledger, only) {
            (Some(ledger), None | Some(Only::Sender)) => Some(new_sender(app, ledger.clone())?),
            _ => None,
        };
        Ok(Self { ledger, sender, dispatcher: None })
    }

    pub(crate) fn sender(&self) -> Option<&Sender> {
        self.sender.as_ref()
    }

    /// The database of webhooks, for the log; `None` if this process sends none.
    pub(crate) fn database<'c>(
        &self,
        config: &'c Config,
    ) -> Option<tracing::field::DebugValue<&'c DatabaseUrl>> {
        self.sender.as_ref().map(|_| tracing::field::debug(&config.ledger.database))
    }

    /// Makes the gateway record downloads in the delivery history.
    pub(crate) fn record_downloads(&self, app: &App, gateway: Gateway) -> Gateway {
        let Some(ledger) = &self.ledger else { return gateway };
        let (downloads, completed) = mpsc::channel(MAX_PENDING_DOWNLOADS);
        sender::record_downloads(completed, ledger.clone(), Arc::clone(&app.clock));
        gateway.with_downloads(downloads)
    }

    /// Starts sending.
    pub(crate) fn start(&mut self) {
        // `run` restarts the dispatcher if it panics.
        self.dispatcher = self
            .sender
            .clone()
            .map(|sender| tasks::spawn(Task::Dispatcher, async move { sender.run().await }));
    }

    /// Stops sending, and waits until `deadline` for attempts in flight. The next sender repeats unfinished attempts.
    pub(crate) async fn stop(&mut self, deadline: Duration) {
        if let Some(sender) = &self.sender {
            sender.stop();
        }
        if let Some(dispatcher) = self.dispatcher.take() {
            let _ = running::timeout(deadline, dispatcher).await;
        }
    }

    /// Closes the database.
    pub(crate) async fn close(&self) {
        if let Some(ledger) = &self.ledger {
            ledger.close().await;
        }
    }
}

fn new_sender(app: &App, ledger: Ledger) -> Result<Sender, Failure> {
    let services = sender::Services {
        ledger,
        store: app.store.clone(),
        keyring: app.keyring.clone(),
        base: app.config.public_url.clone(),
        clock: Arc::clone(&app.clock),
        metrics: app.metrics.sender.clone(),
    };
    Sender::new(app.config.sender.clone(), services).map_err(Failure::setting)
}

/// Opens the sender's database. A process with only the gateway needs the database to record downloads, and only if
/// other processes share it. The process serves links even while the database is unavailable, and opens it as soon as
/// possible.
async fn open_ledger(app: &App, only: Option<Only>) -> Result<Option<Ledger>, Failure> {
    let config = &app.config.ledger;
    if only == Some(Only::Gateway) && config.database.path().is_some() {
        return Ok(None);
    }
    let refused = |error: &LedgerError| {
        Failure::Setting(format!(
            "webhooks.database: {error}; set WEBHOOK_ASSETS_DATABASE, or run `serve --only gateway`"
        ))
    };
    let ledger = Ledger::unopened(config).map_err(|error| refused(&error))?;
    let sink =
        app.audit.clone().map(|audit| AuditSink::new(move |entry| audit.write_action(&entry.to_json())));
    let ledger = ledger.with_audit_sink(sink);
    let sends = only != Some(Only::Gateway);
    let opened = if sends { ledger.open_for_sending().await } else { ledger.open_now().await };
    if let Err(error) = opened {
        if !error.is_transient() {
            return Err(refused(&error));
        }
        tracing::error!(%error, "webhooks are neither accepted nor sent until the database answers; links are served");
        if !sends {
            open_later(app.metrics.sender.clone(), ledger.clone());
        }
    }
    Ok(Some(ledger))
}

/// Opens the database as soon as possible, in a process without a sender.
fn open_later(metrics: SenderMetrics, ledger: Ledger) {
    tasks::spawn(Task::LedgerOpening, async move {
        sender::open_with_retry(&metrics, &ledger, false).await;
    });
}
