//! What is recorded of a request, for the access log, the audit and the traces.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode, Version};

use crate::asset::AssetRef;
use crate::clock::{Moment, UnixSeconds};
use crate::signed_url::{Denial, Grant, KeyId};

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyEnd {
    /// Everything was handed to the connection.
    Complete,
    /// The client closed the connection first; normal for players that seek and for preview bots.
    ClientLeft,
    /// The client read too little for too long and was disconnected.
    ClientStalled,
    /// The store failed, so the connection was closed.
    StoreFailed,
}

impl BodyEnd {
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CompletedDownload {
    /// What was downloaded.
    pub asset: AssetRef,
    /// When its link expires.
    pub link_expires: UnixSeconds,
}

/// The id of a request, unique among all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(u64);

impl RequestId {
    /// The next one of this process.
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
            // Without random bytes, number and time still tell requests apart.
            let mut bytes = [0; 8];
            if getrandom::fill(&mut bytes).is_err() {
                return u64::from(std::process::id());
            }
            u64::from_be_bytes(bytes)
        });
        write!(f, "{process:016x}{:016x}", self.0)
    }
}

/// A text of the client's, as received. It may contain a signature, so only this room reads it.
#[derive(Clone, Default)]
pub struct Untrusted<'r>(Cow<'r, [u8]>);

impl<'r> Untrusted<'r> {
    /// The longest text that is kept, in bytes. Records have less of it.
    const LONGEST: usize = 4 * 1024;

    /// The beginning of `text`.
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
        // Almost every text is UTF-8, and this check is the faster one.
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

/// The record of one request. Filled in while the request is served, written once by `RequestLogs::write`.
#[derive(Debug)]
pub struct AccessRecord<'r> {
    /// The client's address.
    pub peer: SocketAddr,
    /// The request's method.
    pub method: Method,
    /// The request's protocol version.
    pub version: Version,
    /// The request's id, if there is an audit.
    pub request_id: Option<RequestId>,
    /// The request's target, if it will be written; every signature is removed then.
    pub target: Untrusted<'r>,
    /// The `User-Agent`, if it will be written; truncated then.
    pub user_agent: Option<Untrusted<'r>>,
    /// The `Range`, if there is an audit.
    pub range: Option<Untrusted<'r>>,
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
    /// How many bytes the whole asset has, if it was found.
    pub size: Option<u64>,
    /// When the request's head had arrived.
    pub started: Moment,
    /// How long until the answer's head was ready.
    pub head_after: Duration,
}

impl<'r> AccessRecord<'r> {
    /// A copy that is kept until the body ends.
    #[must_use]
    pub fn into_owned(self) -> AccessRecord<'static> {
        AccessRecord {
            target: self.target.into_owned(),
            user_agent: self.user_agent.map(Untrusted::into_owned),
            range: self.range.map(Untrusted::into_owned),
            ..self
        }
    }

    /// The link is good.
    pub fn granted(&mut self, grant: &Grant) {
        self.asset = Some(grant.asset());
        self.link_expires = Some(grant.expires());
        self.key_id = Some(grant.key_id().clone());
    }

    /// The link is not; the record of an expired one still has its asset.
    pub fn denied(&mut self, denial: &Denial) {
        if let Denial::Expired { asset, key_id, .. } = denial {
            self.asset = Some(*asset);
            self.key_id = Some(key_id.clone());
        }
    }

    /// The download, if bytes of the asset were sent to the end.
    #[must_use]
    pub fn downloaded(&self, ending: BodyEnd) -> Option<CompletedDownload> {
        let sent_all = ending == BodyEnd::Complete && self.sent > 0;
        let of_the_asset = matches!(self.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
        let (Some(asset), Some(link_expires)) = (self.asset, self.link_expires) else { return None };
        (sent_all && of_the_asset).then_some(CompletedDownload { asset, link_expires })
    }
}

/// The longest header field that is written, in characters.
const LONGEST_FIELD: usize = 120;

pub(super) fn truncated(text: &str) -> &str {
    let end = text.char_indices().nth(LONGEST_FIELD).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
