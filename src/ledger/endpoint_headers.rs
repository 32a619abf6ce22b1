//! The custom header fields of endpoints: sealed in the database, with their names beside them for lists.

use super::database::{Statement, Tx, Value, values};
use super::error::{LedgerError, Result};
use super::record_health::release_holds;
use super::seal::Seal;
use crate::webhook::{CustomHeaders, HeaderChanges};

/// The names in their stored form, JSON.
pub(super) fn names_of(stored: Option<String>) -> Vec<String> {
    stored.and_then(|names| serde_json::from_str(&names).ok()).unwrap_or_default()
}

/// Header fields as stored in the database: sealed, and their names.
pub(super) struct StoredHeaders {
    pub(super) sealed: Value,
    pub(super) names: Value,
}

impl StoredHeaders {
    /// Seals header fields for an endpoint and its URL.
    pub(super) fn seal(seal: &Seal, headers: &CustomHeaders, endpoint: &str, url: &str) -> Result<Self> {
        let names: Vec<&str> = headers.names().collect();
        let is_set = !headers.is_empty();
        let sealed = is_set.then(|| seal.seal_headers(headers, endpoint, url)).transpose()?;
        Ok(Self { sealed: sealed.into(), names: is_set.then(|| serde_json::json!(names).to_string()).into() })
    }
}

/// The endpoint whose header fields change, after its other changes.
pub(super) struct Owner<'a> {
    pub(super) workspace: &'a str,
    pub(super) id: &'a str,
    pub(super) url: &'a str,
    /// Whether it had another URL before.
    pub(super) has_moved: bool,
    /// The names of its header fields before.
    pub(super) names: &'a [String],
}

impl Owner<'_> {
    /// Whether a value stays. If none does, it does not matter whether the key file in use opens them.
    fn keeps_one(&self, changes: &HeaderChanges) -> bool {
        !self.has_moved && self.names.iter().any(|name| !changes.replaces(name))
    }
}

/// Changes the header fields of an endpoint, whose row is locked; returns their names. An endpoint that has moved to another URL begins without
/// any: their values are for the receiver that they were given for, and a person who may change the URL may not read them.
pub(super) async fn change_headers(
    tx: &mut Tx,
    seal: &Seal,
    owner: Owner<'_>,
    changes: HeaderChanges,
) -> Result<Vec<String>> {
    const GET: Statement = Statement::same("SELECT headers FROM endpoints WHERE id = $1");
    const SET: Statement =
        Statement::same("UPDATE endpoints SET headers = $2, header_names = $3 WHERE id = $1");
    let Owner { id, url, .. } = owner;
    if changes.is_empty() && (owner.names.is_empty() || !owner.has_moved) {
        return Ok(owner.names.to_vec());
    }
    let sealed = tx.fetch::<(Option<Vec<u8>>,)>(GET, values![id]).await?;
    let before = match sealed.into_iter().find_map(|(sealed,)| sealed) {
        Some(sealed) if owner.keeps_one(&changes) => seal.open_headers(&sealed, id, url)?,
        _ => CustomHeaders::default(),
    };
    let after = before.with(changes).map_err(LedgerError::Header)?;
    let stored = StoredHeaders::seal(seal, &after, id, url)?;
    tx.execute(SET, values![id, stored.sealed, stored.names]).await?;
    // A receiver that refused the attempts may accept them now.
    release_holds(tx, owner.workspace, Some(id)).await?;
    Ok(after.names().map(str::to_owned).collect())
}
