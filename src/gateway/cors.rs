//! Which web pages may read the answers (Fetch Standard, "HTTP extensions"). Links carry their own permission, so no
//! cookie is ever involved and the default is every page.

use std::fmt;
use std::str::FromStr;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};

use crate::signed_url::BaseUrl;

const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Accept-Ranges, Content-Disposition, Content-Encoding, Content-Length, Content-Range, Date, ETag, Retry-After",
);
const ALLOWED_FIELDS: HeaderValue = HeaderValue::from_static(
    "Range, If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, Cache-Control",
);
/// More than any page with its tracing scripts asks for, in bytes.
const LONGEST_LIST: usize = 4_096;
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
/// A day, in seconds; browsers keep it for two hours at most.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// The origins whose pages may read the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Every page.
    Any,
    /// These, e.g. `https://app.example.com`; an empty list allows none.
    Listed(Vec<HeaderValue>),
}

/// Something that is no origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadOrigin(pub String);

impl fmt::Display for BadOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no origin; an origin is scheme and host, e.g. https://app.example.com", self.0)
    }
}

impl std::error::Error for BadOrigin {}

impl AllowedOrigins {
    /// Reads a list of origins; a lone `*` allows every page.
    ///
    /// # Errors
    /// [`BadOrigin`] for whatever is not scheme and host.
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

#[derive(Debug, Clone)]
pub(super) struct Cors(AllowedOrigins);

impl Cors {
    pub(super) fn new(origins: AllowedOrigins) -> Self {
        Self(origins)
    }

    /// Whether it depends on the page what is said.
    pub(super) fn is_for_some(&self) -> bool {
        matches!(self.0, AllowedOrigins::Listed(_))
    }

    /// Which of these the page is that asks, if it is one.
    pub(super) fn judge(&self, request: &HeaderMap) -> Permission {
        let allowed = match &self.0 {
            AllowedOrigins::Any => Some(HeaderValue::from_static("*")),
            AllowedOrigins::Listed(origins) => {
                request.get(ORIGIN).filter(|origin| origins.contains(origin)).cloned()
            }
        };
        Permission {
            varies: self.is_for_some(),
            allowed,
            preflight: request
                .keys()
                .any(|name| *name == ACCESS_CONTROL_REQUEST_METHOD)
                .then(|| wished_fields(request).unwrap_or(ALLOWED_FIELDS)),
        }
    }
}

/// The header fields that a page wants to send, if they are a list of names (Fetch Standard, "CORS-preflight request").
/// Scripts that trace or sign add their own to each request. A link is its whole permission, and no cookie is involved, so
/// a field gives a page nothing: all of them are allowed. (Browsers do not take `*` for `Authorization`.)
fn wished_fields(request: &HeaderMap) -> Option<HeaderValue> {
    let mut wished = String::new();
    for line in request.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
        for name in line.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            HeaderName::from_bytes(name.as_bytes()).ok()?;
            wished.push_str(if wished.is_empty() { "" } else { ", " });
            wished.push_str(name);
        }
    }
    let fits = !wished.is_empty() && wished.len() <= LONGEST_LIST;
    HeaderValue::try_from(wished).ok().filter(|_| fits)
}

/// What the page that asks may do.
#[derive(Debug)]
pub(super) struct Permission {
    varies: bool,
    allowed: Option<HeaderValue>,
    /// The header fields that it may send, if that is asked.
    preflight: Option<HeaderValue>,
}

impl Permission {
    /// Adds what a page needs to read this answer, errors included.
    pub(super) fn tell(&self, response: &mut HeaderMap) {
        if self.varies {
            response.append(VARY, HeaderValue::from_static("Origin"));
        }
        if self.preflight.is_some() {
            response.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
        }
        let Some(allowed) = &self.allowed else { return };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed.clone());
        if let Some(fields) = &self.preflight {
            response.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            response.insert(ACCESS_CONTROL_ALLOW_HEADERS, fields.clone());
            response.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        } else {
            response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
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
