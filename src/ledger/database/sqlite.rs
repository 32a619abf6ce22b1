//! A database in one file: one connection writes, several read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Sqlite, SqlitePool, Transaction};

use super::eviction::Condemned;
use super::files::OpenFiles;
use super::{Opening, PATIENCE, READERS};
use crate::ledger::error::LedgerError;
use crate::tasks::{self, Task};

/// How long emptying the write-ahead log keeps the writer from its work while it waits for readers.
const SHORT_PATIENCE: Duration = Duration::from_millis(200);

/// Between two times of emptying the log, and between two tries: a thousand erasures in a row need it a few times.
const BETWEEN: Duration = Duration::from_millis(300);

/// How long the end of the program waits for the log to be emptied.
const AT_THE_END: Duration = Duration::from_secs(2);

/// An open file. Clones share it.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct File {
    pub(super) readers: SqlitePool,
    pub(super) writer: SqlitePool,
    condemned: Condemned,
    pub(super) files: Arc<OpenFiles>,
    forgotten: Arc<Forgotten>,
}

/// Whether something was forgotten whose traces are still in the write-ahead log.
#[derive(Debug, Default)]
struct Forgotten {
    traces: AtomicBool,
    /// Whether a task is removing them.
    under_way: AtomicBool,
}

impl File {
    /// Opens the file at its full path, which exists, with one connection for each that will be needed: one that is opened
    /// later could meet another file.
    pub(super) async fn open(path: &Path, opening: Opening) -> Result<Self, LedgerError> {
        let failed =
            |error: &sqlx::Error| LedgerError::opening(&format!("the file {}", path.display()), error);
        let condemned = Condemned::default();
        let options = options(path, opening);
        let writer =
            writer_pool(&condemned).connect_with(options.clone()).await.map_err(|error| failed(&error))?;
        let readers = pool(READERS).connect_with(options).await.map_err(|error| failed(&error))?;
        open_all(&readers).await.map_err(|error| failed(&error))?;
        Ok(Self {
            readers,
            writer,
            condemned,
            files: Arc::new(OpenFiles::of(path)),
            forgotten: Arc::default(),
        })
    }

    /// Begins a transaction that will write.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, LedgerError> {
        // IMMEDIATE takes the write lock at once: a lock that is upgraded halfway can fail at the end.
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.judge(&error))
    }

    /// What an error means; the writing connection is opened anew where it will not work again: one that was opened while
    /// the file system was read-only stays read-only.
    pub(super) fn judge(&self, error: &sqlx::Error) -> LedgerError {
        let judged = LedgerError::from(error);
        if matches!(judged, LedgerError::ReadOnly(_)) {
            self.condemned.all_until_now();
        }
        judged
    }

    /// Has the traces of what was forgotten removed soon: a page that was overwritten in the file may have an older copy in
    /// the write-ahead log, which is emptied only when it has grown.
    pub(super) fn forget_traces(&self) {
        self.forgotten.traces.store(true, Ordering::Release);
        if !self.forgotten.under_way.swap(true, Ordering::AcqRel) {
            tasks::spawn(Task::LedgerErasure, self.clone().remove_traces());
        }
    }

    async fn remove_traces(self) {
        while !self.writer.is_closed() {
            if let Err(error) = self.empty_log().await {
                tracing::debug!(%error, "the write-ahead log could not be emptied yet");
            }
            tokio::time::sleep(BETWEEN).await;
            if self.forgotten.traces.load(Ordering::Acquire) {
                continue;
            }
            self.forgotten.under_way.store(false, Ordering::Release);
            // What was forgotten between the two lines above has found somebody at work.
            let more = self.forgotten.traces.load(Ordering::Acquire);
            if !more || self.forgotten.under_way.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }

    /// Writes the write-ahead log into the file and cuts it to nothing, once. Whether it worked shows in `traces`.
    async fn empty_log(&self) -> Result<(), LedgerError> {
        self.files.check()?;
        let mut connection = self.writer.acquire().await.map_err(|error| self.judge(&error))?;
        // What is forgotten from here on needs another round.
        self.forgotten.traces.store(false, Ordering::Release);
        let emptied = checkpoint(&mut connection).await;
        if !matches!(emptied, Ok(true)) {
            self.forgotten.traces.store(true, Ordering::Release);
        }
        emptied.map(|_| ()).map_err(|error| self.judge(&error))
    }

    /// Ends every connection.
    pub(super) async fn close(&self) {
        let empty = async {
            while self.forgotten.traces.load(Ordering::Acquire) && self.empty_log().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(AT_THE_END, empty).await;
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Whether the log is empty now.
async fn checkpoint(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    busy_timeout(connection, SHORT_PATIENCE).await?;
    let done: Result<(i64, i64, i64), _> =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await;
    busy_timeout(connection, PATIENCE).await?;
    done.map(|(busy, _, _)| busy == 0)
}

async fn busy_timeout(connection: &mut SqliteConnection, patience: Duration) -> Result<(), sqlx::Error> {
    let pragma = format!("PRAGMA busy_timeout = {}", patience.as_millis());
    sqlx::raw_sql(sqlx::AssertSqlSafe(pragma)).execute(connection).await.map(|_| ())
}

fn options(path: &Path, opening: Opening) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(PathBuf::from(path))
        .foreign_keys(true)
        // What is forgotten is overwritten, not left in free pages.
        .pragma("secure_delete", "ON")
        .busy_timeout(PATIENCE);
    match opening {
        Opening::ToLook => options,
        // WAL with a full sync: a commit is on disk before it is answered, and readers never wait for the writer.
        Opening::ToUse => options
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
        .acquire_timeout(PATIENCE)
}

/// SQLite has one writer at a time, so there is one connection for it, and queueing happens in its pool.
fn writer_pool(condemned: &Condemned) -> SqlitePoolOptions {
    let (before, after) = (condemned.clone(), condemned.clone());
    // When the disk is full, SQLite ends the transaction by itself, the driver's own ROLLBACK then fails, and the driver
    // takes the connection for one inside a transaction for ever after: such a connection is given up.
    pool(1)
        .before_acquire(move |_, connected| {
            let condemned = before.covers(connected.age);
            Box::pin(async move { Ok(!condemned) })
        })
        .after_release(move |connection, connected| {
            let condemned = after.covers(connected.age);
            Box::pin(async move {
                connection.ping().await?;
                Ok(!condemned && !connection.is_in_transaction())
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
