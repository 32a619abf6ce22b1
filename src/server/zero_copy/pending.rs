//! The pending piece of a file or pipe on a connection, and its placeholder.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use rustix::net::sockopt::set_tcp_cork;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
use rustix::pipe::{SpliceFlags, splice};

/// The maximum length of a piece, in bytes.
const LONGEST: usize = 2 << 20;

/// The placeholder of all pieces. Memory that was never written takes no pages, and static bytes need no reference
/// count.
static PLACEHOLDER: LazyLock<&[u8]> = LazyLock::new(|| vec![0; LONGEST].leak());

/// The read end of a pipe.
pub trait PipeEnd: AsFd + fmt::Debug + Send + Sync + 'static {}

impl<T: AsFd + fmt::Debug + Send + Sync + 'static> PipeEnd for T {}

/// Attached to the last piece of a body.
pub trait OnSent: fmt::Debug + Send {
    /// Called before the kernel takes any byte of the piece, and before it takes more. Returns whether the rest still
    /// belongs to the bytes already sent. If not, the connection ends.
    fn may_send(&mut self) -> bool {
        true
    }

    /// The kernel has taken the piece except for the last `unsent` bytes. If there are any, the connection has ended.
    fn finished(self: Box<Self>, unsent: u64);
}

fn address(bytes: &[u8]) -> usize {
    bytes.as_ptr().addr()
}

/// The source of a piece's bytes.
#[derive(Debug)]
pub(super) enum Source {
    /// A file, from position `at`. `last`: no other piece of the file follows.
    File {
        file: Arc<File>,
        at: u64,
        last: bool,
    },
    Pipe(Arc<dyn PipeEnd>),
}

impl Source {
    /// Lets the kernel send up to `left` bytes, as many as the socket takes.
    fn send(&mut self, socket: impl AsFd, left: usize) -> rustix::io::Result<usize> {
        match self {
            Self::File { file, at, .. } => rustix::fs::sendfile(socket, file, Some(at), left),
            Self::Pipe(pipe) => {
                splice(pipe.as_fd(), None, socket, None, left, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)
            }
        }
    }
}

/// A piece that is being sent.
#[derive(Debug)]
struct Piece {
    /// Bytes that precede the source's bytes.
    start: Bytes,
    source: Source,
    /// The number of unsent bytes of both.
    left: usize,
    /// The address of the placeholder's next byte.
    next: usize,
    on_sent: Option<Box<dyn OnSent>>,
}

impl Piece {
    /// Writes the bytes before the piece, and its `start`.
    fn write_start(&self, socket: impl AsFd, before: &[IoSlice<'_>]) -> io::Result<usize> {
        // MORE: the kernel puts the source's first bytes into the same packet.
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        let mut no_control = SendAncillaryBuffer::default();
        match before {
            // The usual case: a head before a file.
            [head] if self.start.is_empty() => return Ok(send(socket, head, flags)?),
            _ if self.start.is_empty() => return Ok(sendmsg(socket, before, &mut no_control, flags)?),
            _ => {}
        }
        let parts: Vec<_> = before.iter().copied().chain([IoSlice::new(&self.start)]).collect();
        Ok(sendmsg(socket, &parts, &mut no_control, flags)?)
    }

    /// Records that the kernel has taken `count` bytes.
    fn advance(&mut self, count: usize) {
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

/// The slot of a connection for its pending piece.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    piece: Mutex<Option<Piece>>,
    /// Whether there is a piece. Most responses have none and skip the lock.
    any: AtomicBool,
    /// Whether the kernel sends full packets only.
    corked: AtomicBool,
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Option<Piece>> {
        self.piece.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Queues a piece and returns its placeholder. `None` if another piece is pending, or this one is empty or too
    /// long.
    pub(super) fn queue(
        &self,
        start: Bytes,
        source: Source,
        length: usize,
        on_sent: Option<Box<dyn OnSent>>,
    ) -> Option<Bytes> {
        let placeholder = PLACEHOLDER.get(..length).filter(|bytes| !bytes.is_empty())?;
        let mut pending = self.lock();
        if pending.is_some() {
            return None;
        }
        *pending = Some(Piece { start, source, left: length, next: address(placeholder), on_sent });
        self.any.store(true, Ordering::Release);
        Some(Bytes::from_static(placeholder))
    }

    pub(super) fn unsent(&self) -> u64 {
        self.lock().as_ref().map_or(0, |piece| piece.left as u64)
    }

    /// Returns the index of the placeholder among the slices to write; `None` if all of them are real bytes.
    ///
    /// # Errors
    /// If the placeholder of the piece is missing, or there is a placeholder without a piece.
    pub(crate) fn find(&self, written: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let pending = (!self.is_empty()).then(|| self.lock());
        let place = match pending.as_deref() {
            Some(Some(piece)) => {
                let here = |bytes: &IoSlice<'_>| address(bytes) == piece.next && bytes.len() == piece.left;
                Some(written.iter().position(here).ok_or_else(misplaced)?)
            }
            _ => None,
        };
        let start = address(&PLACEHOLDER);
        let is_placeholder =
            |bytes: &IoSlice<'_>| (start..start + LONGEST).contains(&address(bytes)) && !bytes.is_empty();
        if written.iter().enumerate().any(|(at, bytes)| Some(at) != place && is_placeholder(bytes)) {
            return Err(misplaced());
        }
        Ok(place)
    }

    /// Writes the bytes before the piece, and as much of the piece as the socket takes, but not more than `most` bytes of
    /// its source. Returns the number of bytes of both.
    ///
    /// # Errors
    /// Errors of the socket and the source; [`io::ErrorKind::UnexpectedEof`] if a file has become shorter.
    pub(crate) fn write(&self, socket: impl AsFd, before: &[IoSlice<'_>], most: usize) -> io::Result<usize> {
        let mut pending = self.lock();
        let Some(piece) = pending.as_mut() else { return Err(misplaced()) };
        // Within a long file, a piece continues in the packet where the previous one ended: this saves a fifth of the
        // work.
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
        match piece.source.send(&socket, piece.left.min(most)) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                written += count;
                piece.advance(count);
            }
            Err(rustix::io::Errno::AGAIN) if written > 0 => {}
            Err(error) => return Err(error.into()),
        }
        let sent = if piece.left == 0 { pending.take() } else { None };
        if sent.is_some() {
            self.any.store(false, Ordering::Release);
            if is_last && self.corked.swap(false, Ordering::Relaxed) {
                set_tcp_cork(&socket, false)?;
            }
        }
        drop(pending);
        // `on_sent` is called without the lock.
        drop(sent);
        Ok(written)
    }
}

fn misplaced() -> io::Error {
    io::Error::other("a placeholder is not where it must be in the answer")
}
