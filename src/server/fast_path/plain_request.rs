//! Plain requests: a complete head of an HTTP/1.1 GET or HEAD with one ordinary Host, no body, and no connection option
//! other than `keep-alive` or `close`. In case of doubt a request is not plain: hyper and
//! [`crate::server::request::validate`] check it.

use std::mem::MaybeUninit;

use httparse::{Header, Request, Status};
use memchr::memchr_iter;

use crate::server::request::validate::is_name_and_port;

/// The maximum number of header fields of a plain request.
const MOST_FIELDS: usize = 32;

/// The size limits of a plain request. hyper's path rejects a request beyond them.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// The maximum length of the target, in bytes.
    pub target: usize,
    /// The maximum size of the header fields, counted as in HTTP/2 (RFC 9113 §6.5.2): name, value, and 32 bytes each.
    pub fields: usize,
}

/// A plain request. Its target is a path with an optional query, of characters that RFC 3986 §3.3 and §3.4 allow.
#[derive(Debug)]
pub struct PlainRequest<'r> {
    /// Whether the method is HEAD; otherwise it is GET.
    pub is_head: bool,
    /// Path and query as sent.
    pub target: &'r str,
    /// Whether the client closes the connection after the response.
    pub(crate) closes: bool,
    fields: &'r [Header<'r>],
}

impl<'r> PlainRequest<'r> {
    /// Parses received bytes. If they begin with a plain request within the limits, calls `act` with it, and returns
    /// the result and the length of the request.
    pub fn read<T>(
        received: &[u8],
        limits: HeadLimits,
        act: impl FnOnce(&PlainRequest<'_>) -> Option<T>,
    ) -> Option<(T, usize)> {
        // Skips the parser for other methods.
        if !received.starts_with(b"GET /") && !received.starts_with(b"HEAD /") {
            return None;
        }
        let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut request = Request::new(&mut []);
        let Ok(Status::Complete(length)) = request.parse_with_uninit_headers(received, &mut fields) else {
            return None;
        };
        let head = received.get(..length)?;
        let plain = PlainRequest::of(&request, limits).filter(|_| !has_bare_line_feed(head))?;
        Some((act(&plain)?, length))
    }

    fn of(request: &'r Request<'r, 'r>, limits: HeadLimits) -> Option<Self> {
        let is_head = match request.method? {
            "GET" => false,
            "HEAD" => true,
            _ => return None,
        };
        let target = request.path.filter(|target| is_plain_target(target.as_bytes()))?;
        let mut plain = Self { is_head, target, closes: false, fields: request.headers };
        let fits = target.len() <= limits.target && request.version == Some(1);
        (fits && plain.fields_are_plain(limits)).then_some(plain)
    }

    /// Whether there is exactly one Host, no field that announces a body, and no unknown connection option (RFC 9112
    /// §3.2, §6, §9.6).
    fn fields_are_plain(&mut self, limits: HeadLimits) -> bool {
        let (mut size, mut hosts, mut connections) = (0, 0, 0);
        for Header { name, value } in self.fields {
            size += name.len() + value.len() + 32;
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            match name.len() {
                4 if is("host") => {
                    hosts += 1;
                    if !is_name_and_port(value) {
                        return false;
                    }
                }
                10 if is("connection") => {
                    connections += 1;
                    self.closes = value.eq_ignore_ascii_case(b"close");
                    if !self.closes && !value.eq_ignore_ascii_case(b"keep-alive") {
                        return false;
                    }
                }
                6 if is("expect") => return false,
                7 if is("upgrade") || is("trailer") => return false,
                14 if is("content-length") => return false,
                17 if is("transfer-encoding") => return false,
                _ => {}
            }
        }
        hosts == 1 && connections <= 1 && size <= limits.fields
    }

    /// Returns the values of the field with this name.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &'r [u8]> {
        self.fields().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns the header fields as sent: names in any case, values without surrounding whitespace.
    pub fn fields(&self) -> impl Iterator<Item = (&'r str, &'r [u8])> {
        self.fields.iter().map(|field| (field.name, field.value))
    }
}

/// The printable characters that a target does not contain: neither RFC 3986's `pchar` nor separators.
const NOT_PLAIN: [u8; 12] = *b"\"#<>[\\]^`{|}";

pub(crate) fn is_plain_target(target: &[u8]) -> bool {
    let is_plain = |byte: u8| {
        byte.is_ascii_graphic() & NOT_PLAIN.iter().fold(true, |plain, other| plain & (byte != *other))
    };
    // Without an early return, the compiler vectorizes the loop.
    target.iter().fold(true, |plain, byte| plain & is_plain(*byte))
}

/// Whether a line ends with a bare line feed.
pub(crate) fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr_iter(b'\n', head).any(|at| at.checked_sub(1).and_then(|before| head.get(before)) != Some(&b'\r'))
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits { target: 2_048, fields: 8_192 };

    fn read(received: &str) -> Option<(bool, bool, usize)> {
        let act = |request: &PlainRequest<'_>| Some((request.is_head, request.closes));
        PlainRequest::read(received.as_bytes(), LIMITS, act)
            .map(|((is_head, closes), length)| (is_head, closes, length))
    }

    #[test]
    fn a_plain_request_is_parsed_and_what_follows_it_is_left() {
        let plain = "GET /a?b=c HTTP/1.1\r\nHost: a.example:80\r\nAccept: */*\r\n\r\n";
        assert_eq!(read(plain), Some((false, false, plain.len())));
        assert_eq!(read(&format!("{plain}{plain}")), Some((false, false, plain.len())));
        let closing = "HEAD / HTTP/1.1\r\nconnection: Close\r\nhost: a\r\n\r\n";
        assert_eq!(read(closing), Some((true, true, closing.len())));
        assert!(read("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").is_some());
        for host in ["127.0.0.1:47180", "[::1]:47180", "a.example.", "A_B:65535"] {
            assert!(read(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).is_some(), "{host}");
        }
    }

    #[test]
    fn a_target_has_the_characters_of_paths_and_queries_and_no_others() {
        let marks = b"-._~!$&'()*+,;=:@/?%";
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_alphanumeric() || marks.contains(&byte);
            assert_eq!(is_plain_target(&[b'/', byte, b'a']), expected, "{:?}", char::from(byte));
        }
    }

    #[test]
    fn a_request_with_any_doubt_is_not_plain() {
        let with = |fields: &str| format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        assert!(read(&with("")).is_some());
        let start = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
        for other in [
            "GET / HTTP/1.1\r\nHost: a\r\n".to_owned(),
            "GET / HTTP/1.1\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\nHost: a\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nHost: a\r\n\n".to_owned(),
            start("GET / HTTP/1.0"),
            start("POST / HTTP/1.1"),
            start("OPTIONS / HTTP/1.1"),
            start("get / HTTP/1.1"),
            start("GET http://a/ HTTP/1.1"),
            start("GET /# HTTP/1.1"),
            start("GET /é HTTP/1.1"),
            start("GET /<> HTTP/1.1"),
            start(&format!("GET /{} HTTP/1.1", "a".repeat(LIMITS.target))),
            with("Host: a\r\n"),
            with("Connection: close\r\nConnection: close\r\n"),
            with("Connection: keep-alive, Upgrade\r\n"),
            with("Upgrade: h2c\r\n"),
            with("Expect: 100-continue\r\n"),
            with("Content-Length: 0\r\n"),
            with("Transfer-Encoding: chunked\r\n"),
            with("Trailer: a\r\n"),
            with("A: b\r\n c\r\n"),
            with(" A: b\r\n"),
            with("A b\r\n"),
            with("A: b\nC: d\r\n"),
            with("A: \0\r\n"),
            with(&"A: b\r\n".repeat(MOST_FIELDS)),
            with(&format!("A: {}\r\n", "b".repeat(LIMITS.fields))),
        ] {
            assert_eq!(read(&other), None, "{other:?}");
        }
        for host in ["", "a b", "u@h", "a:99999", "[::1", "[::1]x", "[]", "a/b", "a:123456"] {
            assert_eq!(read(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), None, "{host:?}");
        }
    }

    proptest! {
        /// hyper accepts every plain request and parses it in the same way.
        #[test]
        fn what_is_plain_is_valid_everywhere(
            line in prop_oneof![
                3 => Just("GET /webhook-assets/x?a=b HTTP/1.1\r\n".to_owned()),
                1 => "(GET|HEAD|get) /[ -~é]{0,9} HTTP/1.[01]\r?\n",
            ],
            fields in proptest::collection::vec(
                prop_oneof![
                    4 => Just("Host: a\r\n".to_owned()),
                    1 => "(Host|Connection|A|[!-~]{1,3}): ?[ -~é\t]{0,6}\r?\n",
                    1 => "\\PC{0,9}\r\n",
                ],
                0..4,
            ),
        ) {
            let text = format!("{line}{}\r\n", fields.concat());
            let act = |request: &PlainRequest<'_>| {
                let target: PathAndQuery = request.target.parse().unwrap();
                assert_eq!(target.as_str(), request.target);
                for (name, value) in request.fields() {
                    assert!(HeaderName::from_bytes(name.as_bytes()).is_ok(), "{name:?}");
                    assert!(HeaderValue::from_bytes(value).is_ok(), "{value:?}");
                }
                assert_eq!(request.values("host").count(), 1);
                Some(())
            };
            if let Some(((), length)) = PlainRequest::read(text.as_bytes(), LIMITS, act) {
                let head = &text[..length];
                assert!(head.ends_with("\r\n\r\n") && !head.replace("\r\n", "").contains(['\r', '\n']), "{head:?}");
            }
        }
    }
}
