//! The database: endpoints and their secrets, events, deliveries and every attempt. What is accepted is on disk before
//! anybody is told so; what is due is given to one sender at a time, under a lease.

mod accepting;
mod claiming;
mod database;
mod endpoints;
mod error;
mod finishing;
mod forgetting;
mod health;
mod history;
mod name;
mod overview;
mod picking_up;
mod portal_link;
mod putting_away;
mod resending;
mod seal;
mod secrets;
mod test_events;
mod time;
mod writer;

pub use accepting::{Accepted, NewEvent};
pub use claiming::{Claimed, Lane, Lease, Line, Share};
pub use database::DatabaseUrl;
pub use endpoints::{Change, Endpoint, EndpointState, NewEndpoint, Notice};
pub use error::LedgerError;
pub use finishing::{Finished, Next, Setback};
pub use health::{Failure, Health};
pub use history::{Attempt, Delivery, DeliveryState, Filter, Page, Pending};
pub use name::{is_description, is_name, name_in_path};
pub use overview::{Progress, WorkspaceLine};
pub use picking_up::PickedUp;
pub use putting_away::UNDO_FOR;
pub use resending::{RecoverRange, Resent};
pub use secrets::{Rotated, STANDARD_OVERLAP, Secrets};
pub use test_events::{TESTS_OF_ENDPOINT, TESTS_OF_WORKSPACE, Tested};

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use database::Database;
use seal::Seal;
use writer::Writer;

use crate::clock::UnixMillis;

/// Where the ledger is, and the key of its secrets.
#[derive(Debug, Clone)]
pub struct Config {
    /// The database.
    pub database: DatabaseUrl,
    /// The key file; `None` beside the SQLite file, made when missing.
    pub secret_key_file: Option<PathBuf>,
}

/// The open ledger. Clones share it.
#[derive(Debug, Clone)]
pub struct Ledger {
    database: Database,
    seal: Seal,
    events: Writer<NewEvent, Option<Accepted>>,
    finished: Writer<Finished, ()>,
    /// Held while a test event is counted and written.
    testing: Arc<tokio::sync::Mutex<()>>,
    /// Held while a sender works on a SQLite file.
    lock: Arc<std::sync::Mutex<Option<File>>>,
    file: Option<Arc<Path>>,
}

impl Ledger {
    /// Opens the database, brings its tables up to date, and reads the key file. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`LedgerError`] if the database cannot be opened or the key file not read.
    pub async fn open(config: &Config) -> Result<Self, LedgerError> {
        let ledger = Self::open_later(config).await?;
        ledger.prepare().await?;
        Ok(ledger)
    }

    /// Opens the ledger without waiting for PostgreSQL; [`Ledger::prepare`] has to succeed before it is of use.
    ///
    /// # Errors
    /// [`LedgerError`] if a SQLite file cannot be opened or the key file not read.
    pub async fn open_later(config: &Config) -> Result<Self, LedgerError> {
        let seal = match (&config.secret_key_file, config.database.path()) {
            (Some(path), _) => Seal::read(path)?,
            (None, Some(file)) => Seal::read_or_make(&key_file_beside(file))?,
            (None, None) => {
                return Err(LedgerError::KeyFile(
                    "webhooks.secret_key_file is not set; replicas that share a PostgreSQL share this file too \
                     (`openssl rand -hex 32` makes its one line)"
                        .to_owned(),
                ));
            }
        };
        let database = Database::connect(&config.database).await?;
        Ok(Self {
            events: Writer::start(&database, |database, events| {
                Box::pin(accepting::accept_all(database, events))
            }),
            finished: Writer::start(&database, |database, finished| {
                Box::pin(finishing::finish_all(database, finished))
            }),
            seal,
            database,
            testing: Arc::default(),
            lock: Arc::default(),
            file: config.database.path().map(Arc::from),
        })
    }

    /// Brings the database's tables up to date.
    ///
    /// # Errors
    /// [`LedgerError`]; if it [may pass](LedgerError::may_pass), trying again later is right.
    pub async fn prepare(&self) -> Result<(), LedgerError> {
        self.database.prepare().await
    }

    /// Makes this process the sender of a SQLite file, until it ends; on PostgreSQL any number may send. What a sender
    /// that died had in hand is due again: at once on SQLite, on PostgreSQL when its lease ends.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] if another process sends from this file.
    pub async fn become_sender(&self) -> Result<(), LedgerError> {
        let Some(file) = &self.file else { return Ok(()) };
        let path = beside(file, "lock");
        let in_use = || LedgerError::InUse(file.display().to_string());
        let opening = |error: std::io::Error| LedgerError::Opening(format!("{}: {error}", path.display()));
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(opening)?;
        lock.try_lock().map_err(|_| in_use())?;
        *self.lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(lock);
        self.take_back_all().await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`LedgerError`] says why it does not.
    pub async fn probe(&self) -> Result<(), LedgerError> {
        let one = database::Statement::same("SELECT 1");
        self.database.fetch::<(i32,)>(one, Vec::new()).await.map(|_| ())
    }

    /// Ends every connection, after what is being written.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

/// Where the key of the secrets is, for a SQLite file, unless the settings name another place.
#[must_use]
pub fn key_file_beside(database: &Path) -> PathBuf {
    beside(database, "key")
}

/// `calls.db` and `key` make `calls.db.key`.
fn beside(file: &Path, extension: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// An id: a word for its kind, and a UUID of version 7 (RFC 9562 §5.7), so that ids sort by time.
fn new_id(kind: &str, now: UnixMillis) -> Result<String, LedgerError> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
    Ok(format!("{kind}_{}", uuid::Builder::from_unix_timestamp_millis(now.0, &random).into_uuid().simple()))
}

/// A moment as the database has it.
fn stored(moment: UnixMillis) -> i64 {
    i64::try_from(moment.0).unwrap_or(i64::MAX)
}

/// A moment from the database.
fn moment(stored: i64) -> UnixMillis {
    UnixMillis(u64::try_from(stored).unwrap_or_default())
}

/// A count from the database.
fn count(stored: i64) -> u32 {
    u32::try_from(stored).unwrap_or(if stored < 0 { 0 } else { u32::MAX })
}
