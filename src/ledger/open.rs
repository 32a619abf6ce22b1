//! Opens the ledger: the database with its tables, the key of the secrets, and the right to send. What fails for a while
//! (a full disk, a server that starts) is tried again by the caller until all of it works; before that nothing is given out.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::database::{Database, Open, Opening, Statement, exposed_files, prepare_file, values};
use super::seal::Seal;
use super::{Config, Ledger, LedgerError, Writer, accept, beside, clock_step, finish, key_file_beside};

/// How many secrets are opened to see whether the key file is theirs.
const SECRETS_TRIED: i64 = 1_000;

impl Ledger {
    /// Opens the database, brings its tables up to date, and reads the key file. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`LedgerError`] if the database cannot be opened or the key file not read.
    pub async fn open(config: &Config) -> Result<Self, LedgerError> {
        let ledger = Self::open_later(config)?;
        ledger.prepare().await?;
        Ok(ledger)
    }

    /// A ledger that is not open yet: [`Ledger::prepare`] or [`Ledger::prepare_to_send`] has to succeed before it is of use.
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// [`LedgerError`] if the settings name no key file, or one that is none.
    pub fn open_later(config: &Config) -> Result<Self, LedgerError> {
        let seal = seal_of(config)?.unwrap_or_default();
        let database = Database::closed(&config.database);
        Ok(Self {
            events: Writer::start(&database, |database, events| {
                Box::pin(accept::accept_all(database, events))
            }),
            finished: Writer::start(&database, |database, finished| {
                Box::pin(finish::finish_all(database, finished))
            }),
            seal,
            database,
            searches: super::search::Searches::default(),
            testing: Arc::default(),
            lock: Arc::default(),
            one_at_a_time: Arc::default(),
            config: Arc::new(config.clone()),
        })
    }

    /// Opens the ledger, unless it is open.
    ///
    /// # Errors
    /// [`LedgerError`]; if it [may pass](LedgerError::may_pass), trying again later is right.
    pub async fn prepare(&self) -> Result<(), LedgerError> {
        self.open_for(false).await
    }

    /// Opens the ledger for the one process that sends from a SQLite file (on PostgreSQL any number may), unless it is open.
    ///
    /// # Errors
    /// As [`Ledger::prepare`]; [`LedgerError::InUse`] if another process sends from this file.
    pub async fn prepare_to_send(&self) -> Result<(), LedgerError> {
        self.open_for(true).await
    }

    async fn open_for(&self, to_send: bool) -> Result<(), LedgerError> {
        let _alone = self.one_at_a_time.lock().await;
        if self.database.is_open() {
            return Ok(());
        }
        let opened = self.try_to_open(to_send).await;
        match &opened {
            Ok(open) => {
                self.database.opened(open.clone());
                if to_send {
                    // What a process that died had forgotten is still in the write-ahead log.
                    self.database.forget_traces();
                }
            }
            Err(error) => self.database.stays_closed(error),
        }
        opened.map(|_| ())
    }

    async fn try_to_open(&self, to_send: bool) -> Result<Open, LedgerError> {
        let file = self.config.database.path().map(|path| prepare_file(path, Opening::ToUse)).transpose()?;
        let open = Open::open(&self.config.database, Opening::ToUse).await?;
        let completed = self.complete(&open, file.as_deref(), to_send).await;
        if let Err(error) = completed {
            open.close().await;
            return Err(error);
        }
        Ok(open)
    }

    async fn complete(&self, open: &Open, file: Option<&Path>, to_send: bool) -> Result<(), LedgerError> {
        if let Some(file) = file.filter(|_| to_send) {
            self.keep(lock(file)?);
        }
        let sealed = sealed_secrets(open).await?;
        if let (None, Some(database)) = (&self.config.secret_key_file, self.config.database.path()) {
            self.seal.take(&key_beside(database, &sealed)?);
        }
        let others = not_opened(&self.seal, &sealed);
        if others > 0 {
            refuse_another_key(&key_file(&self.config), others, sealed.len())?;
            tracing::error!(
                secrets = others,
                "the key file does not open the secrets of some endpoints, whose events wait; is a line missing in it?"
            );
        }
        if to_send { clock_step::take_back_all(open).await } else { Ok(()) }
    }

    /// Makes this process the sender of a SQLite file, until it ends; on PostgreSQL any number may send. What a sender
    /// that died had in hand is due again: at once on SQLite, on PostgreSQL when its lease ends.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] if another process sends from this file.
    pub async fn become_sender(&self) -> Result<(), LedgerError> {
        let Some(path) = self.config.database.path() else { return Ok(()) };
        self.keep(lock(&prepare_file(path, Opening::ToUse)?)?);
        clock_step::take_back_all(self.database.get()?).await
    }

    fn keep(&self, lock: File) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
    }

    /// Whether the database can be used, without changing anything: neither its tables, nor a key file that is missing.
    ///
    /// # Errors
    /// [`LedgerError`] says why not.
    pub async fn look(config: &Config) -> Result<(), LedgerError> {
        let given = seal_of(config)?;
        let open = Open::open(&config.database, Opening::ToLook).await?;
        let looked = look_inside(&open, config, given).await;
        open.close().await;
        looked
    }
}

/// The files of a SQLite database that others than their owner may use, and their modes.
#[must_use]
pub fn files_of_others(database: &Path) -> Vec<(PathBuf, u32)> {
    exposed_files(database)
}

/// The key that the settings name; `None` if it stands beside the database's file.
fn seal_of(config: &Config) -> Result<Option<Seal>, LedgerError> {
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

/// Whether the key is that of the secrets, and the database can be written.
async fn look_inside(open: &Open, config: &Config, given: Option<Seal>) -> Result<(), LedgerError> {
    let sealed = match sealed_secrets(open).await {
        // There are no tables yet.
        Err(LedgerError::Refused(_)) => return Ok(()),
        sealed => sealed?,
    };
    let path = key_file(config);
    let seal = match given {
        Some(seal) => seal,
        None if path.exists() => Seal::read(&path)?,
        None => return refuse_new_key(&path, sealed.len()),
    };
    match not_opened(&seal, &sealed) {
        0 => open.probe().await,
        others => Err(another_key(&path, others, sealed.len())),
    }
}

/// Takes the lock of the one sender, which ends with the process.
fn lock(file: &Path) -> Result<File, LedgerError> {
    let path = beside(file, "lock");
    let opened = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let lock = opened.map_err(|error| LedgerError::at_path(&path, &error))?;
    lock.try_lock().map_err(|_| LedgerError::InUse(file.display().to_string()))?;
    Ok(lock)
}

type Sealed = (String, Vec<u8>);

/// The newest secrets.
async fn sealed_secrets(open: &Open) -> Result<Vec<Sealed>, LedgerError> {
    const LIST: Statement = Statement::same(
        "SELECT id, secret FROM endpoints WHERE length(secret) > 0 ORDER BY created_at DESC LIMIT $1",
    );
    open.fetch(LIST, values![SECRETS_TRIED]).await
}

fn not_opened(seal: &Seal, sealed: &[Sealed]) -> usize {
    sealed.iter().filter(|(endpoint, secret)| seal.open(secret, endpoint).is_err()).count()
}

fn key_file(config: &Config) -> PathBuf {
    let beside = || config.database.path().map(key_file_beside);
    config.secret_key_file.clone().or_else(beside).unwrap_or_default()
}

/// The key of a file beside the database, which is made for a database without secrets.
fn key_beside(database: &Path, sealed: &[Sealed]) -> Result<Seal, LedgerError> {
    let path = key_file_beside(database);
    if path.exists() {
        return Seal::read(&path);
    }
    refuse_new_key(&path, sealed.len())?;
    Seal::read_or_make(&path)
}

/// A new key opens no secret that is there: every delivery would wait for ever.
fn refuse_new_key(path: &Path, secrets: usize) -> Result<(), LedgerError> {
    if secrets == 0 {
        return Ok(());
    }
    Err(LedgerError::KeyFile(format!(
        "{} is missing, and the database holds {secrets} secrets that it sealed: put the file back, or name it in \
         webhooks.secret_key_file",
        path.display()
    )))
}

fn refuse_another_key(path: &Path, others: usize, secrets: usize) -> Result<(), LedgerError> {
    if others == secrets { Err(another_key(path, others, secrets)) } else { Ok(()) }
}

fn another_key(path: &Path, others: usize, secrets: usize) -> LedgerError {
    LedgerError::KeyFile(format!(
        "{} does not open {others} of {secrets} secrets in the database: it is not the file that sealed them, or a line is \
         missing in it",
        path.display()
    ))
}
