//! Checks that hyper leaves to the server. Requests that are ambiguous or too large are rejected before the handler
//! sees them, and their connection is closed.

use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{Method, Request, Version};

use super::rejection::{MAX_DISCARDED_BODY, Rejection};
use crate::server::config::Config;

/// The requests of a handler that may have a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bodies {
    /// None. The server reads and discards a short body of a GET, HEAD or OPTIONS, rejects a longer one, and never
    /// reads the body of another method.
    Refused,
    /// Requests with a known body length.
    Allowed,
}

pub(crate) fn validate<B>(request: &Request<B>, config: &Config, bodies: Bodies) -> Result<(), Rejection> {
    let fields = Fields::of(request);
    validate_size(request, &fields, config)?;
    validate_target(request)?;
    validate_host(request, &fields)?;
    validate_framing(request, &fields, bodies)
}

/// The header fields that the checks need, collected in one pass.
#[derive(Default)]
struct Fields<'r> {
    /// The size as HTTP/2 counts a header list (RFC 9113 §6.5.2): name, value, and 32 bytes each.
    size: usize,
    host: Option<&'r HeaderValue>,
    length: Option<&'r HeaderValue>,
    repeats_host: bool,
    repeats_length: bool,
    transfer_encoding: bool,
}

impl<'r> Fields<'r> {
    fn of<B>(request: &'r Request<B>) -> Self {
        let mut fields = Self::default();
        for (name, value) in request.headers() {
            fields.size += name.as_str().len() + value.len() + 32;
            match *name {
                HOST => fields.repeats_host = fields.host.replace(value).is_some(),
                CONTENT_LENGTH => fields.repeats_length = fields.length.replace(value).is_some(),
                TRANSFER_ENCODING => fields.transfer_encoding = true,
                _ => {}
            }
        }
        fields
    }
}

fn validate_size<B>(request: &Request<B>, fields: &Fields<'_>, config: &Config) -> Result<(), Rejection> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > config.longest_target {
        return Err(Rejection::TargetTooLong(config.longest_target));
    }
    if fields.size > config.longest_head { Err(Rejection::HeadTooLarge(config.longest_head)) } else { Ok(()) }
}

/// Accepts the origin form, the absolute form and `OPTIONS *` (RFC 9112 §3.2).
fn validate_target<B>(request: &Request<B>) -> Result<(), Rejection> {
    let uri = request.uri();
    let known_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let fine = match (uri.scheme_str(), uri.authority()) {
        (None, None) => {
            uri.path().starts_with('/') || (uri.path() == "*" && request.method() == Method::OPTIONS)
        }
        (Some(_), Some(_)) => known_scheme,
        // CONNECT has only an authority. The handler answers it like any method that is not allowed.
        (None, Some(_)) => request.method() == Method::CONNECT,
        (Some(_), None) => known_scheme && request.version() == Version::HTTP_2,
    };
    if fine { Ok(()) } else { Err(Rejection::Target) }
}

/// Requires exactly one valid Host in HTTP/1.1 (RFC 9112 §3.2). HTTP/2 allows an authority without userinfo, a Host, or
/// neither; if both are present, they must be equal (RFC 9113 §8.3.1).
fn validate_host<B>(request: &Request<B>, fields: &Fields<'_>) -> Result<(), Rejection> {
    let authority = request.uri().authority();
    let has_user = authority.is_some_and(|authority| authority.as_str().contains('@'));
    if fields.repeats_host || has_user {
        return Err(Rejection::Host);
    }
    let is_http2 = request.version() == Version::HTTP_2;
    match (fields.host, authority) {
        // In HTTP/1.1, the Host next to a target in absolute form is ignored (RFC 9112 §3.2.2).
        (Some(host), Some(authority)) if is_http2 && !names(host, authority) => Err(Rejection::Host),
        (Some(host), _) => valid_host(host),
        (None, _) if request.version() == Version::HTTP_11 => Err(Rejection::Host),
        // An HTTP/2 health check may have neither, and the server does not use the name.
        (None, _) => Ok(()),
    }
}

fn names(host: &HeaderValue, authority: &Authority) -> bool {
    host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
}

fn valid_host(host: &HeaderValue) -> Result<(), Rejection> {
    if is_name_and_port(host.as_bytes()) {
        return Ok(());
    }
    let text = host.to_str().map_err(|_| Rejection::Host)?;
    // An empty Host is allowed if the target has no authority.
    if text.is_empty() {
        return Ok(());
    }
    let authority: Authority = text.parse().map_err(|_| Rejection::Host)?;
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let port_fits = port.is_empty() || port == ":" || authority.port_u16().is_some();
    if !port_fits || text.contains('@') || authority.host().is_empty() {
        Err(Rejection::Host)
    } else {
        Ok(())
    }
}

/// Whether a Host has the common form: letters, digits, dots, dashes and underscores, or an IPv6 address in brackets,
/// with an optional port. `http::uri::Authority` parses other forms.
pub(crate) fn is_name_and_port(host: &[u8]) -> bool {
    let is_literal = host.first() == Some(&b'[');
    let end = if is_literal { b']' } else { b':' };
    let end = host.iter().position(|byte| *byte == end).map_or(host.len(), |at| at + usize::from(is_literal));
    let (name, port) = host.split_at(end);
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let name_fits = match name {
        [b'[', address @ .., b']'] => is_ipv6(address),
        name => !name.is_empty() && name.iter().all(is_plain),
    };
    name_fits && port_fits(port)
}

fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Accepts nothing, or a colon with an optional port number.
fn port_fits(port: &[u8]) -> bool {
    match port {
        [] | [b':'] => true,
        // Every number of up to four digits is a valid port.
        [b':', digits @ ..] if digits.len() <= 4 => digits.iter().all(u8::is_ascii_digit),
        [b':', digits @ ..] if digits.len() == 5 && digits.iter().all(u8::is_ascii_digit) => {
            digits <= &b"65535"[..]
        }
        _ => false,
    }
}

/// Rejects an ambiguous body length. [`super::checked_heads`] has already done so for HTTP/1.
fn validate_framing<B>(request: &Request<B>, fields: &Fields<'_>, bodies: Bodies) -> Result<(), Rejection> {
    if fields.repeats_length || (fields.transfer_encoding && bodies == Bodies::Allowed) {
        return Err(Rejection::Framing);
    }
    let length = fields.length.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0_u64);
    let is_ignored = is_read(request.method()) && bodies == Bodies::Refused;
    if is_ignored && length > MAX_DISCARDED_BODY as u64 { Err(Rejection::BodyTooLarge) } else { Ok(()) }
}

/// Whether a method only reads, so that a body has no meaning.
pub(crate) fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> bool {
        valid_host(&HeaderValue::from_str(text).unwrap()).is_ok()
    }

    #[test]
    fn a_host_is_a_name_or_address_and_perhaps_a_port() {
        for good in ["", "a", "a.example", "a.example:80", "127.0.0.1:8080", "[::1]", "[::1]:80", "a:"] {
            assert!(host(good), "{good}");
        }
        for good in [
            "127.0.0.1:47180",
            "a.example.:65535",
            "A_b.Example",
            "[::1]:47180",
            "[2001:DB8::1]",
            "[::1]:",
            "a:00080",
        ] {
            assert!(is_name_and_port(good.as_bytes()) && host(good), "{good} takes the long way");
        }
        let bad = [
            "a b",
            "u@h",
            "a/b",
            "a:b",
            "a:99999",
            "http://a",
            "a,b c",
            ":80",
            "[::1",
            "a:65536",
            "[::1]:65536",
        ];
        for bad in bad {
            assert!(!host(bad), "{bad}");
        }
        for odd in bad.iter().chain(&["[::1]x", "[]", "[g::1]:80", "[::1]80", "[fe80::1%25a]"]) {
            assert!(!is_name_and_port(odd.as_bytes()), "{odd} takes the fast path");
        }
    }

    #[test]
    fn http_2_takes_an_authority_or_a_host_or_neither_and_no_two_that_differ() {
        for (uri, host, fine) in [
            ("http://a.example/", None, true),
            ("http://a.example/", Some("A.example"), true),
            ("http://a.example:80/", Some("a.example:80"), true),
            ("http://a.example/", Some("b.example"), false),
            ("http://a.example/", Some(""), false),
            ("/", Some("a.example"), true),
            ("/", None, true),
        ] {
            let mut request = Request::builder().uri(uri).version(Version::HTTP_2);
            if let Some(host) = host {
                request = request.header(HOST, host);
            }
            let request = request.body(()).unwrap();
            assert_eq!(validate_host(&request, &Fields::of(&request)).is_ok(), fine, "{uri} {host:?}");
        }
    }
}
