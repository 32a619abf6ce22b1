//! The secrets of an endpoint, as the database stores them and as attempts use them.

use serde::{Deserialize, Serialize};

use super::database::{column, converted, from_row};
use super::error::{LedgerError, Result};
use super::seal::Seal;
use crate::clock::UnixMillis;
use crate::webhook::{CustomHeaders, WebhookSecret};

/// The secrets of an endpoint.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// The newest secret.
    pub current: WebhookSecret,
    /// Earlier secrets that are still valid, the newest first, and until when.
    pub previous: Vec<(WebhookSecret, UnixMillis)>,
}

/// Secrets and custom header fields as stored in the database.
#[derive(Debug, Clone)]
pub(super) struct SealedSecrets {
    pub(super) secret: Vec<u8>,
    previous_secret: Option<Vec<u8>>,
    previous_until: Option<UnixMillis>,
    earlier_secrets: Option<String>,
    /// The index of the secret that first signs `X-Webhook-Signature`; 0 is the newest.
    pub(super) plain_secret: usize,
    headers: Option<Vec<u8>>,
}

from_row!(row => SealedSecrets {
    secret: column(row, "secret")?,
    previous_secret: column(row, "previous_secret")?,
    previous_until: column(row, "previous_until")?,
    earlier_secrets: column(row, "earlier_secrets")?,
    plain_secret: converted::<i64, _, _>(row, "plain_secret")?,
    headers: column(row, "headers")?,
});

/// A rotated secret: sealed, in hexadecimal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Earlier {
    secret: String,
    until: u64,
}

impl SealedSecrets {
    /// Earlier secrets that are still valid, the newest first.
    pub(super) fn previous(&self, now: UnixMillis) -> Result<Vec<Earlier>> {
        let newest = self.previous_secret.as_ref().zip(self.previous_until);
        let newest = newest.map(|(secret, until)| Earlier { secret: hex::encode(secret), until: until.0 });
        let earlier: Vec<Earlier> = match &self.earlier_secrets {
            Some(text) => serde_json::from_str(text).map_err(|_| LedgerError::Sealed)?,
            None => Vec::new(),
        };
        Ok(newest.into_iter().chain(earlier).filter(|one| now.0 < one.until).collect())
    }

    /// Opens those that are valid now.
    pub(super) fn open(&self, seal: &Seal, endpoint: &str, now: UnixMillis) -> Result<Secrets> {
        let open = |one: Earlier| {
            let sealed = hex::decode(one.secret).map_err(|_| LedgerError::Sealed)?;
            Ok((seal.open(&sealed, endpoint)?, UnixMillis(one.until)))
        };
        let previous = self.previous(now)?.into_iter().map(open).collect::<Result<_>>()?;
        Ok(Secrets { current: seal.open(&self.secret, endpoint)?, previous })
    }

    /// Opens the header fields for the endpoint's URL.
    pub(super) fn open_headers(&self, seal: &Seal, endpoint: &str, url: &str) -> Result<CustomHeaders> {
        let sealed = self.headers.as_ref();
        sealed.map_or_else(|| Ok(CustomHeaders::default()), |sealed| seal.open_headers(sealed, endpoint, url))
    }
}
