//! The response of the fast path. A handler writes its head and, if a file follows, can have the kernel send both before
//! anything is kept of the request: nearly always the kernel takes all of it, and nothing is left to do. What it does not
//! take at once is left to a [`FastResponse`].

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

use crate::clock::UnixSeconds;
use crate::server::deadlines::activity::InFlight;
use crate::server::fairness::TURN;
use crate::server::listener::limiter::Permit;
use crate::server::socket::tcp::Socket;
use crate::server::zero_copy::write_gate::WriteGate;

/// A body up to this length is copied behind the head: that costs less than two pieces.
const COPIED: usize = 1024;

/// What a handler's fast path returns. A handler that has sent something has no writer left to decline with.
#[derive(Debug)]
pub enum FastPath<'w, B> {
    /// The request has to go to [`Handler::answer`](crate::server::Handler::answer): nothing was sent.
    Declined(ResponseWriter<'w>),
    /// The head is written. The body follows.
    Answered(ResponseWriter<'w>, B),
    /// The head was sent with the beginning of a file. The body is the rest.
    Sent(SentHead, B),
}

impl<B> FastPath<'_, B> {
    /// The body, with how many bytes of head and file were sent before it. `None` if the handler has declined.
    pub(crate) fn into_body(self) -> Option<(B, io::Result<usize>)> {
        match self {
            Self::Declined(_) => None,
            Self::Answered(mut writer, body) => {
                writer.end();
                Some((body, Ok(0)))
            }
            Self::Sent(SentHead { head, sent }, body) => Some((body, sent.map(|sent| sent.min(head)))),
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
    /// Writes into `text`, and cannot send files.
    pub fn new(text: &'w mut Vec<u8>) -> Self {
        Self { text, socket: None, closes: false, now: UnixSeconds(0) }
    }

    /// For a response that is given `now`. A file can be sent to `socket`, and the connection may close behind it.
    pub(crate) fn on(
        socket: Option<&'w mut Socket>,
        text: &'w mut Vec<u8>,
        closes: bool,
        now: UnixSeconds,
    ) -> Self {
        Self { text, socket, closes, now }
    }

    /// The buffer for the status line and the header fields, each with its end.
    pub fn text(&mut self) -> &mut Vec<u8> {
        self.text
    }

    /// Sends the head, and positions `range` of `file` behind it, as far as the kernel takes them without waiting; it must
    /// have them in memory.
    ///
    /// # Errors
    /// The writer, if this connection cannot send files from here: nothing was sent.
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
        if self.closes {
            self.text.extend_from_slice(b"connection: close\r\n");
        }
        write_date(self.text, self.now);
        self.text.extend_from_slice(b"\r\n");
    }
}

impl std::fmt::Debug for ResponseWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseWriter").field("length", &self.text.len()).finish_non_exhaustive()
    }
}

/// A head that was sent, with as much of a file behind it as the kernel took.
#[derive(Debug)]
pub struct SentHead {
    /// The length of the head.
    head: usize,
    sent: io::Result<usize>,
}

impl SentHead {
    /// How many bytes of the file were sent.
    #[must_use]
    pub fn of_file(&self) -> u64 {
        self.sent.as_ref().map_or(0, |sent| sent.saturating_sub(self.head)) as u64
    }
}

/// Writes `Date` (RFC 9110 §6.6.1). Each thread formats it once a second.
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

/// A body up to this many bytes is with the kernel at once.
const SHORT: u64 = 64 * 1024;

/// Whether all of a body is with the kernel as soon as it is written.
pub(crate) fn is_short(body: &impl Body) -> bool {
    body.size_hint().exact().is_some_and(|bytes| bytes <= SHORT)
}

/// A response of the fast path, as far as it has not been sent.
pub(crate) struct FastResponse<B> {
    body: Option<B>,
    /// How many bytes of the head were sent.
    head_sent: usize,
    /// What is left of the current piece of the body.
    piece: Bytes,
    closes: bool,
    /// With a task, its watchdog knows of the request.
    in_flight: Option<InFlight>,
    _share: Option<Permit>,
}

impl<B> FastResponse<B> {
    pub(crate) fn new(
        body: B,
        head_sent: usize,
        closes: bool,
        in_flight: Option<InFlight>,
        share: Option<Permit>,
    ) -> Self {
        Self { body: Some(body), head_sent, piece: Bytes::new(), closes, in_flight, _share: share }
    }

    /// A task goes on with the response.
    pub(crate) fn track(&mut self, in_flight: InFlight) {
        self.in_flight = Some(in_flight);
    }

    /// Whether the connection is closed behind it.
    pub(crate) fn closes(&self) -> bool {
        self.closes
    }
}

impl<B> FastResponse<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
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
                // What is not sent yet goes together with the end of the stream.
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

    /// Takes the next piece of the body, once the one before was sent. Returns whether it has to be waited for.
    fn next_piece(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let Some(body) = self.body.as_mut().filter(|_| self.piece.is_empty()) else { return Ok(false) };
        if !body.is_end_stream() {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(Some(frame)) => {
                    self.piece = frame.map(Frame::into_data).map_err(io::Error::other)?.unwrap_or_default();
                    // Like hyper: a body that has no more is dropped before its last bytes are sent.
                    if !body.is_end_stream() {
                        return Ok(false);
                    }
                }
                Poll::Ready(None) => {}
            }
        }
        self.body = None;
        Ok(false)
    }
}
