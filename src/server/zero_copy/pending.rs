//! The fast way out: a file (`sendfile`), or what waits in a pipe (`splice`), goes from the kernel's memory to the socket
//! without passing through here.
//!
//! hyper frames bodies that are bytes. So a body yields bytes that *stand for* a piece: as many, at addresses that nothing
//! else has and that nobody reads. hyper passes on where they are, not what they are, and the socket, which knows the
//! addresses, sends the piece instead. There is one piece under way on a connection at a time. If it is not found where
//! it must be, or found where it must not, the connection ends: what stands for a piece is never sent.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::server::zero_copy::write_gate::WriteGate;

/// The longest piece, in bytes.
const LONGEST: usize = 2 << 20;

/// What stands for pieces. Memory that was never written takes none; nobody counts who has a part of it.
static PLACEHOLDER: LazyLock<&[u8]> = LazyLock::new(|| vec![0; LONGEST].leak());

/// Lets a body hand over pieces of files, and what waits in pipes. An extension of requests whose connections can send them.
#[derive(Debug, Clone)]
pub struct ZeroCopy(Arc<WriteGate>);

impl ZeroCopy {
    pub(in crate::server) fn through(gate: &Arc<WriteGate>) -> Self {
        Self(Arc::clone(gate))
    }

    /// Bytes that stand for positions `piece` of `file`, to be yielded by the body as they are, before it is asked for
    /// more. It is the `last` one, or another one follows. The `on_sent` of the last piece is told when it has gone: hyper
    /// lets go of a body before that. `None` if another piece is under way or this one is longer than 2 MiB or empty: then
    /// the body must break off.
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
        self.begin(Bytes::new(), source, length, on_sent)
    }

    /// The same for these bytes and `length` more that wait in a pipe. They are all that is in it.
    #[must_use]
    pub fn queue_pipe(
        &self,
        start: Bytes,
        pipe: Arc<impl PipeEnd>,
        length: usize,
        on_sent: Option<Box<dyn OnSent>>,
    ) -> Option<Bytes> {
        let length = start.len().checked_add(length)?;
        self.begin(start, Source::Pipe(pipe), length, on_sent)
    }

    fn begin(
        &self,
        start: Bytes,
        source: Source,
        length: usize,
        on_sent: Option<Box<dyn OnSent>>,
    ) -> Option<Bytes> {
        let placeholder = PLACEHOLDER.get(..length).filter(|bytes| !bytes.is_empty())?;
        let mut pending = self.0.files.lock();
        if pending.is_some() {
            return None;
        }
        *pending = Some(Piece { start, source, left: length, next: address(placeholder), on_sent });
        self.0.files.any.store(true, Ordering::Release);
        Some(Bytes::from_static(placeholder))
    }

    /// How many bytes of the last piece the kernel has not taken.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.0.files.lock().as_ref().map_or(0, |piece| piece.left as u64)
    }
}

/// The end of a pipe where bytes come out.
pub trait PipeEnd: AsFd + fmt::Debug + Send + Sync + 'static {}

impl<T: AsFd + fmt::Debug + Send + Sync + 'static> PipeEnd for T {}

/// Goes with the last piece of a body.
pub trait OnSent: fmt::Debug + Send {
    /// Before the kernel takes any of the piece, and each time before it takes more: whether what is left still belongs to
    /// what has gone. Otherwise the connection ends.
    fn may_send(&mut self) -> bool {
        true
    }

    /// The kernel has taken the piece, but for the last `left` bytes: the connection has ended before these.
    fn finished(self: Box<Self>, left: u64);
}

fn address(bytes: &[u8]) -> usize {
    bytes.as_ptr().addr()
}

/// Where the bytes of a piece are.
#[derive(Debug)]
enum Source {
    /// In a file, from a position on; the last ones of it that are sent, or not.
    File {
        file: Arc<File>,
        at: u64,
        last: bool,
    },
    Pipe(Arc<dyn PipeEnd>),
}

impl Source {
    /// Has the kernel send as many of the next `left` bytes as the socket takes.
    fn send(&mut self, socket: impl AsFd, left: usize) -> rustix::io::Result<usize> {
        use rustix::pipe::{SpliceFlags, splice};

        match self {
            Self::File { file, at, .. } => rustix::fs::sendfile(socket, file, Some(at), left),
            Self::Pipe(pipe) => {
                splice(pipe.as_fd(), None, socket, None, left, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)
            }
        }
    }
}

/// The piece that is under way on a connection.
#[derive(Debug)]
struct Piece {
    /// What comes before the source's bytes.
    start: Bytes,
    source: Source,
    /// How many bytes of both are left.
    left: usize,
    /// The address of what stands for the next byte.
    next: usize,
    on_sent: Option<Box<dyn OnSent>>,
}

impl Piece {
    /// Writes what stands before the piece, and its start.
    fn write_start(&self, socket: impl AsFd, before: &[IoSlice<'_>]) -> io::Result<usize> {
        use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};

        // MORE: the kernel puts the source's first bytes into the same packet.
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        let mut nothing_beside = SendAncillaryBuffer::default();
        match before {
            // Nearly always: a head before a file.
            [head] if self.start.is_empty() => return Ok(send(socket, head, flags)?),
            _ if self.start.is_empty() => return Ok(sendmsg(socket, before, &mut nothing_beside, flags)?),
            _ => {}
        }
        let parts: Vec<_> = before.iter().copied().chain([IoSlice::new(&self.start)]).collect();
        Ok(sendmsg(socket, &parts, &mut nothing_beside, flags)?)
    }

    /// So many bytes of it have gone.
    fn advance(&mut self, count: usize) {
        use bytes::Buf;

        self.start.advance(count.min(self.start.len()));
        self.next += count;
        self.left = self.left.saturating_sub(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(on_sent) = self.on_sent.take() {
            on_sent.finished(self.left as u64);
        }
    }
}

/// Where a connection keeps the piece that is under way.
#[derive(Debug, Default)]
pub(in crate::server) struct Pending {
    piece: Mutex<Option<Piece>>,
    /// Whether there is one: most answers have none, and are spared the lock.
    any: AtomicBool,
    /// Whether the kernel sends full packets alone.
    corked: AtomicBool,
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Option<Piece>> {
        self.piece.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::server) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Where in what is to be written the piece stands; `None` if all of it is meant as it is.
    ///
    /// # Errors
    /// If a piece is missing, or something stands for none.
    pub(in crate::server) fn place(&self, written: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let pending = (!self.is_empty()).then(|| self.lock());
        let place = match pending.as_deref() {
            Some(Some(piece)) => {
                let here = |bytes: &IoSlice<'_>| address(bytes) == piece.next && bytes.len() == piece.left;
                Some(written.iter().position(here).ok_or_else(lost)?)
            }
            _ => None,
        };
        let start = address(&PLACEHOLDER);
        let stands_in =
            |bytes: &IoSlice<'_>| (start..start + LONGEST).contains(&address(bytes)) && !bytes.is_empty();
        if written.iter().enumerate().any(|(at, bytes)| Some(at) != place && stands_in(bytes)) {
            return Err(lost());
        }
        Ok(place)
    }

    /// Writes what stands before the piece, and as much of the piece as the socket takes. Returns the bytes of both.
    ///
    /// # Errors
    /// Those of the socket and the source; [`io::ErrorKind::UnexpectedEof`] if a file has become shorter.
    pub(in crate::server) fn write(&self, socket: impl AsFd, before: &[IoSlice<'_>]) -> io::Result<usize> {
        use rustix::net::sockopt::set_tcp_cork;

        let mut pending = self.lock();
        let Some(piece) = pending.as_mut() else { return Err(lost()) };
        // Of a long file, one piece is to go on in the packet where the one before has ended: a fifth of the work is saved.
        let is_last = !matches!(piece.source, Source::File { last: false, .. });
        if !is_last && !self.corked.swap(true, Ordering::Relaxed) {
            set_tcp_cork(&socket, true)?;
        }
        let head: usize = before.iter().map(|bytes| bytes.len()).sum();
        let mut written = 0;
        if head > 0 || !piece.start.is_empty() {
            written = piece.write_start(&socket, before)?;
            piece.advance(written.saturating_sub(head));
            if written < head || !piece.start.is_empty() {
                return Ok(written);
            }
        }
        if piece.on_sent.as_mut().is_some_and(|on_sent| !on_sent.may_send()) {
            return Err(io::Error::other("the file was changed while it was sent"));
        }
        match piece.source.send(&socket, piece.left) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                written += count;
                piece.advance(count);
            }
            Err(rustix::io::Errno::AGAIN) if written > 0 => {}
            Err(error) => return Err(error.into()),
        }
        let gone = if piece.left == 0 { pending.take() } else { None };
        if gone.is_some() {
            self.any.store(false, Ordering::Release);
            if is_last && self.corked.swap(false, Ordering::Relaxed) {
                set_tcp_cork(&socket, false)?;
            }
        }
        drop(pending);
        // `on_sent` is called when nothing is locked.
        drop(gone);
        Ok(written)
    }
}

/// Has the kernel take `head`, and positions `range` of `file` behind it, as far as it does without waiting.
///
/// # Errors
/// Those of the socket and the file; [`io::ErrorKind::UnexpectedEof`] if it has become shorter.
pub(in crate::server) fn send_behind(
    socket: impl AsFd,
    head: &[u8],
    file: &File,
    range: Range<u64>,
) -> io::Result<usize> {
    use rustix::io::Errno;
    use rustix::net::{SendFlags, send};

    // MORE: the kernel puts the file's first bytes into the same packet.
    let sent = match send(&socket, head, SendFlags::MORE | SendFlags::NOSIGNAL) {
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

fn lost() -> io::Error {
    io::Error::other("a piece is not where it must be in the answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed_over(length: u64) -> (Arc<WriteGate>, Bytes) {
        let gate = WriteGate::new();
        let file = Arc::new(tempfile::tempfile().unwrap());
        let bytes = ZeroCopy::through(&gate).queue_file(&file, 5..5 + length, true, None).unwrap();
        (gate, bytes)
    }

    #[test]
    fn a_piece_is_found_where_it_stands() {
        let (gate, bytes) = handed_over(100);
        assert_eq!(bytes.len(), 100);
        let (head, tail) = (IoSlice::new(b"head"), IoSlice::new(b"\r\n"));
        assert_eq!(gate.files.place(&[head, IoSlice::new(&bytes), tail]).unwrap(), Some(1));
    }

    #[test]
    fn what_stands_for_a_file_is_never_written_as_it_is() {
        let (gate, bytes) = handed_over(100);
        let place = |written: &[&[u8]]| {
            let written: Vec<_> = written.iter().map(|bytes| IoSlice::new(bytes)).collect();
            gate.files.place(&written)
        };
        assert!(place(&[b"head"]).is_err(), "missing");
        assert!(place(&[&[0; 100]]).is_err(), "copied");
        assert!(place(&[&bytes[..99]]).is_err(), "cut");
        assert!(place(&[&bytes[1..]]).is_err(), "moved");
        assert!(place(&[&bytes, &bytes[..1]]).is_err(), "twice");
        let nothing = WriteGate::new();
        assert!(nothing.files.place(&[IoSlice::new(&bytes[99..])]).is_err(), "of another connection");
        assert_eq!(nothing.files.place(&[IoSlice::new(b"head")]).unwrap(), None);
    }

    #[test]
    fn what_waits_in_a_pipe_goes_behind_its_start_however_little_the_socket_takes() {
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
        let mut bytes = ZeroCopy::through(&gate).queue_pipe(start, Arc::new(out), 60_000, None).unwrap();
        let (mut before, mut received) = (&noise[..5], Vec::new());
        while !bytes.is_empty() {
            assert_eq!(ZeroCopy::through(&gate).unsent(), bytes.len() as u64);
            let written = [IoSlice::new(before), IoSlice::new(&bytes)];
            assert_eq!(gate.files.place(&written).unwrap(), Some(1));
            if let Ok(count) = gate.files.write(&socket, &written[..1]) {
                bytes.advance(count - before.len());
                before = &[];
            }
            let mut some = [0; 10_000];
            let count = client.read(&mut some).unwrap();
            received.extend_from_slice(&some[..count]);
        }
        drop(socket);
        client.read_to_end(&mut received).unwrap();
        assert!(gate.files.is_empty() && received == noise);
    }

    #[test]
    fn a_file_is_sent_behind_a_head_as_far_as_the_socket_takes_it_and_the_file_goes() {
        use std::io::{Read, Write};

        let (mut client, socket) = std::os::unix::net::UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        let noise: Vec<u8> =
            (0..900_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
        file.write_all(&noise).unwrap();
        let sent = send_behind(&socket, b"head", &file, 7..900_000).unwrap();
        assert!((5..900_000).contains(&sent), "{sent} is a part");
        assert_eq!(send_behind(&socket, b"another head", &file, 0..1).unwrap(), 0, "there is no room left");
        let mut received = vec![0; sent];
        client.read_exact(&mut received).unwrap();
        assert!(received[..4] == *b"head" && received[4..] == noise[7..sent + 3]);
        file.set_len(100).unwrap();
        let error = send_behind(&socket, b"head", &file, 100..200).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn one_piece_is_under_way_at_a_time_and_none_is_too_long() {
        let (gate, _bytes) = handed_over(100);
        let file = Arc::new(tempfile::tempfile().unwrap());
        assert!(ZeroCopy::through(&gate).queue_file(&file, 0..1, true, None).is_none());
        let files = ZeroCopy::through(&WriteGate::new());
        assert!(files.queue_file(&file, 0..LONGEST as u64 + 1, true, None).is_none());
        assert!(files.queue_file(&file, 3..3, true, None).is_none());
        assert!(files.queue_file(&file, std::ops::Range { start: 4, end: 3 }, true, None).is_none());
        let pipe = rustix::pipe::pipe().unwrap().0;
        assert!(files.queue_pipe(Bytes::from_static(b"x"), Arc::new(pipe), LONGEST, None).is_none());
        assert_eq!(files.unsent(), 0);
    }
}
