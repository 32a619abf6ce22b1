//! The gate between a body and its socket. hyper polls a body until its buffer is full, even if the socket takes
//! nothing, which would waste memory on a client that stalls. With the gate, the next piece is created only after the
//! socket has taken the previous one.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;

use super::pending::{OnSent, Pending, PipeEnd, Source};

/// Counts the bytes queued on an HTTP/1 connection and those its socket has taken.
#[derive(Debug, Default)]
pub(crate) struct WriteGate {
    queued: AtomicU64,
    written: AtomicU64,
    waiting: AtomicWaker,
    pub(crate) pending: Pending,
}

impl WriteGate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Starts a new response. (Its head counts as written but not as queued. The reset keeps this from adding up.)
    pub(crate) fn begin(&self) {
        self.queued.store(0, Ordering::Relaxed);
        self.written.store(0, Ordering::Relaxed);
    }

    /// Waits until the socket has taken everything that was queued.
    pub(crate) fn poll_drained(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_drained() {
            return Poll::Ready(());
        }
        self.waiting.register(cx.waker());
        if self.is_drained() { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(crate) fn on_queued(&self, bytes: usize) {
        self.queued.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn on_written(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.is_drained() {
            self.waiting.wake();
        }
    }

    fn is_drained(&self) -> bool {
        self.written.load(Ordering::Relaxed) >= self.queued.load(Ordering::Relaxed) && self.pending.is_empty()
    }
}

/// Lets a body queue pieces of files and the contents of pipes for the kernel to send.
/// [`Client::zero_copy`](crate::server::Client::zero_copy) is set if the connection supports this.
#[derive(Debug, Clone)]
pub struct ZeroCopy(Arc<WriteGate>);

impl ZeroCopy {
    pub(crate) fn new(gate: &Arc<WriteGate>) -> Self {
        Self(Arc::clone(gate))
    }

    /// Queues positions `piece` of `file` and returns a placeholder. The body must yield the placeholder unchanged
    /// before it is polled again. `last`: no other piece follows. `on_sent` is attached to the last piece, because
    /// hyper drops a body before its last piece is sent. Returns `None` if another piece is pending, or this one is
    /// empty or longer than 2 MiB. The body must then fail.
    #[must_use]
    pub fn queue_file(
        &self,
        file: &Arc<File>,
        piece: Range<u64>,
        last: bool,
        on_sent: Option<Box<dyn OnSent>>,
    ) -> Option<Bytes> {
        let length = usize::try_from(piece.end.checked_sub(piece.start)?).ok()?;
        let source = Source::File { file: Arc::clone(file), at: piece.start, last };
        self.0.pending.queue(Bytes::new(), source, length, on_sent)
    }

    /// Queues the bytes of `start` and `length` more from a pipe, which must contain nothing else.
    #[must_use]
    pub fn queue_pipe(
        &self,
        start: Bytes,
        pipe: Arc<impl PipeEnd>,
        length: usize,
        on_sent: Option<Box<dyn OnSent>>,
    ) -> Option<Bytes> {
        let length = start.len().checked_add(length)?;
        self.0.pending.queue(start, Source::Pipe(pipe), length, on_sent)
    }

    /// The number of bytes of the queued piece that the kernel has not taken.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.0.pending.unsent()
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;

    fn queued(length: u64) -> (Arc<WriteGate>, Bytes) {
        let gate = WriteGate::new();
        let file = Arc::new(tempfile::tempfile().unwrap());
        let bytes = ZeroCopy::new(&gate).queue_file(&file, 5..5 + length, true, None).unwrap();
        (gate, bytes)
    }

    #[test]
    fn a_placeholder_is_found() {
        let (gate, bytes) = queued(100);
        assert_eq!(bytes.len(), 100);
        let (head, tail) = (IoSlice::new(b"head"), IoSlice::new(b"\r\n"));
        assert_eq!(gate.pending.find(&[head, IoSlice::new(&bytes), tail]).unwrap(), Some(1));
    }

    #[test]
    fn a_placeholder_is_never_written_as_it_is() {
        let (gate, bytes) = queued(100);
        let find = |written: &[&[u8]]| {
            let written: Vec<_> = written.iter().map(|bytes| IoSlice::new(bytes)).collect();
            gate.pending.find(&written)
        };
        assert!(find(&[b"head"]).is_err(), "missing");
        assert!(find(&[&[0; 100]]).is_err(), "copied");
        assert!(find(&[&bytes[..99]]).is_err(), "cut");
        assert!(find(&[&bytes[1..]]).is_err(), "moved");
        assert!(find(&[&bytes, &bytes[..1]]).is_err(), "twice");
        let nothing = WriteGate::new();
        assert!(nothing.pending.find(&[IoSlice::new(&bytes[99..])]).is_err(), "of another connection");
        assert_eq!(nothing.pending.find(&[IoSlice::new(b"head")]).unwrap(), None);
    }

    #[test]
    fn what_is_in_a_pipe_is_sent_behind_its_start_however_little_the_socket_takes() {
        use bytes::Buf;
        use std::io::{Read, Write};

        let (mut client, socket) = std::os::unix::net::UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let (out, into) = rustix::pipe::pipe().unwrap();
        let noise: Vec<u8> =
            (0..300_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
        std::fs::File::from(into).write_all(&noise[240_000..]).unwrap();
        let gate = WriteGate::new();
        let start = Bytes::copy_from_slice(&noise[5..240_000]);
        let mut bytes = ZeroCopy::new(&gate).queue_pipe(start, Arc::new(out), 60_000, None).unwrap();
        let (mut before, mut received) = (&noise[..5], Vec::new());
        while !bytes.is_empty() {
            assert_eq!(ZeroCopy::new(&gate).unsent(), bytes.len() as u64);
            let written = [IoSlice::new(before), IoSlice::new(&bytes)];
            assert_eq!(gate.pending.find(&written).unwrap(), Some(1));
            if let Ok(count) = gate.pending.write(&socket, &written[..1], usize::MAX) {
                bytes.advance(count - before.len());
                before = &[];
            }
            let mut some = [0; 10_000];
            let count = client.read(&mut some).unwrap();
            received.extend_from_slice(&some[..count]);
        }
        drop(socket);
        client.read_to_end(&mut received).unwrap();
        assert!(gate.pending.is_empty() && received == noise);
    }

    #[test]
    fn one_piece_is_pending_at_a_time_and_none_is_too_long() {
        let (gate, _bytes) = queued(100);
        let file = Arc::new(tempfile::tempfile().unwrap());
        assert!(ZeroCopy::new(&gate).queue_file(&file, 0..1, true, None).is_none());
        let files = ZeroCopy::new(&WriteGate::new());
        assert!(files.queue_file(&file, 0..(2 << 20) + 1, true, None).is_none());
        assert!(files.queue_file(&file, 3..3, true, None).is_none());
        assert!(files.queue_file(&file, std::ops::Range { start: 4, end: 3 }, true, None).is_none());
        let pipe = rustix::pipe::pipe().unwrap().0;
        assert!(files.queue_pipe(Bytes::from_static(b"x"), Arc::new(pipe), 2 << 20, None).is_none());
        assert_eq!(files.unsent(), 0);
    }
}
