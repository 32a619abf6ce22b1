//! Reads error responses, and keeps only the parts that may be logged.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use http::header::{DATE, HeaderMap, HeaderName};
use http_body_util::BodyExt;
use object_store::client::{HttpError, HttpErrorKind, HttpResponse, HttpResponseBody};

use crate::clock::{Clock, SystemClock, UnixSeconds};

/// How much of the text is read, in bytes: codes are at its beginning.
const MAX_TEXT: usize = 16 * 1024;

/// How long to wait for the text.
const TEXT_TIMEOUT: Duration = Duration::from_secs(1);

/// Header fields in which stores put the error code of a response without a body.
const CODES: [HeaderName; 3] = [
    HeaderName::from_static("x-ms-error-code"),
    HeaderName::from_static("x-minio-error-code"),
    HeaderName::from_static("x-amz-error-code"),
];
const REGION: HeaderName = HeaderName::from_static("x-amz-bucket-region");

/// A response that is not an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorResponse {
    pub(crate) status: StatusCode,
    /// The error code of S3, Azure or GCS.
    pub(crate) code: Option<String>,
    /// The bucket's region.
    pub(crate) region: Option<String>,
    /// By how many seconds the store's clock is ahead of this machine's.
    pub(crate) ahead: Option<i64>,
    /// Whether a retry may succeed.
    retryable: bool,
}

impl ErrorResponse {
    /// Reads the part of a response that may be logged.
    pub(crate) async fn read(head: bool, response: HttpResponse) -> Self {
        let (parts, body) = response.into_parts();
        let text = if head { String::new() } else { read_text(body).await };
        let (status, fields) = (parts.status, parts.headers);
        let named = CODES.iter().filter_map(|name| fields.get(name)?.to_str().ok()).find_map(code);
        // A store that does not implement HEAD fails a retry as well.
        let unknown_method = head && status == StatusCode::NOT_IMPLEMENTED;
        Self {
            status,
            code: named.or_else(|| code(between(&text, "<Code>", "</Code>")?)),
            region: region_in(&fields, &text),
            ahead: clock_ahead(&fields),
            retryable: is_retryable(status.as_u16()) && !unknown_method,
        }
    }

    /// The error for a range outside the object.
    pub(crate) fn of_the_range() -> Self {
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        Self { status, code: None, region: None, ahead: None, retryable: false }
    }

    /// Whether the store failed, rather than this request. Then a retry may succeed.
    pub(crate) fn is_retryable(&self) -> bool {
        self.retryable
    }
}

/// Whether this status reports a temporary failure of the server.
pub(crate) fn is_retryable(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

impl fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&answered(Some(self.status.as_u16()), self.code.as_deref()))
    }
}

/// For example "it answered 403 AccessDenied".
pub(crate) fn answered(status: Option<u16>, code: Option<&str>) -> String {
    let status = status.map(|status| format!(" {status}")).unwrap_or_default();
    let code = code.map(|code| format!(" {code}")).unwrap_or_default();
    format!("it answered{status}{code}")
}

impl Error for ErrorResponse {}

impl From<ErrorResponse> for HttpError {
    fn from(refusal: ErrorResponse) -> Self {
        // object_store retries the first kind, and not the second.
        let kind = if refusal.retryable { HttpErrorKind::Interrupted } else { HttpErrorKind::Unknown };
        Self::new(kind, refusal)
    }
}

/// A response that contradicts itself or violates HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InvalidResponse(pub(crate) &'static str);

impl fmt::Display for InvalidResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for InvalidResponse {}

impl From<InvalidResponse> for HttpError {
    fn from(oddity: InvalidResponse) -> Self {
        Self::new(HttpErrorKind::Unknown, oddity)
    }
}

/// Reads the part of the text that arrives in time. An error does not matter, because the status is known.
async fn read_text(mut body: HttpResponseBody) -> String {
    let mut text = BytesMut::new();
    let reading = async {
        while text.len() < MAX_TEXT
            && let Some(Ok(frame)) = body.frame().await
        {
            text.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
    };
    let _ = tokio::time::timeout(TEXT_TIMEOUT, reading).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// The text between two tags.
pub(crate) fn between<'t>(text: &'t str, open: &str, close: &str) -> Option<&'t str> {
    Some(text.split_once(open)?.1.split_once(close)?.0.trim())
}

/// A code as stores write them, for example `KMS.DisabledException`; any other text is dropped.
pub(crate) fn code(word: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_code = word.len() <= 64 && word.starts_with(|c: char| c.is_ascii_alphabetic());
    (is_code && word.bytes().all(is_plain)).then(|| word.to_owned())
}

/// The bucket's region, if it looks like one, for example `eu-central-1`.
fn region_in(fields: &HeaderMap, text: &str) -> Option<String> {
    let field = fields.get(REGION).and_then(|region| region.to_str().ok());
    let region = field.or_else(|| between(text, "<Region>", "</Region>"))?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_region = region.len() <= 32 && region.contains('-') && region.bytes().all(is_plain);
    is_region.then(|| region.to_owned())
}

fn clock_ahead(fields: &HeaderMap) -> Option<i64> {
    let date = httpdate::parse_http_date(fields.get(DATE)?.to_str().ok()?).ok()?;
    let (theirs, ours) = (UnixSeconds::from_system_time(date).0, SystemClock.now().0);
    i64::try_from(theirs).ok()?.checked_sub(i64::try_from(ours).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_short_word_that_may_have_dots() {
        for good in ["NoSuchKey", "KMS.DisabledException", "BlobArchived", "a-b_c.d9"] {
            assert_eq!(code(good).as_deref(), Some(good));
        }
        for bad in ["", "https://evil/?a", "two words", "9x", "é", "<x>", &"x".repeat(65)] {
            assert_eq!(code(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_region_is_repeated_only_if_it_looks_like_one() {
        let fields = HeaderMap::new();
        let region = |text: &str| region_in(&fields, &format!("<Error><Region>{text}</Region></Error>"));
        assert_eq!(region("eu-central-1").as_deref(), Some("eu-central-1"));
        for bad in ["", "AKIA-EXAMPLE", "http://x-y", "eu", "a b-c"] {
            assert_eq!(region(bad), None, "{bad}");
        }
    }
}
