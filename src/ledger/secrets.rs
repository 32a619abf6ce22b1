//! Generates and rotates endpoints' secrets, which are sealed in the database and shown on request. A rotation does not
//! invalidate earlier secrets: each stays valid until it expires, so rotating twice by mistake breaks no receiver.

use std::time::Duration;

use serde_json::json;

use super::audit_entry::Action;
use super::database::{Statement, values};
use super::error::{LedgerError, Result};
use super::handle::Ledger;
use super::record_health::release_holds;
use super::sealed_secrets::{SealedSecrets, Secrets};
use crate::clock::UnixMillis;
use crate::webhook::WebhookSecret;

/// How long a rotated secret stays valid by default.
pub const DEFAULT_OVERLAP: Duration = Duration::from_secs(86_400);

/// How many secrets may be valid besides the newest. Each adds a signature to the header field of every attempt.
const MAX_PREVIOUS_SECRETS: usize = 8;

/// The result of a rotation.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The new secret.
    pub secret: WebhookSecret,
    /// Until when the previous secret stays valid.
    pub previous_until: UnixMillis,
}

macro_rules! select_secrets {
    () => {
        "SELECT secret, previous_secret, previous_until, earlier_secrets, plain_secret, headers FROM endpoints \
         WHERE workspace = $1 AND id = $2 AND removed_at IS NULL"
    };
}

impl Ledger {
    /// The currently valid secrets of an endpoint; `None` if the endpoint does not exist.
    ///
    /// # Errors
    /// [`LedgerError::Sealed`] if the key file did not seal them.
    pub async fn secrets(&self, workspace: &str, id: &str, now: UnixMillis) -> Result<Option<Secrets>> {
        const GET: Statement = Statement::same(select_secrets!());
        let mut rows = self.database.fetch::<SealedSecrets>(GET, values![workspace, id]).await?;
        rows.pop().map(|row| row.open(&self.seal, id, now)).transpose()
    }

    /// Generates a new secret. The previous secret stays valid for `overlap`, and earlier secrets until they expire. An
    /// overlap of zero invalidates all of them. `None` if the endpoint does not exist.
    ///
    /// # Errors
    /// [`LedgerError::TooManySecrets`] if eight are valid besides the newest; or if it cannot be written.
    pub async fn rotate_secret(
        &self,
        workspace: &str,
        id: &str,
        overlap: Duration,
        now: UnixMillis,
    ) -> Result<Option<Rotation>> {
        const GET: Statement =
            Statement { sqlite: select_secrets!(), postgres: concat!(select_secrets!(), " FOR UPDATE") };
        const ROTATE: Statement = Statement::same(
            "UPDATE endpoints SET secret = $2, previous_secret = $3, previous_until = $4, earlier_secrets = $5, \
             plain_secret = $6, plain_previous = $7 WHERE id = $1",
        );
        let mut tx = self.database.begin().await?;
        let mut rows = tx.fetch::<SealedSecrets>(GET, values![workspace, id]).await?;
        let Some(row) = rows.pop() else { return Ok(None) };
        let overlaps = !overlap.is_zero();
        let earlier = if overlaps { row.previous(now)? } else { Vec::new() };
        if earlier.len() >= MAX_PREVIOUS_SECRETS {
            return Err(LedgerError::TooManySecrets(MAX_PREVIOUS_SECRETS));
        }
        // Receivers know the secret that they last accepted, so the header field with a single signature keeps using
        // it.
        let plain = if overlaps { row.plain_secret.min(earlier.len()) + 1 } else { 0 };
        let (secret, previous_until) = (new_secret()?, now.plus(overlap));
        let values = values![
            id,
            self.seal.seal(&secret, id)?,
            overlaps.then_some(row.secret),
            previous_until,
            (!earlier.is_empty()).then(|| json!(earlier).to_string()),
            plain,
            overlaps,
        ];
        tx.execute(ROTATE, values).await?;
        // A receiver that refused signatures may accept them now.
        release_holds(&mut tx, workspace, Some(id)).await?;
        let after = Some(json!({"previous_until": previous_until.to_string()}));
        self.commit_recorded(tx, Action { after, ..Action::of("secret.rotated", workspace, id) }).await?;
        Ok(Some(Rotation { secret, previous_until }))
    }

    /// Records the index of the secret that a receiver accepts in `X-Webhook-Signature`; 0 is the newest.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    pub async fn prefer_secret(&self, id: &str, plain: usize) -> Result<()> {
        const PREFER: Statement =
            Statement::same("UPDATE endpoints SET plain_secret = $2, plain_previous = $3 WHERE id = $1");
        let values = values![id, plain, plain > 0];
        self.database.execute_unchecked(PREFER, values).await.map(|_| ())
    }
}

pub(super) fn new_secret() -> Result<WebhookSecret> {
    WebhookSecret::generate().map_err(|error| LedgerError::Unavailable(error.to_string()))
}
