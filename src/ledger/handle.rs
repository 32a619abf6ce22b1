//! Defines the ledger's handle, which callers share.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::attempt::FinishedAttempt;
use super::audit_entry::{Acting, AuditSink};
use super::database::{Database, DatabaseUrl};
use super::error::{LedgerError, Result};
use super::event::NewEvent;
use super::seal::Seal;
use super::search::SearchLimiter;
use super::store_event::Stored;
use super::writer::Writer;

/// With less free space than this, a disk is almost full.
const LITTLE_SPACE: u64 = 64 << 20;

/// The location of the ledger, and of the key of its secrets.
#[derive(Debug, Clone)]
pub struct Config {
    /// The database.
    pub database: DatabaseUrl,
    /// The key file. `None` means a file beside the SQLite file, which is created if missing.
    pub secret_key_file: Option<PathBuf>,
}

/// The ledger. Clones share it.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(super) database: Database,
    pub(super) seal: Seal,
    pub(super) events: Writer<Arc<NewEvent>, Option<Stored>>,
    pub(super) finished: Writer<FinishedAttempt, ()>,
    pub(super) search_limiter: SearchLimiter,
    /// Held while a test event is counted and written.
    pub(super) test_lock: Arc<tokio::sync::Mutex<()>>,
    /// The lock file of the one process that sends from a SQLite file.
    pub(super) sender_lock: Arc<std::sync::Mutex<Option<File>>>,
    /// Held by the task that opens the ledger.
    pub(super) opening: Arc<tokio::sync::Mutex<()>>,
    pub(super) config: Arc<Config>,
    /// Who uses this handle; what it changes is recorded.
    pub(super) acting: Option<Arc<Acting>>,
    pub(super) audit_sink: Option<AuditSink>,
}

impl Ledger {
    /// Checks that the database is open, answers, and can be written.
    ///
    /// # Errors
    /// A [`LedgerError`] that explains the problem.
    pub async fn probe(&self) -> Result<()> {
        self.database.get()?.probe().await
    }

    /// Checks that a SQLite database's open files are still at their paths. This check is cheap.
    ///
    /// # Errors
    /// [`LedgerError::Replaced`] if they are not.
    pub fn check_files(&self) -> Result<()> {
        self.database.get()?.check_files()
    }

    /// Receives a notice after each write of this process.
    #[must_use]
    pub fn writes(&self) -> watch::Receiver<()> {
        self.database.writes()
    }

    /// Whether other processes may write it too.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.database.is_shared()
    }

    /// The reason why the ledger is not open yet; `None` if it is open.
    #[must_use]
    pub fn open_error(&self) -> Option<LedgerError> {
        self.database.get().err()
    }

    /// Why an operator should look although the database works; `None` if all is well.
    #[must_use]
    pub fn warning(&self) -> Option<&'static str> {
        let path = self.config.database.path();
        let disk = path.and_then(|path| rustix::fs::statvfs(path).ok());
        if disk.is_some_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < LITTLE_SPACE) {
            return Some("their database's disk is almost full");
        }
        self.seal
            .has_failed()
            .then_some("the key file does not open the secrets of some endpoints; see `check`")
    }

    /// Closes every connection after writes in flight complete.
    pub async fn close(&self) {
        self.database.close().await;
    }
}
