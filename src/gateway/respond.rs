//! Every status and every header field of the gateway's answers.

use std::fmt::Write;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED, REFERRER_POLICY,
    RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};

use super::body::{Body, Multipart};
use super::cors::{Cors, Permission};
use super::decide::{Content, Outcome, Selected, State};
use super::denied::{denied, document_of};
use super::range;
use super::tracker::Tracker;
use crate::asset::{AssetKind, AssetRef};
use crate::clock::UnixSeconds;
use crate::problem::Problem;
use crate::server::{LimitReached, ZeroCopy};
use crate::store::{CachedBytes, CachedFile, Meta, StoreError};

/// `Cache-Control`, but for the seconds.
pub(super) const FRESH_FOR: &str = "private, max-age=";

const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// What an answer depends on beside the outcome.
#[derive(Debug)]
pub(super) struct Respond {
    head: bool,
    /// The request's header fields made room: the answer's are written into it.
    headers: HeaderMap,
    /// If the connection can send files as they are.
    zero_copy: Option<ZeroCopy>,
    retry_after: Duration,
}

impl Respond {
    /// The answer to a request that had these header fields.
    pub(super) fn new(
        head: bool,
        mut headers: HeaderMap,
        cors: &Cors,
        zero_copy: Option<ZeroCopy>,
        retry_after: Duration,
    ) -> Self {
        let permission = cors.judge(&headers);
        headers.clear();
        common(&mut headers, &permission);
        Self { head, headers, zero_copy, retry_after }
    }

    /// An answer to somebody who asked without any header field that matters.
    pub(super) fn plainly(cors: &Cors) -> Self {
        Self::new(false, HeaderMap::new(), cors, None, Duration::ZERO)
    }

    /// The header fields so far.
    pub(super) fn into_fields(self) -> HeaderMap {
        self.headers
    }

    /// The header fields of 200 and 206 that all answers with this state of an asset have, at whatever time from `now` on.
    pub(super) fn lasting(mut self, asset: AssetRef, meta: &Meta, now: UnixSeconds) -> HeaderMap {
        self.representation(asset, meta.etag.clone(), meta.last_modified, now);
        self.headers
    }

    /// Puts an outcome into words, as of `now`.
    pub(super) fn to(
        mut self,
        outcome: Outcome,
        mut tracker: Box<Tracker>,
        now: UnixSeconds,
    ) -> Response<Body> {
        if let Outcome::Denied(denial) = &outcome {
            tracker.denied(denial);
        }
        if let Some(size) = size_of(&outcome) {
            tracker.found(size);
        }
        let word = word_for(&outcome);
        let (status, body) = match outcome {
            Outcome::AtHand { selected, held, part, bytes } => {
                self.at_hand(&selected, &held, part, bytes, now)
            }
            Outcome::Whole { selected, state, content } => {
                (StatusCode::OK, self.whole(&selected, &state, content, now))
            }
            Outcome::Part { selected, object } => {
                self.success(&selected, &object.meta.etag, object.meta.last_modified, now);
                self.headers.insert(CONTENT_RANGE, content_range(&object.range, object.meta.size));
                let body = Body::of_chunks(object.chunks, self.zero_copy.as_ref());
                (StatusCode::PARTIAL_CONTENT, self.announced(body))
            }
            Outcome::Parts { selected, meta, first, others, store } => {
                self.success(&selected, &meta.etag, meta.last_modified, now);
                let boundary = new_boundary();
                let media_type = format!("multipart/byteranges; boundary={boundary}");
                insert(&mut self.headers, CONTENT_TYPE, media_type);
                let grant = selected.grant;
                let parts = Multipart { grant, meta, first, others, store, boundary };
                (StatusCode::PARTIAL_CONTENT, self.announced(Body::multipart(parts)))
            }
            Outcome::NotModified { selected, etag, last_modified } => {
                self.validators(selected.grant.asset().kind, etag, last_modified, now);
                self.freshness(&selected, now);
                (StatusCode::NOT_MODIFIED, Body::none())
            }
            Outcome::Options => {
                self.headers.insert(ALLOW, ALLOWED_METHODS);
                (StatusCode::NO_CONTENT, Body::none())
            }
            other => self.problem(&other, now),
        };
        tracker.answered(status, word);
        let mut response = Response::new(body.tracked(tracker));
        *response.status_mut() = status;
        *response.headers_mut() = self.headers;
        response
    }

    fn at_hand(
        &mut self,
        selected: &Selected,
        held: &CachedFile,
        part: Option<Range<u64>>,
        bytes: Option<CachedBytes>,
        now: UnixSeconds,
    ) -> (StatusCode, Body) {
        self.success(selected, &held.meta.etag, held.meta.last_modified, now);
        let (status, range) = match part {
            None => (StatusCode::OK, 0..held.meta.size),
            Some(range) => {
                self.headers.insert(CONTENT_RANGE, content_range(&range, held.meta.size));
                (StatusCode::PARTIAL_CONTENT, range)
            }
        };
        self.headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
        let body = match (bytes, &self.zero_copy) {
            (Some(CachedBytes::Read(bytes)), _) => Body::from(bytes),
            (Some(CachedBytes::InMemory), Some(zero_copy)) => {
                Body::of_file(held.slice(&range), zero_copy, true)
            }
            _ => Body::none(),
        };
        (status, body)
    }

    fn whole(&mut self, selected: &Selected, state: &State, content: Content, now: UnixSeconds) -> Body {
        self.success(selected, &state.etag, state.last_modified, now);
        if let Some(coding) = selected.coding.name() {
            self.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        let (length, body) = match content {
            Content::Unopened => (state.size, Body::none()),
            Content::Stored(chunks) => (state.size, Body::of_chunks(chunks, self.zero_copy.as_ref())),
            Content::Endless(pieces) => (None, Body::of_unknown_length(pieces)),
            Content::Compressed(bytes) => (Some(bytes.len() as u64), Body::from(bytes)),
            Content::Compressing(pieces) => (None, Body::of_unknown_length(pieces)),
        };
        if let Some(length) = length {
            self.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        match (self.head, length) {
            (false, _) => body,
            (true, Some(_)) => Body::none(),
            (true, None) => Body::unsaid(),
        }
    }

    /// The header fields of 200 and 206. What differs from answer to answer stands behind what does not.
    fn success(&mut self, selected: &Selected, etag: &str, modified: UnixSeconds, now: UnixSeconds) {
        self.representation(selected.grant.asset(), selected.coding.etag(etag), modified, now);
        self.freshness(selected, now);
    }

    fn representation(&mut self, asset: AssetRef, etag: String, modified: UnixSeconds, now: UnixSeconds) {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind.media_type()));
        insert(&mut self.headers, CONTENT_DISPOSITION, asset.disposition());
        self.headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        self.validators(asset.kind, etag, Some(modified), now);
    }

    /// The header fields that 200, 206 and 304 have in common (RFC 9110 §15.4.5), with those of [`Self::freshness`].
    fn validators(&mut self, kind: AssetKind, etag: String, modified: Option<UnixSeconds>, now: UnixSeconds) {
        insert(&mut self.headers, ETAG, etag);
        // A store that does not know says 1970.
        if let Some(modified) = modified.filter(|modified| *modified > UnixSeconds(0)) {
            // Never later than the answer itself (RFC 9110 §8.8.2.1).
            let date = httpdate::fmt_http_date(modified.min(now).to_system_time());
            insert(&mut self.headers, LAST_MODIFIED, date);
        }
        if kind.is_compressible() {
            self.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
    }

    /// The answer may be used again as long as its link is good.
    fn freshness(&mut self, selected: &Selected, now: UnixSeconds) {
        let seconds = selected.grant.remaining(now).as_secs();
        insert(&mut self.headers, CACHE_CONTROL, format!("{FRESH_FOR}{seconds}"));
    }

    /// The body, after its length was said.
    fn announced(&mut self, body: Body) -> Body {
        if let Some(length) = body.length() {
            self.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        body
    }

    fn problem(&mut self, outcome: &Outcome, now: UnixSeconds) -> (StatusCode, Body) {
        let retry = matches!(outcome, Outcome::Busy(_) | Outcome::Unrecorded)
            || matches!(outcome, Outcome::StoreFailed(error) if status_of(error) == StatusCode::SERVICE_UNAVAILABLE);
        let headers = &mut self.headers;
        if retry {
            headers.insert(RETRY_AFTER, HeaderValue::from(self.retry_after.as_secs().max(1)));
        }
        match outcome {
            Outcome::MethodNotAllowed => {
                headers.insert(ALLOW, ALLOWED_METHODS);
            }
            Outcome::Unsatisfiable { size } => {
                insert(headers, CONTENT_RANGE, format!("bytes */{size}"));
                headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            }
            _ => {}
        }
        let document = match outcome {
            Outcome::Denied(denial) => document_of(denial, now),
            other => problem_document(other, now).into_document(),
        };
        document.insert_headers(headers);
        (document.status, if self.head { Body::none() } else { Body::from(document.bytes) })
    }
}

fn problem_document(outcome: &Outcome, now: UnixSeconds) -> Problem {
    match outcome {
        Outcome::NoSuchRoute => Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_route",
            "No such path",
            "There is nothing at this path. A signed link looks like \
                 /webhook-assets/recording/{uuid}?expires=…&sig=…: copy it whole.",
        ),
        Outcome::NotFound(grant) => Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "Not found",
            &format!(
                "The link is good, but there is no {} for this call: it is not stored yet, or was deleted. \
                     Try again in a minute; if it stays away, ask the sender of the link.",
                grant.asset().kind
            ),
        ),
        Outcome::MethodNotAllowed => Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Method not allowed",
            "A link is for reading: use GET, HEAD or OPTIONS.",
        ),
        Outcome::PreconditionFailed => Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition_failed",
            "Precondition failed",
            "The object is no longer the version that If-Match or If-Unmodified-Since asks for. Download it anew.",
        ),
        Outcome::Unsatisfiable { size } => Problem::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "range_not_satisfiable",
            "Range not satisfiable",
            &format!(
                "The range lies outside the object, which has {size} bytes. It may be downloaded already."
            ),
        ),
        Outcome::Busy(LimitReached::Address) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_requests_from_address",
            "Too many downloads from your address",
            "Your address has as many downloads in flight as one may have while others are served. The link stays good: let \
                 some of them end, and try again after the seconds in Retry-After.",
        ),
        Outcome::Busy(LimitReached::Total) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_requests_in_flight",
            "Busy",
            "Too many downloads are in flight. The link stays good: try again after the seconds in Retry-After.",
        ),
        Outcome::Unrecorded => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "audit_unavailable",
            "Downloads cannot be recorded",
            "Downloads have to be recorded here, and at present cannot be. The link stays good: try again after the \
                 seconds in Retry-After.",
        ),
        Outcome::StoreFailed(error) => store_failed(error),
        Outcome::Denied(denial) => denied(denial, now),
        // Answered before this is asked.
        Outcome::Options
        | Outcome::AtHand { .. }
        | Outcome::Whole { .. }
        | Outcome::Part { .. }
        | Outcome::Parts { .. }
        | Outcome::NotModified { .. } => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", "Please try again.")
        }
    }
}

/// What the server refused before it was routed, dressed and recorded like every other answer.
pub(super) fn refused(
    mut response: Response<Bytes>,
    cors: &Permission,
    mut tracker: Box<Tracker>,
) -> Response<Body> {
    common(response.headers_mut(), cors);
    let overloaded = response.status() == StatusCode::SERVICE_UNAVAILABLE;
    tracker
        .answered(response.status(), if overloaded { "too_many_from_address" } else { "malformed_request" });
    let body = if response.body().is_empty() { |_| Body::none() } else { Body::from };
    response.map(body).map(|body| body.tracked(tracker))
}

/// 503 where waiting may help, 502 where somebody must act.
fn status_of(error: &StoreError) -> StatusCode {
    match error {
        StoreError::Refused(_)
        | StoreError::Misplaced(_)
        | StoreError::Withheld(_)
        | StoreError::Broken(_) => StatusCode::BAD_GATEWAY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn store_failed(error: &StoreError) -> Problem {
    match error {
        // Said once, when the store went down.
        StoreError::Down => {}
        _ => tracing::warn!(%error, reason = error.reason(), "the store failed a request"),
    }
    let status = status_of(error);
    if status == StatusCode::BAD_GATEWAY {
        return Problem::new(
            status,
            "storage_error",
            "Storage error",
            &format!(
                "The storage behind this link does not work as it should: {}. The link stays good: try again later.",
                error.public_text()
            ),
        );
    }
    Problem::new(
        status,
        "storage_unavailable",
        "Storage unavailable",
        "The storage behind this link does not answer. The link stays good: try again after the seconds in Retry-After.",
    )
}

/// How many bytes the whole asset has, where it was found.
fn size_of(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::AtHand { held, .. } => Some(held.meta.size),
        Outcome::Whole { state, .. } => state.size,
        Outcome::Parts { meta, .. } => Some(meta.size),
        Outcome::Part { object, .. } => Some(object.meta.size),
        Outcome::Unsatisfiable { size } => Some(*size),
        _ => None,
    }
}

/// The outcome in a word of a fixed set, for the access record.
fn word_for(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::NoSuchRoute => "no_such_route",
        Outcome::MethodNotAllowed => "method_not_allowed",
        Outcome::Options => "options",
        Outcome::Denied(denial) => denial.reason(),
        Outcome::Busy(LimitReached::Total) => "busy",
        Outcome::Busy(LimitReached::Address) => "too_many_from_address",
        Outcome::Unrecorded => "unrecorded",
        Outcome::NotFound(_) => "not_found",
        Outcome::StoreFailed(error) => match error.reason() {
            "timed_out" => "store_timed_out",
            "refused" => "store_refused",
            "misplaced" => "store_misplaced",
            "withheld" => "store_withheld",
            "broken" => "store_broken",
            "down" => "store_down",
            "changed" => "store_changed",
            _ => "store_unavailable",
        },
        Outcome::NotModified { .. } => "not_modified",
        Outcome::PreconditionFailed => "precondition_failed",
        Outcome::Unsatisfiable { .. } => "unsatisfiable",
        Outcome::AtHand { .. } | Outcome::Whole { .. } | Outcome::Part { .. } | Outcome::Parts { .. } => "ok",
    }
}

/// What every answer says: do not guess, do not tell, do not index; and which pages may read it.
fn common(headers: &mut HeaderMap, permission: &Permission) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(ROBOTS, HeaderValue::from_static("noindex"));
    headers.insert(CORP, HeaderValue::from_static("cross-origin"));
    permission.tell(headers);
}

fn content_range(range: &Range<u64>, size: u64) -> HeaderValue {
    let text = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static("bytes */*"))
}

/// Inserts a value that this program made, of printable ASCII; anything else is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
        headers.insert(name, value);
    }
}

/// A boundary that no object can contain by intent: nobody outside can know it beforehand.
fn new_boundary() -> String {
    let mut bytes = [0; range::BOUNDARY_LEN / 2];
    if getrandom::fill(&mut bytes).is_err() {
        tracing::error!("the system gives no random bytes");
    }
    bytes.iter().fold(String::with_capacity(range::BOUNDARY_LEN), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
