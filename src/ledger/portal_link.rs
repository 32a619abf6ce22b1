//! Portal links open once, and a session that was signed out is one no more: the ids of both stand here until they expire, for
//! all replicas.

use super::database::{Statement, values};
use super::{Ledger, LedgerError};
use crate::clock::UnixSeconds;

impl Ledger {
    /// Uses up a portal link, or ends a session; false if that was done before.
    ///
    /// # Errors
    /// [`LedgerError`] if that cannot be written: it is not used.
    pub async fn use_once(
        &self,
        id: &str,
        expires: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<bool, LedgerError> {
        const PURGE: Statement = Statement::same("DELETE FROM used_portal_links WHERE expires_at <= $1");
        const USE: Statement = Statement::same(
            "INSERT INTO used_portal_links (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
        );
        let seconds = |moment: UnixSeconds| i64::try_from(moment.0).unwrap_or(i64::MAX);
        self.database.execute(PURGE, values![seconds(now)]).await?;
        Ok(self.database.execute(USE, values![id, seconds(expires)]).await? == 1)
    }

    /// Whether it was.
    ///
    /// # Errors
    /// [`LedgerError`] if that cannot be read.
    pub async fn is_used(&self, id: &str) -> Result<bool, LedgerError> {
        const FIND: Statement = Statement::same("SELECT id FROM used_portal_links WHERE id = $1");
        Ok(!self.database.fetch::<(String,)>(FIND, values![id]).await?.is_empty())
    }
}
