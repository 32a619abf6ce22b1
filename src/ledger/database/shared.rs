//! Shares a ledger's database, which may be opened after the ledger was created.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::watch;

use super::backend::Backend;
use super::statement::{Row, Statement, Value};
use super::transaction::Tx;
use super::url::DatabaseUrl;
use crate::ledger::error::{LedgerError, Result};

/// A database: open, or not yet. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Database(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    is_shared: bool,
    backend: OnceLock<Backend>,
    /// Why it is not open yet.
    open_error: Mutex<LedgerError>,
    /// Notices of writes.
    written: watch::Sender<()>,
}

impl Database {
    /// A database that is not open yet.
    pub(crate) fn unopened(url: &DatabaseUrl) -> Self {
        let not_yet = LedgerError::Unavailable("it is not open yet".to_owned());
        Self(Arc::new(Shared {
            is_shared: url.path().is_none(),
            backend: OnceLock::new(),
            open_error: Mutex::new(not_yet),
            written: watch::Sender::new(()),
        }))
    }

    /// Makes the database available to callers.
    pub(crate) fn set_open(&self, backend: Backend) {
        let _ = self.0.backend.set(backend);
    }

    /// Sets the error that callers get until the database is open.
    pub(crate) fn set_open_error(&self, error: &LedgerError) {
        *self.0.open_error.lock().unwrap_or_else(PoisonError::into_inner) = error.clone();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.backend.get().is_some()
    }

    pub(crate) fn get(&self) -> Result<&Backend> {
        let why = || self.0.open_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.0.backend.get().ok_or_else(why)
    }

    /// Whether several processes may share it.
    pub(crate) fn is_shared(&self) -> bool {
        self.0.is_shared
    }

    /// Runs a reading statement outside any transaction.
    pub(crate) async fn fetch<T: Row>(&self, statement: Statement, values: Vec<Value>) -> Result<Vec<T>> {
        self.get()?.fetch(statement, values).await
    }

    /// Runs a writing statement in a transaction. Returns how many rows it changed.
    pub(crate) async fn execute(&self, statement: Statement, values: Vec<Value>) -> Result<u64> {
        if self.0.is_shared {
            return self.execute_unchecked(statement, values).await;
        }
        let mut tx = self.begin().await?;
        let changed = tx.execute(statement, values).await?;
        tx.commit().await.map(|()| changed)
    }

    /// Like [`Database::execute`], for the sender's writes: see [`Database::begin_unchecked`].
    pub(crate) async fn execute_unchecked(&self, statement: Statement, values: Vec<Value>) -> Result<u64> {
        self.notifying(self.get()?.execute(statement, values).await)
    }

    /// Runs a write on whose result a caller relies. The database commits it before this returns: see [`Database::begin`].
    pub(crate) async fn write<T: Row>(&self, write: Statement, values: Vec<Value>) -> Result<Vec<T>> {
        self.notifying(self.get()?.write(write, values, true).await)
    }

    /// Like [`Database::write`], for the sender's writes: see [`Database::begin_unchecked`].
    pub(crate) async fn write_unchecked<T: Row>(
        &self,
        write: Statement,
        values: Vec<Value>,
    ) -> Result<Vec<T>> {
        self.notifying(self.get()?.write(write, values, false).await)
    }

    /// Begins a transaction on whose result a caller relies. It fails if another file is at the database's path: the
    /// next start would open that file, which lacks the data written here.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        self.get()?.begin().await.map(|tx| tx.notifying(&self.0.written))
    }

    /// Begins a transaction of the sender. It uses the open file even if another file is at its path, because accepted
    /// events must be delivered.
    pub(crate) async fn begin_unchecked(&self) -> Result<Tx> {
        self.get()?.begin_unchecked().await.map(|tx| tx.notifying(&self.0.written))
    }

    /// Receives a notice after each write of this process.
    pub(crate) fn writes(&self) -> watch::Receiver<()> {
        self.0.written.subscribe()
    }

    fn notifying<T>(&self, written: Result<T>) -> Result<T> {
        self.0.written.send_replace(());
        written
    }

    /// Schedules the removal of erased data from the write-ahead log. (PostgreSQL relies on its VACUUM.)
    pub(crate) fn scrub_files(&self) {
        if let Some(Backend::Sqlite(file)) = self.0.backend.get() {
            file.scrub();
        }
    }

    /// Closes every connection.
    pub(crate) async fn close(&self) {
        if let Some(backend) = self.0.backend.get() {
            backend.close().await;
        }
    }
}
