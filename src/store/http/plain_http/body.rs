//! A body of known length on its way: read when it is asked for, or moved on by the kernel without being read.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpErrorKind, HttpResponse, HttpResponseBody};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::connection::Connection;
use super::failed;
use crate::store::buffer_pool::Buffer;
use crate::store::http::pipe::Pipe;

/// How much is read at a time, in bytes.
const CHUNK: u64 = 128 * 1024;

/// How much the kernel moves at a time in the beginning, in bytes. It opens the store's window to twice what is taken in a
/// round trip; before the client has shown that it takes as much, that is memory for nothing.
const CAUTIOUS: u64 = 64 * 1024;
const BEGINNING: u64 = 256 * 1024;

/// A client that takes no more of a body for this long is slow: the kernel then keeps no more than `SLOW_WINDOW` bytes of
/// what the store sends. A quick client's window grows with the distance of the store, up to megabytes.
const SLOW: Duration = Duration::from_millis(100);
const SLOW_WINDOW: usize = 64 * 1024;

/// A body that is read.
#[derive(Debug)]
pub(crate) struct PlainBody(RawBody);

/// The same body for whoever has no need to read it: it goes with the answer as an extension, which object_store hands on.
/// Both take from the same place, so what one has taken the other does not get.
#[derive(Debug, Clone)]
pub(crate) struct RawBody(Arc<Mutex<Rest>>);

/// What nobody has taken yet.
#[derive(Debug)]
struct Rest {
    /// What has arrived with the head.
    start: Bytes,
    /// How many bytes follow on the connection. Without one, they are lost, or there are none.
    left: u64,
    connection: Option<Connection>,
    /// How many bytes were taken from the connection, and when the last of them.
    taken: u64,
    taken_at: Option<Instant>,
}

impl PlainBody {
    /// An answer with such a body of `length` bytes, of which `start` has arrived.
    pub(crate) fn answer(start: Bytes, connection: Connection, length: u64) -> HttpResponse {
        let left = length - start.len() as u64;
        if left == 0 {
            connection.give_back();
            return HttpResponse::new(start.into());
        }
        let tap = RawBody(Arc::new(Mutex::new(Rest::of(start, left, connection))));
        let mut answer = HttpResponse::new(HttpResponseBody::new(Self(tap.clone())));
        answer.extensions_mut().insert(tap);
        answer
    }
}

impl Body for PlainBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let read = std::task::ready!(self.0.rest().poll_read(cx));
        let broken = |error| failed(HttpErrorKind::Interrupted, error);
        Poll::Ready(read.map(|read| read.map(Frame::data).map_err(broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.rest().owed() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.rest().owed())
    }
}

impl RawBody {
    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next `owed` bytes of the connection are what is left of the body.
    pub(crate) fn holds(&self, owed: u64) -> bool {
        let rest = self.rest();
        rest.connection.is_some() && rest.start.is_empty() && rest.left == owed
    }

    /// Waits for more bytes, and has the kernel move them into the pipe. Says how many.
    ///
    /// # Errors
    /// If the connection breaks, or ends before the body does.
    pub(crate) async fn fill(&self, pipe: &Pipe) -> io::Result<usize> {
        poll_fn(|cx| {
            let mut rest = self.rest();
            let most = if rest.taken < BEGINNING { CAUTIOUS } else { u64::MAX };
            rest.poll_take(cx, |cx, stream, left| {
                loop {
                    std::task::ready!(stream.poll_read_ready(cx))?;
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

impl Rest {
    fn of(start: Bytes, left: u64, connection: Connection) -> Self {
        Self { start, left, connection: Some(connection), taken: 0, taken_at: None }
    }

    fn owed(&self) -> u64 {
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
        let taken = std::task::ready!(self.poll_take(cx, |cx, stream, left| {
            // No buffer waits: there may be many connections and little to read.
            std::task::ready!(stream.poll_read_ready(cx))?;
            let mut buffer = Buffer::of(usize::try_from(left.min(CHUNK)).unwrap_or_default());
            let mut room = ReadBuf::new(buffer.room());
            std::task::ready!(Pin::new(stream).poll_read(cx, &mut room))?;
            let count = room.filled().len();
            chunk = buffer.freeze_or_copy(count);
            Poll::Ready(Ok(count))
        }));
        Poll::Ready(Some(taken.map(|_| chunk)))
    }

    /// Has `take` wait for something and take of what is left as much as is there; it says how many bytes.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut Context<'_>, &mut TcpStream, u64) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.limit_receive_window();
        let taken = match &mut self.connection {
            Some(connection) => std::task::ready!(take(cx, &mut connection.stream, self.left)),
            None => Ok(0),
        };
        // Whatever comes after a failure is not the body.
        let connection = self.connection.take();
        let count = taken?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.left = self.left.saturating_sub(count as u64);
        self.taken += count as u64;
        self.taken_at = Some(Instant::now());
        match connection {
            Some(connection) if self.left == 0 => connection.give_back(),
            other => self.connection = other,
        }
        Poll::Ready(Ok(count))
    }

    /// Of what a slow client has not asked for yet, the kernel is to keep little. Asked once after each pause: a store that
    /// is slower than the client says nothing about the client.
    fn limit_receive_window(&mut self) {
        let Some(at) = self.taken_at.take() else { return };
        if let Some(connection) = self.connection.as_ref().filter(|_| at.elapsed() > SLOW) {
            // A window that cannot be bounded costs memory, no more.
            let _ = socket2::SockRef::from(&connection.stream).set_recv_buffer_size(SLOW_WINDOW);
        }
    }
}
