//! `restore`: puts a backup in place, after checking that its parts fit together and to this program.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tempfile::NamedTempFile;

use super::backup::{parent_of, require_sqlite};
use super::manifest::{Manifest, Part};
use crate::cli::arguments::Output;
use crate::cli::command_action::CommandAction;
use crate::cli::command_trail::record_command;
use crate::cli::exit::{Exit, Failure};
use crate::clock::{Clock, SystemClock};
use crate::config::Sources;
use crate::ledger::{self, DatabaseUrl, Inspection, Ledger, LedgerError};
use crate::private_file::sync_folder;

/// The files that SQLite keeps beside a database; they belong to the database that is replaced.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The folder that `backup` made
    from: PathBuf,
    /// Replace existing files, and keep them under another name beside
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    output: Output,
}

/// A file of the backup, ready beside the path where it belongs.
struct Staged {
    to: PathBuf,
    file: NamedTempFile,
}

impl Restore {
    pub(crate) fn run(self, sources: &Sources) -> Exit {
        let (config, _) = sources.read_for_webhooks()?;
        let database = require_sqlite(&config)?.to_owned();
        let manifest = Manifest::verified(&self.from)?;
        let mut targets = vec![(Part::Database, database)];
        if manifest.has(Part::SecretKey) {
            targets.push((Part::SecretKey, ledger::key_file(&config)));
        }
        if manifest.has(Part::Keyring) {
            targets.push((Part::Keyring, sources.read_for_keys()?.0));
        }
        let mut staged = Vec::new();
        for (part, to) in targets {
            let to = to.canonicalize().unwrap_or(to);
            staged.extend(self.stage(part, to)?);
        }
        let found = self.check(&config, &manifest, staged.first())?;
        let kept = self.install(staged)?;
        let (subject, after) = (self.from.to_string_lossy(), json!({"made_at": manifest.made_at}));
        let action = CommandAction {
            name: "backup.restored",
            subject: Some(&subject),
            after: Some(after),
            ..CommandAction::default()
        };
        record_command(sources, action);
        self.report(&config, &manifest, &found, &kept)
    }

    /// Copies a file beside its place. Nothing to do if it is there already.
    fn stage(&self, part: Part, to: PathBuf) -> Result<Option<Staged>, Failure> {
        let failed = |error: io::Error| Failure::Failed(format!("{}: {error}", to.display()));
        let from = self.from.join(part.file_name());
        if part != Part::Database && fs::read(&to).ok() == fs::read(&from).ok() {
            return Ok(None);
        }
        if to.exists() && !self.replace {
            return Err(Failure::Failed(format!(
                "{} exists and is left as it is; to replace it: stop `serve`, then `restore --replace`",
                to.display()
            )));
        }
        let mut file =
            tempfile::Builder::new().prefix(".restore-").tempfile_in(parent_of(&to)).map_err(failed)?;
        io::copy(&mut fs::File::open(from)?, file.as_file_mut()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        Ok(Some(Staged { to, file }))
    }

    /// Checks that this program can use the tables, and that the key opens the secrets.
    fn check(
        &self,
        config: &ledger::Config,
        manifest: &Manifest,
        database: Option<&Staged>,
    ) -> Result<Inspection, Failure> {
        let key = match manifest.has(Part::SecretKey) {
            true => self.from.join(Part::SecretKey.file_name()),
            false => ledger::key_file(config),
        };
        let path = database.map(|staged| staged.file.path().to_owned()).unwrap_or_default();
        let has_key = key.exists();
        let staged = ledger::Config {
            database: DatabaseUrl::Sqlite(path),
            secret_key_file: has_key.then(|| key.clone()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let found = runtime.block_on(Ledger::inspect(&staged, SystemClock.now_millis()));
        let found = found.map_err(|error| match error {
            LedgerError::KeyFile(_) if !has_key => Failure::Failed(format!(
                "the backup was made without its keys, and {} is missing, which opens its secrets: put it there first",
                key.display()
            )),
            LedgerError::CannotOpen(why) => Failure::Failed(format!("the backup: {why}")),
            error => Failure::failed(error),
        })?;
        if found.endpoints > 0 && found.unopened.len() == found.endpoints {
            return Err(Failure::Failed(format!(
                "{} opens none of the {} secrets in the backup, so webhooks could not be signed: put the key file of that time \
                 there first",
                key.display(),
                found.endpoints
            )));
        }
        Ok(found)
    }

    /// Puts the files in place, the database last. Returns where the replaced files are.
    fn install(&self, mut staged: Vec<Staged>) -> Result<Vec<PathBuf>, Failure> {
        let locked = staged.first().filter(|database| database.to.exists());
        let _lock = locked
            .map(|database| ledger::lock_database(&database.to))
            .transpose()
            .map_err(|error| Failure::Failed(format!("{error}; stop `serve` first")))?;
        let ending = format!(".replaced-{}", SystemClock.now().to_string().replace(':', ""));
        let mut kept = Vec::new();
        staged.reverse();
        for Staged { to, file } in staged {
            let failed = |error: io::Error| Failure::Failed(format!("{}: {error}", to.display()));
            kept.extend(keep(&to, &ending).map_err(failed)?);
            file.persist(&to).map_err(|error| failed(error.error))?;
            sync_folder(&to).map_err(failed)?;
        }
        Ok(kept)
    }

    fn report(
        &self,
        config: &ledger::Config,
        manifest: &Manifest,
        found: &Inspection,
        kept: &[PathBuf],
    ) -> Exit {
        let upgrades: Vec<_> = found.upgrades().iter().map(|(_, name)| name.as_str()).collect();
        let object = || {
            json!({
                "made_at": manifest.made_at, "program": manifest.program, "endpoints": found.endpoints,
                "secrets_unopened": found.unopened, "upgrades": upgrades, "kept": kept,
            })
        };
        self.output.print(object, || text(config, manifest, found, &upgrades, kept))
    }
}

fn text(
    config: &ledger::Config,
    manifest: &Manifest,
    found: &Inspection,
    upgrades: &[&str],
    kept: &[PathBuf],
) -> String {
    let mut text = format!(
        "restored {:?} as it was at {}, by version {}\n{} endpoints have secrets, {} of them open with the key file\n",
        config.database,
        manifest.made_at,
        manifest.program,
        found.endpoints,
        found.endpoints - found.unopened.len()
    );
    if !upgrades.is_empty() {
        let _ = writeln!(text, "The next `serve` upgrades its tables: {}.", upgrades.join(", "));
    }
    for path in kept {
        let _ = writeln!(text, "kept {}; delete it when it is no longer needed", path.display());
    }
    text.push_str(
            "Calls that were accepted later are not in it: hand them in again. What was delivered later arrives again, with the \
             same webhook-id.\n",
        );
    text
}

/// Gives the existing file a second name, so that it is never missing, and its companions another name. Returns the names.
fn keep(path: &Path, ending: &str) -> io::Result<Vec<PathBuf>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let with = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let mut kept = vec![with(ending)];
    fs::hard_link(path, with(ending))?;
    for companion in COMPANIONS.iter().filter(|companion| with(companion).exists()) {
        let to = with(&format!("{ending}{companion}"));
        fs::rename(with(companion), &to)?;
        kept.push(to);
    }
    Ok(kept)
}
