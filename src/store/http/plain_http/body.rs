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
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::pool::Connection;
use crate::store::buffer_pool::Buffer;
use crate::store::http::pipe::Pipe;

/// How much is read at a time, in bytes.
const CHUNK: u64 = 128 * 1024;

/// How much the kernel moves at a time for the first bytes of a body. The kernel grows the receive window to twice the
/// bytes taken per round trip, which wastes memory until the client has taken as many.
const FIRST_MOVE: u64 = 64 * 1024;
const FIRST_BYTES: u64 = 256 * 1024;

/// A client that takes no bytes for this long is slow: from then on the kernel buffers at most `SLOW_WINDOW` bytes from
/// the store. For a fast client, the receive window grows with the round-trip time to the store, up to megabytes.
const SLOW: Duration = Duration::from_millis(100);
const SLOW_WINDOW: usize = 64 * 1024;

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
}

impl PlainBody {
    /// A response with a body of `length` bytes, of which `start` has arrived.
    pub(super) fn response(start: Bytes, connection: Connection, length: u64) -> HttpResponse {
        let left = length - start.len() as u64;
        if left == 0 {
            connection.release();
            return HttpResponse::new(start.into());
        }
        let remaining = Remaining { start, left, connection: Some(connection), taken: 0, taken_at: None };
        let raw = RawBody(Arc::new(Mutex::new(remaining)));
        let mut response = HttpResponse::new(HttpResponseBody::new(Self(raw.clone())));
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
        let read = ready!(self.0.remaining().poll_read(cx));
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

    /// Whether the rest of the body is `length` bytes long, all of them still on the connection.
    pub(crate) fn is_unread(&self, length: u64) -> bool {
        let remaining = self.remaining();
        remaining.connection.is_some() && remaining.start.is_empty() && remaining.left == length
    }

    /// Waits for more bytes, lets the kernel move them into the pipe, and returns their number.
    ///
    /// # Errors
    /// If the connection breaks or ends before the body does.
    pub(crate) async fn fill(&self, pipe: &Pipe) -> io::Result<usize> {
        poll_fn(|cx| {
            let mut remaining = self.remaining();
            let most = if remaining.taken < FIRST_BYTES { FIRST_MOVE } else { u64::MAX };
            remaining.poll_take(cx, |cx, stream, left| {
                loop {
                    ready!(stream.poll_read_ready(cx))?;
                    match pipe.fill(stream, left.min(most)) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        filled => return Poll::Ready(filled),
                    }
                }
            })
        })
        .await
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
        let mut chunk = Bytes::new();
        let taken = ready!(self.poll_take(cx, |cx, stream, left| {
            // A waiting connection holds no buffer: many connections may be waiting.
            ready!(stream.poll_read_ready(cx))?;
            let mut buffer = Buffer::of(usize::try_from(left.min(CHUNK)).unwrap_or_default());
            let mut space = ReadBuf::new(buffer.space());
            ready!(Pin::new(stream).poll_read(cx, &mut space))?;
            let count = space.filled().len();
            chunk = buffer.freeze_or_copy(count);
            Poll::Ready(Ok(count))
        }));
        Poll::Ready(Some(taken.map(|_| chunk)))
    }

    /// Lets `take` wait for bytes and take those that are available. Returns their number.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut Context<'_>, &mut TcpStream, u64) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.limit_receive_window();
        let taken = match &mut self.connection {
            Some(connection) => ready!(take(cx, &mut connection.stream, self.left)),
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

    /// Limits how much the kernel buffers for a slow client. The pause is measured once after each take, so that a slow
    /// store does not make its client look slow.
    fn limit_receive_window(&mut self) {
        let Some(at) = self.taken_at.take() else { return };
        if let Some(connection) = self.connection.as_ref().filter(|_| at.elapsed() > SLOW) {
            // A failure only costs memory.
            let _ = socket2::SockRef::from(&connection.stream).set_recv_buffer_size(SLOW_WINDOW);
        }
    }
}
