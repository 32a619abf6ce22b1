//! Which HTTP a connection speaks: HTTP/2 begins with a preface (RFC 9113 §3.4), everything else is HTTP/1.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long to wait for the rest of a preface that has begun, at first and at most. Twice as long each time: whoever
/// sends the first letter alone must not keep us busy.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Protocol {
    Http1,
    Http2,
}

/// Room for the first bytes; most heads fit in.
const START: usize = 1_024;

/// The same over TLS: a client's greeting with the keys of today (X25519 and ML-KEM) fits in.
const GREETING: usize = 2_048;

/// Takes the first bytes, which tell the protocol; `start` was taken before.
pub(in crate::server) async fn detect(
    stream: &mut TcpStream,
    mut start: BytesMut,
) -> io::Result<(Protocol, BytesMut)> {
    loop {
        if let Some(protocol) = judge(&start) {
            return Ok((protocol, start));
        }
        take(stream, &mut start, START).await?;
    }
}

/// Takes the first bytes of what should be TLS.
pub(in crate::server) async fn greeting(stream: &mut TcpStream) -> io::Result<Bytes> {
    let mut start = BytesMut::new();
    take(stream, &mut start, GREETING).await?;
    Ok(start.freeze())
}

/// Waits for bytes and takes them; the end of the stream is an error.
async fn take(stream: &mut TcpStream, start: &mut BytesMut, room: usize) -> io::Result<()> {
    stream.readable().await?;
    // Not before there is something to read: most connections wait for that.
    start.reserve(room);
    if stream.read_buf(start).await? > 0 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Looks at the first bytes, without taking them, until `judge` has seen enough. At the end of the stream, and when
/// `seen` is full, there will not be more.
pub(in crate::server) async fn peek<T>(
    stream: &TcpStream,
    seen: &mut [u8],
    judge: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<T> {
    let mut pause = FIRST_PAUSE;
    loop {
        let count = stream.peek(seen).await?;
        let start = seen.get(..count).unwrap_or_default();
        match judge(start) {
            Some(found) => return Ok(found),
            None if start.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            // Peeking returns at once as long as a byte is there, so waiting for more takes a pause.
            None => tokio::time::sleep(pause).await,
        }
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// Decides by the first bytes; `None` while they could still become a preface.
pub(in crate::server) fn judge(start: &[u8]) -> Option<Protocol> {
    match start {
        _ if start.starts_with(PREFACE) => Some(Protocol::Http2),
        _ if PREFACE.starts_with(start) => None,
        _ => Some(Protocol::Http1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_preface_is_http_2() {
        assert_eq!(judge(PREFACE), Some(Protocol::Http2));
        assert_eq!(judge(b"P"), None);
        assert_eq!(judge(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"), None);
        assert_eq!(judge(b""), None);
        assert_eq!(judge(&[PREFACE, &b"\0\0"[..]].concat()), Some(Protocol::Http2));
        for other in [&b"GET /"[..], b"POST", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", b"\x16\x03"] {
            assert_eq!(judge(other), Some(Protocol::Http1), "{other:?}");
        }
    }
}
