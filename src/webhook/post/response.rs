//! The part of a receiver's response to keep: a short text without control characters, which is safe to show.

use std::time::Duration;

use http::header::{ACCESS_CONTROL_ALLOW_METHODS, ALLOW, CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};

use super::header_fields::HeaderFields;
use super::printable::shown;
use crate::webhook::custom_headers::CustomHeaders;

/// The longest header value to keep, in bytes: a URL may be this long.
const MAX_FIELD: usize = 2048;

/// A receiver's response. All of it is untrusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiverResponse {
    /// The status code.
    pub status: u16,
    /// `Location`: the target of a redirect, which is not followed.
    pub location: Option<String>,
    /// `Retry-After`: the delay that the receiver requests.
    pub retry_after: Option<Duration>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Allow`: the methods that the receiver accepts.
    pub allow: Option<String>,
    /// `Access-Control-Allow-Methods`: the methods that the receiver accepts from web pages.
    pub allow_from_pages: Option<String>,
    /// `X-Powered-By`: the framework that answered, such as Express.
    pub powered_by: Option<String>,
    /// Whether Cloudflare answered instead, with a challenge for browsers (`cf-mitigated: challenge`).
    pub challenged: bool,
    /// The beginning of the body as text, with `\u{FFFD}` for control characters. Empty if the body is binary.
    pub excerpt: String,
    /// Its header fields.
    pub fields: HeaderFields,
}

impl ReceiverResponse {
    /// Whether the receiver accepted the webhook.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Masks the values of the endpoint's own header fields, which a receiver may repeat.
    pub fn redact(&mut self, headers: &CustomHeaders) {
        let fields =
            [&mut self.location, &mut self.content_type, &mut self.allow, &mut self.allow_from_pages];
        let texts = fields.into_iter().flatten().chain([&mut self.excerpt]);
        texts.for_each(|text| headers.redact(text));
        self.fields.redact(headers);
    }

    pub(super) fn read(status: StatusCode, headers: &HeaderMap, excerpt: String) -> Self {
        let field = |name: &HeaderName| headers.get(name).map(|value| shown(value.as_bytes(), MAX_FIELD));
        let challenged = headers.get("cf-mitigated").is_some_and(|value| value == "challenge");
        Self {
            status: status.as_u16(),
            location: field(&LOCATION),
            retry_after: field(&RETRY_AFTER).and_then(|text| retry_after(&text, field(&DATE).as_deref())),
            content_type: field(&CONTENT_TYPE),
            allow: field(&ALLOW),
            allow_from_pages: field(&ACCESS_CONTROL_ALLOW_METHODS),
            powered_by: field(&HeaderName::from_static("x-powered-by")),
            challenged,
            excerpt,
            fields: HeaderFields::of(headers),
        }
    }
}

/// Parses `Retry-After` (RFC 9110 §10.2.3): seconds, or a date. A date is compared with the response's `Date`, so
/// different clocks do not matter.
fn retry_after(text: &str, date: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let now = httpdate::parse_http_date(date?).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(retry_after("120", None), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:37 GMT", date), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", date), Some(Duration::ZERO));
        for (text, date) in
            [("soon", date), ("-1", date), ("1.5", date), ("Sun, 06 Nov 1994 08:50:37 GMT", None)]
        {
            assert_eq!(retry_after(text, date), None, "{text}");
        }
    }
}
