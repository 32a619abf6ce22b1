//! Provides a response body of known length, which the caller reads or lets the kernel move into a pipe.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpErrorKind, HttpResponse, HttpResponseBody};
use tokio::net::TcpStream;

use super::pool::Connection;
use crate::store::http::pipe::Pipe;

/// How much is read at a time, in bytes.
const CHUNK: u64 = 128 * 1024;

/// The same for the first bytes of a body, and for a client that takes nothing for a while: a client that stalls holds
/// one chunk.
const SMALL_CHUNK: u64 = 32 * 1024;

/// How much the kernel moves at a time for the first bytes of a body.
const FIRST_MOVE: u64 = 64 * 1024;
const FIRST_BYTES: u64 = 256 * 1024;

/// A client that takes no bytes for this long is slow. The kernel holds little for it.
const SLOW: Duration = Duration::from_millis(100);

/// The body of a response.
#[derive(Debug)]
pub(crate) enum ReceivedBody {
    /// All of it has arrived with the head.
    Whole(Bytes),
    Raw(RawBody),
}

/// The body as an `http_body::Body`.
#[derive(Debug)]
pub(super) struct PlainBody(RawBody);

/// The same body for a caller that need not read it, in an extension of the response, which object_store passes on.
/// Both share the remaining bytes: bytes taken from one are no longer available to the other.
#[derive(Debug, Clone)]
pub(crate) struct RawBody(Arc<Mutex<Remaining>>);

/// The bytes that have not been taken yet.
#[derive(Debug)]
struct Remaining {
    /// The bytes that arrived with the head.
    start: Bytes,
    /// How many bytes follow on the connection. Without a connection, they are lost, or the body has ended.
    left: u64,
    connection: Option<Connection>,
    /// How many bytes were taken from the connection, and when the last was taken.
    taken: u64,
    taken_at: Option<Instant>,
    /// Whether the client took long for the last bytes.
    is_slow: bool,
}

/// A body of `length` bytes, of which `start` has arrived.
pub(super) fn body_of(start: Bytes, connection: Connection, length: u64) -> ReceivedBody {
    let left = length - start.len() as u64;
    if left == 0 {
        connection.release();
        return ReceivedBody::Whole(start);
    }
    let remaining =
        Remaining { start, left, connection: Some(connection), taken: 0, taken_at: None, is_slow: false };
    ReceivedBody::Raw(RawBody(Arc::new(Mutex::new(remaining))))
}

impl ReceivedBody {
    /// A response with this body.
    pub(super) fn into_response(self) -> HttpResponse {
        let raw = match self {
            Self::Whole(bytes) => return HttpResponse::new(bytes.into()),
            Self::Raw(raw) => raw,
        };
        let mut response = HttpResponse::new(HttpResponseBody::new(PlainBody(raw.clone())));
        response.extensions_mut().insert(raw);
        response
    }
}

impl Body for PlainBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let read = ready!(self.0.poll_read(cx));
        let broken = |error| HttpError::new(HttpErrorKind::Interrupted, error);
        Poll::Ready(read.map(|read| read.map(Frame::data).map_err(broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.remaining().length() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.remaining().length())
    }
}

impl RawBody {
    fn remaining(&self) -> MutexGuard<'_, Remaining> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the rest of the body is `length` bytes long, all of them still on a connection without TLS.
    pub(crate) fn is_unread(&self, length: u64) -> bool {
        let remaining = self.remaining();
        let is_plain =
            remaining.connection.as_ref().is_some_and(|connection| connection.stream.plain().is_some());
        is_plain && remaining.start.is_empty() && remaining.left == length
    }

    /// Returns the next bytes; `None` at the end.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.remaining().poll_read(cx)
    }

    /// Waits for more bytes, lets the kernel move them into the pipe, and returns their number.
    ///
    /// # Errors
    /// If the connection breaks or ends before the body does.
    pub(crate) async fn fill(&self, pipe: &Pipe) -> io::Result<usize> {
        poll_fn(|cx| {
            let mut remaining = self.remaining();
            let most = if remaining.taken < FIRST_BYTES { FIRST_MOVE } else { u64::MAX };
            remaining.poll_take(cx, |cx, connection, left| {
                let Some(tcp) = connection.stream.plain() else { return Poll::Ready(Ok(0)) };
                poll_fill(pipe, tcp, cx, left.min(most))
            })
        })
        .await
    }
}

/// Waits for bytes of the connection, and lets the kernel move up to `most` into the pipe.
fn poll_fill(pipe: &Pipe, tcp: &TcpStream, cx: &mut Context<'_>, most: u64) -> Poll<io::Result<usize>> {
    loop {
        ready!(tcp.poll_read_ready(cx))?;
        match pipe.fill(tcp, most) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            filled => return Poll::Ready(filled),
        }
    }
}

impl Remaining {
    fn length(&self) -> u64 {
        self.start.len() as u64 + self.left
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if !self.start.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.start))));
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let small = self.taken < FIRST_BYTES || self.is_slow;
        let most = if small { SMALL_CHUNK } else { CHUNK };
        let mut chunk = Bytes::new();
        let taken = ready!(self.poll_take(cx, |cx, connection, left| {
            let most = usize::try_from(left.min(most)).unwrap_or_default();
            chunk = ready!(connection.stream.poll_chunk(cx, most))?;
            Poll::Ready(Ok(chunk.len()))
        }));
        Poll::Ready(Some(taken.map(|_| chunk)))
    }

    /// Lets `take` wait for bytes and take those that are available. Returns their number.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut Context<'_>, &mut Connection, u64) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.limit_receive_buffer();
        let taken = match &mut self.connection {
            Some(connection) => ready!(take(cx, connection, self.left)),
            None => Ok(0),
        };
        // Bytes after a failure do not belong to the body, so a failure drops the connection.
        let connection = self.connection.take();
        let count = taken?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.left = self.left.saturating_sub(count as u64);
        self.taken += count as u64;
        self.taken_at = Some(Instant::now());
        match connection {
            Some(connection) if self.left == 0 => connection.release(),
            other => self.connection = other,
        }
        Poll::Ready(Ok(count))
    }

    /// Limits how much the kernel holds for a slow client. The pause is measured once after each take, so that a slow
    /// store does not make its client look slow.
    fn limit_receive_buffer(&mut self) {
        let Some(at) = self.taken_at.take() else { return };
        self.is_slow = at.elapsed() > SLOW;
        let small = self.taken < FIRST_BYTES || self.is_slow;
        if let Some(connection) = &mut self.connection {
            connection.stream.limit_receive_buffer(small);
        }
    }
}
