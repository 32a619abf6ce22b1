//! Stores the ids of opened portal links and ended sessions until they expire, so that no replica accepts them again.

use super::database::{Statement, values};
use super::error::Result;
use super::handle::Ledger;
use crate::clock::UnixSeconds;

impl Ledger {
    /// Uses a portal link or ends a session. False if the id was already used.
    ///
    /// # Errors
    /// If it cannot be written. Then the id is not used.
    pub async fn use_once(&self, id: &str, expires: UnixSeconds, now: UnixSeconds) -> Result<bool> {
        const PURGE: Statement = Statement::same("DELETE FROM used_portal_links WHERE expires_at <= $1");
        const USE: Statement = Statement::same(
            "INSERT INTO used_portal_links (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
        );
        self.database.execute(PURGE, values![now]).await?;
        Ok(self.database.execute(USE, values![id, expires]).await? == 1)
    }

    /// Whether a portal link was used or a session has ended.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn is_used(&self, id: &str) -> Result<bool> {
        const FIND: Statement = Statement::same("SELECT id FROM used_portal_links WHERE id = $1");
        Ok(!self.database.fetch::<(String,)>(FIND, values![id]).await?.is_empty())
    }
}
