//! Decides which requests the private listener admits: bearer token (RFC 6750), loopback, no web pages.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, Request, StatusCode};

use super::listener::Admin;
use super::upload::Upload;
use crate::problem::Problem;
use crate::secret::Token;

impl Admin {
    /// If a token is configured, the request must carry it. Otherwise the listener is on loopback, and the request's
    /// host must be loopback: a web page could otherwise reach the listener under another name (DNS rebinding).
    pub(super) fn authorize(&self, request: &Request<Upload>) -> Result<(), Problem> {
        match &self.0.token {
            Some(token) if is_borne_by(token, request.headers()) => request.body().permitted(),
            Some(_) => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Unauthorized",
                "Send `Authorization: Bearer …` with the token of this listener's token file.",
            )),
            None if is_for_loopback(request) => request.body().permitted(),
            None => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "host_not_allowed",
                "Host not allowed",
                "Without a token this listener answers under localhost, 127.0.0.1 and [::1] alone. \
                 Set admin.token_file to use another name.",
            )),
        }
    }
}

/// Whether a request carries the token, in exactly one `Authorization` field.
fn is_borne_by(token: &Token, headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return false };
    let Some((scheme, borne)) = field.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer") && token.is(borne.trim())
}

fn is_for_loopback(request: &Request<Upload>) -> bool {
    let authority = request.uri().authority().cloned();
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let Some(authority) = authority.or_else(|| host.and_then(|host| host.parse().ok())) else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Requires JSON. A browser sends this media type to another origin only after a preflight request, which this listener
/// refuses.
pub(super) fn require_json(request: &Request<Upload>) -> Result<(), Problem> {
    let media_type =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "Unsupported media type",
        "Send the body as `Content-Type: application/json`.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_the_token_itself_is_accepted() {
        let token = Token::new("0123456789abcdef").unwrap();
        let borne = |fields: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(AUTHORIZATION, HeaderValue::from_str(field).unwrap());
            }
            is_borne_by(&token, &headers)
        };
        assert!(borne(&["Bearer 0123456789abcdef"]) && borne(&["bearer  0123456789abcdef"]));
        for wrong in
            ["", "Bearer", "Bearer ", "Bearer 0123456789abcdeF", "Basic 0123456789abcdef", "0123456789abcdef"]
        {
            assert!(!borne(&[wrong]), "{wrong}");
        }
        assert!(!borne(&["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"]) && !borne(&[]));
        assert_eq!(format!("{token:?}"), "Token([redacted])");
        assert!(Token::new("short").is_none() && Token::new("with a space in it").is_none());
    }
}
