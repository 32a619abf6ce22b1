//! Why a request is rejected, and the response that explains it.

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};

use crate::problem::Problem;

/// The maximum length of a GET's body that is read and discarded, in bytes.
pub(crate) const MAX_DISCARDED_BODY: usize = 16 * 1024;

/// Why a request is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejection {
    Target,
    TargetTooLong(usize),
    HeadTooLarge(usize),
    TooManyFields(usize),
    Host,
    Framing,
    BodyTooLarge,
    BodyTooSlow,
    /// Another error. The detail of the response describes it.
    Bad(&'static str),
}

impl Rejection {
    /// Returns the response as a problem document.
    pub(crate) fn problem(self) -> Problem {
        let bad = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "bad_request", "Bad request", detail);
        match self {
            Self::Target => bad("The request target is not a path. Send the link's path and query."),
            Self::TargetTooLong(limit) => Problem::new(
                StatusCode::URI_TOO_LONG,
                "target_too_long",
                "Request target too long",
                &format!("The request target is longer than {limit} bytes. A signed link is far shorter."),
            ),
            Self::HeadTooLarge(limit) => Problem::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "header_too_large",
                "Request header too large",
                &format!("The header fields have more than {limit} bytes. Send fewer cookies or fields."),
            ),
            Self::Host => bad("The Host header is missing, repeated or not a host. Send exactly one."),
            Self::Framing => bad("The length of the request body is ambiguous. Send Content-Length alone."),
            Self::TooManyFields(limit) => Problem::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "header_too_large",
                "Request header too large",
                &format!("There are more than {limit} header fields. Send fewer."),
            ),
            Self::BodyTooLarge => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "Request body too large",
                &format!(
                    "A request for a link has no body. One of more than {MAX_DISCARDED_BODY} bytes is not read: send none."
                ),
            ),
            Self::BodyTooSlow => Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "Request body too slow",
                "The body that the request announces did not come in time. A request for a link has no body: send none.",
            ),
            Self::Bad(detail) => bad(detail),
        }
    }

    pub(crate) fn into_response<B>(self, request: &Request<B>) -> Response<Bytes> {
        let mut response = self.problem().into_response();
        if request.version() < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        without_body_for_head(request, response)
    }
}

/// Drops the body of a response to HEAD, which never has one (RFC 9110 §9.3.2).
pub(crate) fn without_body_for_head<B>(request: &Request<B>, response: Response<Bytes>) -> Response<Bytes> {
    if *request.method() == Method::HEAD { response.map(|_| Bytes::new()) } else { response }
}

/// Serializes a response as HTTP/1.1, with `Connection: close`.
pub(crate) fn http1_bytes(response: &Response<Bytes>) -> Vec<u8> {
    let status = response.status();
    let mut bytes =
        format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default())
            .into_bytes();
    let closing = (&CONNECTION, &HeaderValue::from_static("close"));
    for (name, value) in response.headers().iter().chain([closing]) {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(response.body());
    bytes
}
