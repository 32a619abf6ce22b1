//! Every status and every header field of the gateway's answers.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED, REFERRER_POLICY,
    RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use serde_json::Value;

use super::body::{Body, Multipart, Tracker};
use super::decide::{Content, Outcome, Selected};
use super::range;
use crate::clock::UnixSeconds;
use crate::problem::Problem;
use crate::server::Files;
use crate::signed_url::Denial;
use crate::store::{Meta, StoreError};

const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// What an answer depends on beside the outcome.
pub(super) struct Respond<'r> {
    pub(super) head: bool,
    pub(super) now: UnixSeconds,
    pub(super) retry_after: Duration,
    /// If the connection can send files as they are.
    pub(super) files: Option<&'r Files>,
}

impl Respond<'_> {
    /// Puts an outcome into words.
    pub(super) fn to(&self, outcome: Outcome, mut tracker: Tracker) -> Response<Body> {
        if let Outcome::Denied(denial) = &outcome {
            tracker.denied(denial);
        }
        if let Some(size) = size_of(&outcome) {
            tracker.found(size);
        }
        let word = word_for(&outcome);
        let mut response = match outcome {
            Outcome::Whole { selected, meta, content } => self.whole(&selected, &meta, content),
            Outcome::Part { selected, object } => {
                let mut response = self.success(StatusCode::PARTIAL_CONTENT, &selected, &object.meta);
                let content_range = content_range(&object.range, object.meta.size);
                response.headers_mut().insert(CONTENT_RANGE, content_range);
                with_body(response, Body::of_chunks(object.chunks, self.files))
            }
            Outcome::Parts { selected, meta, first, others, store } => {
                let mut response = self.success(StatusCode::PARTIAL_CONTENT, &selected, &meta);
                let boundary = new_boundary();
                let media_type = format!("multipart/byteranges; boundary={boundary}");
                insert(response.headers_mut(), CONTENT_TYPE, &media_type);
                let grant = selected.grant;
                let parts = Multipart { grant, meta, first, others, store, boundary };
                with_body(response, Body::multipart(parts))
            }
            Outcome::NotModified { selected, etag, last_modified } => {
                self.not_modified(&selected, &etag, last_modified)
            }
            Outcome::Options => {
                let mut response = Response::new(Body::none());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response.headers_mut().insert(ALLOW, ALLOWED_METHODS);
                response
            }
            other => self.problem(&other),
        };
        common(response.headers_mut());
        tracker.answered(response.status(), word);
        response.map(|body| body.tracked(tracker))
    }

    fn whole(&self, selected: &Selected, meta: &Meta, content: Content) -> Response<Body> {
        let mut response = self.success(StatusCode::OK, selected, meta);
        if let Some(coding) = selected.coding.name() {
            insert(response.headers_mut(), CONTENT_ENCODING, coding);
        }
        let (length, body) = match content {
            Content::Unopened => (Some(meta.size), Body::none()),
            Content::Stored(chunks) => (Some(meta.size), Body::of_chunks(chunks, self.files)),
            Content::Compressed(bytes) => (Some(bytes.len() as u64), Body::from(bytes)),
            Content::Compressing(pieces) => (None, Body::of_unknown_length(pieces)),
        };
        if let Some(length) = length {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        match (self.head, length) {
            (false, _) => response.map(|_| body),
            (true, Some(_)) => response,
            (true, None) => response.map(|_| Body::unsaid()),
        }
    }

    /// The header fields of 200 and 206.
    fn success(&self, status: StatusCode, selected: &Selected, meta: &Meta) -> Response<Body> {
        let asset = selected.grant.asset();
        let mut response = Response::new(Body::none());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind.media_type()));
        insert(headers, CONTENT_DISPOSITION, &format!("inline; filename=\"{}\"", asset.file_name()));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        self.validators(headers, selected, &selected.coding.etag(&meta.etag), Some(meta.last_modified));
        response
    }

    /// The header fields that 200, 206 and 304 have in common (RFC 9110 §15.4.5).
    fn validators(
        &self,
        headers: &mut HeaderMap,
        selected: &Selected,
        etag: &str,
        modified: Option<UnixSeconds>,
    ) {
        insert(headers, ETAG, etag);
        if let Some(modified) = modified {
            // Never later than the answer itself (RFC 9110 §8.8.2.1).
            let date = httpdate::fmt_http_date(modified.min(self.now).to_system_time());
            insert(headers, LAST_MODIFIED, &date);
        }
        let max_age = selected.grant.remaining(self.now).as_secs();
        insert(headers, CACHE_CONTROL, &format!("private, max-age={max_age}"));
        if selected.grant.asset().kind.is_compressible() {
            headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
    }

    fn not_modified(&self, selected: &Selected, etag: &str, modified: Option<UnixSeconds>) -> Response<Body> {
        let mut response = Response::new(Body::none());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        self.validators(response.headers_mut(), selected, etag, modified);
        response
    }

    fn problem(&self, outcome: &Outcome) -> Response<Body> {
        let retry = matches!(outcome, Outcome::Busy | Outcome::Unrecorded)
            || matches!(outcome, Outcome::StoreFailed(error) if status_of(error) == StatusCode::SERVICE_UNAVAILABLE);
        let mut extra = HeaderMap::new();
        if retry {
            extra.insert(RETRY_AFTER, HeaderValue::from(self.retry_after.as_secs().max(1)));
        }
        match outcome {
            Outcome::MethodNotAllowed => {
                extra.insert(ALLOW, ALLOWED_METHODS);
            }
            Outcome::Unsatisfiable { size } => {
                insert(&mut extra, CONTENT_RANGE, &format!("bytes */{size}"));
                extra.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            }
            _ => {}
        }
        let mut response = self.problem_document(outcome).into_response();
        response.headers_mut().extend(extra);
        if self.head { response.map(|_| Body::none()) } else { response.map(Body::from) }
    }

    fn problem_document(&self, outcome: &Outcome) -> Problem {
        match outcome {
            Outcome::Denied(denial) => denied(denial, self.now),
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
            Outcome::Busy => Problem::new(
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
            // Not problems; answered before this is asked.
            Outcome::Options
            | Outcome::Whole { .. }
            | Outcome::Part { .. }
            | Outcome::Parts { .. }
            | Outcome::NotModified { .. } => Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                "Please try again.",
            ),
        }
    }
}

/// What the server refused before it was routed, dressed and recorded like every other answer.
pub(super) fn refused(mut response: Response<Bytes>, mut tracker: Tracker) -> Response<Body> {
    common(response.headers_mut());
    tracker.answered(response.status(), "malformed_request");
    let body = if response.body().is_empty() { |_| Body::none() } else { Body::from };
    response.map(body).map(|body| body.tracked(tracker))
}

/// 403, with the same words for every signature that cannot be honoured.
fn denied(denial: &Denial, now: UnixSeconds) -> Problem {
    let detail = match denial {
        Denial::Expired { at, .. } => format!(
            "This link expired at {at}. Ask the sender to resend the webhook, which carries a fresh link; \
             download within its lifetime to keep a copy."
        ),
        Denial::Invalid(_) => {
            "This link's signature is invalid. Copy the whole link exactly as it was sent: nothing \
                               cut off, `&` not turned into `&amp;`, no character changed."
                .to_owned()
        }
    };
    let problem = Problem::new(StatusCode::FORBIDDEN, denial.code(), "Access denied", &detail)
        .with("server_time", now.to_string());
    match denial {
        Denial::Expired { at, .. } => problem.with("expired_at", Value::from(at.to_string())),
        Denial::Invalid(_) => problem,
    }
}

/// 503 where waiting may help, 502 where somebody must act.
fn status_of(error: &StoreError) -> StatusCode {
    match error {
        StoreError::Refused(_) | StoreError::Misplaced(_) | StoreError::Broken(_) => StatusCode::BAD_GATEWAY,
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
            "The storage behind this link does not work as it should. The link stays good: try again later.",
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
        Outcome::Whole { meta, .. } | Outcome::Parts { meta, .. } => Some(meta.size),
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
        Outcome::Busy => "busy",
        Outcome::Unrecorded => "unrecorded",
        Outcome::NotFound(_) => "not_found",
        Outcome::StoreFailed(error) => match error.reason() {
            "timed_out" => "store_timed_out",
            "refused" => "store_refused",
            "misplaced" => "store_misplaced",
            "broken" => "store_broken",
            "down" => "store_down",
            "changed" => "store_changed",
            _ => "store_unavailable",
        },
        Outcome::NotModified { .. } => "not_modified",
        Outcome::PreconditionFailed => "precondition_failed",
        Outcome::Unsatisfiable { .. } => "unsatisfiable",
        Outcome::Whole { .. } | Outcome::Part { .. } | Outcome::Parts { .. } => "ok",
    }
}

/// What every answer says: do not guess, do not tell, do not index.
fn common(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(ROBOTS, HeaderValue::from_static("noindex"));
    headers.insert(CORP, HeaderValue::from_static("cross-origin"));
}

fn content_range(range: &std::ops::Range<u64>, size: u64) -> HeaderValue {
    let text = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static("bytes */*"))
}

/// Inserts a value that this program made, of printable ASCII; anything else is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn with_body(response: Response<Body>, body: Body) -> Response<Body> {
    let length = body.length().filter(|_| !response.headers().contains_key(CONTENT_LENGTH));
    let mut response = response.map(|_| body);
    if let Some(length) = length {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
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
