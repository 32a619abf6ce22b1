//! Every status and every header field of the gateway's responses.

use std::borrow::Cow;
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
use super::head::{CORP, Head, ROBOTS, Value};
use super::outcome::{ObjectInfo, Outcome, Payload, Rejection, Representation, Selected};
use super::problems;
use super::request::RequestView;
use crate::asset::AssetKind;
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
    pub(super) fn respond<'o>(
        &self,
        outcome: &'o Outcome,
        permission: &Permission,
        now: UnixSeconds,
        head: &mut Head<'o>,
    ) -> Option<Bytes> {
        match outcome {
            Outcome::Success(sent) => success(sent, permission, now, head),
            Outcome::Rejected(rejection) => return Some(self.rejected(rejection, permission, now, head)),
            Outcome::Options => {
                head.status = StatusCode::NO_CONTENT;
                common(head, permission);
                head.push(ALLOW, ALLOWED_METHODS);
            }
            Outcome::NotModified { selected, etag, last_modified } => {
                head.status = StatusCode::NOT_MODIFIED;
                common(head, permission);
                validators(head, selected.asset.kind, etag.clone(), *last_modified, now);
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
        head: &mut Head<'_>,
    ) -> Bytes {
        if let Rejection::Denied(denial @ Denial::Invalid(_)) = rejection
            && permission.is_usual()
        {
            head.status = StatusCode::FORBIDDEN;
            let (fields, document) = self.denial(denial, permission, now);
            head.set_cached(Cow::Owned(fields));
            return document;
        }
        let document = problems::document(rejection, now);
        common(head, permission);
        if document.status == StatusCode::SERVICE_UNAVAILABLE {
            head.push(RETRY_AFTER, Value::Number(self.retry_after));
        }
        match rejection {
            Rejection::MethodNotAllowed => head.push(ALLOW, ALLOWED_METHODS),
            Rejection::Unsatisfiable { size } => {
                head.push_text(CONTENT_RANGE, format!("bytes */{size}"));
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
        let mut head = Head::default();
        common(&mut head, permission);
        describe(&mut head, &document);
        let (fields, document) = (head.text(), document.bytes);
        let cached = CachedDenial { second: now, fields: fields.clone(), document: document.clone() };
        // Another thread's value would be the same.
        self.denial.store(Some(Arc::new(cached)));
        (fields, document)
    }

    /// Adds the fields of all responses to a response that the server itself made.
    pub(super) fn complete(&self, response: &mut Response<Bytes>, request: &RequestView<'_>) {
        let mut head = Head::default();
        common(&mut head, &self.permission(request));
        head.insert_into(response.headers_mut());
    }
}

/// 200 or 206. Fields that differ between responses follow those that do not.
fn success<'o>(sent: &'o Representation, permission: &Permission, now: UnixSeconds, head: &mut Head<'o>) {
    let is_part = sent.part.is_some() || matches!(sent.payload, Payload::Multipart(_));
    head.status = if is_part { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    match &sent.object {
        // A date in the future is replaced when it is sent, so these fields cannot be cached.
        ObjectInfo::Cached(file) if permission.is_usual() && file.meta.last_modified <= now => {
            let text = file.cached_head.get_or_init(|| {
                let mut head = Head::default();
                cacheable_fields(&mut head, sent, permission, now);
                head.text()
            });
            head.set_cached(Cow::Borrowed(text));
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
/// must not index it. Also adds the CORS fields.
fn common(head: &mut Head<'_>, permission: &Permission) {
    head.push(X_CONTENT_TYPE_OPTIONS, "nosniff");
    head.push(REFERRER_POLICY, "no-referrer");
    head.push(ROBOTS, "noindex");
    head.push(CORP, "cross-origin");
    permission.describe(head);
}

/// Adds the fields of 200 and 206 that do not change while an asset does not change.
fn cacheable_fields(head: &mut Head<'_>, sent: &Representation, permission: &Permission, now: UnixSeconds) {
    let Representation { selected: Selected { asset, coding, .. }, object, .. } = sent;
    common(head, permission);
    match &sent.payload {
        Payload::Multipart(parts) => head.push_text(CONTENT_TYPE, parts.media_type()),
        _ => head.push(CONTENT_TYPE, asset.kind.media_type()),
    }
    head.push_text(CONTENT_DISPOSITION, asset.disposition());
    head.push(ACCEPT_RANGES, "bytes");
    validators(head, asset.kind, coding.etag(object.etag()), Some(object.last_modified()), now);
}

/// Adds the fields that 200, 206 and 304 share (RFC 9110 §15.4.5), apart from those of [`freshness`].
fn validators(
    head: &mut Head<'_>,
    kind: AssetKind,
    etag: String,
    modified: Option<UnixSeconds>,
    now: UnixSeconds,
) {
    head.push_text(ETAG, etag);
    // A store without a date reports 1970.
    if let Some(modified) = modified.filter(|modified| *modified > UnixSeconds(0)) {
        // Never later than the response itself (RFC 9110 §8.8.2.1).
        let date = httpdate::fmt_http_date(modified.min(now).to_system_time());
        head.push_text(LAST_MODIFIED, date);
    }
    if kind.is_compressible() {
        head.vary("Accept-Encoding");
    }
}

/// Lets the client's cache reuse the response until the link expires.
fn freshness(head: &mut Head<'_>, selected: &Selected, now: UnixSeconds) {
    head.push(CACHE_CONTROL, Value::MaxAge(selected.expires.since(now).as_secs()));
}

/// Adds the status and the fields of a problem document.
fn describe(head: &mut Head<'_>, document: &Document) {
    head.status = document.status;
    document.fields().into_iter().for_each(|(name, value)| head.push(name, value));
}
