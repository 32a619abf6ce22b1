//! Writes the heads of HTTP/1.1 requests, and parses the heads of plain responses (with httparse).

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HOST, HeaderMap, HeaderName,
    HeaderValue, LAST_MODIFIED, TRANSFER_ENCODING,
};
use http::uri::Authority;
use http::{Method, StatusCode};
use memchr::memchr_iter;
use object_store::client::HttpRequest;

use crate::store::http::content_length::content_length;

/// The maximum number of header fields in a plain response.
const MAX_FIELDS: usize = 64;

/// Writes the head of a request without a body. The target is in origin-form (RFC 9112 §3.2.1).
pub(super) fn of_request(request: &HttpRequest, host: &Authority) -> Vec<u8> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mut head = Vec::with_capacity(1_024);
    let mut write = |parts: &[&[u8]]| parts.iter().for_each(|part| head.extend_from_slice(part));
    write(&[request.method().as_str().as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"]);
    if !request.headers().contains_key(HOST) {
        write(&[b"host: ", host.as_str().as_bytes(), b"\r\n"]);
    }
    // The types of names and values exclude line breaks.
    for (name, value) in request.headers() {
        write(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    write(&[b"\r\n"]);
    head
}

/// Whether these bytes contain the whole head of a response, or are not HTTP.
pub(super) fn is_complete(arrived: &[u8]) -> bool {
    let is_http = arrived.iter().zip(b"HTTP/").all(|(byte, expected)| byte == expected);
    let mut ends = memchr_iter(b'\n', arrived).filter_map(|at| arrived.get(at + 1..));
    !is_http || ends.any(|behind| behind.starts_with(b"\n") || behind.starts_with(b"\r\n"))
}

/// The head of a response with a body of known length.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
    /// The lengths of the head and the body, in bytes.
    pub(super) length: usize,
    pub(super) body: u64,
    /// Whether another request may follow on the connection.
    pub(super) keep_alive: bool,
}

/// The fields of a response with an object that determine the object and the framing.
const OF_AN_OBJECT: [HeaderName; 7] =
    [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED, TRANSFER_ENCODING];

/// The fields to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fields {
    All,
    /// Only those of an object, if the response has one. A map of all fields takes a tenth of the time of a short
    /// object.
    OfAnObject,
}

/// Parses the head of a response to a request of this method. `None` if it is not plain: it has another framing, or is
/// not HTTP.
pub(super) fn of_response(arrived: &Bytes, method: &Method, wanted: Fields) -> Option<Head> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = parsed.parse(arrived) else { return None };
    let status = StatusCode::from_u16(parsed.code?).ok()?;
    let only_object = wanted == Fields::OfAnObject && status.is_success();
    let fields = fields_of(arrived, parsed.headers, only_object)?;
    let body = body_length(status, &fields, method)?;
    // After HTTP/1.0 or any other connection option, no request may follow (RFC 9112 §9.3).
    let option = fields.get(CONNECTION).map(HeaderValue::as_bytes);
    let keep_alive =
        parsed.version == Some(1) && option.is_none_or(|option| option.eq_ignore_ascii_case(b"keep-alive"));
    Some(Head { status, fields, length, body, keep_alive })
}

/// Collects the header fields. Their values share the received bytes.
fn fields_of(arrived: &Bytes, parsed: &[httparse::Header<'_>], only_object: bool) -> Option<HeaderMap> {
    let is_wanted = |field: &&httparse::Header<'_>| {
        !only_object || OF_AN_OBJECT.iter().any(|name| field.name.eq_ignore_ascii_case(name.as_str()))
    };
    let mut fields = HeaderMap::with_capacity(if only_object { 6 } else { parsed.len() });
    for field in parsed.iter().filter(is_wanted) {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(arrived.slice_ref(field.value)).ok()?;
        fields.append(name, value);
    }
    Some(fields)
}

/// The length of the body, if the response announces it or can have no body (RFC 9112 §6.3).
fn body_length(status: StatusCode, fields: &HeaderMap, method: &Method) -> Option<u64> {
    if status.is_informational() || fields.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    if method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Some(0);
    }
    content_length(fields).ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, method: &Method) -> Option<Head> {
        let arrived = Bytes::copy_from_slice(text.as_bytes());
        let (all, object) =
            (of_response(&arrived, method, Fields::All), of_response(&arrived, method, Fields::OfAnObject));
        let framing = |head: &Head| (head.status, head.length, head.body, head.keep_alive);
        assert_eq!(all.as_ref().map(framing), object.as_ref().map(framing), "{text}");
        all
    }

    #[test]
    fn a_request_gets_its_host_and_no_other_field() {
        let host = Authority::from_static("store:9000");
        let mut request =
            http::Request::get("http://store:9000/a%20b?c=d").body(Bytes::new().into()).unwrap();
        request.headers_mut().insert("x-a", HeaderValue::from_static("b"));
        assert_eq!(
            of_request(&request, &host),
            b"GET /a%20b?c=d HTTP/1.1\r\nhost: store:9000\r\nx-a: b\r\n\r\n"
        );
        request.headers_mut().insert(HOST, HeaderValue::from_static("signed"));
        let head = String::from_utf8(of_request(&request, &host)).unwrap();
        assert_eq!(head.matches("host: ").count(), 1);
        assert!(head.contains("host: signed\r\n"));
    }

    #[test]
    fn a_body_with_a_length_is_plain() {
        let whole = "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n";
        let text = format!("{whole}hello");
        let head = read(&text, &Method::GET).unwrap();
        assert_eq!(
            (head.status.as_u16(), head.length, head.body, head.keep_alive),
            (206, whole.len(), 5, true)
        );
        assert_eq!(head.fields["etag"], "\"a\"");
        assert!(is_complete(text.as_bytes()) && is_complete(whole.as_bytes()));
        for end in 0..whole.len() {
            assert!(!is_complete(&text.as_bytes()[..end]), "{end}");
            assert!(read(&text[..end], &Method::GET).is_none(), "{end}");
        }
    }

    #[test]
    fn some_responses_never_have_a_body() {
        for (status, method) in [(200, Method::HEAD), (304, Method::GET), (204, Method::DELETE)] {
            let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n");
            assert_eq!(read(&text, &method).unwrap().body, 0, "{status}");
        }
    }

    #[test]
    fn a_connection_is_kept_unless_the_response_says_otherwise() {
        for (said, keep_alive) in
            [("keep-alive", true), ("Keep-Alive", true), ("close", false), ("x, close", false)]
        {
            let text = format!("HTTP/1.1 200 OK\r\nConnection: {said}\r\nContent-Length: 0\r\n\r\n");
            let head = read(&text, &Method::GET).unwrap();
            assert_eq!(head.keep_alive, keep_alive, "{said}");
        }
        let old = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n";
        assert!(!read(old, &Method::GET).unwrap().keep_alive);
    }

    #[test]
    fn a_response_without_a_length_is_not_plain() {
        for text in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n",
        ] {
            assert!(is_complete(text.as_bytes()), "{text:?}");
            assert!(read(text, &Method::GET).is_none(), "{text:?}");
        }
    }
}
