//! Heads of HTTP/1, each looked at as a whole before hyper reads it. hyper answers what it cannot read with an empty 400, and
//! drops a Content-Length beside Transfer-Encoding before anybody sees it; here the client reads which rule was broken.
//!
//! What is refused never gets as far as hyper: for hyper the connection ends there, it finishes the answers before, and the
//! refusal is written behind them when hyper closes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{Response, Uri};
use httparse::{Error, Header, Request, Status};
use memchr::{memchr_iter, memmem};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::accept::wire;
use super::vet::Refused;
use crate::server::deadlines::activity::Signs;
use crate::server::fast_path::plain_request::is_plain_target;

/// Room for what is received at once.
const ROOM: usize = 2 * 1024;

/// The most header fields: hyper's own limit.
const MOST_FIELDS: usize = 100;

/// The longest target that hyper reads at all, in bytes.
const LONGEST_TARGET: usize = 65_534;

/// A stream of requests whose heads are in order.
#[derive(Debug)]
pub(super) struct CheckedHeads<S> {
    stream: S,
    signs: Arc<Signs>,
    /// The most bytes of a head.
    longest: usize,
    received: BytesMut,
    next: Next,
}

/// What comes next of what is received.
#[derive(Debug)]
enum Next {
    /// A head, of which so many bytes were looked at.
    Head(usize),
    /// So many bytes of a head that is in order, and of its body.
    Passes(u64),
    /// A body whose end is not looked for: the connection is closed behind the answer.
    PassesAll,
    /// A head was refused; this is left of what has to be said about it.
    Refused(Bytes),
}

impl<S> CheckedHeads<S> {
    /// Of which no head is longer than `longest` bytes.
    pub(super) fn new(stream: S, longest: usize, signs: Arc<Signs>) -> Self {
        Self { stream, signs, longest, received: BytesMut::new(), next: Next::Head(0) }
    }

    /// Looks at what was received of a head. Whether it has to be waited for.
    fn check(&mut self, looked_at: usize) -> bool {
        match check(&mut self.received, looked_at, self.longest) {
            Ok(Some(next)) => self.next = next,
            Ok(None) => {
                self.next = Next::Head(self.received.len());
                return true;
            }
            Err(refused) => {
                let is_head = self.received.starts_with(b"HEAD ");
                let answer = refused.problem().into_response();
                let answer: Response<Bytes> = if is_head { answer.map(|_| Bytes::new()) } else { answer };
                self.signs.expects_more(true);
                self.next = Next::Refused(wire(&answer).into());
            }
        }
        false
    }
}

/// What of `received` is in order; `None` while the head is not there.
fn check(received: &mut BytesMut, looked_at: usize, longest: usize) -> Result<Option<Next>, Refused> {
    // At least one empty line before a request should be ignored (RFC 9112 §2.2).
    while received.starts_with(b"\r\n") {
        received.advance(2);
    }
    let end = memmem::find(received, b"\r\n\r\n").map(|at| at + 4);
    let head = received.get(..end.unwrap_or(received.len())).unwrap_or_default();
    if has_bare_line_feed(head) {
        return Err(Refused::Bad(
            "A line of the request ends with a line feed alone. Lines end with CR and LF.",
        ));
    }
    if head.len() >= longest {
        let is_target = !head.contains(&b'\r');
        return Err(if is_target { Refused::TargetTooLong(longest) } else { Refused::HeadTooLarge(longest) });
    }
    // What is no HTTP is told so at once. A head that comes byte by byte is not read again for each of them.
    if end.is_none() && looked_at > 0 && head.len() < 2 * looked_at {
        return Ok(None);
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = Request::new(&mut fields);
    let parsed = request.parse(head).map_err(|error| refusal_of(&request, error))?;
    let (Status::Complete(mut length), Some(_)) = (parsed, end) else { return Ok(None) };
    let body = body_of(request.version == Some(1), request.headers)?;
    let (method, target) = (request.method.unwrap_or_default().len(), request.path.unwrap_or_default());
    let (target_end, encoded) = (method + 1 + target.len(), readable(target)?);
    if let Some(encoded) = encoded {
        length = length - target.len() + encoded.len();
        let mut head = BytesMut::from(received.get(..=method).unwrap_or_default());
        head.extend_from_slice(encoded.as_bytes());
        head.extend_from_slice(received.get(target_end..).unwrap_or_default());
        *received = head;
    }
    Ok(Some(body.map_or(Next::PassesAll, |body| Next::Passes(body.saturating_add(length as u64)))))
}

fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr_iter(b'\n', head).any(|at| at.checked_sub(1).and_then(|before| head.get(before)) != Some(&b'\r'))
}

/// Which rule a head breaks that cannot be read.
fn refusal_of(request: &Request<'_, '_>, error: Error) -> Refused {
    Refused::Bad(match error {
        Error::TooManyHeaders => return Refused::TooManyFields(MOST_FIELDS),
        Error::HeaderName => {
            "The name of a header field is not one, or is not followed by a colon. Nothing but a colon stands behind it."
        }
        Error::HeaderValue => "The value of a header field has a control character in it.",
        Error::NewLine => "A line of the request does not end with CR and LF.",
        Error::Version => "The request line does not end with HTTP/1.1 or HTTP/1.0. This port speaks HTTP.",
        Error::Token | Error::Status if request.method.is_none() => {
            "This is not an HTTP request: it does not begin with a method."
        }
        Error::Token | Error::Status => {
            "The request target has a space, a control character or bytes that are not UTF-8. Percent-encode these, for example %20."
        }
    })
}

/// How many bytes the body has; `None` for one in chunks. Transfer-Encoding beside Content-Length is how requests are
/// smuggled, and so is each of them twice (RFC 9112 §6.1, §6.3).
fn body_of(is_http_11: bool, fields: &[Header<'_>]) -> Result<Option<u64>, Refused> {
    let values = |name: &str| {
        let named = move |field: &&Header<'_>| field.name.eq_ignore_ascii_case(name);
        fields.iter().filter(named).map(|field| field.value).collect::<Vec<_>>()
    };
    match (&*values("content-length"), &*values("transfer-encoding")) {
        ([], []) => Ok(Some(0)),
        ([length], []) => {
            let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let number =
                std::str::from_utf8(length).ok().filter(|_| is_number).and_then(|text| text.parse().ok());
            let number = number.filter(|number: &u64| i64::try_from(*number).is_ok());
            number.map(Some).ok_or(Refused::Bad("Content-Length is not a number of bytes."))
        }
        ([], [_]) if !is_http_11 => Err(Refused::Bad("Transfer-Encoding is not known in HTTP/1.0.")),
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(None),
        ([], [_]) => {
            Err(Refused::Bad("Transfer-Encoding is something else than chunked. Send Content-Length alone."))
        }
        ([_, ..], [_, ..]) => Err(Refused::Bad(
            "Content-Length stands beside Transfer-Encoding, so the length of the body is ambiguous. Send Content-Length \
             alone.",
        )),
        ([_, _, ..], []) | ([], [_, _, ..]) => Err(Refused::Bad(
            "Content-Length or Transfer-Encoding stands more than once, so the length of the body is ambiguous. Send \
             Content-Length alone.",
        )),
    }
}

/// A target as hyper reads it, if it does not as it came: people's tools append parameters with quotes or letters beyond
/// ASCII. Encoded they mean the same, and a link's own parameters have none of them.
fn readable(target: &str) -> Result<Option<String>, Refused> {
    if target.len() > LONGEST_TARGET {
        return Err(Refused::TargetTooLong(LONGEST_TARGET));
    }
    if !target.starts_with('/') {
        return target.parse::<Uri>().map(|_| None).map_err(|_| Refused::Target);
    }
    if is_plain_target(target.as_bytes()) || target.parse::<PathAndQuery>().is_ok() {
        return Ok(None);
    }
    let mut encoded = String::with_capacity(target.len() + 32);
    for byte in target.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x7f.. => {
                encoded.push_str(&format!("%{byte:02X}"));
            }
            plain => encoded.push(char::from(plain)),
        }
    }
    match encoded.parse::<PathAndQuery>() {
        Ok(_) if encoded.len() <= LONGEST_TARGET => Ok(Some(encoded)),
        Ok(_) => Err(Refused::TargetTooLong(LONGEST_TARGET)),
        Err(_) => Err(Refused::Target),
    }
}

impl<S: AsyncRead + Unpin> CheckedHeads<S> {
    /// Hands on as many bytes of what was received as may pass; whether there were any.
    fn hand_on(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let most = match &mut self.next {
            Next::Passes(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            Next::PassesAll => usize::MAX,
            Next::Head(_) | Next::Refused(_) => 0,
        };
        let count = most.min(self.received.len()).min(buffer.remaining());
        buffer.put_slice(self.received.get(..count).unwrap_or_default());
        self.received.advance(count);
        if let Next::Passes(left) = &mut self.next {
            *left -= count as u64;
            if *left == 0 {
                self.next = Next::Head(0);
            }
        }
        count > 0
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CheckedHeads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while buffer.remaining() > 0 {
            let is_missing = match this.next {
                Next::Head(looked_at) => this.received.len() <= looked_at || this.check(looked_at),
                Next::Passes(_) | Next::PassesAll => this.received.is_empty(),
                // For hyper this is the end.
                Next::Refused(_) => return Poll::Ready(Ok(())),
            };
            if is_missing {
                this.received.reserve(ROOM);
                if ready!(poll_read_buf(Pin::new(&mut this.stream), cx, &mut this.received))? == 0 {
                    return Poll::Ready(Ok(()));
                }
            } else if this.hand_on(buffer) {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CheckedHeads<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Next::Refused(answer) = &mut this.next {
            while !answer.is_empty() {
                let written = ready!(Pin::new(&mut this.stream).poll_write(cx, answer))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                answer.advance(written);
            }
            ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &[u8]) -> (Result<Option<Next>, Refused>, Vec<u8>) {
        let mut received = BytesMut::from(text);
        (check(&mut received, 0, 8_192), received.to_vec())
    }

    #[test]
    fn a_head_passes_with_its_body_and_what_stands_behind_it_does_not() {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}GET / HT";
        assert!(
            matches!(checked(request).0, Ok(Some(Next::Passes(length))) if length == request.len() as u64 - 8)
        );
        assert!(matches!(
            checked(b"GET / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n").0,
            Ok(Some(Next::PassesAll))
        ));
        assert!(matches!(checked(b"GET / HTTP/1.1\r\nHost: a\r\n").0, Ok(None)));
    }

    #[test]
    fn what_a_uri_does_not_take_is_encoded_and_the_rest_is_left() {
        let (next, received) = checked(b"GET /a?x=\"<\xc3\xa9>&sig=b HTTP/1.1\r\nHost: a\r\n\r\nGET");
        let encoded = b"GET /a?x=%22%3C%C3%A9%3E&sig=b HTTP/1.1\r\nHost: a\r\n\r\n";
        assert!(matches!(next, Ok(Some(Next::Passes(length))) if length == encoded.len() as u64));
        assert_eq!(received, [&encoded[..], b"GET"].concat());
        let as_it_is = b"GET /a?x={}|^` HTTP/1.1\r\n\r\n";
        assert_eq!(checked(as_it_is).1, as_it_is);
    }

    #[test]
    fn every_beginning_of_a_head_is_waited_for() {
        let head = b"GET /a?x=\xc3\xa9 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
        for end in 1..head.len() {
            assert!(matches!(checked(&head[..end]).0, Ok(None)), "{end}");
        }
    }
}
