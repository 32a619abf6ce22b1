//! A TCP socket. It starts non-blocking, watched by the idle poller of its thread. When its connection gets a task, it
//! is registered with tokio.

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::linger::Linger;
use super::pace::Pace;
use crate::server::deadlines::activity::Activity;
use crate::server::zero_copy::write_gate::WriteGate;

/// The maximum number of unsent bytes in the kernel's send buffer. Without this limit the kernel would hold megabytes
/// for each client that stalls, and a slow client would show activity only every few minutes.
const UNSENT: u32 = 128 * 1024;

/// The same limit for a long file that is sent to a client with a credit ([`Pace::take_credit`]).
const UNSENT_WITH_CREDIT: u32 = 1024 * 1024;

/// A piece that is longer than this is worth a credit. Pieces of pipes are shorter.
const LONG: usize = 512 * 1024;

/// The same limit for a client that reads a round in less than a quarter of a second: none beyond the kernel's own
/// (`tcp_wmem`, 4 MiB by default). Its connection wakes up less often, and it holds the memory only briefly.
const UNSENT_QUICK: u32 = u32::MAX;

/// Sets the socket options that the connections of a listener inherit.
pub(crate) fn prepare(listener: &std::net::TcpListener) {
    let listener = socket2::SockRef::from(listener);
    // Without TCP_NODELAY, the end of a response may wait for the client's delayed acknowledgement.
    let _ = listener.set_tcp_nodelay(true);
    let _ = listener.set_tcp_notsent_lowat(UNSENT);
}

/// The socket interface that a connection needs.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The TCP socket; `None` for a test's replacement.
    fn tcp(&mut self) -> Option<&mut Socket>;
}

impl Transport for Socket {
    fn tcp(&mut self) -> Option<&mut Socket> {
        Some(self)
    }
}

/// How the socket becomes ready.
#[derive(Debug)]
enum Mode {
    /// The idle poller watches the socket. A read or write that would block is pending, without a wakeup.
    Nonblocking {
        stream: std::net::TcpStream,
        /// Whether all input was read.
        drained: bool,
        /// Whether the client has closed its half. The idle poller then reports no further event.
        has_ended: bool,
    },
    /// tokio watches the socket.
    Registered(TcpStream),
    /// The socket was given away.
    Released,
}

/// A socket that reports the [`Activity`] of its client once it is registered with tokio.
#[derive(Debug)]
pub(crate) struct Socket {
    mode: Mode,
    activity: Arc<Activity>,
    /// Whether the client's input begins a request head. True for HTTP/1; HTTP/2 has frames for that.
    reads_heads: bool,
    /// The gate with the pending piece, if the connection supports zero copy.
    gate: Option<Arc<WriteGate>>,
    pace: Pace,
    linger: Option<Box<Linger>>,
}

impl Socket {
    pub(crate) fn new(stream: std::net::TcpStream, activity: Arc<Activity>) -> Self {
        let pace = Pace::new(activity.began().instant().into_std());
        let mode = Mode::Nonblocking { stream, drained: false, has_ended: false };
        Self { mode, activity, reads_heads: true, gate: None, pace, linger: None }
    }

    /// Sets the gate whose pending pieces the socket sends.
    pub(crate) fn set_gate(&mut self, gate: Option<Arc<WriteGate>>) {
        self.gate = gate;
    }

    /// Switches to HTTP/2: the client sends frames, and the server sends no placeholders.
    pub(crate) fn start_http2(&mut self) {
        (self.reads_heads, self.gate) = (false, None);
    }

    /// Records an event of the idle poller. `ended`: the client may have closed its half.
    pub(crate) fn on_readable(&mut self, ended: bool) {
        if let Mode::Nonblocking { drained, has_ended, .. } = &mut self.mode {
            *drained = false;
            *has_ended |= ended;
        }
    }

    /// Registers the socket with the runtime of this thread.
    pub(crate) fn register(&mut self) -> io::Result<()> {
        self.mode = match mem::replace(&mut self.mode, Mode::Released) {
            Mode::Nonblocking { stream, .. } => Mode::Registered(TcpStream::from_std(stream)?),
            other => other,
        };
        Ok(())
    }

    fn is_registered(&self) -> bool {
        matches!(self.mode, Mode::Registered(_))
    }

    /// Gives the socket away.
    pub(crate) fn release(&mut self) -> io::Result<std::net::TcpStream> {
        match mem::replace(&mut self.mode, Mode::Released) {
            Mode::Nonblocking { stream, .. } => Ok(stream),
            Mode::Registered(stream) => stream.into_std(),
            Mode::Released => Err(released()),
        }
    }

    pub(crate) fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        self.mode.descriptor()
    }

    /// Sends `head`, then positions `range` of `file`, as far as the kernel takes them without blocking. Returns the
    /// number of bytes sent of both; `None` if this socket sends no files.
    ///
    /// # Errors
    /// Errors of the socket and the file; [`io::ErrorKind::UnexpectedEof`] if the file has become shorter.
    pub(crate) fn send_file(
        &mut self,
        head: &[u8],
        file: &File,
        range: Range<u64>,
    ) -> Option<io::Result<usize>> {
        self.gate.as_ref()?;
        let sent = self.mode.descriptor().and_then(|socket| send_file(socket, head, file, range));
        if let Ok(sent) = &sent {
            self.on_written(*sent);
        }
        Some(sent)
    }

    fn write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let placeholder = match &self.gate {
            Some(gate) => gate.pending.find(pieces)?.map(|at| (gate, at)),
            None => None,
        };
        let written = match placeholder {
            Some((gate, at)) => {
                let before = pieces.get(..at).unwrap_or_default();
                let left = pieces.get(at).map_or(0, |piece| piece.len());
                let most = Self::spend_credit(&mut self.pace, &self.mode, left);
                self.mode.poll_write_with(cx, |socket| gate.pending.write(socket, before, most))
            }
            None => self.mode.poll_send(cx, pieces, self.activity.is_last()),
        };
        match &written {
            Poll::Pending => self.activity.on_write_blocked(),
            Poll::Ready(Ok(bytes)) => self.on_written(*bytes),
            Poll::Ready(Err(_)) => {}
        }
        written
    }

    /// Takes a credit for a long piece, and ends it before the end of the piece: the last bytes leave when the client
    /// has taken most of the others, so that a file that is overwritten meanwhile is noticed. Returns how many of the
    /// bytes that are `left` may be sent now.
    fn spend_credit(pace: &mut Pace, mode: &Mode, left: usize) -> usize {
        // Only a file has so long a piece.
        if left > LONG && pace.take_credit() {
            mode.limit_unsent(UNSENT_WITH_CREDIT);
        }
        let usual = UNSENT as usize;
        if pace.has_credit() && left > usual {
            return left - usual;
        }
        if pace.end_credit() {
            mode.limit_unsent(UNSENT);
        }
        left
    }

    /// Records that the kernel has taken this many bytes.
    fn on_written(&mut self, bytes: usize) {
        if self.is_registered() {
            self.activity.on_written(bytes);
        }
        if let Some(quick) = self.pace.on_written(bytes) {
            self.mode.limit_unsent(if quick { UNSENT_QUICK } else { UNSENT });
        }
    }
}

impl Mode {
    fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        match self {
            Self::Nonblocking { stream, .. } => Ok(stream.as_fd()),
            Self::Registered(stream) => Ok(stream.as_fd()),
            Self::Released => Err(released()),
        }
    }

    /// Limits the number of unsent bytes in the kernel's send buffer.
    fn limit_unsent(&self, bytes: u32) {
        if let Ok(socket) = self.descriptor() {
            // A failure only costs memory or wakeups.
            let _ = socket2::SockRef::from(&socket).set_tcp_notsent_lowat(bytes);
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (stream, drained, has_ended) = match self {
            Self::Nonblocking { drained: true, .. } => return Poll::Pending,
            Self::Nonblocking { stream, drained, has_ended } => (stream, drained, *has_ended),
            Self::Registered(stream) => return Pin::new(stream).poll_read(cx, buffer),
            Self::Released => return Poll::Ready(Err(released())),
        };
        let free = buffer.initialize_unfilled();
        let size = free.len();
        let count = loop {
            match recv(&*stream, &mut *free, RecvFlags::empty()) {
                Ok((_, count)) => break count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    *drained = true;
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        };
        // A short read means that no input is left, unless the end of the stream follows.
        *drained = count < size && !has_ended;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }

    /// Sends bytes. If they are the `last`, the connection is closed next, so the kernel can send the FIN in their
    /// packet.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
        last: bool,
    ) -> Poll<io::Result<usize>> {
        match (self, pieces) {
            (Self::Registered(stream), [piece]) if !last => Pin::new(stream).poll_write(cx, piece),
            (Self::Registered(stream), _) if !last => Pin::new(stream).poll_write_vectored(cx, pieces),
            (mode, _) => {
                let flags = if last { SendFlags::MORE } else { SendFlags::empty() } | SendFlags::NOSIGNAL;
                mode.poll_write_with(cx, |socket| send_pieces(socket, pieces, flags))
            }
        }
    }

    /// Calls `write` once the socket is writable.
    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let would_block = |written: &io::Result<usize>| {
            written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        };
        match self {
            Self::Nonblocking { stream, .. } => {
                let written = write(stream.as_fd());
                if would_block(&written) { Poll::Pending } else { Poll::Ready(written) }
            }
            Self::Registered(stream) => loop {
                ready!(stream.poll_write_ready(cx))?;
                let written = stream.try_io(Interest::WRITABLE, || write(stream.as_fd()));
                if !would_block(&written) {
                    return Poll::Ready(written);
                }
            },
            Self::Released => Poll::Ready(Err(released())),
        }
    }
}

impl Drop for Socket {
    /// If the client was disconnected for reading too little, the kernel would keep unsent bytes for minutes. A reset
    /// drops them, and tells the client that the response is incomplete.
    fn drop(&mut self) {
        if let (true, Mode::Registered(stream)) = (self.activity.is_stalled(), &self.mode) {
            let _ = stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.mode.poll_read(cx, buffer);
        if self.reads_heads && self.is_registered() && buffer.filled().len() > before {
            self.activity.on_read();
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// A TCP socket has nothing to flush.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// No shutdown is needed before the socket is closed, unless the client may still be sending: then the close
    /// lingers.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.activity.has_unread_input() {
            return Poll::Ready(Ok(()));
        }
        let Self { mode, linger, .. } = &mut *self;
        if linger.is_none() {
            *linger = Some(Box::new(Linger::begin(mode.descriptor()?)));
        }
        let Some(linger) = linger else { return Poll::Ready(Ok(())) };
        linger.poll(cx, |cx, buffer| mode.poll_read(cx, buffer)).map(Ok)
    }
}

fn released() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

fn send_pieces(socket: BorrowedFd<'_>, pieces: &[IoSlice<'_>], flags: SendFlags) -> io::Result<usize> {
    Ok(match pieces {
        [piece] => send(socket, piece, flags)?,
        pieces => sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), flags)?,
    })
}

fn send_file(socket: BorrowedFd<'_>, head: &[u8], file: &File, range: Range<u64>) -> io::Result<usize> {
    // MORE: the kernel puts the file's first bytes into the same packet.
    let sent = match send(socket, head, SendFlags::MORE | SendFlags::NOSIGNAL) {
        Ok(sent) => sent,
        Err(Errno::AGAIN | Errno::INTR) => 0,
        Err(error) => return Err(error.into()),
    };
    if sent < head.len() {
        return Ok(sent);
    }
    let (mut at, length) = (range.start, usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
    match rustix::fs::sendfile(socket, file, Some(&mut at), length) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => Ok(sent + count),
        Err(Errno::AGAIN | Errno::INTR) => Ok(sent),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_sent_behind_a_head_as_far_as_the_socket_takes_it() {
        use std::io::{Read, Write};

        let (mut client, socket) = std::os::unix::net::UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        let noise: Vec<u8> =
            (0..900_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
        file.write_all(&noise).unwrap();
        let sent = send_file(socket.as_fd(), b"head", &file, 7..900_000).unwrap();
        assert!((5..900_000).contains(&sent), "{sent} is a part");
        assert_eq!(
            send_file(socket.as_fd(), b"another head", &file, 0..1).unwrap(),
            0,
            "there is no room left"
        );
        let mut received = vec![0; sent];
        client.read_exact(&mut received).unwrap();
        assert!(received[..4] == *b"head" && received[4..] == noise[7..sent + 3]);
        file.set_len(100).unwrap();
        let error = send_file(socket.as_fd(), b"head", &file, 100..200).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
