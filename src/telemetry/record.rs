//! The record of a request for the access log, the audit and traces.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode, Version};

use crate::asset::{AssetRef, TranscriptFormat};
use crate::clock::{Moment, UnixSeconds};
use crate::signed_url::{Denial, Grant, KeyId};

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyEnd {
    /// The whole body was written to the connection.
    Complete,
    /// The client closed the connection early; normal for players that seek and for preview bots.
    ClientLeft,
    /// The client read too slowly for too long and was disconnected.
    ClientStalled,
    /// The store failed, so the server closed the connection.
    StoreFailed,
}

impl BodyEnd {
    /// The name for logs and metrics.
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

/// A download that sent its whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CompletedDownload {
    /// The downloaded asset.
    pub asset: AssetRef,
    /// When its link expires.
    pub link_expires: UnixSeconds,
}

/// The id of a request, unique across all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(u64);

impl RequestId {
    /// The next id of this process.
    #[must_use]
    pub fn next() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Self(COUNT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        let process = PROCESS.get_or_init(|| {
            // Without random bytes, the process id and the time still tell requests apart.
            let mut bytes = [0; 8];
            if getrandom::fill(&mut bytes).is_err() {
                return u64::from(std::process::id());
            }
            u64::from_be_bytes(bytes)
        });
        write!(f, "{process:016x}{:016x}", self.0)
    }
}

/// Text from the client, as received. It may contain a signature, so only this room reads it.
#[derive(Clone, Default)]
pub struct Untrusted<'r>(Cow<'r, [u8]>);

impl<'r> Untrusted<'r> {
    /// The longest text to keep, in bytes. Records contain less of it.
    const LONGEST: usize = 4 * 1024;

    /// The first 4 KiB of `text`.
    #[must_use]
    pub fn of(text: &'r [u8]) -> Self {
        Self(text.get(..Self::LONGEST).unwrap_or(text).into())
    }

    /// A copy that outlives the request's head.
    #[must_use]
    pub fn into_owned(self) -> Untrusted<'static> {
        Untrusted(Cow::Owned(self.0.into_owned()))
    }

    pub(super) fn text(&self) -> Cow<'_, str> {
        // Almost every text is UTF-8, and this check is faster.
        match std::str::from_utf8(&self.0) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(&self.0),
        }
    }
}

impl fmt::Debug for Untrusted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// The record of one request. The gateway fills it in while it serves the request; `RequestLogs::write` writes it once.
#[derive(Debug)]
pub struct AccessRecord<'r> {
    /// The client's address.
    pub peer: SocketAddr,
    /// The request's method.
    pub method: Method,
    /// The request's protocol version.
    pub version: Version,
    /// The request's id, if the audit is on.
    pub request_id: Option<RequestId>,
    /// The request's target, if a log needs it. The log removes every signature.
    pub target: Untrusted<'r>,
    /// The `User-Agent`, if a log needs it. The log truncates it.
    pub user_agent: Option<Untrusted<'r>>,
    /// The `Range`, if the audit is on.
    pub range: Option<Untrusted<'r>>,
    /// The requested asset, once the path names one.
    pub asset: Option<AssetRef>,
    /// The format that the transcript is requested in, if not as it is stored.
    pub format: Option<TranscriptFormat>,
    /// When the link expires, if its signature is valid.
    pub link_expires: Option<UnixSeconds>,
    /// The id of the signing key, if the signature is valid.
    pub key_id: Option<KeyId>,
    /// The response status.
    pub status: StatusCode,
    /// The outcome in a word: `ok`, `expired`, `no_key_fits`, `not_found` …
    pub outcome: &'static str,
    /// The length of the response body in bytes, if known in advance.
    pub length: Option<u64>,
    /// The body bytes that were written to the connection.
    pub sent: u64,
    /// The size of the whole asset in bytes, if it was found.
    pub size: Option<u64>,
    /// When the request's head arrived.
    pub started: Moment,
    /// The time until the response head was ready.
    pub head_after: Duration,
}

impl<'r> AccessRecord<'r> {
    /// A copy that lives until the body ends.
    #[must_use]
    pub fn into_owned(self) -> AccessRecord<'static> {
        AccessRecord {
            target: self.target.into_owned(),
            user_agent: self.user_agent.map(Untrusted::into_owned),
            range: self.range.map(Untrusted::into_owned),
            ..self
        }
    }

    /// Records that the link is valid.
    pub fn granted(&mut self, grant: &Grant) {
        self.asset = Some(grant.asset());
        self.link_expires = Some(grant.expires());
        self.key_id = Some(grant.key_id().clone());
    }

    /// Records that the link is not valid. An expired link still names its asset.
    pub fn denied(&mut self, denial: &Denial) {
        if let Denial::Expired { asset, key_id, .. } = denial {
            self.asset = Some(*asset);
            self.key_id = Some(key_id.clone());
        }
    }

    /// The download, if the response sent bytes of the asset and the body is complete.
    #[must_use]
    pub fn downloaded(&self, ending: BodyEnd) -> Option<CompletedDownload> {
        let sent_all = ending == BodyEnd::Complete && self.sent > 0;
        let of_the_asset = matches!(self.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
        let (Some(asset), Some(link_expires)) = (self.asset, self.link_expires) else { return None };
        (sent_all && of_the_asset).then_some(CompletedDownload { asset, link_expires })
    }
}

/// The longest header field that a log contains, in characters.
const LONGEST_FIELD: usize = 120;

pub(super) fn truncated(text: &str) -> &str {
    let end = text.char_indices().nth(LONGEST_FIELD).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
