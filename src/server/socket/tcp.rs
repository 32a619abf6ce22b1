//! The socket of a connection: notes when the client says something and when it takes nothing.

use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::deadlines::activity::Activity;
use crate::server::socket::io::SocketIo;
use crate::server::socket::linger::Linger;
use crate::server::zero_copy::write_gate::WriteGate;

/// What the kernel takes of an answer before the client does, in bytes. Without a bound that is megabytes for each
/// client that stalls, and a slow one shows a sign of life only every few minutes.
const UNSENT: u32 = 128 * 1024;

/// The same for a client that takes a round in less than a quarter of a second: as much as the kernel would take anyway
/// (`tcp_wmem`, 4 MiB by default). It is woken for less often, and does not keep the kernel's memory for long.
const UNSENT_QUICK: u32 = u32::MAX;
/// More than the kernels at both ends take for a program that reads nothing (64 KiB there, up to 384 KiB here, if the piece
/// is a whole pipe); and soon, for the client's kernel measures at the beginning how much room it needs.
const ROUND: usize = 512 * 1024;
const QUICK: Duration = Duration::from_millis(250);

/// How quickly a client takes what is sent, round by round.
#[derive(Debug)]
struct Pace {
    taken: usize,
    since: Instant,
    quick: bool,
}

impl Pace {
    fn new(since: Instant) -> Self {
        Self { taken: 0, since, quick: false }
    }

    /// So many bytes were taken. Says whether the client is quick, at the end of a round in which that has changed.
    fn on_written(&mut self, bytes: usize) -> Option<bool> {
        self.taken += bytes;
        if self.taken < ROUND {
            return None;
        }
        let now = Instant::now();
        let quick = now - self.since < QUICK;
        (self.taken, self.since) = (0, now);
        (std::mem::replace(&mut self.quick, quick) != quick).then_some(quick)
    }
}

/// Sets what all connections of a listener have in common, once for all.
pub(in crate::server) fn prepare(listener: &std::net::TcpListener) {
    let listener = socket2::SockRef::from(listener);
    // Without it, the last piece of an answer may wait for the client's delayed acknowledgement.
    let _ = listener.set_tcp_nodelay(true);
    let _ = listener.set_tcp_notsent_lowat(UNSENT);
}

/// A TCP connection with its [`Activity`].
#[derive(Debug)]
pub(in crate::server) struct Socket<W> {
    wire: W,
    activity: Arc<Activity>,
    /// Whether what is heard is the beginning of a head (HTTP/1 alone: HTTP/2 has frames about nothing).
    hears_heads: bool,
    /// Whose pieces of files are sent here.
    gate: Option<Arc<WriteGate>>,
    pace: Pace,
    linger: Option<Box<Linger>>,
}

impl<W: SocketIo> Socket<W> {
    pub(in crate::server) fn new(wire: W, activity: Arc<Activity>, hears_heads: bool) -> Self {
        let pace = Pace::new(activity.began().instant().into_std());
        Self { wire, activity, hears_heads, gate: None, pace, linger: None }
    }

    /// The same, sending the pieces of files that `gate` has under way.
    pub(in crate::server) fn sending_files(mut self, gate: Option<&Arc<WriteGate>>) -> Self {
        self.gate = gate.cloned();
        self
    }

    pub(in crate::server) fn sends_files(&self) -> bool {
        self.gate.is_some()
    }

    pub(in crate::server) fn hears_heads(&mut self, hears: bool) {
        self.hears_heads = hears;
    }

    pub(in crate::server) fn wire(&mut self) -> &mut W {
        &mut self.wire
    }

    pub(in crate::server) fn into_wire(self) -> W {
        self.wire
    }

    pub(in crate::server) fn descriptor(&self) -> BorrowedFd<'_> {
        self.wire.descriptor()
    }

    /// The same connection on another wire.
    pub(in crate::server) fn on<V>(
        self,
        other: impl FnOnce(W, &Arc<Activity>) -> io::Result<V>,
    ) -> io::Result<Socket<V>> {
        let Self { wire, activity, hears_heads, gate, pace, linger } = self;
        Ok(Socket { wire: other(wire, &activity)?, activity, hears_heads, gate, pace, linger })
    }

    fn note(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => self.activity.on_write_blocked(),
            Poll::Ready(Ok(bytes)) => self.on_written(*bytes),
            Poll::Ready(Err(_)) => {}
        }
        written
    }

    /// The kernel has taken so many bytes.
    pub(in crate::server) fn on_written(&mut self, bytes: usize) {
        if W::WATCHED {
            self.activity.on_written(bytes);
        }
        if let Some(quick) = self.pace.on_written(bytes) {
            self.let_wait(if quick { UNSENT_QUICK } else { UNSENT });
        }
    }
}

impl<W: SocketIo> Socket<W> {
    /// So much the kernel is to take before it is sent.
    fn let_wait(&self, unsent: u32) {
        let _ = socket2::SockRef::from(&self.wire.descriptor()).set_tcp_notsent_lowat(unsent);
    }
}

impl<W: SocketIo> AsyncRead for Socket<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.wire.poll_receive(cx, buffer);
        if W::WATCHED && self.hears_heads && buffer.filled().len() > before {
            self.activity.on_read();
        }
        read
    }
}

impl<W: SocketIo> Socket<W> {
    fn write(&mut self, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let place = match &self.gate {
            Some(gate) => gate.files.place(pieces)?.map(|place| (gate, place)),
            None => None,
        };
        match place {
            Some((gate, place)) => {
                let before = pieces.get(..place).unwrap_or_default();
                self.wire.poll_by(cx, |socket| gate.files.write(socket, before))
            }
            None if self.activity.is_last() => self.wire.poll_send_last(cx, pieces),
            None => self.wire.poll_send(cx, pieces),
        }
    }
}

impl<W: SocketIo> AsyncWrite for Socket<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.write(cx, &[io::IoSlice::new(bytes)]);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.write(cx, pieces);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// TCP keeps nothing back.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The socket is closed right after that, which says the same to the client, unless it is still sending.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.activity.has_unread_input() {
            return Poll::Ready(Ok(()));
        }
        let Self { wire, linger, .. } = &mut *self;
        linger.get_or_insert_with(|| Box::new(Linger::begin(wire))).poll(cx, wire).map(Ok)
    }
}

/// A stream that tells the [`WriteGate`] of what it took.
#[derive(Debug)]
pub(in crate::server) struct BackpressureIo<S> {
    stream: S,
    /// What was read of it already.
    start: Bytes,
    gate: Option<Arc<WriteGate>>,
}

impl<S> BackpressureIo<S> {
    pub(in crate::server) fn new(stream: S, start: Bytes, gate: Option<Arc<WriteGate>>) -> Self {
        Self { stream, start, gate }
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Some(gate), Poll::Ready(Ok(bytes))) = (&self.gate, &written) {
            gate.on_written(*bytes);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BackpressureIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.start.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = self.start.len().min(buffer.remaining());
        buffer.put_slice(&self.start.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BackpressureIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_quick_or_slow_by_what_it_took_last() {
        let mut pace = Pace::new(Instant::now());
        assert_eq!(pace.on_written(ROUND - 1), None);
        assert_eq!(pace.on_written(1), Some(true));
        assert_eq!(pace.on_written(ROUND), None, "as before");
        std::thread::sleep(QUICK);
        assert_eq!(pace.on_written(ROUND), Some(false));
        assert_eq!(pace.on_written(ROUND), Some(true));
    }
}
