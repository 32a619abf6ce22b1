//! Every status and every header field of the gateway's responses.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};

use super::cors::{Cors, Permission};
use super::head::{CORP, Head, MapHead, ROBOTS, TextHead, Value};
use super::outcome::{ObjectInfo, Outcome, Payload, Rejection, Representation, Selected};
use super::problems;
use super::request::RequestView;
use crate::clock::UnixSeconds;
use crate::problem::Document;
use crate::signed_url::Denial;

const ALLOWED_METHODS: &str = "GET, HEAD, OPTIONS";

/// Chooses the status and the header fields.
#[derive(Debug)]
pub(super) struct Responder {
    cors: Cors,
    /// In whole seconds.
    retry_after: u64,
    /// The last response to an invalid signature. It stays the same for a second.
    denial: ArcSwapOption<CachedDenial>,
}

/// The response to every invalid signature within one second.
#[derive(Debug)]
struct CachedDenial {
    second: UnixSeconds,
    fields: Bytes,
    document: Bytes,
}

impl Responder {
    pub(super) fn new(cors: Cors, retry_after: Duration) -> Self {
        Self { cors, retry_after: retry_after.as_secs().max(1), denial: ArcSwapOption::empty() }
    }

    /// Returns the permission of the requesting page.
    pub(super) fn permission(&self, request: &RequestView<'_>) -> Permission {
        self.cors.evaluate(request)
    }

    /// Writes the head of the response to `outcome` at the time `now`. Returns the problem document, if the body is
    /// one.
    pub(super) fn respond(
        &self,
        outcome: &Outcome,
        permission: &Permission,
        now: UnixSeconds,
        head: &mut impl Head,
    ) -> Option<Bytes> {
        match outcome {
            Outcome::Success(sent) => success(sent, permission, now, head),
            Outcome::Rejected(rejection) => return Some(self.rejected(rejection, permission, now, head)),
            Outcome::Options => {
                head.begin(StatusCode::NO_CONTENT);
                common(head, permission, false);
                head.push(ALLOW, ALLOWED_METHODS);
            }
            Outcome::NotModified { selected, etag, last_modified } => {
                head.begin(StatusCode::NOT_MODIFIED);
                common(head, permission, selected.asset.kind.is_compressible());
                validators(head, etag.clone(), *last_modified, now);
                freshness(head, selected, now);
            }
        }
        None
    }

    fn rejected(
        &self,
        rejection: &Rejection,
        permission: &Permission,
        now: UnixSeconds,
        head: &mut impl Head,
    ) -> Bytes {
        if let Rejection::Denied(denial @ Denial::Invalid(_)) = rejection
            && permission.is_usual()
        {
            let (fields, document) = self.denial(denial, permission, now);
            head.begin(StatusCode::FORBIDDEN);
            head.push_cached(&fields);
            return document;
        }
        let document = problems::document(rejection, now);
        head.begin(document.status);
        common(head, permission, false);
        if document.status == StatusCode::SERVICE_UNAVAILABLE {
            head.push(RETRY_AFTER, Value::Number(self.retry_after));
        }
        match rejection {
            Rejection::MethodNotAllowed => head.push(ALLOW, ALLOWED_METHODS),
            Rejection::Unsatisfiable { size } => {
                head.push(CONTENT_RANGE, format!("bytes */{size}"));
                head.push(ACCEPT_RANGES, "bytes");
            }
            _ => {}
        }
        describe(head, &document);
        document.bytes
    }

    /// Returns the header fields and the document for an invalid signature.
    fn denial(&self, denial: &Denial, permission: &Permission, now: UnixSeconds) -> (Bytes, Bytes) {
        if let Some(cached) = &*self.denial.load()
            && cached.second == now
        {
            return (cached.fields.clone(), cached.document.clone());
        }
        let document = problems::denied(denial, now).into_document();
        let fields = TextHead::cacheable(|head| {
            common(head, permission, false);
            describe(head, &document);
        });
        let document = document.bytes;
        let cached = CachedDenial { second: now, fields: fields.clone(), document: document.clone() };
        // Another thread's value would be the same.
        self.denial.store(Some(Arc::new(cached)));
        (fields, document)
    }

    /// Adds the fields of all responses to a response that the server itself made.
    pub(super) fn complete(&self, response: &mut Response<Bytes>, request: &RequestView<'_>) {
        let mut head = MapHead::adding_to(std::mem::take(response.headers_mut()));
        common(&mut head, &self.permission(request), false);
        *response.headers_mut() = head.into_map();
    }
}

/// 200 or 206. Fields that differ between responses follow those that do not.
fn success(sent: &Representation, permission: &Permission, now: UnixSeconds, head: &mut impl Head) {
    let is_part = sent.part.is_some() || matches!(sent.payload, Payload::Multipart(_));
    head.begin(if is_part { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK });
    match &sent.object {
        // A date in the future is replaced when it is sent, so these fields cannot be cached.
        ObjectInfo::Cached(file) if permission.is_usual() && file.meta.last_modified <= now => {
            let write = |head: &mut TextHead<'_>| cacheable_fields(head, sent, permission, now);
            head.push_cached(file.cached_head.get_or_init(|| TextHead::cacheable(write)));
        }
        _ => cacheable_fields(head, sent, permission, now),
    }
    freshness(head, &sent.selected, now);
    if let Some(coding) = sent.selected.coding.name() {
        head.push(CONTENT_ENCODING, coding);
    }
    if let (Some(range), Some(size)) = (&sent.part, sent.object.size()) {
        head.push(CONTENT_RANGE, Value::ContentRange(range.clone(), size));
    }
    if let Some(length) = sent.length() {
        head.push(CONTENT_LENGTH, Value::Number(length));
    }
}

/// Adds the fields of every response: browsers must not guess the type, pages must not leak the link, search engines
/// must not index it. Also adds the CORS fields and `Vary`.
fn common(head: &mut impl Head, permission: &Permission, varies_by_encoding: bool) {
    head.push(X_CONTENT_TYPE_OPTIONS, "nosniff");
    head.push(REFERRER_POLICY, "no-referrer");
    head.push(ROBOTS, "noindex");
    head.push(CORP, "cross-origin");
    permission.describe(head, varies_by_encoding);
}

/// Adds the fields of 200 and 206 that do not change while an asset does not change.
fn cacheable_fields(head: &mut impl Head, sent: &Representation, permission: &Permission, now: UnixSeconds) {
    let Representation { selected, object, .. } = sent;
    common(head, permission, selected.asset.kind.is_compressible());
    match &sent.payload {
        Payload::Multipart(parts) => head.push(CONTENT_TYPE, parts.media_type()),
        _ => head.push(CONTENT_TYPE, selected.media_type()),
    }
    head.push(CONTENT_DISPOSITION, selected.disposition());
    head.push(ACCEPT_RANGES, "bytes");
    validators(head, selected.etag(object.etag()), Some(object.last_modified()), now);
}

/// Adds the fields that 200, 206 and 304 share (RFC 9110 §15.4.5), apart from those of [`freshness`].
fn validators(head: &mut impl Head, etag: String, modified: Option<UnixSeconds>, now: UnixSeconds) {
    head.push(ETAG, etag);
    // A store without a date reports 1970.
    if let Some(modified) = modified.filter(|modified| *modified > UnixSeconds(0)) {
        // Never later than the response itself (RFC 9110 §8.8.2.1).
        let date = httpdate::fmt_http_date(modified.min(now).to_system_time());
        head.push(LAST_MODIFIED, date);
    }
}

/// How long a client's cache may reuse a response without asking. An erased asset is gone from it after this time.
const LONGEST_FRESH: Duration = Duration::from_secs(60);

/// Lets the client's cache reuse the response for a minute, but not beyond the link's expiry.
fn freshness(head: &mut impl Head, selected: &Selected, now: UnixSeconds) {
    let fresh = selected.expires.since(now).min(LONGEST_FRESH);
    head.push(CACHE_CONTROL, Value::MaxAge(fresh.as_secs()));
}

/// Adds the fields of a problem document.
fn describe(head: &mut impl Head, document: &Document) {
    document.fields().into_iter().for_each(|(name, value)| head.push(name, value));
}
