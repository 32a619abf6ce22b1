//! CORS: which web pages may read responses (Fetch Standard, "HTTP extensions"). A link carries its own permission and
//! no cookie is involved, so by default every page may.

use std::fmt;
use std::str::FromStr;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, HeaderName,
    HeaderValue, VARY,
};

use super::head::Head;
use super::request::{Headers, RequestView, visible_text};
use crate::signed_url::BaseUrl;

const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Accept-Ranges, Content-Disposition, Content-Encoding, Content-Length, Content-Range, Date, ETag, Retry-After",
);
const ALLOWED_FIELDS: HeaderValue = HeaderValue::from_static(
    "Range, If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, Cache-Control",
);
/// The maximum total length of the requested header field names, in bytes. Real pages, tracing scripts included,
/// request fewer.
const LONGEST_LIST: usize = 4_096;
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
/// One day, in seconds. Browsers cap it at two hours or less.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// The origins whose pages may read responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Every origin.
    Any,
    /// Only these origins, e.g. `https://app.example.com`. An empty list allows none.
    Listed(Vec<HeaderValue>),
}

/// The text is not an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadOrigin(pub String);

impl fmt::Display for BadOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no origin; an origin is scheme and host, e.g. https://app.example.com", self.0)
    }
}

impl std::error::Error for BadOrigin {}

impl AllowedOrigins {
    /// Reads a list of origins. `*` allows every page.
    ///
    /// # Errors
    /// [`BadOrigin`] if a text is not a scheme and a host.
    pub fn from_list<'o>(origins: impl IntoIterator<Item = &'o str>) -> Result<Self, BadOrigin> {
        let mut listed = Vec::new();
        for text in origins {
            if text == "*" {
                return Ok(Self::Any);
            }
            let is_origin =
                BaseUrl::parse(text).is_ok_and(|url| url.prefix().is_empty() && url.as_str() == text);
            let value = HeaderValue::from_str(text).ok().filter(|_| is_origin);
            listed.push(value.ok_or_else(|| BadOrigin(text.to_owned()))?);
        }
        Ok(Self::Listed(listed))
    }
}

impl FromStr for AllowedOrigins {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        Self::from_list(text.split(',').map(str::trim).filter(|origin| !origin.is_empty()))
    }
}

/// Evaluates CORS requests.
#[derive(Debug)]
pub(super) struct Cors(AllowedOrigins);

impl Cors {
    pub(super) fn new(origins: AllowedOrigins) -> Self {
        Self(origins)
    }

    /// Returns the permission of the requesting page.
    pub(super) fn evaluate(&self, request: &RequestView<'_>) -> Permission {
        let allowed = match &self.0 {
            AllowedOrigins::Any => Some(HeaderValue::from_static("*")),
            AllowedOrigins::Listed(listed) => request
                .fields
                .origin
                .and_then(|origin| listed.iter().find(|listed| *listed == origin))
                .cloned(),
        };
        let preflight =
            request.fields.is_preflight.then(|| requested_fields(request.headers).unwrap_or(ALLOWED_FIELDS));
        Permission { varies_by_origin: matches!(self.0, AllowedOrigins::Listed(_)), allowed, preflight }
    }
}

/// Returns the header fields that a page asks to send, if they are a list of names (Fetch Standard, "CORS-preflight
/// request"). Scripts for tracing or signing add their own fields to each request. A link is the whole permission and
/// no cookie is involved, so a field gives a page no further rights: all of them are allowed. (`*` would not cover
/// `Authorization`.)
fn requested_fields(headers: Headers<'_>) -> Option<HeaderValue> {
    let mut requested = String::new();
    for line in headers.values(&ACCESS_CONTROL_REQUEST_HEADERS) {
        for name in visible_text(line)?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            HeaderName::from_bytes(name.as_bytes()).ok()?;
            requested.push_str(if requested.is_empty() { "" } else { ", " });
            requested.push_str(name);
        }
    }
    let fits = !requested.is_empty() && requested.len() <= LONGEST_LIST;
    HeaderValue::try_from(requested).ok().filter(|_| fits)
}

/// The permission of the requesting page.
#[derive(Debug)]
pub(super) struct Permission {
    varies_by_origin: bool,
    allowed: Option<HeaderValue>,
    /// The header fields that the page may send, if the request is a preflight.
    preflight: Option<HeaderValue>,
}

impl Permission {
    /// Whether the CORS fields are the same as for most requests: no preflight, and no origin that is listed.
    pub(super) fn is_usual(&self) -> bool {
        self.preflight.is_none() && !(self.varies_by_origin && self.allowed.is_some())
    }

    /// Adds what the response varies by, and the header fields that let the page read it, errors included.
    pub(super) fn describe(&self, head: &mut impl Head, varies_by_encoding: bool) {
        let by_fields = self.preflight.is_some();
        let varies = [
            (self.varies_by_origin, "Origin"),
            (by_fields, "Access-Control-Request-Headers"),
            (varies_by_encoding, "Accept-Encoding"),
        ];
        for (_, by) in varies.into_iter().filter(|(varies, _)| *varies) {
            head.push(VARY, by);
        }
        let Some(allowed) = &self.allowed else { return };
        head.push(ACCESS_CONTROL_ALLOW_ORIGIN, allowed.clone());
        if let Some(fields) = &self.preflight {
            head.push(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            head.push(ACCESS_CONTROL_ALLOW_HEADERS, fields.clone());
            head.push(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        } else {
            head.push(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_and_host() {
        assert_eq!("*".parse(), Ok(AllowedOrigins::Any));
        assert_eq!("".parse(), Ok(AllowedOrigins::Listed(vec![])));
        let two = "https://a.example, http://localhost:3000".parse::<AllowedOrigins>().unwrap();
        assert!(matches!(two, AllowedOrigins::Listed(origins) if origins.len() == 2));
        for bad in ["a.example", "https://a.example/", "https://a.example/x", "null", "https://"] {
            assert!(bad.parse::<AllowedOrigins>().is_err(), "{bad}");
        }
    }
}
