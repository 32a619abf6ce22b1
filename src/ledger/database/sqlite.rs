//! A database in one file: one connection writes, several read.

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
use super::{OpenMode, READERS, TIMEOUT};
use crate::ledger::error::LedgerError;
use crate::tasks::{self, Task};

/// How long emptying the write-ahead log keeps the writer from its work while it waits for readers.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_millis(200);

/// Between two times of emptying the log, and between two tries: a thousand erasures in a row need it a few times.
const SCRUB_INTERVAL: Duration = Duration::from_millis(300);

/// How long the end of the program waits for the log to be emptied.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// An open file. Clones share it.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct File {
    pub(super) readers: SqlitePool,
    pub(super) writer: SqlitePool,
    eviction: Eviction,
    pub(super) files: Arc<OpenFiles>,
    erased: Arc<Scrubbing>,
}

/// Whether something was forgotten whose traces are still in the write-ahead log.
#[derive(Debug, Default)]
struct Scrubbing {
    pending: AtomicBool,
    /// Whether a task is removing them.
    running: AtomicBool,
}

impl File {
    /// Opens the file at its full path, which exists, with one connection for each that will be needed: one that is opened
    /// later could meet another file.
    pub(super) async fn open(path: &Path, mode: OpenMode) -> Result<Self, LedgerError> {
        let failed =
            |error: &sqlx::Error| LedgerError::opening(&format!("the file {}", path.display()), error);
        let eviction = Eviction::default();
        let options = options(path, mode);
        let writer =
            writer_pool(&eviction).connect_with(options.clone()).await.map_err(|error| failed(&error))?;
        let readers = pool(READERS).connect_with(options).await.map_err(|error| failed(&error))?;
        open_all(&readers).await.map_err(|error| failed(&error))?;
        Ok(Self { readers, writer, eviction, files: Arc::new(OpenFiles::of(path)), erased: Arc::default() })
    }

    /// Begins a transaction that will write.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, LedgerError> {
        // IMMEDIATE takes the write lock at once: a lock that is upgraded halfway can fail at the end.
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.classify(&error))
    }

    /// What an error means; the writing connection is opened anew where it will not work again: one that was opened while
    /// the file system was read-only stays read-only.
    pub(super) fn classify(&self, error: &sqlx::Error) -> LedgerError {
        let classified = LedgerError::from(error);
        if matches!(classified, LedgerError::ReadOnly(_)) {
            self.eviction.evict_all();
        }
        classified
    }

    /// Has the traces of what was forgotten removed soon: a page that was overwritten in the file may have an older copy in
    /// the write-ahead log, which is emptied only when it has grown.
    pub(super) fn scrub_files(&self) {
        self.erased.pending.store(true, Ordering::Release);
        if !self.erased.running.swap(true, Ordering::AcqRel) {
            tasks::spawn(Task::LedgerErasure, self.clone().scrub_until_done());
        }
    }

    async fn scrub_until_done(self) {
        while !self.writer.is_closed() {
            if let Err(error) = self.truncate_log().await {
                tracing::debug!(%error, "the write-ahead log could not be emptied yet");
            }
            tokio::time::sleep(SCRUB_INTERVAL).await;
            if self.erased.pending.load(Ordering::Acquire) {
                continue;
            }
            self.erased.running.store(false, Ordering::Release);
            // What was forgotten between the two lines above has found somebody at work.
            let more = self.erased.pending.load(Ordering::Acquire);
            if !more || self.erased.running.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }

    /// Writes the write-ahead log into the file and cuts it to nothing, once. Whether it worked shows in `pending`.
    async fn truncate_log(&self) -> Result<(), LedgerError> {
        self.files.check()?;
        let mut connection = self.writer.acquire().await.map_err(|error| self.classify(&error))?;
        // What is forgotten from here on needs another round.
        self.erased.pending.store(false, Ordering::Release);
        let emptied = checkpoint(&mut connection).await;
        if !matches!(emptied, Ok(true)) {
            self.erased.pending.store(true, Ordering::Release);
        }
        emptied.map(|_| ()).map_err(|error| self.classify(&error))
    }

    /// Ends every connection.
    pub(super) async fn close(&self) {
        let empty = async {
            while self.erased.pending.load(Ordering::Acquire) && self.truncate_log().await.is_ok() {
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
        // What is forgotten is overwritten, not left in free pages.
        .pragma("secure_delete", "ON")
        .busy_timeout(TIMEOUT);
    match mode {
        OpenMode::Inspect => options,
        // WAL with a full sync: a commit is on disk before it is answered, and readers never wait for the writer.
        OpenMode::ReadWrite => options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full),
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    // A connection of SQLite does not go stale; closing it would only cost its statement cache.
    SqlitePoolOptions::new()
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(TIMEOUT)
}

/// SQLite has one writer at a time, so there is one connection for it, and queueing happens in its pool.
fn writer_pool(eviction: &Eviction) -> SqlitePoolOptions {
    let (before, after) = (eviction.clone(), eviction.clone());
    // When the disk is full, SQLite ends the transaction by itself, the driver's own ROLLBACK then fails, and the driver
    // takes the connection for one inside a transaction for ever after: such a connection is given up.
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
        // The files are opened when something is read.
        sqlx::query("SELECT count(*) FROM sqlite_master").execute(&mut *connection).await?;
        all.push(connection);
    }
    Ok(())
}
