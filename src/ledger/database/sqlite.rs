//! Opens a SQLite database in one file: one connection writes, several read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Sqlite, SqlitePool, Transaction};

use super::eviction::Eviction;
use super::files::OpenFiles;
use super::options::{OpenMode, READERS, TIMEOUT};
use crate::ledger::error::{LedgerError, Result};
use crate::tasks::{self, Task};

/// How long a checkpoint may block the writer while it waits for readers.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_millis(200);

/// The pause between two checkpoints, so that a thousand erasures in a row need only a few.
const SCRUB_INTERVAL: Duration = Duration::from_millis(300);

/// How long closing waits for the last checkpoint.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// An open file. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(super) readers: SqlitePool,
    pub(super) writer: SqlitePool,
    eviction: Eviction,
    pub(super) files: Arc<OpenFiles>,
    scrubbing: Arc<Scrubbing>,
}

/// Whether the write-ahead log still holds erased data.
#[derive(Debug, Default)]
struct Scrubbing {
    pending: AtomicBool,
    /// Whether a task is removing it.
    running: AtomicBool,
}

impl File {
    /// Opens the existing file at its full path, with all connections of its pools: a connection that is opened later
    /// could open a different file.
    pub(super) async fn open(path: &Path, mode: OpenMode) -> Result<Self> {
        let failed =
            |error: &sqlx::Error| LedgerError::opening(&format!("the file {}", path.display()), error);
        let eviction = Eviction::default();
        let options = options(path, mode);
        let writer =
            writer_pool(&eviction).connect_with(options.clone()).await.map_err(|error| failed(&error))?;
        let readers = pool(READERS).connect_with(options).await.map_err(|error| failed(&error))?;
        open_all(&readers).await.map_err(|error| failed(&error))?;
        Ok(Self {
            readers,
            writer,
            eviction,
            files: Arc::new(OpenFiles::of(path)),
            scrubbing: Arc::default(),
        })
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        // IMMEDIATE takes the write lock now, because upgrading a read lock later can fail.
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.classify(&error))
    }

    /// Copies the database, as it is at one moment, into the empty file `to`. Others may read and write meanwhile. The copy has no
    /// free pages, and so nothing that was deleted.
    pub(super) async fn copy(&self, to: &Path) -> Result<()> {
        let to = to
            .to_str()
            .ok_or_else(|| LedgerError::CannotOpen("the path of the copy is not UTF-8".to_owned()))?;
        let copied = sqlx::query("VACUUM INTO ?").bind(to.to_owned()).execute(&self.readers).await;
        copied.map(|_| ()).map_err(|error| self.classify(&error))
    }

    /// Classifies an error. Evicts the writing connection after a read-only error: a connection that was opened on a
    /// read-only file system stays read-only.
    pub(super) fn classify(&self, error: &sqlx::Error) -> LedgerError {
        let classified = LedgerError::from(error);
        if matches!(classified, LedgerError::ReadOnly(_)) {
            self.eviction.evict_all();
        }
        classified
    }

    /// Schedules the removal of erased data from the write-ahead log. The log may contain older copies of pages that
    /// were overwritten in the file, and SQLite truncates it only when it is large.
    pub(super) fn scrub(&self) {
        self.scrubbing.pending.store(true, Ordering::Release);
        if !self.scrubbing.running.swap(true, Ordering::AcqRel) {
            tasks::spawn(Task::LedgerErasure, self.clone().scrub_until_done());
        }
    }

    async fn scrub_until_done(self) {
        while !self.writer.is_closed() {
            if let Err(error) = self.truncate_log().await {
                tracing::debug!(%error, "the write-ahead log could not be emptied yet");
            }
            tokio::time::sleep(SCRUB_INTERVAL).await;
            if self.scrubbing.pending.load(Ordering::Acquire) {
                continue;
            }
            self.scrubbing.running.store(false, Ordering::Release);
            // An erasure between the two lines above saw `running` set, and started no other task.
            let more = self.scrubbing.pending.load(Ordering::Acquire);
            if !more || self.scrubbing.running.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }

    /// Runs one checkpoint that truncates the write-ahead log. If it fails, `pending` stays set.
    async fn truncate_log(&self) -> Result<()> {
        self.files.check()?;
        let mut connection = self.writer.acquire().await.map_err(|error| self.classify(&error))?;
        // An erasure from here on needs another checkpoint.
        self.scrubbing.pending.store(false, Ordering::Release);
        let emptied = checkpoint(&mut connection).await;
        if !matches!(emptied, Ok(true)) {
            self.scrubbing.pending.store(true, Ordering::Release);
        }
        emptied.map(|_| ()).map_err(|error| self.classify(&error))
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        let empty = async {
            while self.scrubbing.pending.load(Ordering::Acquire) && self.truncate_log().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, empty).await;
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Whether the log is empty now.
async fn checkpoint(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    busy_timeout(connection, CHECKPOINT_TIMEOUT).await?;
    let done: Result<(i64, i64, i64), _> =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await;
    busy_timeout(connection, TIMEOUT).await?;
    done.map(|(busy, _, _)| busy == 0)
}

async fn busy_timeout(connection: &mut SqliteConnection, timeout: Duration) -> Result<(), sqlx::Error> {
    let pragma = format!("PRAGMA busy_timeout = {}", timeout.as_millis());
    sqlx::raw_sql(sqlx::AssertSqlSafe(pragma)).execute(connection).await.map(|_| ())
}

fn options(path: &Path, mode: OpenMode) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(PathBuf::from(path))
        .foreign_keys(true)
        // Overwrites deleted rows instead of leaving them in free pages.
        .pragma("secure_delete", "ON")
        .busy_timeout(TIMEOUT);
    match mode {
        OpenMode::Inspect => options,
        // WAL with a full sync: a commit returns once it is on disk, and readers never wait for the writer.
        OpenMode::ReadWrite => options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full),
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    // A SQLite connection does not go stale. Closing it would only lose its statement cache.
    SqlitePoolOptions::new()
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(TIMEOUT)
}

/// SQLite allows one writer at a time, so one connection writes, and callers queue in its pool.
fn writer_pool(eviction: &Eviction) -> SqlitePoolOptions {
    let (before, after) = (eviction.clone(), eviction.clone());
    // On a full disk, SQLite ends the transaction itself. The driver's ROLLBACK then fails, and the driver considers
    // the connection to be in a transaction forever. Such a connection is closed.
    pool(1)
        .before_acquire(move |_, connected| {
            let eviction = before.includes(connected.age);
            Box::pin(async move { Ok(!eviction) })
        })
        .after_release(move |connection, connected| {
            let eviction = after.includes(connected.age);
            Box::pin(async move {
                connection.ping().await?;
                Ok(!eviction && !connection.is_in_transaction())
            })
        })
}

/// Opens every connection of a pool.
async fn open_all(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    let mut all = Vec::new();
    for _ in 0..READERS {
        let mut connection = pool.acquire().await?;
        // SQLite opens its files at the first read.
        sqlx::query("SELECT count(*) FROM sqlite_master").execute(&mut *connection).await?;
        all.push(connection);
    }
    Ok(())
}
