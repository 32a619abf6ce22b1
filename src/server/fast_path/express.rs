//! The express lane: a plain request whose answer is at hand is read, answered and written here, with one system call for
//! each. Most requests are of that kind. The first one on a connection that is not goes to hyper as it came, and so does
//! whatever follows it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use crate::clock::Moment;
use crate::server::Handler;
use crate::server::connection::requests::{Connection, is_short};
use crate::server::deadlines::activity::InFlight;
use crate::server::fast_path::plain_request::PlainRequest;
use crate::server::fast_path::response_writer::{AsSendFile, ResponseWriter};
use crate::server::listener::limiter::Permit;

/// Room for what is received at once: nearly all heads fit in.
const ROOM: usize = 2 * 1024;

/// Whoever has taken so many bytes in one go lets the others of the thread go on first.
const TURN: usize = 2 * 1024 * 1024;

/// Room for a head.
const HEAD: usize = 1024;

/// A body up to this length is copied behind the head: that costs less than handing over two pieces.
const COPIED: usize = 1024;

/// A connection of HTTP/1 in the express lane. Ends with the connection, or with the stream and what was received from it and
/// not answered here.
pub(in crate::server) struct Express<S, H: Handler> {
    /// Until it is handed on.
    stream: Option<S>,
    /// If it takes files as they are.
    sends_files: Option<AsSendFile<S>>,
    connection: Arc<Connection<H>>,
    room: Room,
    /// When what was received has arrived, if somebody knows.
    arrival: Option<Moment>,
    reply: Option<Reply<H::Body>>,
    /// Whether a watchdog is held over it.
    attended: bool,
    finishing: bool,
    closing: bool,
}

/// Room that is used again for each request, and, at rest, for each connection.
#[derive(Default)]
pub(in crate::server) struct Room {
    received: BytesMut,
    /// The head of the answer.
    head: Vec<u8>,
}

impl Room {
    pub(in crate::server) fn clear(&mut self) {
        self.received.clear();
        self.head.clear();
    }
}

/// An answer on its way.
struct Reply<B> {
    body: Option<B>,
    /// What was sent of the head.
    head_sent: usize,
    /// What is left of the piece that is being sent.
    piece: Bytes,
    closes: bool,
    /// If a watchdog is held.
    in_flight: Option<InFlight>,
    _share: Option<Permit>,
}

impl<S, H> Express<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    /// A connection from which something may have been received.
    pub(in crate::server) fn new(stream: S, received: BytesMut, connection: Arc<Connection<H>>) -> Self {
        Self {
            stream: Some(stream),
            sends_files: None,
            connection,
            room: Room { received, head: Vec::new() },
            arrival: None,
            reply: None,
            attended: true,
            finishing: false,
            closing: false,
        }
    }

    /// A connection at rest: no watchdog is held over it. Its stream may be one that `sends_files`.
    pub(in crate::server) fn at_rest(
        stream: S,
        connection: Arc<Connection<H>>,
        sends_files: Option<AsSendFile<S>>,
    ) -> Self {
        Self { attended: false, sends_files, ..Self::new(stream, BytesMut::new(), connection) }
    }

    pub(in crate::server) fn connection(&self) -> &Arc<Connection<H>> {
        &self.connection
    }

    pub(in crate::server) fn stream(&mut self) -> Option<&mut S> {
        self.stream.as_mut()
    }

    /// Exchanges its room for another one. A connection at rest has nothing in it.
    pub(in crate::server) fn exchange(&mut self, room: &mut Room) {
        std::mem::swap(&mut self.room, room);
    }

    /// These bytes have arrived on the stream, the first of them by then.
    pub(in crate::server) fn receive(&mut self, bytes: &[u8], arrival: Option<Moment>) {
        self.room.received.extend_from_slice(bytes);
        self.arrival = arrival;
    }

    /// Whether an answer is on its way, or the end.
    pub(in crate::server) fn is_answering(&self) -> bool {
        self.reply.is_some() || self.closing
    }

    /// The same, no longer at rest, and with another stream.
    pub(in crate::server) fn awake<T>(
        self,
        other: impl FnOnce(S) -> io::Result<T>,
    ) -> io::Result<Express<T, H>> {
        let Self { stream, connection, room, mut reply, finishing, closing, .. } = self;
        // Nobody has watched it so far.
        connection.activity.expect_head();
        if let Some(reply) = &mut reply {
            reply.in_flight = Some(connection.activity.begin());
        }
        let stream = stream.map(other).transpose()?;
        let (sends_files, arrival) = (None, None);
        Ok(Express {
            stream,
            sends_files,
            connection,
            room,
            arrival,
            reply,
            attended: true,
            finishing,
            closing,
        })
    }

    /// The answer that is on its way is the last one.
    pub(in crate::server) fn finish(self: Pin<&mut Self>) {
        self.get_mut().finishing = true;
    }

    /// Takes up the request that was received, if it is plain and its answer at hand.
    fn take_up(&mut self) -> io::Result<Option<Reply<H::Body>>> {
        let Self {
            stream,
            sends_files,
            connection,
            room: Room { received, head: text },
            attended,
            finishing,
            ..
        } = self;
        // Of the next request, nobody knows when it began to arrive.
        let arrival = self.arrival.take().unwrap_or_else(Moment::now);
        text.clear();
        text.reserve(HEAD);
        let answer = |request: &PlainRequest<'_>| {
            let (client, share) = connection.client_of(request)?;
            let closes = request.closes || *finishing;
            let stream = sends_files.zip(stream.as_mut()).map(|(as_send_file, stream)| as_send_file(stream));
            let writer = ResponseWriter::on(stream, text, closes, arrival.second());
            let (body, sent) =
                connection.server.handler.try_answer(request, &client, arrival, writer).into_body()?;
            Some((body, share, closes, sent))
        };
        let limits = connection.server.head_limits();
        let Some(((body, share, closes, sent), length)) = PlainRequest::read(received, limits, answer) else {
            return Ok(None);
        };
        let head_sent = sent?;
        received.advance(length);
        if closes && is_short(&body) {
            connection.activity.mark_last();
        }
        let in_flight = attended.then(|| connection.activity.begin());
        let (body, piece) = (Some(body), Bytes::new());
        Ok(Some(Reply { body, head_sent, piece, closes, in_flight, _share: share }))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(stream) = &mut self.stream else { return Poll::Pending };
        self.room.received.reserve(ROOM);
        poll_read_buf(Pin::new(stream), cx, &mut self.room.received)
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (Some(stream), Some(reply)) = (&mut self.stream, &mut self.reply) else { return Poll::Pending };
        let (mut stream, mut taken) = (Pin::new(stream), 0);
        loop {
            // The first piece goes with the head.
            let waits = reply.next_piece(cx)?;
            // What stands for a piece of a file must not be copied.
            let is_bytes = self.connection.gate.as_ref().is_none_or(|gate| gate.files.is_empty());
            if is_bytes && reply.head_sent == 0 && (1..=COPIED).contains(&reply.piece.len()) {
                self.room.head.extend_from_slice(&reply.piece);
                reply.piece.clear();
            }
            let head = self.room.head.get(reply.head_sent..).unwrap_or_default();
            let written = match (head, &*reply.piece) {
                ([], []) if waits => return Poll::Pending,
                // What is not on its way yet goes together with the end.
                ([], []) if reply.closes => return Poll::Ready(Ok(())),
                ([], []) => return stream.poll_flush(cx),
                (head, []) => ready!(stream.as_mut().poll_write(cx, head))?,
                (head, piece) => {
                    let pieces = [IoSlice::new(head), IoSlice::new(piece)];
                    let from = usize::from(head.is_empty());
                    let pieces = pieces.get(from..).unwrap_or_default();
                    ready!(stream.as_mut().poll_write_vectored(cx, pieces))?
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(head.len());
            reply.head_sent += of_head;
            reply.piece.advance(written - of_head);
            taken += written;
            if taken >= TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

impl<B> Reply<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    /// Takes the next piece of the body, once the one before has gone. Whether that has to be waited for.
    fn next_piece(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let Some(body) = self.body.as_mut().filter(|_| self.piece.is_empty()) else { return Ok(false) };
        if !body.is_end_stream() {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(Some(frame)) => {
                    self.piece = frame.map(Frame::into_data).map_err(io::Error::other)?.unwrap_or_default();
                    // Like hyper: a body that has no more is let go of before its last bytes are sent.
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

impl<S, H> Future for Express<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    type Output = io::Result<Option<(S, Bytes)>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            if let Some(reply) = &this.reply {
                let closes = reply.closes;
                ready!(this.poll_reply(cx))?;
                this.reply = None;
                this.closing = closes || this.finishing;
            }
            match &mut this.stream {
                Some(stream) if this.closing => return Pin::new(stream).poll_shutdown(cx).map_ok(|()| None),
                None => return Poll::Ready(Ok(None)),
                Some(_) => {}
            }
            if this.room.received.is_empty() && !this.attended {
                return Poll::Pending;
            }
            if this.room.received.is_empty() {
                this.closing = this.finishing || ready!(this.poll_receive(cx))? == 0;
            } else {
                this.reply = this.take_up()?;
                if this.reply.is_none() {
                    let received = std::mem::take(&mut this.room.received).freeze();
                    return Poll::Ready(Ok(this.stream.take().map(|stream| (stream, received))));
                }
            }
        }
    }
}
