//! Makes one attempt: signs and posts the body, and diagnoses the response.

use std::time::Duration;

use super::delivery_log::log_delivery;
use super::handle::Sender;
use super::links::{MintedLinks, Wait, links, wait_for_operator};
use crate::clock::UnixMillis;
use crate::ledger::{AttemptResult, Claimed, Lane};
use crate::signed_url::SignedUrl;
use crate::webhook::{
    CompletedCall, CustomHeaders, Diagnosis, EndpointUrl, Exchange, Explanation, Facts, Links, PostError,
    ProxyError, Signing, diagnose,
};

/// How long a delivery waits for the proxy: twice as long as before, at least and at most this.
const PROXY_RETRY: Duration = Duration::from_secs(5);
const PROXY_RETRY_LATE: Duration = Duration::from_secs(5 * 60);

/// The outcome of a claimed delivery.
#[derive(Debug)]
pub(super) enum AttemptOutcome {
    /// An attempt was made.
    Attempted(Box<Attempt>),
    /// No attempt was made: the delivery waits.
    Postponed(Wait),
    /// No attempt was made: the lease has ended, and another claim has the delivery.
    LeaseLost,
}

/// An attempt that was made.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) succeeded: bool,
    /// Whether it says something about the receiver. A rule of the proxy does not.
    pub(super) is_of_receiver: bool,
    pub(super) retry_after: Option<Duration>,
    pub(super) result: AttemptResult,
}

/// Makes one attempt, or returns why the delivery must wait.
pub(super) async fn attempt(sender: &Sender, claimed: &Claimed) -> AttemptOutcome {
    let now = sender.now();
    let (Some(secrets), Some(headers)) = (claimed.secrets.clone(), &claimed.headers) else {
        let what = if claimed.secrets.is_none() { "secret does" } else { "headers do" };
        log_delivery!(error, claimed, "an endpoint's {what} not open with the key file in use");
        let why =
            format!("the endpoint's {what} not open with the key file in use (webhooks.secret_key_file)");
        return AttemptOutcome::Postponed(wait_for_operator(claimed, now, why));
    };
    let Some(call) = &claimed.call else {
        return not_sent(now, "stored_event", "the stored event cannot be read any more", None);
    };
    let url = match sender.url(&claimed.target.url) {
        Ok(url) => url,
        Err(error) => {
            let advice = "change the endpoint's URL, then send the delivery again".to_owned();
            return not_sent(now, "url", &error.to_string(), Some(advice));
        }
    };
    let links = match links(sender, claimed, now).await {
        Ok(links) => links,
        Err(wait) => return AttemptOutcome::Postponed(wait),
    };
    if !sender.hold_lease(claimed).await {
        return AttemptOutcome::LeaseLost;
    }
    let signing = Signing {
        plain: plain_secret(claimed, secrets.previous.len()),
        current: secrets.current,
        previous: secrets.previous.into_iter().map(|(secret, _)| secret).collect(),
    };
    let request = Request { call, url: &url, links, signing: &signing, headers };
    post(sender, claimed, request).await
}

/// What an attempt sends, and where to.
struct Request<'a> {
    call: &'a CompletedCall,
    url: &'a EndpointUrl,
    links: MintedLinks,
    signing: &'a Signing,
    headers: &'a CustomHeaders,
}

async fn post(sender: &Sender, claimed: &Claimed, request: Request<'_>) -> AttemptOutcome {
    let Request { call, url, links, signing, headers: custom } = request;
    let started_at = sender.now();
    let as_text = |link: &Option<SignedUrl>| link.as_ref().map(|link| link.as_str().to_owned());
    let (recording, transcript) = (as_text(&links.recording), as_text(&links.transcript));
    let message = claimed.message();
    let links_of = Links { recording: recording.as_deref(), transcript: transcript.as_deref() };
    let body = call.body(&message, links_of);
    let mut headers = custom.to_map();
    // Ours replace fields of the same name.
    headers.extend(message.headers(signing, sender.wall(), &body));
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    let mut exchange = sender.0.poster.post(&claimed.workspace, url, headers, body).await;
    if let Ok(response) = &mut exchange.result {
        response.redact(custom);
    }
    let Diagnosis { facts: Facts { code, .. }, english: Explanation { summary, advice } } =
        diagnose(url, &exchange, sender.0.config.attempt_timeout);
    let succeeded = exchange.is_success();
    if succeeded && !signing.previous.is_empty() {
        record_secret(sender, claimed, signing.plain).await;
    }
    log_delivery!(
        info,
        claimed,
        host = url.host_for_logs(),
        attempt = claimed.attempts.saturating_add(1),
        code,
        took_ms = u64::try_from(exchange.took.as_millis()).unwrap_or(u64::MAX),
        "{summary}"
    );
    let trouble = proxy_trouble(&exchange);
    if let Some(trouble) = trouble.filter(|trouble| trouble.may_pass()) {
        sender.metrics().attempt_ended(code, exchange.took);
        return AttemptOutcome::Postponed(wait_for_proxy(claimed, sender.now(), trouble));
    }
    // A backfill sends calls that were accepted long ago.
    if claimed.tries == 0 && claimed.attempts == 0 && claimed.lane != Lane::Retry {
        sender.metrics().first_attempt_began(started_at.since(claimed.accepted_at));
    }
    let is_of_receiver = trouble.is_none_or(|trouble| !trouble.is_of_proxy());
    let answer = exchange.result.ok();
    let answered = answer.as_ref().map(|answer| answer.fields.clone()).unwrap_or_default();
    AttemptOutcome::Attempted(Box::new(Attempt {
        succeeded,
        is_of_receiver,
        retry_after: answer.as_ref().and_then(|answer| answer.retry_after),
        result: AttemptResult {
            started_at,
            took: exchange.took,
            status: answer.as_ref().map(|answer| answer.status),
            code,
            summary,
            advice,
            excerpt: answer.map(|answer| answer.excerpt).filter(|excerpt| !excerpt.is_empty()),
            sent: exchange.sent,
            answered,
            phases: exchange.phases,
            links_expire: (recording.is_some() || transcript.is_some()).then_some(claimed.links_expire),
            nulls: links.nulls(),
            note: links.note,
        },
    }))
}

fn proxy_trouble(exchange: &Exchange) -> Option<&ProxyError> {
    match &exchange.result {
        Err(PostError::Proxy(trouble)) => Some(trouble),
        _ => None,
    }
}

/// Postpones the delivery until the proxy works again: it has cost no attempt, as nothing left this network.
fn wait_for_proxy(claimed: &Claimed, now: UnixMillis, trouble: &ProxyError) -> Wait {
    log_delivery!(warn, claimed, detail = trouble.detail(), "{trouble}");
    let waited = claimed.scheduled_at.map_or(Duration::ZERO, |since| now.since(since));
    let until = now.plus(waited.saturating_mul(2).clamp(PROXY_RETRY, PROXY_RETRY_LATE));
    Wait { from: now, until, why: trouble.to_string(), asset_waited: claimed.asset_waited }
}

/// A failure before anything was sent.
fn not_sent(at: UnixMillis, code: &'static str, summary: &str, advice: Option<String>) -> AttemptOutcome {
    let summary = summary.to_owned();
    let result = AttemptResult { started_at: at, code, summary, advice, ..AttemptResult::default() };
    AttemptOutcome::Attempted(Box::new(Attempt {
        succeeded: false,
        is_of_receiver: true,
        retry_after: None,
        result,
    }))
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
        log_delivery!(warn, claimed, %error, "which secret the receiver takes could not be written down");
    }
}
