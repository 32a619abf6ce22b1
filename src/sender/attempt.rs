//! Makes one attempt: looks up the assets, mints links, signs and posts the body, and diagnoses the response.

use std::time::Duration;

use uuid::Uuid;

use super::handle::Sender;
use crate::asset::{AssetKind, AssetRef};
use crate::clock::{UnixMillis, UnixSeconds, running};
use crate::ledger::{AttemptResult, Claimed};
use crate::signed_url::{Minter, SignedUrl};
use crate::store::StoreError;
use crate::webhook::{CompletedCall, Diagnosis, EndpointUrl, Explanation, Facts, Links, Signing, diagnose};

/// The pause before a missing asset is looked up again. It is short at first, when the asset is most likely to appear.
const ASSET_RETRY: Duration = Duration::from_secs(2);
const ASSET_RETRY_LATE: Duration = Duration::from_secs(15);

/// The maximum time between two lookups that counts as waiting for the asset. A longer gap had another cause.
const MAX_WAIT_STEP: Duration = Duration::from_secs(30);

/// The timeout of a lookup. A lease must outlast the lookup and the attempt.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a delivery waits for an operator to fix the configuration.
const OPERATOR_RETRY: Duration = Duration::from_secs(60);

/// The outcome of a claimed delivery.
#[derive(Debug)]
pub(super) enum AttemptOutcome {
    /// An attempt was made.
    Attempted(Attempt),
    /// No attempt was made: the delivery waits.
    Postponed(Wait),
}

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

/// An attempt that was made.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) succeeded: bool,
    pub(super) retry_after: Option<Duration>,
    pub(super) result: AttemptResult,
}

/// Makes one attempt, or returns why the delivery must wait.
pub(super) async fn attempt(sender: &Sender, claimed: &Claimed) -> AttemptOutcome {
    let now = sender.now();
    let Some(secrets) = claimed.secrets.clone() else {
        tracing::error!(
            endpoint = claimed.endpoint,
            "an endpoint's secret does not open with the key file in use"
        );
        let why = "the endpoint's secret does not open with the key file in use (webhooks.secret_key_file)";
        return AttemptOutcome::Postponed(wait_for_operator(claimed, now, why.to_owned()));
    };
    let Some(call) = &claimed.call else {
        return AttemptOutcome::Attempted(not_sent(
            now,
            "stored_event",
            "the stored event cannot be read any more",
            None,
        ));
    };
    let url = match sender.url(&claimed.target.url) {
        Ok(url) => url,
        Err(error) => {
            let advice = "change the endpoint's URL, then send the delivery again".to_owned();
            return AttemptOutcome::Attempted(not_sent(now, "url", &error.to_string(), Some(advice)));
        }
    };
    let links = match links(sender, claimed, now).await {
        Ok(links) => links,
        Err(wait) => return AttemptOutcome::Postponed(wait),
    };
    let signing = Signing {
        plain: plain_secret(claimed, secrets.previous.len()),
        current: secrets.current,
        previous: secrets.previous.into_iter().map(|(secret, _)| secret).collect(),
    };
    AttemptOutcome::Attempted(post(sender, claimed, call, &url, links, &signing).await)
}

/// Postpones the delivery until an operator has fixed the configuration.
fn wait_for_operator(claimed: &Claimed, now: UnixMillis, why: String) -> Wait {
    Wait { from: now, until: now.plus(OPERATOR_RETRY), why, asset_waited: claimed.asset_waited }
}

async fn post(
    sender: &Sender,
    claimed: &Claimed,
    call: &CompletedCall,
    url: &EndpointUrl,
    links: MintedLinks,
    signing: &Signing,
) -> Attempt {
    let started_at = sender.now();
    let as_text = |link: &Option<SignedUrl>| link.as_ref().map(|link| link.as_str().to_owned());
    let (recording, transcript) = (as_text(&links.recording), as_text(&links.transcript));
    let message = claimed.message();
    let links_of = Links { recording: recording.as_deref(), transcript: transcript.as_deref() };
    let body = call.body(&message, links_of);
    let mut headers = message.headers(signing, sender.wall(), &body);
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    if claimed.tries == 0 && claimed.attempts == 0 {
        sender.metrics().first_attempt_began(started_at.since(claimed.accepted_at));
    }

    let exchange = sender.0.poster.post(&claimed.workspace, url, headers, body).await;
    let Diagnosis { facts: Facts { code, .. }, english: Explanation { summary, advice } } =
        diagnose(url, &exchange, sender.0.config.attempt_timeout);
    let succeeded = exchange.is_success();
    if succeeded && !signing.previous.is_empty() {
        record_secret(sender, claimed, signing.plain).await;
    }
    tracing::info!(
        target: "webhook_assets::deliveries",
        delivery = claimed.delivery,
        endpoint = claimed.endpoint,
        host = url.host_for_logs(),
        attempt = claimed.attempts.saturating_add(1),
        code,
        took_ms = u64::try_from(exchange.took.as_millis()).unwrap_or(u64::MAX),
        "{summary}"
    );
    let answer = exchange.result.ok();
    Attempt {
        succeeded,
        retry_after: answer.as_ref().and_then(|answer| answer.retry_after),
        result: AttemptResult {
            started_at,
            took: exchange.took,
            status: answer.as_ref().map(|answer| answer.status),
            code,
            summary,
            advice,
            excerpt: answer.map(|answer| answer.excerpt).filter(|excerpt| !excerpt.is_empty()),
            links_expire: (recording.is_some() || transcript.is_some()).then_some(claimed.links_expire),
            note: links.note,
        },
    }
}

/// A failure before anything was sent.
fn not_sent(at: UnixMillis, code: &'static str, summary: &str, advice: Option<String>) -> Attempt {
    let summary = summary.to_owned();
    let result = AttemptResult { started_at: at, code, summary, advice, ..AttemptResult::default() };
    Attempt { succeeded: false, retry_after: None, result }
}

/// Chooses the secret for `X-Webhook-Signature`, which has a single signature. During an overlap, the receiver knows
/// one of several secrets. The first attempt uses the secret that the receiver last accepted; after a refusal, the next
/// attempts try the others in turn.
fn plain_secret(claimed: &Claimed, previous: usize) -> usize {
    let refused = claimed.last_status.is_some_and(|status| (400..500).contains(&status));
    let tried = if refused { usize::try_from(claimed.tries).unwrap_or_default() } else { 0 };
    (claimed.target.plain_secret.min(previous) + tried) % (previous + 1)
}

async fn record_secret(sender: &Sender, claimed: &Claimed, taken: usize) {
    if taken == claimed.target.plain_secret {
        return;
    }
    if let Err(error) = sender.ledger().prefer_secret(&claimed.endpoint, taken).await {
        tracing::warn!(endpoint = claimed.endpoint, %error, "which secret the receiver takes could not be written down");
    }
}

/// The links of one attempt.
#[derive(Debug, Default)]
struct MintedLinks {
    recording: Option<SignedUrl>,
    transcript: Option<SignedUrl>,
    note: Option<String>,
}

/// Mints a link for each existing asset. Waits up to `asset_wait` for a missing asset. After that, its link is null,
/// and a note gives the reason.
async fn links(sender: &Sender, claimed: &Claimed, now: UnixMillis) -> Result<MintedLinks, Wait> {
    let link = |kind: AssetKind, id: &Option<String>| {
        let id = id.as_deref().and_then(|id| Uuid::try_parse(id).ok());
        let minted = id.map(|id| mint(sender, claimed, AssetRef { kind, id })).transpose();
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

fn mint(
    sender: &Sender,
    claimed: &Claimed,
    asset: AssetRef,
) -> Result<SignedUrl, crate::signed_url::MintError> {
    let services = &sender.0.services;
    let lifetime = sender.0.config.link_lifetime;
    let minter =
        Minter::for_base(services.base.clone(), services.keyring.load()).with_longest_lifetime(lifetime);
    // The ledger chose the expiry: a few seconds beyond the lifetime, within every gateway's clock tolerance, and
    // different for each delivery of an event.
    let from = UnixSeconds(claimed.links_expire.0.saturating_sub(lifetime.as_secs()));
    let link = minter.mint_at(asset, lifetime, from)?;
    services.keyring.link_minted(asset.kind);
    Ok(link)
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
        let waited = humantime::format_duration(Duration::from_secs(waited.as_secs()));
        match &self.error {
            StoreError::NotFound => {
                let kind = self.kind.name();
                format!("{kind}_url is null: the {kind} was not in the store after {waited}")
            }
            error => format!(
                "the {}'s link was sent without a look whether it is there: {error}",
                self.kind.name()
            ),
        }
    }
}
