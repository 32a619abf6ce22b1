//! Pools kernel pipes, through which `splice` moves bytes between sockets without copying them to user space.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::net::TcpStream;

/// The capacity of a pipe in bytes, which is also how many bytes a stalled client holds.
const CAPACITY: usize = 256 * 1024;

/// How many free pipes a thread keeps.
const MAX_FREE: usize = 16;

/// The maximum and the current number of pipes. A body without a pipe is copied.
static LIMIT: std::sync::LazyLock<usize> = std::sync::LazyLock::new(|| {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    usize::try_from(max_pipes(limit.unwrap_or(u64::MAX))).unwrap_or_default()
});
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Whether the kernel (or a sandbox) has refused to fill a pipe. Then no pipe is used again.
static REFUSED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static FREE: RefCell<Vec<Arc<Ends>>> = const { RefCell::new(Vec::new()) };
}

/// The maximum number of pipes, of two file descriptors each, for this limit of open files. It never exceeds the
/// kernel's per-user limit for pipes of this size (64 MiB in total).
#[must_use]
pub fn max_pipes(limit: u64) -> u64 {
    (limit / 32).clamp(1, 256)
}

/// A pipe. When dropped, it returns to its thread's free pipes.
#[derive(Debug)]
pub struct Pipe(Arc<Ends>);

#[derive(Debug)]
struct Ends {
    out: OwnedFd,
    into: OwnedFd,
}

impl Ends {
    /// Creates a pipe, unless there are too many or the kernel refuses this size.
    fn open() -> Option<Self> {
        use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

        if OPEN.fetch_add(1, Ordering::Relaxed) < *LIMIT
            && let Ok((out, into)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        {
            // From here on, dropping `ends` decrements the count.
            let ends = Self { out, into };
            return fcntl_setpipe_size(&ends.into, CAPACITY).is_ok().then_some(ends);
        }
        OPEN.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pipe {
    /// Takes an empty pipe, if available.
    pub(crate) fn acquire() -> Option<Self> {
        if REFUSED.load(Ordering::Relaxed) {
            return None;
        }
        let kept = FREE.with_borrow_mut(Vec::pop);
        kept.or_else(|| Ends::open().map(Arc::new)).map(Self)
    }

    /// Moves up to `most` available bytes from a socket into the pipe, as far as they fit, and returns their number; 0
    /// at the end of the stream.
    pub(crate) fn fill(&self, from: &TcpStream, most: u64) -> io::Result<usize> {
        use rustix::pipe::{SpliceFlags, splice};

        let most = usize::try_from(most).unwrap_or(CAPACITY).min(CAPACITY);
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let filled = from.try_io(tokio::io::Interest::READABLE, || {
            Ok(splice(from, None, &self.0.into, None, most, flags)?)
        });
        // Nothing was moved: the caller resumes the body by reading it.
        if filled.as_ref().is_err_and(is_refusal) {
            REFUSED.store(true, Ordering::Relaxed);
        }
        filled
    }
}

/// Whether `splice` never works here, as in some sandboxes. All other errors come from the connection.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind as E;

    matches!(error.kind(), E::InvalidInput | E::PermissionDenied | E::Unsupported)
}

impl AsFd for Pipe {
    /// The read end.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.out.as_fd()
    }
}

impl Drop for Pipe {
    /// Keeps the pipe for the next body, unless it still has bytes.
    fn drop(&mut self) {
        if rustix::io::ioctl_fionread(&self.0.out) != Ok(0) {
            return;
        }
        // While a thread exits, its list may already be destroyed.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < MAX_FREE {
                free.push(Arc::clone(&self.0));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    async fn sockets() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let from = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (from, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_pipe_takes_at_most_the_given_count_and_reports_an_empty_socket() {
        let (from, mut to) = sockets().await;
        let pipe = Pipe::acquire().unwrap();
        assert_eq!(pipe.fill(&from, 5).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        to.write_all(b"hello world").await.unwrap();
        from.readable().await.unwrap();
        assert_eq!(pipe.fill(&from, 5).unwrap(), 5);
        assert_eq!(pipe.fill(&from, 500).unwrap(), 6);
        drop(to);
        from.readable().await.unwrap();
        assert_eq!(pipe.fill(&from, 5).unwrap(), 0, "the end");
        let mut bytes = [0; 20];
        assert_eq!(rustix::io::read(&pipe, &mut bytes).unwrap(), 11);
        assert_eq!(&bytes[..11], b"hello world");
    }

    #[tokio::test]
    async fn a_pipe_that_is_not_empty_is_not_reused() {
        let (from, mut to) = sockets().await;
        let number = |pipe: &Pipe| std::os::fd::AsRawFd::as_raw_fd(&pipe.as_fd());
        let pipe = Pipe::acquire().unwrap();
        let first = Arc::downgrade(&pipe.0);
        drop(pipe);
        let pipe = Pipe::acquire().unwrap();
        assert_eq!(
            first.upgrade().map(|ends| std::os::fd::AsRawFd::as_raw_fd(&ends.out)),
            Some(number(&pipe))
        );
        to.write_all(b"hello").await.unwrap();
        from.readable().await.unwrap();
        assert_eq!(pipe.fill(&from, 5).unwrap(), 5);
        drop(pipe);
        assert!(first.upgrade().is_none());
    }

    #[test]
    fn a_refusal_of_the_kernel_differs_from_a_broken_connection() {
        use rustix::io::Errno;

        for refused in [Errno::INVAL, Errno::NOSYS, Errno::PERM, Errno::OPNOTSUPP] {
            assert!(is_refusal(&refused.into()), "{refused}");
        }
        for broken in [Errno::CONNRESET, Errno::PIPE, Errno::AGAIN, Errno::TIMEDOUT] {
            assert!(!is_refusal(&broken.into()), "{broken}");
        }
    }

    #[test]
    fn the_limit_of_open_files_limits_the_pipes() {
        assert_eq!([0, 64, 1_024, 20_000, u64::MAX].map(max_pipes), [1, 2, 32, 256, 256]);
    }
}
