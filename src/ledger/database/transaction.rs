//! Runs transactions in either engine.

use std::sync::Arc;

use sqlx::{Postgres, SqlStr, Sqlite, Transaction};
use tokio::sync::watch;

use super::files::OpenFiles;
use super::statement::{Row, Statement, Value, postgres_arguments, sqlite_arguments};
use super::{postgres, sqlite};
use crate::ledger::error::Result;

/// A transaction; dropping it without [`Tx::commit`] rolls it back.
#[derive(Debug)]
pub(crate) struct Tx {
    pub(super) engine: Engine,
    /// The files that must still be at their paths on commit.
    pub(super) check_on_commit: Option<Arc<OpenFiles>>,
    /// Gets a notice after the commit.
    pub(super) notified: Option<watch::Sender<()>>,
}

#[derive(Debug)]
pub(super) enum Engine {
    Sqlite(Transaction<'static, Sqlite>, sqlite::File),
    Postgres(Transaction<'static, Postgres>, postgres::Server),
}

impl Tx {
    /// Sends a notice after the commit.
    pub(super) fn notifying(self, notified: &watch::Sender<()>) -> Self {
        Self { notified: Some(notified.clone()), ..self }
    }

    /// Runs a statement and returns its rows.
    pub(crate) async fn fetch<T: Row>(&mut self, statement: Statement, values: Vec<Value>) -> Result<Vec<T>> {
        match &mut self.engine {
            Engine::Sqlite(tx, file) => {
                let query = sqlx::query_as_with(statement.sqlite, sqlite_arguments(values)?);
                query.fetch_all(&mut **tx).await.map_err(|error| file.classify(&error))
            }
            Engine::Postgres(tx, server) => {
                let query = sqlx::query_as_with(statement.postgres, postgres_arguments(values)?);
                server.within(query.persistent(!server.pooled).fetch_all(&mut **tx)).await
            }
        }
    }

    /// Runs a statement and returns how many rows it changed.
    pub(crate) async fn execute(&mut self, statement: Statement, values: Vec<Value>) -> Result<u64> {
        match &mut self.engine {
            Engine::Sqlite(tx, file) => {
                let query = sqlx::query_with(statement.sqlite, sqlite_arguments(values)?);
                let done = query.execute(&mut **tx).await;
                done.map(|done| done.rows_affected()).map_err(|error| file.classify(&error))
            }
            Engine::Postgres(tx, server) => {
                let query = sqlx::query_with(statement.postgres, postgres_arguments(values)?);
                let done = server.within(query.persistent(!server.pooled).execute(&mut **tx)).await;
                done.map(|done| done.rows_affected())
            }
        }
    }

    /// Runs a script of several statements.
    pub(super) async fn run_script(&mut self, script: SqlStr) -> Result<()> {
        match &mut self.engine {
            Engine::Sqlite(tx, file) => {
                let done = sqlx::raw_sql(script).execute(&mut **tx).await;
                done.map(|_| ()).map_err(|error| file.classify(&error))
            }
            Engine::Postgres(tx, server) => {
                server.within(sqlx::raw_sql(script).execute(&mut **tx)).await.map(|_| ())
            }
        }
    }

    /// Commits. The data is on disk when this returns.
    pub(crate) async fn commit(self) -> Result<()> {
        let Self { engine, check_on_commit, notified } = self;
        let check = || check_on_commit.as_ref().map_or(Ok(()), |files| files.check());
        check()?;
        match engine {
            Engine::Sqlite(tx, file) => tx.commit().await.map_err(|error| file.classify(&error))?,
            Engine::Postgres(tx, server) => server.within(tx.commit()).await?,
        }
        if let Some(notified) = notified {
            notified.send_replace(());
        }
        // The file may have been replaced during the commit.
        check()
    }
}
