//! The secrets of an endpoint, as the database stores them and as attempts use them.

use serde::{Deserialize, Serialize};

use super::database::{Statement, column, converted, from_row};
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

/// Everything that one endpoint has sealed, for work on all endpoints.
pub(super) struct SealedRow {
    pub(super) id: String,
    url: String,
    sealed: SealedSecrets,
}

from_row!(row => SealedRow {
    id: column(row, "id")?,
    url: column(row, "url")?,
    sealed: sqlx::FromRow::from_row(row)?,
});

/// What an endpoint has sealed, sealed anew.
pub(super) struct Resealed {
    pub(super) secret: Vec<u8>,
    pub(super) previous_secret: Option<Vec<u8>>,
    pub(super) earlier_secrets: Option<String>,
    pub(super) headers: Option<Vec<u8>>,
}

impl SealedRow {
    /// The rows after an id, in the order of their ids: `$1` the id, `$2` how many.
    pub(super) const AFTER: Statement = Statement::same(
        "SELECT id, url, secret, previous_secret, previous_until, earlier_secrets, plain_secret, headers FROM endpoints \
         WHERE id > $1 AND length(secret) > 0 ORDER BY id LIMIT $2",
    );

    /// Whether a key of the file opens everything that an attempt needs.
    pub(super) fn opens(&self, seal: &Seal, now: UnixMillis) -> bool {
        self.sealed.open(seal, &self.id, now).is_ok()
            && self.sealed.open_headers(seal, &self.id, &self.url).is_ok()
    }

    /// Seals everything with the first key of the file. Earlier secrets that are no longer valid are dropped.
    pub(super) fn reseal(&self, seal: &Seal, now: UnixMillis) -> Result<Resealed> {
        let id = &self.id;
        let Secrets { current, previous } = self.sealed.open(seal, id, now)?;
        let mut earlier = Vec::new();
        for (secret, until) in &previous {
            earlier.push(Earlier { secret: hex::encode(seal.seal(secret, id)?), until: until.0 });
        }
        // The newest of them stands in separate columns, unless it has expired.
        let is_newest = |one: &Earlier| self.sealed.previous_until.is_some_and(|until| until.0 == one.until);
        let newest = if earlier.first().is_some_and(is_newest) { Some(earlier.remove(0)) } else { None };
        let newest =
            newest.map(|one| hex::decode(one.secret).map_err(|_| LedgerError::Sealed)).transpose()?;
        let headers = self.sealed.headers.is_some().then(|| {
            let headers = self.sealed.open_headers(seal, id, &self.url)?;
            seal.seal_headers(&headers, id, &self.url)
        });
        Ok(Resealed {
            secret: seal.seal(&current, id)?,
            previous_secret: newest,
            earlier_secrets: (!earlier.is_empty()).then(|| serde_json::json!(earlier).to_string()),
            headers: headers.transpose()?,
        })
    }
}
