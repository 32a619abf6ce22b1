//! One record for each request, written when its body ends: who asked for what, what was answered, how much was
//! sent, and how it ended. Never a signature.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Version};

use super::metrics::Metrics;
use crate::asset::AssetRef;
use crate::clock::UnixSeconds;
use crate::signed_url::KeyId;

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Everything was handed to the connection.
    Complete,
    /// The client went away first; normal for players that seek and for preview bots.
    ClientLeft,
    /// The client took so little for so long that it was left.
    ClientStalled,
    /// The store broke off, and so did we.
    StoreFailed,
}

impl Ending {
    /// The word for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientLeft => "client_left",
            Self::ClientStalled => "client_stalled",
            Self::StoreFailed => "store_failed",
        }
    }
}

/// A link that was followed to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downloaded {
    /// What was downloaded.
    pub asset: AssetRef,
    /// When its link expires.
    pub link_expires: UnixSeconds,
}

/// What is recorded of one request. Filled in along the way, written once by [`AccessRecord::write`].
#[derive(Debug)]
pub struct AccessRecord {
    /// The client's address.
    pub peer: SocketAddr,
    /// The request's method.
    pub method: Method,
    /// The request's protocol version.
    pub version: Version,
    /// The request's target with every signature removed.
    pub target: String,
    /// The `User-Agent`, shortened.
    pub user_agent: Option<String>,
    /// What was asked for, once the path names an asset.
    pub asset: Option<AssetRef>,
    /// When the link expires, if its signature is good.
    pub link_expires: Option<UnixSeconds>,
    /// The key that signed, if the signature is good.
    pub key_id: Option<KeyId>,
    /// The answer's status.
    pub status: StatusCode,
    /// The answer in a word: `ok`, `expired`, `no_key_fits`, `not_found` …
    pub outcome: &'static str,
    /// How many bytes the answer's body has, if known beforehand.
    pub length: Option<u64>,
    /// How many of them were handed to the connection.
    pub sent: u64,
    /// When the request's head had arrived.
    pub started: Instant,
    /// How long until the answer's head was ready.
    pub head_after: Duration,
}

impl AccessRecord {
    /// Writes the record and counts it.
    pub fn write(&self, ending: Ending, metrics: &Metrics) {
        let took = self.started.elapsed();
        metrics.request_ended(self, ending, took);
        let asset = self.asset.map(|asset| asset.kind.name());
        let id = self.asset.map(|asset| asset.id.to_string());
        tracing::info!(
            target: "webhook_assets::access",
            peer = %self.peer,
            method = %self.method,
            target = %self.target,
            version = ?self.version,
            status = self.status.as_u16(),
            outcome = self.outcome,
            asset,
            id,
            key_id = self.key_id.as_deref(),
            sent = self.sent,
            length = self.length,
            ending = ending.name(),
            head_ms = millis(self.head_after),
            took_ms = millis(took),
            user_agent = self.user_agent.as_deref(),
            "{}", self.sentence(ending)
        );
    }

    /// The download that this was, if it was one: bytes of the asset, to the end of the answer.
    #[must_use]
    pub fn downloaded(&self, ending: Ending) -> Option<Downloaded> {
        let sent_all = ending == Ending::Complete && self.sent > 0;
        let of_the_asset = matches!(self.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
        let (Some(asset), Some(link_expires)) = (self.asset, self.link_expires) else { return None };
        (sent_all && of_the_asset).then_some(Downloaded { asset, link_expires })
    }

    fn sentence(&self, ending: Ending) -> Cow<'static, str> {
        match (ending, self.asset) {
            (Ending::Complete, Some(asset)) if self.outcome == "ok" => format!("sent the {asset}").into(),
            (Ending::Complete, _) => format!("answered {} {}", self.status.as_u16(), self.outcome).into(),
            (Ending::ClientLeft, _) => "the client left before the end".into(),
            (Ending::ClientStalled, _) => {
                "the client took too little, so the connection was broken off".into()
            }
            (Ending::StoreFailed, _) => "the store failed, so the connection was broken off".into(),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The longest target that is logged, in bytes.
const LONGEST_TARGET: usize = 512;

/// A request target that may be logged: the value of whatever ends in `sig`, and every run of 16 or more hexadecimal
/// digits wherever it stands, is replaced. Cut at 512 bytes.
#[must_use]
pub fn redact_target(path_and_query: &str) -> String {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let mut target = redact_digits(path);
    for (at, pair) in query.split('&').enumerate().filter(|_| !query.is_empty()) {
        target.push(if at == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().ends_with("sig") => {
                target.push_str(&redact_digits(name));
                target.push_str("=[redacted]");
            }
            _ => target.push_str(&redact_digits(pair)),
        }
    }
    if target.len() > LONGEST_TARGET {
        let end = (0..=LONGEST_TARGET).rev().find(|at| target.is_char_boundary(*at)).unwrap_or_default();
        target.truncate(end);
        target.push('…');
    }
    target
}

fn redact_digits(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        let others = rest.bytes().skip(digits).take_while(|b| !b.is_ascii_hexdigit()).count();
        let (run, after) = rest.split_at(digits);
        let (between, after) = after.split_at(others);
        redacted.push_str(if digits >= 16 { "[redacted]" } else { run });
        redacted.push_str(between);
        rest = after;
    }
    redacted
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIG: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn no_signature_survives_redaction() {
        let id = "550e8400-e29b-41d4-a716-446655440000";
        let spoiled = SIG.replacen('d', "Z", 1);
        for target in [
            format!("/webhook-assets/recording/{id}?expires=1&sig={SIG}"),
            format!("/webhook-assets/recording/{id}?expires=1&amp;sig={SIG}&x=y"),
            format!("/webhook-assets/recording/{id}?SIG={SIG}"),
            format!("/webhook-assets/recording/{id}%3Fexpires=1%26sig={SIG}"),
            format!("/webhook-assets/recording/{id}?expires=1&sig={spoiled}"),
            format!("/x/{SIG}/y?q={SIG}"),
            format!("/x?{SIG}"),
        ] {
            let logged = redact_target(&target);
            assert!(!logged.contains(&SIG[40..]) && logged.contains("[redacted]"), "{logged}");
        }
        let logged =
            redact_target(&format!("/webhook-assets/recording/{id}?expires=1734567890&sig={SIG}&utm=a"));
        assert_eq!(logged, format!("/webhook-assets/recording/{id}?expires=1734567890&sig=[redacted]&utm=a"));
    }

    #[test]
    fn a_long_or_strange_target_is_cut_at_a_character() {
        let logged = redact_target(&"/é".repeat(1_000));
        assert!(logged.len() <= LONGEST_TARGET + '…'.len_utf8());
        assert_eq!(redact_target(""), "");
        assert_eq!(redact_target("/a?"), "/a");
    }
}
