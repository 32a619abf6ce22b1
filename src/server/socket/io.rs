//! How a socket is read and written: watched by the runtime, or at rest, and then watched together with others
//! ([`crate::server::connection::resting`]).

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::server::deadlines::activity::Activity;

/// Both ways of a TCP connection.
pub(in crate::server) trait SocketIo: Unpin {
    /// Whether a watchdog may be held over the connection: then it has to be noted what shows there.
    const WATCHED: bool;

    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;

    fn poll_send(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Sends what the connection is closed behind: the kernel puts the end of the stream into the packet with the last bytes.
    fn poll_send_last(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_by(cx, |socket| send(socket, pieces, SendFlags::MORE))
    }

    /// Writes by other means, as soon as the socket takes something.
    fn poll_by(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>>;

    fn descriptor(&self) -> BorrowedFd<'_>;
}

/// Registered with tokio.
#[derive(Debug)]
pub(in crate::server) struct TokioSocket {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl TokioSocket {
    pub(in crate::server) fn new(stream: TcpStream, activity: &Arc<Activity>) -> Self {
        Self { stream, activity: Arc::clone(activity) }
    }
}

impl SocketIo for TokioSocket {
    const WATCHED: bool = true;

    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        match pieces {
            [piece] => stream.poll_write(cx, piece),
            pieces => stream.poll_write_vectored(cx, pieces),
        }
    }

    fn poll_by(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_io(Interest::WRITABLE, || write(self.stream.as_fd())) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Drop for TokioSocket {
    /// Whoever was left because it takes nothing would keep what lies in the kernel for it, for minutes. A reset also
    /// says that the answer is not whole.
    fn drop(&mut self) {
        if self.activity.was_stalled() {
            let _ = self.stream.set_zero_linger();
        }
    }
}

/// Has the runtime watch whether there is something to read, or to accept.
#[expect(
    deprecated,
    reason = "what replaces it has to be promised that the type does not lie about its descriptor"
)]
pub(in crate::server) fn watched<T: AsRawFd + Into<OwnedFd>>(inner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, Interest::READABLE)
}

/// At rest: nobody is woken for it here. Whoever watches it says when something has arrived, and if the socket does not
/// take what is written, it is time to be [`awake`](NonblockingSocket::awake).
#[derive(Debug)]
pub(in crate::server) struct NonblockingSocket {
    stream: std::net::TcpStream,
    /// Nothing more is there to be received until it is told of.
    drained: bool,
    /// The client has said all: nothing more is told of.
    has_ended: bool,
}

impl NonblockingSocket {
    pub(in crate::server) fn new(stream: std::net::TcpStream) -> Self {
        Self { stream, drained: false, has_ended: false }
    }

    /// Something has arrived, and perhaps that nothing more will.
    pub(in crate::server) fn told(&mut self, has_ended: bool) {
        self.drained = false;
        self.has_ended |= has_ended;
    }

    pub(in crate::server) fn into_stream(self) -> std::net::TcpStream {
        self.stream
    }

    /// The same, watched by the runtime.
    pub(in crate::server) fn awake(self, activity: &Arc<Activity>) -> io::Result<TokioSocket> {
        Ok(TokioSocket::new(TcpStream::from_std(self.stream)?, activity))
    }
}

impl SocketIo for NonblockingSocket {
    const WATCHED: bool = false;

    fn poll_receive(&mut self, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.drained {
            return Poll::Pending;
        }
        let room = buffer.initialize_unfilled();
        let size = room.len();
        let count = loop {
            match recv(&self.stream, &mut *room, RecvFlags::empty()) {
                Ok((_, count)) => break count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.drained = true;
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        };
        // Less than there was room for is all there is, unless the end is behind it.
        self.drained = count < size && !self.has_ended;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_by(cx, |socket| send(socket, pieces, SendFlags::empty()))
    }

    fn poll_by(
        &mut self,
        _: &mut Context<'_>,
        write: impl Fn(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        match write(self.stream.as_fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            other => Poll::Ready(other),
        }
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn send(socket: BorrowedFd<'_>, pieces: &[IoSlice<'_>], flags: SendFlags) -> io::Result<usize> {
    let flags = flags | SendFlags::NOSIGNAL;
    Ok(match pieces {
        [piece] => rustix::net::send(socket, piece, flags)?,
        pieces => sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), flags)?,
    })
}
