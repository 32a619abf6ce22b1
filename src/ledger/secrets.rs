//! Endpoints' secrets: made here, sealed in the database, shown on request, rotated with an overlap.

use std::time::Duration;

use sqlx::FromRow;

use super::database::{Statement, values};
use super::health::lift_holds;
use super::{Ledger, LedgerError, moment, stored};
use crate::clock::UnixMillis;
use crate::webhook::WebhookSecret;

/// How long the secret before a rotation stays valid, unless somebody says otherwise.
pub const STANDARD_OVERLAP: Duration = Duration::from_secs(86_400);

/// The secrets of an endpoint.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// The one its owner sees.
    pub current: WebhookSecret,
    /// The one before, and until when it is valid too.
    pub previous: Option<(WebhookSecret, UnixMillis)>,
}

/// A rotation that happened.
#[derive(Debug, Clone)]
pub struct Rotated {
    /// The new secret.
    pub secret: WebhookSecret,
    /// Until when the one before is valid too.
    pub previous_until: UnixMillis,
}

#[derive(FromRow)]
struct SecretRow {
    secret: Vec<u8>,
    previous_secret: Option<Vec<u8>>,
    previous_until: Option<i64>,
}

impl Ledger {
    /// The secrets of an endpoint that are valid now; `None` if there is no such endpoint.
    ///
    /// # Errors
    /// [`LedgerError::Sealed`] if the key file is not the one that sealed them.
    pub async fn secrets(
        &self,
        workspace: &str,
        id: &str,
        now: UnixMillis,
    ) -> Result<Option<Secrets>, LedgerError> {
        const GET: Statement = Statement::same(
            "SELECT secret, previous_secret, previous_until FROM endpoints \
             WHERE workspace = $1 AND id = $2 AND removed_at IS NULL",
        );
        let mut rows = self.database.fetch::<SecretRow>(GET, values![workspace, id]).await?;
        let Some(row) = rows.pop() else { return Ok(None) };
        self.open_secrets(
            id,
            &row.secret,
            row.previous_secret.as_deref(),
            row.previous_until.map(moment),
            now,
        )
        .map(Some)
    }

    pub(super) fn open_secrets(
        &self,
        id: &str,
        secret: &[u8],
        previous: Option<&[u8]>,
        previous_until: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<Secrets, LedgerError> {
        let previous = match (previous, previous_until) {
            (Some(sealed), Some(until)) if now < until => Some((self.seal.open(sealed, id)?, until)),
            _ => None,
        };
        Ok(Secrets { current: self.seal.open(secret, id)?, previous })
    }

    /// Makes a new secret; the one before stays valid for `overlap`. `None` if there is no such endpoint.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    pub async fn rotate_secret(
        &self,
        workspace: &str,
        id: &str,
        overlap: Duration,
        now: UnixMillis,
    ) -> Result<Option<Rotated>, LedgerError> {
        // Receivers know the old secret when this happens, so the header that has room for one signature begins with it.
        const ROTATE: Statement = Statement::same(
            "UPDATE endpoints SET previous_secret = secret, previous_until = $3, secret = $4, plain_previous = $5 \
             WHERE workspace = $1 AND id = $2 AND removed_at IS NULL",
        );
        let secret = new_secret()?;
        let previous_until = now.plus(overlap);
        let sealed = self.seal.seal(&secret, id)?;
        let overlaps = !overlap.is_zero();
        let mut tx = self.database.begin().await?;
        let values = values![workspace, id, stored(previous_until), sealed, overlaps];
        let touched = tx.execute(ROTATE, values).await?;
        // A receiver that refused signatures may take them now.
        lift_holds(&mut tx, workspace, Some(id)).await?;
        tx.commit().await?;
        Ok((touched == 1).then_some(Rotated { secret, previous_until }))
    }

    /// Remembers which of two valid secrets a receiver takes in `X-Webhook-Signature`.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    pub async fn prefer_secret(&self, id: &str, previous: bool) -> Result<(), LedgerError> {
        const PREFER: Statement = Statement::same("UPDATE endpoints SET plain_previous = $2 WHERE id = $1");
        self.database.execute_to_send(PREFER, values![id, previous]).await.map(|_| ())
    }
}

pub(super) fn new_secret() -> Result<WebhookSecret, LedgerError> {
    WebhookSecret::generate().map_err(|error| LedgerError::Unavailable(error.to_string()))
}
