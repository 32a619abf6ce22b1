//! The heads of HTTP/1.1: a request's is written, an answer's is read, and it is said how long the body behind it is.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{Method, StatusCode};
use memchr::memchr_iter;
use object_store::client::HttpRequest;

/// How many fields the head of an answer may have that is read here.
const MOST_FIELDS: usize = 64;

/// The head of a request without a body. On a connection of its own the target is a path (RFC 9112 §3.2.1).
pub(crate) fn of_request(request: &HttpRequest, host: &Authority) -> Vec<u8> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mut head = Vec::with_capacity(1_024);
    let mut write = |parts: &[&[u8]]| parts.iter().for_each(|part| head.extend_from_slice(part));
    write(&[request.method().as_str().as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"]);
    if !request.headers().contains_key(HOST) {
        write(&[b"host: ", host.as_str().as_bytes(), b"\r\n"]);
    }
    // Neither names nor values can have line ends in them: their types see to that.
    for (name, value) in request.headers() {
        write(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    write(&[b"\r\n"]);
    head
}

/// Whether so much of an answer can be judged: all of its head is there, or it is not one of HTTP.
pub(crate) fn is_enough(arrived: &[u8]) -> bool {
    let is_http = arrived.iter().zip(b"HTTP/").all(|(byte, expected)| byte == expected);
    let mut ends = memchr_iter(b'\n', arrived).filter_map(|at| arrived.get(at + 1..));
    !is_http || ends.any(|behind| behind.starts_with(b"\n") || behind.starts_with(b"\r\n"))
}

/// The head of an answer with a body of known length.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
    /// How long the head itself is, and the body.
    pub(crate) length: usize,
    pub(crate) body: u64,
    /// Whether another answer may follow on the connection.
    pub(crate) stays: bool,
}

/// Reads the head of an answer to a request of this method. `None` is left to hyper: another framing, another version, or
/// no HTTP at all.
pub(crate) fn of_answer(arrived: &Bytes, method: &Method) -> Option<Head> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = parsed.parse(arrived) else { return None };
    let status = StatusCode::from_u16(parsed.code?).ok().filter(|_| parsed.version == Some(1))?;
    let fields = fields_of(arrived, parsed.headers)?;
    let body = body_length(status, &fields, method)?;
    // Whatever else it says of the connection, it is not used again (RFC 9112 §9.3).
    let said = fields.get(CONNECTION).map(HeaderValue::as_bytes);
    let stays = said.is_none_or(|said| said.eq_ignore_ascii_case(b"keep-alive"));
    Some(Head { status, fields, length, body, stays })
}

/// The values share the memory in which they have arrived.
fn fields_of(arrived: &Bytes, parsed: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::with_capacity(parsed.len());
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(arrived.slice_ref(field.value)).ok()?;
        fields.append(name, value);
    }
    Some(fields)
}

/// How long the body is, if a single Content-Length says so, or there can be none (RFC 9112 §6.3).
fn body_length(status: StatusCode, fields: &HeaderMap, method: &Method) -> Option<u64> {
    if status.is_informational() || fields.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    if method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Some(0);
    }
    let mut said = fields.get_all(CONTENT_LENGTH).iter();
    let (Some(length), None) = (said.next(), said.next()) else { return None };
    // A sign in front of it would be read as a number, too.
    let digits = length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, method: &Method) -> Option<Head> {
        of_answer(&Bytes::copy_from_slice(text.as_bytes()), method)
    }

    #[test]
    fn a_request_is_written_with_its_host_and_nothing_else_that_it_has_not() {
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
        assert_eq!((head.status.as_u16(), head.length, head.body, head.stays), (206, whole.len(), 5, true));
        assert_eq!(head.fields["etag"], "\"a\"");
        assert!(is_enough(text.as_bytes()) && is_enough(whole.as_bytes()));
        for end in 0..whole.len() {
            assert!(!is_enough(&text.as_bytes()[..end]), "{end}");
            assert!(read(&text[..end], &Method::GET).is_none(), "{end}");
        }
    }

    #[test]
    fn what_can_have_no_body_has_none() {
        for (status, method) in [(200, Method::HEAD), (304, Method::GET), (204, Method::DELETE)] {
            let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n");
            assert_eq!(read(&text, &method).unwrap().body, 0, "{status}");
        }
    }

    #[test]
    fn a_connection_stays_unless_something_else_is_said() {
        for (said, stays) in
            [("keep-alive", true), ("Keep-Alive", true), ("close", false), ("x, close", false)]
        {
            let text = format!("HTTP/1.1 200 OK\r\nConnection: {said}\r\nContent-Length: 0\r\n\r\n");
            let head = read(&text, &Method::GET).unwrap();
            assert_eq!(head.stays, stays, "{said}");
        }
    }

    #[test]
    fn whatever_has_no_single_length_is_left_to_hyper() {
        for text in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n",
        ] {
            assert!(is_enough(text.as_bytes()), "{text:?}");
            assert!(read(text, &Method::GET).is_none(), "{text:?}");
        }
    }
}
