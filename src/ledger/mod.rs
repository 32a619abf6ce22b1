//! The database: endpoints and their secrets, events, deliveries and every attempt. What is accepted is on disk before
//! anybody is told so; what is due is given to one sender at a time, under a lease.

mod accept;
mod claim;
mod clock_step;
mod database;
mod endpoints;
mod erasure;
mod error;
mod finish;
mod health;
mod history;
mod link_opened;
mod name;
mod open;
mod overview;
mod portal_link;
mod redelivery;
mod removal;
mod seal;
mod search;
mod secrets;
mod test_events;
mod writer;

pub use accept::{Accepted, NewEvent};
pub use claim::{Claimed, Lane, Lease, Queue, Share};
pub use database::{DatabaseUrl, DatabaseUrlError};
pub use endpoints::{Endpoint, EndpointChange, EndpointState, NewEndpoint, Notice};
pub use error::LedgerError;
pub use finish::{Disposition, FinishedAttempt, Requeue};
pub use health::{Failure, Health};
pub use history::{Attempt, Backlog, Delivery, DeliveryFilter, DeliveryState, HistoryPage};
pub use link_opened::LinkOpened;
pub use name::{is_description, is_name, name_in_path};
pub use open::exposed_files;
pub use overview::{RecoveryProgress, WorkspaceSummary};
pub use redelivery::{RecoverRange, ResendOutcome};
pub use removal::RESTORE_WINDOW;
pub use secrets::{DEFAULT_OVERLAP, MAX_PREVIOUS_SECRETS, Rotation, Secrets};
pub use test_events::{MAX_TESTS_PER_ENDPOINT, MAX_TESTS_PER_WORKSPACE, TestOutcome};

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

/// The ledger. Clones share it.
#[derive(Debug, Clone)]
pub struct Ledger {
    database: Database,
    seal: Seal,
    events: Writer<NewEvent, Option<Accepted>>,
    finished: Writer<FinishedAttempt, ()>,
    search_limiter: search::SearchLimiter,
    /// Held while a test event is counted and written.
    test_lock: Arc<tokio::sync::Mutex<()>>,
    /// Held while a sender works on a SQLite file.
    sender_lock: Arc<std::sync::Mutex<Option<File>>>,
    /// It is opened by one task at a time.
    opening: Arc<tokio::sync::Mutex<()>>,
    config: Arc<Config>,
}

impl Ledger {
    /// Whether the database is open, answers, and can be written.
    ///
    /// # Errors
    /// [`LedgerError`] says why not.
    pub async fn probe(&self) -> Result<(), LedgerError> {
        self.database.get()?.probe().await
    }

    /// Whether a SQLite database's files are still those that are open. Costs next to nothing.
    ///
    /// # Errors
    /// [`LedgerError::Replaced`] if not.
    pub fn check_files(&self) -> Result<(), LedgerError> {
        self.database.get()?.check_files()
    }

    /// Why it is not open yet; `None` if it is.
    #[must_use]
    pub fn open_error(&self) -> Option<LedgerError> {
        self.database.get().err()
    }

    /// Ends every connection, after what is being written.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

/// Where the key of the secrets is, for a SQLite file, unless the settings name another place.
#[must_use]
pub fn default_key_file(database: &Path) -> PathBuf {
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
