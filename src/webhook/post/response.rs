//! The part of a receiver's response to keep: a short text without control characters, which is safe to show.

use std::time::Duration;

use http::header::{ACCESS_CONTROL_ALLOW_METHODS, ALLOW, CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};

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

/// At most `longest` bytes of text, cut between characters, with control characters replaced.
pub(super) fn shown(bytes: &[u8], longest: usize) -> String {
    let bytes = bytes.get(..longest).unwrap_or(bytes);
    // Drops a character that the cut split, instead of replacing it.
    let whole = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.get(..error.valid_up_to()).unwrap_or(bytes),
        _ => bytes,
    };
    let mut text: String = String::from_utf8_lossy(whole)
        .chars()
        .map(|c| if is_printable(c) { c } else { char::REPLACEMENT_CHARACTER })
        .collect();
    text.truncate(text.floor_char_boundary(longest));
    text
}

/// Whether a character neither controls a terminal nor changes the direction of text (Unicode's bidirectional
/// controls).
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | '\t' | '\r')
        || !(c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn a_body_is_cut_between_characters() {
        assert_eq!(shown("abcdé".as_bytes(), 5), "abcd");
        assert_eq!(shown("abcdé".as_bytes(), 6), "abcdé");
        assert_eq!(shown(b"a\xffb", 100), "a\u{fffd}b");
        assert_eq!(shown(b"", 100), "");
    }

    #[test]
    fn a_body_does_not_control_a_terminal() {
        assert_eq!(shown(b"a\x1b[2Jb\0\nc\td", 100), "a\u{fffd}[2Jb\u{fffd}\nc\td");
        assert_eq!(shown("x\u{202e}y\u{9b}".as_bytes(), 100), "x\u{fffd}y\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_body_becomes_harmless_text_of_limited_length(bytes: Vec<u8>, longest in 0_usize..64) {
            let text = shown(&bytes, longest);
            prop_assert!(text.len() <= longest);
            prop_assert!(text.chars().all(is_printable));
        }
    }
}
