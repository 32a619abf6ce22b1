//! Rewrites the head of a response with an object into the one form that object_store accepts: a length, a range if
//! requested, a parsable date, and no field beyond those it needs.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED,
    TRANSFER_ENCODING,
};
use http::response::Parts;
use http::{StatusCode, Version};
use object_store::client::{HttpError, HttpResponse, HttpResponseBody};

use super::error_response::{ErrorResponse, InvalidResponse};
use super::range::{self, Slice};
use super::request::ObjectRequest;
use super::unsized_body::UnsizedBody;
use crate::store::http::content_length::{InvalidLength, content_length};
use crate::store::http::http1::body::RawBody;

/// Azure marks folders with this field.
const RESOURCE_TYPE: HeaderName = HeaderName::from_static("x-ms-resource-type");

/// Replaces a date that is missing or cannot be parsed: some clients of object_store require one.
const NO_DATE: HeaderValue = HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT");

/// Replaces a missing entity tag where a client of object_store requires one. Each is unique, so that object_store
/// never resumes a body with another version's bytes.
const NO_TAG: &str = "W/\"no-tag-";
static NEXT_TAG: AtomicU64 = AtomicU64::new(0);

/// Separates an entity tag from other data that distinguishes versions; no tag contains it. object_store resumes a
/// broken body if the tag is the same, so the tag carries all of this data.
const SEPARATOR: char = '\t';

/// The entity tag that the store sent; empty if it sent none.
pub(crate) fn tag_of(e_tag: &str) -> &str {
    let tag = e_tag.split(SEPARATOR).next().unwrap_or_default();
    if tag.starts_with(NO_TAG) { "" } else { tag }
}

/// Normalizes a response for object_store.
pub(super) fn normalize(request: &ObjectRequest, response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (mut parts, body) = response.into_parts();
    let length = content_length(&parts.headers);
    let length = length.map_err(|InvalidLength| InvalidResponse("its Content-Length cannot be read"))?;
    let found = match (parts.status, length) {
        (StatusCode::PARTIAL_CONTENT, _) => Some(range::sent(&parts.headers)?),
        (_, Some(size)) => Some((0..size, size)),
        (_, None) => None,
    };
    let Some((has, size)) = found else { return without_length(request, parts, body) };
    let wanted = request.within(size).ok_or_else(ErrorResponse::of_the_range)?;
    let body = if request.head || has == wanted {
        body
    } else {
        // The next bytes on the connection are no longer those that the body returns.
        parts.extensions.remove::<RawBody>();
        HttpResponseBody::new(Slice::of(body, &has, &wanted)?)
    };
    Ok(rebuild(request, HttpResponse::from_parts(parts, body), &wanted, size))
}

/// The response with the fields that object_store needs.
fn rebuild(request: &ObjectRequest, response: HttpResponse, range: &Range<u64>, size: u64) -> HttpResponse {
    let (mut parts, body) = response.into_parts();
    let partial = request.range.is_some();
    let mut fields = HeaderMap::with_capacity(8);
    fields.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if partial {
        let text = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
        fields.extend(HeaderValue::from_maybe_shared(Bytes::from(text)).map(|value| (CONTENT_RANGE, value)));
    }
    let date = date_of(&parts.headers);
    fields.extend(tag(request, &parts.headers, size, &date).map(|tag| (ETAG, tag)));
    fields.insert(LAST_MODIFIED, date);
    if let Some(coding) = coding_of(&parts.headers) {
        fields.insert(CONTENT_ENCODING, coding);
    }
    if let Some(kind) = parts.headers.remove(RESOURCE_TYPE) {
        fields.insert(RESOURCE_TYPE, kind);
    }
    parts.status = if partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    parts.headers = fields;
    HttpResponse::from_parts(parts, body)
}

/// Passes on a whole object without a length. Its body bypasses object_store, which would resume it wrongly.
fn without_length(
    request: &ObjectRequest,
    mut parts: Parts,
    body: HttpResponseBody,
) -> Result<HttpResponse, HttpError> {
    let has_an_end = parts.version == Version::HTTP_2 || parts.headers.contains_key(TRANSFER_ENCODING);
    if !request.head && !has_an_end {
        return Err(InvalidResponse(
            "its answer has no length, and no end that could be told from a broken connection",
        )
        .into());
    }
    let size = UnsizedBody::SIZE;
    let wanted = request.within(size).ok_or_else(ErrorResponse::of_the_range)?;
    parts.extensions.insert(UnsizedBody::new(body));
    let response = HttpResponse::from_parts(parts, Bytes::new().into());
    Ok(rebuild(request, response, &wanted, size))
}

/// The entity tag in characters that object_store accepts, with the other data that distinguishes this version.
fn tag(request: &ObjectRequest, fields: &HeaderMap, size: u64, date: &HeaderValue) -> Option<HeaderValue> {
    Some(ascii(match &*ascii_tag(fields) {
        // A weak tag may stay the same while the date changes.
        weak if weak.starts_with("W/") => {
            format!("{weak}{SEPARATOR}{size:x} {}", date.to_str().unwrap_or_default())
        }
        "" if request.needs_tag => {
            format!("{NO_TAG}{}\"", NEXT_TAG.fetch_add(1, Ordering::Relaxed))
        }
        "" => return None,
        tag => format!("{tag}{SEPARATOR}{size:x}"),
    }))
}

/// The entity tag in printable ASCII: other tags are encoded. Empty if there is none.
fn ascii_tag(fields: &HeaderMap) -> Cow<'_, str> {
    let tag = fields.get(ETAG).map(|tag| tag.as_bytes().trim_ascii()).unwrap_or_default();
    let tag = if matches!(tag, b"\"\"" | b"W/\"\"") { b"" } else { tag };
    let plain =
        std::str::from_utf8(tag).ok().filter(|tag| tag.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    plain.map_or_else(|| Cow::Owned(format!("\"{}\"", hex::encode(tag))), Cow::Borrowed)
}

/// An object whose requested bytes a response has, no more and no less.
#[derive(Debug)]
pub(crate) struct ExactObject {
    /// The requested positions, and the size of the object.
    pub(crate) range: Range<u64>,
    pub(crate) size: u64,
    /// The entity tag as [`tag_of`] returns it; empty if the store sent none.
    pub(crate) tag: String,
    /// 1970 if the date is unknown.
    pub(crate) last_modified: SystemTime,
    pub(crate) coding: Option<HeaderValue>,
}

impl ExactObject {
    /// The object in a response; `None` if the response needs [`normalize`].
    pub(crate) fn of(request: &ObjectRequest, status: StatusCode, fields: &HeaderMap) -> Option<Self> {
        let length = content_length(fields).ok()??;
        let (range, size) = match status {
            StatusCode::OK => (0..length, length),
            _ => range::sent(fields).ok()?,
        };
        let is_exact = request.within(size)? == range && length == range.end - range.start;
        let coding = if fields.contains_key(CONTENT_ENCODING) { coding_of(fields) } else { None };
        let last_modified = parsed_date(fields).unwrap_or(SystemTime::UNIX_EPOCH);
        is_exact.then(|| Self { range, size, tag: ascii_tag(fields).into_owned(), last_modified, coding })
    }
}

/// Converts a date to the format that object_store parses.
fn date_of(fields: &HeaderMap) -> HeaderValue {
    parsed_date(fields).map_or(NO_DATE, |date| ascii(httpdate::fmt_http_date(date)))
}

/// The date in any HTTP format (RFC 9110 §5.6.7).
fn parsed_date(fields: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(fields.get(LAST_MODIFIED)?.to_str().ok()?.trim()).ok()
}

/// Joins all `Content-Encoding` lines.
fn coding_of(fields: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = fields.get_all(CONTENT_ENCODING).iter();
    let (first, second) = (lines.next()?, lines.next());
    if second.is_none() && first.to_str().is_ok() {
        return Some(first.clone());
    }
    let lines: Vec<_> =
        fields.get_all(CONTENT_ENCODING).iter().map(|line| line.to_str().unwrap_or("?")).collect();
    Some(ascii(lines.join(",")))
}

/// A value of printable ASCII.
fn ascii(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(NO_DATE)
}
