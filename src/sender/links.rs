//! Looks up the assets of an attempt and mints their links.

use std::time::Duration;

use uuid::Uuid;

use super::handle::Sender;
use crate::asset::{AssetKind, AssetRef};
use crate::clock::{UnixMillis, UnixSeconds, running};
use crate::ledger::{Assets, Claimed};
use crate::signed_url::{MintError, Minter, SignedUrl};
use crate::store::StoreError;
use crate::webhook::format_span;

/// The pause before a missing asset is looked up again. It is short at first, when the asset is most likely to appear.
const ASSET_RETRY: Duration = Duration::from_secs(2);
const ASSET_RETRY_LATE: Duration = Duration::from_secs(15);

/// The maximum time between two lookups that counts as waiting for the asset. A longer gap had another cause.
const MAX_WAIT_STEP: Duration = Duration::from_secs(30);

/// The timeout of a lookup. A lease must outlast the lookup and the attempt.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a delivery waits for an operator to fix the configuration.
const OPERATOR_RETRY: Duration = Duration::from_secs(60);

/// Why a delivery waits, and how long.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) from: UnixMillis,
    pub(super) until: UnixMillis,
    /// The reason, in words.
    pub(super) why: String,
    /// How long it has waited for its assets so far.
    pub(super) asset_waited: Duration,
}

/// Postpones the delivery until an operator has fixed the configuration.
pub(super) fn wait_for_operator(claimed: &Claimed, now: UnixMillis, why: String) -> Wait {
    Wait { from: now, until: now.plus(OPERATOR_RETRY), why, asset_waited: claimed.asset_waited }
}

/// The links of one attempt.
#[derive(Debug, Default)]
pub(super) struct MintedLinks {
    pub(super) recording: Option<SignedUrl>,
    pub(super) transcript: Option<SignedUrl>,
    pub(super) note: Option<String>,
}

impl MintedLinks {
    /// The assets without a link.
    pub(super) fn nulls(&self) -> Assets {
        Assets { recording: self.recording.is_none(), transcript: self.transcript.is_none() }
    }
}

/// Mints a link for each existing asset. Waits up to `asset_wait` for a missing asset. After that, its link is null,
/// and a note gives the reason.
pub(super) async fn links(sender: &Sender, claimed: &Claimed, now: UnixMillis) -> Result<MintedLinks, Wait> {
    let link = |kind: AssetKind, id: &Option<String>| {
        let id = id.as_deref().and_then(|id| Uuid::try_parse(id).ok());
        let minted = id.map(|id| mint(sender, AssetRef { kind, id }, claimed.links_expire)).transpose();
        minted.map_err(|error| wait_for_operator(claimed, now, format!("no link can be minted: {error}")))
    };
    let recording = link(AssetKind::Recording, &claimed.recording)?;
    let transcript = link(AssetKind::Transcript, &claimed.transcript)?;
    let (no_recording, no_transcript) =
        tokio::join!(head(sender, recording.as_ref()), head(sender, transcript.as_ref()));
    let mut links = MintedLinks {
        recording: recording.filter(|_| !matches!(no_recording, Some(StoreError::NotFound))),
        transcript: transcript.filter(|_| !matches!(no_transcript, Some(StoreError::NotFound))),
        note: None,
    };
    let missing: Vec<Missing> =
        [(AssetKind::Recording, no_recording), (AssetKind::Transcript, no_transcript)]
            .into_iter()
            .filter_map(|(kind, error)| error.map(|error| Missing { kind, error }))
            .collect();
    if missing.is_empty() {
        return Ok(links);
    }
    let patience = sender.0.config.asset_wait;
    let waited = asset_waited(claimed, now);
    // Only the first attempt waits: before a resend, a missing asset may have been erased.
    if claimed.attempts == 0 && waited < patience {
        let pause = if waited < Duration::from_secs(30) { ASSET_RETRY } else { ASSET_RETRY_LATE };
        let until = now.plus(pause.min(patience.saturating_sub(waited)));
        let why: Vec<_> = missing.iter().map(Missing::waiting_note).collect();
        return Err(Wait { from: now, until, why: why.join("; "), asset_waited: waited });
    }
    let why: Vec<_> = missing.iter().map(|missing| missing.after(patience.min(waited))).collect();
    links.note = Some(why.join("; "));
    Ok(links)
}

/// How long a delivery has waited for its assets: the sum of the times between lookups. A clock step in between changes
/// it little.
fn asset_waited(claimed: &Claimed, now: UnixMillis) -> Duration {
    let since = claimed.scheduled_at.map_or(Duration::ZERO, |looked| now.since(looked));
    claimed.asset_waited.saturating_add(since.min(MAX_WAIT_STEP))
}

fn mint(sender: &Sender, asset: AssetRef, expires: UnixSeconds) -> Result<SignedUrl, MintError> {
    // The ledger chose the expiry: a few seconds beyond the lifetime, within every gateway's clock tolerance, and
    // different for each delivery of an event.
    let link = mint_until(sender, asset, expires)?;
    sender.0.services.keyring.link_minted(asset.kind);
    Ok(link)
}

fn mint_until(sender: &Sender, asset: AssetRef, expires: UnixSeconds) -> Result<SignedUrl, MintError> {
    let services = &sender.0.services;
    let lifetime = sender.0.config.link_lifetime;
    let minter =
        Minter::for_base(services.base.clone(), services.keyring.load()).with_longest_lifetime(lifetime);
    minter.mint_at(asset, lifetime, UnixSeconds(expires.0.saturating_sub(lifetime.as_secs())))
}

/// Whether an asset is in the store.
///
/// # Errors
/// If the store, or the keyring, does not allow a look.
pub(super) async fn is_in_store(sender: &Sender, asset: AssetRef) -> Result<bool, StoreError> {
    let expires = sender.wall().plus(sender.0.config.link_lifetime);
    // The keyring has no key for this moment, or the lifetime is not allowed: an operator has to act.
    let Ok(link) = mint_until(sender, asset, expires) else { return Ok(false) };
    match head(sender, Some(&link)).await {
        None => Ok(true),
        Some(StoreError::NotFound) => Ok(false),
        Some(error) => Err(error),
    }
}

/// Looks up a link's asset; returns the error if it is missing.
async fn head(sender: &Sender, link: Option<&SignedUrl>) -> Option<StoreError> {
    let look = sender.0.services.store.head(link?.grant());
    match running::timeout(HEAD_TIMEOUT, look).await {
        // If only the size is unknown, the object exists.
        Ok(found) => found.err().filter(|error| !matches!(error, StoreError::SizeUnknown)),
        Err(_) => Some(StoreError::TimedOut { waited: HEAD_TIMEOUT, for_what: "an answer" }),
    }
}

/// An asset that was not found.
struct Missing {
    kind: AssetKind,
    error: StoreError,
}

impl Missing {
    fn waiting_note(&self) -> String {
        match &self.error {
            StoreError::NotFound => format!("waits for the {}: it is not in the store yet", self.kind.name()),
            error => format!("waits for the {}: {error}", self.kind.name()),
        }
    }

    fn after(&self, waited: Duration) -> String {
        let kind = self.kind.name();
        match &self.error {
            StoreError::NotFound if waited < Duration::from_secs(1) => {
                format!("{kind}_url is null: the {kind} was not in the store")
            }
            StoreError::NotFound => {
                let waited = format_span(Duration::from_secs(waited.as_secs()));
                format!("{kind}_url is null: the {kind} was not in the store after {waited}")
            }
            error => format!("the {kind}'s link was sent without a look whether it is there: {error}"),
        }
    }
}
