//! Portal links: each opens one workspace (or all, for the operator), once and for a limited time.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pass::{PassError, Purpose};
use super::portal_options::PortalOptions;
use super::random_id::random_id;
use super::route::ROOT;
use crate::clock::UnixSeconds;
use crate::ledger::{Actor, is_description};
use crate::signed_url::Keyring;

/// The access that a session grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The workspace; `None` for the operator, who has access to all.
    #[serde(rename = "w")]
    pub workspace: Option<String>,
    /// Whether the session may play recordings and read transcripts.
    #[serde(rename = "l")]
    pub listen: bool,
    /// The name of the person or the token, for the audit trail.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The hash of the named token that signed in; the session ends with the token.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What the link says of the product that it comes from.
    #[serde(rename = "o", default, skip_serializing_if = "PortalOptions::is_empty")]
    pub options: PortalOptions,
}

impl Access {
    /// Access to one workspace.
    #[must_use]
    pub fn of_workspace(workspace: &str, listen: bool) -> Self {
        Self { workspace: Some(workspace.to_owned()), listen, ..Self::operator() }
    }

    /// Who has this access, for the audit trail.
    pub(super) fn actor(&self) -> Actor {
        match (&self.token, &self.workspace, &self.name) {
            (Some(_), _, Some(name)) => Actor::token(name),
            (_, None, None) => Actor::operator(),
            _ => Actor::portal(self.name.clone()),
        }
    }

    /// Access to all workspaces.
    #[must_use]
    pub fn operator() -> Self {
        Self { workspace: None, listen: true, name: None, token: None, options: PortalOptions::default() }
    }
}

/// The name of a person, as the end of the sentence "… takes …".
pub const PERSON: &str = "a name of 1 to 100 characters, without control characters";

/// Whether a portal link can carry this name.
#[must_use]
pub fn is_person(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= 100 && is_description(name)
}

/// A minted portal link.
#[derive(Clone)]
pub struct PortalLink {
    url: String,
    /// When the link expires.
    pub expires_at: UnixSeconds,
}

impl PortalLink {
    /// The link as text. It grants access, so do not log it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }
}

/// Omits the link, which grants access.
impl fmt::Debug for PortalLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortalLink").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Why a portal link cannot be minted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortalError {
    /// The address of the settings page is unknown.
    NoUrl,
    /// No key of the keyring is valid for that long.
    NoKey,
    /// The system provides no random bytes.
    NoRandomBytes,
}

impl fmt::Display for PortalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoUrl => {
                "set console.url to where people reach the settings page, e.g. https://hooks.example.com"
            }
            Self::NoKey => "no key of the ring can sign for that long now; see `webhook-assets keys list`",
            Self::NoRandomBytes => "the system gives no random bytes",
        })
    }
}

impl std::error::Error for PortalError {}

/// The content of a pass: the access and a unique id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AccessPass {
    #[serde(flatten)]
    pub(super) access: Access,
    pub(super) id: String,
}

impl AccessPass {
    pub(super) fn new(access: Access) -> Result<Self, PortalError> {
        Ok(Self { access, id: random_id().ok_or(PortalError::NoRandomBytes)? })
    }

    pub(super) fn sign(
        &self,
        purpose: Purpose,
        keyring: &Keyring,
        now: UnixSeconds,
        lifetime: Duration,
    ) -> Result<(String, UnixSeconds), PortalError> {
        let content = serde_json::to_vec(self).unwrap_or_default();
        let expires = now.plus(lifetime.max(Duration::from_secs(1)));
        let pass = purpose.sign(keyring, &content, now, expires).ok_or(PortalError::NoKey)?;
        Ok((pass, expires))
    }

    /// Signs a pass for a session that has been over for a day: no replica's clock is that far behind.
    pub(super) fn sign_past_session(&self, keyring: &Keyring, now: UnixSeconds) -> Option<String> {
        const DAY: u64 = 86_400;
        let content = serde_json::to_vec(self).unwrap_or_default();
        Purpose::Session.sign(keyring, &content, now, UnixSeconds(now.0.saturating_sub(DAY)))
    }

    /// Reads a pass, and when it expires. An expired one grants nothing, but says what it was for.
    pub(super) fn read_expired(
        purpose: Purpose,
        pass: &str,
        keyring: &Keyring,
        now: UnixSeconds,
    ) -> Result<(Self, UnixSeconds), PassError> {
        let (content, expires) = purpose.read_expired(keyring, pass, now)?;
        let access_pass = serde_json::from_slice(&content).map_err(|_| PassError::Invalid)?;
        Ok((access_pass, expires))
    }
}

/// Mints a portal link below `base` (scheme, host and path prefix).
///
/// # Errors
/// [`PortalError`] if no key is valid for that long, or the system provides no random bytes.
pub fn portal_link(
    base: &str,
    keyring: &Keyring,
    access: &Access,
    lifetime: Duration,
    now: UnixSeconds,
) -> Result<PortalLink, PortalError> {
    let access_pass = AccessPass::new(access.clone())?;
    let (pass, expires_at) = access_pass.sign(Purpose::PortalLink, keyring, now, lifetime)?;
    Ok(PortalLink { url: format!("{}{ROOT}/enter?pass={pass}", base.trim_end_matches('/')), expires_at })
}
