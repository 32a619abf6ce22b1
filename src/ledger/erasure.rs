//! Payloads and history are personal data: they go when their time has come, or when somebody asks, and within seconds
//! their traces in the files go too.

use super::database::{Statement, values};
use super::{Ledger, LedgerError, stored};
use crate::clock::UnixMillis;

/// How many events are forgotten in one transaction: others want to write too.
const BATCH: i64 = 500;

/// Deliveries and attempts go with their event.
const PURGE_EVENTS: Statement = Statement::same(
    "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE accepted_at < $1 ORDER BY accepted_at LIMIT $2)",
);

impl Ledger {
    /// Forgets every event that was accepted before `moment`, with its history; says how many.
    ///
    /// # Errors
    /// [`LedgerError`] if the database fails; what was forgotten before stays forgotten.
    pub async fn purge_before(&self, moment: UnixMillis) -> Result<u64, LedgerError> {
        const PURGE_NOTICES: Statement = Statement::same("DELETE FROM notices WHERE at < $1");
        const PURGE_ENDPOINTS: Statement = Statement::same(
            "DELETE FROM endpoints WHERE removed_at < $1 \
             AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.endpoint_id = endpoints.id)",
        );
        let mut erased = 0;
        loop {
            let some = self.database.execute(PURGE_EVENTS, values![stored(moment), BATCH]).await?;
            erased += some;
            if some == 0 {
                break;
            }
        }
        self.database.execute(PURGE_NOTICES, values![stored(moment)]).await?;
        let removed = self.database.execute(PURGE_ENDPOINTS, values![stored(moment)]).await?;
        if erased + removed > 0 {
            self.database.scrub_files();
        }
        Ok(erased)
    }

    /// Forgets a call: its event, deliveries and attempts; says whether there was one. An attempt under way still ends.
    ///
    /// # Errors
    /// [`LedgerError`] if the database fails.
    pub async fn erase_call(&self, workspace: &str, call: &str) -> Result<bool, LedgerError> {
        const ERASE: Statement = Statement::same("DELETE FROM events WHERE workspace = $1 AND call_id = $2");
        let erased = self.database.execute(ERASE, values![workspace, call]).await? > 0;
        // Asked for again, what was forgotten before is looked after again.
        self.database.scrub_files();
        Ok(erased)
    }

    /// Forgets a workspace: endpoints, secrets, events, history; says how many events.
    ///
    /// # Errors
    /// [`LedgerError`] if the database fails; then nothing is forgotten.
    pub async fn erase_workspace(&self, workspace: &str) -> Result<u64, LedgerError> {
        const EVENTS: Statement = Statement::same("DELETE FROM events WHERE workspace = $1");
        const ENDPOINTS: Statement = Statement::same("DELETE FROM endpoints WHERE workspace = $1");
        let mut tx = self.database.begin().await?;
        let erased = tx.execute(EVENTS, values![workspace]).await?;
        tx.execute(ENDPOINTS, values![workspace]).await?;
        tx.commit().await?;
        self.database.scrub_files();
        Ok(erased)
    }
}
