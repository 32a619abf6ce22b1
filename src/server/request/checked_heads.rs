//! Checks each HTTP/1 head before hyper reads it. hyper answers a head that it cannot parse with an empty 400, and
//! silently drops a Content-Length next to Transfer-Encoding. This stream answers with the rule that the client broke.
//!
//! hyper never sees a rejected head: it reads the end of the stream, finishes earlier responses and closes. The
//! rejection is written during that close.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{Response, Uri};
use httparse::{Error, Header, Request, Status};
use memchr::memmem;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::rejection::{Rejection, http1_bytes};
use crate::server::deadlines::activity::Activity;
use crate::server::fast_path::plain_request::{has_bare_line_feed, is_plain_target};
use crate::server::zero_copy::write_gate::WriteGate;

/// The number of bytes per read.
const READ_SIZE: usize = 2 * 1024;

/// The maximum number of header fields: hyper's own limit.
const MAX_FIELDS: usize = 100;

/// The maximum length of a target that hyper parses, in bytes.
const MAX_TARGET: usize = 65_534;

/// The characters that `http::Uri` does not accept in a path and query. Letters beyond ASCII are encoded too.
const NOT_IN_A_URI: &AsciiSet =
    &CONTROLS.add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// The stream that hyper reads. It yields only requests with valid heads, and reports written bytes to the gate.
#[derive(Debug)]
pub(crate) struct CheckedHeads<S> {
    stream: S,
    activity: Arc<Activity>,
    gate: Option<Arc<WriteGate>>,
    /// The maximum length of a head, in bytes.
    max_head: usize,
    received: BytesMut,
    state: State,
}

/// The meaning of the received bytes.
#[derive(Debug)]
enum State {
    /// The start of a head, with the number of bytes that were checked.
    Head(usize),
    /// A valid head and its body, with the number of bytes left.
    Passes(u64),
    /// A chunked body, after which the connection is closed, so that its end does not matter; or HTTP/2 frames.
    PassesAll,
    /// A rejected head, with the unwritten part of the response.
    Rejected(Bytes),
}

impl<S> CheckedHeads<S> {
    /// Wraps an HTTP/1 stream. `received` was already read from it. A head may have up to `max_head` bytes.
    pub(crate) fn http1(
        stream: S,
        received: BytesMut,
        max_head: usize,
        activity: Arc<Activity>,
        gate: Option<Arc<WriteGate>>,
    ) -> Self {
        Self { stream, activity, gate, max_head, received, state: State::Head(0) }
    }

    /// Wraps an HTTP/2 stream. hyper checks its frames.
    pub(crate) fn http2(stream: S, received: BytesMut, activity: Arc<Activity>) -> Self {
        Self { stream, activity, gate: None, max_head: 0, received, state: State::PassesAll }
    }

    fn report(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Some(gate), Poll::Ready(Ok(bytes))) = (&self.gate, &written) {
            gate.on_written(*bytes);
        }
        written
    }

    /// Checks the received bytes of a head. Returns whether more are needed.
    fn check(&mut self, looked_at: usize) -> bool {
        match check(&mut self.received, looked_at, self.max_head) {
            Ok(Some(state)) => self.state = state,
            Ok(None) => {
                self.state = State::Head(self.received.len());
                return true;
            }
            Err(refused) => {
                let is_head = self.received.starts_with(b"HEAD ");
                let answer = refused.problem().into_response();
                let answer: Response<Bytes> = if is_head { answer.map(|_| Bytes::new()) } else { answer };
                self.activity.set_unread_input(true);
                self.state = State::Rejected(http1_bytes(&answer).into());
            }
        }
        false
    }
}

/// Checks a head; `None` while it is incomplete.
fn check(received: &mut BytesMut, looked_at: usize, max_head: usize) -> Result<Option<State>, Rejection> {
    // A server should ignore at least one empty line before a request (RFC 9112 §2.2).
    while received.starts_with(b"\r\n") {
        received.advance(2);
    }
    let end = memmem::find(received, b"\r\n\r\n").map(|at| at + 4);
    let head = received.get(..end.unwrap_or(received.len())).unwrap_or_default();
    if has_bare_line_feed(head) {
        return Err(Rejection::Bad(
            "A line of the request ends with a line feed alone. Lines end with CR and LF.",
        ));
    }
    if head.len() >= max_head {
        let is_target = !head.contains(&b'\r');
        return Err(if is_target {
            Rejection::TargetTooLong(max_head)
        } else {
            Rejection::HeadTooLarge(max_head)
        });
    }
    // The first bytes are parsed immediately, so that other protocols are rejected immediately. A head that arrives
    // byte by byte is parsed again only when its length has doubled.
    if end.is_none() && looked_at > 0 && head.len() < 2 * looked_at {
        return Ok(None);
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = Request::new(&mut fields);
    let parsed = request.parse(head).map_err(|error| rejection_of(&request, error))?;
    let (Status::Complete(mut length), Some(_)) = (parsed, end) else { return Ok(None) };
    let body = body_length(request.version == Some(1), request.headers)?;
    let (method, target) = (request.method.unwrap_or_default().len(), request.path.unwrap_or_default());
    let (target_end, encoded) = (method + 1 + target.len(), percent_encoded(target)?);
    if let Some(encoded) = encoded {
        length = length - target.len() + encoded.len();
        let mut head = BytesMut::from(received.get(..=method).unwrap_or_default());
        head.extend_from_slice(encoded.as_bytes());
        head.extend_from_slice(received.get(target_end..).unwrap_or_default());
        *received = head;
    }
    Ok(Some(body.map_or(State::PassesAll, |body| State::Passes(body.saturating_add(length as u64)))))
}

/// Returns the rule that an invalid head breaks.
fn rejection_of(request: &Request<'_, '_>, error: Error) -> Rejection {
    Rejection::Bad(match error {
        Error::TooManyHeaders => return Rejection::TooManyFields(MAX_FIELDS),
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

/// Returns the length of the body; `None` if it is chunked. Content-Length next to Transfer-Encoding, and either of
/// them repeated, allow request smuggling (RFC 9112 §6.1, §6.3).
fn body_length(is_http_11: bool, fields: &[Header<'_>]) -> Result<Option<u64>, Rejection> {
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
            number.map(Some).ok_or(Rejection::Bad("Content-Length is not a number of bytes."))
        }
        ([], [_]) if !is_http_11 => Err(Rejection::Bad("Transfer-Encoding is not known in HTTP/1.0.")),
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(None),
        ([], [_]) => Err(Rejection::Bad(
            "Transfer-Encoding is something else than chunked. Send Content-Length alone.",
        )),
        ([_, ..], [_, ..]) => Err(Rejection::Bad(
            "Content-Length stands beside Transfer-Encoding, so the length of the body is ambiguous. Send Content-Length \
             alone.",
        )),
        ([_, _, ..], []) | ([], [_, _, ..]) => Err(Rejection::Bad(
            "Content-Length or Transfer-Encoding stands more than once, so the length of the body is ambiguous. Send \
             Content-Length alone.",
        )),
    }
}

/// Percent-encodes a target that hyper would reject; `None` if the target needs no encoding. Tools append parameters
/// with quotes or letters beyond ASCII. Encoded, they mean the same, and a link's own parameters contain no such
/// characters.
fn percent_encoded(target: &str) -> Result<Option<String>, Rejection> {
    if target.len() > MAX_TARGET {
        return Err(Rejection::TargetTooLong(MAX_TARGET));
    }
    if !target.starts_with('/') {
        return target.parse::<Uri>().map(|_| None).map_err(|_| Rejection::Target);
    }
    if is_plain_target(target.as_bytes()) || target.parse::<PathAndQuery>().is_ok() {
        return Ok(None);
    }
    let encoded = utf8_percent_encode(target, NOT_IN_A_URI).to_string();
    match encoded.parse::<PathAndQuery>() {
        Ok(_) if encoded.len() <= MAX_TARGET => Ok(Some(encoded)),
        Ok(_) => Err(Rejection::TargetTooLong(MAX_TARGET)),
        Err(_) => Err(Rejection::Target),
    }
}

impl<S: AsyncRead + Unpin> CheckedHeads<S> {
    /// Copies received bytes that may pass into `buffer`. Returns whether it copied any.
    fn pass_on(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let most = match &mut self.state {
            State::Passes(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            State::PassesAll => usize::MAX,
            State::Head(_) | State::Rejected(_) => 0,
        };
        let count = most.min(self.received.len()).min(buffer.remaining());
        buffer.put_slice(self.received.get(..count).unwrap_or_default());
        self.received.advance(count);
        if let State::Passes(left) = &mut self.state {
            *left -= count as u64;
            if *left == 0 {
                self.state = State::Head(0);
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
        if matches!(this.state, State::PassesAll) && this.received.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        while buffer.remaining() > 0 {
            let is_missing = match this.state {
                State::Head(looked_at) => this.received.len() <= looked_at || this.check(looked_at),
                State::Passes(_) | State::PassesAll => this.received.is_empty(),
                // hyper reads the end of the stream.
                State::Rejected(_) => return Poll::Ready(Ok(())),
            };
            if is_missing {
                this.received.reserve(READ_SIZE);
                if ready!(poll_read_buf(Pin::new(&mut this.stream), cx, &mut this.received))? == 0 {
                    return Poll::Ready(Ok(()));
                }
            } else if this.pass_on(buffer) {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CheckedHeads<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.report(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.report(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let State::Rejected(answer) = &mut this.state {
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

    fn checked(text: &[u8]) -> (Result<Option<State>, Rejection>, Vec<u8>) {
        let mut received = BytesMut::from(text);
        (check(&mut received, 0, 8_192), received.to_vec())
    }

    #[test]
    fn a_head_and_its_body_pass_and_the_bytes_behind_them_do_not() {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}GET / HT";
        assert!(
            matches!(checked(request).0, Ok(Some(State::Passes(length))) if length == request.len() as u64 - 8)
        );
        assert!(matches!(
            checked(b"GET / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n").0,
            Ok(Some(State::PassesAll))
        ));
        assert!(matches!(checked(b"GET / HTTP/1.1\r\nHost: a\r\n").0, Ok(None)));
    }

    #[test]
    fn characters_that_a_uri_does_not_allow_are_percent_encoded() {
        let (next, received) = checked(b"GET /a?x=\"<\xc3\xa9>&sig=b HTTP/1.1\r\nHost: a\r\n\r\nGET");
        let encoded = b"GET /a?x=%22%3C%C3%A9%3E&sig=b HTTP/1.1\r\nHost: a\r\n\r\n";
        assert!(matches!(next, Ok(Some(State::Passes(length))) if length == encoded.len() as u64));
        assert_eq!(received, [&encoded[..], b"GET"].concat());
        let as_it_is = b"GET /a?x={}|^` HTTP/1.1\r\n\r\n";
        assert_eq!(checked(as_it_is).1, as_it_is);
    }

    #[test]
    fn an_incomplete_head_is_neither_passed_on_nor_rejected() {
        let head = b"GET /a?x=\xc3\xa9 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
        for end in 1..head.len() {
            assert!(matches!(checked(&head[..end]).0, Ok(None)), "{end}");
        }
    }
}
