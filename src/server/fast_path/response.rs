//! The response of the fast path. A handler writes the head. If a file follows, it can send both immediately, and the
//! kernel nearly always takes all of them. Otherwise a [`FastResponse`] keeps the rest.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

use crate::clock::{Moment, UnixSeconds};
use crate::server::deadlines::activity::InFlight;
use crate::server::fairness::TURN;
use crate::server::listener::limiter::Permit;
use crate::server::socket::tcp::Socket;
use crate::server::zero_copy::write_gate::WriteGate;

/// A body up to this many bytes is copied after the head: copying costs less than a vectored write.
const COPIED: usize = 1024;

/// The result of a handler's fast path. A handler that has sent something no longer has a writer, so it cannot decline.
pub enum FastPath<'w, B> {
    /// Nothing was sent. The request goes to [`Handler::answer`](crate::server::Handler::answer).
    Declined(ResponseWriter<'w>),
    /// The head is written. The body follows.
    Answered(ResponseWriter<'w>, B),
    /// The head and the start of a file were sent. The body is the rest.
    Sent(SentHead, B),
    /// The response has to be awaited.
    Awaited(AwaitedResponse<B>),
}

/// A response that has to be awaited: the status line and the header fields, each with its line end, and the body. It
/// is polled on the thread of its connection.
pub type AwaitedResponse<B> = Pin<Box<dyn Future<Output = (Vec<u8>, B)> + Send>>;

impl<B> std::fmt::Debug for FastPath<'_, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Declined(_) => "Declined",
            Self::Answered(..) => "Answered",
            Self::Sent(..) => "Sent",
            Self::Awaited(_) => "Awaited",
        })
    }
}

/// A response that the handler has begun.
pub(crate) enum Begun<B> {
    Body(B),
    Awaited(AwaitedResponse<B>),
}

impl<B: Body> Begun<B> {
    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Body(body) if body.is_end_stream())
    }
}

impl<B> FastPath<'_, B> {
    /// Returns the response, and the number of bytes of the head that were already sent. `None` if the handler has
    /// declined.
    pub(crate) fn into_response(self) -> Option<(Begun<B>, io::Result<usize>)> {
        match self {
            Self::Declined(_) => None,
            Self::Answered(mut writer, body) => {
                writer.end();
                Some((Begun::Body(body), Ok(0)))
            }
            Self::Sent(SentHead { head, sent }, body) => {
                Some((Begun::Body(body), sent.map(|sent| sent.min(head))))
            }
            Self::Awaited(response) => Some((Begun::Awaited(response), Ok(0))),
        }
    }
}

/// Writes the head of a response.
pub struct ResponseWriter<'w> {
    text: &'w mut Vec<u8>,
    socket: Option<&'w mut Socket>,
    closes: bool,
    now: UnixSeconds,
}

impl<'w> ResponseWriter<'w> {
    /// Creates a writer into `text` that cannot send files.
    pub fn new(text: &'w mut Vec<u8>) -> Self {
        Self { text, socket: None, closes: false, now: UnixSeconds(0) }
    }

    /// Creates a writer for a response dated `now`. It can send files to `socket`. `closes`: the connection is closed
    /// after the response.
    pub(crate) fn on(
        socket: Option<&'w mut Socket>,
        text: &'w mut Vec<u8>,
        closes: bool,
        now: UnixSeconds,
    ) -> Self {
        Self { text, socket, closes, now }
    }

    /// The buffer for the status line and the header fields, each with its line end.
    pub fn text(&mut self) -> &mut Vec<u8> {
        self.text
    }

    /// Sends the head, then positions `range` of `file`, as far as the kernel takes them without blocking. The file's
    /// bytes must be in the page cache.
    ///
    /// # Errors
    /// The writer, if this connection cannot send files here: nothing was sent.
    pub fn send_file(mut self, file: &File, range: Range<u64>) -> Result<SentHead, Self> {
        let Some(socket) = self.socket.take() else { return Err(self) };
        let length = self.text.len();
        self.end();
        match socket.send_file(self.text, file, range) {
            Some(sent) => Ok(SentHead { head: self.text.len(), sent }),
            None => {
                self.text.truncate(length);
                Err(self)
            }
        }
    }

    fn end(&mut self) {
        end_head(self.text, self.closes, false, self.now);
    }
}

/// Writes the fields that the server adds, and the empty line.
fn end_head(text: &mut Vec<u8>, closes: bool, chunked: bool, now: UnixSeconds) {
    if closes {
        text.extend_from_slice(b"connection: close\r\n");
    }
    if chunked {
        text.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    write_date(text, now);
    text.extend_from_slice(b"\r\n");
}

impl std::fmt::Debug for ResponseWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseWriter").field("length", &self.text.len()).finish_non_exhaustive()
    }
}

/// A head that was sent, followed by the part of a file that the kernel took.
#[derive(Debug)]
pub struct SentHead {
    /// The length of the head, in bytes.
    head: usize,
    sent: io::Result<usize>,
}

impl SentHead {
    /// The number of bytes of the file that were sent.
    #[must_use]
    pub fn of_file(&self) -> u64 {
        self.sent.as_ref().map_or(0, |sent| sent.saturating_sub(self.head)) as u64
    }
}

/// Writes `Date` (RFC 9110 §6.6.1). Each thread formats it once per second.
fn write_date(head: &mut Vec<u8>, now: UnixSeconds) {
    thread_local! {
        static CACHED: RefCell<(UnixSeconds, String)> = const { RefCell::new((UnixSeconds(0), String::new())) };
    }
    CACHED.with_borrow_mut(|(then, date)| {
        if *then != now || date.is_empty() {
            (*then, *date) = (now, format!("date: {}\r\n", httpdate::fmt_http_date(now.to_system_time())));
        }
        head.extend_from_slice(date.as_bytes());
    });
}

/// The kernel takes a body up to this many bytes in one write.
const SHORT: u64 = 64 * 1024;

/// Whether the kernel takes all of a body as soon as it is written.
pub(crate) fn is_short(body: &impl Body) -> bool {
    body.size_hint().exact().is_some_and(|bytes| bytes <= SHORT)
}

/// The unsent part of a response of the fast path.
pub(crate) struct FastResponse<B> {
    /// `None` when nothing is left of the body.
    rest: Option<Begun<B>>,
    /// Whether the length of the body is unknown (RFC 9112 §7.1).
    chunked: bool,
    /// The number of bytes of the head that were sent.
    head_sent: usize,
    /// The rest of the current piece of the body.
    piece: Bytes,
    closes: bool,
    /// Set once a task drives the connection: its watchdog has to see the request.
    in_flight: Option<InFlight>,
    _share: Option<Permit>,
}

impl<B> FastResponse<B> {
    pub(crate) fn new(
        begun: Begun<B>,
        head_sent: usize,
        closes: bool,
        in_flight: Option<InFlight>,
        share: Option<Permit>,
    ) -> Self {
        let piece = Bytes::new();
        Self { rest: Some(begun), chunked: false, head_sent, piece, closes, in_flight, _share: share }
    }

    /// Attaches the request in flight when a task takes over the response.
    pub(crate) fn track(&mut self, in_flight: InFlight) {
        self.in_flight = Some(in_flight);
    }

    /// Whether the connection is closed after the response.
    pub(crate) fn closes(&self) -> bool {
        self.closes
    }
}

impl<B> FastResponse<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    /// Waits for the head, and writes it. Returns true once if the connection is closed after this response and the
    /// kernel takes all of it at once. `closes`: the connection is closed in any case.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut Vec<u8>, closes: bool) -> Poll<bool> {
        let Some(Begun::Awaited(awaited)) = &mut self.rest else { return Poll::Ready(false) };
        let (text, body) = ready!(awaited.as_mut().poll(cx));
        self.closes |= closes;
        self.chunked = body.size_hint().exact().is_none();
        let is_last = self.closes && is_short(&body);
        self.rest = Some(Begun::Body(body));
        *head = text;
        end_head(head, self.closes, self.chunked, Moment::now().second());
        Poll::Ready(is_last)
    }

    /// Sends `head` and body.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
        head: &mut Vec<u8>,
        gate: Option<&WriteGate>,
    ) -> Poll<io::Result<()>> {
        let (mut stream, mut taken) = (Pin::new(stream), 0);
        loop {
            // The first piece goes with the head.
            let waits = self.next_piece(cx)?;
            // A placeholder must not be copied.
            let is_bytes = gate.is_none_or(|gate| gate.pending.is_empty());
            if is_bytes && self.head_sent == 0 && (1..=COPIED).contains(&self.piece.len()) {
                head.extend_from_slice(&self.piece);
                self.piece.clear();
            }
            let rest = head.get(self.head_sent..).unwrap_or_default();
            let written = match (rest, &*self.piece) {
                ([], []) if waits => return Poll::Pending,
                // Unsent bytes go together with the end of the stream.
                ([], []) if self.closes => return Poll::Ready(Ok(())),
                ([], []) => return stream.poll_flush(cx),
                (rest, []) => ready!(stream.as_mut().poll_write(cx, rest))?,
                (rest, piece) => {
                    let pieces = [IoSlice::new(rest), IoSlice::new(piece)];
                    let from = usize::from(rest.is_empty());
                    let pieces = pieces.get(from..).unwrap_or_default();
                    ready!(stream.as_mut().poll_write_vectored(cx, pieces))?
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(rest.len());
            self.head_sent += of_head;
            self.piece.advance(written - of_head);
            taken += written;
            if taken >= TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Takes the next piece of the body if the previous one is sent. Returns whether the body is pending.
    fn next_piece(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if self.rest.is_none() || !self.piece.is_empty() {
            return Ok(false);
        }
        let mut piece = Bytes::new();
        while let Some(Begun::Body(body)) = self.rest.as_mut().filter(|_| piece.is_empty()) {
            if !body.is_end_stream() {
                match Pin::new(&mut *body).poll_frame(cx) {
                    Poll::Pending => return Ok(true),
                    Poll::Ready(Some(frame)) => {
                        piece = frame.map(Frame::into_data).map_err(io::Error::other)?.unwrap_or_default();
                    }
                    Poll::Ready(None) => self.rest = None,
                }
            }
            // As in hyper, a body is dropped before its last bytes are sent.
            if self.rest.as_ref().is_none_or(Begun::is_end_stream) {
                self.rest = None;
            }
        }
        self.piece = if self.chunked { chunk(&piece, self.rest.is_none()) } else { piece };
        Ok(false)
    }
}

/// The piece of a body of unknown length as a chunk, and the end of the body.
fn chunk(piece: &Bytes, is_last: bool) -> Bytes {
    let mut chunk = Vec::with_capacity(piece.len() + 32);
    if !piece.is_empty() {
        chunk.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
    }
    if is_last {
        chunk.extend_from_slice(b"0\r\n\r\n");
    }
    chunk.into()
}
