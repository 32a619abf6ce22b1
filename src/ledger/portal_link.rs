//! Ids that must not be used again, until they expire, in all replicas: those of portal links that were opened, and of
//! sessions that were signed out.

use super::database::{Statement, values};
use super::error::Result;
use super::handle::Ledger;
use crate::clock::UnixSeconds;

impl Ledger {
    /// Uses a portal link or ends a session; false if that was done before.
    ///
    /// # Errors
    /// If that cannot be written: it is not used.
    pub async fn use_once(&self, id: &str, expires: UnixSeconds, now: UnixSeconds) -> Result<bool> {
        const PURGE: Statement = Statement::same("DELETE FROM used_portal_links WHERE expires_at <= $1");
        const USE: Statement = Statement::same(
            "INSERT INTO used_portal_links (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
        );
        self.database.execute(PURGE, values![now]).await?;
        Ok(self.database.execute(USE, values![id, expires]).await? == 1)
    }

    /// Whether a portal link was used or a session ended.
    ///
    /// # Errors
    /// If that cannot be read.
    pub async fn is_used(&self, id: &str) -> Result<bool> {
        const FIND: Statement = Statement::same("SELECT id FROM used_portal_links WHERE id = $1");
        Ok(!self.database.fetch::<(String,)>(FIND, values![id]).await?.is_empty())
    }
}
