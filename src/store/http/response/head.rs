//! The head of an answer that has an object, in the one form that object_store takes: a length, a range where one was
//! asked for, a date that it can read, and no field that is not needed.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

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
use super::unsized_body::UnsizedBody;
use crate::store::http::plain_http::RawBody;
use crate::store::http::response::ObjectRequest;
use crate::store::span::Span;

/// Azure's word for a folder among files.
const RESOURCE_TYPE: HeaderName = HeaderName::from_static("x-ms-resource-type");

/// What stands for a date that is missing or cannot be read: some clients of object_store insist on one.
const NO_DATE: HeaderValue = HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT");

/// What stands for a missing entity tag, where a client of object_store insists on one. No two of these are equal, so that
/// it never takes up a body across two versions.
const NO_TAG: &str = "W/\"no-tag-";
static WITHOUT_TAG: AtomicU64 = AtomicU64::new(0);

/// What stands behind an entity tag, and in none: more of what tells versions apart, because object_store takes up a body
/// that broke if the tag is still the same.
const MORE: char = '\t';

/// The store's entity tag, as it was before object_store had it; nothing if there was none.
pub(crate) fn tag_of(e_tag: &str) -> &str {
    let tag = e_tag.split(MORE).next().unwrap_or_default();
    if tag.starts_with(NO_TAG) { "" } else { tag }
}

/// The answer, put plainly.
pub(crate) fn plain(asked: &ObjectRequest, answer: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (mut parts, body) = answer.into_parts();
    let length = length_of(&parts.headers)?;
    let seen = match (parts.status, length) {
        (StatusCode::PARTIAL_CONTENT, _) => Some(range::answered(&parts.headers)?),
        (_, Some(size)) => Some((0..size, size)),
        (_, None) => None,
    };
    let Some((has, size)) = seen else { return without_length(asked, parts, body) };
    let wanted = match asked.range {
        None => 0..size,
        Some(span) => span.within(size).ok_or_else(ErrorResponse::of_the_range)?,
    };
    let body = if asked.head || has == wanted {
        body
    } else {
        // The bytes of the connection are no longer the bytes of the answer.
        parts.extensions.remove::<RawBody>();
        HttpResponseBody::new(Slice::of(body, &has, &wanted)?)
    };
    Ok(said(asked, HttpResponse::from_parts(parts, body), &wanted, size))
}

/// The answer with the fields that are needed of its head.
fn said(asked: &ObjectRequest, answer: HttpResponse, range: &Range<u64>, size: u64) -> HttpResponse {
    let (mut parts, body) = answer.into_parts();
    let partial = asked.range.is_some();
    let mut fields = HeaderMap::with_capacity(8);
    fields.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if partial {
        let text = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
        fields.extend(HeaderValue::from_maybe_shared(Bytes::from(text)).map(|value| (CONTENT_RANGE, value)));
    }
    let date = date_of(&parts.headers);
    fields.extend(tag(asked, &parts.headers, size, &date).map(|tag| (ETAG, tag)));
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

/// An answer that has the whole object, but does not say how long that is. Its body goes past object_store, which could
/// only take it up wrongly.
fn without_length(
    asked: &ObjectRequest,
    mut parts: Parts,
    body: HttpResponseBody,
) -> Result<HttpResponse, HttpError> {
    let has_an_end = parts.version == Version::HTTP_2 || parts.headers.contains_key(TRANSFER_ENCODING);
    if !asked.head && !has_an_end {
        return Err(InvalidResponse(
            "its answer has no length, and no end that could be told from a broken connection",
        )
        .into());
    }
    let size = UnsizedBody::SIZE;
    let wanted = asked.range.unwrap_or(Span::Whole).within(size).ok_or_else(ErrorResponse::of_the_range)?;
    parts.extensions.insert(UnsizedBody::new(body));
    let answer = HttpResponse::from_parts(parts, Bytes::new().into());
    Ok(said(asked, answer, &wanted, size))
}

/// The length that is said, if one is; it may be said more than once, if it stays the same (RFC 9110 §8.6).
fn length_of(fields: &HeaderMap) -> Result<Option<u64>, InvalidResponse> {
    let mut said = None;
    for line in fields.get_all(CONTENT_LENGTH) {
        for digits in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let length = number(digits).filter(|length| said.is_none_or(|said| said == *length));
            said = Some(length.ok_or(InvalidResponse("its Content-Length cannot be read"))?);
        }
    }
    Ok(said)
}

/// A number of digits alone: a sign in front of it would be read as one, too.
fn number(digits: &[u8]) -> Option<u64> {
    let digits =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

/// The entity tag in characters that object_store takes, and what else tells this version from others.
fn tag(asked: &ObjectRequest, fields: &HeaderMap, size: u64, date: &HeaderValue) -> Option<HeaderValue> {
    let tag = fields.get(ETAG).map(|tag| tag.as_bytes().trim_ascii()).unwrap_or_default();
    let tag = if matches!(tag, b"\"\"" | b"W/\"\"") { b"" } else { tag };
    let plain =
        std::str::from_utf8(tag).ok().filter(|tag| tag.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    Some(written(match plain {
        // Beside a weak tag, the date tells something.
        Some(weak) if weak.starts_with("W/") => {
            format!("{weak}{MORE}{size:x} {}", date.to_str().unwrap_or_default())
        }
        Some("") if asked.insists_on_tag => {
            format!("{NO_TAG}{}\"", WITHOUT_TAG.fetch_add(1, Ordering::Relaxed))
        }
        Some("") => return None,
        Some(tag) => format!("{tag}{MORE}{size:x}"),
        None => format!("\"{}\"{MORE}{size:x}", hex::encode(tag)),
    }))
}

/// The date in the form that object_store reads. Every form of HTTP is normalize (RFC 9110 §5.6.7).
fn date_of(fields: &HeaderMap) -> HeaderValue {
    let date = fields.get(LAST_MODIFIED).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| httpdate::parse_http_date(date.trim()).ok());
    date.map_or(NO_DATE, |date| written(httpdate::fmt_http_date(date)))
}

/// All lines of `Content-Encoding` as one.
fn coding_of(fields: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = fields.get_all(CONTENT_ENCODING).iter();
    let (first, second) = (lines.next()?, lines.next());
    if second.is_none() && first.to_str().is_ok() {
        return Some(first.clone());
    }
    let lines: Vec<_> =
        fields.get_all(CONTENT_ENCODING).iter().map(|line| line.to_str().unwrap_or("?")).collect();
    Some(written(lines.join(",")))
}

/// A value of printable ASCII that was made here.
fn written(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(NO_DATE)
}
