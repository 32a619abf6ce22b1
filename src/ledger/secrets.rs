//! Endpoints' secrets: made here, sealed in the database, shown on request. A rotation takes no valid secret away: each stays
//! valid until its own time, so a button that is pressed twice costs a receiver nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use super::database::{Statement, values};
use super::health::release_holds;
use super::{Ledger, LedgerError, moment, stored};
use crate::clock::UnixMillis;
use crate::webhook::WebhookSecret;

/// How long the secret before a rotation stays valid, unless somebody says otherwise.
pub const DEFAULT_OVERLAP: Duration = Duration::from_secs(86_400);

/// How many secrets may be valid beside the newest: each adds a signature to the header of every attempt.
pub const MAX_PREVIOUS_SECRETS: usize = 8;

/// The secrets of an endpoint.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// The one its owner sees.
    pub current: WebhookSecret,
    /// Those before it that are valid too, the newest first, and until when.
    pub previous: Vec<(WebhookSecret, UnixMillis)>,
}

/// A rotation that happened.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The new secret.
    pub secret: WebhookSecret,
    /// Until when the one before is valid too.
    pub previous_until: UnixMillis,
}

/// Secrets as they are stored.
#[derive(FromRow)]
pub(super) struct SecretRow {
    secret: Vec<u8>,
    previous_secret: Option<Vec<u8>>,
    previous_until: Option<i64>,
    earlier_secrets: Option<String>,
    plain_secret: i64,
}

/// One that was rotated away: sealed, in hexadecimal.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Earlier {
    secret: String,
    until: i64,
}

impl SecretRow {
    /// Those before the newest that are valid, the newest first.
    fn previous(&self, now: UnixMillis) -> Result<Vec<Earlier>, LedgerError> {
        let newest = self.previous_secret.as_ref().zip(self.previous_until);
        let newest = newest.map(|(secret, until)| Earlier { secret: hex::encode(secret), until });
        let earlier: Vec<Earlier> = match &self.earlier_secrets {
            Some(text) => serde_json::from_str(text).map_err(|_| LedgerError::Sealed)?,
            None => Vec::new(),
        };
        Ok(newest.into_iter().chain(earlier).filter(|one| now < moment(one.until)).collect())
    }

    /// Which of them makes `X-Webhook-Signature` first: 0 is the newest.
    pub(super) fn plain(&self) -> usize {
        usize::try_from(self.plain_secret).unwrap_or_default()
    }
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
            "SELECT secret, previous_secret, previous_until, earlier_secrets, plain_secret FROM endpoints \
             WHERE workspace = $1 AND id = $2 AND removed_at IS NULL",
        );
        let mut rows = self.database.fetch::<SecretRow>(GET, values![workspace, id]).await?;
        rows.pop().map(|row| self.open_secrets(id, &row, now)).transpose()
    }

    pub(super) fn open_secrets(
        &self,
        id: &str,
        row: &SecretRow,
        now: UnixMillis,
    ) -> Result<Secrets, LedgerError> {
        let open = |one: Earlier| {
            let sealed = hex::decode(one.secret).map_err(|_| LedgerError::Sealed)?;
            Ok((self.seal.open(&sealed, id)?, moment(one.until)))
        };
        let previous = row.previous(now)?.into_iter().map(open).collect::<Result<_, LedgerError>>()?;
        Ok(Secrets { current: self.seal.open(&row.secret, id)?, previous })
    }

    /// Makes a new secret. The one before stays valid for `overlap`, and those before that until their own time; no overlap
    /// ends them all. `None` if there is no such endpoint.
    ///
    /// # Errors
    /// [`LedgerError::TooManySecrets`] if [`MAX_PREVIOUS_SECRETS`] are valid beside the newest; or if it cannot be written.
    pub async fn rotate_secret(
        &self,
        workspace: &str,
        id: &str,
        overlap: Duration,
        now: UnixMillis,
    ) -> Result<Option<Rotation>, LedgerError> {
        const GET: Statement = Statement {
            sqlite: "SELECT secret, previous_secret, previous_until, earlier_secrets, plain_secret FROM endpoints \
                     WHERE workspace = $1 AND id = $2 AND removed_at IS NULL",
            postgres: "SELECT secret, previous_secret, previous_until, earlier_secrets, plain_secret FROM endpoints \
                       WHERE workspace = $1 AND id = $2 AND removed_at IS NULL FOR UPDATE",
        };
        const ROTATE: Statement = Statement::same(
            "UPDATE endpoints SET secret = $2, previous_secret = $3, previous_until = $4, earlier_secrets = $5, \
             plain_secret = $6, plain_previous = $7 WHERE id = $1",
        );
        let mut tx = self.database.begin().await?;
        let mut rows = tx.fetch::<SecretRow>(GET, values![workspace, id]).await?;
        let Some(row) = rows.pop() else { return Ok(None) };
        let overlaps = !overlap.is_zero();
        let earlier = if overlaps { row.previous(now)? } else { Vec::new() };
        if earlier.len() >= MAX_PREVIOUS_SECRETS {
            return Err(LedgerError::TooManySecrets);
        }
        // Receivers know the secret that they took last, so the header that has room for one signature goes on with it.
        let plain = if overlaps { row.plain().min(earlier.len()) + 1 } else { 0 };
        let (secret, previous_until) = (new_secret()?, now.plus(overlap));
        let values = values![
            id,
            self.seal.seal(&secret, id)?,
            overlaps.then_some(row.secret),
            stored(previous_until),
            (!earlier.is_empty()).then(|| serde_json::json!(earlier).to_string()),
            i64::try_from(plain).unwrap_or_default(),
            overlaps,
        ];
        tx.execute(ROTATE, values).await?;
        // A receiver that refused signatures may take them now.
        release_holds(&mut tx, workspace, Some(id)).await?;
        tx.commit().await?;
        Ok(Some(Rotation { secret, previous_until }))
    }

    /// Remembers which of the valid secrets a receiver takes in `X-Webhook-Signature`: 0 is the newest.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    pub async fn prefer_secret(&self, id: &str, plain: usize) -> Result<(), LedgerError> {
        const PREFER: Statement =
            Statement::same("UPDATE endpoints SET plain_secret = $2, plain_previous = $3 WHERE id = $1");
        let values = values![id, i64::try_from(plain).unwrap_or_default(), plain > 0];
        self.database.execute_unchecked(PREFER, values).await.map(|_| ())
    }
}

pub(super) fn new_secret() -> Result<WebhookSecret, LedgerError> {
    WebhookSecret::generate().map_err(|error| LedgerError::Unavailable(error.to_string()))
}
