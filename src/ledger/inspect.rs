//! Looks at a database without changing it: whether it can be used, which migrations a start would run, and whether the key
//! file opens its secrets.

use std::path::Path;

use super::database::{Backend, OpenMode, Statement, values};
use super::error::{LedgerError, Result};
use super::handle::{Config, Ledger};
use super::open::{configured_seal, key_file, require_no_secrets, sealed_secrets};
use super::seal::Seal;
use super::sealed_secrets::SealedRow;
use crate::clock::UnixMillis;

/// How many endpoints are read at once.
const BATCH: i64 = 1_000;

/// How many endpoints `/readyz` looks at, at most, while a secret does not open.
const QUICK_LOOK: usize = 10_000;

/// A migration: its number and its name.
pub type MigrationName = (i64, String);

/// What a look at a database has found.
#[derive(Debug, Clone, Default)]
pub struct Inspection {
    /// The number of the last migration of its tables; `None` if it has no tables yet.
    pub tables: Option<i64>,
    /// The migrations that the next start runs.
    pub pending: Vec<MigrationName>,
    /// Whether a pooler stands before the server.
    pub is_pooled: bool,
    /// The number of endpoints with secrets.
    pub endpoints: usize,
    /// The endpoints whose secrets or header fields do not open with the key file.
    pub unopened: Vec<String>,
}

impl Inspection {
    /// The migrations that change existing tables; none for a database that has no tables yet.
    #[must_use]
    pub fn upgrades(&self) -> &[MigrationName] {
        if self.tables.is_some() { &self.pending } else { &[] }
    }
}

impl Ledger {
    /// Checks that the database can be used, and looks at its tables and secrets. Neither migrates tables nor creates a key file.
    ///
    /// # Errors
    /// A [`LedgerError`] that explains the problem.
    pub async fn inspect(config: &Config, now: UnixMillis) -> Result<Inspection> {
        let given = configured_seal(config)?;
        let open = Backend::open(&config.database, OpenMode::Inspect).await?;
        let inspected = inspect_contents(&open, config, given, now).await;
        open.close().await;
        inspected
    }

    /// After a secret did not open: looks whether all do now, because the endpoint was removed or has another secret.
    pub async fn recheck_secrets(&self, now: UnixMillis) {
        if self.seal.has_failed() && self.all_open(now).await.unwrap_or(false) {
            self.seal.set_failed(false);
        }
    }

    /// Whether all secrets open, as far as a quick look tells.
    async fn all_open(&self, now: UnixMillis) -> Result<bool> {
        const FIRST: Statement = SealedRow::AFTER;
        let rows: Vec<SealedRow> = self.database.fetch(FIRST, values!["", QUICK_LOOK]).await?;
        Ok(rows.len() < QUICK_LOOK && rows.iter().all(|row| row.opens(&self.seal, now)))
    }

    /// The migrations that opening the database would run on existing tables.
    ///
    /// # Errors
    /// A [`LedgerError`] that explains why it cannot be opened.
    pub async fn upgrades(config: &Config) -> Result<Vec<MigrationName>> {
        let open = Backend::open(&config.database, OpenMode::Inspect).await?;
        let tables = look_at_tables(&open).await;
        open.close().await;
        tables.map(|found| found.upgrades().to_vec())
    }

    /// Copies a SQLite database as it is at one moment into the empty file `to`, while others use it. Returns what was copied.
    ///
    /// # Errors
    /// A [`LedgerError`] that explains the problem.
    pub async fn copy_file(config: &Config, to: &Path) -> Result<Inspection> {
        let open = Backend::open(&config.database, OpenMode::Inspect).await?;
        let copied = match open.copy_file(to).await {
            Ok(()) => look_at_tables(&open).await,
            Err(error) => Err(error),
        };
        open.close().await;
        copied
    }
}

async fn look_at_tables(open: &Backend) -> Result<Inspection> {
    let (tables, pending) = open.migrations().await?;
    Ok(Inspection { tables, pending, is_pooled: open.is_pooled(), ..Inspection::default() })
}

/// Looks at the tables and the secrets, and checks that the database can be written.
async fn inspect_contents(
    open: &Backend,
    config: &Config,
    given: Option<Seal>,
    now: UnixMillis,
) -> Result<Inspection> {
    let mut found = look_at_tables(open).await?;
    if found.tables.is_none() {
        return Ok(found);
    }
    let path = key_file(config);
    let seal = match given {
        Some(seal) => seal,
        None if path.exists() => Seal::read(&path)?,
        None => {
            require_no_secrets(&path, sealed_secrets(open).await?.len())?;
            return open.probe().await.map(|()| found);
        }
    };
    if found.pending.is_empty() {
        count_all(open, &seal, now, &mut found).await?;
    } else {
        // Older tables lack some of the columns.
        let sealed = sealed_secrets(open).await?;
        found.endpoints = sealed.len();
        let foreign = sealed.into_iter().filter(|(endpoint, secret)| seal.open(secret, endpoint).is_err());
        found.unopened = foreign.map(|(endpoint, _)| endpoint).collect();
    }
    open.probe().await.map(|()| found)
}

async fn count_all(open: &Backend, seal: &Seal, now: UnixMillis, found: &mut Inspection) -> Result<()> {
    const AFTER: Statement = SealedRow::AFTER;
    let mut after = String::new();
    loop {
        let rows: Vec<SealedRow> = open.fetch(AFTER, values![&after, BATCH]).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after.clone_from(&last.id);
        found.endpoints += rows.len();
        found.unopened.extend(rows.into_iter().filter(|row| !row.opens(seal, now)).map(|row| row.id));
    }
}

impl Config {
    /// Why the key file does not fit the database; `None` if it opens all secrets.
    #[must_use]
    pub fn wrong_key(&self, found: &Inspection) -> Option<LedgerError> {
        let foreign = found.unopened.len();
        (foreign > 0).then(|| super::open::wrong_key(&key_file(self), foreign, found.endpoints))
    }
}
