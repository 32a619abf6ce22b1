//! Detects the HTTP version of a client without TLS: HTTP/2 begins with a preface (RFC 9113 §3.4), anything else is
//! HTTP/1.

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HttpVersion {
    Http1,
    Http2,
}

impl HttpVersion {
    /// Returns the version by the first bytes; `None` while they could still become the preface.
    pub(super) fn of(received: &[u8]) -> Option<Self> {
        match received {
            _ if received.starts_with(PREFACE) => Some(Self::Http2),
            _ if PREFACE.starts_with(received) => None,
            _ => Some(Self::Http1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_preface_is_http_2() {
        assert_eq!(HttpVersion::of(PREFACE), Some(HttpVersion::Http2));
        assert_eq!(HttpVersion::of(b"P"), None);
        assert_eq!(HttpVersion::of(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"), None);
        assert_eq!(HttpVersion::of(b""), None);
        assert_eq!(HttpVersion::of(&[PREFACE, &b"\0\0"[..]].concat()), Some(HttpVersion::Http2));
        for other in [&b"GET /"[..], b"POST", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", b"\x16\x03"] {
            assert_eq!(HttpVersion::of(other), Some(HttpVersion::Http1), "{other:?}");
        }
    }
}
