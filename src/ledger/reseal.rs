//! Seals all secrets and header fields with the first key of the key file, so that its other keys can be removed.

use super::database::{Statement, values};
use super::error::{LedgerError, Result};
use super::handle::Ledger;
use super::sealed_secrets::{Resealed, SealedRow};
use crate::clock::UnixMillis;

/// How many endpoints are read at once.
const BATCH: i64 = 500;

/// Makes a transaction that seals wait for one that reseals, and the other way round. Afterwards [`super::seal::Seal`] sees the
/// new key file, so that nothing is sealed with a key that is about to be removed. (SQLite has one writer.)
pub(super) const BEFORE_SEALING: Statement =
    Statement { sqlite: "SELECT 1", postgres: "LOCK TABLE endpoints IN ROW SHARE MODE" };

const BEFORE_RESEALING: Statement =
    Statement { sqlite: "SELECT 1", postgres: "LOCK TABLE endpoints IN EXCLUSIVE MODE" };

impl Ledger {
    /// Seals everything that endpoints have sealed with the first key of the key file, in one transaction. Returns the number of
    /// endpoints.
    ///
    /// # Errors
    /// [`LedgerError::KeyFile`] if no key of the file opens the secrets of an endpoint; or if it cannot be written. Then nothing
    /// has changed.
    pub async fn reseal(&self, now: UnixMillis) -> Result<usize> {
        const UPDATE: Statement = Statement::same(
            "UPDATE endpoints SET secret = $2, previous_secret = $3, earlier_secrets = $4, headers = $5 WHERE id = $1",
        );
        let mut tx = self.database.begin().await?;
        tx.execute(BEFORE_RESEALING, Vec::new()).await?;
        let (mut after, mut count) = (String::new(), 0);
        loop {
            let rows: Vec<SealedRow> = tx.fetch(SealedRow::AFTER, values![&after, BATCH]).await?;
            let Some(last) = rows.last() else { break };
            after.clone_from(&last.id);
            count += rows.len();
            for row in &rows {
                let Resealed { secret, previous_secret, earlier_secrets, headers } =
                    row.reseal(&self.seal, now).map_err(|error| unopened(&row.id, error))?;
                let values = values![&row.id, secret, previous_secret, earlier_secrets, headers];
                tx.execute(UPDATE, values).await?;
            }
        }
        tx.commit().await?;
        // The log still holds what the old key sealed.
        self.database.scrub_files();
        Ok(count)
    }
}

fn unopened(endpoint: &str, error: LedgerError) -> LedgerError {
    match error {
        LedgerError::Sealed => LedgerError::KeyFile(format!(
            "none of its keys opens the secrets of endpoint {endpoint}: put the missing line back, or remove the endpoint"
        )),
        other => other,
    }
}
