//! Erases payloads and history, which are personal data: after their retention time, or on request. Copies in the
//! write-ahead log are removed within seconds.

use serde_json::json;

use super::audit_entry::Action;
use super::audit_trail::erase_names;
use super::database::{Statement, values};
use super::error::Result;
use super::handle::Ledger;
use crate::clock::UnixMillis;

/// How many events one transaction deletes. Other writers wait for each transaction.
const BATCH: i64 = 500;

/// Deletes events with their deliveries and attempts.
const PURGE_EVENTS: Statement = Statement::same(
    "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE accepted_at < $1 ORDER BY accepted_at LIMIT $2)",
);

impl Ledger {
    /// Purges every event that was accepted before `moment`, with its history. Returns their number.
    ///
    /// # Errors
    /// If the database fails. Some events may already be purged.
    pub async fn purge_before(&self, moment: UnixMillis) -> Result<u64> {
        const PURGE_NOTICES: Statement = Statement::same("DELETE FROM notices WHERE at < $1");
        const PURGE_ALERTS: Statement = Statement::same("DELETE FROM alerts WHERE at < $1");
        const PURGE_ENDPOINTS: Statement = Statement::same(
            "DELETE FROM endpoints WHERE removed_at < $1 \
             AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.endpoint_id = endpoints.id)",
        );
        let mut purged = 0;
        loop {
            let batch = self.database.execute(PURGE_EVENTS, values![moment, BATCH]).await?;
            purged += batch;
            if batch == 0 {
                break;
            }
        }
        self.database.execute(PURGE_NOTICES, values![moment]).await?;
        self.database.execute(PURGE_ALERTS, values![moment]).await?;
        let endpoints = self.database.execute(PURGE_ENDPOINTS, values![moment]).await?;
        if purged + endpoints > 0 {
            self.database.scrub_files();
        }
        Ok(purged)
    }

    /// Erases a call: its event, deliveries and attempts. Returns whether it existed. An attempt in flight still
    /// completes.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn erase_call(&self, workspace: &str, call: &str) -> Result<bool> {
        const ERASE: Statement = Statement::same("DELETE FROM events WHERE workspace = $1 AND call_id = $2");
        let mut tx = self.database.begin().await?;
        let erased = tx.execute(ERASE, values![workspace, call]).await? > 0;
        if erased {
            self.commit_recorded(tx, Action::of("call.erased", workspace, call)).await?;
        }
        // A repeated request may follow a scrub that failed.
        self.database.scrub_files();
        Ok(erased)
    }

    /// Erases a workspace: endpoints, secrets, events and history, and the names in its audit trail. Returns the number of
    /// events.
    ///
    /// # Errors
    /// If the database fails. Then nothing is erased.
    pub async fn erase_workspace(&self, workspace: &str) -> Result<u64> {
        const EVENTS: Statement = Statement::same("DELETE FROM events WHERE workspace = $1");
        const ENDPOINTS: Statement = Statement::same("DELETE FROM endpoints WHERE workspace = $1");
        let mut tx = self.database.begin().await?;
        let erased = tx.execute(EVENTS, values![workspace]).await?;
        tx.execute(ENDPOINTS, values![workspace]).await?;
        erase_names(&mut tx, workspace).await?;
        let action = Action {
            name: "workspace.erased",
            workspace: Some(workspace),
            after: Some(json!({"events": erased})),
            ..Action::default()
        };
        self.commit_recorded(tx, action).await?;
        self.database.scrub_files();
        Ok(erased)
    }
}
