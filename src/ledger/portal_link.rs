//! Portal links open once: which were used stands here until they expire.

use super::database::{Statement, values};
use super::{Ledger, LedgerError};
use crate::clock::UnixSeconds;

impl Ledger {
    /// Uses up a portal link; false if it was used before.
    ///
    /// # Errors
    /// [`LedgerError`] if that cannot be written: it is not used.
    pub async fn use_portal_link(
        &self,
        id: &str,
        expires: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<bool, LedgerError> {
        const FORGET: Statement = Statement::same("DELETE FROM used_portal_links WHERE expires_at <= $1");
        const USE: Statement = Statement::same(
            "INSERT INTO used_portal_links (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
        );
        let seconds = |moment: UnixSeconds| i64::try_from(moment.0).unwrap_or(i64::MAX);
        self.database.execute(FORGET, values![seconds(now)]).await?;
        Ok(self.database.execute(USE, values![id, seconds(expires)]).await? == 1)
    }
}
