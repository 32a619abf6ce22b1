//! `keys reseal`: replaces the key of the endpoints' secrets. The key file has both keys until all secrets are sealed with the
//! new one, so that everything opens at any moment, also if this program is killed; then it can simply be repeated.

use std::collections::HashSet;
use std::path::Path;

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::arguments::Output;
use crate::cli::command_action::CommandAction;
use crate::cli::command_trail::record_command;
use crate::cli::exit::{Exit, Failure};
use crate::cli::random::fresh_key;
use crate::clock::{Clock, SystemClock};
use crate::config::Sources;
use crate::keys::{EditError, edit_text};
use crate::ledger::{self, Ledger};

#[derive(Debug, Args)]
pub(crate) struct Reseal {
    /// Leave the old keys in the file, below the new one, for replicas that get the file later and for earlier backups
    #[arg(long)]
    keep_old: bool,
    /// Seal with the first key of the file, and leave the file as it is, for files that are distributed by other means
    #[arg(long, conflicts_with = "keep_old")]
    use_first: bool,
    #[command(flatten)]
    output: Output,
}

impl Reseal {
    pub(crate) fn run(self, sources: &Sources) -> Exit {
        let (config, _) = sources.read_for_webhooks()?;
        let file = ledger::key_file(&config);
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(require_all_open(&config))?;
        let old = if self.use_first { HashSet::new() } else { add_key(&file)? };
        let count = runtime.block_on(async {
            let ledger = Ledger::open(&config).await?;
            let resealed = ledger.reseal(SystemClock.now_millis()).await;
            ledger.close().await;
            resealed
        })?;
        let removed = if self.keep_old || self.use_first { 0 } else { remove_keys(&file, &old)? };
        let after = Some(json!({"endpoints": count, "keys_removed": removed}));
        record_command(
            sources,
            CommandAction { name: "secrets.resealed", after, ..CommandAction::default() },
        );
        self.report(&file, count, removed)
    }

    fn report(&self, file: &Path, count: usize, removed: usize) -> Exit {
        let object = || json!({"key_file": file, "endpoints": count, "keys_removed": removed});
        self.output.print(object, || text(file, count, removed))
    }
}

fn text(file: &Path, count: usize, removed: usize) -> String {
    let file = file.display();
    let rest = if removed == 0 {
        format!("{file} still has its other keys; remove their lines once every replica has the first one")
    } else {
        format!(
            "{file} has the new key alone; earlier backups open only with the old one, so make another backup"
        )
    };
    format!("sealed the secrets of {count} endpoints with the first key of {file}\n{rest}\n")
}

/// Refuses to begin if secrets do not open: they would be lost with the old key.
async fn require_all_open(config: &ledger::Config) -> Result<(), Failure> {
    if let Some(path) = config.database.path().filter(|path| !path.exists()) {
        return Err(Failure::Failed(format!(
            "there is no database {}, and so nothing to seal",
            path.display()
        )));
    }
    let found = Ledger::inspect(config, SystemClock.now_millis()).await?;
    match config.wrong_key(&found) {
        Some(error) => Err(Failure::Failed(format!("{error}; nothing was changed"))),
        None => Ok(()),
    }
}

/// Adds a new key above the others; returns their lines.
fn add_key(file: &Path) -> Result<HashSet<String>, Failure> {
    let new = fresh_key()?;
    edit(file, |text| {
        let old = text.lines().map(str::trim).filter(|line| is_key(line)).map(str::to_owned).collect();
        (old, Zeroizing::new(format!("{}\n{text}", *new)))
    })
}

/// Removes these keys. A key that another `keys reseal` has added meanwhile stays.
fn remove_keys(file: &Path, old: &HashSet<String>) -> Result<usize, Failure> {
    edit(file, |text| {
        let stays = |line: &&str| !old.contains(line.trim());
        let kept: Zeroizing<String> =
            Zeroizing::new(text.lines().filter(stays).flat_map(|line| [line, "\n"]).collect());
        (text.lines().filter(|line| !stays(line)).count(), kept)
    })
}

fn is_key(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

fn edit<T>(file: &Path, change: impl FnOnce(&str) -> (T, Zeroizing<String>)) -> Result<T, Failure> {
    let edited = edit_text(file, |path| {
        let text = std::fs::read_to_string(path).map_err(|error| EditError::Write(path.to_owned(), error))?;
        Ok(change(&Zeroizing::new(text)))
    });
    edited.map_err(|error| match error {
        EditError::Write(path, error) => Failure::Failed(format!(
            "the key file {} cannot be written: {error}; if it is distributed by other means, add a line above the others there, \
             and then `keys reseal --use-first`",
            path.display()
        )),
        error => Failure::failed(error),
    })
}
