//! Records in the audit trail what commands do outside the database: to tokens, keys, recordings and backups, and the sign-in
//! links that they make. A trail that cannot be written stops no command: a note on standard error says so.

use std::time::Duration;

use super::command_action::CommandAction;
use super::exit::write_stderr;
use crate::clock::{Clock, SystemClock};
use crate::config::Sources;
use crate::ledger::{Action, Actor, Ledger};

/// How long a command waits for a database that does not answer.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);

/// The audit trail, for a command that acts several times.
pub(crate) struct CommandTrail {
    /// `None` if there is no database, or none that can be used.
    ledger: Option<Ledger>,
    actor: Actor,
}

impl CommandTrail {
    /// Opens the database. One that does not exist is not made: where nothing sends, nothing keeps a trail.
    pub(crate) async fn open(sources: &Sources) -> Self {
        let opened = tokio::time::timeout(OPENING_TIMEOUT, open(sources)).await;
        let ledger = opened.unwrap_or_else(|_| Err("the database does not answer".to_owned()));
        let ledger = ledger.unwrap_or_else(|why| {
            note(&why);
            None
        });
        Self { ledger, actor: Actor::cli(sources.user()) }
    }

    /// Records an action that is done.
    pub(crate) async fn record(&self, action: CommandAction<'_>) {
        let Some(ledger) = &self.ledger else { return };
        let CommandAction { name, workspace, subject, after } = action;
        let action = Action { name, workspace, subject, before: None, after };
        if let Err(error) =
            ledger.acting_as(self.actor.clone(), SystemClock.now_millis()).record(action).await
        {
            note(&error.to_string());
        }
    }

    pub(crate) async fn close(self) {
        if let Some(ledger) = self.ledger {
            ledger.close().await;
        }
    }
}

/// Records the one action of a command.
pub(crate) fn record_command(sources: &Sources, action: CommandAction<'_>) {
    let recorded = async {
        let trail = CommandTrail::open(sources).await;
        trail.record(action).await;
        trail.close().await;
    };
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(recorded),
        Err(error) => note(&error.to_string()),
    }
}

async fn open(sources: &Sources) -> Result<Option<Ledger>, String> {
    let (config, _) = sources.read_for_webhooks().map_err(|error| error.to_string())?;
    if config.database.path().is_some_and(|path| !path.exists()) {
        return Ok(None);
    }
    let is_older = !Ledger::upgrades(&config).await.map_err(|error| error.to_string())?.is_empty();
    if is_older {
        return Err("its tables are older than this program, which upgrades them when it serves".to_owned());
    }
    Ledger::open(&config).await.map(Some).map_err(|error| error.to_string())
}

fn note(why: &str) {
    write_stderr(format!("note: this is missing in the audit trail: {why}\n"));
}
