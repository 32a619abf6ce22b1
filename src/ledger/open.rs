//! Opens the ledger: the database with its tables, the key of the secrets, and the lock of the sender. The caller
//! retries after a temporary failure (a full disk, a server that is starting). Until all three succeed, every call of
//! the ledger fails.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::database::{self, Backend, Database, OpenMode, Statement, values, with_extension};
use super::error::{LedgerError, Result};
use super::handle::{Config, Ledger};
use super::lease::requeue_all;
use super::seal::Seal;
use super::search::SearchLimiter;
use super::writer::Writer;
use super::{finish, store_event};

/// How long the writer collects results of attempts before it commits them together. No caller waits for them, and
/// separate commits would cost the database as much again (row *paced* of the sender's benchmark). A killed program sends again
/// what it has not recorded: attempts in flight, which take longer, and these.
const FINISH_LINGER: Duration = Duration::from_millis(50);

/// How many secrets are opened to verify the key file.
const SAMPLED_SECRETS: i64 = 1_000;

impl Ledger {
    /// Opens the database, migrates its tables, and reads the key file. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`LedgerError`] if the database cannot be opened or the key file cannot be read.
    pub async fn open(config: &Config) -> Result<Self> {
        let ledger = Self::unopened(config)?;
        ledger.open_now().await?;
        Ok(ledger)
    }

    /// Creates a ledger that is not open yet. Its calls fail until [`Ledger::open_now`] or [`Ledger::open_for_sending`]
    /// succeeds. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`LedgerError`] if the settings name no key file, or an unreadable one.
    pub fn unopened(config: &Config) -> Result<Self> {
        let seal = configured_seal(config)?.unwrap_or_default();
        let database = Database::unopened(&config.database);
        Ok(Self {
            events: Writer::start(&database, Duration::ZERO, |database, events| {
                Box::pin(store_event::store_all(database, events))
            }),
            finished: Writer::start(&database, FINISH_LINGER, |database, finished| {
                Box::pin(finish::finish_all(database, finished))
            }),
            seal,
            database,
            search_limiter: SearchLimiter::default(),
            test_lock: Arc::default(),
            sender_lock: Arc::default(),
            opening: Arc::default(),
            config: Arc::new(config.clone()),
            acting: None,
            audit_sink: None,
        })
    }

    /// Opens the ledger, unless it is open.
    ///
    /// # Errors
    /// [`LedgerError`]; if it is [transient](LedgerError::is_transient), the caller should retry later.
    pub async fn open_now(&self) -> Result<()> {
        self.open_once(false).await
    }

    /// Opens the ledger for the one process that sends from a SQLite file (on PostgreSQL any number may), unless it is
    /// open.
    ///
    /// # Errors
    /// As [`Ledger::open_now`]; [`LedgerError::InUse`] if another process sends from this file.
    pub async fn open_for_sending(&self) -> Result<()> {
        self.open_once(true).await
    }

    async fn open_once(&self, sends: bool) -> Result<()> {
        let _guard = self.opening.lock().await;
        if self.database.is_open() {
            return Ok(());
        }
        let opened = self.try_open(sends).await;
        match &opened {
            Ok(open) => {
                self.database.set_open(open.clone());
                if sends {
                    // A process that died may have left erased data in the write-ahead log.
                    self.database.scrub_files();
                }
            }
            Err(error) => self.database.set_open_error(error),
        }
        opened.map(|_| ())
    }

    async fn try_open(&self, sends: bool) -> Result<Backend> {
        let file = self
            .config
            .database
            .path()
            .map(|path| database::prepare(path, OpenMode::ReadWrite))
            .transpose()?;
        let open = Backend::open(&self.config.database, OpenMode::ReadWrite).await?;
        let completed = self.finish_opening(&open, file.as_deref(), sends).await;
        if let Err(error) = completed {
            open.close().await;
            return Err(error);
        }
        Ok(open)
    }

    async fn finish_opening(&self, open: &Backend, file: Option<&Path>, sends: bool) -> Result<()> {
        if let Some(file) = file.filter(|_| sends) {
            self.hold_lock(lock_database(file)?);
        }
        let sealed = sealed_secrets(open).await?;
        if let (None, Some(database)) = (&self.config.secret_key_file, self.config.database.path()) {
            self.seal.take(&default_key(database, &sealed)?);
        }
        let foreign = count_unopened(&self.seal, &sealed);
        if foreign > 0 {
            require_own_key(&key_file(&self.config), foreign, sealed.len())?;
            tracing::error!(
                secrets = foreign,
                "the key file does not open the secrets of some endpoints, whose events wait; is a line missing in it?"
            );
        }
        if sends { requeue_all(open).await } else { Ok(()) }
    }

    /// Makes this process the sender of a SQLite file until it ends. On PostgreSQL, any number of processes may send.
    /// On SQLite, this requeues deliveries that a dead sender had claimed; on PostgreSQL, they wait until their leases
    /// expire.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] if another process sends from this file.
    pub async fn lock_for_sending(&self) -> Result<()> {
        let Some(path) = self.config.database.path() else { return Ok(()) };
        self.hold_lock(lock_database(&database::prepare(path, OpenMode::ReadWrite)?)?);
        requeue_all(self.database.get()?).await
    }

    fn hold_lock(&self, lock: File) {
        *self.sender_lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
    }
}

/// The files of a SQLite database that users other than their owner may access, with their modes.
#[must_use]
pub fn exposed_files(database: &Path) -> Vec<(PathBuf, u32)> {
    database::exposed(database)
}

/// The key that the settings name; `None` if it is in the file beside the database.
pub(super) fn configured_seal(config: &Config) -> Result<Option<Seal>> {
    match (&config.secret_key_file, config.database.path()) {
        (Some(path), _) => Seal::read(path).map(Some),
        (None, Some(_)) => Ok(None),
        (None, None) => Err(LedgerError::KeyFile(
            "webhooks.secret_key_file is not set; replicas that share a PostgreSQL share this file too \
             (`openssl rand -hex 32` makes its one line)"
                .to_owned(),
        )),
    }
}

/// Takes the lock of the one sender of a SQLite file. The kernel releases it when the process ends or drops the lock.
///
/// # Errors
/// [`LedgerError::InUse`] if another process sends from this file.
pub fn lock_database(file: &Path) -> Result<File> {
    let path = with_extension(file, "lock");
    let opened = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let lock = opened.map_err(|error| LedgerError::at_path(&path, &error))?;
    lock.try_lock().map_err(|_| LedgerError::InUse(file.display().to_string()))?;
    Ok(lock)
}

pub(super) type SealedSecret = (String, Vec<u8>);

/// The newest secrets.
pub(super) async fn sealed_secrets(open: &Backend) -> Result<Vec<SealedSecret>> {
    const LIST: Statement = Statement::same(
        "SELECT id, secret FROM endpoints WHERE length(secret) > 0 ORDER BY created_at DESC LIMIT $1",
    );
    open.fetch(LIST, values![SAMPLED_SECRETS]).await
}

fn count_unopened(seal: &Seal, sealed: &[SealedSecret]) -> usize {
    sealed.iter().filter(|(endpoint, secret)| seal.open(secret, endpoint).is_err()).count()
}

/// The key file of a SQLite database, unless the settings name another one.
#[must_use]
pub fn default_key_file(database: &Path) -> PathBuf {
    with_extension(database, "key")
}

/// The key file of the endpoints' secrets.
#[must_use]
pub fn key_file(config: &Config) -> PathBuf {
    let beside = || config.database.path().map(default_key_file);
    config.secret_key_file.clone().or_else(beside).unwrap_or_default()
}

/// Reads the key file beside the database. Creates it for a database without secrets.
fn default_key(database: &Path, sealed: &[SealedSecret]) -> Result<Seal> {
    let path = default_key_file(database);
    if path.exists() {
        return Seal::read(&path);
    }
    require_no_secrets(&path, sealed.len())?;
    Seal::read_or_make(&path)
}

/// A new key would not open the stored secrets, and every delivery would wait forever.
pub(super) fn require_no_secrets(path: &Path, secrets: usize) -> Result<()> {
    if secrets == 0 {
        return Ok(());
    }
    Err(LedgerError::KeyFile(format!(
        "{} is missing, and the database holds {secrets} secrets that it sealed: put the file back, or name it in \
         webhooks.secret_key_file",
        path.display()
    )))
}

fn require_own_key(path: &Path, foreign: usize, secrets: usize) -> Result<()> {
    if foreign == secrets { Err(wrong_key(path, foreign, secrets)) } else { Ok(()) }
}

pub(super) fn wrong_key(path: &Path, foreign: usize, secrets: usize) -> LedgerError {
    LedgerError::KeyFile(format!(
        "{} does not open {foreign} of {secrets} secrets in the database: it is not the file that sealed them, or a line is \
         missing in it",
        path.display()
    ))
}
