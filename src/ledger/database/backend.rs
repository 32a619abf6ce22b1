//! Wraps an open database of either engine.

use std::path::Path;
use std::sync::Arc;

use super::files::{OpenFiles, prepare};
use super::options::OpenMode;
use super::statement::{Row, Statement, Value, postgres_arguments, sqlite_arguments};
use super::transaction::{Engine, Tx};
use super::url::DatabaseUrl;
use super::{migrate, postgres, sqlite};
use crate::ledger::error::{LedgerError, Result};

/// An open database. Clones share it.
#[derive(Debug, Clone)]
pub(crate) enum Backend {
    Sqlite(sqlite::File),
    Postgres(postgres::Server),
}

impl Backend {
    /// Opens the database and migrates its tables. The file of a SQLite database exists.
    pub(crate) async fn open(url: &DatabaseUrl, mode: OpenMode) -> Result<Self> {
        let backend = match url {
            DatabaseUrl::Sqlite(path) => {
                Self::Sqlite(sqlite::File::open(&prepare(path, OpenMode::Inspect)?, mode).await?)
            }
            DatabaseUrl::Postgres(url) => Self::Postgres(postgres::Server::open(url).await?),
        };
        if let Err(error) = backend.migrate(mode).await {
            backend.close().await;
            return Err(match error {
                LedgerError::Refused(why) => {
                    LedgerError::CannotOpen(format!("its tables cannot be brought up to date: {why}"))
                }
                other => other,
            });
        }
        // Only the migration shows that the file is not another program's.
        if let (Self::Sqlite(file), OpenMode::ReadWrite) = (&backend, mode) {
            file.files.make_private();
        }
        Ok(backend)
    }

    async fn migrate(&self, mode: OpenMode) -> Result<()> {
        migrate::migrate(self.begin_unchecked().await?, self.is_shared(), mode).await
    }

    /// The number of the last migration of its tables, if it has any, and the migrations that they lack.
    pub(crate) async fn migrations(&self) -> Result<migrate::State> {
        migrate::look(self.begin_unchecked().await?, self.is_shared()).await
    }

    /// Whether a pooler stands before the server.
    pub(crate) fn is_pooled(&self) -> bool {
        matches!(self, Self::Postgres(server) if server.pooled)
    }

    /// Copies a SQLite database, as it is at one moment, into the empty file `to`.
    pub(crate) async fn copy_file(&self, to: &Path) -> Result<()> {
        match self {
            Self::Sqlite(file) => file.copy(to).await,
            Self::Postgres(_) => {
                Err(LedgerError::CannotOpen("PostgreSQL is copied by its own pg_dump".to_owned()))
            }
        }
    }

    /// Whether several processes may share it.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    fn files(&self) -> Option<Arc<OpenFiles>> {
        match self {
            Self::Sqlite(file) => Some(Arc::clone(&file.files)),
            Self::Postgres(_) => None,
        }
    }

    /// Checks that the open files are still at their paths.
    pub(crate) fn check_files(&self) -> Result<()> {
        match self {
            // The last connection removes the write-ahead log when it closes.
            Self::Sqlite(file) if file.writer.is_closed() => Ok(()),
            Self::Sqlite(file) => file.files.check(),
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Checks that the database can be read and written now.
    pub(crate) async fn probe(&self) -> Result<()> {
        self.check_files()?;
        match self {
            // On a full disk, a transaction that writes nothing succeeds.
            Self::Sqlite(_) => {
                let mut tx = self.begin_unchecked().await?;
                tx.execute(migrate::NO_OP_WRITE, Vec::new()).await?;
                tx.commit().await
            }
            Self::Postgres(server) => server.probe().await,
        }
    }

    pub(crate) async fn fetch<T: Row>(&self, statement: Statement, values: Vec<Value>) -> Result<Vec<T>> {
        match self {
            Self::Sqlite(file) => {
                let query = sqlx::query_as_with(statement.sqlite, sqlite_arguments(values)?);
                query.fetch_all(&file.readers).await.map_err(|error| file.classify(&error))
            }
            Self::Postgres(server) if !server.pooled => {
                let query = sqlx::query_as_with(statement.postgres, postgres_arguments(values)?);
                server.within(query.fetch_all(&server.readers)).await
            }
            Self::Postgres(_) => {
                let mut tx = self.begin_unchecked().await?;
                let rows = tx.fetch(statement, values).await?;
                tx.commit().await.map(|()| rows)
            }
        }
    }

    pub(crate) async fn execute(&self, statement: Statement, values: Vec<Value>) -> Result<u64> {
        match self {
            Self::Sqlite(file) => {
                let query = sqlx::query_with(statement.sqlite, sqlite_arguments(values)?);
                let done = query.execute(&file.writer).await;
                done.map(|done| done.rows_affected()).map_err(|error| file.classify(&error))
            }
            Self::Postgres(server) if !server.pooled => {
                let query = sqlx::query_with(statement.postgres, postgres_arguments(values)?);
                server.within(query.execute(&server.writers)).await.map(|done| done.rows_affected())
            }
            Self::Postgres(_) => {
                let mut tx = self.begin_unchecked().await?;
                let changed = tx.execute(statement, values).await?;
                tx.commit().await.map(|()| changed)
            }
        }
    }

    /// Runs a write in one transaction and returns its rows. PostgreSQL commits it without being asked: that saves two
    /// round trips (rows *paced* and *hundred* of the sender's benchmark).
    pub(crate) async fn write<T: Row>(
        &self,
        write: Statement,
        values: Vec<Value>,
        checked: bool,
    ) -> Result<Vec<T>> {
        if let Self::Postgres(server) = self
            && !server.pooled
        {
            return server.write(write.postgres, postgres_arguments(values)?).await;
        }
        let mut tx = if checked { self.begin().await? } else { self.begin_unchecked().await? };
        let rows = tx.fetch(write, values).await?;
        tx.commit().await.map(|()| rows)
    }

    /// Begins a transaction that checks the files before it begins and when it commits.
    pub(super) async fn begin(&self) -> Result<Tx> {
        self.check_files()?;
        Ok(Tx { check_on_commit: self.files(), ..self.begin_unchecked().await? })
    }

    pub(super) async fn begin_unchecked(&self) -> Result<Tx> {
        let engine = match self {
            Self::Sqlite(file) => Engine::Sqlite(file.begin().await?, file.clone()),
            Self::Postgres(server) => Engine::Postgres(server.begin().await?, server.clone()),
        };
        Ok(Tx { engine, check_on_commit: None, notified: None })
    }

    /// Closes every connection.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(file) => file.close().await,
            Self::Postgres(server) => server.close().await,
        }
    }
}
