//! `backup`: copies the SQLite database of a running program into a folder, with its keys on request.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::manifest::{MANIFEST, Manifest, Part};
use crate::cli::arguments::Output;
use crate::cli::command_action::CommandAction;
use crate::cli::command_trail::record_command;
use crate::cli::exit::{Exit, Failure};
use crate::clock::{Clock, SystemClock};
use crate::config::Sources;
use crate::ledger::{self, Ledger, LedgerError};
use crate::private_file::sync_folder;

/// How often a copy is made anew because `keys reseal` changed the key meanwhile.
const TRIES: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The folder to make; its files have mode 0600
    to: PathBuf,
    /// Copy the key of the endpoints' secrets and the keyring too; who has them can sign links and webhooks
    #[arg(long)]
    with_keys: bool,
    #[command(flatten)]
    output: Output,
}

impl Backup {
    pub(crate) fn run(self, sources: &Sources) -> Exit {
        let (config, _) = sources.read_for_webhooks()?;
        require_sqlite(&config)?;
        let keyring = if self.with_keys { Some(sources.read_for_keys()?.0) } else { None };
        let (to, parent) = (self.to.as_path(), parent_of(&self.to));
        let failed = |error: io::Error| Failure::Failed(format!("{}: {error}", to.display()));
        if to.symlink_metadata().is_ok() {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        // A backup that is not complete has another name, and disappears if the program fails.
        let folder = tempfile::Builder::new()
            .prefix(".backup-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)
            .map_err(failed)?;
        let copied = self.copy(&config, keyring.as_deref(), folder.path())?;
        sync_folder(&folder.path().join(MANIFEST)).map_err(failed)?;
        fs::rename(folder.path(), to).map_err(failed)?;
        // The folder has another name now.
        let _ = folder.keep();
        sync_folder(to).map_err(failed)?;
        let (subject, after) = (to.to_string_lossy(), json!({"with_keys": self.with_keys}));
        let action = CommandAction {
            name: "backup.made",
            subject: Some(&subject),
            after: Some(after),
            ..CommandAction::default()
        };
        record_command(sources, action);
        self.report(&config, &copied)
    }

    /// Copies everything into the folder. The keys come after the database, so that a key file that changed in between is
    /// noticed: then the copy is made anew.
    fn copy(
        &self,
        config: &ledger::Config,
        keyring: Option<&Path>,
        folder: &Path,
    ) -> Result<Copied, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut tries = 1;
        let (migration, unopened) = loop {
            let migration = runtime.block_on(copy_database(config, folder))?;
            let unopened = runtime.block_on(unopened(&self.copy_key(config, folder)?))?;
            if unopened == 0 || tries == TRIES {
                break (migration, unopened);
            }
            tries += 1;
        };
        if let Some(keyring) = keyring {
            copy_private(keyring, &folder.join(Part::Keyring.file_name()))?;
        }
        let mut manifest = Manifest::new(SystemClock.now().to_string(), migration);
        for part in [Part::Database, Part::SecretKey, Part::Keyring] {
            if folder.join(part.file_name()).exists() {
                manifest.add(folder, part)?;
            }
        }
        write_private(&folder.join(MANIFEST), format!("{:#}\n", json!(manifest)).as_bytes())?;
        Ok(Copied { manifest, unopened })
    }

    /// Copies the key file, if that is wanted; returns the place of the copy and of the key that should open it.
    fn copy_key(&self, config: &ledger::Config, folder: &Path) -> Result<ledger::Config, Failure> {
        let (key, copy) = (ledger::key_file(config), folder.join(Part::SecretKey.file_name()));
        let copies = self.with_keys && key.exists();
        if copies {
            copy_private(&key, &copy)?;
        }
        let database = ledger::DatabaseUrl::Sqlite(folder.join(Part::Database.file_name()));
        Ok(ledger::Config { database, secret_key_file: Some(if copies { copy } else { key }) })
    }

    fn report(&self, config: &ledger::Config, Copied { manifest, unopened }: &Copied) -> Exit {
        let object = || json!({"to": self.to, "secrets_unopened": unopened, "manifest": manifest});
        self.output.print(object, || self.text(config, manifest, *unopened))
    }

    fn text(&self, config: &ledger::Config, manifest: &Manifest, unopened: usize) -> String {
        let to = self.to.display();
        let mut text = format!("made {to}, {:?} at {}\n", config.database, manifest.made_at);
        for file in &manifest.files {
            let _ = writeln!(text, "  {:17}  {:>12} bytes  sha256 {}", file.name, file.bytes, file.sha256);
        }
        if unopened > 0 {
            let _ = writeln!(
                text,
                "The secrets of {unopened} endpoints do not open with the key file; see `webhook-assets check`."
            );
        }
        text.push_str(if manifest.has(Part::SecretKey) {
            "It has the keys: a person who reads it can sign links and webhooks, so keep it like a password.\n"
        } else {
            "It has no keys: keep the key file of the secrets and the keyring elsewhere, or the secrets never open again.\n"
        });
        text
    }
}

struct Copied {
    manifest: Manifest,
    /// The number of endpoints whose secrets do not open.
    unopened: usize,
}

/// `backup` and `restore` are for SQLite.
pub(super) fn require_sqlite(config: &ledger::Config) -> Result<&Path, Failure> {
    config.database.path().ok_or_else(|| {
        Failure::Usage(format!(
            "{:?} is PostgreSQL, which has its own tools: pg_dump and pg_restore, as docs/operations.md shows",
            config.database
        ))
    })
}

pub(super) fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Copies the database; returns the number of its last migration.
async fn copy_database(config: &ledger::Config, folder: &Path) -> Result<i64, Failure> {
    let path = folder.join(Part::Database.file_name());
    let _ = fs::remove_file(&path);
    // SQLite takes an empty file, and with it its mode.
    write_private(&path, b"")?;
    let copied = Ledger::copy_file(config, &path).await.map_err(|error| match error {
        LedgerError::Full => Failure::Failed(format!("{}: its disk is full", folder.display())),
        error => Failure::failed(error),
    })?;
    File::open(&path)?.sync_all()?;
    Ok(copied.tables.unwrap_or_default())
}

async fn unopened(copy: &ledger::Config) -> Result<usize, Failure> {
    match Ledger::inspect(copy, SystemClock.now_millis()).await {
        Ok(found) => Ok(found.unopened.len()),
        // There is no key file yet, or it is unusable; `check` says so.
        Err(LedgerError::KeyFile(_)) => Ok(0),
        Err(error) => Err(Failure::failed(error)),
    }
}

fn copy_private(from: &Path, to: &Path) -> Result<(), Failure> {
    let bytes = fs::read(from).map(zeroize::Zeroizing::new);
    let bytes = bytes.map_err(|error| Failure::Failed(format!("{}: {error}", from.display())))?;
    let _ = fs::remove_file(to);
    Ok(write_private(to, &bytes)?)
}

/// Writes a new file that only its owner may read, and waits until it is on disk.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
